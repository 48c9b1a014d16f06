//! Linux: see the list in [`sys`](super).
//!
//! Receiving and sending go through `syscall` and not through the C library's `recv` and `send`,
//! which are cancellation points and, in a process with threads, pay for it with two atomic
//! operations per call.

mod datagram;
mod describe;
mod inherit;
mod transfer;
mod unix;

pub(crate) use datagram::{peek_from, recv_from, send_to};
pub(crate) use describe::describe;
pub(crate) use inherit::{MOST_DESCRIPTORS, duplicate_above, move_to, take_inherited};
pub(crate) use transfer::*;
pub(crate) use unix::{from_unix, is_shut_down, peer_credentials, to_unix};

use super::{MAX_BYTES, MAX_SLICES};
use crate::direction::Way;
use libc::{c_int, c_void, size_t, ssize_t};
use mio::Interest;
use socket2::SockAddr;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
#[cfg(feature = "hyper")]
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;

/// Both directions, and urgent data, which splits a read without a further edge.
pub(crate) const INTERESTS: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);

/// The kernel cuts this down to `net.core.somaxconn`, the administrator's choice.
pub(crate) const BACKLOG: c_int = c_int::MAX;

/// Raises the soft limit of descriptors to the hard one. The soft one is low for the sake of
/// `select`, which we don't use. Failing is no error: there are just fewer descriptors then.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live `rlimit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// How many descriptors the process may have.
pub(crate) fn descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    (done == 0).then_some(limit.rlim_cur)
}

/// A descriptor that stands for a place in the file system only: reading, writing and every socket
/// call on it give `EBADF`. (On `/dev/null` a read would look like the end of the stream.)
pub(crate) fn placeholder() -> io::Result<OwnedFd> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open("/")
        .map(|file: File| file.into())
}

/// Puts `placeholder` in the place of `fd`, which closes what `fd` was. The number stays open.
pub(crate) fn replace(fd: BorrowedFd<'_>, placeholder: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        // SAFETY: a system call on two open descriptors. Replacing what `fd` means is what the caller
        // asks for; the number stays open, so that `fd` stays as valid as it was.
        let done = unsafe { libc::dup3(placeholder.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
        if done >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // EBUSY: another thread is just being given this number, which can't be for long.
        if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) {
            return Err(error);
        }
    }
}

/// Has reading, or writing, a result at once: bytes or room, the end, an error?
pub(crate) fn is_ready(fd: BorrowedFd<'_>, way: Way) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: match way {
            Way::Read => libc::POLLIN | libc::POLLRDHUP,
            Way::Write => libc::POLLOUT,
        },
        revents: 0,
    };
    // SAFETY: one live `pollfd`; a timeout of zero does not block.
    let ready = check(unsafe { libc::poll(&mut poll, 1, 0) } as ssize_t)?;
    if poll.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(ready > 0)
}

/// Accepts a connection; returns it and the peer's address.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: `accept4` gets a buffer for the address and its length, and leaves in them what it has
    // written, as `try_init` demands. A descriptor that it returns is new, and so ours to own.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let accepted =
                check(libc::accept4(fd.as_raw_fd(), storage.cast(), len, flags) as ssize_t)?;
            Ok(OwnedFd::from_raw_fd(accepted as c_int))
        })
    }
}

/// Receives.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(fd, buf.as_mut_ptr(), buf.len(), 0)
}

/// Receives into memory that need not be initialised; as many bytes of it as are returned are then.
#[cfg(feature = "hyper")]
pub(crate) fn recv_uninit(fd: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    recv_with(fd, buf.as_mut_ptr().cast(), buf.len(), 0)
}

/// Receives and leaves the bytes in the socket.
pub(crate) fn peek(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(fd, buf.as_mut_ptr(), buf.len(), libc::MSG_PEEK)
}

#[inline]
fn recv_with(fd: BorrowedFd<'_>, buf: *mut u8, len: usize, flags: c_int) -> io::Result<usize> {
    let len: size_t = len.min(MAX_BYTES);
    // SAFETY: the kernel writes at most `len` bytes, to a buffer of the callers above that has them, and no
    // address.
    count(unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            fd.as_raw_fd(),
            buf,
            len,
            flags,
            ptr::null_mut::<c_void>(),
            ptr::null_mut::<c_void>(),
        )
    } as ssize_t)
}

/// Sends; a broken connection is an error, not a signal.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let len: size_t = buf.len().min(MAX_BYTES);
    // SAFETY: the kernel reads at most `len` bytes, from a buffer that has them, and no address.
    count(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            fd.as_raw_fd(),
            buf.as_ptr(),
            len,
            libc::MSG_NOSIGNAL,
            ptr::null::<c_void>(),
            0 as libc::socklen_t,
        )
    } as ssize_t)
}

/// Receives into several buffers.
pub(crate) fn readv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let len = bufs.len().min(MAX_SLICES) as c_int;
    // SAFETY: `IoSliceMut` is an `iovec` by its documentation, of bytes that may be written; there are
    // at least `len` of them.
    count(unsafe { libc::readv(fd.as_raw_fd(), bufs.as_mut_ptr().cast(), len) })
}

/// Sends from several buffers; a broken connection is an error, not a signal.
pub(crate) fn writev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zero is a message without address, slices and control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len().min(MAX_SLICES) as _;
    // SAFETY: `IoSlice` is an `iovec` by its documentation; there are at least as many as the message
    // says, and `sendmsg` does not write to them.
    count(unsafe { libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// Has a non-blocking connect been started and not yet finished?
pub(crate) fn in_progress(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        // EINTR: the connection goes on in the background as well.
        Some(libc::EINPROGRESS | libc::EINTR)
    )
}

/// Is the descriptor's `O_NONBLOCK` flag set?
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: a system call without pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as ssize_t)?;
    Ok(flags as c_int & libc::O_NONBLOCK != 0)
}

#[inline]
fn count(result: ssize_t) -> io::Result<usize> {
    check(result).map(|n| n as usize)
}

/// A system call's result; to be called right after it.
#[inline]
fn check(result: ssize_t) -> io::Result<ssize_t> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

const _: () = assert!(MAX_SLICES <= libc::UIO_MAXIOV as usize);

const _: () = assert!(size_of::<IoSlice<'_>>() == size_of::<libc::iovec>());
