//! A wait is ended once, by somebody who means it, and no `unpark` is lost.

use super::goroutine::Slot;
use super::{Model, every_ordering_is_needed, saw};
use crate::prim::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::prim::mutant::{Mutant, Width};
use crate::state::wait::{OPEN, Seq, TOKEN, USER, Unparked};
use loom::thread;
use std::sync::Arc;

/// What the node says when it has been left by ...
const NOBODY: u32 = 0;
const TIMER: u32 = 1;
const PEER: u32 = 2;

/// `park::begin`, handing the token to two parties, and `park::park`. One of the parties got the
/// token by way of relaxed atomics, as `WaitToken::into_words` allows, and may come too early.
const TWO_CLAIM: Model = Model {
    run: || {
        let slot = Slot::new(1);
        let words = Arc::new(AtomicU64::new(0));
        let timer = {
            let slot = Arc::clone(&slot);
            let words = Arc::clone(&words);
            thread::spawn(move || match words.load(Ordering::Relaxed) {
                0 => false,
                seq => slot.claim_and_ready(Seq::from_raw(seq), TIMER),
            })
        };
        slot.node.with(|node| *node = NOBODY);
        let seq = slot.wait.open();
        words.store(seq.get(), Ordering::Relaxed);
        let peer = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.claim_and_ready(seq, PEER))
        };
        slot.park();
        let by = slot.node.with(|node| *node);
        saw(if by == TIMER { "by timer" } else { "by peer" });
        assert_eq!(timer.join().unwrap(), by == TIMER, "both claimed");
        assert_eq!(peer.join().unwrap(), by == PEER, "both claimed");
    },
    preemptions: Some(3),
    outcomes: &["by timer", "by peer"],
};

/// The owner claims its own wait to give it up: `WaitToken::claim`, `Waiter::cancel`. It waits for
/// a claimer that was faster.
const GIVE_UP: Model = Model {
    run: || {
        let slot = Slot::new(1);
        let seq = slot.wait.open();
        let peer = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.claim_and_ready(seq, PEER))
        };
        if slot.wait.claim(seq) {
            saw("gave up");
            slot.node.with(|node| *node = NOBODY);
        } else {
            slot.park();
            slot.node.with(|node| assert_eq!(*node, PEER));
        }
        let _ = peer.join().unwrap();
    },
    preemptions: None,
    outcomes: &["gave up", "noted", "unparked"],
};

/// A timer for the first of three waits fires at any time. The second wait is another of the same
/// goroutine, the third that of the next in the slot.
fn stale_name(by_slot: bool) {
    let slot = Slot::new(1);
    let first = slot.wait.open();
    let open = Arc::new(AtomicU64::new(first.get()));
    let timer = {
        let slot = Arc::clone(&slot);
        let open = Arc::clone(&open);
        thread::spawn(move || {
            let seq = if by_slot {
                Seq::from_raw(open.load(Ordering::Acquire))
            } else {
                first
            };
            slot.claim_and_ready(seq, TIMER)
        })
    };
    if slot.wait.claim(first) {
        saw("too early for the timer");
    } else {
        slot.park();
    }
    for holder in [1, 2] {
        if holder == 2 {
            slot.vacate();
            slot.fill(2);
        }
        let seq = slot.wait.open();
        open.store(seq.get(), Ordering::Release);
        let peer = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.claim_and_ready(seq, PEER))
        };
        slot.park();
        let by = slot.node.with(|node| *node);
        assert_eq!(by, PEER, "ended by somebody who means another wait");
        assert!(peer.join().unwrap());
    }
    timer.join().unwrap();
}

const STALE_NAME: Model = Model {
    run: || stale_name(false),
    preemptions: Some(2),
    outcomes: &["too early for the timer"],
};

/// `Goroutine::unpark` by two threads, with std's contract: once both have come, whoever parks until
/// it has seen what both did before does not park for ever.
const TWO_UNPARK: Model = Model {
    run: || {
        let slot = Slot::new(1);
        let done = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let threads = [0, 1].map(|i| {
            let slot = Arc::clone(&slot);
            let done = Arc::clone(&done);
            thread::spawn(move || {
                done[i].store(1, Ordering::Relaxed);
                match slot.unpark(1) {
                    Unparked::Claimed => saw("claimed"),
                    Unparked::Token => saw("token"),
                    Unparked::Gone => panic!("it is still there"),
                }
            })
        });
        while done.iter().any(|done| done.load(Ordering::Relaxed) == 0) {
            slot.park_user();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    },
    preemptions: Some(2),
    outcomes: &["claimed", "token", "noted", "unparked"],
};

/// A park of the user, then an internal wait, with an `unpark` for each: the second one must not end
/// the internal wait, and is there for the next park.
const STRAY_UNPARK: Model = Model {
    run: || {
        let slot = Slot::new(1);
        let unpark = |slot: &Arc<Slot>| {
            let slot = Arc::clone(slot);
            thread::spawn(move || slot.unpark(1))
        };
        let first = unpark(&slot);
        slot.park_user();
        let _ = first.join().unwrap();
        let second = unpark(&slot);
        slot.node.with(|node| *node = NOBODY);
        let seq = slot.wait.open();
        let peer = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.claim_and_ready(seq, PEER))
        };
        slot.park();
        slot.node
            .with(|node| assert_eq!(*node, PEER, "ended by a stray unpark"));
        slot.park_user();
        assert!(peer.join().unwrap());
        saw(match second.join().unwrap() {
            Unparked::Claimed => "claimed",
            Unparked::Token => "token",
            Unparked::Gone => panic!("it is still there"),
        });
    },
    preemptions: Some(2),
    outcomes: &["claimed", "token"],
};

/// `park_timeout`, with an `unpark` at about the same time. If the timer was faster, the next park
/// takes the token.
const TIMEOUT: Model = Model {
    run: || {
        let slot = Slot::new(1);
        let unparker = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.unpark(1))
        };
        slot.node.with(|node| *node = NOBODY);
        if let Some(seq) = slot.wait.open_user() {
            let timer = {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.claim_and_ready(seq, TIMER))
            };
            slot.park();
            if slot.node.with(|node| *node) == TIMER {
                saw("timer");
                slot.park_user();
            }
            timer.join().unwrap();
        }
        saw(match unparker.join().unwrap() {
            Unparked::Claimed => "claimed",
            Unparked::Token => "token",
            Unparked::Gone => panic!("it is still there"),
        });
    },
    preemptions: Some(3),
    outcomes: &["timer", "claimed", "token"],
};

/// Goroutine 1 ends and 2 gets its slot, while somebody unparks 1. 2 must find no token; it would, if
/// 1's name were retired before its number.
fn next_in_slot(number_last: bool) {
    let slot = Slot::new(1);
    let unparker = {
        let slot = Arc::clone(&slot);
        thread::spawn(move || match slot.unpark(1) {
            Unparked::Claimed => panic!("it never parked"),
            Unparked::Token => saw("token"),
            Unparked::Gone => saw("gone"),
        })
    };
    if number_last {
        slot.wait.retire();
        slot.vacate();
        slot.fill_without_retiring(2);
    } else {
        slot.vacate();
        slot.fill(2);
    }
    let seq = slot
        .wait
        .open_user()
        .expect("2 was unparked by somebody who means 1");
    assert!(slot.wait.is_open(seq) && slot.wait.claim(seq));
    unparker.join().unwrap();
}

const NEXT_IN_SLOT: Model = Model {
    run: || next_in_slot(false),
    preemptions: None,
    outcomes: &["token", "gone"],
};

const WITHOUT_USER: Mutant = Mutant::NoBits(Width::U64, USER);
const WITHOUT_TOKEN: Mutant = Mutant::NoBits(Width::U64, TOKEN);
const NEVER_CLOSED: Mutant = Mutant::StickyBits(Width::U64, OPEN);
const ALWAYS_USER: Mutant = Mutant::StickyBits(Width::U64, USER);

#[test]
fn one_of_two_claimers_wins() {
    TWO_CLAIM.passes();
    TWO_CLAIM.fails_for(NEVER_CLOSED, "");
    GIVE_UP.passes();
    GIVE_UP.fails_for(NEVER_CLOSED, "");
}

#[test]
fn a_name_out_of_date_ends_no_wait() {
    STALE_NAME.passes();
    let by_slot = Model {
        run: || stale_name(true),
        ..STALE_NAME
    };
    by_slot.fails_for(Mutant::None, "ended by somebody who means another wait");
}

#[test]
fn no_unpark_is_lost() {
    TWO_UNPARK.passes();
    TWO_UNPARK.fails_for(WITHOUT_TOKEN, "deadlock");
    TWO_UNPARK.fails_for(WITHOUT_USER, "deadlock");
}

#[test]
fn an_unpark_ends_no_internal_wait() {
    STRAY_UNPARK.passes();
    STRAY_UNPARK.fails_for(ALWAYS_USER, "ended by a stray unpark");
    STRAY_UNPARK.fails_for(WITHOUT_TOKEN, "deadlock");
}

#[test]
fn a_timeout_takes_no_unpark_away() {
    TIMEOUT.passes();
    TIMEOUT.fails_for(WITHOUT_TOKEN, "deadlock");
    TIMEOUT.fails_for(NEVER_CLOSED, "");
}

#[test]
fn an_unpark_does_not_reach_the_next_goroutine() {
    NEXT_IN_SLOT.passes();
    let number_last = Model {
        run: || next_in_slot(true),
        ..NEXT_IN_SLOT
    };
    number_last.fails_for(Mutant::None, "2 was unparked by somebody who means 1");
}

#[test]
fn every_ordering_of_the_wait_word_is_needed() {
    every_ordering_is_needed(
        "state/wait.rs",
        &[
            NEXT_IN_SLOT,
            GIVE_UP,
            TWO_CLAIM,
            TWO_UNPARK,
            TIMEOUT,
            STRAY_UNPARK,
            STALE_NAME,
        ],
    );
}
