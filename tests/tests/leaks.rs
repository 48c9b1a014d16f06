//! `assert_no_leaks`: whose goroutines it counts, how long it waits, and what it says.

use corio::testing::assert_no_leaks;
use corio::yield_now;
use corio_tests::{Drops, watchdog};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Runs `f` on this plain thread and in a goroutine.
fn on_both(f: fn()) {
    f();
    corio::spawn(f).join().unwrap();
}

/// What `assert_no_leaks(f)` says of `f`.
fn complaint<R>(f: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| assert_no_leaks(f)))
        .err()
        .expect("it leaks");
    *payload.downcast::<String>().expect("a text")
}

#[test]
fn goroutines_that_end_are_fine() {
    let _watchdog = watchdog();
    on_both(|| {
        assert_eq!(assert_no_leaks(|| 5), 5);
        let sum: u64 = assert_no_leaks(|| {
            let handles: Vec<_> = (0..100)
                .map(|n| {
                    corio::spawn(move || {
                        yield_now();
                        corio::spawn(move || n).join().unwrap()
                    })
                })
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap())
                .sum()
        });
        assert_eq!(sum, 4950);
        assert_no_leaks(|| {
            assert!(corio::spawn(|| panic!("on purpose")).join().is_err());
            corio::scope(|s| {
                s.spawn(yield_now);
            });
        });
    });
}

#[test]
fn stragglers_are_waited_for() {
    let _watchdog = watchdog();
    on_both(|| {
        let drops = Drops::new();
        assert_no_leaks(|| {
            for n in 0..20 {
                let token = drops.token();
                corio::spawn(move || {
                    corio::sleep(Duration::from_millis(n));
                    let token = (token, ());
                    corio::spawn(move || {
                        yield_now();
                        drop(token);
                    });
                });
            }
        });
        assert_eq!(drops.count(), 20);
    });
}

#[test]
fn who_is_left_is_named() {
    let _watchdog = watchdog();
    on_both(|| {
        let mut handles = Vec::new();
        let (tx, rx) = mpsc::channel::<()>();
        let text = complaint(|| {
            let builder = corio::Builder::new().name("sleepyhead".into());
            handles.push(builder.spawn(corio::park).unwrap());
            // It blocks its thread, which looks like running.
            handles.push(corio::spawn(move || {
                let _closed = corio::blocking(|| rx.recv());
            }));
            corio::spawn(|| ());
        });
        assert!(text.starts_with("2 goroutines outlive"), "{text}");
        let line = |id: u64| {
            let start = format!("goroutine {id} ");
            text.lines().find(|line| line.starts_with(&start)).unwrap()
        };
        let (parked, blocked) = (handles[0].goroutine(), handles[1].goroutine());
        let (one, two) = (line(parked.id()), line(blocked.id()));
        assert!(one.contains("\"sleepyhead\" [park, "), "{one}");
        assert!(
            one.contains("spawned at ") && one.contains("leaks.rs"),
            "{one}"
        );
        assert!(two.contains("[running]"), "{two}");
        parked.unpark();
        drop(tx);
        handles
            .into_iter()
            .for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn a_grandchild_counts() {
    let _watchdog = watchdog();
    let (tx, rx) = mpsc::channel();
    let text = complaint(|| {
        let child = corio::spawn(move || {
            let grandchild = corio::spawn(corio::park);
            tx.send(grandchild).unwrap();
        });
        child.join().unwrap();
    });
    let grandchild = rx.recv().unwrap();
    assert!(text.starts_with("a goroutine outlives"), "{text}");
    let id = grandchild.goroutine().id();
    assert!(text.contains(&format!("\ngoroutine {id} [park")), "{text}");
    grandchild.goroutine().unpark();
    grandchild.join().unwrap();
}

#[test]
fn others_do_not_count() {
    let _watchdog = watchdog();
    let stop = Arc::new(AtomicBool::new(false));
    let parked = corio::spawn(corio::park);
    let spawner = corio::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut handles = Vec::new();
            while !stop.load(Ordering::Relaxed) && handles.len() < 1_000 {
                handles.push(corio::spawn(corio::park));
                yield_now();
            }
            handles
        }
    });
    on_both(|| {
        for _ in 0..50 {
            assert_no_leaks(|| corio::spawn(yield_now).join().unwrap());
        }
    });
    stop.store(true, Ordering::Relaxed);
    for handle in spawner.join().unwrap().into_iter().chain([parked]) {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

#[test]
fn calls_side_by_side_do_not_disturb_each_other() {
    let _watchdog = watchdog();
    let leaky = |name: &'static str| {
        move || {
            let mut handle = None;
            let text = complaint(|| {
                let builder = corio::Builder::new().name(name.into());
                handle = Some(builder.spawn(corio::park).unwrap());
            });
            let handle = handle.unwrap();
            handle.goroutine().unpark();
            handle.join().unwrap();
            assert!(text.starts_with("a goroutine outlives"), "{text}");
            assert!(text.contains(name), "{text}");
        }
    };
    let thread = std::thread::spawn(leaky("of a thread"));
    let goroutine = corio::spawn(leaky("of a goroutine"));
    let clean = corio::spawn(|| {
        for _ in 0..100 {
            assert_no_leaks(|| corio::spawn(yield_now));
        }
    });
    thread.join().unwrap();
    goroutine.join().unwrap();
    clean.join().unwrap();
}

#[test]
fn the_outer_one_sees_what_the_inner_one_left() {
    let _watchdog = watchdog();
    on_both(|| {
        let mut handle = None;
        let mut inner = String::new();
        let outer = complaint(|| {
            inner = complaint(|| {
                assert_no_leaks(|| corio::spawn(yield_now));
                handle = Some(corio::spawn(corio::park));
            });
        });
        let handle = handle.unwrap();
        let line = format!("\ngoroutine {} [park", handle.goroutine().id());
        assert!(
            inner.contains(&line) && outer.contains(&line),
            "{inner}\n{outer}"
        );
        handle.goroutine().unpark();
        handle.join().unwrap();
    });
}

#[test]
fn what_the_inner_one_left_may_end_before_the_outer_one_does() {
    let _watchdog = watchdog();
    assert_no_leaks(|| {
        let mut handle = None;
        complaint(|| handle = Some(corio::spawn(corio::park)));
        let handle = handle.unwrap();
        handle.goroutine().unpark();
        // Not joined: it is a straggler.
    });
}

#[test]
fn a_panic_goes_on_and_the_caller_is_itself_again() {
    let _watchdog = watchdog();
    on_both(|| {
        let (stay, left) = mpsc::channel();
        let payload = catch_unwind(AssertUnwindSafe(|| {
            assert_no_leaks(|| {
                stay.send(corio::spawn(corio::park)).unwrap();
                std::panic::panic_any(17);
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<i32>().unwrap(), 17);
        // Untagged: not counted by a later call.
        let after = corio::spawn(corio::park);
        assert_no_leaks(|| corio::spawn(|| ()).join().unwrap());
        for handle in [left.recv().unwrap(), after] {
            handle.goroutine().unpark();
            handle.join().unwrap();
        }
    });
}

#[test]
fn the_result_of_a_leaky_closure_is_dropped() {
    let _watchdog = watchdog();
    let drops = Drops::new();
    let mut handle = None;
    complaint(|| {
        handle = Some(corio::spawn(corio::park));
        drops.token()
    });
    assert_eq!(drops.count(), 1);
    let handle = handle.unwrap();
    handle.goroutine().unpark();
    handle.join().unwrap();
}
