//! Names of Unix sockets, between the system's form and std's; and who is at the other end.
//!
//! std's [`SocketAddr`] can be made of a path, or of an abstract name, only. What the system may give
//! and it can't hold is a path of all 108 bytes, without the zero at its end, which takes some effort
//! to bind: such a peer counts as unnamed, so that it can't make accepting fail.

use super::check;
use libc::{c_void, socklen_t};
use socket2::SockAddr;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;

/// The system's form of an address.
pub(crate) fn to_unix(addr: &SocketAddr) -> io::Result<SockAddr> {
    match (addr.as_pathname(), addr.as_abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        (_, Some(name)) => {
            let name = [b"\0", name].concat();
            SockAddr::unix(OsStr::from_bytes(&name))
        }
        _ => SockAddr::unix(""),
    }
}

/// std's form of an address.
pub(crate) fn from_unix(addr: SockAddr) -> io::Result<SocketAddr> {
    if addr.len() != 0 && !addr.is_unix() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "file descriptor did not correspond to a Unix socket",
        ));
    }
    if let Some(name) = addr.as_abstract_namespace() {
        return SocketAddr::from_abstract_name(name);
    }
    match addr.as_pathname().map(SocketAddr::from_pathname) {
        Some(Ok(addr)) => Ok(addr),
        Some(Err(_)) | None => SocketAddr::from_pathname(""),
    }
}

/// User, group and process at the other end, when it connected, or listened.
pub(crate) fn peer_credentials(
    fd: BorrowedFd<'_>,
) -> io::Result<(libc::uid_t, libc::gid_t, libc::pid_t)> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to a live `ucred`, and a length to `len`.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast::<c_void>(),
            &mut len,
        )
    } as libc::ssize_t)?;
    Ok((found.uid, found.gid, found.pid))
}

/// Has reading been shut down?
pub(crate) fn is_shut_down(fd: BorrowedFd<'_>) -> bool {
    let mut asked = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: the pointer is to one live `pollfd`, as is said; it doesn't wait.
    unsafe { libc::poll(&mut asked, 1, 0) > 0 && asked.revents & libc::POLLRDHUP != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_survives_the_way_there_and_back() {
        let long = "x".repeat(107);
        let path = |path: &str| SocketAddr::from_pathname(path).unwrap();
        let name = |name: &[u8]| SocketAddr::from_abstract_name(name).unwrap();
        for addr in [
            path("/tmp/a"),
            path("relative"),
            path(&long),
            path(""),
            name(b"abstract"),
            name(b"with\0zero"),
            name(b""),
            name(long.as_bytes()),
        ] {
            let back = from_unix(to_unix(&addr).unwrap()).unwrap();
            assert_eq!(format!("{addr:?}"), format!("{back:?}"));
        }
    }

    #[test]
    fn what_is_no_unix_address_is_refused() {
        let addr: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = from_unix(addr.into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
