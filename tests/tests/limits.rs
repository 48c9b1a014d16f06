//! No more goroutines, threads, memory or mappings: something waits or is refused, nothing is lost.

use corio_tests::child;
use std::time::Duration;

const MIB: u64 = 1 << 20;

#[test]
fn limit_of_goroutines_refuses_the_next() {
    child!("limit_goroutines")
        .env("CORIO_MAX_GOROUTINES", 100)
        .succeeds();
}

#[test]
fn limit_of_goroutines_makes_spawn_panic() {
    child!("limit_goroutines_panic")
        .env("CORIO_MAX_GOROUTINES", 10)
        .panics()
        .says("the limit of 10 goroutines is reached")
        .says("CORIO_MAX_GOROUTINES");
}

#[test]
fn limit_of_threads_makes_goroutines_wait() {
    child!("limit_threads")
        .env("CORIO_PROCS", 2)
        .env("CORIO_MAX_THREADS", 4)
        .succeeds()
        .says("can't start a thread")
        .says("CORIO_MAX_THREADS");
}

#[test]
fn limit_of_threads_is_reported_once() {
    let outcome = child!("limit_threads")
        .env("CORIO_PROCS", 2)
        .env("CORIO_MAX_THREADS", 4)
        .succeeds();
    assert_eq!(
        outcome.stderr.matches("can't start a thread").count(),
        1,
        "{outcome}"
    );
}

#[test]
fn limit_of_address_space_makes_goroutines_wait_for_a_stack() {
    for procs in [1, 2] {
        child!("limit_stacks")
            .env("CORIO_PROCS", procs)
            .address_space(400 * MIB)
            .succeeds();
    }
}

#[test]
fn limit_of_address_space_is_reported() {
    let outcome = child!("limit_stacks_report")
        .address_space(400 * MIB)
        .succeeds();
    assert_eq!(
        outcome.stderr.matches("wait for a stack").count(),
        1,
        "{outcome}"
    );
    outcome.says("RLIMIT_AS");
}

#[test]
fn limit_of_address_space_is_in_the_deadlock_report() {
    child!("limit_stacks_deadlock")
        .address_space(400 * MIB)
        .panics()
        .says("all goroutines are asleep - deadlock!")
        .says("[needs stack");
}

#[test]
fn limit_of_address_space_frees_what_other_procs_cache() {
    child!("limit_stacks_cached")
        .env("CORIO_PROCS", 2)
        .address_space(400 * MIB)
        .succeeds();
}

#[test]
fn guard_by_mprotect_works() {
    for procs in [1, 2] {
        child!("mix")
            .env("CORIO_PROCS", procs)
            .env("CORIO_GUARD", "mprotect")
            .succeeds();
    }
}

#[test]
fn guard_by_mprotect_that_runs_out_of_mappings_makes_goroutines_wait() {
    // Two mappings per stack: the default of 65530 is used up with about 32,000.
    child!("limit_mappings")
        .env("CORIO_GUARD", "mprotect")
        .limit(Duration::from_secs(120))
        .succeeds()
        .says("max_map_count");
}
