//! The raw mutex: one owner at a time, who sees what those before did; nobody waits for ever; who tires
//! leaves nobody behind.

use super::{Model, Owned, orderings_not_needed, saw};
use crate::park;
use crate::prim::clock;
use crate::prim::mutant::{Mutant, Width};
use crate::sched::current;
use crate::sync::raw::mutex::RawMutex;
use lock_api::{RawMutex as _, RawMutexFair as _, RawMutexTimed as _};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

/// A counter behind the lock.
struct Guarded {
    lock: RawMutex,
    count: Owned<u32>,
}

/// How a thread gives the lock back.
#[derive(Clone, Copy)]
enum Unlock {
    Barging,
    Fair,
}

impl Guarded {
    fn new() -> Arc<Guarded> {
        Arc::new(Guarded {
            lock: RawMutex::INIT,
            count: Owned::new(0),
        })
    }

    /// Locks, counts, unlocks.
    fn count(&self, unlock: Unlock) {
        let guard = self.lock.lock();
        if park::has_parked() {
            saw("waited");
        }
        self.count.with(|count| *count += 1);
        // SAFETY: locked above.
        match unlock {
            Unlock::Barging => unsafe { self.lock.unlock(guard) },
            Unlock::Fair => unsafe { self.lock.unlock_fair(guard) },
        }
    }

    /// As `count`, unless a timer comes first.
    fn try_count(&self) -> bool {
        let Some(guard) = self.lock.try_lock_for(SOON) else {
            saw("timed out");
            return false;
        };
        self.count.with(|count| *count += 1);
        // SAFETY: locked above.
        unsafe { self.lock.unlock(guard) };
        true
    }
}

fn counter(guarded: &Arc<Guarded>, unlock: Unlock) -> JoinHandle<()> {
    let guarded = Arc::clone(guarded);
    thread::spawn(move || guarded.count(unlock))
}

/// Three threads.
fn three(unlock: Unlock) {
    let guarded = Guarded::new();
    let others = [unlock, Unlock::Barging].map(|unlock| counter(&guarded, unlock));
    guarded.count(unlock);
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(guarded.count.with(|count| *count), 3);
    assert!(!guarded.lock.is_locked());
    current::assert_all_quiet();
}

const TWO: Model = Model {
    run: || {
        let guarded = Guarded::new();
        let other = counter(&guarded, Unlock::Barging);
        guarded.count(Unlock::Barging);
        other.join().unwrap();
        assert_eq!(guarded.count.with(|count| *count), 2);
        current::assert_all_quiet();
    },
    preemptions: Some(4),
    outcomes: &["waited"],
};

const THREE: Model = Model {
    run: || three(Unlock::Barging),
    preemptions: Some(2),
    outcomes: &["waited"],
};

const THREE_FAIR: Model = Model {
    run: || three(Unlock::Fair),
    ..THREE
};

/// Whoever loses once loses patience.
const THREE_IMPATIENT: Model = Model {
    run: || {
        clock::hurry(Duration::from_millis(2));
        three(Unlock::Barging);
    },
    ..THREE
};

/// One of three may tire.
fn one_tires() {
    let guarded = Guarded::new();
    let others = [(); 2].map(|()| counter(&guarded, Unlock::Barging));
    let counted = guarded.try_count();
    for other in others {
        other.join().unwrap();
    }
    let count = guarded.count.with(|count| *count);
    assert_eq!(count, 2 + u32::from(counted));
    current::assert_all_quiet();
}

const ONE_TIRES: Model = Model {
    run: one_tires,
    preemptions: Some(3),
    outcomes: &["waited", "timed out"],
};

const ONE_TIRES_ALL_IMPATIENT: Model = Model {
    run: || {
        clock::hurry(Duration::from_millis(2));
        one_tires();
    },
    ..ONE_TIRES
};

const NEVER_LOCKED: Mutant = Mutant::NoBits(Width::U32, 1);
const NEVER_PARKED: Mutant = Mutant::NoBits(Width::U32, 2);
const WOKEN_FOR_EVER: Mutant = Mutant::StickyBits(Width::U32, 4);

#[test]
fn a_mutex_has_one_owner() {
    TWO.passes();
    TWO.fails_for(NEVER_LOCKED, "");
    THREE.passes();
    THREE_FAIR.passes();
}

#[test]
fn who_queues_for_a_mutex_is_woken() {
    TWO.fails_for(NEVER_PARKED, "deadlock");
    THREE.fails_for(WOKEN_FOR_EVER, "deadlock");
}

#[test]
fn a_mutex_is_handed_to_the_impatient() {
    THREE_IMPATIENT.passes();
}

#[test]
fn who_tires_of_a_mutex_leaves_nobody_behind() {
    ONE_TIRES.passes();
    ONE_TIRES_ALL_IMPATIENT.passes();
    ONE_TIRES.fails_for(WOKEN_FOR_EVER, "deadlock");
}

#[test]
fn nearly_every_ordering_of_the_mutex_is_needed() {
    let models = &[TWO, THREE, THREE_IMPATIENT, ONE_TIRES_ALL_IMPATIENT];
    let left = orderings_not_needed("raw/mutex.rs", models);
    // Those in `settle`: it takes more threads and preemptions than these models have until one unlocker
    // hands over what another has left.
    assert!(left.len() <= 2, "no model needs {left:#?}");
}
