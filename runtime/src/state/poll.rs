//! The poll words: who polls, and until when it sleeps.
//!
//! | word | value | meaning | changed by, to |
//! | --- | --- | --- | --- |
//! | seat | `FREE` | nobody polls | whoever sits down → `TAKEN` |
//! | | `TAKEN` | one M polls, or is about to | that M → `FREE` |
//! | until | `AWAKE` | nobody sleeps in a poll | the seat's holder → `NEVER` |
//! | | `NEVER` | it looks at the timers, or there are none: every new one concerns it | the seat's holder → the time of the first timer, or `AWAKE` |
//! | | a time | it sleeps until then | the seat's holder → `AWAKE` |
//!
//! # No timer is missed
//!
//! A Dekker pair. The poller stores `NEVER`, fences (`PollUntil`), reads every P's next timer and goes to
//! sleep until the first. Who adds a timer publishes it, fences (`AddTimer`) and reads until when the
//! poller sleeps. One of the fences comes first: if it is the poller's, the adder reads `NEVER` or what
//! follows it, and wakes the poller if it would sleep too long; if it is the adder's, the poller sees
//! the timer. An `AWAKE` that follows means that the poller has woken and will look again.
//!
//! Which reactor is polled goes with the same pair: the poller reads it before its fence, a waker after
//! its own, so that a waker never wakes an older one than is slept on.
//!
//! # Somebody always polls
//!
//! An M that runs out of work lists its P, fences (`GoIdle`), looks at the queues once more and sits
//! down, or stops because the seat is taken. So whoever gives the seat up makes good for it: an M that
//! has a P will run out of work itself; an M that has none fences (`GoIdle`) and takes one that was
//! listed meanwhile; anybody else behaves as if it had queued work (`Idle::submit`), which starts an M
//! that looks, finds nothing, and sits down. One of the fences comes first, as in `idle`: either the M
//! that runs out of work sees the seat free, or its P is seen.

use crate::prim::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::prim::clock::NEVER;
use crate::prim::{Site, fence};

const FREE: u32 = 0;
const TAKEN: u32 = 1;

/// While nobody sleeps in a poll.
const AWAKE: u64 = 0;

/// See the module's tables.
#[derive(Debug)]
pub(crate) struct PollWords {
    seat: AtomicU32,
    until: AtomicU64,
}

impl PollWords {
    /// Nobody polls.
    pub(crate) fn new() -> Self {
        PollWords {
            seat: AtomicU32::new(FREE),
            until: AtomicU64::new(AWAKE),
        }
    }

    /// Does somebody poll, blocking or not?
    pub(crate) fn is_taken(&self) -> bool {
        self.seat.load(Ordering::Relaxed) == TAKEN
    }

    /// Takes the seat if it is free. `true`: the caller polls, and calls [`PollWords::rise`] then.
    #[must_use]
    pub(crate) fn sit(&self) -> bool {
        // Acquire: partner of the Release in `rise`; the list of who is ready goes with the seat.
        !self.is_taken()
            && self
                .seat
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Gives the seat up. Only by its holder.
    pub(crate) fn rise(&self) {
        // Release: partner of the Acquire in `sit`.
        self.seat.store(FREE, Ordering::Release);
    }

    /// Publishes that the caller, who has the seat and knows which reactor it polls, goes to sleep until
    /// the first of all timers, which `next` finds; returns until when. [`PollWords::woke`] follows.
    #[must_use]
    pub(crate) fn sleep_until(&self, next: impl FnOnce() -> u64) -> u64 {
        self.until.store(NEVER, Ordering::Relaxed);
        fence(Site::PollUntil);
        let until = next();
        self.until.store(until, Ordering::Relaxed);
        until
    }

    /// The seat's holder doesn't sleep any more.
    pub(crate) fn woke(&self) {
        self.until.store(AWAKE, Ordering::Relaxed);
    }

    /// A timer for `when` has been published. `true`: the caller must wake the reactor, because the
    /// poller may sleep longer.
    #[must_use]
    #[inline]
    pub(crate) fn sleeps_beyond(&self, when: u64) -> bool {
        fence(Site::AddTimer);
        when < self.until.load(Ordering::Relaxed)
    }
}
