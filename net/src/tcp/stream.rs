//! [`TcpStream`].
//!
//! Connecting and what only TCP has; the rest is from [`shared`].

use super::ip_address;
use crate::connect;
use crate::metrics;
use crate::option::{self, KeepAlive, option};
use crate::resolve::ToSocketAddrs;
use crate::shared::{self, Stream};
use crate::socket::{Patience, Socket, Way};
use crate::sys;
use corio::reactor::WaitReason;
use socket2::{Domain, Protocol, SockRef, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A TCP connection: [`std::net::TcpStream`], parking the goroutine (or blocking the plain thread)
/// that reads or writes.
///
/// `Read` and `Write` are implemented for `&TcpStream` too, so that one goroutine may read while
/// another writes. Several may read, or write, at once: they take turns, first come, first served.
/// `write_all` and `write!` keep their turn to the end, so what concurrent writers write is not mixed.
///
/// # Beyond and apart from std
///
/// * Deadlines ([`set_deadline`](Self::set_deadline) and others) and [`close`](Self::close), as in Go;
///   [`wait_readable`](Self::wait_readable) and [`wait_writable`](Self::wait_writable).
/// * More options, such as [`set_keepalive`](Self::set_keepalive). For all others there is
///   `socket2::SockRef::from(&stream)`.
/// * Timeouts and deadlines both report [`TimedOut`](io::ErrorKind::TimedOut); the earlier applies.
///   A timeout counts per call, from its first wait.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * [`set_linger`](Self::set_linger), which is not stable in std.
/// * Reading into, or writing from, an empty buffer returns 0 without waiting.
/// * `write!` formats into memory first, then writes.
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
/// let server = corio::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     let mut buffer = [0; 1024];
///     loop {
///         match stream.read(&mut buffer)? {
///             0 => return Ok(()),
///             n => stream.write_all(&buffer[..n])?,
///         }
///     }
/// });
///
/// let mut stream = TcpStream::connect(addr)?;
/// write!(stream, "{} times", 3)?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut echo = String::new();
/// stream.read_to_string(&mut echo)?;
/// assert_eq!(echo, "3 times");
/// server.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    fn of(socket: Socket) -> TcpStream {
        TcpStream { socket }
    }

    /// Connects to the first of the addresses that works.
    ///
    /// They are tried in turn, as std does. Where there are both IPv6 and IPv4 addresses, those of the
    /// other family than the first one's are tried beside if the first ones take longer than 300 ms, as
    /// Go does: a family that is not connected costs no more than that.
    ///
    /// # Errors
    ///
    /// The last address's error, for instance
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        connect::first(addr)
    }

    /// Connects to one address, in a limited time.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is up;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is zero.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let connect = || {
            let mut patience = Patience::new(timeout);
            let (stream, started) = Self::start(Self::socket_for(*addr)?, *addr)?;
            if started {
                stream.finish(&mut patience)?;
            }
            Ok(stream)
        };
        metrics::connected(connect())
    }

    /// A socket to connect to this address with.
    pub(crate) fn socket_for(addr: SocketAddr) -> io::Result<socket2::Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::TCP))
    }

    /// Starts connecting. `true`: [`finish`](Self::finish) has to be called.
    pub(crate) fn start(
        socket: socket2::Socket,
        addr: SocketAddr,
    ) -> io::Result<(TcpStream, bool)> {
        let started = match socket.connect(&addr.into()) {
            Ok(()) => false,
            Err(error) if sys::in_progress(&error) => true,
            Err(error) => return Err(error),
        };
        Ok((Self::open(socket.into(), false)?, started))
    }

    /// Waits until the connection is made, or can't be.
    pub(crate) fn finish(&self, patience: &mut Patience) -> io::Result<()> {
        self.socket.turn(Way::Write, patience)?.io(
            WaitReason::NetConnect,
            patience,
            connected,
            |_| false,
        )
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .control(|fd| SockRef::from(&fd).peer_addr().and_then(ip_address))
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .control(|fd| SockRef::from(&fd).local_addr().and_then(ip_address))
    }

    /// Shuts one or both directions down. Reads under way return what is there, then 0.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.control(|fd| SockRef::from(&fd).shutdown(how))
    }

    shared::clones!(socket);
    shared::timeouts!();
    shared::deadlines! {
        ///
        /// ```
        /// # use corio_net::{TcpListener, TcpStream};
        /// use std::io::{ErrorKind, Read};
        /// use std::time::{Duration, Instant};
        ///
        /// # fn main() -> std::io::Result<()> {
        /// # let listener = TcpListener::bind("127.0.0.1:0")?;
        /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
        /// stream.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
        /// let error = stream.read(&mut [0]).unwrap_err(); // nobody sends
        /// assert_eq!(error.kind(), ErrorKind::TimedOut);
        /// # Ok(())
        /// # }
        /// ```
    }

    /// Reads without taking the bytes out: a later read gets them again.
    ///
    /// # Errors
    ///
    /// As for reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        shared::peek(self, buf)
    }

    /// Sets what happens to unsent bytes when the last handle is dropped or the stream is closed:
    /// `None` sends them in the background; zero drops them and resets the connection; otherwise
    /// closing waits for them that long, and blocks its thread. The system counts in seconds: fractions are
    /// rounded up.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        option(&self.socket, |socket| option::set_linger(socket, linger))
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        option(&self.socket, |socket| socket.linger())
    }

    /// Whether small writes are sent at once instead of being gathered while others are under way.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        option(&self.socket, |socket| socket.set_tcp_nodelay(nodelay))
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn nodelay(&self) -> io::Result<bool> {
        option(&self.socket, |socket| socket.tcp_nodelay())
    }

    /// Whether what comes is acknowledged at once, for now: the system falls back into delaying it.
    /// With std it is a method of `os::linux::net::TcpStreamExt`.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        option(&self.socket, |socket| socket.set_tcp_quickack(quickack))
    }

    /// See [`set_quickack`](Self::set_quickack).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn quickack(&self) -> io::Result<bool> {
        option(&self.socket, |socket| socket.tcp_quickack())
    }

    /// Whether, and when, the peer of an idle connection is probed: see [`KeepAlive`]. As with std, it
    /// is not, to begin with.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for what the system can't do; closed.
    pub fn set_keepalive(&self, keepalive: Option<KeepAlive>) -> io::Result<()> {
        option(&self.socket, |socket| {
            option::set_keepalive(socket, keepalive)
        })
    }

    /// See [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn keepalive(&self) -> io::Result<Option<KeepAlive>> {
        option(&self.socket, option::keepalive)
    }

    /// Sets how long written bytes may stay without acknowledgement (or, if the peer has no room for
    /// them, unsent) until the connection is broken (`TCP_USER_TIMEOUT`); `None` is the system's
    /// default, some 15 minutes. It also ends the probes of [`set_keepalive`](Self::set_keepalive).
    ///
    /// In milliseconds, rounded up; what is more than the system can hold, 24 days, is taken for that.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero; closed.
    pub fn set_tcp_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        option(&self.socket, |socket| {
            option::set_user_timeout(socket, timeout)
        })
    }

    /// See [`set_tcp_user_timeout`](Self::set_tcp_user_timeout).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn tcp_user_timeout(&self) -> io::Result<Option<Duration>> {
        option(&self.socket, |socket| socket.tcp_user_timeout())
    }

    option::time_to_live!();
    option::buffer_sizes!();
    shared::wait_readable!();
    shared::wait_writable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether reads and writes fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
        /// waiting, be it for the peer or for their turn, from the next call on.
    }
    shared::close! {
        /// Closes the connection, for all handles: calls under way and later ones fail with an error
        /// that [`is_closed`](crate::is_closed) recognises.
        ///
        /// Dropping the last handle closes as well; this is for a stream that somebody else is waiting
        /// on.
    }
    shared::into_std!(std::net::TcpStream);
}

/// Is the connection made? One system call if it failed, two if not; `WouldBlock` if that is open.
fn connected(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // No error may also mean that it is not decided: an event need not be about connecting.
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

impl Stream for TcpStream {
    const SHORT_DRAINS: bool = true;
}

shared::descriptor!(TcpStream);
shared::conversions!(TcpStream, std::net::TcpStream, Ip, STREAM);
shared::debug!(TcpStream, "addr": local_addr, "peer": peer_addr);
shared::reading!(TcpStream);
shared::writing!(TcpStream);
