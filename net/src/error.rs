//! The one error of this crate's own: a socket was closed under an operation.

use std::error::Error;
use std::fmt;
use std::io;

/// Inside of the `io::Error` that an operation on a closed socket returns.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("use of closed network connection")
    }
}

impl Error for Closed {}

/// The error of operations on a socket closed by `close`.
#[cold]
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

/// The error of operations that ran out of time, by a timeout or by a deadline.
#[cold]
pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Was the operation ended, or refused, because the socket was closed by its `close` method?
///
/// Such errors have [`ErrorKind::NotConnected`](io::ErrorKind::NotConnected), which other errors have
/// too; this function tells them apart. It is Go's `errors.Is(err, net.ErrClosed)`.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = corio_net::TcpListener::bind("127.0.0.1:0")?;
/// listener.close()?;
/// let error = listener.accept().unwrap_err();
/// assert!(corio_net::is_closed(&error));
/// assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
/// assert_eq!(error.to_string(), "use of closed network connection");
/// # Ok(())
/// # }
/// ```
pub fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_error_counts_as_closed() {
        assert!(is_closed(&closed()));
        assert!(!is_closed(&io::ErrorKind::NotConnected.into()));
        assert!(!is_closed(&io::Error::other(
            "use of closed network connection"
        )));
        assert!(!is_closed(&timed_out()));
    }
}
