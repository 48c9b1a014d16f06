//! Copying between descriptors: [`copy`], and in both directions [`copy_bidirectional`].
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | stream or pipe | stream or pipe | [`splice`], through a pipe of ours |
//! | regular file | stream | `sendfile` |
//! | file | file | [`std::io::copy`], which knows `copy_file_range` |
//! | anything else, and where the system refuses | | reading and writing, with a pooled buffer |
//!
//! Each way says whether it came to the end or is not supported, having lost nothing; then the last one
//! goes on from there. What has been copied is counted as it is written, so the count is right at any
//! time.
//!
//! ## Turns
//!
//! A piece is read in one turn of the source and written in one turn of the destination, one after the
//! other; never is one held while waiting for the other. `close` waits for turns to be given up, and may
//! do so because whoever has one waits for that socket only. It also rules out deadlocks between copies
//! that cross, and allows copying a stream to itself. A piece is not mixed with other writers' bytes.
//!
//! ## Files
//!
//! Regular files can't be waited for, and reading them may take the time of a disk. So that happens in
//! [`corio::blocking`]; `sendfile` in the turn of the destination, since that is one call (`close` then
//! waits for the disk, too). What else may
//! be behind a [`File`], a terminal or a FIFO, can keep a reader for ever, and is read outside of any turn.
//!
//! A `sendfile` that returns 0 is not believed to be the end: files of `/proc` have no size. The loop
//! that follows asks by reading.
//!
//! Next in the reading order: `network`.

mod bidirectional;
mod splice;

pub use bidirectional::{Duplex, copy_bidirectional};

use crate::buffer::{Buffer, BufferPool};
use crate::pipe::{PipeReader, PipeWriter};
use crate::shared::HasSocket;
use crate::socket::{Moved, Socket, Turn, Way};
use crate::sys;
use crate::tcp::TcpStream;
use crate::unix::UnixStream;
use corio::reactor::{WaitReason, checkpoint};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Of the buffers for copying by hand.
const BUFFER: usize = 32 << 10;

/// What one `sendfile` may move: as much as a fast reader takes in about a millisecond.
const PIECE: usize = 1 << 20;

static BUFFERS: BufferPool = BufferPool::with_limit(BUFFER, 4);

/// Copies from one descriptor to another until the end of the source, and returns how many bytes that
/// was: [`std::io::copy`] for descriptors.
///
/// Where the system can, the bytes stay inside of it: between sockets and pipes by `splice`, from a
/// regular file to a socket by `sendfile`. Otherwise it is a loop that reads and writes. Neither holds a
/// buffer while it waits for the source.
///
/// It never closes or shuts down anything. A file is read, and written, from its position on, which
/// moves. Deadlines, timeouts and `close` of both ends apply, as to each single read and write. While it
/// copies, others may use both ends; each piece that is copied (up to some hundred KiB) is written in
/// one turn.
///
/// Parks the goroutine, or blocks the plain thread. Files are read and written in
/// [`corio::blocking`].
///
/// # Errors
///
/// The first error of reading or writing. What had been read and not yet written is lost then, as with
/// std's; so copying from or to a stream that is set non-blocking makes little sense.
/// [`WriteZero`](io::ErrorKind::WriteZero) if the destination takes nothing.
///
/// # Examples
///
/// An echo server without a buffer:
///
/// ```
/// use corio_net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (stream, _) = listener.accept()?;
/// let server = corio::spawn(move || corio_net::copy(&stream, &stream));
///
/// client.write_all(b"there and back")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "there and back");
/// assert_eq!(server.join().unwrap()?, 14);
/// # Ok(())
/// # }
/// ```
///
/// # Counterpart
///
/// Go's `io.Copy` for its network connections and files.
#[doc(alias = "splice")]
#[doc(alias = "sendfile")]
#[doc(alias = "io.Copy")]
pub fn copy<F, T>(from: &F, to: &T) -> io::Result<u64>
where
    F: CopyFrom + ?Sized,
    T: CopyTo + ?Sized,
{
    copy_n(from, to, u64::MAX)
}

/// [`copy`], of at most `n` bytes; no more are taken from the source. Fewer are copied if it comes to its
/// end before.
///
/// A part of a file is one to which the file's position was set before. Parks and fails as [`copy`] does;
/// for no bytes it does nothing.
///
/// # Errors
///
/// As [`copy`].
///
/// # Examples
///
/// ```
/// use corio_net::{TcpListener, TcpStream, copy_n};
/// use std::fs::File;
/// use std::io::{Read, Seek, SeekFrom};
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let mut client = TcpStream::connect(listener.local_addr()?)?;
/// # let (stream, _) = listener.accept()?;
/// let mut file = File::open("Cargo.toml")?;
/// file.seek(SeekFrom::Start(1))?;
/// assert_eq!(copy_n(&file, &stream, 7)?, 7);
/// drop(stream);
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "package");
/// # Ok(())
/// # }
/// ```
///
/// # Counterpart
///
/// Go's `io.CopyN`, except that an early end is no error; [`std::io::copy`] from a
/// [`Take`](std::io::Take).
#[doc(alias = "io.CopyN")]
pub fn copy_n<F, T>(from: &F, to: &T, n: u64) -> io::Result<u64>
where
    F: CopyFrom + ?Sized,
    T: CopyTo + ?Sized,
{
    let mut count = Count::new(n);
    run(from.source(), to.destination(), &mut count)?;
    Ok(count.copied)
}

/// How much was copied, and how much may be.
struct Count {
    copied: u64,
    limit: u64,
}

impl Count {
    fn new(limit: u64) -> Count {
        Count { copied: 0, limit }
    }

    /// The size of the next piece, which is to be at most `max`.
    fn next(&self, max: usize) -> usize {
        usize::try_from(self.limit - self.copied).map_or(max, |left| left.min(max))
    }

    fn add(&mut self, bytes: usize) {
        self.copied += bytes as u64;
    }
}

/// One end of a copy.
#[derive(Clone, Copy)]
#[allow(unreachable_pub, reason = "in the signature of sealed traits' methods")]
pub enum End<'a> {
    /// Something that is waited for.
    Stream(&'a Socket, Kind),
    /// Something that is not.
    File(&'a File),
}

/// By which calls a stream is read and written.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "part of `End`")]
pub enum Kind {
    /// `recv`, `send`.
    Socket,
    /// `read`, `write`.
    Pipe,
}

impl Kind {
    fn receive(self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Kind::Socket => sys::recv(fd, buf),
            Kind::Pipe => sys::read(fd, buf),
        }
    }

    fn send(self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        match self {
            Kind::Socket => sys::send(fd, buf),
            Kind::Pipe => sys::write(fd, buf),
        }
    }
}

/// How far a way of copying came.
#[must_use]
enum Progress {
    /// To the end of the source.
    Done,
    /// As far as the system supports it: the rest has to be copied in another way.
    Unsupported,
}

fn run(from: End<'_>, to: End<'_>, count: &mut Count) -> io::Result<()> {
    sys::note_sigpipe();
    let progress = match (from, to) {
        (End::Stream(from, from_kind), End::Stream(to, to_kind)) => {
            splice::copy((from, from_kind), (to, to_kind), count)?
        }
        (End::File(file), End::Stream(to, Kind::Socket)) if is_regular(file) => {
            send_file(file, to, count)?
        }
        (End::File(from), End::File(mut to)) => {
            let mut from = from.take(count.limit);
            count.copied = corio::blocking(|| io::copy(&mut from, &mut to))?;
            Progress::Done
        }
        _ => Progress::Unsupported,
    };
    match progress {
        Progress::Done => Ok(()),
        Progress::Unsupported => by_hand(from, to, count),
    }
}

fn is_regular(file: &File) -> bool {
    sys::is_regular(file.as_fd()).unwrap_or(false)
}

fn send_file(file: &File, to: &Socket, count: &mut Count) -> io::Result<Progress> {
    loop {
        let len = count.next(PIECE);
        if len == 0 {
            return Ok(Progress::Done);
        }
        let sent = to.io(
            Way::Write,
            WaitReason::NetWrite,
            |fd| corio::blocking(|| supported(sys::sendfile(fd, file, len))),
            |sent| moved(sent.unwrap_or(0)),
        )?;
        match sent {
            None | Some(0) => return Ok(Progress::Unsupported),
            Some(n) => count.add(n),
        }
    }
}

/// The effect of a call that moved so much. Whether it has drained the socket is not known: the other
/// end may have been the one that set the limit.
fn moved(bytes: usize) -> Moved {
    Moved {
        bytes,
        drained: false,
    }
}

/// `None` where the system says that it can't do this.
fn supported(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if sys::is_unsupported(&error) => Ok(None),
        result => result.map(Some),
    }
}

fn by_hand(from: End<'_>, to: End<'_>, count: &mut Count) -> io::Result<()> {
    loop {
        let len = count.next(BUFFER);
        if len == 0 {
            return Ok(());
        }
        let buffer = read(from, len)?;
        if buffer.is_empty() {
            return Ok(());
        }
        match to {
            End::Stream(to, kind) => {
                let turn = to.turn_for(Way::Write)?;
                write_all(&turn, kind, &buffer, count)?;
                drop(turn);
                checkpoint();
            }
            End::File(mut file) => {
                corio::blocking(|| file.write_all(&buffer))?;
                count.add(buffer.len());
            }
        }
    }
}

fn read(from: End<'_>, len: usize) -> io::Result<Buffer<'static>> {
    BUFFERS.read_by(|late| match from {
        End::Stream(from, kind) => from.io(
            Way::Read,
            WaitReason::NetRead,
            |fd| late.fill(|buf| kind.receive(fd, &mut buf[..len])),
            |&n| moved(n),
        ),
        End::File(mut file) => loop {
            match late.fill(|buf| corio::blocking(|| file.read(&mut buf[..len]))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        },
    })
}

fn write_all(turn: &Turn<'_>, kind: Kind, mut bytes: &[u8], count: &mut Count) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = turn.io(
            WaitReason::NetWrite,
            &mut turn.patience(),
            |fd| kind.send(fd, bytes),
            |&n| moved(n),
        )?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        count.add(n);
        bytes = &bytes[n..];
    }
    Ok(())
}

pub(crate) mod sealed {
    #[allow(unreachable_pub, reason = "a supertrait of public traits")]
    pub trait Sealed {}
}

/// What [`copy`] can copy from: streams, pipes and files. It can't be implemented elsewhere.
pub trait CopyFrom: sealed::Sealed {
    #[doc(hidden)]
    fn source(&self) -> End<'_>;
}

/// What [`copy`] can copy to: streams, pipes and files. It can't be implemented elsewhere.
pub trait CopyTo: sealed::Sealed {
    #[doc(hidden)]
    fn destination(&self) -> End<'_>;
}

/// The traits of a type, made of its [`End`].
macro_rules! ends {
    ($($type:ty: $($trait:ident::$method:ident)+, $end:expr;)*) => {
        $(
            impl sealed::Sealed for $type {}

            $(
                impl $trait for $type {
                    fn $method(&self) -> End<'_> {
                        let end: fn(&$type) -> End<'_> = $end;
                        end(self)
                    }
                }
            )+
        )*
    };
}

ends! {
    TcpStream: CopyFrom::source CopyTo::destination, |end| End::Stream(end.socket(), Kind::Socket);
    UnixStream: CopyFrom::source CopyTo::destination, |end| End::Stream(end.socket(), Kind::Socket);
    PipeReader: CopyFrom::source, |end| End::Stream(end.socket(), Kind::Pipe);
    PipeWriter: CopyTo::destination, |end| End::Stream(end.socket(), Kind::Pipe);
    File: CopyFrom::source CopyTo::destination, |end| End::File(end);
}

/// The traits for what leads to a type that has them.
macro_rules! forwarded {
    ($($type:ty),*) => {
        $(
            impl<E: sealed::Sealed + ?Sized> sealed::Sealed for $type {}

            impl<E: CopyFrom + ?Sized> CopyFrom for $type {
                fn source(&self) -> End<'_> {
                    (**self).source()
                }
            }

            impl<E: CopyTo + ?Sized> CopyTo for $type {
                fn destination(&self) -> End<'_> {
                    (**self).destination()
                }
            }

            impl<E: Duplex + ?Sized> Duplex for $type {
                fn stream(&self) -> &Socket {
                    (**self).stream()
                }
            }
        )*
    };
}

forwarded!(&E, &mut E, Box<E>, Arc<E>);
