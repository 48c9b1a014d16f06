//! Timers for models: each is a thread, which may come at any time.

use crate::park::WaitToken;
use crate::prim::clock;
use loom::thread;

/// Names a timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerId;

/// A timer that ends the wait `token` names.
pub(crate) fn wake_at(when: u64, token: WaitToken) -> TimerId {
    thread::spawn(move || {
        clock::advance(when);
        if let Some(waiter) = token.claim() {
            waiter.ready();
        }
    });
    TimerId
}

/// Does nothing: a cancelled timer may be about to run, and so it always is here.
pub(crate) fn cancel(_: TimerId) {}
