//! `RwLock` and `RecursiveRwLock`: many readers or one writer.
//!
//! lock_api's types, as parking_lot's are, over [`raw::rwlock`](super::raw::rwlock).

use super::raw::rwlock::RawRwLock;

/// Many readers or one writer, goroutines and threads in any mix.
///
/// Mirrors `parking_lot::RwLock`: no poisoning, `const fn new`, upgradable readers, downgrading,
/// timeouts, explicitly fair unlocking, mapped guards. Unlike [`std::sync::RwLock`]'s, its guards may be
/// held across switch points, and a goroutine that waits parks instead of blocking its thread. The lock
/// takes 24 bytes, and waiting for it allocates nothing.
///
/// # Fairness
///
/// Among those who wait it goes as with [`Mutex`](super::Mutex): an open lock is for whoever comes first, and
/// who has tried for 1 ms is handed it. While readers are in, no others get in if a writer waits. So neither
/// readers nor writers starve. (`try_read` gives up if anybody waits, also a second upgradable reader.)
///
/// And so a caller that reads already and reads again may wait for a writer that waits for it: use
/// [`RecursiveRwLock`] for that. As in parking_lot 0.13 it is a type of its own, instead of a method
/// `read_recursive`.
///
/// # Blocking
///
/// `read`, `write`, `upgradable_read`, upgrading, what has a timeout, and the guards' `bump` and
/// `unlocked` are switch points if others are in the way. Nothing else is; in particular, unlocking never
/// switches.
///
/// ```
/// use corio::sync::{RwLock, RwLockUpgradableReadGuard};
///
/// static TABLE: RwLock<Vec<u32>> = RwLock::new(Vec::new());
///
/// TABLE.write().push(1);
/// assert_eq!(TABLE.read().len() + TABLE.read().len(), 2);
///
/// let seen = TABLE.upgradable_read();
/// if !seen.contains(&2) {
///     RwLockUpgradableReadGuard::upgrade(seen).push(2);
/// }
/// assert_eq!(*TABLE.read(), [1, 2]);
/// ```
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// Shared access to what an [`RwLock`] guards; not `Send`.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// Exclusive access to what an [`RwLock`] guards; not `Send`.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// Shared access to what an [`RwLock`] guards that may become exclusive; not `Send`. There is one at a time.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;

/// Shared access to a part of what an [`RwLock`] guards, from `RwLockReadGuard::map`.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// Exclusive access to a part of what an [`RwLock`] guards, from `RwLockWriteGuard::map`.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

/// The lock of a [`RecursiveRwLock`], without the data.
pub type RawRwLockRecursive = RawRwLock<true>;

/// An [`RwLock`] that who reads already may read once more.
///
/// Mirrors `parking_lot::RecursiveRwLock`. While readers are in, others get in too, also when a writer
/// waits: the lock doesn't know who they are. So readers that come all the time can starve writers.
///
/// ```
/// use corio::sync::RecursiveRwLock;
///
/// let lock = RecursiveRwLock::new(5);
/// let outer = lock.read();
/// let inner = lock.read();
/// assert_eq!(*outer, *inner);
/// ```
pub type RecursiveRwLock<T> = lock_api::RwLock<RawRwLockRecursive, T>;

/// Shared access to what a [`RecursiveRwLock`] guards; not `Send`.
pub type RecursiveRwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLockRecursive, T>;

/// Exclusive access to what a [`RecursiveRwLock`] guards; not `Send`.
pub type RecursiveRwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLockRecursive, T>;

/// Shared access to what a [`RecursiveRwLock`] guards that may become exclusive; not `Send`.
pub type RecursiveRwLockUpgradableReadGuard<'a, T> =
    lock_api::RwLockUpgradableReadGuard<'a, RawRwLockRecursive, T>;

/// Shared access to a part of what a [`RecursiveRwLock`] guards.
pub type MappedRecursiveRwLockReadGuard<'a, T> =
    lock_api::MappedRwLockReadGuard<'a, RawRwLockRecursive, T>;

/// Exclusive access to a part of what a [`RecursiveRwLock`] guards.
pub type MappedRecursiveRwLockWriteGuard<'a, T> =
    lock_api::MappedRwLockWriteGuard<'a, RawRwLockRecursive, T>;
