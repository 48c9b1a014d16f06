//! Using the wakers of futures, for implementers of things to wait for.
//!
//! A [`Waker`] is user code, its destructor too: it may block, panic, or call back into the runtime, and so it is
//! never run in scheduler context, nor under anybody's lock or turn. There are two kinds:
//!
//! - [`block_on`](crate::block_on)'s own, known by its table: all that it does is to make a goroutine ready, and so
//!   that is done at once. It is the common case, and costs what waking a parked goroutine costs.
//! - Any other is used in a goroutine that is made for it, where a panic is reported and ends nothing else.
//!
//! Rejected: one goroutine that uses all of them. A waker that blocks would keep the others waiting, and the
//! goroutine would count as one that was left over.
//!
//! Wakers come boxed: what waits keeps them behind a thin pointer, and a goroutine starts with one word.

use crate::park::Waiter;
use crate::prim::clock;
use crate::sched::g::GRef;
use crate::sched::reactor::ReadyList;
use crate::task::block_on;
use crate::task::join::catch;
use crate::timer;
use std::panic::Location;
use std::task::Waker;

/// If there can be no goroutine now, it is tried again after so many nanoseconds.
const RETRY: u64 = 1_000_000;

/// Uses a waker in scheduler context: in [`Reactor::poll`](crate::reactor::Reactor::poll), or in a timer's function.
///
/// Never runs user code itself: see [`wake`].
///
/// ```
/// use corio::reactor::{ReadyList, push_waker, timer};
/// use std::future::poll_fn;
/// use std::ptr::with_exposed_provenance_mut;
/// use std::task::{Poll, Waker};
///
/// fn due(waker: usize, _: u64, ready: &mut ReadyList) {
///     // SAFETY: it was a box's, and this is called once.
///     push_waker(unsafe { Box::from_raw(with_exposed_provenance_mut::<Waker>(waker)) }, ready);
/// }
///
/// let mut armed = false;
/// corio::block_on(poll_fn(|cx| {
///     if armed {
///         return Poll::Ready(());
///     }
///     armed = true;
///     let waker = Box::into_raw(Box::new(cx.waker().clone()));
///     timer::add(timer::now() + 1_000_000, due, waker.expose_provenance(), 0);
///     Poll::Pending
/// }));
/// ```
pub fn push_waker(waker: Box<Waker>, ready: &mut ReadyList) {
    if block_on::is_own(&waker) {
        if let Some(waiter) = block_on::notify(*waker) {
            ready.push(waiter);
        }
        return;
    }
    let arg = Box::into_raw(waker).expose_provenance();
    if timer::start(run, arg, Location::caller(), ready).is_err() {
        timer::add(clock::now() + RETRY, retry, arg, 0);
    }
}

/// Uses a waker, from anywhere but scheduler context. Never blocks or switches, and never runs user code itself:
/// a waker that is not [`block_on`](crate::block_on)'s is used, and dropped, in a goroutine of its own.
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
///
/// let mut polls = 0;
/// corio::block_on(poll_fn(|cx| {
///     polls += 1;
///     corio::reactor::wake(Box::new(cx.waker().clone()));
///     if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
/// }));
/// ```
pub fn wake(waker: Box<Waker>) {
    if block_on::is_own(&waker) {
        block_on::notify(*waker).map(Waiter::ready).unwrap_or(());
        return;
    }
    let arg = Box::into_raw(waker).expose_provenance();
    if timer::start_now(run, arg, Location::caller()).is_err() {
        timer::add(clock::now() + RETRY, retry, arg, 0);
    }
}

/// A timer's function: there could be no goroutine before.
fn retry(arg: usize, _: u64, ready: &mut ReadyList) {
    // SAFETY: it is the box that was kept when there could be none; the timer is not cancelled, and runs once.
    push_waker(unsafe { boxed(arg) }, ready);
}

/// A goroutine's entry: uses the waker.
///
/// # Safety
///
/// Called as an entry, once, by a goroutine that was started with a boxed waker.
unsafe fn run(g: GRef) {
    // SAFETY: by contract.
    let waker = unsafe { boxed(timer::started_with(g)) };
    // The panic was reported. Its payload may panic when it is dropped, and an entry must not unwind.
    if let Err(payload) = catch(|| waker.wake()) {
        let _ = catch(|| drop(payload)).map_err(std::mem::forget);
    }
}

/// # Safety
/// `arg` is the address of a boxed waker, which is now the caller's.
unsafe fn boxed(arg: usize) -> Box<Waker> {
    // SAFETY: by contract.
    unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut(arg)) }
}
