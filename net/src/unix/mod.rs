//! Unix sockets: std's types, parking instead of blocking.
//!
//! What is different from TCP:
//!
//! * A short receive does not mean that there is no more: it also stops where the sender's credentials
//!   or the descriptors sent along change. So each call asks the system ([`shared`](crate::shared)).
//! * Connecting never waits inside of the system: there is room in the listener's queue at once, or an
//!   error that says "try again", and no event when that would help. Blocking sockets, as std's, wait
//!   for it. So does [`Turn::retry`](crate::socket::Turn::retry), by trying again after pauses. (Go
//!   reports the error. Connecting in `blocking` would be woken at the right time, but take a thread
//!   for each connection that waits, and nothing could end it.)
//! * The same is true of a datagram sent to an address whose owner's queue is full, unless the socket
//!   is connected to it. Here the system even reports room at once, time and again.
//! * A name in the file system outlives its listener. std leaves it there, Go removes it: that can be
//!   chosen, [`UnixListener::set_unlink_on_close`].

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{UnixIncoming, UnixListener};
pub use stream::{UCred, UnixStream};

use crate::shared::HasSocket;
use crate::sys;
use socket2::{Domain, SockRef, Type};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;

/// A socket of ours, not bound yet.
pub(crate) fn new(kind: Type) -> io::Result<socket2::Socket> {
    socket2::Socket::new_raw(Domain::UNIX, kind.nonblocking().cloexec(), None)
}

/// A pair that is connected.
fn pair(kind: Type) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = kind.nonblocking().cloexec();
    let (one, other) = socket2::Socket::pair_raw(Domain::UNIX, kind, None)?;
    Ok((one.into(), other.into()))
}

fn local_addr(socket: &impl HasSocket) -> io::Result<SocketAddr> {
    socket
        .socket()
        .control(|fd| SockRef::from(&fd).local_addr().and_then(sys::from_unix))
}

fn peer_addr(socket: &impl HasSocket) -> io::Result<SocketAddr> {
    socket
        .socket()
        .control(|fd| SockRef::from(&fd).peer_addr().and_then(sys::from_unix))
}
