//! The clock of models: it stands still until a timer fires, which moves it to the timer's time.
//!
//! So a deadline that has not passed when a wait begins passes when its timer fires, at any moment that
//! the model explores. (Or, in a model that is about impatience, it leaps.) loom knows nothing of this clock: reading it orders nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// "Never" as a deadline.
pub(crate) const NEVER: u64 = u64::MAX;

thread_local! {
    /// All threads of a model run on one thread of the operating system.
    static NOW: Cell<u64> = const { Cell::new(1) };
    /// What each look at the clock takes.
    static PACE: Cell<u64> = const { Cell::new(0) };
}

/// Sets the clock to its start, as a model's execution begins.
pub(crate) fn restart() {
    NOW.set(1);
    PACE.set(0);
}

/// From now on each look at the clock takes so long.
pub(crate) fn hurry(pace: Duration) {
    PACE.set(pace.as_nanos() as u64);
}

/// A timer for `when` fires.
pub(crate) fn advance(when: u64) {
    NOW.set(NOW.get().max(when));
}

/// The time. Starts at 1.
pub(crate) fn now() -> u64 {
    NOW.set(NOW.get() + PACE.get());
    NOW.get()
}

/// Models have no instants.
pub(crate) fn at(_: Instant) -> u64 {
    unimplemented!("models give their deadlines as durations")
}

/// The deadline that lies `duration` from now.
pub(crate) fn after(duration: Duration) -> u64 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(NEVER);
    now().saturating_add(nanos)
}

/// What is left from `now` until `deadline`; `None` stands for for ever.
pub(crate) fn until(deadline: u64, now: u64) -> Option<Duration> {
    (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(now)))
}
