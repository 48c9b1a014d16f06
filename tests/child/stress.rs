//! Everything at once, at random, for as long as asked for.
//!
//! Workers, goroutines and plain threads, do random steps that check their own results. A watchdog
//! thread aborts the process, after printing what the scheduler sees, when nothing has moved for
//! [`STALL`]. In the end every goroutine must have ended.

use crate::Scenario;
use corio::reactor::{self, WaitReason, timer};
use corio_tests::{Rng, gettid, wait_until};
use std::future::poll_fn;
use std::hint::black_box;
use std::panic::{catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("stress", stress)];

/// Without progress for this long something hangs.
const STALL: Duration = Duration::from_secs(20);
/// Goroutines that step; a few plain threads do, too.
const WORKERS: u64 = 48;
const THREADS: u64 = 2;

/// What the workers share.
struct Shared {
    stop: AtomicBool,
    /// Steps done.
    steps: AtomicU64,
    /// Steps by kind, and how many are under way.
    kinds: [(AtomicU64, AtomicU64); STEPS.len()],
    /// Handles to unpark at random: tokens may come any time.
    workers: std::sync::Mutex<Vec<corio::Goroutine>>,
}

type Step = fn(&mut Rng, &Shared);

/// The steps, each with a weight.
const STEPS: &[(&str, u64, Step)] = &[
    ("yield", 60, step_yield),
    ("spawn and join", 60, step_join),
    ("spawn detached", 30, step_detach),
    ("burst", 2, step_burst),
    ("sleep", 30, step_sleep),
    ("park with timeout", 30, step_park),
    ("unpark a worker", 30, step_unpark),
    ("ping-pong", 15, step_ping_pong),
    ("scope", 15, step_scope),
    ("blocking", 20, step_blocking),
    ("unannounced", 3, step_unannounced),
    ("hog", 2, step_hog),
    ("lock", 8, step_lock),
    ("future", 15, step_future),
    ("contest", 20, step_contest),
    ("panic", 3, step_panic),
    ("unwinding", 2, step_unwinding),
    ("deep", 8, step_deep),
    ("observe", 1, step_observe),
    ("set_procs", 3, step_procs),
    ("timers", 10, step_timers),
];

fn stress(args: &[String]) {
    let time = Duration::from_secs(args[0].parse().unwrap());
    let seed: u64 = args[1].parse().unwrap();
    // Expected ones are many.
    std::panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref::<Expected>().is_none() {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        steps: AtomicU64::new(0),
        kinds: [const { (AtomicU64::new(0), AtomicU64::new(0)) }; STEPS.len()],
        workers: std::sync::Mutex::default(),
    });
    let done = Arc::new(AtomicBool::new(false));
    let watchdog = {
        let (shared, done) = (Arc::clone(&shared), Arc::clone(&done));
        thread::spawn(move || watch(&shared, &done))
    };
    let work = |n: u64| {
        let shared = Arc::clone(&shared);
        move || {
            let me = corio::current();
            shared.workers.lock().unwrap().push(me);
            let mut rng = Rng::new(seed * 1000 + n);
            while !shared.stop.load(Ordering::Relaxed) {
                step(&mut rng, &shared);
            }
        }
    };
    let goroutines: Vec<_> = (0..WORKERS).map(|n| corio::spawn(work(n))).collect();
    let threads: Vec<_> = (WORKERS..WORKERS + THREADS)
        .map(|n| thread::spawn(work(n)))
        .collect();
    thread::sleep(time);
    shared.stop.store(true, Ordering::Relaxed);
    goroutines.into_iter().for_each(|h| h.join().unwrap());
    threads.into_iter().for_each(|h| h.join().unwrap());
    wait_until("detached ones end", || corio::num_goroutines() == 0);
    done.store(true, Ordering::Relaxed);
    watchdog.join().unwrap();
    let metrics = corio::metrics();
    assert_eq!(metrics.goroutines.live(), 0, "{metrics:?}");
    println!("steps: {}", shared.steps.load(Ordering::Relaxed));
    println!("take-overs: {}", metrics.totals().take_overs);
    println!("steals: {}", metrics.totals().steals);
    for ((name, ..), (count, _)) in STEPS.iter().zip(&shared.kinds) {
        println!("{name}: {}", count.load(Ordering::Relaxed));
    }
}

fn step(rng: &mut Rng, shared: &Shared) {
    let total = STEPS.iter().map(|(_, weight, _)| weight).sum();
    let mut at = rng.below(total);
    let kind = STEPS
        .iter()
        .position(|(_, weight, _)| {
            let found = at < *weight;
            at = at.wrapping_sub(*weight);
            found
        })
        .unwrap();
    let (count, under_way) = &shared.kinds[kind];
    under_way.fetch_add(1, Ordering::Relaxed);
    STEPS[kind].2(rng, shared);
    under_way.fetch_sub(1, Ordering::Relaxed);
    count.fetch_add(1, Ordering::Relaxed);
    shared.steps.fetch_add(1, Ordering::Relaxed);
}

/// Aborts when nothing moves.
fn watch(shared: &Shared, done: &AtomicBool) {
    let mut seen = (0, Instant::now());
    while !done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
        let steps = shared.steps.load(Ordering::Relaxed);
        if steps != seen.0 {
            seen = (steps, Instant::now());
        } else if seen.1.elapsed() > STALL {
            eprintln!("nothing moves after {steps} steps; under way:");
            for ((name, ..), (_, under_way)) in STEPS.iter().zip(&shared.kinds) {
                eprintln!("  {name}: {}", under_way.load(Ordering::Relaxed));
            }
            eprintln!("{:#?}", corio::metrics());
            std::process::abort();
        }
    }
}

fn micros(rng: &mut Rng, below: u64) -> Duration {
    Duration::from_micros(rng.below(below))
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box((0..200).sum::<u64>());
    }
}

fn step_yield(rng: &mut Rng, _: &Shared) {
    for _ in 0..rng.below(20) {
        corio::yield_now();
    }
}

fn step_join(rng: &mut Rng, _: &Shared) {
    let n = rng.next();
    match n % 3 {
        0 => assert_eq!(corio::spawn(move || n).join().unwrap(), n),
        1 => {
            let array = [n; 50];
            let handle = corio::spawn(move || {
                corio::yield_now();
                array
            });
            assert_eq!(handle.join().unwrap(), array);
        }
        _ => {
            let handles: Vec<_> = (0..n % 30).map(|i| corio::spawn(move || i)).collect();
            for (i, handle) in handles.into_iter().enumerate().rev() {
                assert_eq!(handle.join().unwrap(), i as u64);
            }
        }
    }
}

fn step_detach(rng: &mut Rng, _: &Shared) {
    let nap = micros(rng, 500);
    corio::spawn(move || {
        corio::yield_now();
        corio::sleep(nap);
    });
}

fn step_burst(rng: &mut Rng, _: &Shared) {
    let left = Arc::new(AtomicUsize::new(rng.below(1000) as usize + 1));
    let me = corio::current();
    for _ in 0..left.load(Ordering::Relaxed) {
        let (left, me) = (Arc::clone(&left), me.clone());
        corio::spawn(move || {
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                me.unpark();
            }
        });
    }
    while left.load(Ordering::Acquire) != 0 {
        corio::park();
    }
}

fn step_sleep(rng: &mut Rng, _: &Shared) {
    let time = micros(rng, 3000);
    let start = Instant::now();
    corio::sleep(time);
    assert!(start.elapsed() >= time);
}

fn step_park(rng: &mut Rng, _: &Shared) {
    corio::park_timeout(micros(rng, 2000));
}

fn step_unpark(rng: &mut Rng, shared: &Shared) {
    let target = {
        let workers = shared.workers.lock().unwrap();
        workers[rng.below(workers.len() as u64) as usize].clone()
    };
    target.unpark();
}

/// Two goroutines that strictly alternate.
fn step_ping_pong(rng: &mut Rng, _: &Shared) {
    let rounds = rng.below(50) as usize;
    let turn = Arc::new(AtomicUsize::new(0));
    let me = corio::current();
    let theirs = Arc::clone(&turn);
    let other = corio::spawn(move || {
        for round in 0..rounds {
            while theirs.load(Ordering::Acquire) != 2 * round + 1 {
                corio::park();
            }
            theirs.store(2 * round + 2, Ordering::Release);
            me.unpark();
        }
    });
    for round in 0..rounds {
        turn.store(2 * round + 1, Ordering::Release);
        other.goroutine().unpark();
        while turn.load(Ordering::Acquire) != 2 * round + 2 {
            corio::park();
        }
    }
    other.join().unwrap();
}

fn step_scope(rng: &mut Rng, _: &Shared) {
    let mut numbers = [0; 6];
    let nap = micros(rng, 300);
    corio::scope(|s| {
        for (n, number) in numbers.iter_mut().enumerate() {
            s.spawn(move || {
                if n % 2 == 0 {
                    corio::yield_now();
                } else {
                    corio::sleep(nap);
                }
                *number = n + 1;
            });
        }
    });
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

fn step_blocking(rng: &mut Rng, _: &Shared) {
    let time = micros(rng, 2000);
    let nested = rng.below(4) == 0;
    corio::blocking(|| {
        thread::sleep(time);
        if nested {
            corio::blocking(|| thread::sleep(time));
            corio::yield_now();
        }
    });
}

fn step_unannounced(rng: &mut Rng, _: &Shared) {
    thread::sleep(micros(rng, 20_000));
}

fn step_hog(rng: &mut Rng, _: &Shared) {
    spin(micros(rng, 30_000));
}

/// With a limit on threads: no step that keeps one while it waits, or all of them might.
fn binds_no_thread() -> bool {
    std::env::var_os("CORIO_MAX_THREADS").is_some()
}

fn step_lock(rng: &mut Rng, _: &Shared) {
    if binds_no_thread() {
        return;
    }
    let forget = rng.below(4) == 0;
    let nap = micros(rng, 500);
    let hog = rng.below(20) == 0;
    let locked = move || {
        let lock = corio::lock_os_thread();
        let here = gettid();
        corio::yield_now();
        assert_eq!(gettid(), here);
        if hog {
            spin(Duration::from_millis(25));
        }
        corio::sleep(nap);
        assert_eq!(gettid(), here);
        corio::blocking(|| thread::sleep(nap));
        assert_eq!(gettid(), here);
        if forget {
            std::mem::forget(lock);
        }
    };
    // Forgotten it ends with its goroutine, which takes the thread along.
    corio::spawn(locked).join().unwrap();
}

fn step_future(rng: &mut Rng, _: &Shared) {
    let mut left = rng.below(10);
    corio::block_on(poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        let waker = cx.waker().clone();
        corio::spawn(move || waker.wake());
        Poll::Pending
    }));
}

/// A wait that goroutines and a timer compete to end: one of them does.
fn step_contest(rng: &mut Rng, _: &Shared) {
    let (tx, rx) = mpsc::channel();
    let racers = rng.below(4);
    // SAFETY: it is parked for, or claimed and cancelled, below.
    let token = unsafe { reactor::begin() };
    for n in 0..racers {
        let tx = tx.clone();
        corio::spawn(move || {
            if n % 2 == 1 {
                corio::yield_now();
            }
            if let Some(waiter) = token.claim() {
                tx.send(()).unwrap();
                waiter.ready();
            }
        });
    }
    let when = timer::now() + rng.below(300_000);
    let (arg, seq) = token.into_words();
    let id = timer::add(when, fire, arg, seq);
    reactor::park(WaitReason::Io, 0);
    assert!(!token.is_open());
    assert!(token.claim().is_none());
    let by_timer = !timer::cancel(id);
    drop(tx);
    let wins = rx.try_iter().count();
    assert!(wins <= 1, "{wins} claims of one wait");
    assert!(wins == 1 || by_timer, "woken by nobody");
}

fn fire(arg: usize, seq: u64, ready: &mut reactor::ReadyList) {
    // SAFETY: the words of a token.
    if let Some(waiter) = unsafe { reactor::WaitToken::from_words(arg, seq) }.claim() {
        ready.push(waiter);
    }
}

/// The payload of panics that belong to the test.
struct Expected;

fn step_panic(rng: &mut Rng, _: &Shared) {
    if rng.below(2) == 0 {
        let caught = catch_unwind(|| {
            corio::yield_now();
            panic_any(Expected)
        });
        caught.unwrap_err();
    } else {
        corio::spawn(|| panic_any(Expected)).join().unwrap_err();
    }
    assert!(!thread::panicking());
}

/// A destructor that blocks while its goroutine unwinds.
fn step_unwinding(rng: &mut Rng, _: &Shared) {
    struct Sleeps(Duration);
    impl Drop for Sleeps {
        fn drop(&mut self) {
            corio::sleep(self.0);
            corio::spawn(corio::yield_now).join().unwrap();
            assert!(thread::panicking());
        }
    }
    if binds_no_thread() {
        return;
    }
    let nap = micros(rng, 500);
    let handle = corio::spawn(move || {
        let _sleeps = Sleeps(nap);
        panic_any(Expected)
    });
    handle.join().unwrap_err();
    assert!(!thread::panicking());
}

/// Something far down a stack survives a wait.
fn step_deep(rng: &mut Rng, _: &Shared) {
    #[inline(never)]
    fn deep(depth: u64, nap: Duration) -> u64 {
        let frame = black_box([depth; 16]);
        if depth == 0 {
            corio::sleep(nap);
            return 0;
        }
        let below = deep(depth - 1, nap);
        assert!(frame.iter().all(|&n| n == depth));
        below + 1
    }
    let (depth, nap) = (rng.below(100), micros(rng, 150_000));
    corio::spawn(move || assert_eq!(deep(depth, nap), depth));
}

fn step_observe(_: &mut Rng, _: &Shared) {
    black_box(corio::metrics());
    black_box(corio::num_goroutines());
}

fn step_procs(rng: &mut Rng, _: &Shared) {
    // Fixed by the test with CORIO_PROCS, unless it asks for changes.
    if std::env::var_os("STRESS_SET_PROCS").is_some() {
        corio::set_procs(1 + rng.below(8) as usize);
    }
}

/// Timers added and cancelled, by whoever holds which P.
fn step_timers(rng: &mut Rng, _: &Shared) {
    fn nothing(_: usize, _: u64, _: &mut reactor::ReadyList) {}
    let ids: Vec<_> = (0..20)
        .map(|_| timer::add(timer::now() + rng.below(2_000_000), nothing, 0, 0))
        .collect();
    corio::yield_now();
    for id in ids.into_iter().step_by(2) {
        timer::cancel(id);
    }
}
