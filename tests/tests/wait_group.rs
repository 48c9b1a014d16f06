//! `WaitGroup`. Named beside each test: the one of Go's `sync/waitgroup_test.go` that it stands for.

use corio::group::WaitGroup;
use corio_tests::{Drops, Rng, mixed, on_both, panic_text, watchdog, yield_until};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(1000);

fn waiting_on(wg: &WaitGroup, waiters: usize) -> (Arc<AtomicUsize>, impl FnOnce()) {
    let returned = Arc::new(AtomicUsize::new(0));
    let (theirs, wg) = (Arc::clone(&returned), wg.clone());
    let join = mixed(waiters, move |_| {
        wg.wait();
        theirs.fetch_add(1, Ordering::SeqCst);
    });
    (returned, join)
}

/// `TestWaitGroup`: two groups used against each other, over several generations.
#[test]
fn two_groups_take_turns() {
    on_both(|| {
        let (first, second) = (WaitGroup::new(), WaitGroup::new());
        for _ in 0..8 {
            const N: usize = 16;
            first.add(N);
            second.add(N);
            let exited = Arc::new(AtomicUsize::new(0));
            let join = {
                let (first, second, exited) = (first.clone(), second.clone(), Arc::clone(&exited));
                mixed(N, move |_| {
                    first.done();
                    second.wait();
                    exited.fetch_add(1, Ordering::SeqCst);
                })
            };
            first.wait();
            for _ in 0..N {
                assert_eq!(exited.load(Ordering::SeqCst), 0, "let go too soon");
                second.done();
            }
            join();
            assert_eq!(exited.load(Ordering::SeqCst), N);
        }
    });
}

/// `TestWaitGroupMisuse`.
#[test]
fn below_zero_panics_and_changes_nothing() {
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        wg.done();
        let payload = catch_unwind(|| wg.done()).unwrap_err();
        assert!(panic_text(&*payload).starts_with("negative WaitGroup counter"));
        // It goes on working.
        wg.add(1);
        assert!(!wg.wait_timeout(Duration::ZERO));
        wg.done();
        wg.wait();
    });
}

#[test]
fn below_zero_beside_waiters_lets_none_hang() {
    let _dog = watchdog();
    let wg = WaitGroup::new();
    for _ in 0..500 {
        wg.add(1);
        let (_, join) = waiting_on(&wg, 2);
        let theirs = wg.clone();
        let too_often = corio::spawn(move || catch_unwind(|| theirs.done()).is_err());
        let mine = catch_unwind(|| wg.done()).is_err();
        assert!(
            mine ^ too_often.join().unwrap(),
            "one of the two is too many"
        );
        join();
    }
}

#[test]
fn an_overflow_panics_and_changes_nothing() {
    let wg = WaitGroup::new();
    let payload = catch_unwind(|| wg.add(usize::MAX)).unwrap_err();
    assert_eq!(panic_text(&*payload), "WaitGroup counter overflow");
    wg.wait();
}

/// `TestWaitGroupRace`: the last `done` and `wait` at the same time.
#[test]
fn done_and_wait_race() {
    on_both(|| {
        for _ in 0..1000 {
            let wg = WaitGroup::new();
            let n = Arc::new(AtomicUsize::new(0));
            for _ in 0..2 {
                wg.add(1);
                let (wg, n) = (wg.clone(), Arc::clone(&n));
                corio::spawn(move || {
                    // Relaxed: the group alone must order it.
                    n.fetch_add(1, Ordering::Relaxed);
                    wg.done();
                });
            }
            wg.wait();
            assert_eq!(n.load(Ordering::Relaxed), 2);
        }
    });
}

/// `TestWaitGroupAlign` and the zero group: nothing to wait for.
#[test]
fn nothing_to_wait_for() {
    on_both(|| {
        let wg = WaitGroup::default();
        wg.wait();
        wg.add(0);
        wg.wait();
        assert!(wg.wait_timeout(Duration::ZERO));
        assert!(wg.wait_deadline(Instant::now() - Duration::from_secs(1)));
    });
}

/// `TestWaitGroupGo`.
#[test]
fn go_counts_what_it_starts() {
    on_both(|| {
        let wg = WaitGroup::new();
        let n = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let n = Arc::clone(&n);
            wg.go(move || n.fetch_add(1, Ordering::Relaxed));
        }
        wg.wait();
        assert_eq!(n.load(Ordering::Relaxed), 100);
    });
}

#[test]
fn go_is_done_when_it_panics() {
    on_both(|| {
        let wg = WaitGroup::new();
        let handle = wg.go(|| panic!("in the group"));
        wg.go(|| ());
        wg.wait();
        assert_eq!(panic_text(&*handle.join().unwrap_err()), "in the group");
    });
}

/// What the closure captured is gone when `wait` returns.
#[test]
fn go_is_done_after_its_captures_are_dropped() {
    on_both(|| {
        let drops = Drops::new();
        for round in 1..=100 {
            let wg = WaitGroup::new();
            let token = drops.token();
            wg.go(move || {
                let _token = token;
            });
            wg.wait();
            assert_eq!(drops.count(), round);
        }
    });
}

#[test]
fn go_from_within_the_group() {
    fn tree(wg: &WaitGroup, leaves: &Arc<AtomicUsize>, depth: u32) {
        if depth == 0 {
            leaves.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for _ in 0..2 {
            let (mine, leaves) = (wg.clone(), Arc::clone(leaves));
            wg.go(move || tree(&mine, &leaves, depth - 1));
        }
    }
    on_both(|| {
        let (wg, leaves) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        tree(&wg, &leaves, 8);
        wg.wait();
        assert_eq!(leaves.load(Ordering::Relaxed), 256);
    });
}

#[test]
fn all_waiters_are_let_go() {
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(2);
        let (returned, join) = waiting_on(&wg, 40);
        wg.done();
        corio::yield_now();
        assert_eq!(returned.load(Ordering::SeqCst), 0);
        wg.done();
        join();
        assert_eq!(returned.load(Ordering::SeqCst), 40);
    });
}

/// A waiter of one generation is let go by it, however soon the next begins.
#[test]
fn generations_do_not_mix() {
    let _dog = watchdog();
    let wg = WaitGroup::new();
    for _ in 0..2000 {
        wg.add(1);
        let (_, join) = waiting_on(&wg, 2);
        corio::yield_now();
        wg.done();
        // Raised again before the waiters have run, or even while they are being let go.
        wg.add(1);
        let next = {
            let wg = wg.clone();
            corio::spawn(move || wg.wait())
        };
        corio::yield_now();
        assert!(!next.is_finished(), "let go by the last generation");
        wg.done();
        join();
        next.join().unwrap();
    }
}

#[test]
fn a_timeout_runs_out_or_not() {
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let start = Instant::now();
        assert!(!wg.wait_timeout(Duration::from_millis(5)));
        assert!(start.elapsed() >= Duration::from_millis(5));
        let deadline = Instant::now() + Duration::from_millis(5);
        assert!(!wg.wait_deadline(deadline));
        assert!(Instant::now() >= deadline);
        assert!(!wg.wait_timeout(Duration::ZERO));
        assert!(!wg.wait_deadline(Instant::now()));
        let theirs = wg.clone();
        corio::spawn(move || theirs.done());
        assert!(wg.wait_timeout(LONG));
        assert!(wg.wait_timeout(Duration::MAX));
    });
}

#[test]
fn timeouts_race_with_the_last_done() {
    let _dog = watchdog();
    let mut rng = Rng::new(7);
    let wg = WaitGroup::new();
    for _ in 0..300 {
        wg.add(1);
        let micros = rng.below(300);
        let waiters: Vec<_> = (0..4)
            .map(|i| {
                let wg = wg.clone();
                corio::spawn(move || match i {
                    0 => wg.wait(),
                    _ => drop(wg.wait_timeout(Duration::from_micros(micros * i))),
                })
            })
            .collect();
        corio::sleep(Duration::from_micros(rng.below(300)));
        wg.done();
        waiters.into_iter().for_each(|w| w.join().unwrap());
        assert!(wg.wait_timeout(Duration::ZERO), "nothing is left behind");
    }
}

/// Nobody waits any more: the last `done` has nobody to let go.
#[test]
fn giving_up_leaves_the_others_waiting() {
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let (returned, join) = waiting_on(&wg, 3);
        assert!(!wg.wait_timeout(Duration::from_millis(1)));
        assert_eq!(returned.load(Ordering::SeqCst), 0);
        wg.done();
        join();
    });
}

/// Its order is that in which they began to wait. On one P, goroutines that are made ready run in order.
#[test]
fn waiters_go_on_in_order() {
    corio_tests::child!("wait_group_order")
        .env("CORIO_PROCS", 1)
        .succeeds();
}

/// "panics while holding it": the unwinding goroutine's destructor waits for the others.
#[test]
fn waits_while_unwinding() {
    struct WaitOnDrop(WaitGroup);
    impl Drop for WaitOnDrop {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let theirs = wg.clone();
        let unwinding = corio::spawn(move || {
            let _wait = WaitOnDrop(theirs);
            panic!("unwinds");
        });
        corio::yield_now();
        wg.done();
        assert_eq!(panic_text(&*unwinding.join().unwrap_err()), "unwinds");
    });
}

#[test]
fn a_panic_between_add_and_done_is_the_users() {
    on_both(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let theirs = wg.clone();
        let failed = corio::spawn(move || {
            let _theirs = theirs;
            panic!("before done");
        });
        failed.join().unwrap_err();
        assert!(!wg.wait_timeout(Duration::from_millis(1)));
        wg.done();
        wg.wait();
    });
}

#[test]
fn everything_at_once() {
    let _dog = watchdog();
    let wg = WaitGroup::new();
    let order = Arc::new(Mutex::new(0));
    let join = {
        let wg = wg.clone();
        let order = Arc::clone(&order);
        mixed(8, move |i| {
            let mut rng = Rng::new(i as u64);
            for _ in 0..500 {
                match rng.below(4) {
                    0 => wg.wait(),
                    1 => drop(wg.wait_timeout(Duration::from_micros(rng.below(50)))),
                    2 => {
                        let order = Arc::clone(&order);
                        wg.go(move || *order.lock().unwrap() += 1);
                    }
                    _ => {
                        wg.add(3);
                        (0..3).for_each(|_| wg.done());
                    }
                }
            }
        })
    };
    join();
    wg.wait();
    assert!(*order.lock().unwrap() > 0);
}

#[test]
fn shows_its_count() {
    let wg = WaitGroup::new();
    wg.add(3);
    assert_eq!(format!("{wg:?}"), "WaitGroup { count: 3, .. }");
    fn is_shared<T: Clone + Send + Sync + UnwindSafe + RefUnwindSafe + Default>(_: &T) {}
    is_shared(&wg);
    assert!(catch_unwind(AssertUnwindSafe(|| wg.clone().wait_timeout(Duration::ZERO))).is_ok());
}

#[test]
fn a_panic_names_the_caller() {
    let wg = WaitGroup::new();
    let here = Arc::new(Mutex::new(String::new()));
    // The hook is the process's; other tests' panics go through it too, so only ours are kept.
    let hook = std::panic::take_hook();
    let seen = Arc::clone(&here);
    std::panic::set_hook(Box::new(move |info| {
        if panic_text(info.payload_as_str().map(|_| info.payload()).unwrap_or(&()))
            .contains("negative")
        {
            *seen.lock().unwrap() = info.location().map(|at| at.file().to_owned()).unwrap();
        }
        hook(info);
    }));
    catch_unwind(|| wg.done()).unwrap_err();
    assert!(here.lock().unwrap().ends_with("wait_group.rs"));
}

#[test]
fn waits_until_all_threads_are_done() {
    let _dog = watchdog();
    let wg = WaitGroup::new();
    let finished = Arc::new(AtomicUsize::new(0));
    wg.add(10);
    let join = {
        let (wg, finished) = (wg.clone(), Arc::clone(&finished));
        mixed(10, move |_| {
            finished.fetch_add(1, Ordering::Relaxed);
            wg.done();
        })
    };
    wg.wait();
    assert_eq!(finished.load(Ordering::Relaxed), 10);
    join();
    yield_until(|| wg.wait_timeout(Duration::ZERO));
}
