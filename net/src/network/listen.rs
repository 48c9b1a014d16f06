//! [`listen`] and [`ListenConfig`].
//!
//! Options that accepted connections are to have are set on the listener, from which the system
//! copies them: an accepted connection costs no call more than `accept`.

use crate::network::Listener;
use crate::network::name::{Host, HostPort, Network, unix_address, unsuitable};
use crate::network::options::{Control, TcpOptions};
use crate::{KeepAlive, OpError, TcpListener, UnixListener, sys, unix};
use libc::c_int;
use socket2::{Domain, Protocol, SockRef, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

/// Listens on an address of a network: [`ListenConfig::listen`] with the default settings.
///
/// Go's `net.Listen`.
///
/// | network | address |
/// | --- | --- |
/// | `tcp` | `host:port`; without a host, as in `":8080"`, IPv6 and IPv4 at once |
/// | `tcp4`, `tcp6` | `host:port`, of one family only |
/// | `unix` | a path, which is removed when the listener is closed, or `@name` in Linux's abstract namespace |
///
/// The host is an address of ours, IPv6 addresses in brackets, or a name, of whose addresses one is taken,
/// an IPv4 one if possible. Port 0 takes any free one. Other than with std, and as in Go, `tcp` with
/// `0.0.0.0` or `[::]` means both families as well.
///
/// Blocks the goroutine only to resolve a name.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = corio_net::listen("tcp", ":0")?;
/// let port = listener.local_addr()?.port().unwrap();
/// let client = corio_net::dial("tcp4", &format!("localhost:{port}"))?;
/// let (conn, peer) = listener.accept()?;
/// assert_eq!(peer, client.local_addr()?);
/// # drop(conn);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// See [`ListenConfig::listen`].
pub fn listen(network: &str, addr: &str) -> io::Result<Listener> {
    ListenConfig::new().listen(network, addr)
}

/// How to listen: Go's `net.ListenConfig`. Can be used any number of times.
///
/// By default the queue of connections not yet accepted is as long as the system allows, the address
/// may be one that closed connections still linger on, and accepted TCP connections send at once
/// ([`set_nodelay`](crate::TcpStream::set_nodelay)) and probe an idle peer ([`KeepAlive::default`]).
///
/// ```
/// use corio_net::ListenConfig;
///
/// # fn main() -> std::io::Result<()> {
/// let config = ListenConfig::new().reuse_port(true);
/// let one = config.listen("tcp", "127.0.0.1:0")?;
/// let two = config.listen("tcp", &one.local_addr()?.to_string())?;
/// assert_eq!(one.local_addr()?, two.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until `listen` is called"]
pub struct ListenConfig {
    backlog: Option<u32>,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    options: TcpOptions,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
    control: Option<Control>,
}

impl ListenConfig {
    /// The default settings.
    pub fn new() -> ListenConfig {
        ListenConfig {
            backlog: None,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            options: TcpOptions::default(),
            recv_buffer_size: None,
            send_buffer_size: None,
            control: None,
        }
    }

    /// The longest queue of connections not yet accepted; the system's limit (`SOMAXCONN`) if it is
    /// longer than that, which is also the default. A shorter one makes clients of a burst wait for a second
    /// or more.
    pub fn backlog(mut self, connections: u32) -> ListenConfig {
        self.backlog = Some(connections);
        self
    }

    /// Whether the address may be one that closed connections still linger on (`SO_REUSEADDR`). On
    /// unless set.
    pub fn reuse_address(mut self, reuse: bool) -> ListenConfig {
        self.reuse_address = reuse;
        self
    }

    /// Whether several sockets, of this or other processes of the same user, may listen on the address,
    /// all of which set this (`SO_REUSEPORT`). The system spreads connections over them.
    ///
    /// When one of them is closed, Linux resets the connections that it had in its queue, unless
    /// `net.ipv4.tcp_migrate_req` is 1: then the others get them.
    pub fn reuse_port(mut self, reuse: bool) -> ListenConfig {
        self.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 listener is for IPv6 only. Unless set, it is for both with the network `tcp` and no
    /// host, and only for IPv6 otherwise.
    pub fn only_v6(mut self, only: bool) -> ListenConfig {
        self.only_v6 = Some(only);
        self
    }

    /// Whether and how an idle connection's peer is probed; `None`: it isn't.
    pub fn keepalive(mut self, keepalive: Option<KeepAlive>) -> ListenConfig {
        self.options.keepalive = keepalive;
        self
    }

    /// The size of accepted connections' receive buffers, in bytes. Left alone, the system adapts it to
    /// the connection; and only here can it be made larger than 64 KiB with full effect, as the peer is told
    /// so while connecting.
    pub fn recv_buffer_size(mut self, bytes: usize) -> ListenConfig {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// The size of accepted connections' send buffers, in bytes. Left alone, the system adapts it to the
    /// connection.
    pub fn send_buffer_size(mut self, bytes: usize) -> ListenConfig {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// A function that sets further options on the socket before it is bound.
    ///
    /// Go's `Control`.
    pub fn control<F>(mut self, control: F) -> ListenConfig
    where
        F: Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    {
        self.control = Some(Control::new(control));
        self
    }

    /// Listens. See [`listen`] for networks and addresses.
    ///
    /// Blocks the goroutine only to resolve a name.
    ///
    /// # Errors
    ///
    /// Each has an [`OpError`] in it, and its kind: [`InvalidInput`](io::ErrorKind::InvalidInput) for an
    /// unknown network, a malformed address, or one that does not go with the network; the resolver's errors;
    /// and the system's, for instance [`AddrInUse`](io::ErrorKind::AddrInUse),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied).
    pub fn listen(&self, network: &str, addr: &str) -> io::Result<Listener> {
        let listener = match Network::parse(network) {
            Ok(Network::Unix) => self.unix(addr).map(Listener::from),
            Ok(tcp) => self.tcp(tcp, addr).map(Listener::from),
            Err(error) => Err(error),
        };
        listener.map_err(|error| OpError::wrap("listen", network, addr, error))
    }

    fn tcp(&self, network: Network, addr: &str) -> io::Result<TcpListener> {
        let parts = HostPort::parse(addr)?;
        let port = parts.resolve_port()?;
        let any = match parts.host() {
            Host::Local => true,
            Host::Literal(ip) => ip.is_unspecified(),
            Host::Name => false,
        };
        if any {
            return self.on_any(network, port);
        }
        let addrs: Vec<_> = parts
            .resolve()?
            .into_iter()
            .filter(|addr| network.admits(addr))
            .collect();
        let v4 = addrs.iter().find(|addr| addr.is_ipv4());
        let addr = v4.or(addrs.first()).ok_or_else(unsuitable)?;
        self.on(*addr, true)
    }

    /// On all addresses of the system.
    fn on_any(&self, network: Network, port: u16) -> io::Result<TcpListener> {
        let v6 = (Ipv6Addr::UNSPECIFIED, port).into();
        let v4 = (Ipv4Addr::UNSPECIFIED, port).into();
        match network {
            Network::Tcp4 => self.on(v4, true),
            Network::Tcp6 => self.on(v6, true),
            _ => match self.on(v6, false) {
                Err(error) if no_ipv6(&error) && self.only_v6 != Some(true) => self.on(v4, true),
                result => result,
            },
        }
    }

    fn unix(&self, addr: &str) -> io::Result<UnixListener> {
        let addr = sys::to_unix(&unix_address(addr)?)?;
        let socket = unix::new(Type::STREAM)?;
        self.prepare(&socket)?;
        socket.bind(&addr)?;
        socket.listen(self.queue())?;
        let listener = UnixListener::open(socket.into(), true)?;
        listener.set_unlink_on_close(true)?;
        Ok(listener)
    }

    fn on(&self, addr: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket =
            socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(self.only_v6.unwrap_or(only_v6))?;
        }
        self.options.set(&SockRef::from(&socket))?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        self.prepare(&socket)?;
        socket.bind(&addr.into())?;
        socket.listen(self.queue())?;
        TcpListener::open(socket.into(), true)
    }

    /// What is to be done with any socket before it is bound.
    fn prepare(&self, socket: &socket2::Socket) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes)?;
        }
        match &self.control {
            Some(control) => control.call(socket),
            None => Ok(()),
        }
    }

    fn queue(&self) -> c_int {
        match self.backlog {
            Some(connections) => c_int::try_from(connections).unwrap_or(sys::BACKLOG),
            None => sys::BACKLOG,
        }
    }
}

/// Is there no IPv6 on this system?
fn no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(
            error.raw_os_error(),
            Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
        )
}

impl Default for ListenConfig {
    fn default() -> ListenConfig {
        ListenConfig::new()
    }
}

impl fmt::Debug for ListenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConfig")
            .field("backlog", &self.backlog)
            .field("reuse_address", &self.reuse_address)
            .field("reuse_port", &self.reuse_port)
            .field("only_v6", &self.only_v6)
            .field("keepalive", &self.options.keepalive)
            .field("recv_buffer_size", &self.recv_buffer_size)
            .field("send_buffer_size", &self.send_buffer_size)
            .finish_non_exhaustive()
    }
}
