//! [`Conn`]: a connection, over whatever network.
//!
//! An enum, as there are two networks and will not be many: a call costs a comparison, vectored I/O and
//! `write_all`'s turn come through, and who needs TCP's options matches. A trait object would hide all
//! that.

use crate::buffer::{self, Late, PooledRead};
use crate::network::Addr;
use crate::shared::{self, HasSocket};
use crate::socket::Socket;
use crate::transfer::{self, CopyFrom, CopyTo, Duplex, End};
use crate::{TcpStream, UnixStream};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A stream connection: what [`dial`](crate::dial) and [`Listener::accept`](crate::Listener::accept)
/// return.
///
/// Go's `net.Conn`. It is one of the stream types, which can be had by a `match`, and behaves as they do.
///
/// ```
/// use corio_net::{dial, listen};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = listen("tcp", "localhost:0")?;
/// let addr = listener.local_addr()?;
/// corio::spawn(move || listener.accept()?.0.write_all(b"hello"));
///
/// let mut conn = dial("tcp", &addr.to_string())?;
/// let mut text = String::new();
/// conn.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// assert_eq!(conn.peer_addr()?, addr);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum Conn {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// The same expression for the stream in any variant.
macro_rules! any {
    ($conn:expr, $stream:ident => $body:expr) => {
        match $conn {
            Conn::Tcp($stream) => $body,
            Conn::Unix($stream) => $body,
        }
    };
}

impl Conn {
    /// The network: `"tcp"` or `"unix"`.
    pub fn network(&self) -> &'static str {
        match self {
            Conn::Tcp(_) => "tcp",
            Conn::Unix(_) => "unix",
        }
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn local_addr(&self) -> io::Result<Addr> {
        any!(self, stream => stream.local_addr().map(Addr::of_system))
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        any!(self, stream => stream.peer_addr().map(Addr::of_system))
    }

    /// Shuts one or both directions down. Reads under way return what is there, then 0.
    ///
    /// `Shutdown::Write` is Go's `CloseWrite`, `Shutdown::Read` its `CloseRead`.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        any!(self, stream => stream.shutdown(how))
    }

    /// Another handle to the same connection: they share everything, also timeouts, deadlines and being
    /// closed.
    ///
    /// # Errors
    ///
    /// None; the result is std's signature.
    pub fn try_clone(&self) -> io::Result<Conn> {
        any!(self, stream => stream.try_clone().map(Conn::from))
    }

    shared::timeouts!();
    shared::deadlines!();
    shared::wait_readable!();
    shared::wait_writable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether reads and writes fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
        /// waiting, from the next call on.
    }

    /// Closes the connection, for all handles: calls under way and later ones fail with an error that
    /// [`is_closed`](crate::is_closed) recognises.
    ///
    /// Dropping the last handle closes as well; this is for one that somebody else is waiting on.
    ///
    /// # Errors
    ///
    /// If it is closed already.
    pub fn close(&self) -> io::Result<()> {
        any!(self, stream => stream.close())
    }
}

impl Read for &Conn {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        any!(self, stream => (&*stream).read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        any!(self, stream => (&*stream).read_vectored(bufs))
    }
}

impl Write for &Conn {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        any!(self, stream => (&*stream).write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        any!(self, stream => (&*stream).write_vectored(bufs))
    }

    /// Keeps its turn to the end: other writers' bytes come before or after, not in between.
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        any!(self, stream => (&*stream).write_all(buf))
    }

    /// Formats first, then writes.
    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        any!(self, stream => (&*stream).write_fmt(args))
    }

    fn flush(&mut self) -> io::Result<()> {
        any!(self, stream => (&*stream).flush())
    }
}

shared::by_reference!(Conn);

impl From<TcpStream> for Conn {
    fn from(stream: TcpStream) -> Conn {
        Conn::Tcp(stream)
    }
}

impl From<UnixStream> for Conn {
    fn from(stream: UnixStream) -> Conn {
        Conn::Unix(stream)
    }
}

impl HasSocket for Conn {
    #[inline]
    fn socket(&self) -> &Socket {
        any!(self, stream => stream.socket())
    }
}

impl buffer::sealed::Sealed for Conn {}

impl PooledRead for Conn {
    fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize> {
        any!(self, stream => stream.read_late(late))
    }

    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
        any!(self, stream => stream.read_into(buf))
    }
}

impl transfer::sealed::Sealed for Conn {}

impl CopyFrom for Conn {
    fn source(&self) -> End<'_> {
        any!(self, stream => stream.source())
    }
}

impl CopyTo for Conn {
    fn destination(&self) -> End<'_> {
        any!(self, stream => stream.destination())
    }
}

impl Duplex for Conn {
    fn stream(&self) -> &Socket {
        self.socket()
    }
}

impl AsFd for Conn {
    /// The descriptor, for options. Don't change that it is non-blocking.
    fn as_fd(&self) -> BorrowedFd<'_> {
        any!(self, stream => stream.as_fd())
    }
}

impl AsRawFd for Conn {
    fn as_raw_fd(&self) -> RawFd {
        any!(self, stream => stream.as_raw_fd())
    }
}

impl fmt::Debug for Conn {
    /// As the stream in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        any!(self, stream => stream.fmt(f))
    }
}
