//! Counting, reuse, sleeping in numbers, and a bit of everything at once.

use crate::Scenario;
use corio_tests::{Rng, wait_until};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("count", count),
    ("reuse", reuse),
    ("sleepers", sleepers),
    ("sleepers_order", sleepers_order),
    ("mix", mix),
    ("migrates", migrates),
];

/// `num_goroutines` counts exactly what lives.
fn count(_: &[String]) {
    assert_eq!(corio::num_goroutines(), 0, "before the runtime starts");
    for round in 0..20 {
        let parked: Vec<_> = (0..100).map(|_| corio::spawn(corio::park)).collect();
        let shorts: Vec<_> = (0..100).map(|_| corio::spawn(|| ())).collect();
        shorts.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(corio::num_goroutines(), 100, "round {round}");
        parked.iter().for_each(|h| h.goroutine().unpark());
        parked.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(corio::num_goroutines(), 0, "round {round}");
        for _ in 0..100 {
            corio::spawn(corio::yield_now);
        }
        wait_until("detached ones end", || corio::num_goroutines() == 0);
    }
    let metrics = corio::metrics();
    assert_eq!(metrics.totals().spawned, 20 * 300);
    assert_eq!(metrics.totals().finished, 20 * 300);
    assert_eq!(metrics.goroutines.live(), 0);
}

/// A million goroutines one after the other need the memory of one.
fn reuse(_: &[String]) {
    let warm_up = || {
        for _ in 0..10_000 {
            corio::spawn(|| [1u8; 100]).join().unwrap();
        }
    };
    corio::spawn(warm_up).join().unwrap();
    let before = corio_tests::proc_number("/proc/self/status", "VmRSS");
    corio::spawn(move || (0..10).for_each(|_| warm_up()))
        .join()
        .unwrap();
    warm_up();
    let after = corio_tests::proc_number("/proc/self/status", "VmRSS");
    assert!(after < before + 2048, "{before} KiB, then {after} KiB");
    assert!(corio::metrics().stacks.mapped < 1000);
}

/// 10,000 sleepers: none is early, none is lost, and none very late.
fn sleepers(_: &[String]) {
    let late = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..10_000u64)
        .map(|n| {
            let late = Arc::clone(&late);
            corio::spawn(move || {
                let mut rng = Rng::new(n);
                for _ in 0..3 {
                    let time = Duration::from_micros(rng.below(200_000));
                    let start = Instant::now();
                    corio::sleep(time);
                    let took = start.elapsed();
                    assert!(took >= time);
                    if took > time + Duration::from_secs(2) {
                        late.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(late.load(Ordering::Relaxed), 0);
    assert_eq!(corio::metrics().totals().timers, 30_000);
}

/// Timers fire in the order of their times, not of their making.
fn sleepers_order(_: &[String]) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now() + Duration::from_millis(20);
    let handles: Vec<_> = (0..97u32)
        .map(|n| {
            let n = n * 13 % 97;
            let order = Arc::clone(&order);
            corio::spawn(move || {
                corio::sleep_until(start + Duration::from_millis(2) * n);
                order.lock().unwrap().push(n);
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert!(order.lock().unwrap().iter().copied().eq(0..97));
}

/// Every way to switch, in many goroutines.
fn mix(_: &[String]) {
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..200u64)
        .map(|n| {
            let done = Arc::clone(&done);
            corio::spawn(move || {
                let mut rng = Rng::new(n);
                for _ in 0..30 {
                    step(&mut rng);
                }
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(done.load(Ordering::SeqCst), 200);
    wait_until("detached ones end", || corio::num_goroutines() == 0);
}

fn step(rng: &mut Rng) {
    match rng.below(9) {
        0 | 1 => corio::yield_now(),
        2 => corio::sleep(Duration::from_micros(rng.below(300))),
        3 => assert_eq!(corio::spawn(|| 5).join().unwrap(), 5),
        4 => {
            let me = corio::current();
            corio::spawn(move || me.unpark());
            corio::park();
        }
        5 => corio::park_timeout(Duration::from_micros(rng.below(300))),
        6 => corio::blocking(|| thread::sleep(Duration::from_micros(50))),
        7 => {
            let mut numbers = [0u64; 5];
            corio::scope(|s| {
                for number in &mut numbers {
                    s.spawn(move || {
                        corio::yield_now();
                        *number = 1;
                    });
                }
            });
            assert_eq!(numbers, [1; 5]);
        }
        _ => {
            let mut polls = 0;
            corio::block_on(std::future::poll_fn(|cx| {
                polls += 1;
                let waker = cx.waker().clone();
                corio::spawn(move || waker.wake());
                if polls > 2 {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            }));
        }
    }
}

/// Under `CORIO_MIGRATE=always` a goroutine is on another thread after each park, unless it was woken
/// before it had parked.
fn migrates(_: &[String]) {
    let moved = corio::spawn(|| {
        let mut moved = 0;
        for _ in 0..100 {
            let before = corio_tests::gettid();
            corio::sleep(Duration::from_micros(100));
            moved += usize::from(corio_tests::gettid() != before);
        }
        moved
    });
    let moved = moved.join().unwrap();
    assert!(moved >= 80, "moved {moved} times of 100");
}
