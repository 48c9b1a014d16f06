//! The wait group's word: how many are still to be done, and whether anybody waits for that.
//!
//! ```text
//!   63                                1     0
//!  +----------------------------------+------+
//!  | counter (signed, 63 bits)        |WAITED|
//!  +----------------------------------+------+
//! ```
//!
//! | counter | `WAITED` | meaning | changed by, to |
//! | --- | --- | --- | --- |
//! | 0 | no | nothing to wait for | `add` → more than 0 |
//! | more than 0 | no | nobody waits | `add`, `done`; the first who waits → `WAITED` |
//! | more than 0 | yes | somebody is in the queue | `add`, `done`; the last who gives up → not `WAITED` |
//! | 0 | yes | the generation is over, its waiters are still to be let go | `release` → not `WAITED` |
//! | less than 0 | either | one `done` too many is about to panic | it, by taking itself back |
//!
//! `WAITED` is set and cleared by holders of the queue's lock only. `done` is one read-modify-write that
//! looks at nothing first: many goroutines end at once, and a compare-exchange would make them fight.
//! It therefore can't keep the counter from reaching 0 under the lock, and whoever takes it there
//! releases the waiters *afterwards*. What must not happen in between is that the next generation begins:
//! its waiters would join the queue and be let go by the last generation's `release`. So `add` never
//! leaves the state (0, `WAITED`): it helps to release first.
//!
//! A `release` that comes late, after such help, finds either not `WAITED`, or a counter above 0, and does
//! nothing; or (0, `WAITED`) of a later generation, which is over as well.

use crate::prim::atomic::{AtomicU64, Ordering};

pub(super) const WAITED: u64 = 1;
const ONE: u64 = 2;
/// The largest counter. Far from where the sign bit is, so that even many at once who add to it don't
/// reach that.
pub(crate) const MAX: u64 = 1 << 60;

/// See the module's table.
#[derive(Debug)]
pub(crate) struct WaitGroupWord(AtomicU64);

/// What `add` did.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is counted.
    Counted,
    /// Nothing yet: the last generation's waiters must be released first. Then try again.
    ReleaseFirst,
    /// Nothing: the counter would get too large.
    TooMany,
}

/// What `done` found.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Others are still to be done, or nobody waits.
    Counted,
    /// It was the last: the caller releases the waiters.
    Release,
    /// Nothing was to be done any more. It was taken back; if `release`, waiters are to be released that
    /// were misled meanwhile.
    Negative {
        /// See above.
        release: bool,
    },
}

impl WaitGroupWord {
    /// Nothing to wait for.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        WaitGroupWord(AtomicU64::new(0))
    }

    /// Nothing to wait for.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        WaitGroupWord(AtomicU64::new(0))
    }

    /// How many are still to be done.
    pub(crate) fn count(&self) -> u64 {
        // Acquire: partner of the Release in `done`; what they did is visible to who finds none left.
        let word = self.0.load(Ordering::Acquire);
        counter(word).max(0) as u64
    }

    /// Adds `n` to the counter.
    pub(crate) fn add(&self, n: u64) -> Added {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if n == 0 {
                return Added::Counted;
            }
            if seen == WAITED {
                return Added::ReleaseFirst;
            }
            if n > MAX || counter(seen) > (MAX - n) as i64 {
                return Added::TooMany;
            }
            // Relaxed: an `add` says nothing about memory.
            match self.0.compare_exchange_weak(
                seen,
                seen.wrapping_add(n * ONE),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Added::Counted,
                Err(found) => seen = found,
            }
        }
    }

    /// Takes one off the counter.
    #[inline]
    pub(crate) fn done(&self) -> Done {
        // Release: partner of the Acquires in `count`, `enlist` and `release`, each of which sees what all
        // did who were done: a read-modify-write does not end the release sequences before it.
        let before = self.0.fetch_sub(ONE, Ordering::Release);
        if before == ONE | WAITED {
            return Done::Release;
        }
        if counter(before) > 0 {
            return Done::Counted;
        }
        self.take_back()
    }

    #[cold]
    fn take_back(&self) -> Done {
        let before = self.0.fetch_add(ONE, Ordering::Relaxed);
        Done::Negative {
            release: before.wrapping_add(ONE) == WAITED,
        }
    }

    /// Somebody wants to wait. `false`: nothing is to be done, don't. Only under the queue's lock.
    #[must_use]
    pub(crate) fn enlist(&self) -> bool {
        // Acquire, here and on failure: partner of the Release in `done`.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if counter(seen) == 0 {
                return false;
            }
            if seen & WAITED != 0 {
                return true;
            }
            // Relaxed: who waits goes on after a `release` under the same lock, or gives up.
            match self.0.compare_exchange_weak(
                seen,
                seen | WAITED,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// The last who waited gave up. Only under the queue's lock, by whoever took the last out.
    pub(crate) fn nobody_waits(&self) {
        let before = self.0.fetch_sub(WAITED, Ordering::Relaxed);
        debug_assert_ne!(before & WAITED, 0, "there was somebody in the queue");
    }

    /// Ends the generation. `true`: the caller lets everybody in the queue go. Only under the queue's lock.
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        // Acquire: partner of the Releases in `done`; whoever is let go sees what all did. (0, `WAITED`) is
        // only left under the lock, so this fails only if somebody else has released.
        self.0
            .compare_exchange(WAITED, 0, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }
}

fn counter(word: u64) -> i64 {
    word as i64 >> 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_up_and_down() {
        let word = WaitGroupWord::new();
        assert_eq!(word.add(2), Added::Counted);
        assert_eq!(word.count(), 2);
        assert_eq!(word.done(), Done::Counted);
        assert_eq!(word.done(), Done::Counted);
        assert_eq!(word.count(), 0);
    }

    #[test]
    fn the_last_releases_whoever_waits() {
        let word = WaitGroupWord::new();
        assert!(!word.enlist(), "nothing to wait for");
        assert_eq!(word.add(2), Added::Counted);
        assert!(word.enlist());
        assert!(word.enlist());
        assert_eq!(word.done(), Done::Counted);
        assert!(!word.release(), "one is left");
        assert_eq!(word.done(), Done::Release);
        assert!(word.release());
        assert!(!word.release(), "only once");
    }

    #[test]
    fn a_generation_ends_before_the_next_begins() {
        let word = WaitGroupWord::new();
        assert_eq!(word.add(1), Added::Counted);
        assert!(word.enlist());
        assert_eq!(word.done(), Done::Release);
        assert_eq!(word.add(0), Added::Counted);
        assert_eq!(word.add(1), Added::ReleaseFirst);
        assert!(!word.enlist(), "it is over");
        assert!(word.release());
        assert_eq!(word.add(1), Added::Counted);
        assert!(word.enlist());
        assert!(!word.release(), "a late release of the last generation");
    }

    #[test]
    fn one_too_many_changes_nothing() {
        let word = WaitGroupWord::new();
        assert_eq!(word.done(), Done::Negative { release: false });
        assert_eq!(word.count(), 0);
        assert_eq!(word.add(MAX), Added::Counted);
        assert_eq!(word.add(1), Added::TooMany);
        assert_eq!(word.add(u64::MAX), Added::TooMany);
        assert_eq!(word.count(), MAX);
    }

    #[test]
    fn giving_up_leaves_no_trace() {
        let word = WaitGroupWord::new();
        assert_eq!(word.add(1), Added::Counted);
        assert!(word.enlist());
        word.nobody_waits();
        assert_eq!(word.done(), Done::Counted);
    }
}
