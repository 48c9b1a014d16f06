//! A descriptor in words, for dumps of goroutines.
//!
//! It is known by its number only, which may have been closed: so nothing is asked but names, by calls that fail on
//! what is not a socket.

use super::check;
use corio::reactor::WaitReason;
use libc::{c_int, sockaddr, socklen_t, ssize_t};
use socket2::SockAddr;

/// What somebody waits for on it: the socket's own address and the other end's, as far as they have any, or else
/// the descriptor's number. `None` if it is closed.
pub(crate) fn describe(fd: c_int, reason: WaitReason) -> Option<String> {
    // SAFETY: a system call without pointers.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) } as ssize_t).ok()?;
    let here = name(fd, libc::getsockname);
    let there = name(fd, libc::getpeername);
    let arrow = match reason {
        WaitReason::NetRead => "<-",
        _ => "->",
    };
    Some(match (here, there) {
        (Some(here), Some(there)) => format!("{here} {arrow} {there}"),
        (Some(here), None) => here,
        (None, Some(there)) => format!("{arrow} {there}"),
        (None, None) => format!("fd {fd}"),
    })
}

type GetName = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;

fn name(fd: c_int, get: GetName) -> Option<String> {
    // SAFETY: the kernel writes at most `len` bytes, and the length that it has written.
    let found = unsafe {
        SockAddr::try_init(|storage, len| check(get(fd, storage.cast(), len) as ssize_t).map(drop))
    };
    let ((), addr) = found.ok()?;
    if let Some(addr) = addr.as_socket() {
        return Some(addr.to_string());
    }
    if let Some(path) = addr.as_pathname() {
        return Some(path.display().to_string());
    }
    let name = addr.as_abstract_namespace()?;
    Some(format!("@{}", String::from_utf8_lossy(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_told_by_their_addresses_and_others_by_their_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let own = stream.local_addr().unwrap().port();
        assert_eq!(
            describe(listener.as_raw_fd(), WaitReason::NetAccept),
            Some(format!("127.0.0.1:{port}"))
        );
        assert_eq!(
            describe(stream.as_raw_fd(), WaitReason::NetRead),
            Some(format!("127.0.0.1:{own} <- 127.0.0.1:{port}"))
        );
        assert_eq!(
            describe(stream.as_raw_fd(), WaitReason::NetWrite),
            Some(format!("127.0.0.1:{own} -> 127.0.0.1:{port}"))
        );
        let (unnamed, _other) = UnixStream::pair().unwrap();
        let fd = unnamed.as_raw_fd();
        assert_eq!(describe(fd, WaitReason::NetRead), Some(format!("fd {fd}")));
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = file.as_raw_fd();
        assert_eq!(describe(fd, WaitReason::Io), Some(format!("fd {fd}")));
        assert_eq!(describe(-1, WaitReason::NetRead), None);
    }
}
