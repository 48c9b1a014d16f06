//! A result is taken or dropped once, a slot is freed once, and a joiner is woken once.

use super::goroutine::Slot;
use super::{Model, Owned, every_ordering_is_needed, saw};
use crate::prim::mutant::{Mutant, Width};
use crate::state::join::{DETACHED, FINISHED, JoinWord, ResultOf, STORED};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The waiter's address in the join word: there is one joiner.
const WAITER: usize = 8;

/// A goroutine as its end and its `JoinHandle` see it.
struct G {
    join: JoinWord,
    /// `G::payload`: the result once there is one.
    payload: Owned<Option<u32>>,
    /// What the spawner wrote, which may be looked at through the handle.
    spawned: Owned<()>,
    /// What the M uses to the end: `G::link`.
    link: Owned<()>,
    /// The joiner.
    joiner: Arc<Slot>,
    /// How often the result was dropped, taken, and the slot freed.
    dropped: AtomicU32,
    taken: AtomicU32,
    freed: AtomicU32,
}

impl G {
    fn new() -> Arc<G> {
        Arc::new(G {
            join: JoinWord::new(),
            payload: Owned::new(None),
            spawned: Owned::new(()),
            link: Owned::new(()),
            joiner: Slot::new(1),
            dropped: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            freed: AtomicU32::new(0),
        })
    }

    fn drop_result(&self) {
        self.payload.with(Option::take).expect("there is a result");
        self.dropped.fetch_add(1, Relaxed);
    }

    /// `Sched::free`; the slot's next goroutine puts its closure there.
    fn free(&self) {
        self.payload
            .with(|payload| assert_eq!(*payload, None, "a result leaked"));
        self.spawned.with(|_| ());
        self.link.with(|_| ());
        self.join.reset();
        self.freed.fetch_add(1, Relaxed);
    }

    /// `builder::entry` on the goroutine, then `Sched::exit` on its M. `plain`: the result needs no
    /// dropping.
    fn end(&self, plain: bool) {
        self.payload.with(|payload| *payload = Some(42));
        if !plain && self.join.store() == ResultOf::Mine {
            saw("dropped by the goroutine");
            self.drop_result();
        }
        self.link.with(|_| ());
        let end = self.join.finish();
        if end.free {
            saw("freed by the M");
            if plain {
                self.drop_result();
            }
            self.free();
        } else if end.joiner != 0 {
            assert_eq!(end.joiner, WAITER);
            self.joiner.node.with(|_| ());
            self.joiner.ready();
        }
    }

    /// `JoinHandle::join`.
    fn join(&self) {
        if !self.join.is_finished() {
            // `park::prepare`: the waiter is whatever the waker will look at.
            self.joiner.node.with(|_| ());
            if self.join.wait(WAITER) {
                saw("waited");
                self.joiner.park();
            } else {
                saw("came just too late to wait");
            }
        }
        assert_eq!(self.payload.with(Option::take), Some(42));
        self.taken.fetch_add(1, Relaxed);
        self.free();
    }

    /// `JoinHandle`'s drop.
    fn detach(&self) {
        self.spawned.read(|_| ());
        if self.join.detach() == ResultOf::Theirs {
            return;
        }
        saw("dropped by the handle");
        self.drop_result();
        if self.join.free_after_result() {
            saw("freed by the handle");
            self.free();
        }
    }

    /// Runs the goroutine's end beside what its handle does.
    fn run(plain: bool, handle: impl FnOnce(&G)) {
        let g = G::new();
        let m = Arc::clone(&g);
        let m = thread::spawn(move || m.end(plain));
        handle(&g);
        m.join().unwrap();
        let ends = g.taken.load(Relaxed) + g.dropped.load(Relaxed);
        assert_eq!(ends, 1, "the result must be taken or dropped once");
        assert_eq!(g.freed.load(Relaxed), 1, "the slot must be freed once");
    }
}

const JOIN: Model = Model {
    run: || G::run(false, G::join),
    preemptions: None,
    outcomes: &["waited", "came just too late to wait", "noted", "unparked"],
};

const DETACH: Model = Model {
    run: || G::run(false, G::detach),
    preemptions: None,
    outcomes: &[
        "dropped by the goroutine",
        "dropped by the handle",
        "freed by the handle",
        "freed by the M",
    ],
};

/// The same with a result that needs no dropping, and is not announced.
const JOIN_PLAIN: Model = Model {
    run: || G::run(true, G::join),
    ..JOIN
};
const DETACH_PLAIN: Model = Model {
    run: || G::run(true, G::detach),
    preemptions: None,
    outcomes: &[
        "dropped by the handle",
        "freed by the handle",
        "freed by the M",
    ],
};

const WITHOUT_STORED: Mutant = Mutant::NoBits(Width::Usize, STORED as u64);
const WITHOUT_DETACHED: Mutant = Mutant::NoBits(Width::Usize, DETACHED as u64);
const WITHOUT_FINISHED: Mutant = Mutant::NoBits(Width::Usize, FINISHED as u64);

#[test]
fn a_joiner_gets_the_result() {
    for model in [JOIN, JOIN_PLAIN] {
        model.passes();
        model.fails_for(WITHOUT_FINISHED, "deadlock");
    }
}

#[test]
fn a_result_nobody_wants_is_dropped() {
    DETACH.passes();
    DETACH.fails_for(WITHOUT_STORED, "a result leaked");
    DETACH.fails_for(WITHOUT_DETACHED, "the result must be taken or dropped once");
    DETACH.fails_for(WITHOUT_FINISHED, "the slot must be freed once");
    DETACH_PLAIN.passes();
    DETACH_PLAIN.fails_for(WITHOUT_DETACHED, "the result must be taken or dropped once");
    DETACH_PLAIN.fails_for(WITHOUT_FINISHED, "the result must be taken or dropped once");
}

#[test]
fn every_ordering_of_the_join_word_is_needed() {
    every_ordering_is_needed("state/join.rs", &[JOIN, DETACH, JOIN_PLAIN, DETACH_PLAIN]);
}
