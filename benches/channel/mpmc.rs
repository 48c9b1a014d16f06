//! Messages from producers to consumers, as many as each can; the figure is per message.
//!
//! One and one, or four and four; with 128 places, or with as many as it takes. May's channels have no
//! bound; a semaphore stands in for it. Tokio's own channels have one consumer, so what is measured on
//! tokio are flume and async-channel.

use std::sync::Arc;
use std::time::Duration;

use corio_bench::shares;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use may::sync::Semphore;

use crate::{crews, peers};

const BOUND: usize = 128;

/// One of the tasks and its end of the channel.
enum Role<S, R> {
    /// Sends the numbers below the last one.
    Producer(S, u64),
    /// Receives until no producer is left, or as many as its quota (see [`may_role`]); returns the sum.
    Consumer(R, u64),
}

/// One workload: how many tasks on each end, and the channel's capacity.
#[derive(Clone, Copy)]
struct Setting {
    pairs: u64,
    bound: Option<usize>,
}

impl Setting {
    fn name(self) -> String {
        let capacity = self
            .bound
            .map_or("unbounded".to_owned(), |n| format!("capacity_{n}"));
        format!("{capacity}_{pairs}to{pairs}", pairs = self.pairs)
    }

    fn roles<S: Clone, R: Clone>(self, (tx, rx): (S, R), messages: u64) -> Vec<Role<S, R>> {
        let quotas = || shares(messages, self.pairs);
        let producers = quotas().map(|share| Role::Producer(tx.clone(), share));
        let consumers = quotas().map(|share| Role::Consumer(rx.clone(), share));
        producers.chain(consumers).collect()
    }

    /// The time of a crew that received what was sent.
    fn delivered(self, (elapsed, sum): (Duration, u64), messages: u64) -> Duration {
        let sent: u64 = shares(messages, self.pairs)
            .map(|share| share * share.saturating_sub(1) / 2)
            .sum();
        assert_eq!(sum, sent, "sum of {messages} messages");
        elapsed
    }

    /// A benchmark of this workload. `crew` runs it with a number of messages.
    fn bench(
        self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        peer: &str,
        crew: impl Fn(u64) -> (Duration, u64),
    ) {
        group.bench_function(BenchmarkId::new(peer, self.name()), |b| {
            crews::measure(b, |messages| self.delivered(crew(messages), messages));
        });
    }
}

macro_rules! blocking {
    () => {
        |role| match role {
            Role::Producer(tx, share) => {
                (0..share).for_each(|number| tx.send(number).expect("a consumer"));
                0
            }
            Role::Consumer(rx, _) => rx.iter().sum(),
        }
    };
}

macro_rules! on_tokio {
    ($send:ident, $recv:ident) => {
        async |role| match role {
            Role::Producer(tx, share) => {
                for number in 0..share {
                    tx.$send(number).await.expect("a consumer");
                }
                0
            }
            Role::Consumer(rx, _) => {
                let mut sum = 0;
                while let Ok(number) = rx.$recv().await {
                    sum += number;
                }
                sum
            }
        }
    };
}

/// The places of a bounded channel that are free.
type Places = Option<Arc<Semphore>>;
type MaySender = (may::sync::mpmc::Sender<u64>, Places);
type MayReceiver = (may::sync::mpmc::Receiver<u64>, Places);

/// Consumers go by their quotas, since may can lose the wake-up of one that starts to wait at the very
/// moment when the last producer leaves.
fn may_role(role: Role<MaySender, MayReceiver>) -> u64 {
    match role {
        Role::Producer((tx, places), share) => {
            for number in 0..share {
                places.iter().for_each(|places| places.wait());
                tx.send(number).expect("a consumer");
            }
            0
        }
        Role::Consumer((rx, places), share) => (0..share)
            .map(|_| {
                let number = rx.recv().expect("a message for each in the quota");
                places.iter().for_each(|places| places.post());
                number
            })
            .sum(),
    }
}

fn may_channel(bound: Option<usize>) -> (MaySender, MayReceiver) {
    let (tx, rx) = may::sync::mpmc::channel();
    let places: Places = bound.map(|places| Arc::new(Semphore::new(places)));
    ((tx, places.clone()), (rx, places))
}

pub(crate) fn mpmc(c: &mut Criterion) {
    let mut group = c.benchmark_group("mpmc");
    group.throughput(Throughput::Elements(1));
    let workers = peers::may();

    for (pairs, bound) in [(1, Some(BOUND)), (4, Some(BOUND)), (4, None)] {
        let setting = Setting { pairs, bound };

        for procs in [1, 2] {
            setting.bench(&mut group, &format!("corio/{procs}P"), |messages| {
                let ends = bound.map_or_else(corio::channel::unbounded, corio::channel::bounded);
                crews::corio(procs, setting.roles(ends, messages), blocking!())
            });

            let runtime = peers::tokio(procs);
            setting.bench(&mut group, &format!("flume/{procs}P"), |messages| {
                let ends = bound.map_or_else(flume::unbounded, flume::bounded);
                let roles = setting.roles(ends, messages);
                crews::tokio(&runtime, roles, on_tokio!(send_async, recv_async))
            });
            setting.bench(&mut group, &format!("async-channel/{procs}P"), |messages| {
                let ends = bound.map_or_else(async_channel::unbounded, async_channel::bounded);
                let roles = setting.roles(ends, messages);
                crews::tokio(&runtime, roles, on_tokio!(send, recv))
            });
        }

        setting.bench(&mut group, &format!("may/{workers}P"), |messages| {
            crews::may(setting.roles(may_channel(bound), messages), may_role)
        });

        setting.bench(&mut group, "crossbeam/threads", |messages| {
            let ends = bound.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded);
            crews::threads(setting.roles(ends, messages), blocking!())
        });
    }

    group.finish();
}
