//! Operations: the one place through which every read and write passes.
//!
//! [`Socket::io`] takes the direction's turn and runs [`Turn::io`]:
//!
//! 1. closed, or deadline passed: an error, without trying.
//! 2. The last call drained the socket (see below) and no event came since: go to 5.
//! 3. Clear `READY`, make the system call. Done, unless it would block.
//! 4. (`WouldBlock`.)
//! 5. Publish a waiter, park. After an event go to 3; if the time is up, or the socket closed: an error.
//!
//! A call that moved less than it was asked to has *drained* a TCP socket: what was left to read, or
//! the room to write. The kernel says so again when that changes, and so the next call parks without
//! asking: a request costs one receive and one send. That is not relied on once the socket has had a
//! flag ([`Flags`](crate::word::Flags)), nor after a peek, which drains nothing.
//!
//! The first call on a fresh socket tries: words start as `READY`.
//!
//! [`Turn::ready`] waits in the same way for what a call would find, without making one: so a request
//! that is waited for before there is a buffer for it costs no further system call either.
//!
//! Some calls can't be waited for: [`Turn::retry`].
//!
//! A call that never waits is a switch point too ([`checkpoint`]): otherwise a goroutine whose socket
//! always has data would never let go of its P.
//!
//! No call here keeps anything derived from a thread-local over a park; system calls read `errno`
//! before they return to this file.

#[cfg(any(feature = "futures-io", feature = "hyper"))]
pub(crate) mod poll;

use super::{Socket, Way, nanos};
use crate::direction::{Enqueue, NEVER, Node, Outcome};
use crate::error::closed;
use crate::metrics::timed_out;
use crate::source::{Heap, NONBLOCKING, Side, wake, waking};
use crate::sys;
use crate::word::{Publish, State};
use corio::reactor::{WaitReason, checkpoint, park, prepare, timer};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::time::Duration;

/// The first pause between the tries of [`Turn::retry`], in nanoseconds: queues move fast.
const FIRST_PAUSE: u64 = 200_000;

/// What an operation that succeeded has done. Those that move no bytes may return a `bool`: whether
/// they have drained the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes taken from the socket, or put into it; [`metrics`](mod@crate::metrics) counts them.
    pub(crate) bytes: usize,
    /// Has it drained the socket? See the module's head.
    pub(crate) drained: bool,
}

impl From<bool> for Moved {
    #[inline]
    fn from(drained: bool) -> Self {
        Moved { bytes: 0, drained }
    }
}

/// What one call may take.
pub(crate) struct Patience {
    timeout: u64,
    /// The end of it, once the clock was looked at.
    until: u64,
}

impl Patience {
    /// Of a call that may take this many nanoseconds from its first wait on, or [`NEVER`].
    #[inline]
    fn of(timeout: u64) -> Self {
        Patience {
            timeout,
            until: NEVER,
        }
    }

    /// Of a call that waits as long as it takes.
    pub(crate) fn endless() -> Self {
        Patience::of(NEVER)
    }

    /// Of a call that starts now and may take `timeout`.
    pub(crate) fn new(timeout: Duration) -> Self {
        Patience {
            timeout: NEVER,
            until: timer::now().saturating_add(nanos(timeout)),
        }
    }

    /// When it ends. Looks at the clock once, and only if there is a timeout.
    #[inline]
    fn until(&mut self) -> u64 {
        if self.timeout != NEVER {
            self.until = timer::now().saturating_add(self.timeout);
            self.timeout = NEVER;
        }
        self.until
    }
}

impl Socket {
    /// Runs one operation: in turn, parking while it would block. `effect` tells from its result
    /// what it has done to the socket.
    #[inline]
    pub(crate) fn io<T, E: Into<Moved>>(
        &self,
        way: Way,
        reason: WaitReason,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> io::Result<T> {
        let mut patience = Patience::of(self.side(way).timeout());
        let result = self
            .turn(way, &mut patience)?
            .io(reason, &mut patience, call, effect);
        checkpoint();
        result
    }

    /// Waits until an operation in this direction would have a result, and moves nothing. See
    /// [`Turn::ready`].
    pub(crate) fn wait(&self, way: Way, reason: WaitReason) -> io::Result<()> {
        let mut patience = Patience::of(self.side(way).timeout());
        let result = self.turn(way, &mut patience)?.ready(reason, &mut patience);
        checkpoint();
        result
    }

    /// Takes the direction's turn for several operations, each of which has a timeout's time; so has
    /// this.
    pub(crate) fn turn_for(&self, way: Way) -> io::Result<Turn<'_>> {
        self.turn(way, &mut Patience::of(self.side(way).timeout()))
    }

    /// Takes the direction's turn, queueing for it if need be. A waiting caller is woken by its turn,
    /// by its time, and by close.
    #[inline]
    pub(crate) fn turn(&self, way: Way, patience: &mut Patience) -> io::Result<Turn<'_>> {
        let side = self.side(way);
        if !side.try_turn() {
            self.queue(side, patience)?;
        }
        // A poll that waits has no turn (`poll`): it tries again.
        if let Some(waiter) = side.word.expire() {
            wake(waiter);
        }
        Ok(Turn { socket: self, side })
    }

    #[cold]
    #[inline(never)]
    fn queue(&self, side: &'static Side, patience: &mut Patience) -> io::Result<()> {
        if self.0.mode(NONBLOCKING) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let until = patience.until();
        // SAFETY: it is cancelled or parked for below, before anything else blocks.
        let waiter = unsafe { prepare() }.into_raw();
        let node = Node::new(waiter, until);
        // SAFETY: if it is queued, we return only after we have been woken.
        match unsafe { side.enqueue(&node) } {
            Enqueue::Held => {
                waking(waiter).cancel();
                return Ok(());
            }
            Enqueue::Closed => {
                waking(waiter).cancel();
                return Err(closed());
            }
            Enqueue::Queued => {}
        }
        side.after_queueing(until, &Heap(side), wake);
        park(WaitReason::NetLock, self.object());
        match node.outcome() {
            Outcome::Granted => Ok(()),
            Outcome::Closed => Err(closed()),
            Outcome::TimedOut => Err(timed_out()),
            Outcome::Waiting => unreachable!("a node's waiter is woken after it was unlinked"),
        }
    }
}

/// The right to operate on one direction. Given up on drop.
pub(crate) struct Turn<'a> {
    socket: &'a Socket,
    side: &'static Side,
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.side.release() {
            waking(waiter).ready();
        }
    }
}

impl Turn<'_> {
    /// Patience for one more operation in this turn.
    #[inline]
    pub(crate) fn patience(&self) -> Patience {
        Patience::of(self.side.timeout())
    }

    /// The choke point: see the module's head. `call` makes one system call.
    #[inline]
    pub(crate) fn io<T, E: Into<Moved>>(
        &self,
        reason: WaitReason,
        patience: &mut Patience,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> io::Result<T> {
        let (socket, side) = (self.socket, self.side);
        if side.deadline() != NEVER {
            self.check_deadline()?;
        }
        if side.is_drained()
            && side.word.state() == State::Nil
            && !socket.0.flags.any()
            && !socket.0.mode(NONBLOCKING)
        {
            self.wait(reason, patience)?;
        }
        loop {
            match self.attempt(&mut call, &effect)? {
                Some(value) => return Ok(value),
                None => self.wait(reason, patience)?,
            }
        }
    }

    /// Makes the call; `None` if it would block, and may wait.
    #[inline]
    fn attempt<T, E: Into<Moved>>(
        &self,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: &impl Fn(&T) -> E,
    ) -> io::Result<Option<T>> {
        let socket = self.socket;
        loop {
            if !self.side.word.clear() {
                return Err(closed());
            }
            match call(socket.borrow()) {
                Ok(value) => {
                    self.moved(effect(&value).into());
                    return Ok(Some(value));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if socket.0.mode(NONBLOCKING) => return Err(error),
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(socket.or_closed(error)),
                },
            }
        }
    }

    #[inline]
    fn moved(&self, moved: Moved) {
        self.side.set_drained(moved.drained);
        if moved.bytes != 0 {
            self.side.count(moved.bytes);
        }
    }

    /// Like [`io`](Self::io), for calls of which the system doesn't report when they would succeed (a
    /// Unix socket's connect, and its send to an address, while the other side's queue is full): tries
    /// again after pauses, whatever events come. They grow with the time that was waited, up to `longest`
    /// nanoseconds.
    pub(crate) fn retry<T, E: Into<Moved>>(
        &self,
        reason: WaitReason,
        patience: &mut Patience,
        longest: u64,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> io::Result<T> {
        let side = self.side;
        let mut pause = FIRST_PAUSE;
        loop {
            if side.deadline() != NEVER {
                self.check_deadline()?;
            }
            if let Some(value) = self.attempt(&mut call, &effect)? {
                return Ok(value);
            }
            let until = patience.until();
            let next = timer::now().saturating_add(pause);
            while self.wait_until(reason, next.min(until))? {
                // An event, which says nothing about this.
                if !side.word.clear() {
                    return Err(closed());
                }
            }
            if until.min(side.deadline()) <= timer::now() {
                return Err(timed_out());
            }
            pause = (pause + pause / 2).min(longest);
        }
    }

    #[cold]
    fn check_deadline(&self) -> io::Result<()> {
        self.socket.admit(self.way())
    }

    /// Waits until a call would have a result, be it bytes, room, the end or an error; makes none.
    ///
    /// On a drained socket the word tells, as it does in [`io`](Self::io), and an event's `READY` stays
    /// for the call that follows. It may be stale: stored after a call that took what it announced.
    /// Otherwise, and after a flag, which may have been all that an event was about, the system is asked,
    /// also after an event: so on what is never drained the answer was right when it was given.
    pub(crate) fn ready(&self, reason: WaitReason, patience: &mut Patience) -> io::Result<()> {
        let (socket, side) = (self.socket, self.side);
        if side.deadline() != NEVER {
            self.check_deadline()?;
        }
        loop {
            if side.is_drained() && !socket.0.flags.any() && !socket.0.mode(NONBLOCKING) {
                match side.word.state() {
                    State::Ready => return Ok(()),
                    State::Closed => return Err(closed()),
                    _ => self.wait(reason, patience)?,
                }
                continue;
            }
            // Cleared before asking, as before a call; from here on the word tells less than the
            // system, and so the next call has to try.
            side.set_drained(false);
            if !side.word.clear() {
                return Err(closed());
            }
            match sys::is_ready(socket.borrow(), self.way()) {
                Ok(true) => return Ok(()),
                Ok(false) if socket.0.mode(NONBLOCKING) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(false) => self.wait(reason, patience)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(socket.or_closed(error)),
            }
        }
    }

    fn way(&self) -> Way {
        if ptr::eq(self.side, &self.socket.0.read) {
            Way::Read
        } else {
            Way::Write
        }
    }

    /// Parks until there is an event.
    fn wait(&self, reason: WaitReason, patience: &mut Patience) -> io::Result<()> {
        if self.wait_until(reason, patience.until())? {
            Ok(())
        } else {
            Err(timed_out())
        }
    }

    /// Parks until there is an event, or until this time or the deadline. Was there one?
    fn wait_until(&self, reason: WaitReason, limit: u64) -> io::Result<bool> {
        let side = self.side;
        side.set_limit(limit);
        loop {
            // SAFETY: it is cancelled or parked for below, before anything else blocks.
            let waiter = unsafe { prepare() }.into_raw();
            match side.word.publish(waiter) {
                Publish::Waiting => {}
                Publish::Ready => {
                    waking(waiter).cancel();
                    return Ok(true);
                }
                Publish::Closed => {
                    waking(waiter).cancel();
                    return Err(closed());
                }
            }
            side.after_publishing(limit, &Heap(side), wake);
            park(reason, self.socket.object());
            match side.word.state() {
                State::Ready => return Ok(true),
                State::Closed => return Err(closed()),
                State::Waiting => unreachable!("our waiter was taken out to wake us"),
                State::Nil if side.deadline().min(limit) <= timer::now() => return Ok(false),
                State::Nil => {}
            }
        }
    }
}
