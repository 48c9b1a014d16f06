//! A wait in a queue is ended once, by who popped the node or by another, and nobody touches a node whose
//! owner has gone on.
//!
//! That nobody touches it: a node's fields are cells that loom watches (`prim::cell`), and so is what its
//! slot points to; both also when they are dropped.

use super::{Model, Owned, saw};
use crate::park::{self, WaitReason, WaitToken};
use crate::prim::mutant::{Mutant, Width};
use crate::prim::spin::SpinLock;
use crate::sched::current;
use crate::sync::waitq::{Batch, Claimed, FIRST_OWN, NOT_POPPED, Node, Outcome, WaitList};
use crate::timer;
use loom::thread::{self, JoinHandle};
use std::ptr;
use std::sync::Arc;

const POPPED: Outcome = FIRST_OWN;
/// A time that comes when the timer does.
const SOON: u64 = 1000;

type Queue = Arc<SpinLock<WaitList>>;

fn queue() -> Queue {
    Arc::new(SpinLock::new(WaitList::new()))
}

fn pop(queue: &Queue) -> Option<Claimed> {
    queue.lock().pop()
}

/// Leaves the goods.
fn give(claimed: &Claimed) {
    // SAFETY: the slots of these models point to such; it is there until its owner is woken.
    let goods = unsafe { &*claimed.node().slot.cast::<Owned<u32>>() };
    goods.with(|goods| *goods += 1);
}

/// Leaves the goods and wakes.
fn serve(claimed: Claimed) {
    give(&claimed);
    claimed.wake(POPPED);
}

/// A waker who comes once. `true`: it found somebody.
fn waker(queue: &Queue) -> JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || pop(&queue).map(serve).is_some())
}

fn slot(goods: &Owned<u32>) -> *mut () {
    ptr::from_ref(goods).cast_mut().cast()
}

fn park() {
    park::park(WaitReason::None, 0);
}

/// Opens a wait, to be parked for.
fn begin() -> WaitToken {
    // SAFETY: the models park for it.
    unsafe { park::begin() }
}

/// Queues a node that only who pops it may wake, waits for it, and returns how often it was served.
fn wait_alone(queue: &Queue, then: impl FnOnce()) -> u32 {
    let goods = Owned::new(0);
    // SAFETY: it is pushed and parked for.
    let node = unsafe { Node::alone(0, slot(&goods)) };
    // SAFETY: it stays until it was popped.
    unsafe { queue.lock().push_back(&node) };
    then();
    park();
    assert_eq!(node.outcome(), POPPED);
    goods.with(|goods| *goods)
}

/// Queues a node that a timer competes for. How often it was served.
fn wait_timed(queue: &Queue) -> u32 {
    let goods = Owned::new(0);
    let token = begin();
    let node = Node::contested(token, 0, slot(&goods));
    // SAFETY: it stays until it was popped, or removed below.
    unsafe { queue.lock().push_back(&node) };
    let timer = timer::wake_at(SOON, token);
    park();
    timer::cancel(timer);
    // SAFETY: the node is in this queue or in none.
    unsafe { queue.lock().remove(&node) };
    let served = goods.with(|goods| *goods);
    match node.outcome() {
        NOT_POPPED => assert_eq!(served, 0, "served who wasn't popped"),
        _ => assert_eq!(served, 1),
    }
    served
}

/// A waiter with a timer, and a waker.
const TIMED: Model = Model {
    run: || {
        let queue = queue();
        let waker = waker(&queue);
        let served = wait_timed(&queue);
        saw(["timed out", "popped"][served as usize]);
        assert_eq!(waker.join().unwrap(), served == 1);
        current::assert_all_quiet();
    },
    preemptions: None,
    outcomes: &["timed out", "popped"],
};

/// One waiter, two wakers.
const TWO_WAKERS: Model = Model {
    run: || {
        let queue = queue();
        let mut wakers = Vec::new();
        let served = wait_alone(&queue, || wakers.extend([waker(&queue), waker(&queue)]));
        assert_eq!(served, 1);
        let found = wakers.into_iter().map(|waker| waker.join().unwrap());
        let found: Vec<_> = found.collect();
        saw(if found[0] {
            "by the first"
        } else {
            "by the second"
        });
        assert_ne!(found[0], found[1]);
        current::assert_all_quiet();
    },
    preemptions: None,
    outcomes: &["by the first", "by the second"],
};

/// A select: one wait, a node in each of two queues with a waker each, and a timer.
fn two_queues(timed: bool) {
    let queues = [queue(), queue()];
    let wakers = queues.each_ref().map(waker);
    let goods = [Owned::new(0), Owned::new(0)];
    let token = begin();
    let nodes = goods
        .each_ref()
        .map(|goods| Node::contested(token, 0, slot(goods)));
    for (queue, node) in queues.iter().zip(&nodes) {
        // SAFETY: it stays until it was popped, or removed below.
        unsafe { queue.lock().push_back(node) };
    }
    if timed {
        timer::wake_at(SOON, token);
    } else if let Some(waiter) = token.claim() {
        saw("gave up");
        waiter.cancel();
        return leave(queues, nodes, wakers);
    }
    park();
    leave(queues, nodes, wakers);
    current::assert_all_quiet();
}

fn leave(queues: [Queue; 2], nodes: [Node; 2], wakers: [JoinHandle<bool>; 2]) {
    for (queue, node) in queues.iter().zip(&nodes) {
        if !node.was_popped() {
            // SAFETY: the node is in this queue or in none.
            unsafe { queue.lock().remove(node) };
        }
    }
    let popped = nodes.each_ref().map(|node| node.outcome() == POPPED);
    drop(nodes);
    let found = wakers.map(|waker| waker.join().unwrap());
    assert_eq!(popped, found, "a waker believes otherwise");
    saw(match popped {
        [true, false] => "the first queue",
        [false, true] => "the second queue",
        [false, false] => "neither",
        [true, true] => panic!("woken twice"),
    });
}

const TWO_QUEUES: Model = Model {
    run: || two_queues(true),
    preemptions: Some(2),
    outcomes: &["the first queue", "the second queue", "neither"],
};

/// The same, but the waiter claims its own wait.
const GIVES_UP: Model = Model {
    run: || two_queues(false),
    preemptions: None,
    outcomes: &["the first queue", "the second queue", "neither", "gave up"],
};

/// Two waiters, one of them with a timer, and one who wakes all that are there.
const BATCH: Model = Model {
    run: || {
        let queue = queue();
        let timed = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || wait_timed(&queue))
        };
        let mut waker = None;
        let served = wait_alone(&queue, || {
            let queue = Arc::clone(&queue);
            waker = Some(thread::spawn(move || {
                let mut batch = Batch::new();
                let mut list = queue.lock();
                while let Some(claimed) = list.pop() {
                    give(&claimed);
                    batch.push(claimed);
                }
                drop(list);
                batch.wake_all(POPPED);
            }));
        });
        assert_eq!(served, 1);
        waker.unwrap().join().unwrap();
        saw(["woke one", "woke both"][timed.join().unwrap() as usize]);
        current::assert_all_quiet();
    },
    preemptions: None,
    outcomes: &["woke one", "woke both"],
};

/// A waiter with a timer is put from one queue into another by one thread, and popped there by whoever
/// comes first.
const REQUEUE: Model = Model {
    run: || {
        let queues = [queue(), queue()];
        let [from, to] = &queues;
        let mover = {
            let [from, to] = queues.clone();
            thread::spawn(move || {
                let moved = pop(&from).map(|claimed| to.lock().requeue(claimed));
                (moved.is_some(), pop(&to).map(serve).is_some())
            })
        };
        let waker = waker(to);
        let served = wait_timed(from);
        let (moved, by_mover) = mover.join().unwrap();
        let by_waker = waker.join().unwrap();
        saw(match (moved, by_mover, by_waker) {
            (false, false, false) => "timed out",
            (true, true, false) => "by the mover",
            (true, false, true) => "by the waker",
            other => panic!("moved, woken by mover, waker: {other:?}"),
        });
        assert_eq!(served == 1, moved);
        current::assert_all_quiet();
    },
    preemptions: None,
    outcomes: &["timed out", "by the mover", "by the waker"],
};

const NEVER_CLOSED: Mutant = Mutant::StickyBits(Width::U64, 1);

#[test]
fn a_timer_and_a_waker_end_a_wait_once() {
    TIMED.passes();
    TIMED.fails_for(NEVER_CLOSED, "made ready");
}

#[test]
fn one_of_two_wakers_pops() {
    TWO_WAKERS.passes();
}

#[test]
fn one_of_two_queues_ends_a_wait() {
    TWO_QUEUES.passes();
    TWO_QUEUES.fails_for(NEVER_CLOSED, "");
    GIVES_UP.passes();
    GIVES_UP.fails_for(NEVER_CLOSED, "");
    GIVES_UP.fails_for(Mutant::NoOwnClaim, "");
}

#[test]
fn who_wakes_all_leaves_nobody_behind() {
    BATCH.passes();
}

#[test]
fn a_waiter_that_changes_queues_is_woken_once() {
    REQUEUE.passes();
    REQUEUE.fails_for(NEVER_CLOSED, "");
}

/// The waker looks at the node once more after having woken its owner.
#[test]
fn a_node_that_is_touched_too_late_is_noticed() {
    let late = Model {
        run: || {
            let queue = queue();
            let mut late = None;
            wait_alone(&queue, || {
                let queue = Arc::clone(&queue);
                late = Some(thread::spawn(move || {
                    let claimed = pop(&queue).expect("it was queued before");
                    let node = ptr::from_ref(claimed.node());
                    serve(claimed);
                    // SAFETY: none; loom ends the model when the node's owner drops it.
                    unsafe { &*node }.was_popped();
                }));
            });
            late.unwrap().join().unwrap();
        },
        ..TWO_WAKERS
    };
    late.fails_for(Mutant::None, "Causality violation");
}

/// The waiter does not take its node out when its timer has woken it.
#[test]
fn a_node_that_is_left_behind_is_noticed() {
    let left = Model {
        run: || {
            let queue = queue();
            let waker = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    if let Some(claimed) = pop(&queue) {
                        claimed.wake(POPPED);
                    }
                })
            };
            let token = begin();
            // Not on the stack, so that what comes too late finds at least memory there.
            let node = Box::leak(Box::new(Node::contested(token, 0, ptr::null_mut())));
            // SAFETY: none.
            unsafe { queue.lock().push_back(node) };
            timer::wake_at(SOON, token);
            park();
            // SAFETY: made above, and dropped once.
            unsafe { ptr::drop_in_place(node) };
            waker.join().unwrap();
        },
        ..TIMED
    };
    left.fails_for(Mutant::None, "Causality violation");
}
