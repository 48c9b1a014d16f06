//! The raw mutex.
//!
//! # The word
//!
//! | bit | meaning | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `LOCKED` | somebody has it | whoever takes it; who hands it over, for the new owner | the owner |
//! | `PARKED` | somebody is in the queue | who queues, under the queue's lock | who takes the last one out, under it |
//! | `WOKEN` | a waiter was woken and competes | who wakes it, under the queue's lock | that waiter, when it gets the lock, queues again or gives up |
//! | `STARVING` | the lock is only handed over | a waiter that lost for too long, as it queues again | who empties the queue; an owner that was handed the lock soon |
//!
//! `LOCKED` is taken only while neither `LOCKED` nor `STARVING` is set.
//!
//! # No wake-up is lost
//!
//! Whoever queues has, under the queue's lock, seen `LOCKED` or `STARVING` and set `PARKED` in one
//! operation. If it saw `LOCKED`, the owner's unlock comes later and finds `PARKED`. If it saw only
//! `STARVING`, an unlocker has opened the lock and is about to take the queue's lock, in order to hand it
//! over ([`settle`](RawMutex::settle)). An unlock that leaves somebody queued wakes nobody only if
//! `WOKEN` is set; and the waiter that this stands for either takes the lock, so that its own unlock
//! follows, or takes `WOKEN` away in the same operation in which it sees `LOCKED` or `STARVING` again,
//! so that another unlock follows.

use super::{COMPETE, Core, End, HANDED, PATIENCE, Spin, Wait, Waiters};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::sync::waitq::{Batch, NOT_POPPED};
use lock_api::GuardNoSend;
use std::fmt;
use std::time::{Duration, Instant};

const LOCKED: u32 = 1;
const PARKED: u32 = 2;
const WOKEN: u32 = 4;
const STARVING: u32 = 8;

/// The lock of a [`Mutex`](super::super::mutex::Mutex), without the data: for use through
/// [`lock_api`]'s traits.
///
/// # Panics
///
/// `unlock` and `unlock_fair` panic if the mutex isn't locked.
pub struct RawMutex {
    core: Core,
}

// SAFETY: `LOCKED` is set by one caller at a time, which then has the lock; taking it acquires what the
// unlock before released.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is how lock_api spells a const fn new"
    )]
    const INIT: RawMutex = RawMutex {
        core: Core::new(AtomicU32::new(0)),
    };

    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        // Acquire: partner of the Release in `unlock`.
        if self
            .core
            .word
            .compare_exchange_weak(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.compete(NEVER, false);
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        let mut word = self.core.word.load(Ordering::Relaxed);
        while word & (LOCKED | STARVING) == 0 {
            // Acquire: partner of the Release in `unlock`.
            match self.core.word.compare_exchange_weak(
                word,
                word | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(GuardNoSend::new()),
                Err(found) => word = found,
            }
        }
        None
    }

    #[inline]
    unsafe fn unlock(&self, _guard: GuardNoSend) {
        self.open();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.core.word.load(Ordering::Relaxed) & LOCKED != 0
    }
}

// SAFETY: handing over passes `LOCKED` on to one waiter; waking it synchronises with it.
unsafe impl lock_api::RawMutexFair for RawMutex {
    #[inline]
    unsafe fn unlock_fair(&self, _guard: GuardNoSend) {
        // Release: partner of the Acquire in whatever takes the lock.
        if self
            .core
            .word
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.hand_over();
        }
    }

    #[inline]
    unsafe fn bump(&self, guard: &mut GuardNoSend) {
        if self.core.word.load(Ordering::Relaxed) & PARKED != 0 {
            self.hand_over();
            *guard = lock_api::RawMutex::lock(self);
        }
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        self.try_lock_by(|| clock::after(timeout))
    }

    #[inline]
    fn try_lock_until(&self, timeout: Instant) -> Option<GuardNoSend> {
        self.try_lock_by(|| clock::at(timeout))
    }
}

impl RawMutex {
    #[inline]
    fn try_lock_by(&self, deadline: impl FnOnce() -> u64) -> Option<GuardNoSend> {
        lock_api::RawMutex::try_lock(self)
            .or_else(|| self.compete(deadline(), false).then(GuardNoSend::new))
    }

    /// Gives the lock back.
    #[inline]
    pub(super) fn open(&self) {
        // Release: partner of the Acquire in whatever takes the lock. One instruction, where taking the
        // bit away by compare-exchange would have to retry when somebody queues meanwhile.
        let before = self.core.word.fetch_sub(LOCKED, Ordering::Release);
        if before != LOCKED {
            self.opened(before);
        }
    }

    /// The rest of unlocking, if the word said more than `LOCKED`.
    #[inline(never)]
    fn opened(&self, before: u32) {
        if before & LOCKED == 0 {
            self.core.word.fetch_add(LOCKED, Ordering::Relaxed);
            not_locked();
        }
        // Somebody competes already.
        if before & (WOKEN | STARVING) != WOKEN {
            self.settle(self.core.waiters());
        }
    }

    /// If the lock is open, and somebody waits whom nobody else will wake: wakes it, or hands the lock
    /// over to it.
    fn settle(&self, mut waiters: Waiters<'_>) {
        let word = &self.core.word;
        loop {
            let seen = word.load(Ordering::Relaxed);
            if seen & LOCKED != 0 {
                return;
            }
            if waiters.is_empty() {
                word.fetch_and(!(PARKED | STARVING), Ordering::Relaxed);
                return;
            }
            let (bit, outcome) = match seen & (STARVING | WOKEN) {
                0 => (WOKEN, COMPETE),
                WOKEN => return,
                _ => (LOCKED, HANDED),
            };
            // Acquire: partner of the Release in `open`; the new owner gets it by being woken.
            if word
                .compare_exchange_weak(seen, seen | bit, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            match waiters.pop() {
                Some(first) => {
                    self.popped(&waiters);
                    drop(waiters);
                    return first.wake(outcome);
                }
                // All who were queued had timed out.
                None => word.fetch_and(!bit, Ordering::Release),
            };
        }
    }

    /// One has been taken out of the queue.
    fn popped(&self, waiters: &Waiters<'_>) {
        if waiters.is_empty() {
            self.core
                .word
                .fetch_and(!(PARKED | STARVING), Ordering::Relaxed);
        }
    }

    /// Gives the lock to the first in the queue, or back if there is none.
    #[cold]
    fn hand_over(&self) {
        if self.core.word.load(Ordering::Relaxed) & LOCKED == 0 {
            not_locked();
        }
        let mut waiters = self.core.waiters();
        let first = waiters.pop();
        self.popped(&waiters);
        drop(waiters);
        match first {
            Some(first) => first.wake(HANDED),
            None => self.open(),
        }
    }

    /// Gets the lock, or returns `false` when the deadline has passed. `woken`: the caller is the one
    /// that `WOKEN` stands for.
    #[inline(never)]
    pub(super) fn compete(&self, deadline: u64, mut woken: bool) -> bool {
        let mut spin = Spin::new();
        // When it first queued; 0: it has not.
        let mut since = 0;
        loop {
            if self.take(woken, 0, 0).is_ok() {
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
            let starving = woken && now - since > PATIENCE;
            let waiters = self.core.waiters_to_join();
            let leave = if woken { WOKEN } else { 0 };
            let queue = match (expired, starving) {
                (true, _) => 0,
                (false, false) => PARKED,
                (false, true) => PARKED | STARVING,
            };
            if self.take(woken, leave, queue).is_ok() {
                return true;
            }
            if expired {
                return false;
            }
            let outcome = waiters.wait(Wait {
                reason: WaitReason::Mutex,
                tag: 0,
                end: if woken { End::Front } else { End::Back },
                deadline,
            });
            match outcome {
                HANDED => {
                    self.handed(since);
                    return true;
                }
                NOT_POPPED => {
                    self.settle(self.core.waiters());
                    return false;
                }
                _ => {
                    woken = true;
                    spin = Spin::new();
                }
            }
        }
    }

    /// Takes the lock if it is to be had, and `WOKEN` away if that is the caller's. Else, in one
    /// operation with seeing that, takes the bits `leave` away and sets `queue`.
    #[inline]
    fn take(&self, woken: bool, leave: u32, queue: u32) -> Result<(), ()> {
        let word = &self.core.word;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let free = seen & (LOCKED | STARVING) == 0;
            let next = match (free, woken) {
                (true, true) => (seen | LOCKED) & !WOKEN,
                (true, false) => seen | LOCKED,
                (false, _) => seen & !leave | queue,
            };
            if next == seen {
                return Err(());
            }
            // Acquire: partner of the Release in `open`.
            match word.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return if free { Ok(()) } else { Err(()) },
                Err(found) => seen = found,
            }
        }
    }

    /// The caller, who waits since `since`, was handed the lock: is it time to compete again?
    pub(super) fn handed(&self, since: u64) {
        if self.core.word.load(Ordering::Relaxed) & STARVING != 0
            && clock::now() - since <= PATIENCE
        {
            self.core.word.fetch_and(!STARVING, Ordering::Relaxed);
        }
    }

    /// Waiters of a condition variable, which now wait for the lock.
    pub(super) fn requeue(&self, batch: Batch) {
        let mut waiters = self.core.waiters();
        waiters.append(batch);
        self.core.word.fetch_or(PARKED, Ordering::Relaxed);
        self.settle(waiters);
    }
}

impl fmt::Debug for RawMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.core.word.load(Ordering::Relaxed);
        f.debug_struct("RawMutex")
            .field("locked", &(word & LOCKED != 0))
            .field("waiting", &self.core.waiting())
            .finish()
    }
}

#[cold]
#[inline(never)]
fn not_locked() -> ! {
    panic!("unlock of a mutex that is not locked")
}
