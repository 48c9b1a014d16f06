//! The wait word: where a poller that sees a socket become ready meets the operation that waits for
//! it. One per direction, as in Go (`pd.rg`, `pd.wg`).
//!
//! | value | meaning | who changes it, to what |
//! | --- | --- | --- |
//! | `NIL` | nothing known, nobody waits | event → `READY`; operation, to park → *waiter*; close → `CLOSED` |
//! | `READY` | an event came and nobody has tried since | operation, before it tries → `NIL`; close → `CLOSED` |
//! | *waiter* | the operation that has the turn is parked, or about to park; or a poll had the turn and waits | event → `READY`; timer, deadline or a poll's successor → `NIL`; close → `CLOSED` |
//! | `CLOSED` | over, until the descriptor is reused | [`reset`](WaitWord::reset), when nobody else has the descriptor |
//!
//! **No event is lost.** An operation clears `READY` *before* it makes the system call. An event that
//! comes after the clearing leaves `READY` behind, and parking fails over it; one that came before is
//! about data that the call will find.
//!
//! **Who swaps a waiter out of the word owns waking it**, so it is woken once, and no sequence number
//! is needed: a waiter that is out of the word can't be found again.
//!
//! **One waiter.** Only the operation that has the direction's turn (`direction`) clears and parks.
//!
//! **Polls** of futures give their turn up and leave their waiter in the word. Whoever gets the turn next takes it
//! out first, as if its time were up ([`expire`](WaitWord::expire)), and wakes it: it is polled again, and waits
//! again. So to all others the word is as it would be without polls, and a poll's waiter is used once, too.
//!
//! [`Flags`] are sticky and are stored before the word, so that whoever sees an event's `READY` sees
//! its flags. The poller may skip writing `READY` over `READY`: the operation clears it later than
//! the poller looked, and so calls later than the socket became ready. But not if it has stored
//! flags: the clearing must acquire them.
//!
//! The word knows waiters as numbers (of [`corio::reactor::Waiter::into_raw`]) and nothing about
//! parking, so that loom can run it.
//!
//! Next in the reading order: `direction`, whose word it is.

use crate::prim::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::num::NonZeroUsize;

/// A waiter as a number with its low three bits clear, which keeps it apart from the other states.
/// It stands for the right to wake, so whoever holds it must wake, publish or cancel it, once.
pub(crate) type RawWaiter = NonZeroUsize;

const NIL: usize = 0;
const READY: usize = 1;
const CLOSED: usize = 2;
/// Values from here on are waiters.
const FIRST_WAITER: usize = 8;

/// See the module's table.
#[derive(Debug)]
#[doc(alias = "netpollblock")]
#[doc(alias = "netpollunblock")]
pub(crate) struct WaitWord(AtomicUsize);

/// What an operation found when it wanted to park.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publish {
    /// The waiter is in the word: the caller must park.
    Waiting,
    /// An event came first: the caller keeps the waiter, cancels it and tries again.
    Ready,
    /// The caller keeps the waiter and gives up.
    Closed,
}

/// What is in the word, as far as an operation cares.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// `NIL`.
    Nil,
    /// `READY`.
    Ready,
    /// A waiter.
    Waiting,
    /// `CLOSED`.
    Closed,
}

/// What `close` found.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// Closed by this call; the waiter that was there is the caller's to wake.
    First(Option<RawWaiter>),
    /// Was closed before.
    Again,
}

impl WaitWord {
    /// A closed word: descriptors are born unused.
    pub(crate) fn new() -> Self {
        WaitWord(AtomicUsize::new(CLOSED))
    }

    /// Opens the word as `READY`: the first operation tries. Only when the descriptor is given out.
    pub(crate) fn reset(&self) {
        // Release: partner of the Acquires below; the descriptor's other fields are visible with it.
        self.0.store(READY, Ordering::Release);
    }

    /// What is in the word now.
    #[inline]
    pub(crate) fn state(&self) -> State {
        // Acquire: partner of the Releases in `ready`, `close` and `reset`.
        match self.0.load(Ordering::Acquire) {
            NIL => State::Nil,
            READY => State::Ready,
            CLOSED => State::Closed,
            _ => State::Waiting,
        }
    }

    /// Clears `READY` before a try. `false`: the word is closed. Only with the turn.
    #[inline]
    #[must_use]
    pub(crate) fn clear(&self) -> bool {
        // Acquire, here and below: partner of the Release in `ready`; flags stored before an event
        // are visible to whoever clears it.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            match seen {
                NIL => return true,
                CLOSED => return false,
                _ => debug_assert_eq!(seen, READY, "two operations on one word"),
            }
            match self
                .0
                .compare_exchange_weak(seen, NIL, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// Puts the caller's waiter into the word. Only with the turn.
    #[inline]
    pub(crate) fn publish(&self, waiter: RawWaiter) -> Publish {
        debug_assert!(waiter.get() >= FIRST_WAITER);
        // Release: partner of the Acquires in `ready`, `expire`, `close`; what the operation stored
        // before (its limit) is visible to whoever takes the waiter. Acquire: as in `clear`.
        match self
            .0
            .compare_exchange(NIL, waiter.get(), Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Publish::Waiting,
            Err(CLOSED) => Publish::Closed,
            Err(found) => {
                debug_assert_eq!(found, READY, "two operations on one word");
                Publish::Ready
            }
        }
    }

    /// An event: `READY`, unless closed. Returns the waiter that it ends. `flagged`: flags were
    /// stored for this event.
    #[inline]
    #[must_use]
    pub(crate) fn ready(&self, flagged: bool) -> Option<RawWaiter> {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if seen == CLOSED || (seen == READY && !flagged) {
                return None;
            }
            // Release: partner of the Acquires in `clear`, `publish` and `state`: the flags. Acquire:
            // partner of the Release in `publish`.
            match self
                .0
                .compare_exchange_weak(seen, READY, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return waiter(seen),
                Err(found) => seen = found,
            }
        }
    }

    /// Takes the waiter out without an event: its time is up, or it is a poll's that has no turn. It looks at the
    /// clock itself, so taking it out too early costs a wake-up and nothing else.
    #[must_use]
    pub(crate) fn expire(&self) -> Option<RawWaiter> {
        let seen = self.0.load(Ordering::Relaxed);
        waiter(seen)?;
        // Acquire: partner of the Release in `publish`. A failure means that somebody else wakes it;
        // if a later operation has parked since, it has looked at its deadline after us.
        self.0
            .compare_exchange(seen, NIL, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .and_then(waiter)
    }

    /// Closes the word.
    pub(crate) fn close(&self) -> Close {
        // Release: partner of the Acquire in `state`. Acquire: partner of the Release in `publish`.
        match self.0.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => Close::Again,
            seen => Close::First(waiter(seen)),
        }
    }
}

fn waiter(value: usize) -> Option<RawWaiter> {
    (value >= FIRST_WAITER)
        .then(|| RawWaiter::new(value))
        .flatten()
}

/// What events have said about a socket so far. Bits are only added, until the descriptor is reused.
///
/// Any of them means that a short read can't be trusted to have emptied the socket: after a hang-up
/// or an error there is one more result to fetch and no further edge; and urgent data splits a read
/// without another edge.
#[derive(Debug)]
pub(crate) struct Flags(AtomicU8);

impl Flags {
    /// The peer shut down, or we did.
    pub(crate) const HANG_UP: u8 = 1;
    /// The socket has or had an error.
    pub(crate) const ERROR: u8 = 2;
    /// Urgent ("out-of-band") data was seen.
    pub(crate) const PRIORITY: u8 = 4;

    /// No flags.
    pub(crate) fn new() -> Self {
        Flags(AtomicU8::new(0))
    }

    /// Adds an event's flags; the event's [`WaitWord::ready`] follows.
    #[inline]
    pub(crate) fn add(&self, flags: u8) {
        // Relaxed: published by the word.
        self.0.fetch_or(flags, Ordering::Relaxed);
    }

    /// Has there been any?
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Has there been this one?
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.0.load(Ordering::Relaxed) & flag != 0
    }

    /// Forgets all. Only when the descriptor is given out.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn raw(number: usize) -> RawWaiter {
        RawWaiter::new(number * 8).unwrap()
    }

    fn open() -> WaitWord {
        let word = WaitWord::new();
        word.reset();
        word
    }

    #[test]
    fn an_event_before_parking_is_not_lost() {
        let word = open();
        assert!(word.clear());
        assert_eq!(word.ready(false), None);
        assert_eq!(word.publish(raw(1)), Publish::Ready);
        assert!(word.clear());
        assert_eq!(word.publish(raw(1)), Publish::Waiting);
        assert_eq!(word.state(), State::Waiting);
        assert_eq!(word.ready(false), Some(raw(1)));
        assert_eq!(word.state(), State::Ready);
        assert_eq!(word.ready(true), None);
    }

    #[test]
    fn a_waiter_is_handed_out_once() {
        let word = open();
        assert!(word.clear());
        assert_eq!(word.publish(raw(1)), Publish::Waiting);
        assert_eq!(word.expire(), Some(raw(1)));
        assert_eq!(word.expire(), None);
        assert_eq!(word.state(), State::Nil);
        assert_eq!(word.close(), Close::First(None));
    }

    #[test]
    fn closed_stays_closed_until_reset() {
        let word = open();
        assert!(word.clear());
        assert_eq!(word.publish(raw(1)), Publish::Waiting);
        assert_eq!(word.close(), Close::First(Some(raw(1))));
        assert_eq!(word.close(), Close::Again);
        assert_eq!(word.ready(true), None);
        assert_eq!(word.expire(), None);
        assert!(!word.clear());
        assert_eq!(word.publish(raw(2)), Publish::Closed);
        assert_eq!(word.state(), State::Closed);
        word.reset();
        assert_eq!(word.state(), State::Ready);
    }
}
