//! Sleeping: what arming and firing a timer costs, and how punctual it is.
//!
//! * `wake`: many goroutines sleep until the same instant; the time from that instant until the last
//!   one has been joined, per goroutine.
//! * `arm`: the time it takes them to fall asleep, per goroutine. Includes their start (see `spawn`).
//! * `late`: one goroutine sleeps for 100 µs on an idle machine; by how much it oversleeps.
//!
//! The floors: `wake` and `arm` together are a push to and a pop from a binary heap of that many
//! deadlines plus a resume; `late` is the operating system's own oversleeping in a plain thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use corio_bench::{batched, within};
use corosensei::Coroutine;
use criterion::{Criterion, criterion_group, criterion_main};

/// Sleepers at a time.
const SLEEPERS: u64 = 10_000;
/// Long enough for all of them to fall asleep before the first is due.
const LEAD: Duration = Duration::from_millis(50);
/// The nap whose punctuality is measured.
const NAP: Duration = Duration::from_micros(100);

/// Sleepers that are about to sleep. A static, so that no reference is counted per goroutine.
static ARMED: AtomicU64 = AtomicU64::new(0);

/// Lets all sleepers sleep once; returns how long arming took and how long waking took.
fn sleep_together() -> (Duration, Duration) {
    let mut sleepers = Vec::with_capacity(SLEEPERS as usize);
    ARMED.store(0, Relaxed);
    let start = Instant::now();
    let due = start + LEAD;
    sleepers.extend((0..SLEEPERS).map(|_| {
        corio::spawn(move || {
            ARMED.fetch_add(1, Relaxed);
            corio::sleep_until(due);
        })
    }));
    while ARMED.load(Relaxed) < SLEEPERS {
        corio::yield_now();
    }
    let arming = start.elapsed();
    for sleeper in sleepers {
        let _ = sleeper.join();
    }
    (arming, due.elapsed())
}

/// The time of `iterations` naps beyond what was asked for.
fn oversleep(iterations: u64, nap: impl Fn(Duration)) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        nap(NAP);
    }
    start
        .elapsed()
        .saturating_sub(NAP.mul_f64(iterations as f64))
}

fn timer(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer");
    group.sample_size(10);

    group.bench_function(format!("floor/heap_{SLEEPERS}"), |b| {
        let mut coroutine = Coroutine::<(), (), ()>::new(|yielder, ()| {
            loop {
                yielder.suspend(());
            }
        });
        let due = Instant::now();
        let mut heap = BinaryHeap::new();
        b.iter_custom(|iterations| {
            batched(iterations, SLEEPERS, || {
                let start = Instant::now();
                for sleeper in 0..SLEEPERS {
                    heap.push(Reverse((due, sleeper)));
                }
                while let Some(next) = heap.pop() {
                    black_box(next);
                    coroutine.resume(());
                }
                start.elapsed()
            })
        });
    });

    // Criterion counts only what is measured, but every round waits for LEAD as well.
    group.warm_up_time(Duration::from_millis(50));
    group.measurement_time(Duration::from_millis(300));
    for procs in [1, 2] {
        group.bench_function(format!("corio/{procs}P/arm_{SLEEPERS}"), |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    batched(iterations, SLEEPERS, || sleep_together().0)
                })
            });
        });
        group.bench_function(format!("corio/{procs}P/wake_{SLEEPERS}"), |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    batched(iterations, SLEEPERS, || sleep_together().1)
                })
            });
        });
    }

    group.measurement_time(Duration::from_secs(1));
    group.bench_function("floor/thread_late", |b| {
        b.iter_custom(|iterations| oversleep(iterations, thread::sleep));
    });
    group.bench_function("corio/1P/late", |b| {
        b.iter_custom(|iterations| within(1, move || oversleep(iterations, corio::sleep)));
    });

    group.finish();
}

criterion_group!(benches, timer);
criterion_main!(benches);
