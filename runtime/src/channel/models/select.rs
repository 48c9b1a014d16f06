//! Selects: exactly one arm runs, whoever faces it, and what is reserved is redeemed or given back.

use super::*;
use crate::prim::mutant::{Mutant, Width};

/// The outcomes of two who face each other: what each has done, as seen by the first.
fn met(first: Did, second: Did, pairs: &[(Did, Did, &'static str)]) {
    let found = pairs
        .iter()
        .find(|pair| (pair.0, pair.1) == (first, second));
    match found {
        Some((.., outcome)) => saw(outcome),
        None => panic!("one did {first:?}, the other {second:?}"),
    }
}

/// One select, a sender on each of its channels. The message that was not chosen is received later.
fn two_senders(capacity: usize) {
    settles(|| {
        let [a, b] = [bounded(capacity), bounded(capacity)];
        let senders = [with(&a, |s, _| send(s, 1)), with(&b, |s, _| send(s, 2))];
        match select([Op::Recv(&a.1), Op::Recv(&b.1)]) {
            Got(0, 1) => {
                saw("the first");
                assert_eq!(recv(&b.1), 2);
            }
            Got(1, 2) => {
                saw("the second");
                assert_eq!(recv(&a.1), 1);
            }
            did => panic!("{did:?}"),
        }
        for sender in senders {
            sender.join().unwrap();
        }
        0
    });
}

const TWO_SENDERS: Model = Model {
    run: || two_senders(0),
    preemptions: None,
    outcomes: &["the first", "the second"],
};

const TWO_SENDERS_BUFFERED: Model = Model {
    run: || two_senders(1),
    ..TWO_SENDERS
};

/// One select, a receiver on each of its channels.
fn two_receivers(capacity: usize) {
    settles(|| {
        let [a, b] = [bounded(capacity), bounded(capacity)];
        let receivers = [with(&a, |_, r| recv(r)), with(&b, |_, r| recv(r))];
        match select([Op::Send(&a.0, 1), Op::Send(&b.0, 1)]) {
            Sent(0) => {
                saw("the first");
                send(&b.0, 1);
            }
            Sent(1) => {
                saw("the second");
                send(&a.0, 1);
            }
            did => panic!("{did:?}"),
        }
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), 1);
        }
        0
    });
}

const TWO_RECEIVERS: Model = Model {
    run: || two_receivers(0),
    preemptions: None,
    outcomes: &["the first", "the second"],
};

/// With room the first arm is always there.
const TWO_RECEIVERS_BUFFERED: Model = Model {
    run: || two_receivers(1),
    outcomes: &["the first"],
    ..TWO_RECEIVERS
};

/// Two selects that face each other on one channel.
const FACE_TO_FACE: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let sender = with(&both, |s, _| select([Op::Send(s, 1)]));
            let did = select([Op::Recv(&both.1)]);
            saw_who_parked("the receiver waited");
            met(did, sender.join().unwrap(), &[(Got(0, 1), Sent(0), "met")]);
            0
        });
    },
    preemptions: None,
    outcomes: &[
        "the receiver waited",
        "the other waited",
        "met",
        "was promised a message",
    ],
};

/// A thread that has two channels.
fn with_two<T: Send + 'static>(
    a: &Both,
    b: &Both,
    run: impl FnOnce(&Both, &Both) -> T + Send + 'static,
) -> JoinHandle<T> {
    let (a, b) = (Arc::clone(a), Arc::clone(b));
    thread::spawn(move || run(&a, &b))
}

/// Two selects that face each other on two channels, each with an arm for either direction.
fn crosswise(second: fn(&Both, &Both) -> Did) {
    settles(|| {
        let [a, b] = [bounded(0), bounded(0)];
        let other = with_two(&a, &b, second);
        let did = select([Op::Send(&a.0, 1), Op::Recv(&b.1)]);
        met(
            did,
            other.join().unwrap(),
            &[
                (Sent(0), Got(0, 1), "over the first channel"),
                (Got(1, 2), Sent(1), "over the second channel"),
            ],
        );
        0
    });
}

const CROSSWISE: Model = Model {
    run: || crosswise(|a, b| select([Op::Recv(&a.1), Op::Send(&b.0, 2)])),
    preemptions: None,
    outcomes: &["over the first channel", "over the second channel"],
};

/// The same, but the second looks at its arms in the other order. Then each may find the other gone, and
/// both start anew, without end if all preemptions are allowed.
const CROSSWISE_REVERSED: Model = Model {
    run: || {
        crosswise(|a, b| match select([Op::Send(&b.0, 2), Op::Recv(&a.1)]) {
            Sent(0) => Sent(1),
            Got(1, number) => Got(0, number),
            did => did,
        });
    },
    preemptions: Some(4),
    outcomes: &[
        "over the first channel",
        "over the second channel",
        "the peer was gone",
        "was chosen meanwhile",
    ],
};

/// Two selects, of which one sends on both channels and the other receives from both. As above.
const SIDE_BY_SIDE: Model = Model {
    run: || {
        settles(|| {
            let [a, b] = [bounded(0), bounded(0)];
            let other = with_two(&a, &b, |a, b| select([Op::Recv(&b.1), Op::Recv(&a.1)]));
            let did = select([Op::Send(&a.0, 1), Op::Send(&b.0, 2)]);
            met(
                did,
                other.join().unwrap(),
                &[
                    (Sent(0), Got(1, 1), "over the first channel"),
                    (Sent(1), Got(0, 2), "over the second channel"),
                ],
            );
            0
        });
    },
    ..CROSSWISE_REVERSED
};

/// A select that would send to and receive from the same channel, and somebody who does one of them.
fn with_itself(peer: fn(&Sender<Message>, &Receiver<Message>) -> Did) {
    settles(|| {
        let both = bounded(0);
        let other = with(&both, peer);
        let did = select([Op::Send(&both.0, 1), Op::Recv(&both.1)]);
        saw_who_parked("the select waited");
        met(
            did,
            other.join().unwrap(),
            &[
                (Sent(0), Got(1, 1), "sent"),
                (Got(1, 2), Sent(0), "received"),
            ],
        );
        0
    });
}

const BOTH_ARMS_SEND: Model = Model {
    run: || {
        with_itself(|s, _| {
            send(s, 2);
            Sent(0)
        });
    },
    preemptions: None,
    outcomes: &["received", "the select waited", "the other waited"],
};

const BOTH_ARMS_RECV: Model = Model {
    run: || with_itself(|_, r| Got(1, recv(r))),
    outcomes: &["sent", "the select waited", "the other waited"],
    ..BOTH_ARMS_SEND
};

/// Two selects, each of which would send to and receive from the one channel.
const BOTH_ARMS_BOTH: Model = Model {
    run: || with_itself(|s, r| select([Op::Send(s, 2), Op::Recv(r)])),
    outcomes: &["sent", "received", "the select waited", "the other waited"],
    ..BOTH_ARMS_SEND
};

/// Three of them. Two meet; the third then meets the main thread.
const THREE_BOTH_ARMS: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let three = [1, 2, 3].map(|number| {
                with(&both, move |s, r| {
                    select([Op::Send(s, number), Op::Recv(r)])
                })
            });
            recv(&both.1);
            let did = three.map(|one| one.join().unwrap());
            let sent = did.iter().filter(|did| matches!(did, Sent(0))).count();
            assert_eq!(sent, 2, "{did:?}");
            0
        });
    },
    preemptions: Some(1),
    outcomes: &[],
};

/// A select and a receiver want the same channel's message; the select would also take another's. Who
/// sends has a select too, then sends what is still wanted.
const SELECT_AND_RECEIVER: Model = Model {
    run: || {
        settles(|| {
            let [a, b] = [bounded(0), bounded(0)];
            let receiver = with(&a, |_, r| recv(r));
            let other = with_two(&a, &b, |a, b| select([Op::Recv(&a.1), Op::Recv(&b.1)]));
            let first = select([Op::Send(&a.0, 1), Op::Send(&b.0, 2)]);
            if first == Sent(1) {
                saw("the other channel");
            }
            send(&a.0, 3);
            let received = receiver.join().unwrap();
            met(
                other.join().unwrap(),
                first,
                &[
                    (Got(0, 1), Sent(0), "the select first"),
                    (Got(0, 3), Sent(0), "the receiver first"),
                    (Got(1, 2), Sent(1), "the other channel"),
                ],
            );
            assert_eq!(
                received,
                if first == Sent(0) && received == 1 {
                    1
                } else {
                    3
                }
            );
            0
        });
    },
    preemptions: Some(3),
    outcomes: &[
        "the select first",
        "the receiver first",
        "the other channel",
    ],
};

/// A select with a timeout, and a sender.
fn timed(capacity: usize) {
    settles(|| {
        let [a, b] = [bounded(capacity), bounded(capacity)];
        let sender = with(&a, |s, _| send(s, 1));
        match select_for([Op::Recv(&b.1), Op::Recv(&a.1)], soon()) {
            Got(1, 1) => saw("received"),
            TimedOut => {
                saw("timed out");
                assert_eq!(recv(&a.1), 1);
            }
            did => panic!("{did:?}"),
        }
        sender.join().unwrap();
        0
    });
}

const TIMED: Model = Model {
    run: || timed(0),
    preemptions: Some(3),
    outcomes: &["received", "timed out"],
};

const TIMED_BUFFERED: Model = Model {
    run: || timed(1),
    ..TIMED
};

/// Two selects that face each other, one with a timeout.
const TIMED_FACE_TO_FACE: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let other = with(&both, |s, _| select([Op::Send(s, 1)]));
            match select_for([Op::Recv(&both.1)], soon()) {
                Got(0, 1) => saw("received"),
                TimedOut => {
                    saw("timed out");
                    assert_eq!(recv(&both.1), 1);
                }
                did => panic!("{did:?}"),
            }
            assert_eq!(other.join().unwrap(), Sent(0));
            0
        });
    },
    ..TIMED
};

/// A select that only tries, and somebody who waits.
const TRIED: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let other = with(&both, |s, _| select([Op::Send(s, 1)]));
            match select_for([Op::Recv(&both.1)], NOW) {
                Got(0, 1) => saw("received"),
                TimedOut => {
                    saw("too early");
                    assert_eq!(recv(&both.1), 1);
                }
                did => panic!("{did:?}"),
            }
            assert_eq!(other.join().unwrap(), Sent(0));
            0
        });
    },
    preemptions: None,
    outcomes: &["received", "too early"],
};

/// The other side goes while a select waits on two channels.
const CLOSED_MEANWHILE: Model = Model {
    run: || {
        settles(|| {
            let (s, r) = crate::channel::bounded::<Message>(0);
            let b = bounded(0);
            let other = thread::spawn(move || drop(s));
            assert_eq!(select([Op::Recv(&b.1), Op::Recv(&r)]), Closed(1));
            saw_who_parked("the select waited");
            other.join().unwrap();
            0
        });
    },
    preemptions: None,
    outcomes: &["the select waited", "the other waited"],
};

/// The receiver goes between the two steps of a select's send, or before, or after.
fn closed_between(capacity: usize) {
    settles(|| {
        let (s, r) = crate::channel::bounded(capacity);
        let other = thread::spawn(move || drop(r));
        let did = select([Op::Send(&s, 1)]);
        saw(match did {
            Sent(0) => "sent",
            Closed(0) => "closed",
            did => panic!("{did:?}"),
        });
        other.join().unwrap();
        drop(s);
        usize::from(did == Sent(0))
    });
}

const CLOSED_BETWEEN: Model = Model {
    run: || closed_between(1),
    preemptions: None,
    outcomes: &["sent", "closed"],
};

/// Wins an operation and gives it up, as when making the message panics.
fn give_up(op: Op<'_>) {
    let won = choose(&[op], NEVER);
    let (_, prize) = won.expect("for ever does not end");
    op.cancel(prize);
}

fn recv_selected(r: &Receiver<Message>) -> u32 {
    match select([Op::Recv(r)]) {
        Got(0, number) => number,
        did => panic!("{did:?}"),
    }
}

/// A select wins the right to send and gives it up; then it sends after all. The receiver, who may have
/// counted on the promise, gets that message.
fn sender_gives_up(capacity: usize, peer: fn(&Receiver<Message>) -> u32) {
    settles(|| {
        let both = bounded(capacity);
        let receiver = with(&both, move |_, r| peer(r));
        give_up(Op::Send(&both.0, 1));
        send(&both.0, 2);
        assert_eq!(receiver.join().unwrap(), 2);
        0
    });
}

const PROMISE_BROKEN: Model = Model {
    run: || sender_gives_up(0, recv),
    preemptions: None,
    outcomes: &[],
};

const PROMISE_TO_SELECT_BROKEN: Model = Model {
    run: || sender_gives_up(0, recv_selected),
    outcomes: &["was promised a message", "a promise was broken"],
    ..PROMISE_BROKEN
};

const PLACE_GIVEN_UP: Model = Model {
    run: || sender_gives_up(1, recv),
    ..PROMISE_BROKEN
};

/// The same with a second sender, who may step in.
const PROMISE_TAKEN_OVER: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(0);
            let receiver = with(&both, |_, r| recv_selected(r) + recv_selected(r));
            let sender = with(&both, |s, _| select([Op::Send(s, 10)]));
            give_up(Op::Send(&both.0, 1));
            send(&both.0, 2);
            assert_eq!(receiver.join().unwrap(), 12);
            assert_eq!(sender.join().unwrap(), Sent(0));
            0
        });
    },
    preemptions: Some(2),
    outcomes: &[],
};

/// A place that is given up goes to a sender who waits for it.
const PLACE_TAKEN_OVER: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(1);
            let sender = with(&both, |s, _| {
                send(s, 1);
                saw_who_parked("the sender waited");
            });
            let other = with(&both, |s, _| give_up(Op::Send(s, 2)));
            assert_eq!(recv(&both.1), 1);
            sender.join().unwrap();
            other.join().unwrap();
            0
        });
    },
    preemptions: None,
    outcomes: &["the sender waited", "the other waited"],
};

/// A select wins a message and gives it up, while another waits for it.
fn receiver_gives_up(capacity: usize, peer: fn(&Sender<Message>)) {
    settles(|| {
        let both = bounded(capacity);
        let sender = with(&both, move |s, _| peer(s));
        let won = choose(&[Op::Recv(&both.1)], NEVER);
        let (_, prize) = won.expect("for ever does not end");
        let other = with(&both, |_, r| recv(r));
        Op::Recv(&both.1).cancel(prize);
        assert_eq!(other.join().unwrap(), 1);
        sender.join().unwrap();
        0
    });
}

fn send_selected(s: &Sender<Message>) {
    assert_eq!(select([Op::Send(s, 1)]), Sent(0));
}

const MESSAGE_GIVEN_UP: Model = Model {
    run: || receiver_gives_up(0, |s| send(s, 1)),
    preemptions: None,
    outcomes: &[],
};

const PROMISED_MESSAGE_GIVEN_UP: Model = Model {
    run: || receiver_gives_up(0, send_selected),
    ..MESSAGE_GIVEN_UP
};

const BUFFERED_MESSAGE_GIVEN_UP: Model = Model {
    run: || receiver_gives_up(1, send_selected),
    ..MESSAGE_GIVEN_UP
};

/// Two selects, of which the sending one may tire; its node may be left behind for the other to find.
fn tires(receive: fn([Op<'_>; 1]) -> Did) {
    settles(|| {
        let both = bounded(0);
        let sender = with(&both, |s, _| {
            if select_for([Op::Send(s, 1)], soon()) == TimedOut {
                send(s, 1);
            }
        });
        assert_eq!(receive([Op::Recv(&both.1)]), Got(0, 1));
        sender.join().unwrap();
        0
    });
}

const TIRES: Model = Model {
    run: || tires(select),
    preemptions: Some(3),
    outcomes: &["the peer was gone"],
};

/// A single place, two selects that send, one of them with something else to do, and a receiver.
const LAST_PLACE: Model = Model {
    run: || {
        settles(|| {
            let [a, b] = [bounded(1), bounded(0)];
            let senders = [
                with_two(&a, &b, |a, b| select([Op::Recv(&b.1), Op::Send(&a.0, 1)])),
                with(&a, |s, _| select([Op::Send(s, 1)])),
            ];
            for _ in 0..2 {
                assert_eq!(recv(&a.1), 1);
            }
            saw_who_parked("the receiver waited");
            let did = senders.map(|sender| sender.join().unwrap());
            assert_eq!(did, [Sent(1), Sent(0)]);
            0
        });
    },
    preemptions: None,
    outcomes: &["the receiver waited", "the other waited"],
};

/// Two senders wait, or not yet, for the place of a message that a select takes.
const FROM_FULL: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(1);
            send(&both.0, 0);
            let senders = [1, 2].map(|number| {
                with(&both, move |s, _| {
                    send(s, number);
                    saw_who_parked("a sender waited");
                })
            });
            assert_eq!(recv_selected(&both.1), 0);
            assert!(both.0.len() <= 1, "more than there is room for");
            let rest = recv_selected(&both.1) + recv_selected(&both.1);
            assert_eq!(rest, 3);
            for sender in senders {
                sender.join().unwrap();
            }
            0
        });
    },
    preemptions: Some(3),
    outcomes: &["a sender waited", "the other waited"],
};

const NEVER_CLOSED: Mutant = Mutant::StickyBits(Width::U64, 1);

#[test]
fn one_of_two_senders_is_chosen() {
    TWO_SENDERS.passes();
    TWO_SENDERS.fails_for(NEVER_CLOSED, "");
    TWO_SENDERS.fails_for(Mutant::NoOwnClaim, "");
    TWO_SENDERS_BUFFERED.passes();
    TWO_SENDERS_BUFFERED.fails_for(NEVER_CLOSED, "");
    TWO_SENDERS_BUFFERED.fails_for(Mutant::NoOwnClaim, "");
}

#[test]
fn one_of_two_receivers_is_chosen() {
    TWO_RECEIVERS.passes();
    TWO_RECEIVERS.fails_for(NEVER_CLOSED, "");
    TWO_RECEIVERS.fails_for(Mutant::NoOwnClaim, "");
    TWO_RECEIVERS_BUFFERED.passes();
}

#[test]
fn two_selects_meet() {
    FACE_TO_FACE.passes();
    CROSSWISE.passes();
    for model in [CROSSWISE_REVERSED, SIDE_BY_SIDE] {
        model.passes();
        model.fails_for(NEVER_CLOSED, "");
        model.fails_for(Mutant::NoOwnClaim, "");
    }
}

#[test]
fn no_select_meets_itself() {
    for model in [
        BOTH_ARMS_SEND,
        BOTH_ARMS_RECV,
        BOTH_ARMS_BOTH,
        THREE_BOTH_ARMS,
    ] {
        model.passes();
    }
}

#[test]
fn a_select_and_a_receiver_share() {
    SELECT_AND_RECEIVER.passes();
}

#[test]
fn a_timeout_takes_no_message_away() {
    for model in [TIMED, TIMED_BUFFERED, TIMED_FACE_TO_FACE] {
        model.passes();
        model.fails_for(NEVER_CLOSED, "");
    }
    TRIED.passes();
}

#[test]
fn a_select_learns_that_the_other_side_is_gone() {
    CLOSED_MEANWHILE.passes();
    CLOSED_BETWEEN.passes();
}

#[test]
fn what_is_given_up_goes_to_others() {
    for model in [
        PROMISE_BROKEN,
        PROMISE_TO_SELECT_BROKEN,
        PLACE_GIVEN_UP,
        PROMISE_TAKEN_OVER,
        PLACE_TAKEN_OVER,
        MESSAGE_GIVEN_UP,
        PROMISED_MESSAGE_GIVEN_UP,
        BUFFERED_MESSAGE_GIVEN_UP,
    ] {
        model.passes();
    }
}

#[test]
fn who_has_gone_is_not_won() {
    TIRES.passes();
    let careless = Model {
        run: || tires(select_carelessly),
        ..TIRES
    };
    careless.fails_for(Mutant::None, "what is owed is in the ring");
}

#[test]
fn a_place_is_promised_once() {
    LAST_PLACE.passes();
    FROM_FULL.passes();
}
