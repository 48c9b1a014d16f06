//! Pages about a running program, over HTTP: a live picture of the scheduler, goroutine dumps, execution traces, metrics,
//! health. Cargo feature `debug`.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let pages = corio_net::debug::serve("127.0.0.1:0")?;
//! println!("open http://{}/", pages.local_addr());
//! # pages.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! | path | what it shows |
//! | --- | --- |
//! | `/` | the live page: Ps, Ms, queues, rates, the longest waits, and a trace replayed in slow motion |
//! | `/debug/goroutines` | all goroutines, those with equal stacks together; `?full=1`: each for itself; `?longest=20`: those that have waited longest; `?format=json` |
//! | `/debug/trace?seconds=5` | records an [execution trace](corio::trace) and sends it as it is made, for <https://ui.perfetto.dev>; 409 if one is running |
//! | `/debug/state` | what the live page draws, as JSON |
//! | `/metrics` | everything that is counted, for Prometheus (OpenMetrics text) |
//! | `/healthz` | 200 as long as the program answers |
//! | `/readyz` | 200, or 503 with the reason: a [server](Pages::server) shuts down, or the [hook](Pages::ready) says so |
//!
//! Like importing Go's `net/http/pprof`, except that the pages have a listener of their own and, unless
//! [told otherwise](Pages::allow_remote), only on loopback addresses: whoever can read them learns a lot about the program.
//!
//! The pages' goroutines are [system goroutines](corio::reactor::as_system): they are neither leaks nor a reason not to
//! report a deadlock. They are scheduled as all others, so that the pages answer within some 10 ms while every P is
//! hogged, and not at all if the runtime is stuck: that is what `/healthz` is for.
//!
//! For readers of the code: `http` (what a request may look like), `json`, `state` and `metrics` (figures as texts),
//! `pages` (what is answered), `page.html` (the live page, one file without anything from elsewhere).
//!
//! Rejected: serving the pages from a thread outside of the runtime, which would answer even if the scheduler is stuck.
//! Then they could not be a [`Server`], and a stuck scheduler is SIGQUIT's subject.

mod http;
mod json;
mod metrics;
mod pages;
mod state;

use crate::network::Addr;
use crate::server::{Overflow, Server, ServerHandle};
use crate::{TcpListener, ToSocketAddrs};
use corio::reactor::as_system;
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// More connections than any dashboard opens; beyond them it closes.
const MAX_CONNECTIONS: usize = 64;
/// Finding the names of functions takes more than an ordinary stack.
const STACK: usize = 2 << 20;
/// How long a client may be silent between requests, and not read an answer.
const IDLE: Duration = Duration::from_secs(120);
const WRITE: Duration = Duration::from_secs(10);
/// What is under way when the pages are shut down has so much time.
const GRACE: Duration = Duration::from_secs(1);

/// Serves the pages on a loopback address, from now on until they are [shut down](PagesHandle::shutdown) or the process
/// ends.
///
/// # Errors
///
/// Those of [`Pages::serve`].
///
/// # Examples
///
/// See the [module](self).
pub fn serve(addr: impl ToSocketAddrs) -> io::Result<PagesHandle> {
    Pages::new().serve(addr)
}

type Ready = dyn Fn() -> Result<(), String> + Send + Sync;

/// What the pages know beside what they can see.
struct Shared {
    ready: Option<Box<Ready>>,
    servers: Mutex<Vec<ServerHandle>>,
    any_host: bool,
}

/// The pages before they are served: who may see them, and what they should know.
///
/// ```
/// use corio_net::{Connection, Server, debug, listen};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let server = Server::new(|_: &mut Connection| Ok(())).name("api");
/// let server = server.start([listen("tcp", "127.0.0.1:0")?])?;
/// let pages = debug::Pages::new()
///     .server(&server)
///     .ready(|| Err("the cache is cold".into()))
///     .serve("127.0.0.1:0")?;
/// # pages.shutdown();
/// # server.shutdown(Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
#[must_use = "pages are not there until they are served"]
#[derive(Default)]
pub struct Pages {
    remote: bool,
    ready: Option<Box<Ready>>,
    servers: Vec<ServerHandle>,
}

impl Pages {
    /// Pages for loopback addresses.
    pub fn new() -> Pages {
        Pages::default()
    }

    /// Whether they may be served on addresses that others than this machine can reach, and under any name. They are not
    /// encrypted, and nobody is asked who he is: keep such a port behind a firewall.
    pub fn allow_remote(mut self, allow: bool) -> Pages {
        self.remote = allow;
        self
    }

    /// What `/readyz` asks, on a goroutine of the pages', each time: an `Err` is answered as 503 with its text. A hook
    /// that panics isn't ready.
    pub fn ready<F>(mut self, hook: F) -> Pages
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.ready = Some(Box::new(hook));
        self
    }

    /// Shows a server's figures in `/metrics` and on the live page, and makes `/readyz` answer 503 as soon as it shuts
    /// down.
    pub fn server(mut self, server: &ServerHandle) -> Pages {
        self.servers.push(server.clone());
        self
    }

    /// Serves the pages from now on.
    ///
    /// # Errors
    ///
    /// * `InvalidInput`: the address is not a loopback address, and [`allow_remote`](Self::allow_remote) was not said.
    /// * Those of [`TcpListener::bind`] and [`Server::start`].
    ///
    /// # Blocking
    ///
    /// A switch point, if a name is to be resolved.
    pub fn serve(self, addr: impl ToSocketAddrs) -> io::Result<PagesHandle> {
        let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
        let outside = addrs.iter().find(|a| !a.ip().to_canonical().is_loopback());
        if let Some(addr) = outside.filter(|_| !self.remote) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "debug pages on {addr} could be seen from other machines; use a loopback address such as \
                     127.0.0.1:{}, or say Pages::allow_remote(true)",
                    addr.port()
                ),
            ));
        }
        let listener = TcpListener::bind(&addrs[..])?;
        let shared = Arc::new(Shared {
            ready: self.ready,
            servers: Mutex::new(self.servers),
            any_host: self.remote,
        });
        let site = Arc::clone(&shared);
        let server = Server::new(move |conn| pages::serve(conn, &site))
            .name("debug")
            .max_connections(MAX_CONNECTIONS)
            .overflow(Overflow::Refuse)
            .stack_size(STACK)
            .idle_timeout(IDLE)
            .write_timeout(WRITE);
        let server = as_system(|| server.start([listener]))?;
        Ok(PagesHandle { server, shared })
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("remote", &self.remote)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

/// Pages that are being served. Clones stand for the same ones; dropping them all doesn't end them.
#[derive(Clone)]
pub struct PagesHandle {
    server: ServerHandle,
    shared: Arc<Shared>,
}

impl PagesHandle {
    /// Where they are served.
    pub fn local_addr(&self) -> SocketAddr {
        let addrs = self.server.addrs();
        let addr = addrs.first().and_then(Addr::as_ip);
        addr.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// Adds a server to those of [`Pages::server`].
    pub fn watch(&self, server: &ServerHandle) {
        self.shared.servers.lock().push(server.clone());
    }

    /// Ends them: the port is free afterwards. A trace that is being recorded ends early, other answers under way
    /// have a second.
    ///
    /// # Blocking
    ///
    /// A switch point.
    pub fn shutdown(&self) {
        self.server.shutdown(GRACE);
    }
}

impl fmt::Debug for PagesHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagesHandle")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn servers(&self) -> Vec<ServerHandle> {
        self.servers.lock().clone()
    }
}
