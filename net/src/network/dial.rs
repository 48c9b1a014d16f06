//! [`dial`] and [`Dialer`].
//!
//! One deadline and one context over everything that may take time: the resolver, and all attempts to
//! connect ([`connect`](crate::connect)). The resolver can't be interrupted, so with either of the two it
//! runs in a goroutine of its own, whose result nobody may want any more when it comes.

use crate::connect::{FALLBACK_DELAY, Failure, Prepare, Terms};
use crate::error::timed_out;
use crate::network::name::{HostPort, Network, invalid, unix_address, unsuitable};
use crate::network::options::{Control, TcpOptions};
use crate::network::{Addr, Conn};
use crate::shared::HasSocket;
use crate::{KeepAlive, OpError, TcpStream, ToSocketAddrs, sys};
use corio::channel;
use corio::context::Context;
use corio::select;
use socket2::{SockAddr, SockRef};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connects to an address on a network: [`Dialer::dial`] with the default settings.
///
/// Go's `net.Dial`.
///
/// | network | address |
/// | --- | --- |
/// | `tcp` | `host:port`; IPv6 and IPv4 are raced if the host has both |
/// | `tcp4`, `tcp6` | `host:port`, of one family only |
/// | `unix` | a path, or `@name` in Linux's abstract namespace |
///
/// The host is a name or an address, IPv6 addresses in brackets; without one, as in `":80"`, the local
/// system is meant. The port is a number or a service's name.
///
/// Blocks the goroutine.
///
/// ```
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = corio_net::listen("tcp", ":0")?;
/// # let port = listener.local_addr()?.port().unwrap();
/// # corio::spawn(move || -> std::io::Result<()> {
/// #     let (mut conn, _) = listener.accept()?;
/// #     let mut line = [0; 5];
/// #     conn.read_exact(&mut line)?;
/// #     conn.write_all(&line)
/// # });
/// let mut conn = corio_net::dial("tcp", &format!("localhost:{port}"))?;
/// conn.write_all(b"hello")?;
/// let mut echo = [0; 5];
/// conn.read_exact(&mut echo)?;
/// # assert_eq!(&echo, b"hello");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// See [`Dialer::dial`].
pub fn dial(network: &str, addr: &str) -> io::Result<Conn> {
    Dialer::new().dial(network, addr)
}

/// How to connect: Go's `net.Dialer`. Can be used any number of times.
///
/// By default it waits as long as the system does, and TCP connections send at once
/// ([`set_nodelay`](TcpStream::set_nodelay)) and probe an idle peer ([`KeepAlive::default`]).
///
/// ```
/// use corio_net::Dialer;
/// use std::io::ErrorKind;
/// use std::time::Duration;
///
/// let dialer = Dialer::new().timeout(Duration::from_secs(5));
/// let error = dialer.dial("tcp", "127.0.0.1:1").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
/// assert!(error.to_string().starts_with("dial tcp 127.0.0.1:1: "));
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until `dial` is called"]
pub struct Dialer {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    context: Option<Context>,
    local: Option<Addr>,
    fallback_delay: Option<Duration>,
    options: TcpOptions,
    control: Option<Control>,
}

impl Dialer {
    /// The default settings.
    pub fn new() -> Dialer {
        Dialer {
            timeout: None,
            deadline: None,
            context: None,
            local: None,
            fallback_delay: Some(FALLBACK_DELAY),
            options: TcpOptions::default(),
            control: None,
        }
    }

    /// How long all of it may take: resolving the name, and connecting to one of its addresses. Where
    /// there are several, none of them may use up the others' time.
    pub fn timeout(mut self, timeout: Duration) -> Dialer {
        self.timeout = Some(timeout);
        self
    }

    /// Until when all of it may take. If there is a [`timeout`](Self::timeout) too, the earlier applies.
    pub fn deadline(mut self, deadline: Instant) -> Dialer {
        self.deadline = Some(deadline);
        self
    }

    /// A context that ends it when it ends. (What is dialled does not depend on it any more: see
    /// [`with_context`](crate::with_context).)
    ///
    /// Go's `DialContext`.
    pub fn context(mut self, ctx: &Context) -> Dialer {
        self.context = Some(ctx.clone());
        self
    }

    /// The address of our end; port 0 is any. Of the addresses to be dialled only those of its family are
    /// tried.
    pub fn local_addr(mut self, addr: impl Into<Addr>) -> Dialer {
        self.local = Some(addr.into());
        self
    }

    /// Whether and how an idle connection's peer is probed; `None`: it isn't.
    pub fn keepalive(mut self, keepalive: Option<KeepAlive>) -> Dialer {
        self.options.keepalive = keepalive;
        self
    }

    /// How long to wait for the family of the first address before the other family is tried beside it;
    /// `None`: addresses are tried one after the other. 300 ms unless set.
    pub fn fallback_delay(mut self, delay: Option<Duration>) -> Dialer {
        self.fallback_delay = delay;
        self
    }

    /// A function that sets options on each socket before it is connected, or bound. An error of its is
    /// that attempt's.
    ///
    /// Go's `Control`.
    ///
    /// ```
    /// use corio_net::Dialer;
    ///
    /// let dialer = Dialer::new().control(|fd| {
    ///     socket2::SockRef::from(&fd).set_recv_buffer_size(1 << 20)
    /// });
    /// # let listener = corio_net::listen("tcp", ":0").unwrap();
    /// # dialer.dial("tcp", &listener.local_addr().unwrap().to_string()).unwrap();
    /// ```
    pub fn control<F>(mut self, control: F) -> Dialer
    where
        F: Fn(BorrowedFd<'_>) -> io::Result<()> + Send + Sync + 'static,
    {
        self.control = Some(Control::new(control));
        self
    }

    /// Connects. See [`dial`] for networks and addresses.
    ///
    /// Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// Each has an [`OpError`] in it, and its kind. [`InvalidInput`](io::ErrorKind::InvalidInput) for an
    /// unknown network, a malformed address, or one that does not go with the network;
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is up, also the context's; when the context is
    /// cancelled, what [`ContextError`](corio::context::ContextError) converts to; the resolver's errors; and, if no
    /// address can be connected to, the error of the first one, for instance
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    pub fn dial(&self, network: &str, addr: &str) -> io::Result<Conn> {
        let limits = self.limits();
        let conn = match Network::parse(network) {
            Ok(Network::Unix) => self.unix(addr, &limits).map_err(Failure::from),
            Ok(tcp) => self.tcp(tcp, addr, &limits).map(Conn::from),
            Err(error) => Err(error.into()),
        };
        conn.map_err(|failure| match failure.addr {
            Some(tried) => self.error(network, &tried.to_string(), failure.error),
            None => self.error(network, addr, failure.error),
        })
    }

    /// Connects to one of these addresses: [`TcpStream::connect`] with these settings.
    ///
    /// Blocks the goroutine. If there are names among the addresses, resolving them takes its own time:
    /// limits count from then on. (With [`dial`](Self::dial) they include it.)
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial).
    pub fn connect<A: ToSocketAddrs>(&self, addrs: A) -> io::Result<TcpStream> {
        let connect = || -> Result<TcpStream, Failure> {
            let addrs = addrs.to_socket_addrs()?.collect();
            self.any_of(Network::Tcp, addrs, &self.limits())
        };
        connect().map_err(|failure| {
            let to = failure
                .addr
                .map_or_else(String::new, |addr| addr.to_string());
            self.error("tcp", &to, failure.error)
        })
    }

    /// An error of dialling this address.
    #[cold]
    fn error(&self, network: &str, to: &str, error: io::Error) -> io::Error {
        match &self.local {
            Some(local) => OpError::wrap("dial", network, format_args!("{local}->{to}"), error),
            None => OpError::wrap("dial", network, to, error),
        }
    }

    /// The settings about time, from now on.
    fn limits(&self) -> Limits {
        let timeout = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let context = self.context.as_ref().and_then(Context::deadline);
        Limits {
            deadline: [timeout, self.deadline, context]
                .into_iter()
                .flatten()
                .min(),
            context: self.context.clone(),
        }
    }

    fn tcp(&self, network: Network, addr: &str, limits: &Limits) -> Result<TcpStream, Failure> {
        let parts = HostPort::parse(addr)?;
        limits.check()?;
        let addrs = match parts.literal()? {
            Some(addrs) => addrs,
            None if limits.are_none() => parts.resolve()?,
            None => {
                let addr = addr.to_owned();
                limits.wait_for(move || HostPort::parse(&addr)?.resolve())?
            }
        };
        self.any_of(network, addrs, limits)
    }

    fn any_of(
        &self,
        network: Network,
        mut addrs: Vec<SocketAddr>,
        limits: &Limits,
    ) -> Result<TcpStream, Failure> {
        limits.check()?;
        let local = match &self.local {
            None => None,
            Some(Addr::Ip(addr)) => Some(*addr),
            Some(Addr::Unix(_)) => {
                return Err(invalid("the local address is of another network").into());
            }
        };
        addrs.retain(|addr| {
            network.admits(addr) && local.is_none_or(|local| local.is_ipv4() == addr.is_ipv4())
        });
        if addrs.is_empty() {
            return Err(unsuitable().into());
        }
        let terms = self.terms(limits, local.map(SockAddr::from));
        let stream = terms.connect(addrs)?;
        // Not by `as_fd`: a descriptor that was lent costs a further call when it is closed.
        let socket = stream.socket();
        socket.control(|fd| self.options.set(&SockRef::from(&fd)))?;
        Ok(stream)
    }

    fn unix(&self, addr: &str, limits: &Limits) -> io::Result<Conn> {
        limits.check()?;
        let local = match &self.local {
            None => None,
            Some(Addr::Unix(addr)) => Some(sys::to_unix(addr)?),
            Some(Addr::Ip(_)) => return Err(invalid("the local address is of another network")),
        };
        let terms = self.terms(limits, local);
        let addr = sys::to_unix(&unix_address(addr)?)?;
        terms.connect_unix(&addr).map(Conn::from)
    }

    fn terms(&self, limits: &Limits, local: Option<SockAddr>) -> Terms {
        let chosen = local.as_ref().and_then(SockAddr::as_socket);
        Terms {
            deadline: limits.deadline,
            context: limits.context.clone(),
            delay: self.fallback_delay,
            not_itself: chosen.is_none_or(|local| local.port() == 0),
            prepare: self.prepare(local),
            report_last: false,
        }
    }

    /// What is to be done with sockets before they are connected.
    fn prepare(&self, local: Option<SockAddr>) -> Option<Prepare> {
        let control = self.control.clone();
        if local.is_none() && control.is_none() {
            return None;
        }
        Some(Arc::new(move |socket| {
            if let Some(control) = &control {
                control.call(socket)?;
            }
            match &local {
                Some(local) => socket.bind(local),
                None => Ok(()),
            }
        }))
    }
}

impl Default for Dialer {
    fn default() -> Dialer {
        Dialer::new()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("context", &self.context)
            .field("local_addr", &self.local)
            .field("keepalive", &self.options.keepalive)
            .field("fallback_delay", &self.fallback_delay)
            .finish_non_exhaustive()
    }
}

/// How long a call may take.
struct Limits {
    deadline: Option<Instant>,
    context: Option<Context>,
}

impl Limits {
    fn are_none(&self) -> bool {
        self.deadline.is_none() && self.context.is_none()
    }

    fn check(&self) -> io::Result<()> {
        if let Some(context) = &self.context {
            context.check()?;
        }
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => Err(timed_out()),
            _ => Ok(()),
        }
    }

    /// The result of `f`, which can't be interrupted: it runs in a goroutine, and goes on there if
    /// nobody waits for it any longer.
    fn wait_for<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, result) = channel::bounded(1);
        corio::Builder::new().spawn(move || {
            // There is room for it, and nobody may want it.
            let _ = sender.send(f());
        })?;
        let time_out = self.deadline.map_or_else(channel::never, channel::at);
        let context = self.context.clone().unwrap_or_default();
        select! {
            recv(result) -> result => result.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked"))),
            recv(context.done()) -> _ => Err(context.err().map_or_else(timed_out, io::Error::from)),
            recv(time_out) -> _ => Err(timed_out()),
        }
    }
}
