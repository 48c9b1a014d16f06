//! Pipes between goroutines, threads and processes: [`pipe`], [`PipeReader`], [`PipeWriter`].
//!
//! An end of a pipe is a [`Socket`] like others, with `read` and `write` in place of `recv` and `send`.
//! A short read or write is not taken for an empty or full pipe: a pipe may keep messages apart
//! (`O_DIRECT`), and room is counted in pages, not bytes.
//!
//! That a descriptor does not block is a property of the open file behind it, which a child process
//! shares with us. What is given away is therefore made blocking first, and there must be no other
//! handle left which that would block.
//!
//! Rejected: [`Pollable`](crate::Pollable) of std's types, which would have a descriptor more, hand out
//! what it must not (blocking or not), and raise SIGPIPE where std's does (see `sys::linux::transfer`).

use crate::shared::{self, Stream};
use crate::socket::{Socket, Way};
use crate::sys;
use corio::reactor::WaitReason;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::Instant;

/// Makes a pipe: what is written to the one end is read from the other. As [`std::io::pipe`] and Go's
/// `os.Pipe`.
///
/// The ends are closed on `exec`: a child process gets one only if it is given to it.
///
/// ```
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut reader, mut writer) = corio_net::pipe()?;
/// let writing = corio::spawn(move || writer.write_all(b"through the kernel"));
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?; // until the writer is dropped
/// assert_eq!(text, "through the kernel");
/// writing.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If there are no more descriptors, for instance.
#[doc(alias = "os.Pipe")]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    sys::note_sigpipe();
    let (reader, writer) = sys::pipe()?;
    Ok((
        PipeReader::open(reader, false)?,
        PipeWriter::open(writer, false)?,
    ))
}

/// The end of a pipe to read from: [`std::io::PipeReader`], parking the goroutine (or blocking the plain
/// thread) that reads. Made by [`pipe`].
///
/// # Beyond and apart from std
///
/// * A deadline and [`close`](Self::close), as in Go.
/// * [`try_clone`](Self::try_clone) shares the end instead of duplicating its descriptor.
/// * Conversions may fail, so they are `TryFrom`, for [`Stdio`], too.
///
/// # Examples
///
/// What a child process prints, with a limit in time:
///
/// ```
/// use std::io::Read;
/// use std::process::{Command, Stdio};
/// use std::time::{Duration, Instant};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut reader, writer) = corio_net::pipe()?;
/// let mut command = Command::new("echo");
/// command.arg("hello").stdout(Stdio::try_from(writer)?);
/// let mut child = command.spawn()?;
/// drop(command); // it has the other end, too
/// reader.set_deadline(Some(Instant::now() + Duration::from_secs(60)))?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello\n");
/// corio::blocking(|| child.wait())?;
/// # Ok(())
/// # }
/// ```
pub struct PipeReader {
    socket: Socket,
}

/// The end of a pipe to write to: [`std::io::PipeWriter`], parking the goroutine (or blocking the plain
/// thread) that writes. Made by [`pipe`].
///
/// When all readers are gone writing fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe). It raises no
/// SIGPIPE, also where Rust does not have the process ignore that signal.
///
/// # Beyond and apart from std
///
/// * A deadline and [`close`](Self::close), as in Go.
/// * `write` takes as much as there is room for, as with a socket; `write_all` keeps its turn to the
///   end, so what concurrent writers write is not mixed. (What other processes write may come in
///   between, unless it is at most 4,096 bytes: `PIPE_BUF`.)
/// * [`try_clone`](Self::try_clone) shares the end instead of duplicating its descriptor.
/// * Conversions may fail, so they are `TryFrom`, for [`Stdio`], too.
pub struct PipeWriter {
    socket: Socket,
}

impl PipeReader {
    fn of(socket: Socket) -> PipeReader {
        PipeReader { socket }
    }

    shared::clones!(socket);

    /// Sets the time from which on reads fail with [`TimedOut`](io::ErrorKind::TimedOut), or clears it.
    ///
    /// It applies to reads that wait already, too: a time in the past ends them at once, a later one
    /// lets them go on. It stays until it is changed. Setting one for each request is cheap.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Read, deadline)
    }

    /// Waits until a read would have a result (bytes, the end, an error), and reads nothing.
    ///
    /// # Errors
    ///
    /// As for reading: the deadline's, or closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait(Way::Read, WaitReason::Io)
    }

    shared::nonblocking! {
        /// Whether reads fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting, be it
        /// for bytes or for their turn, from the next call on.
    }
    shared::close! {
        /// Closes this end, for all handles: calls under way and later ones fail with an error that
        /// [`is_closed`](crate::is_closed) recognises, and writing to the other end fails.
        ///
        /// Dropping the last handle closes as well; this is for a pipe that somebody else is waiting on.
    }
    shared::into_std!(std::io::PipeReader);
}

impl PipeWriter {
    fn of(socket: Socket) -> PipeWriter {
        PipeWriter { socket }
    }

    shared::clones!(socket);

    /// Sets the time from which on writes fail with [`TimedOut`](io::ErrorKind::TimedOut), or clears
    /// it; otherwise like [`PipeReader::set_deadline`].
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Write, deadline)
    }

    /// Waits until a write would have a result (room, or that nobody reads), and writes nothing.
    ///
    /// # Errors
    ///
    /// As for writing: the deadline's, or closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.socket.wait(Way::Write, WaitReason::Io)
    }

    shared::nonblocking! {
        /// Whether writes fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting, be it
        /// for room or for their turn, from the next call on.
    }
    shared::close! {
        /// Closes this end, for all handles: calls under way and later ones fail with an error that
        /// [`is_closed`](crate::is_closed) recognises, and the reader gets what is in the pipe, then
        /// its end.
        ///
        /// Dropping the last handle closes as well; this is for a pipe that somebody else is waiting on.
    }
    shared::into_std!(std::io::PipeWriter);
}

/// Takes over one end of a pipe that came from outside.
fn adopt(fd: OwnedFd) -> io::Result<Socket> {
    if !sys::is_pipe(fd.as_fd())? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is not a pipe",
        ));
    }
    sys::note_sigpipe();
    let nonblocking = sys::is_nonblocking(fd.as_fd())?;
    sys::set_nonblocking(fd.as_fd(), true)?;
    let socket = Socket::open(fd, true)?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket)
}

/// What both ends have.
macro_rules! end {
    ($type:ident) => {
        shared::descriptor!($type);
        shared::debug!($type,);

        impl TryFrom<std::io::$type> for $type {
            type Error = io::Error;

            /// Takes an end of a pipe over: the open file behind it becomes non-blocking, also for
            /// whoever else has a descriptor for it. If it was before,
            #[doc = concat!("[`", stringify!($type), "::set_nonblocking`] applies.")]
            fn try_from(end: std::io::$type) -> io::Result<Self> {
                adopt(end.into()).map(Self::of)
            }
        }

        impl TryFrom<OwnedFd> for $type {
            type Error = io::Error;

            /// Takes an end of a pipe over, or of a FIFO in the file system, as from std's type. What is
            /// no pipe is [`InvalidInput`](io::ErrorKind::InvalidInput).
            fn try_from(fd: OwnedFd) -> io::Result<Self> {
                adopt(fd).map(Self::of)
            }
        }

        impl TryFrom<$type> for std::io::$type {
            type Error = io::Error;

            #[doc = concat!("See [`", stringify!($type), "::into_std`].")]
            fn try_from(end: $type) -> io::Result<Self> {
                end.into_std()
            }
        }

        impl TryFrom<$type> for OwnedFd {
            type Error = io::Error;

            #[doc = concat!("See [`", stringify!($type), "::into_std`].")]
            fn try_from(end: $type) -> io::Result<Self> {
                end.into_std().map(Into::into)
            }
        }

        impl TryFrom<$type> for Stdio {
            type Error = io::Error;

            /// For a child process, which expects blocking descriptors: see
            #[doc = concat!("[`", stringify!($type), "::into_std`].")]
            fn try_from(end: $type) -> io::Result<Self> {
                end.into_std().map(Into::into)
            }
        }
    };
}

end!(PipeReader);
end!(PipeWriter);

impl Stream for PipeReader {
    const SHORT_DRAINS: bool = false;

    #[inline]
    fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        sys::read(fd, buf)
    }

    fn receive_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        sys::readv(fd, bufs)
    }
}

impl Stream for PipeWriter {
    const SHORT_DRAINS: bool = false;

    #[inline]
    fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        sys::write(fd, buf)
    }

    fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::write_slices(fd, bufs)
    }
}

shared::reading!(PipeReader);
shared::writing!(PipeWriter);
