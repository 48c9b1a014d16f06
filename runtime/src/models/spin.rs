//! The real spin lock: one holder at a time, who sees what those before did.

#[path = "../prim/spin.rs"]
mod real;

use super::{Model, Owned, every_ordering_is_needed, saw};
use crate::prim::mutant::{Mutant, Width};
use loom::thread;
use real::SpinLock;
use std::sync::Arc;

/// Two threads, each of which holds the lock once or twice.
fn hold(times: u32) {
    let lock = Arc::new(SpinLock::new(Owned::new(0)));
    let both = [1, times].map(|times| {
        let lock = Arc::clone(&lock);
        move || {
            for _ in 0..times {
                let held = lock.lock();
                held.with(|held| *held += 1);
            }
        }
    });
    let [first, second] = both;
    let first = thread::spawn(first);
    second();
    if lock.lock().read(|held| *held) == times {
        saw("who came second has gone first");
    }
    first.join().unwrap();
    assert_eq!(lock.lock().read(|held| *held), times + 1);
}

const TWICE: Model = Model {
    run: || hold(2),
    preemptions: None,
    outcomes: &["who came second has gone first"],
};

const NEVER_LOCKED: Mutant = Mutant::NoBits(Width::U32, 1);

#[test]
fn the_spin_lock_excludes() {
    TWICE.passes();
    TWICE.fails_for(NEVER_LOCKED, "Causality violation");
}

#[test]
fn every_ordering_of_the_spin_lock_is_needed() {
    every_ordering_is_needed("prim/spin.rs", &[TWICE]);
}
