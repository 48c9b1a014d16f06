//! What the sockets of this process have done so far: [`metrics`].
//!
//! Counting must cost a request nothing: no read-modify-write, no cache line that it doesn't have
//! anyway. So bytes are counted in the [`Direction`](crate::direction) that moved them, by the holder
//! of its turn, with a plain load and store. A direction goes on counting when its source is given to
//! the next socket; so whoever wants the sum adds up all sources, in use or free.
//!
//! **The figures never go backwards.** A source is never freed, each direction's count only grows, and
//! somebody who asks twice reads each of them twice, in this order. The same holds for the others,
//! which are counters that only grow. (Only `open` goes both ways. It is the difference of two counters
//! that are read together, under the arena's lock.) Different figures are read one after the other, so
//! they need not fit together: a byte may be counted as read before it is counted as written.
//!
//! Rejected: resetting a direction's count when its socket is dropped, and adding it to a total. A sum
//! that is taken meanwhile counts those bytes twice or not at all, unless it holds a lock which
//! dropping a socket needs.
//!
//! What happens once per connection at most is counted in global counters. Opening and dropping are
//! counted by the [`arena`](crate::arena), which has a lock for them already.
//!
//! Next in the reading order: `reactor`, which brings the events.

use crate::arena::ARENA;
use crate::prim::atomic::{AtomicU64, Ordering};
use crate::{error, is_closed};
use std::fmt;
use std::io::{self, ErrorKind};

/// What the sockets of this process have done so far; made by [`metrics`].
///
/// All but `open` are totals since the process was started, and never shrink. Sockets are those of
/// this crate; other descriptors that goroutines wait on through it, such as pipes, count as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Sockets there are now. One closed by its `close` method is counted until its last handle is
    /// dropped, since it keeps its descriptor.
    pub open: u64,
    /// Sockets made: listeners, accepted connections, attempts to connect, and others.
    pub opened: u64,
    /// Connections accepted.
    pub accepts: u64,
    /// Accepting failed, for instance for want of descriptors. Timeouts and closing the listener
    /// are no failures.
    pub accept_errors: u64,
    /// Connections made to others.
    pub connects: u64,
    /// Attempts to connect that failed or took too long. A name with several addresses may take
    /// several.
    pub connect_errors: u64,
    /// Bytes that were read, or received. Peeking counts nothing.
    pub bytes_read: u64,
    /// Bytes that were written, or sent.
    pub bytes_written: u64,
    /// Operations that a timeout or a deadline has ended.
    pub timeouts: u64,
    /// Panics of handlers and hooks of a [`Server`](crate::Server).
    pub panics: u64,
}

static ACCEPTS: AtomicU64 = AtomicU64::new(0);
static ACCEPT_ERRORS: AtomicU64 = AtomicU64::new(0);
static CONNECTS: AtomicU64 = AtomicU64::new(0);
static CONNECT_ERRORS: AtomicU64 = AtomicU64::new(0);
static TIMEOUTS: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// What the sockets of this process have done so far.
///
/// It looks at the memory of every socket there is, or was when there were most: with 10,000 of them
/// it takes some hundred microseconds. It takes no locks that reading and writing need, and never
/// blocks.
///
/// ```
/// use corio_net::{TcpListener, TcpStream, metrics};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let before = metrics();
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
/// client.write_all(b"hello")?;
/// server.read_exact(&mut [0; 5])?;
///
/// let after = metrics();
/// assert_eq!(after.accepts, before.accepts + 1);
/// assert_eq!(after.bytes_read, before.bytes_read + 5);
/// assert_eq!(after.open, before.open + 3);
/// println!("{after}");
/// # Ok(())
/// # }
/// ```
pub fn metrics() -> Metrics {
    let tally = ARENA.tally();
    let (mut bytes_read, mut bytes_written) = (0u64, 0u64);
    for source in ARENA.iter() {
        bytes_read = bytes_read.wrapping_add(source.read.bytes());
        bytes_written = bytes_written.wrapping_add(source.write.bytes());
    }
    Metrics {
        open: tally.taken - tally.returned,
        opened: tally.taken,
        accepts: ACCEPTS.load(Ordering::Relaxed),
        accept_errors: ACCEPT_ERRORS.load(Ordering::Relaxed),
        connects: CONNECTS.load(Ordering::Relaxed),
        connect_errors: CONNECT_ERRORS.load(Ordering::Relaxed),
        bytes_read,
        bytes_written,
        timeouts: TIMEOUTS.load(Ordering::Relaxed),
        panics: PANICS.load(Ordering::Relaxed),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts what became of an `accept`, and passes it on.
pub(crate) fn accepted<T>(result: io::Result<T>) -> io::Result<T> {
    match &result {
        Ok(_) => count(&ACCEPTS),
        Err(error) if error.kind() == ErrorKind::TimedOut => {}
        Err(error) if is_failure(error) => count(&ACCEPT_ERRORS),
        Err(_) => {}
    }
    result
}

/// Counts what became of an attempt to connect, and passes it on.
pub(crate) fn connected<T>(result: io::Result<T>) -> io::Result<T> {
    match &result {
        Ok(_) => count(&CONNECTS),
        Err(error) if is_failure(error) => count(&CONNECT_ERRORS),
        Err(_) => {}
    }
    result
}

/// Not if the user wanted it to end.
fn is_failure(error: &io::Error) -> bool {
    !is_closed(error) && error.kind() != ErrorKind::WouldBlock
}

/// Counts an operation that ran out of time, and returns its error.
#[cold]
pub(crate) fn timed_out() -> io::Error {
    count(&TIMEOUTS);
    error::timed_out()
}

/// Counts a panic of a handler or hook.
pub(crate) fn panicked() {
    count(&PANICS);
}

/// A line for each of sockets, connections, bytes, and what went wrong.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sockets:  {} open, {} opened", self.open, self.opened)?;
        writeln!(
            f,
            "accepts:  {} ({} errors); connects: {} ({} errors)",
            self.accepts, self.accept_errors, self.connects, self.connect_errors,
        )?;
        writeln!(
            f,
            "bytes:    {} read, {} written",
            self.bytes_read, self.bytes_written
        )?;
        write!(f, "timeouts: {}; panics: {}", self.timeouts, self.panics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_wanted_is_no_failure() {
        assert!(!is_failure(&error::closed()));
        assert!(!is_failure(&ErrorKind::WouldBlock.into()));
        assert!(is_failure(&ErrorKind::NotConnected.into()));
        assert!(is_failure(&ErrorKind::ConnectionAborted.into()));
    }

    #[test]
    fn every_figure_is_printed() {
        let metrics = Metrics {
            open: 1001,
            opened: 1002,
            accepts: 1003,
            accept_errors: 1004,
            connects: 1005,
            connect_errors: 1006,
            bytes_read: 1007,
            bytes_written: 1008,
            timeouts: 1009,
            panics: 1010,
        };
        let text = metrics.to_string();
        for figure in 1001..=1010 {
            assert!(text.contains(&figure.to_string()), "{figure}: {text}");
        }
    }
}
