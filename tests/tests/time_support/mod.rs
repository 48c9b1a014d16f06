//! What the tests of time and contexts share.
#![allow(dead_code, reason = "not every test file uses all of it")]

use corio_tests::watchdog;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Never, as far as a test goes.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// Runs `f` on a plain thread and on a goroutine.
pub(crate) fn on_both(f: impl Fn() + Send + Sync + 'static) {
    let _dog = watchdog();
    f();
    corio::spawn(f).join().unwrap();
}

/// Starts `n` of which every other one is a goroutine, the others threads; the result joins them.
pub(crate) fn mixed(n: usize, f: impl Fn(usize) + Send + Sync + 'static) -> impl FnOnce() {
    let f = Arc::new(f);
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for i in 0..n {
        let f = Arc::clone(&f);
        if i % 2 == 0 {
            goroutines.push(corio::spawn(move || f(i)));
        } else {
            threads.push(thread::spawn(move || f(i)));
        }
    }
    move || {
        goroutines.into_iter().for_each(|g| g.join().unwrap());
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

/// Lets time pass: what had to happen by itself until then would have.
pub(crate) fn pass(time: Duration) {
    let end = Instant::now() + time;
    corio::sleep_until(end);
    while Instant::now() < end {
        corio::yield_now();
    }
}
