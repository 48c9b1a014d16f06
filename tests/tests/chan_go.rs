//! Go's own tests of channels, as behaviours: `src/runtime/chan_test.go` and `test/chan`, `test/ken`.
//!
//! Written anew. Each test names the one it stands for. Go's `close(c)` is dropping the only sender
//! here, its nil channel is `never()` or a missing arm. What has no counterpart: `perm.go` and
//! `sendstmt.go` (the compiler's business), `TestSelectStackAdjust` and the write barrier tests (stacks
//! don't move here, and nothing is collected). Tests of select are in `select_go.rs`.

mod chan_support;

use chan_support::{LONG, Side, let_others_run};
use corio::channel::{self, Receiver, RecvError, Sender, TryRecvError, TrySendError};
use corio::go;
use corio_tests::{watchdog, watchdog_for};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Go's test tries 0 to 199.
const CAPACITIES: [usize; 7] = [0, 1, 2, 3, 10, 64, 199];

/// Runs a test's body on a goroutine, as Go's are.
fn on_goroutine(body: impl FnOnce() + Send + 'static) {
    Side::Goroutine.run(body);
}

/// `TestChan`, "receive from empty chan blocks" and "non-blocking receive does not block".
#[test]
fn chan_receive_from_empty_blocks() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded(capacity);
            let received: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(false))).collect();
            let receivers: Vec<_> = received
                .iter()
                .map(|flag| {
                    let (r, flag) = (r.clone(), Arc::clone(flag));
                    go!(move || {
                        r.recv().unwrap();
                        flag.store(true, Ordering::SeqCst);
                    })
                })
                .collect();
            let_others_run();
            assert!(received.iter().all(|flag| !flag.load(Ordering::SeqCst)));
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            s.send(0).unwrap();
            s.send(0).unwrap();
            receivers.into_iter().for_each(|g| g.join().unwrap());
        }
    });
}

/// `TestChan`, "send to full chan blocks" and "non-blocking send does not block".
#[test]
fn chan_send_to_full_blocks() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded(capacity);
            (0..capacity).for_each(|n| s.send(n).unwrap());
            let sent = Arc::new(AtomicBool::new(false));
            let sender = {
                let (s, sent) = (s.clone(), Arc::clone(&sent));
                go!(move || {
                    s.send(capacity).unwrap();
                    sent.store(true, Ordering::SeqCst);
                })
            };
            let_others_run();
            assert!(!sent.load(Ordering::SeqCst), "capacity {capacity}");
            // With capacity 0 the only receiver is this goroutine, which is busy sending.
            assert_eq!(s.try_send(99), Err(TrySendError::Full(99)));
            for n in 0..=capacity {
                assert_eq!(r.recv(), Ok(n));
            }
            sender.join().unwrap();
            assert!(sent.load(Ordering::SeqCst));
        }
    });
}

/// `TestChan`, "receive from closed chan": first what is left in it.
#[test]
fn chan_closed_gives_what_is_left() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded(capacity);
            (0..capacity).for_each(|n| s.send(n).unwrap());
            drop(s);
            for n in 0..capacity {
                assert_eq!(r.recv(), Ok(n));
            }
            assert_eq!(r.recv(), Err(RecvError));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

/// `TestChan`, "close unblocks receive".
#[test]
fn chan_close_wakes_receiver() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded::<u8>(capacity);
            let receiver = go!(move || r.recv());
            let_others_run();
            drop(s);
            assert_eq!(receiver.join().unwrap(), Err(RecvError));
        }
    });
}

/// `TestChan`, "send 100 integers, receive them non-corrupted in FIFO order".
#[test]
fn chan_is_fifo() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded(capacity);
            for _ in 0..2 {
                let s = s.clone();
                let sender = go!(move || (0..100).for_each(|n| s.send(n).unwrap()));
                assert!((0..100).all(|n| r.recv() == Ok(n)), "capacity {capacity}");
                sender.join().unwrap();
            }
        }
    });
}

/// `TestChan`, "send 1000 integers in 4 goroutines, receive what we send".
#[test]
fn chan_everything_arrives_among_many() {
    let _dog = watchdog();
    const SENDERS: usize = 4;
    const MESSAGES: usize = 1000;
    on_goroutine(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel::bounded(capacity);
            let (done, results) = channel::bounded(0);
            for _ in 0..SENDERS {
                let (s, r, done) = (s.clone(), r.clone(), done.clone());
                go!(move || (0..MESSAGES).for_each(|n| s.send(n).unwrap()));
                go!(move || {
                    let mut seen = HashMap::<usize, usize>::new();
                    for _ in 0..MESSAGES {
                        *seen.entry(r.recv().unwrap()).or_default() += 1;
                    }
                    done.send(seen).unwrap();
                });
            }
            let mut seen = HashMap::<usize, usize>::new();
            for (n, times) in (0..SENDERS).flat_map(|_| results.recv().unwrap()) {
                *seen.entry(n).or_default() += times;
            }
            assert_eq!(seen.len(), MESSAGES);
            assert!(seen.values().all(|&times| times == SENDERS));
        }
    });
}

/// `TestChan`, "len/cap", and `test/chancap.go`.
#[test]
fn chan_len_and_cap() {
    for capacity in CAPACITIES {
        let (s, r) = channel::bounded(capacity);
        assert_eq!((s.len(), s.capacity()), (0, Some(capacity)));
        (0..capacity).for_each(|n| s.send(n).unwrap());
        assert_eq!((s.len(), s.capacity()), (capacity, Some(capacity)));
        assert_eq!((r.len(), r.capacity()), (capacity, Some(capacity)));
        assert!(s.is_full() && r.is_full());
    }
}

/// `TestNonblockRecvRace`: a channel with a value that is then closed is ready at every moment.
#[test]
fn chan_nonblocking_receive_races_with_close() {
    let _dog = watchdog();
    on_goroutine(|| {
        for _ in 0..10_000 {
            let (s, r) = channel::bounded(1);
            s.send(1).unwrap();
            let other = {
                let r = r.clone();
                go!(move || r.try_recv())
            };
            drop(s);
            let mine = r.recv();
            let others = other.join().unwrap();
            assert_ne!(others, Err(TryRecvError::Empty));
            assert_eq!(u8::from(mine.is_ok()) + u8::from(others.is_ok()), 1);
        }
    });
}

/// `TestChanSendInterface`: values of any type.
#[test]
fn chan_of_trait_objects() {
    let (s, r) = channel::bounded::<Box<dyn std::any::Any + Send>>(1);
    s.send(Box::new("text")).unwrap();
    let refused = s.try_send(Box::new(7_u8)).unwrap_err().into_inner();
    assert_eq!(refused.downcast_ref(), Some(&7_u8));
    assert_eq!(r.recv().unwrap().downcast_ref(), Some(&"text"));
}

/// `TestMultiConsumer`.
#[test]
fn chan_many_consumers_work_from_one_queue() {
    let _dog = watchdog_for(LONG * 4);
    const WORKERS: usize = 23;
    const MESSAGES: usize = 50_000;
    const NUMBERS: [usize; 10] = [2, 3, 7, 11, 13, 17, 19, 23, 27, 31];
    on_goroutine(|| {
        let (queue, work) = channel::bounded(WORKERS * 3);
        let (results, result) = channel::bounded(WORKERS * 3);
        for worker in 0..WORKERS {
            let (work, results) = (work.clone(), results.clone());
            go!(move || {
                for number in work {
                    if NUMBERS[worker % NUMBERS.len()] == number {
                        corio::yield_now();
                    }
                    results.send(number).unwrap();
                }
            });
        }
        drop((work, results));
        let feeder = go!(move || {
            let numbers = NUMBERS.into_iter().cycle().take(MESSAGES);
            numbers
                .inspect(|&number| queue.send(number).unwrap())
                .sum::<usize>()
        });
        let (count, sum) = result.iter().fold((0, 0), |(n, sum), m| (n + 1, sum + m));
        assert_eq!((count, sum), (MESSAGES, feeder.join().unwrap()));
    });
}

/// Uses a good part of a stack, as Go's `stackGrowthRecursive`.
#[inline(never)]
fn use_stack(depth: usize) -> usize {
    let frame = black_box([depth as u8; 2048]);
    match depth {
        0 => usize::from(frame[7]),
        _ => use_stack(depth - 1) + usize::from(black_box(frame)[9] as usize == depth),
    }
}

/// `TestShrinkStackDuringBlockedSend`. Here pages of long-parked stacks are given back; what lies above
/// stays, above all the message that waits there.
#[test]
fn chan_stack_is_trimmed_while_send_blocks() {
    let _dog = watchdog();
    on_goroutine(|| {
        let (s, r) = channel::bounded(0);
        let sender = go!(move || {
            for n in 0..10 {
                assert_eq!(use_stack(20), 20);
                s.send([n; 100]).unwrap();
            }
        });
        for n in 0..10 {
            // Long enough for sysmon to come by now and then.
            corio::sleep(Duration::from_millis(if n < 2 { 300 } else { 1 }));
            assert_eq!(r.recv(), Ok([n; 100]));
        }
        sender.join().unwrap();
    });
}

/// `TestNoShrinkStackWhileParking`: many goroutines about to block on channels, with deep stacks used.
#[test]
fn chan_stack_is_used_briefly_before_parking() {
    let _dog = watchdog();
    on_goroutine(|| {
        for _ in 0..200 {
            let (s, r) = channel::bounded(0);
            let sender = go!(move || {
                for n in 0..10 {
                    s.send(n).unwrap();
                    assert_eq!(use_stack(20), 20);
                }
            });
            let receiver = go!(move || {
                for n in 0..10 {
                    corio::sleep(Duration::from_micros(10));
                    assert_eq!(r.recv(), Ok(n));
                }
            });
            sender.join().unwrap();
            receiver.join().unwrap();
        }
    });
}

/// `test/chan/fifo.go`: goroutines that wait for each other in a row, by way of a buffered channel and
/// of an unbuffered one.
#[test]
fn chan_fifo_through_a_chain() {
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in [0, 10] {
            let (first, mut turn) = channel::bounded(1);
            let (s, r) = channel::bounded(capacity);
            for n in 0..10 {
                let (next, next_turn) = channel::bounded(1);
                let (turn, s) = (std::mem::replace(&mut turn, next_turn), s.clone());
                go!(move || {
                    turn.recv().unwrap();
                    s.send(n).unwrap();
                    next.send(()).unwrap();
                });
            }
            first.send(()).unwrap();
            assert!((0..10).all(|n| r.recv() == Ok(n)));
            turn.recv().unwrap();
        }
    });
}

/// `test/chan/goroutines.go`: a value handed along 10,000 goroutines.
#[test]
fn chan_ten_thousand_goroutines_in_a_row() {
    let _dog = watchdog();
    on_goroutine(|| {
        let (mut last, end) = channel::bounded(0);
        for _ in 0..10_000 {
            let (s, r) = channel::bounded::<u32>(0);
            let to = std::mem::replace(&mut last, s);
            go!(move || to.send(1 + r.recv().unwrap()).unwrap());
        }
        last.send(0).unwrap();
        assert_eq!(end.recv(), Ok(10_000));
    });
}

/// `test/chan/nonblock.go`: for several types, trying meets a peer that waits, and nobody else.
#[test]
fn chan_nonblocking_operations() {
    fn check<T: Clone + PartialEq + std::fmt::Debug + Send + 'static>(value: T) {
        let (s, r) = channel::bounded::<T>(0);
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(
            s.try_send(value.clone()),
            Err(TrySendError::Full(value.clone()))
        );
        // A receiver that waits, then a sender.
        let receiver = {
            let r = r.clone();
            go!(move || r.recv())
        };
        while s.try_send(value.clone()).is_err() {
            corio::yield_now();
        }
        assert_eq!(receiver.join().unwrap(), Ok(value.clone()));
        let sender = {
            let (s, value) = (s.clone(), value.clone());
            go!(move || s.send(value))
        };
        let received = loop {
            match r.try_recv() {
                Ok(received) => break received,
                Err(_) => corio::yield_now(),
            }
        };
        assert_eq!(received, value);
        sender.join().unwrap().unwrap();
        // With a buffer, no peer is needed.
        let (s, r) = channel::bounded::<T>(1);
        assert_eq!(s.try_send(value.clone()), Ok(()));
        assert_eq!(
            s.try_send(value.clone()),
            Err(TrySendError::Full(value.clone()))
        );
        assert_eq!(r.try_recv(), Ok(value));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    }
    let _dog = watchdog();
    on_goroutine(|| {
        for _ in 0..50 {
            check(7_i32);
            check(String::from("hi"));
            check(true);
            check(());
            check([1_u64; 40]);
        }
    });
}

/// `test/chan/sieve1.go`, `sieve2.go`: a goroutine per prime.
#[test]
fn chan_prime_sieve() {
    const PRIMES: [u32; 25] = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97,
    ];
    let _dog = watchdog();
    on_goroutine(|| {
        for capacity in [0, 1, 10] {
            let (s, mut numbers) = channel::bounded(capacity);
            go!(move || (2..).take_while(|&n| s.send(n).is_ok()).for_each(drop));
            for expected in PRIMES {
                let prime = numbers.recv().unwrap();
                assert_eq!(prime, expected);
                let (s, filtered) = channel::bounded(capacity);
                let from = std::mem::replace(&mut numbers, filtered);
                go!(move || {
                    // Ends, and with it everybody before, when nobody wants more.
                    for n in from {
                        if n % prime != 0 && s.send(n).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
}

/// `test/chan/zerosize.go`.
#[test]
fn chan_of_nothing() {
    let _dog = watchdog();
    on_goroutine(|| {
        drop(channel::bounded::<()>(1 << 40));
        let (s, r) = channel::bounded::<[u64; 0]>(2);
        let sender = go!(move || (0..1000).for_each(|_| s.send([]).unwrap()));
        assert_eq!(r.iter().count(), 1000);
        sender.join().unwrap();
    });
}

/// `test/closedchan.go`: what each operation does after the last peer went. (There, sending and closing
/// again panic; here the value comes back, and closing is dropping.)
#[test]
fn chan_operations_after_close() {
    for capacity in [Some(0), Some(1), None] {
        let make = || capacity.map_or_else(channel::unbounded, channel::bounded);
        let (s, r) = make();
        drop(s);
        for _ in 0..3 {
            assert_eq!(r.recv(), Err(RecvError));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(r.recv_timeout(Duration::MAX).unwrap_err().to_string(), {
                channel::RecvTimeoutError::Disconnected.to_string()
            });
            assert_eq!(r.iter().next(), None);
        }
        let (s, r): (Sender<u8>, Receiver<u8>) = make();
        drop(r);
        for n in 0..3 {
            assert_eq!(s.send(n).unwrap_err().into_inner(), n);
            assert_eq!(s.try_send(n), Err(TrySendError::Disconnected(n)));
            assert_eq!(
                s.send_timeout(n, Duration::MAX).unwrap_err().into_inner(),
                n
            );
        }
    }
}

/// A power series whose coefficients are made on demand: `ask` for one, then receive it.
#[derive(Clone)]
struct Series {
    ask: Sender<()>,
    coefficient: Receiver<f64>,
}

impl Series {
    /// `next` makes a coefficient whenever somebody asks, until nobody can ask any more.
    fn new(mut next: impl FnMut() -> Option<f64> + Send + 'static) -> Series {
        let (ask, asked) = channel::bounded(0);
        let (s, coefficient) = channel::bounded(0);
        go!(move || {
            while asked.recv().is_ok() {
                match next() {
                    Some(value) if s.send(value).is_ok() => {}
                    _ => break,
                }
            }
        });
        Series { ask, coefficient }
    }

    fn get(&self) -> Option<f64> {
        self.ask.send(()).ok()?;
        self.coefficient.recv().ok()
    }

    /// Two series with the same coefficients; the slower one's wait in a queue.
    fn split(self) -> [Series; 2] {
        let queues = [channel::unbounded(), channel::unbounded()];
        // A channel of capacity 1 with one thing in it is a lock.
        let (give_back, borrow) = channel::bounded(1);
        give_back.send(self).unwrap();
        std::array::from_fn(|n| {
            let (borrow, give_back) = (borrow.clone(), give_back.clone());
            let (mine, other) = (queues[n].1.clone(), queues[1 - n].0.clone());
            Series::new(move || {
                if let Ok(value) = mine.try_recv() {
                    return Some(value);
                }
                let source = borrow.recv().unwrap();
                let value = mine.try_recv().ok().or_else(|| {
                    let value = source.get()?;
                    // The other half may be gone.
                    let _ = other.send(value);
                    Some(value)
                });
                give_back.send(source).unwrap();
                value
            })
        })
    }

    /// The coefficients of e to the x: 1 + the integral of itself.
    fn exp(terms: u32) -> Series {
        let (give, take) = channel::bounded(1);
        let (mut n, mut itself) = (0, None);
        let [one, other] = Series::new(move || {
            n += 1;
            match n {
                1 => Some(1.0),
                n if n > terms => None,
                n => {
                    let itself: &Series = itself.get_or_insert_with(|| take.recv().unwrap());
                    Some(itself.get()? / f64::from(n - 1))
                }
            }
        })
        .split();
        give.send(other).unwrap();
        one
    }

    fn product(self, other: Series) -> Series {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        Series::new(move || {
            a.push(self.get()?);
            b.push(other.get()?);
            Some(a.iter().zip(b.iter().rev()).map(|(a, b)| a * b).sum())
        })
    }
}

/// `test/chan/powser1.go`: power series as processes that ask each other, and themselves.
#[test]
fn chan_power_series() {
    let _dog = watchdog();
    on_goroutine(|| {
        let square = Series::exp(20).product(Series::exp(20));
        let mut expected = 1.0;
        for n in 1..=20 {
            let coefficient = square.get().unwrap();
            assert!(
                (coefficient - expected).abs() < 1e-9,
                "{coefficient}, {expected}"
            );
            expected *= 2.0 / f64::from(n);
        }
        assert_eq!(square.get(), None);
    });
}

/// `test/chanlinear.go`: taking one of many waiters out of a queue does not look through all of them.
/// Ten thousand goroutines select over a channel of their own and one that all share.
#[test]
fn chan_many_wait_in_one_queue_and_leave_it() {
    let _dog = watchdog();
    on_goroutine(|| {
        let (_all, shared) = channel::bounded::<()>(0);
        let own: Vec<_> = (0..10_000)
            .map(|n| {
                let (shared, (s, r)) = (shared.clone(), channel::bounded::<u32>(0));
                let goroutine = go!(move || {
                    channel::select! {
                        recv(shared) -> _ => panic!("nobody sends there"),
                        recv(r) -> m => assert_eq!(m, Ok(n)),
                    }
                });
                (s, goroutine)
            })
            .collect();
        let_others_run();
        for (n, (s, goroutine)) in own.into_iter().enumerate() {
            s.send(n as u32).unwrap();
            goroutine.join().unwrap();
        }
    });
}
