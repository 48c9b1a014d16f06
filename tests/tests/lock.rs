//! `lock_os_thread`: a goroutine and its thread.

use corio_tests::{child, gettid, watchdog};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Everything that switches.
fn switch(n: usize) {
    match n % 6 {
        0 => corio::yield_now(),
        1 => corio::sleep(Duration::from_micros(200)),
        2 => corio::spawn(corio::yield_now).join().unwrap(),
        3 => {
            let me = corio::current();
            corio::spawn(move || me.unpark());
            corio::park();
        }
        4 => corio::blocking(|| thread::sleep(Duration::from_micros(200))),
        _ => corio::park_timeout(Duration::from_micros(100)),
    }
}

#[test]
fn locked_goroutine_stays_on_its_thread() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..20)
        .map(|_| {
            corio::spawn(|| {
                let _lock = corio::lock_os_thread();
                let here = gettid();
                for n in 0..60 {
                    switch(n);
                    assert_eq!(gettid(), here, "moved by switch {}", n % 6);
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn locked_thread_runs_nobody_else() {
    let _dog = watchdog();
    let locked: Arc<Mutex<HashSet<u32>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..8)
        .map(|_| {
            let (locked, stop) = (Arc::clone(&locked), Arc::clone(&stop));
            corio::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(
                        !locked.lock().unwrap().contains(&gettid()),
                        "on a locked thread"
                    );
                    corio::yield_now();
                }
            })
        })
        .collect();
    let holders: Vec<_> = (0..4)
        .map(|_| {
            let locked = Arc::clone(&locked);
            corio::spawn(move || {
                for _ in 0..5 {
                    let lock = corio::lock_os_thread();
                    locked.lock().unwrap().insert(gettid());
                    (0..12).for_each(switch);
                    locked.lock().unwrap().remove(&gettid());
                    drop(lock);
                    corio::yield_now();
                }
            })
        })
        .collect();
    holders.into_iter().for_each(|h| h.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn lock_nests() {
    let _dog = watchdog();
    corio::spawn(|| {
        let outer = corio::lock_os_thread();
        let here = gettid();
        let inner = corio::lock_os_thread();
        (0..12).for_each(switch);
        assert_eq!(gettid(), here);
        drop(outer);
        (0..12).for_each(switch);
        assert_eq!(gettid(), here, "one lock is left");
        drop(inner);
        (0..12).for_each(switch);
    })
    .join()
    .unwrap();
}

#[test]
fn lock_keeps_thread_locals() {
    thread_local!(static VALUE: Cell<usize> = const { Cell::new(0) });
    let _dog = watchdog();
    let handles: Vec<_> = (1..=10)
        .map(|n| {
            corio::spawn(move || {
                let _lock = corio::lock_os_thread();
                VALUE.set(n);
                for i in 0..30 {
                    switch(i);
                    assert_eq!(VALUE.get(), n);
                }
                VALUE.set(0);
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn lock_on_a_plain_thread_changes_nothing() {
    let _dog = watchdog();
    let lock = corio::lock_os_thread();
    corio::sleep(Duration::from_millis(1));
    drop(lock);
}

#[test]
fn lock_survives_a_panic() {
    let _dog = watchdog();
    for _ in 0..20 {
        let handle = corio::spawn(|| {
            let _lock = corio::lock_os_thread();
            corio::yield_now();
            panic!("expected");
        });
        handle.join().unwrap_err();
    }
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let done = Arc::clone(&done);
            corio::spawn(move || {
                corio::yield_now();
                done.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(done.load(Ordering::Relaxed), 100);
}

#[test]
fn locked_goroutines_unpark_each_other() {
    let _dog = watchdog();
    let turn = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&turn);
    let first = corio::spawn(corio::current);
    first.join().unwrap();
    let pong = corio::spawn(move || {
        let _lock = corio::lock_os_thread();
        for round in 0..500 {
            while theirs.load(Ordering::SeqCst) <= round {
                corio::park();
            }
        }
    });
    let pong_goroutine = pong.goroutine().clone();
    let ping = corio::spawn(move || {
        let _lock = corio::lock_os_thread();
        for _ in 0..500 {
            turn.fetch_add(1, Ordering::SeqCst);
            pong_goroutine.unpark();
            corio::yield_now();
        }
    });
    ping.join().unwrap();
    pong.join().unwrap();
}

#[test]
fn locked_goroutine_that_ends_takes_its_thread_along() {
    child!("lock_exit").succeeds();
}

#[test]
fn locked_goroutines_work_on_one_proc() {
    child!("lock_one_proc").env("CORIO_PROCS", 1).succeeds();
}
