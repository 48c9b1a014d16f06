//! The raw reader-writer lock.
//!
//! # The word
//!
//! | bits | meaning | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `WRITER` | held to write | the writer; who hands it over, for the new owner | the writer |
//! | `UPGRADABLE` | held to read, and perhaps to write later; readers may be in | likewise | its holder |
//! | `UPGRADING` | the holder of `UPGRADABLE` waits for the readers to leave; it is in the queue | that holder | who lets it in, or that holder at its deadline; under the queue's lock |
//! | `PARKED` | somebody is in the queue | who queues, under the queue's lock | who takes the last one out, under it |
//! | `WOKEN` | a waiting writer was woken and competes | who wakes it, under the queue's lock | that writer, when it gets the lock, queues again or gives up |
//! | `STARVING` | the lock is only handed over | a writer that lost for too long; who hands over, for the time of that | who empties the queue; a writer that was handed the lock soon |
//! | the rest | how many readers are in | readers; who lets waiting readers in | readers |
//!
//! # Who comes first
//!
//! * Readers and upgradable readers don't get in while anybody waits, so writers don't starve. (With
//!   `RECURSIVE`, they do while readers are in, one of whom may be the caller; then writers can starve.)
//! * A writer that unlocks while the first in the queue is a reader lets all waiting readers in before
//!   it opens the lock, so readers don't starve either; they pass the writers among them once.
//! * Among writers it goes as with the mutex (`raw`): whoever comes may take an open lock, and one that
//!   waits competes, for [`PATIENCE`] at most.
//!
//! # No wake-up is lost
//!
//! All decisions about who is next are made by [`settle`](RawRwLock::settle), under the queue's lock. It is
//! called whenever something has changed that may let the first in the queue in: the writer, the upgradable
//! reader or the last reader leaves, a writer becomes a reader, or somebody in the queue, or the competing
//! writer, gives up. Whoever queues has, in one operation under the queue's lock, seen that it can't get in
//! and set `PARKED`; whoever leaves later sees that.

use super::{COMPETE, Core, End, HANDED, PATIENCE, Spin, Wait, Waiters};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::sync::waitq::{Batch, NOT_POPPED};
use std::fmt;

const WRITER: u32 = 1;
const UPGRADABLE: u32 = 2;
const UPGRADING: u32 = 4;
const PARKED: u32 = 8;
const WOKEN: u32 = 16;
const STARVING: u32 = 32;
const READER: u32 = 64;

const READERS: u32 = !(READER - 1);
/// Somebody is in.
const HELD: u32 = READERS | UPGRADABLE | WRITER;
/// Somebody waits, or is on its way.
const WAITING: u32 = UPGRADING | PARKED | WOKEN | STARVING;
/// More readers than this aren't let in. The counter can hold twice as many, since the check and the
/// change are not always one operation.
const MAX_READERS: u32 = READERS / 2;

/// The lock of an [`RwLock`](super::super::rwlock::RwLock), without the data: for use through
/// [`lock_api`]'s traits. If `RECURSIVE`, of a
/// [`RecursiveRwLock`](super::super::rwlock::RecursiveRwLock).
///
/// # Panics
///
/// Unlocking, upgrading and downgrading panic if the lock isn't held in that way. Reading panics if
/// 33,554,432 readers are in, which takes forgotten guards.
pub struct RawRwLock<const RECURSIVE: bool = false> {
    core: Core,
}

/// What somebody wants; the tag of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Upgradable,
    Write,
    /// Holding `UPGRADABLE`.
    Upgrade,
}

impl Want {
    /// What having it adds to the word.
    fn bits(self) -> u32 {
        match self {
            Want::Read => READER,
            Want::Upgradable => UPGRADABLE,
            Want::Write => WRITER,
            Want::Upgrade => WRITER.wrapping_sub(UPGRADABLE),
        }
    }

    fn wait(self, end: End, deadline: u64) -> Wait {
        Wait {
            reason: match self {
                Want::Read | Want::Upgradable => WaitReason::RwLockRead,
                Want::Write | Want::Upgrade => WaitReason::RwLockWrite,
            },
            tag: self as usize,
            end,
            deadline,
        }
    }
}

impl<const RECURSIVE: bool> RawRwLock<RECURSIVE> {
    /// An open lock.
    pub(super) const fn new() -> Self {
        RawRwLock {
            core: Core::new(AtomicU32::new(0)),
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.core.word.load(Ordering::Relaxed) & HELD != 0
    }

    pub(super) fn is_held_to_write(&self) -> bool {
        self.core.word.load(Ordering::Relaxed) & WRITER != 0
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.core.word.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Does a lock with this `word` let somebody in?
    #[inline]
    fn admits(want: Want, word: u32) -> bool {
        match want {
            Want::Read => {
                word & WRITER == 0
                    && (word & WAITING == 0 || RECURSIVE && word & (READERS | UPGRADABLE) != 0)
            }
            Want::Upgradable => word & (WRITER | UPGRADABLE | WAITING) == 0,
            Want::Write => word & (HELD | STARVING) == 0,
            Want::Upgrade => word & READERS == 0,
        }
    }

    /// Gets in if nobody is in the way.
    #[inline]
    pub(super) fn try_enter(&self, want: Want) -> bool {
        self.take(want, false, 0, 0)
    }

    /// Gets in, at once if nobody is there.
    #[inline]
    pub(super) fn enter(&self, want: Want) {
        let word = match want {
            Want::Write => 0,
            _ => self.core.word.load(Ordering::Relaxed),
        };
        // Acquire: partner of the Releases in `leave` and `change`.
        if !Self::admits(want, word)
            || word >= MAX_READERS
            || self
                .core
                .word
                .compare_exchange_weak(
                    word,
                    word.wrapping_add(want.bits()),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_err()
        {
            self.enter_by(want, NEVER);
        }
    }

    /// Gets in, or returns `false` when the deadline has passed.
    #[inline(never)]
    pub(super) fn enter_by(&self, want: Want, deadline: u64) -> bool {
        let mut spin = Spin::new();
        let mut woken = false;
        // When it first queued; 0: it has not.
        let mut since = 0;
        loop {
            if self.take(want, woken, 0, 0) {
                return true;
            }
            if spin.again() {
                continue;
            }
            let now = clock::now();
            if since == 0 {
                since = now;
            }
            let expired = deadline <= now;
            let waiters = self.core.waiters();
            let leave = if woken { WOKEN } else { 0 };
            let queue = if expired {
                0
            } else if want == Want::Upgrade {
                PARKED | UPGRADING
            } else if woken && now - since > PATIENCE {
                PARKED | STARVING
            } else {
                PARKED
            };
            if self.take(want, woken, leave, queue) {
                return true;
            }
            if expired {
                // Readers may have been kept out for its sake.
                if woken {
                    self.settle(waiters, 0);
                }
                return false;
            }
            let end = if woken || want == Want::Upgrade {
                End::Front
            } else {
                End::Back
            };
            match waiters.wait(want.wait(end, deadline)) {
                HANDED => {
                    if want == Want::Write {
                        self.handed(since);
                    }
                    return true;
                }
                NOT_POPPED => {
                    let waiters = self.core.waiters();
                    if want == Want::Upgrade {
                        self.core.word.fetch_and(!UPGRADING, Ordering::Relaxed);
                    }
                    self.settle(waiters, 0);
                    return false;
                }
                _ => {
                    woken = true;
                    spin = Spin::new();
                }
            }
        }
    }

    /// Gets in if nobody is in the way; then takes `WOKEN` away if that is the caller's. Else, in one
    /// operation with seeing that, takes the bits `leave` away and sets `queue`.
    #[inline]
    fn take(&self, want: Want, woken: bool, leave: u32, queue: u32) -> bool {
        let word = &self.core.word;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let admitted = Self::admits(want, seen);
            let next = if admitted {
                assert!(
                    want != Want::Read || seen < MAX_READERS,
                    "too many readers of an RwLock"
                );
                seen.wrapping_add(want.bits()) & if woken { !WOKEN } else { !0 }
            } else {
                seen & !leave | queue
            };
            if next == seen {
                return false;
            }
            // Acquire: partner of the Releases in `leave` and `change`.
            match word.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return admitted,
                Err(found) => seen = found,
            }
        }
    }

    /// The writer, who waits since `since`, was handed the lock: is it time to compete again?
    fn handed(&self, since: u64) {
        if self.core.word.load(Ordering::Relaxed) & STARVING != 0
            && clock::now() - since <= PATIENCE
        {
            self.core.word.fetch_and(!STARVING, Ordering::Relaxed);
        }
    }

    /// A reader, upgradable reader or writer leaves.
    #[inline]
    pub(super) fn leave(&self, was: Want) {
        if was == Want::Write {
            // Release: partner of the Acquire in `take`. Not by subtracting: if readers wait they are to
            // be let in before the lock is open.
            if self
                .core
                .word
                .compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed)
                .is_err()
            {
                self.leave_to_others(was, false);
            }
            return;
        }
        // Release: partner of the Acquire in `take` and `settle`.
        let before = self.core.word.fetch_sub(was.bits(), Ordering::Release);
        let others = match was {
            Want::Read => before & READERS != READER,
            _ => before & UPGRADABLE == 0,
        };
        if others || before & PARKED != 0 {
            self.left(was, before);
        }
    }

    /// The rest of leaving, if the word said more than that the caller was in.
    fn left(&self, was: Want, before: u32) {
        if !Self::is_in(was, before) {
            self.core.word.fetch_add(was.bits(), Ordering::Relaxed);
            not_held(was);
        }
        let last = was != Want::Read || before & READERS == READER;
        if last && before & PARKED != 0 {
            self.settle(self.core.waiters(), 0);
        }
    }

    /// Leaves, and hands the lock over to those who wait if `fair` or if the first is not a writer.
    #[inline(never)]
    pub(super) fn leave_to_others(&self, was: Want, fair: bool) {
        let word = &self.core.word;
        let waiters = self.core.waiters();
        let mut seen = word.load(Ordering::Relaxed);
        if !Self::is_in(was, seen) {
            drop(waiters);
            not_held(was);
        }
        let hand_over = fair
            || waiters
                .first()
                .is_some_and(|first| first.tag != Want::Write as usize);
        let close = loop {
            let close = if hand_over { STARVING & !seen } else { 0 };
            // Release: partner of the Acquire in `take` and `settle`.
            match word.compare_exchange_weak(
                seen,
                seen.wrapping_sub(was.bits()) | close,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break close,
                Err(found) => seen = found,
            }
        };
        self.settle(waiters, close);
    }

    /// Turns one way of being in into a weaker one.
    pub(super) fn change(&self, from: Want, to: Want) {
        let word = self.core.word.load(Ordering::Relaxed);
        if !Self::is_in(from, word) {
            not_held(from);
        }
        if to == Want::Read && word >= MAX_READERS {
            self.leave(from);
            panic!("too many readers of an RwLock");
        }
        // Release: partner of the Acquire in `take` and `settle`.
        let before = self
            .core
            .word
            .fetch_add(to.bits().wrapping_sub(from.bits()), Ordering::Release);
        if before & PARKED != 0 {
            self.settle(self.core.waiters(), 0);
        }
    }

    fn is_in(was: Want, word: u32) -> bool {
        let bits = match was {
            Want::Read => READERS,
            Want::Upgradable | Want::Upgrade => UPGRADABLE,
            Want::Write => WRITER,
        };
        word & bits != 0
    }

    /// Demands that the lock is held as the caller says; for what doesn't find out by itself.
    pub(super) fn demand(&self, was: Want) {
        if !Self::is_in(was, self.core.word.load(Ordering::Relaxed)) {
            not_held(was);
        }
    }

    /// Lets everybody in whose turn it is, or wakes a writer to compete. In the end takes the bits `close`
    /// away.
    fn settle(&self, mut waiters: Waiters<'_>, close: u32) {
        let word = &self.core.word;
        let mut admitted = Batch::new();
        let mut competitor = None;
        loop {
            let seen = word.load(Ordering::Relaxed);
            // The writer will settle, or the one that competes will take the lock or settle.
            if seen & WRITER != 0 || seen & (HELD | STARVING | WOKEN) == WOKEN {
                break;
            }
            let next = if seen & UPGRADING != 0 {
                Want::Upgrade
            } else {
                match waiters.first().map(|first| first.tag) {
                    None => break,
                    Some(tag) if tag == Want::Read as usize => Want::Read,
                    Some(tag) if tag == Want::Upgradable as usize => Want::Upgradable,
                    Some(_) => Want::Write,
                }
            };
            let (now, competes) = match next {
                Want::Upgrade if seen & READERS == 0 => {
                    (seen.wrapping_add(next.bits()) & !UPGRADING, false)
                }
                // One for all; the others are added below.
                Want::Read => (seen + READER, false),
                Want::Upgradable if seen & UPGRADABLE == 0 => (seen | UPGRADABLE, false),
                Want::Write if seen & HELD == 0 && seen & STARVING == 0 => (seen | WOKEN, true),
                Want::Write if seen & HELD == 0 => (seen | WRITER, false),
                _ => break,
            };
            // First the word and then the queue: a waiter that was taken out can't be put back. Acquire:
            // partner of the Releases in `leave` and `change`, on behalf of who is let in, who gets it
            // by being woken.
            if word
                .compare_exchange_weak(seen, now, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            // Everybody whose node it was may have timed out: then that is taken back.
            if next == Want::Read {
                let count = waiters.pop_each(&mut admitted, |node| node.tag == next as usize);
                let more = READER.wrapping_mul(count as u32).wrapping_sub(READER);
                word.fetch_add(more, Ordering::Release);
                continue;
            }
            let popped = match next {
                Want::Upgrade => waiters.pop_where(|node| node.tag == next as usize),
                _ => waiters.pop_if(|node| node.tag == next as usize),
            };
            match popped {
                Some(first) if competes => {
                    competitor = Some(first);
                    break;
                }
                Some(first) => admitted.push(first),
                None => {
                    // Bits that were taken are there still, as only their holder takes them away.
                    word.fetch_sub(now.wrapping_sub(seen), Ordering::Release);
                    if next == Want::Upgrade {
                        break;
                    }
                }
            }
        }
        let open = if waiters.is_empty() {
            PARKED | STARVING
        } else {
            close
        };
        if open != 0 {
            word.fetch_and(!open, Ordering::Relaxed);
        }
        drop(waiters);
        admitted.wake_all(HANDED);
        if let Some(competitor) = competitor {
            competitor.wake(COMPETE);
        }
    }
}

impl<const RECURSIVE: bool> fmt::Debug for RawRwLock<RECURSIVE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.core.word.load(Ordering::Relaxed);
        f.debug_struct("RawRwLock")
            .field("readers", &(word / READER))
            .field("upgradable", &(word & UPGRADABLE != 0))
            .field("writer", &(word & WRITER != 0))
            .field("queued", &(word & PARKED != 0))
            .finish()
    }
}

#[cold]
#[inline(never)]
fn not_held(was: Want) -> ! {
    let how = match was {
        Want::Read => "to read",
        Want::Upgradable | Want::Upgrade => "to read upgradably",
        Want::Write => "to write",
    };
    panic!("unlock of an RwLock that is not locked {how}")
}
