//! What the tests of `corio::sync` share.

use std::sync::Arc;
use std::thread;

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
