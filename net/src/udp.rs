//! [`UdpSocket`].
//!
//! What a stream's read or write learns from its count does not hold for messages: a short one says
//! nothing about what else is there, and an empty one is no end. So nothing here ever counts as
//! having drained the socket, empty buffers reach the system, and each operation is one message.
//! Rejected: to park first after a burst of receives, as TCP does; it would need to know that the
//! socket is empty, and only `WouldBlock` says so.
//!
//! Both directions have their turns, as for streams. Sending needs none for the sake of the bytes,
//! which the system keeps apart, but for waiting: a direction has one waiter.

use crate::option::{self, option};
use crate::resolve::{self, ToSocketAddrs};
use crate::shared;
use crate::socket::{Moved, Socket, Way};
use crate::sys;
use crate::tcp::ip_address;
use corio::reactor::WaitReason;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

/// A UDP socket: [`std::net::UdpSocket`], parking the goroutine (or blocking the plain thread) that
/// receives or sends.
///
/// All methods take `&self`: one goroutine may receive while another one sends, and several that
/// receive, or send, take turns, first come, first served.
///
/// A message longer than the buffer is cut, and the rest of it is lost. A message may be empty: a
/// count of 0 is no end of anything.
///
/// # Beyond and apart from std
///
/// * Deadlines ([`set_deadline`](Self::set_deadline) and others) and [`close`](Self::close), as in Go;
///   [`wait_readable`](Self::wait_readable) and [`wait_writable`](Self::wait_writable).
/// * More options, such as [`set_send_buffer_size`](Self::set_send_buffer_size). For all others there is
///   `socket2::SockRef::from(&socket)`.
/// * Timeouts and deadlines both report [`TimedOut`](io::ErrorKind::TimedOut); the earlier applies.
///   A timeout counts per call, from its first wait.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * Converting from and to std's type and `OwnedFd` may fail: `TryFrom`, and
///   [`into_std`](Self::into_std), instead of `From`, `FromRawFd` and `IntoRawFd`.
///
/// # Examples
///
/// ```
/// use corio_net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// let echo = corio::spawn(move || -> std::io::Result<()> {
///     let mut buffer = [0; 1500];
///     let (n, from) = server.recv_from(&mut buffer)?;
///     server.send_to(&buffer[..n], from)?;
///     Ok(())
/// });
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"ping")?;
/// let mut reply = [0; 1500];
/// let n = client.recv(&mut reply)?;
/// assert_eq!(&reply[..n], b"ping");
/// echo.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct UdpSocket {
    socket: Socket,
}

impl UdpSocket {
    fn of(socket: Socket) -> UdpSocket {
        UdpSocket { socket }
    }

    /// Binds to the first of the addresses that works; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// The last address's error, for instance [`AddrInUse`](io::ErrorKind::AddrInUse).
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        resolve::each(addr, |addr| {
            let kind = Type::DGRAM.nonblocking().cloexec();
            let socket =
                socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::UDP))?;
            socket.bind(&addr.into())?;
            Self::open(socket.into(), true)
        })
    }

    /// Waits for a message; returns how many of its bytes are in `buf`, and who sent it.
    ///
    /// What does not fit is lost. On a [connected](Self::connect) socket only messages of its peer
    /// come.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), closed, or the system's; among them
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when a message that was sent before from
    /// this connected socket has found nobody.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.read(|fd| sys::recv_from(fd, buf), |&(n, _)| moved(n))?;
        Ok((n, ip_address(from)?))
    }

    /// Like [`recv_from`](Self::recv_from), but leaves the message for the next call.
    ///
    /// # Errors
    ///
    /// As for receiving.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.read(|fd| sys::peek_from(fd, buf), |_| false)?;
        Ok((n, ip_address(from)?))
    }

    /// Sends `buf` as one message to the first of the addresses; waits for room if there is none.
    ///
    /// Other than in [`connect`](Self::connect), further addresses are not tried. That a message was
    /// sent does not mean that it arrives.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address,
    /// [`TimedOut`](io::ErrorKind::TimedOut), closed, or the system's, such as `EMSGSIZE` for a message
    /// that is too long.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        let addr = SockAddr::from(addr);
        self.write(|fd| sys::send_to(fd, buf, Some(&addr)))
    }

    /// Makes the first of the addresses that works the peer: [`send`](Self::send) sends to it, and
    /// messages of others don't come any more. It can be called again, and never waits for the peer.
    ///
    /// # Errors
    ///
    /// The last address's error, or closed.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        resolve::each(addr, |addr| {
            option(&self.socket, |socket| socket.connect(&addr.into()))
        })
    }

    /// Sends `buf` as one message to the peer that the socket is [connected](Self::connect) to.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to); the system's if the socket is not connected
    /// (`EDESTADDRREQ`); [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if one before has
    /// found nobody.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.write(|fd| sys::send_to(fd, buf, None))
    }

    /// Like [`recv_from`](Self::recv_from), without the sender: for a [connected](Self::connect)
    /// socket.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(|fd| sys::recv(fd, buf), |&n| moved(n))
    }

    /// Like [`recv`](Self::recv), but leaves the message for the next call.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(|fd| sys::peek(fd, buf), |_| false)
    }

    /// The address of the peer that the socket is [connected](Self::connect) to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        option(&self.socket, |socket| socket.peer_addr()).and_then(ip_address)
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        option(&self.socket, |socket| socket.local_addr()).and_then(ip_address)
    }

    shared::clones!(socket);
    shared::wait_readable!();
    shared::wait_writable!();
    shared::timeouts!();
    shared::deadlines! {
        ///
        /// ```
        /// use std::io::ErrorKind;
        /// use std::time::{Duration, Instant};
        ///
        /// # fn main() -> std::io::Result<()> {
        /// let socket = corio_net::UdpSocket::bind("127.0.0.1:0")?;
        /// socket.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
        /// let error = socket.recv(&mut [0; 1500]).unwrap_err(); // nobody sends
        /// assert_eq!(error.kind(), ErrorKind::TimedOut);
        /// # Ok(())
        /// # }
        /// ```
    }
    shared::take_error!();
    shared::nonblocking! {
        /// Whether receiving and sending fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
        /// waiting, from the next call on.
    }
    shared::close! {
        /// Closes the socket, for all handles: calls under way and later ones fail with an error that
        /// [`is_closed`](crate::is_closed) recognises. When it returns, the port is free.
        ///
        /// Dropping the last handle closes as well; this is for a socket that somebody else is waiting
        /// on.
    }
    shared::into_std!(std::net::UdpSocket);

    fn read<T, E: Into<Moved>>(
        &self,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        effect: impl Fn(&T) -> E,
    ) -> io::Result<T> {
        self.socket.io(Way::Read, WaitReason::NetRead, call, effect)
    }

    fn write(&self, call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>) -> io::Result<usize> {
        self.socket
            .io(Way::Write, WaitReason::NetWrite, call, |&n| moved(n))
    }
}

shared::descriptor!(UdpSocket);
shared::conversions!(UdpSocket, std::net::UdpSocket, Ip, DGRAM);
shared::debug!(UdpSocket, "addr": local_addr);

/// The effect of a message of so many bytes: see the module's head.
fn moved(bytes: usize) -> Moved {
    Moved {
        bytes,
        drained: false,
    }
}

/// A setter and a getter for each option, called as in socket2.
macro_rules! options {
    ($($(#[$about:meta])* $set:ident, $get:ident: $type:ty;)*) => {$(
        $(#[$about])*
        ///
        /// # Errors
        ///
        /// The system's, for instance on a socket of the other IP version, or closed.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            option(&self.socket, |socket| socket.$set(value))
        }

        #[doc = concat!("See [`", stringify!($set), "`](Self::", stringify!($set), ").")]
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn $get(&self) -> io::Result<$type> {
            option(&self.socket, |socket| socket.$get())
        }
    )*};
}

/// Options.
impl UdpSocket {
    options! {
        /// Whether messages may be sent to broadcast addresses. Without it that is
        /// [`PermissionDenied`](io::ErrorKind::PermissionDenied).
        set_broadcast, broadcast: bool;
        /// Whether IPv4 multicast messages that are sent come back to this host's sockets.
        set_multicast_loop_v4, multicast_loop_v4: bool;
        /// Sets how many routers IPv4 multicast messages that are sent may pass: 1, the default, keeps
        /// them in the local network.
        set_multicast_ttl_v4, multicast_ttl_v4: u32;
        /// Whether IPv6 multicast messages that are sent come back to this host's sockets.
        set_multicast_loop_v6, multicast_loop_v6: bool;
    }

    option::time_to_live!();
    option::buffer_sizes!();

    /// Joins an IPv4 multicast group on the interface that has this address, or on one of the system's
    /// choice if it is [`Ipv4Addr::UNSPECIFIED`].
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        option(&self.socket, |socket| {
            socket.join_multicast_v4(multiaddr, interface)
        })
    }

    /// Joins an IPv6 multicast group on the interface of this number, or on one of the system's choice
    /// if it is 0.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        option(&self.socket, |socket| {
            socket.join_multicast_v6(multiaddr, interface)
        })
    }

    /// Leaves an IPv4 multicast group: see [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// The system's, for instance [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it has not
    /// joined it; or closed.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        option(&self.socket, |socket| {
            socket.leave_multicast_v4(multiaddr, interface)
        })
    }

    /// Leaves an IPv6 multicast group: see [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// The system's, for instance [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it has not
    /// joined it; or closed.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        option(&self.socket, |socket| {
            socket.leave_multicast_v6(multiaddr, interface)
        })
    }
}
