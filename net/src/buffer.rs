//! [`BufferPool`] and [`PooledReader`]: buffers that are taken when there is something to read, and not
//! before.
//!
//! A goroutine that waits in `read` holds the buffer that it reads into, and a server has far more
//! connections that wait than connections that are served. So the order is turned around: wait first,
//! then take a buffer from a pool, then read.
//!
//! ```text
//!  read(&mut [u8])          buffer ─────────────────────────────── use ──
//!                                  [try] ── park ────────── [try]
//!  BufferPool::read                [try] ── park ────────── [try]
//!  buffer                           ─┬─                      ─┬──── use ─┐
//!                              taken, given back            taken     given back
//! ```
//!
//! There is no separate question whether the socket is readable: the buffer is taken by the try itself,
//! inside of [`Turn::io`](crate::socket), and goes back if the try finds nothing. On a drained TCP socket
//! the try is left out as always, and so a request costs the same one receive as with a buffer that is
//! there from the start.
//!
//! The pool is a [`corio::sync::Pool`], with a list of spare buffers for each P: nothing is contended
//! for. It is bounded: what is given back beyond that is freed. Buffers know their pool by reference
//! and not by a count, which all goroutines would write to twice per request; the pool of a server is a
//! `static`, or outlives the server's connections otherwise.
//!
//! Taking and giving back run while the caller has the socket's turn. They allocate and free, and never
//! wait nor run user code.
//!
//! Rejected: buffers of different sizes (a server knows its own), reading into memory that is not
//! initialised (a buffer is cleared once, when it is made), freeing what was not used for a while (needs
//! a timer; [`BufferPool::clear`] is there for those who know when).
//!
//! Next in the reading order: `transfer`.

use crate::pipe::PipeReader;
use crate::shared::{self, Stream};
use crate::tcp::TcpStream;
use crate::unix::UnixStream;
use corio::sync::Pool;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Buffers that each P's list keeps, unless the pool says otherwise; four times as many are kept for
/// all together.
const LIMIT: usize = 32;

/// A pool of buffers of one size, from which reading takes one only when there is something to read.
///
/// With it a connection that waits for its next request holds no memory but its goroutine's. See
/// [`PooledReader`] for something that implements `Read` and `BufRead`.
///
/// The size is the most that one read returns. Buffers are made when needed, and kept when given back: at
/// most 32 for each P and 128 for all together, or as [`with_limit`](Self::with_limit) says.
///
/// # Examples
///
/// ```
/// use corio_net::{BufferPool, TcpListener, TcpStream};
/// use std::io::{self, Read, Write};
///
/// static BUFFERS: BufferPool = BufferPool::new(4096);
///
/// fn echo(mut stream: TcpStream) -> io::Result<()> {
///     loop {
///         let bytes = BUFFERS.read(&stream)?; // holds no buffer while it waits
///         if bytes.is_empty() {
///             return Ok(());
///         }
///         stream.write_all(&bytes)?;
///     } // `bytes` goes back
/// }
///
/// # fn main() -> io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (stream, _) = listener.accept()?;
/// let server = corio::spawn(move || echo(stream));
/// client.write_all(b"ping")?;
/// let mut reply = [0; 4];
/// client.read_exact(&mut reply)?;
/// assert_eq!(&reply, b"ping");
/// drop(client);
/// server.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
///
/// # Counterpart
///
/// Go's way is a `bufio.Reader` from a `sync.Pool` after a one-byte read.
pub struct BufferPool {
    size: usize,
    /// Made with nothing in them; memory comes with the first use.
    spare: Pool<Box<[u8]>>,
}

impl BufferPool {
    /// An empty pool of buffers of `size` bytes.
    ///
    /// # Panics
    ///
    /// If the size is 0.
    #[must_use]
    pub const fn new(size: usize) -> BufferPool {
        BufferPool::with_limit(size, LIMIT)
    }

    /// As [`new`](Self::new), keeping at most `limit` buffers that are not in use for each P, and four
    /// times as many for all together.
    ///
    /// # Panics
    ///
    /// If the size is 0.
    #[must_use]
    pub const fn with_limit(size: usize, limit: usize) -> BufferPool {
        assert!(size > 0, "buffers must have at least one byte");
        BufferPool {
            size,
            spare: Pool::with_limit(Box::default, limit),
        }
    }

    /// Waits until there is something to read, then takes a buffer and reads once. An empty one is the
    /// end of the stream.
    ///
    /// Parks the goroutine, or blocks the plain thread, without a buffer.
    ///
    /// # Errors
    ///
    /// Those of reading from the source.
    pub fn read<S: PooledRead + ?Sized>(&self, source: &S) -> io::Result<Buffer<'_>> {
        self.read_by(|late| source.read_late(late))
    }

    /// A buffer that `read` fills, in one of its tries.
    pub(crate) fn read_by(
        &self,
        read: impl FnOnce(&mut Late<'_>) -> io::Result<usize>,
    ) -> io::Result<Buffer<'_>> {
        let mut late = Late {
            pool: self,
            bytes: Box::default(),
        };
        let len = read(&mut late)?;
        Ok(Buffer {
            pool: self,
            bytes: late.bytes,
            unread: 0..len,
        })
    }

    /// The size of its buffers, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many buffers are in the pool, not in use. Others may change that at once.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.spare.idle()
    }

    /// Frees the buffers that are not in use.
    pub fn clear(&self) {
        self.spare.clear();
    }

    fn take(&self) -> Box<[u8]> {
        let bytes = self.spare.take();
        if bytes.is_empty() {
            vec![0; self.size].into_boxed_slice()
        } else {
            bytes
        }
    }

    fn put(&self, bytes: Box<[u8]>) {
        if !bytes.is_empty() {
            self.spare.put(bytes);
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("size", &self.size)
            .field("idle", &self.idle())
            .finish()
    }
}

/// A buffer that is not there until a try needs it.
#[allow(
    unreachable_pub,
    reason = "in the signature of a sealed trait's method"
)]
pub struct Late<'a> {
    pool: &'a BufferPool,
    bytes: Box<[u8]>,
}

impl Late<'_> {
    /// Makes one try. Without bytes there is no buffer afterwards.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.bytes = self.pool.take();
        let result = read(&mut self.bytes);
        if !matches!(result, Ok(1..)) {
            self.pool.put(std::mem::take(&mut self.bytes));
        }
        result
    }
}

/// What was read by [`BufferPool::read`]. Goes back into the pool when dropped.
///
/// It may be changed in place, for instance to unmask it.
#[must_use = "what was read is lost with it"]
pub struct Buffer<'a> {
    pool: &'a BufferPool,
    /// Empty, or of the pool's size.
    bytes: Box<[u8]>,
    unread: Range<usize>,
}

impl Buffer<'_> {
    /// Forgets the first `n` bytes; afterwards it derefs to the rest.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.unread.len(), "more than there is");
        self.unread.start += n;
    }
}

impl Deref for Buffer<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.unread.clone()]
    }
}

impl DerefMut for Buffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.unread.clone()]
    }
}

impl AsRef<[u8]> for Buffer<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.bytes));
    }
}

impl fmt::Debug for Buffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&&**self).finish()
    }
}

pub(crate) mod sealed {
    #[allow(unreachable_pub, reason = "a supertrait of a public trait")]
    pub trait Sealed {}
}

/// What a [`BufferPool`] can read from: streams and pipes of this crate. It can't be implemented
/// elsewhere.
pub trait PooledRead: sealed::Sealed {
    #[doc(hidden)]
    fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize>;

    #[doc(hidden)]
    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize>;
}

/// [`PooledRead`] for types that are one [`Stream`].
macro_rules! pooled {
    ($($type:ty),*) => {
        $(
            impl sealed::Sealed for $type {}

            impl PooledRead for $type {
                #[inline]
                fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize> {
                    read_late(self, late)
                }

                fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
                    shared::read(self, buf)
                }
            }
        )*
    };
}

pooled!(TcpStream, UnixStream, PipeReader);

#[inline]
fn read_late<S: Stream>(stream: &S, late: &mut Late<'_>) -> io::Result<usize> {
    let size = late.pool.size;
    shared::read_with(stream, size, |fd| late.fill(|buf| S::receive(fd, buf)))
}

/// [`PooledRead`] for what leads to one.
macro_rules! forwarded {
    ($($type:ty),*) => {
        $(
            impl<S: PooledRead + ?Sized> sealed::Sealed for $type {}

            impl<S: PooledRead + ?Sized> PooledRead for $type {
                fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize> {
                    (**self).read_late(late)
                }

                fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
                    (**self).read_into(buf)
                }
            }
        )*
    };
}

forwarded!(&S, &mut S, Box<S>, Arc<S>);

/// A [`BufRead`] that has a buffer only while there is something unread in it: [`std::io::BufReader`] for
/// connections most of which wait.
///
/// The buffer comes from a [`BufferPool`] with the first bytes and goes back with the last ones. Large
/// reads pass by it. A parser that wants the whole of a message in one slice calls
/// [`read_more`](Self::read_more) until [`buffer`](Self::buffer) has it, and then
/// [`consume`](BufRead::consume)s it.
///
/// It writes, too, if the source does: straight to it.
///
/// What is in the buffer has been taken from the source; [`into_inner`](Self::into_inner) loses it.
///
/// # Examples
///
/// ```
/// use corio_net::{BufferPool, PooledReader, TcpListener, TcpStream};
/// use std::io::{self, BufRead, Write};
///
/// static BUFFERS: BufferPool = BufferPool::new(4096);
///
/// # fn main() -> io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let mut client = TcpStream::connect(listener.local_addr()?)?;
/// # let (stream, _) = listener.accept()?;
/// client.write_all(b"one\ntwo\n")?;
/// let mut reader = PooledReader::new(stream, &BUFFERS);
/// let mut line = String::new();
/// reader.read_line(&mut line)?;
/// assert_eq!(line, "one\n");
/// assert_eq!(reader.buffer(), b"two\n");
/// reader.consume(4);
/// assert_eq!(BUFFERS.idle(), 1); // nothing unread, no buffer
/// reader.write_all(b"an answer")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PooledReader<'a, S> {
    source: S,
    pool: &'a BufferPool,
    /// Not empty, if it is there.
    held: Option<Buffer<'a>>,
}

impl<'a, S> PooledReader<'a, S> {
    /// A reader that holds nothing yet.
    #[must_use]
    pub fn new(source: S, pool: &'a BufferPool) -> Self {
        PooledReader {
            source,
            pool,
            held: None,
        }
    }

    /// What has been read from the source and not from here. May be changed in place by
    /// [`buffer_mut`](Self::buffer_mut).
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        self.held.as_deref().unwrap_or_default()
    }

    /// See [`buffer`](Self::buffer).
    #[must_use]
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.held.as_deref_mut().unwrap_or_default()
    }

    /// The source.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// The source. What is read from it directly is missing here.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The source, without what is in the buffer.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.source
    }
}

impl<S: PooledRead> PooledReader<'_, S> {
    /// Reads once from the source, behind what is unread, and returns how much that was: 0 at the end.
    ///
    /// Waits without a buffer if there is nothing unread, and with it otherwise.
    ///
    /// # Errors
    ///
    /// [`StorageFull`](io::ErrorKind::StorageFull) if the buffer is full with what is unread: a message
    /// must fit into one of the pool's buffers. Otherwise those of reading.
    pub fn read_more(&mut self) -> io::Result<usize> {
        let Some(held) = &mut self.held else {
            return self.fill_buf().map(<[u8]>::len);
        };
        if held.unread.len() == held.bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the buffer is full",
            ));
        }
        if held.unread.start > 0 {
            held.bytes.copy_within(held.unread.clone(), 0);
            held.unread = 0..held.unread.len();
        }
        let n = self.source.read_into(&mut held.bytes[held.unread.end..])?;
        held.unread.end += n;
        Ok(n)
    }
}

impl<S: PooledRead> BufRead for PooledReader<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.held.is_none() {
            let buffer = self.pool.read(&self.source)?;
            self.held = (!buffer.is_empty()).then_some(buffer);
        }
        Ok(self.buffer())
    }

    /// Forgets the first `n` unread bytes, and gives the buffer back with the last one.
    fn consume(&mut self, n: usize) {
        if let Some(held) = &mut self.held {
            held.consume(n.min(held.len()));
            if held.is_empty() {
                self.held = None;
            }
        }
    }
}

impl<S: PooledRead> Read for PooledReader<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.held.is_none() && (buf.is_empty() || buf.len() >= self.pool.size) {
            return self.source.read_into(buf);
        }
        let unread = self.fill_buf()?;
        let n = unread.len().min(buf.len());
        buf[..n].copy_from_slice(&unread[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Writes go to the source as they are, so that what wants one value for both directions can have this.
impl<S: Write> Write for PooledReader<'_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.source.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source.write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.source.write_all(buf)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.source.write_fmt(args)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.source.flush()
    }
}
