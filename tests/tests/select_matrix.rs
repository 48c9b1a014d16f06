//! Select: every kind of arm, in `select!` and in `Select`, from goroutines and from plain threads.

mod chan_support;

use chan_support::{LONG, SIDES, Side, let_others_run, pairs};
use corio::channel::{self, Receiver, RecvError, Select, SendError, Sender, select, select_biased};
use corio_tests::{Drops, watchdog, watchdog_for};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const KINDS: [Option<usize>; 3] = [Some(0), Some(1), None];
const SHORT: Duration = Duration::from_millis(5);

fn make<T>(kind: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match kind {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    }
}

/// Selects on both sides of a channel, of every kind, on every side.
#[test]
fn select_meets_select() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make(kind);
            let (_idle, idle) = channel::bounded::<()>(0);
            let other = idle.clone();
            let sender = a.spawn(move || {
                for n in 0..500 {
                    select! {
                        recv(idle) -> _ => unreachable!(),
                        send(s, n) -> sent => sent.unwrap(),
                    }
                }
            });
            b.run(move || {
                for n in 0..500 {
                    select! {
                        recv(r) -> m => assert_eq!(m, Ok(n)),
                        recv(other) -> _ => unreachable!(),
                    }
                }
            });
            sender.result();
        }
    }
}

/// The same with sets made at run time, larger than what lies on the stack.
#[test]
fn select_meets_select_over_many() {
    const ARMS: usize = 30;
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..ARMS).map(|_| make(kind)).unzip();
            let sender = a.spawn(move || {
                for n in 0..500_usize {
                    let mut select = Select::new();
                    for s in &senders {
                        select.send(s);
                    }
                    let operation = select.select();
                    let index = operation.index();
                    operation.send(&senders[index], n).unwrap();
                }
                // Dropped here, they would be ready to the receiver.
                senders
            });
            b.run(move || {
                let mut seen = [false; 500];
                let mut select = Select::new();
                for r in &receivers {
                    select.recv(r);
                }
                for _ in 0..500 {
                    let operation = select.select();
                    let index = operation.index();
                    let n = operation.recv(&receivers[index]).unwrap();
                    assert!(!std::mem::replace(&mut seen[n], true));
                }
            });
            drop(sender.result());
        }
    }
}

/// Between the choice and its performance the chosen place is the select's alone.
#[test]
fn select_reserves_what_it_chose() {
    for side in SIDES {
        side.run(|| {
            let (s, r) = channel::bounded(1);
            let mut select = Select::new();
            select.send(&s);
            let operation = select.select();
            assert!(s.try_send(1).is_err(), "the place was given away");
            operation.send(&s, 2).unwrap();
            let mut select = Select::new();
            select.recv(&r);
            let operation = select.select();
            assert!(r.try_recv().is_err(), "the message was given away");
            assert_eq!(operation.recv(&r), Ok(2));
            assert!(s.try_send(3).is_ok());
        });
    }
}

/// An operation chosen must be performed, on the handle that it was chosen for.
#[test]
fn select_misuse_panics() {
    for side in SIDES {
        side.run(|| {
            let says = |text: &str, f: &mut dyn FnMut()| {
                let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
                let said = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let said = said
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap();
                assert!(said.contains(text), "{said}");
            };
            let (s, r) = channel::bounded::<u8>(1);
            let (other_s, other_r) = channel::bounded::<u8>(1);
            says("without completing", &mut || {
                let mut select = Select::new();
                select.send(&s);
                drop(select.select());
            });
            says("wasn't selected", &mut || {
                let mut select = Select::new();
                select.send(&s);
                let _ = select.select().send(&other_s, 1);
            });
            // The place was given back both times.
            s.try_send(7).unwrap();
            says("wasn't selected", &mut || {
                let mut select = Select::new();
                select.recv(&r);
                let _ = select.select().recv(&other_r);
            });
            assert_eq!(r.try_recv(), Ok(7));
            says("no operations have been added", &mut || {
                drop(Select::new().select())
            });
            says("no operations have been added", &mut || {
                let _ = Select::new().ready();
            });
            assert!(Select::new().try_select().is_err() && Select::new().try_ready().is_err());
            let moment = Duration::from_micros(10);
            assert!(Select::new().select_timeout(moment).is_err());
            assert!(Select::new().ready_timeout(moment).is_err());
        });
    }
}

#[test]
fn select_default_and_timeouts() {
    let _dog = watchdog();
    for side in SIDES {
        side.run(|| {
            let (s, r) = channel::bounded::<u8>(0);
            assert!(select! { recv(r) -> _ => false, default => true });
            for time in [Duration::ZERO, Duration::from_nanos(1), SHORT] {
                let start = Instant::now();
                assert!(select! { send(s, 1) -> _ => false, default(time) => true });
                assert!(start.elapsed() >= time);
            }
            assert!(select! { default => true });
            assert!(select! { default(SHORT) => true });
            let mut select = Select::new();
            select.send(&s);
            select.recv(&r);
            let deadline = Instant::now() + SHORT;
            assert!(select.select_deadline(deadline).is_err() && Instant::now() >= deadline);
            assert!(select.select_timeout(Duration::ZERO).is_err());
            assert!(select.try_select().is_err());
            let deadline = Instant::now() + SHORT;
            assert!(select.ready_deadline(deadline).is_err() && Instant::now() >= deadline);
            assert!(select.ready_timeout(Duration::ZERO).is_err());
            assert!(select.try_ready().is_err());
        });
    }
}

/// Waits with and without end are ended by a peer that comes later.
#[test]
fn select_waits_for_peers_of_every_kind() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for time in [LONG, Duration::MAX] {
            let (s, r) = channel::bounded(0);
            let waiting = a.spawn(move || {
                for n in 0..20 {
                    select! {
                        recv(r) -> m => assert_eq!(m, Ok(n)),
                        default(time) => panic!("too late"),
                    }
                    let mut select = Select::new();
                    select.recv(&r);
                    match n % 2 {
                        0 => drop(select.ready()),
                        _ => drop(select.ready_timeout(time).unwrap()),
                    }
                }
                // What it was ready for may go to somebody else, but here there is nobody.
                assert_eq!(r.try_recv(), Err(channel::TryRecvError::Disconnected));
            });
            b.run(move || {
                for n in 0..20 {
                    s.send(n).unwrap();
                }
                let_others_run();
            });
            // The last `ready` was ended by the disconnection.
            waiting.result();
        }
    }
}

#[test]
fn select_disconnected_arms_are_ready() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let ((s1, r1), (s2, r2)) = (make::<u8>(kind), make::<u8>(Some(0)));
            let waiting = a.spawn(move || {
                select! {
                    recv(r1) -> m => assert_eq!(m, Err(RecvError)),
                    send(s2, 9) -> sent => assert_eq!(sent, Err(SendError(9))),
                }
                // The other one now, too, and for good.
                for _ in 0..10 {
                    select! {
                        recv(r1) -> m => assert_eq!(m, Err(RecvError)),
                        send(s2, 9) -> sent => assert_eq!(sent, Err(SendError(9))),
                        default(LONG) => panic!("not ready"),
                    }
                }
            });
            b.run(move || {
                let_others_run();
                if kind.is_some() {
                    drop(s1);
                    drop(r2);
                } else {
                    drop(r2);
                    drop(s1);
                }
            });
            waiting.result();
        }
    }
}

/// `ready` wakes for a sender that waits, for room, and for the end; what it says is only a hint.
#[test]
fn select_ready_and_then_try() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let (s, r) = make(kind);
            let sender = a.spawn(move || (0..200).for_each(|n| s.send(n).unwrap()));
            b.run(move || {
                let mut next = 0;
                loop {
                    let mut select = Select::new();
                    select.recv(&r);
                    assert_eq!(select.ready(), 0);
                    match r.try_recv() {
                        Ok(n) => {
                            assert_eq!(n, next);
                            next += 1;
                        }
                        Err(channel::TryRecvError::Disconnected) => break,
                        Err(channel::TryRecvError::Empty) => {}
                    }
                }
                assert_eq!(next, 200);
            });
            sender.result();
        }
    }
}

#[test]
fn select_biased_prefers_what_comes_first() {
    for side in SIDES {
        side.run(|| {
            let channels: Vec<_> = (0..3).map(|_| channel::unbounded()).collect();
            for (n, (s, _)) in channels.iter().enumerate() {
                (0..10).for_each(|_| s.send(n).unwrap());
            }
            let [(_, r0), (_, r1), (_, r2)] = &channels[..] else {
                unreachable!()
            };
            let chosen: Vec<_> = (0..30)
                .map(|_| {
                    select_biased! {
                        recv(r0) -> m => m.unwrap(),
                        recv(r1) -> m => m.unwrap(),
                        recv(r2) -> m => m.unwrap(),
                    }
                })
                .collect();
            assert!(chosen.is_sorted());
        });
    }
}

/// Arms can be taken out again; a select can be used again, copied, and by several.
#[test]
fn select_can_be_changed_and_shared() {
    let _dog = watchdog();
    let (s1, r1) = channel::unbounded();
    let (s2, r2) = channel::unbounded();
    let mut select = Select::new();
    let first = select.recv(&r1);
    let second = select.recv(&r2);
    s1.send(1).unwrap();
    s2.send(2).unwrap();
    let mut copy = select.clone();
    copy.remove(first);
    let operation = copy.select();
    assert_eq!(operation.index(), second);
    assert_eq!(operation.recv(&r2), Ok(2));
    assert!(copy.try_select().is_err());
    assert_eq!(select.ready(), first);
    corio::scope(|scope| {
        scope.spawn(|| {
            let operation = select.select();
            assert_eq!(operation.recv(&r1), Ok(1));
        });
    });
    assert!(catch_unwind(AssertUnwindSafe(|| copy.remove(first))).is_err());
}

/// The same channel in many arms, in both directions.
#[test]
fn select_one_channel_in_all_arms() {
    for side in SIDES {
        for kind in [Some(1), Some(5), None] {
            side.run(move || {
                let drops = Drops::new();
                let (s, r) = make(kind);
                let mut in_it = 0_usize;
                let mut made = 0;
                for _ in 0..300 {
                    let sent = select! {
                        send(s, drops.token()) -> sent => sent.is_ok(),
                        recv(r) -> m => m.is_err(),
                        send(s, drops.token()) -> sent => sent.is_ok(),
                        recv(r) -> m => m.is_err(),
                    };
                    if sent {
                        (in_it, made) = (in_it + 1, made + 1);
                    } else {
                        in_it -= 1;
                    }
                    assert_eq!(s.len(), in_it);
                    assert_eq!(drops.count(), made - in_it);
                }
            });
        }
    }
}

/// Of two channels, one is ready at every moment, first one, then both, then the other: a select that does
/// not wait must find it, also on threads, where both really run at once, and with a timeout that is over
/// at once. (Go's `TestNonblockSelectRace`; see `select_go.rs` for it on goroutines.)
#[test]
fn select_nonblocking_races_on_threads() {
    const ROUNDS: usize = 20_000;
    let _dog = watchdog_for(LONG * 4);
    for zero_timeout in [false, true] {
        let (s1, r1) = channel::bounded(1);
        let (s2, r2) = channel::bounded(1);
        let (start, started) = channel::bounded(0);
        let (end, ended) = channel::bounded(0);
        let (other_r1, other_r2) = (r1.clone(), r2.clone());
        let other = Side::Thread.spawn(move || {
            let mut missed = 0;
            for () in started {
                missed += if zero_timeout {
                    select! {
                        recv(other_r1) -> _ => 0,
                        recv(other_r2) -> _ => 0,
                        default(Duration::ZERO) => 1,
                    }
                } else {
                    select! { recv(other_r1) -> _ => 0, recv(other_r2) -> _ => 0, default => 1 }
                };
                end.send(()).unwrap();
            }
            missed
        });
        for _ in 0..ROUNDS {
            s1.send(1).unwrap();
            start.send(()).unwrap();
            s2.send(2).unwrap();
            let _ = r1.try_recv();
            ended.recv().unwrap();
            let _ = (r1.try_recv(), r2.try_recv());
        }
        drop(start);
        assert_eq!(other.result(), 0, "nothing was ready, of {ROUNDS} times");
    }
}

/// A select with more arms than lie on the stack is fair, too.
#[test]
fn select_over_many_is_fair() {
    const ARMS: usize = 20;
    const TRIALS: usize = 20_000;
    let channels: Vec<_> = (0..ARMS).map(|_| channel::unbounded()).collect();
    for (s, _) in &channels {
        (0..TRIALS).for_each(|n| s.send(n).unwrap());
    }
    let mut counts = [0_usize; ARMS];
    for _ in 0..TRIALS {
        let mut select = Select::new();
        for (_, r) in &channels {
            select.recv(r);
        }
        let operation = select.select();
        let index = operation.index();
        assert_eq!(operation.recv(&channels[index].1), Ok(counts[index]));
        counts[index] += 1;
    }
    let expected = TRIALS / ARMS;
    let limit = 10.0 * (expected as f64).sqrt();
    assert!(
        counts
            .iter()
            .all(|&n| (n as f64 - expected as f64).abs() < limit),
        "{counts:?}"
    );
}
