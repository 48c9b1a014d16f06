//! Raw timers: a function and two words, called when the time has come.
//!
//! Everything that depends on time is built on them: sleeping, timeouts, socket deadlines. They are
//! for implementers of blocking calls; see [`add`] for what a timer's function may do.
//!
//! A timer lives in the heap of the P that its creator holds (any P's, if it holds none) and is run
//! by whichever M comes by when it is due. Its precision is the poller's: a millisecond on an idle
//! Linux system.

use crate::prim::clock;
use crate::sched::p::P;
use crate::sched::reactor::ReadyList;
use crate::sched::timers::{Due, Key};
use crate::sched::waiter::WaitToken;
use crate::sched::{current, sched};
use std::time::Instant;

pub use crate::sched::timers::TimerFn;

/// Names a timer; may be kept beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    p: u32,
    key: Key,
}

/// The time on the clock that timers use: nanoseconds, never 0.
pub fn now() -> u64 {
    clock::now()
}

/// `instant` on the clock that timers use; the past becomes 1, the far future `u64::MAX`.
pub fn deadline(instant: Instant) -> u64 {
    clock::at(instant)
}

/// Calls `func(arg, seq, ready)` once the clock has reached `when`.
///
/// The function runs in scheduler context: it must not block, park, panic, take long or run user
/// code. It pushes the waiters it claims to `ready`. It may add timers.
pub fn add(when: u64, func: TimerFn, arg: usize, seq: u64) -> TimerId {
    let sched = sched();
    let due = Due { func, arg, seq };
    let add_to = |p: &P| TimerId {
        p: p.id,
        key: p.timers.add(when, due),
    };
    if let Some(m) = current::try_m()
        && let Some(held) = m.enter()
    {
        let id = add_to(&held);
        m.leave(held);
        sched.poller.timer_added(when);
        return id;
    }
    let p = sched.all_ps().next().expect("there is always a first P");
    let id = add_to(p);
    sched.poller.timer_added(when);
    // Its owner may be in user code for long: somebody who looks at all timers must be awake.
    sched.submitted();
    id
}

/// Cancels a timer. `true`: its function has not been called and won't be.
pub fn cancel(id: TimerId) -> bool {
    sched()
        .all_ps()
        .nth(id.p as usize)
        .is_some_and(|p| p.timers.cancel(id.key))
}

/// A timer that ends the wait `token` names.
pub(crate) fn wake_at(when: u64, token: WaitToken) -> TimerId {
    let (arg, seq) = token.into_words();
    add(when, wake, arg, seq)
}

fn wake(arg: usize, seq: u64, ready: &mut ReadyList) {
    // SAFETY: `wake_at` stored a token's words.
    if let Some(waiter) = unsafe { WaitToken::from_words(arg, seq) }.claim() {
        ready.push(waiter);
    }
}
