//! `lock_os_thread`: a goroutine and its thread stay together.

use crate::prim::atomic::Ordering;
use crate::sched::current;
use std::marker::PhantomData;

/// Keeps the goroutine on its thread until dropped; made by [`lock_os_thread`]. Not `Send`: it
/// belongs to the goroutine.
#[must_use = "the goroutine is free to move again when the guard is dropped"]
#[derive(Debug)]
pub struct OsThreadLock {
    _not_send: PhantomData<*mut ()>,
}

/// Ties the calling goroutine to the thread it runs on, and the thread to it, until the guard is
/// dropped: it is resumed on no other, and no other goroutine runs there.
///
/// For thread-locals that must survive blocking calls, and for foreign libraries that insist on one
/// thread. Every switch then costs two thread wake-ups. Locks nest. A goroutine that ends while
/// locked takes its thread with it. On a plain thread nothing changes.
///
/// Mirrors Go's `runtime.LockOSThread`; the guard stands for `UnlockOSThread`.
///
/// ```
/// corio::spawn(|| {
///     let _lock = corio::lock_os_thread();
///     let before = std::thread::current().id();
///     corio::yield_now();
///     assert_eq!(std::thread::current().id(), before);
/// })
/// .join()
/// .unwrap();
/// ```
#[doc(alias = "LockOSThread")]
pub fn lock_os_thread() -> OsThreadLock {
    change(|locks| locks + 1);
    OsThreadLock {
        _not_send: PhantomData,
    }
}

impl Drop for OsThreadLock {
    fn drop(&mut self) {
        change(|locks| locks - 1);
    }
}

fn change(by: impl FnOnce(u32) -> u32) {
    if let Some(g) = current::goroutine() {
        // SAFETY: the caller is this goroutine.
        let run = unsafe { g.run() };
        let locks = by(run.locks.get());
        run.locks.set(locks);
        current::m().locked.store(locks > 0, Ordering::Relaxed);
    }
}
