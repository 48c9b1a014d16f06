//! Goroutines and plain threads behind one face, so that a test of channels can try every pairing.

// Each test binary uses a part.
#![allow(dead_code)]

use std::thread;
use std::time::Duration;

/// Who runs something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Goroutine,
    Thread,
}

/// Both.
pub(crate) const SIDES: [Side; 2] = [Side::Goroutine, Side::Thread];

/// Long, but not for ever: what a test waits for comes long before, unless it fails.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Something that runs.
#[derive(Debug)]
#[must_use = "join it, or its panic is lost"]
pub(crate) enum Task<T> {
    Goroutine(corio::JoinHandle<T>),
    Thread(thread::JoinHandle<T>),
}

/// Every pair of sides: among goroutines, among threads, and across.
pub(crate) fn pairs() -> impl Iterator<Item = (Side, Side)> {
    SIDES.into_iter().flat_map(|a| SIDES.map(|b| (a, b)))
}

impl Side {
    /// Goroutines for even numbers, threads for odd ones.
    pub(crate) fn mixed(n: usize) -> Side {
        SIDES[n % 2]
    }

    pub(crate) fn spawn<T, F>(self, f: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self {
            Side::Goroutine => Task::Goroutine(corio::spawn(f)),
            Side::Thread => Task::Thread(thread::spawn(f)),
        }
    }

    /// Runs it to its end; its panic goes on here.
    pub(crate) fn run<T, F>(self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(f).result()
    }
}

impl<T> Task<T> {
    pub(crate) fn join(self) -> thread::Result<T> {
        match self {
            Task::Goroutine(handle) => handle.join(),
            Task::Thread(handle) => handle.join(),
        }
    }

    /// What it returned; its panic goes on here.
    pub(crate) fn result(self) -> T {
        match self.join() {
            Ok(value) => value,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }
}

/// Gives others the time to do what they should not do, or to get blocked where a test wants them. A
/// test must not depend on that: without it, it finds less, that is all.
pub(crate) fn let_others_run() {
    for _ in 0..20 {
        corio::yield_now();
    }
    corio::sleep(Duration::from_millis(1));
}
