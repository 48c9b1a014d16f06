//! What the tests of `corio::sync` share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Runs `body` on `n` goroutines and `n` threads at once, numbered in that order, and waits for all.
pub(crate) fn on_both(n: usize, body: impl Fn(usize) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let goroutines: Vec<_> = (0..n)
        .map(|i| {
            let body = Arc::clone(&body);
            corio::spawn(move || body(i))
        })
        .collect();
    let threads: Vec<_> = (n..2 * n)
        .map(|i| {
            let body = Arc::clone(&body);
            thread::spawn(move || body(i))
        })
        .collect();
    for handle in goroutines {
        handle.join().unwrap();
    }
    for handle in threads {
        handle.join().unwrap();
    }
}

/// `hold` takes a lock, calls what it is given, and unlocks; it is called again and again, with hardly a
/// moment in between. `wait` takes that lock too, on a goroutine or on a thread. It always comes too late when
/// it is woken by `hold` unlocking, so it gets the lock only if that is handed over to it one day.
#[allow(dead_code, reason = "not all that use this module starve")]
pub(crate) fn is_not_starved(hold: fn(fn()), wait: fn()) {
    let rounds_until = |waits: &dyn Fn() -> bool| {
        let mut rounds = 0;
        hold(|| ());
        while !waits() {
            hold(|| corio::sleep(Duration::from_micros(20)));
            rounds += 1;
            assert!(rounds < 20_000, "starved");
        }
    };
    let got = Arc::new(AtomicUsize::new(0));
    let waiter = || {
        let got = Arc::clone(&got);
        move || {
            for _ in 0..3 {
                wait();
                got.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let goroutine = corio::spawn(waiter());
    rounds_until(&|| got.load(Ordering::SeqCst) == 3);
    goroutine.join().unwrap();
    let thread = thread::spawn(waiter());
    rounds_until(&|| got.load(Ordering::SeqCst) == 6);
    thread.join().unwrap();
}
