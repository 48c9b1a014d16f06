//! `Timer`: a channel that delivers one instant, and can be set anew. See `channel::timed` for how.

use crate::channel::Receiver;
use crate::channel::timed::Clock;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Delivers the time on its channel, once, when it has come; can be stopped and set anew.
///
/// Mirrors Go's `time.Timer` as `time.NewTimer` returns it. What differs:
///
/// * [`channel`](Timer::channel) instead of the field `C`. It delivers the time for which the timer was
///   set, as [`channel::after`](crate::channel::after) does.
/// * `len` of the channel is 1 while the time has come and was not received. (Go says 0.)
///
/// Dropping a timer does not stop it: a clone of its channel still delivers. Memory is all that a timer
/// takes; the scheduler knows only those who wait for it.
///
/// ```
/// use corio::channel::unbounded;
/// use corio::time::Timer;
/// use corio::{go, select};
/// use std::time::Duration;
///
/// let (tx, rx) = unbounded();
/// go!(move || {
///     tx.send("request").unwrap();
///     corio::sleep(Duration::from_millis(5));
/// });
/// // An idle timeout: set anew whenever something comes in.
/// let idle = Timer::new(Duration::from_millis(1));
/// loop {
///     select! {
///         recv(rx) -> message => match message {
///             Ok(_) => _ = idle.reset(Duration::from_millis(1)),
///             Err(_) => break,
///         },
///         recv(idle.channel()) -> _ => break,
///     }
/// }
/// ```
#[doc(alias = "NewTimer")]
#[must_use = "a timer does nothing but deliver through its channel"]
pub struct Timer {
    clock: Arc<Clock>,
    channel: Receiver<Instant>,
}

impl Timer {
    /// A timer for `duration` from now. One too long for the clock is for never.
    ///
    /// ```
    /// use corio::time::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// timer.channel().recv().unwrap();
    /// ```
    pub fn new(duration: Duration) -> Timer {
        Timer::for_time(Instant::now().checked_add(duration))
    }

    /// A timer for this time; if it has passed, it is delivered at once.
    ///
    /// ```
    /// use corio::time::Timer;
    /// use std::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(Timer::at(now).channel().recv(), Ok(now));
    /// ```
    pub fn at(when: Instant) -> Timer {
        Timer::for_time(Some(when))
    }

    fn for_time(when: Option<Instant>) -> Timer {
        let clock = Arc::new(Clock::once(when));
        let channel = Receiver::of_clock(Arc::clone(&clock));
        Timer { clock, channel }
    }

    /// The channel that delivers the time. It is never disconnected; after the delivery, or when the timer
    /// is stopped, receiving blocks until the timer is set anew.
    pub fn channel(&self) -> &Receiver<Instant> {
        &self.channel
    }

    /// Sets the timer for `duration` from now. Returns whether it was active: `false` if its time was
    /// received, or it was stopped.
    ///
    /// Whatever it was set for before is not delivered any more once this has returned.
    ///
    /// ```
    /// use corio::time::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.reset(Duration::from_secs(3600)), "nobody has received it");
    /// assert!(timer.channel().try_recv().is_err());
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.clock.reset(Instant::now().checked_add(duration))
    }

    /// As [`reset`](Timer::reset), for this time.
    pub fn reset_at(&self, when: Instant) -> bool {
        self.clock.reset(Some(when))
    }

    /// Stops the timer. Returns whether it was active: `false` if its time was received, or it was stopped
    /// before. Nothing is delivered once this has returned. Who waits for the channel goes on waiting.
    ///
    /// ```
    /// use corio::time::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.stop());
    /// assert!(timer.channel().try_recv().is_err());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.clock.stop()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("left", &self.clock.left())
            .finish_non_exhaustive()
    }
}
