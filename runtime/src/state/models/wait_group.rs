//! Whoever waits for a group is let go when all are done, sees what they did, and is not let go by an
//! earlier generation.

use super::{Model, Owned, Parker, every_ordering_is_needed, saw};
use crate::prim::mutant::{Mutant, Width};
use crate::state::wait_group::{Added, Done, WAITED, WaitGroupWord};
use loom::sync::Mutex;
use loom::thread;
use std::mem;
use std::sync::Arc;

/// A `WaitGroup`: the word and the queue in its lock.
struct Group {
    word: WaitGroupWord,
    queue: Mutex<Vec<Arc<Parker>>>,
    /// What is done, by two of which each has one.
    work: [Owned<u32>; 2],
    /// Releases without asking the word: a mutant.
    rash: bool,
}

impl Group {
    fn new(n: u64) -> Arc<Group> {
        Group::with(n, false)
    }

    fn with(n: u64, rash: bool) -> Arc<Group> {
        let group = Group {
            word: WaitGroupWord::new(),
            queue: Mutex::new(Vec::new()),
            work: [Owned::new(0), Owned::new(0)],
            rash,
        };
        group.add(n);
        Arc::new(group)
    }

    /// `WaitGroup::add`.
    fn add(&self, n: u64) {
        loop {
            match self.word.add(n) {
                Added::Counted => return,
                Added::ReleaseFirst => {
                    saw("helped");
                    self.release();
                }
                Added::TooMany => unreachable!("there are few"),
            }
        }
    }

    /// `WaitGroup::done`. `false`: one too many.
    fn done(&self) -> bool {
        match self.word.done() {
            Done::Counted => true,
            Done::Release => {
                self.release();
                true
            }
            Done::Negative { release } => {
                if release {
                    saw("misled");
                    self.release();
                }
                false
            }
        }
    }

    /// One of the two does its work and is done.
    fn work(self: &Arc<Group>, who: usize) -> thread::JoinHandle<()> {
        let group = Arc::clone(self);
        thread::spawn(move || {
            group.work[who].with(|work| *work += 1);
            assert!(group.done());
        })
    }

    /// `Inner::release`.
    fn release(&self) {
        let mut queue = self.queue.lock().unwrap();
        if !self.word.release() && !self.rash {
            return;
        }
        let waiters = mem::take(&mut *queue);
        drop(queue);
        for waiter in waiters {
            waiter.unpark();
        }
    }

    /// The first half of `WaitGroup::wait`: a place in the queue, if one must wait.
    fn enlist(&self) -> Option<Arc<Parker>> {
        if self.word.count() == 0 {
            saw("nothing to wait for");
            return None;
        }
        let mut queue = self.queue.lock().unwrap();
        if !self.word.enlist() {
            saw("came just too late to wait");
            return None;
        }
        let me = Arc::new(Parker::new());
        queue.push(Arc::clone(&me));
        Some(me)
    }

    fn wait(&self) {
        if let Some(me) = self.enlist() {
            saw("waited");
            me.park();
        }
    }

    /// `WaitGroup::wait_timeout`, where the time runs out at once. `true`: it was let go nevertheless.
    fn wait_in_vain(&self) -> bool {
        let Some(me) = self.enlist() else {
            return true;
        };
        let mut queue = self.queue.lock().unwrap();
        let place = queue.iter().position(|waiter| Arc::ptr_eq(waiter, &me));
        if let Some(place) = place {
            queue.remove(place);
            if queue.is_empty() {
                self.word.nobody_waits();
            }
        }
        place.is_none()
    }

    /// Both have done their work this often.
    fn assert_done(&self, times: [u32; 2]) {
        for (work, times) in self.work.iter().zip(times) {
            work.read(|work| assert_eq!(*work, times, "let go too soon"));
        }
    }
}

/// Two are done, one waits.
const TWO_DONE: Model = Model {
    run: || {
        let group = Group::new(2);
        let threads = [0, 1].map(|who| group.work(who));
        group.wait();
        group.assert_done([1, 1]);
        for thread in threads {
            thread.join().unwrap();
        }
    },
    preemptions: None,
    outcomes: &[
        "waited",
        "came just too late to wait",
        "nothing to wait for",
    ],
};

/// One is done, two wait.
const TWO_WAIT: Model = Model {
    run: || {
        let group = Group::new(1);
        let worker = group.work(0);
        let waiter = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                group.wait();
                group.assert_done([1, 0]);
            })
        };
        group.wait();
        group.assert_done([1, 0]);
        worker.join().unwrap();
        waiter.join().unwrap();
    },
    preemptions: Some(3),
    outcomes: &["waited", "came just too late to wait"],
};

/// The next generation begins while the last one's waiters are being let go.
fn generations(rash: bool) {
    let group = Group::with(1, rash);
    let first = group.enlist().expect("nobody is done yet");
    let waiter = {
        let group = Arc::clone(&group);
        thread::spawn(move || {
            first.park();
            group.work[0].read(|work| assert_eq!(*work, 1, "let go too soon"));
        })
    };
    let worker = group.work(0);
    // The user's order: the second begins after the first is over, which somebody may tell who does not
    // wait.
    while group.word.count() > 0 {
        thread::yield_now();
    }
    group.add(1);
    let second = group.enlist().expect("nobody is done yet");
    let next = group.work(1);
    second.park();
    group.assert_done([1, 1]);
    for thread in [waiter, worker, next] {
        thread.join().unwrap();
    }
}

const GENERATIONS: Model = Model {
    run: || generations(false),
    preemptions: Some(2),
    outcomes: &["helped"],
};

/// One `done` too many, at any time: it alone panics, and nobody waits for ever.
const ONE_TOO_MANY: Model = Model {
    run: || {
        let group = Group::new(1);
        let threads = [0, 1].map(|who| {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                group.work[who].with(|work| *work += 1);
                group.done()
            })
        });
        group.wait();
        let good = threads.map(|thread| thread.join().unwrap());
        assert_eq!(good.iter().filter(|good| **good).count(), 1);
        assert_eq!(group.word.count(), 0);
        group.wait();
    },
    preemptions: Some(3),
    outcomes: &["waited", "misled"],
};

/// One of two waiters gives up.
const GIVE_UP: Model = Model {
    run: || {
        let group = Group::new(1);
        let worker = group.work(0);
        let waiter = {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                group.wait();
                group.assert_done([1, 0]);
            })
        };
        if group.wait_in_vain() {
            saw("let go in time");
            group.assert_done([1, 0]);
        } else {
            saw("gave up");
        }
        worker.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(group.word.add(1), Added::Counted, "a waiter is left");
    },
    preemptions: Some(3),
    outcomes: &["waited", "let go in time", "gave up"],
};

const WITHOUT_WAITED: Mutant = Mutant::NoBits(Width::U64, WAITED);

#[test]
fn who_waits_is_let_go_when_all_are_done() {
    TWO_DONE.passes();
    TWO_DONE.fails_for(WITHOUT_WAITED, "deadlock");
    TWO_WAIT.passes();
    TWO_WAIT.fails_for(WITHOUT_WAITED, "deadlock");
}

#[test]
fn a_generation_lets_only_its_own_go() {
    GENERATIONS.passes();
    let rash = Model {
        run: || generations(true),
        ..GENERATIONS
    };
    rash.fails_for(Mutant::None, "");
}

#[test]
fn one_too_many_harms_nobody_else() {
    ONE_TOO_MANY.passes();
}

#[test]
fn who_gives_up_takes_nobody_along() {
    GIVE_UP.passes();
}

#[test]
fn every_ordering_of_the_wait_groups_word_is_needed() {
    every_ordering_is_needed("wait_group.rs", &[TWO_DONE, GENERATIONS, TWO_WAIT, GIVE_UP]);
}
