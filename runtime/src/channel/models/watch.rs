//! `Select::ready`: who watches is woken when there is something to see.

use super::*;

/// Watches until something can be received, and receives it. Nobody else does.
fn watch_recv(capacity: usize, peer: fn(&Sender<Message>)) {
    settles(|| {
        let both = bounded(capacity);
        let sender = with(&both, move |s, _| peer(s));
        assert_eq!(ready([Op::Recv(&both.1)]), 0);
        saw_who_parked("the watcher waited");
        let message = both.1.try_recv().expect("it was ready");
        assert_eq!(message.take(), 1);
        sender.join().unwrap();
        0
    });
}

fn send_selected(s: &Sender<Message>) {
    assert_eq!(select([Op::Send(s, 1)]), Sent(0));
}

const FOR_SENDER: Model = Model {
    run: || watch_recv(0, |s| send(s, 1)),
    preemptions: None,
    outcomes: &["the watcher waited", "the other waited"],
};

const FOR_SELECT_THAT_SENDS: Model = Model {
    run: || watch_recv(0, send_selected),
    ..FOR_SENDER
};

const FOR_MESSAGE: Model = Model {
    run: || watch_recv(1, |s| send(s, 1)),
    ..FOR_SENDER
};

const FOR_MESSAGE_OF_SELECT: Model = Model {
    run: || watch_recv(1, send_selected),
    ..FOR_SENDER
};

/// Watches until something can be sent, and sends it. Nobody else does.
fn watch_send(capacity: usize, peer: fn(&Receiver<Message>) -> u32) {
    settles(|| {
        let both = bounded(capacity);
        let first = capacity as u32;
        for number in 0..first {
            send(&both.0, number);
        }
        let receiver = with(&both, move |_, r| {
            for number in 0..=first {
                assert_eq!(peer(r), number);
            }
        });
        assert_eq!(ready([Op::Send(&both.0, 0)]), 0);
        saw_who_parked("the watcher waited");
        both.0.try_send(Message::new(first)).expect("it was ready");
        receiver.join().unwrap();
        0
    });
}

fn recv_selected(r: &Receiver<Message>) -> u32 {
    match select([Op::Recv(r)]) {
        Got(0, number) => number,
        did => panic!("{did:?}"),
    }
}

const FOR_RECEIVER: Model = Model {
    run: || watch_send(0, recv),
    ..FOR_SENDER
};

const FOR_SELECT_THAT_RECEIVES: Model = Model {
    run: || watch_send(0, recv_selected),
    ..FOR_SENDER
};

const FOR_ROOM: Model = Model {
    run: || watch_send(1, recv),
    ..FOR_SENDER
};

const FOR_ROOM_OF_SELECT: Model = Model {
    run: || watch_send(1, recv_selected),
    ..FOR_SENDER
};

/// Watches two channels at once.
const FOR_EITHER: Model = Model {
    run: || {
        settles(|| {
            let [a, b] = [bounded(0), bounded(1)];
            let senders = [with(&a, |s, _| send(s, 1)), with(&b, |s, _| send(s, 2))];
            let both = [&a.1, &b.1];
            for _ in both {
                let at = ready([Op::Recv(&a.1), Op::Recv(&b.1)]);
                let message = both[at].try_recv().expect("it was ready");
                assert_eq!(message.take(), at as u32 + 1);
                saw(["the first", "the second"][at]);
            }
            for sender in senders {
                sender.join().unwrap();
            }
            0
        });
    },
    preemptions: None,
    outcomes: &["the first", "the second"],
};

/// Two watch for the same message. Who gets it puts it back, so that both see it at some time.
const TWO_WATCH: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(1);
            let watch = |s: &Sender<Message>, r: &Receiver<Message>| {
                ready([Op::Recv(r)]);
                match r.try_recv() {
                    Ok(message) => {
                        saw_who_parked("a watcher waited");
                        s.try_send(message).expect("the place has just become free");
                    }
                    Err(_) => saw("woke for nothing"),
                }
            };
            let other = with(&both, watch);
            let sender = with(&both, |s, _| send(s, 1));
            watch(&both.0, &both.1);
            sender.join().unwrap();
            other.join().unwrap();
            1
        });
    },
    preemptions: None,
    outcomes: &["a watcher waited", "the other waited", "woke for nothing"],
};

/// Watches for a message that a select has won and gives up.
fn watch_given_up(capacity: usize, peer: fn(&Sender<Message>)) {
    settles(|| {
        let both = bounded(capacity);
        let sender = with(&both, move |s, _| peer(s));
        let won = choose(&[Op::Recv(&both.1)], NEVER);
        let (_, prize) = won.expect("for ever does not end");
        let watcher = with(&both, |_, r| {
            ready([Op::Recv(r)]);
            saw_who_parked("the watcher waited");
            r.try_recv().expect("it was ready").take()
        });
        Op::Recv(&both.1).cancel(prize);
        assert_eq!(watcher.join().unwrap(), 1);
        sender.join().unwrap();
        0
    });
}

const FOR_MESSAGE_GIVEN_UP: Model = Model {
    run: || watch_given_up(1, |s| send(s, 1)),
    ..FOR_SENDER
};

const FOR_HANDED_MESSAGE_GIVEN_UP: Model = Model {
    run: || watch_given_up(0, |s| send(s, 1)),
    ..FOR_SENDER
};

const FOR_PROMISE_GIVEN_UP: Model = Model {
    run: || watch_given_up(0, send_selected),
    ..FOR_SENDER
};

/// Watches for a place that a select has won and gives up.
const FOR_PLACE_GIVEN_UP: Model = Model {
    run: || {
        settles(|| {
            let both = bounded(1);
            let won = choose(&[Op::Send(&both.0, 0)], NEVER);
            let (_, prize) = won.expect("for ever does not end");
            let watcher = with(&both, |s, _| {
                ready([Op::Send(s, 0)]);
                saw_who_parked("the watcher waited");
                s.try_send(Message::new(1)).expect("it was ready");
            });
            Op::Send(&both.0, 0).cancel(prize);
            assert_eq!(recv(&both.1), 1);
            watcher.join().unwrap();
            0
        });
    },
    ..FOR_SENDER
};

#[test]
fn a_watcher_sees_messages() {
    for model in [
        FOR_SENDER,
        FOR_SELECT_THAT_SENDS,
        FOR_MESSAGE,
        FOR_MESSAGE_OF_SELECT,
    ] {
        model.passes();
    }
}

#[test]
fn a_watcher_sees_room() {
    for model in [
        FOR_RECEIVER,
        FOR_SELECT_THAT_RECEIVES,
        FOR_ROOM,
        FOR_ROOM_OF_SELECT,
    ] {
        model.passes();
    }
}

#[test]
fn a_watcher_sees_the_first_of_two() {
    FOR_EITHER.passes();
}

#[test]
fn all_watchers_are_woken() {
    TWO_WATCH.passes();
}

#[test]
fn a_watcher_sees_what_is_given_up() {
    for model in [
        FOR_MESSAGE_GIVEN_UP,
        FOR_HANDED_MESSAGE_GIVEN_UP,
        FOR_PROMISE_GIVEN_UP,
        FOR_PLACE_GIVEN_UP,
    ] {
        model.passes();
    }
}
