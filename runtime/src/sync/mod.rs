//! Locks and what else goroutines coordinate with, besides channels.
//!
//! Everything here works between goroutines and plain threads in any mix: what waits parks a goroutine
//! and blocks a plain thread. It has a `const fn new`, so it may be a `static` (but for [`WaitGroup`], a handle
//! to be cloned), and waiting allocates nothing.
//!
//! | to | use | modelled on |
//! | --- | --- | --- |
//! | let one at a time in | [`Mutex`], [`FairMutex`] | parking_lot |
//! | lock again what one has locked | [`ReentrantMutex`] | parking_lot |
//! | let many read or one write | [`RwLock`], [`RecursiveRwLock`] | parking_lot |
//! | wait for what a mutex guards to change | [`Condvar`] | parking_lot, Go's `sync.Cond` |
//! | do something once | [`Once`] | parking_lot, std |
//! | make a value once | [`OnceLock`], [`LazyLock`] | std |
//! | bound how many do something at a time | [`Semaphore`] | tokio |
//! | meet | [`Barrier`] | std |
//! | wait for a number of goroutines | [`WaitGroup`] | Go |
//! | keep objects for the next use | [`Pool`] | Go |
//!
//! Locks are lock_api's types over raw locks of ours, like parking_lot's: guards, mapped guards, timeouts
//! and fair unlocking have the names known from there. Guards may be held across switch points; they are
//! not `Send`. With the feature `arc_lock` there are guards that own their lock, as in parking_lot.

pub(crate) mod barrier;
pub(crate) mod condvar;
pub(crate) mod lazy_lock;
pub(crate) mod mutex;
pub(crate) mod once;
pub(crate) mod once_lock;
pub(crate) mod pool;
pub(crate) mod raw;
pub(crate) mod reentrant;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
pub(crate) mod semaphore_permit;
pub(crate) mod waitq;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy_lock::LazyLock;
pub use lock_api;
#[cfg(feature = "arc_lock")]
pub use lock_api::{
    ArcMutexGuard, ArcReentrantMutexGuard, ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard,
    ArcRwLockWriteGuard,
};
pub use mutex::{
    FairMutex, FairMutexGuard, MappedFairMutexGuard, MappedMutexGuard, Mutex, MutexGuard,
    RawFairMutex,
};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use pool::{Pool, Pooled};
pub use raw::condvar::RawCondvar;
pub use raw::mutex::RawMutex;
pub use raw::rwlock::RawRwLock;
pub use reentrant::{
    MappedReentrantMutexGuard, RawGoroutineId, ReentrantMutex, ReentrantMutexGuard,
};
pub use rwlock::{
    MappedRecursiveRwLockReadGuard, MappedRecursiveRwLockWriteGuard, MappedRwLockReadGuard,
    MappedRwLockWriteGuard, RawRwLockRecursive, RecursiveRwLock, RecursiveRwLockReadGuard,
    RecursiveRwLockUpgradableReadGuard, RecursiveRwLockWriteGuard, RwLock, RwLockReadGuard,
    RwLockUpgradableReadGuard, RwLockWriteGuard,
};
pub use semaphore::{AcquireError, AcquireTimeoutError, Semaphore, TryAcquireError};
pub use semaphore_permit::{OwnedSemaphorePermit, SemaphorePermit};

// Go's users look for it here; it is built on goroutines, which are built on this.
pub use crate::group::wait_group::WaitGroup;
