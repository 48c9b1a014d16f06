//! `Group`. Named beside each test: the one of x/sync's `errgroup_test.go` that it stands for.

use corio::context::{Context, ContextError};
use corio::group::Group;
use corio_tests::{Drops, Rng, on_both, panic_text, watchdog, yield_until};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

type Boxed = Box<dyn Error + Send + Sync>;

/// `TestZeroGroup`: nothing fails; one fails; the first of several counts.
#[test]
fn the_first_error_counts() {
    on_both(|| {
        let cases: [&[Option<&str>]; 5] = [
            &[],
            &[None],
            &[Some("first")],
            &[Some("first"), None],
            &[None, Some("first"), Some("second")],
        ];
        for case in cases {
            let group = Group::<String>::new();
            let mut first = None;
            for outcome in case {
                let outcome = *outcome;
                group.go(move || outcome.map_or(Ok(()), |text| Err(text.to_string())));
                // One after the other.
                yield_until(|| format!("{group:?}").contains("active: 0"));
                first = first.or(outcome);
            }
            assert_eq!(group.wait(), first.map_or(Ok(()), |e| Err(e.to_string())));
            assert_eq!(group.wait(), Ok(()), "handed out once");
        }
    });
}

#[test]
fn errors_of_all_kinds_are_boxed() {
    on_both(|| {
        let group: Group = Group::new();
        group.go(|| Ok(()));
        group.go(|| {
            "x".parse::<u32>()?;
            Err("not reached")?
        });
        let error = group.wait().unwrap_err();
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    });
}

/// `TestWithContext`: the first error cancels, or else `wait` does.
#[test]
fn an_error_cancels_the_context() {
    on_both(|| {
        for fails in [false, true] {
            let (group, ctx) = Group::<String>::with_context(&Context::background());
            let theirs = ctx.clone();
            group.go(move || match fails {
                true => {
                    theirs.done().recv().unwrap_err();
                    Err("because of it".to_string())
                }
                false => Ok(()),
            });
            group.go(move || match fails {
                true => Err("fails".to_string()),
                false => Ok(()),
            });
            assert_eq!(
                group.wait(),
                if fails { Err("fails".into()) } else { Ok(()) }
            );
            assert_eq!(ctx.err(), Some(ContextError::Canceled));
            let cause = ctx.cause().unwrap().to_string();
            assert_eq!(cause, if fails { "fails" } else { "context canceled" });
        }
    });
}

#[test]
fn the_context_lives_until_wait() {
    on_both(|| {
        let (group, ctx) = Group::<Boxed>::with_context(&Context::background());
        for _ in 0..3 {
            group.go(|| Ok(()));
        }
        yield_until(|| format!("{group:?}").contains("active: 0"));
        assert_eq!(ctx.err(), None);
        group.wait().unwrap();
        assert_eq!(ctx.err(), Some(ContextError::Canceled));
    });
}

#[test]
fn the_parents_end_reaches_the_group() {
    on_both(|| {
        let (parent, cancel) = Context::background().with_cancel();
        let (group, ctx) = Group::<ContextError>::with_context(&parent);
        for _ in 0..3 {
            let ctx = ctx.clone();
            group.go(move || {
                ctx.done().recv().unwrap_err();
                ctx.check()
            });
        }
        cancel.cancel();
        assert_eq!(group.wait(), Err(ContextError::Canceled));
    });
}

/// `TestTryGo`.
#[test]
fn try_go_starts_up_to_the_limit() {
    on_both(|| {
        let group: Group = Group::new();
        let (gate, opened) = corio::channel::bounded::<()>(0);
        group.set_limit(42);
        for i in 0..50 {
            let opened = opened.clone();
            let started = group.try_go(move || {
                let _ = opened.recv();
                Ok(())
            });
            assert_eq!(started, i < 42);
        }
        drop(gate);
        group.wait().unwrap();
        group.set_limit(1);
        assert!(group.try_go(|| Ok(())));
        group.wait().unwrap();
        group.set_limit(0);
        assert!(!group.try_go(|| Ok(())));
        group.set_limit(None);
        assert!(group.try_go(|| Ok(())));
        group.wait().unwrap();
    });
}

/// `TestGoLimit`.
#[test]
fn no_more_than_the_limit_are_active() {
    on_both(|| {
        const LIMIT: usize = 10;
        let group: Group = Group::new();
        group.set_limit(LIMIT);
        let active = Arc::new(AtomicUsize::new(0));
        for i in 0..1000 {
            let active = active.clone();
            group.go(move || {
                let now = active.fetch_add(1, Ordering::SeqCst) + 1;
                if i % 7 == 0 {
                    corio::yield_now();
                }
                active.fetch_sub(1, Ordering::SeqCst);
                if now > LIMIT {
                    Err(format!("{now} are active"))?;
                }
                Ok(())
            });
        }
        group.wait().unwrap();
    });
}

#[test]
fn go_waits_for_a_place() {
    on_both(|| {
        let group: Group = Group::new();
        group.set_limit(1);
        let (gate, opened) = corio::channel::bounded::<()>(0);
        group.go(move || {
            let _ = opened.recv();
            Ok(())
        });
        let starters: Vec<_> = (0..6)
            .map(|i| {
                let group = group.clone();
                let start = move || group.go(|| Ok(()));
                match i % 2 {
                    0 => (Some(corio::spawn(start)), None),
                    _ => (None, Some(thread::spawn(start))),
                }
            })
            .collect();
        corio::yield_now();
        assert!(starters.iter().all(|(g, t)| {
            g.as_ref().is_none_or(|g| !g.is_finished())
                && t.as_ref().is_none_or(|t| !t.is_finished())
        }));
        drop(gate);
        for (goroutine, thread) in starters {
            goroutine.into_iter().for_each(|g| g.join().unwrap());
            thread.into_iter().for_each(|t| t.join().unwrap());
        }
        group.wait().unwrap();
    });
}

/// A limit of zero lets nobody in; raising it does.
#[test]
fn a_new_limit_lets_starters_in() {
    on_both(|| {
        let group: Group = Group::new();
        group.set_limit(0);
        let theirs = group.clone();
        let starter = corio::spawn(move || theirs.go(|| Ok(())));
        for _ in 0..10 {
            corio::yield_now();
        }
        assert!(!starter.is_finished());
        // It can't be told when it waits, but either way it must get in.
        group.set_limit(1);
        starter.join().unwrap();
        group.wait().unwrap();
    });
}

/// `SetLimit`: "must not be modified while any goroutines in the group are active".
#[test]
fn changing_the_limit_under_way_panics() {
    on_both(|| {
        let group: Group = Group::new();
        let (gate, opened) = corio::channel::bounded::<()>(0);
        for _ in 0..2 {
            let opened = opened.clone();
            group.go(move || {
                let _ = opened.recv();
                Ok(())
            });
        }
        let payload = catch_unwind(|| group.set_limit(3)).unwrap_err();
        assert_eq!(
            panic_text(&*payload),
            "errgroup: modify limit while 2 goroutines in the group are still active"
        );
        drop(gate);
        group.wait().unwrap();
        group.set_limit(3);
    });
}

/// `TestPanic` (of the versions of x/sync that pass panics on).
#[test]
fn wait_passes_the_first_panic_on() {
    on_both(|| {
        let (group, ctx) = Group::<String>::with_context(&Context::background());
        let theirs = ctx.clone();
        group.go(|| panic!("the first"));
        group.go(move || {
            theirs.done().recv().unwrap_err();
            panic!("the second")
        });
        let theirs = ctx.clone();
        group.go(move || {
            theirs.done().recv().unwrap_err();
            Err("an error".to_string())
        });
        let payload = catch_unwind(|| group.wait()).unwrap_err();
        assert_eq!(panic_text(&*payload), "the first");
        let cause = ctx.cause().unwrap().to_string();
        assert_eq!(cause, "a goroutine of the group panicked");
        assert_eq!(group.wait(), Err("an error".to_string()));
        assert_eq!(group.wait(), Ok(()));
    });
}

#[test]
fn an_error_that_panics_is_a_panic() {
    struct Unspeakable;
    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no words")
        }
    }
    on_both(|| {
        let (group, ctx) = Group::with_context(&Context::background());
        group.go(|| Err(Unspeakable));
        let theirs = ctx.clone();
        group.go(move || {
            theirs.done().recv().unwrap_err();
            Ok(())
        });
        let payload = catch_unwind(|| group.wait().is_ok()).unwrap_err();
        assert_eq!(panic_text(&*payload), "no words");
        assert!(group.wait().is_ok(), "handed out once");
    });
}

#[test]
fn a_panic_frees_its_place() {
    on_both(|| {
        let group: Group = Group::new();
        group.set_limit(1);
        for _ in 0..5 {
            group.go(|| panic!("in turn"));
        }
        assert!(catch_unwind(|| group.wait()).is_err());
        group.wait().unwrap();
    });
}

/// Errors nobody wants, and what the functions captured, are dropped before `wait` returns.
#[test]
fn nothing_is_left_behind() {
    #[derive(Debug)]
    struct Counted(#[allow(dead_code, reason = "it is there to be dropped")] corio_tests::Token);
    impl fmt::Display for Counted {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("counted")
        }
    }
    on_both(|| {
        let drops = Drops::new();
        let (group, _ctx) = Group::<Counted>::with_context(&Context::background());
        for _ in 0..10 {
            let (captured, error) = (drops.token(), Counted(drops.token()));
            group.go(move || {
                let _captured = captured;
                Err(error)
            });
        }
        let error = group.wait().unwrap_err();
        assert_eq!(drops.count(), 19);
        drop(error);
        assert_eq!(drops.count(), 20);
        group.set_limit(0);
        let token = drops.token();
        assert!(!group.try_go(move || Err(Counted(token))));
        assert_eq!(drops.count(), 21);
    });
}

/// The user's code (formatting and dropping errors) may use the group.
#[test]
fn errors_may_use_the_group() {
    struct Nosy(Group<Nosy>);
    impl fmt::Display for Nosy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.go(|| Ok(()));
            corio::yield_now();
            f.write_str("nosy")
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.0.go(|| Ok(()));
            corio::yield_now();
        }
    }
    on_both(|| {
        let (group, ctx) = Group::<Nosy>::with_context(&Context::background());
        for _ in 0..4 {
            let theirs = group.clone();
            group.go(move || Err(Nosy(theirs)));
        }
        drop(group.wait().unwrap_err());
        assert_eq!(ctx.cause().unwrap().to_string(), "nosy");
        drop(group.wait());
    });
}

#[test]
fn goroutines_start_further_ones() {
    fn tree(group: &Group, leaves: &Arc<AtomicUsize>, depth: u32) {
        if depth == 0 {
            leaves.fetch_add(1, Ordering::Relaxed);
        } else {
            for _ in 0..2 {
                let (mine, leaves) = (group.clone(), leaves.clone());
                group.go(move || {
                    tree(&mine, &leaves, depth - 1);
                    Ok(())
                });
            }
        }
    }
    on_both(|| {
        let (group, leaves) = (Group::default(), Arc::default());
        tree(&group, &leaves, 7);
        group.wait().unwrap();
        assert_eq!(leaves.load(Ordering::Relaxed), 128);
    });
}

#[test]
fn many_wait_and_one_gets_the_error() {
    on_both(|| {
        let group = Group::<u32>::new();
        let (gate, opened) = corio::channel::bounded::<()>(0);
        group.go(move || {
            let _ = opened.recv();
            Err(7)
        });
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let group = group.clone();
                corio::spawn(move || group.wait())
            })
            .collect();
        corio::yield_now();
        drop(gate);
        let results: Vec<_> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|r| r.is_err()).count(), 1);
    });
}

#[test]
fn everything_at_once() {
    let _dog = watchdog();
    let group = Group::<u64>::new();
    group.set_limit(5);
    let (ran, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let actor = |seed| {
        let (group, ran, started) = (group.clone(), ran.clone(), started.clone());
        move || {
            let mut rng = Rng::new(seed);
            for _ in 0..500 {
                let n = rng.below(8);
                let ran = ran.clone();
                let task = move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    match n {
                        0 => corio::yield_now(),
                        1 => std::panic::resume_unwind(Box::new("quietly")),
                        2 => return Err(n),
                        _ => {}
                    }
                    Ok(())
                };
                match rng.below(8) {
                    0 => drop(catch_unwind(AssertUnwindSafe(|| group.wait()))),
                    1..4 => {
                        started.fetch_add(usize::from(group.try_go(task)), Ordering::SeqCst);
                    }
                    _ => {
                        group.go(task);
                        started.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }
    };
    let goroutines: Vec<_> = (0..6).map(|i| corio::spawn(actor(i))).collect();
    let threads: Vec<_> = (6..9).map(|i| thread::spawn(actor(i))).collect();
    goroutines.into_iter().for_each(|g| g.join().unwrap());
    threads.into_iter().for_each(|t| t.join().unwrap());
    while catch_unwind(|| group.wait()).map_or(true, |r| r.is_err()) {}
    assert_eq!(ran.load(Ordering::SeqCst), started.load(Ordering::SeqCst));
}

#[test]
fn shows_what_is_active() {
    let group: Group = Group::new();
    assert_eq!(format!("{group:?}"), "Group { active: 0, limit: None, .. }");
    group.set_limit(3);
    assert_eq!(
        format!("{group:?}"),
        "Group { active: 0, limit: Some(3), .. }"
    );
    fn is_shared<T: Clone + Send + Sync + UnwindSafe + RefUnwindSafe + Default>(_: &T) {}
    is_shared(&group);
}
