//! Who waits for a group goes on when all are done, not before, and sees what they did; and a generation
//! ends before the next one's waiters queue. The whole of it; `state::models::wait_group` is about its word.

#[path = "../group/wait_group.rs"]
mod real;

use super::{Model, Owned, saw};
use crate::park;
use crate::prim::mutant::{Mutant, Width};
use crate::sched::current;
use loom::thread::{self, JoinHandle};
use real::WaitGroup;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

/// What one who is done has done.
type Deed = Arc<Owned<bool>>;

fn deed() -> Deed {
    Arc::new(Owned::new(false))
}

/// A thread that does it, and is done.
fn worker(group: &WaitGroup, deed: &Deed) -> JoinHandle<()> {
    let (group, deed) = (group.clone(), Arc::clone(deed));
    thread::spawn(move || {
        deed.with(|deed| *deed = true);
        group.done();
    })
}

fn assert_done(deed: &Deed) {
    assert!(deed.read(|deed| *deed), "went on too early");
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
    current::assert_all_quiet();
}

/// Two are to be done.
const TWO_WORKERS: Model = Model {
    run: || {
        let group = WaitGroup::new();
        group.add(2);
        let deeds = [deed(), deed()];
        let workers = deeds.each_ref().map(|deed| worker(&group, deed));
        group.wait();
        saw(if park::has_parked() {
            "waited"
        } else {
            "all were done"
        });
        deeds.iter().for_each(assert_done);
        join(workers);
    },
    preemptions: None,
    outcomes: &["waited", "all were done"],
};

/// Two wait.
const TWO_WAIT: Model = Model {
    run: || {
        let group = WaitGroup::new();
        group.add(1);
        let done = deed();
        let other = {
            let (group, done) = (group.clone(), Arc::clone(&done));
            thread::spawn(move || {
                group.wait();
                assert_done(&done);
            })
        };
        let worker = worker(&group, &done);
        group.wait();
        assert_done(&done);
        join([other, worker]);
    },
    preemptions: Some(2),
    outcomes: &[],
};

/// Who waits may tire; afterwards it waits again. A second one waits without end.
fn tires(second: bool) {
    let group = WaitGroup::new();
    group.add(1);
    let done = deed();
    let other = second.then(|| {
        let (group, done) = (group.clone(), Arc::clone(&done));
        thread::spawn(move || {
            group.wait();
            assert_done(&done);
        })
    });
    let worker = worker(&group, &done);
    if group.wait_timeout(SOON) {
        saw("in time");
    } else {
        saw("timed out");
        group.wait();
    }
    assert_done(&done);
    if let Some(other) = other {
        other.join().unwrap();
    }
    join([worker]);
}

const TIRES: Model = Model {
    run: || tires(false),
    preemptions: Some(3),
    outcomes: &["in time", "timed out"],
};

const ONE_OF_TWO_TIRES: Model = Model {
    run: || tires(true),
    preemptions: Some(2),
    ..TIRES
};

/// Two generations, of which the first has a second waiter. The first one's release may come late.
const GENERATIONS: Model = Model {
    run: || {
        let group = WaitGroup::new();
        group.add(1);
        let deeds = [deed(), deed()];
        let other = {
            let (group, first) = (group.clone(), Arc::clone(&deeds[0]));
            thread::spawn(move || {
                group.wait();
                assert_done(&first);
            })
        };
        let first = worker(&group, &deeds[0]);
        group.wait();
        assert_done(&deeds[0]);
        group.add(1);
        let second = worker(&group, &deeds[1]);
        group.wait();
        assert_done(&deeds[1]);
        join([other, first, second]);
    },
    preemptions: Some(2),
    outcomes: &[],
};

/// Nobody sees that somebody waits.
const WITHOUT_WAITED: Mutant = Mutant::NoBits(Width::U64, 1);

#[test]
fn who_waits_goes_on_when_all_are_done() {
    TWO_WORKERS.passes();
    TWO_WAIT.passes();
    GENERATIONS.passes();
}

#[test]
fn who_tires_leaves_the_others_waiting() {
    TIRES.passes();
    ONE_OF_TWO_TIRES.passes();
}

#[test]
fn nobody_is_forgotten() {
    TWO_WORKERS.fails_for(WITHOUT_WAITED, "deadlock");
    TWO_WAIT.fails_for(WITHOUT_WAITED, "deadlock");
}
