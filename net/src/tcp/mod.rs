//! TCP: std's types, parking instead of blocking.

mod listener;
mod stream;

pub use listener::{Incoming, IntoIncoming, TcpListener};
pub use stream::TcpStream;

use socket2::SockAddr;
use std::io;
use std::net::SocketAddr;

/// The IP address that the system gave for a TCP socket.
pub(crate) fn ip_address(addr: SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket()
        .ok_or_else(|| io::Error::other("the socket's address is not an IP address"))
}
