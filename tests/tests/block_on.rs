//! `block_on`: a goroutine waits for a future.

use corio_tests::watchdog;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// A future that somebody completes: a one-shot channel in its simplest form.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(Option<u32>, Option<Waker>)>>);

impl Gate {
    fn open(&self, value: u32) {
        let waker = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = Some(value);
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Gate {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let mut gate = self.0.lock().unwrap();
        match gate.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                gate.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn block_on_a_ready_future_returns() {
    let _dog = watchdog();
    assert_eq!(corio::block_on(ready(3)), 3);
    assert_eq!(
        corio::spawn(|| corio::block_on(async { 4 }))
            .join()
            .unwrap(),
        4
    );
}

#[test]
fn block_on_is_woken_from_a_thread() {
    let _dog = watchdog();
    for n in 0..500 {
        let gate = Gate::default();
        let theirs = gate.clone();
        let handle = corio::spawn(move || corio::block_on(theirs));
        let thread = thread::spawn(move || gate.open(n));
        assert_eq!(handle.join().unwrap(), n);
        thread.join().unwrap();
    }
}

#[test]
fn block_on_is_woken_from_a_goroutine() {
    let _dog = watchdog();
    for n in 0..5000 {
        let gate = Gate::default();
        let theirs = gate.clone();
        let handle = corio::spawn(move || corio::block_on(theirs));
        corio::spawn(move || gate.open(n));
        assert_eq!(handle.join().unwrap(), n);
    }
}

#[test]
fn block_on_a_thread_is_woken_from_a_goroutine() {
    let _dog = watchdog();
    for n in 0..1000 {
        let gate = Gate::default();
        let theirs = gate.clone();
        corio::spawn(move || theirs.open(n));
        assert_eq!(corio::block_on(gate), n);
    }
}

#[test]
fn block_on_parks_only_its_goroutine() {
    let _dog = watchdog();
    let gates: Vec<Gate> = (0..1000).map(|_| Gate::default()).collect();
    let handles: Vec<_> = gates
        .iter()
        .cloned()
        .map(|gate| corio::spawn(move || corio::block_on(gate)))
        .collect();
    // Last first, so that nobody waits for the one before.
    for (n, gate) in gates.iter().enumerate().rev() {
        gate.open(n as u32);
    }
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n as u32);
    }
}

#[test]
fn block_on_notices_a_wake_during_the_poll() {
    let _dog = watchdog();
    let handle = corio::spawn(|| {
        let mut polls = 0;
        corio::block_on(poll_fn(|cx| {
            polls += 1;
            let waker = cx.waker().clone();
            // It has arrived before the poll returns.
            corio::spawn(move || waker.wake()).join().unwrap();
            if polls == 100 {
                Poll::Ready(polls)
            } else {
                Poll::Pending
            }
        }))
    });
    assert_eq!(handle.join().unwrap(), 100);
}

#[test]
fn block_on_a_self_waking_future_lets_others_run() {
    let _dog = watchdog();
    let turns = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&turns);
    let handle = corio::spawn(move || {
        let other = corio::spawn(move || theirs.fetch_add(1, Ordering::SeqCst));
        // Ends only if the other one gets its turn, also on a single P.
        corio::block_on(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if turns.load(Ordering::SeqCst) == 1 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        other.join().unwrap();
    });
    handle.join().unwrap();
}

#[test]
fn block_on_waker_may_outlive_everything() {
    let _dog = watchdog();
    let kept = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..100 {
        let theirs = Arc::clone(&kept);
        corio::spawn(move || {
            corio::block_on(poll_fn(|cx| {
                theirs.lock().unwrap().push(cx.waker().clone());
                Poll::Ready(())
            }));
        })
        .join()
        .unwrap();
    }
    let parked: Vec<_> = (0..100).map(|_| corio::spawn(corio::park)).collect();
    for waker in kept.lock().unwrap().drain(..) {
        waker.wake_by_ref();
        waker.wake();
    }
    // The goroutines in the old ones' slots are not woken by them.
    corio::spawn(|| corio::sleep(Duration::from_millis(2)))
        .join()
        .unwrap();
    assert!(parked.iter().all(|handle| !handle.is_finished()));
    parked.iter().for_each(|handle| handle.goroutine().unpark());
    parked.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn block_on_is_not_ended_by_unpark() {
    let _dog = watchdog();
    let gate = Gate::default();
    let theirs = gate.clone();
    let handle = corio::spawn(move || corio::block_on(theirs));
    for _ in 0..1000 {
        handle.goroutine().unpark();
        corio::yield_now();
    }
    assert!(!handle.is_finished());
    gate.open(1);
    assert_eq!(handle.join().unwrap(), 1);
}

#[test]
fn block_on_nests_with_other_waits() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..100u32)
        .map(|n| {
            corio::spawn(move || {
                corio::block_on(async {
                    corio::sleep(Duration::from_micros(u64::from(n)));
                    let inner = corio::spawn(move || corio::block_on(ready(n)));
                    let gate = Gate::default();
                    let theirs = gate.clone();
                    corio::spawn(move || theirs.open(n));
                    inner.join().unwrap() + gate.await
                })
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), 2 * n as u32);
    }
}

#[test]
fn block_on_passes_a_panic_on() {
    let _dog = watchdog();
    let handle = corio::spawn(|| corio::block_on(async { panic!("future") }));
    assert_eq!(
        *handle.join().unwrap_err().downcast::<&str>().unwrap(),
        "future"
    );
}
