//! A goroutine's status: what it is doing, who may touch its stack, and whether a queue holds it.
//!
//! | value | meaning | changed by, to |
//! | --- | --- | --- |
//! | `IDLE` | the slot is free | spawner → `RUNNABLE`, or `RUNNING` for a plain thread's slot |
//! | `RUNNABLE` | in exactly one queue, `runnext`, or on its way between two | the M that took it out → `RUNNING`; → `WAITING` if no stack can be had |
//! | `RUNNING` | an M runs it; the M owns the stack | its M → `RUNNABLE` (yield), `WAITING` (park), `DEAD`; `ready` → `RUNNING+NOTIFIED` |
//! | `RUNNING+NOTIFIED` | made ready before it had parked | its M → `RUNNING`: the park is over before it began |
//! | `WAITING` | parked; nobody owns the stack | `ready` → `RUNNABLE`; scanner → `WAITING+SCAN` |
//! | `WAITING+ON_M` | parked together with its M (plain threads; goroutines that park while unwinding) | `ready` → `RUNNING`, then the M is unparked; scanner → `+SCAN` |
//! | `WAITING+SCAN` | the scanner owns the stack | scanner → `WAITING`; `ready` → `+NOTIFIED` |
//! | `WAITING+SCAN+NOTIFIED` | made ready while scanned | scanner → `RUNNABLE`, and the scanner enqueues it |
//! | `DEAD` | finished; a `JoinHandle` may hold the result | whoever frees the slot → `IDLE` |
//!
//! `ready` is called once per wait: the right to do so is an owned value (`park::Waiter`).
//!
//! The race "made ready before parked" is closed by this word alone: parking is a compare-exchange
//! that fails over `NOTIFIED`. Go closes it by holding the waker's lock across the switch
//! (`gopark`'s `unlockf`); here a waker never waits for a goroutine that is on its way to sleep, and
//! a wake-up that comes early saves both switches.

use crate::prim::atomic::{AtomicU32, Ordering};

/// The slot is free. Zero, so that fresh zeroed memory is a free slot.
pub(crate) const IDLE: u32 = 0;
/// In a queue.
pub(crate) const RUNNABLE: u32 = 1;
/// On an M.
pub(crate) const RUNNING: u32 = 2;
/// Parked.
pub(crate) const WAITING: u32 = 3;
/// Finished.
pub(crate) const DEAD: u32 = 4;
/// Mask of the values above.
pub(crate) const STATE: u32 = 0xf;

pub(super) const NOTIFIED: u32 = 0x10;
pub(super) const SCAN: u32 = 0x20;
pub(super) const ON_M: u32 = 0x40;

/// See the module's table.
#[derive(Debug)]
pub(crate) struct GStatus(AtomicU32);

/// What became of an attempt to park.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// Parked: somebody else owns the goroutine from here on.
    Waiting,
    /// Already made ready: go on running.
    Notified,
}

/// What the caller of `ready` still has to do. `M` is how the M is named; a type parameter, so that
/// this module needs to know nothing of threads.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readied<M> {
    /// Put the goroutine into a queue.
    Enqueue,
    /// Unpark the M it blocked. The goroutine may be running already and even be gone.
    Unpark(M),
    /// Nothing: it was still running, or its scanner enqueues it.
    Noted,
}

/// What ends a scan.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned<M> {
    /// Still parked.
    Parked,
    /// Made ready meanwhile; do what [`Readied`] says.
    Ready(Readied<M>),
}

/// The right to look at a parked goroutine's stack. Must be given back by [`GStatus::end_scan`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    on_m: bool,
}

impl Scan {
    /// Is its M blocked on this very stack? Then it may be walked but not trimmed.
    pub(crate) fn on_m(&self) -> bool {
        self.on_m
    }
}

impl GStatus {
    /// A free slot.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        GStatus(AtomicU32::new(IDLE))
    }

    /// The state without its bits, for observers.
    pub(crate) fn state(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & STATE
    }

    /// A spawner fills the slot. Only the slot's holder may call it.
    #[inline]
    pub(crate) fn set_runnable(&self) {
        self.0.store(RUNNABLE, Ordering::Relaxed);
    }

    /// The M that took the goroutine out of a queue runs it; or a plain thread's slot comes to life.
    /// The queue's own synchronisation makes earlier writes visible.
    #[inline]
    pub(crate) fn set_running(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
    }

    /// No stack could be had: wait for one. Only by the M that holds the runnable goroutine.
    pub(crate) fn set_waiting(&self) {
        // Release: partner of the Acquire in `ready`.
        self.0.store(WAITING, Ordering::Release);
    }

    /// The goroutine finished. Only by its M.
    #[inline]
    pub(crate) fn set_dead(&self) {
        self.0.store(DEAD, Ordering::Relaxed);
    }

    /// The slot is free again. Only by whoever frees it.
    #[inline]
    pub(crate) fn set_idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// Parks the running goroutine, which has been switched away from: its M calls this on its own
    /// stack. After `Waiting` the goroutine may already run elsewhere: touch nothing of it.
    #[inline]
    pub(crate) fn park(&self) -> Parked {
        self.park_as(WAITING)
    }

    /// Parks the goroutine together with its M; called on the goroutine's own stack.
    pub(crate) fn park_on_m(&self) -> Parked {
        self.park_as(WAITING | ON_M)
    }

    #[inline]
    fn park_as(&self, waiting: u32) -> Parked {
        // Release on success: publishes the stack and the wait's data to the Acquire in `ready`,
        // and so to the M that runs the goroutine next. Acquire on failure: partner of the Release
        // in `ready`, so that what the waker wrote is visible.
        match self
            .0
            .compare_exchange(RUNNING, waiting, Ordering::Release, Ordering::Acquire)
        {
            Ok(_) => Parked::Waiting,
            Err(found) => {
                debug_assert_eq!(
                    found,
                    RUNNING | NOTIFIED,
                    "parked a goroutine that isn't running"
                );
                // Nobody else writes a notified word: the one right to make it ready is used up.
                self.0.store(RUNNING, Ordering::Relaxed);
                Parked::Notified
            }
        }
    }

    /// A cheap look whether the wait is over before it began; takes the notification if so.
    #[inline]
    pub(crate) fn take_notified(&self) -> bool {
        // Acquire: partner of the Release in `ready`.
        if self.0.load(Ordering::Acquire) == RUNNING | NOTIFIED {
            self.0.store(RUNNING, Ordering::Relaxed);
            true
        } else {
            false
        }
    }

    /// Is the goroutine that blocks its M still parked? Its thread asks this after every wake-up.
    pub(crate) fn is_parked_on_m(&self) -> bool {
        // Acquire: partner of the Release in `ready`.
        self.0.load(Ordering::Acquire) & STATE == WAITING
    }

    /// Ends the wait. The caller holds the one right to do so. `m` names the goroutine's M; it is
    /// asked only while the goroutine is parked on it, before anything is changed, because afterwards
    /// the goroutine may be gone.
    #[inline]
    pub(crate) fn ready<M>(&self, m: impl Fn() -> M) -> Readied<M> {
        // Acquire: partner of the Release in `park_as`; `m` may look at the goroutine.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let (next, todo) = if seen & STATE == RUNNING {
                (RUNNING | NOTIFIED, Readied::Noted)
            } else if seen & SCAN != 0 {
                (seen | NOTIFIED, Readied::Noted)
            } else if seen & ON_M != 0 {
                (RUNNING, Readied::Unpark(m()))
            } else {
                (RUNNABLE, Readied::Enqueue)
            };
            debug_assert!(
                matches!(seen & STATE, RUNNING | WAITING) && seen & NOTIFIED == 0,
                "ready on a goroutine with status {seen:#x}"
            );
            // Release: what the waker wrote becomes visible to the woken (`park_as`,
            // `take_notified`, `is_parked_on_m`, `end_scan`). Acquire: partner of the Release in
            // `park_as`; the stack is then ours to hand on.
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return todo,
                Err(found) => seen = found,
            }
        }
    }

    /// Claims a parked goroutine's stack for a walk or a trim; `None` if it isn't parked.
    pub(crate) fn begin_scan(&self) -> Option<Scan> {
        let seen = self.0.load(Ordering::Relaxed);
        if seen & STATE != WAITING || seen & SCAN != 0 {
            return None;
        }
        // Acquire: partner of the Release in `park_as`; the stack's contents are visible.
        self.0
            .compare_exchange(seen, seen | SCAN, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Scan {
                on_m: seen & ON_M != 0,
            })
    }

    /// Gives the stack back. If the goroutine was made ready meanwhile the caller finishes that; `m`
    /// is as for [`GStatus::ready`].
    pub(crate) fn end_scan<M>(&self, scan: Scan, m: impl FnOnce() -> M) -> Scanned<M> {
        let parked = WAITING | if scan.on_m { ON_M } else { 0 };
        // Release: the trimmed stack is handed on; partner of the Acquire in `ready`. Acquire on
        // failure: partner of the Release in `ready`.
        match self
            .0
            .compare_exchange(parked | SCAN, parked, Ordering::Release, Ordering::Acquire)
        {
            Ok(_) => Scanned::Parked,
            Err(_) if scan.on_m => {
                let m = m();
                // Release: partner of the Acquire in `is_parked_on_m`.
                self.0.store(RUNNING, Ordering::Release);
                Scanned::Ready(Readied::Unpark(m))
            }
            Err(_) => {
                self.0.store(RUNNABLE, Ordering::Relaxed);
                Scanned::Ready(Readied::Enqueue)
            }
        }
    }
}
