//! Channels and selects under load, in a process whose Ps and migration the test chooses.
//!
//! What is checked in the end is always the same: what was sent is what was received, once, in order;
//! nobody is left waiting; every goroutine has ended.

use crate::Scenario;
use corio::channel::{
    self, Receiver, RecvTimeoutError, Select, Sender, TryRecvError, select, select_biased,
};
use corio_tests::{Drops, Rng, Token, threads, wait_until, yield_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("chan_mixed", chan_mixed),
    ("chan_many_wait", chan_many_wait),
    ("chan_disconnects", chan_disconnects),
    ("chan_pairs", chan_pairs),
    ("chan_tangle", chan_tangle),
    ("select_exactly_one", select_exactly_one),
];

const LONG: Duration = Duration::from_secs(3600);

/// Runs it on a plain thread or a goroutine; returns how to join it.
fn start<T: Send + 'static>(
    on_thread: bool,
    f: impl FnOnce() -> T + Send + 'static,
) -> Box<dyn FnOnce() -> T> {
    if on_thread {
        let thread = thread::spawn(f);
        Box::new(move || thread.join().unwrap())
    } else {
        let goroutine = corio::spawn(f);
        Box::new(move || goroutine.join().unwrap())
    }
}

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match capacity {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    }
}

fn micros(rng: &mut Rng, limit: u64) -> Duration {
    Duration::from_micros(rng.below(limit))
}

/// Sends in a random way, until it is sent.
fn send_somehow<T>(s: &Sender<T>, mut message: T, rng: &mut Rng) {
    loop {
        message = match rng.below(5) {
            0 => match s.try_send(message) {
                Ok(()) => return,
                Err(error) => {
                    corio::yield_now();
                    error.into_inner()
                }
            },
            1 => match s.send_timeout(message, micros(rng, 200)) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            },
            2 => {
                let never = channel::never::<()>();
                return select! {
                    recv(never) -> _ => unreachable!(),
                    send(s, message) -> sent => assert!(sent.is_ok()),
                };
            }
            _ => return assert!(s.send(message).is_ok()),
        }
    }
}

/// Receives in a random way, until there is something, or nobody sends any more.
fn recv_somehow<T>(r: &Receiver<T>, rng: &mut Rng) -> Option<T> {
    loop {
        match rng.below(5) {
            0 => match r.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => corio::yield_now(),
            },
            1 => match r.recv_timeout(micros(rng, 200)) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            },
            2 => {
                let never = channel::never::<()>();
                return select! {
                    recv(r) -> m => m.ok(),
                    recv(never) -> _ => unreachable!(),
                };
            }
            _ => return r.recv().ok(),
        }
    }
}

/// Many to many, in every way, in every mixture; each message is dropped once.
fn chan_mixed(_: &[String]) {
    const MESSAGES: usize = 400;
    for capacity in [Some(0), Some(1), Some(7), None] {
        for (senders, receivers) in [(1, 1), (1, 6), (6, 1), (6, 6)] {
            let drops = Drops::new();
            let (s, r) = make::<(usize, usize, Token)>(capacity);
            let sending: Vec<_> = (0..senders)
                .map(|id| {
                    let (s, mut rng) = (s.clone(), Rng::new(id as u64));
                    start(id % 3 == 2, move || {
                        for n in 0..MESSAGES {
                            send_somehow(&s, (id, n, drops.token()), &mut rng);
                        }
                    })
                })
                .collect();
            drop(s);
            let receiving: Vec<_> = (0..receivers)
                .map(|id| {
                    let (r, mut rng) = (r.clone(), Rng::new(100 + id as u64));
                    start(id % 3 == 1, move || {
                        let mut next = vec![0; senders];
                        let mut count = 0;
                        while let Some((sender, n, _token)) = recv_somehow(&r, &mut rng) {
                            assert!(n >= next[sender], "out of order, or twice");
                            next[sender] = n + 1;
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            sending.into_iter().for_each(|join| join());
            let received: usize = receiving.into_iter().map(|join| join()).sum();
            assert_eq!(received, senders * MESSAGES);
            assert_eq!(drops.count(), received);
        }
    }
    yield_until(|| corio::num_goroutines() == 0);
}

/// Thousands of goroutines wait, on a handful of threads; all of them are woken.
fn chan_many_wait(_: &[String]) {
    const WAITING: usize = 4000;
    let all_wait = || {
        wait_until("all waiting", || {
            corio::metrics().goroutines.waiting == WAITING
        });
        // Each goroutine that blocked a thread would have kept one.
        assert!(threads().len() < 200, "{} threads", threads().len());
    };
    let (s, r) = channel::bounded::<usize>(0);
    let receivers: Vec<_> = (0..WAITING)
        .map(|n| {
            let r = r.clone();
            corio::spawn(move || match n % 3 {
                0 => r.recv().ok(),
                1 => r.recv_timeout(LONG).ok(),
                _ => select! { recv(r) -> m => m.ok() },
            })
        })
        .collect();
    all_wait();
    (0..WAITING / 2).for_each(|n| s.send(n).unwrap());
    drop(s);
    let mut got: Vec<_> = receivers
        .into_iter()
        .filter_map(|g| g.join().unwrap())
        .collect();
    got.sort_unstable();
    assert!(got.into_iter().eq(0..WAITING / 2));

    let (s, r) = channel::bounded::<usize>(0);
    let senders: Vec<_> = (0..WAITING)
        .map(|n| {
            let s = s.clone();
            corio::spawn(move || match n % 3 {
                0 => s.send(n).is_ok(),
                1 => s.send_timeout(n, LONG).is_ok(),
                _ => select! { send(s, n) -> sent => sent.is_ok() },
            })
        })
        .collect();
    all_wait();
    let mut got: Vec<_> = r.iter().take(WAITING / 2).collect();
    drop(r);
    let mut sent: Vec<_> = (0..)
        .zip(senders)
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|(n, g)| g.join().unwrap().then_some(n))
        .collect();
    got.sort_unstable();
    sent.sort_unstable();
    assert_eq!(got, sent);
    assert_eq!(corio::num_goroutines(), 0);
}

/// Sides go at random moments, while others wait in every way.
fn chan_disconnects(_: &[String]) {
    let mut rng = Rng::new(5);
    for round in 0..300 {
        let capacity = [Some(0), Some(1), Some(4), None][round % 4];
        let (s, r) = make::<u64>(capacity);
        let (sent, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let users: Vec<_> = (0..8)
            .map(|n| {
                let mut rng = Rng::new(rng.next());
                let limit = rng.below(20);
                let on_thread = n >= 6;
                if n % 2 == 0 {
                    let (s, sent) = (s.clone(), Arc::clone(&sent));
                    start(on_thread, move || {
                        for n in 0..limit {
                            let done = match rng.below(3) {
                                0 => s.send(n).is_ok(),
                                1 => s.send_timeout(n, LONG).is_ok(),
                                _ => select! { send(s, n) -> sent => sent.is_ok() },
                            };
                            if !done {
                                break;
                            }
                            sent.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                } else {
                    let (r, received) = (r.clone(), Arc::clone(&received));
                    start(on_thread, move || {
                        for _ in 0..limit {
                            if recv_somehow(&r, &mut rng).is_none() {
                                break;
                            }
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                }
            })
            .collect();
        let keep = (rng.below(2) == 0).then(|| r.clone());
        drop((s, r));
        // A receiver that is kept must be emptied, or senders wait for good.
        let left = keep.map_or(0, |r| r.iter().count());
        users.into_iter().for_each(|join| join());
        let (sent, received) = (sent.load(Ordering::SeqCst), received.load(Ordering::SeqCst));
        // What was in the channel when the last receiver went is lost.
        assert!(received + left <= sent);
    }
    yield_until(|| corio::num_goroutines() == 0);
}

/// There and back, between goroutines, between threads, and across.
fn chan_pairs(_: &[String]) {
    for capacity in [Some(0), Some(1), None] {
        for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
            let ((s1, r1), (s2, r2)) = (make(capacity), make(capacity));
            let first = start(a, move || {
                for n in 0..1000 {
                    s1.send(n).unwrap();
                    assert_eq!(r2.recv(), Ok(n + 1));
                }
            });
            let second = start(b, move || r1.iter().for_each(|n| s2.send(n + 1).unwrap()));
            first();
            second();
        }
    }
}

// --- selects --------------------------------------------------------------------------------------

const CHANNELS: usize = 4;

/// What the workers of a tangle share.
struct Tangle {
    channels: [(Sender<u64>, Receiver<u64>); CHANNELS],
    /// Disconnected when it is enough.
    done: Receiver<()>,
    operations: AtomicUsize,
}

/// What the one arm that ran did.
#[derive(Debug, PartialEq)]
enum Ran {
    Sent,
    Received(u64),
    Nothing,
    Done,
}

impl Tangle {
    /// One select over some channels, in one of several ways.
    fn select(&self, message: u64, rng: &mut Rng) -> Ran {
        let pick = |rng: &mut Rng| &self.channels[rng.below(CHANNELS as u64) as usize];
        let ((s1, r1), (s2, r2)) = (pick(rng), pick(rng));
        let done = &self.done;
        match rng.below(7) {
            0 => select! {
                send(s1, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
                recv(r2) -> m => Ran::Received(m.unwrap()),
                recv(done) -> _ => Ran::Done,
            },
            1 => select! {
                recv(r1) -> m => Ran::Received(m.unwrap()),
                send(s1, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
                recv(r2) -> m => Ran::Received(m.unwrap()),
                send(s2, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
                recv(done) -> _ => Ran::Done,
            },
            2 => select! {
                send(s1, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
                recv(r2) -> m => Ran::Received(m.unwrap()),
                default => {
                    corio::yield_now();
                    Ran::Nothing
                }
            },
            3 => select! {
                send(s1, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
                recv(r1) -> m => Ran::Received(m.unwrap()),
                default(micros(rng, 100)) => Ran::Nothing,
            },
            4 => select_biased! {
                recv(done) -> _ => Ran::Done,
                recv(r1) -> m => Ran::Received(m.unwrap()),
                send(s2, message) -> sent => sent.map(|()| Ran::Sent).unwrap(),
            },
            5 => self.select_all(message),
            _ => self.ready(message),
        }
    }

    /// All arms of all channels: more than lie on the stack.
    fn select_all(&self, message: u64) -> Ran {
        let mut select = Select::new();
        for (s, r) in &self.channels {
            select.send(s);
            select.recv(r);
        }
        let done = select.recv(&self.done);
        let operation = select.select();
        let index = operation.index();
        if index == done {
            operation.recv(&self.done).unwrap_err();
            return Ran::Done;
        }
        let (s, r) = &self.channels[index / 2];
        if index.is_multiple_of(2) {
            operation.send(s, message).unwrap();
            Ran::Sent
        } else {
            Ran::Received(operation.recv(r).unwrap())
        }
    }

    /// Learns what is ready, and tries it.
    fn ready(&self, message: u64) -> Ran {
        let mut select = Select::new();
        for (s, r) in &self.channels {
            select.send(s);
            select.recv(r);
        }
        let done = select.recv(&self.done);
        let index = select.ready();
        if index == done {
            return Ran::Done;
        }
        let (s, r) = &self.channels[index / 2];
        if index.is_multiple_of(2) {
            s.try_send(message).map_or(Ran::Nothing, |()| Ran::Sent)
        } else {
            r.try_recv().map_or(Ran::Nothing, Ran::Received)
        }
    }

    /// Selects until it is enough; returns what it sent and received.
    fn work(&self, id: u64) -> (Vec<u64>, Vec<u64>) {
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut rng = Rng::new(id);
        loop {
            let message = id << 32 | sent.len() as u64;
            match self.select(message, &mut rng) {
                Ran::Sent => sent.push(message),
                Ran::Received(m) => received.push(m),
                Ran::Nothing => {
                    // Those ways don't look at `done`.
                    if self.done.try_recv() == Err(TryRecvError::Disconnected) {
                        break;
                    }
                    continue;
                }
                Ran::Done => break,
            }
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        (sent, received)
    }
}

/// Runs a tangle, and demands that everything sent was received once, or is left.
fn tangle(capacity: Option<usize>, goroutines: u64, threads: u64, operations: usize) {
    let (enough, done) = channel::bounded(0);
    let tangle = Arc::new(Tangle {
        channels: [(); CHANNELS].map(|()| make(capacity)),
        done,
        operations: AtomicUsize::new(0),
    });
    let workers: Vec<_> = (1..=goroutines + threads)
        .map(|id| {
            let tangle = Arc::clone(&tangle);
            start(id > goroutines, move || tangle.work(id))
        })
        .collect();
    // Without room it can happen that everybody waits for somebody else: lend a hand.
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let mut before = 0;
    let start = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(1));
        let now = tangle.operations.load(Ordering::Relaxed);
        if now >= operations {
            break;
        }
        if now == before {
            let moment = Duration::from_micros(200);
            for (s, r) in &tangle.channels {
                received.extend(r.recv_timeout(moment));
                let message = sent.len() as u64;
                if s.send_timeout(message, moment).is_ok() {
                    sent.push(message);
                }
            }
        }
        before = now;
        assert!(
            start.elapsed() < Duration::from_secs(50),
            "only {now} operations"
        );
    }
    drop(enough);
    for join in workers {
        let (s, r) = join();
        sent.extend(s);
        received.extend(r);
    }
    for (_, r) in &tangle.channels {
        received.extend(r.try_iter());
    }
    sent.sort_unstable();
    received.sort_unstable();
    assert_eq!(sent.len(), received.len());
    assert!(sent == received, "not what was sent");
}

/// A tangle of each capacity, goroutines and threads.
fn chan_tangle(_: &[String]) {
    for capacity in [Some(0), Some(1), Some(3), None] {
        tangle(capacity, 12, 3, 5_000);
    }
}

/// A larger one: capacity, goroutines, threads, operations.
fn select_exactly_one(args: &[String]) {
    let number = |n: usize| args[n].parse().unwrap();
    tangle(
        Some(number(0)),
        number(1) as u64,
        number(2) as u64,
        number(3),
    );
    yield_until(|| corio::num_goroutines() == 0);
}
