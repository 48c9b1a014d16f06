//! Functions called when a context is done. Named beside each test: the one of Go's `context/x_test.go` and
//! `afterfunc_test.go` that it stands for.

use corio::channel;
use corio::context::{Context, ContextError, after_func};
use corio_tests::{Drops, watchdog, yield_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use time_support::{HOUR, MS, mixed, on_both, pass};

mod time_support;

/// `TestAfterFuncCalledAfterCancel`.
#[test]
fn it_is_called_after_cancel() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (tx, rx) = channel::bounded(1);
        let stop = after_func(&ctx, move || tx.send(()).unwrap());
        assert!(rx.try_recv().is_err());
        cancel.cancel();
        rx.recv().unwrap();
        assert!(!stop.stop());
    });
}

/// `TestAfterFuncCalledAfterTimeout`.
#[test]
fn it_is_called_after_the_deadline() {
    on_both(|| {
        let (ctx, _cancel) = Context::background().with_timeout(2 * MS);
        let (tx, rx) = channel::bounded(1);
        let theirs = ctx.clone();
        after_func(&ctx, move || tx.send(theirs.err()).unwrap());
        assert_eq!(rx.recv().unwrap(), Some(ContextError::DeadlineExceeded));
    });
}

/// `TestAfterFuncCalledImmediately`.
#[test]
fn it_is_called_at_once_if_the_context_is_done() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        cancel.cancel();
        let (tx, rx) = channel::bounded(1);
        let stop = after_func(&ctx, move || tx.send(()).unwrap());
        assert!(!stop.stop());
        rx.recv().unwrap();
    });
}

/// `TestAfterFuncNotCalledAfterStop`.
#[test]
fn it_is_not_called_after_stop() {
    on_both(|| {
        let drops = Drops::new();
        let (ctx, cancel) = Context::background().with_cancel();
        let token = drops.token();
        let stop = after_func(&ctx, move || {
            let _captured = &token;
            panic!("stopped");
        });
        assert!(stop.stop());
        assert_eq!(drops.count(), 1, "what it captured is gone");
        assert!(!stop.stop());
        cancel.cancel();
        pass(MS);
    });
}

/// `TestAfterFuncCalledAsynchronously`: cancelling waits for nobody.
#[test]
fn cancel_does_not_wait_for_it() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (tx, rx) = channel::bounded(0);
        after_func(&ctx, move || tx.send(()).unwrap());
        cancel.cancel();
        // It is still sending.
        rx.recv().unwrap();
    });
}

/// Each is independent of the others, with the same context.
#[test]
fn stopping_one_leaves_the_others() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let count = Arc::new(AtomicUsize::new(0));
        let stops: Vec<_> = (0..100)
            .map(|_| {
                let count = Arc::clone(&count);
                after_func(&ctx, move || {
                    count.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        for stop in stops.iter().step_by(3) {
            assert!(stop.stop());
        }
        // Their places are taken by others, whom a second stop must not touch.
        let theirs = Arc::clone(&count);
        let _again = after_func(&ctx, move || {
            theirs.fetch_add(1, Ordering::SeqCst);
        });
        for stop in stops.iter().step_by(3) {
            assert!(!stop.stop());
        }
        cancel.cancel();
        yield_until(|| count.load(Ordering::SeqCst) == 67);
        pass(MS);
        assert_eq!(count.load(Ordering::SeqCst), 67);
    });
}

/// `TestCustomContextAfterFuncCancel` and its kin: derived contexts are told as well.
#[test]
fn it_works_on_derived_contexts() {
    on_both(|| {
        let (root, cancel) = Context::background().with_cancel();
        let count = Arc::new(AtomicUsize::new(0));
        let count_up = || {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let (child, _cancel) = root.with_timeout(HOUR);
        let valued = child.with_value(1);
        after_func(&valued, count_up());
        after_func(&root, count_up());
        let quiet = after_func(&valued.without_cancel(), count_up());
        cancel.cancel();
        yield_until(|| count.load(Ordering::SeqCst) == 2);
        assert!(quiet.stop());
    });
}

/// Either it is called or stopped in time, whoever is faster.
#[test]
fn either_it_is_called_or_stopped() {
    let _dog = watchdog();
    mixed(4, |seed| {
        for n in 0..300u64 {
            let (ctx, cancel) = Context::background().with_cancel();
            let count = Arc::new(AtomicUsize::new(0));
            let theirs = Arc::clone(&count);
            let stop = after_func(&ctx, move || {
                theirs.fetch_add(1, Ordering::SeqCst);
            });
            let other = corio::spawn(move || cancel.cancel());
            if !(n + seed as u64).is_multiple_of(2) {
                corio::yield_now();
            }
            let stopped = stop.stop();
            other.join().unwrap();
            if stopped {
                assert_eq!(count.load(Ordering::SeqCst), 0);
            } else {
                yield_until(|| count.load(Ordering::SeqCst) == 1);
            }
            yield_until(|| Arc::strong_count(&count) == 1);
        }
    })();
}

/// Of a context that goes away undone it is dropped, uncalled; a `StopFunc` keeps the context.
#[test]
fn it_goes_with_the_last_handle() {
    on_both(|| {
        let drops = Drops::new();
        let plan = |ctx: &Context| {
            let token = drops.token();
            after_func(ctx, move || {
                let _captured = &token;
                unreachable!("nobody cancels");
            })
        };
        let (ctx, cancel) = Context::background().with_timeout(HOUR);
        let stop = plan(&ctx);
        drop((ctx, cancel));
        assert_eq!(drops.count(), 0);
        drop(stop);
        assert_eq!(drops.count(), 1);
        drop(plan(&Context::background()));
        assert_eq!(drops.count(), 2);
    });
}

/// One that panics harms nobody.
#[test]
fn a_panic_in_it_is_its_own() {
    let _dog = watchdog();
    let (ctx, cancel) = Context::background().with_cancel();
    let (tx, rx) = channel::bounded(2);
    let sends = tx.clone();
    after_func(&ctx, || panic!("no luck"));
    after_func(&ctx, move || sends.send(1).unwrap());
    after_func(&ctx, move || tx.send(2).unwrap());
    cancel.cancel();
    let mut came = [rx.recv().unwrap(), rx.recv().unwrap()];
    came.sort_unstable();
    assert_eq!(came, [1, 2]);
    assert!(ctx.err().is_some());
}

/// It may use the context that called it, and cancel others.
#[test]
fn it_may_use_contexts() {
    on_both(|| {
        let (first, cancel) = Context::background().with_cancel();
        let (second, cancel_second) = Context::background().with_timeout(HOUR);
        let theirs = first.clone();
        after_func(&first, move || {
            assert_eq!(theirs.err(), Some(ContextError::Canceled));
            assert_eq!(theirs.sleep(HOUR), Err(ContextError::Canceled));
            cancel_second.cancel();
        });
        cancel.cancel();
        assert!(
            second.done().recv_timeout(Duration::from_secs(30))
                == Err(channel::RecvTimeoutError::Disconnected)
        );
    });
}
