//! The raw condition variable.
//!
//! First come, first served, as Go's `sync.Cond`. Whoever notifies usually holds the mutex: a waiter that
//! was woken then would run into the locked mutex and park once more. So a notified waiter isn't woken but
//! moved over to the mutex's queue, where unlocking finds it; `notify_all` wakes one at a time that way,
//! not a herd. If the mutex is open, moving over wakes the first.
//!
//! The mutex is remembered while somebody waits (`mutex` not null): notifiers need it, and waiting with
//! another one meanwhile is refused. It can't go away: everybody in the queue holds a reference to it, and
//! the notifier, having popped somebody, holds that one back until it is done.

use super::mutex::RawMutex;
use super::{COMPETE, HANDED};
use crate::park::{WaitReason, begin, park};
use crate::prim::atomic::{AtomicPtr, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::prim::spin::{SpinGuard, SpinLock};
use crate::sync::waitq::{Batch, NOT_POPPED, Node, Outcome, WaitList};
use crate::timer;
use lock_api::GuardNoSend;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// What a [`Condvar`](super::super::condvar::Condvar) is made of.
///
/// Waits never end spuriously: `notify_one` tells whether it ended one, `notify_all` how many.
#[derive(Debug)]
pub struct RawCondvar {
    /// Whose guards its waiters wait with; null while nobody waits. Changed under the lock.
    mutex: AtomicPtr<RawMutex>,
    waiters: SpinLock<WaitList>,
}

// Nothing of the user's runs while the queue and the pointer are changed.
impl UnwindSafe for RawCondvar {}
impl RefUnwindSafe for RawCondvar {}

// SAFETY: the caller is in the queue before it unlocks, so every later notification finds it; it always
// returns with the mutex locked. Mixing mutexes panics while the caller still holds its own.
unsafe impl lock_api::RawCondvar for RawCondvar {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is how lock_api spells a const fn new"
    )]
    const INIT: RawCondvar = RawCondvar {
        mutex: AtomicPtr::new(ptr::null_mut()),
        waiters: SpinLock::new(WaitList::new()),
    };

    type RawMutex = RawMutex;

    unsafe fn wait(&self, mutex: &RawMutex, _guard: &mut GuardNoSend) {
        self.wait_by(mutex, NEVER);
    }

    #[inline]
    fn notify_one(&self) -> bool {
        // Relaxed: whoever changed the condition under the mutex sees those who waited for it, since they
        // were in the queue before they unlocked; a notification without it comes before or after.
        !self.mutex.load(Ordering::Relaxed).is_null() && self.notify(1) == 1
    }

    #[inline]
    fn notify_all(&self) -> usize {
        if self.mutex.load(Ordering::Relaxed).is_null() {
            return 0;
        }
        self.notify(usize::MAX)
    }
}

// SAFETY: as for `RawCondvar`.
unsafe impl lock_api::RawCondvarTimed for RawCondvar {
    fn checked_duration_to_instant(timeout: &Duration) -> Option<Instant> {
        Instant::now().checked_add(*timeout)
    }

    unsafe fn wait_until(
        &self,
        mutex: &RawMutex,
        _guard: &mut GuardNoSend,
        timeout: &Instant,
    ) -> bool {
        self.wait_by(mutex, clock::at(*timeout)) == NOT_POPPED
    }

    unsafe fn wait_for(
        &self,
        mutex: &RawMutex,
        _guard: &mut GuardNoSend,
        timeout: &Duration,
    ) -> bool {
        self.wait_by(mutex, clock::after(*timeout)) == NOT_POPPED
    }
}

impl RawCondvar {
    /// Waits for a notification or the deadline, and gets the mutex back.
    fn wait_by(&self, mutex: &RawMutex, deadline: u64) -> Outcome {
        let mut waiters = self.join(mutex);
        let outcome = if deadline == NEVER {
            // SAFETY: it is pushed and parked for below, with nothing in between that parks, and only
            // popping ends the wait.
            let node = unsafe { Node::alone(0, ptr::null_mut()) };
            // SAFETY: it lies here until the wait is over.
            unsafe { waiters.push_back(&node) };
            drop(waiters);
            mutex.open();
            park(WaitReason::Condvar, ptr::from_ref(self).addr());
            node.outcome()
        } else {
            // SAFETY: it is parked for below, with nothing in between that parks.
            let token = unsafe { begin() };
            let node = Node::contested(token, 0, ptr::null_mut());
            // SAFETY: it lies here until the wait is over and it has been removed.
            unsafe { waiters.push_back(&node) };
            drop(waiters);
            mutex.open();
            let timer = timer::wake_at(deadline, token);
            park(WaitReason::Condvar, ptr::from_ref(self).addr());
            timer::cancel(timer);
            let mut waiters = self.waiters.lock();
            // SAFETY: it was pushed to this queue; whoever moved it to the mutex's has popped it there.
            if unsafe { waiters.remove(&node) } {
                self.left(&waiters);
            }
            drop(waiters);
            node.outcome()
        };
        match outcome {
            HANDED => mutex.handed(clock::now()),
            _ => {
                mutex.compete(NEVER, outcome == COMPETE);
            }
        }
        outcome
    }

    /// Locks the queue for a waiter with this mutex.
    fn join(&self, mutex: &RawMutex) -> SpinGuard<'_, WaitList> {
        let waiters = self.waiters.lock();
        let mine = ptr::from_ref(mutex).cast_mut();
        let bound = self.mutex.load(Ordering::Relaxed);
        if bound.is_null() {
            self.mutex.store(mine, Ordering::Relaxed);
        } else if bound != mine {
            drop(waiters);
            panic!("attempted to use a condition variable with more than one mutex");
        }
        waiters
    }

    /// Somebody has left the queue.
    fn left(&self, waiters: &WaitList) {
        if waiters.is_empty() {
            self.mutex.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }

    /// Moves up to `most` waiters over to the mutex. How many it were.
    #[cold]
    fn notify(&self, most: usize) -> usize {
        let mut batch = Batch::new();
        let mut count = 0;
        let mut waiters = self.waiters.lock();
        let mutex = self.mutex.load(Ordering::Relaxed);
        while count < most
            && let Some(first) = waiters.pop()
        {
            batch.push(first);
            count += 1;
        }
        self.left(&waiters);
        drop(waiters);
        if count > 0 {
            // SAFETY: those in the batch came in under the lock with references to this mutex (`join`),
            // and can't go on before they are woken from its queue.
            unsafe { &*mutex }.requeue(batch);
        }
        count
    }
}
