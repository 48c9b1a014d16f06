//! [`ServerHandle`]: what the owner of a server has of it; and the figures it gives.

use crate::network::Addr;
use crate::server::config::ShutdownDeadline;
use crate::server::registry::Shared;
use corio::context::Context;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A running [`Server`](crate::Server). Clones stand for the same one; dropping them all doesn't end it.
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> ServerHandle {
        ServerHandle(Arc::clone(shared))
    }

    /// Shuts the server down as [`Server`](crate::Server#the-end) says, and waits until all handlers have
    /// returned. At the deadline, a [`Duration`] from now or an [`Instant`](std::time::Instant), what is left is closed by
    /// force; a handler that doesn't return within a second from then is not waited for.
    ///
    /// It may be called any number of times: all calls wait for the same shutdown, and return the same report.
    /// The earliest deadline applies.
    ///
    /// Go's `Server.Shutdown`, followed by `Close` at the deadline.
    ///
    /// A handler must not call this: it would wait for itself, until the deadline. See
    /// [`begin_shutdown`](Self::begin_shutdown).
    ///
    /// # Blocking
    ///
    /// A switch point.
    pub fn shutdown(&self, deadline: impl Into<ShutdownDeadline>) -> ShutdownReport {
        self.begin_shutdown(deadline);
        self.wait()
    }

    /// As [`shutdown`](Self::shutdown), but doesn't wait: for handlers and hooks.
    ///
    /// ```
    /// use corio_net::{Connection, Server, dial, listen};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = Server::new(|conn: &mut Connection| {
    ///     conn.server().begin_shutdown(Duration::from_secs(10));
    ///     Ok(())
    /// });
    /// let server = server.start([listen("tcp", "127.0.0.1:0")?])?;
    /// dial("tcp", &server.addrs()[0].to_string())?;
    /// assert_eq!(server.wait().forced, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Blocking
    ///
    /// A switch point only for the server's lock.
    pub fn begin_shutdown(&self, deadline: impl Into<ShutdownDeadline>) {
        self.0.begin(deadline.into().0);
    }

    /// Waits until the server has been shut down, whoever does it: as [`shutdown`](Self::shutdown) waits, so that a
    /// handler that doesn't return keeps no process from ending.
    ///
    /// # Blocking
    ///
    /// A switch point.
    pub fn wait(&self) -> ShutdownReport {
        self.0.wait_news(|registry| registry.report)
    }

    /// Has a shutdown begun, or ended?
    pub fn is_shutting_down(&self) -> bool {
        !self.0.is_serving()
    }

    /// A context that is cancelled when the shutdown begins: for what works beside the handlers.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// The addresses it listens on, or did, in the order in which [`start`](crate::Server::start) got the
    /// listeners.
    pub fn addrs(&self) -> Vec<Addr> {
        let ports = self.0.ports.iter();
        ports.map(|port| Addr::clone(&port.addr)).collect()
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// What it has done and what it is doing. It takes time in proportion to its connections.
    pub fn stats(&self) -> ServerStats {
        self.0.stats()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("name", &self.name())
            .field("addrs", &self.addrs())
            .field("is_shutting_down", &self.is_shutting_down())
            .finish_non_exhaustive()
    }
}

/// What a server has done and what it is doing: [`ServerHandle::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections that have sent and got nothing yet.
    pub new: usize,
    /// Connections with a request that is worked on.
    pub active: usize,
    /// Connections between requests.
    pub idle: usize,
    /// Connections that the server has closed, and whose handlers have yet to return.
    pub closing: usize,
    /// Connections accepted, also those refused then.
    pub accepted: u64,
    /// Connections accepted and not served.
    pub refused: u64,
    /// Panics of handlers and hooks.
    pub panics: u64,
    /// Handlers that returned an error, other than by the server's closing the connection.
    pub handler_errors: u64,
    /// Accepts that failed.
    pub accept_errors: u64,
}

impl ServerStats {
    /// Connections there are.
    pub fn open(&self) -> usize {
        self.new + self.active + self.idle + self.closing
    }
}

/// How a server was shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were there, or came from the kernel's queue, and that their handlers ended.
    pub drained: usize,
    /// Connections that the server closed because they were idle, or had sent nothing in time.
    pub idle_closed: usize,
    /// Connections that were closed by force at the deadline, served or still waiting for it.
    pub forced: usize,
    /// Handlers that had not returned when this was reported.
    pub unfinished: usize,
    /// Connections that were accepted from the kernel's queue after the shutdown had begun.
    pub backlog: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shut down in {:.1?}; connections drained: {}, closed while idle: {}, closed by force: {}",
            self.elapsed, self.drained, self.idle_closed, self.forced
        )?;
        match self.unfinished {
            0 => Ok(()),
            n => write!(f, "; handlers unfinished: {n}"),
        }
    }
}
