//! Operations as futures poll them: they never park, but leave a waker.
//!
//! A poll takes the direction's turn, tries as [`Turn::io`] does (a drained socket is not asked), and if it would have
//! to wait publishes its waker in the wait word *and gives the turn up*. Nobody may hold a turn between polls: the
//! next one may never come, as a future can be dropped, and `close` waits until turns are given up.
//!
//! | the waker is | by | and then |
//! | --- | --- | --- |
//! | boxed, and put into the word | the poll | the word owns it |
//! | taken out and used | an event, the timer, a new deadline, `close`; whoever gets the turn next | the poll is made again |
//! | taken out and dropped | the next poll in this direction, whose waker replaces it | |
//! | taken out and used | the last handle's drop | it was left by a future that was dropped: nobody looks |
//!
//! So a dropped future leaves a waker behind that is used in vain at most once, and needs no clean-up of its own.
//! One poll waits per direction: a later one replaces it. Where a goroutine is blocked in the same direction, a poll
//! can't queue for the turn (a queue node lies on the stack of who waits); it is made again after a pause.
//!
//! Rejected: keeping the turn while waiting, see above; a queue of polls, which needs memory per poll and a destructor
//! of each future to leave it, for what no user of a stream does.
//!
//! `models::polls` explores it beside events, operations that park, and `close`.
//!
//! A poll is no switch point: what polls it may hold a lock that isn't ours.

use super::{Moved, Turn};
use crate::direction::NEVER;
use crate::error::closed;
use crate::metrics::timed_out;
use crate::socket::{Socket, Way};
use crate::source::{Heap, POLL, polling, wake};
use crate::word::{Publish, RawWaiter, State};
use corio::reactor::{ReadyList, push_waker, timer};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::task::{Context, Poll, Waker};

/// The pause, in nanoseconds, before a poll that found a goroutine's turn is made again.
const PAUSE: u64 = 1_000_000;

/// What one direction's polls remember from one to the next: until when they may wait, as the direction's timeout has
/// it, or [`NEVER`].
#[derive(Debug)]
pub(crate) struct Polls {
    until: u64,
}

impl Polls {
    pub(crate) fn new() -> Polls {
        Polls { until: NEVER }
    }

    /// An operation, as [`Socket::io`], for a future.
    #[inline]
    pub(crate) fn io<T, E: Into<Moved>>(
        &mut self,
        socket: &Socket,
        way: Way,
        cx: &Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> Poll<io::Result<T>> {
        let result = self.attempt(socket, way, cx, call, effect);
        if result.is_ready() {
            self.until = NEVER;
        }
        result
    }

    fn attempt<T, E: Into<Moved>>(
        &mut self,
        socket: &Socket,
        way: Way,
        cx: &Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> Poll<io::Result<T>> {
        let side = socket.side(way);
        if side.deadline() != NEVER {
            socket.admit(way)?;
        }
        if !side.try_turn() {
            socket.admit(way)?;
            after_a_pause(cx.waker());
            return Poll::Pending;
        }
        // Given up before a waker that is not needed any more is dropped: that may run user code.
        let _earlier;
        let turn = Turn { socket, side };
        _earlier = side.word.expire().and_then(polling);
        loop {
            let is_empty =
                side.is_drained() && side.word.state() == State::Nil && !socket.0.flags.any();
            if !is_empty {
                if !side.word.clear() {
                    return Poll::Ready(Err(closed()));
                }
                match call(socket.borrow()) {
                    Ok(value) => {
                        turn.moved(effect(&value).into());
                        return Poll::Ready(Ok(value));
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => {}
                        io::ErrorKind::Interrupted => continue,
                        _ => return Poll::Ready(Err(socket.or_closed(error))),
                    },
                }
            }
            if self.until == NEVER && side.timeout() != NEVER {
                self.until = timer::now().saturating_add(side.timeout());
            } else if self.until != NEVER && self.until <= timer::now() {
                return Poll::Ready(Err(timed_out()));
            }
            side.set_limit(self.until);
            let waiter = waiter(cx.waker());
            match side.word.publish(waiter) {
                Publish::Waiting => {
                    side.after_publishing(self.until, &Heap(side), wake);
                    return Poll::Pending;
                }
                Publish::Ready => drop(polling(waiter)),
                Publish::Closed => {
                    drop(polling(waiter));
                    return Poll::Ready(Err(closed()));
                }
            }
        }
    }
}

/// A waker as the wait word knows it.
fn waiter(waker: &Waker) -> RawWaiter {
    let waker = Box::into_raw(Box::new(waker.clone())).expose_provenance();
    debug_assert_eq!(waker & POLL, 0, "a box of pointers is aligned to them");
    RawWaiter::new(waker | POLL).expect("a box has an address")
}

#[cold]
fn after_a_pause(waker: &Waker) {
    let waker = Box::into_raw(Box::new(waker.clone())).expose_provenance();
    timer::add(timer::now() + PAUSE, again, waker, 0);
}

/// A timer's function.
fn again(waker: usize, _: u64, ready: &mut ReadyList) {
    // SAFETY: `after_a_pause` put a box's address there; the timer is not cancelled, and runs once.
    push_waker(
        unsafe { Box::from_raw(ptr::with_exposed_provenance_mut(waker)) },
        ready,
    );
}
