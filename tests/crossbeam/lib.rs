//! crossbeam-channel's own test suite, run against [`corio::channel`], twice: as it is, on threads, and
//! with its threads replaced by goroutines.
//!
//! The suite is taken from crossbeam-channel's published package, version 0.5.17: 14 files with 391
//! tests. `build.rs` finds it and rewrites it into this package's build folder; none of its text is in
//! this repository. Rewritten is
//!
//! | form | test targets | what | becomes |
//! | --- | --- | --- | --- |
//! | both | | `crossbeam_channel` in `use` lines | `corio::channel` |
//! | on threads | `threads`, `golang_threads` | nothing else | |
//! | on goroutines | `goroutines`, `golang_goroutines` | `use std::thread;`, `use std::thread::JoinHandle;`, `::std::thread::spawn(` | this crate's [`spawn`], [`sleep`], [`yield_now`], [`JoinHandle`] |
//! | | | `use crossbeam_utils::thread::scope;` | [`scope()`] |
//! | | | `use std::sync::{Arc, Condvar, Mutex};` (`golang.rs`) | [`Mutex`], [`Condvar`], `std::sync::Arc` |
//! | | | `thread_local!` (`thread_locals.rs`, whose subject is a destructor that blocks) | [`corio::goroutine_local!`] |
//! | | | `thread_rng` in `use rand::{thread_rng, Rng};` | [`thread_rng`], which is tied to no thread |
//! | | | the body of each `#[test]` | is wrapped in [`on_goroutine`], in `golang.rs` in [`on_goroutine_alone`] |
//!
//! A file is a module of its target, so that the tests' names begin with the file's: `cargo test -p
//! corio-crossbeam-suite --test threads array::` runs `array.rs`. `golang.rs` has targets of its own
//! because it brings a global allocator.
//!
//! The suite measures time here and there, with a few milliseconds of tolerance, and fails on a machine
//! that is busy otherwise. With `CORIO_SUITE_ORIGINAL=1` in the environment of the *build*, the suite is
//! run against crossbeam-channel itself, in both forms: a test that fails even so says nothing about us.
//!
//! What this crate offers has the names and shapes that the suite expects: std's where it stands in for
//! std, crossbeam-utils' where it stands in for that.

use corio::sync::MutexGuard;
use rand::rngs::StdRng;
use rand::SeedableRng;
use std::convert::Infallible;
use std::fmt;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::PoisonError;
use std::thread;

pub use corio::{sleep, spawn, yield_now, JoinHandle, ScopedJoinHandle};

/// The stack of the threads that tests are run on.
const TEST_STACK: usize = 2 << 20;

/// Runs a test on a goroutine, and panics if it does, with the same payload.
pub fn on_goroutine(test: fn()) {
    let goroutine = corio::Builder::new().stack_size(TEST_STACK).spawn(test);
    if let Err(payload) = goroutine.expect("a goroutine can be started").join() {
        resume_unwind(payload);
    }
}

/// As [`on_goroutine`], one at a time: for tests that count the bytes which the whole process allocates.
pub fn on_goroutine_alone(test: fn()) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // Poisoned by a test that failed, which is no reason for the next one to fail.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    on_goroutine(test);
}

/// Stands in for `crossbeam_utils::thread::scope`: panics of goroutines are returned, and each of their
/// closures gets the scope as an argument.
///
/// # Examples
///
/// ```
/// let mut n = 0;
/// let result = corio_crossbeam_suite::scope(|scope| {
///     scope.spawn(|scope| scope.spawn(|_| n += 1).join().unwrap());
///     "result"
/// });
/// assert_eq!((result.unwrap(), n), ("result", 1));
/// ```
///
/// # Panics
///
/// If `f` panics, with its payload.
pub fn scope<'env, F, T>(f: F) -> thread::Result<T>
where
    F: for<'scope> FnOnce(&Scope<'scope, 'env>) -> T,
{
    let mut result = None;
    let all = catch_unwind(AssertUnwindSafe(|| {
        corio::scope(|scope| {
            result = Some(catch_unwind(AssertUnwindSafe(|| f(&Scope(scope)))));
        })
    }));
    match (result, all) {
        (Some(Err(payload)), _) => resume_unwind(payload),
        (Some(Ok(result)), Ok(())) => Ok(result),
        (_, Err(payload)) => Err(payload),
        (None, Ok(())) => unreachable!("a scope runs its closure"),
    }
}

/// See [`scope()`].
#[derive(Clone, Copy)]
pub struct Scope<'scope, 'env: 'scope>(&'scope corio::Scope<'scope, 'env>);

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a goroutine in the scope.
    pub fn spawn<F, T>(&self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce(&Scope<'scope, 'env>) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let scope = *self;
        self.0.spawn(move || f(&scope))
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.0).finish()
    }
}

/// Stands in for std's mutex: [`corio::sync::Mutex`], which knows no poison.
#[derive(Debug, Default)]
pub struct Mutex<T>(corio::sync::Mutex<T>);

/// Stands in for std's condition variable.
#[derive(Debug, Default)]
pub struct Condvar(corio::sync::Condvar);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(corio::sync::Mutex::new(value))
    }

    /// Locks it.
    ///
    /// # Errors
    ///
    /// None.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Infallible> {
        Ok(self.0.lock())
    }
}

impl Condvar {
    /// A condition nobody waits for.
    pub const fn new() -> Condvar {
        Condvar(corio::sync::Condvar::new())
    }

    /// Waits to be notified.
    ///
    /// # Errors
    ///
    /// None.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, Infallible> {
        let mut guard = guard;
        self.0.wait(&mut guard);
        Ok(guard)
    }

    /// Wakes everybody who waits.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Stands in for `rand::thread_rng`, whose generator belongs to the calling thread and must not be held
/// while a goroutine changes threads.
pub fn thread_rng() -> StdRng {
    StdRng::from_entropy()
}
