//! Sleeping: what arming and firing a timer costs, and how punctual it is.
//!
//! * `wake`: many goroutines sleep until the same instant; the time from that instant until the last
//!   one has been joined, per goroutine.
//! * `arm`: the time it takes them to fall asleep, per goroutine. Includes their start (see `spawn`).
//! * `late`: one goroutine sleeps for 100 µs on an idle machine; by how much it oversleeps.
//! * `sleepers`: tasks that are started and sleep for 10 to 110 ms each, with the peers'; the whole, which
//!   is 110 ms at best. May gets fewer, the stacks of 100,000 being too many for it.
//! * `reset` and `start_stop`: a timer is put off, or made and stopped, while 10,000 others are pending.
//!   `func` is corio's `after_func`, the other its `Timer`; tokio's is a `Sleep` that has been polled.
//!
//! The floors: `wake` and `arm` together are a push to and a pop from a binary heap of that many
//! deadlines plus a resume; `late` is the operating system's own oversleeping in a plain thread.

mod peers;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use corio::time::{Timer, after_func};
use corio_bench::{batched, testing, within};
use corosensei::Coroutine;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};

/// Sleepers at a time.
const SLEEPERS: u64 = 10_000;
/// Long enough for all of them to fall asleep before the first is due.
const LEAD: Duration = Duration::from_millis(50);
/// The nap whose punctuality is measured.
const NAP: Duration = Duration::from_micros(100);

/// Timers that are pending while others are reset.
const PENDING: u64 = 10_000;

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

/// How long the sleeper of that number sleeps.
fn nap_of(sleeper: u64) -> Duration {
    Duration::from_millis(10 + sleeper % 101)
}

/// When the timer of that number is due: while nothing is measured any more, a bit later each.
fn far_off(number: u64) -> Duration {
    Duration::from_secs(3600) + Duration::from_millis(number % 100_000)
}

fn sleepers(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (few, many) = if testing() {
        (100, 1000)
    } else {
        (20_000, 100_000)
    };

    for count in [few, many] {
        for procs in [1, 2] {
            group.bench_function(format!("corio/{procs}P/sleepers_{count}"), |b| {
                b.iter(|| {
                    within(procs, move || {
                        let tasks: Vec<_> = (0..count)
                            .map(|sleeper| corio::spawn(move || corio::sleep(nap_of(sleeper))))
                            .collect();
                        for task in tasks {
                            task.join().expect("a good night's sleep");
                        }
                    });
                });
            });

            let runtime = peers::tokio(procs);
            group.bench_function(format!("tokio/{procs}P/sleepers_{count}"), |b| {
                b.iter(|| {
                    let root = runtime.spawn(async move {
                        let tasks: Vec<_> = (0..count)
                            .map(|sleeper| tokio::spawn(tokio::time::sleep(nap_of(sleeper))))
                            .collect();
                        for task in tasks {
                            task.await.expect("a good night's sleep");
                        }
                    });
                    runtime.block_on(root).expect("a root that does not panic");
                });
            });
        }
    }

    let workers = peers::may();
    group.bench_function(format!("may/{workers}P/sleepers_{few}"), |b| {
        b.iter(|| {
            let root = may::go!(move || {
                let tasks: Vec<_> = (0..few)
                    .map(|sleeper| may::go!(move || may::coroutine::sleep(nap_of(sleeper))))
                    .collect();
                for task in tasks {
                    task.join().expect("a good night's sleep");
                }
            });
            root.join().expect("a root that does not panic");
        });
    });
}

/// Runs `operation` in a goroutine, with that many timers pending besides; gives it numbers.
fn among_timers(iterations: u64, operation: impl Fn(u64) + Send + 'static) -> Duration {
    within(1, move || {
        let pending: Vec<_> = (0..PENDING)
            .map(|number| after_func(far_off(number), || {}))
            .collect();
        let start = Instant::now();
        (0..iterations).for_each(operation);
        let elapsed = start.elapsed();
        assert!(
            pending.iter().all(|timer| timer.stop()),
            "timers fired early"
        );
        elapsed
    })
}

/// A tokio timer that its driver knows: it has been polled.
async fn tokio_timer(number: u64) -> Pin<Box<tokio::time::Sleep>> {
    let mut timer = Box::pin(tokio::time::sleep(far_off(number)));
    std::future::poll_fn(|context| {
        assert!(timer.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    timer
}

fn changes(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function("corio/1P/reset", |b| {
        b.iter_custom(|iterations| {
            let timer = Timer::new(far_off(0));
            among_timers(iterations, move |number| {
                assert!(timer.reset(far_off(number)));
            })
        });
    });
    group.bench_function("corio/1P/reset_func", |b| {
        b.iter_custom(|iterations| {
            let timer = after_func(far_off(0), || {});
            among_timers(iterations, move |number| {
                assert!(timer.reset(far_off(number)));
            })
        });
    });
    group.bench_function("corio/1P/start_stop", |b| {
        b.iter_custom(|iterations| {
            among_timers(iterations, |number| {
                assert!(Timer::new(far_off(number)).stop());
            })
        });
    });
    group.bench_function("corio/1P/start_stop_func", |b| {
        b.iter_custom(|iterations| {
            among_timers(iterations, |number| {
                assert!(after_func(far_off(number), || {}).stop());
            })
        });
    });

    let runtime = peers::tokio(1);
    let tokio = |iterations, start_stop| {
        let task = runtime.spawn(async move {
            let mut pending = Vec::new();
            for number in 0..PENDING {
                pending.push(tokio_timer(number).await);
            }
            let mut timer = tokio_timer(0).await;
            let start = Instant::now();
            for number in 0..iterations {
                if start_stop {
                    drop(tokio_timer(number).await);
                } else {
                    let due = tokio::time::Instant::now() + far_off(number);
                    timer.as_mut().reset(due);
                }
            }
            start.elapsed()
        });
        runtime.block_on(task).expect("a task that does not panic")
    };
    group.bench_function("tokio/1P/reset", |b| b.iter_custom(|n| tokio(n, false)));
    group.bench_function("tokio/1P/start_stop", |b| b.iter_custom(|n| tokio(n, true)));
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

    changes(&mut group);
    group.sampling_mode(SamplingMode::Flat);
    sleepers(&mut group);

    group.finish();
}

criterion_group!(benches, timer);
criterion_main!(benches);
