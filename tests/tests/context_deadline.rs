//! Contexts with deadlines. Named beside each test: the one of Go's `context/x_test.go` that it stands for.

use corio::channel::TryRecvError;
use corio::context::{Context, ContextError};
use corio_tests::{watchdog, yield_until};
use std::thread;
use std::time::{Duration, Instant};
use time_support::{HOUR, MS, mixed, on_both, pass};

mod time_support;

/// Waits for its end and demands that it was the deadline's, and no sooner.
#[track_caller]
fn expires(ctx: &Context, cause: &str) {
    let deadline = ctx.deadline().unwrap();
    assert!(ctx.done().recv().is_err());
    assert!(Instant::now() >= deadline, "too early");
    assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    assert_eq!(ctx.cause().unwrap().to_string(), cause);
}

const EXCEEDED: &str = "context deadline exceeded";

/// `TestDeadline`.
#[test]
fn a_deadline_ends_the_context() {
    on_both(|| {
        let deadline = Instant::now() + 3 * MS;
        let (ctx, _cancel) = Context::background().with_deadline(deadline);
        assert_eq!(ctx.deadline(), Some(deadline));
        let (child, _cancel) = ctx.with_value(1).with_cancel();
        assert_eq!(child.deadline(), Some(deadline));
        expires(&child, EXCEEDED);
        expires(&ctx, EXCEEDED);
    });
}

/// `TestDeadline`, its last case, and `TestAlreadyExceededDeadline`'s.
#[test]
fn a_past_deadline_ends_it_at_once() {
    on_both(|| {
        let now = Instant::now();
        let past = now.checked_sub(HOUR).unwrap_or(now);
        for deadline in [now, past] {
            let (ctx, cancel) = Context::background().with_deadline(deadline);
            assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
            assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Disconnected));
            cancel.cancel();
            assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
            let (child, _cancel) = ctx.with_timeout(HOUR);
            assert_eq!(child.err(), Some(ContextError::DeadlineExceeded));
        }
        let (ctx, _cancel) = Context::background().with_timeout(Duration::ZERO);
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    });
}

/// `TestTimeout`.
#[test]
fn a_timeout_ends_the_context() {
    on_both(|| {
        let start = Instant::now();
        let (ctx, _cancel) = Context::background().with_timeout(3 * MS);
        let deadline = ctx.deadline().unwrap();
        assert!(deadline >= start + 3 * MS);
        // A longer one inside is of no consequence.
        let (longer, _cancel) = ctx.with_timeout(HOUR);
        assert_eq!(longer.deadline(), Some(deadline));
        expires(&longer, EXCEEDED);
        expires(&ctx, EXCEEDED);
    });
}

#[test]
fn a_shorter_timeout_inside_leaves_the_outer_alone() {
    on_both(|| {
        let (outer, _cancel) = Context::background().with_timeout(HOUR);
        let (inner, _cancel) = outer.with_timeout(2 * MS);
        assert!(inner.deadline() < outer.deadline());
        expires(&inner, EXCEEDED);
        assert_eq!(outer.err(), None);
    });
}

/// `TestCanceledTimeout`.
#[test]
fn cancelling_comes_before_the_deadline() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_timeout(2 * MS);
        let (child, _cancel) = ctx.with_timeout(MS);
        // Whatever came first, that stays.
        cancel.cancel();
        let error = ctx.err().unwrap();
        pass(5 * MS);
        assert_eq!(ctx.err(), Some(error));
        assert!(child.err().is_some());
        let (ctx, cancel) = Context::background().with_timeout(HOUR);
        cancel.cancel();
        assert_eq!(ctx.err(), Some(ContextError::Canceled));
    });
}

#[test]
fn huge_timeouts_set_no_deadline() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_timeout(Duration::MAX);
        assert_eq!((ctx.deadline(), ctx.err()), (None, None));
        let (timed, _cancel) = Context::background().with_timeout(HOUR);
        let (child, _cancel) = timed.with_timeout(Duration::MAX);
        assert_eq!(child.deadline(), timed.deadline());
        assert_eq!(ctx.sleep(MS), Ok(()));
        cancel.cancel();
        assert_eq!(ctx.sleep(Duration::MAX), Err(ContextError::Canceled));
    });
}

/// `TestCause`, the part about deadlines.
#[test]
fn a_deadlines_cause_is_told() {
    on_both(|| {
        let background = Context::background();
        let (ctx, _cancel) = background.with_timeout_cause(MS, "slow");
        let (child, _cancel) = ctx.with_cancel();
        expires(&ctx, "slow");
        expires(&child, "slow");
        let (ctx, _cancel) = background.with_deadline_cause(Instant::now(), "past");
        expires(&ctx, "past");
        // Not if it was cancelled, nor if it was the parent's deadline.
        let (ctx, cancel) = background.with_timeout_cause(HOUR, "slow");
        cancel.cancel();
        assert_eq!(ctx.cause().unwrap().to_string(), "context canceled");
        let (parent, _cancel) = background.with_timeout(MS);
        let (child, _cancel) = parent.with_timeout_cause(HOUR, "slow");
        expires(&child, EXCEEDED);
    });
}

/// A sleep ends with the context, whichever is first.
#[test]
fn sleep_ends_with_the_context() {
    on_both(|| {
        let (ctx, _cancel) = Context::background().with_timeout(5 * MS);
        let start = Instant::now();
        if ctx.sleep(MS).is_ok() {
            assert!(start.elapsed() >= MS);
        }
        assert_eq!(ctx.sleep(HOUR), Err(ContextError::DeadlineExceeded));
        assert!(Instant::now() >= ctx.deadline().unwrap());
    });
}

/// The deadline reaches goroutines and threads that wait for contexts derived from it.
#[test]
fn a_deadline_wakes_all_that_wait_below() {
    let _dog = watchdog();
    let (root, _cancel) = Context::background().with_timeout(5 * MS);
    mixed(10, move |i| {
        let (ctx, _cancel) = root.with_value(i).with_cancel();
        assert!(ctx.done().recv().is_err());
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    })();
}

/// A context whose deadline races with its cancelling and with its drop.
#[test]
fn deadlines_race_with_everything() {
    let _dog = watchdog();
    mixed(4, |seed| {
        for n in 0..500u64 {
            let timeout = Duration::from_micros((n * 7 + seed as u64) % 60);
            let (ctx, cancel) = Context::background().with_timeout(timeout);
            match n % 3 {
                0 => drop((ctx, cancel)),
                1 => {
                    cancel.cancel();
                    let error = ctx.err().unwrap();
                    assert_eq!(ctx.err(), Some(error));
                }
                _ => {
                    let (child, _cancel) = ctx.with_timeout(timeout / 2);
                    assert!(child.done().recv().is_err());
                    drop(cancel);
                    assert!(ctx.done().recv().is_err());
                }
            }
        }
    })();
}

/// The timer of a context that is gone does nothing.
#[test]
fn a_dropped_context_does_not_expire() {
    on_both(|| {
        let (parent, _cancel) = Context::background().with_cancel();
        for _ in 0..100 {
            let _ = parent.with_timeout(MS);
        }
        pass(3 * MS);
        assert_eq!(parent.err(), None);
    });
}

#[test]
fn threads_and_goroutines_share_deadlines() {
    let _dog = watchdog();
    let (ctx, _cancel) = Context::background().with_timeout(2 * MS);
    let ours = ctx.clone();
    let goroutine = corio::spawn(move || expires(&ours, EXCEEDED));
    let ours = ctx.clone();
    thread::spawn(move || expires(&ours, EXCEEDED))
        .join()
        .unwrap();
    goroutine.join().unwrap();
    yield_until(|| ctx.err().is_some());
}
