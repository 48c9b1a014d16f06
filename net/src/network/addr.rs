//! [`Addr`]: an address of one of the networks.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::Path;

/// The address of one end of a [`Conn`](crate::Conn), or of a [`Listener`](crate::Listener).
///
/// Go's `net.Addr`. What it displays is what [`dial`](crate::dial) takes: `127.0.0.1:80`, `[::1]:80`, a
/// path, or `@name` for a name in Linux's abstract namespace. A Unix socket without a name, such as a
/// client's, displays as `@`. An IPv4 address that a socket for both families reports as mapped into IPv6
/// is shown as what it is.
///
/// ```
/// use corio_net::Addr;
///
/// let addr = Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
/// assert_eq!(addr.to_string(), "127.0.0.1:80");
/// assert_eq!(addr.port(), Some(80));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Addr {
    /// Of a TCP socket.
    Ip(SocketAddr),
    /// Of a Unix socket.
    Unix(net::SocketAddr),
}

impl Addr {
    /// The IP address and port, of a TCP socket.
    pub fn as_ip(&self) -> Option<SocketAddr> {
        match self {
            Addr::Ip(addr) => Some(*addr),
            Addr::Unix(_) => None,
        }
    }

    /// The port, of a TCP socket.
    pub fn port(&self) -> Option<u16> {
        self.as_ip().map(|addr| addr.port())
    }

    /// The path, of a Unix socket that has one.
    pub fn as_pathname(&self) -> Option<&Path> {
        match self {
            Addr::Ip(_) => None,
            Addr::Unix(addr) => addr.as_pathname(),
        }
    }

    /// An address that the system gave: see the type's documentation for mapped ones.
    pub(super) fn of_system(addr: impl Into<Addr>) -> Addr {
        match addr.into() {
            Addr::Ip(addr) => match addr.ip().to_canonical() {
                ip if ip == addr.ip() => Addr::Ip(addr),
                ip => Addr::Ip(SocketAddr::new(ip, addr.port())),
            },
            addr => addr,
        }
    }

    /// What makes two Unix addresses the same.
    fn name(addr: &net::SocketAddr) -> (Option<&Path>, Option<&[u8]>) {
        (addr.as_pathname(), addr.as_abstract_name())
    }
}

impl PartialEq for Addr {
    fn eq(&self, other: &Addr) -> bool {
        match (self, other) {
            (Addr::Ip(a), Addr::Ip(b)) => a == b,
            (Addr::Unix(a), Addr::Unix(b)) => Addr::name(a) == Addr::name(b),
            (Addr::Ip(_), Addr::Unix(_)) | (Addr::Unix(_), Addr::Ip(_)) => false,
        }
    }
}

impl Eq for Addr {}

impl Hash for Addr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Addr::Ip(addr) => addr.hash(state),
            Addr::Unix(addr) => Addr::name(addr).hash(state),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(addr) => addr.fmt(f),
            Addr::Unix(addr) => match Addr::name(addr) {
                (Some(path), _) => path.display().fmt(f),
                (None, Some(name)) => write!(f, "@{}", OsStr::from_bytes(name).display()),
                (None, None) => f.write_str("@"),
            },
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr::Ip(addr)
    }
}

impl From<net::SocketAddr> for Addr {
    fn from(addr: net::SocketAddr) -> Addr {
        Addr::Unix(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_display_as_they_are_written() {
        let path = Addr::from(net::SocketAddr::from_pathname("/tmp/x").unwrap());
        let name = Addr::from(net::SocketAddr::from_abstract_name("x").unwrap());
        assert_eq!(path.to_string(), "/tmp/x");
        assert_eq!(name.to_string(), "@x");
        assert_eq!(path, path.clone());
        assert_ne!(path, name);
        assert_eq!(path.as_pathname(), Some(Path::new("/tmp/x")));
        assert_eq!(name.as_pathname(), None);
        assert_eq!(name.port(), None);
    }
}
