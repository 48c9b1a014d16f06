//! Signals. They are the whole process's, so each test has one of its own (`tests/child/signals.rs`, where it
//! is named which of Go's `signal_test.go` they stand for).

use corio::context::Context;
use corio::signal::{self, SIGBUS, SIGFPE, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGSTOP, Signal};
use corio_tests::child;
use std::io::ErrorKind;

#[test]
fn signals_arrive() {
    child!("signal_arrives").succeeds();
    child!("signal_arrives_for_all").succeeds();
    for procs in [1, 8] {
        child!("signal_arrives")
            .env("CORIO_PROCS", procs)
            .succeeds();
    }
    child!("signal_arrives")
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn a_full_channel_drops_signals() {
    child!("signal_full").succeeds();
}

#[test]
fn the_default_is_back_when_nobody_is_left() {
    child!("signal_dropped").dies_by(libc::SIGTERM);
    child!("signal_dropped_last").dies_by(libc::SIGINT);
    child!("signal_dropped_harmless").succeeds();
}

#[test]
fn another_handler_stays() {
    child!("signal_chained").succeeds();
}

#[test]
fn ignored_signals_do_nothing() {
    child!("signal_ignored").dies_by(libc::SIGINT);
    child!("signal_ignored_before").succeeds();
}

#[test]
fn reset_takes_everything_back() {
    child!("signal_reset").succeeds();
    child!("signal_reset_dies").dies_by(libc::SIGTERM);
}

#[test]
fn a_signal_cancels_a_context() {
    child!("signal_context").dies_by(libc::SIGTERM);
    child!("signal_context_stop").succeeds();
    child!("signal_context_parent").succeeds();
    child!("signal_context_panic").succeeds();
}

#[test]
fn signals_come_at_any_moment() {
    for procs in [1, 2, 8] {
        child!("signal_storm").env("CORIO_PROCS", procs).succeeds();
    }
    child!("signal_storm")
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}

#[test]
fn one_thread_delivers_them() {
    child!("signal_threads").succeeds();
}

#[test]
fn no_deadlock_while_a_signal_may_come() {
    child!("signal_run").succeeds().does_not_say("deadlock");
    child!("signal_run_context")
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn a_deadlock_when_no_signal_can_help() {
    for scenario in [
        "signal_deadlock",
        "signal_deadlock_stopped",
        "signal_deadlock_done",
    ] {
        child!(scenario)
            .panics()
            .says("all goroutines are asleep - deadlock!");
    }
}

#[test]
fn what_cannot_be_caught_is_refused() {
    let refused = |signal: Signal, text: &str| {
        for error in [
            signal::notify(&[SIGINT, signal]).unwrap_err(),
            signal::notify_context(&Context::background(), &[signal]).unwrap_err(),
            signal::ignore(&[signal]).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), text);
        }
    };
    for signal in [SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL] {
        refused(signal, &format!("{signal} can't be caught"));
    }
    for number in [0, -1, 65, 200, i32::MAX, i32::MIN] {
        refused(
            Signal::from_raw(number),
            &format!("there is no signal {number}"),
        );
    }
    let error = signal::notify(&[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Of these the system's library keeps two for itself.
    let error = signal::notify(&[Signal::from_raw(32)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!signal::is_ignored(Signal::from_raw(1000)));
    signal::reset(&[SIGKILL, Signal::from_raw(1000)]);
}

#[test]
fn signals_have_names() {
    assert_eq!(SIGINT.to_string(), "SIGINT");
    assert_eq!(format!("{SIGINT:?}"), "SIGINT");
    assert_eq!(SIGINT.name(), Some("SIGINT"));
    assert_eq!(SIGINT.as_raw(), libc::SIGINT);
    assert_eq!(Signal::from_raw(libc::SIGINT), SIGINT);
    let odd = Signal::from_raw(42);
    assert_eq!(
        (odd.name(), odd.to_string()),
        (None, "signal 42".to_string())
    );
    assert_eq!(format!("{odd:?}"), "Signal(42)");
}
