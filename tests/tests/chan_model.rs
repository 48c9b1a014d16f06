//! Channels against a model, with random operations.
//!
//! One at a time, a channel behaves as a queue with a capacity and two counts of handles: every
//! operation that does not wait is made on the channel and on the model, and must come out the same.
//! At once, by any number of goroutines and threads, what is left of that is: each receiver sees each
//! sender's messages in order; nothing is lost, nothing comes twice; the channel never holds more than it
//! may.

mod chan_support;

use chan_support::{SIDES, Side};
use corio::channel::{
    self, Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError,
    select,
};
use corio_tests::{Rng, watchdog_for};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match capacity {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    }
}

fn capacities() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), (0..6_usize).prop_map(Some)]
}

// --- one at a time ------------------------------------------------------------------------------------

/// How to send, or receive, without waiting.
#[derive(Clone, Copy, Debug)]
enum How {
    Try,
    NoTime,
    PastDeadline,
    SelectTry,
    SelectNoTime,
    Macro,
    /// Asking first whether it is ready.
    Ready,
    /// Waiting, if the model says that it need not wait.
    Wait,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(How),
    Recv(How),
    /// A select over both ends.
    Both,
    TakeAll,
    Take(usize),
    CloneSender,
    DropSender,
    CloneReceiver,
    DropReceiver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use How::{Macro, NoTime, PastDeadline, Ready, SelectNoTime, SelectTry, Try, Wait};
    let how = prop::sample::select(vec![
        Try,
        NoTime,
        PastDeadline,
        SelectTry,
        SelectNoTime,
        Macro,
        Ready,
        Wait,
    ]);
    let step = prop_oneof![
        12 => how.clone().prop_map(Step::Send),
        10 => how.prop_map(Step::Recv),
        3 => Just(Step::Both),
        1 => Just(Step::TakeAll),
        2 => (0..4_usize).prop_map(Step::Take),
        1 => Just(Step::CloneSender),
        1 => Just(Step::DropSender),
        1 => Just(Step::CloneReceiver),
        1 => Just(Step::DropReceiver),
    ];
    vec(step, 1..120)
}

/// A message that the test can count.
type Message = (u32, Arc<()>);

/// The channel, and what it should be.
struct Pair {
    senders: Vec<Sender<Message>>,
    receivers: Vec<Receiver<Message>>,
    queue: VecDeque<u32>,
    capacity: Option<usize>,
    next: u32,
    /// Its count of owners is that of messages, and one.
    alive: Arc<()>,
}

#[derive(Debug, PartialEq)]
enum Sent {
    Yes,
    Full,
    Closed,
}

#[derive(Debug, PartialEq)]
enum Got {
    Message(u32),
    Empty,
    Closed,
}

fn back<T>(error: channel::SendError<T>) -> Sent {
    drop(error);
    Sent::Closed
}

impl Pair {
    fn expected_send(&self) -> Sent {
        if self.receivers.is_empty() {
            Sent::Closed
        } else if self
            .capacity
            .is_some_and(|capacity| self.queue.len() >= capacity)
        {
            Sent::Full
        } else {
            Sent::Yes
        }
    }

    fn expected_recv(&self) -> Got {
        match self.queue.front() {
            Some(&n) => Got::Message(n),
            None if self.senders.is_empty() => Got::Closed,
            None => Got::Empty,
        }
    }

    fn send(&mut self, how: How) {
        let expected = self.expected_send();
        let Some(s) = self.senders.last() else {
            return;
        };
        let message = (self.next, Arc::clone(&self.alive));
        let timed = |result| match result {
            Ok(()) => Sent::Yes,
            Err(SendTimeoutError::Timeout(_)) => Sent::Full,
            Err(SendTimeoutError::Disconnected(_)) => Sent::Closed,
        };
        let tried = |result| match result {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(_)) => Sent::Full,
            Err(TrySendError::Disconnected(_)) => Sent::Closed,
        };
        let mut select = Select::new();
        select.send(s);
        let sent = match how {
            How::Wait if expected != Sent::Full => {
                s.send(message).map_or_else(back, |()| Sent::Yes)
            }
            How::Try | How::Wait => tried(s.try_send(message)),
            How::NoTime => timed(s.send_timeout(message, Duration::ZERO)),
            How::PastDeadline => timed(s.send_deadline(message, Instant::now())),
            How::SelectTry => match select.try_select() {
                Ok(chosen) => chosen.send(s, message).map_or_else(back, |()| Sent::Yes),
                Err(_) => Sent::Full,
            },
            How::SelectNoTime => match select.select_timeout(Duration::ZERO) {
                Ok(chosen) => chosen.send(s, message).map_or_else(back, |()| Sent::Yes),
                Err(_) => Sent::Full,
            },
            How::Macro => select! {
                send(s, message) -> sent => sent.map_or_else(back, |()| Sent::Yes),
                default => Sent::Full,
            },
            How::Ready => match select.try_ready() {
                Ok(0) => {
                    let sent = tried(s.try_send(message));
                    assert_ne!(sent, Sent::Full);
                    sent
                }
                Ok(_) => unreachable!(),
                Err(_) => Sent::Full,
            },
        };
        assert_eq!(sent, expected, "{how:?}");
        if sent == Sent::Yes {
            self.queue.push_back(self.next);
        }
        self.next += 1;
    }

    fn recv(&mut self, how: How) {
        let expected = self.expected_recv();
        let Some(r) = self.receivers.last() else {
            return;
        };
        let timed = |result| match result {
            Ok((n, _)) => Got::Message(n),
            Err(RecvTimeoutError::Timeout) => Got::Empty,
            Err(RecvTimeoutError::Disconnected) => Got::Closed,
        };
        let tried = |result| match result {
            Ok((n, _)) => Got::Message(n),
            Err(TryRecvError::Empty) => Got::Empty,
            Err(TryRecvError::Disconnected) => Got::Closed,
        };
        let waited =
            |result: Result<Message, _>| result.map_or(Got::Closed, |(n, _)| Got::Message(n));
        let mut select = Select::new();
        select.recv(r);
        let got = match how {
            How::Wait if expected != Got::Empty => waited(r.recv()),
            How::Try | How::Wait => tried(r.try_recv()),
            How::NoTime => timed(r.recv_timeout(Duration::ZERO)),
            How::PastDeadline => timed(r.recv_deadline(Instant::now())),
            How::SelectTry => match select.try_select() {
                Ok(chosen) => waited(chosen.recv(r)),
                Err(_) => Got::Empty,
            },
            How::SelectNoTime => match select.select_timeout(Duration::ZERO) {
                Ok(chosen) => waited(chosen.recv(r)),
                Err(_) => Got::Empty,
            },
            How::Macro => select! {
                recv(r) -> m => waited(m),
                default => Got::Empty,
            },
            How::Ready => match select.try_ready() {
                Ok(0) => {
                    let got = tried(r.try_recv());
                    assert_ne!(got, Got::Empty);
                    got
                }
                Ok(_) => unreachable!(),
                Err(_) => Got::Empty,
            },
        };
        assert_eq!(got, expected, "{how:?}");
        self.queue.pop_front();
    }

    /// Both are ready, one, or none; whichever runs must be right.
    fn both(&mut self) {
        let (sends, recvs) = (self.expected_send(), self.expected_recv());
        let (Some(s), Some(r)) = (self.senders.last(), self.receivers.last()) else {
            return;
        };
        let message = (self.next, Arc::clone(&self.alive));
        select! {
            send(s, message) -> sent => {
                assert_eq!(sent.map_or_else(back, |()| Sent::Yes), sends);
                if sends == Sent::Yes {
                    self.queue.push_back(self.next);
                }
            }
            recv(r) -> m => {
                assert_eq!(m.map_or(Got::Closed, |(n, _)| Got::Message(n)), recvs);
                self.queue.pop_front();
            }
            default => assert_eq!((sends, recvs), (Sent::Full, Got::Empty)),
        }
        self.next += 1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(how) => self.send(how),
            Step::Recv(how) => self.recv(how),
            Step::Both => self.both(),
            Step::TakeAll | Step::Take(_) => {
                let limit = match step {
                    Step::Take(n) => n,
                    _ => usize::MAX,
                };
                if let Some(r) = self.receivers.last() {
                    let taken: Vec<_> = r.try_iter().take(limit).map(|(n, _)| n).collect();
                    let count = limit.min(self.queue.len());
                    assert_eq!(taken, self.queue.drain(..count).collect::<Vec<_>>());
                }
            }
            Step::CloneSender => self.senders.extend(self.senders.last().cloned()),
            Step::DropSender => drop(self.senders.pop()),
            Step::CloneReceiver => self.receivers.extend(self.receivers.last().cloned()),
            Step::DropReceiver => {
                self.receivers.pop();
                if self.receivers.is_empty() {
                    self.queue.clear();
                }
            }
        }
    }

    /// What can be seen from outside is what the model says.
    fn check(&self) {
        let len = self.queue.len();
        let full = self.capacity.is_some_and(|capacity| len >= capacity);
        assert_eq!(Arc::strong_count(&self.alive), 1 + len, "messages alive");
        for s in &self.senders {
            let seen = (s.len(), s.is_empty(), s.is_full(), s.capacity());
            assert_eq!(seen, (len, len == 0, full, self.capacity));
        }
        for r in &self.receivers {
            let seen = (r.len(), r.is_empty(), r.is_full(), r.capacity());
            assert_eq!(seen, (len, len == 0, full, self.capacity));
        }
    }
}

fn follow(capacity: Option<usize>, steps: Vec<Step>) {
    let (s, r) = make(capacity);
    let mut pair = Pair {
        senders: vec![s],
        receivers: vec![r],
        queue: VecDeque::new(),
        capacity,
        next: 0,
        alive: Arc::new(()),
    };
    pair.check();
    for step in steps {
        pair.step(step);
        pair.check();
    }
    pair.senders.clear();
    pair.receivers.clear();
    assert_eq!(Arc::strong_count(&pair.alive), 1);
}

// --- at once ------------------------------------------------------------------------------------------

/// Some run of many on one channel.
#[derive(Clone, Debug)]
struct Plan {
    capacity: Option<usize>,
    senders: Vec<(bool, usize)>,
    receivers: Vec<bool>,
    seed: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    (
        capacities(),
        vec((any::<bool>(), 0..200_usize), 1..8),
        vec(any::<bool>(), 1..8),
        any::<u64>(),
    )
        .prop_map(|(capacity, senders, receivers, seed)| Plan {
            capacity,
            senders,
            receivers,
            seed,
        })
}

fn side(on_thread: bool) -> Side {
    SIDES[usize::from(on_thread)]
}

/// Sends in some way, until it is sent.
fn send<T>(s: &Sender<T>, mut message: T, rng: &mut Rng) {
    loop {
        let result = match rng.below(6) {
            0 => s.try_send(message).map_err(TrySendError::into_inner),
            1 => s
                .send_timeout(message, Duration::from_micros(rng.below(100)))
                .map_err(SendTimeoutError::into_inner),
            2 => {
                let never = channel::never::<()>();
                select! {
                    send(s, message) -> sent => sent.map_err(channel::SendError::into_inner),
                    recv(never) -> _ => unreachable!(),
                }
            }
            _ => s.send(message).map_err(channel::SendError::into_inner),
        };
        match result {
            Ok(()) => return,
            Err(message_back) => message = message_back,
        }
        corio::yield_now();
    }
}

/// Receives in some way; `None`: the end.
fn recv<T>(r: &Receiver<T>, rng: &mut Rng) -> Option<T> {
    loop {
        match rng.below(6) {
            0 => match r.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            },
            1 => match r.recv_timeout(Duration::from_micros(rng.below(100))) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            },
            2 => {
                let never = channel::never::<()>();
                return select! { recv(r) -> m => m.ok(), recv(never) -> _ => unreachable!() };
            }
            _ => return r.recv().ok(),
        }
        corio::yield_now();
    }
}

fn run(plan: &Plan) {
    let (s, r) = make::<(usize, usize)>(plan.capacity);
    let mut rng = Rng::new(plan.seed);
    let senders: Vec<_> = plan
        .senders
        .iter()
        .enumerate()
        .map(|(id, &(on_thread, count))| {
            let (s, mut rng) = (s.clone(), Rng::new(rng.next()));
            side(on_thread).spawn(move || {
                for n in 0..count {
                    send(&s, (id, n), &mut rng);
                    assert!(s.capacity().is_none_or(|capacity| s.len() <= capacity));
                }
            })
        })
        .collect();
    drop(s);
    let count = plan.senders.len();
    let receivers: Vec<_> = plan
        .receivers
        .iter()
        .map(|&on_thread| {
            let (r, mut rng) = (r.clone(), Rng::new(rng.next()));
            side(on_thread).spawn(move || {
                let mut seen = vec![Vec::new(); count];
                while let Some((sender, n)) = recv(&r, &mut rng) {
                    assert!(seen[sender].last() < Some(&n), "out of order");
                    seen[sender].push(n);
                }
                seen
            })
        })
        .collect();
    drop(r);
    senders.into_iter().for_each(|task| task.result());
    let mut all = vec![Vec::new(); count];
    for receiver in receivers {
        for (sender, mut seen) in receiver.result().into_iter().enumerate() {
            all[sender].append(&mut seen);
        }
    }
    for (mut seen, &(_, count)) in all.into_iter().zip(&plan.senders) {
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..count), "lost, or twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn chan_is_the_model(capacity in capacities(), steps in steps(), on_thread: bool) {
        side(on_thread).run(move || follow(capacity, steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn chan_many_at_once(plan in plans()) {
        let _dog = watchdog_for(Duration::from_secs(120));
        run(&plan);
    }
}
