//! Timers and tickers with channels, and functions called later.
//!
//! Go's `time` package, with std's [`Duration`] and [`Instant`]:
//!
//! | Go | here |
//! | --- | --- |
//! | `time.Sleep(d)` | [`corio::sleep`](crate::sleep()) |
//! | `time.After(d)` | [`channel::after`](crate::channel::after) |
//! | `time.Tick(d)` | [`channel::tick`](crate::channel::tick), or a [`Ticker`]: see there for the difference |
//! | `time.NewTimer(d)`, `t.C` | [`Timer::new`], [`Timer::channel`] |
//! | `time.NewTicker(d)`, `t.C` | [`Ticker::new`], [`Ticker::channel`] |
//! | `time.AfterFunc(d, f)` | [`after_func`] |
//!
//! As in Go since 1.23, no stale value comes out of a channel after `reset` or `stop` has returned, nobody
//! need stop anything for its memory to be freed, and resetting and stopping are cheap: a [`Timer`] or
//! [`Ticker`] that nobody waits for is not known to the scheduler at all (`channel::timed`), and a function
//! that is put off again and again is put off when its first time comes (`time::func`).
//!
//! ```
//! use corio::time::Timer;
//! use std::time::{Duration, Instant};
//!
//! let start = Instant::now();
//! let timer = Timer::new(Duration::from_secs(3600));
//! assert!(timer.reset(Duration::from_millis(2)));
//! let when = timer.channel().recv().unwrap();
//! assert!(when >= start + Duration::from_millis(2));
//! ```

pub(crate) mod func;
pub(crate) mod ticker;
pub(crate) mod timer;

pub use func::{FuncTimer, after_func};
pub use ticker::Ticker;
pub use timer::Timer;

#[cfg(doc)]
use std::time::{Duration, Instant};
