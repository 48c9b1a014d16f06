//! The wait word: which wait of a goroutine is open, and the token of the user's `unpark`.
//!
//! A wait that several parties compete to end (a channel peer, a timer, a context) is named by
//! (slot, sequence). Whoever claims it holds the right to make the goroutine ready; everybody else
//! finds the word changed. The sequence is never reset, not even when the slot goes to another
//! goroutine, so a name that is out of date can't match: a timer may hold one for hours, and nobody
//! needs to be told that a wait is over.
//!
//! ```text
//!   63                          8   2   1    0
//!  +------------------------------+---+----+----+
//!  | sequence (56 bits)           |TOK|USER|OPEN|
//!  +------------------------------+---+----+----+
//! ```
//!
//! | bits | meaning | changed by, to |
//! | --- | --- | --- |
//! | none | no wait is open | owner → `OPEN` with the next sequence |
//! | `OPEN` | an internal wait is open | claimer → not open |
//! | `OPEN+USER` | the goroutine is in `corio::park` | claimer (a timeout) or `unpark` → not open |
//! | `TOKEN` (with any but `OPEN+USER`) | `unpark` came first | the next `corio::park` takes it |
//!
//! The user's token shares the word, but not the meaning: only a wait opened as `USER` can be ended
//! by `unpark`, so a stray `unpark` never ends a channel wait. A word of its own would need the
//! sequence once more, because an unparker that has swapped in its token must still name the wait it
//! saw.

use crate::prim::atomic::{AtomicU64, Ordering};

pub(super) const OPEN: u64 = 1;
pub(super) const USER: u64 = 2;
pub(super) const TOKEN: u64 = 4;
const SEQ: u32 = 8;
const ONE: u64 = 1 << SEQ;

/// See the module's table.
#[derive(Debug)]
pub(crate) struct WaitWord(AtomicU64);

/// Names one wait of one slot for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seq(u64);

/// What `unpark` found.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unparked {
    /// It was in `park`: the caller holds the right to make it ready.
    Claimed,
    /// It was not: the token is there for its next `park`.
    Token,
    /// The goroutine is gone.
    Gone,
}

impl Seq {
    /// As a number that fits a timer's argument.
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// From [`Seq::get`].
    pub(crate) fn from_raw(raw: u64) -> Seq {
        Seq(raw)
    }
}

impl WaitWord {
    /// A word with no open wait.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        WaitWord(AtomicU64::new(0))
    }

    /// Opens the owner's next wait. Only by the owner, and only when none is open.
    #[inline]
    pub(crate) fn open(&self) -> Seq {
        // Release: partner of the Acquire in `claim`; what the owner prepared is visible.
        let before = self.0.fetch_add(ONE + OPEN, Ordering::Release);
        debug_assert_eq!(before & OPEN, 0, "a wait is open already");
        Seq((before >> SEQ) + 1)
    }

    /// Opens a wait that `unpark` may end; `None` if its token was there already, and is now taken.
    pub(crate) fn open_user(&self) -> Option<Seq> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            debug_assert_eq!(seen & OPEN, 0, "a wait is open already");
            let next = if seen & TOKEN != 0 {
                seen & !TOKEN
            } else {
                seen + ONE + OPEN + USER
            };
            // Acquire: partner of the Release in `unpark`, so that what the unparker wrote before
            // is visible. Release: partner of the Acquire in `claim`.
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if seen & TOKEN != 0 => return None,
                Ok(_) => return Some(Seq(next >> SEQ)),
                Err(found) => seen = found,
            }
        }
    }

    /// Ends the wait `seq` if it is still open. One caller in the world gets `true`.
    #[inline]
    pub(crate) fn claim(&self, seq: Seq) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen >> SEQ != seq.0 || seen & OPEN == 0 {
                return false;
            }
            // Acquire: partner of the Release in `open`.
            match self.0.compare_exchange_weak(
                seen,
                seen & !(OPEN | USER),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// Is the wait `seq` still open? Only a hint: it may be claimed at once.
    pub(crate) fn is_open(&self, seq: Seq) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        seen >> SEQ == seq.0 && seen & OPEN != 0
    }

    /// The user's `unpark`. `same` tells whether the slot still holds the goroutine meant; it is
    /// asked between reading and changing the word, and a slot that changes hands in between has
    /// moved the sequence on, which makes the change fail.
    pub(crate) fn unpark(&self, same: impl Fn() -> bool) -> Unparked {
        // Acquire: partner of the Release in `retire`, to make the `same` that follows fresh, and in
        // `open_user`.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if !same() {
                return Unparked::Gone;
            }
            let (next, found) = if seen & USER != 0 {
                (seen & !(OPEN | USER), Unparked::Claimed)
            } else {
                // With the token there already this is a write that changes nothing, but it
                // releases what this unparker did before.
                (seen | TOKEN, Unparked::Token)
            };
            // Release: partner of the Acquire in `open_user`. What the owner did before it opened
            // the wait was acquired when `seen` was read.
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return found,
                Err(now) => seen = now,
            }
        }
    }

    /// The slot gets a new goroutine: moves the sequence on and drops the token that the last one may
    /// have left. Only by the slot's holder, after the last goroutine's number is gone and with no wait
    /// open. An `unpark` that still saw that number fails its compare-exchange over the new sequence.
    #[inline]
    pub(crate) fn retire(&self) {
        let seen = self.0.load(Ordering::Relaxed);
        // Release: partner of the Acquire in `unpark`.
        self.0.store(((seen >> SEQ) + 1) << SEQ, Ordering::Release);
    }
}
