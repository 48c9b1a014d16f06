//! Changing the number of Ps.

use crate::Scenario;
use corio_tests::{Rng, wait_until};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("procs_set", procs_set),
    ("procs_bad", procs_bad),
    ("procs_load", procs_load),
    ("procs_one", procs_one),
    ("procs_timers", procs_timers),
    ("procs_used", procs_used),
];

fn procs_set(_: &[String]) {
    assert_eq!(corio::set_procs(5), 3);
    assert_eq!(corio::set_procs(1), 5);
    assert_eq!(corio::metrics().procs.len(), 1);
    assert_eq!(corio::spawn(|| corio::set_procs(1024)).join().unwrap(), 1);
    assert_eq!(corio::metrics().procs.len(), 1024);
    assert_eq!(corio::set_procs(2), 1024);
    assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
}

fn procs_bad(args: &[String]) {
    corio::set_procs(args[0].parse().unwrap());
}

/// The number changes all the time while goroutines do what they do.
fn procs_load(_: &[String]) {
    let stop = Arc::new(AtomicBool::new(false));
    let changers = [0, 1].map(|n| {
        let stop = Arc::clone(&stop);
        let change = move || {
            let mut rng = Rng::new(n + 1);
            while !stop.load(Ordering::Relaxed) {
                corio::set_procs(1 + rng.below(8) as usize);
                corio::sleep(Duration::from_micros(rng.below(500)));
            }
        };
        if n == 0 {
            let thread = thread::spawn(change);
            Box::new(move || thread.join().unwrap()) as Box<dyn FnOnce()>
        } else {
            let goroutine = corio::spawn(change);
            Box::new(move || goroutine.join().unwrap())
        }
    });
    let handles: Vec<_> = (0..200u64)
        .map(|n| {
            corio::spawn(move || {
                let mut rng = Rng::new(n);
                for _ in 0..100 {
                    match rng.below(5) {
                        0 => corio::sleep(Duration::from_micros(rng.below(1000))),
                        1 => corio::spawn(corio::yield_now).join().unwrap(),
                        2 => corio::blocking(|| thread::sleep(Duration::from_micros(20))),
                        _ => corio::yield_now(),
                    }
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    changers.into_iter().for_each(|join| join());
    assert_eq!(corio::num_goroutines(), 0);
}

/// With one P, one goroutine runs at a time.
fn procs_one(_: &[String]) {
    corio::set_procs(8);
    let stop = Arc::new(AtomicBool::new(false));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..16)
        .map(|_| {
            let (stop, running, most) =
                (Arc::clone(&stop), Arc::clone(&running), Arc::clone(&most));
            corio::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..100 {
                        std::hint::spin_loop();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    corio::yield_now();
                }
            })
        })
        .collect();
    corio::set_procs(1);
    // Surplus Ps stop with their next switch.
    wait_until("one at a time", || {
        most.store(0, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        most.load(Ordering::SeqCst) == 1
    });
    stop.store(true, Ordering::Relaxed);
    handles.into_iter().for_each(|h| h.join().unwrap());
}

/// Timers of Ps that were stopped fire.
fn procs_timers(_: &[String]) {
    corio::set_procs(8);
    let handles: Vec<_> = (0..800u64)
        .map(|n| {
            corio::spawn(move || {
                let time = Duration::from_millis(1000 + n % 100);
                let start = Instant::now();
                corio::sleep(time);
                (start.elapsed(), time)
            })
        })
        .collect();
    wait_until("all asleep", || corio::metrics().goroutines.waiting == 800);
    corio::set_procs(1);
    for handle in handles {
        let (took, time) = handle.join().unwrap();
        assert!(
            took >= time && took < time + Duration::from_secs(2),
            "{took:?} for {time:?}"
        );
    }
}

/// Two Ps run two goroutines at the same time.
fn procs_used(_: &[String]) {
    let (ready, tids) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Mutex::new(HashSet::new())),
    );
    let handles: Vec<_> = (0..2)
        .map(|_| {
            let (ready, tids) = (Arc::clone(&ready), Arc::clone(&tids));
            corio::spawn(move || {
                ready.fetch_add(1, Ordering::SeqCst);
                // Without a call into the runtime: ends at once if the other runs beside.
                while ready.load(Ordering::SeqCst) < 2 {
                    std::hint::spin_loop();
                }
                tids.lock().unwrap().insert(corio_tests::gettid());
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(tids.lock().unwrap().len(), 2);
}
