//! [`UnixStream`]. Connecting, which is special (see [`unix`](super)); the rest is from [`shared`].

use crate::option;
use crate::shared::{self, Stream};
use crate::socket::{Patience, Socket, Way};
use crate::{metrics, sys};
use corio::reactor::WaitReason;
use socket2::{SockAddr, SockRef, Type};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// Between tries to connect, in nanoseconds. It is thousands that may have to wait: 5,000 who try every
/// 20 ms were seen to take half of a processor.
const LONGEST_PAUSE: u64 = 50_000_000;

/// A connected Unix socket: [`std::os::unix::net::UnixStream`], parking the goroutine (or blocking the
/// plain thread) that reads or writes.
///
/// `Read` and `Write` are implemented for `&UnixStream` too, so that one goroutine may read while
/// another writes. Several may read, or write, at once: they take turns, first come, first served.
/// `write_all` and `write!` keep their turn to the end, so what concurrent writers write is not mixed.
///
/// # Beyond and apart from std
///
/// * Deadlines ([`set_deadline`](Self::set_deadline) and others) and [`close`](Self::close), as in Go;
///   [`wait_readable`](Self::wait_readable) and [`wait_writable`](Self::wait_writable).
/// * More options, such as [`set_send_buffer_size`](Self::set_send_buffer_size). For all others there is
///   `socket2::SockRef::from(&socket)`.
/// * Timeouts and deadlines both report [`TimedOut`](io::ErrorKind::TimedOut); the earlier applies.
///   A timeout counts per call, from its first wait.
/// * [`peer_cred`](Self::peer_cred) and [`peek`](Self::peek), which are not stable in std.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * Reading into, or writing from, an empty buffer returns 0 without waiting.
/// * `write!` formats into memory first, then writes.
/// * Converting from and to std's type and `OwnedFd` may fail: `TryFrom`, and
///   [`into_std`](Self::into_std), instead of `From`, `FromRawFd` and `IntoRawFd`.
///
/// # Examples
///
/// ```
/// use corio_net::UnixStream;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut one, mut other) = UnixStream::pair()?;
/// let reader = corio::spawn(move || {
///     let mut text = String::new();
///     other.read_to_string(&mut text).map(|_| text)
/// });
/// write!(one, "{} times", 3)?;
/// drop(one);
/// assert_eq!(reader.join().unwrap()?, "3 times");
/// # Ok(())
/// # }
/// ```
pub struct UnixStream {
    socket: Socket,
}

/// Who is at the other end of a [`UnixStream`]: that of std, which is not stable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    /// The user.
    pub uid: libc::uid_t,
    /// The group.
    pub gid: libc::gid_t,
    /// The process, where the system tells.
    pub pid: Option<libc::pid_t>,
}

impl UnixStream {
    fn of(socket: Socket) -> UnixStream {
        UnixStream { socket }
    }

    /// Connects to the listener on a path. Waits while the listener's queue is full.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotFound`](io::ErrorKind::NotFound), or
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there any more.
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long (107 bytes on Linux).
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener on an address, which may be an abstract one; like
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        let socket = super::new(Type::STREAM)?;
        let addr = sys::to_unix(addr)?;
        metrics::connected(Self::finish(
            socket,
            &addr,
            &mut Patience::endless(),
            |_| (),
        ))
    }

    /// Connects a non-blocking socket. If it has to wait, `started` gets the socket first, and may use a
    /// clone of it to end the waiting by a deadline or by `close`.
    pub(crate) fn finish(
        socket: socket2::Socket,
        addr: &SockAddr,
        patience: &mut Patience,
        started: impl FnOnce(&Socket),
    ) -> io::Result<UnixStream> {
        match socket.connect(addr) {
            Ok(()) => return Self::open(socket.into(), false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let stream = Self::open(socket.into(), false)?;
        started(&stream.socket);
        let turn = stream.socket.turn(Way::Write, patience)?;
        turn.retry(
            WaitReason::NetConnect,
            patience,
            LONGEST_PAUSE,
            |fd| SockRef::from(&fd).connect(addr),
            |_| false,
        )?;
        drop(turn);
        Ok(stream)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = super::pair(Type::STREAM)?;
        Ok((Self::open(one, false)?, Self::open(other, false)?))
    }

    /// This end's address: unnamed unless it was bound, or accepted.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::local_addr(self)
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        super::peer_addr(self)
    }

    /// The other end's user, group and process, as they were when it connected, listened, or made the
    /// pair. The system vouches for them.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (one, _other) = corio_net::UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.pid, Some(std::process::id() as i32));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        let (uid, gid, pid) = self.socket.control(sys::peer_credentials)?;
        let pid = (pid != 0).then_some(pid);
        Ok(UCred { uid, gid, pid })
    }

    /// Shuts one or both directions down. Reads under way return what is there, then 0.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.control(|fd| SockRef::from(&fd).shutdown(how))
    }

    /// Reads without taking the bytes out: a later read gets them again.
    ///
    /// # Errors
    ///
    /// As for reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        shared::peek(self, buf)
    }

    shared::clones!(socket);
    shared::timeouts!();
    shared::deadlines! {
        ///
        /// ```
        /// use std::io::{ErrorKind, Read};
        /// use std::time::{Duration, Instant};
        ///
        /// # fn main() -> std::io::Result<()> {
        /// let (mut one, _other) = corio_net::UnixStream::pair()?;
        /// one.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
        /// let error = one.read(&mut [0]).unwrap_err(); // nobody sends
        /// assert_eq!(error.kind(), ErrorKind::TimedOut);
        /// # Ok(())
        /// # }
        /// ```
    }
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
    shared::into_std!(std::os::unix::net::UnixStream);
}

impl Stream for UnixStream {
    const SHORT_DRAINS: bool = false;
}

shared::descriptor!(UnixStream);
shared::conversions!(UnixStream, std::os::unix::net::UnixStream, Unix, STREAM);
shared::debug!(UnixStream, "local": local_addr, "peer": peer_addr);
shared::reading!(UnixStream);
shared::writing!(UnixStream);
