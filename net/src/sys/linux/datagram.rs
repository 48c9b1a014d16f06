//! Messages with addresses: UDP and Unix datagrams. (Without addresses `recv` and `peek` of the
//! parent module will do: a message is received by one call, whatever the socket is.)
//!
//! * A message that is longer than the buffer is cut: the rest is gone, and the count is that of the
//!   bytes in the buffer, as in std. (`MSG_TRUNC` as an argument would count what was sent.)
//! * An empty buffer is no reason not to call: it takes a message, or asks whether there is one. And
//!   a count of 0 is an empty message, not the end of anything.
//! * A message is sent as a whole or not at all (`EMSGSIZE`), and so its length is not clamped.
//! * A Unix socket without a name sends from an address of no bytes; the family of what is returned
//!   then is that of nothing, 0.

use super::count;
use libc::{c_int, c_void, socklen_t, ssize_t};
use socket2::SockAddr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Receives a message, and tells from whom.
#[inline]
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    recv_from_with(fd, buf, 0)
}

/// Receives a message, tells from whom, and leaves it in the socket.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    recv_from_with(fd, buf, libc::MSG_PEEK)
}

#[inline]
fn recv_from_with(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, SockAddr)> {
    // SAFETY: the kernel writes at most `buf.len()` bytes to the buffer. It gets a buffer for the
    // address and its length, and leaves in them what it has written, as `try_init` demands: an
    // address is never longer than the storage, which is what the length says at first.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let received = libc::syscall(
                libc::SYS_recvfrom,
                fd.as_raw_fd(),
                buf.as_mut_ptr(),
                buf.len(),
                flags,
                storage,
                len,
            );
            count(received as ssize_t)
        })
    }
}

/// Sends a message to this address, or to the peer that the socket is connected to; a broken
/// connection is an error, not a signal.
#[inline]
pub(crate) fn send_to(
    fd: BorrowedFd<'_>,
    message: &[u8],
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    let (addr, len): (*const c_void, socklen_t) =
        to.map_or((ptr::null(), 0), |addr| (addr.as_ptr().cast(), addr.len()));
    // SAFETY: the kernel reads at most `message.len()` bytes of the message and `len` of the address,
    // which have them.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            fd.as_raw_fd(),
            message.as_ptr(),
            message.len(),
            libc::MSG_NOSIGNAL,
            addr,
            len,
        )
    };
    count(sent as ssize_t)
}
