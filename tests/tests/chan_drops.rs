//! Every message is dropped exactly once, wherever it ends: received, left in a channel, given back in
//! an error, on its way when a side goes; whatever its size and alignment.

mod chan_support;

use chan_support::{LONG, SIDES, Side, let_others_run, pairs};
use corio::channel::{self, Receiver, Select, Sender, select};
use corio_tests::{Drops, watchdog};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KINDS: [Option<usize>; 4] = [Some(0), Some(1), Some(5), None];

fn make<T>(kind: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match kind {
        Some(capacity) => channel::bounded(capacity),
        None => channel::unbounded(),
    }
}

#[test]
fn chan_drops_what_is_left_in_it() {
    for side in SIDES {
        for kind in KINDS {
            for receiver_first in [true, false] {
                let drops = Drops::new();
                side.run(move || {
                    let (s, r) = make(kind);
                    let count = kind.unwrap_or(1000);
                    (0..count).for_each(|_| s.send(drops.token()).unwrap());
                    // Some are taken, so that the rest does not begin at the front.
                    let taken = r.try_iter().take(2).count();
                    assert_eq!(drops.count(), taken);
                    if receiver_first {
                        // Nobody can get them any more, though a sender is there.
                        drop(r);
                        assert_eq!(drops.count(), count);
                        drop(s);
                    } else {
                        drop(s);
                        assert_eq!(drops.count(), taken);
                        drop(r);
                    }
                    assert_eq!(drops.count(), count);
                });
            }
        }
    }
}

#[test]
fn chan_errors_give_messages_back_undropped() {
    for side in SIDES {
        for kind in KINDS {
            let drops = Drops::new();
            side.run(move || {
                let (s, r) = make(kind);
                let room = kind.unwrap_or(3);
                (0..room).for_each(|_| s.try_send(drops.token()).unwrap());
                let mut refused = Vec::new();
                if kind.is_some() {
                    refused.push(s.try_send(drops.token()).unwrap_err().into_inner());
                    for timeout in [Duration::ZERO, Duration::from_micros(300)] {
                        let error = s.send_timeout(drops.token(), timeout).unwrap_err();
                        assert!(error.is_timeout());
                        refused.push(error.into_inner());
                    }
                    assert_eq!(drops.count(), 0);
                }
                drop(r);
                refused.push(s.send(drops.token()).unwrap_err().into_inner());
                refused.push(s.try_send(drops.token()).unwrap_err().into_inner());
                let error = s.send_timeout(drops.token(), Duration::MAX).unwrap_err();
                refused.push(error.into_inner());
                select! {
                    send(s, drops.token()) -> sent => refused.push(sent.unwrap_err().into_inner()),
                }
                assert_eq!(drops.count(), room);
                let count = refused.len();
                drop(refused);
                assert_eq!(drops.count(), room + count);
            });
        }
    }
}

/// Senders that wait when the receivers go get their messages back.
#[test]
fn chan_waiting_senders_get_their_messages_back() {
    let _dog = watchdog();
    for side in SIDES {
        for kind in [Some(0), Some(1), Some(5)] {
            let drops = Drops::new();
            let (s, r) = make(kind);
            let room = kind.unwrap_or(0);
            (0..room).for_each(|_| s.send(drops.token()).unwrap());
            let waiting: Vec<_> = (0..12)
                .map(|n| {
                    let s = s.clone();
                    Side::mixed(n).spawn(move || match n % 3 {
                        0 => s.send(drops.token()).unwrap_err().into_inner(),
                        1 => {
                            let error = s.send_timeout(drops.token(), LONG).unwrap_err();
                            error.into_inner()
                        }
                        _ => select! {
                            send(s, drops.token()) -> sent => sent.unwrap_err().into_inner(),
                        },
                    })
                })
                .collect();
            let_others_run();
            side.run(move || drop(r));
            let tokens: Vec<_> = waiting.into_iter().map(|task| task.result()).collect();
            assert_eq!(drops.count(), room);
            drop(tokens);
            assert_eq!(drops.count(), room + 12);
        }
    }
}

/// Whoever comes and goes at whatever moment: sent = dropped.
#[test]
fn chan_drops_all_when_sides_go_at_any_moment() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            for n in 0..60 {
                let drops = Drops::new();
                let (s, r) = make(kind);
                let sender = a.spawn(move || {
                    let (mut sent, mut refused) = (0, 0);
                    for _ in 0..30 {
                        match s.send(drops.token()) {
                            Ok(()) => sent += 1,
                            Err(_) => refused += 1,
                        }
                    }
                    sent + refused
                });
                let receiver = b.spawn(move || r.iter().take(n % 31).count());
                assert_eq!(sender.result(), 30);
                receiver.result();
                assert_eq!(drops.count(), 30, "{a:?} {b:?} {kind:?} {n}");
            }
        }
    }
}

/// A select that times out, or chooses something else, has sent and dropped nothing.
#[test]
fn chan_selects_that_do_not_send() {
    for side in SIDES {
        let drops = Drops::new();
        side.run(move || {
            let (s, r) = channel::bounded(1);
            s.send(drops.token()).unwrap();
            let (other, other_receiver) = channel::bounded(1);
            other.send(1).unwrap();
            for _ in 0..10 {
                select! {
                    send(s, drops.token()) -> _ => unreachable!(),
                    default(Duration::from_micros(100)) => {}
                }
                select! {
                    send(s, drops.token()) -> _ => unreachable!(),
                    recv(other_receiver) -> m => other.send(m.unwrap()).unwrap(),
                }
            }
            // Their messages were never made.
            assert_eq!(drops.count(), 0);
            drop(r);
            assert_eq!(drops.count(), 1);
        });
    }
}

/// A panic while the message is made: the reserved place is given back, the channel goes on.
#[test]
fn chan_a_panic_while_the_message_is_made() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            let drops = Drops::new();
            let (s, r) = make(kind);
            let sender = s.clone();
            let panics = a.spawn(move || {
                let mut select = Select::new();
                let index = select.send(&sender);
                let operation = select.select();
                assert_eq!(operation.index(), index);
                let message = || -> corio_tests::Token { std::panic::panic_any("expected") };
                operation.send(&sender, message()).unwrap();
            });
            let receiver = b.spawn(move || {
                let token = r.recv().unwrap();
                (token, r.try_recv().is_err())
            });
            assert!(panics.join().is_err());
            // The receiver waits for somebody else's.
            s.send(drops.token()).unwrap();
            let (token, alone) = receiver.result();
            assert!(alone);
            assert_eq!(drops.count(), 0);
            drop(token);
            drop(s);
            assert_eq!(drops.count(), 1);
        }
    }
}

/// A message's destructor panics while the channel is dropped: the panic gets out, and no message is
/// dropped twice. (As crossbeam's, the rest leaks.)
#[test]
fn chan_a_panic_in_a_destructor() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
            std::panic::panic_any("expected");
        }
    }
    for side in SIDES {
        for kind in [Some(5), None] {
            for keep_sender in [true, false] {
                DROPPED.store(0, Ordering::SeqCst);
                let task = side.spawn(move || {
                    let (s, r) = make(kind);
                    (0..5).for_each(|_| assert!(s.send(Panics).is_ok()));
                    let s = keep_sender.then_some(s);
                    let caught = std::panic::catch_unwind(move || drop(r)).unwrap_err();
                    assert_eq!(caught.downcast_ref(), Some(&"expected"));
                    if let Some(s) = s {
                        let refused = s.try_send(Panics).unwrap_err();
                        std::mem::forget(refused);
                    }
                });
                task.result();
                assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
            }
        }
    }
}

/// Types of odd sizes and alignments arrive as they were sent, at addresses as they need.
#[test]
fn chan_of_every_shape() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    trait Shape: std::marker::Send + 'static {
        fn new(n: usize) -> Self;
        fn check(&self, n: usize);
    }
    macro_rules! shape {
        ($name:ident, $align:literal, $content:ty, $n:ident => $value:expr) => {
            #[repr(align($align))]
            struct $name($content);
            impl Shape for $name {
                fn new($n: usize) -> $name {
                    $name($value)
                }
                fn check(&self, $n: usize) {
                    assert!(std::ptr::from_ref(self).is_aligned());
                    assert!(self.0 == $value);
                }
            }
            impl Drop for $name {
                fn drop(&mut self) {
                    assert!(std::ptr::from_ref(self).is_aligned());
                    DROPPED.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
    }
    shape!(Empty, 1, (), _n => ());
    shape!(EmptyAligned, 128, (), _n => ());
    shape!(Byte, 1, u8, n => n as u8);
    shape!(ThreeBytes, 1, [u8; 3], n => [n as u8, 1, 2]);
    shape!(Line, 64, u32, n => n as u32);
    shape!(Sector, 512, u16, n => n as u16);
    shape!(Large, 8, [usize; 100], n => [n; 100]);
    shape!(Boxed, 8, Box<usize>, n => Box::new(n));

    fn check<T: Shape>(a: Side, b: Side, kind: Option<usize>) {
        DROPPED.store(0, Ordering::SeqCst);
        let (s, r) = make::<T>(kind);
        let sender = a.spawn(move || {
            for n in 0..40 {
                match n % 3 {
                    0 => assert!(s.send(T::new(n)).is_ok()),
                    1 => assert!(s.send_timeout(T::new(n), LONG).is_ok()),
                    _ => select! { send(s, T::new(n)) -> sent => assert!(sent.is_ok()) },
                }
            }
        });
        b.run(move || {
            for n in 0..30 {
                let message = match n % 4 {
                    0 | 1 => r.recv().ok(),
                    2 => r.recv_timeout(LONG).ok(),
                    _ => select! { recv(r) -> m => m.ok() },
                };
                message.expect("connected").check(n);
            }
            // The last ten are dropped by the iterator.
            assert_eq!(r.iter().count(), 10);
        });
        sender.result();
        assert_eq!(DROPPED.load(Ordering::SeqCst), 40);
    }
    let _dog = watchdog();
    for (a, b) in pairs() {
        for kind in KINDS {
            check::<Empty>(a, b, kind);
            check::<EmptyAligned>(a, b, kind);
            check::<Byte>(a, b, kind);
            check::<ThreeBytes>(a, b, kind);
            check::<Line>(a, b, kind);
            check::<Sector>(a, b, kind);
            check::<Large>(a, b, kind);
            check::<Boxed>(a, b, kind);
        }
    }
}
