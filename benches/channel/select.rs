//! A round trip in which one side waits for a message on any of 2 or 8 channels.
//!
//! The other side sends on them in turn and waits for the answer on one more channel. Rendezvous
//! channels; tokio's have capacity 1. May has no counterpart: its `select!` starts a coroutine for each
//! arm and several arms can run.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use tokio::sync::mpsc;

use crate::{crews, peers};

/// The two players and their ends: many channels there, one back.
enum Side<S, R> {
    /// Sends the numbers below the last field and waits for the answer to each; returns their sum.
    Ping(Vec<S>, R, u64),
    /// Adds 1 to what it receives and sends it back, until there is nobody to play with.
    Pong(Vec<R>, S),
}

fn sides<S, R>(ways: usize, pair: impl Fn() -> (S, R), trips: u64) -> Vec<Side<S, R>> {
    let (senders, receivers) = (0..ways).map(|_| pair()).unzip();
    let (answer, answered) = pair();
    vec![
        Side::Ping(senders, answered, trips),
        Side::Pong(receivers, answer),
    ]
}

/// The time of a match whose answers have the right sum.
fn played((elapsed, sum): (Duration, u64), trips: u64) -> Duration {
    assert_eq!(sum, trips * (trips + 1) / 2, "sum of {trips} answers");
    elapsed
}

/// A crew's work for corio's and crossbeam's channels, given the path of the macro.
macro_rules! blocking {
    ($($select:ident)::+ => $($index:literal)+) => {
        |side| match side {
            Side::Ping(txs, rx, trips) => (0..trips)
                .zip(txs.iter().cycle())
                .map(|(number, tx)| {
                    tx.send(number).expect("pong listens");
                    rx.recv().expect("pong answers")
                })
                .sum(),
            Side::Pong(rxs, tx) => loop {
                let message = $($select)::+! {
                    $(recv(rxs[$index]) -> message => message,)+
                };
                match message {
                    Ok(number) => tx.send(number + 1).expect("ping listens"),
                    Err(_) => break 0,
                }
            },
        }
    };
}

/// The same for tokio's. `biased` is not used: the others choose at random too.
macro_rules! on_tokio {
    ($($rx:ident)+) => {
        async |side: Side<mpsc::Sender<u64>, mpsc::Receiver<u64>>| match side {
            Side::Ping(txs, mut rx, trips) => {
                let mut sum = 0;
                for (number, tx) in (0..trips).zip(txs.iter().cycle()) {
                    tx.send(number).await.expect("pong listens");
                    sum += rx.recv().await.expect("pong answers");
                }
                sum
            }
            Side::Pong(mut rxs, tx) => {
                let [$($rx),+] = rxs.as_mut_slice() else {
                    unreachable!("as many receivers as arms");
                };
                loop {
                    let message = tokio::select! {
                        $(message = $rx.recv() => message,)+
                    };
                    match message {
                        Some(number) => tx.send(number + 1).await.expect("ping listens"),
                        None => break 0,
                    }
                }
            }
        }
    };
}

/// The benchmarks over one number of channels.
macro_rules! ways {
    ($group:ident, $ways:literal: $($index:literal $rx:ident)+) => {
        for procs in [1, 2] {
            $group.bench_function(BenchmarkId::new(format!("corio/{procs}P"), $ways), |b| {
                crews::measure(b, |trips| {
                    let players = sides($ways, || corio::channel::bounded(0), trips);
                    let crew = crews::corio(procs, players, blocking!(corio::select => $($index)+));
                    played(crew, trips)
                });
            });

            let runtime = peers::tokio(procs);
            $group.bench_function(BenchmarkId::new(format!("tokio/{procs}P"), $ways), |b| {
                crews::measure(b, |trips| {
                    let players = sides($ways, || mpsc::channel(1), trips);
                    played(crews::tokio(&runtime, players, on_tokio!($($rx)+)), trips)
                });
            });
        }

        $group.bench_function(BenchmarkId::new("crossbeam/threads", $ways), |b| {
            crews::measure(b, |trips| {
                let players = sides($ways, || crossbeam_channel::bounded(0), trips);
                let crew = crews::threads(players, blocking!(crossbeam_channel::select => $($index)+));
                played(crew, trips)
            });
        });
    };
}

pub(crate) fn select(c: &mut Criterion) {
    let mut group = c.benchmark_group("select");
    ways!(group, 2: 0 a 1 b);
    ways!(group, 8: 0 a 1 b 2 c 3 d 4 e 5 f 6 g 7 h);
    group.finish();
}
