//! What the tests of time and contexts share.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::time::{Duration, Instant};

pub(crate) use corio_tests::{mixed, on_both};

/// Never, as far as a test goes.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// Lets time pass: what had to happen by itself until then would have.
pub(crate) fn pass(time: Duration) {
    let end = Instant::now() + time;
    corio::sleep_until(end);
    while Instant::now() < end {
        corio::yield_now();
    }
}
