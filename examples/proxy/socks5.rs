//! The words of SOCKS 5 (RFC 1928, and RFC 1929 for passwords), over anything that reads and writes.
//!
//! What is read is exactly what the protocol says and not a byte more: what follows belongs to the connection that
//! is to be made. No message is longer than 513 bytes, and none is kept.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_OF_THEM: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// Where a client wants to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address.
    Ip(SocketAddr),
    /// A name, to be resolved here, and a port.
    Domain(String, u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Ip(addr) => addr.fmt(f),
            Target::Domain(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// How a request is answered: the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reply {
    /// Connected.
    Succeeded = 0,
    /// The way to the network is down.
    NetworkUnreachable = 3,
    /// The way to the host is down, or nobody knows the name, or nobody answers.
    HostUnreachable = 4,
    /// The host refuses.
    ConnectionRefused = 5,
    /// Anything but CONNECT.
    CommandNotSupported = 7,
    /// An address that is neither an IP address nor a name.
    AddressTypeNotSupported = 8,
}

impl Reply {
    /// What an attempt to connect came to.
    pub(crate) fn of(error: &io::Error) -> Reply {
        match error.kind() {
            ErrorKind::ConnectionRefused => Reply::ConnectionRefused,
            ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
            // Nobody answers, or nobody knows the name.
            _ => Reply::HostUnreachable,
        }
    }
}

fn array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A byte that says how many follow, and those.
fn counted(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let [len] = array(stream)?;
    let mut bytes = vec![0; usize::from(len)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

fn demand(what: &str, want: u8, got: u8) -> io::Result<()> {
    if got == want {
        return Ok(());
    }
    Err(invalid(format!("{what} {got} where {want} was expected")))
}

/// The greeting, and the password if one is needed: `login` is `name:password`.
///
/// # Errors
///
/// [`InvalidData`](ErrorKind::InvalidData) if that isn't SOCKS 5; [`PermissionDenied`](ErrorKind::PermissionDenied) if
/// client and server have no way to authenticate in common, or the password is wrong. The client has been told. And the
/// stream's.
pub(crate) fn greet(stream: &mut (impl Read + Write), login: Option<&str>) -> io::Result<()> {
    let [version] = array(stream)?;
    demand("SOCKS version", VERSION, version)?;
    let offered = counted(stream)?;
    let method = if login.is_some() {
        PASSWORD
    } else {
        NO_AUTHENTICATION
    };
    if !offered.contains(&method) {
        stream.write_all(&[VERSION, NONE_OF_THEM])?;
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "the client offers no way to authenticate that is wanted here",
        ));
    }
    stream.write_all(&[VERSION, method])?;
    let Some(login) = login else { return Ok(()) };
    let [version] = array(stream)?;
    demand("password version", PASSWORD_VERSION, version)?;
    let (name, password) = (counted(stream)?, counted(stream)?);
    let good = [name, password].join(&b':') == login.as_bytes();
    stream.write_all(&[PASSWORD_VERSION, u8::from(!good)])?;
    if good {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "wrong name or password",
    ))
}

/// The request: where to, or how to refuse it.
///
/// # Errors
///
/// [`InvalidData`](ErrorKind::InvalidData) if that isn't SOCKS 5, and the stream's.
pub(crate) fn request(stream: &mut impl Read) -> io::Result<Result<Target, Reply>> {
    let [version, command, _reserved, kind] = array(stream)?;
    demand("SOCKS version", VERSION, version)?;
    let host = match kind {
        IPV4 => Ok(IpAddr::from(Ipv4Addr::from(array(stream)?))),
        IPV6 => Ok(IpAddr::from(Ipv6Addr::from(array(stream)?))),
        DOMAIN => Err(counted(stream)?),
        // How long it is nobody knows.
        _ => return Ok(Err(Reply::AddressTypeNotSupported)),
    };
    let port = u16::from_be_bytes(array(stream)?);
    if command != CONNECT {
        return Ok(Err(Reply::CommandNotSupported));
    }
    match host {
        Ok(ip) => Ok(Ok(Target::Ip(SocketAddr::new(ip, port)))),
        Err(name) => match String::from_utf8(name) {
            Ok(name) if is_name(&name) => Ok(Ok(Target::Domain(name, port))),
            _ => Err(invalid("a name that is none")),
        },
    }
}

/// Letters, digits and what else may stand in the name of a host, or in an address as text.
fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    !name.is_empty() && name.bytes().all(good)
}

/// Answers a request; `bound` is our end of the new connection.
///
/// # Errors
///
/// The stream's.
pub(crate) fn reply(
    stream: &mut impl Write,
    reply: Reply,
    bound: Option<SocketAddr>,
) -> io::Result<()> {
    let bound = bound.unwrap_or(SocketAddr::from(([0; 4], 0)));
    let mut message = vec![VERSION, reply as u8, 0];
    match bound.ip() {
        IpAddr::V4(ip) => {
            message.push(IPV4);
            message.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            message.push(IPV6);
            message.extend(ip.octets());
        }
    }
    message.extend(bound.port().to_be_bytes());
    stream.write_all(&message)
}
