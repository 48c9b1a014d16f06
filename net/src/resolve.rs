//! Names to addresses, without holding a P.
//!
//! The system's resolver blocks its thread, for seconds if no server answers; it runs in
//! [`corio::blocking`]. An address that is one already is parsed in place and never blocks.
//!
//! A lookup can't be ended, so when no server answers they pile up, each with a thread, also those that nobody
//! waits for any longer. So there is a limit; who comes when it is reached waits for a thread of others.
//!
//! That is why [`ToSocketAddrs`] is a trait of this crate: std's is implemented for the same types,
//! but doesn't tell whether it is going to block, and an excursion into `blocking` for each connect
//! to a known address would be a hand-off for nothing. An own resolver would be a second opinion on
//! `nsswitch.conf`; Go has one, and a list of the cases in which it must not be used.

use corio::sync::Semaphore;
use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as StdAddrs,
};
use std::{iter, option, slice, vec};

/// What can be resolved to socket addresses: [`std::net::ToSocketAddrs`], for the same types, but
/// resolving a name blocks only the goroutine.
///
/// ```
/// use corio_net::ToSocketAddrs;
///
/// # fn main() -> std::io::Result<()> {
/// assert!("127.0.0.1:80".to_socket_addrs()?.eq(["127.0.0.1:80".parse().unwrap()]));
/// assert!(("localhost", 80).to_socket_addrs()?.all(|addr| addr.ip().is_loopback()));
/// # Ok(())
/// # }
/// ```
pub trait ToSocketAddrs {
    /// The addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Resolves to addresses.
    ///
    /// # Errors
    ///
    /// Those of std: what the resolver says, or [`InvalidInput`](io::ErrorKind::InvalidInput) for a
    /// string without a port.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Resolves `addr`, such as `"example.com:443"`. Blocks the goroutine, not the thread's P.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// for addr in corio_net::lookup_host("localhost:80")? {
///     assert_eq!(addr.port(), 80);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`ToSocketAddrs::to_socket_addrs`].
pub fn lookup_host<A: ToSocketAddrs>(addr: A) -> io::Result<impl Iterator<Item = SocketAddr>> {
    addr.to_socket_addrs()
}

/// Calls `f` with each address in turn until it succeeds; else returns its last error.
pub(crate) fn each<A: ToSocketAddrs, T>(
    addr: A,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}

/// Lookups under way at once, and so threads that wait for the system's resolver: as many as Go has.
static LOOKUPS: Semaphore = Semaphore::new(500);

fn look_up<T>(f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // It is never closed.
    let _permit = LOOKUPS.acquire();
    corio::blocking(f)
}

/// For types that are addresses: as std has it.
macro_rules! literal {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                StdAddrs::to_socket_addrs(self)
            }
        }
    )*};
}

literal!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.parse() {
            Ok(addr) => Ok(vec![addr].into_iter()),
            // The commonest mistake; std's words are "invalid socket address".
            Err(_) if !self.contains(':') || self.ends_with(']') => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("missing port in address: {self:?}"),
            )),
            Err(_) => look_up(|| StdAddrs::to_socket_addrs(self)),
        }
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, self.1)].into_iter()),
            Err(_) => look_up(|| StdAddrs::to_socket_addrs(self)),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        ToSocketAddrs::to_socket_addrs(self.as_str())
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        ToSocketAddrs::to_socket_addrs(&(self.0.as_str(), self.1))
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve<A: ToSocketAddrs>(addr: A) -> Vec<SocketAddr> {
        lookup_host(addr).unwrap().collect()
    }

    #[test]
    fn all_of_stds_types_resolve() {
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(resolve("127.0.0.1:80"), [addr]);
        assert_eq!(resolve(String::from("127.0.0.1:80")), [addr]);
        assert_eq!(resolve(("127.0.0.1", 80)), [addr]);
        assert_eq!(resolve((String::from("127.0.0.1"), 80)), [addr]);
        assert_eq!(resolve((addr.ip(), 80)), [addr]);
        assert_eq!(resolve(addr), [addr]);
        assert_eq!(resolve(&[addr, addr][..]), [addr, addr]);
        assert_eq!(resolve(("::1", 80)), ["[::1]:80".parse().unwrap()]);
    }

    #[test]
    fn what_is_missing_is_named() {
        for addr in ["localhost", "", "127.0.0.1", "[::1]"] {
            let error = lookup_host(addr).map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(
                error.to_string(),
                format!("missing port in address: {addr:?}")
            );
            let std = StdAddrs::to_socket_addrs(addr).unwrap_err();
            assert_eq!(error.kind(), std.kind());
        }
    }

    #[test]
    fn each_tries_all_and_reports_the_last_error() {
        let addrs: Vec<SocketAddr> = (1..4).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let mut tried = Vec::new();
        let error = each(&addrs[..], |addr| {
            tried.push(addr);
            Err::<(), _>(io::Error::other(addr.to_string()))
        });
        assert_eq!(tried, addrs);
        assert_eq!(error.unwrap_err().to_string(), "127.0.0.1:3");
        let none: &[SocketAddr] = &[];
        let error = each(none, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
