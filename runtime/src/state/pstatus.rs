//! A P's status: who owns it, and whether its goroutine is in user code.
//!
//! Everything that belongs to a P (its queue, caches, counters) is touched only in `SCHED` by the
//! owner. While a goroutine runs user code the P is in `USER`, and since user code never touches the
//! P, sysmon may take it away from there: that is how corio deals with goroutines that hog or block
//! their thread. The M notices at its next entry into the runtime, when its compare-exchange fails.
//! Go can do this only for system calls, because its user code uses the P (allocation, write
//! barriers); it needs preemption by signals instead.
//!
//! ```text
//!   63              24 23         3 2   0
//!  +------------------+------------+-----+
//!  | switch tick (40) | owner M(21)|state|
//!  +------------------+------------+-----+
//! ```
//!
//! | state | meaning | changed by, to |
//! | --- | --- | --- |
//! | `STOPPED` | beyond `procs` | `set_procs` → `IDLE` |
//! | `IDLE` | on the idle list | whoever takes it off the list → `SCHED` |
//! | `SCHED` | its owner is in the runtime | owner → `USER`, `BLOCKING`, `IDLE`, `STOPPED`, or another owner's `SCHED` |
//! | `USER` | its owner runs user code | owner → `SCHED`; sysmon → `SCHED`, taking it |
//! | `BLOCKING` | its owner is inside `blocking(..)` | as `USER`, but sysmon need not wait |
//!
//! The tick counts the goroutines switched to. It is part of the word so that sysmon takes exactly
//! what it judged: a P that has switched since is left alone.

use crate::prim::atomic::{AtomicU64, Ordering};

/// What a P is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum PState {
    /// Not in use.
    Stopped = 0,
    /// On the idle list.
    Idle = 1,
    /// Owner in the runtime.
    Sched = 2,
    /// Owner in user code.
    User = 3,
    /// Owner in `blocking`.
    Blocking = 4,
}

const STATE: u64 = 0x7;
pub(super) const M_SHIFT: u32 = 3;
pub(super) const M_BITS: u64 = (1 << 21) - 1;
const TICK_SHIFT: u32 = 24;
pub(super) const ONE_TICK: u64 = 1 << TICK_SHIFT;

/// The highest M number that fits.
pub(crate) const MAX_M: u32 = M_BITS as u32;

/// One value of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PWord(u64);

impl PWord {
    /// Stopped, owned by nobody.
    pub(crate) const STOPPED: PWord = PWord(PState::Stopped as u64);

    /// What the P is doing.
    pub(crate) fn state(self) -> PState {
        match self.0 & STATE {
            0 => PState::Stopped,
            1 => PState::Idle,
            2 => PState::Sched,
            3 => PState::User,
            _ => PState::Blocking,
        }
    }

    /// Number of the owner M.
    pub(crate) fn m(self) -> u32 {
        (self.0 >> M_SHIFT & M_BITS) as u32
    }

    /// Goroutines switched to, modulo 2^40.
    pub(crate) fn tick(self) -> u64 {
        self.0 >> TICK_SHIFT
    }

    /// Outside the runtime: it may be taken.
    pub(crate) fn is_outside(self) -> bool {
        self.0 & STATE >= PState::User as u64
    }

    /// The same owner and tick in another state.
    #[inline]
    pub(crate) fn with(self, state: PState) -> PWord {
        PWord(self.0 & !STATE | state as u64)
    }

    /// The next tick.
    #[inline]
    pub(crate) fn ticked(self) -> PWord {
        PWord(self.0.wrapping_add(ONE_TICK))
    }

    /// The same tick with `m` as the owner.
    pub(crate) fn owned_by(self, m: u32) -> PWord {
        debug_assert!(m <= MAX_M);
        PWord(self.0 & !(M_BITS << M_SHIFT) | u64::from(m) << M_SHIFT)
    }
}

/// See the module's table.
#[derive(Debug)]
pub(crate) struct PStatus(AtomicU64);

impl PStatus {
    /// A stopped P.
    pub(crate) fn new() -> Self {
        PStatus(AtomicU64::new(PState::Stopped as u64))
    }

    /// The word, for observers and for the owner in `SCHED`.
    #[inline]
    pub(crate) fn load(&self) -> PWord {
        PWord(self.0.load(Ordering::Relaxed))
    }

    /// The owner comes back from outside with the word it left. `false`: the P was taken meanwhile.
    #[must_use]
    #[inline]
    pub(crate) fn enter(&self, left: PWord) -> bool {
        // Relaxed: the only word with this M's number and a state outside is the one this M stored,
        // so if it is still there nobody else has touched the P since.
        self.0
            .compare_exchange(
                left.0,
                left.with(PState::Sched).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// The owner sets another word: leaves for user code, goes idle, or hands the P to another M.
    /// Only by the owner in `SCHED`.
    #[inline]
    pub(crate) fn leave(&self, word: PWord) {
        // Release: partner of the Acquire in `take`. A P that is handed over or goes through the
        // idle list is ordered by the mailbox or the lock.
        self.0.store(word.0, Ordering::Release);
    }

    /// sysmon takes the P from outside, exactly as it saw it. `true`: the caller owns it, in
    /// `SCHED`, and must hand it to an M.
    #[must_use]
    pub(crate) fn take(&self, seen: PWord) -> bool {
        debug_assert!(seen.is_outside());
        // Acquire: partner of the Release in `leave`; what the old owner did to the P is visible.
        self.0
            .compare_exchange(
                seen.0,
                seen.with(PState::Sched).owned_by(0).0,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}
