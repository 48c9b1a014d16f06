//! How many Ps idle and how many Ms spin: two counters that decide whether queued work needs
//! another M.
//!
//! Spinning means looking for work without having any; it costs CPU but spares waking a thread. At
//! most half of the busy Ps' worth of Ms spin, and one is enough to find new work, so a submitter
//! wakes an M only if a P idles and nobody spins.
//!
//! # The proof that no work is left while a P idles
//!
//! Claim: if work is queued while a P is idle, then somebody who will look at every queue is awake
//! (a spinning M, or an M being started to spin).
//!
//! A *submitter* does
//! ```text
//!   S1  push the work
//!   S2  fence (Submit)
//!   S3  read: is a P idle, does nobody spin?  then start a spinning M
//! ```
//! and an M that found nothing does
//! ```text
//!   I1  put the P on the idle list; if it was spinning, spinning -= 1
//!   I2  fence (GoIdle)
//!   I3  look at every queue, for late timers and at the poller once more; work found: take a P back, spin
//! ```
//! Both fences are sequentially consistent, so one comes first. If S2 does, I3 sees the work. If I2
//! does, S3 sees an idle P and one spinner less; then either nobody spins, and the submitter starts
//! an M, or somebody still does. That somebody in turn does I1 to I3 (or finds work) later than S2:
//! the last spinner to give up looks at everything after the push. And a spinner that *finds* work
//! stops spinning and does S2 and S3 itself, so that the next piece of work has its watcher; so does
//! one that loses its P to `set_procs`.
//!
//! The fences, and the lock under which Ps are listed, order all that must be ordered; the counters
//! themselves are relaxed.
//!
//! The P must be on the list *before* the fence: with only the spinning count lowered, a submitter
//! could see no idle P and stay silent, and the M could have looked too early. Both counters are
//! therefore changed in I1 before the one fence.
//!
//! Models with either fence removed fail (`models`). rayon's sleep module states the same protocol
//! for its threads; Go's is in `proc.go` at `findRunnable` ("delicate dance").

use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::{Site, fence};

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Idle {
    ps: AtomicU32,
    spinning: AtomicU32,
}

impl Idle {
    /// No P idles, nobody spins.
    pub(crate) fn new() -> Self {
        Idle {
            ps: AtomicU32::new(0),
            spinning: AtomicU32::new(0),
        }
    }

    /// Number of idle Ps, for decisions that need no certainty.
    pub(crate) fn ps(&self) -> u32 {
        self.ps.load(Ordering::Relaxed)
    }

    /// Number of spinning Ms, for decisions that need no certainty.
    pub(crate) fn spinning(&self) -> u32 {
        self.spinning.load(Ordering::Relaxed)
    }

    /// S2 and S3: work was queued. `true`: the caller has become responsible for starting a spinning
    /// M, and must call [`Idle::stop_spinning`] if it can't.
    #[must_use]
    #[inline]
    pub(crate) fn submit(&self) -> bool {
        fence(Site::Submit);
        if self.ps.load(Ordering::Relaxed) == 0 || self.spinning.load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.spinning
            .compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// An M without work begins to spin if fewer than half of the `busy` Ps' worth do.
    #[must_use]
    pub(crate) fn try_spin(&self, busy: u32) -> bool {
        if 2 * self.spinning.load(Ordering::Relaxed) >= busy {
            return false;
        }
        self.spinning.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// An M stops spinning. After having found work it does S2 and S3 next ([`Idle::submit`]); after
    /// having found none I2 and I3.
    pub(crate) fn stop_spinning(&self) {
        let before = self.spinning.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "nobody was spinning");
    }

    /// I1, first half: a P was put on the idle list. Called under the list's lock.
    pub(crate) fn p_idle(&self) {
        self.ps.fetch_add(1, Ordering::Relaxed);
    }

    /// A P was taken off the idle list. Called under the list's lock.
    pub(crate) fn p_busy(&self) {
        let before = self.ps.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "no P was idle");
    }

    /// I2: every queue must be looked at after this.
    pub(crate) fn before_recheck(&self) {
        fence(Site::GoIdle);
    }
}
