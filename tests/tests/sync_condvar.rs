//! `Condvar`.

mod sync_support;

use corio::sync::{Condvar, Mutex, MutexGuard};
use corio_tests::{watchdog, yield_until};
use std::mem::size_of;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sync_support::on_both;

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// Runs on a goroutine or on a thread, by turns.
fn start(i: usize, body: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce()> {
    if i.is_multiple_of(2) {
        let handle = corio::spawn(body);
        Box::new(|| handle.join().unwrap())
    } else {
        let handle = thread::spawn(body);
        Box::new(|| handle.join().unwrap())
    }
}

#[test]
fn sizes() {
    assert_eq!(size_of::<Condvar>(), 32);
}

#[test]
fn nobody_to_notify() {
    let changed = Condvar::new();
    assert!(!changed.notify_one());
    assert_eq!(changed.notify_all(), 0);
    assert_eq!(format!("{changed:?}"), "Condvar { .. }");
}

/// Go: TestCondSignal (cond_test.go): each signal wakes exactly one.
#[test]
fn notify_one_wakes_exactly_one() {
    let _dog = watchdog();
    static STATE: Mutex<(usize, usize)> = Mutex::new((0, 0));
    static CHANGED: Condvar = Condvar::new();
    const N: usize = 10;
    let handles: Vec<_> = (0..N)
        .map(|i| {
            start(i, || {
                let mut state = STATE.lock();
                state.0 += 1;
                CHANGED.wait(&mut state);
                state.1 += 1;
            })
        })
        .collect();
    yield_until(|| STATE.lock().0 == N);
    for woken in 1..=N {
        assert_eq!(STATE.lock().1, woken - 1);
        assert!(CHANGED.notify_one());
        yield_until(|| STATE.lock().1 == woken);
        // Whoever else was woken would have had time for it.
        for _ in 0..100 {
            corio::yield_now();
        }
        assert_eq!(STATE.lock().1, woken);
    }
    assert!(!CHANGED.notify_one());
    handles.into_iter().for_each(|join| join());
}

/// Go: TestCondSignalGenerations (cond_test.go): first come, first served.
#[test]
fn notify_one_wakes_in_order() {
    let _dog = watchdog();
    static STATE: Mutex<(usize, Vec<usize>)> = Mutex::new((0, Vec::new()));
    static CHANGED: Condvar = Condvar::new();
    const N: usize = 50;
    let mut handles = Vec::new();
    for i in 0..N {
        handles.push(start(i, move || {
            let mut state = STATE.lock();
            state.0 += 1;
            CHANGED.wait(&mut state);
            state.1.push(i);
        }));
        // It has the mutex from counting until it waits.
        yield_until(|| STATE.lock().0 == i + 1);
        if i > 0 {
            assert!(CHANGED.notify_one());
            yield_until(|| STATE.lock().1.len() == i);
        }
    }
    assert!(CHANGED.notify_one());
    handles.into_iter().for_each(|join| join());
    assert!(STATE.lock().1.iter().copied().eq(0..N));
}

/// Go: TestCondBroadcast (cond_test.go).
#[test]
fn notify_all_wakes_all() {
    let _dog = watchdog();
    static STATE: Mutex<(usize, usize)> = Mutex::new((0, 0));
    static CHANGED: Condvar = Condvar::new();
    const N: usize = 40;
    const ROUNDS: usize = 5;
    let handles: Vec<_> = (0..N)
        .map(|i| {
            start(i, || {
                for round in 0..ROUNDS {
                    let mut state = STATE.lock();
                    state.0 += 1;
                    while state.1 <= round {
                        CHANGED.wait(&mut state);
                    }
                }
            })
        })
        .collect();
    for round in 0..ROUNDS {
        yield_until(|| STATE.lock().0 == N * (round + 1));
        let mut state = STATE.lock();
        state.1 += 1;
        assert_eq!(CHANGED.notify_all(), N);
        assert_eq!(CHANGED.notify_all(), 0);
    }
    handles.into_iter().for_each(|join| join());
}

/// As above, but notified without holding the mutex.
#[test]
fn notifying_without_the_mutex() {
    let _dog = watchdog();
    static STATE: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    const N: usize = 20;
    let handles: Vec<_> = (0..N)
        .map(|i| {
            start(i, || {
                let mut state = STATE.lock();
                *state += 1;
                CHANGED.wait(&mut state);
                *state -= 1;
            })
        })
        .collect();
    yield_until(|| *STATE.lock() == N);
    assert_eq!(CHANGED.notify_all(), N);
    handles.into_iter().for_each(|join| join());
    assert_eq!(*STATE.lock(), 0);
}

/// Go: TestRace (cond_test.go): three who wait for each other's step.
#[test]
fn steps_in_turn() {
    let _dog = watchdog();
    static STEP: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    const STEPS: usize = 3_000;
    on_both(2, |i| {
        let mut step = STEP.lock();
        for mine in (i..STEPS).step_by(4) {
            while *step != mine {
                CHANGED.wait(&mut step);
            }
            *step += 1;
            CHANGED.notify_all();
        }
    });
    assert_eq!(*STEP.lock(), STEPS);
}

/// A bounded buffer: nothing gets lost, with one notification per change.
#[test]
fn a_bounded_buffer() {
    let _dog = watchdog();
    static BUFFER: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    static NOT_FULL: Condvar = Condvar::new();
    static NOT_EMPTY: Condvar = Condvar::new();
    static SUM: AtomicUsize = AtomicUsize::new(0);
    const EACH: usize = 1_000;
    // Even ones produce, odd ones consume: two of each on goroutines, and two on threads.
    on_both(4, |i| {
        for n in 1..=EACH {
            let mut buffer = BUFFER.lock();
            if i % 2 == 0 {
                NOT_FULL.wait_while(&mut buffer, |buffer| buffer.len() == 3);
                buffer.push(n);
                NOT_EMPTY.notify_one();
            } else {
                NOT_EMPTY.wait_while(&mut buffer, |buffer| buffer.is_empty());
                SUM.fetch_add(buffer.remove(0), Ordering::Relaxed);
                NOT_FULL.notify_one();
            }
        }
    });
    assert_eq!(SUM.load(Ordering::Relaxed), 4 * EACH * (EACH + 1) / 2);
}

#[test]
fn a_wait_times_out() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();
    on_both(3, |_| {
        let mut held = MUTEX.lock();
        let start = Instant::now();
        assert!(CHANGED.wait_for(&mut held, SHORT).timed_out());
        assert!(start.elapsed() >= SHORT);
        assert!(CHANGED.wait_for(&mut held, Duration::ZERO).timed_out());
        assert!(CHANGED.wait_until(&mut held, start).timed_out());
        let end = Instant::now() + SHORT;
        assert!(CHANGED.wait_until(&mut held, end).timed_out());
        assert!(Instant::now() >= end);
        let waited = CHANGED.wait_while_for(&mut held, |_| true, SHORT);
        assert!(waited.timed_out());
        let waited = CHANGED.wait_while_until(&mut held, |_| false, start);
        assert!(!waited.timed_out());
    });
    assert!(!CHANGED.notify_one());
}

#[test]
fn a_notification_before_the_timeout() {
    let _dog = watchdog();
    for i in 0..20 {
        let state = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&state);
        let mut held = state.0.lock();
        let join = start(i, move || {
            *theirs.0.lock() = true;
            assert!(theirs.1.notify_one());
        });
        let timeout = if i % 3 == 0 { Duration::MAX } else { LONG };
        let waited = state.1.wait_while_for(&mut held, |done| !*done, timeout);
        assert!(!waited.timed_out());
        drop(held);
        join();
    }
}

/// Notifications and timeouts race; each notification that found somebody ends one wait.
#[test]
fn timeouts_and_notifications_race() {
    let _dog = watchdog();
    static TOLD: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    static NOTIFIED: AtomicUsize = AtomicUsize::new(0);
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    on_both(4, |i| {
        if i % 4 == 0 {
            WAITING.fetch_add(1, Ordering::SeqCst);
            while WAITING.load(Ordering::SeqCst) < 100 {
                NOTIFIED.fetch_add(usize::from(CHANGED.notify_one()), Ordering::SeqCst);
                corio::yield_now();
            }
            return;
        }
        for round in 0..200 {
            let mut told = TOLD.lock();
            let timeout = Duration::from_micros(round % 11 * 10);
            if !CHANGED.wait_for(&mut told, timeout).timed_out() {
                *told += 1;
            }
        }
        WAITING.fetch_add(100, Ordering::SeqCst);
    });
    // Nobody waits any more.
    assert_eq!(CHANGED.notify_all(), 0);
    assert_eq!(*TOLD.lock(), NOTIFIED.load(Ordering::SeqCst));
}

#[test]
fn two_mutexes_at_a_time_are_refused() {
    let _dog = watchdog();
    static FIRST: Mutex<bool> = Mutex::new(false);
    static CHANGED: Condvar = Condvar::new();
    let waiting = corio::spawn(|| {
        let mut done = FIRST.lock();
        *done = true;
        CHANGED.wait(&mut done);
    });
    yield_until(|| *FIRST.lock());
    let second = Mutex::new(());
    let wait = AssertUnwindSafe(|| CHANGED.wait(&mut second.lock()));
    let panic = std::panic::catch_unwind(wait).unwrap_err();
    let text = panic.downcast_ref::<&str>().unwrap();
    assert!(text.contains("more than one mutex"), "{text}");
    assert!(!second.is_locked());
    assert!(CHANGED.notify_one());
    waiting.join().unwrap();
}

#[test]
fn two_mutexes_one_after_the_other() {
    let _dog = watchdog();
    let changed = Condvar::new();
    for _ in 0..2 {
        let mutex = Mutex::new(());
        assert!(changed.wait_for(&mut mutex.lock(), SHORT).timed_out());
    }
}

/// A goroutine that panics after its wait has unlocked; those behind it go on.
#[test]
fn a_panic_after_waiting() {
    let _dog = watchdog();
    static STATE: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    let handles: Vec<_> = (0..6)
        .map(|i| {
            corio::spawn(move || {
                let mut state = STATE.lock();
                *state += 1;
                CHANGED.wait(&mut state);
                *state -= 1;
                assert!(i % 2 == 0, "an odd one");
            })
        })
        .collect();
    yield_until(|| *STATE.lock() == 6);
    assert_eq!(CHANGED.notify_all(), 6);
    let failed = handles.into_iter().filter_map(|h| h.join().err()).count();
    assert_eq!(failed, 3);
    assert_eq!(*STATE.lock(), 0);
}

/// A destructor may wait while its goroutine unwinds.
#[test]
fn waiting_while_unwinding() {
    let _dog = watchdog();
    static STATE: Mutex<bool> = Mutex::new(false);
    static CHANGED: Condvar = Condvar::new();
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            CHANGED.wait_while(&mut STATE.lock(), |done| !*done);
        }
    }
    let handles = [(); 3].map(|()| {
        corio::spawn(|| {
            let _waits = Waits;
            panic!("its destructor will wait");
        })
    });
    corio::yield_now();
    *STATE.lock() = true;
    CHANGED.notify_all();
    for handle in handles {
        assert!(handle.join().is_err());
    }
}

/// Those who are notified under the mutex get it in their order, and the notifier isn't held up.
#[test]
fn the_notifier_keeps_the_mutex() {
    let _dog = watchdog();
    static STATE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    static CHANGED: Condvar = Condvar::new();
    let mut handles = Vec::new();
    for i in 0..10 {
        handles.push(corio::spawn(move || {
            let mut state = STATE.lock();
            state.push(100);
            CHANGED.wait(&mut state);
            state.push(i);
        }));
        yield_until(|| STATE.lock().len() == i + 1);
    }
    let mut held = STATE.lock();
    held.clear();
    assert_eq!(CHANGED.notify_all(), 10);
    corio::yield_now();
    assert!(held.is_empty());
    MutexGuard::unlock_fair(held);
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(STATE.lock().len(), 10);
}

/// Who was notified in time but gets the mutex late has not timed out.
#[test]
fn notified_in_time_and_locked_late() {
    let _dog = watchdog();
    for i in 0..2 {
        let state = Arc::new((Mutex::new(0), Condvar::new()));
        let theirs = Arc::clone(&state);
        let join = start(i, move || {
            let mut held = theirs.0.lock();
            *held = 1;
            let waited = theirs.1.wait_for(&mut held, 10 * SHORT);
            // It may have taken this goroutine or thread longer than that to get to wait.
            assert_eq!(waited.timed_out(), *held == 1);
        });
        yield_until(|| *state.0.lock() == 1);
        let mut held = state.0.lock();
        let start = Instant::now();
        if state.1.notify_one() {
            *held = 2;
        }
        while start.elapsed() < 12 * SHORT {
            corio::sleep(SHORT);
        }
        drop(held);
        join();
    }
}

/// The mutex comes back also to those for whom nobody else is left to unlock it.
#[test]
fn notified_while_the_mutex_is_open() {
    let _dog = watchdog();
    for i in 0..100 {
        let state = Arc::new((Mutex::new(0), Condvar::new()));
        let joins: Vec<_> = (i..i + 3)
            .map(|i| {
                let theirs = Arc::clone(&state);
                start(i, move || {
                    let mut count = theirs.0.lock();
                    *count += 1;
                    theirs.1.wait(&mut count);
                })
            })
            .collect();
        yield_until(|| *state.0.lock() == 3);
        let woken = usize::from(state.1.notify_one()) + state.1.notify_all();
        assert_eq!(woken, 3);
        joins.into_iter().for_each(|join| join());
    }
}
