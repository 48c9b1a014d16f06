//! A round trip between two goroutines that wake each other: unpark, park, be woken.
//!
//! With one P both share it and each wake-up is a switch. With two Ps it shows whether the scheduler
//! keeps such a pair together: taking turns on two cores is slower, since only one ever has work. The
//! floor is two coroutines resumed in turn.

use std::hint::black_box;
use std::time::Instant;

use corio_bench::within;
use corosensei::Coroutine;
use criterion::{Criterion, criterion_group, criterion_main};

fn park(c: &mut Criterion) {
    let mut group = c.benchmark_group("park");

    group.bench_function("floor/two_resumes", |b| {
        let endless = || {
            Coroutine::<(), (), ()>::new(|yielder, ()| {
                loop {
                    yielder.suspend(());
                }
            })
        };
        let (mut ping, mut pong) = (endless(), endless());
        b.iter(|| {
            black_box(ping.resume(()));
            black_box(pong.resume(()));
        });
    });

    for procs in [1, 2] {
        group.bench_function(format!("corio/{procs}P"), |b| {
            b.iter_custom(|iterations| {
                within(procs, move || {
                    let ping = corio::current();
                    let handle = corio::spawn(move || {
                        for _ in 0..iterations {
                            corio::park();
                            ping.unpark();
                        }
                    });
                    let pong = handle.goroutine();
                    let start = Instant::now();
                    for _ in 0..iterations {
                        pong.unpark();
                        corio::park();
                    }
                    start.elapsed()
                })
            });
        });
    }

    group.finish();
}

criterion_group!(benches, park);
criterion_main!(benches);
