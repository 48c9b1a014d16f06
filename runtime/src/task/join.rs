//! `JoinHandle`: the right to wait for a goroutine and to take its result.

use crate::park::{WaitReason, Waiter, park, prepare};
use crate::prim::config::PanicPolicy;
use crate::prim::warn;
use crate::sched::g::GRef;
use crate::sched::{current, sched};
use crate::state::join::ResultOf;
use crate::task::builder::take;
use crate::task::goroutine::Goroutine;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// A goroutine's outcome.
pub(crate) type Outcome<T> = thread::Result<T>;

/// Runs a goroutine's closure, catching and reporting its panic.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Outcome<T> {
    let outcome = catch_unwind(AssertUnwindSafe(f));
    if outcome.is_err() {
        panicked();
    }
    outcome
}

/// Says which goroutine the panic that the hook has just reported has ended.
#[cold]
fn panicked() {
    let g = current::g();
    // SAFETY: the caller is this goroutine.
    let name = unsafe { g.run() }.name.get();
    let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let location = g.location().map(|at| format!(", spawned at {at}"));
    warn(format_args!(
        "goroutine {}{name}{} ended by a panic",
        g.id(),
        location.unwrap_or_default()
    ));
    if sched().settings.panic == PanicPolicy::Abort {
        std::process::abort();
    }
}

/// An owned right to wait for a goroutine. Dropping it detaches the goroutine.
///
/// Mirrors [`std::thread::JoinHandle`].
///
/// ```
/// let handle = corio::spawn(|| "done");
/// assert_eq!(handle.join().unwrap(), "done");
/// ```
pub struct JoinHandle<T> {
    goroutine: Goroutine,
    _result: PhantomData<T>,
}

// SAFETY: the handle gives access to the result only, by value and once (`join` consumes it), which
// is as good as sending the result; the slot's words are atomic.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through a shared reference only atomics are read.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(g: GRef, id: u64, name: Option<Arc<str>>) -> Self {
        JoinHandle {
            goroutine: Goroutine::new(g, id, name),
            _result: PhantomData,
        }
    }

    /// Waits for the goroutine to finish and returns its result.
    ///
    /// # Errors
    ///
    /// The panic's payload, if the goroutine panicked.
    ///
    /// # Blocking
    ///
    /// Blocks until the goroutine has finished: a switch point.
    ///
    /// ```
    /// let failed = corio::spawn(|| panic!("no luck")).join();
    /// assert_eq!(*failed.unwrap_err().downcast::<&str>().unwrap(), "no luck");
    /// ```
    pub fn join(self) -> Outcome<T> {
        let this = ManuallyDrop::new(self);
        let g = this.g();
        if !g.join.is_finished() {
            // SAFETY: it is parked for or cancelled right below.
            let waiter = unsafe { prepare() }.into_raw();
            if g.join.wait(waiter.get()) {
                park(WaitReason::Join, this.goroutine.id() as usize);
            } else {
                // SAFETY: turned back once: the goroutine has finished and won't look.
                unsafe { Waiter::from_raw(waiter) }.cancel();
            }
        }
        // SAFETY: finished, so the outcome is stored, and it is the handle's; `self` is not dropped.
        let outcome = unsafe { take::<Outcome<T>>(g.payload()) };
        sched().free(g);
        // SAFETY: `this` is not used again, nor dropped.
        drop(unsafe { std::ptr::read(&this.goroutine) });
        outcome
    }

    /// Has the goroutine finished? If so, [`join`](JoinHandle::join) won't block.
    ///
    /// ```
    /// let handle = corio::spawn(|| ());
    /// while !handle.is_finished() {
    ///     corio::yield_now();
    /// }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.g().join.is_finished()
    }

    /// The goroutine itself: its number, its name, and `unpark`. std's `thread`.
    pub fn goroutine(&self) -> &Goroutine {
        &self.goroutine
    }

    fn g(&self) -> GRef {
        self.goroutine.g()
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let g = self.g();
        if g.join.detach() == ResultOf::Theirs {
            return;
        }
        struct Free(GRef);
        impl Drop for Free {
            fn drop(&mut self) {
                if self.0.join.free_after_result() {
                    sched().free(self.0);
                }
            }
        }
        // Also if the result's destructor panics.
        let _free = Free(g);
        // SAFETY: the outcome is stored, and the handle owns it.
        drop(unsafe { take::<Outcome<T>>(g.payload()) });
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("goroutine", &self.goroutine)
            .finish_non_exhaustive()
    }
}
