//! `Group`: goroutines of which the first error counts.
//!
//! One lock guards everything: how many are active, how many may be, who waits to start another, who waits
//! for the end, and the first error and panic. It is taken once when a goroutine starts and once when it
//! ends, beside which a counter without a lock, as `WaitGroup` has it, would save little. A place that
//! becomes free goes straight to the first who waits for one, so those who come later can't snatch it.
//!
//! Go builds this from a `WaitGroup`, a channel as the semaphore, and a `sync.Once`. Its latest version lets
//! a panic end the program; a version before passed it on in `Wait`, as is done here and in
//! [`scope`](crate::scope()).
//!
//! Goroutines that borrow are not offered: that takes a scope, since a handle may be forgotten. Inside
//! [`scope`](crate::scope()) goroutines may borrow, and `join` gives each one's result.
//!
//! Invariants:
//! * `active` counts goroutines that were started and have not ended, and places that were handed to a
//!   starter which has not gone on yet.
//! * Somebody waits to start only while there is no free place.
//! * Errors, payloads and formatting are the user's: none is dropped or called under the lock.

use crate::context::{CancelCauseFunc, Context};
use crate::park::{WaitReason, checkpoint, has_slot, park, take_slot};
use crate::prim::spin::{SpinGuard, SpinLock};
use crate::sync::waitq::{Batch, FIRST_OWN, Node, Outcome, WaitList};
use crate::task::builder::spawn;
use crate::task::join::catch;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::ptr;
use std::sync::Arc;

/// A starter has its place, or all have ended.
const GO_ON: Outcome = FIRST_OWN;

/// Goroutines that work on parts of one task: the first error ends it.
///
/// [`go`](Group::go) starts them; [`wait`](Group::wait) waits for all of them and returns the first error.
/// With a [context](Group::with_context), that error also tells the others to stop. Clones are handles to
/// the same group.
///
/// ```
/// use corio::group::Group;
///
/// let group: Group = Group::new();
/// for number in ["1", "2", "three"] {
///     group.go(move || {
///         number.parse::<u32>()?;
///         Ok(())
///     });
/// }
/// assert_eq!(group.wait().unwrap_err().to_string(), "invalid digit found in string");
/// ```
///
/// The error's type is the boxed one that `?` turns everything into, or one of your own, such as
/// `Group<io::Error>`.
///
/// # Counterpart
///
/// `golang.org/x/sync/errgroup.Group`. The differences:
///
/// * `wait` hands the error out: a second `wait` returns `Ok`, unless another goroutine has failed since.
/// * A panic of one goroutine is passed on by `wait`, and cancels the context as an error does. Go's ends
///   the program.
/// * Places under a [limit](Group::set_limit) are given in the order in which they were asked for.
///
/// The error's type has a default, but the compiler only uses it where the type is written out:
/// `let group: Group = Group::new()`.
///
/// Its goroutines can't borrow from the caller; those of [`scope`](crate::scope()) can.
#[doc(alias = "errgroup")]
pub struct Group<E = Box<dyn Error + Send + Sync>> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    state: SpinLock<State<E>>,
    /// What an error has to be told to.
    cancel: Option<Cancel<E>>,
}

struct Cancel<E> {
    func: CancelCauseFunc,
    text: fn(&E) -> String,
}

struct State<E> {
    active: usize,
    /// `usize::MAX` if there is no limit.
    limit: usize,
    starters: WaitList,
    waiters: WaitList,
    error: Option<E>,
    panic: Option<Box<dyn Any + Send>>,
}

/// A place in the group; it becomes free when this is dropped, however that comes about.
struct Place<E>(Arc<Inner<E>>);

impl<E> Drop for Place<E> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.active -= 1;
        let starters = state.admit();
        let waiters = match state.active {
            0 => state.waiters.pop_all(),
            _ => Batch::new(),
        };
        drop(state);
        starters.wake_all(GO_ON);
        waiters.wake_all(GO_ON);
    }
}

impl<E> State<E> {
    /// Gives free places to those who wait for one.
    fn admit(&mut self) -> Batch {
        let mut admitted = Batch::new();
        while self.active < self.limit {
            let Some(starter) = self.starters.pop() else {
                break;
            };
            self.active += 1;
            admitted.push(starter);
        }
        admitted
    }
}

impl<E> Inner<E> {
    fn new(cancel: Option<Cancel<E>>) -> Arc<Inner<E>> {
        Arc::new(Inner {
            state: SpinLock::new(State {
                active: 0,
                limit: usize::MAX,
                starters: WaitList::new(),
                waiters: WaitList::new(),
                error: None,
                panic: None,
            }),
            cancel,
        })
    }

    /// Locks the state, for a caller that may wait.
    fn state_to_wait(&self) -> SpinGuard<'_, State<E>> {
        if !has_slot() {
            // Not under the lock.
            take_slot();
        }
        self.state.lock()
    }

    /// Keeps the error if it is the first, and tells the others.
    fn failed(&self, error: E) {
        let text = self.cancel.as_ref().map(|cancel| (cancel.text)(&error));
        let mut state = self.state.lock();
        let late = match state.error {
            None => {
                state.error = Some(error);
                None
            }
            Some(_) => Some(error),
        };
        drop(state);
        if late.is_none()
            && let (Some(cancel), Some(text)) = (&self.cancel, text)
        {
            cancel.func.cancel(text);
        }
    }

    /// Likewise for a panic.
    fn panicked(&self, payload: Box<dyn Any + Send>) {
        let mut state = self.state.lock();
        let late = match state.panic {
            None => {
                state.panic = Some(payload);
                None
            }
            Some(_) => Some(payload),
        };
        drop(state);
        if late.is_none()
            && let Some(cancel) = &self.cancel
        {
            cancel.func.cancel("a goroutine of the group panicked");
        }
    }

    /// The group, in dumps.
    fn id(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<E: Send + 'static> Group<E> {
    /// A group without a limit and without a context.
    pub fn new() -> Group<E> {
        Group {
            inner: Inner::new(None),
        }
    }

    /// A group, and a context derived from `ctx` that is cancelled by the first goroutine of the group that
    /// returns an error or panics, or else when `wait` returns. Its [cause](Context::cause) is then what the
    /// error says; the error itself is what `wait` returns.
    ///
    /// Go's `errgroup.WithContext`.
    ///
    /// ```
    /// use corio::context::Context;
    /// use corio::group::Group;
    ///
    /// let (group, ctx) = Group::<String>::with_context(&Context::background());
    /// let theirs = ctx.clone();
    /// group.go(move || {
    ///     theirs.done().recv().unwrap_err(); // works until told to stop
    ///     Ok(())
    /// });
    /// group.go(|| Err("out of paper".to_string()));
    /// assert_eq!(group.wait(), Err("out of paper".to_string()));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "out of paper");
    /// ```
    #[must_use = "the group's goroutines are told to stop through the context"]
    pub fn with_context(ctx: &Context) -> (Group<E>, Context)
    where
        E: fmt::Display,
    {
        let (ctx, func) = ctx.with_cancel_cause();
        let cancel = Cancel {
            func,
            text: |error: &E| error.to_string(),
        };
        let group = Group {
            inner: Inner::new(Some(cancel)),
        };
        (group, ctx)
    }

    /// Starts a goroutine in the group, once there is a place for it. Goroutines of the group may start
    /// further ones.
    ///
    /// # Panics
    ///
    /// If the goroutine can't be started, as [`spawn`](crate::spawn()).
    ///
    /// # Blocking
    ///
    /// Blocks while as many are active as the [limit](Group::set_limit) says. Without one it never blocks or
    /// switches.
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let mut state = self.inner.state_to_wait();
        if state.active < state.limit {
            state.active += 1;
            let limited = state.limit != usize::MAX;
            drop(state);
            self.start(f);
            if limited {
                checkpoint();
            }
            return;
        }
        // SAFETY: it is pushed, and parked for until popped, right below.
        let node = unsafe { Node::alone(0, ptr::null_mut()) };
        // SAFETY: the node stays here until `park` returns, which takes a pop.
        unsafe { state.starters.push_back(&node) };
        drop(state);
        park(WaitReason::Semaphore, self.inner.id());
        self.start(f);
    }

    /// As [`go`](Group::go) if there is a place. `false`: there was none, and `f` was dropped.
    ///
    /// # Panics
    ///
    /// If the goroutine can't be started, as [`spawn`](crate::spawn()).
    ///
    /// # Blocking
    ///
    /// Never blocks or switches.
    ///
    /// ```
    /// use corio::group::Group;
    ///
    /// let group: Group = Group::new();
    /// group.set_limit(1);
    /// let first = corio::channel::bounded::<()>(0);
    /// group.go(move || Ok(first.1.recv()?));
    /// assert!(!group.try_go(|| Ok(())));
    /// drop(first.0);
    /// group.wait().unwrap_err();
    /// assert!(group.try_go(|| Ok(())));
    /// ```
    #[track_caller]
    #[must_use = "if there was no place the function was not called"]
    pub fn try_go<F>(&self, f: F) -> bool
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let mut state = self.inner.state.lock();
        if state.active >= state.limit {
            return false;
        }
        state.active += 1;
        drop(state);
        self.start(f);
        true
    }

    /// Starts a goroutine for which a place was taken.
    #[track_caller]
    fn start<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        // Dropped with the closure if the goroutine can't be started.
        let place = Place(Arc::clone(&self.inner));
        spawn(move || match catch(f) {
            Ok(Ok(())) => drop(place),
            Ok(Err(error)) => {
                // The error's own code may panic, which is no less a failure.
                if let Err(payload) = catch(|| place.0.failed(error)) {
                    place.0.panicked(payload);
                }
            }
            Err(payload) => place.0.panicked(payload),
        });
    }

    /// Lets at most so many goroutines of the group be active at once, from now on; `None`: any number. With
    /// 0, none can be started.
    ///
    /// # Panics
    ///
    /// If goroutines of the group are active.
    ///
    /// ```
    /// use corio::group::Group;
    ///
    /// let group: Group = Group::new();
    /// group.set_limit(3);
    /// group.set_limit(None);
    /// ```
    #[track_caller]
    pub fn set_limit(&self, limit: impl Into<Option<usize>>) {
        let limit = limit.into().unwrap_or(usize::MAX);
        let mut state = self.inner.state.lock();
        let active = state.active;
        if active > 0 {
            drop(state);
            panic!(
                "errgroup: modify limit while {active} goroutines in the group are still active"
            );
        }
        state.limit = limit;
        let admitted = state.admit();
        drop(state);
        admitted.wake_all(GO_ON);
    }

    /// Waits until no goroutine of the group is active, cancels the group's context, and returns the first
    /// error.
    ///
    /// It is handed out once: to the first who gets it, should several wait.
    ///
    /// # Errors
    ///
    /// The first error that a goroutine of the group has returned since the last `wait` that returned one.
    ///
    /// # Panics
    ///
    /// If a goroutine of the group has panicked, with the payload of the first that did. An error waits for
    /// the next `wait` then.
    ///
    /// # Blocking
    ///
    /// Blocks the goroutine or the plain thread; a switch point on a goroutine.
    pub fn wait(&self) -> Result<(), E> {
        let mut state = self.inner.state_to_wait();
        let mut waited = false;
        if state.active > 0 {
            // SAFETY: it is pushed, and parked for until popped, right below.
            let node = unsafe { Node::alone(0, ptr::null_mut()) };
            // SAFETY: the node stays here until `park` returns, which takes a pop.
            unsafe { state.waiters.push_back(&node) };
            drop(state);
            park(WaitReason::WaitGroup, self.inner.id());
            waited = true;
            state = self.inner.state.lock();
        }
        let panic = state.panic.take();
        let error = match panic {
            Some(_) => None,
            None => state.error.take(),
        };
        drop(state);
        if let Some(cancel) = &self.inner.cancel {
            // After an error or a panic it is cancelled already.
            cancel.func.without_cause().cancel();
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        if !waited {
            checkpoint();
        }
        error.map_or(Ok(()), Err)
    }
}

impl<E> Clone for Group<E> {
    fn clone(&self) -> Group<E> {
        Group {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<E: Send + 'static> Default for Group<E> {
    fn default() -> Group<E> {
        Group::new()
    }
}

/// Shows how many goroutines are active, and the limit.
impl<E> fmt::Debug for Group<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.lock();
        let (active, limit) = (state.active, state.limit);
        drop(state);
        f.debug_struct("Group")
            .field("active", &active)
            .field("limit", &Some(limit).filter(|&limit| limit != usize::MAX))
            .finish_non_exhaustive()
    }
}

// A panic never leaves it half changed: no code of the user runs under its lock.
impl<E> UnwindSafe for Group<E> {}
impl<E> RefUnwindSafe for Group<E> {}
