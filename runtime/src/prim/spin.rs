//! A lock for a few instructions.
//!
//! Channels, wait queues and whatever else a user may have a million of need a lock of one byte that is
//! cheap to take and cheaper to give back: one compare-exchange and one store. (`parking_lot`'s needs
//! an atomic exchange for the second, because it must find out whether somebody sleeps.) The price is
//! that whoever waits can't sleep on the lock, so it may only guard code that neither blocks nor runs
//! anything of the user's, and is over in well under a microsecond.
//!
//! The holder may still be descheduled by the operating system in the middle. So a waiter spins only
//! briefly, then gives its time slice away, then sleeps in small steps: a thread of lower priority, such
//! as a reniced hog, gets to run and to unlock.

use crate::prim::atomic::{AtomicBool, Ordering};
use crate::prim::hint::spin_loop;
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Rounds of spinning, each twice as long as the one before, before the thread yields.
const SPINS: u32 = 6;
/// Rounds until it sleeps.
const YIELDS: u32 = 40;
/// How long it sleeps at a time.
const NAP: Duration = Duration::from_micros(50);

/// See the module's head.
pub(crate) struct SpinLock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time to the value; that sends it from thread to thread.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Access to what a [`SpinLock`] guards, until dropped.
pub(crate) struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    /// Guards stay on their thread: nobody switches while holding one.
    _here: std::marker::PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// An open lock.
    pub(crate) const fn new(value: T) -> Self {
        SpinLock {
            locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        // Acquire: partner of the Release in `drop`.
        if self
            .locked
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slow();
        }
        SpinGuard {
            lock: self,
            _here: std::marker::PhantomData,
        }
    }

    #[cold]
    fn lock_slow(&self) {
        let mut round = 0;
        loop {
            if !self.locked.load(Ordering::Relaxed)
                && self
                    .locked
                    .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            if round < SPINS {
                for _ in 0..1 << round {
                    spin_loop();
                }
            } else if round < YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
            }
            round += 1;
        }
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard's thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard's thread holds the lock, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: partner of the Acquire in `lock`.
        self.lock.locked.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinLock")
    }
}
