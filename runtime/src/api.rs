//! The public surface: what the crate root re-exports, and the functions that only join two layers.
//!
//! Next in the reading order: `word` in `net`, where an event and an operation meet.

pub use crate::dump::{
    Dump, DumpThread, Frame, GoroutineDump, GoroutineStatus, Group, Groups, dump,
};
pub use crate::park::{park_timeout, park_unparkable as park, yield_now};
pub use crate::prim::config::{Config, ConfigError, Guard, Migrate, PanicPolicy};
pub use crate::prim::counters::{
    Counts, GoroutineMetrics, MachineMetrics, MachineState, Metrics, ProcMetrics, ProcState,
    StackMetrics, ThreadMetrics,
};
pub use crate::prim::latency::{Latencies, LatencyBucket};
pub use crate::sched::blocking::blocking;
pub use crate::sleep::{sleep, sleep_until};
pub use crate::task::block_on::block_on;
pub use crate::task::builder::{Builder, spawn};
pub use crate::task::goroutine::{Goroutine, current};
pub use crate::task::join::JoinHandle;
pub use crate::task::lock::{OsThreadLock, lock_os_thread};
pub use crate::task::run::run;
pub use crate::task::scope::{Scope, ScopedJoinHandle, scope};

use crate::sched::start::{Failed, try_start};
use crate::sched::{sched, started};

impl Config {
    /// Starts the runtime with these settings.
    ///
    /// # Errors
    ///
    /// The first bad value, in a field or in the environment; or that the runtime runs already
    /// ([`ConfigError::is_already_started`]).
    ///
    /// # Panics
    ///
    /// If the system refuses the runtime's first threads.
    pub fn init(self) -> Result<(), ConfigError> {
        match try_start(self) {
            Ok(()) => Ok(()),
            Err(Failed::Running) => Err(ConfigError::already_started()),
            Err(Failed::Config(error)) => Err(error),
            Err(Failed::Thread(error)) => panic!("corio can't start its first threads: {error}"),
        }
    }
}

/// Changes how many goroutines run at once, and returns how many did before.
///
/// Mirrors Go's `runtime.GOMAXPROCS(n)`, without stopping the world: new Ps take up work at once,
/// surplus ones stop when their goroutine next switches (or is taken over by sysmon).
///
/// # Panics
///
/// If `procs` is 0 or more than 1024.
///
/// ```
/// let before = corio::set_procs(2);
/// corio::set_procs(before);
/// ```
#[doc(alias = "GOMAXPROCS")]
pub fn set_procs(procs: usize) -> usize {
    sched().set_procs(u32::try_from(procs).unwrap_or(u32::MAX)) as usize
}

/// Goroutines that were spawned and have not finished.
///
/// Mirrors Go's `runtime.NumGoroutine`. It is counted, not stopped for: goroutines that are being
/// spawned or are ending at this moment may or may not be included.
///
/// ```
/// let parked = corio::spawn(corio::park);
/// assert!(corio::num_goroutines() >= 1);
/// parked.goroutine().unpark();
/// parked.join().unwrap();
/// ```
#[doc(alias = "NumGoroutine")]
pub fn num_goroutines() -> usize {
    started().map_or(0, |sched| sched.num_goroutines()) as usize
}

/// A snapshot of everything the scheduler counts.
///
/// It starts the runtime if need be, stops nothing, and takes time in proportion to the goroutines
/// that exist.
///
/// ```
/// corio::spawn(|| ()).join().unwrap();
/// let metrics = corio::metrics();
/// assert!(metrics.totals().spawned >= 1);
/// ```
pub fn metrics() -> Metrics {
    sched().observe()
}

/// Execution traces: what the scheduler does, event by event, in a form that <https://ui.perfetto.dev> shows.
///
/// [`start`](trace::start) and [`stop`](trace::stop) trace a part of a program's life; `CORIO_TRACE=file` all of it. While
/// no trace runs, recording costs one test of a bit.
pub mod trace {
    pub use crate::sched::trace::{TraceSummary, is_running, start, stop};
}

/// For implementers of things to wait for: the poller's contract, parking, and raw timers.
///
/// `corio-net` is built on this module alone. A blocking call is written in three steps: make a
/// [`Waiter`](reactor::Waiter) with [`prepare`](reactor::prepare), leave it where the waker finds it,
/// and [`park`](reactor::park).
///
/// ```
/// use corio::reactor::{self, WaitReason};
/// use std::sync::mpsc;
///
/// let (tx, rx) = mpsc::channel();
/// let waiting = corio::spawn(move || {
///     // SAFETY: it is parked for right after.
///     tx.send(unsafe { reactor::prepare() }).unwrap();
///     reactor::park(WaitReason::Io, 0);
/// });
/// rx.recv().unwrap().ready();
/// waiting.join().unwrap();
/// ```
pub mod reactor {
    pub use crate::park::{
        WaitReason, WaitToken, Waiter, begin, checkpoint, park, prepare, yield_now,
    };
    pub use crate::sched::reactor::{AlreadyInstalled, Reactor, ReadyList, prefetch};
    pub use crate::task::system::as_system;
    pub use crate::task::waking::{push_waker, wake};

    /// Raw timers.
    pub mod timer {
        pub use crate::timer::{TimerFn, TimerId, add, cancel, deadline, now};
    }

    /// Installs the process's reactor and starts the runtime if need be. From now on some thread
    /// polls it whenever no goroutine runs.
    ///
    /// # Errors
    ///
    /// One is installed already.
    pub fn install(reactor: &'static dyn Reactor) -> Result<(), AlreadyInstalled> {
        crate::sched::sched().poller.install(reactor)
    }
}
