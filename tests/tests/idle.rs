//! An idle process does nothing.

use corio_tests::child;

#[test]
fn idle_process_makes_no_context_switch() {
    child!("idle").open_stdin().succeeds();
}

#[test]
fn idle_process_with_one_proc_makes_no_context_switch() {
    child!("idle").env("CORIO_PROCS", 1).open_stdin().succeeds();
}

#[test]
fn idle_process_with_many_procs_makes_no_context_switch() {
    child!("idle").env("CORIO_PROCS", 8).open_stdin().succeeds();
}
