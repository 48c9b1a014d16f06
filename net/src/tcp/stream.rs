//! [`TcpStream`].
//!
//! Reads and writes go through [`Socket::io`](crate::socket), which parks without asking after a
//! call that moved less than it might have. For TCP that is safe: the kernel fills the buffer as far
//! as it has bytes and takes bytes as far as it has room, and reports when that changes. What breaks
//! the rule sets a flag: the end of the stream, errors, urgent data.

use super::ip_address;
use crate::metrics;
use crate::resolve::{self, ToSocketAddrs};
use crate::socket::{Moved, Patience, Socket, Way};
use crate::sys;
use corio::reactor::{WaitReason, checkpoint};
use socket2::{Domain, Protocol, SockRef, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A TCP connection: [`std::net::TcpStream`], parking the goroutine (or blocking the plain thread)
/// that reads or writes.
///
/// `Read` and `Write` are implemented for `&TcpStream` too, so that one goroutine may read while
/// another writes. Several may read, or write, at once: they take turns, first come, first served.
/// `write_all` and `write!` keep their turn to the end, so what concurrent writers write is not mixed.
///
/// # Beyond and apart from std
///
/// * Deadlines ([`set_deadline`](Self::set_deadline) and others) and [`close`](Self::close), as in Go.
/// * Timeouts and deadlines both report [`TimedOut`](io::ErrorKind::TimedOut); the earlier applies.
///   A timeout counts per call, from its first wait.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * Reading into, or writing from, an empty buffer returns 0 without waiting.
/// * `write!` formats into memory first, then writes.
/// * Converting from std's type may fail, so it is `TryFrom`; back, it is
///   [`into_std`](Self::into_std).
///
/// # Examples
///
/// ```
/// use corio_net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = corio::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     let mut buffer = [0; 1024];
///     loop {
///         match stream.read(&mut buffer)? {
///             0 => return Ok(()),
///             n => stream.write_all(&buffer[..n])?,
///         }
///     }
/// });
///
/// let mut stream = TcpStream::connect(addr)?;
/// write!(stream, "{} times", 3)?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut echo = String::new();
/// stream.read_to_string(&mut echo)?;
/// assert_eq!(echo, "3 times");
/// server.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    /// A connection that was made by us and has no other descriptor.
    pub(super) fn open(fd: OwnedFd) -> io::Result<TcpStream> {
        Socket::open(fd, false).map(|socket| TcpStream { socket })
    }

    /// Connects to the first of the addresses that works.
    ///
    /// # Errors
    ///
    /// The last address's error, for instance
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        resolve::each(addr, |addr| metrics::connected(Self::dial(addr, None)))
    }

    /// Connects to one address, in a limited time.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is up;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is zero.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        metrics::connected(Self::dial(*addr, Some(timeout)))
    }

    fn dial(addr: SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let mut patience = timeout.map_or_else(Patience::endless, Patience::new);
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket =
            socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
        let started = match socket.connect(&addr.into()) {
            Ok(()) => false,
            Err(error) if sys::in_progress(&error) => true,
            Err(error) => return Err(error),
        };
        let stream = Self::open(socket.into())?;
        if started {
            stream.socket.turn(Way::Write, &mut patience)?.io(
                WaitReason::NetConnect,
                &mut patience,
                connected,
                |_| false,
            )?;
        }
        Ok(stream)
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .control(|fd| SockRef::from(&fd).peer_addr().and_then(ip_address))
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .control(|fd| SockRef::from(&fd).local_addr().and_then(ip_address))
    }

    /// Shuts one or both directions down. Reads under way return what is there, then 0.
    ///
    /// # Errors
    ///
    /// The system's, for instance [`NotConnected`](io::ErrorKind::NotConnected), or closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.control(|fd| SockRef::from(&fd).shutdown(how))
    }

    /// Another handle to the same socket: they share everything, also timeouts, deadlines and being
    /// closed.
    ///
    /// # Errors
    ///
    /// None; the result is std's signature.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            socket: self.socket.clone(),
        })
    }

    /// Sets how long a read may take, from its next call on; `None` for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a zero timeout; closed.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Way::Read, timeout)
    }

    /// Sets how long a write may take, from its next call on; `None` for ever. `write_all` is as many
    /// writes as it takes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a zero timeout; closed.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Way::Write, timeout)
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Way::Read)
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Way::Write)
    }

    /// Sets both deadlines: [`set_read_deadline`](Self::set_read_deadline),
    /// [`set_write_deadline`](Self::set_write_deadline).
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.set_read_deadline(deadline)?;
        self.set_write_deadline(deadline)
    }

    /// Sets the time from which on reads fail with [`TimedOut`](io::ErrorKind::TimedOut), or clears it.
    ///
    /// It applies to reads that wait already, too: a time in the past ends them at once, a later one
    /// lets them go on. It stays until it is changed. Setting one for each request is cheap.
    ///
    /// ```
    /// # use corio_net::{TcpListener, TcpStream};
    /// use std::io::{ErrorKind, Read};
    /// use std::time::{Duration, Instant};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// let error = stream.read(&mut [0]).unwrap_err(); // nobody sends
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Read, deadline)
    }

    /// Sets the time from which on writes fail with [`TimedOut`](io::ErrorKind::TimedOut), or clears
    /// it; otherwise like [`set_read_deadline`](Self::set_read_deadline).
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Way::Write, deadline)
    }

    /// Reads without taking the bytes out: a later read gets them again.
    ///
    /// # Errors
    ///
    /// As for reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.nothing();
        }
        // Peeking drains nothing, whatever it returns.
        let call = |fd: BorrowedFd<'_>| sys::peek(fd, buf);
        self.socket
            .io(Way::Read, WaitReason::NetRead, call, |_| false)
    }

    /// Sets what happens to unsent bytes when the last handle is dropped or the stream is closed:
    /// `None` sends them in the background; zero drops them and resets the connection; otherwise
    /// closing waits for them that long, and blocks its thread.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket
            .control(|fd| SockRef::from(&fd).set_linger(linger))
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.control(|fd| SockRef::from(&fd).linger())
    }

    /// Whether small writes are sent at once instead of being gathered while others are under way.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket
            .control(|fd| SockRef::from(&fd).set_tcp_nodelay(nodelay))
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.control(|fd| SockRef::from(&fd).tcp_nodelay())
    }

    /// Sets the time to live of packets that are sent.
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.control(|fd| SockRef::from(&fd).set_ttl_v4(ttl))
    }

    /// See [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// The system's, or closed.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.control(|fd| SockRef::from(&fd).ttl_v4())
    }

    /// Takes the error that is pending on the socket.
    ///
    /// # Errors
    ///
    /// If it can't be asked for, for instance after [`close`](Self::close).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.control(|fd| SockRef::from(&fd).take_error())
    }

    /// Whether reads and writes fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting,
    /// be it for the peer or for their turn, from the next call on.
    ///
    /// A setting of this crate's: for the system, the socket is non-blocking always.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    /// Closes the connection, for all handles: calls under way and later ones fail with an error that
    /// [`is_closed`](crate::is_closed) recognises.
    ///
    /// Dropping the last handle closes as well; this is for a stream that somebody else is waiting on.
    ///
    /// # Errors
    ///
    /// If it is closed already.
    pub fn close(&self) -> io::Result<()> {
        self.socket.close()
    }

    /// Converts to std's type, blocking unless [`set_nonblocking`](Self::set_nonblocking) says
    /// otherwise. Timeouts and deadlines stay behind.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if there are other handles. After
    /// [`close`](Self::close). If there are no more descriptors.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.socket.into_fd().map(Into::into)
    }

    /// What an operation on an empty buffer returns.
    fn nothing(&self) -> io::Result<usize> {
        self.socket.control(|_| Ok(0))
    }
}

/// Is the connection made? One system call if it failed, two if not; `WouldBlock` if that is open.
fn connected(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // No error may also mean that it is not decided: an event need not be about connecting.
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

/// Has a read of up to `len` bytes taken all there was? Nothing at all is the end of the stream, and
/// there is no event to wait for.
fn emptied(len: usize) -> impl Fn(&usize) -> Moved {
    move |&bytes| Moved {
        bytes,
        drained: 0 < bytes && bytes < len.min(sys::MAX_BYTES),
    }
}

/// Has a write of `len` bytes used all the room there was?
fn filled(len: usize) -> impl Fn(&usize) -> Moved {
    move |&bytes| Moved {
        bytes,
        drained: bytes < len.min(sys::MAX_BYTES),
    }
}

/// The bytes that one call with these slices may move.
fn total<T: std::ops::Deref<Target = [u8]>>(bufs: &[T]) -> usize {
    bufs.iter()
        .take(sys::MAX_SLICES)
        .fold(0, |sum, buf| sum.saturating_add(buf.len()))
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len();
        if len == 0 {
            return self.nothing();
        }
        self.socket.io(
            Way::Read,
            WaitReason::NetRead,
            |fd| sys::recv(fd, buf),
            emptied(len),
        )
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = total(bufs);
        if len == 0 {
            return self.nothing();
        }
        self.socket.io(
            Way::Read,
            WaitReason::NetRead,
            |fd| sys::readv(fd, bufs),
            emptied(len),
        )
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.nothing();
        }
        self.socket.io(
            Way::Write,
            WaitReason::NetWrite,
            |fd| sys::send(fd, buf),
            filled(buf.len()),
        )
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = total(bufs);
        if len == 0 {
            return self.nothing();
        }
        self.socket.io(
            Way::Write,
            WaitReason::NetWrite,
            |fd| sys::writev(fd, bufs),
            filled(len),
        )
    }

    /// Keeps its turn to the end: other writers' bytes come before or after, not in between.
    fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return self.nothing().map(drop);
        }
        let turn = self.socket.turn_for(Way::Write)?;
        while !buf.is_empty() {
            let n = turn.io(
                WaitReason::NetWrite,
                &mut turn.patience(),
                |fd| sys::send(fd, buf),
                filled(buf.len()),
            )?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            buf = &buf[n..];
        }
        drop(turn);
        checkpoint();
        Ok(())
    }

    /// Formats first, then writes: no code of the formatted values runs while it is our turn.
    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        if let Some(text) = args.as_str() {
            return self.write_all(text.as_bytes());
        }
        let mut text = String::new();
        fmt::write(&mut text, args).map_err(|_| io::Error::other("formatter error"))?;
        self.write_all(text.as_bytes())
    }

    /// Nothing to do: what is written is with the system.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// Takes a connection over, with its timeouts. If it was non-blocking,
    /// [`TcpStream::set_nonblocking`] applies.
    fn try_from(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let nonblocking = sys::is_nonblocking(stream.as_fd())?;
        let (read, write) = (stream.read_timeout()?, stream.write_timeout()?);
        stream.set_nonblocking(true)?;
        let socket = Socket::open(OwnedFd::from(stream), true)?;
        socket.set_nonblocking(nonblocking)?;
        socket.set_timeout(Way::Read, read)?;
        socket.set_timeout(Way::Write, write)?;
        Ok(TcpStream { socket })
    }
}

impl AsFd for TcpStream {
    /// The descriptor, for options. Don't change that it is non-blocking.
    ///
    /// After [`TcpStream::close`] it is open but good for nothing.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.lend()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.lend().as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("fd", &self.socket.number()).finish()
    }
}
