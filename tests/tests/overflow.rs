//! Stack overflows and other faults.

use corio_tests::child;

#[test]
fn overflow_names_the_goroutine() {
    child!("overflow")
        .dies_by(libc::SIGABRT)
        .says("goroutine ")
        .says("has overflowed its stack of 262144 bytes")
        .says("CORIO_STACK_SIZE");
}

#[test]
fn overflow_names_a_named_goroutine_and_its_size() {
    child!("overflow_named")
        .dies_by(libc::SIGABRT)
        .says("\"deep thought\" has overflowed its stack of 1048576 bytes");
}

#[test]
fn overflow_of_main_names_it() {
    child!("overflow_main")
        .dies_by(libc::SIGABRT)
        .says("\"main\" has overflowed its stack of 8388608 bytes");
}

#[test]
fn overflow_is_named_whatever_the_guard() {
    child!("overflow")
        .env("CORIO_GUARD", "mprotect")
        .dies_by(libc::SIGABRT)
        .says("has overflowed its stack of 262144 bytes");
}

#[test]
fn overflow_is_named_after_migrations() {
    child!("overflow_after_switches")
        .env("CORIO_MIGRATE", "always")
        .dies_by(libc::SIGABRT)
        .says("\"traveller\" has overflowed its stack");
}

#[test]
fn overflow_is_named_on_a_thread_without_a_p() {
    child!("overflow_blocking")
        .dies_by(libc::SIGABRT)
        .says("\"blocker\" has overflowed its stack");
}

#[test]
fn overflow_with_a_large_frame_does_not_jump_the_guard() {
    child!("overflow_large_frame")
        .dies_by(libc::SIGABRT)
        .says("has overflowed its stack");
}

#[test]
fn overflow_of_a_plain_thread_is_still_stds() {
    child!("overflow_thread")
        .dies_by(libc::SIGABRT)
        .says("thread 'plain'")
        .says("has overflowed its stack")
        .does_not_say("goroutine");
}

#[test]
fn fault_elsewhere_reaches_the_previous_handler() {
    let outcome = child!("fault_handled").run();
    assert_eq!(outcome.status.code(), Some(33), "{outcome}");
}

#[test]
fn fault_elsewhere_ends_the_process() {
    child!("fault")
        .dies_by(libc::SIGSEGV)
        .does_not_say("overflowed");
}

#[test]
fn recursion_within_a_large_stack_is_fine() {
    child!("overflow_not").succeeds();
}

#[test]
fn recursion_within_a_configured_stack_is_fine() {
    child!("overflow_not_configured")
        .env("CORIO_STACK_SIZE", "8M")
        .succeeds();
}
