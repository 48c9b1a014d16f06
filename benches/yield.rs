//! `yield_now`: to the back of the run queue and, in time, to the front again.
//!
//! The floor does by hand what cannot be left out: suspend, push to a crossbeam FIFO, pop, one
//! compare-and-swap of a status word, resume.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release};
use std::time::Instant;

use corio::yield_now;
use corio_bench::{crew, within};
use corosensei::Coroutine;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_deque::Worker;

/// Alone in the queue, and enough company to leave the first-level cache.
const COMPANY: [usize; 2] = [1, 1000];

/// What the floor keeps for each coroutine.
struct Task {
    status: AtomicU32,
    coroutine: Coroutine<(), (), ()>,
}

const RUNNABLE: u32 = 0;
const RUNNING: u32 = 1;

fn endless() -> Box<Task> {
    Box::new(Task {
        status: AtomicU32::new(RUNNABLE),
        coroutine: Coroutine::new(|yielder, ()| {
            loop {
                yielder.suspend(());
            }
        }),
    })
}

fn yields(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield");

    for company in COMPANY {
        group.bench_function(BenchmarkId::new("floor/fifo", company), |b| {
            let queue = Worker::new_fifo();
            for _ in 0..company {
                queue.push(endless());
            }
            b.iter(|| {
                let Some(mut task) = queue.pop() else { return };
                // AcqRel and Release pair with each other, as the owners of a task would over time.
                let _ = task
                    .status
                    .compare_exchange(RUNNABLE, RUNNING, AcqRel, Relaxed);
                black_box(task.coroutine.resume(()));
                task.status.store(RUNNABLE, Release);
                queue.push(task);
            });
        });
    }

    group.bench_function(BenchmarkId::new("corio/1P", 1), |b| {
        b.iter_custom(|iterations| {
            within(1, move || {
                let start = Instant::now();
                (0..iterations).for_each(|_| yield_now());
                start.elapsed()
            })
        });
    });

    for procs in [1, 2] {
        let name = BenchmarkId::new(format!("corio/{procs}P"), 1000);
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    crew(vec![(); 1000], iterations, |(), share| {
                        (0..share).for_each(|_| yield_now());
                    })
                })
            });
        });
    }

    group.finish();
}

criterion_group!(benches, yields);
criterion_main!(benches);
