//! Sends and receives, with and without timers, and what closing does to them.

use super::*;
use crate::prim::mutant::{Mutant, Width};

/// A rendezvous.
const RENDEZVOUS: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let sender = with(&both, |s, _| send(s, 1));
            assert_eq!(recv(&both.1), 1);
            saw_who_parked("the receiver waited");
            sender.join().unwrap();
            0
        });
    },
    preemptions: None,
    outcomes: &["the receiver waited", "the other waited"],
};

/// A rendezvous of which the receiver may tire.
const TIMED_RECV: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let sender = with(&both, |s, _| send(s, 1));
            match both.1.recv_timeout(SOON) {
                Ok(message) => {
                    saw("received");
                    assert_eq!(message.take(), 1);
                }
                Err(_) => {
                    saw("timed out");
                    assert_eq!(recv(&both.1), 1);
                }
            }
            sender.join().unwrap();
            0
        });
    },
    preemptions: None,
    outcomes: &["received", "timed out"],
};

/// A rendezvous of which the sender may tire.
const TIMED_SEND: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let receiver = with(&both, |_, r| recv(r));
            let number = match both.0.send_timeout(Message::new(1), SOON) {
                Ok(()) => {
                    saw("sent");
                    1
                }
                Err(error) => {
                    saw("timed out");
                    assert_eq!(error.into_inner().take(), 1);
                    send(&both.0, 2);
                    2
                }
            };
            assert_eq!(receiver.join().unwrap(), number);
            0
        });
    },
    preemptions: None,
    outcomes: &["sent", "timed out"],
};

/// Both may tire.
const BOTH_TIMED: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let sender = with(&both, |s, _| match s.send_timeout(Message::new(1), SOON) {
                Ok(()) => true,
                Err(error) => {
                    error.into_inner().take();
                    false
                }
            });
            let received = both.1.recv_timeout(SOON).map(Message::take).is_ok();
            assert_eq!(
                sender.join().unwrap(),
                received,
                "one of them believes otherwise"
            );
            saw(if received { "they met" } else { "they did not" });
            0
        });
    },
    preemptions: None,
    outcomes: &["they met", "they did not"],
};

/// Two senders, one receiver.
fn two_senders(capacity: usize) {
    settles(|| {
        let both = bounded(capacity);
        let senders = [1, 2].map(|number| with(&both, move |s, _| send(s, number)));
        let got = [recv(&both.1), recv(&both.1)];
        saw(match got {
            [1, 2] => "1, 2",
            [2, 1] => "2, 1",
            _ => panic!("received {got:?}"),
        });
        for sender in senders {
            sender.join().unwrap();
        }
        0
    });
}

const TWO_SENDERS: Model = Model {
    run: || two_senders(0),
    preemptions: None,
    outcomes: &["1, 2", "2, 1"],
};

const TWO_SENDERS_BUFFERED: Model = Model {
    run: || two_senders(1),
    ..TWO_SENDERS
};

/// One sender, two receivers.
fn two_receivers(capacity: usize) {
    settles(|| {
        let both = bounded(capacity);
        let receivers = [(); 2].map(|()| with(&both, |_, r| recv(r)));
        send(&both.0, 1);
        send(&both.0, 2);
        let got = receivers.map(|receiver| receiver.join().unwrap());
        saw(match got {
            [1, 2] => "1, 2",
            [2, 1] => "2, 1",
            _ => panic!("received {got:?}"),
        });
        0
    });
}

const TWO_RECEIVERS: Model = Model {
    run: || two_receivers(0),
    preemptions: None,
    outcomes: &["1, 2", "2, 1"],
};

const TWO_RECEIVERS_BUFFERED: Model = Model {
    run: || two_receivers(1),
    ..TWO_RECEIVERS
};

/// Three messages through one place: it is full, it is empty, and they stay in order.
const ONE_PLACE: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(1);
            let sender = with(&both, |s, _| {
                for number in 1..=3 {
                    send(s, number);
                }
                if park::has_parked() {
                    saw("it was full");
                }
            });
            for number in 1..=3 {
                assert_eq!(recv(&both.1), number);
            }
            if park::has_parked() {
                saw("it was empty");
            }
            sender.join().unwrap();
            0
        });
    },
    preemptions: None,
    outcomes: &["it was full", "it was empty"],
};

/// The last sender goes while somebody receives, having left a message or not.
fn senders_go(capacity: usize, messages: u32) {
    settles(|| {
        let (s, r) = crate::channel::bounded(capacity);
        let sender = thread::spawn(move || {
            for number in 1..=messages {
                send(&s, number);
            }
        });
        for number in 1..=messages {
            assert_eq!(recv(&r), number);
        }
        park::has_parked();
        assert!(r.recv().is_err());
        saw_who_parked("the receiver waited");
        sender.join().unwrap();
        drop(r);
        0
    });
}

const SENDERS_GO: Model = Model {
    run: || senders_go(0, 0),
    preemptions: None,
    outcomes: &["the receiver waited", "the other waited"],
};

const SENDERS_GO_AFTER_A_MESSAGE: Model = Model {
    run: || senders_go(1, 1),
    preemptions: None,
    ..SENDERS_GO
};

/// The last receiver goes while somebody sends.
fn receivers_go(capacity: usize) {
    settles(|| {
        let (s, r) = crate::channel::bounded(capacity);
        let receiver = thread::spawn(move || drop(r));
        let mut dropped = 0;
        for number in 1..=2 {
            match s.send(Message::new(number)) {
                Ok(()) => {
                    saw("dropped");
                    dropped += 1;
                }
                Err(back) => {
                    saw("given back");
                    assert_eq!(back.0.take(), number);
                }
            }
        }
        saw_who_parked("the sender waited");
        receiver.join().unwrap();
        drop(s);
        dropped
    });
}

const RECEIVERS_GO: Model = Model {
    run: || receivers_go(0),
    preemptions: None,
    outcomes: &["given back", "the sender waited", "the other waited"],
};

const RECEIVERS_GO_BUFFERED: Model = Model {
    run: || receivers_go(1),
    preemptions: None,
    outcomes: &[
        "dropped",
        "given back",
        "the sender waited",
        "the other waited",
    ],
};

const NEVER_CLOSED: Mutant = Mutant::StickyBits(Width::U64, 1);

#[test]
fn a_message_goes_from_hand_to_hand() {
    RENDEZVOUS.passes();
    TWO_SENDERS.passes();
    TWO_RECEIVERS.passes();
}

#[test]
fn a_timer_takes_no_message_away() {
    for model in [TIMED_RECV, TIMED_SEND, BOTH_TIMED] {
        model.passes();
        model.fails_for(NEVER_CLOSED, "");
    }
}

#[test]
fn one_place_is_enough_for_all() {
    ONE_PLACE.passes();
    TWO_SENDERS_BUFFERED.passes();
    TWO_RECEIVERS_BUFFERED.passes();
}

#[test]
fn who_waits_learns_that_the_other_side_is_gone() {
    SENDERS_GO.passes();
    SENDERS_GO_AFTER_A_MESSAGE.passes();
    RECEIVERS_GO.passes();
    RECEIVERS_GO_BUFFERED.passes();
}
