//! A socket: a handle to a poll descriptor and the system's descriptor in it. What streams and
//! listeners have in common; what an operation on one does is in [`turn`].
//!
//! ## The life of a descriptor
//!
//! Handles are counted in the source; there is no further allocation. `close` marks both directions
//! closed (nothing starts or parks from then on), replaces what the number stands for by the
//! placeholder, and only then wakes everybody and waits until calls that were under way have returned:
//! when `close` returns the port is free. The number remains ours until the last handle is dropped, so
//! a `BorrowedFd` stays valid, and a system call that raced with `close` gives `EBADF` instead of
//! reaching a stranger's socket; its error is reported as closed.
//!
//! Closing the last descriptor of a socket ends its registration with the poller, so most are just
//! closed, which saves a system call per connection. Some are deregistered first (`EXPOSED`):
//!
//! - Those that may have duplicates: which have been lent out (`AsFd`, `control` functions), or came from
//!   outside. (A child between `fork` and `exec` has one too; its events carry an old generation.)
//! - Those with a port or name of their own, which is to be free at once: listeners and datagram sockets.
//!   While Linux collects events it keeps the file of each descriptor that it looks at, and whoever does
//!   that on another CPU may be preempted there; deregistering waits for it.
//! - Those that are ended by `close`, which promises that.
//!
//! Next in the reading order: `turn`, below; then `shared`.

mod turn;

pub(crate) use crate::direction::Way;
#[cfg(any(feature = "futures-io", feature = "hyper"))]
pub(crate) use turn::poll;
pub(crate) use turn::{Moved, Patience, Turn};

use crate::arena::ARENA;
use crate::direction::NEVER;
use crate::error::closed;
use crate::metrics::timed_out;
use crate::prim::atomic::Ordering;
use crate::reactor;
use crate::source::{EXPOSED, Heap, NONBLOCKING, Side, Source, wake};
use crate::sys;
use crate::word::{Close, Flags, State};
use corio::reactor::{timer, yield_now};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// One handle to a socket; clones share everything.
#[allow(
    unreachable_pub,
    reason = "in the signature of `HasSocket`, which seals public traits"
)]
pub struct Socket(&'static Source);

// Like std's sockets: a panic can't leave one half changed, turns are given up by a destructor.
impl UnwindSafe for Socket {}
impl RefUnwindSafe for Socket {}

/// A timeout in nanoseconds; never so long that it means none.
fn nanos(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).map_or(NEVER - 1, |nanos| nanos.min(NEVER - 1))
}

impl Socket {
    /// Takes a non-blocking descriptor over and registers it. `exposed`: it may have duplicates, or has a
    /// name of its own; see the module's head.
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

    /// What dumps know it by: see [`Source::describe`].
    #[inline]
    fn object(&self) -> usize {
        self.0.token().0
    }

    /// The descriptor's number, to be shown.
    pub(crate) fn number(&self) -> usize {
        self.0.fd.load(Ordering::Relaxed) as usize
    }

    /// Has `close` been called?
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.read.word.state() == State::Closed
    }

    /// Is it worth asking whether the direction was shut down, before waiting in it?
    pub(crate) fn may_be_shut_down(&self) -> bool {
        self.0.flags.any() && !self.0.mode(NONBLOCKING)
    }

    /// Was there ever urgent data?
    pub(crate) fn had_urgent_data(&self) -> bool {
        self.0.flags.has(Flags::PRIORITY)
    }

    /// Are there other handles?
    pub(crate) fn is_shared(&self) -> bool {
        // Acquire: partner of the Release in `drop`, as in `into_fd`.
        self.0.handles.load(Ordering::Acquire) != 1
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

    /// Is there nothing to read, not even the end? Doesn't wait.
    pub(crate) fn is_quiet(&self) -> bool {
        let peeked = self.control(|fd| sys::peek(fd, &mut [0]));
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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
                wake(waiter);
            }
            side.drain(&Heap(side), wake);
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
        self.0.set_mode(EXPOSED, true);
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
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the socket has other handles (try_clone): drop them before it is converted",
            ));
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
        side.set_deadline(deadline, &Heap(side), wake);
        Ok(())
    }
}

impl Socket {
    /// Ends whatever waits, in both directions, with [`TimedOut`](io::ErrorKind::TimedOut), and so
    /// everything until [`resume`](Self::resume).
    pub(crate) fn interrupt(&self) {
        for side in [&self.0.read, &self.0.write] {
            side.interrupt(&Heap(side), wake);
        }
    }

    /// Takes one [`interrupt`](Self::interrupt) back.
    pub(crate) fn resume(&self) {
        for side in [&self.0.read, &self.0.write] {
            side.resume();
        }
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
        // Nobody waits: that takes a handle. But a poll may have left its waker, a timer may be armed, and an
        // event may be on its way.
        if let Close::First(reader) = source.read.close() {
            if let Some(waiter) = reader {
                wake(waiter);
            }
            if let Close::First(Some(waiter)) = source.write.close() {
                wake(waiter);
            }
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
