//! What a server is told before it starts: limits, timeouts, hooks, and the types they speak in.
//!
//! Hooks are user code. None runs under a lock of the server's, and a panic of one is caught and counted
//! like a handler's: [`Shared::guard`](super::registry::Shared::guard).

use crate::network::{Addr, Conn};
use crate::server::connection::{Connection, ConnectionInfo, ConnectionState};
use corio::signal::Signal;
use governor::Quota;
use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a server does with a connection beyond [`max_connections`](crate::Server::max_connections).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It doesn't accept it until another one ends. The kernel's queue holds it, and clients see a slow
    /// server.
    #[default]
    Wait,
    /// It accepts it and closes it at once: [`Refusal::Full`].
    Refuse,
}

/// What a server that shuts down does with connections that the kernel has accepted and the server has
/// not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backlog {
    /// It accepts and serves them: their clients believe they are connected, and closing the listening
    /// socket would reset them. What completes between the last accept and the closing still is, as the
    /// system offers nothing to stop it by.
    #[default]
    Serve,
    /// It leaves them to another process, which has the same listening socket: one that inherited it,
    /// or handed it down. (Two sockets with `SO_REUSEPORT` are not the same: each has its own queue.)
    Leave,
}

/// The answer of an [admission hook](crate::Server::admit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// The connection is served.
    Admit,
    /// It is closed: [`Refusal::Denied`].
    Refuse,
}

/// Why an accepted connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There are [`max_connections`](crate::Server::max_connections).
    Full,
    /// There are [`max_per_peer`](crate::Server::max_per_peer) from this address.
    PerPeer,
    /// The [admission hook](crate::Server::admit) has refused it.
    Denied,
    /// There could be no goroutine for it: `max_goroutines` exist, or memory is exhausted.
    NoGoroutine,
    /// The server's time to shut down was over before its turn came.
    ShuttingDown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Full => "too many connections",
            Refusal::PerPeer => "too many connections from this address",
            Refusal::Denied => "not admitted",
            Refusal::NoGoroutine => "no goroutine for it",
            Refusal::ShuttingDown => "the server is shutting down",
        })
    }
}

/// What a server's owner should know of, and who uses it needn't.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerWarning {
    /// The process may not have as many descriptors as the connections and listeners it is set up for need.
    Descriptors {
        /// How many connections it may have.
        max_connections: usize,
        /// How many descriptors the process may have (`RLIMIT_NOFILE`).
        limit: u64,
    },
    /// The process or the system is short of something, and so the server doesn't accept for a while. Told
    /// once for each row of failures, and only if there is no [hook](crate::Server::on_accept_error) for them.
    Accept {
        /// The address of the listener.
        listener: Addr,
        /// What the system said.
        problem: String,
    },
    /// A connection was refused because there can be no goroutine for it: [`Refusal::NoGoroutine`]. Told
    /// once, and only if there is no [hook](crate::Server::on_refused) for refused connections.
    NoGoroutine,
}

impl fmt::Display for ServerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerWarning::Descriptors {
                max_connections,
                limit,
            } => write!(
                f,
                "up to {max_connections} connections don't fit into the limit of {limit} open files; \
                 raise it with `ulimit -Hn` or LimitNOFILE="
            ),
            ServerWarning::Accept { listener, problem } => {
                write!(f, "accepting on {listener}: {problem}; others wait")
            }
            ServerWarning::NoGoroutine => f.write_str(
                "no goroutine for a connection, which was refused: CORIO_MAX_GOROUTINES or memory is exhausted",
            ),
        }
    }
}

/// A failed accept, as the [hook](crate::Server::on_accept_error) is told.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcceptError<'a> {
    /// What the system said.
    pub error: &'a io::Error,
    /// The address of the listener.
    pub listener: &'a Addr,
    /// What happens next.
    pub then: AcceptAction,
}

/// What a server does after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptAction {
    /// It accepts the next one: this connection was lost before it was accepted.
    GoOn,
    /// It waits so long, because the process or the system is short of something.
    Wait(Duration),
    /// It gives this listener up, which is no longer one.
    Stop,
}

/// When a server that is shutting down closes what is left: made from a [`Duration`] from now on, or from
/// an [`Instant`](std::time::Instant).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownDeadline(pub(super) Option<std::time::Instant>);

impl From<Duration> for ShutdownDeadline {
    /// One that is too long for the clock is never over.
    fn from(grace: Duration) -> ShutdownDeadline {
        ShutdownDeadline(std::time::Instant::now().checked_add(grace))
    }
}

impl From<std::time::Instant> for ShutdownDeadline {
    fn from(deadline: std::time::Instant) -> ShutdownDeadline {
        ShutdownDeadline(Some(deadline))
    }
}

/// A piece of user code.
type Hook<F> = Option<Box<F>>;

pub(super) type Handler = dyn Fn(&mut Connection) -> io::Result<()> + Send + Sync;
pub(super) type Admit = dyn Fn(&ConnectionInfo) -> Admission + Send + Sync;
pub(super) type OnState = dyn Fn(&ConnectionInfo, ConnectionState) + Send + Sync;
pub(super) type OnRefused = dyn Fn(&ConnectionInfo, &Conn, Refusal) + Send + Sync;
pub(super) type OnPanic = dyn Fn(&ConnectionInfo, &(dyn Any + Send)) + Send + Sync;
pub(super) type OnError = dyn Fn(&ConnectionInfo, &io::Error) + Send + Sync;
pub(super) type OnAcceptError = dyn Fn(&AcceptError<'_>) + Send + Sync;
pub(super) type OnWarning = dyn Fn(&ServerWarning) + Send + Sync;

/// Everything a [`Server`](crate::Server) is told.
pub(super) struct Config {
    pub(super) handler: Box<Handler>,
    pub(super) name: String,
    pub(super) max_connections: usize,
    pub(super) overflow: Overflow,
    pub(super) max_per_peer: usize,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) new_grace: Duration,
    pub(super) backlog: Backlog,
    pub(super) rate: Option<(u32, u32)>,
    pub(super) stack_size: Option<usize>,
    pub(super) signals: Vec<Signal>,
    pub(super) signal_grace: Duration,
    pub(super) admit: Hook<Admit>,
    pub(super) on_state: Hook<OnState>,
    pub(super) on_refused: Hook<OnRefused>,
    pub(super) on_panic: Hook<OnPanic>,
    pub(super) on_error: Hook<OnError>,
    pub(super) on_accept_error: Hook<OnAcceptError>,
    pub(super) on_warning: Hook<OnWarning>,
}

impl Config {
    pub(super) fn new(handler: Box<Handler>) -> Config {
        Config {
            handler,
            name: String::from("server"),
            max_connections: usize::MAX,
            overflow: Overflow::default(),
            max_per_peer: usize::MAX,
            idle_timeout: None,
            read_timeout: None,
            write_timeout: None,
            // Go's: a browser opens connections before it has a request for them.
            new_grace: Duration::from_secs(5),
            backlog: Backlog::default(),
            rate: None,
            stack_size: None,
            signals: Vec::new(),
            signal_grace: Duration::ZERO,
            admit: None,
            on_state: None,
            on_refused: None,
            on_panic: None,
            on_error: None,
            on_accept_error: None,
            on_warning: None,
        }
    }

    /// Are all values such that a server can work with them?
    pub(super) fn check(&self) -> io::Result<()> {
        let timeouts = [self.idle_timeout, self.read_timeout, self.write_timeout];
        let problem = if self.max_connections == 0 {
            "max_connections is 0: no connection would ever be served"
        } else if self.max_per_peer == 0 {
            "max_per_peer is 0: no connection would ever be served"
        } else if timeouts.contains(&Some(Duration::ZERO)) {
            "a timeout is 0: every call would fail"
        } else if matches!(self.rate, Some((0, _) | (_, 0))) {
            "accept_rate has a 0: no connection would ever be served"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }

    /// The rate at which connections are accepted.
    pub(super) fn quota(&self) -> Option<Quota> {
        let (per_second, burst) = self.rate?;
        let per_second = NonZeroU32::new(per_second)?;
        Some(Quota::per_second(per_second).allow_burst(NonZeroU32::new(burst)?))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("max_connections", &self.max_connections)
            .field("overflow", &self.overflow)
            .field("max_per_peer", &self.max_per_peer)
            .field("idle_timeout", &self.idle_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("backlog", &self.backlog)
            .field("signals", &self.signals)
            .finish_non_exhaustive()
    }
}
