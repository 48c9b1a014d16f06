//! Channels: every kind, every operation, from goroutines, from plain threads, and across the two.
//!
//! Each check runs for all pairings of [`Side`]s. At the end, the scenarios of `child/chan.rs` run under
//! other settings: one, two and eight Ps, and with every goroutine moved at every park. What becomes of
//! messages is in `chan_drops.rs`, of channels that deliver at a time in `chan_timed.rs`.

mod chan_support;

use chan_support::{LONG, SIDES, Side, let_others_run, pairs};
use corio::channel::{
    self, Receiver, RecvError, RecvTimeoutError, Select, SendError, SendTimeoutError, Sender,
    TryRecvError, TrySendError, select,
};
use corio_tests::{child, watchdog};
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);

/// Capacities; `None` is unbounded.
const KINDS: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(64), None];

fn make<T>(kind: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match kind {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    }
}

/// A full channel, and how many messages are in it: 0, 1, 2, ...
fn full(kind: Option<usize>) -> Option<(Sender<usize>, Receiver<usize>, usize)> {
    let capacity = kind?;
    let (s, r) = make(kind);
    (0..capacity).for_each(|n| s.send(n).unwrap());
    Some((s, r, capacity))
}

type Send = fn(&Sender<usize>, usize) -> bool;
type Recv = fn(&Receiver<usize>) -> Option<usize>;

/// Every way to send one message, waiting if need be; `false`: disconnected.
const SENDS: [(&str, Send); 6] = [
    ("send", |s, n| s.send(n).is_ok()),
    ("send_timeout", |s, n| s.send_timeout(n, LONG).is_ok()),
    ("send_timeout for ever", |s, n| {
        s.send_timeout(n, Duration::MAX).is_ok()
    }),
    ("send_deadline", |s, n| {
        s.send_deadline(n, Instant::now() + LONG).is_ok()
    }),
    ("select", |s, n| {
        let (_s, never) = channel::bounded::<()>(0);
        select! { send(s, n) -> sent => sent.is_ok(), recv(never) -> _ => unreachable!() }
    }),
    ("try_send", |s, n| {
        loop {
            match s.try_send(n) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) => corio::yield_now(),
            }
        }
    }),
];

/// Every way to receive one; `None`: disconnected.
const RECVS: [(&str, Recv); 6] = [
    ("recv", |r| r.recv().ok()),
    ("recv_timeout", |r| r.recv_timeout(LONG).ok()),
    ("recv_timeout for ever", |r| {
        r.recv_timeout(Duration::MAX).ok()
    }),
    ("recv_deadline", |r| {
        r.recv_deadline(Instant::now() + LONG).ok()
    }),
    ("select", |r| {
        let never = channel::never::<()>();
        select! { recv(r) -> m => m.ok(), recv(never) -> _ => unreachable!() }
    }),
    ("iter", |r| r.iter().next()),
];

#[test]
fn chan_every_way_to_send_meets_every_way_to_receive() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            for (sending, send) in SENDS {
                for (receiving, recv) in RECVS {
                    let (s, r) = make(kind);
                    let sender = a.spawn(move || (0..20).all(|n| send(&s, n)));
                    let receiver = b.spawn(move || {
                        let messages: Vec<_> = std::iter::from_fn(|| recv(&r)).collect();
                        assert!(messages.into_iter().eq(0..20));
                    });
                    let what = format!("{a:?} {sending}, {b:?} {receiving}, capacity {kind:?}");
                    assert!(sender.join().unwrap_or(false), "{what}");
                    assert!(receiver.join().is_ok(), "{what}");
                }
            }
        }
    }
}

#[test]
fn chan_keeps_order_when_the_sides_change() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make(kind);
            let sender = a.spawn(move || (0..3000).for_each(|n| s.send(n).unwrap()));
            b.run(move || assert!(r.into_iter().eq(0..3000)));
            sender.result();
        }
    }
}

/// A select that has won a message but not yet taken it: what comes later must not overtake what is
/// left, as one receiver sees it.
#[test]
fn chan_keeps_order_while_a_select_has_won() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in [Some(0), Some(4), None] {
            let (s, r) = make(kind);
            let others = r.clone();
            let sender = a.spawn(move || (1..=6).for_each(|n| s.send(n).unwrap()));
            b.run(move || {
                let mut select = Select::new();
                select.recv(&r);
                let operation = select.select();
                let receiver = a.spawn(move || [others.recv(), others.recv(), others.recv()]);
                let_others_run();
                let mine = operation.recv(&r).unwrap();
                let theirs = receiver.result().map(|m| m.unwrap());
                assert!(theirs.is_sorted(), "{kind:?}: {theirs:?}, I got {mine}");
                let rest: Vec<_> = r.iter().collect();
                let mut all: Vec<_> = theirs.into_iter().chain([mine]).chain(rest).collect();
                all.sort_unstable();
                assert!(all.into_iter().eq(1..=6));
            });
            sender.result();
        }
    }
}

#[test]
fn chan_trying_and_looking() {
    for side in SIDES {
        for kind in KINDS {
            side.run(move || {
                let (s, r) = make(kind);
                assert_eq!((s.capacity(), r.capacity()), (kind, kind));
                assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
                assert!(s.is_empty() && r.is_empty());
                let room = kind.unwrap_or(1000);
                for n in 0..room {
                    assert!(!s.is_full() && !r.is_full());
                    assert_eq!(s.try_send(n), Ok(()));
                    assert_eq!((s.len(), r.len()), (n + 1, n + 1));
                }
                let is_full = kind.is_some();
                assert_eq!((s.is_full(), r.is_full()), (is_full, is_full));
                if is_full {
                    assert_eq!(s.try_send(7), Err(TrySendError::Full(7)));
                    let timeout = Err(SendTimeoutError::Timeout(7));
                    assert_eq!(s.send_timeout(7, Duration::ZERO), timeout);
                    assert_eq!(s.send_deadline(7, Instant::now()), timeout);
                }
                assert!(r.try_iter().eq(0..room));
                assert_eq!(r.try_iter().next(), None);
                assert_eq!(
                    r.recv_timeout(Duration::ZERO),
                    Err(RecvTimeoutError::Timeout)
                );
                assert_eq!(
                    r.recv_deadline(Instant::now()),
                    Err(RecvTimeoutError::Timeout)
                );
            });
        }
    }
}

#[test]
fn chan_timeouts_pass() {
    let _dog = watchdog();
    for side in SIDES {
        for kind in KINDS {
            side.run(move || {
                let (_s, r) = make::<()>(kind);
                let start = Instant::now();
                assert_eq!(r.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
                let deadline = Instant::now() + SHORT;
                assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
                assert!(Instant::now() >= deadline && start.elapsed() >= 2 * SHORT);
                let Some((s, r, capacity)) = full(kind) else {
                    return;
                };
                let start = Instant::now();
                assert_eq!(s.send_timeout(9, SHORT), Err(SendTimeoutError::Timeout(9)));
                let deadline = Instant::now() + SHORT;
                let timeout = Err(SendTimeoutError::Timeout(8));
                assert_eq!(s.send_deadline(8, deadline), timeout);
                assert!(Instant::now() >= deadline && start.elapsed() >= 2 * SHORT);
                // They have left nothing behind.
                assert!(r.try_iter().eq(0..capacity));
                assert_eq!(s.try_send(1).is_ok(), capacity != 0);
            });
        }
    }
}

/// A deadline long past is a call that tries.
#[test]
fn chan_past_deadlines() {
    let past = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    for side in SIDES {
        for kind in KINDS {
            side.run(move || {
                let (s, r) = make(kind);
                let sent = s.send_deadline(1, past).is_ok();
                assert_eq!(sent, kind != Some(0));
                assert_eq!(r.recv_deadline(past).ok(), sent.then_some(1));
                let none = Err(RecvTimeoutError::Timeout);
                assert_eq!(r.recv_deadline(past), none);
                assert_eq!(r.recv_timeout(Duration::ZERO), none);
            });
        }
    }
}

/// Timeouts that end the very moment when the message comes: it arrives once, or comes back.
#[test]
fn chan_timeouts_race_with_messages() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in [Some(0), Some(1)] {
            let (s, r) = make(kind);
            let sender = a.spawn(move || {
                let micros = |n: usize| Duration::from_micros(n as u64 % 150);
                (0..1000)
                    .filter(|&n| s.send_timeout(n, micros(n)).is_ok())
                    .collect::<Vec<_>>()
            });
            let receiver = b.spawn(move || {
                let mut got = Vec::new();
                for n in 0.. {
                    match r.recv_timeout(Duration::from_micros(n * 7 % 130)) {
                        Ok(m) => got.push(m),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                got
            });
            assert_eq!(sender.result(), receiver.result(), "{a:?} {b:?} {kind:?}");
        }
    }
}

#[test]
fn chan_disconnect_wakes_all_receivers() {
    let _dog = watchdog();
    for side in SIDES {
        for kind in KINDS {
            let (s, r) = make::<usize>(kind);
            let waiting: Vec<_> = (0..4 * RECVS.len())
                .map(|n| {
                    let (r, (_, recv)) = (r.clone(), RECVS[n / 4]);
                    Side::mixed(n).spawn(move || recv(&r))
                })
                .collect();
            let_others_run();
            let other = s.clone();
            side.run(move || drop(other));
            side.run(move || drop(s));
            assert!(waiting.into_iter().all(|task| task.result().is_none()));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        }
    }
}

#[test]
fn chan_disconnect_wakes_all_senders() {
    let _dog = watchdog();
    for side in SIDES {
        for kind in KINDS {
            let Some((s, r, _)) = full(kind) else {
                continue;
            };
            let waiting: Vec<_> = (0..4 * SENDS.len())
                .map(|n| {
                    let (s, (_, send)) = (s.clone(), SENDS[n / 4]);
                    Side::mixed(n).spawn(move || send(&s, 99))
                })
                .collect();
            let_others_run();
            let other = r.clone();
            side.run(move || drop(other));
            side.run(move || drop(r));
            assert!(waiting.into_iter().all(|task| !task.result()));
            assert_eq!(s.try_send(5), Err(TrySendError::Disconnected(5)));
        }
    }
}

/// The values come back, whichever way they were sent.
#[test]
fn chan_send_on_disconnected_returns_the_value() {
    for side in SIDES {
        for kind in KINDS {
            side.run(move || {
                let (s, r) = make(kind);
                drop(r);
                let text = |n: i32| n.to_string();
                assert_eq!(s.send(text(1)), Err(SendError(text(1))));
                assert_eq!(
                    s.try_send(text(2)),
                    Err(TrySendError::Disconnected(text(2)))
                );
                for timeout in [Duration::ZERO, SHORT, Duration::MAX] {
                    let error = Err(SendTimeoutError::Disconnected(text(3)));
                    assert_eq!(s.send_timeout(text(3), timeout), error);
                }
                let error = Err(SendTimeoutError::Disconnected(text(4)));
                assert_eq!(s.send_deadline(text(4), Instant::now()), error);
                let sent = select! { send(s, text(5)) -> sent => sent };
                assert_eq!(sent, Err(SendError(text(5))));
            });
        }
    }
}

/// What a disconnected channel still holds can be received in every way.
#[test]
fn chan_recv_on_disconnected_drains() {
    for side in SIDES {
        for kind in KINDS {
            for (_, recv) in RECVS {
                side.run(move || {
                    let (s, r) = make(kind);
                    let count = kind.unwrap_or(100);
                    (0..count).for_each(|n| s.send(n).unwrap());
                    drop(s);
                    assert!(std::iter::from_fn(|| recv(&r)).eq(0..count));
                    assert_eq!(r.recv(), Err(RecvError));
                });
            }
        }
    }
}

/// A goroutine or thread that panics takes its handles with it.
#[test]
fn chan_panicking_sender_disconnects_its_waiting_receiver() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make(kind);
            let (ready, is_ready) = channel::bounded(0);
            let receiver = b.spawn(move || {
                ready.send(()).unwrap();
                (r.recv(), r.recv())
            });
            let sender = a.spawn(move || {
                is_ready.recv().unwrap();
                s.send(1).unwrap();
                corio::yield_now();
                let _held = s;
                std::panic::panic_any("expected");
            });
            assert!(sender.join().is_err());
            assert_eq!(receiver.result(), (Ok(1), Err(RecvError)));
        }
    }
}

#[test]
fn chan_panicking_receiver_disconnects_its_waiting_sender() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let Some((s, r, _)) = full(kind) else {
                continue;
            };
            let sender = a.spawn(move || s.send(99));
            let receiver = b.spawn(move || {
                corio::yield_now();
                let _held = r;
                std::panic::panic_any("expected");
            });
            assert!(receiver.join().is_err());
            assert_eq!(sender.result(), Err(SendError(99)));
        }
    }
}

/// A destructor may wait for a channel while its owner unwinds.
#[test]
fn chan_works_while_unwinding() {
    struct Exchange(Sender<u8>, Receiver<u8>);
    impl Drop for Exchange {
        fn drop(&mut self) {
            self.0.send(1).unwrap();
            assert_eq!(self.1.recv(), Ok(2));
            let other = channel::never::<u8>();
            select! {
                recv(self.1) -> m => assert_eq!(m, Ok(3)),
                recv(other) -> _ => unreachable!(),
            }
            assert!(std::thread::panicking());
        }
    }
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let ((s1, r1), (s2, r2)) = (make(kind), make(kind));
            let unwinding = a.spawn(move || {
                let _exchange = Exchange(s1, r2);
                std::panic::panic_any("expected");
            });
            b.run(move || {
                assert_eq!(r1.recv(), Ok(1));
                corio::yield_now();
                s2.send(2).unwrap();
                corio::yield_now();
                s2.send(3).unwrap();
            });
            let payload = unwinding.join().unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"expected"));
        }
    }
}

/// A message's destructor may itself use the channel that drops it: no lock is held.
#[test]
fn chan_destructors_of_messages_may_use_the_channel() {
    struct Nosy(Option<Sender<Nosy>>, Receiver<Nosy>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(s) = self.0.take() {
                let _ = s.try_send(Nosy(None, self.1.clone()));
                assert!(s.len() <= 100);
                let _ = self.1.try_recv();
            }
        }
    }
    let _dog = watchdog();
    for side in SIDES {
        for kind in [Some(3), None] {
            side.run(move || {
                let (s, r) = make(kind);
                let other = make(kind);
                for _ in 0..3 {
                    s.send(Nosy(Some(other.0.clone()), other.1.clone()))
                        .unwrap();
                }
                drop(r);
                drop(s);
            });
        }
    }
}

#[test]
fn chan_iterators_end_with_the_channel() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make(kind);
            let sender = a.spawn(move || (1..=10).for_each(|n| s.send(n).unwrap()));
            let sum = b.run(move || {
                let mut sum = 0;
                for n in &r {
                    sum += n;
                    if n == 5 {
                        break;
                    }
                }
                sum += r.iter().take(2).sum::<u32>();
                sum + r.into_iter().sum::<u32>()
            });
            assert_eq!(sum, 55);
            sender.result();
        }
    }
}

/// Channels are values: one goes through another, and is used by whoever has it.
#[test]
fn chan_through_a_channel() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make::<(u32, Sender<u32>)>(kind);
            let server = a.spawn(move || {
                for (n, reply) in r {
                    reply.send(n * n).unwrap();
                }
            });
            b.run(move || {
                for n in 0..100 {
                    let (reply, answer) = make(kind);
                    s.send((n, reply)).unwrap();
                    assert_eq!(answer.recv(), Ok(n * n));
                    assert_eq!(answer.recv(), Err(RecvError));
                }
            });
            server.result();
        }
    }
}

#[test]
fn chan_same_channel() {
    for kind in KINDS {
        let ((s, r), (s2, r2)) = (make::<u8>(kind), make::<u8>(kind));
        assert!(s.same_channel(&s.clone()) && r.same_channel(&r.clone()));
        assert!(!s.same_channel(&s2) && !r.same_channel(&r2));
    }
}

/// As crossbeam's, for any message that may be sent at all.
#[test]
fn chan_traits() {
    fn handle<T: std::marker::Send + Sync + Clone + Debug + UnwindSafe + RefUnwindSafe>() {}
    type Odd = std::cell::Cell<Option<Box<dyn FnMut() + std::marker::Send>>>;
    handle::<Sender<Odd>>();
    handle::<Receiver<Odd>>();
    fn iterator<T: Iterator + std::marker::Send + Debug>() {}
    iterator::<channel::Iter<'_, u8>>();
    iterator::<channel::TryIter<'_, u8>>();
    iterator::<channel::IntoIter<u8>>();
    let (s, r) = channel::bounded::<Odd>(1);
    assert_eq!(format!("{s:?} {r:?}"), "Sender { .. } Receiver { .. }");
}

// --- under other settings ----------------------------------------------------------------------------

macro_rules! under_other_settings {
    ($($scenario:ident)*) => { $(
        #[test]
        fn $scenario() {
            for procs in [1, 2, 8] {
                child!(stringify!($scenario)).env("CORIO_PROCS", procs).succeeds();
                child!(stringify!($scenario))
                    .env("CORIO_PROCS", procs)
                    .env("CORIO_MIGRATE", "always")
                    .succeeds();
            }
        }
    )* };
}

under_other_settings!(chan_mixed chan_many_wait chan_tangle chan_disconnects chan_pairs);
