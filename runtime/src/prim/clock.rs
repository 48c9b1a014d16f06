//! The clock: monotonic nanoseconds since the process first asked, as one `u64`.
//!
//! One word instead of an `Instant`, because deadlines live in atomics and timer heaps compare
//! them. Reading it costs a `clock_gettime` (about 20 ns), which is why the Ps keep a cached copy.

use once_cell::sync::Lazy;
use std::time::{Duration, Instant};

static START: Lazy<Instant> = Lazy::new(Instant::now);

/// "Never" as a deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// Nanoseconds since the clock's start. Starts at 1, so that 0 can mean "not set".
#[inline]
pub(crate) fn now() -> u64 {
    at(Instant::now())
}

/// `instant` on this clock: 1 if it lies before the clock's start, [`NEVER`] if it lies more than
/// 584 years after it.
pub(crate) fn at(instant: Instant) -> u64 {
    nanos(instant.saturating_duration_since(*START)).saturating_add(1)
}

/// The deadline that lies `duration` from now.
pub(crate) fn after(duration: Duration) -> u64 {
    now().saturating_add(nanos(duration))
}

/// What is left from `now` until `deadline`; `None` stands for for ever.
pub(crate) fn until(deadline: u64, now: u64) -> Option<Duration> {
    (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(now)))
}

/// Time since the clock's start.
pub(crate) fn uptime() -> Duration {
    START.elapsed()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_and_far_future_saturate() {
        let now = now();
        assert!(now >= 1);
        if let Some(past) = Instant::now().checked_sub(Duration::from_secs(3600)) {
            assert_eq!(at(past), 1);
        }
        assert_eq!(after(Duration::MAX), NEVER);
        assert_eq!(until(NEVER, now), None);
        assert_eq!(until(now, now + 1), Some(Duration::ZERO));
    }
}
