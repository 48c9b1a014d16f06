//! Sleeping.
//!
//! Next in the reading order: `sync`, beginning with `waitq`.

use crate::park::{WaitReason, begin, park};
use crate::prim::clock::{self, NEVER};
use crate::timer;
use std::time::{Duration, Instant};

/// Blocks the goroutine (or the plain thread) for at least `duration`.
///
/// Mirrors [`std::thread::sleep`]. A duration too long for the clock (584 years) sleeps for ever.
///
/// # Blocking
///
/// A switch point on a goroutine, even for a zero duration.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// corio::sleep(Duration::from_millis(2));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return crate::park::yield_now();
    }
    sleep_ns(clock::after(duration));
}

/// Blocks the goroutine (or the plain thread) until `deadline`; if it has passed, it only yields.
///
/// ```
/// use std::time::{Duration, Instant};
/// let deadline = Instant::now() + Duration::from_millis(1);
/// corio::sleep_until(deadline);
/// assert!(Instant::now() >= deadline);
/// ```
///
/// # Blocking
///
/// As [`sleep`].
pub fn sleep_until(deadline: Instant) {
    if deadline <= Instant::now() {
        return crate::park::yield_now();
    }
    sleep_ns(clock::at(deadline));
}

fn sleep_ns(until: u64) {
    // SAFETY: it is parked for right below.
    let token = unsafe { begin() };
    if until != NEVER {
        timer::wake_at(until, token);
    }
    park(WaitReason::Sleep, until as usize);
}
