//! What selects reserve, and redeem late or give up: nobody who waits or watches is forgotten.
//!
//! A [`SelectedOperation`] that is dropped gives back what was reserved. Each test makes somebody wait for
//! just that.

mod chan_support;

use chan_support::{LONG, SIDES, Side, let_others_run};
use corio::channel::{self, Receiver, Select, SelectedOperation, Sender};
use corio_tests::watchdog_for;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};

/// Selects this one operation, once it can be performed.
fn select<'a>(add: impl FnOnce(&mut Select<'a>) -> usize) -> SelectedOperation<'a> {
    let mut select = Select::new();
    add(&mut select);
    select.select()
}

fn give_up(operation: SelectedOperation<'_>) {
    let result = catch_unwind(AssertUnwindSafe(|| drop(operation)));
    assert!(result.is_err(), "dropping an operation panics");
}

/// Waits until a message can be received, and receives it.
fn watch_and_recv<T>(r: &Receiver<T>) -> T {
    let mut select = Select::new();
    select.recv(r);
    loop {
        select.ready();
        if let Ok(message) = r.try_recv() {
            return message;
        }
    }
}

/// Waits until a message can be sent, and sends it.
fn watch_and_send<T: Copy>(s: &Sender<T>, message: T) {
    let mut select = Select::new();
    select.send(s);
    loop {
        select.ready();
        if s.try_send(message).is_ok() {
            return;
        }
    }
}

#[test]
fn a_message_given_up_is_told_to_who_watches() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        let (s, r) = channel::bounded(1);
        s.send(1).unwrap();
        let operation = select(|select| select.recv(&r));
        let watcher = {
            let r = r.clone();
            side.spawn(move || watch_and_recv(&r))
        };
        let_others_run();
        give_up(operation);
        assert_eq!(watcher.result(), 1);
    }
}

#[test]
fn room_given_up_is_told_to_who_watches() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        let (s, r) = channel::bounded(1);
        let operation = select(|select| select.send(&s));
        let watcher = {
            let s = s.clone();
            side.spawn(move || watch_and_send(&s, 1))
        };
        let_others_run();
        give_up(operation);
        watcher.result();
        assert_eq!(r.try_recv(), Ok(1));
    }
}

/// The place of a message that a select has won goes to a sender, whose message somebody watches for. Who
/// takes first gets the first.
#[test]
fn a_message_that_moves_up_is_told_to_who_watches() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        let (s, r) = channel::bounded(1);
        s.send(1).unwrap();
        let operation = select(|select| select.recv(&r));
        let sender = side.spawn(move || s.send(2).unwrap());
        let watcher = {
            let r = r.clone();
            side.spawn(move || watch_and_recv(&r))
        };
        let_others_run();
        let mut received = [operation.recv(&r).unwrap(), watcher.result()];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        sender.result();
    }
}

/// A redeemed place is used at once by a receiver that waits; the room after that is watched for.
#[test]
fn room_that_a_receiver_leaves_is_told_to_who_watches() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        let (s, r) = channel::bounded(1);
        let operation = select(|select| select.send(&s));
        let receiver = {
            let r = r.clone();
            side.spawn(move || r.recv())
        };
        let watcher = {
            let s = s.clone();
            side.spawn(move || watch_and_send(&s, 2))
        };
        let_others_run();
        operation.send(&s, 1).unwrap();
        watcher.result();
        assert_eq!(receiver.result(), Ok(1));
        assert_eq!(r.recv(), Ok(2));
    }
}

/// Two pairs meet in a rendezvous channel. A message that one gives up goes to whoever comes third,
/// though the other pair is not done yet.
#[test]
fn a_message_given_up_while_another_is_expected_is_received() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        let (s, r) = channel::bounded(0);
        let recv = |side: Side| {
            let r = r.clone();
            side.spawn(move || r.recv().unwrap())
        };
        let first = recv(side);
        let promise = select(|select| select.send(&s));
        let sender = {
            let s = s.clone();
            side.spawn(move || s.send(1).unwrap())
        };
        let operation = select(|select| select.recv(&r));
        let third = recv(side);
        let_others_run();
        give_up(operation);
        promise.send(&s, 2).unwrap();
        sender.result();
        let mut received = [first.result(), third.result()];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
    }
}

/// What is forgotten stays reserved, but harms nobody else.
#[test]
fn a_forgotten_message_goes_with_the_receivers() {
    let _dog = watchdog_for(LONG);
    for side in SIDES {
        side.run(|| {
            let (s, r) = channel::bounded(1);
            s.send(1).unwrap();
            std::mem::forget(select(|select| select.recv(&r)));
            assert_eq!(r.len(), 0);
            drop(r);
            assert!(!s.is_full());
            assert!(s.is_empty());
            assert_eq!(s.send(2).unwrap_err().into_inner(), 2);
            let operation = select(|select| select.send(&s));
            assert!(operation.send(&s, 3).is_err());
        });
    }
}

#[test]
fn select_types_may_cross_an_unwinding() {
    fn check<T: UnwindSafe>() {}
    check::<Select<'_>>();
    check::<SelectedOperation<'_>>();
}
