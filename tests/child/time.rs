//! Timers by the million, and at the limits.

use crate::Scenario;
use corio::context::{self, Context};
use corio::time::{FuncTimer, Ticker, Timer, after_func};
use corio_tests::{Drops, Rng, proc_number, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("time_idle", time_idle),
    ("time_pending", time_pending),
    ("time_burst", time_burst),
    ("time_storm", time_storm),
    ("time_no_room", time_no_room),
    ("time_deadlock", time_deadlock),
    ("time_no_deadlock", time_no_deadlock),
    ("context_many", context_many),
    ("context_quiet", context_quiet),
];

const HOUR: Duration = Duration::from_secs(3600);

fn rss() -> u64 {
    proc_number("/proc/self/status", "VmRSS")
}

fn pending() -> usize {
    corio::metrics().procs.iter().map(|p| p.timers).sum()
}

fn number(args: &[String], at: usize) -> usize {
    args[at].parse().unwrap()
}

/// Timers and tickers that nobody waits for.
fn time_idle(_: &[String]) {
    corio::spawn(|| ()).join().unwrap();
    let all: Vec<_> = (0..10_000)
        .map(|n| {
            let time = Duration::from_micros(n + 1);
            (Timer::new(time), Ticker::new(time))
        })
        .collect();
    for (timer, ticker) in &all {
        timer.reset(HOUR);
        ticker.reset(HOUR);
    }
    assert_eq!(pending(), 0);
    assert_eq!(corio::num_goroutines(), 0);
    drop(all);
    // One that was waited for is gone as well, once nobody waits any more.
    let timer = Timer::new(HOUR);
    assert!(
        timer
            .channel()
            .recv_timeout(Duration::from_millis(1))
            .is_err()
    );
    assert_eq!(pending(), 0);
}

/// Calls planned for later.
fn time_pending(args: &[String]) {
    let n = number(args, 0);
    let called = Arc::new(AtomicUsize::new(0));
    corio::spawn(|| ()).join().unwrap();
    // Made and touched before the first look.
    let mut timers: Vec<Option<FuncTimer>> = vec![None; n];
    let before = rss();
    for timer in &mut timers {
        let called = Arc::clone(&called);
        *timer = Some(after_func(HOUR, move || {
            called.fetch_add(1, Ordering::Relaxed);
        }));
    }
    println!("bytes each: {}", (rss() - before) * 1024 / n as u64);
    assert_eq!(pending(), n);
    assert_eq!(corio::num_goroutines(), 0);
    assert!(timers.iter().flatten().all(FuncTimer::stop));
    assert_eq!(pending(), 0);
    assert_eq!(Arc::strong_count(&called), n + 1);
    drop(timers);
    assert_eq!(Arc::strong_count(&called), 1);
    assert_eq!(called.load(Ordering::Relaxed), 0);
}

/// Calls that are all due within a few milliseconds.
fn time_burst(args: &[String]) {
    let n = number(args, 0);
    let spawned = corio::metrics().totals().spawned;
    let called = Arc::new(AtomicUsize::new(0));
    for i in 0..n {
        let called = Arc::clone(&called);
        after_func(Duration::from_micros(i as u64 % 5000), move || {
            called.fetch_add(1, Ordering::Relaxed);
        });
    }
    wait_until("all called", || called.load(Ordering::Relaxed) == n);
    wait_until("all ended", || corio::num_goroutines() == 0);
    assert_eq!(corio::metrics().totals().spawned - spawned, n as u64);
    wait_until("all dropped", || Arc::strong_count(&called) == 1);
}

/// Planned calls that are set anew all the time, from several goroutines and threads.
fn time_storm(args: &[String]) {
    let (n, rounds) = (number(args, 0), number(args, 1));
    let called = Arc::new(AtomicUsize::new(0));
    let timers: Arc<Vec<FuncTimer>> = Arc::new(
        (0..n)
            .map(|_| {
                let called = Arc::clone(&called);
                after_func(HOUR, move || {
                    called.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect(),
    );
    let storm = |seed: u64| {
        let timers = Arc::clone(&timers);
        move || {
            let mut rng = Rng::new(seed);
            let mut most = 0;
            for round in 0..rounds {
                for timer in timers.iter() {
                    match rng.below(8) {
                        0 => _ = timer.stop(),
                        1..4 => _ = timer.reset(HOUR - Duration::from_secs(rng.below(3000))),
                        _ => _ = timer.reset(2 * HOUR + Duration::from_secs(round as u64)),
                    }
                }
                most = most.max(pending());
            }
            most
        }
    };
    // The first round fills the heaps.
    let mut most = storm(1)();
    let before = rss();
    let threads = std::thread::spawn(storm(2));
    let goroutine = corio::spawn(storm(3));
    most = most
        .max(threads.join().unwrap())
        .max(goroutine.join().unwrap());
    println!("timers at most: {most}");
    println!("KiB grown: {}", rss().saturating_sub(before));
    // One timer, set anew for ever.
    for round in 0..1_000_000 {
        timers[0].reset(if round % 2 == 0 { HOUR } else { 2 * HOUR });
        timers[1].reset(HOUR);
    }
    assert!(rss().saturating_sub(before) < 16 * 1024);
    assert_eq!(called.load(Ordering::Relaxed), 0);
    for timer in timers.iter() {
        timer.reset(Duration::ZERO);
    }
    wait_until("all called", || called.load(Ordering::Relaxed) == n);
}

/// As many goroutines as there may be, when calls are due.
fn time_no_room(_: &[String]) {
    let parked: Vec<_> = (0..100).map(|_| corio::spawn(corio::park)).collect();
    let (called, drops) = (Arc::new(AtomicUsize::new(0)), Drops::new());
    let count = |time| {
        let (called, token) = (Arc::clone(&called), drops.token());
        after_func(time, move || {
            let _captured = &token;
            called.fetch_add(1, Ordering::Relaxed);
        })
    };
    let timers: Vec<_> = (0..50)
        .map(|n| count(Duration::from_millis(n % 3)))
        .collect();
    let (ctx, cancel) = Context::background().with_cancel();
    let (timed, _cancel) = ctx.with_timeout(Duration::from_millis(1));
    for _ in 0..50 {
        let (called, token) = (Arc::clone(&called), drops.token());
        context::after_func(&ctx, move || {
            let _captured = &token;
            called.fetch_add(1, Ordering::Relaxed);
        });
    }
    // Until they all are due.
    let due = Instant::now() + Duration::from_millis(10);
    wait_until("time passes", || Instant::now() > due);
    cancel.cancel();
    assert!(timed.err().is_some());
    assert_eq!(called.load(Ordering::Relaxed), 0);
    parked.iter().for_each(|h| h.goroutine().unpark());
    parked.into_iter().for_each(|h| h.join().unwrap());
    wait_until("all called", || called.load(Ordering::Relaxed) == 100);
    drop(timers);
    wait_until("all dropped", || drops.count() == 100);
    // The deadline's timer has come to nothing, but not before it got a goroutine.
    wait_until("none left", || {
        pending() == 0 && corio::num_goroutines() == 0
    });
}

fn time_deadlock(_: &[String]) {
    corio::run(|| {
        let timer = after_func(HOUR, || ());
        let (ctx, cancel) = Context::background().with_timeout(HOUR);
        timer.stop();
        cancel.cancel();
        assert!(ctx.done().recv().is_err());
        corio::park();
    });
}

fn time_no_deadlock(_: &[String]) {
    corio::run(|| {
        let me = corio::current();
        after_func(Duration::from_millis(500), move || me.unpark());
        corio::park();
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(500));
        assert!(ctx.done().recv().is_err());
    });
}

/// Contexts of one parent that come and go.
fn context_many(args: &[String]) {
    let n = number(args, 0);
    let (parent, cancel) = Context::background().with_cancel();
    let round = || {
        for _ in 0..n {
            let (ctx, _) = parent.with_timeout(HOUR);
            let (child, cancel) = ctx.with_cancel();
            context::after_func(&child, || unreachable!("dropped"));
            if child.deadline().is_none() {
                cancel.cancel();
            }
        }
    };
    round();
    let before = rss();
    for _ in 0..10 {
        round();
    }
    println!("KiB grown: {}", rss().saturating_sub(before));
    assert_eq!(pending(), 0);
    let (live, _) = parent.with_cancel();
    cancel.cancel();
    assert!(live.err().is_some());
}

/// Contexts with and without deadlines that nobody waits for.
fn context_quiet(_: &[String]) {
    let (root, cancel) = Context::background().with_cancel();
    let all: Vec<_> = (0..10_000)
        .map(|n| match n % 2 {
            0 => root.with_cancel().0,
            _ => root.with_timeout(HOUR).0,
        })
        .collect();
    assert_eq!(corio::num_goroutines(), 0);
    assert_eq!(pending(), 5_000);
    cancel.cancel();
    assert!(all.iter().all(|ctx| ctx.err().is_some()));
    assert_eq!(pending(), 0);
    assert_eq!(corio::num_goroutines(), 0);
}
