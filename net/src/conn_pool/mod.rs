//! [`ConnPool`]: connections to a server, kept and reused.
//!
//! The model is the pool in Go's database/sql, with what r2d2 and deadpool have in addition: a minimum,
//! a check before a connection is given out.
//!
//! For readers of the code: `attempts` are the books of connecting, `core` those of the pool, with all that
//! happens to a connection, `connect` is what runs an attempt, `keeper` the goroutine that looks after the idle ones, `guard` what a user holds; here are handle, settings
//! and figures. Who keeps whom alive: handles own an `Owner`, whose drop closes the pool; connections
//! in use, attempts and keeper own the core alone. So a forgotten pool ends with its last handle.

mod attempts;
mod connect;
mod core;
mod guard;
mod keeper;

use self::core::{Check, Connect, Core, Limits, Until};
use crate::network::{Conn, Dialer};
use crate::shared::HasSocket;
use corio::context::Context;
use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use guard::PooledConn;

/// The most connections, unless the builder says otherwise. r2d2's default.
const MAX: usize = 10;
/// How long connecting may take, unless the builder says otherwise. r2d2's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection stays idle, unless the builder says otherwise. r2d2's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How much later than its context a function that connects is given up, at most.
const GRACE: Duration = Duration::from_secs(1);
/// Waiters look after attempts that often at most.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);

/// Connections to a server, made when they are needed, kept, and reused.
///
/// [`get`](Self::get) returns a connection that is idle, the most recently used first, or makes one;
/// when there are as many as there may be it waits, first come, first served, until somebody gives one
/// back. The connection comes back by dropping the [`PooledConn`].
///
/// Clones are handles to the same pool. When the last one is dropped the pool is [closed](Self::close).
///
/// ```
/// use corio_net::conn_pool::ConnPool;
/// use corio_net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let addr = listener.local_addr()?;
/// # corio::spawn(move || {
/// #     while let Ok((mut stream, _)) = listener.accept() {
/// #         corio::spawn(move || {
/// #             let mut byte = [0];
/// #             while let Ok(1) = stream.read(&mut byte) {
/// #                 stream.write_all(&byte).unwrap();
/// #             }
/// #         });
/// #     }
/// # });
/// let pool = ConnPool::new(move || TcpStream::connect(addr));
/// for _ in 0..3 {
///     let mut conn = pool.get()?;
///     conn.write_all(b"?")?;
///     conn.read_exact(&mut [0])?;
/// }
/// assert_eq!(pool.stats().connects, 1);
/// # Ok(())
/// # }
/// ```
///
/// What can be set, among it a check before a connection is given out again, is in [`Builder`].
///
/// # Connecting
///
/// It is done by goroutines of the pool's own. Who waits gets what comes first, a connection given back
/// by somebody or a new one; who gives up waiting leaves its connection, when it is made, to the next.
/// An error goes to whoever waits longest. Nobody waits for one attempt longer than the
/// [connect timeout](Builder::connect_timeout), 30 s unless it is set.
///
/// # Counterpart
///
/// Go's `sql.DB`, as far as it is a pool: `Conn` ([`get`](Self::get)), `SetMaxOpenConns`,
/// `SetMaxIdleConns`, `SetConnMaxIdleTime`, `SetConnMaxLifetime`, `Stats`, `Close`. What differs: there
/// is a maximum unless it is changed, which is the same for idle ones; there can be a minimum;
/// connections can be checked before they are given out; nothing is done again behind the user's back.
pub struct ConnPool<C: Send + 'static> {
    owner: Arc<Owner<C>>,
}

/// Closes the pool with the last handle.
struct Owner<C: Send + 'static> {
    core: Arc<Core<C>>,
}

impl<C: Send + 'static> Drop for Owner<C> {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl<C: Send + 'static> ConnPool<C> {
    /// A pool with the [`Builder`]'s defaults: `connect` makes a connection. Callers wait for it for 30 s, the
    /// default [connect timeout](Builder::connect_timeout).
    pub fn new(connect: impl Fn() -> io::Result<C> + Send + Sync + 'static) -> ConnPool<C> {
        Builder::new().build(connect)
    }

    /// Another name for [`Builder::new`].
    pub fn builder() -> Builder<C> {
        Builder::new()
    }

    /// A connection. Waits (parks) for as long as it takes: for a new one up to the
    /// [connect timeout](Builder::connect_timeout), for one that somebody gives back without an end.
    ///
    /// # Errors
    ///
    /// That of an attempt to connect; [`TimedOut`](io::ErrorKind::TimedOut) if the attempt takes longer
    /// than the connect timeout; if connecting panicked, [`Other`](io::ErrorKind::Other). Once the
    /// pool is closed, one that [`is_closed`](crate::is_closed) recognises.
    ///
    /// # Panics
    ///
    /// If the check that the [`Builder`] was given does. The connection is closed.
    pub fn get(&self) -> io::Result<PooledConn<C>> {
        self.get_until(Until::Forever)
    }

    /// A connection, if there is one within `timeout`.
    ///
    /// ```
    /// use corio_net::conn_pool::ConnPool;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let pool = ConnPool::builder().max(1).build(|| Ok("a connection"));
    /// let first = pool.get()?;
    /// let error = pool.get_timeout(Duration::from_millis(5)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// let text = "timed out waiting for a connection of the pool (1 in use)";
    /// assert_eq!(error.to_string(), text);
    /// drop(first);
    /// assert!(pool.get_timeout(Duration::from_millis(5)).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut); as for [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> io::Result<PooledConn<C>> {
        let at = Instant::now().checked_add(timeout);
        self.get_until(at.map_or(Until::Forever, Until::Time))
    }

    /// A connection, if there is one until `deadline`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut); as for [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_deadline(&self, deadline: Instant) -> io::Result<PooledConn<C>> {
        self.get_until(Until::Time(deadline))
    }

    /// A connection, if there is one before the context is done.
    ///
    /// # Errors
    ///
    /// The context's, as [`io::Error`]s are made of them: [`TimedOut`](io::ErrorKind::TimedOut) after
    /// its deadline, otherwise [`Other`](io::ErrorKind::Other); as for [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_with(&self, ctx: &Context) -> io::Result<PooledConn<C>> {
        self.get_until(Until::Done(ctx))
    }

    /// A connection that is idle and healthy now; waits for nothing but the check.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Option<PooledConn<C>> {
        self.owner.core.try_get().map(PooledConn::new)
    }

    fn get_until(&self, until: Until<'_>) -> io::Result<PooledConn<C>> {
        self.owner.core.get(until).map(PooledConn::new)
    }

    /// Closes the pool, for all handles: idle connections at once, the others when they are given back.
    /// Whoever waits for a connection, and whoever asks for one later, gets an error that
    /// [`is_closed`](crate::is_closed) recognises. Attempts to connect are told by their context, and
    /// not waited for.
    ///
    /// Doing it again does nothing.
    pub fn close(&self) {
        self.owner.core.close();
    }

    /// Has it been closed?
    pub fn is_closed(&self) -> bool {
        self.owner.core.lock().closed
    }

    /// What the pool has and did, at one moment.
    pub fn stats(&self) -> Stats {
        let core = &self.owner.core;
        let state = core.lock();
        let connecting = state.attempts.len();
        Stats {
            max: core.limits.max,
            open: state.places - connecting,
            connecting,
            idle: state.idle.len(),
            in_use: state.in_use(),
            waiting: state.waiters.len(),
            ..state.stats
        }
    }
}

impl ConnPool<Conn> {
    /// A pool of connections to an address on a network, as of [`dial`](crate::dial), with the
    /// [`Builder`]'s defaults; before one is given out again it is checked that it still stands
    /// ([`is_quiet`]). None is made yet.
    ///
    /// ```
    /// use corio_net::ConnPool;
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let listener = corio_net::listen("tcp", "127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?.to_string();
    /// let pool = ConnPool::dial("tcp", &addr);
    /// pool.get()?.write_all(b"hello")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn dial(network: &str, addr: &str) -> ConnPool<Conn> {
        Builder::new().dial(network, addr)
    }
}

impl<C: Send + 'static> Clone for ConnPool<C> {
    fn clone(&self) -> Self {
        ConnPool {
            owner: Arc::clone(&self.owner),
        }
    }
}

impl<C: Send + 'static> fmt::Debug for ConnPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnPool")
            .field("limits", &self.owner.core.limits)
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

// The user's functions run outside the lock: a panic leaves nothing half changed.
impl<C: Send + 'static> UnwindSafe for ConnPool<C> {}
impl<C: Send + 'static> RefUnwindSafe for ConnPool<C> {}

/// What a [`ConnPool`] has, and what it did so far. Go's `sql.DBStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The most connections there may be.
    pub max: usize,
    /// Connections there are, in use or idle.
    pub open: usize,
    /// Attempts to connect that are under way, including those that take longer than they may.
    pub connecting: usize,
    /// Connections that wait for somebody to use them.
    pub idle: usize,
    /// Connections in use.
    pub in_use: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// How often somebody had to wait: nothing was idle.
    pub waits: u64,
    /// How long they waited, all together.
    pub wait_time: Duration,
    /// How often a caller gave up: its time was up, or its context done.
    pub timeouts: u64,
    /// Connections made.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_errors: u64,
    /// How often a caller was told that connecting takes longer than it may. What comes of the attempt is
    /// counted as well, at its end.
    pub connect_timeouts: u64,
    /// Closed for having been idle too long.
    pub idle_closed: u64,
    /// Closed for being too old.
    pub lifetime_closed: u64,
    /// Closed because enough others were idle.
    pub max_idle_closed: u64,
    /// Closed because the check found them unhealthy.
    pub unhealthy_closed: u64,
}

/// Configures a [`ConnPool`].
///
/// ```
/// use corio_net::TcpStream;
/// use corio_net::conn_pool::{Builder, is_quiet};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = corio_net::TcpListener::bind("127.0.0.1:0")?;
/// # let addr = listener.local_addr()?;
/// let pool = Builder::new()
///     .max(20)
///     .min_idle(2)
///     .idle_timeout(Duration::from_secs(60))
///     .max_lifetime(Duration::from_secs(3600))
///     .check(is_quiet)
///     .build(move || TcpStream::connect(addr));
/// let stream = pool.get()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder<C> {
    limits: Limits,
    check: Option<Check<C>>,
}

impl<C: Send + 'static> Builder<C> {
    /// The defaults: at most 10 connections, all of which may be idle, for 10 minutes; none are made
    /// ahead, and none is too old; connecting may take 30 s; nothing is checked.
    pub fn new() -> Builder<C> {
        Builder {
            limits: Limits {
                max: MAX,
                min_idle: 0,
                max_idle: usize::MAX,
                connect_timeout: Some(CONNECT_TIMEOUT),
                idle_timeout: Some(IDLE_TIMEOUT),
                max_lifetime: None,
            },
            check: None,
        }
    }

    /// The most connections, in use, idle and being made; at least 1.
    pub fn max(mut self, connections: usize) -> Self {
        self.limits.max = connections.max(1);
        self
    }

    /// How many connections to have ready, as far as the maximum allows. They are made ahead, from the
    /// beginning on, by a goroutine of the pool's own, which after a failure tries again, ever more slowly.
    pub fn min_idle(mut self, connections: usize) -> Self {
        self.limits.min_idle = connections;
        self
    }

    /// The most connections to keep while nobody uses them; others are closed when they are given back. At
    /// least [`min_idle`](Self::min_idle).
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.limits.max_idle = connections;
        self
    }

    /// How long connecting may take, or `None`. A caller that waits for an attempt gets an error of kind
    /// [`TimedOut`](io::ErrorKind::TimedOut) then. Callers may give up earlier
    /// ([`ConnPool::get_timeout`]).
    ///
    /// The attempt itself is ended only if its function heeds the context that
    /// [`build_with`](Self::build_with) passes. Otherwise it goes on, and the connection it makes, if it does,
    /// is the next caller's. Until its end it counts towards the [maximum](Self::max): that many attempts
    /// that hang leave no room for another. A caller then waits for one of them, or for a connection to be given
    /// back, and after the connect timeout gets the error, in the order in which they came. So if connecting can
    /// hang for good, use `build_with`, or timeouts of the function's own.
    ///
    /// ```
    /// use corio_net::conn_pool::Builder;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// let (release, hangs) = corio::channel::bounded(1);
    /// let pool = Builder::new()
    ///     .connect_timeout(Duration::from_millis(5))
    ///     .build(move || Ok(hangs.recv()));
    /// let error = pool.get().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # release.send(()).unwrap();
    /// ```
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.connect_timeout = timeout.into();
        self
    }

    /// How long a connection may be idle until it is closed, or `None`.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.idle_timeout = timeout.into();
        self
    }

    /// How old a connection may become, or `None`. It isn't taken from a user; it is closed when it is
    /// idle, or given back.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.limits.max_lifetime = lifetime.into();
        self
    }

    /// How to tell whether a connection that was idle, or comes from another user, is healthy. Runs on
    /// the caller's goroutine before it gets the connection; an unhealthy one is closed, and the caller
    /// gets another. For sockets there is [`is_quiet`].
    pub fn check(mut self, check: impl Fn(&mut C) -> bool + Send + Sync + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// The pool; `connect` makes a connection. It runs on goroutines of the pool's own, to its end: after
    /// the [connect timeout](Self::connect_timeout) callers don't wait for it any more.
    pub fn build(self, connect: impl Fn() -> io::Result<C> + Send + Sync + 'static) -> ConnPool<C> {
        let patience = self.limits.connect_timeout;
        self.finish(patience, Box::new(move |_| connect()))
    }

    /// The pool; `connect` makes a connection, and should give up when the context is done: after
    /// [`connect_timeout`](Self::connect_timeout), and when the pool is closed.
    ///
    /// Its own error says more than the pool's, so callers wait for it a moment longer than that: half as
    /// long again, at most a second.
    pub fn build_with(
        self,
        connect: impl Fn(&Context) -> io::Result<C> + Send + Sync + 'static,
    ) -> ConnPool<C> {
        let patience = self.limits.connect_timeout;
        let patience = patience.map(|timeout| timeout.saturating_add(GRACE.min(timeout / 2)));
        self.finish(patience, Box::new(connect))
    }

    /// The pool, whose callers wait so long for an attempt.
    fn finish(self, patience: Option<Duration>, connect: Connect<C>) -> ConnPool<C> {
        let patience = patience.map(|patience| patience.max(LEAST_PATIENCE));
        let mut limits = self.limits;
        limits.max_idle = limits.max_idle.max(limits.min_idle);
        let core = Arc::new(Core::new(limits, patience, connect, self.check));
        core.look_after(&mut core.lock());
        ConnPool {
            owner: Arc::new(Owner { core }),
        }
    }
}

impl Builder<Conn> {
    /// The pool; connections are made by a [`Dialer`] with its defaults, and checked by [`is_quiet`]
    /// unless a [check](Self::check) is set.
    ///
    /// For other settings of the dialer, there is [`build_with`](Self::build_with):
    ///
    /// ```
    /// use corio_net::conn_pool::{Builder, is_quiet};
    /// use corio_net::Dialer;
    ///
    /// let dialer = Dialer::new().keepalive(None);
    /// let pool = Builder::new()
    ///     .check(is_quiet)
    ///     .build_with(move |ctx| dialer.clone().context(ctx).dial("tcp", "127.0.0.1:80"));
    /// ```
    pub fn dial(mut self, network: &str, addr: &str) -> ConnPool<Conn> {
        self.check.get_or_insert_with(|| Box::new(is_quiet));
        let (network, addr) = (network.to_owned(), addr.to_owned());
        let dialer = Dialer::new();
        self.build_with(move |ctx| dialer.clone().context(ctx).dial(&network, &addr))
    }
}

impl<C: Send + 'static> Default for Builder<C> {
    fn default() -> Self {
        Builder::new()
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("check", &self.check.is_some())
            .finish()
    }
}

/// Is there nothing to be read from this socket, one of this crate's, not even its end? A connection
/// between two exchanges is either like that, or at its end, broken, or has an answer that nobody waited
/// for. Never waits; one system call.
///
/// This is the [check](Builder::check) for plain connections, `check(is_quiet)`; of those with a layer in
/// between, such as TLS, it may be asked about the socket inside. It takes `&mut` as checks do, and changes
/// nothing.
pub fn is_quiet<S: HasSocket + ?Sized>(socket: &mut S) -> bool {
    socket.socket().is_quiet()
}
