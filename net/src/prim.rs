//! The only door to atomics, fences and locks, so that loom can stand behind it.
//!
//! Under `cfg(loom)` only the pure state machines are compiled ([`word`](crate::word),
//! [`direction`](crate::direction)), over loom's types; the models in `models` explore the very code
//! that sockets run.

/// Atomics and their orderings, from std or, in models, from loom.
pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(all(loom, test))]
pub(crate) use model::without;
#[cfg(loom)]
pub(crate) use model::{Mutex, MutexGuard};

/// The sequentially consistent fences of this crate, by name.
///
/// Each stands in a Dekker pair: both sides write, fence, then read what the other wrote, so that at
/// least one of them sees the other. [`direction`](crate::direction) has the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// An operation published its waiter; deadline and armed timer are read next.
    /// Partners: [`Site::Deadline`], [`Site::Fire`].
    Park,
    /// An operation queued for its turn; deadline and armed timer are read next.
    /// Partner: [`Site::Deadline`].
    Queue,
    /// A deadline was stored; the waiter, the queue and the armed timer are read next.
    /// Partners: [`Site::Park`], [`Site::Queue`], [`Site::Fire`].
    Deadline,
    /// The timer has fired and is no longer armed; waiter, queue and deadline are read next.
    /// Partners: [`Site::Park`], [`Site::Deadline`].
    Fire,
}

/// A sequentially consistent fence; see [`Site`] for its partners.
#[inline(always)]
pub(crate) fn fence(site: Site) {
    #[cfg(loom)]
    if model::removed(site) {
        return;
    }
    let _ = site;
    atomic::fence(atomic::Ordering::SeqCst);
}

/// loom's lock with parking_lot's signature, and mutants: fences that a model takes away to show
/// that it would notice.
#[cfg(loom)]
mod model {
    use super::Site;
    use std::sync::PoisonError;

    pub(crate) use loom::sync::MutexGuard;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    static REMOVED: std::sync::Mutex<Option<Site>> = std::sync::Mutex::new(None);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

    pub(super) fn removed(site: Site) -> bool {
        *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) == Some(site)
    }

    /// Takes the fence at `site` away (or none) until the guard is dropped. The mutant must not
    /// change during an exploration, so models exclude each other.
    pub(crate) fn without(site: Option<Site>) -> Without {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) = site;
        Without { _alone: alone }
    }

    /// Puts the fence back when dropped.
    pub(crate) struct Without {
        _alone: std::sync::MutexGuard<'static, ()>,
    }

    impl Drop for Without {
        fn drop(&mut self) {
            *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}
