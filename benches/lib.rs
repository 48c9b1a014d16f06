//! How the benchmarks measure; the workloads are in the files beside this one.
//!
//! Each benchmark is a criterion group named after what it measures. In it stand
//!
//! * `floor/...`: the same work with the raw machinery (corosensei, a deque, system calls) and no
//!   scheduler, which is what the scheduler is built on and cannot beat;
//! * `corio/1P...` and `corio/2P...`: corio with one and with two Ps;
//! * the peers, in the same process and by the same clock: `tokio/1P...` with one worker and `.../2P...`
//!   with two, `flume` and `async-channel` on tokio, `crossbeam`, `parking_lot` and `std` on
//!   `threads`, and `may`. A process can set may's number of workers only once, to
//!   `BENCH_MAY_WORKERS` or else 1.
//!
//! The clock runs *inside* a goroutine ([`within`], [`crew`]): what a plain thread pays to hand the
//! work over and to get the result back is not part of any figure, and likewise for the peers' tasks.
//! All figures are per operation, also where operations come in batches ([`batched`]), except where
//! a name says that it is a whole.
//!
//! ```text
//! cargo bench -p corio-bench                     # everything
//! cargo bench -p corio-bench --bench park        # one file
//! cargo bench -p corio-bench -- 'floor|1P'       # by name
//! cargo bench -p corio-bench -- --quick          # rough figures in a few minutes
//! taskset -c 0 cargo bench -p corio-bench -- 1P  # on one CPU, as befits one P
//! BENCH_MAY_WORKERS=2 cargo bench -p corio-bench -- may
//! ```
//!
//! Figures with two Ps need two idle CPUs, and those of `threads` depend on where the system puts them.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::{Duration, Instant};

/// Sets the number of Ps, runs `f` in a goroutine and returns what it returns.
///
/// # Panics
///
/// If `f` panics.
pub fn within<T, F>(procs: usize, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    corio::set_procs(procs);
    match corio::spawn(f).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs one goroutine for each of `members`, which share `iterations` among them, and returns the time
/// from the moment they are released together until the last one has finished.
///
/// Must be called from a goroutine. `work` gets its member and its share of the iterations.
pub fn crew<S, F>(members: Vec<S>, iterations: u64, work: F) -> Duration
where
    S: Send + 'static,
    F: Fn(S, u64) + Send + Sync + Copy + 'static,
{
    let shares: Vec<u64> = shares(iterations, members.len() as u64).collect();
    let gate = Arc::new(Gate {
        released: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
        working: AtomicUsize::new(members.len()),
    });
    let leader = corio::current();
    let goroutines: Vec<_> = members
        .into_iter()
        .zip(shares)
        .map(|(member, share)| {
            let (gate, leader) = (Arc::clone(&gate), leader.clone());
            corio::spawn(move || {
                gate.waiting.fetch_add(1, Relaxed);
                while !gate.released.load(Relaxed) {
                    corio::park();
                }
                work(member, share);
                // Release pairs with the leader's Acquire: what the members did is seen by the leader.
                if gate.working.fetch_sub(1, Release) == 1 {
                    leader.unpark();
                }
            })
        })
        .collect();
    while gate.waiting.load(Relaxed) < goroutines.len() {
        corio::yield_now();
    }
    let start = Instant::now();
    gate.released.store(true, Relaxed);
    for goroutine in &goroutines {
        goroutine.goroutine().unpark();
    }
    while gate.working.load(Acquire) > 0 {
        corio::park();
    }
    start.elapsed()
}

/// Where a [`crew`] assembles.
struct Gate {
    released: AtomicBool,
    waiting: AtomicUsize,
    working: AtomicUsize,
}

/// Measures `batch` operations at a time and returns the time of `iterations` of them.
///
/// For operations that only make sense in numbers, such as a burst of spawns.
pub fn batched(iterations: u64, batch: u64, mut run: impl FnMut() -> Duration) -> Duration {
    let rounds = iterations.div_ceil(batch);
    let total: Duration = (0..rounds).map(|_| run()).sum();
    total.mul_f64(iterations as f64 / (rounds * batch) as f64)
}

/// Splits `total` into `count` parts that differ by one at most.
pub fn shares(total: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| total / count + u64::from(index < total % count))
}

/// Whether every benchmark is to run once, to see that it does, and nothing is measured (`--test`).
///
/// Workloads of a fixed size that take long are smaller then.
pub fn testing() -> bool {
    std::env::args().any(|argument| argument == "--test")
}
