//! `park`, `unpark`, and what a stray `unpark` must not do.

use corio_tests::{wait_until, watchdog, yield_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn unpark_ends_a_park() {
    let _dog = watchdog();
    let handle = corio::spawn(corio::park);
    handle.goroutine().unpark();
    handle.join().unwrap();
}

#[test]
fn unpark_first_makes_the_next_park_return() {
    let _dog = watchdog();
    corio::spawn(|| {
        corio::current().unpark();
        corio::park();
    })
    .join()
    .unwrap();
}

#[test]
fn unpark_twice_is_one_token() {
    let _dog = watchdog();
    corio::spawn(|| {
        let me = corio::current();
        me.unpark();
        me.unpark();
        corio::park();
        let start = Instant::now();
        corio::park_timeout(SHORT);
        assert!(start.elapsed() >= SHORT);
    })
    .join()
    .unwrap();
}

#[test]
fn park_does_not_return_by_itself() {
    let _dog = watchdog();
    let go = Arc::new(AtomicBool::new(false));
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let go = Arc::clone(&go);
            corio::spawn(move || {
                corio::park();
                assert!(go.load(Ordering::SeqCst), "woken by nobody");
            })
        })
        .collect();
    for _ in 0..1000 {
        corio::spawn(corio::yield_now).join().unwrap();
    }
    go.store(true, Ordering::SeqCst);
    handles.iter().for_each(|h| h.goroutine().unpark());
    handles.into_iter().for_each(|h| h.join().unwrap());
}

#[test]
fn park_timeout_ends_by_time() {
    let _dog = watchdog();
    corio::spawn(|| {
        let start = Instant::now();
        corio::park_timeout(SHORT);
        assert!(start.elapsed() >= SHORT);
        corio::park_timeout(Duration::ZERO);
    })
    .join()
    .unwrap();
}

#[test]
fn park_timeout_ends_by_unpark() {
    let _dog = watchdog();
    let handle = corio::spawn(|| corio::park_timeout(LONG));
    handle.goroutine().unpark();
    handle.join().unwrap();
    let handle = corio::spawn(|| corio::park_timeout(Duration::MAX));
    handle.goroutine().unpark();
    handle.join().unwrap();
}

#[test]
fn park_timeout_that_has_ended_wakes_nobody_later() {
    let _dog = watchdog();
    corio::spawn(|| {
        for _ in 0..50 {
            // The timer of the first wait would fall into the second.
            corio::current().unpark();
            corio::park_timeout(Duration::from_millis(1));
            let start = Instant::now();
            corio::park_timeout(SHORT);
            assert!(start.elapsed() >= SHORT);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn park_works_on_plain_threads() {
    let _dog = watchdog();
    let (tx, rx) = mpsc::channel();
    let thread = thread::spawn(move || {
        tx.send(corio::current()).unwrap();
        corio::park();
        let start = Instant::now();
        corio::park_timeout(SHORT);
        assert!(start.elapsed() >= SHORT);
        corio::current().unpark();
        corio::park_timeout(LONG);
    });
    let plain = rx.recv().unwrap();
    corio::spawn(move || plain.unpark()).join().unwrap();
    thread.join().unwrap();
}

#[test]
fn ping_pong_between_goroutines() {
    let _dog = watchdog();
    ping_pong(10_000, |f| {
        let handle = corio::spawn(f);
        Box::new(move || handle.join().unwrap())
    });
}

#[test]
fn ping_pong_between_goroutine_and_thread() {
    let _dog = watchdog();
    ping_pong(2_000, |f| {
        let handle = thread::spawn(f);
        Box::new(move || handle.join().unwrap())
    });
}

type Joiner = Box<dyn FnOnce() + Send>;

/// A goroutine and whatever `start` starts unpark each other in turns.
fn ping_pong(rounds: usize, start: impl Fn(Box<dyn FnOnce() + Send>) -> Joiner) {
    let turn = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = mpsc::channel();
    let theirs = Arc::clone(&turn);
    let end = start(Box::new(move || {
        let (other_tx, other_rx) = mpsc::channel();
        tx.send((corio::current(), other_tx)).unwrap();
        let other: corio::Goroutine = corio::blocking(|| other_rx.recv().unwrap());
        for round in 0..rounds {
            while theirs.load(Ordering::SeqCst) != 2 * round + 1 {
                corio::park();
            }
            theirs.store(2 * round + 2, Ordering::SeqCst);
            other.unpark();
        }
    }));
    let mine = corio::spawn(move || {
        let (other, tx) = corio::blocking(|| rx.recv().unwrap());
        tx.send(corio::current()).unwrap();
        for round in 0..rounds {
            turn.store(2 * round + 1, Ordering::SeqCst);
            other.unpark();
            while turn.load(Ordering::SeqCst) != 2 * round + 2 {
                corio::park();
            }
        }
    });
    mine.join().unwrap();
    end();
}

#[test]
fn unpark_of_a_finished_goroutine_is_harmless() {
    let _dog = watchdog();
    let handle = corio::spawn(|| ());
    let goroutine = handle.goroutine().clone();
    handle.join().unwrap();
    goroutine.unpark();
    goroutine.unpark();
    assert_eq!(corio::spawn(|| 1).join().unwrap(), 1);
}

/// The slot of a finished goroutine goes to another one, whom an `unpark` for the old one must not
/// concern, be it before or after the slot changed hands.
#[test]
fn unpark_of_a_finished_goroutine_does_not_reach_its_successor() {
    let _dog = watchdog();
    corio::spawn(|| {
        for round in 0..200 {
            let handle = corio::spawn(|| ());
            let old = handle.goroutine().clone();
            yield_until(|| handle.is_finished());
            if round % 2 == 0 {
                old.unpark();
            }
            handle.join().unwrap();
            if round % 2 == 1 {
                old.unpark();
            }
            let successor = corio::spawn(|| {
                let start = Instant::now();
                corio::park_timeout(Duration::from_millis(2));
                start.elapsed()
            });
            old.unpark();
            assert!(
                successor.join().unwrap() >= Duration::from_millis(2),
                "round {round}"
            );
        }
    })
    .join()
    .unwrap();
}

#[test]
fn unpark_of_a_finished_goroutine_races_with_its_end() {
    let _dog = watchdog();
    let stop = Arc::new(AtomicBool::new(false));
    let (tx, rx) = mpsc::channel::<corio::Goroutine>();
    let unparker = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut known = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                known.extend(rx.try_iter());
                let from = known.len().saturating_sub(16);
                known.drain(..from);
                known.iter().for_each(corio::Goroutine::unpark);
            }
        })
    };
    corio::spawn(move || {
        for _ in 0..2000 {
            // Short-lived ones, which the thread goes on unparking, make room for one that parks.
            for _ in 0..4 {
                let handle = corio::spawn(|| ());
                tx.send(handle.goroutine().clone()).unwrap();
                handle.join().unwrap();
            }
            let parked = corio::spawn(|| {
                let start = Instant::now();
                corio::park_timeout(Duration::from_micros(200));
                assert!(
                    start.elapsed() >= Duration::from_micros(200),
                    "unparked by mistake"
                );
            });
            parked.join().unwrap();
        }
    })
    .join()
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    unparker.join().unwrap();
}

#[test]
fn unpark_does_not_end_a_sleep() {
    let _dog = watchdog();
    let time = Duration::from_millis(30);
    let handle = corio::spawn(move || {
        let start = Instant::now();
        corio::sleep(time);
        assert!(start.elapsed() >= time);
        // The token is still there.
        corio::park();
    });
    let goroutine = handle.goroutine().clone();
    while !handle.is_finished() {
        goroutine.unpark();
        corio::yield_now();
    }
    handle.join().unwrap();
}

#[test]
fn unpark_does_not_end_a_join() {
    let _dog = watchdog();
    let slow = corio::spawn(|| {
        corio::park();
        5
    });
    let slow_goroutine = slow.goroutine().clone();
    let joiner = corio::spawn(move || slow.join().unwrap());
    for _ in 0..1000 {
        joiner.goroutine().unpark();
        corio::yield_now();
    }
    assert!(!joiner.is_finished());
    slow_goroutine.unpark();
    assert_eq!(joiner.join().unwrap(), 5);
}

#[test]
fn unpark_storm_loses_nothing() {
    let _dog = watchdog();
    // Each goroutine counts work that others hand in before they unpark it.
    let work: Arc<Vec<AtomicUsize>> = Arc::new((0..16).map(|_| AtomicUsize::new(0)).collect());
    let done = Arc::new(AtomicUsize::new(0));
    const EACH: usize = 20_000;
    let workers: Vec<_> = (0..16)
        .map(|n| {
            let (work, done) = (Arc::clone(&work), Arc::clone(&done));
            corio::spawn(move || {
                let mut got = 0;
                while got < EACH {
                    corio::park();
                    got += work[n].swap(0, Ordering::SeqCst);
                }
                done.fetch_add(got, Ordering::SeqCst);
            })
        })
        .collect();
    let goroutines: Vec<_> = workers.iter().map(|w| w.goroutine().clone()).collect();
    let givers: Vec<_> = (0..4)
        .map(|_| {
            let (work, goroutines) = (Arc::clone(&work), goroutines.clone());
            let give = move || {
                for i in 0..EACH / 4 * 16 {
                    work[i % 16].fetch_add(1, Ordering::SeqCst);
                    goroutines[i % 16].unpark();
                }
            };
            thread::spawn(give)
        })
        .collect();
    givers.into_iter().for_each(|g| g.join().unwrap());
    workers.into_iter().for_each(|w| w.join().unwrap());
    assert_eq!(done.load(Ordering::SeqCst), 16 * EACH);
}

#[test]
fn goroutine_handle_is_equal_to_itself() {
    let _dog = watchdog();
    let handle = corio::spawn(corio::current);
    let outside = handle.goroutine().clone();
    let inside = handle.join().unwrap();
    assert_eq!(inside, outside);
    assert_ne!(inside, corio::current());
}

#[test]
fn raw_wait_can_be_won_by_one_only() {
    use corio::reactor::{self, WaitReason};
    let _dog = watchdog();
    let (tx, rx) = mpsc::channel();
    let wins = Arc::new(AtomicUsize::new(0));
    let handle = corio::spawn(move || {
        for _ in 0..2000 {
            // SAFETY: it is parked for right after.
            let token = unsafe { reactor::begin() };
            tx.send(token).unwrap();
            reactor::park(WaitReason::Io, 0);
            assert!(!token.is_open());
        }
    });
    let theirs = Arc::clone(&wins);
    for token in rx {
        let racers: Vec<_> = (0..3)
            .map(|_| {
                let wins = Arc::clone(&theirs);
                corio::spawn(move || {
                    if let Some(waiter) = token.claim() {
                        wins.fetch_add(1, Ordering::SeqCst);
                        waiter.ready();
                    }
                })
            })
            .collect();
        racers.into_iter().for_each(|r| r.join().unwrap());
    }
    handle.join().unwrap();
    assert_eq!(wins.load(Ordering::SeqCst), 2000);
}

#[test]
fn raw_wait_given_up_leaves_no_trace() {
    use corio::reactor::{self, WaitReason};
    let _dog = watchdog();
    corio::spawn(|| {
        for _ in 0..100 {
            // SAFETY: it is cancelled right after.
            let token = unsafe { reactor::begin() };
            token.claim().unwrap().cancel();
            assert!(token.claim().is_none());
            // SAFETY: it is cancelled.
            unsafe { reactor::prepare() }.cancel();
            corio::sleep(Duration::from_micros(10));
            // SAFETY: it is parked for right after.
            unsafe { reactor::prepare() }.ready();
            reactor::park(WaitReason::Io, 0);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn raw_waiter_survives_as_a_word() {
    use corio::reactor::{self, WaitReason, Waiter};
    let _dog = watchdog();
    let (tx, rx) = mpsc::channel();
    let handle = corio::spawn(move || {
        // SAFETY: it is parked for right after.
        tx.send(unsafe { reactor::prepare() }.into_raw()).unwrap();
        reactor::park(WaitReason::Io, 0);
    });
    let raw = rx.recv().unwrap();
    assert_eq!(raw.get() & 7, 0);
    // SAFETY: it comes from `into_raw` and is turned back once.
    unsafe { Waiter::from_raw(raw) }.ready();
    handle.join().unwrap();
}

#[test]
fn parked_goroutine_counts_as_waiting() {
    let _dog = watchdog();
    let handle = corio::spawn(corio::park);
    wait_until("waiting", || corio::metrics().goroutines.waiting >= 1);
    handle.goroutine().unpark();
    handle.join().unwrap();
}
