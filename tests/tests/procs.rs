//! `set_procs`, numbers of Ps, and goroutines that move at every switch.

use corio_tests::child;

#[test]
fn set_procs_returns_what_was() {
    child!("procs_set").env("CORIO_PROCS", 3).succeeds();
}

#[test]
fn set_procs_refuses_what_cannot_be() {
    child!("procs_bad")
        .arg(0)
        .panics()
        .says("the number of procs is 0; it must be from 1 to 1024");
    child!("procs_bad").arg(1025).panics().says("1025");
}

#[test]
fn set_procs_under_load_loses_nobody() {
    child!("procs_load").succeeds();
}

#[test]
fn set_procs_under_load_with_migration_loses_nobody() {
    child!("procs_load")
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn set_procs_to_one_stops_the_others() {
    child!("procs_one").succeeds();
}

#[test]
fn set_procs_leaves_no_timer_behind() {
    child!("procs_timers").succeeds();
}

#[test]
fn procs_are_used() {
    child!("procs_used").env("CORIO_PROCS", 2).succeeds();
}

#[test]
fn everything_works_on_any_number_of_procs() {
    for procs in [1, 2, 8] {
        child!("mix").env("CORIO_PROCS", procs).succeeds();
    }
}

#[test]
fn everything_works_with_migration() {
    for procs in [1, 2, 8] {
        child!("mix")
            .env("CORIO_PROCS", procs)
            .env("CORIO_MIGRATE", "always")
            .succeeds();
    }
}

#[test]
fn migration_moves_a_goroutine_at_every_park() {
    for procs in [1, 2] {
        child!("migrates")
            .env("CORIO_PROCS", procs)
            .env("CORIO_MIGRATE", "always")
            .succeeds();
    }
}

#[test]
fn migration_with_one_thread_still_works() {
    child!("mix")
        .env("CORIO_MAX_THREADS", 1)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}
