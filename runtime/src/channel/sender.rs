//! `Sender`: the end of a channel that messages are sent to.

use crate::channel::core::NotSent;
use crate::channel::counter::{Handle, Sends};
use crate::channel::engine::Operation;
use crate::channel::error::{SendError, SendTimeoutError, TrySendError};
use crate::channel::reserve::{Begun, Prize, Wait};
use crate::channel::{deadline, from_now};
use crate::prim::clock::NEVER;
use crate::sync::waitq::Node;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// The sending end of a channel.
///
/// Mirrors `crossbeam_channel::Sender`. It can be cloned and shared; when the last one is dropped, the
/// channel is disconnected.
///
/// ```
/// use corio::{channel, go};
///
/// let (s1, r) = channel::unbounded();
/// let s2 = s1.clone();
/// go!(move || s1.send(1).unwrap());
/// go!(move || s2.send(2).unwrap());
/// assert_eq!(r.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    channel: Handle<T, Sends>,
}

// A message is moved in or out as a whole, and user code that runs in between (`Drop`) holds no lock.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    pub(super) fn new(channel: Handle<T, Sends>) -> Sender<T> {
        Sender { channel }
    }

    /// Sends without waiting.
    ///
    /// With capacity 0 this succeeds only if somebody waits to receive.
    ///
    /// # Errors
    ///
    /// The message, because there is no room, or because all receivers are gone.
    ///
    /// # Blocking
    ///
    /// Never blocks or switches.
    ///
    /// ```
    /// use corio::channel::{bounded, TrySendError};
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// drop(r);
    /// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: the message is there, and used again only if it was not sent.
        match unsafe { self.channel.try_send(&mut msg) } {
            Ok(()) => Ok(()),
            Err(NotSent::Full) => Err(TrySendError::Full(ManuallyDrop::into_inner(msg))),
            Err(NotSent::Closed) => Err(TrySendError::Disconnected(ManuallyDrop::into_inner(msg))),
        }
    }

    /// Sends, waiting for room; with capacity 0, until the message is received.
    ///
    /// # Errors
    ///
    /// The message, because all receivers are gone.
    ///
    /// # Blocking
    ///
    /// Blocks until there is room: a switch point on a goroutine.
    ///
    /// ```
    /// use corio::{channel, go};
    /// let (s, r) = channel::bounded(0);
    /// let receiving = go!(move || r.recv());
    /// s.send("hello").unwrap();
    /// assert_eq!(receiving.join().unwrap(), Ok("hello"));
    /// assert_eq!(s.send("again").unwrap_err().into_inner(), "again");
    /// ```
    #[inline]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: the message is there, and used again only if it was not sent.
        match unsafe { self.channel.send(&mut msg, None) } {
            Ok(()) => Ok(()),
            Err(_) => Err(SendError(ManuallyDrop::into_inner(msg))),
        }
    }

    /// As [`send`](Sender::send), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The message, because the time is up, or because all receivers are gone.
    ///
    /// ```
    /// use corio::channel::{bounded, SendTimeoutError};
    /// use std::time::Duration;
    /// let (s, _r) = bounded(0);
    /// assert_eq!(
    ///     s.send_timeout(1, Duration::from_millis(5)),
    ///     Err(SendTimeoutError::Timeout(1))
    /// );
    /// ```
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(msg, from_now(timeout))
    }

    /// As [`send`](Sender::send), but waits until `deadline` at most. One that has passed still lets the
    /// message go if there is room.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Sender::send_timeout).
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(msg, self::deadline(deadline))
    }

    fn send_until(&self, msg: T, deadline: Option<u64>) -> Result<(), SendTimeoutError<T>> {
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: the message is there, and used again only if it was not sent.
        match unsafe { self.channel.send(&mut msg, deadline) } {
            Ok(()) => Ok(()),
            Err(NotSent::Full) => Err(SendTimeoutError::Timeout(ManuallyDrop::into_inner(msg))),
            Err(NotSent::Closed) => Err(SendTimeoutError::Disconnected(ManuallyDrop::into_inner(
                msg,
            ))),
        }
    }

    /// Is there no message to receive? Always so with capacity 0.
    pub fn is_empty(&self) -> bool {
        self.channel.len() == 0
    }

    /// Is there no room? Always so with capacity 0.
    pub fn is_full(&self) -> bool {
        self.channel.is_full()
    }

    /// Messages that can be received.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// The capacity, or `None` if the channel is unbounded.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity()
    }

    /// Do both send to the same channel?
    ///
    /// ```
    /// let (s, _r) = corio::channel::unbounded::<()>();
    /// assert!(s.same_channel(&s.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.channel.is_same(&other.channel)
    }

    /// Are all receivers gone?
    pub(crate) fn is_disconnected(&self) -> bool {
        self.channel.is_closed()
    }

    /// Redeems what a select has won.
    pub(super) fn finish(&self, prize: Prize, msg: T) -> Result<(), SendError<T>> {
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: the message is there, and used again only if it was not sent.
        if prize == Prize::Reserved && unsafe { self.channel.finish_send(&mut msg) } {
            return Ok(());
        }
        Err(SendError(ManuallyDrop::into_inner(msg)))
    }
}

impl<T> Operation for Sender<T> {
    fn begin(&self, wait: Wait<'_>) -> Begun {
        self.channel.begin_send(wait)
    }

    fn delist(&self, node: &Node) {
        self.channel.delist(node, true);
    }

    fn cancel(&self, prize: Prize) {
        if prize == Prize::Reserved {
            self.channel.cancel_send();
        }
    }

    fn await_promise(&self) -> bool {
        unreachable!("a sender is promised nothing")
    }

    fn due(&self) -> u64 {
        NEVER
    }

    fn is_ready(&self) -> bool {
        self.channel.can_send()
    }

    fn watch(&self, node: &Node) -> bool {
        self.channel.watch_send(node)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender::new(self.channel.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
