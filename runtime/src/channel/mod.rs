//! Channels: messages from goroutine to goroutine, thread to thread, in any mix.
//!
//! The interface is that of `crossbeam-channel` 0.5, so that code written for it runs here after a change
//! of its `use` lines; the behaviour of a wait is that of Go: who waits for a channel parks its goroutine
//! (or, on a plain thread, blocks the thread).
//!
//! ```
//! use corio::{channel, go};
//!
//! let (results, received) = channel::bounded(0);
//! for n in 1..=3 {
//!     let results = results.clone();
//!     go!(move || results.send(n * n).unwrap());
//! }
//! drop(results);
//! assert_eq!(received.iter().sum::<i32>(), 1 + 4 + 9);
//! ```
//!
//! | constructor | capacity | |
//! | --- | --- | --- |
//! | [`bounded(0)`](bounded) | none | a rendezvous: `send` waits until the message is taken |
//! | [`bounded(n)`](bounded) | `n` | `send` waits while `n` messages are there |
//! | [`unbounded()`](unbounded) | any | `send` never waits |
//! | [`after(d)`](after), [`at(t)`](at) | 1 | one message, when the time has come |
//! | [`tick(d)`](tick) | 1 | a message every so often |
//! | [`never()`](never()) | | nothing, for ever: an arm of a `select!` that is switched off |
//!
//! Both ends can be cloned and shared. A channel is *disconnected* when all handles of one end are gone:
//! then sends fail and give the message back; receives still get what was sent before, and then fail.
//! To wait for several channels at once there are [`select!`](crate::select!) and [`Select`].
//!
//! Differences from Go: there is no `close`, as dropping the last sender does it, and no panic either. A
//! receiver that is gone is noticed. Differences from crossbeam: messages that a select has reserved do
//! not count in `len`; a channel of capacity 0 gets memory for a message once a select takes part in it; `try_recv` on a channel of capacity 0 is a switch point in one case, when the sender
//! is a select, whose message must first be made.
//!
//! For readers of the code: `core` is the channel, `state` what its lock guards, `ring` the messages, `reserve`
//! what selects ask of it, `engine` the select, `timed` the clocks, `counter` the handles.

mod core;
mod counter;
mod engine;
mod error;
mod iter;
mod macros;
#[cfg(all(loom, test))]
mod models;
mod receiver;
mod reserve;
mod ring;
mod select;
mod sender;
mod state;
pub(crate) mod timed;

pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use iter::{IntoIter, Iter, TryIter};
pub use macros::{crossbeam_channel_internal, select, select_biased};
pub use receiver::Receiver;
pub use select::{Select, SelectedOperation};
pub use sender::Sender;

use crate::channel::core::Chan;
use crate::channel::timed::{Clock, Rhythm};
use crate::prim::clock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Creates a channel for at most `cap` messages.
///
/// With a capacity of 0 it is a rendezvous: a send waits until its message has been received. Memory
/// for up to a page of messages is allocated at once, more as it is needed.
///
/// Mirrors `crossbeam_channel::bounded` and Go's `make(chan T, cap)`.
///
/// ```
/// use corio::channel::{self, TrySendError};
///
/// let (s, r) = channel::bounded(1);
/// s.send("one").unwrap();
/// assert_eq!(s.try_send("two"), Err(TrySendError::Full("two")));
/// assert_eq!(r.recv(), Ok("one"));
/// ```
#[doc(alias = "make")]
#[doc(alias = "makechan")]
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    // The highest number means unbounded, and no memory could hold so many anyway.
    new(Chan::new(cap.min(usize::MAX - 1)))
}

/// Creates a channel for any number of messages. A send never waits.
///
/// Mirrors `crossbeam_channel::unbounded`; Go has no such channel. Nothing slows a sender down that is
/// faster than its receiver, but for memory.
///
/// ```
/// let (s, r) = corio::channel::unbounded();
/// for n in 0..1000 {
///     s.send(n).unwrap();
/// }
/// drop(s);
/// assert_eq!(r.iter().count(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    new(Chan::new(usize::MAX))
}

fn new<T>(chan: Chan<T>) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = counter::new(chan);
    (Sender::new(sender), Receiver::of_channel(receiver))
}

/// Creates a receiver that gets one message after `duration`: the instant at which it was due.
///
/// Nothing runs meanwhile, and a receiver that is dropped leaves nothing behind. Like every clock it is
/// never disconnected; after its one message it is silent. A duration too long for the clock makes
/// [`never()`].
///
/// Mirrors `crossbeam_channel::after` and Go's `time.After`. [`corio::time::Timer`](crate::time::Timer) is
/// the one that can be stopped and reset.
///
/// ```
/// use corio::{channel, select};
/// use std::time::Duration;
///
/// let (_s, r) = channel::bounded::<i32>(0);
/// select! {
///     recv(r) -> _ => unreachable!(),
///     recv(channel::after(Duration::from_millis(10))) -> _ => {}
/// }
/// ```
#[doc(alias = "After")]
#[must_use = "nothing happens unless something is received from it"]
pub fn after(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(when) => at(when),
        None => never(),
    }
}

/// Creates a receiver that gets one message, `when`, at that instant; at once if it has passed.
///
/// Mirrors `crossbeam_channel::at`.
///
/// ```
/// use std::time::{Duration, Instant};
/// let when = Instant::now() + Duration::from_millis(10);
/// assert_eq!(corio::channel::at(when).recv(), Ok(when));
/// assert!(Instant::now() >= when);
/// ```
#[must_use = "nothing happens unless something is received from it"]
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::of_clock(Arc::new(Clock::once(Some(when))))
}

/// Creates a receiver that gets a message every `duration`: the instant at which it was due.
///
/// A message that is not taken in time is not followed by others; the next one is due `duration` after
/// it was taken.
///
/// Mirrors `crossbeam_channel::tick`. Go's `time.Tick` instead keeps to its grid, as does
/// [`corio::time::Ticker`](crate::time::Ticker), which can also be stopped.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// let ticks = corio::channel::tick(Duration::from_millis(5));
/// for _ in 0..3 {
///     ticks.recv().unwrap();
/// }
/// assert!(start.elapsed() >= Duration::from_millis(15));
/// ```
#[doc(alias = "Tick")]
#[must_use = "nothing happens unless something is received from it"]
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(first) => {
            let rhythm = Rhythm::Spaced(duration);
            Receiver::of_clock(Arc::new(Clock::periodic(Some(first), rhythm)))
        }
        None => never(),
    }
}

/// Creates a receiver that never gets anything, and is never disconnected.
///
/// Mirrors `crossbeam_channel::never`, and a nil channel in Go.
///
/// ```
/// use corio::{channel, select};
/// use std::time::Duration;
///
/// let timeout: Option<Duration> = None;
/// let (s, r) = channel::bounded(1);
/// s.send(5).unwrap();
/// select! {
///     recv(r) -> n => assert_eq!(n, Ok(5)),
///     recv(timeout.map_or(channel::never(), channel::after)) -> _ => unreachable!(),
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::never()
}

/// A deadline for the channel's core: `None` for one that never comes.
fn deadline(when: Instant) -> Option<u64> {
    Some(clock::at(when)).filter(|&when| when != clock::NEVER)
}

/// A timeout as an instant: `None` for one that never comes.
fn from_now(timeout: Duration) -> Option<u64> {
    Some(clock::after(timeout)).filter(|&when| when != clock::NEVER)
}

/// What the macros expand to. Not for users: it may change at any time.
#[doc(hidden)]
pub mod internal {
    pub use super::engine::Arm;
    pub use super::select::{select, select_timeout, try_select};
}
