//! What all sockets have in common, written once.
//!
//! A public type here is a handle, [`Socket`], with a kind. Its methods come from three places: those
//! that every type has (deadlines, `close`, conversions, ...) from the macros of [`macros`], which only
//! forward to [`Socket`] and exist because a method has to be written in each type's own `impl` to be
//! found there; [`Read`](std::io::Read) and [`Write`](std::io::Write) from generic functions over
//! [`Stream`]; and what is the type's own from its file.
//!
//! Rejected: a public trait with these methods (users would have to import it, std's don't); `Deref` to
//! a common base (its methods would be hidden in the documentation of another type, and `try_clone`
//! returned the wrong one).
//!
//! ## What a short call says
//!
//! [`Stream::SHORT_DRAINS`] tells whether a call that moved less than it might have has emptied or
//! filled the socket, so that the next one may park without asking (see [`socket`](crate::socket)). For TCP
//! that is so: the kernel fills the buffer as far as it has bytes and takes bytes as far as it has
//! room, and reports when that changes. What breaks the rule sets a flag: the end of the stream,
//! errors, urgent data. On Unix sockets a receive also stops where the sender's credentials or passed
//! descriptors change, with no further event: never there.
//!
//! ## What can't be converted
//!
//! `IntoRawFd` and `FromRawFd` can't fail, and so are not implemented: taking a descriptor over
//! registers it with the poller, and giving it up is possible for the last handle only. The `TryFrom`
//! conversions are in their place.
//!
//! Next in the reading order: `option` and `resolve`, then the types: `tcp`, `udp`, `unix`, `pipe`, `pollable`.

mod macros;

pub(crate) use macros::*;

use crate::socket::{Moved, Socket, Way};
use crate::sys;
use corio::reactor::{WaitReason, checkpoint};
use socket2::{Protocol, SockRef, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A handle to a socket. Not nameable from outside: a public trait that has this one as a supertrait is
/// sealed by it.
#[allow(
    unreachable_pub,
    reason = "a supertrait of public traits, which demands it to be public"
)]
pub trait HasSocket {
    /// The socket.
    fn socket(&self) -> &Socket;
}

impl<S: HasSocket + ?Sized> HasSocket for &S {
    fn socket(&self) -> &Socket {
        (**self).socket()
    }
}

impl<S: HasSocket + ?Sized> HasSocket for &mut S {
    fn socket(&self) -> &Socket {
        (**self).socket()
    }
}

/// A handle to a stream of bytes. The calls are those of [`sys`]: one system call each, on a
/// non-blocking descriptor.
pub(crate) trait Stream: HasSocket {
    /// See the module's head.
    const SHORT_DRAINS: bool;

    #[inline]
    fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        sys::recv(fd, buf)
    }

    #[inline]
    fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        sys::send(fd, buf)
    }

    fn receive_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        sys::readv(fd, bufs)
    }

    fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::writev(fd, bufs)
    }
}

/// The effect of a read of up to `len` bytes: has it taken all there was? Nothing at all is the end of
/// the stream, and there is no event to wait for.
#[inline]
fn emptied<S: Stream>(len: usize) -> impl Fn(&usize) -> Moved {
    move |&bytes| Moved {
        bytes,
        drained: S::SHORT_DRAINS && 0 < bytes && bytes < len.min(sys::MAX_BYTES),
    }
}

/// The effect of a write of `len` bytes: has it used all the room there was?
#[inline]
fn filled<S: Stream>(len: usize) -> impl Fn(&usize) -> Moved {
    move |&bytes| Moved {
        bytes,
        drained: S::SHORT_DRAINS && bytes < len.min(sys::MAX_BYTES),
    }
}

/// The bytes that one call with these slices may move.
fn total<T: std::ops::Deref<Target = [u8]>>(bufs: &[T]) -> usize {
    bufs.iter()
        .take(sys::MAX_SLICES)
        .fold(0, |sum, buf| sum.saturating_add(buf.len()))
}

/// What an operation of a stream on an empty buffer returns: it never waits.
pub(crate) fn nothing(stream: &impl HasSocket) -> io::Result<usize> {
    stream.socket().control(|_| Ok(0))
}

/// `Read::read`.
#[inline]
pub(crate) fn read<S: Stream>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    let len = buf.len();
    if len == 0 {
        return nothing(stream);
    }
    read_with(stream, len, |fd| S::receive(fd, buf))
}

/// A read of up to `len` bytes to a place that `receive` finds for each try.
#[inline]
pub(crate) fn read_with<S: Stream>(
    stream: &S,
    len: usize,
    receive: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    stream
        .socket()
        .io(Way::Read, WaitReason::NetRead, receive, emptied::<S>(len))
}

/// `Read::read_vectored`.
pub(crate) fn read_vectored<S: Stream>(
    stream: &S,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let len = total(bufs);
    if len == 0 {
        return nothing(stream);
    }
    stream.socket().io(
        Way::Read,
        WaitReason::NetRead,
        |fd| S::receive_vectored(fd, bufs),
        emptied::<S>(len),
    )
}

/// Reads from a socket and leaves the bytes in it: that drains nothing, whatever it returns.
pub(crate) fn peek(stream: &impl Stream, buf: &mut [u8]) -> io::Result<usize> {
    if buf.is_empty() {
        return nothing(stream);
    }
    stream.socket().io(
        Way::Read,
        WaitReason::NetRead,
        |fd| sys::peek(fd, buf),
        |_| false,
    )
}

/// `Write::write`.
#[inline]
pub(crate) fn write<S: Stream>(stream: &S, buf: &[u8]) -> io::Result<usize> {
    if buf.is_empty() {
        return nothing(stream);
    }
    stream.socket().io(
        Way::Write,
        WaitReason::NetWrite,
        |fd| S::send(fd, buf),
        filled::<S>(buf.len()),
    )
}

/// `Write::write_vectored`.
pub(crate) fn write_vectored<S: Stream>(stream: &S, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = total(bufs);
    if len == 0 {
        return nothing(stream);
    }
    stream.socket().io(
        Way::Write,
        WaitReason::NetWrite,
        |fd| S::send_vectored(fd, bufs),
        filled::<S>(len),
    )
}

/// `Write::write_all`. Keeps its turn to the end: other writers' bytes come before or after, not in
/// between.
pub(crate) fn write_all<S: Stream>(stream: &S, mut buf: &[u8]) -> io::Result<()> {
    if buf.is_empty() {
        return nothing(stream).map(drop);
    }
    let turn = stream.socket().turn_for(Way::Write)?;
    while !buf.is_empty() {
        let n = turn.io(
            WaitReason::NetWrite,
            &mut turn.patience(),
            |fd| S::send(fd, buf),
            filled::<S>(buf.len()),
        )?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        buf = &buf[n..];
    }
    drop(turn);
    checkpoint();
    Ok(())
}

/// `Write::write_fmt`. Formats first, then writes: no code of the formatted values runs while it is
/// our turn.
pub(crate) fn write_fmt<S: Stream>(stream: &S, args: fmt::Arguments<'_>) -> io::Result<()> {
    if let Some(text) = args.as_str() {
        return write_all(stream, text.as_bytes());
    }
    let mut text = String::new();
    fmt::write(&mut text, args).map_err(|_| io::Error::other("formatter error"))?;
    write_all(stream, text.as_bytes())
}

/// What a socket has to be for a type to take it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 or IPv6.
    Ip,
    /// Unix.
    Unix,
}

/// Takes over a socket that came from outside, with its timeouts. If it was non-blocking, calls don't
/// wait.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for another family or type, or a stream over IP that is not
/// TCP's, such as SCTP's: what is true for TCP only would be assumed of it ([`Stream::SHORT_DRAINS`]).
pub(crate) fn adopt(fd: OwnedFd, family: Family, kind: Type) -> io::Result<Socket> {
    let socket = SockRef::from(&fd);
    if !is_of(&socket, family, kind)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is a socket of another kind",
        ));
    }
    let (read, write) = (socket.read_timeout()?, socket.write_timeout()?);
    let nonblocking = sys::is_nonblocking(fd.as_fd())?;
    socket.set_nonblocking(true)?;
    let socket = Socket::open(fd, true)?;
    socket.set_nonblocking(nonblocking)?;
    socket.set_timeout(Way::Read, read)?;
    socket.set_timeout(Way::Write, write)?;
    Ok(socket)
}

/// Is a socket of this family and type, and of no other protocol than those who have it think?
fn is_of(socket: &SockRef<'_>, family: Family, kind: Type) -> io::Result<bool> {
    let addr = socket.local_addr()?;
    let found = if addr.is_unix() {
        Some(Family::Unix)
    } else {
        (addr.is_ipv4() || addr.is_ipv6()).then_some(Family::Ip)
    };
    if found != Some(family) || socket.r#type()? != kind {
        return Ok(false);
    }
    Ok(match (family, kind) {
        (Family::Ip, Type::STREAM) => {
            matches!(socket.protocol()?, Some(Protocol::TCP | Protocol::MPTCP))
        }
        _ => true,
    })
}
