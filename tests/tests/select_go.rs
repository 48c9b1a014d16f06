//! Go's own tests of select, as behaviours: `src/runtime/chan_test.go` and `test/chan`.
//!
//! Written anew. Each test names the one it stands for. A nil channel is `never()`, or the sender of a
//! channel that nobody receives from. What has no counterpart: `select8.go` (`break` and `goto` are the
//! compiler's business) and the empty `select {}`.

mod chan_support;

use chan_support::{LONG, Side, let_others_run};
use corio::channel::{self, Receiver, RecvError, Sender, select};
use corio::go;
use corio_tests::{watchdog, watchdog_for};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn on_goroutine(body: impl FnOnce() + Send + 'static) {
    Side::Goroutine.run(body);
}

/// `TestNonblockSelectRace`: one of two channels is ready at every moment, first one, then both, then
/// the other. A select that looks at the second while it is empty, and then at the first when it is
/// empty again, must not find none.
#[test]
fn select_nonblocking_races_with_a_change() {
    let _dog = watchdog_for(LONG * 4);
    on_goroutine(|| {
        for _ in 0..20_000 {
            let (s1, r1) = channel::bounded(1);
            let (s2, r2) = channel::bounded(1);
            s1.send(1).unwrap();
            let other = {
                let (r1, r2) = (r1.clone(), r2.clone());
                go!(move || select! {
                    recv(r1) -> m => m.unwrap(),
                    recv(r2) -> m => m.unwrap(),
                    default => 0,
                })
            };
            s2.send(2).unwrap();
            let mine = r1.try_recv().unwrap_or(0);
            let others = other.join().unwrap();
            assert_ne!(others, 0, "nothing was ready");
            let left = r1.try_iter().chain(r2.try_iter()).sum::<i32>();
            assert_eq!(mine + others + left, 3);
        }
    });
}

/// `TestNonblockSelectRace2`: as above, the second channel being closed.
#[test]
fn select_nonblocking_races_with_close() {
    let _dog = watchdog_for(LONG * 4);
    on_goroutine(|| {
        for _ in 0..20_000 {
            let (s1, r1) = channel::bounded(1);
            let (s2, r2) = channel::bounded::<i32>(0);
            s1.send(1).unwrap();
            let other = {
                let (r1, r2) = (r1.clone(), r2.clone());
                go!(move || select! {
                    recv(r1) -> m => m.unwrap(),
                    recv(r2) -> m => {
                        assert_eq!(m, Err(RecvError));
                        0
                    }
                    default => panic!("nothing was ready"),
                })
            };
            drop(s2);
            let mine = r1.try_recv().unwrap_or(0);
            let others = other.join().unwrap();
            assert_eq!(mine + others + r1.try_iter().sum::<i32>(), 1);
        }
    });
}

/// `TestSelfSelect`: a select that could send to itself neither does so nor deadlocks.
#[test]
fn select_does_not_receive_from_itself() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in [0, 10] {
            let (s, r) = channel::bounded(capacity);
            let pair = [0, 1].map(|me| {
                let (s, r) = (s.clone(), r.clone());
                go!(move || {
                    let check = |m| assert!(capacity != 0 || m != Ok(me), "from itself");
                    for n in 0..1000 {
                        if me == 0 || n % 2 == 0 {
                            select! {
                                send(s, me) -> sent => sent.unwrap(),
                                recv(r) -> m => check(m),
                            }
                        } else {
                            select! {
                                recv(r) -> m => check(m),
                                send(s, me) -> sent => sent.unwrap(),
                            }
                        }
                    }
                })
            });
            pair.into_iter().for_each(|g| g.join().unwrap());
        }
    });
}

/// `TestSelectStress`: senders, receivers, one select that sends and one that receives, all on the same
/// four channels, so balanced that they must all end.
#[test]
fn select_stress() {
    const ROUNDS: usize = 10_000;
    let _dog = watchdog_for(LONG * 4);
    on_goroutine(|| {
        let channels = [0, 0, 2, 3].map(channel::bounded::<usize>);
        let mut all = Vec::new();
        for (s, r) in channels.clone() {
            all.push(go!(move || (0..ROUNDS).for_each(|_| s.send(0).unwrap())));
            all.push(go!(
                move || (0..ROUNDS).for_each(|_| assert_eq!(r.recv(), Ok(0)))
            ));
        }
        let senders = channels.clone().map(|(s, _)| s);
        all.push(go!(move || {
            // A channel that is done with is replaced by one that never is ready.
            let (never, _r) = channel::bounded(0);
            let mut arms = senders.each_ref();
            let mut left = [ROUNDS; 4];
            for _ in 0..4 * ROUNDS {
                let n = select! {
                    send(arms[3], 0) -> sent => sent.map(|()| 3),
                    send(arms[2], 0) -> sent => sent.map(|()| 2),
                    send(arms[0], 0) -> sent => sent.map(|()| 0),
                    send(arms[1], 0) -> sent => sent.map(|()| 1),
                };
                let n = n.unwrap();
                left[n] -= 1;
                if left[n] == 0 {
                    arms[n] = &never;
                }
            }
        }));
        let receivers = channels.map(|(_, r)| r);
        all.push(go!(move || {
            let never = channel::never();
            let mut arms = receivers.each_ref();
            let mut left = [ROUNDS; 4];
            for _ in 0..4 * ROUNDS {
                let n = select! {
                    recv(arms[0]) -> m => m.map(|_| 0),
                    recv(arms[1]) -> m => m.map(|_| 1),
                    recv(arms[2]) -> m => m.map(|_| 2),
                    recv(arms[3]) -> m => m.map(|_| 3),
                };
                let n = n.unwrap();
                left[n] -= 1;
                if left[n] == 0 {
                    arms[n] = &never;
                }
            }
        }));
        all.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// `TestSelectFairness`: two arms that are always ready are chosen about equally often, also after two
/// that never are. Ten standard deviations, as there.
#[test]
fn select_is_fair() {
    const TRIALS: usize = 10_000;
    let _dog = watchdog();
    on_goroutine(|| {
        let ready = [1, 2].map(|n| {
            let (s, r) = channel::bounded(TRIALS + 1);
            (0..=TRIALS).for_each(|_| s.send(n).unwrap());
            (s, r)
        });
        let (_s3, r3) = channel::bounded::<usize>(0);
        let (_s4, r4) = channel::bounded::<usize>(0);
        let (out, results) = channel::bounded(0);
        let (done, stop) = channel::bounded::<()>(0);
        let chooser = go!(move || {
            let [(_s1, r1), (_s2, r2)] = ready;
            loop {
                let n = select! {
                    recv(r3) -> m => m,
                    recv(r4) -> m => m,
                    recv(r1) -> m => m,
                    recv(r2) -> m => m,
                };
                select! {
                    send(out, n.unwrap()) -> sent => sent.unwrap(),
                    recv(stop) -> _ => return,
                }
            }
        });
        let mut counts = [0_usize; 3];
        (0..TRIALS).for_each(|_| counts[results.recv().unwrap()] += 1);
        drop(done);
        chooser.join().unwrap();
        let limit = 10.0 * (TRIALS as f64 * 0.25).sqrt();
        assert!(
            (counts[1] as f64 - TRIALS as f64 / 2.0).abs() < limit,
            "{counts:?}"
        );
    });
}

/// `TestPseudoRandomSend`: of two sends to the same channel both are chosen, whether the receiver waits
/// or the channel has room.
#[test]
fn select_chooses_among_sends_to_one_channel() {
    const MESSAGES: usize = 100;
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in [0, MESSAGES] {
            let (s, r) = channel::bounded(capacity);
            let receiver = go!(move || {
                let mut ones = 0;
                for _ in 0..MESSAGES {
                    corio::yield_now();
                    ones += r.recv().unwrap();
                }
                ones
            });
            for _ in 0..MESSAGES {
                select! {
                    send(s, 1) -> sent => sent.unwrap(),
                    send(s, 0) -> sent => sent.unwrap(),
                }
            }
            let ones = receiver.join().unwrap();
            assert!((10..90).contains(&ones), "capacity {capacity}: {ones}");
        }
    });
}

/// `TestSelectDuplicateChannel`: one goroutine waits twice in a queue; leaving it, both must go.
#[test]
fn select_on_one_channel_twice() {
    let _dog = watchdog();
    on_goroutine(|| {
        for _ in 0..100 {
            let (c, c_receiver) = channel::bounded(0);
            let (d, d_receiver) = channel::bounded(0);
            let (e, e_receiver) = channel::bounded(0);
            let first = {
                let r = c_receiver.clone();
                go!(move || {
                    select! {
                        recv(r) -> _ => panic!("that is for the other one"),
                        recv(r) -> _ => panic!("that is for the other one"),
                        recv(d_receiver) -> m => assert_eq!(m, Ok(7)),
                    }
                    e.send(9).unwrap();
                })
            };
            corio::yield_now();
            let second = go!(move || c_receiver.recv());
            corio::yield_now();
            d.send(7).unwrap();
            assert_eq!(e_receiver.recv(), Ok(9));
            c.send(8).unwrap();
            assert_eq!(second.join().unwrap(), Ok(8));
            first.join().unwrap();
        }
    });
}

/// `TestSelectStackAdjust`, as far as it applies: what a select's arms are to write to stays where it is
/// while others run, and only the chosen arm writes.
#[test]
fn select_writes_only_what_was_chosen() {
    let _dog = watchdog();
    on_goroutine(|| {
        let (s, r) = channel::bounded::<[u64; 8]>(0);
        let (d, done) = channel::bounded::<[u64; 8]>(0);
        let waiting = [0, 1].map(|n| {
            let (r, done) = (r.clone(), done.clone());
            go!(move || {
                let mut place = [n; 8];
                let other = select! {
                    recv(r) -> m => { place = m.unwrap(); false }
                    recv(done) -> m => m.is_err(),
                    recv(r) -> m => { place = m.unwrap(); false }
                };
                assert!(other && place == [n; 8]);
            })
        });
        let_others_run();
        drop(d);
        waiting.into_iter().for_each(|g| g.join().unwrap());
        drop(s);
    });
}

/// `test/chan/doubleselect.go`: numbers sent by a select over four channels and merged again: no number
/// comes twice.
#[test]
fn select_sends_each_value_once() {
    const NUMBERS: usize = 20_000;
    let _dog = watchdog();
    on_goroutine(|| {
        let channels = [(); 4].map(|()| channel::bounded(0));
        let (merged, all) = channel::bounded(0);
        for (_, r) in &channels {
            let (r, merged) = (r.clone(), merged.clone());
            go!(move || r.iter().for_each(|n| merged.send(n).unwrap()));
        }
        drop(merged);
        let [s0, s1, s2, s3] = channels.map(|(s, _)| s);
        go!(move || for n in 0..NUMBERS {
            select! {
                send(s0, n) -> sent => sent.unwrap(),
                send(s1, n) -> sent => sent.unwrap(),
                send(s2, n) -> sent => sent.unwrap(),
                send(s3, n) -> sent => sent.unwrap(),
            }
        });
        let mut seen = vec![false; NUMBERS];
        for n in all {
            assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
        }
        assert!(seen.into_iter().all(|seen| seen));
    });
}

/// `test/chan/select.go`: arms switched on and off, the channels being computed once per select.
#[test]
fn select_with_arms_switched_off() {
    let _dog = watchdog();
    on_goroutine(|| {
        let (a, a_receiver) = channel::bounded(0);
        let (b, b_receiver) = channel::bounded(0);
        let evaluated = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&evaluated);
        let sender = go!(move || {
            let (never, _r) = channel::bounded(0);
            let pick = |s| {
                counted.fetch_add(1, Ordering::SeqCst);
                s
            };
            for n in 0..1000_u64 {
                // Bit 0 to the first, bit 1 to the second, as long as there is something to send.
                let (mut to_a, mut to_b) = (n & 1 != 0, n & 2 != 0);
                while to_a || to_b {
                    select! {
                        send(pick(if to_a { &a } else { &never }), n) -> sent => {
                            sent.unwrap();
                            to_a = false;
                        }
                        send(pick(if to_b { &b } else { &never }), n) -> sent => {
                            sent.unwrap();
                            to_b = false;
                        }
                    }
                }
            }
        });
        let count = |r: Receiver<u64>| go!(move || r.iter().count());
        let (a, b) = (count(a_receiver), count(b_receiver));
        sender.join().unwrap();
        assert_eq!((a.join().unwrap(), b.join().unwrap()), (500, 500));
        assert_eq!(evaluated.load(Ordering::SeqCst), 2 * 1000);
    });
}

/// `test/chan/select3.go`: what blocks and what does not, for each operation, with and without default.
#[test]
fn select_blocks_when_nothing_is_ready() {
    /// Waits for good: whatever makes it ready comes only at the end.
    fn blocks(name: &str, f: impl FnOnce(&Receiver<()>) -> bool + Send + 'static) {
        let (release, released) = channel::bounded(0);
        let goroutine = go!(move || f(&released));
        let_others_run();
        assert!(!goroutine.is_finished(), "{name} did not block");
        drop(release);
        assert!(goroutine.join().unwrap(), "{name}: another arm ran");
    }
    let _dog = watchdog();
    on_goroutine(|| {
        let (s, r) = channel::bounded::<u8>(0);
        let (full, full_receiver) = channel::bounded(1);
        full.send(1).unwrap();
        blocks("recv from never", |released| {
            select! { recv(channel::never::<u8>()) -> _ => false, recv(released) -> _ => true }
        });
        let rx = r.clone();
        blocks("recv from empty", move |released| {
            select! { recv(rx) -> _ => false, recv(released) -> _ => true }
        });
        let sx = s.clone();
        blocks("send without receiver", move |released| {
            select! { send(sx, 1) -> _ => false, recv(released) -> _ => true }
        });
        let fx = full.clone();
        blocks("send to full", move |released| {
            select! { send(fx, 1) -> _ => false, recv(released) -> _ => true }
        });
        // With default, none does.
        assert!(select! { recv(channel::never::<u8>()) -> _ => false, default => true });
        assert!(select! { recv(r) -> _ => false, default => true });
        assert!(select! { send(s, 1) -> _ => false, default => true });
        assert!(select! { send(full, 1) -> _ => false, default => true });
        // What is ready, or closed, is chosen before default.
        assert!(select! { recv(full_receiver) -> m => m == Ok(1), default => false });
        assert!(select! { send(full, 2) -> sent => sent.is_ok(), default => false });
        drop(s);
        assert!(select! { recv(r) -> m => m == Err(RecvError), default => false });
        drop(full_receiver);
        assert!(select! { send(full, 3) -> sent => sent.is_err(), default => false });
    });
}

/// `test/chan/select4.go`, `select5.go`: channels are evaluated in order, all of them, once; the message
/// only if its arm is chosen.
#[test]
fn select_evaluates_in_order() {
    let order = RefCell::new(Vec::new());
    let (s, r) = channel::bounded(1);
    let (full, _full_receiver) = channel::bounded(1);
    full.send(0).unwrap();
    fn log<T>(order: &RefCell<Vec<&'static str>>, name: &'static str, value: T) -> T {
        order.borrow_mut().push(name);
        value
    }
    select! {
        recv(log(&order, "never", &channel::never::<i32>())) -> _ => unreachable!(),
        send(log(&order, "full", &full), log(&order, "not this", 1)) -> _ => unreachable!(),
        send(log(&order, "room", &s), log(&order, "message", 2)) -> sent => {
            order.borrow_mut().push("arm");
            sent.unwrap();
        }
    }
    assert_eq!(*order.borrow(), ["never", "full", "room", "message", "arm"]);
    assert_eq!(r.recv(), Ok(2));
}

/// `test/chan/select6.go`: somebody leaves the middle of a queue; those before and behind stay.
#[test]
fn select_leaves_the_middle_of_a_queue() {
    let _dog = watchdog();
    on_goroutine(|| {
        for _ in 0..100 {
            let (c1, r1) = channel::bounded::<bool>(0);
            let (c2, r2) = channel::bounded::<bool>(0);
            let (c3, r3) = channel::bounded::<bool>(0);
            let (c4, r4) = channel::bounded::<bool>(0);
            let plain = |r: Receiver<bool>| go!(move || r.recv().unwrap());
            let first = plain(r1.clone());
            corio::yield_now();
            let middle = {
                let r1 = r1.clone();
                go!(move || {
                    select! { recv(r1) -> _ => panic!("not first"), recv(r2) -> m => m.unwrap() };
                    c4.send(true).unwrap();
                })
            };
            corio::yield_now();
            let last = plain(r1);
            corio::yield_now();
            c2.send(true).unwrap();
            r4.recv().unwrap();
            c1.send(true).unwrap();
            c1.send(true).unwrap();
            let third = plain(r3);
            c3.send(true).unwrap();
            assert!(first.join().unwrap() && last.join().unwrap() && third.join().unwrap());
            middle.join().unwrap();
        }
    });
}

/// `test/chan/select7.go`: a value sent by trying, by waiting and by selecting, received in each way.
#[test]
fn select_every_way_of_sending_and_receiving() {
    type Send = fn(&Sender<u32>, u32);
    type Recv = fn(&Receiver<u32>) -> u32;
    const SEND: [Send; 4] = [
        |s, n| s.send(n).unwrap(),
        |s, n| {
            while s.try_send(n).is_err() {
                corio::yield_now();
            }
        },
        |s, n| select! { send(s, n) -> sent => sent.unwrap() },
        |s, n| {
            while !select! { send(s, n) -> sent => sent.is_ok(), default => false } {
                corio::yield_now();
            }
        },
    ];
    const RECV: [Recv; 4] = [
        |r| r.recv().unwrap(),
        |r| {
            loop {
                match r.try_recv() {
                    Ok(n) => return n,
                    Err(_) => corio::yield_now(),
                }
            }
        },
        |r| select! { recv(r) -> n => n.unwrap() },
        |r| {
            loop {
                select! { recv(r) -> n => return n.unwrap(), default => corio::yield_now() }
            }
        },
    ];
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in [0, 1, 10] {
            for (i, send) in SEND.into_iter().enumerate() {
                for (j, recv) in RECV.into_iter().enumerate() {
                    // Two that try never meet without a buffer: neither ever waits.
                    if capacity == 0 && i % 2 == 1 && j % 2 == 1 {
                        continue;
                    }
                    for sender_first in [true, false] {
                        let (s, r) = channel::bounded(capacity);
                        let sender = move || (0..3).for_each(|n| send(&s, n));
                        let receiver = move || (0..3).for_each(|n| assert_eq!(recv(&r), n));
                        if sender_first {
                            let sender = go!(sender);
                            receiver();
                            sender.join().unwrap();
                        } else {
                            let receiver = go!(receiver);
                            sender();
                            receiver.join().unwrap();
                        }
                    }
                }
            }
        }
    });
}

/// `test/chan/select2.go`: selects that lose leave nothing behind in the channels that never answer.
#[test]
fn select_leaves_nothing_behind() {
    let _dog = watchdog_for(LONG * 4);
    on_goroutine(|| {
        let (s, r) = channel::bounded(0);
        let (dummy, dummy_receiver) = channel::bounded::<u64>(0);
        let sender = {
            let dummy_receiver = dummy_receiver.clone();
            go!(move || for n in 0..50_000_u64 {
                select! {
                    send(s, n) -> sent => sent.unwrap(),
                    recv(dummy_receiver) -> _ => unreachable!(),
                }
            })
        };
        let before = corio_tests::proc_number("/proc/self/status", "VmRSS");
        for n in 0..50_000 {
            select! {
                recv(r) -> m => assert_eq!(m, Ok(n)),
                recv(dummy_receiver) -> _ => unreachable!(),
            }
        }
        let after = corio_tests::proc_number("/proc/self/status", "VmRSS");
        sender.join().unwrap();
        // A node left behind by each would be 5 MB; other tests run beside this one.
        assert!(after < before + 64 * 1024, "from {before} kB to {after} kB");
        assert!(dummy.is_empty());
    });
}
