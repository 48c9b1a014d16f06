//! [`Pollable`]: parking on any descriptor.
//!
//! ## Whose descriptor is registered
//!
//! A duplicate of our own, made once in `new`. So nothing depends on what the user's value does with
//! its descriptor, or on what its `AsFd` says the next time it is asked: it may close it, replace it
//! (`get_mut`), or be written to mislead. We may be told about the wrong file then, but never touch a
//! number that has been given to somebody else. Duplicates share the open file, and readiness is the
//! file's. The price is a descriptor; the file lives until both are closed, and both are when the
//! `Pollable` is dropped.
//!
//! ## The user's operation runs without our turn
//!
//! A socket's turn is for calls that can't wait: `close` waits until it is given up. The operation that
//! [`Pollable::try_io`] gets is user code; it may do anything, also wait, or close this `Pollable`. So it
//! runs outside, and the wait word can't be cleared before it in a way that no other operation
//! interferes with. Instead, after `WouldBlock`, [`Socket::wait`] asks the system whether the descriptor
//! is ready, and parks only if not. That costs a `poll(2)` per wait, and needs no assumption about what
//! the operation did.
//!
//! Rejected: registering the value's own descriptor (unsound as soon as it is closed behind our back, and
//! two registrations of one number are refused); an `unsafe trait` for values that keep their descriptor
//! (the caller can't promise that for a C library); a lock around the operation (held over user code).
//!
//! Next in the reading order: `connect`, the first that uses corio as any program may.

use crate::shared::HasSocket;
use crate::socket::{Socket, Way};
use crate::sys;
use corio::reactor::{WaitReason, checkpoint};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// What to wait for: see [`Pollable::try_io`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// That reading has a result: bytes, the end, an error.
    Readable,
    /// That writing has a result: room, or an error.
    Writable,
}

impl Interest {
    fn way(self) -> Way {
        match self {
            Interest::Readable => Way::Read,
            Interest::Writable => Way::Write,
        }
    }
}

/// Any descriptor that can be polled, to park on: an `eventfd`, a `timerfd`, `inotify`, a terminal, a
/// device, the socket of a C library.
///
/// It owns a value that has the descriptor, and a duplicate of the descriptor by which it is told of
/// events. Operations are the value's own: [`try_io`](Self::try_io) tries one, parks the goroutine (or
/// blocks the plain thread) while it would block, and tries again. `Read` and `Write` do that for a value
/// that implements them. For an operation that some library does by itself,
/// [`wait_readable`](Self::wait_readable) and [`wait_writable`](Self::wait_writable) only wait.
///
/// The descriptor must be non-blocking for `try_io`, or else the operation blocks the thread instead of
/// failing with [`WouldBlock`](io::ErrorKind::WouldBlock): use [`nonblocking`](Self::nonblocking), or
/// make it so yourself. To wait, it needn't be.
///
/// The value should keep its descriptor. If it doesn't, waiting goes on to be about the old one.
///
/// # Examples
///
/// ```
/// use corio_net::{Interest, Pollable};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let ours = Pollable::nonblocking(ours)?;
/// let reader = corio::spawn(move || -> std::io::Result<u8> {
///     let mut byte = [0];
///     ours.try_io(Interest::Readable, |mut stream| stream.read(&mut byte))?;
///     Ok(byte[0])
/// });
/// theirs.write_all(b"!")?;
/// assert_eq!(reader.join().unwrap()?, b'!');
/// # Ok(())
/// # }
/// ```
///
/// # Counterpart
///
/// `Async` of async-io and `AsyncFd` of tokio. Go has `os.NewFile` with a non-blocking descriptor, and
/// `SyscallConn().Read(f)`.
#[doc(alias = "AsyncFd")]
#[doc(alias = "SyscallConn")]
pub struct Pollable<T> {
    socket: Socket,
    inner: T,
}

impl<T: AsFd> Pollable<T> {
    /// Begins to watch the value's descriptor, which is asked for once, here.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) for what can't be waited for because it is ready
    /// always: regular files, directories, some devices; for them there is
    /// [`corio::blocking`]. Otherwise the system's, for instance if there are no more
    /// descriptors.
    pub fn new(inner: T) -> io::Result<Pollable<T>> {
        let duplicate = inner.as_fd().try_clone_to_owned()?;
        let socket = Socket::open(duplicate, true).map_err(|error| {
            if error.kind() == io::ErrorKind::PermissionDenied {
                io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it can't be polled, since it is always ready (a regular file, a directory, /dev/null, ...): use corio::blocking",
                )
            } else {
                error
            }
        })?;
        Ok(Pollable { socket, inner })
    }

    /// As [`new`](Self::new), and makes the descriptor non-blocking: more exactly, the open file that it
    /// stands for, also for whoever else has a descriptor for it. It stays so.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn nonblocking(inner: T) -> io::Result<Pollable<T>> {
        let pollable = Pollable::new(inner)?;
        pollable
            .socket
            .control(|fd| sys::set_nonblocking(fd, true))?;
        Ok(pollable)
    }
}

impl<T> Pollable<T> {
    /// Waits until reading would have a result: bytes, the end, an error.
    ///
    /// Several may wait at once; they queue up and are woken one after the other, each seeing for itself
    /// whether there is still something.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) if the deadline has passed; after [`close`](Self::close), the
    /// error that [`is_closed`](crate::is_closed) recognises.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait(Way::Read, WaitReason::Io)
    }

    /// Waits until writing would have a result: room, or an error; otherwise like
    /// [`wait_readable`](Self::wait_readable).
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Self::wait_readable).
    pub fn wait_writable(&self) -> io::Result<()> {
        self.socket.wait(Way::Write, WaitReason::Io)
    }

    /// Calls `operation` until it does something else than fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and waits before each further try until the descriptor is
    /// ready.
    ///
    /// It must fail so only if the descriptor is not ready in the direction of `interest`; otherwise it is
    /// called again and again. A call that was interrupted by a signal is repeated, too.
    ///
    /// # Errors
    ///
    /// Those of `operation`; and without calling it, those of
    /// [`wait_readable`](Self::wait_readable).
    pub fn try_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        retry(&self.socket, interest, || operation(&self.inner))
    }

    /// Sets both deadlines: [`set_read_deadline`](Self::set_read_deadline),
    /// [`set_write_deadline`](Self::set_write_deadline).
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.set_read_deadline(deadline)?;
        self.set_write_deadline(deadline)
    }

    /// Sets the time from which on waiting for [`Interest::Readable`] fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut), also of those who wait already, or clears it.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Read, deadline)
    }

    /// [`set_read_deadline`](Self::set_read_deadline) for [`Interest::Writable`].
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Write, deadline)
    }

    /// Ends waiting, for good: calls under way and later ones fail with an error that
    /// [`is_closed`](crate::is_closed) recognises. The value and its own descriptor stay as they are.
    ///
    /// # Errors
    ///
    /// If it is closed already.
    pub fn close(&self) -> io::Result<()> {
        self.socket.close()
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The value, to be changed. It should keep its descriptor: waiting goes on to be about the one that
    /// it had at first.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends watching and gives the value back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// See [`Pollable::try_io`].
fn retry<R>(
    socket: &Socket,
    interest: Interest,
    mut operation: impl FnMut() -> io::Result<R>,
) -> io::Result<R> {
    loop {
        socket.admit(interest.way())?;
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.wait(interest.way(), WaitReason::Io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => {
                checkpoint();
                return result;
            }
        }
    }
}

impl<T> HasSocket for Pollable<T> {
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl<T: AsFd> AsFd for Pollable<T> {
    /// The value's descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Pollable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pollable")
            .field("inner", &self.inner)
            .field("closed", &self.socket.is_closed())
            .finish()
    }
}

impl<T: Read> Read for Pollable<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let inner = &mut self.inner;
        retry(&self.socket, Interest::Readable, || inner.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let inner = &mut self.inner;
        retry(&self.socket, Interest::Readable, || {
            inner.read_vectored(bufs)
        })
    }
}

impl<T: Write> Write for Pollable<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let inner = &mut self.inner;
        retry(&self.socket, Interest::Writable, || inner.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let inner = &mut self.inner;
        retry(&self.socket, Interest::Writable, || {
            inner.write_vectored(bufs)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let inner = &mut self.inner;
        retry(&self.socket, Interest::Writable, || inner.flush())
    }
}

impl<'a, T> Read for &'a Pollable<T>
where
    &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = &self.inner;
        retry(&self.socket, Interest::Readable, || inner.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut inner = &self.inner;
        retry(&self.socket, Interest::Readable, || {
            inner.read_vectored(bufs)
        })
    }
}

impl<'a, T> Write for &'a Pollable<T>
where
    &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut inner = &self.inner;
        retry(&self.socket, Interest::Writable, || inner.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = &self.inner;
        retry(&self.socket, Interest::Writable, || {
            inner.write_vectored(bufs)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut inner = &self.inner;
        retry(&self.socket, Interest::Writable, || inner.flush())
    }
}
