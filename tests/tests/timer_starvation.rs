//! Timers fire though goroutines keep every queue full.

use corio_tests::child;

/// As many as are queued yield between two ends of a sleep: the sleeper waits its turn like everybody else, and
/// no longer.
#[test]
fn timers_fire_beside_full_queues() {
    let outcome = child!("starvation_timers")
        .arg(30_000)
        .env("CORIO_PROCS", 1)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
    let sleeps = outcome.number("sleeps");
    assert!(sleeps >= 50, "{sleeps} of 100; {outcome}");
}
