//! The handles of a context: those that cancel it, and `after_func`.

use crate::context::tree::{Call, NOWHERE, Node, Reason};
use crate::context::{Context, ContextError};
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::time::func;
use std::error::Error;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Cancels a context. Clones cancel the same one.
///
/// Go's `context.CancelFunc`. Dropping it does not cancel: `let (ctx, _) = parent.with_cancel()` is a context
/// that ends with its parent. To cancel at the end of a scope, whatever way it is left, make a
/// [guard](CancelFunc::drop_guard) of it.
#[derive(Clone)]
pub struct CancelFunc(Arc<Node>);

impl CancelFunc {
    pub(super) fn new(node: Arc<Node>) -> CancelFunc {
        CancelFunc(node)
    }

    /// Cancels the context, and all that were derived from it; does nothing if it is done. When this
    /// returns they all are done, whoever has cancelled them. It doesn't wait for those who work for them,
    /// nor for [`after_func`]s.
    ///
    /// # Blocking
    ///
    /// Never switches.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// cancel.cancel();
    /// cancel.cancel();
    /// assert!(ctx.err().is_some());
    /// ```
    pub fn cancel(&self) {
        self.0.cancel(Reason {
            error: ContextError::Canceled,
            cause: None,
        });
    }

    /// A value that cancels the context when it is dropped: Go's `defer cancel()`.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// {
    ///     let _guard = cancel.drop_guard();
    ///     assert!(ctx.err().is_none());
    /// }
    /// assert!(ctx.err().is_some());
    /// ```
    pub fn drop_guard(self) -> CancelGuard {
        CancelGuard(Some(self))
    }
}

impl fmt::Debug for CancelFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelFunc")
            .field("err", &self.0.error())
            .finish_non_exhaustive()
    }
}

/// Cancels a context and says why. Clones cancel the same one.
///
/// Go's `context.CancelCauseFunc`. Dropping it does not cancel, as with [`CancelFunc`].
#[derive(Clone, Debug)]
pub struct CancelCauseFunc(CancelFunc);

impl CancelCauseFunc {
    pub(super) fn new(cancel: CancelFunc) -> CancelCauseFunc {
        CancelCauseFunc(cancel)
    }

    /// Cancels the context as [`CancelFunc::cancel`] does; its [`cause`](Context::cause) is this error. Of a
    /// context that is done already the cause stays what it was.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// cancel.cancel(std::io::Error::other("disk full"));
    /// cancel.cancel("too late");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "disk full");
    /// ```
    pub fn cancel(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) {
        self.0.0.cancel(Reason {
            error: ContextError::Canceled,
            cause: Some(cause.into().into()),
        });
    }

    /// Cancels the same context without a cause of its own, as Go's `cancel(nil)` does.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// let guard = cancel.without_cause().drop_guard();
    /// drop(guard);
    /// assert_eq!(ctx.cause().unwrap().to_string(), "context canceled");
    /// ```
    pub fn without_cause(&self) -> CancelFunc {
        self.0.clone()
    }
}

/// Cancels a context when it is dropped; see [`CancelFunc::drop_guard`].
#[derive(Debug)]
#[must_use = "it cancels the context when it is dropped, which is now"]
pub struct CancelGuard(Option<CancelFunc>);

impl CancelGuard {
    /// Gives the `CancelFunc` back, without cancelling.
    ///
    /// ```
    /// use corio::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let cancel = cancel.drop_guard().disarm();
    /// assert!(ctx.err().is_none());
    /// # cancel.cancel();
    /// ```
    pub fn disarm(mut self) -> CancelFunc {
        self.0.take().expect("only dropping takes it too")
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

/// Calls `f` in a goroutine of its own once `ctx` is done; at once, if it is already.
///
/// Go's `context.AfterFunc`. Each call with the same context is independent. The [`StopFunc`] takes it back;
/// dropping that doesn't. If the last handle of the context is dropped without its being done, of which the
/// `StopFunc` is one, `f` is dropped uncalled. (In Go it may linger.) So don't let `f` capture the context,
/// or one derived from it, unless somebody cancels it in the end or it has a deadline: they keep each other
/// alive. What `f` needs of it, such as a value, can be captured instead.
///
/// # Blocking
///
/// Never blocks or switches.
///
/// ```
/// use corio::channel;
/// use corio::context::{self, Context};
///
/// let (ctx, cancel) = Context::background().with_cancel();
/// let (tx, rx) = channel::bounded(1);
/// let stop = context::after_func(&ctx, move || tx.send("cleaned up").unwrap());
/// cancel.cancel();
/// assert_eq!(rx.recv(), Ok("cleaned up"));
/// assert!(!stop.stop(), "too late");
/// ```
#[doc(alias = "AfterFunc")]
#[track_caller]
pub fn after_func<F>(ctx: &Context, f: F) -> StopFunc
where
    F: FnOnce() + Send + 'static,
{
    let Some(node) = &ctx.node else {
        return StopFunc {
            node: None,
            place: AtomicUsize::new(0),
        };
    };
    let call: Call = (Box::new(f), Location::caller());
    let place = node.add_call(call).unwrap_or_else(|(f, location)| {
        func::start(f, location);
        NOWHERE
    });
    StopFunc {
        node: Some(Arc::clone(node)),
        place: AtomicUsize::new(place),
    }
}

/// Takes back what [`after_func`] has arranged. Dropping it does not.
pub struct StopFunc {
    /// `None`: the context is never done.
    node: Option<Arc<Node>>,
    /// Where the function is; `NOWHERE` if it was called or taken back.
    place: AtomicUsize,
}

impl StopFunc {
    /// Sees to it that the function is not called. `true`: it won't be. `false`: the context is done and the
    /// function's goroutine started, or it was stopped before; this does not wait for it.
    ///
    /// ```
    /// use corio::context::{self, Context};
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let stop = context::after_func(&ctx, || unreachable!());
    /// assert!(stop.stop());
    /// assert!(!stop.stop());
    /// cancel.cancel();
    /// ```
    pub fn stop(&self) -> bool {
        // Relaxed: one caller gets the place, and uses it under the node's lock.
        let place = self.place.swap(NOWHERE, Ordering::Relaxed);
        place != NOWHERE
            && self
                .node
                .as_ref()
                .is_none_or(|node| node.remove_call(place))
    }
}

impl fmt::Debug for StopFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopFunc").finish_non_exhaustive()
    }
}

// Nothing of a context is left half changed by a panic; functions to be called are not reached
// through these handles.
impl UnwindSafe for CancelFunc {}
impl RefUnwindSafe for CancelFunc {}
impl UnwindSafe for StopFunc {}
impl RefUnwindSafe for StopFunc {}
