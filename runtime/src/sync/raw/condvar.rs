//! The raw condition variable.
//!
//! First come, first served, as Go's `sync.Cond`. Whoever notifies usually holds the mutex: a waiter that
//! was woken then would run into the locked mutex and park once more. So a notified waiter isn't woken but
//! moved over to the mutex's queue, where unlocking finds it; `notify_all` wakes one at a time that way,
//! not a herd. If the mutex is open, moving over wakes the first.
//!
//! The mutex is remembered while somebody waits (the word is not null): notifiers need it, and waiting with
//! another one meanwhile is refused. It can't go away: everybody in the queue holds a reference to it, and
//! the notifier, having popped somebody, holds that one back until it is done.

use super::mutex::RawMutex;
use super::{COMPETE, Core, End, HANDED, Wait, Waiters};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicPtr, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::sync::waitq::{Batch, NOT_POPPED, Outcome, WaitList};
use lock_api::GuardNoSend;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

/// What a [`Condvar`](super::super::condvar::Condvar) is made of.
///
/// Waits never end spuriously: `notify_one` tells whether it ended one, `notify_all` how many.
pub struct RawCondvar {
    /// The word: whose guards its waiters wait with; null while nobody waits. Changed under the queue's
    /// lock.
    core: Core<AtomicPtr<RawMutex>>,
}

// SAFETY: the caller is in the queue before it unlocks, so every later notification finds it; it always
// returns with the mutex locked. Mixing mutexes panics while the caller still holds its own.
unsafe impl lock_api::RawCondvar for RawCondvar {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is how lock_api spells a const fn new"
    )]
    const INIT: RawCondvar = RawCondvar {
        core: Core::new(AtomicPtr::new(ptr::null_mut())),
    };

    type RawMutex = RawMutex;

    unsafe fn wait(&self, mutex: &RawMutex, _guard: &mut GuardNoSend) {
        self.wait_by(mutex, NEVER);
    }

    #[inline]
    fn notify_one(&self) -> bool {
        // Relaxed: whoever changed the condition under the mutex sees those who waited for it, since they
        // were in the queue before they unlocked; a notification without it comes before or after.
        !self.core.word.load(Ordering::Relaxed).is_null() && self.notify(1) == 1
    }

    #[inline]
    fn notify_all(&self) -> usize {
        if self.core.word.load(Ordering::Relaxed).is_null() {
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
        let wait = Wait {
            reason: WaitReason::Condvar,
            tag: 0,
            end: End::Back,
            deadline,
        };
        let outcome = self.join(mutex).wait_after(wait, || mutex.open());
        if outcome == NOT_POPPED {
            self.left(&self.core.waiters());
        }
        match outcome {
            HANDED => mutex.handed(clock::now()),
            _ => {
                mutex.compete(NEVER, outcome == COMPETE);
            }
        }
        outcome
    }

    /// Locks the queue for a waiter with this mutex.
    fn join(&self, mutex: &RawMutex) -> Waiters<'_, AtomicPtr<RawMutex>> {
        let waiters = self.core.waiters_to_join();
        let mine = ptr::from_ref(mutex).cast_mut();
        let bound = self.core.word.load(Ordering::Relaxed);
        if bound.is_null() {
            self.core.word.store(mine, Ordering::Relaxed);
        } else if bound != mine {
            drop(waiters);
            panic!("attempted to use a condition variable with more than one mutex");
        }
        waiters
    }

    /// Somebody has left the queue.
    fn left(&self, waiters: &WaitList) {
        if waiters.is_empty() {
            self.core.word.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }

    /// Moves up to `most` waiters over to the mutex. How many it were.
    #[cold]
    fn notify(&self, most: usize) -> usize {
        let mut batch = Batch::new();
        let mut count = 0;
        let mut waiters = self.core.waiters();
        let mutex = self.core.word.load(Ordering::Relaxed);
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

impl fmt::Debug for RawCondvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCondvar")
            .field("waiting", &self.core.waiting())
            .finish()
    }
}
