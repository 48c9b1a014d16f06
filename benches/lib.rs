//! How the benchmarks measure; the workloads are in the files beside this one.
//!
//! Each benchmark is a criterion group named after what it measures. In it stand
//!
//! * `floor/...`: the same work with the raw machinery (corosensei, a deque, system calls) and no
//!   scheduler, which is what the scheduler is built on and cannot beat;
//! * `corio/1P...` and `corio/2P...`: corio with one and with two Ps.
//!
//! The clock runs *inside* a goroutine ([`within`], [`crew`]): what a plain thread pays to hand the
//! work over and to get the result back is not part of any figure. All figures are per operation,
//! also where operations come in batches ([`batched`]).
//!
//! ```text
//! cargo bench -p corio-bench                     # everything
//! cargo bench -p corio-bench --bench park        # one file
//! cargo bench -p corio-bench -- 'floor|1P'       # by name
//! cargo bench -p corio-bench -- --quick          # rough figures in a minute
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
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
    let count = members.len() as u64;
    let gate = Arc::new(Gate {
        released: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
        working: AtomicUsize::new(members.len()),
    });
    let leader = corio::current();
    let goroutines: Vec<_> = (0..)
        .zip(members)
        .map(|(index, member): (u64, S)| {
            let share = iterations / count + u64::from(index < iterations % count);
            let (gate, leader) = (Arc::clone(&gate), leader.clone());
            corio::spawn(move || {
                gate.waiting.fetch_add(1, Relaxed);
                while !gate.released.load(Relaxed) {
                    corio::park();
                }
                work(member, share);
                if gate.working.fetch_sub(1, Relaxed) == 1 {
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
    while gate.working.load(Relaxed) > 0 {
        corio::park();
    }
    start.elapsed()
}

/// Where a [`crew`] assembles. Park and unpark order all accesses that matter.
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
