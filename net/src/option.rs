//! Socket options beyond those of std, by [socket2].
//!
//! A method for each that a server needs; for the rest there is
//! `socket2::SockRef::from(&stream)`. Setting an option never waits and takes no turn.
//!
//! Durations are in the system's units, rounded up: rounded down they could become zero, which for the
//! system means something else.
//!
//! Options that have to be set before a socket is bound have no setter here: by then a socket of
//! ours is in use. They are settings of [`ListenConfig`](crate::ListenConfig) and of the networks (`tcp6`).
//!
//! The macros give methods to several types, as those of [`shared`](crate::shared).

use crate::socket::Socket;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;

/// When a connection on which nothing happens is probed, and given up: Go's `KeepAliveConfig`.
///
/// After [`idle`](Self::idle) without a packet from the peer, it is probed every
/// [`interval`](Self::interval); after [`count`](Self::count) probes without an answer the connection
/// is broken, and calls on it fail with [`TimedOut`](io::ErrorKind::TimedOut). The system counts in
/// seconds: fractions are rounded up.
///
/// ```
/// use corio_net::{KeepAlive, TcpListener, TcpStream};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// assert_eq!(stream.keepalive()?, None);
/// let keepalive = KeepAlive {
///     idle: Duration::from_secs(60),
///     ..KeepAlive::default()
/// };
/// stream.set_keepalive(Some(keepalive))?;
/// assert_eq!(stream.keepalive()?, Some(keepalive));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// How long nothing has to happen before the first probe. On Linux at most 32,767 s.
    pub idle: Duration,
    /// From one probe to the next. On Linux at most 32,767 s.
    pub interval: Duration,
    /// Probes without an answer until the connection is given up. On Linux at most 127.
    pub count: u32,
}

impl Default for KeepAlive {
    /// Go's: 15 s, 15 s, 9 probes.
    fn default() -> Self {
        KeepAlive {
            idle: Duration::from_secs(15),
            interval: Duration::from_secs(15),
            count: 9,
        }
    }
}

/// Linux's `MAX_TCP_KEEPIDLE`, and `MAX_TCP_KEEPINTVL`, which is the same.
const MAX_SECONDS: u64 = 32_767;
/// Linux's `MAX_TCP_KEEPCNT`.
const MAX_PROBES: u64 = 127;

/// Sets or ends the probing of a TCP connection, or of those that a listener will accept.
pub(crate) fn set_keepalive(
    socket: &socket2::Socket,
    keepalive: Option<KeepAlive>,
) -> io::Result<()> {
    let Some(keepalive) = keepalive else {
        return socket.set_keepalive(false);
    };
    // The system would refuse it too, after it has turned probing on, and without a word about which.
    let KeepAlive {
        idle,
        interval,
        count,
    } = keepalive;
    for (name, given, most) in [
        ("idle", seconds(idle).as_secs(), MAX_SECONDS),
        ("interval", seconds(interval).as_secs(), MAX_SECONDS),
        ("count", u64::from(count), MAX_PROBES),
    ] {
        if given == 0 || given > most {
            let unit = if name == "count" { "" } else { " s" };
            let problem =
                format!("keepalive: {name} is {given}{unit}, and has to be 1 to {most}{unit}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
    }
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(seconds(keepalive.idle))
            .with_interval(seconds(keepalive.interval))
            .with_retries(keepalive.count),
    )
}

/// What [`set_keepalive`] has set.
pub(crate) fn keepalive(socket: &socket2::Socket) -> io::Result<Option<KeepAlive>> {
    if !socket.keepalive()? {
        return Ok(None);
    }
    Ok(Some(KeepAlive {
        idle: socket.tcp_keepalive_time()?,
        interval: socket.tcp_keepalive_interval()?,
        count: socket.tcp_keepalive_retries()?,
    }))
}

/// Sets `SO_LINGER`. It is in seconds, and an `int`.
pub(crate) fn set_linger(socket: &socket2::Socket, linger: Option<Duration>) -> io::Result<()> {
    let most = Duration::from_secs(i32::MAX as u64);
    socket.set_linger(linger.map(|linger| seconds(linger).min(most)))
}

/// Sets `TCP_USER_TIMEOUT`.
pub(crate) fn set_user_timeout(
    socket: &socket2::Socket,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let timeout = match timeout {
        Some(Duration::ZERO) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        Some(timeout) => {
            let millis = timeout.as_nanos().div_ceil(1_000_000);
            // What the system can hold: an `int`.
            Some(Duration::from_millis(millis.min(i32::MAX as u128) as u64))
        }
        None => None,
    };
    socket.set_tcp_user_timeout(timeout)
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> Duration {
    let fraction = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(duration.as_secs().saturating_add(fraction))
}

/// Runs a call for an option.
pub(crate) fn option<T>(
    socket: &Socket,
    call: impl FnOnce(&socket2::Socket) -> io::Result<T>,
) -> io::Result<T> {
    socket.control(|fd| call(&SockRef::from(&fd)))
}

/// `set_send_buffer_size` and so on.
macro_rules! buffer_sizes {
    () => {
        /// Sets how many bytes the system keeps that were written and not yet taken by the peer.
        ///
        /// The system may take another number: Linux doubles it, for its own needs, and caps it at
        /// twice `net.core.wmem_max`. For TCP this ends its own tuning of the size.
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.set_send_buffer_size(bytes))
        }

        /// The size that the system uses: see [`set_send_buffer_size`](Self::set_send_buffer_size).
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn send_buffer_size(&self) -> std::io::Result<usize> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.send_buffer_size())
        }

        /// Sets how many bytes the system keeps that came and were not yet read.
        ///
        /// The system may take another number: Linux doubles it, for its own needs, and caps it at
        /// twice `net.core.rmem_max`. For TCP this ends its own tuning of the size; set on a listener, it
        /// also bounds the window of the connections that it will accept.
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.set_recv_buffer_size(bytes))
        }

        /// The size that the system uses: see [`set_recv_buffer_size`](Self::set_recv_buffer_size).
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.recv_buffer_size())
        }
    };
}

/// `set_ttl` and `ttl`.
macro_rules! time_to_live {
    () => {
        /// Sets the time to live of packets that are sent.
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.set_ttl_v4(ttl))
        }

        /// See [`set_ttl`](Self::set_ttl).
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn ttl(&self) -> std::io::Result<u32> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.ttl_v4())
        }
    };
}

/// `reuse_address` and `reuse_port`.
macro_rules! reuse {
    () => {
        /// Was it bound with `SO_REUSEADDR`: although closed connections linger on its address?
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn reuse_address(&self) -> std::io::Result<bool> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.reuse_address())
        }

        /// Was it bound with `SO_REUSEPORT`: to share its port with other sockets?
        ///
        /// # Errors
        ///
        /// The system's, or closed.
        pub fn reuse_port(&self) -> std::io::Result<bool> {
            let socket = $crate::shared::HasSocket::socket(self);
            $crate::option::option(socket, |socket| socket.reuse_port())
        }
    };
}

pub(crate) use {buffer_sizes, reuse, time_to_live};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        for (from, to) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(
                seconds(Duration::from_millis(from)),
                Duration::from_secs(to)
            );
        }
        assert_eq!(seconds(Duration::MAX), Duration::from_secs(u64::MAX));
    }
}
