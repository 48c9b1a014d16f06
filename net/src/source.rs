//! A poll descriptor: what the poller, the timers and the operations of one socket share. Go's
//! `pollDesc`.
//!
//! Sources live in the [`arena`](crate::arena) and are reused. Which socket is in one at the moment is
//! told by its generation, which is part of the token that the socket is registered with:
//!
//! ```text
//!  token:  | generation (upper half of the bits) | number (lower half) |
//! ```
//!
//! | field | written by | when |
//! | --- | --- | --- |
//! | `index` | the arena | once |
//! | `generation` | [`Socket`](crate::socket::Socket)'s last drop | nobody else has the source |
//! | `fd` | `Socket::open` | nobody else has the source |
//! | `handles` | handles | cloned, dropped |
//! | `mode` | handles | bits are added; `NONBLOCKING` is taken back too |
//! | `flags` | poller | bits are added |
//! | `read`, `write` | see [`direction`](crate::direction) | |
//! | `next_free` | the arena | under its lock |
//!
//! Next in the reading order: `arena`, where sources live.

use crate::direction::{Direction, Timers};
use crate::prim::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::sys;
use crate::word::{Flags, RawWaiter};
use corio::reactor::timer::{self, TimerId};
use corio::reactor::{self, ReadyList, WaitReason, Waiter};
use mio::Token;
use std::ptr;
use std::task::Waker;

/// One direction of a socket, with the runtime's timers.
pub(crate) type Side = Direction<TimerId>;

/// Operations don't park but fail with `WouldBlock`.
pub(crate) const NONBLOCKING: u8 = 1;
/// The poller must be told before the descriptor is closed: it may have been duplicated, so that closing it does
/// not end its registration; or it has a name that others may want.
pub(crate) const EXPOSED: u8 = 2;

/// Bits of the token that are the source's number.
const HALF: u32 = usize::BITS / 2;
const LOWER: usize = (1 << HALF) - 1;

/// See the module's head.
#[repr(align(64))]
#[doc(alias = "pollDesc")]
pub(crate) struct Source {
    index: u32,
    generation: AtomicU32,
    pub(crate) handles: AtomicUsize,
    pub(crate) fd: AtomicI32,
    pub(crate) flags: Flags,
    mode: AtomicU8,
    pub(crate) next_free: AtomicU32,
    pub(crate) read: Side,
    pub(crate) write: Side,
}

// Four cache lines: there is one for each connection, idle or not.
const _: () = assert!(size_of::<Source>() <= 256);

impl Source {
    /// A source that is not in use.
    pub(crate) fn new(index: u32) -> Self {
        Source {
            index,
            generation: AtomicU32::new(0),
            handles: AtomicUsize::new(0),
            fd: AtomicI32::new(-1),
            flags: Flags::new(),
            mode: AtomicU8::new(0),
            next_free: AtomicU32::new(0),
            read: Side::new(),
            write: Side::new(),
        }
    }

    /// Its number in the arena.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// What the socket that is in it now is registered with.
    pub(crate) fn token(&self) -> Token {
        token(self.index, self.generation.load(Ordering::Relaxed))
    }

    /// Is `token` that of the socket that is in it now? The answer may be out of date at once.
    #[inline]
    pub(crate) fn is(&self, token: Token) -> bool {
        self.token() == token
    }

    /// Makes it as good as new. Only when nobody else has it.
    pub(crate) fn reset(&self, fd: i32, mode: u8) {
        self.fd.store(fd, Ordering::Relaxed);
        self.handles.store(1, Ordering::Relaxed);
        self.mode.store(mode, Ordering::Relaxed);
        self.flags.reset();
        self.read.reset();
        self.write.reset();
    }

    /// From here on events for the last socket are out of date. Only when nobody else has it.
    pub(crate) fn retire(&self) {
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation
            .store(generation.wrapping_add(1), Ordering::Relaxed);
    }

    /// Is this bit of the mode set?
    #[inline]
    pub(crate) fn mode(&self, bit: u8) -> bool {
        self.mode.load(Ordering::Relaxed) & bit != 0
    }

    /// Sets or clears a bit of the mode.
    pub(crate) fn set_mode(&self, bit: u8, on: bool) {
        if self.mode(bit) == on {
            return;
        }
        if on {
            self.mode.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.mode.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// The socket that is registered with `token`, in words: its addresses, or its descriptor's number. `None` if it
    /// is gone. The caller has no handle to it.
    pub(crate) fn describe(&self, token: Token, reason: WaitReason) -> Option<String> {
        if !self.is(token) {
            return None;
        }
        let fd = self.fd.load(Ordering::Relaxed);
        let text = sys::describe(fd, reason)?;
        // Somebody else's, if the descriptor was closed and its number used again in between: whoever closes it
        // has retired the source before, and the system calls order that before ours.
        self.is(token).then_some(text)
    }

    /// The poller saw an event.
    #[inline]
    #[doc(alias = "netpollready")]
    pub(crate) fn event(&self, event: Readiness, ready: &mut ReadyList) {
        let flagged = event.flags != 0;
        if flagged {
            self.flags.add(event.flags);
        }
        if event.readable
            && let Some(waiter) = self.read.word.ready(flagged)
        {
            push(waiter, ptr::from_ref(self).cast(), ready);
        }
        if event.writable
            && let Some(waiter) = self.write.word.ready(flagged)
        {
            push(waiter, ptr::from_ref(self).cast(), ready);
        }
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    /// Reading has a result: data, the end, or an error.
    pub(crate) readable: bool,
    /// Writing has a result.
    pub(crate) writable: bool,
    /// Of [`Flags`].
    pub(crate) flags: u8,
}

/// The number of the source that a token is for.
#[inline]
pub(crate) fn index(token: Token) -> u32 {
    (token.0 & LOWER) as u32
}

fn token(index: u32, generation: u32) -> Token {
    Token((generation as usize) << HALF | index as usize)
}

/// In a waiter's number: it is a poll's, the rest being the address of its boxed [`Waker`].
pub(crate) const POLL: usize = 1;

/// Wakes what waited, be it parked or a poll. From anywhere but scheduler context.
#[inline]
pub(crate) fn wake(waiter: RawWaiter) {
    match polling(waiter) {
        None => waking(waiter).ready(),
        Some(waker) => reactor::wake(waker),
    }
}

/// As [`wake`], in scheduler context. `near`: as for [`ReadyList::push_near`].
#[inline]
fn push(waiter: RawWaiter, near: *const u8, ready: &mut ReadyList) {
    match polling(waiter) {
        None => ready.push_near(waking(waiter), near),
        Some(waker) => reactor::push_waker(waker, ready),
    }
}

/// The waker behind a number that was taken out of a word, if it is a poll's.
#[inline]
pub(crate) fn polling(waiter: RawWaiter) -> Option<Box<Waker>> {
    (waiter.get() & POLL != 0).then(|| {
        let waker = ptr::with_exposed_provenance_mut(waiter.get() & !POLL);
        // SAFETY: a poll put a box's address there, and one caller gets the number that is taken out (`word`).
        unsafe { Box::from_raw(waker) }
    })
}

/// The waiter behind a number that was taken out of a queue, or out of a word if it is no poll's.
#[inline]
pub(crate) fn waking(waiter: RawWaiter) -> Waiter {
    // SAFETY: numbers in words and queues come from `Waiter::into_raw`, and one that is taken out is
    // given to one caller, who turns it into a waiter here (`word`, `direction`).
    unsafe { Waiter::from_raw(waiter) }
}

/// The runtime's clock and timers, for one direction.
pub(crate) struct Heap(pub(crate) &'static Side);

impl Timers for Heap {
    type Id = TimerId;

    fn now(&self) -> u64 {
        timer::now()
    }

    fn add(&self, when: u64, seq: u64) -> TimerId {
        timer::add(when, fire, ptr::from_ref(self.0).expose_provenance(), seq)
    }

    fn cancel(&self, id: TimerId) {
        timer::cancel(id);
    }
}

/// What the timers of [`Heap`] call.
fn fire(side: usize, seq: u64, ready: &mut ReadyList) {
    // SAFETY: `Heap::add` has put the address of a `&'static Side` here.
    let side: &'static Side = unsafe { &*ptr::with_exposed_provenance(side) };
    side.fire(seq, &Heap(side), |waiter| push(waiter, ptr::null(), ready));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_one_generation() {
        let source = Source::new(7);
        let first = source.token();
        assert_eq!(index(first), 7);
        assert!(source.is(first));
        source.retire();
        assert!(!source.is(first));
        assert_eq!(index(source.token()), 7);
        assert!(source.is(source.token()));
    }

    #[test]
    fn generations_wrap() {
        let source = Source::new(u32::MAX - 100);
        source.generation.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(index(source.token()), u32::MAX - 100);
        source.retire();
        assert_eq!(source.token(), token(u32::MAX - 100, 0));
    }
}
