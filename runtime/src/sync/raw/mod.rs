//! What the locks are made of: a word that says who has the lock, and a queue of those who wait for it.
//!
//! A [`Core`] is both, in 24 bytes with a word of four. The word is for everybody, and all that a lock costs while nobody
//! waits is one atomic operation on it to take it and one to give it back. The queue is guarded by a lock
//! of one byte that lies beside it; what must be decided together with the queue is decided while
//! holding that.
//!
//! # How those who wait get it
//!
//! Handing a lock over to the first who waits is fair and slow: nobody can have it between the unlock and
//! the moment the waiter runs again, so under contention every lock costs a switch. So `unlock` only
//! opens the lock and wakes one waiter, who then *competes* with whoever is running anyway (Go and
//! parking_lot do the same). Two rules keep that fair:
//!
//! * One competitor at a time: while a woken waiter is on its way (bit `WOKEN`), nobody else is woken.
//! * Patience is bounded: a waiter that competes and loses goes back to the *front* of the queue; if it has
//!   waited for longer than [`PATIENCE`] by then, it sets `STARVING`. From then on nobody gets the lock
//!   but the first in the queue, by being handed it, until one is handed it that waited for less, or the
//!   queue is empty.
//!
//! The queue's length doesn't matter: whoever is at its front gets the lock 1 ms later at most, plus what
//! the holders of the lock and the scheduler take.
//!
//! # Spinning
//!
//! Most locks are held for less time than a switch takes. If other Ps run, and the caller's P has nothing
//! else to run, it looks at the word for about a microsecond before it queues ([`Spin`]), as in Go.
//!
//! Next in the reading order: `mutex`, `rwlock`, `condvar` below; then `channel`, whose `core` is the other user of the queue.

pub(crate) mod condvar;
pub(crate) mod mutex;
pub(crate) mod rwlock;
mod rwlock_traits;

use crate::park::{WaitReason, begin, has_slot, park, take_slot};
use crate::prim::atomic::AtomicU32;
use crate::prim::clock::NEVER;
use crate::prim::spin::{SpinGuard, SpinLock};
use crate::sched::{current, started};
use crate::sync::waitq::{FIRST_OWN, Node, Outcome, WaitList};
use crate::timer;
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Nanoseconds that a waiter may lose against others before the lock is handed over. Go's value.
pub(crate) const PATIENCE: u64 = 1_000_000;

/// The waiter was woken to compete for the lock.
pub(crate) const COMPETE: Outcome = FIRST_OWN;
/// The waiter was handed the lock.
pub(crate) const HANDED: Outcome = FIRST_OWN + 1;

/// How often [`Spin`] lets its caller look again.
const LOOKS: u32 = 4;
/// Pauses between two looks; each takes a few nanoseconds.
const PAUSES: u32 = 30;

/// A word, and a queue with a lock of its own. See the module's head.
pub(crate) struct Core<W = AtomicU32> {
    /// What it means is its lock's business.
    pub(crate) word: W,
    // Not a `SpinLock<WaitList>`: that would have padding where the word is.
    lock: SpinLock<()>,
    waiters: UnsafeCell<WaitList>,
}

// SAFETY: the queue is touched under `lock`, and may be sent to whoever holds that.
unsafe impl<W: Send> Send for Core<W> {}
// SAFETY: as above.
unsafe impl<W: Sync> Sync for Core<W> {}

// Nothing of the user's runs while the word and the queue are changed.
impl<W> UnwindSafe for Core<W> {}
impl<W> RefUnwindSafe for Core<W> {}

/// The queue of a [`Core`], locked until dropped.
pub(crate) struct Waiters<'a, W = AtomicU32> {
    core: &'a Core<W>,
    _locked: SpinGuard<'a, ()>,
}

/// Which end of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Back,
    Front,
}

/// What a wait is, for dumps and for whoever looks at the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) reason: WaitReason,
    /// The node's tag.
    pub(crate) tag: usize,
    pub(crate) end: End,
    /// On the timers' clock; [`NEVER`] for a wait without end.
    pub(crate) deadline: u64,
}

impl<W> Core<W> {
    /// With this word, and nobody waiting.
    pub(crate) const fn new(word: W) -> Core<W> {
        Core {
            word,
            lock: SpinLock::new(()),
            waiters: UnsafeCell::new(WaitList::new()),
        }
    }

    /// Locks the queue, for a caller that may wait.
    pub(crate) fn waiters_to_join(&self) -> Waiters<'_, W> {
        if !has_slot() {
            // Not under the lock.
            take_slot();
        }
        self.waiters()
    }

    /// Locks the queue, for a caller that won't wait.
    pub(crate) fn waiters(&self) -> Waiters<'_, W> {
        Waiters {
            core: self,
            _locked: self.lock.lock(),
        }
    }

    /// How many wait, for `Debug`.
    pub(crate) fn waiting(&self) -> usize {
        let mut count = 0;
        self.waiters().any(|_| {
            count += 1;
            false
        });
        count
    }
}

impl<W> Waiters<'_, W> {
    /// Queues the caller, who has locked the queue with [`waiters_to_join`](Core::waiters_to_join), opens the queue's lock and blocks until somebody wakes it or the deadline has
    /// come: then it is in the queue no longer, and gets
    /// [`NOT_POPPED`](crate::sync::waitq::NOT_POPPED).
    pub(crate) fn wait(self, wait: Wait) -> Outcome {
        self.wait_after(wait, || ())
    }

    /// As [`wait`](Waiters::wait), but calls `queued` before it blocks, when the caller is in the queue and
    /// the queue's lock is open. It must not park.
    pub(crate) fn wait_after(mut self, wait: Wait, queued: impl FnOnce()) -> Outcome {
        let core = self.core;
        let object = std::ptr::from_ref(core).addr();
        if wait.deadline == NEVER {
            // SAFETY: it is pushed and parked for below, with nothing that parks in between, and only
            // popping ends the wait.
            let node = unsafe { Node::alone(wait.tag, std::ptr::null_mut()) };
            // SAFETY: it lies here until the wait is over.
            unsafe { self.push(&node, wait.end) };
            drop(self);
            queued();
            park(wait.reason, object);
            return node.outcome();
        }
        // SAFETY: it is parked for below, with nothing that parks in between.
        let token = unsafe { begin() };
        let node = Node::contested(token, wait.tag, std::ptr::null_mut());
        // SAFETY: it lies here until the wait is over and it has been removed.
        unsafe { self.push(&node, wait.end) };
        drop(self);
        queued();
        let timer = timer::wake_at(wait.deadline, token);
        park(wait.reason, object);
        timer::cancel(timer);
        let mut waiters = core.waiters();
        // SAFETY: it was pushed to this queue; whoever moved it to another one has popped it there.
        unsafe { waiters.remove(&node) };
        drop(waiters);
        node.outcome()
    }

    /// # Safety
    ///
    /// As [`WaitList::push_back`].
    unsafe fn push(&mut self, node: &Node, end: End) {
        match end {
            // SAFETY: passed on to the caller.
            End::Back => unsafe { self.push_back(node) },
            // SAFETY: passed on to the caller.
            End::Front => unsafe { self.push_front(node) },
        }
    }
}

impl<W> Deref for Waiters<'_, W> {
    type Target = WaitList;

    fn deref(&self) -> &WaitList {
        // SAFETY: the lock is held for as long as `self` lives.
        unsafe { &*self.core.waiters.get() }
    }
}

impl<W> DerefMut for Waiters<'_, W> {
    fn deref_mut(&mut self) -> &mut WaitList {
        // SAFETY: the lock is held for as long as `self` lives, and `self` is borrowed mutably.
        unsafe { &mut *self.core.waiters.get() }
    }
}

/// A bounded number of looks at a lock before queueing for it.
#[derive(Debug)]
pub(crate) struct Spin(u32);

impl Spin {
    /// All looks are left.
    pub(crate) const fn new() -> Spin {
        Spin(LOOKS)
    }

    /// Pauses before the next look. `false`: it isn't worth while, or has been tried for long enough.
    pub(crate) fn again(&mut self) -> bool {
        if self.0 == 0 || (self.0 == LOOKS && !worth_while()) {
            return false;
        }
        self.0 -= 1;
        for _ in 0..PAUSES {
            std::hint::spin_loop();
        }
        true
    }
}

/// May the holder be running meanwhile, and has the caller's P nothing better to do?
fn worth_while() -> bool {
    started().is_some_and(|sched| sched.procs() > 1)
        && current::try_m()
            .and_then(|m| m.p())
            .is_none_or(|p| !p.has_work())
}
