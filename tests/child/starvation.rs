//! Queues that are never empty, and what else is to be served.

use crate::Scenario;
use corio_tests::wait_until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("starvation_timers", timers)];

/// What goroutines have done.
#[derive(Default)]
struct Counts {
    over: AtomicBool,
    yields: AtomicUsize,
    sleeps: AtomicUsize,
}

/// How often a goroutine sleeps for a moment while others yield so often. With one P and migration at each switch,
/// who yields goes to the global queue, and comes back when that is next looked at: there are always some in it then,
/// and most of the others are in the local one.
fn timers(args: &[String]) {
    let yields: usize = args[0].parse().unwrap();
    let counts = Arc::new(Counts::default());
    let theirs = Arc::clone(&counts);
    corio::spawn(move || {
        for _ in 0..300 {
            let counts = Arc::clone(&theirs);
            corio::spawn(move || {
                while !counts.over.load(Ordering::Relaxed) {
                    counts.yields.fetch_add(1, Ordering::Relaxed);
                    corio::yield_now();
                }
            });
        }
        while !theirs.over.load(Ordering::Relaxed) {
            corio::sleep(Duration::from_micros(1));
            theirs.sleeps.fetch_add(1, Ordering::Relaxed);
        }
    });
    wait_until("yields", || counts.yields.load(Ordering::Relaxed) >= yields);
    println!("sleeps: {}", counts.sleeps.load(Ordering::Relaxed));
    counts.over.store(true, Ordering::Relaxed);
    wait_until("the end", || corio::num_goroutines() == 0);
}
