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
//! | `WOKEN` | somebody was woken and competes | who wakes it, under the queue's lock | whoever competes, when it gets the lock, queues again or gives up |
//! | `STARVING` | the lock is only handed over | who lost for too long; who hands over, for the time of that | who empties the queue; who was handed the lock soon |
//! | the rest | how many readers are in | readers; who lets waiting readers in | readers |
//!
//! # Who comes first
//!
//! As with the mutex (`raw`), an open lock is for whoever comes, and the first in the queue is woken to
//! compete for it, for [`PATIENCE`] at most; if that is a reader, all readers in the queue are. Besides,
//! while readers are in, others don't get in if a writer waits; or that might wait for ever for a moment
//! without readers. (`PARKED` doesn't tell who waits, so they have to look at the queue to find out.)
//! With `RECURSIVE` they do, since one of those who are in may be the caller; then writers can starve.
//!
//! Letting waiting readers in at once whenever a writer leaves, as Go does, was tried: it leaves the lock in
//! the hands of many who don't run yet, and everybody else queues up behind them. With 64 goroutines on two
//! Ps that read nine times out of ten nearly every lock parked.
//!
//! # No wake-up is lost
//!
//! All decisions about who is next are made by [`settle`](RawRwLock::settle), under the queue's lock. It is
//! called whenever something has changed that may let the first in the queue in: the writer, the upgradable
//! reader or the last reader leaves, a writer becomes a reader, or somebody in the queue, or who competes,
//! gives up. Whoever queues has, in one operation under the queue's lock, seen that it can't get in and set
//! `PARKED`; whoever leaves later sees that. It is left to those who compete while `WOKEN` is set: whoever
//! takes that away has got the lock, or has seen in the same operation that others have it, so that
//! somebody is still to leave; and it settles, since it may have kept readers out while readers were in.

use super::{COMPETE, Core, End, HANDED, PATIENCE, Spin, Wait, Waiters};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::sync::waitq::{Batch, NOT_POPPED, Node, WaitList};
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
/// What also those mind who were first in the queue: they needn't wait for those behind them.
const FIRST: u32 = UPGRADING | STARVING;
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

    /// Does a lock with this `word` let somebody in who, while others are in, `minds` those of the bits in
    /// [`WAITING`]?
    #[inline]
    fn admits(want: Want, word: u32, minds: u32) -> bool {
        let shut = if word & HELD == 0 {
            minds & FIRST
        } else {
            minds
        };
        match want {
            Want::Read => {
                word & (shut | WRITER) == 0
                    || RECURSIVE && word & WRITER == 0 && word & (READERS | UPGRADABLE) != 0
            }
            Want::Upgradable => word & (shut | WRITER | UPGRADABLE) == 0,
            Want::Write => word & (HELD | STARVING) == 0,
            Want::Upgrade => word & READERS == 0,
        }
    }

    /// Gets in if nobody is in the way.
    #[inline]
    pub(super) fn try_enter(&self, want: Want) -> bool {
        self.take(want, WAITING, 0, None)
    }

    /// Gets in, at once if nobody is there.
    #[inline]
    pub(super) fn enter(&self, want: Want) {
        let word = match want {
            Want::Write => 0,
            _ => self.core.word.load(Ordering::Relaxed),
        };
        // Acquire: partner of the Releases in `leave` and `change`.
        if !Self::admits(want, word, WAITING)
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
            let (mut minds, mine) = if woken { (FIRST, WOKEN) } else { (WAITING, 0) };
            if self.take(want, minds, mine, None) {
                if woken && self.is_waited_for() {
                    self.settle(self.core.waiters(), 0);
                }
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
            let waiters = self.core.waiters_to_join();
            // Readers need not wait for an upgradable reader that waits for another one.
            if want == Want::Read && !woken && !waits(&waiters, Want::Write) {
                minds &= !PARKED;
            }
            let queue = if expired {
                0
            } else if want == Want::Upgrade {
                PARKED | UPGRADING
            } else if woken && now - since > PATIENCE {
                PARKED | STARVING
            } else {
                PARKED
            };
            let entered = self.take(want, minds, mine, Some(queue));
            if entered || expired {
                if woken {
                    self.settle(waiters, 0);
                }
                return entered;
            }
            let end = if woken || want == Want::Upgrade {
                End::Front
            } else {
                End::Back
            };
            match waiters.wait(want.wait(end, deadline)) {
                HANDED => {
                    self.handed(since);
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

    /// Gets in if nobody is in the way whom it `minds`, and takes the bits `mine` away. Else, if it is to
    /// `queue`, takes them away too and sets those bits, in one operation with seeing that.
    #[inline]
    fn take(&self, want: Want, minds: u32, mine: u32, queue: Option<u32>) -> bool {
        let word = &self.core.word;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let admitted = Self::admits(want, seen, minds);
            let next = match queue {
                _ if admitted => {
                    assert!(
                        want != Want::Read || seen < MAX_READERS,
                        "too many readers of an RwLock"
                    );
                    seen.wrapping_add(want.bits()) & !mine
                }
                Some(queue) => seen & !mine | queue,
                None => seen,
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

    /// The caller, who waits since `since`, was handed the lock: is it time to compete again?
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
        // Release: partner of the Acquire in `take` and `settle`.
        let before = self.core.word.fetch_sub(was.bits(), Ordering::Release);
        let plain = match was {
            // Others may be in, and those who wait, wait for the last.
            Want::Read => before >= READER && before & (READERS | PARKED) != READER | PARKED,
            _ => before & !READERS == was.bits(),
        };
        if !plain {
            self.left(was, before);
        }
    }

    /// The rest of leaving, if others wait or the caller wasn't in.
    #[inline(never)]
    fn left(&self, was: Want, before: u32) {
        if !Self::is_in(was, before) {
            self.core.word.fetch_add(was.bits(), Ordering::Relaxed);
            not_held(was);
        }
        let left = before.wrapping_sub(was.bits());
        // If the lock is open now and somebody competes, that one takes care of the rest.
        if left & PARKED != 0 && left & (HELD | STARVING | WOKEN) != WOKEN {
            self.settle(self.core.waiters(), 0);
        }
    }

    /// Leaves, and hands the lock over to those who wait.
    #[inline(never)]
    pub(super) fn leave_to_others(&self, was: Want) {
        let word = &self.core.word;
        let waiters = self.core.waiters();
        let mut seen = word.load(Ordering::Relaxed);
        if !Self::is_in(was, seen) {
            drop(waiters);
            not_held(was);
        }
        let close = loop {
            let close = STARVING & !seen;
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

    /// Lets everybody in whose turn it is, or, if the lock is open, wakes the first to compete. In the end takes
    /// the bits `close` away.
    fn settle(&self, mut waiters: Waiters<'_>, close: u32) {
        let word = &self.core.word;
        let mut admitted = Batch::new();
        let mut competing = Batch::new();
        loop {
            let seen = word.load(Ordering::Relaxed);
            // The writer, or who competes, will see to the rest.
            if seen & WRITER != 0 || seen & (HELD | STARVING | WOKEN) == WOKEN {
                break;
            }
            let next = if seen & UPGRADING != 0 {
                Want::Upgrade
            } else {
                match waiters.first().map(|first| first.tag) {
                    None => break,
                    Some(tag) if tag == Want::Read as usize => Want::Read,
                    Some(tag) if tag == Want::Upgradable as usize => {
                        // Behind one that waits for another one, readers may go on.
                        let free = seen & UPGRADABLE == 0;
                        if free || waits(&waiters, Want::Write) || !waits(&waiters, Want::Read) {
                            Want::Upgradable
                        } else {
                            Want::Read
                        }
                    }
                    Some(_) => Want::Write,
                }
            };
            let competes = seen & (HELD | STARVING) == 0;
            let now = match next {
                _ if competes => seen | WOKEN,
                Want::Upgrade if seen & READERS == 0 => seen.wrapping_add(next.bits()) & !UPGRADING,
                // One for all; the others are added below.
                Want::Read => seen + READER,
                Want::Upgradable if seen & UPGRADABLE == 0 => seen | UPGRADABLE,
                Want::Write if seen & HELD == 0 => seen | WRITER,
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
            let batch = if competes {
                &mut competing
            } else {
                &mut admitted
            };
            let is_next = |node: &Node| node.tag == next as usize;
            let count = match next {
                Want::Read => waiters.pop_each(batch, is_next),
                Want::Upgrade => batch.extend(waiters.pop_where(is_next)),
                _ => batch.extend(waiters.pop_if(is_next)),
            };
            if next == Want::Read && !competes && count > 1 {
                let others = READER.wrapping_mul(count as u32 - 1);
                word.fetch_add(others, Ordering::Relaxed);
            } else if count == 0 && competes {
                word.fetch_and(!WOKEN, Ordering::Relaxed);
            } else if count == 0 {
                // Everybody whose turn it was had timed out. What was added is there still, as only those
                // for whom it was would take it away.
                word.fetch_sub(now.wrapping_sub(seen), Ordering::Release);
                if next == Want::Upgrade {
                    break;
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
        competing.wake_all(COMPETE);
    }
}

/// Is somebody in the queue who wants this?
fn waits(waiters: &WaitList, want: Want) -> bool {
    waiters.any(|node| node.tag == want as usize)
}

impl<const RECURSIVE: bool> fmt::Debug for RawRwLock<RECURSIVE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.core.word.load(Ordering::Relaxed);
        f.debug_struct("RawRwLock")
            .field("readers", &(word / READER))
            .field("upgradable", &(word & UPGRADABLE != 0))
            .field("writer", &(word & WRITER != 0))
            .field("waiting", &self.core.waiting())
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
