//! `Receiver`: the end of a channel that messages are received from, or a clock.

use crate::channel::core::NotReceived;
use crate::channel::counter::{Handle, Receives};
use crate::channel::engine::Operation;
use crate::channel::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::channel::iter::{IntoIter, Iter, TryIter};
use crate::channel::reserve::{Begun, Prize, Wait, end_own_wait};
use crate::channel::timed::Clock;
use crate::channel::{deadline, from_now};
use crate::park::{WaitReason, begin, park};
use crate::prim::clock::NEVER;
use crate::sync::waitq::Node;
use crate::timer;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The receiving end of a channel.
///
/// Mirrors `crossbeam_channel::Receiver`. It can be cloned and shared: each message goes to one receiver.
/// When the last one is dropped, the channel is disconnected and the messages left in it are dropped.
///
/// ```
/// use corio::{channel, go};
///
/// let (s, r) = channel::unbounded();
/// go!(move || (0..3).for_each(|n| s.send(n).unwrap()));
/// assert_eq!(r.recv(), Ok(0));
/// assert_eq!(r.into_iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub struct Receiver<T> {
    flavor: Flavor<T>,
}

enum Flavor<T> {
    Channel(Handle<T, Receives>),
    /// Delivers an `Instant`, which is what `T` then is.
    Clock(Arc<Clock>),
    Never,
}

// See `Sender`.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    pub(super) fn of_channel(channel: Handle<T, Receives>) -> Receiver<T> {
        Receiver {
            flavor: Flavor::Channel(channel),
        }
    }

    pub(super) const fn never() -> Receiver<T> {
        Receiver {
            flavor: Flavor::Never,
        }
    }

    /// Receives without waiting.
    ///
    /// With capacity 0 this succeeds only if somebody waits to send.
    ///
    /// # Errors
    ///
    /// There is no message, or there is none and all senders are gone.
    ///
    /// # Blocking
    ///
    /// Never blocks or switches, with one exception: if the capacity is 0 and the sender is a select, that
    /// first has to make its message.
    ///
    /// ```
    /// use corio::channel::{unbounded, TryRecvError};
    /// let (s, r) = unbounded();
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.try_recv(), Ok(5));
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.flavor {
            Flavor::Channel(channel) => {
                let mut message = MaybeUninit::uninit();
                match channel.try_recv(&mut message) {
                    // SAFETY: after `Ok` it is there.
                    Ok(()) => Ok(unsafe { message.assume_init() }),
                    Err(NotReceived::Empty) => Err(TryRecvError::Empty),
                    Err(NotReceived::Closed) => Err(TryRecvError::Disconnected),
                }
            }
            Flavor::Clock(clock) => clock.try_take().map(message).ok_or(TryRecvError::Empty),
            Flavor::Never => Err(TryRecvError::Empty),
        }
    }

    /// Receives, waiting for a message.
    ///
    /// # Errors
    ///
    /// There is no message, and all senders are gone.
    ///
    /// # Blocking
    ///
    /// Blocks until there is a message: a switch point on a goroutine.
    ///
    /// ```
    /// use corio::{channel, go};
    /// let (s, r) = channel::bounded(0);
    /// go!(move || s.send(5).unwrap());
    /// assert_eq!(r.recv(), Ok(5));
    /// assert!(r.recv().is_err());
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        match &self.flavor {
            Flavor::Channel(channel) => {
                let mut message = MaybeUninit::uninit();
                match channel.recv(&mut message, None) {
                    // SAFETY: after `Ok` it is there.
                    Ok(()) => Ok(unsafe { message.assume_init() }),
                    Err(_) => Err(RecvError),
                }
            }
            _ => self.recv_until(None).map_err(|_| RecvError),
        }
    }

    /// As [`recv`](Receiver::recv), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is up, or there is no message and all senders are gone.
    ///
    /// ```
    /// use corio::channel::{unbounded, RecvTimeoutError};
    /// use std::time::Duration;
    /// let (_s, r) = unbounded::<i32>();
    /// assert_eq!(r.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(from_now(timeout))
    }

    /// As [`recv`](Receiver::recv), but waits until `deadline` at most. One that has passed still lets a
    /// message be received that is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(self::deadline(deadline))
    }

    fn recv_until(&self, deadline: Option<u64>) -> Result<T, RecvTimeoutError> {
        match &self.flavor {
            Flavor::Channel(channel) => {
                let mut message = MaybeUninit::uninit();
                match channel.recv(&mut message, deadline) {
                    // SAFETY: after `Ok` it is there.
                    Ok(()) => Ok(unsafe { message.assume_init() }),
                    Err(NotReceived::Empty) => Err(RecvTimeoutError::Timeout),
                    Err(NotReceived::Closed) => Err(RecvTimeoutError::Disconnected),
                }
            }
            Flavor::Clock(clock) => clock
                .recv(deadline)
                .map(message)
                .ok_or(RecvTimeoutError::Timeout),
            Flavor::Never => {
                // SAFETY: it is parked for right below.
                let token = unsafe { begin() };
                if let Some(deadline) = deadline {
                    timer::wake_at(deadline, token);
                }
                park(WaitReason::ChanReceive, 0);
                Err(RecvTimeoutError::Timeout)
            }
        }
    }

    /// Is there no message to receive? Always so with capacity 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is there no room? Always so with capacity 0; for a clock, when its message has come.
    pub fn is_full(&self) -> bool {
        match &self.flavor {
            Flavor::Channel(channel) => channel.is_full(),
            Flavor::Clock(clock) => clock.is_due(),
            Flavor::Never => true,
        }
    }

    /// Messages that can be received.
    pub fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Channel(channel) => channel.len(),
            Flavor::Clock(clock) => usize::from(clock.is_due()),
            Flavor::Never => 0,
        }
    }

    /// The capacity, or `None` if the channel is unbounded. A clock's is 1, that of [`never`](crate::channel::never) 0.
    pub fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Channel(channel) => channel.capacity(),
            Flavor::Clock(_) => Some(1),
            Flavor::Never => Some(0),
        }
    }

    /// The messages as they come: waits for each, and ends when the channel is empty and disconnected.
    ///
    /// ```
    /// let (s, r) = corio::channel::unbounded();
    /// for n in 1..=3 {
    ///     s.send(n).unwrap();
    /// }
    /// drop(s);
    /// assert_eq!(r.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The messages that are there: ends when there is none, and never waits.
    ///
    /// ```
    /// let (s, r) = corio::channel::unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// Do both receive from the same channel?
    ///
    /// ```
    /// let (_s, r) = corio::channel::unbounded::<()>();
    /// assert!(r.same_channel(&r.clone()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Channel(a), Flavor::Channel(b)) => a.is_same(b),
            (Flavor::Clock(a), Flavor::Clock(b)) => Arc::ptr_eq(a, b),
            (Flavor::Never, Flavor::Never) => true,
            _ => false,
        }
    }

    /// Redeems what a select has won.
    pub(super) fn finish(&self, prize: Prize) -> Result<T, RecvError> {
        match (prize, &self.flavor) {
            (Prize::Instant(instant), _) => Ok(message(instant)),
            (Prize::Reserved, Flavor::Channel(channel)) => Ok(channel.finish_recv()),
            _ => Err(RecvError),
        }
    }
}

impl Receiver<Instant> {
    /// A clock's receiver.
    pub(crate) fn of_clock(clock: Arc<Clock>) -> Receiver<Instant> {
        Receiver {
            flavor: Flavor::Clock(clock),
        }
    }
}

/// A select would like to take a clock's instant.
fn begin_clock(clock: &Clock, wait: Wait<'_>) -> Begun {
    if clock.is_due() {
        if !end_own_wait(wait) {
            return Begun::Lost;
        }
        return match clock.try_take() {
            Some(instant) => Begun::Won(Prize::Instant(instant)),
            None => Begun::Gone,
        };
    }
    if let Some((node, _)) = wait {
        // SAFETY: a select takes its nodes out before it returns (`engine`).
        unsafe { clock.enlist(node) };
    }
    Begun::Queued
}

/// A clock's message as what the receiver says it receives: an `Instant`.
fn message<T>(instant: Instant) -> T {
    debug_assert_eq!(size_of::<T>(), size_of::<Instant>());
    // SAFETY: only `Receiver<Instant>` is made of a clock (`of_clock`), so `T` is `Instant`.
    unsafe { mem::transmute_copy(&instant) }
}

impl<T> Operation for Receiver<T> {
    fn begin(&self, wait: Wait<'_>) -> Begun {
        match &self.flavor {
            Flavor::Channel(channel) => channel.begin_recv(wait),
            Flavor::Clock(clock) => begin_clock(clock, wait),
            Flavor::Never => Begun::Queued,
        }
    }

    fn delist(&self, node: &Node) {
        match &self.flavor {
            Flavor::Channel(channel) => channel.delist(node, false),
            // SAFETY: it was enlisted there, or nowhere.
            Flavor::Clock(clock) => unsafe { clock.delist(node) },
            Flavor::Never => {}
        }
    }

    fn cancel(&self, prize: Prize) {
        if let (Prize::Reserved, Flavor::Channel(channel)) = (prize, &self.flavor) {
            channel.cancel_recv();
        }
    }

    fn await_promise(&self) -> bool {
        match &self.flavor {
            Flavor::Channel(channel) => channel.await_promise(),
            _ => unreachable!("a clock promises nothing"),
        }
    }

    fn due(&self) -> u64 {
        match &self.flavor {
            Flavor::Clock(clock) => clock.due(),
            _ => NEVER,
        }
    }

    fn is_ready(&self) -> bool {
        match &self.flavor {
            Flavor::Channel(channel) => channel.can_recv(),
            Flavor::Clock(clock) => clock.is_due(),
            Flavor::Never => false,
        }
    }

    fn watch(&self, node: &Node) -> bool {
        match &self.flavor {
            Flavor::Channel(channel) => channel.watch_recv(node),
            Flavor::Clock(clock) => {
                if clock.is_due() {
                    return true;
                }
                // Should it become due just now, the select's timer, armed for `due`, tells so.
                // SAFETY: a select takes its nodes out before it returns (`engine`).
                unsafe { clock.enlist(node) };
                false
            }
            Flavor::Never => false,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let flavor = match &self.flavor {
            Flavor::Channel(channel) => Flavor::Channel(channel.clone()),
            Flavor::Clock(clock) => Flavor::Clock(Arc::clone(clock)),
            Flavor::Never => Flavor::Never,
        };
        Receiver { flavor }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}
