//! Locks beside those of the peers; the figure is per turn, that is, taken once and released.
//!
//! * `mutex/.../lock`, `rwlock/.../read` and `.../write`: one task, nobody else about.
//! * `mutex/.../tasks_8`: eight tasks that do nothing but compute under the lock ([`work`]), the
//!   computation included; `rwlock/.../tasks_8`: the same, and nine turns in ten only read.
//!
//! `floor/work` is the computation alone. The tasks are those of the runtime that a lock belongs to;
//! parking_lot's and std's are threads.

mod crews;
mod peers;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use corio_bench::shares;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

/// How many tasks compete.
const TASKS: u64 = 8;
/// Steps of work under the lock when they do.
const STEPS: u32 = 8;

/// What is locked: the state of a computation, and the number of times that it has been changed.
#[derive(Default)]
struct Shared {
    state: u64,
    changes: u64,
}

impl Shared {
    fn change(&mut self, steps: u32) {
        self.state = work(self.state, steps);
        self.changes += 1;
    }

    fn look(&self, steps: u32) {
        black_box(work(self.state, steps));
    }
}

/// Xorshift, each step of which needs the one before: eight take about 13 ns and touch no memory.
fn work(mut x: u64, steps: u32) -> u64 {
    x |= 1;
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

/// A lock that blocks. A mutex lets readers in one by one.
trait Lock: Default + Send + Sync + 'static {
    fn read(&self, act: impl FnOnce(&Shared));
    fn write(&self, act: impl FnOnce(&mut Shared));
}

/// Locks by their methods, and what makes a guard of what these return.
macro_rules! locks {
    ($($lock:ty: $read:ident $write:ident $guard:expr;)+) => {$(
        impl Lock for $lock {
            fn read(&self, act: impl FnOnce(&Shared)) {
                let shared = $guard(self.$read());
                act(&shared);
            }

            fn write(&self, act: impl FnOnce(&mut Shared)) {
                let mut shared = $guard(self.$write());
                act(&mut shared);
            }
        }
    )+};
}

locks! {
    corio::sync::Mutex<Shared>: lock lock std::convert::identity;
    corio::sync::RwLock<Shared>: read write std::convert::identity;
    parking_lot::Mutex<Shared>: lock lock std::convert::identity;
    parking_lot::RwLock<Shared>: read write std::convert::identity;
    std::sync::Mutex<Shared>: lock lock Result::unwrap;
    std::sync::RwLock<Shared>: read write Result::unwrap;
    may::sync::Mutex<Shared>: lock lock Result::unwrap;
    may::sync::RwLock<Shared>: read write Result::unwrap;
}

/// A lock, and how often one task is to take it.
type Turns<L> = (Arc<L>, u64);

/// A task's work: of ten turns, the first `WRITES` change what is locked and the others look at it.
fn take_turns<L: Lock, const WRITES: u64, const STEPS: u32>((lock, turns): Turns<L>) -> u64 {
    let lock = black_box(&*lock);
    for turn in 0..turns {
        if turn % 10 < WRITES {
            lock.write(|shared| shared.change(STEPS));
        } else {
            lock.read(|shared| shared.look(STEPS));
        }
    }
    turns
}

/// The same with tokio's locks.
macro_rules! take_turns_on_tokio {
    ($lock:ident $read:ident $write:ident) => {
        async |(lock, turns): Turns<tokio::sync::$lock<Shared>>| {
            let lock = black_box(&*lock);
            for turn in 0..turns {
                if turn % 10 < WRITES {
                    lock.$write().await.change(STEPS);
                } else {
                    lock.$read().await.look(STEPS);
                }
            }
            turns
        }
    };
}

/// One way to use a lock: how many tasks there are, how often of ten turns each changes what is locked,
/// and how much is computed meanwhile.
struct Setting<'a, 'b, const WRITES: u64, const STEPS: u32> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    name: &'static str,
    tasks: u64,
}

impl<const WRITES: u64, const STEPS: u32> Setting<'_, '_, WRITES, STEPS> {
    /// A benchmark in which `crew` runs the tasks, and which ends with as many changes as were asked for.
    fn bench<L: Default>(
        &mut self,
        peer: &str,
        crew: impl Fn(Vec<Turns<L>>) -> (Duration, u64),
        changes: impl Fn(&L) -> u64,
    ) {
        let (name, tasks) = (self.name, self.tasks);
        self.group
            .bench_function(BenchmarkId::new(peer, name), |b| {
                crews::measure(b, |turns| {
                    let lock = Arc::new(L::default());
                    let members = shares(turns, tasks).map(|share| (Arc::clone(&lock), share));
                    let (elapsed, taken) = crew(members.collect());
                    let changed = shares(turns, tasks)
                        .map(|share| share / 10 * WRITES + WRITES.min(share % 10))
                        .sum();
                    assert_eq!((taken, changes(&lock)), (turns, changed));
                    elapsed
                });
            });
    }

    /// [`bench`](Self::bench) for a lock that blocks.
    fn blocking<L: Lock>(
        &mut self,
        peer: &str,
        crew: impl Fn(Vec<Turns<L>>, fn(Turns<L>) -> u64) -> (Duration, u64),
    ) {
        self.bench(
            peer,
            |members| crew(members, take_turns::<L, WRITES, STEPS>),
            |lock| {
                let mut changes = 0;
                lock.read(|shared| changes = shared.changes);
                changes
            },
        );
    }

    /// All peers' locks of one kind. Those on corio and on tokio with each number of Ps and workers.
    fn peers<C, P, S, M>(&mut self, procs: &[usize])
    where
        C: Lock,
        P: Lock,
        S: Lock,
        M: Lock,
    {
        for &procs in procs {
            self.blocking::<C>(&format!("corio/{procs}P"), |members, work| {
                crews::corio(procs, members, work)
            });
        }
        self.blocking::<P>("parking_lot/threads", crews::threads);
        self.blocking::<S>("std/threads", crews::threads);
        let workers = peers::may();
        self.blocking::<M>(&format!("may/{workers}P"), crews::may);
    }

    fn mutexes(&mut self, procs: &[usize]) {
        self.peers::<
            corio::sync::Mutex<Shared>,
            parking_lot::Mutex<Shared>,
            std::sync::Mutex<Shared>,
            may::sync::Mutex<Shared>,
        >(procs);
        for &procs in procs {
            let runtime = peers::tokio(procs);
            self.bench(
                &format!("tokio/{procs}P"),
                |members| crews::tokio(&runtime, members, take_turns_on_tokio!(Mutex lock lock)),
                |lock: &tokio::sync::Mutex<Shared>| lock.blocking_lock().changes,
            );
        }
    }

    fn rwlocks(&mut self, procs: &[usize]) {
        self.peers::<
            corio::sync::RwLock<Shared>,
            parking_lot::RwLock<Shared>,
            std::sync::RwLock<Shared>,
            may::sync::RwLock<Shared>,
        >(procs);
        for &procs in procs {
            let runtime = peers::tokio(procs);
            self.bench(
                &format!("tokio/{procs}P"),
                |members| crews::tokio(&runtime, members, take_turns_on_tokio!(RwLock read write)),
                |lock: &tokio::sync::RwLock<Shared>| lock.blocking_read().changes,
            );
        }
    }
}

fn floor(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut shared = Shared::default();
    group.bench_function("floor/work", |b| {
        b.iter(|| black_box(&mut shared).change(STEPS));
    });
}

fn mutex(c: &mut Criterion) {
    let group = &mut c.benchmark_group("mutex");
    floor(group);
    Setting::<10, 0> {
        group,
        name: "lock",
        tasks: 1,
    }
    .mutexes(&[1]);
    Setting::<10, STEPS> {
        group,
        name: "tasks_8",
        tasks: TASKS,
    }
    .mutexes(&[1, 2]);
}

fn rwlock(c: &mut Criterion) {
    let group = &mut c.benchmark_group("rwlock");
    floor(group);
    Setting::<0, 0> {
        group,
        name: "read",
        tasks: 1,
    }
    .rwlocks(&[1]);
    Setting::<10, 0> {
        group,
        name: "write",
        tasks: 1,
    }
    .rwlocks(&[1]);
    Setting::<1, STEPS> {
        group,
        name: "tasks_8",
        tasks: TASKS,
    }
    .rwlocks(&[1, 2]);
}

criterion_group!(benches, mutex, rwlock);
criterion_main!(benches);
