//! [`UnixDatagram`].
//!
//! A receive takes one message, and tells nothing about others: no call drains the socket. An empty
//! buffer is no shortcut: there are empty messages.
//!
//! That a direction was shut down comes as an event with a flag. So only after a flag a receive that
//! finds nothing asks whether it was that.
//!
//! Sending to an address goes by [`Turn::retry`](crate::socket::Turn::retry): see [`unix`](super).

use crate::option;
use crate::shared;
use crate::socket::{Moved, Socket, Way};
use crate::sys;
use corio::reactor::{WaitReason, checkpoint};
use socket2::{SockAddr, SockRef, Type};
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// Between tries to send to an address, in nanoseconds. Only one per socket tries at a time, and a
/// receiver that has emptied its queue has nothing to do until then.
const LONGEST_PAUSE: u64 = 5_000_000;

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`], parking the goroutine (or blocking the
/// plain thread) that receives or sends.
///
/// All methods take `&self`: one goroutine may receive while another sends. Several may receive, or
/// send, at once: they take turns, first come, first served.
///
/// Sending waits while the receiver's queue is full. On a [`connect`](Self::connect)ed socket it goes
/// on at once when there is room; [`send_to`](Self::send_to) finds that out by trying every few
/// milliseconds, as the system doesn't tell.
///
/// # Beyond and apart from std
///
/// * Deadlines ([`set_deadline`](Self::set_deadline) and others) and [`close`](Self::close), as in Go;
///   [`wait_readable`](Self::wait_readable) and [`wait_writable`](Self::wait_writable).
/// * More options, such as [`set_send_buffer_size`](Self::set_send_buffer_size). For all others there is
///   `socket2::SockRef::from(&socket)`.
/// * Timeouts and deadlines both report [`TimedOut`](io::ErrorKind::TimedOut); the earlier applies.
///   A timeout counts per call, from its first wait.
/// * [`peek`](Self::peek) and [`peek_from`](Self::peek_from), which are not stable in std.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * Converting from and to std's type and `OwnedFd` may fail: `TryFrom`, and
///   [`into_std`](Self::into_std), instead of `From`, `FromRawFd` and `IntoRawFd`.
///
/// # Examples
///
/// ```
/// use corio_net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// let (one, other) = UnixDatagram::pair()?;
/// let receiver = corio::spawn(move || {
///     let mut buffer = [0; 100];
///     other.recv(&mut buffer).map(|n| buffer[..n].to_vec())
/// });
/// one.send(b"hello")?;
/// assert_eq!(receiver.join().unwrap()?, b"hello");
/// # Ok(())
/// # }
/// ```
pub struct UnixDatagram {
    socket: Socket,
}

impl UnixDatagram {
    fn of(socket: Socket) -> UnixDatagram {
        UnixDatagram { socket }
    }

    /// A socket without a name: it can send, but nobody can send to it.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Self::open(super::new(Type::DGRAM)?.into(), false)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = super::pair(Type::DGRAM)?;
        Ok((Self::open(one, false)?, Self::open(other, false)?))
    }

    /// A socket with a path, which must not exist yet, and stays when the socket is closed.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is too long (107 bytes on Linux); the
    /// system's.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket with an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = super::new(Type::DGRAM)?;
        socket.bind(&sys::to_unix(addr)?)?;
        Self::open(socket.into(), true)
    }

    /// Makes the socket on a path the one to which [`send`](Self::send) sends, and the only one that is
    /// received from. Never waits.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotFound`](io::ErrorKind::NotFound) or
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused); closed.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Like [`connect`](Self::connect), for an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        let addr = sys::to_unix(addr)?;
        self.socket.control(|fd| SockRef::from(&fd).connect(&addr))
    }

    /// This socket's address: unnamed unless it was bound.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::local_addr(self)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it isn't; closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        super::peer_addr(self)
    }

    /// Receives a message. What doesn't fit into the buffer is lost.
    ///
    /// # Errors
    ///
    /// The system's; [`TimedOut`](io::ErrorKind::TimedOut); closed.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive((), |fd| Ok((sys::recv(fd, buf)?, ())), moved)
            .map(|(n, ())| n)
    }

    /// Like [`recv`](Self::recv), and tells from whom: unnamed, if the sender is.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.receive(nobody()?, |fd| sys::recv_from(fd, buf), moved)?;
        Ok((n, sys::from_unix(from)?))
    }

    /// Like [`recv`](Self::recv), and leaves the message in the socket.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive((), |fd| Ok((sys::peek(fd, buf)?, ())), |_| moved(0))
            .map(|(n, ())| n)
    }

    /// Like [`recv_from`](Self::recv_from), and leaves the message in the socket.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.receive(nobody()?, |fd| sys::peek_from(fd, buf), |_| moved(0))?;
        Ok((n, sys::from_unix(from)?))
    }

    /// Receives. Once there is nothing left and the direction was shut down, the result is an empty
    /// message from `nobody`, which is what the system says on a blocking socket; on a non-blocking one
    /// it would say for ever that there is nothing yet.
    fn receive<T>(
        &self,
        nobody: T,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<(usize, T)>,
        effect: impl Fn(usize) -> Moved,
    ) -> io::Result<(usize, T)> {
        let socket = &self.socket;
        let mut nobody = Some(nobody);
        socket.io(
            Way::Read,
            WaitReason::NetRead,
            |fd| match call(fd) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && socket.may_be_shut_down()
                        && sys::is_shut_down(fd) =>
                {
                    nobody.take().map(|nobody| (0, nobody)).ok_or(error)
                }
                result => result,
            },
            |&(n, _)| effect(n),
        )
    }

    /// Sends a message to the socket that this one is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) without [`connect`](Self::connect);
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the other one is gone; too long for a
    /// message (`EMSGSIZE`); [`TimedOut`](io::ErrorKind::TimedOut); closed; the system's.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let call = |fd: BorrowedFd<'_>| sys::send_to(fd, buf, None);
        self.socket
            .io(Way::Write, WaitReason::NetWrite, call, |&n| moved(n))
    }

    /// Sends a message to the socket on a path.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound), or
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the path is left over; too long for a
    /// message (`EMSGSIZE`); [`TimedOut`](io::ErrorKind::TimedOut); closed; the system's.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends a message to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let addr: SockAddr = sys::to_unix(addr)?;
        let turn = self.socket.turn_for(Way::Write)?;
        let sent = turn.retry(
            WaitReason::NetWrite,
            &mut turn.patience(),
            LONGEST_PAUSE,
            |fd| sys::send_to(fd, buf, Some(&addr)),
            |&n| moved(n),
        );
        drop(turn);
        checkpoint();
        sent
    }

    /// Shuts one or both directions down. Receives, also those under way, return what is there, then 0.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.control(|fd| SockRef::from(&fd).shutdown(how))
    }

    shared::clones!(socket);
    shared::timeouts!();
    shared::deadlines!();
    option::buffer_sizes!();
    shared::wait_readable!();
    shared::wait_writable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether receiving and sending fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
        /// waiting, be it for the peer or for their turn, from the next call on.
    }
    shared::close! {
        /// Closes the socket, for all handles: calls under way and later ones fail with an error that
        /// [`is_closed`](crate::is_closed) recognises.
        ///
        /// Dropping the last handle closes as well; this is for a socket that somebody else is waiting
        /// on.
    }
    shared::into_std!(std::os::unix::net::UnixDatagram);
}

/// The address of a message that nobody sent.
fn nobody() -> io::Result<SockAddr> {
    SockAddr::unix("")
}

/// A message of so many bytes.
fn moved(bytes: usize) -> Moved {
    Moved {
        bytes,
        drained: false,
    }
}

shared::descriptor!(UnixDatagram);
shared::conversions!(UnixDatagram, std::os::unix::net::UnixDatagram, Unix, DGRAM);
shared::debug!(UnixDatagram, "local": local_addr, "peer": peer_addr);
