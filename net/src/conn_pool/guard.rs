//! [`PooledConn`]: a connection that goes back to its pool.

use super::core::Member;
use crate::buffer::{self, Late, PooledRead};
use crate::shared::HasSocket;
use crate::socket::Socket;
use crate::transfer::{self, CopyFrom, CopyTo, Duplex, End};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::ops::{Deref, DerefMut};

/// A connection of a [`ConnPool`](super::ConnPool), to be used as the connection itself. Dropping it
/// gives the connection back.
///
/// If it is dropped by a panic the connection is closed instead: nobody knows how far its exchange had
/// come. For the same reason, [`discard`](Self::discard) a connection after an error.
///
/// It may outlive the pool; then dropping it closes the connection.
pub struct PooledConn<C: Send + 'static> {
    /// `None` only while it is being dropped.
    member: Option<Member<C>>,
}

impl<C: Send + 'static> PooledConn<C> {
    pub(super) fn new(member: Member<C>) -> Self {
        PooledConn {
            member: Some(member),
        }
    }

    fn take(&mut self) -> Member<C> {
        self.member.take().expect("taken only at the end")
    }

    /// Closes the connection instead of giving it back, so that somebody else can have another one. To be
    /// called as `PooledConn::discard(conn)`.
    ///
    /// ```
    /// use corio_net::conn_pool::{ConnPool, PooledConn};
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let made = AtomicUsize::new(0);
    /// let pool = ConnPool::new(move || Ok(made.fetch_add(1, Ordering::Relaxed)));
    /// let conn = pool.get()?;
    /// assert_eq!(*conn, 0);
    /// PooledConn::discard(conn);
    /// assert_eq!(*pool.get()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn discard(mut this: Self) {
        drop(this.take());
    }

    /// Takes the connection out of the pool, for good; the pool may make another one in its place. To be
    /// called as `PooledConn::into_inner(conn)`.
    pub fn into_inner(mut this: Self) -> C {
        this.take().entry.conn
    }
}

impl<C: Send + 'static> Drop for PooledConn<C> {
    fn drop(&mut self) {
        match self.member.take() {
            Some(member) if !std::thread::panicking() => member.give_back(),
            member => drop(member),
        }
    }
}

impl<C: Send + 'static> Deref for PooledConn<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self
            .member
            .as_ref()
            .expect("taken only at the end")
            .entry
            .conn
    }
}

impl<C: Send + 'static> DerefMut for PooledConn<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self
            .member
            .as_mut()
            .expect("taken only at the end")
            .entry
            .conn
    }
}

impl<C: Send + 'static> AsRef<C> for PooledConn<C> {
    fn as_ref(&self) -> &C {
        self
    }
}

impl<C: Send + 'static> AsMut<C> for PooledConn<C> {
    fn as_mut(&mut self) -> &mut C {
        self
    }
}

/// For what takes any `Read`.
impl<C: Read + Send + 'static> Read for PooledConn<C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (**self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (**self).read_to_end(buf)
    }
}

/// For what takes any `Write`.
impl<C: Write + Send + 'static> Write for PooledConn<C> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (**self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (**self).write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        (**self).write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// For [`with_context`](crate::with_context) and [`is_quiet`](super::is_quiet).
impl<C: HasSocket + Send + 'static> HasSocket for PooledConn<C> {
    fn socket(&self) -> &Socket {
        (**self).socket()
    }
}

impl<C: PooledRead + Send + 'static> buffer::sealed::Sealed for PooledConn<C> {}

/// For [`BufferPool`](crate::BufferPool) and [`PooledReader`](crate::PooledReader).
impl<C: PooledRead + Send + 'static> PooledRead for PooledConn<C> {
    fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize> {
        (**self).read_late(late)
    }

    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read_into(buf)
    }
}

impl<C: transfer::sealed::Sealed + Send + 'static> transfer::sealed::Sealed for PooledConn<C> {}

/// For [`copy`](crate::copy).
impl<C: CopyFrom + Send + 'static> CopyFrom for PooledConn<C> {
    fn source(&self) -> End<'_> {
        (**self).source()
    }
}

/// For [`copy`](crate::copy).
impl<C: CopyTo + Send + 'static> CopyTo for PooledConn<C> {
    fn destination(&self) -> End<'_> {
        (**self).destination()
    }
}

/// For [`copy_bidirectional`](crate::copy_bidirectional).
impl<C: Duplex + Send + 'static> Duplex for PooledConn<C> {
    fn stream(&self) -> &Socket {
        (**self).stream()
    }
}

impl<C: fmt::Debug + Send + 'static> fmt::Debug for PooledConn<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
