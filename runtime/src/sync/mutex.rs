//! `Mutex` and `FairMutex`: mutual exclusion between goroutines and threads.
//!
//! The types are lock_api's, as parking_lot's are, over the raw lock of [`raw::mutex`](super::raw::mutex):
//! users find the guards and methods they know, and code that is generic over lock_api works.

use super::raw::mutex::RawMutex;
use lock_api::{RawMutexFair, RawMutexTimed};
use std::time::{Duration, Instant};

/// Mutual exclusion between goroutines and threads, in any mix.
///
/// Mirrors `parking_lot::Mutex`: no poisoning (a panic unlocks), `const fn new`, timeouts, explicitly fair
/// unlocking, mapped guards. Unlike [`std::sync::Mutex`]'s, its guards may be held across switch points,
/// and a goroutine that waits for it parks instead of blocking its thread. The lock takes 24 bytes, and
/// waiting for it allocates nothing.
///
/// # Fairness
///
/// `unlock` wakes the first waiter but lets whoever comes first have the lock, which is what makes it
/// fast. As in Go, a waiter that has tried for 1 ms is handed the lock by the next unlock. See
/// [`FairMutex`] and `MutexGuard::unlock_fair` for handing it over every time.
///
/// # Blocking
///
/// `lock`, `try_lock_for`, `try_lock_until`, and `MutexGuard`'s `bump` and `unlocked` are switch points if
/// somebody else has the lock. Nothing else is; in particular, unlocking never switches. Locking a mutex
/// that the caller holds already blocks for ever.
///
/// ```
/// use corio::{go, sync::Mutex};
/// use std::sync::Arc;
///
/// static HITS: Mutex<u64> = Mutex::new(0);
///
/// let handles: Vec<_> = (0..10)
///     .map(|_| go!(|| *HITS.lock() += 1))
///     .collect();
/// for handle in handles {
///     handle.join().unwrap();
/// }
/// assert_eq!(*HITS.lock(), 10);
/// ```
///
/// With a timeout:
///
/// ```
/// use corio::sync::Mutex;
/// use std::time::Duration;
///
/// let mutex = Mutex::new(());
/// let held = mutex.lock();
/// assert!(mutex.try_lock_for(Duration::from_millis(1)).is_none());
/// ```
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// Access to what a [`Mutex`] guards; unlocks it when dropped.
///
/// Not `Send`: it is dropped by the goroutine or thread that has locked.
///
/// ```compile_fail,E0277
/// static MUTEX: corio::sync::Mutex<u32> = corio::sync::Mutex::new(0);
/// let held = MUTEX.lock();
/// corio::go!(move || drop(held));
/// ```
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// Access to a part of what a [`Mutex`] guards, from `MutexGuard::map`.
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

/// A [`Mutex`] that is always handed over to the first who waits.
///
/// Mirrors `parking_lot::FairMutex`. As there, somebody who doesn't wait may get in between: fairness is
/// about those who wait. Each unlock under contention costs a switch; that is what [`Mutex`] avoids.
///
/// ```
/// use corio::sync::FairMutex;
///
/// let turn = FairMutex::new(0);
/// *turn.lock() += 1;
/// assert_eq!(turn.into_inner(), 1);
/// ```
pub type FairMutex<T> = lock_api::Mutex<RawFairMutex, T>;

/// Access to what a [`FairMutex`] guards; hands it over when dropped.
pub type FairMutexGuard<'a, T> = lock_api::MutexGuard<'a, RawFairMutex, T>;

/// Access to a part of what a [`FairMutex`] guards, from `FairMutexGuard::map`.
pub type MappedFairMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawFairMutex, T>;

/// The lock of a [`FairMutex`], without the data.
#[derive(Debug)]
pub struct RawFairMutex(RawMutex);

// SAFETY: a `RawMutex` that is unlocked in the other of its two ways.
unsafe impl lock_api::RawMutex for RawFairMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is how lock_api spells a const fn new"
    )]
    const INIT: RawFairMutex = RawFairMutex(RawMutex::INIT);

    type Guard = <RawMutex as lock_api::RawMutex>::Guard;

    #[inline]
    fn lock(&self) -> Self::Guard {
        self.0.lock()
    }

    #[inline]
    fn try_lock(&self) -> Option<Self::Guard> {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self, guard: Self::Guard) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.unlock_fair(guard) }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as above.
unsafe impl RawMutexFair for RawFairMutex {
    #[inline]
    unsafe fn unlock_fair(&self, guard: Self::Guard) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.unlock_fair(guard) }
    }

    #[inline]
    unsafe fn bump(&self, guard: &mut Self::Guard) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.bump(guard) }
    }
}

// SAFETY: as above.
unsafe impl RawMutexTimed for RawFairMutex {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Duration) -> Option<Self::Guard> {
        self.0.try_lock_for(timeout)
    }

    #[inline]
    fn try_lock_until(&self, timeout: Instant) -> Option<Self::Guard> {
        self.0.try_lock_until(timeout)
    }
}
