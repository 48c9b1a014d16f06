//! [`Connection`]: what a handler gets.

use crate::is_closed;
use crate::network::{Addr, Conn};
use crate::server::handle::ServerHandle;
use crate::server::registry::{Entry, Shared};
use crate::server::state::{Activation, Rest};
use crate::shared::{self, HasSocket};
use crate::socket::Way;
use crate::sys;
use corio::context::{CancelFunc, Context};
use corio::reactor::WaitReason;
use corio::sync::OnceLock;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

/// Which connection: what hooks are told.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) listener: Arc<Addr>,
}

/// An [`Addr`], in a quarter of its size as long as it is an IP address: there is one per connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Ip(SocketAddr),
    Other(Box<Addr>),
}

impl From<Addr> for Peer {
    fn from(addr: Addr) -> Peer {
        match addr.as_ip() {
            Some(addr) => Peer::Ip(addr),
            None => Peer::Other(Box::new(addr)),
        }
    }
}

impl Peer {
    /// What is limited per address: IPv4 addresses are the same inside of IPv6.
    pub(super) fn host(&self) -> Option<IpAddr> {
        match self {
            Peer::Ip(addr) => Some(addr.ip().to_canonical()),
            Peer::Other(_) => None,
        }
    }

    fn addr(&self) -> Addr {
        match self {
            Peer::Ip(addr) => Addr::Ip(*addr),
            Peer::Other(addr) => Addr::clone(addr),
        }
    }
}

impl ConnectionInfo {
    /// Its number: the server's first connection has 1, each later one a higher number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The client's address.
    pub fn peer_addr(&self) -> Addr {
        self.peer.addr()
    }

    /// The address of the listener it came from.
    pub fn listener_addr(&self) -> &Addr {
        &self.listener
    }
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} from {}", self.id, self.peer_addr())
    }
}

/// What a connection is doing, as hooks are told. See [`Server`](crate::Server#a-connections-life).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It was accepted, and no byte has been read or written yet.
    New,
    /// A request is worked on.
    Active,
    /// The next request is waited for.
    Idle,
    /// It is over: its handler has returned, and it is closed.
    Closed,
}

/// A connection that a [`Server`](crate::Server) has accepted: what its handler gets.
///
/// It reads and writes, as [`Conn`] does, with the server's timeouts; and it is a [`Conn`], for all else, by
/// `Deref`. A [`BufferPool`](crate::BufferPool) can read from it, and [`copy`](crate::copy) and
/// [`copy_bidirectional`](crate::copy_bidirectional) take it as well. It counts as active from its first byte on;
/// from the beginning of a copy, if that is what its handler does.
/// Only a handler that reads from the [`Conn`] itself, or from a clone, does so unnoticed: it calls
/// [`wait_request`](Self::wait_request) before.
///
/// A connection that waits for its next request needs no buffer:
///
/// ```
/// use corio_net::{BufferPool, Connection, Server, dial, listen};
/// use std::io::{self, Read, Write};
///
/// static BUFFERS: BufferPool = BufferPool::new(4096);
///
/// fn echo(conn: &mut Connection) -> io::Result<()> {
///     while conn.wait_request()? {
///         let bytes = BUFFERS.read(conn)?;
///         conn.write_all(&bytes)?;
///     }
///     Ok(())
/// }
///
/// # fn main() -> io::Result<()> {
/// # let server = Server::new(echo).start([listen("tcp", "127.0.0.1:0")?])?;
/// # let mut client = dial("tcp", &server.addrs()[0].to_string())?;
/// # client.write_all(b"ping")?;
/// # let mut reply = [0; 4];
/// # client.read_exact(&mut reply)?;
/// # assert_eq!(&reply, b"ping");
/// # server.shutdown(std::time::Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
///
/// When the handler returns, the connection is closed, for clones too.
pub struct Connection {
    entry: Arc<Entry>,
    context: OnceLock<(Context, CancelFunc)>,
}

/// What there is to read.
enum First {
    Bytes,
    End,
}

impl Connection {
    pub(super) fn new(entry: &Arc<Entry>) -> Connection {
        Connection {
            entry: Arc::clone(entry),
            context: OnceLock::new(),
        }
    }

    /// Which connection it is.
    pub fn info(&self) -> &ConnectionInfo {
        &self.entry.info
    }

    /// Its number: the server's first connection has 1, each later one a higher number.
    pub fn id(&self) -> u64 {
        self.entry.info.id
    }

    /// The client's address, also after the connection was closed.
    pub fn peer_addr(&self) -> Addr {
        self.entry.info.peer_addr()
    }

    /// The server it belongs to; to shut it down, for instance:
    /// [`begin_shutdown`](ServerHandle::begin_shutdown).
    pub fn server(&self) -> ServerHandle {
        ServerHandle::new(self.shared())
    }

    /// A context that is cancelled when the server begins to shut down, and when the handler has returned.
    ///
    /// Go's `Request.Context`; other than that, it doesn't tell when the client goes away. To end a wait on
    /// this connection with it, or with one derived from it: [`with_context`](crate::with_context).
    ///
    /// ```
    /// use corio_net::{Connection, with_context};
    /// use std::io::{self, Read};
    /// use std::time::Duration;
    ///
    /// fn handler(conn: &mut Connection) -> io::Result<()> {
    ///     let (ctx, _cancel) = conn.context().with_timeout(Duration::from_secs(5));
    ///     let mut header = [0; 4];
    ///     with_context(&ctx, conn, |mut conn| conn.read_exact(&mut header))
    /// }
    /// # let _ = corio_net::Server::new(handler);
    /// ```
    pub fn context(&self) -> &Context {
        let make = || self.shared().context.with_cancel();
        &self.context.get_or_init(make).0
    }

    /// Has the server begun to shut down? Then this is the time to announce the end of the connection, if the
    /// protocol has a way to.
    pub fn is_shutting_down(&self) -> bool {
        self.entry.word.is_stopped()
    }

    /// Waits for a request: `true` if its first byte is there to be read, `false` if the connection is over:
    /// the client has closed its end, the server's [idle timeout](crate::Server::idle_timeout) or a deadline
    /// was exceeded, or the server is shutting down and nothing has arrived.
    ///
    /// No buffer is needed meanwhile; it costs one system call per request.
    ///
    /// To be called between requests: when nothing of the next one lies in a buffer of the handler's, and no other
    /// goroutine is still about to answer the one before. The connection is idle meanwhile, and the server may
    /// close it.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`ConnectionReset`](ErrorKind::ConnectionReset). Closed, if it was closed by
    /// its handler.
    ///
    /// # Blocking
    ///
    /// A switch point.
    pub fn wait_request(&self) -> io::Result<bool> {
        match self.entry.word.rest() {
            Rest::Idle => self.tell(ConnectionState::Idle),
            Rest::New => {}
            Rest::Stop => return Ok(self.has_bytes()),
            Rest::Closed => return Ok(false),
        }
        let before = self.conn().read_timeout();
        if self.shared().config.idle_timeout.is_some() {
            // It fails if the connection was closed; then so does the wait.
            let _ = self
                .conn()
                .set_read_timeout(self.shared().config.idle_timeout);
        }
        let first = self.first();
        if let Ok(timeout) = before {
            let _ = self.conn().set_read_timeout(timeout);
        }
        match first {
            Ok(First::Bytes) => Ok(true),
            Ok(First::End) => Ok(self.resume()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(self.resume()),
            Err(error) if is_closed(&error) && self.entry.word.is_closed() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn conn(&self) -> &Conn {
        &self.entry.conn
    }

    fn shared(&self) -> &Arc<Shared> {
        self.entry.place.shared()
    }

    fn tell(&self, state: ConnectionState) {
        self.shared().tell(&self.entry.info, state);
    }

    /// Waits for something to read, and makes the connection active before it is read.
    fn first(&self) -> io::Result<First> {
        let peek = |fd: std::os::fd::BorrowedFd<'_>| sys::peek(fd, &mut [0]);
        let socket = self.conn().socket();
        let reason = WaitReason::NetRead;
        if socket.io(Way::Read, reason, peek, |_| false)? == 0 {
            return Ok(First::End);
        }
        self.activate();
        Ok(First::Bytes)
    }

    /// Makes the connection active. If the server has closed it, the operation that follows will say so.
    pub(super) fn activate(&self) {
        loop {
            match self.entry.word.activate() {
                Activation::Changed => return self.tell(ConnectionState::Active),
                Activation::Same | Activation::Closed => return,
                Activation::Claimed => corio::yield_now(),
            }
        }
    }

    /// There is no further request. What the handler does now is not to be cut off as idle; nobody is told, as it
    /// is no request either. Always `false`.
    fn resume(&self) -> bool {
        while self.entry.word.activate() == Activation::Claimed {
            corio::yield_now();
        }
        false
    }

    /// Has something arrived? Doesn't wait.
    fn has_bytes(&self) -> bool {
        let peeked = self.conn().socket().control(|fd| sys::peek(fd, &mut [0]));
        matches!(peeked, Ok(1..))
    }

    /// Before a read: the first one makes the connection active. `false`: there is nothing to read.
    #[inline]
    pub(super) fn before_read(&self) -> io::Result<bool> {
        if !self.entry.word.is_fresh() {
            return Ok(true);
        }
        Ok(matches!(self.first()?, First::Bytes))
    }

    /// Before a write, or after a poll has moved something: makes a fresh connection active.
    #[inline]
    pub(crate) fn before_write(&self) {
        if self.entry.word.is_fresh() {
            self.activate();
        }
    }
}

impl Deref for Connection {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((_, cancel)) = self.context.get() {
            cancel.cancel();
        }
    }
}

impl Read for &Connection {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.before_read()? {
            self.conn().read(buf)
        } else {
            Ok(0)
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if self.before_read()? {
            self.conn().read_vectored(bufs)
        } else {
            Ok(0)
        }
    }
}

impl Write for &Connection {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.before_write();
        self.conn().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.before_write();
        self.conn().write_vectored(bufs)
    }

    /// Keeps its turn to the end, as [`Conn`]'s.
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.before_write();
        self.conn().write_all(buf)
    }

    /// Formats first, then writes.
    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.before_write();
        self.conn().write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.conn().flush()
    }
}

shared::by_reference!(Connection);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("peer", &self.peer_addr())
            .field("state", &self.entry.word.state())
            .finish_non_exhaustive()
    }
}
