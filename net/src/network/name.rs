//! Networks and addresses as they are written, and what they stand for.
//!
//! As in Go: a TCP address is `host:port`, IPv6 addresses in brackets; the port is a number or a
//! service's name; nothing for the host means the local system. Two functions keep Go's reading of a
//! literal: an IPv4 address mapped into IPv6 is that IPv4 address, and listening on *any* address of
//! one family means both (`tcp4` and `tcp6` are there to say otherwise).

use crate::resolve::ToSocketAddrs;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;

/// What the first argument of `dial` and `listen` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Tcp,
    Tcp4,
    Tcp6,
    Unix,
}

impl Network {
    pub(super) fn parse(name: &str) -> io::Result<Network> {
        match name {
            "tcp" => Ok(Network::Tcp),
            "tcp4" => Ok(Network::Tcp4),
            "tcp6" => Ok(Network::Tcp6),
            "unix" => Ok(Network::Unix),
            _ => Err(invalid("unknown network: not tcp, tcp4, tcp6 or unix")),
        }
    }

    /// May an address of this family be used?
    pub(super) fn admits(self, addr: &SocketAddr) -> bool {
        match self {
            Network::Tcp => true,
            Network::Tcp4 => addr.is_ipv4(),
            Network::Tcp6 => addr.is_ipv6(),
            Network::Unix => false,
        }
    }
}

/// A malformed argument.
pub(super) fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The error if of a name's addresses, or of literals, none will do.
pub(super) fn unsuitable() -> io::Error {
    invalid("no suitable address for this network")
}

/// A Unix address: a path, or `@` and a name in Linux's abstract namespace.
pub(super) fn unix_address(addr: &str) -> io::Result<unix::SocketAddr> {
    match addr.strip_prefix('@') {
        _ if addr.is_empty() => Err(invalid("missing address: expected a path, or @name")),
        Some(name) => unix::SocketAddr::from_abstract_name(name),
        None => unix::SocketAddr::from_pathname(addr),
    }
}

/// An address in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostPort<'a> {
    /// Without the brackets.
    pub(super) host: &'a str,
    pub(super) port: &'a str,
}

/// What the host of an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// Left out.
    Local,
    /// An address.
    Literal(IpAddr),
    /// To be resolved.
    Name,
}

impl<'a> HostPort<'a> {
    pub(super) fn parse(addr: &'a str) -> io::Result<HostPort<'a>> {
        const FORM: &str = "expected host:port, such as \"localhost:80\", \":80\", or \"[::1]:80\"";
        let wrong = |what: &str| {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{what}: {FORM}"),
            ))
        };
        if addr.is_empty() {
            return wrong("missing address");
        }
        let Some((host, port)) = addr.rsplit_once(':') else {
            return wrong("missing port in address");
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, "")) => host,
                Some((_, rest)) if rest.starts_with(':') => {
                    return wrong("too many colons in address");
                }
                // What was taken for the port is in the brackets, or not right behind them.
                Some(_) => return wrong("missing port in address"),
                None if port.contains(']') => return wrong("missing port in address"),
                None => return wrong("missing ']' in address"),
            },
            None if host.contains(':') => return wrong("too many colons in address"),
            None => host,
        };
        if host.contains(['[', ']']) || port.contains(['[', ']']) {
            return wrong("unexpected bracket in address");
        }
        Ok(HostPort { host, port })
    }

    pub(super) fn host(&self) -> Host {
        match self.host.parse::<IpAddr>() {
            _ if self.host.is_empty() => Host::Local,
            Ok(ip) => Host::Literal(ip.to_canonical()),
            Err(_) => Host::Name,
        }
    }

    /// The port, if finding out needs no file.
    pub(super) fn number(&self) -> io::Result<Option<u16>> {
        if self.port.is_empty() {
            return Ok(Some(0));
        }
        if !self.port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        match self.port.parse() {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(invalid("invalid port: not from 0 to 65535")),
        }
    }

    /// The port. May block the goroutine.
    pub(super) fn resolve_port(&self) -> io::Result<u16> {
        match self.number()? {
            Some(port) => Ok(port),
            None => corio::blocking(|| service(self.port)),
        }
    }

    /// The addresses to dial, without waiting; `None` if a name has to be resolved.
    pub(super) fn literal(&self) -> io::Result<Option<Vec<SocketAddr>>> {
        let Some(port) = self.number()? else {
            return Ok(None);
        };
        Ok(match self.host() {
            Host::Local => Some(local(port)),
            Host::Literal(ip) => Some(vec![SocketAddr::new(ip, port)]),
            Host::Name => None,
        })
    }

    /// The addresses to dial. May block the goroutine.
    pub(super) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.resolve_port()?;
        match self.host() {
            Host::Local => Ok(local(port)),
            Host::Literal(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Host::Name => Ok((self.host, port).to_socket_addrs()?.collect()),
        }
    }
}

/// The local system, as one dials it.
fn local(port: u16) -> Vec<SocketAddr> {
    vec![
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ]
}

/// Ports that programs rely on, also where there is no list of them.
const SERVICES: [(&str, u16); 7] = [
    ("domain", 53),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("imaps", 993),
    ("smtp", 25),
    ("ssh", 22),
];

/// The port of a service of this name, in the system's list or in ours.
fn service(name: &str) -> io::Result<u16> {
    let list = fs::read_to_string("/etc/services").unwrap_or_default();
    find_service(&list, name)
        .or_else(|| {
            let name = name.to_ascii_lowercase();
            let (_, port) = SERVICES.iter().find(|(known, _)| *known == name)?;
            Some(*port)
        })
        .ok_or_else(|| invalid("unknown port: neither a number nor the name of a service"))
}

/// Looks for lines such as `http  80/tcp  www  # comment`.
fn find_service(list: &str, name: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?.parse().ok()?;
        (first == name || words.any(|alias| alias == name)).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (addr, host, port) in [
            ("localhost:http", "localhost", "http"),
            ("127.0.0.1:80", "127.0.0.1", "80"),
            ("[::1]:80", "::1", "80"),
            ("[fe80::1%lo0]:80", "fe80::1%lo0", "80"),
            (":80", "", "80"),
            ("[]:80", "", "80"),
            ("host:", "host", ""),
            (":", "", ""),
        ] {
            assert_eq!(HostPort::parse(addr).unwrap(), HostPort { host, port });
        }
    }

    #[test]
    fn malformed_addresses_are_told_apart() {
        for (addr, what) in [
            ("", "missing address"),
            ("localhost", "missing port"),
            ("[::1]", "missing port"),
            ("[::1]0", "missing port"),
            ("[::1", "missing ']'"),
            ("[::1:80", "missing ']'"),
            ("::1", "too many colons"),
            ("a:b:80", "too many colons"),
            ("[::1]:80:80", "too many colons"),
            ("[::1]x:80", "missing port"),
            ("a[::1]:80", "too many colons"),
            ("a]:80", "unexpected bracket"),
            ("[[::1]]:80", "missing port"),
            ("[[::1]:80", "unexpected bracket"),
        ] {
            let error = HostPort::parse(addr).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains(what), "{addr}: {text}");
            assert!(text.contains("expected host:port"), "{text}");
        }
    }

    #[test]
    fn ports_are_numbers_or_services() {
        let port = |text| HostPort::parse(text).unwrap().resolve_port();
        assert_eq!(port("x:80").unwrap(), 80);
        assert_eq!(port("x:").unwrap(), 0);
        assert_eq!(port("x:http").unwrap(), 80);
        assert_eq!(port("x:HTTPS").unwrap(), 443);
        for wrong in ["x:65536", "x:-1", "x:nowhere-at-all", "x:99999999999999"] {
            let error = port(wrong).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn a_list_of_services_is_understood() {
        let list = "# comment\nhttp\t80/tcp www # WorldWideWeb\nntp 123/udp\n\nbroken\nx y/tcp\n";
        assert_eq!(find_service(list, "http"), Some(80));
        assert_eq!(find_service(list, "www"), Some(80));
        assert_eq!(find_service(list, "ntp"), None);
        assert_eq!(find_service(list, "WorldWideWeb"), None);
        assert_eq!(find_service(list, "broken"), None);
    }

    #[test]
    fn hosts_are_literals_or_names() {
        let host = |text| HostPort::parse(text).unwrap().host();
        assert_eq!(host(":80"), Host::Local);
        assert_eq!(host("localhost:80"), Host::Name);
        assert_eq!(
            host("[::ffff:127.0.0.1]:80"),
            Host::Literal(Ipv4Addr::LOCALHOST.into())
        );
        assert_eq!(host("[::]:80"), Host::Literal(Ipv6Addr::UNSPECIFIED.into()));
    }
}
