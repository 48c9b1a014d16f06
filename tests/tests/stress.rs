//! Everything at once, at random: no hang, no crash, nothing lost.
//!
//! `CORIO_STRESS_SECS` is the time for each test (5 s unless set), `CORIO_STRESS_SEED` the seed. The
//! scenario's own watchdog notices a hang.

use corio_tests::{Child, child};
use std::time::Duration;

fn stress() -> Child {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
    };
    let secs = number("CORIO_STRESS_SECS", 5);
    child!("stress")
        .arg(secs)
        .arg(number("CORIO_STRESS_SEED", 1))
        .limit(Duration::from_secs(secs + 120))
}

#[test]
fn stress_on_one_proc() {
    stress().env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn stress_on_two_procs() {
    stress().env("CORIO_PROCS", 2).succeeds();
}

#[test]
fn stress_on_eight_procs() {
    stress().env("CORIO_PROCS", 8).succeeds();
}

#[test]
fn stress_with_migration() {
    stress()
        .env("CORIO_PROCS", 2)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn stress_with_migration_on_one_proc() {
    stress()
        .env("CORIO_PROCS", 1)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn stress_while_the_number_of_procs_changes() {
    stress().env("STRESS_SET_PROCS", 1).succeeds();
}

#[test]
fn stress_while_the_number_of_procs_changes_with_migration() {
    stress()
        .env("STRESS_SET_PROCS", 1)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn stress_with_few_threads() {
    stress()
        .env("CORIO_PROCS", 2)
        .env("CORIO_MAX_THREADS", 6)
        .succeeds();
}

#[test]
fn stress_with_few_burners() {
    stress()
        .env("CORIO_PROCS", 2)
        .env("CORIO_MAX_BURNERS", 1)
        .succeeds();
}

#[test]
fn stress_with_guards_by_mprotect() {
    stress()
        .env("CORIO_PROCS", 2)
        .env("CORIO_GUARD", "mprotect")
        .succeeds();
}
