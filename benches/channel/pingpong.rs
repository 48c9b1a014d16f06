//! A round trip between two tasks over two channels.
//!
//! `rendezvous` has capacity 0: both a send and a receive may have to wait. Tokio and may have no such
//! channel, so there is `capacity_1` too, and may's is unbounded. At most one message is under way in
//! any case.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use tokio::sync::mpsc;

use crate::{crews, peers};

/// The two players and their ends of the two channels.
pub(crate) enum Side<S, R> {
    /// Sends the numbers below the last one and waits for the answer to each; returns the answers' sum.
    Ping(S, R, u64),
    /// Adds 1 to what it receives and sends it back, until there is nobody to play with.
    Pong(R, S),
}

/// Both sides of a match over two channels, with that many round trips.
pub(crate) fn sides<S, R>(there: (S, R), back: (S, R), trips: u64) -> Vec<Side<S, R>> {
    vec![
        Side::Ping(there.0, back.1, trips),
        Side::Pong(there.1, back.0),
    ]
}

/// The time of a match whose answers have the right sum.
pub(crate) fn played((elapsed, sum): (Duration, u64), trips: u64) -> Duration {
    assert_eq!(sum, trips * (trips + 1) / 2, "sum of {trips} answers");
    elapsed
}

macro_rules! blocking {
    () => {
        |side| match side {
            Side::Ping(tx, rx, trips) => (0..trips)
                .map(|number| {
                    tx.send(number).expect("pong listens");
                    rx.recv().expect("pong answers")
                })
                .sum(),
            Side::Pong(rx, tx) => {
                while let Ok(number) = rx.recv() {
                    tx.send(number + 1).expect("ping listens");
                }
                0
            }
        }
    };
}

type Tokio = Side<mpsc::Sender<u64>, mpsc::Receiver<u64>>;

async fn on_tokio(side: Tokio) -> u64 {
    match side {
        Side::Ping(tx, mut rx, trips) => {
            let mut sum = 0;
            for number in 0..trips {
                tx.send(number).await.expect("pong listens");
                sum += rx.recv().await.expect("pong answers");
            }
            sum
        }
        Side::Pong(mut rx, tx) => {
            while let Some(number) = rx.recv().await {
                tx.send(number + 1).await.expect("ping listens");
            }
            0
        }
    }
}

pub(crate) fn pingpong(c: &mut Criterion) {
    let mut group = c.benchmark_group("pingpong");

    for (capacity, name) in [(0, "rendezvous"), (1, "capacity_1")] {
        for procs in [1, 2] {
            let id = BenchmarkId::new(format!("corio/{procs}P"), name);
            group.bench_function(id, |b| {
                crews::measure(b, |trips| {
                    let pair = || corio::channel::bounded(capacity);
                    let players = sides(pair(), pair(), trips);
                    played(crews::corio(procs, players, blocking!()), trips)
                });
            });
        }
    }

    for procs in [1, 2] {
        let id = BenchmarkId::new(format!("tokio/{procs}P"), "capacity_1");
        let runtime = peers::tokio(procs);
        group.bench_function(id, |b| {
            crews::measure(b, |trips| {
                let players = sides(mpsc::channel(1), mpsc::channel(1), trips);
                played(crews::tokio(&runtime, players, on_tokio), trips)
            });
        });
    }

    let workers = peers::may();
    let id = BenchmarkId::new(format!("may/{workers}P"), "unbounded");
    group.bench_function(id, |b| {
        crews::measure(b, |trips| {
            let pair = may::sync::mpsc::channel;
            let players = sides(pair(), pair(), trips);
            played(crews::may(players, blocking!()), trips)
        });
    });

    group.bench_function(BenchmarkId::new("crossbeam/threads", "rendezvous"), |b| {
        crews::measure(b, |trips| {
            let pair = || crossbeam_channel::bounded(0);
            let players = sides(pair(), pair(), trips);
            played(crews::threads(players, blocking!()), trips)
        });
    });

    group.finish();
}
