//! `blocking`: the thread waits, the P does not.

use corio_tests::{child, watchdog};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn blocking_returns_the_result() {
    let _dog = watchdog();
    assert_eq!(corio::spawn(|| corio::blocking(|| 3)).join().unwrap(), 3);
}

#[test]
fn blocking_on_a_plain_thread_just_calls() {
    let here = thread::current().id();
    assert_eq!(corio::blocking(|| thread::current().id()), here);
}

#[test]
fn blocking_lends() {
    let _dog = watchdog();
    corio::spawn(|| {
        let mut numbers = vec![1];
        corio::blocking(|| numbers.push(2));
        assert_eq!(numbers, [1, 2]);
    })
    .join()
    .unwrap();
}

#[test]
fn blocking_nests() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..20)
        .map(|_| {
            corio::spawn(|| {
                corio::blocking(|| {
                    let inner = corio::blocking(|| {
                        thread::sleep(Duration::from_millis(2));
                        1
                    });
                    thread::sleep(Duration::from_millis(2));
                    inner + 1
                })
            })
        })
        .collect();
    handles
        .into_iter()
        .for_each(|h| assert_eq!(h.join().unwrap(), 2));
}

#[test]
fn blocking_passes_a_panic_on() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..50)
        .map(|n| {
            corio::spawn(move || {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    corio::blocking(|| {
                        if n % 2 == 0 {
                            thread::sleep(Duration::from_millis(3));
                        }
                        panic!("expected");
                    })
                }));
                caught.unwrap_err();
                corio::yield_now();
                corio::sleep(Duration::from_millis(1));
                assert!(!thread::panicking());
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn blocking_may_use_the_runtime_inside() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..50)
        .map(|_| {
            corio::spawn(|| {
                corio::blocking(|| {
                    corio::sleep(Duration::from_millis(1));
                    corio::yield_now();
                    let me = corio::current();
                    corio::spawn(move || me.unpark());
                    corio::park();
                    thread::sleep(Duration::from_millis(1));
                    corio::spawn(|| 5).join().unwrap()
                })
            })
        })
        .collect();
    handles
        .into_iter()
        .for_each(|h| assert_eq!(h.join().unwrap(), 5));
}

#[test]
fn blocking_many_at_once() {
    let _dog = watchdog();
    // Each waits for the next one, so all of them must block a thread at the same time.
    let (first, mut last) = mpsc::channel::<u32>();
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let (tx, rx) = mpsc::channel();
            let before = std::mem::replace(&mut last, rx);
            corio::spawn(move || {
                let n = corio::blocking(|| before.recv().unwrap());
                tx.send(n + 1).unwrap();
            })
        })
        .collect();
    first.send(0).unwrap();
    assert_eq!(last.recv().unwrap(), 100);
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn blocking_lets_others_run_on_one_proc() {
    child!("blocking_others").env("CORIO_PROCS", 1).succeeds();
}

#[test]
fn blocking_lets_others_run_on_two_procs() {
    child!("blocking_others").env("CORIO_PROCS", 2).succeeds();
}

#[test]
fn blocking_with_too_few_threads_loses_nobody() {
    for threads in [1, 2, 3, 5] {
        child!("blocking_waits")
            .env("CORIO_PROCS", 2)
            .env("CORIO_MAX_THREADS", threads)
            .succeeds();
    }
}
