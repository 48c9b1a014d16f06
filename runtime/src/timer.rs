//! Raw timers: a function and two words, called when the time has come.
//!
//! Everything that depends on time is built on them: sleeping, timeouts, socket deadlines. They are
//! for implementers of blocking calls; see [`add`] for what a timer's function may do.
//!
//! A timer lives in the heap of the P that its creator holds (any P's, if it holds none) and is run
//! by whichever M comes by when it is due. Its precision is the poller's: a millisecond on an idle
//! Linux system.
//!
//! Next in the reading order: `park`.

use crate::prim::clock;
use crate::sched::g::{EntryFn, GRef};
use crate::sched::p::P;
use crate::sched::reactor::ReadyList;
use crate::sched::timers::{Due, Key};
use crate::sched::waiter::WaitToken;
use crate::sched::{SpawnRequest, current, sched};
use std::io;
use std::mem::MaybeUninit;
use std::panic::Location;
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

/// As [`add`], for a timer's function, which passes on the list it was called with: the new timer goes
/// into the heap that the due one came from.
pub(crate) fn add_again(
    when: u64,
    func: TimerFn,
    arg: usize,
    seq: u64,
    ready: &ReadyList,
) -> TimerId {
    let sched = sched();
    let p = ready.timers_of();
    let heap = &sched.p(p as usize).timers;
    let key = heap.add(when, Due { func, arg, seq });
    // Who runs timers looks at all of them again before it sleeps; but somebody else may be about to.
    sched.poller.timer_added(when);
    TimerId { p, key }
}

/// Makes a goroutine that starts with `entry`, `arg` being the first word of its payload; nobody joins
/// it. This is how a timer's function gets user code to run; it allocates nothing.
///
/// # Errors
///
/// `max_goroutines` exist, or memory is exhausted. Nothing was done with `arg`.
pub(crate) fn start(
    entry: EntryFn,
    arg: usize,
    location: &'static Location<'static>,
    ready: &mut ReadyList,
) -> io::Result<()> {
    ready.push_new(sched().make_detached(&request(entry, arg, location))?);
    Ok(())
}

/// As [`start`], from user code: the goroutine is queued as one that its caller has spawned.
pub(crate) fn start_now(
    entry: EntryFn,
    arg: usize,
    location: &'static Location<'static>,
) -> io::Result<()> {
    let sched = sched();
    sched.enqueue(sched.make_detached(&request(entry, arg, location))?);
    Ok(())
}

fn request(entry: EntryFn, arg: usize, location: &'static Location<'static>) -> SpawnRequest {
    let mut payload = [MaybeUninit::uninit(); 3];
    payload[0].write(arg);
    SpawnRequest {
        entry,
        payload,
        class: None,
        location,
    }
}

/// The word that `g` was [`start`]ed with.
///
/// # Safety
///
/// Only as the first thing that such a goroutine's entry does.
pub(crate) unsafe fn started_with(g: GRef) -> usize {
    // SAFETY: the payload is the goroutine's, and `request` wrote its first word.
    unsafe { (*g.payload())[0].assume_init() }
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
