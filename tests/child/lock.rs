//! Goroutines locked to their thread.

use crate::Scenario;
use corio_tests::{gettid, threads, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] =
    &[("lock_exit", lock_exit), ("lock_one_proc", lock_one_proc)];

/// A goroutine that ends while locked takes its thread with it, and its M is used again.
fn lock_exit(_: &[String]) {
    for _ in 0..50 {
        let tid = corio::spawn(|| {
            std::mem::forget(corio::lock_os_thread());
            corio::yield_now();
            corio::sleep(Duration::from_micros(100));
            gettid()
        })
        .join()
        .unwrap();
        wait_until("its thread ends", || !threads().contains(&tid));
        assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
    }
    assert!(threads().len() < 15);
}

/// Locked and other goroutines in turns on a single P.
fn lock_one_proc(_: &[String]) {
    let turns = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..10)
        .map(|n| {
            let turns = Arc::clone(&turns);
            corio::spawn(move || {
                let _lock = (n % 2 == 0).then(corio::lock_os_thread);
                for _ in 0..200 {
                    corio::yield_now();
                    turns.fetch_add(1, Ordering::Relaxed);
                }
                corio::sleep(Duration::from_millis(1));
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(turns.load(Ordering::Relaxed), 2000);
}
