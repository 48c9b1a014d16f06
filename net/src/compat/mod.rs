//! Our streams for code that is written with futures.
//!
//! [`Compat`] makes any stream one of futures-io's `AsyncRead` and `AsyncWrite` (cargo feature `futures-io`) and of
//! hyper 1's `rt::Read` and `rt::Write` (feature `hyper`). [`corio::block_on`] runs the future in a goroutine, which is
//! parked while the future waits: no second runtime is needed. For hyper there are [`Executor`] and [`Timer`] as well.
//!
//! # Beyond and apart from blocking calls
//!
//! * Deadlines and `close` end polls that wait, as they end blocked calls; timeouts count from the first poll that had
//!   to wait to the one that didn't, and so on when a future was dropped in between.
//! * One poll waits per direction: a later one replaces the [`Waker`](std::task::Waker) of an earlier one. Reading and
//!   writing at the same time is what `split` is for.
//! * A goroutine may be blocked in the same direction of a clone. Then polls are made again every millisecond until it
//!   is done: mix the two in one direction only if you must.
//! * `set_nonblocking` is for blocking calls, and changes nothing here.
//! * Polls are no switch points. A future that is never pending is dealt with as any goroutine that computes.
//!
//! Rejected: implementing the traits for the streams themselves. `read` and `write` of `AsyncReadExt` and of
//! `std::io::Read` would be ambiguous wherever both are imported.

#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "hyper")]
mod hyper;

#[cfg(feature = "hyper")]
pub use self::hyper::{Executor, Sleep, Timer};

use crate::shared::HasSocket;
use crate::socket::poll::Polls;
use crate::socket::{Moved, Way};
use crate::sys;
use crate::{Conn, Connection, TcpStream, UnixStream};
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

/// Streams that [`Compat`] is for. Sealed.
pub trait ByteStream: HasSocket {
    /// Has a call that moved less than it might have drained the socket? So it is with TCP.
    #[doc(hidden)]
    fn short_drains(&self) -> bool;

    /// Bytes were moved: a [`Server`](crate::Server)'s connection becomes active.
    #[doc(hidden)]
    fn moved(&self) {}
}

impl ByteStream for TcpStream {
    fn short_drains(&self) -> bool {
        true
    }
}

impl ByteStream for UnixStream {
    fn short_drains(&self) -> bool {
        false
    }
}

impl ByteStream for Conn {
    fn short_drains(&self) -> bool {
        matches!(self, Conn::Tcp(_))
    }
}

impl ByteStream for Connection {
    fn short_drains(&self) -> bool {
        (**self).short_drains()
    }

    fn moved(&self) {
        self.before_write();
    }
}

impl<S: ByteStream> ByteStream for &S {
    fn short_drains(&self) -> bool {
        (**self).short_drains()
    }

    fn moved(&self) {
        (**self).moved();
    }
}

impl<S: ByteStream> ByteStream for &mut S {
    fn short_drains(&self) -> bool {
        (**self).short_drains()
    }

    fn moved(&self) {
        (**self).moved();
    }
}

/// A stream for futures: see the [module](self).
///
/// ```
/// # #[cfg(feature = "futures-io")]
/// # {
/// use corio_net::compat::Compat;
/// use corio_net::{TcpListener, TcpStream};
/// use futures_io::AsyncRead;
/// use std::future::poll_fn;
/// use std::io::Write;
/// use std::pin::Pin;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// corio::go!(move || listener.accept()?.0.write_all(b"hello"));
///
/// let mut stream = Compat::new(TcpStream::connect(addr)?);
/// let mut buf = [0; 5];
/// let n = corio::block_on(poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)))?;
/// assert_eq!(buf[..n], b"hello"[..n]);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
#[derive(Debug)]
pub struct Compat<S> {
    stream: S,
    read: Polls,
    write: Polls,
}

impl<S: ByteStream> Compat<S> {
    /// Of a [`TcpStream`], a [`UnixStream`], a [`Conn`], a [`Connection`], or a reference to one.
    pub fn new(stream: S) -> Compat<S> {
        Compat {
            stream,
            read: Polls::new(),
            write: Polls::new(),
        }
    }

    /// The stream, for its options and deadlines.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, for blocking calls again. A waker that a dropped future has left is used in vain.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// A read of up to `len` bytes.
    fn poll_read_with(
        &mut self,
        cx: &Context<'_>,
        len: usize,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.stream.socket();
        if len == 0 {
            return Poll::Ready(socket.control(|_| Ok(0)));
        }
        let short_drains = self.stream.short_drains();
        let result = self.read.io(socket, Way::Read, cx, call, |&bytes| Moved {
            bytes,
            // Nothing at all is the end of the stream, after which there is no event.
            drained: short_drains && 0 < bytes && bytes < len.min(sys::MAX_BYTES),
        });
        if let Poll::Ready(Ok(1..)) = result {
            self.stream.moved();
        }
        result
    }

    /// A write of up to `len` bytes.
    fn poll_write_with(
        &mut self,
        cx: &Context<'_>,
        len: usize,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.stream.socket();
        if len == 0 {
            return Poll::Ready(socket.control(|_| Ok(0)));
        }
        let short_drains = self.stream.short_drains();
        let result = self.write.io(socket, Way::Write, cx, call, |&bytes| Moved {
            bytes,
            drained: short_drains && bytes < len.min(sys::MAX_BYTES),
        });
        if let Poll::Ready(Ok(1..)) = result {
            self.stream.moved();
        }
        result
    }

    fn poll_send(&mut self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, buf.len(), |fd| sys::send(fd, buf))
    }

    fn poll_send_vectored(
        &mut self,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs
            .iter()
            .take(sys::MAX_SLICES)
            .fold(0_usize, |sum, buf| sum.saturating_add(buf.len()));
        self.poll_write_with(cx, len, |fd| sys::writev(fd, bufs))
    }

    /// The end of what is written. The peer may have ended the connection before: that is no error.
    fn end_writing(&self) -> io::Result<()> {
        let ended = self
            .stream
            .socket()
            .control(|fd| socket2::SockRef::from(&fd).shutdown(Shutdown::Write));
        match ended {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}
