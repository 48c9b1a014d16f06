//! The lowest layer: what every other module may use and what uses nothing of corio itself.
//!
//! * [`atomic`], [`fence`]: the only door to atomics. Under `cfg(loom)` they are loom's, so that the
//!   models run the very types the scheduler runs, and mutants of them (`mutant`).
//! * [`Parker`]: blocks and wakes one OS thread.
//! * [`clock`]: monotonic nanoseconds as one `u64`.
//! * [`spin`]: a lock of one byte for a few instructions.
//! * [`cell`]: plain memory that threads hand on.
//! * [`rng`]: the scheduler's random choices.
//! * [`config`], [`counters`], [`latency`]: settings and what is counted.
//! * [`flags`], [`trace`]: what can be switched on, and the events of an execution trace.
//!
//! Next in the reading order: `state`, the status words.

pub(crate) mod arch;
#[cfg(not(loom))]
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod flags;
pub(crate) mod latency;
#[cfg(loom)]
mod model;
#[cfg(loom)]
pub(crate) mod mutant;
pub(crate) mod rng;
#[cfg(not(loom))]
pub(crate) mod spin;
pub(crate) mod trace;

#[cfg(loom)]
pub(crate) use model::{clock, spin};

use std::fmt;
use std::io::{self, Write};

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use crossbeam_utils::sync::{Parker, Unparker};
pub(crate) use parking_lot::{Condvar, Mutex};

/// Atomics and their orderings, from std or, in models, from loom.
pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use super::mutant::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicU16, Ordering, fence};
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// What plain memory that threads hand on lies in; in models loom watches over it.
pub(crate) mod cell {
    #[cfg(loom)]
    pub(crate) use super::model::cell::Cell;
    #[cfg(not(loom))]
    pub(crate) use std::cell::Cell;
}

/// What a thread does while it spins.
pub(crate) mod hint {
    #[cfg(loom)]
    pub(crate) use loom::hint::spin_loop;
    #[cfg(not(loom))]
    pub(crate) use std::hint::spin_loop;
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic if that is closed.
pub(crate) fn warn(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The sequentially consistent fences of the runtime, by name.
///
/// Each stands in a Dekker pair: both sides write, fence, then read what the other wrote, so that at
/// least one of them sees the other. Naming them keeps each next to its partner in the docs and lets
/// a loom model take a single one away to show that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Work was queued; idle Ps and spinning Ms are read next. Partner: [`Site::GoIdle`].
    Submit,
    /// A P was put on the idle list or an M stopped spinning; every queue and the poller's seat are
    /// read next. Or the seat was given up; idle Ps are read next. Partners: [`Site::Submit`], itself.
    GoIdle,
    /// A timer was added; the poller's wake-up time is read next, and which reactor it polls. Partner:
    /// [`Site::PollUntil`].
    AddTimer,
    /// The poller published that it will sleep; the timers are read next. Partner:
    /// [`Site::AddTimer`].
    PollUntil,
}

/// A sequentially consistent fence; see [`Site`] for its partner.
#[inline(always)]
pub(crate) fn fence(site: Site) {
    #[cfg(loom)]
    if !mutant::has_fence(site) {
        return;
    }
    let _ = site;
    atomic::fence(atomic::Ordering::SeqCst);
}
