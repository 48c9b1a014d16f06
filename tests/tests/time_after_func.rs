//! `after_func`. Named beside each test: the one of Go's `time/sleep_test.go` that it stands for.

use corio::time::{FuncTimer, after_func};
use corio_tests::{Child, Drops, Rng, child, watchdog, yield_until};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use time_support::{HOUR, MS, mixed, on_both, pass};

mod time_support;

/// A counter, and a function that counts.
fn counter() -> (Arc<AtomicUsize>, impl FnMut() + Send + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    (count, move || {
        theirs.fetch_add(1, Ordering::SeqCst);
    })
}

fn reaches(count: &AtomicUsize, n: usize) {
    yield_until(|| count.load(Ordering::SeqCst) == n);
}

/// `TestAfterFunc`: a function that plans itself again until it has counted down.
#[test]
fn a_function_plans_itself_again() {
    on_both(|| {
        let (done, wait) = mpsc::channel();
        let timer: Arc<OnceLock<FuncTimer>> = Arc::default();
        let (mine, mut left) = (Arc::clone(&timer), 10);
        let planned = after_func(Duration::ZERO, move || {
            left -= 1;
            if left == 0 {
                done.send(()).unwrap();
            } else {
                mine.wait().reset(Duration::from_micros(100));
            }
        });
        timer.set(planned).unwrap();
        corio::blocking(|| wait.recv()).unwrap();
    });
}

#[test]
fn it_is_called_once_after_its_time() {
    on_both(|| {
        let start = Instant::now();
        let (tx, rx) = corio::channel::bounded(1);
        let timer = after_func(5 * MS, move || tx.send(Instant::now()).unwrap());
        assert!(rx.recv().unwrap() >= start + 5 * MS);
        assert!(!timer.stop(), "it has begun");
        assert!(rx.try_recv().is_err());
    });
}

#[test]
fn it_runs_on_a_goroutine_of_its_own() {
    on_both(|| {
        let (tx, rx) = corio::channel::bounded(1);
        let caller = corio::current().id();
        after_func(Duration::ZERO, move || {
            // Blocks without holding anybody up.
            corio::sleep(MS);
            tx.send(corio::current().id()).unwrap();
        });
        assert_ne!(rx.recv().unwrap(), caller);
    });
}

/// `TestAfterFuncStarvation`: functions that plan each other make progress beside each other.
#[test]
fn functions_in_turns_starve_nobody() {
    let _dog = watchdog();
    for _ in 0..3 {
        let (a, b) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let start = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            let timer: Arc<OnceLock<FuncTimer>> = Arc::default();
            let mine = Arc::clone(&timer);
            let planned = after_func(Duration::ZERO, move || {
                if count.fetch_add(1, Ordering::SeqCst) < 1000 {
                    mine.wait().reset(Duration::ZERO);
                }
            });
            timer.set(planned).unwrap();
        };
        start(&a);
        start(&b);
        reaches(&a, 1001);
        reaches(&b, 1001);
    }
}

/// `TestAfterStop`.
#[test]
fn a_stopped_function_is_not_called() {
    on_both(|| {
        let (first, f) = counter();
        let stopped = after_func(5 * MS, f);
        let (second, f) = counter();
        after_func(10 * MS, f);
        assert!(stopped.stop());
        reaches(&second, 1);
        assert_eq!(first.load(Ordering::SeqCst), 0);
        assert!(!stopped.stop(), "it was stopped before");
    });
}

/// `TestTimerStopStress`.
#[test]
fn stopping_many_in_time_stops_them_all() {
    let _dog = watchdog();
    mixed(100, |_| {
        let timer = after_func(HOUR, || panic!("stopped"));
        pass(MS);
        assert!(timer.stop());
    })();
}

/// `TestReset`, for functions.
#[test]
fn reset_says_whether_a_call_was_planned() {
    on_both(|| {
        let (count, f) = counter();
        let timer = after_func(HOUR, f);
        assert!(timer.reset(2 * HOUR));
        assert!(timer.reset(HOUR));
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert!(timer.reset_at(Instant::now()));
        reaches(&count, 1);
        assert!(!timer.reset(MS), "it was called");
        reaches(&count, 2);
        assert!(!timer.stop());
        assert!(!timer.reset(HOUR));
        assert!(timer.stop());
    });
}

/// A call that is put off again and again comes after the last of its times, never before.
#[test]
fn a_call_put_off_is_not_early() {
    on_both(|| {
        let called = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&called);
        let timer = after_func(3 * MS, move || {
            *theirs.lock().unwrap() = Some(Instant::now())
        });
        let mut last = Instant::now();
        for _ in 0..30 {
            let next = Instant::now() + 3 * MS;
            if !timer.reset_at(next) {
                // Called already; the reset has planned another call.
                assert!(timer.stop());
                break;
            }
            last = next;
            pass(MS / 2);
        }
        yield_until(|| called.lock().unwrap().is_some());
        assert!(called.lock().unwrap().unwrap() >= last);
    });
}

/// `TestOverflowSleep`, for functions.
#[test]
fn huge_durations_are_never_over_and_zero_is_at_once() {
    on_both(|| {
        let (count, f) = counter();
        let timer = after_func(Duration::MAX, f);
        assert!(!timer.stop(), "nothing is planned");
        timer.reset(Duration::from_secs(u64::MAX));
        timer.reset(Duration::ZERO);
        reaches(&count, 1);
        let past = Instant::now();
        timer.reset_at(past);
        reaches(&count, 2);
    });
}

/// `TestStopResult`, `TestResetResult`, for functions: either the call or who stops it in time.
#[test]
fn either_it_is_called_or_stopped() {
    on_both(|| {
        let mut rng = Rng::new(7);
        for _ in 0..500 {
            let (count, f) = counter();
            let timer = after_func(Duration::from_micros(rng.below(200)), f);
            if rng.below(2) == 0 {
                pass(Duration::from_micros(rng.below(200)));
            }
            let stopped = timer.stop();
            if stopped {
                pass(Duration::from_micros(50));
                assert_eq!(count.load(Ordering::SeqCst), 0);
            } else {
                reaches(&count, 1);
            }
        }
    });
}

/// Many threads and goroutines set one timer; calls are as many as resets that found none planned say.
#[test]
fn calls_agree_with_what_resets_returned() {
    let _dog = watchdog();
    let (count, f) = counter();
    let timer = after_func(HOUR, f);
    // Planned calls that no stop or reset has taken back.
    let planned = Arc::new(AtomicUsize::new(1));
    let (ours, theirs) = (timer.clone(), Arc::clone(&planned));
    mixed(6, move |seed| {
        let mut rng = Rng::new(seed as u64 + 1);
        for _ in 0..2000 {
            let was_planned = match rng.below(4) {
                0 => {
                    if ours.stop() {
                        theirs.fetch_sub(1, Ordering::SeqCst);
                    }
                    continue;
                }
                1 => ours.reset(HOUR),
                2 => ours.reset(Duration::from_micros(rng.below(30))),
                _ => ours.reset(Duration::ZERO),
            };
            if !was_planned {
                theirs.fetch_add(1, Ordering::SeqCst);
            }
        }
    })();
    if timer.stop() {
        planned.fetch_sub(1, Ordering::SeqCst);
    }
    let planned = planned.load(Ordering::SeqCst);
    reaches(&count, planned);
    pass(2 * MS);
    reaches(&count, planned);
}

/// Other than in Go, calls of one function don't overlap, but none is lost.
#[test]
fn calls_do_not_overlap() {
    on_both(|| {
        let running = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let (theirs, inside) = (Arc::clone(&count), Arc::clone(&running));
        let timer = after_func(HOUR, move || {
            assert!(!inside.swap(true, Ordering::SeqCst), "it overlaps");
            for _ in 0..3 {
                corio::yield_now();
            }
            inside.store(false, Ordering::SeqCst);
            theirs.fetch_add(1, Ordering::SeqCst);
        });
        timer.stop();
        let mut calls = 0;
        for _ in 0..500 {
            calls += usize::from(!timer.reset(Duration::ZERO));
            corio::yield_now();
        }
        calls -= usize::from(timer.stop());
        reaches(&count, calls);
    });
}

#[test]
fn a_dropped_handle_stops_nothing() {
    on_both(|| {
        let (count, f) = counter();
        drop(after_func(MS, f));
        reaches(&count, 1);
    });
}

/// What the function has captured is dropped once, in user code or on a goroutine, whatever happens.
#[test]
fn what_it_captured_is_dropped_once() {
    let _dog = watchdog();
    let drops = Drops::new();
    let plan = |time| {
        let token = drops.token();
        after_func(time, move || {
            let _captured = &token;
        })
    };
    // Called, with the handle gone, and while there is one.
    drop(plan(Duration::ZERO));
    yield_until(|| drops.count() == 1);
    let timer = plan(Duration::ZERO);
    yield_until(|| !timer.stop());
    drop(timer);
    yield_until(|| drops.count() == 2);
    // Stopped.
    let timer = plan(HOUR);
    timer.stop();
    assert_eq!(drops.count(), 2);
    drop(timer);
    assert_eq!(drops.count(), 3);
    // Never due.
    drop(plan(Duration::MAX));
    assert_eq!(drops.count(), 4);
    // Racing with the clock.
    for n in 0..1000 {
        let timer = plan(Duration::from_micros(n % 50));
        if n % 3 == 0 {
            timer.reset(Duration::from_micros(n % 30));
        }
        timer.stop();
    }
    yield_until(|| drops.count() == 1004);
}

/// A destructor that blocks, as no scheduler context could.
#[test]
fn what_it_captured_may_block_when_dropped() {
    struct Blocks(mpsc::Sender<u64>);
    impl Drop for Blocks {
        fn drop(&mut self) {
            corio::sleep(MS);
            self.0.send(corio::current().id()).unwrap();
        }
    }
    let _dog = watchdog();
    let (tx, rx) = mpsc::channel();
    for n in 0..100 {
        let blocks = Blocks(tx.clone());
        let timer = after_func(Duration::from_micros(n), move || {
            let _captured = &blocks;
        });
        thread::spawn(move || timer.stop()).join().unwrap();
    }
    drop(tx);
    assert_eq!(rx.iter().count(), 100);
}

/// A panic ends only the call.
#[test]
fn a_function_that_panics_can_be_called_again() {
    let _dog = watchdog();
    let (count, mut f) = counter();
    let timer = after_func(Duration::ZERO, move || {
        f();
        panic!("no luck");
    });
    reaches(&count, 1);
    timer.reset(Duration::ZERO);
    timer.reset(Duration::ZERO);
    yield_until(|| count.load(Ordering::SeqCst) >= 2);
    assert!(!timer.stop() || count.load(Ordering::SeqCst) >= 2);
}

/// A payload whose destructor panics, too.
#[test]
fn a_panic_that_panics_when_dropped_is_survived() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let _dog = watchdog();
    let (count, mut f) = counter();
    let timer = after_func(Duration::ZERO, move || {
        f();
        std::panic::panic_any(Bad);
    });
    reaches(&count, 1);
    timer.reset(Duration::ZERO);
    reaches(&count, 2);
}

#[test]
fn handles_are_shared_freely() {
    fn check<T: Send + Sync + UnwindSafe + RefUnwindSafe + Clone + std::fmt::Debug>() {}
    check::<FuncTimer>();
    let timer = after_func(HOUR, || ());
    assert!(format!("{timer:?}").contains("true"), "{timer:?}");
    timer.clone().stop();
    assert!(format!("{timer:?}").contains("false"), "{timer:?}");
}

fn settings(scenario: &str) -> Vec<Child> {
    [("1", "never"), ("2", "always"), ("8", "never")]
        .map(|(procs, migrate)| {
            child!(scenario)
                .limit(Duration::from_secs(240))
                .env("CORIO_PROCS", procs)
                .env("CORIO_MIGRATE", migrate)
        })
        .into()
}

/// No goroutine exists for a pending call, and little memory.
#[test]
fn a_million_pending_calls_are_small() {
    let outcome = child!("time_pending")
        .arg(1_000_000)
        .limit(Duration::from_secs(240))
        .succeeds();
    let each = outcome.number("bytes each");
    assert!(each <= 220, "{each} bytes each; {outcome}");
}

#[test]
fn a_hundred_thousand_calls_at_once_all_happen() {
    for child in settings("time_burst") {
        child.arg(100_000).succeeds();
    }
}

/// Timers that are put off, brought forward and stopped without end take bounded room.
#[test]
fn storms_of_resets_take_bounded_room() {
    for child in settings("time_storm") {
        let outcome = child.arg(20_000).arg(50).succeeds();
        let records = outcome.number("timers at most");
        assert!(records <= 30_000, "{records}; {outcome}");
        let grown = outcome.number("KiB grown");
        assert!(grown < 8 * 1024, "{grown} KiB; {outcome}");
    }
}

/// With no room for another goroutine a call is late, not lost.
#[test]
fn calls_wait_for_room_for_a_goroutine() {
    child!("time_no_room")
        .env("CORIO_MAX_GOROUTINES", 100)
        .succeeds();
}

/// `TestSleepZeroDeadlock` and `TestIssue5745` guard Go's timer lock against its callbacks; here: a deadlock
/// is found although a stopped timer's time has not come.
#[test]
fn stopped_timers_hide_no_deadlock() {
    child!("time_deadlock")
        .panics()
        .says("all goroutines are asleep - deadlock!");
}

/// Nor does a pending one let a deadlock be seen where there is none.
#[test]
fn pending_calls_are_no_deadlock() {
    child!("time_no_deadlock").succeeds();
}
