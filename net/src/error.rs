//! The errors of this crate's own: a socket, or a pool of connections, was closed under an operation; and what could not be
//! dialled, or listened on.

use std::error::Error;
use std::fmt;
use std::io;

/// Inside of the `io::Error` that an operation on something closed returns; the text says on what.
#[derive(Debug)]
struct Closed(&'static str);

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Closed {}

/// The error of operations on a socket closed by `close`.
#[cold]
pub(crate) fn closed() -> io::Error {
    let closed = Closed("use of closed network connection");
    io::Error::new(io::ErrorKind::NotConnected, closed)
}

/// The error of those who want a connection of a pool that was closed.
#[cold]
pub(crate) fn pool_closed() -> io::Error {
    let closed = Closed("the connection pool is closed");
    io::Error::new(io::ErrorKind::NotConnected, closed)
}

/// The error of operations that ran out of time, by a timeout or by a deadline.
#[cold]
pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// What could not be done, and why: inside of the `io::Error` that [`dial`](crate::dial),
/// [`listen`](crate::listen) and their relatives return.
///
/// Go's `net.OpError`. The `io::Error` has the [kind](io::Error::kind) of the [`error`](Self::error) in
/// this; what the system said is that one's [`raw_os_error`](io::Error::raw_os_error).
///
/// ```
/// use corio_net::OpError;
///
/// let error = corio_net::dial("tcp", "127.0.0.1:nowhere").unwrap_err();
/// let inner: &OpError = error.get_ref().unwrap().downcast_ref().unwrap();
/// assert_eq!(inner.op(), "dial");
/// assert_eq!(inner.network(), "tcp");
/// assert_eq!(inner.addr(), "127.0.0.1:nowhere");
/// assert_eq!(inner.error().kind(), error.kind());
/// ```
#[derive(Debug)]
pub struct OpError {
    op: &'static str,
    network: String,
    addr: String,
    error: io::Error,
}

impl OpError {
    /// The `io::Error` with this in it.
    #[cold]
    pub(crate) fn wrap(
        op: &'static str,
        network: &str,
        addr: impl fmt::Display,
        error: io::Error,
    ) -> io::Error {
        let kind = error.kind();
        let (network, addr) = (network.to_owned(), addr.to_string());
        let this = OpError {
            op,
            network,
            addr,
            error,
        };
        io::Error::new(kind, this)
    }

    /// What was to be done: `"dial"` or `"listen"`.
    pub fn op(&self) -> &str {
        self.op
    }

    /// On which network.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// With which address; of several that a name has, the one that this is about.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Why not.
    pub fn error(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpError { op, network, .. } = self;
        write!(f, "{op} {network}")?;
        if !self.addr.is_empty() {
            write!(f, " {}", self.addr)?;
        }
        write!(f, ": {}", self.error)
    }
}

impl Error for OpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Was the operation ended, or refused, because the socket was closed by its `close` method? Or the
/// [`ConnPool`](crate::ConnPool) by its?
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
    error.get_ref().is_some_and(|inner| {
        inner.is::<Closed>()
            || inner
                .downcast_ref::<OpError>()
                .is_some_and(|inner| is_closed(&inner.error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_error_counts_as_closed() {
        assert!(is_closed(&closed()));
        assert!(is_closed(&pool_closed()));
        assert!(!is_closed(&io::ErrorKind::NotConnected.into()));
        assert!(!is_closed(&io::Error::other(
            "use of closed network connection"
        )));
        assert!(!is_closed(&timed_out()));
        let wrapped = OpError::wrap("dial", "tcp", "x:1", closed());
        assert!(is_closed(&wrapped));
        assert_eq!(
            wrapped.to_string(),
            "dial tcp x:1: use of closed network connection"
        );
    }
}
