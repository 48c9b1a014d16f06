//! [`Server`]: from listeners to a goroutine per connection, with limits, and an end.
//!
//! ```text
//!  accept loop (one per listener)      connection (one per connection)       supervisor (one)
//!  room? rate? accept, admit,    ──►   New ─► Active ◄─► Idle ─► Closed      sleeps until the shutdown,
//!  register, spawn                     runs the handler                      which is its work
//!          └───────────────┬────────────────────┴──────────────────────────────────┘
//!                    registry: who there is, how many, which phase
//! ```
//!
//! Reading order: `state` (a connection's state word, and why no request is cut off), `registry` (who
//! there is), `connection` and `bytes` (what a handler gets), `accept`, `serve` (one connection from its goroutine's
//! side), `shutdown` (the supervisor), `handle` (what the owner has), `config`.
//!
//! Rejected:
//! * Shutting down on the caller's goroutine, as Go does. Then somebody must wait for the deadline to be
//!   kept; here it is kept if the caller goes away, and a signal needs no goroutine of its own.
//! * A semaphore for the limit: the count is the registry's, under the lock that a new connection takes
//!   anyway, and accept loops that wait for room have to end when the shutdown begins.
//! * Counting active and idle connections as they change: two shared counters per request. Who asks
//!   counts.

mod accept;
mod bytes;
mod config;
mod connection;
mod handle;
mod registry;
mod serve;
mod shutdown;
mod state;

pub use config::{
    AcceptAction, AcceptError, Admission, Backlog, Overflow, Refusal, ServerWarning,
    ShutdownDeadline,
};
pub use connection::{Connection, ConnectionInfo, ConnectionState};
pub use handle::{ServerHandle, ServerStats, ShutdownReport};

use crate::network::{Conn, Listener};
use crate::server::config::Config;
use corio::signal::Signal;
use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

/// A server: it accepts connections and runs a handler for each in a goroutine of its own, within limits,
/// until it is shut down without losing a request.
///
/// Its life is that of Go's `http.Server`, for any protocol: `Serve`, `Shutdown`, `ConnState`, timeouts,
/// and a context for handlers. What Go leaves to other packages is here too: limits, admission, accept
/// rate, signals.
///
/// ```
/// use corio::signal::{SIGINT, SIGTERM};
/// use corio_net::{Connection, Server, listen};
/// use std::io::{self, BufRead, BufReader, Write};
/// use std::time::Duration;
///
/// /// Answers every line with its length.
/// fn lengths(conn: &mut Connection) -> io::Result<()> {
///     let mut reader = BufReader::new(conn);
///     let mut line = String::new();
///     // Between requests the connection is idle, and may be closed without loss.
///     while !reader.buffer().is_empty() || reader.get_ref().wait_request()? {
///         line.clear();
///         reader.read_line(&mut line)?;
///         writeln!(reader.get_mut(), "{}", line.trim_end().len())?;
///     }
///     Ok(())
/// }
///
/// # fn main() -> io::Result<()> {
/// let server = Server::new(lengths)
///     .name("lengths")
///     .max_connections(1000)
///     .max_per_peer(100)
///     .idle_timeout(Duration::from_secs(60))
///     .read_timeout(Duration::from_secs(10))
///     .write_timeout(Duration::from_secs(10))
///     .on_error(|conn, error| eprintln!("{conn}: {error}"))
///     .shutdown_on(&[SIGINT, SIGTERM], Duration::from_secs(30))
///     .start([listen("tcp", "127.0.0.1:0")?])?;
///
/// let mut client = corio_net::dial("tcp", &server.addrs()[0].to_string())?;
/// client.write_all(b"hello\n")?;
/// let mut answer = String::new();
/// BufReader::new(&client).read_line(&mut answer)?;
/// assert_eq!(answer, "5\n");
///
/// // The client has no further request, so this needs no ten seconds.
/// let report = server.shutdown(Duration::from_secs(10));
/// assert_eq!(report.forced, 0);
/// # Ok(())
/// # }
/// ```
///
/// # A connection's life
///
/// It is *new* until its handler reads or writes its first byte, then *active*. A handler that serves one
/// request after the other calls [`wait_request`](Connection::wait_request) between them, in which the
/// connection is *idle*. When the handler returns, or panics, the connection is *closed*, also for clones
/// that the handler has made of it.
///
/// # The end
///
/// [`ServerHandle::shutdown`], or a signal, begins it:
///
/// 1. Listeners stop accepting. What the kernel has accepted already is served ([`Backlog`]); then they are
///    closed.
/// 2. The [context](Connection::context) of all handlers is cancelled;
///    [`is_shutting_down`](Connection::is_shutting_down) says so too.
/// 3. Idle connections are closed, unless a request has arrived: that is served first. New ones have
///    [some time](Server::new_grace) to send something. An active one is closed by its handler: its next
///    `wait_request` returns `false`, unless a request has arrived already.
/// 4. At the deadline everything left is closed by force: calls under way fail with an error that
///    [`is_closed`](crate::is_closed) recognises.
///
/// Like every server that closes idle connections, this one may do so in the moment in which a client
/// sends a request on one; the client sees the end of the stream before any byte of an answer, and
/// has to try again on a new connection. A handler that can announce the end (HTTP's `Connection: close`)
/// asks `is_shutting_down` when it answers.
///
/// A server whose last listener is closed by others ends in the same way, with no deadline.
///
/// # To be replaced without a refused connection
///
/// Hand the listening socket to the new process ([`inherit`](crate::inherit)), and when that serves, shut down
/// here with [`Backlog::Leave`]. Or let both listen with `SO_REUSEPORT`: then a connection that completes
/// between the last accept and the closing of the socket is reset, unless `net.ipv4.tcp_migrate_req` is 1.
///
/// # Names
///
/// Goroutines are named for dumps and panics: `name:accept 127.0.0.1:80`, `name:conn 17 192.0.2.1:5000`,
/// `name:supervisor`.
#[must_use = "a server does nothing until it is started"]
pub struct Server {
    config: Config,
}

impl Server {
    /// A server with this handler, without limits, timeouts and hooks.
    ///
    /// The handler runs once for each connection, in a goroutine of its own. If it returns an error, that is
    /// counted and given to the [hook](Self::on_error); if it panics, to [this one](Self::on_panic). In
    /// either case only this connection ends.
    pub fn new<F>(handler: F) -> Server
    where
        F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        Server {
            config: Config::new(Box::new(handler)),
        }
    }

    /// What its goroutines are named after; "server" if it isn't said.
    pub fn name(mut self, name: impl Into<String>) -> Server {
        self.config.name = name.into();
        self
    }

    /// How many connections there may be at once, over all listeners; what happens to more says
    /// [`overflow`](Self::overflow).
    pub fn max_connections(mut self, max: usize) -> Server {
        self.config.max_connections = max;
        self
    }

    /// What happens to connections beyond the limit: they wait, if it isn't said.
    pub fn overflow(mut self, overflow: Overflow) -> Server {
        self.config.overflow = overflow;
        self
    }

    /// How many connections there may be at once from one IP address; more are refused. (An IPv4 address
    /// is the same one inside of IPv6. Peers of a Unix socket have none, and no such limit.)
    pub fn max_per_peer(mut self, max: usize) -> Server {
        self.config.max_per_peer = max;
        self
    }

    /// How long [`wait_request`](Connection::wait_request) waits; if it isn't said, as long as a read.
    pub fn idle_timeout(mut self, timeout: Duration) -> Server {
        self.config.idle_timeout = Some(timeout);
        self
    }

    /// How long one read may wait. It is the connection's
    /// [`set_read_timeout`](crate::Conn::set_read_timeout), which the handler may change.
    ///
    /// It doesn't bound a request that comes byte by byte: set a
    /// [deadline](crate::Conn::set_read_deadline) for the whole of it.
    pub fn read_timeout(mut self, timeout: Duration) -> Server {
        self.config.read_timeout = Some(timeout);
        self
    }

    /// How long one write may wait. It is the connection's
    /// [`set_write_timeout`](crate::Conn::set_write_timeout), which the handler may change.
    pub fn write_timeout(mut self, timeout: Duration) -> Server {
        self.config.write_timeout = Some(timeout);
        self
    }

    /// How long after its being accepted a connection that has sent nothing yet is spared by the shutdown:
    /// 5 s if it isn't said, as in Go. Its request may be on its way. (A handler that works for long before it
    /// reads or writes anything should have so much time.)
    pub fn new_grace(mut self, grace: Duration) -> Server {
        self.config.new_grace = grace;
        self
    }

    /// What happens to connections in the kernel's queue when the server is shut down: they are served, if it
    /// isn't said.
    pub fn backlog(mut self, backlog: Backlog) -> Server {
        self.config.backlog = backlog;
        self
    }

    /// Accepts at most so many connections per second, over all listeners, and after a pause up to `burst`
    /// at once. Others wait in the kernel's queue.
    pub fn accept_rate(mut self, per_second: u32, burst: u32) -> Server {
        self.config.rate = Some((per_second, burst));
        self
    }

    /// The size of the stacks on which handlers run, as in [`corio::Builder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> Server {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Is asked about each connection that has been accepted, on the listener's goroutine: as long as it takes,
    /// no other connection is accepted there.
    ///
    /// If it panics, the connection is refused.
    pub fn admit<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ConnectionInfo) -> Admission + Send + Sync + 'static,
    {
        self.config.admit = Some(Box::new(hook));
        self
    }

    /// Is told of each change of a connection's state, on the connection's goroutine: Go's `ConnState`.
    ///
    /// The first is `New`, the last `Closed`, also after a panic; what comes in between alternates
    /// between `Active` and `Idle`. Refused connections have none.
    pub fn on_state<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ConnectionInfo, ConnectionState) + Send + Sync + 'static,
    {
        self.config.on_state = Some(Box::new(hook));
        self
    }

    /// Is told of each connection that is not served. It may write a last word to it, but without waiting:
    /// it runs on the listener's goroutine.
    ///
    /// Without this hook such connections are reset, which costs the system least. With it they are closed in
    /// the ordinary way after it.
    pub fn on_refused<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ConnectionInfo, &Conn, Refusal) + Send + Sync + 'static,
    {
        self.config.on_refused = Some(Box::new(hook));
        self
    }

    /// Is told of each panic of a handler, with its payload, on the connection's goroutine. Then that ends by the
    /// panic, which is reported as every goroutine's is. It is counted in any case.
    pub fn on_panic<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ConnectionInfo, &(dyn Any + Send)) + Send + Sync + 'static,
    {
        self.config.on_panic = Some(Box::new(hook));
        self
    }

    /// Is told of each error that a handler returns, on the connection's goroutine; not of those that came of
    /// the server's closing the connection. They are counted in any case.
    pub fn on_error<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ConnectionInfo, &io::Error) + Send + Sync + 'static,
    {
        self.config.on_error = Some(Box::new(hook));
        self
    }

    /// Is told of each accept that failed, on the listener's goroutine.
    ///
    /// If the process or the system is out of descriptors or memory, the server waits before it accepts again:
    /// 5 ms, and twice as long each time up to 1 s, as Go does. Connections wait in the kernel's queue.
    pub fn on_accept_error<F>(mut self, hook: F) -> Server
    where
        F: Fn(&AcceptError<'_>) + Send + Sync + 'static,
    {
        self.config.on_accept_error = Some(Box::new(hook));
        self
    }

    /// Is told what [`start`](Self::start) finds doubtful. Without this hook it is printed on standard error.
    pub fn on_warning<F>(mut self, hook: F) -> Server
    where
        F: Fn(&ServerWarning) + Send + Sync + 'static,
    {
        self.config.on_warning = Some(Box::new(hook));
        self
    }

    /// Shuts down when one of these signals comes, with so much time to do it.
    ///
    /// As long as the server lives they don't do what they would do otherwise; further ones change nothing.
    pub fn shutdown_on(mut self, signals: &[Signal], grace: Duration) -> Server {
        self.config.signals = signals.to_vec();
        self.config.signal_grace = grace;
        self
    }

    /// Serves the listeners' connections from now on, until it is [shut down](ServerHandle::shutdown); dropping
    /// the handle doesn't do that. The listeners are the server's: it clears their deadlines, and closes
    /// them in the end.
    ///
    /// # Errors
    ///
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): no listener, a limit, rate or timeout of 0, or a
    ///   [signal](Self::shutdown_on) that can't be caught.
    /// * [`OutOfMemory`](io::ErrorKind::OutOfMemory): there can be no goroutine for each listener and one
    ///   for the server.
    /// * A listener is closed.
    ///
    /// # Blocking
    ///
    /// Waits for nobody; a switch point only for the lock of the signal table, if it has signals.
    pub fn start<I>(self, listeners: I) -> io::Result<ServerHandle>
    where
        I: IntoIterator,
        I::Item: Into<Listener>,
    {
        let listeners = listeners.into_iter().map(Into::into).collect();
        shutdown::start(self.config, listeners)
    }

    /// Serves the listener's connections, and returns when the server has been shut down, by a
    /// [signal](Self::shutdown_on), by a handler ([`Connection::server`]) or because the listener was closed.
    ///
    /// Go's `http.Serve`.
    ///
    /// ```no_run
    /// use corio::signal::SIGTERM;
    /// use corio_net::{Connection, Server, listen};
    /// use std::io::Write;
    /// use std::time::Duration;
    ///
    /// let report = Server::new(|conn: &mut Connection| conn.write_all(b"good evening\n"))
    ///     .shutdown_on(&[SIGTERM], Duration::from_secs(10))
    ///     .serve(listen("tcp", ":8013")?)?;
    /// println!("{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Blocking
    ///
    /// A switch point, as [`ServerHandle::wait`].
    pub fn serve(self, listener: impl Into<Listener>) -> io::Result<ShutdownReport> {
        let server = self.start([listener])?;
        Ok(server.wait())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
