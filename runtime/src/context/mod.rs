//! Contexts: cancellation, deadlines and values that go down a call tree.
//!
//! Go's package `context`. A [`Context`] is handed down from a request to all that works for it, as the
//! first argument, and tells it when to stop: when somebody cancels it, when its deadline has passed, or
//! when either happens to one that it was derived from.
//!
//! | Go | here |
//! | --- | --- |
//! | `context.Background()`, `TODO()` | [`Context::background`] |
//! | `context.WithCancel(ctx)` and so on | [`ctx.with_cancel()`](Context::with_cancel) and so on |
//! | `<-ctx.Done()` | [`ctx.done()`](Context::done)`.recv()`, or in a [`select!`](crate::select) |
//! | `ctx.Err()`, `context.Cause(ctx)` | [`ctx.err()`](Context::err), [`ctx.cause()`](Context::cause); [`ctx.check()`](Context::check)`?` |
//! | `ctx.Value(key)` | [`ctx.value::<T>()`](Context::value): by type |
//! | `context.AfterFunc(ctx, f)` | [`after_func`] |
//!
//! Also as in Go, dropping a [`CancelFunc`] cancels nothing: a function that is about to return cancels
//! what it has started by calling it, or has a [guard](CancelFunc::drop_guard) do so. Other than in Go
//! nothing leaks if nobody ever does: a context that was dropped is gone, with its timer, and leaves no
//! trace in the one it was derived from.
//!
//! ```
//! use corio::context::{Context, ContextError};
//! use corio::{channel, go, select};
//! use std::time::Duration;
//!
//! fn worker(ctx: Context, results: channel::Sender<u32>) -> Result<(), ContextError> {
//!     for n in 0.. {
//!         select! {
//!             recv(ctx.done()) -> _ => return ctx.check(),
//!             send(results, n) -> sent => if sent.is_err() { break },
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let (tx, rx) = channel::bounded(0);
//! let (ctx, cancel) = Context::background().with_cancel();
//! let handle = go!(worker(ctx.clone(), tx));
//! assert_eq!(rx.iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
//! cancel.cancel();
//! assert_eq!(handle.join().unwrap(), Err(ContextError::Canceled));
//! ```
//!
//! In the code, `tree` is what can be cancelled and how, `values` the values, `cancel` the handles.

// Next in the reading order: `group`.

mod cancel;
mod tree;
mod values;

pub use cancel::{CancelCauseFunc, CancelFunc, CancelGuard, StopFunc, after_func};

use crate::channel::{Receiver, RecvTimeoutError, never};
use crate::park::yield_now;
use crate::sleep::sleep;
use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{fmt, io};
use tree::Node;
use values::Values;

/// Why a context was cancelled, in the words of whoever cancelled it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a context is done.
///
/// Go's `context.Canceled` and `context.DeadlineExceeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextError {
    /// Somebody has cancelled it, or one that it was derived from.
    Canceled,
    /// Its deadline has passed, or that of one that it was derived from.
    DeadlineExceeded,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContextError::Canceled => "context canceled",
            ContextError::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}

/// `DeadlineExceeded` becomes [`TimedOut`](io::ErrorKind::TimedOut), as for a socket's own deadline;
/// `Canceled` becomes [`Other`](io::ErrorKind::Other). (Not `Interrupted`, which `read_exact`, `write_all` and
/// others take for a reason to try again.) The error itself is inside, to be found with
/// [`io::Error::get_ref`].
///
/// ```
/// use corio::context::ContextError;
/// use std::io;
///
/// let error = io::Error::from(ContextError::DeadlineExceeded);
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// let inside = error.get_ref().and_then(|inner| inner.downcast_ref());
/// assert_eq!(inside, Some(&ContextError::DeadlineExceeded));
/// ```
impl From<ContextError> for io::Error {
    fn from(error: ContextError) -> io::Error {
        let kind = match error {
            ContextError::Canceled => io::ErrorKind::Other,
            ContextError::DeadlineExceeded => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, error)
    }
}

/// Tells all that work for one request when to stop, and carries values to them.
///
/// Mirrors Go's `context.Context`. Cloning is cheap; a clone is the same context. A context derived from
/// this one is cancelled with it, at the latest, and may outlive its handles.
///
/// ```
/// use corio::context::{Context, ContextError};
/// use std::time::Duration;
///
/// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
/// assert!(ctx.done().recv().is_err(), "disconnected when it is done");
/// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
/// ```
#[derive(Clone, Default)]
pub struct Context {
    /// The innermost that can be cancelled; `None`: it never is.
    node: Option<Arc<Node>>,
    values: Option<Arc<Values>>,
}

// Nothing of a context is left half changed by a panic; the values in it can't be changed through it.
impl UnwindSafe for Context {}
impl RefUnwindSafe for Context {}

impl Context {
    /// A context that is never cancelled and has no values: where those of a program come from. Also the
    /// `Default`.
    ///
    /// Go's `context.Background`.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// assert!(Context::background().err().is_none());
    /// ```
    pub fn background() -> Context {
        Context::default()
    }

    /// A context that is done when [`cancel`](CancelFunc::cancel) is called, or when this one is.
    ///
    /// Go's `context.WithCancel`.
    ///
    /// ```
    /// use corio::context::{Context, ContextError};
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let (child, _) = ctx.with_cancel();
    /// cancel.cancel();
    /// assert_eq!(child.err(), Some(ContextError::Canceled));
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    pub fn with_cancel(&self) -> (Context, CancelFunc) {
        let node = Node::new(self.node.as_ref(), self.deadline());
        (self.at(&node), CancelFunc::new(node))
    }

    /// As [`with_cancel`](Context::with_cancel), but who cancels says why; see [`cause`](Context::cause).
    ///
    /// Go's `context.WithCancelCause`.
    ///
    /// ```
    /// use corio::context::{Context, ContextError};
    ///
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// cancel.cancel("the client hung up");
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the client hung up");
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    pub fn with_cancel_cause(&self) -> (Context, CancelCauseFunc) {
        let (context, cancel) = self.with_cancel();
        (context, CancelCauseFunc::new(cancel))
    }

    /// As [`with_cancel`](Context::with_cancel), and it is done at `deadline` too. If that has passed, it is
    /// done at once. If this context's own deadline is earlier, it is the child's as well.
    ///
    /// Go's `context.WithDeadline`.
    ///
    /// ```
    /// use corio::context::{Context, ContextError};
    /// use std::time::Instant;
    ///
    /// let (ctx, _cancel) = Context::background().with_deadline(Instant::now());
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    #[track_caller]
    pub fn with_deadline(&self, deadline: Instant) -> (Context, CancelFunc) {
        self.until(Some(deadline), None)
    }

    /// As [`with_deadline`](Context::with_deadline), with a [`cause`](Context::cause) for when the deadline
    /// passes.
    ///
    /// Go's `context.WithDeadlineCause`.
    #[must_use = "a context that is dropped is of no use"]
    #[track_caller]
    pub fn with_deadline_cause(
        &self,
        deadline: Instant,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelFunc) {
        self.until(Some(deadline), Some(cause.into().into()))
    }

    /// As [`with_deadline`](Context::with_deadline), `timeout` from now; one that is too long for the clock
    /// sets no deadline.
    ///
    /// Go's `context.WithTimeout`.
    ///
    /// ```
    /// use corio::context::Context;
    /// use std::time::Duration;
    ///
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_secs(5));
    /// let (hurry, _cancel) = ctx.with_timeout(Duration::from_secs(1));
    /// assert!(hurry.deadline() < ctx.deadline());
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    #[track_caller]
    pub fn with_timeout(&self, timeout: Duration) -> (Context, CancelFunc) {
        self.until(Instant::now().checked_add(timeout), None)
    }

    /// As [`with_timeout`](Context::with_timeout), with a [`cause`](Context::cause) for when the time is up.
    ///
    /// Go's `context.WithTimeoutCause`.
    ///
    /// ```
    /// use corio::context::Context;
    /// use std::time::Duration;
    ///
    /// let (ctx, _cancel) =
    ///     Context::background().with_timeout_cause(Duration::ZERO, "the database is slow");
    /// assert_eq!(ctx.err().unwrap().to_string(), "context deadline exceeded");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the database is slow");
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    #[track_caller]
    pub fn with_timeout_cause(
        &self,
        timeout: Duration,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelFunc) {
        let deadline = Instant::now().checked_add(timeout);
        self.until(deadline, Some(cause.into().into()))
    }

    #[track_caller]
    fn until(&self, deadline: Option<Instant>, cause: Option<Cause>) -> (Context, CancelFunc) {
        // An earlier deadline of ours cancels the child as well.
        let earlier = match (deadline, self.deadline()) {
            (Some(deadline), Some(ours)) if ours <= deadline => None,
            (deadline, _) => deadline,
        };
        let node = Node::new(self.node.as_ref(), earlier.or(self.deadline()));
        if let Some(deadline) = earlier {
            node.arm(deadline, cause, Location::caller());
        }
        (self.at(&node), CancelFunc::new(node))
    }

    /// This context with `value` in it, which is found by its type; it hides one of the same type. Make a
    /// type of your own for it, so that nobody else's is meant.
    ///
    /// Go's `context.WithValue`.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// struct RequestId(u64);
    ///
    /// let ctx = Context::background().with_value(RequestId(7));
    /// let (child, _cancel) = ctx.with_cancel();
    /// assert_eq!(child.value::<RequestId>().map(|id| id.0), Some(7));
    /// assert!(child.value::<u64>().is_none());
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    pub fn with_value<T: Any + Send + Sync>(&self, value: T) -> Context {
        Context {
            node: self.node.clone(),
            values: Some(Values::add(self.values.clone(), value)),
        }
    }

    /// The value of this type, from this context or the nearest one it was derived from that has one.
    ///
    /// Go's `Context.Value`.
    pub fn value<T: Any>(&self) -> Option<&T> {
        self.values.as_ref()?.find()
    }

    /// A context with the values of this one that is not cancelled with it, and has no deadline: for what
    /// has to be done after a request, such as logging it.
    ///
    /// Go's `context.WithoutCancel`.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_value("request 7").with_cancel();
    /// let after = ctx.without_cancel();
    /// cancel.cancel();
    /// assert!(after.err().is_none());
    /// assert_eq!(after.value(), Some(&"request 7"));
    /// ```
    #[must_use = "a context that is dropped is of no use"]
    pub fn without_cancel(&self) -> Context {
        Context {
            node: None,
            values: self.values.clone(),
        }
    }

    /// A channel that is disconnected when the context is done: receive from it, or select on it. It never
    /// delivers anything.
    ///
    /// A clone of it is disconnected too when the context's last handle (context, derived context,
    /// `CancelFunc` or `StopFunc`) is dropped, done or not.
    ///
    /// Go's `Context.Done`.
    ///
    /// ```
    /// use corio::context::Context;
    /// use corio::{channel, select};
    /// use std::time::Duration;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let messages = channel::never::<String>();
    /// corio::go!(move || cancel.cancel());
    /// select! {
    ///     recv(ctx.done()) -> _ => println!("{}", ctx.err().unwrap()),
    ///     recv(messages) -> message => println!("{}", message.unwrap()),
    /// }
    /// ```
    pub fn done(&self) -> &Receiver<Infallible> {
        static NEVER: OnceLock<Receiver<Infallible>> = OnceLock::new();
        match &self.node {
            Some(node) => node.done(),
            None => NEVER.get_or_init(never),
        }
    }

    /// Why the context is done; `None` as long as it isn't. What is derived from it is done as well, then.
    ///
    /// Go's `Context.Err`.
    pub fn err(&self) -> Option<ContextError> {
        self.node.as_ref()?.error()
    }

    /// `Err` if the context is done: [`err`](Context::err) for use with `?`.
    ///
    /// # Errors
    ///
    /// Why it is done.
    ///
    /// ```
    /// use corio::context::{Context, ContextError};
    ///
    /// fn sum(ctx: &Context, numbers: &[u64]) -> Result<u64, ContextError> {
    ///     let mut sum = 0;
    ///     for n in numbers {
    ///         ctx.check()?;
    ///         sum += n;
    ///     }
    ///     Ok(sum)
    /// }
    /// assert_eq!(sum(&Context::background(), &[1, 2, 3]), Ok(6));
    /// ```
    pub fn check(&self) -> Result<(), ContextError> {
        self.err().map_or(Ok(()), Err)
    }

    /// What whoever cancelled the context gave as the cause, or else the same as [`err`](Context::err);
    /// `None` as long as it isn't done.
    ///
    /// Go's `context.Cause`.
    pub fn cause(&self) -> Option<Cause> {
        let reason = self.node.as_ref()?.reason()?;
        Some(reason.cause.unwrap_or_else(|| Arc::new(reason.error)))
    }

    /// When the context will be done at the latest, if it has a deadline.
    ///
    /// Go's `Context.Deadline`.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.as_ref()?.deadline()
    }

    /// Blocks for `duration`, or until the context is done: [`corio::sleep`](crate::sleep()) with an end.
    ///
    /// # Errors
    ///
    /// The context is done, perhaps from the start.
    ///
    /// # Blocking
    ///
    /// As [`corio::sleep`](crate::sleep()).
    ///
    /// ```
    /// use corio::context::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(100));
    /// assert_eq!(ctx.sleep(Duration::ZERO), Ok(()));
    /// assert_eq!(ctx.sleep(Duration::MAX), Err(ContextError::DeadlineExceeded));
    /// ```
    pub fn sleep(&self, duration: Duration) -> Result<(), ContextError> {
        let Some(node) = &self.node else {
            sleep(duration);
            return Ok(());
        };
        self.check()?;
        if duration.is_zero() {
            yield_now();
            return self.check();
        }
        match node.done().recv_timeout(duration) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => self.check(),
        }
    }

    /// A context with these values, at this node.
    fn at(&self, node: &Arc<Node>) -> Context {
        Context {
            node: Some(Arc::clone(node)),
            values: self.values.clone(),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
