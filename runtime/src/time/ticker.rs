//! `Ticker`: a channel that delivers instants at regular intervals. See `channel::timed` for how.

use crate::channel::Receiver;
use crate::channel::timed::{Clock, Rhythm};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Delivers the time on its channel, again and again, one period after the other.
///
/// Mirrors Go's `time.Ticker`. What differs: [`channel`](Ticker::channel) instead of the field `C`, and the
/// channel's `len` is 1 while a tick has not been received. (Go says 0.)
///
/// Ticks keep to the grid of the period, as in Go: who receives late gets the tick that was due first, those
/// that were due after it are dropped, and the next one is due at its regular time. With
/// [`channel::tick`](crate::channel::tick), as in crossbeam, it is due a whole period after the late
/// one.
///
/// Dropping a ticker does not stop it: a clone of its channel still ticks.
///
/// ```
/// use corio::time::Ticker;
/// use std::time::Duration;
///
/// let ticker = Ticker::new(Duration::from_millis(1));
/// let first = ticker.channel().recv().unwrap();
/// let second = ticker.channel().recv().unwrap();
/// assert!(second >= first + Duration::from_millis(1));
/// ticker.stop();
/// assert!(ticker.channel().try_recv().is_err());
/// ```
#[doc(alias = "NewTicker")]
#[must_use = "a ticker does nothing but deliver through its channel"]
pub struct Ticker {
    clock: Arc<Clock>,
    channel: Receiver<Instant>,
}

impl Ticker {
    /// A ticker whose first tick is due one `period` from now. One too long for the clock never ticks.
    ///
    /// # Panics
    ///
    /// If `period` is zero, as in Go.
    ///
    /// ```should_panic
    /// corio::time::Ticker::new(std::time::Duration::ZERO);
    /// ```
    #[track_caller]
    pub fn new(period: Duration) -> Ticker {
        let (first, grid) = schedule(period);
        let clock = Arc::new(Clock::periodic(first, grid));
        let channel = Receiver::of_clock(Arc::clone(&clock));
        Ticker { clock, channel }
    }

    /// The channel that delivers the ticks. It is never disconnected, not even when the ticker is stopped.
    pub fn channel(&self) -> &Receiver<Instant> {
        &self.channel
    }

    /// Ticks with another period from now on; the first tick is due one `period` from now. A tick that was
    /// due before and not received is dropped.
    ///
    /// # Panics
    ///
    /// If `period` is zero, as in Go.
    ///
    /// ```
    /// use corio::time::Ticker;
    /// use std::time::Duration;
    ///
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// ticker.reset(Duration::from_millis(1));
    /// ticker.channel().recv().unwrap();
    /// ```
    #[track_caller]
    pub fn reset(&self, period: Duration) {
        let (first, grid) = schedule(period);
        self.clock.reset_periodic(first, grid);
    }

    /// No tick is delivered any more once this has returned, until a [`reset`](Ticker::reset). Who waits
    /// for the channel goes on waiting.
    pub fn stop(&self) {
        self.clock.stop();
    }
}

#[track_caller]
fn schedule(period: Duration) -> (Option<Instant>, Rhythm) {
    assert!(!period.is_zero(), "a ticker's period must not be zero");
    (Instant::now().checked_add(period), Rhythm::Grid(period))
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker")
            .field("left", &self.clock.left())
            .finish_non_exhaustive()
    }
}
