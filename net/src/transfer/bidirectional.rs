//! [`copy_bidirectional`]: what a proxy does.
//!
//! One direction is copied by the caller, the other by a goroutine in a scope, so that both borrow the
//! streams. The end of one direction is carried over by shutting down what it wrote to; the other goes
//! on. An error ends both: then both streams are shut down altogether, which wakes whoever waits in
//! them.
//!
//! Rejected for ending the other direction: closing (the streams are borrowed, and their deadlines and
//! options remain to be looked at); a deadline in the past (the user's own would have to be put back,
//! and may be set by somebody else meanwhile, which would wake nobody).

use super::{CopyFrom, CopyTo, Count, End, Kind, run};
use crate::shared::HasSocket;
use crate::socket::Socket;
use crate::tcp::TcpStream;
use crate::unix::UnixStream;
use parking_lot::Mutex;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use std::panic::resume_unwind;

/// What [`copy_bidirectional`] can copy between: streams whose directions can be shut down one by one.
/// It can't be implemented elsewhere.
pub trait Duplex: CopyFrom + CopyTo {
    #[doc(hidden)]
    fn stream(&self) -> &Socket;
}

impl Duplex for TcpStream {
    fn stream(&self) -> &Socket {
        self.socket()
    }
}

impl Duplex for UnixStream {
    fn stream(&self) -> &Socket {
        self.socket()
    }
}

/// Copies in both directions until both have come to their end, and returns how many bytes went from `a`
/// to `b`, and from `b` to `a`.
///
/// When one stream comes to its end, the other one's writing half is shut down, so that its peer sees
/// the end, too; the opposite direction goes on. Copying is as with [`copy`](crate::copy): by `splice`
/// where the system has it, without a buffer while waiting, and both streams' deadlines, timeouts and
/// `close` apply: a read timeout is how long one direction may be silent. An idle proxied connection costs two goroutines and no other memory.
///
/// Parks the goroutine, or blocks the plain thread; one direction runs in a goroutine of its own.
///
/// # Errors
///
/// The first error of either direction. After it both streams have been shut down in both directions, which is
/// what ends the other direction: what it had read and not yet written is lost. If the goroutine can't be
/// started, that is the error, and nothing has been done.
///
/// # Examples
///
/// A proxy:
///
/// ```no_run
/// use corio_net::{TcpListener, TcpStream, copy_bidirectional};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("0.0.0.0:8080")?;
/// for client in listener.incoming() {
///     let client = client?;
///     corio::spawn(move || {
///         let server = TcpStream::connect("10.0.0.1:80")?;
///         copy_bidirectional(&client, &server)
///     });
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Counterpart
///
/// tokio's function of this name, except that there an error leaves the streams as they are. In Go it is
/// two goroutines with `io.Copy` and `CloseWrite`.
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: Duplex + ?Sized,
    B: Duplex + ?Sized,
{
    let (a, b) = (a.stream(), b.stream());
    let pair = Pair {
        streams: [a, b],
        error: Mutex::new(None),
    };
    let counts = corio::scope(|scope| {
        let back = corio::Builder::new().spawn_scoped(scope, || pair.half(b, a))?;
        let there = pair.half(a, b);
        match back.join() {
            Ok(back) => Ok::<_, io::Error>((there, back)),
            Err(panic) => resume_unwind(panic),
        }
    })?;
    match pair.error.into_inner() {
        None => Ok(counts),
        Some(error) => Err(error),
    }
}

/// Both streams, and what went wrong first.
struct Pair<'a> {
    streams: [&'a Socket; 2],
    error: Mutex<Option<io::Error>>,
}

impl Pair<'_> {
    /// One direction, to its end; returns what was copied.
    fn half(&self, from: &Socket, to: &Socket) -> u64 {
        let end = |socket| End::Stream(socket, Kind::Socket);
        let mut count = Count::new(u64::MAX);
        let result =
            run(end(from), end(to), &mut count).and_then(|()| shutdown(to, Shutdown::Write));
        if let Err(error) = result {
            self.error.lock().get_or_insert(error);
            for stream in self.streams {
                // Whatever it says, there is nothing more to be done about it.
                let _ = shutdown(stream, Shutdown::Both);
            }
        }
        count.copied
    }
}

/// Shuts down, unless the connection is gone already.
fn shutdown(stream: &Socket, how: Shutdown) -> io::Result<()> {
    match stream.control(|fd| SockRef::from(&fd).shutdown(how)) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Ok(()),
        result => result,
    }
}
