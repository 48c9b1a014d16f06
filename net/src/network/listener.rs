//! [`Listener`]: what connections come from, over whatever network.

use crate::network::{Addr, Conn};
use crate::shared::{self, HasSocket};
use crate::socket::Socket;
use crate::{TcpListener, UnixListener, is_closed};
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A listening socket: what [`listen`](crate::listen) returns.
///
/// Go's `net.Listener`. It is one of the listener types, which can be had by a `match`.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = corio_net::listen("tcp", "127.0.0.1:0")?;
/// assert_eq!(listener.network(), "tcp");
/// let client = corio_net::dial("tcp", &listener.local_addr()?.to_string())?;
/// let (conn, peer) = listener.accept()?;
/// assert_eq!(client.local_addr()?, peer);
/// # drop(conn);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// For a Unix socket.
    Unix(UnixListener),
}

/// The same expression for the listener in any variant.
macro_rules! any {
    ($listener:expr, $inner:ident => $body:expr) => {
        match $listener {
            Listener::Tcp($inner) => $body,
            Listener::Unix($inner) => $body,
        }
    };
}

impl Listener {
    /// The network: `"tcp"` or `"unix"`.
    pub fn network(&self) -> &'static str {
        match self {
            Listener::Tcp(_) => "tcp",
            Listener::Unix(_) => "unix",
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors (`EMFILE`) or
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted): the listener goes on working.
    /// [`TimedOut`](io::ErrorKind::TimedOut) at the deadline. After [`close`](Self::close), one that
    /// [`is_closed`] recognises.
    pub fn accept(&self) -> io::Result<(Conn, Addr)> {
        any!(self, inner => {
            let (stream, peer) = inner.accept()?;
            Ok((stream.into(), Addr::of_system(peer)))
        })
    }

    /// Accepts connections until the listener is closed, without their addresses. An error is an item and
    /// iteration goes on.
    pub fn incoming(&self) -> Connections<'_> {
        Connections { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<Addr> {
        any!(self, inner => inner.local_addr().map(Addr::of_system))
    }

    /// Another handle to the same socket: they share everything, also the deadline and being closed.
    ///
    /// # Errors
    ///
    /// None; the result is std's signature.
    pub fn try_clone(&self) -> io::Result<Listener> {
        any!(self, inner => inner.try_clone().map(Listener::from))
    }

    shared::deadline!();
    shared::wait_readable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether [`accept`](Self::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
        /// waiting, from its next call on.
    }

    /// Stops listening, for all handles: calls under way and later ones fail with an error that
    /// [`is_closed`] recognises. When it returns, the address is free.
    ///
    /// # Errors
    ///
    /// If it is closed already.
    pub fn close(&self) -> io::Result<()> {
        any!(self, inner => inner.close())
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener::Unix(listener)
    }
}

impl HasSocket for Listener {
    #[inline]
    fn socket(&self) -> &Socket {
        any!(self, inner => inner.socket())
    }
}

impl AsFd for Listener {
    /// The descriptor, for options. Don't change that it is non-blocking.
    fn as_fd(&self) -> BorrowedFd<'_> {
        any!(self, inner => inner.as_fd())
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        any!(self, inner => inner.as_raw_fd())
    }
}

impl fmt::Debug for Listener {
    /// As the listener in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        any!(self, inner => inner.fmt(f))
    }
}

/// Connections to a [`Listener`], until it is closed. See [`Listener::incoming`].
#[derive(Debug)]
#[must_use]
pub struct Connections<'a> {
    listener: &'a Listener,
}

impl Iterator for Connections<'_> {
    type Item = io::Result<Conn>;

    fn next(&mut self) -> Option<io::Result<Conn>> {
        match self.listener.accept() {
            Ok((conn, _)) => Some(Ok(conn)),
            Err(error) if is_closed(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Connections<'_> {}
