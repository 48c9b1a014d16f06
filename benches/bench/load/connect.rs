//! Connections to a server.
//!
//! A loopback address has some 28,000 ports to connect from, and a connection that was closed holds
//! its port for a minute or, on newer systems, for a second. A generator that opens many connections
//! therefore takes them from many addresses of 127.0.0.0/8 in turn if the server is on one of those;
//! elsewhere the machine has the addresses that it has, and the error says what to do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Target;

/// How long a server may take to answer anything at all.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Addresses that connections come from in turn, if the server is on a loopback address.
const SOURCES: usize = 64;

/// What connections are made with.
#[derive(Debug)]
pub(super) struct Connector {
    target: SockAddr,
    tcp: bool,
    /// The server is at 127.0.0.0/8.
    loopback: bool,
    made: usize,
}

impl Connector {
    pub(super) fn new(target: &Target) -> io::Result<Connector> {
        Ok(match target {
            Target::Tcp(addr) => Connector {
                target: SockAddr::from(*addr),
                tcp: true,
                loopback: matches!(addr.ip(), IpAddr::V4(ip) if ip.is_loopback()),
                made: 0,
            },
            Target::Unix(path) => Connector {
                target: SockAddr::unix(path)?,
                tcp: false,
                loopback: false,
                made: 0,
            },
        })
    }

    /// A connection that does not block any more.
    pub(super) fn connect(&mut self) -> io::Result<Socket> {
        let socket = self.socket()?;
        let connected = if self.tcp {
            socket.connect_timeout(&self.target, SILENCE)
        } else {
            // Until there is room in the backlog.
            socket.set_write_timeout(Some(SILENCE))?;
            socket.connect(&self.target)
        };
        connected.map_err(explain)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// A connection that does not block and may not be established yet; a Unix socket always is.
    pub(super) fn begin(&mut self) -> io::Result<Socket> {
        if !self.tcp {
            return self.connect();
        }
        let socket = self.socket()?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.target) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
            Err(error) => Err(explain(error)),
            Ok(()) => Ok(socket),
        }
    }

    fn socket(&mut self) -> io::Result<Socket> {
        let domain = Domain::from(i32::from(self.target.family()));
        let socket = Socket::new(domain, Type::STREAM, None).map_err(explain)?;
        if self.tcp {
            socket.set_tcp_nodelay(true)?;
        }
        if self.loopback {
            let last = 1 + (self.made % SOURCES) as u8;
            self.made += 1;
            port_when_connecting(&socket)?;
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0));
            socket.bind(&source.into()).map_err(explain)?;
        }
        Ok(socket)
    }
}

/// Has `bind` leave the port to `connect`, which knows the other address and so has all ports that
/// are free towards it. Without it the ports that are free towards everyone are soon used up.
fn port_when_connecting(socket: &Socket) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the option is an int, and that is what is passed.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Says what to do about the limits that many connections run into.
fn explain(error: io::Error) -> io::Error {
    let help = match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => {
            "no port is free to connect from: widen net.ipv4.ip_local_port_range, or set \
             net.ipv4.tcp_tw_reuse to 1"
        }
        Some(libc::EMFILE | libc::ENFILE) => "too many descriptors: raise `ulimit -n`",
        _ => return io::Error::new(error.kind(), format!("connecting: {error}")),
    };
    io::Error::new(error.kind(), format!("connecting: {error}: {help}"))
}
