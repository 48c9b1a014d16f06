//! One switch from a running goroutine to another that is ready.
//!
//! The floor is corosensei's `resume` and the `suspend` that answers it: into a coroutine and out
//! again. A goroutine's switch passes through the M's own stack, so it is such a pair as well, plus
//! the run queue and two status words.

use std::hint::black_box;
use std::time::Instant;

use corio::yield_now;
use corio_bench::within;
use corosensei::{Coroutine, CoroutineResult};
use criterion::{Criterion, criterion_group, criterion_main};

fn switch(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch");

    group.bench_function("floor/resume_suspend", |b| {
        let mut coroutine = Coroutine::new(|yielder, mut input| {
            while input {
                input = yielder.suspend(());
            }
        });
        b.iter(|| coroutine.resume(black_box(true)));
        // A suspended coroutine would be unwound when it is dropped; this one returns.
        assert!(matches!(
            coroutine.resume(false),
            CoroutineResult::Return(())
        ));
    });

    // Two goroutines that do nothing but yield take turns: every yield of either is one switch.
    group.bench_function("corio/1P", |b| {
        b.iter_custom(|iterations| {
            within(1, move || {
                let turns = iterations.div_ceil(2);
                let start = Instant::now();
                let other = corio::spawn(move || (0..turns).for_each(|_| yield_now()));
                (0..turns).for_each(|_| yield_now());
                let elapsed = start.elapsed();
                let _ = other.join();
                elapsed.mul_f64(iterations as f64 / (2 * turns) as f64)
            })
        });
    });

    group.finish();
}

criterion_group!(benches, switch);
criterion_main!(benches);
