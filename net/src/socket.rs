//! A socket: a handle to a poll descriptor and the system's descriptor in it. What streams and
//! listeners have in common, and the one place through which every read and write passes.
//!
//! ## A call
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
//! ## The life of a descriptor
//!
//! Handles are counted in the source; there is no further allocation. `close` marks both directions
//! closed (nothing starts or parks from then on), replaces what the number stands for by the
//! placeholder, and only then wakes everybody and waits until calls that were under way have returned:
//! when `close` returns the port is free. The number remains ours until the last handle is dropped, so a `BorrowedFd` stays valid,
//! and a system call that raced with `close` gives `EBADF` instead of reaching a stranger's socket; its
//! error is reported as closed.
//!
//! Closing the last descriptor of a socket ends its registration with the poller. Only if the
//! descriptor has been lent out (`AsFd`), or came from outside, may there be another one, and it is
//! deregistered explicitly: that saves a system call per connection. (A child between `fork` and
//! `exec` has one too; its events carry an old generation.)
//!
//! A call that never waits is a switch point too ([`checkpoint`]): otherwise a goroutine whose socket
//! always has data would never let go of its P.
//!
//! No call here keeps anything derived from a thread-local over a park; system calls read `errno`
//! before they return to this file.

use crate::arena::ARENA;
use crate::direction::{Enqueue, NEVER, Node, Outcome};
use crate::error::closed;
use crate::metrics::timed_out;
use crate::prim::atomic::Ordering;
use crate::reactor;
use crate::source::{EXPOSED, Heap, NONBLOCKING, Side, Source, waking};
use crate::sys;
use crate::word::{Close, Publish, State};
use corio::reactor::{WaitReason, checkpoint, park, prepare, timer, yield_now};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// The pauses between the tries of [`Turn::retry`], in nanoseconds: short at first, as queues move
/// fast; and then so long that thousands who wait don't make a processor busy.
const FIRST_PAUSE: u64 = 200_000;
const LONGEST_PAUSE: u64 = 20_000_000;

/// One handle to a socket; clones share everything.
#[allow(
    unreachable_pub,
    reason = "in the signature of `HasSocket`, which seals public traits"
)]
pub struct Socket(&'static Source);

// Like std's sockets: a panic can't leave one half changed, turns are given up by a destructor.
impl UnwindSafe for Socket {}
impl RefUnwindSafe for Socket {}

/// Which direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Reading and accepting.
    Read,
    /// Writing and connecting.
    Write,
}

/// What an operation that succeeded has done. Those that move no bytes may return a `bool`: whether
/// they have drained the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes taken from the socket, or put into it; [`metrics`](crate::metrics) counts them.
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

/// A timeout in nanoseconds; never so long that it means none.
fn nanos(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).map_or(NEVER - 1, |nanos| nanos.min(NEVER - 1))
}

impl Socket {
    /// Takes a non-blocking descriptor over and registers it. `exposed`: it may have duplicates.
    pub(crate) fn open(fd: OwnedFd, exposed: bool) -> io::Result<Socket> {
        let poller = reactor::poller()?;
        let source = ARENA.take();
        source.reset(fd.into_raw_fd(), if exposed { EXPOSED } else { 0 });
        // From here on its drop cleans up.
        let socket = Socket(source);
        poller.register(socket.borrow(), source)?;
        Ok(socket)
    }

    /// The descriptor, for our own use: it must not be duplicated.
    #[inline]
    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is open until the last handle is dropped, and we have one.
        unsafe { BorrowedFd::borrow_raw(self.0.fd.load(Ordering::Relaxed)) }
    }

    /// The descriptor, for others.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.0.set_mode(EXPOSED, true);
        self.borrow()
    }

    fn side(&self, way: Way) -> &'static Side {
        match way {
            Way::Read => &self.0.read,
            Way::Write => &self.0.write,
        }
    }

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

    /// What an operation asks before it tries: is the socket closed, or the deadline past?
    pub(crate) fn admit(&self, way: Way) -> io::Result<()> {
        let side = self.side(way);
        if side.word.state() == State::Closed {
            Err(closed())
        } else if side.deadline() != NEVER && side.deadline() <= timer::now() {
            Err(timed_out())
        } else {
            Ok(())
        }
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
        side.after_queueing(until, &Heap(side), |waiter| waking(waiter).ready());
        park(WaitReason::NetLock, self.number());
        match node.outcome() {
            Outcome::Granted => Ok(()),
            Outcome::Closed => Err(closed()),
            Outcome::TimedOut => Err(timed_out()),
            Outcome::Waiting => unreachable!("a node's waiter is woken after it was unlinked"),
        }
    }

    /// The descriptor's number, for dumps.
    pub(crate) fn number(&self) -> usize {
        self.0.fd.load(Ordering::Relaxed) as usize
    }

    /// Has `close` been called?
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.read.word.state() == State::Closed
    }

    /// Runs a call that never blocks and is no reading or writing, such as one for an option.
    pub(crate) fn control<T>(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.is_closed() {
            return Err(closed());
        }
        call(self.borrow()).map_err(|error| self.or_closed(error))
    }

    /// An error, or closed if that is what is behind it.
    #[cold]
    fn or_closed(&self, error: io::Error) -> io::Error {
        if self.is_closed() { closed() } else { error }
    }

    /// See the module's head.
    pub(crate) fn close(&self) -> io::Result<()> {
        let (read, write) = (&self.0.read, &self.0.write);
        let Close::First(reader) = read.close() else {
            return Err(closed());
        };
        let Close::First(writer) = write.close() else {
            unreachable!("the words are closed in this order, by one caller");
        };
        let result = self.replace();
        for (side, waiter) in [(read, reader), (write, writer)] {
            if let Some(waiter) = waiter {
                waking(waiter).ready();
            }
            side.drain(&Heap(side), |waiter| waking(waiter).ready());
        }
        // A system call that is under way keeps the port. It doesn't block, nor does its caller from
        // now on; no user code runs in a turn.
        for side in [read, write] {
            while side.is_held() {
                yield_now();
            }
        }
        result
    }

    fn replace(&self) -> io::Result<()> {
        self.deregister();
        sys::replace(self.borrow(), reactor::poller()?.placeholder())
    }

    fn deregister(&self) {
        if self.0.mode(EXPOSED)
            && let Ok(poller) = reactor::poller()
        {
            // An error would mean that it is not registered.
            let _ = poller.deregister(self.borrow());
        }
    }

    /// The descriptor without the poller, blocking or not as std would have it.
    ///
    /// # Errors
    ///
    /// If the socket is closed, or if there are other handles, which would be blocked by it
    /// ([`io::ErrorKind::ResourceBusy`]).
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        // Acquire: partner of the Release in `drop`; nobody else uses the descriptor any more.
        if self.0.handles.load(Ordering::Acquire) != 1 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        if self.is_closed() {
            return Err(closed());
        }
        let nonblocking = self.0.mode(NONBLOCKING);
        let duplicate = self.lend().try_clone_to_owned()?;
        socket2::SockRef::from(&duplicate).set_nonblocking(nonblocking)?;
        Ok(duplicate)
    }

    /// Whether operations fail instead of parking.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        self.0.set_mode(NONBLOCKING, nonblocking);
        Ok(())
    }

    /// Sets or clears the timeout of calls to come.
    pub(crate) fn set_timeout(&self, way: Way, timeout: Option<Duration>) -> io::Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        let timeout = match timeout {
            Some(Duration::ZERO) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "cannot set a 0 duration timeout",
                ));
            }
            Some(timeout) => nanos(timeout),
            None => NEVER,
        };
        self.side(way).set_timeout(timeout);
        Ok(())
    }

    /// The timeout of calls to come.
    pub(crate) fn timeout(&self, way: Way) -> io::Result<Option<Duration>> {
        if self.is_closed() {
            return Err(closed());
        }
        let timeout = self.side(way).timeout();
        Ok((timeout != NEVER).then(|| Duration::from_nanos(timeout)))
    }

    /// Sets or clears the deadline, also of calls that wait already.
    pub(crate) fn set_deadline(&self, way: Way, deadline: Option<Instant>) -> io::Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        let deadline = deadline.map_or(NEVER, timer::deadline);
        let side = self.side(way);
        side.set_deadline(deadline, &Heap(side), |waiter| waking(waiter).ready());
        Ok(())
    }
}

impl Clone for Socket {
    fn clone(&self) -> Self {
        // Relaxed: the handle that is cloned keeps the source.
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Socket(self.0)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Release and Acquire: partners of each other; the last one sees what all others did.
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let source = self.0;
        // Nobody waits: that takes a handle. But a timer may be armed, and an event may be on its way.
        if let Close::First(_) = source.read.close() {
            let _ = source.write.close();
            self.deregister();
        }
        for side in [&source.read, &source.write] {
            side.drain(&Heap(side), |_| unreachable!("queueing takes a handle"));
        }
        source.retire();
        // SAFETY: `open` took the descriptor over, and we are the last who can reach it.
        let fd = unsafe { OwnedFd::from_raw_fd(source.fd.load(Ordering::Relaxed)) };
        ARENA.put(source);
        drop(fd);
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
            if !side.word.clear() {
                return Err(closed());
            }
            match call(socket.borrow()) {
                Ok(value) => {
                    self.moved(effect(&value).into());
                    return Ok(value);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if socket.0.mode(NONBLOCKING) => return Err(error),
                    io::ErrorKind::WouldBlock => self.wait(reason, patience)?,
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
    /// again after pauses that grow, whatever events come.
    pub(crate) fn retry<T, E: Into<Moved>>(
        &self,
        reason: WaitReason,
        patience: &mut Patience,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> io::Result<T> {
        let (socket, side) = (self.socket, self.side);
        let mut pause = FIRST_PAUSE;
        loop {
            if side.deadline() != NEVER {
                self.check_deadline()?;
            }
            if !side.word.clear() {
                return Err(closed());
            }
            match call(socket.borrow()) {
                Ok(value) => {
                    self.moved(effect(&value).into());
                    return Ok(value);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if socket.0.mode(NONBLOCKING) => return Err(error),
                    io::ErrorKind::WouldBlock => {}
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(socket.or_closed(error)),
                },
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
            pause = (pause * 2).min(LONGEST_PAUSE);
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
            side.after_publishing(limit, &Heap(side), |waiter| waking(waiter).ready());
            park(reason, self.socket.number());
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
