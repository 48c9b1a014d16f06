//! Starting, running and recycling a goroutine that does next to nothing.
//!
//! `one_by_one` joins each before it starts the next; in `burst` many are started before the first
//! is joined, as when a server is flooded. The floor sets up a coroutine on a stack that it had before, runs
//! it to its end and takes the stack back.

use std::hint::black_box;
use std::time::Instant;

use corio_bench::{batched, within};
use corosensei::Coroutine;
use corosensei::stack::DefaultStack;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Goroutines per burst: more than a local queue likes to hold, and few enough to stay warm.
const BURST: u64 = 10_000;

fn spawn(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn");

    group.bench_function("floor/pooled_stack", |b| {
        let mut pool = Some(DefaultStack::new(256 * 1024).expect("a stack for one coroutine"));
        b.iter(|| {
            let Some(stack) = pool.take() else { return };
            let mut coroutine =
                Coroutine::<(), (), u64, _>::with_stack(stack, |_, ()| black_box(1));
            black_box(coroutine.resume(()));
            pool = Some(coroutine.into_stack());
        });
    });

    for procs in [1, 2] {
        let name = BenchmarkId::new(format!("corio/{procs}P"), "one_by_one");
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    let start = Instant::now();
                    for _ in 0..iterations {
                        let _ = black_box(corio::spawn(|| black_box(1_u64)).join());
                    }
                    start.elapsed()
                })
            });
        });

        let name = BenchmarkId::new(format!("corio/{procs}P"), format!("burst_{BURST}"));
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    let mut handles = Vec::with_capacity(BURST as usize);
                    batched(iterations, BURST, || {
                        let start = Instant::now();
                        handles.extend((0..BURST).map(|_| corio::spawn(|| black_box(1_u64))));
                        for handle in handles.drain(..) {
                            let _ = black_box(handle.join());
                        }
                        start.elapsed()
                    })
                })
            });
        });
    }

    group.finish();
}

criterion_group!(benches, spawn);
criterion_main!(benches);
