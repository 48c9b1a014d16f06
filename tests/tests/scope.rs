//! Scopes: borrowing goroutines end before what they borrow.

use corio::Builder;
use corio_tests::{Drops, watchdog};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn scope_waits_for_all() {
    let _dog = watchdog();
    let done = AtomicUsize::new(0);
    let result = corio::scope(|s| {
        for n in 0..100 {
            let done = &done;
            s.spawn(move || {
                corio::sleep(Duration::from_micros(n * 50));
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        "result"
    });
    assert_eq!(result, "result");
    assert_eq!(done.load(Ordering::Relaxed), 100);
}

#[test]
fn scope_lends_to_goroutines() {
    let _dog = watchdog();
    let mut numbers = vec![0; 64];
    corio::spawn(move || {
        corio::scope(|s| {
            for (n, number) in numbers.iter_mut().enumerate() {
                s.spawn(move || *number = n);
            }
        });
        assert!(numbers.iter().copied().eq(0..64));
    })
    .join()
    .unwrap();
}

#[test]
fn scope_join_returns_the_result() {
    let _dog = watchdog();
    let text = String::from("borrowed");
    let length = corio::scope(|s| {
        let handle = s.spawn(|| text.len());
        assert_eq!(handle.join().unwrap(), 8);
        let handle = Builder::new()
            .name("named".into())
            .spawn_scoped(s, || text.as_str());
        let handle = handle.unwrap();
        assert_eq!(handle.goroutine().name(), Some("named"));
        handle.join().unwrap().len()
    });
    assert_eq!(length, 8);
}

#[test]
fn scope_nests() {
    let _dog = watchdog();
    let count = AtomicUsize::new(0);
    corio::scope(|outer| {
        for _ in 0..10 {
            outer.spawn(|| {
                corio::scope(|inner| {
                    for _ in 0..10 {
                        inner.spawn(|| count.fetch_add(1, Ordering::Relaxed));
                    }
                });
                outer.spawn(|| count.fetch_add(1000, Ordering::Relaxed));
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 10_100);
}

#[test]
fn scope_panics_if_a_goroutine_did() {
    let _dog = watchdog();
    let others = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        corio::scope(|s| {
            s.spawn(|| panic!("expected"));
            for _ in 0..10 {
                s.spawn(|| {
                    corio::sleep(Duration::from_millis(2));
                    others.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    }));
    assert_eq!(
        *caught.unwrap_err().downcast::<&str>().unwrap(),
        "a scoped goroutine panicked"
    );
    assert_eq!(others.load(Ordering::Relaxed), 10);
}

#[test]
fn scope_forgives_a_panic_that_was_joined() {
    let _dog = watchdog();
    corio::scope(|s| {
        let payload = s.spawn(|| panic!("expected")).join().unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "expected");
    });
}

#[test]
fn scope_waits_when_its_closure_panics() {
    let _dog = watchdog();
    let done = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        corio::scope(|s| {
            s.spawn(|| {
                corio::sleep(Duration::from_millis(5));
                done.fetch_add(1, Ordering::Relaxed);
            });
            panic!("in the closure");
        })
    }));
    assert_eq!(
        *caught.unwrap_err().downcast::<&str>().unwrap(),
        "in the closure"
    );
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[test]
fn scope_drops_results_before_it_ends() {
    let _dog = watchdog();
    let drops = Drops::new();
    corio::scope(|s| {
        for _ in 0..50 {
            s.spawn(|| drops.token());
        }
        let unjoined = s.spawn(|| drops.token());
        drop(unjoined);
    });
    assert_eq!(drops.count(), 51);
}

#[test]
fn scope_results_may_look_at_what_they_borrow_when_dropped() {
    let _dog = watchdog();
    struct Looks<'a>(&'a AtomicUsize);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            corio::yield_now();
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for _ in 0..200 {
        let seen = AtomicUsize::new(0);
        corio::scope(|s| {
            for _ in 0..5 {
                s.spawn(|| Looks(&seen));
            }
        });
        assert_eq!(seen.load(Ordering::Relaxed), 5);
    }
}

#[test]
fn scope_works_on_threads_and_goroutines_at_once() {
    let _dog = watchdog();
    let sums: Vec<_> = (0..8u64)
        .map(|n| {
            let work = move || {
                let numbers: Vec<u64> = (0..200).map(|i| i * n).collect();
                let mut total = 0;
                for _ in 0..50 {
                    total = corio::scope(|s| {
                        let (left, right) = numbers.split_at(100);
                        let left = s.spawn(|| left.iter().sum::<u64>());
                        let right = s.spawn(|| right.iter().sum::<u64>());
                        left.join().unwrap() + right.join().unwrap()
                    });
                }
                assert_eq!(total, 19_900 * n);
            };
            if n % 2 == 0 {
                let thread = thread::spawn(work);
                Box::new(move || thread.join().unwrap()) as Box<dyn FnOnce()>
            } else {
                let goroutine = corio::spawn(work);
                Box::new(move || goroutine.join().unwrap())
            }
        })
        .collect();
    sums.into_iter().for_each(|join| join());
}

#[test]
fn scope_without_goroutines_just_returns() {
    assert_eq!(corio::scope(|_| 3), 3);
}
