//! A goroutine is woken once for each wait, and nobody uses its stack at the same time as another.

use super::goroutine::{Goroutine, Slot};
use super::{Model, every_ordering_is_needed};
use crate::prim::mutant::{Mutant, Width};
use crate::state::gstatus::{NOTIFIED, ON_M, SCAN};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// A goroutine parks twice; each waker may come before, during or after.
const PARK: Model = Model {
    run: || {
        let g = Goroutine::new(2);
        g.execute();
        g.assert_done();
    },
    preemptions: None,
    outcomes: &[
        "notified before it suspended itself",
        "notified before it was parked",
        "enqueued by its waker",
    ],
};

/// The same while sysmon trims its stack.
const SCANNED: Model = Model {
    run: || {
        let g = Goroutine::new(2);
        let sysmon = Arc::clone(&g);
        let sysmon = thread::spawn(move || sysmon.trim());
        g.execute();
        sysmon.join().unwrap();
        g.assert_done();
    },
    preemptions: Some(3),
    outcomes: &[
        "enqueued by its waker",
        "enqueued by its scanner",
        "scanned in peace",
    ],
};

/// A plain thread parks, while somebody walks its stack for a dump.
fn on_its_m(waits: u32) {
    let slot = Slot::new(1);
    let dump = Arc::clone(&slot);
    let dump = thread::spawn(move || dump.walk());
    for wait in 1..=waits {
        let waker = Arc::clone(&slot);
        let waker = thread::spawn(move || {
            waker.node.with(|node| *node = wait);
            waker.ready();
        });
        slot.park();
        slot.node.with(|node| assert_eq!(*node, wait));
        waker.join().unwrap();
    }
    slot.vacate();
    dump.join().unwrap();
}

const ON_ITS_M: Model = Model {
    run: || on_its_m(1),
    preemptions: Some(3),
    outcomes: &[
        "notified before it parked",
        "notified while it parked",
        "noted",
        "unparked",
        "walked in peace",
        "made ready by its scanner",
    ],
};

const ON_ITS_M_TWICE: Model = Model {
    run: || on_its_m(2),
    preemptions: Some(2),
    ..ON_ITS_M
};

/// A goroutine that found no stack waits for one, under sysmon's eyes.
const NO_STACK: Model = Model {
    run: || {
        let g = Goroutine::new(0);
        let list = Arc::new(Mutex::new(None));
        let threads = [
            // `wake_stack_waiter`, by an M whose goroutine has ended.
            {
                let list = Arc::clone(&list);
                thread::spawn(move || {
                    let g: Option<Arc<Goroutine>> = list.lock().unwrap().take();
                    if let Some(g) = g {
                        g.ready();
                    }
                })
            },
            {
                let g = Arc::clone(&g);
                thread::spawn(move || g.trim())
            },
        ];
        // `bind` on the M that took it out of a queue: `wait_for_stack`.
        g.status.set_runnable();
        g.stack.with(|_| ());
        g.status.set_waiting();
        *list.lock().unwrap() = Some(Arc::clone(&g));
        for thread in threads {
            thread.join().unwrap();
        }
        // `retry_stacks`, if nobody has woken it.
        let left = list.lock().unwrap().take();
        if let Some(g) = left {
            g.ready();
        }
        g.assert_done();
    },
    preemptions: None,
    outcomes: &[
        "enqueued by its waker",
        "enqueued by its scanner",
        "scanned in peace",
    ],
};

const WITHOUT_NOTIFIED: Mutant = Mutant::NoBits(Width::U32, NOTIFIED as u64);
const WITHOUT_SCAN: Mutant = Mutant::NoBits(Width::U32, SCAN as u64);
const WITHOUT_ON_M: Mutant = Mutant::NoBits(Width::U32, ON_M as u64);

#[test]
fn a_wake_up_before_parking_counts() {
    PARK.passes();
    PARK.fails_for(WITHOUT_NOTIFIED, "lost wake-up");
}

#[test]
fn scanner_and_runner_never_share_the_stack() {
    SCANNED.passes();
    SCANNED.fails_for(WITHOUT_SCAN, "Causality violation");
    SCANNED.fails_for(WITHOUT_NOTIFIED, "lost wake-up");
}

#[test]
fn a_blocked_thread_is_unparked() {
    for model in [ON_ITS_M, ON_ITS_M_TWICE] {
        model.passes();
        model.fails_for(WITHOUT_NOTIFIED, "deadlock");
        model.fails_for(WITHOUT_SCAN, "Causality violation");
        model.fails_for(WITHOUT_ON_M, "a plain thread was put into a queue");
    }
}

#[test]
fn who_waits_for_a_stack_is_woken() {
    NO_STACK.passes();
    NO_STACK.fails_for(WITHOUT_SCAN, "Causality violation");
    NO_STACK.fails_for(WITHOUT_NOTIFIED, "lost wake-up");
}

#[test]
fn every_ordering_of_the_status_is_needed() {
    every_ordering_is_needed("state/gstatus.rs", &[PARK, NO_STACK, ON_ITS_M, SCANNED]);
}
