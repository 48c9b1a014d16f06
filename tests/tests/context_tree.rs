//! Cancelling contexts, and their values. Named beside each test: the one of Go's `context/context_test.go`
//! and `x_test.go` that it stands for.

use corio::channel::{self, Receiver, TryRecvError};
use corio::context::{
    CancelCauseFunc, CancelFunc, CancelGuard, Context, ContextError, StopFunc, after_func,
};
use corio::select;
use corio_tests::{Child, Drops, Rng, child, watchdog, yield_until};
use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use time_support::{HOUR, MS, mixed, on_both};

mod time_support;

/// Demands that the context is not done, in every way that can be asked.
#[track_caller]
fn is_live(ctx: &Context) {
    assert_eq!(ctx.err(), None);
    assert_eq!(ctx.check(), Ok(()));
    assert!(ctx.cause().is_none());
    assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Empty));
    select! {
        recv(ctx.done()) -> _ => panic!("done"),
        default => {}
    }
}

/// Demands that it is done, for this reason.
#[track_caller]
fn is_done(ctx: &Context, error: ContextError, cause: &str) {
    assert_eq!(ctx.err(), Some(error));
    assert_eq!(ctx.check(), Err(error));
    assert_eq!(ctx.cause().unwrap().to_string(), cause);
    assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Disconnected));
    select! {
        recv(ctx.done()) -> never => assert!(never.is_err()),
        default => panic!("not done"),
    }
}

#[track_caller]
fn is_canceled(ctx: &Context) {
    is_done(ctx, ContextError::Canceled, "context canceled");
}

/// `TestBackground`, `TestTODO`.
#[test]
fn the_background_is_never_done() {
    on_both(|| {
        for ctx in [Context::background(), Context::default()] {
            is_live(&ctx);
            assert_eq!(ctx.deadline(), None);
            assert_eq!(ctx.sleep(MS), Ok(()));
            assert!(ctx.value::<()>().is_none());
            assert!(after_func(&ctx, || unreachable!()).stop());
        }
    });
}

/// `TestWithCancel`.
#[test]
fn cancel_ends_a_context_once() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        is_live(&ctx);
        for _ in 0..2 {
            cancel.cancel();
            cancel.clone().cancel();
            is_canceled(&ctx);
        }
        is_canceled(&ctx.clone());
        assert_eq!(ctx.sleep(HOUR), Err(ContextError::Canceled));
    });
}

/// Whoever waits is woken: in a receive, a select, a sleep; on a goroutine or a thread.
#[test]
fn cancel_wakes_who_waits() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_value(1u8).with_cancel();
        let ready = Arc::new(AtomicUsize::new(0));
        let ours = Arc::clone(&ready);
        let join = mixed(12, move |i| {
            ours.fetch_add(1, Ordering::SeqCst);
            match i / 2 % 3 {
                0 => assert!(ctx.done().recv().is_err()),
                1 => select! {
                    recv(ctx.done()) -> never => assert!(never.is_err()),
                    recv(channel::after(HOUR)) -> _ => panic!("too late"),
                },
                _ => assert_eq!(ctx.sleep(HOUR), Err(ContextError::Canceled)),
            }
            is_canceled(&ctx);
        });
        yield_until(|| ready.load(Ordering::SeqCst) == 12);
        cancel.cancel();
        join();
    });
}

/// `XTestParentFinishesChild`.
#[test]
fn a_parent_takes_its_children_along() {
    on_both(|| {
        let (parent, cancel) = Context::background().with_cancel();
        let (child, _cancel) = parent.with_cancel();
        let (timed, _cancel) = parent.with_timeout(HOUR);
        let valued = timed.with_value("value");
        let (grandchild, _cancel) = valued.with_cancel();
        let all = [&parent, &child, &timed, &valued, &grandchild];
        all.iter().for_each(|ctx| is_live(ctx));
        cancel.cancel();
        all.iter().for_each(|ctx| is_canceled(ctx));
        // `TestWithCancelCanceledParent`: born cancelled.
        let (late, _cancel) = grandchild.with_cancel();
        is_canceled(&late);
        let (late, _cancel) = grandchild.with_timeout(HOUR);
        is_canceled(&late);
        is_canceled(&late.with_value(1));
    });
}

/// `XTestChildFinishesFirst`.
#[test]
fn a_child_does_not_take_its_parent_along() {
    on_both(|| {
        let (stoppable, cancel_parent) = Context::background().with_cancel();
        for parent in [&Context::background(), &stoppable] {
            let (child, cancel) = parent.with_cancel();
            let (sibling, _cancel) = parent.with_cancel();
            cancel.cancel();
            is_canceled(&child);
            is_live(parent);
            is_live(&sibling);
        }
        cancel_parent.cancel();
        is_canceled(&stoppable);
    });
}

/// `TestInterlockedCancels`: a child whose end is what ends its parent, and the other way round.
#[test]
fn cancels_that_wait_for_each_other() {
    on_both(|| {
        let (parent, cancel_parent) = Context::background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        let waits = corio::spawn(move || {
            assert!(parent.done().recv().is_err());
            cancel_child.cancel();
        });
        cancel_parent.cancel();
        assert!(child.done().recv().is_err());
        is_canceled(&child);
        waits.join().unwrap();
    });
}

/// `TestSimultaneousCancels`: a whole tree, every node of which is cancelled by somebody else at once.
#[test]
fn a_tree_cancelled_by_many_at_once() {
    on_both(|| {
        for round in 0..5 {
            let mut tree = vec![Context::background().with_cancel()];
            let mut from = 0;
            while tree.len() < 200 {
                for _ in 0..3 {
                    let next = tree[from].0.with_cancel();
                    tree.push(next);
                }
                from += 1;
            }
            let tree = Arc::new(tree);
            let ours = Arc::clone(&tree);
            mixed(8, move |i| {
                for n in 0..ours.len() {
                    let (ctx, cancel) = &ours[(n * 7 + i * 31 + round) % ours.len()];
                    cancel.cancel();
                    is_canceled(ctx);
                }
            })();
            tree.iter().for_each(|(ctx, _)| is_canceled(ctx));
        }
    });
}

/// When `cancel` returns everything below is done, whoever else is at it.
#[test]
fn a_cancel_that_comes_second_waits_for_the_first() {
    let _dog = watchdog();
    for _ in 0..20 {
        let (root, cancel) = Context::background().with_cancel();
        let below: Vec<(Context, CancelFunc)> = (0..500).map(|_| root.with_cancel()).collect();
        let leaves: Vec<(Context, CancelFunc)> =
            below.iter().map(|(ctx, _)| ctx.with_cancel()).collect();
        let all = Arc::new((below, leaves));
        let (start, ours) = (Arc::new(Barrier::new(4)), Arc::clone(&all));
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let (start, all, cancel) = (Arc::clone(&start), Arc::clone(&ours), cancel.clone());
                thread::spawn(move || {
                    start.wait();
                    if i % 2 == 0 {
                        cancel.cancel();
                        for (ctx, _) in all.0.iter().chain(&all.1) {
                            is_canceled(ctx);
                        }
                    } else {
                        for (n, (_, cancel)) in all.0.iter().enumerate().rev() {
                            cancel.cancel();
                            is_canceled(&all.1[n].0);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

/// Who sees a `done` disconnect finds all that was derived from that context done.
#[test]
fn done_means_that_descendants_are_too() {
    let _dog = watchdog();
    for _ in 0..200 {
        let (root, cancel) = Context::background().with_cancel();
        let mut leaf = root.clone();
        for n in 0..20 {
            leaf = leaf.with_value(n).with_cancel().0;
        }
        let sees = corio::spawn(move || {
            assert!(root.done().recv().is_err());
            is_canceled(&leaf);
        });
        corio::yield_now();
        cancel.cancel();
        sees.join().unwrap();
    }
}

/// `TestLayersCancel`, `TestLayersTimeout`: long chains of all kinds, at random.
#[test]
fn chains_of_all_kinds_end_together() {
    on_both(|| {
        for by_timeout in [false, true] {
            let mut rng = Rng::new(u64::from(by_timeout) + 5);
            let mut ctx = Context::background();
            let mut cancels: Vec<CancelFunc> = Vec::new();
            let mut last = None;
            for n in 0..200u32 {
                match rng.below(3) {
                    0 => {
                        ctx = ctx.with_value(n);
                        last = Some(n);
                    }
                    1 => {
                        let (next, cancel) = ctx.with_cancel();
                        cancels.push(cancel);
                        ctx = next;
                    }
                    _ => {
                        let (next, cancel) = ctx.with_timeout(HOUR * n);
                        cancels.push(cancel);
                        ctx = next;
                    }
                }
                // A timeout of zero times an hour would end it at once.
                if n == 0 && ctx.err().is_some() {
                    ctx = Context::background();
                }
            }
            is_live(&ctx);
            if by_timeout {
                let (timed, _cancel) = ctx.with_timeout(MS);
                assert!(timed.done().recv().is_err());
                is_done(
                    &timed,
                    ContextError::DeadlineExceeded,
                    "context deadline exceeded",
                );
                is_live(&ctx);
            }
            cancels[0].cancel();
            is_canceled(&ctx);
            assert_eq!(ctx.value::<u32>().copied(), last);
        }
    });
}

/// `TestValues`.
#[test]
fn values_are_found_by_type_from_the_inside() {
    struct One(u32);
    struct Two(&'static str);
    on_both(|| {
        let c0 = Context::background();
        let c1 = c0.with_value(One(1));
        let c2 = c1.with_value(Two("two"));
        let c3 = c2.with_value(One(3));
        let (c4, cancel) = c3.with_cancel();
        let find = |ctx: &Context| {
            (
                ctx.value::<One>().map(|v| v.0),
                ctx.value::<Two>().map(|v| v.0),
            )
        };
        assert_eq!(find(&c0), (None, None));
        assert_eq!(find(&c1), (Some(1), None));
        assert_eq!(find(&c2), (Some(1), Some("two")));
        assert_eq!(find(&c3), (Some(3), Some("two")));
        assert_eq!(find(&c4), (Some(3), Some("two")));
        cancel.cancel();
        assert_eq!(find(&c4), (Some(3), Some("two")));
        assert_eq!(c4.value::<u32>(), None);
    });
}

/// Values live as long as a context that has them.
#[test]
fn values_are_dropped_with_the_last_context() {
    on_both(|| {
        let drops = Drops::new();
        let ctx = Context::background().with_value(drops.token());
        let inner = ctx.with_value(Arc::new(drops.token())).without_cancel();
        drop(ctx);
        assert_eq!(drops.count(), 0);
        drop(inner);
        assert_eq!(drops.count(), 2);
    });
}

/// `TestWithoutCancel`.
#[test]
fn without_cancel_keeps_only_the_values() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_value(7u64).with_timeout(HOUR);
        let after = ctx.without_cancel();
        let (child, stop) = after.with_cancel();
        cancel.cancel();
        is_canceled(&ctx);
        is_live(&after);
        is_live(&child);
        assert_eq!((after.deadline(), child.value()), (None, Some(&7u64)));
        stop.cancel();
        is_canceled(&child);
        is_live(&ctx.without_cancel());
    });
}

/// `TestCause`, the part about cancelling.
#[test]
fn the_first_cause_stays() {
    on_both(|| {
        let background = Context::background();
        // Without one it is the error itself.
        let (ctx, cancel) = background.with_cancel();
        cancel.cancel();
        is_canceled(&ctx);
        let (ctx, cancel) = background.with_cancel_cause();
        cancel.without_cause().cancel();
        is_canceled(&ctx);
        cancel.cancel("too late");
        is_canceled(&ctx);
        // A parent's cause is the child's.
        let (parent, cancel_parent) = background.with_cancel_cause();
        let (child, cancel_child) = parent.with_cancel_cause();
        cancel_parent.cancel("parent");
        cancel_child.cancel("child");
        is_done(&parent, ContextError::Canceled, "parent");
        is_done(&child, ContextError::Canceled, "parent");
        // Not if the child had its own, nor the other way round.
        let (parent, cancel_parent) = background.with_cancel_cause();
        let (child, cancel_child) = parent.with_cancel_cause();
        let (plain, _cancel) = child.with_cancel();
        cancel_child.cancel(String::from("child"));
        cancel_parent.cancel(io::Error::other("parent"));
        is_done(&parent, ContextError::Canceled, "parent");
        is_done(&child, ContextError::Canceled, "child");
        is_done(&plain, ContextError::Canceled, "child");
        // Causes keep their types.
        let cause = parent.cause().unwrap();
        assert!(cause.downcast_ref::<io::Error>().is_some());
    });
}

/// `TestCauseRace`: of many causes at once, one is there from the first moment on.
#[test]
fn a_cause_is_there_when_the_error_is() {
    let _dog = watchdog();
    for _ in 0..200 {
        let (ctx, cancel) = Context::background().with_cancel_cause();
        let looks = ctx.clone();
        let join = mixed(4, move |i| {
            cancel.cancel(i.to_string());
            let first = ctx.cause().unwrap().to_string();
            assert_eq!(ctx.cause().unwrap().to_string(), first);
        });
        yield_until(|| looks.err().is_some());
        assert!(looks.cause().unwrap().to_string().parse::<usize>().unwrap() < 4);
        join();
    }
}

#[test]
fn dropping_a_cancel_func_cancels_nothing() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        drop(cancel.clone());
        let (child, _) = ctx.with_cancel_cause();
        is_live(&child);
        drop(cancel);
        is_live(&ctx);
        is_live(&child);
    });
}

/// Go's `defer cancel()`, also when the goroutine panics.
#[test]
fn a_guard_cancels_however_the_scope_is_left() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (child, _) = ctx.with_cancel();
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _guard = cancel.drop_guard();
            is_live(&child);
            panic!("while it holds the guard");
        }));
        assert!(failed.is_err());
        is_canceled(&child);
        let (ctx, cancel) = Context::background().with_cancel();
        let cancel = cancel.drop_guard().disarm();
        is_live(&ctx);
        cancel.cancel();
        is_canceled(&ctx);
    });
}

/// `XTestCancelRemoves`: children that were dropped or cancelled leave nothing in their parent.
#[test]
fn children_leave_no_trace() {
    let outcome = child!("context_many").arg(20_000).succeeds();
    let grown = outcome.number("KiB grown");
    assert!(grown < 1024, "{grown} KiB; {outcome}");
}

/// A child keeps what it needs of its ancestors, and no more.
#[test]
fn a_child_outlives_the_handles_of_its_parents() {
    on_both(|| {
        let (root, cancel) = Context::background().with_cancel();
        let drops = Drops::new();
        let child = {
            let (middle, _) = root.with_value(drops.token()).with_cancel();
            after_func(&middle, {
                let token = drops.token();
                move || drop(token)
            });
            middle.with_cancel().0
        };
        drop(root);
        is_live(&child);
        cancel.cancel();
        is_canceled(&child);
        yield_until(|| drops.count() == 1);
        drop(child);
        assert_eq!(drops.count(), 2);
    });
}

/// A clone of `done` tells of the end of a context that was never cancelled, too: documented.
#[test]
fn a_clone_of_done_ends_with_the_last_handle() {
    on_both(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let done: Receiver<Infallible> = ctx.done().clone();
        drop(ctx);
        assert_eq!(done.try_recv(), Err(TryRecvError::Empty));
        drop(cancel);
        assert_eq!(done.try_recv(), Err(TryRecvError::Disconnected));
    });
}

/// 10,000 deep: cancelled and dropped without recursion, on a goroutine's small stack.
#[test]
fn deep_chains_neither_cancel_nor_drop_recursively() {
    on_both(|| {
        for cancelled in [false, true] {
            let (root, cancel) = Context::background().with_cancel();
            let mut leaf = root;
            for n in 0..10_000 {
                leaf = leaf.with_value(n).with_cancel().0;
            }
            if cancelled {
                cancel.cancel();
                is_canceled(&leaf);
            }
            assert_eq!(leaf.value(), Some(&9_999));
            drop(cancel);
            drop(leaf);
        }
    });
}

/// 100,000 wide.
#[test]
fn wide_trees_are_cancelled_whole() {
    on_both(|| {
        let (root, cancel) = Context::background().with_cancel();
        let mut children: Vec<_> = (0..100_000).map(|_| root.with_cancel().0).collect();
        // Some go, others come in their places.
        let mut rng = Rng::new(11);
        for _ in 0..50_000 {
            let at = rng.below(100_000) as usize;
            children[at] = root.with_cancel().0;
        }
        cancel.cancel();
        assert!(
            children
                .iter()
                .all(|ctx| ctx.err() == Some(ContextError::Canceled))
        );
    });
}

/// Contexts are made, dropped and cancelled below a parent that is being cancelled.
#[test]
fn children_come_and_go_while_the_parent_is_cancelled() {
    let _dog = watchdog();
    for round in 0..200u64 {
        let (root, cancel) = Context::background().with_cancel();
        let ours = root.clone();
        let join = mixed(4, move |seed| {
            let mut rng = Rng::new(round * 4 + seed as u64 + 1);
            let mut kept = Vec::new();
            while ours.err().is_none() {
                let (ctx, cancel) = match rng.below(2) {
                    0 => ours.with_cancel(),
                    _ => ours.with_timeout(HOUR),
                };
                match rng.below(4) {
                    0 => cancel.cancel(),
                    1 => drop(ctx),
                    2 => _ = after_func(&ctx, || ()).stop(),
                    _ => kept.push(ctx),
                }
                if kept.len() > 50 {
                    kept.clear();
                }
                corio::yield_now();
            }
            // The error is seen a moment before `done`, which comes last.
            assert!(ours.done().recv().is_err());
            kept.iter().for_each(is_canceled);
        });
        corio::yield_now();
        if round % 2 == 0 {
            thread::yield_now();
        }
        cancel.cancel();
        join();
        is_canceled(&root);
    }
}

/// Errors as Go words them (`TestDeadlineExceededSupportsTimeout` and `TestDeadlineExceededIsNetError` stand
/// for the conversion).
#[test]
fn errors_have_gos_words_and_become_io_errors() {
    assert_eq!(ContextError::Canceled.to_string(), "context canceled");
    assert_eq!(
        ContextError::DeadlineExceeded.to_string(),
        "context deadline exceeded"
    );
    let timed_out: io::Error = ContextError::DeadlineExceeded.into();
    assert_eq!(timed_out.kind(), io::ErrorKind::TimedOut);
    let canceled: io::Error = ContextError::Canceled.into();
    assert_eq!(canceled.kind(), io::ErrorKind::Other);
    let inside = canceled.get_ref().and_then(|e| e.downcast_ref());
    assert_eq!(inside, Some(&ContextError::Canceled));
}

#[test]
fn contexts_are_shared_freely_and_shown() {
    fn check<T: Send + Sync + UnwindSafe + RefUnwindSafe + Debug>() {}
    check::<Context>();
    check::<CancelFunc>();
    check::<CancelCauseFunc>();
    check::<CancelGuard>();
    check::<StopFunc>();
    let (ctx, cancel) = Context::background().with_cancel();
    assert_eq!(
        format!("{ctx:?}"),
        "Context { err: None, deadline: None, .. }"
    );
    cancel.cancel();
    assert!(format!("{ctx:?} {cancel:?}").contains("Some(Canceled)"));
}

/// A goroutine that panics while it holds contexts does not keep them.
#[test]
fn a_panic_leaves_contexts_usable() {
    let _dog = watchdog();
    let (ctx, cancel) = Context::background().with_cancel();
    let ours = ctx.clone();
    let failed = corio::spawn(move || {
        let (child, _cancel) = ours.with_timeout(HOUR);
        is_live(&child);
        panic!("with a child");
    });
    assert!(failed.join().is_err());
    is_live(&ctx);
    thread::spawn(move || cancel.cancel()).join().unwrap();
    is_canceled(&ctx);
}

/// No goroutine stands behind contexts, however many.
#[test]
fn contexts_need_no_goroutines() {
    let settings: [Child; 3] = [1, 2, 8].map(|n| child!("context_quiet").env("CORIO_PROCS", n));
    for child in settings {
        child.limit(Duration::from_secs(120)).succeeds();
    }
}
