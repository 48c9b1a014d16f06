//! [`TcpListener`].
//!
//! Accepting always asks the system: an accepted connection does not tell whether there is another.

use super::{TcpStream, ip_address};
use crate::option::{self, option};
use crate::resolve::{self, ToSocketAddrs};
use crate::shared;
use crate::socket::{Socket, Way};
use crate::{is_closed, metrics, sys};
use corio::reactor::WaitReason;
use socket2::{Domain, Protocol, SockRef, Type};
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;

/// A listening TCP socket: [`std::net::TcpListener`], parking the goroutine (or blocking the plain
/// thread) that accepts.
///
/// # Beyond and apart from std
///
/// * [`set_deadline`](Self::set_deadline) and [`close`](Self::close), as in Go; `close` ends an
///   [`accept`](Self::accept) under way. [`wait_readable`](Self::wait_readable).
/// * At the deadline the error is [`TimedOut`](io::ErrorKind::TimedOut).
/// * More options, such as [`set_recv_buffer_size`](Self::set_recv_buffer_size). For all others there is
///   `socket2::SockRef::from(&listener)`.
/// * [`into_incoming`](Self::into_incoming), which is not stable in std.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * [`incoming`](Self::incoming) ends when the listener is closed.
/// * Converting from and to std's type and `OwnedFd` may fail: `TryFrom`, and
///   [`into_std`](Self::into_std), instead of `From`, `FromRawFd` and `IntoRawFd`.
///
/// # Examples
///
/// ```
/// use corio_net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// corio::spawn(move || {
///     for stream in listener.incoming() {
///         corio::spawn(move || stream?.write_all(b"hello"));
///     }
/// });
///
/// let mut text = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    fn of(socket: Socket) -> TcpListener {
        TcpListener { socket }
    }

    /// Listens on the first of the addresses that works; port 0 takes any free one.
    ///
    /// As with std, the address may be one that closed connections still linger on (`SO_REUSEADDR`).
    /// The queue of connections not yet accepted is as long as the system allows.
    ///
    /// # Errors
    ///
    /// The last address's error, for instance [`AddrInUse`](io::ErrorKind::AddrInUse).
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        resolve::each(addr, |addr| {
            let kind = Type::STREAM.nonblocking().cloexec();
            let socket =
                socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(sys::BACKLOG)?;
            Self::open(socket.into(), true)
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors (`EMFILE`) or
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted): the listener goes on working.
    /// [`TimedOut`](io::ErrorKind::TimedOut) at the deadline. After [`close`](Self::close), one that
    /// [`is_closed`] recognises.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, peer) = metrics::accepted(self.socket.io(
            Way::Read,
            WaitReason::NetAccept,
            sys::accept,
            |_| false,
        ))?;
        Ok((TcpStream::open(fd, false)?, ip_address(peer)?))
    }

    /// Accepts connections until the listener is closed, without their addresses.
    ///
    /// As with std, an error is an item and iteration goes on; other than with std, there is an end:
    /// [`close`](Self::close).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Like [`incoming`](Self::incoming), but keeps the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .control(|fd| SockRef::from(&fd).local_addr().and_then(ip_address))
    }

    shared::clones!(socket);

    /// Fails, as with std: the socket is bound already.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) with an IPv6 address, the system's with an IPv4 one;
    /// closed.
    #[deprecated = "this option can only be set before the socket is bound"]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        option(&self.socket, |socket| socket.set_only_v6(only_v6))
    }

    /// Does it take connections by IPv6 only, if it has an IPv6 address? (In std deprecated, together
    /// with its setter.)
    ///
    /// # Errors
    ///
    /// The system's, for instance if the address is IPv4; closed.
    pub fn only_v6(&self) -> io::Result<bool> {
        option(&self.socket, |socket| socket.only_v6())
    }

    option::time_to_live!();
    option::buffer_sizes!();
    option::reuse!();
    shared::wait_readable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether [`accept`](Self::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) instead
        /// of waiting, from its next call on.
    }
    shared::deadline! {
        ///
        /// ```
        /// use std::io::ErrorKind;
        /// use std::time::{Duration, Instant};
        ///
        /// # fn main() -> std::io::Result<()> {
        /// let listener = corio_net::TcpListener::bind("127.0.0.1:0")?;
        /// listener.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
        /// assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
        /// # Ok(())
        /// # }
        /// ```
    }
    shared::close! {
        /// Stops listening, for all handles: calls under way and later ones fail with an error that
        /// [`is_closed`] recognises. When it returns, the port is free.
        ///
        /// Dropping the last handle closes as well; this is for a listener that somebody else is
        /// waiting on.
    }
    shared::into_std!(std::net::TcpListener);
}

shared::descriptor!(TcpListener);
shared::conversions!(TcpListener, std::net::TcpListener, Ip, STREAM);
shared::debug!(TcpListener, "addr": local_addr);

/// Connections to a listener, until it is closed. See [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

/// Connections to a listener, until it is closed. See [`TcpListener::into_incoming`].
#[derive(Debug)]
#[must_use]
pub struct IntoIncoming {
    listener: TcpListener,
}

fn next(listener: &TcpListener) -> Option<io::Result<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Some(Ok(stream)),
        Err(error) if is_closed(&error) => None,
        Err(error) => Some(Err(error)),
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        next(self.listener)
    }
}

impl FusedIterator for Incoming<'_> {}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        next(&self.listener)
    }
}

impl FusedIterator for IntoIncoming {}
