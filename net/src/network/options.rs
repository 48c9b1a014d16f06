//! Socket options that both dialled connections and listeners have.

use crate::option::{self, KeepAlive};
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Go's defaults for TCP connections. On a listener, they are inherited by what it accepts, and cost
/// no system call per connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpOptions {
    pub(super) keepalive: Option<KeepAlive>,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            keepalive: Some(KeepAlive::default()),
        }
    }
}

impl TcpOptions {
    /// Sets them on a TCP socket.
    pub(super) fn set(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        match self.keepalive {
            Some(_) => option::set_keepalive(socket, self.keepalive),
            None => Ok(()),
        }
    }
}

/// The user's function that sets options.
#[derive(Clone)]
pub(super) struct Control(Arc<dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync>);

impl Control {
    pub(super) fn new<F>(f: F) -> Control
    where
        F: Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    {
        Control(Arc::new(f))
    }

    pub(super) fn call(&self, socket: &socket2::Socket) -> io::Result<()> {
        (self.0)(socket.as_fd())
    }
}
