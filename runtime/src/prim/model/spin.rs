//! [`SpinLock`](crate::prim::spin) for models: the same interface over loom's mutex.
//!
//! A thread that spins would make loom explore every number of rounds. The real lock has a model of its
//! own (`models::spin`), which shows what is relied on here: one holder at a time, and each sees what
//! those before did.

use loom::sync::{Mutex, MutexGuard};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

/// See the module's head.
pub(crate) struct SpinLock<T> {
    /// Made when it is used first, because loom can't make one in a `const fn`.
    lock: OnceLock<Mutex<()>>,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex lets one thread at a time to the value; that sends it from thread to thread.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Access to what a [`SpinLock`] guards, until dropped.
pub(crate) struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    _locked: MutexGuard<'a, ()>,
}

impl<T> SpinLock<T> {
    /// An open lock.
    pub(crate) const fn new(value: T) -> Self {
        SpinLock {
            lock: OnceLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock.
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        let lock = self.lock.get_or_init(|| Mutex::new(()));
        SpinGuard {
            lock: self,
            _locked: lock.lock().expect("loom's mutexes are not poisoned"),
        }
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard's thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard's thread holds the lock, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinLock")
    }
}
