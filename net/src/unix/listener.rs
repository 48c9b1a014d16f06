//! [`UnixListener`].
//!
//! Its name in the file system is removed, if that was asked for, by whoever comes first: `close`, or the
//! drop of the last handle. Handles share an [`Unlink`], which holds the path until then. The name goes
//! before the socket does, as in Go: who removes a name that is in the way and binds it anew has been
//! refused until then, and its name is not the one that we remove.

use super::UnixStream;
use crate::prim::Mutex;
use crate::shared;
use crate::socket::{Socket, Way};
use crate::{is_closed, metrics, sys};
use corio::reactor::WaitReason;
use socket2::{SockAddr, Type};
use std::io;
use std::iter::FusedIterator;
use std::os::unix::net::SocketAddr;
use std::panic::RefUnwindSafe;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

/// A listening Unix socket: [`std::os::unix::net::UnixListener`], parking the goroutine (or blocking
/// the plain thread) that accepts.
///
/// # Beyond and apart from std
///
/// * [`set_deadline`](Self::set_deadline) and [`close`](Self::close), as in Go; `close` ends an
///   [`accept`](Self::accept) under way. [`wait_readable`](Self::wait_readable).
/// * At the deadline the error is [`TimedOut`](io::ErrorKind::TimedOut).
/// * [`set_unlink_on_close`](Self::set_unlink_on_close), as in Go, but off unless it is asked for.
/// * [`try_clone`](Self::try_clone) shares the socket instead of duplicating its descriptor.
/// * For the system the socket is non-blocking always; [`set_nonblocking`](Self::set_nonblocking) is a
///   setting of the socket's here, shared by its clones.
/// * [`incoming`](Self::incoming) ends when the listener is closed.
/// * Converting from and to std's type and `OwnedFd` may fail: `TryFrom`, and
///   [`into_std`](Self::into_std), instead of `From`, `FromRawFd` and `IntoRawFd`.
///
/// # Examples
///
/// ```
/// use corio_net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("corio-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("listener");
/// let listener = UnixListener::bind(&path)?;
/// listener.set_unlink_on_close(true)?;
/// let server = corio::spawn(move || listener.accept()?.0.write_all(b"hello"));
///
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.join().unwrap()?;
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
pub struct UnixListener {
    /// Dropped first: see the module's head.
    unlink: Arc<Unlink>,
    socket: Socket,
}

/// The path to remove in the end, if any.
#[derive(Debug, Default)]
struct Unlink(Mutex<Option<PathBuf>>);

// Like std's sockets: the path is there as a whole or not at all.
impl RefUnwindSafe for Unlink {}

impl Unlink {
    fn set(&self, path: Option<PathBuf>) {
        *self.0.lock() = path;
    }

    /// Removes it, unless that has been done. It may be gone, or be out of reach: that can't be helped.
    fn act(&self) {
        let path = self.0.lock().take();
        if let Some(path) = path {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        self.act();
    }
}

impl UnixListener {
    fn of(socket: Socket) -> UnixListener {
        UnixListener {
            unlink: Arc::default(),
            socket,
        }
    }

    /// Listens on a path, which must not exist yet.
    ///
    /// The queue of connections not yet accepted is as long as the system allows.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists, also if nobody listens on it any
    /// more; [`InvalidInput`](io::ErrorKind::InvalidInput) if it is too long (107 bytes on Linux);
    /// the system's.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens on an address, which may be an abstract one.
    ///
    /// ```
    /// use corio_net::UnixListener;
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let name = format!("corio-{}", std::process::id());
    /// let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    /// assert_eq!(listener.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        Self::listen(&sys::to_unix(addr)?, sys::BACKLOG)
    }

    /// Listens on an address, with a queue of this length.
    pub(crate) fn listen(addr: &SockAddr, backlog: i32) -> io::Result<UnixListener> {
        let socket = super::new(Type::STREAM)?;
        socket.bind(addr)?;
        socket.listen(backlog)?;
        Self::open(socket.into(), true)
    }

    /// Waits for a connection. The peer's address is unnamed unless it has bound one.
    ///
    /// # Errors
    ///
    /// The system's, for instance out of descriptors (`EMFILE`): the listener goes on working.
    /// [`TimedOut`](io::ErrorKind::TimedOut) at the deadline. After [`close`](Self::close), one that
    /// [`is_closed`] recognises.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, peer) = metrics::accepted(self.socket.io(
            Way::Read,
            WaitReason::NetAccept,
            sys::accept,
            |_| false,
        ))?;
        Ok((UnixStream::open(fd, false)?, sys::from_unix(peer)?))
    }

    /// Accepts connections until the listener is closed, without their addresses.
    ///
    /// As with std, an error is an item and iteration goes on; other than with std, there is an end:
    /// [`close`](Self::close).
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::local_addr(self)
    }

    /// Whether the path it listens on is removed when it is closed, or the last handle is dropped. That
    /// is so for all handles, and not from the start. Without a path there is nothing to remove.
    ///
    /// For [`listen`](fn@crate::listen), as in Go, it is the default. It is meant for who made the
    /// path: somebody else may still be listening on it, for instance the process that a listener was
    /// inherited from.
    ///
    /// # Errors
    ///
    /// After [`close`](Self::close). If the path is relative and the working directory can't be asked
    /// for.
    pub fn set_unlink_on_close(&self, unlink: bool) -> io::Result<()> {
        let addr = self.local_addr()?;
        let path = match addr.as_pathname() {
            // The working directory may be another one by then.
            Some(path) if unlink => Some(path::absolute(path)?),
            _ => None,
        };
        self.unlink.set(path);
        Ok(())
    }

    shared::clones!(unlink, socket);
    shared::wait_readable!();
    shared::take_error!();
    shared::nonblocking! {
        /// Whether [`accept`](Self::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) instead
        /// of waiting, from its next call on.
    }
    shared::deadline!();

    /// Stops listening, for all handles: calls under way and later ones fail with an error that
    /// [`is_closed`] recognises. Before that it removes the path, if
    /// [`set_unlink_on_close`](Self::set_unlink_on_close) says so.
    ///
    /// Dropping the last handle closes as well; this is for a listener that somebody else is waiting
    /// on.
    ///
    /// # Errors
    ///
    /// If it is closed already.
    pub fn close(&self) -> io::Result<()> {
        self.unlink.act();
        self.socket.close()
    }

    /// Converts to std's type, blocking unless [`set_nonblocking`](Self::set_nonblocking) says
    /// otherwise. The deadline stays behind, and the path is not removed.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if there are other handles. After
    /// [`close`](Self::close). If there are no more descriptors.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        let UnixListener { unlink, socket } = self;
        let fd = socket.into_fd()?;
        unlink.set(None);
        Ok(fd.into())
    }
}

shared::descriptor!(UnixListener);
shared::conversions!(UnixListener, std::os::unix::net::UnixListener, Unix, STREAM);
shared::debug!(UnixListener, "local": local_addr);

/// Connections to a listener, until it is closed. See [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        match self.listener.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(error) if is_closed(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for UnixIncoming<'_> {}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;

    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}
