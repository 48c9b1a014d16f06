//! `Condvar`: waiting for what a mutex guards to change.
//!
//! lock_api's type, as parking_lot's is, over [`raw::condvar`](super::raw::condvar).

use super::raw::condvar::RawCondvar;

pub use lock_api::WaitTimeoutResult;

/// Waits for what a [`Mutex`](super::Mutex) guards to change.
///
/// Mirrors `parking_lot::Condvar`, and Go's `sync.Cond` in its order: first come, first served. There are
/// no spurious wake-ups; `notify_one` tells whether it woke somebody, `notify_all` how many.
///
/// # Panics
///
/// Waiting panics if others wait on the same condition variable with another mutex.
///
/// # Blocking
///
/// The waits are switch points; notifying is not.
///
/// ```
/// use corio::go;
/// use corio::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// let ready = Arc::new((Mutex::new(false), Condvar::new()));
/// let theirs = Arc::clone(&ready);
/// go!(move || {
///     *theirs.0.lock() = true;
///     theirs.1.notify_one();
/// });
///
/// let (mutex, changed) = &*ready;
/// changed.wait_while(&mut mutex.lock(), |ready| !*ready);
/// ```
pub type Condvar = lock_api::Condvar<RawCondvar>;
