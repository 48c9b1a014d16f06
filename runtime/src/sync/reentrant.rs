//! `ReentrantMutex`: a mutex that its owner may lock again.
//!
//! The owner is a goroutine, or a plain thread, and never the thread that a goroutine happens to run on:
//! it stays the owner when it goes on on another one, and another goroutine on the same thread is not.
//! Both have numbers from one sequence that is never used twice, so that a guard that was forgotten by a
//! goroutine that has ended makes nobody else the owner; a slot's address, as cheap to get, would.

use super::raw::mutex::RawMutex;
use crate::sched::current;
use std::num::NonZeroUsize;

/// Names the goroutine or plain thread that calls, for lock_api.
#[derive(Debug)]
pub struct RawGoroutineId(());

// SAFETY: the numbers are given out once, and kept until the goroutine or thread ends.
unsafe impl lock_api::GetThreadId for RawGoroutineId {
    const INIT: RawGoroutineId = RawGoroutineId(());

    fn nonzero_thread_id(&self) -> NonZeroUsize {
        let id = current::g().id();
        usize::try_from(id)
            .ok()
            .and_then(NonZeroUsize::new)
            .expect("goroutines are numbered from 1")
    }
}

/// A mutex that its owner may lock again.
///
/// Mirrors `parking_lot::ReentrantMutex`, but its owner is a goroutine, or a plain thread, and not the
/// thread that a goroutine runs on. As its guards may coexist, they give only shared access.
///
/// # Blocking
///
/// As [`Mutex`](super::Mutex).
///
/// # Panics
///
/// If it is locked more often than a `usize` counts.
///
/// ```
/// use corio::sync::ReentrantMutex;
/// use std::cell::RefCell;
///
/// let log = ReentrantMutex::new(RefCell::new(Vec::new()));
/// let outer = log.lock();
/// outer.borrow_mut().push(1);
/// log.lock().borrow_mut().push(2);
/// assert_eq!(*outer.borrow(), [1, 2]);
/// ```
pub type ReentrantMutex<T> = lock_api::ReentrantMutex<RawMutex, RawGoroutineId, T>;

/// Shared access to what a [`ReentrantMutex`] guards; unlocks once when dropped. Not `Send`.
pub type ReentrantMutexGuard<'a, T> =
    lock_api::ReentrantMutexGuard<'a, RawMutex, RawGoroutineId, T>;

/// Shared access to a part of what a [`ReentrantMutex`] guards, from `ReentrantMutexGuard::map`.
pub type MappedReentrantMutexGuard<'a, T> =
    lock_api::MappedReentrantMutexGuard<'a, RawMutex, RawGoroutineId, T>;
