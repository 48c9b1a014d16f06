//! Turns and deadlines, one step after another; `models` has what runs at the same time.

use super::*;
use crate::word::Publish;
use std::cell::RefCell;

/// A clock that stands still and a list of timers.
#[derive(Default)]
struct Bench {
    now: Cell<u64>,
    timers: RefCell<Vec<(u64, u64)>>,
}

impl Timers for Bench {
    type Id = u64;
    fn now(&self) -> u64 {
        self.now.get()
    }
    fn add(&self, when: u64, seq: u64) -> u64 {
        self.timers.borrow_mut().push((when, seq));
        seq
    }
    fn cancel(&self, id: u64) {
        self.timers.borrow_mut().retain(|&(_, seq)| seq != id);
    }
}

impl Bench {
    fn at(now: u64) -> Self {
        let bench = Bench::default();
        bench.now.set(now);
        bench
    }

    fn armed(&self) -> Vec<u64> {
        self.timers.borrow().iter().map(|&(when, _)| when).collect()
    }

    /// Advances the clock, fires what is due, and returns who was woken.
    fn advance(&self, now: u64, direction: &Direction<u64>) -> Vec<RawWaiter> {
        self.now.set(now);
        let mut woken = Vec::new();
        loop {
            let due = {
                let mut timers = self.timers.borrow_mut();
                let Some(at) = timers.iter().position(|&(when, _)| when <= now) else {
                    return woken;
                };
                timers.remove(at)
            };
            direction.fire(due.1, self, |waiter| woken.push(waiter));
        }
    }
}

fn raw(number: usize) -> RawWaiter {
    RawWaiter::new(number * 8).unwrap()
}

fn open() -> Direction<u64> {
    let direction = Direction::new();
    direction.reset();
    assert!(direction.word.clear());
    direction
}

fn park(direction: &Direction<u64>, bench: &Bench, waiter: usize, limit: u64) -> Vec<RawWaiter> {
    let mut woken = Vec::new();
    direction.set_limit(limit);
    assert_eq!(direction.word.publish(raw(waiter)), Publish::Waiting);
    direction.after_publishing(limit, bench, |waiter| woken.push(waiter));
    woken
}

fn set(direction: &Direction<u64>, bench: &Bench, deadline: u64) -> Vec<RawWaiter> {
    let mut woken = Vec::new();
    direction.set_deadline(deadline, bench, |waiter| woken.push(waiter));
    woken
}

#[test]
fn a_deadline_that_moves_on_costs_one_timer() {
    let (direction, bench) = (open(), Bench::at(10));
    for step in 0..100 {
        bench.now.set(10 + step);
        assert_eq!(set(&direction, &bench, 1000 + step), []);
        assert_eq!(park(&direction, &bench, 1, NEVER), []);
        assert_eq!(bench.armed(), [1000]);
        assert_eq!(direction.word.ready(false), Some(raw(1)));
        assert!(direction.word.clear());
    }
    // It fires while nobody waits, and is gone; the next one to park arms another.
    assert_eq!(bench.advance(1000, &direction), []);
    assert_eq!(bench.armed(), []);
    assert_eq!(park(&direction, &bench, 1, NEVER), []);
    assert_eq!(bench.armed(), [1099]);
    // It fires early for the deadline of now, and stays.
    assert_eq!(set(&direction, &bench, 2000), []);
    assert_eq!(bench.advance(1099, &direction), []);
    assert_eq!(bench.armed(), [2000]);
    assert_eq!(bench.advance(2000, &direction), [raw(1)]);
    assert_eq!(bench.armed(), []);
}

#[test]
fn the_earlier_of_limit_and_deadline_applies() {
    let (direction, bench) = (open(), Bench::at(10));
    set(&direction, &bench, 100);
    assert_eq!(park(&direction, &bench, 1, 50), []);
    assert_eq!(bench.armed(), [50]);
    assert_eq!(bench.advance(50, &direction), [raw(1)]);
    assert_eq!(park(&direction, &bench, 1, 500), []);
    assert_eq!(bench.advance(100, &direction), [raw(1)]);
}

#[test]
fn an_earlier_deadline_replaces_the_timer() {
    let (direction, bench) = (open(), Bench::at(10));
    assert_eq!(park(&direction, &bench, 1, 1000), []);
    assert_eq!(set(&direction, &bench, 100), []);
    assert_eq!(bench.armed(), [100]);
    // A past one wakes at once.
    assert_eq!(set(&direction, &bench, 5), [raw(1)]);
    // And whoever parks in spite of it is woken before it sleeps.
    assert_eq!(park(&direction, &bench, 2, NEVER), [raw(2)]);
}

#[test]
fn no_deadline_arms_nothing() {
    let (direction, bench) = (open(), Bench::at(10));
    assert_eq!(park(&direction, &bench, 1, NEVER), []);
    assert_eq!(set(&direction, &bench, 100), []);
    assert_eq!(set(&direction, &bench, NEVER), []);
    assert_eq!(bench.advance(100, &direction), []);
    assert_eq!(bench.armed(), []);
    assert_eq!(direction.word.ready(false), Some(raw(1)));
}

#[test]
fn turns_are_handed_over_in_order_and_time_out() {
    let (direction, bench) = (open(), Bench::at(10));
    assert!(direction.try_turn());
    let nodes = [
        Node::new(raw(1), NEVER),
        Node::new(raw(2), 50),
        Node::new(raw(3), NEVER),
        Node::new(raw(4), 60),
    ];
    for node in &nodes {
        // SAFETY: the nodes outlive the test's use of the queue.
        assert_eq!(unsafe { direction.enqueue(node) }, Enqueue::Queued);
        direction.after_queueing(node.until, &bench, |_| unreachable!());
    }
    assert_eq!(bench.armed(), [50]);
    assert_eq!(bench.advance(50, &direction), [raw(2)]);
    assert_eq!(nodes[1].outcome(), Outcome::TimedOut);
    assert_eq!(bench.armed(), [60]);
    assert!(!direction.try_turn());
    assert_eq!(direction.release(), Some(raw(1)));
    assert_eq!(nodes[0].outcome(), Outcome::Granted);
    // The tail times out, and the queue still works.
    assert_eq!(bench.advance(60, &direction), [raw(4)]);
    let late = Node::new(raw(5), NEVER);
    // SAFETY: as above.
    assert_eq!(unsafe { direction.enqueue(&late) }, Enqueue::Queued);
    assert_eq!(direction.release(), Some(raw(3)));
    assert_eq!(direction.release(), Some(raw(5)));
    assert_eq!(direction.release(), None);
    assert!(direction.try_turn());
}

#[test]
fn a_queue_that_empties_by_time_leaves_the_turn_usable() {
    let (direction, bench) = (open(), Bench::at(10));
    assert!(direction.try_turn());
    let node = Node::new(raw(1), 20);
    // SAFETY: the node outlives the test's use of the queue.
    assert_eq!(unsafe { direction.enqueue(&node) }, Enqueue::Queued);
    direction.after_queueing(20, &bench, |_| unreachable!());
    assert_eq!(bench.advance(20, &direction), [raw(1)]);
    assert_eq!(direction.release(), None);
    // SAFETY: as above.
    assert_eq!(unsafe { direction.enqueue(&node) }, Enqueue::Held);
}

#[test]
fn close_wakes_the_queue_and_disarms() {
    let (direction, bench) = (open(), Bench::at(10));
    assert!(direction.try_turn());
    assert_eq!(park(&direction, &bench, 1, 100), []);
    let nodes = [Node::new(raw(2), NEVER), Node::new(raw(3), 50)];
    for node in &nodes {
        // SAFETY: the nodes outlive the test's use of the queue.
        assert_eq!(unsafe { direction.enqueue(node) }, Enqueue::Queued);
    }
    assert_eq!(direction.close(), Close::First(Some(raw(1))));
    let mut woken = Vec::new();
    direction.drain(&bench, |waiter| woken.push(waiter));
    assert_eq!(woken, [raw(2), raw(3)]);
    assert_eq!(nodes[0].outcome(), Outcome::Closed);
    assert_eq!(bench.armed(), []);
    let late = Node::new(raw(4), NEVER);
    // SAFETY: as above.
    assert_eq!(unsafe { direction.enqueue(&late) }, Enqueue::Closed);
    assert_eq!(direction.release(), None);
}
