//! Goroutines that block their thread and say so.

use crate::Scenario;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("blocking_others", blocking_others),
    ("blocking_waits", blocking_waits),
];

/// Those in `blocking` wait for those who run, and so can only end if these run meanwhile.
fn blocking_others(_: &[String]) {
    for round in 0..20 {
        let (tx, rx) = mpsc::channel::<u32>();
        let blocked = corio::spawn(move || corio::blocking(|| rx.iter().sum::<u32>()));
        if round % 2 == 0 {
            // Also when it is blocked already, with the P back on the idle list.
            thread::sleep(Duration::from_millis(30));
        }
        for n in 0..50 {
            let tx = tx.clone();
            corio::spawn(move || {
                corio::yield_now();
                corio::sleep(Duration::from_micros(100));
                tx.send(n).unwrap();
            });
        }
        drop(tx);
        assert_eq!(blocked.join().unwrap(), 49 * 50 / 2);
    }
}

/// More goroutines block than there may be threads: they take turns.
fn blocking_waits(_: &[String]) {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..40)
        .map(|_| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            corio::spawn(move || {
                corio::yield_now();
                corio::blocking(|| {
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
                corio::sleep(Duration::from_millis(1));
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    let limit: usize = std::env::var("CORIO_MAX_THREADS").unwrap().parse().unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!((1..=limit).contains(&most), "{most} at once");
}
