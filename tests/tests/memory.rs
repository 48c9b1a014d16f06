//! What goroutines cost. Only in release builds: in debug ones frames are larger and everything slower.

use corio_tests::child;
use std::time::Duration;

const MINUTES: Duration = Duration::from_secs(240);

#[test]
#[cfg_attr(debug_assertions, ignore = "measures release builds")]
fn million_parked_goroutines_are_small() {
    let outcome = child!("memory_parked")
        .arg(1_000_000)
        .limit(MINUTES)
        .succeeds();
    let each = outcome.number("bytes each");
    assert!(each <= 4915, "{each} bytes each; {outcome}");
    let maps = outcome.number("mappings");
    assert!(maps < 1000, "{maps} mappings; {outcome}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures release builds")]
fn million_short_goroutines_need_little() {
    let outcome = child!("memory_burst")
        .arg(1_000_000)
        .limit(MINUTES)
        .succeeds();
    let peak = outcome.number("peak KiB");
    assert!(peak < 200 * 1024, "{peak} KiB; {outcome}");
}

#[test]
fn hundred_thousand_parked_goroutines_wake() {
    child!("memory_parked")
        .arg(100_000)
        .limit(MINUTES)
        .succeeds();
}

#[test]
fn memory_of_deep_stacks_is_given_back() {
    child!("memory_trim").succeeds();
}

#[test]
fn memory_of_finished_goroutines_is_given_back() {
    child!("memory_pool").succeeds();
}
