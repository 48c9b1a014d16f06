//! Sleeping and raw timers.

use corio::reactor::timer;
use corio::reactor::{self, ReadyList, WaitReason, Waiter};
use corio_tests::{Rng, child, watchdog};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn sleep_takes_its_time() {
    let _dog = watchdog();
    for ms in [0, 1, 2, 10] {
        let time = Duration::from_millis(ms);
        corio::spawn(move || {
            let start = Instant::now();
            corio::sleep(time);
            assert!(start.elapsed() >= time);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn sleep_on_a_thread_takes_its_time() {
    let _dog = watchdog();
    let start = Instant::now();
    corio::sleep(Duration::from_millis(10));
    assert!(start.elapsed() >= Duration::from_millis(10));
    corio::sleep(Duration::ZERO);
}

#[test]
fn sleep_until_the_past_returns() {
    let _dog = watchdog();
    let past = Instant::now();
    corio::sleep_until(past);
    corio::spawn(move || corio::sleep_until(past))
        .join()
        .unwrap();
    let future = Instant::now() + Duration::from_millis(5);
    corio::spawn(move || corio::sleep_until(future))
        .join()
        .unwrap();
    assert!(Instant::now() >= future);
}

#[test]
fn sleepers_wake_in_order() {
    // With more Ps the threads' scheduling by the system would show.
    child!("sleepers_order").env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn sleep_lets_others_run() {
    let _dog = watchdog();
    // A sleeper that blocked its thread would make this take 200 s.
    let start = Instant::now();
    let handles: Vec<_> = (0..2000)
        .map(|_| corio::spawn(|| corio::sleep(Duration::from_millis(100))))
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn sleep_for_ever_can_be_abandoned() {
    let _dog = watchdog();
    let handle = corio::spawn(|| corio::sleep(Duration::MAX));
    corio::spawn(|| corio::sleep(Duration::from_millis(5)))
        .join()
        .unwrap();
    assert!(!handle.is_finished());
}

#[test]
fn sleeping_threads_and_goroutines_share_the_clock() {
    let _dog = watchdog();
    let threads: Vec<_> = (1..20u64)
        .map(|n| {
            thread::spawn(move || {
                let start = Instant::now();
                corio::sleep(Duration::from_millis(n));
                assert!(start.elapsed() >= Duration::from_millis(n));
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn timers_cost_no_wakeup_when_cancelled() {
    let _dog = watchdog();
    // Far more than are swept at once.
    corio::spawn(|| {
        for _ in 0..20_000 {
            corio::current().unpark();
            corio::park_timeout(Duration::from_secs(1000));
        }
    })
    .join()
    .unwrap();
    let pending: usize = corio::metrics().procs.iter().map(|p| p.timers).sum();
    assert!(pending < 1000, "{pending} timers pending");
}

static FIRED: AtomicUsize = AtomicUsize::new(0);

fn fire(arg: usize, seq: u64, ready: &mut ReadyList) {
    assert_eq!(seq, 17);
    FIRED.fetch_add(1, Ordering::SeqCst);
    let raw = NonZeroUsize::new(arg).unwrap();
    // SAFETY: the test passes a waiter's word, and the timer fires once.
    ready.push(unsafe { Waiter::from_raw(raw) });
}

#[test]
fn raw_timer_calls_its_function_once() {
    let _dog = watchdog();
    corio::spawn(|| {
        let start = Instant::now();
        let when = timer::deadline(start + Duration::from_millis(5));
        // SAFETY: it is parked for below.
        let waiter = unsafe { reactor::prepare() }.into_raw();
        let id = timer::add(when, fire, waiter.get(), 17);
        reactor::park(WaitReason::Io, 0);
        assert!(start.elapsed() >= Duration::from_millis(5));
        assert!(!timer::cancel(id), "it has fired");
        assert_eq!(FIRED.load(Ordering::SeqCst), 1);
    })
    .join()
    .unwrap();
}

#[test]
fn raw_timer_can_be_cancelled_once() {
    fn never(_: usize, _: u64, _: &mut ReadyList) {
        panic!("cancelled");
    }
    let _dog = watchdog();
    for _ in 0..200 {
        let id = timer::add(timer::now() + 50_000_000, never, 0, 0);
        assert!(timer::cancel(id));
        assert!(!timer::cancel(id));
    }
    let far = timer::add(u64::MAX - 1, never, 0, 0);
    assert!(timer::cancel(far));
    // Past the time they were for.
    corio::sleep(Duration::from_millis(60));
}

#[test]
fn raw_clock_goes_with_instants() {
    let _dog = watchdog();
    let before = timer::now();
    let now = timer::deadline(Instant::now());
    let after = timer::now();
    assert!(before <= now && now <= after);
    assert!(timer::deadline(Instant::now() + Duration::from_secs(1)) > after);
}

#[test]
fn random_sleeps_are_never_short() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..500)
        .map(|n| {
            corio::spawn(move || {
                let mut rng = Rng::new(n);
                for _ in 0..10 {
                    let time = Duration::from_micros(rng.below(5000));
                    let start = Instant::now();
                    corio::sleep(time);
                    assert!(start.elapsed() >= time);
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn ten_thousand_sleepers_on_one_proc() {
    child!("sleepers").env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn ten_thousand_sleepers_on_two_procs() {
    child!("sleepers").env("CORIO_PROCS", 2).succeeds();
}

#[test]
fn ten_thousand_sleepers_on_eight_procs() {
    child!("sleepers").env("CORIO_PROCS", 8).succeeds();
}

#[test]
fn ten_thousand_sleepers_that_migrate() {
    child!("sleepers")
        .env("CORIO_PROCS", 2)
        .env("CORIO_MIGRATE", "always")
        .succeeds();
}
