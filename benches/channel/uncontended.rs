//! One task alone with its channels: nobody waits, nobody competes, nothing is ever not ready.
//!
//! * `try`: a `try_send` and the `try_recv` that takes it out again.
//! * `select`: a `select!` over receivers all of which are ready, and the `send` that makes the chosen
//!   one ready again.
//!
//! corio's run in a goroutine, crossbeam's on a thread.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};

use crate::crews;

/// What channel capacities are tried; `None` is unbounded.
const BOUNDS: [Option<usize>; 3] = [Some(1), Some(128), None];

/// `crew` of one: it gets the ends and the number of operations, and returns that number.
macro_rules! try_pairs {
    () => {
        |((tx, rx), count)| {
            for number in 0..count {
                black_box(&tx).try_send(number).expect("a free place");
                assert_eq!(black_box(&rx).try_recv(), Ok(number));
            }
            count
        }
    };
}

/// As [`try_pairs`], with a list of channels with a message in each, and the path of the macro.
macro_rules! select_ready {
    ($($select:ident)::+ => $($index:literal)+) => {
        |(ends, count)| {
            for _ in 0..count {
                let ends: &Vec<_> = black_box(&ends);
                let (index, number) = $($select)::+! {
                    $(recv(ends[$index].1) -> number => ($index, number),)+
                };
                let sender: &_ = &ends[index].0;
                sender.send(number.expect("a message")).expect("a free place");
            }
            count
        }
    };
}

/// That many channels with a message in each.
macro_rules! filled {
    ($($bounded:ident)::+, $count:expr) => {
        (0..$count)
            .map(|number: u64| {
                let (tx, rx) = $($bounded)::+(1);
                tx.send(number).expect("a free place");
                (tx, rx)
            })
            .collect::<Vec<_>>()
    };
}

pub(crate) fn uncontended(c: &mut Criterion) {
    let mut group = c.benchmark_group("uncontended");

    for bound in BOUNDS {
        let name = bound.map_or("try_unbounded".to_owned(), |n| format!("try_capacity_{n}"));
        group.bench_function(BenchmarkId::new("corio/1P", &name), |b| {
            crews::measure(b, |count| {
                let ends = bound.map_or_else(corio::channel::unbounded, corio::channel::bounded);
                crews::corio(1, vec![(ends, count)], try_pairs!()).0
            });
        });
        group.bench_function(BenchmarkId::new("crossbeam/threads", &name), |b| {
            crews::measure(b, |count| {
                let ends =
                    bound.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded);
                crews::threads(vec![(ends, count)], try_pairs!()).0
            });
        });
    }

    group.bench_function("corio/1P/select_2", |b| {
        crews::measure(b, |count| {
            let ends = filled!(corio::channel::bounded, 2);
            crews::corio(1, vec![(ends, count)], select_ready!(corio::select => 0 1)).0
        });
    });
    group.bench_function("crossbeam/threads/select_2", |b| {
        crews::measure(b, |count| {
            let ends = filled!(crossbeam_channel::bounded, 2);
            crews::threads(
                vec![(ends, count)],
                select_ready!(crossbeam_channel::select => 0 1),
            )
            .0
        });
    });
    group.bench_function("corio/1P/select_8", |b| {
        crews::measure(b, |count| {
            let ends = filled!(corio::channel::bounded, 8);
            crews::corio(
                1,
                vec![(ends, count)],
                select_ready!(corio::select => 0 1 2 3 4 5 6 7),
            )
            .0
        });
    });
    group.bench_function("crossbeam/threads/select_8", |b| {
        crews::measure(b, |count| {
            let ends = filled!(crossbeam_channel::bounded, 8);
            crews::threads(
                vec![(ends, count)],
                select_ready!(crossbeam_channel::select => 0 1 2 3 4 5 6 7),
            )
            .0
        });
    });

    group.finish();
}
