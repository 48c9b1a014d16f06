//! Goroutines that keep their thread without saying so: the P is taken from them.

use corio_tests::child;
use std::time::Duration;

fn on_one_proc(scenario: &str) -> corio_tests::Outcome {
    child!(scenario).env("CORIO_PROCS", 1).succeeds()
}

#[test]
fn hog_that_spins_for_another_goroutine_ends() {
    on_one_proc("hog_spins");
}

#[test]
fn hog_does_not_hold_up_its_runnext() {
    on_one_proc("hog_runnext");
}

#[test]
fn hog_does_not_hold_up_timers() {
    on_one_proc("hog_timers");
}

#[test]
fn hog_asleep_in_std_holds_nobody_up() {
    on_one_proc("hog_std_sleep");
}

#[test]
fn hog_opening_a_fifo_holds_nobody_up() {
    on_one_proc("hog_fifo");
}

#[test]
fn hog_reading_a_pipe_holds_nobody_up() {
    on_one_proc("hog_pipe");
}

#[test]
fn hog_at_a_locked_mutex_holds_nobody_up() {
    on_one_proc("hog_mutex");
}

#[test]
fn hogs_eight_make_progress_and_end() {
    child!("hogs").arg(8).env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn hogs_thirty_two_make_progress_and_end() {
    child!("hogs").arg(32).env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn hogs_on_two_procs_make_progress_and_end() {
    child!("hogs").arg(32).env("CORIO_PROCS", 2).succeeds();
}

#[test]
fn hogs_beyond_the_bound_take_turns() {
    child!("hogs_bounded")
        .env("CORIO_PROCS", 1)
        .env("CORIO_MAX_BURNERS", 2)
        .limit(Duration::from_secs(120))
        .succeeds();
}

#[test]
fn hog_that_ends_locked_makes_room_for_the_next() {
    child!("hogs_locked")
        .env("CORIO_PROCS", 1)
        .env("CORIO_MAX_BURNERS", 1)
        .succeeds();
}

#[test]
fn hog_that_yields_is_no_hog() {
    on_one_proc("hog_yields");
}

#[test]
fn hog_pair_that_shares_a_slice_holds_nobody_up() {
    on_one_proc("hog_pair");
}

#[test]
fn hog_that_goes_on_to_block_and_park_is_well() {
    on_one_proc("hog_then_everything");
}
