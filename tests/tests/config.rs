//! Settings: bad values, who beats whom, and too late.

use corio_tests::child;

fn refused(name: &str, value: &str, expected: &str) {
    let message = format!("{name}={value:?}: expected {expected}");
    // `init` returns it, and a start by itself panics with it.
    child!("config_init")
        .env(name, value)
        .succeeds()
        .says(&message);
    child!("config_default")
        .env(name, value)
        .panics()
        .says(&message);
}

#[test]
fn config_refuses_bad_procs() {
    for value in ["0", "1025", "-1", "two", "1.5", "99999999999999999999999"] {
        refused("CORIO_PROCS", value, "a whole number from 1 to 1024");
    }
}

#[test]
fn config_refuses_bad_stack_sizes() {
    for value in ["0", "8K", "2G", "256KB", "K", "-64K", "99999999999G"] {
        refused("CORIO_STACK_SIZE", value, "a size in bytes from 16K to 1G");
    }
}

#[test]
fn config_refuses_bad_limits() {
    refused("CORIO_MAX_THREADS", "0", "a whole number from 1 to 1000000");
    refused(
        "CORIO_MAX_THREADS",
        "1000001",
        "a whole number from 1 to 1000000",
    );
    refused(
        "CORIO_MAX_GOROUTINES",
        "0",
        "a whole number from 1 to 4294967295",
    );
    refused(
        "CORIO_MAX_GOROUTINES",
        "many",
        "a whole number from 1 to 4294967295",
    );
    refused(
        "CORIO_MAX_BURNERS",
        "-1",
        "a whole number from 0 to 1000000",
    );
    refused("CORIO_DUMP", "yes", "0 or 1");
    refused("CORIO_SCHEDTRACE", "86400001", "milliseconds");
    refused("CORIO_SCHEDTRACE", "1s", "milliseconds");
}

#[test]
fn config_refuses_bad_words() {
    refused("CORIO_MIGRATE", "sometimes", "never or always");
    refused("CORIO_GUARD", "none", "auto or mprotect");
    refused("CORIO_PANIC", "ignore", "isolate or abort");
}

#[test]
fn config_takes_good_values() {
    child!("config_good")
        .env("CORIO_PROCS", " 3 ")
        .env("CORIO_STACK_SIZE", "1m")
        .env("CORIO_MAX_THREADS", 50)
        .env("CORIO_GUARD", "MPROTECT")
        .env("CORIO_PANIC", "")
        .succeeds();
}

#[test]
fn config_in_code_beats_the_environment() {
    child!("config_explicit")
        .env("CORIO_PROCS", "nonsense")
        .succeeds();
    child!("config_explicit").env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn config_after_the_start_is_too_late() {
    child!("config_late").succeeds();
}

#[test]
fn config_refused_once_can_be_repaired() {
    child!("config_repaired").succeeds();
}

#[test]
fn config_schedtrace_prints_lines() {
    let outcome = child!("config_trace")
        .env("CORIO_SCHEDTRACE", 50)
        .succeeds();
    let lines = outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("SCHED"));
    assert!(lines.count() >= 3, "{outcome}");
}

#[test]
fn config_starts_once_from_many_threads() {
    child!("config_race").succeeds();
}

#[test]
fn first_use_by_many_threads_at_once_is_one_start() {
    for procs in [1, 2, 8] {
        for _ in 0..20 {
            child!("config_start_race")
                .env("CORIO_PROCS", procs)
                .succeeds();
        }
    }
}
