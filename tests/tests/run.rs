//! `run`: a main goroutine, and the deadlocks that it finds.

use corio_tests::{child, watchdog};
use std::panic::catch_unwind;
use std::time::Duration;

#[test]
fn run_returns_what_main_returns() {
    let _dog = watchdog();
    assert_eq!(corio::run(|| 42), 42);
    assert_eq!(
        corio::run(|| corio::spawn(|| String::from("x")).join().unwrap()),
        "x"
    );
}

#[test]
fn run_names_its_goroutine() {
    let _dog = watchdog();
    assert_eq!(
        corio::run(|| corio::current().name().map(String::from)).as_deref(),
        Some("main")
    );
}

#[test]
fn run_has_a_large_stack() {
    #[inline(never)]
    fn recurse(depth: usize) -> usize {
        let frame = std::hint::black_box([1usize; 128]);
        if depth == 0 {
            0
        } else {
            recurse(depth - 1) + frame[depth % 128]
        }
    }
    let _dog = watchdog();
    assert_eq!(corio::run(|| recurse(1000)), 1000);
}

#[test]
fn run_passes_a_panic_on() {
    let _dog = watchdog();
    let caught = catch_unwind(|| corio::run(|| -> u8 { panic!("main") }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "main");
}

#[test]
fn run_does_not_wait_for_others() {
    let _dog = watchdog();
    let other = corio::run(|| corio::spawn(|| corio::sleep(Duration::from_secs(3600))));
    assert!(!other.is_finished());
}

#[test]
fn run_inside_a_goroutine_is_refused() {
    let _dog = watchdog();
    let payload = corio::spawn(|| corio::run(|| ())).join().unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("corio::run"), "{text}");
}

#[test]
fn run_ends_the_process_while_others_are_busy() {
    child!("run_abandons").succeeds();
}

#[test]
fn deadlock_of_main_alone_is_found() {
    child!("deadlock_park")
        .panics()
        .says("all goroutines are asleep - deadlock!")
        .says("\"main\" [park");
}

#[test]
fn deadlock_report_lists_who_waits_for_what() {
    child!("deadlock_list")
        .panics()
        .says("all goroutines are asleep - deadlock!")
        .says("\"main\" [join")
        .says("\"first\" [park")
        .says("\"second\" [scope")
        .says("[block on future")
        .says("child/deadlock.rs");
}

#[test]
fn deadlock_is_found_on_one_and_on_many_procs() {
    for procs in [1, 8] {
        child!("deadlock_list")
            .env("CORIO_PROCS", procs)
            .panics()
            .says("all goroutines are asleep - deadlock!");
    }
}

#[test]
fn deadlock_is_found_after_work() {
    child!("deadlock_late")
        .panics()
        .says("all goroutines are asleep - deadlock!");
}

#[test]
fn deadlock_is_found_once_the_last_plain_thread_ends() {
    child!("deadlock_after_thread")
        .panics()
        .says("all goroutines are asleep - deadlock!");
}

#[test]
fn deadlock_is_found_when_the_last_waker_is_dropped() {
    child!("deadlock_after_waker")
        .panics()
        .says("all goroutines are asleep - deadlock!");
}

#[test]
fn deadlock_can_be_caught() {
    child!("deadlock_caught").succeeds();
}

#[test]
fn no_deadlock_while_a_plain_thread_lives() {
    child!("no_deadlock_thread")
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn no_deadlock_while_somebody_sleeps() {
    child!("no_deadlock_sleep")
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn no_deadlock_while_a_park_has_a_timeout() {
    child!("no_deadlock_timeout")
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn no_deadlock_while_somebody_blocks_a_thread() {
    child!("no_deadlock_blocking")
        .open_stdin()
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn no_deadlock_while_a_thread_is_blocked_unannounced() {
    child!("no_deadlock_unannounced")
        .succeeds()
        .does_not_say("deadlock");
}

#[test]
fn no_deadlock_without_run() {
    child!("no_deadlock_without_run")
        .succeeds()
        .does_not_say("deadlock");
}
