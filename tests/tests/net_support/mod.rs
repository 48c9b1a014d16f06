//! What the socket tests share.

// Each test binary uses its part of this.
#![allow(dead_code, unused_imports)]

mod cast;
mod crowd;
mod directory;
mod load;
mod networks;
mod process;
mod scenario;

pub(crate) use cast::{Cast, Task, everywhere, under_other_settings, undisturbed};
pub(crate) use crowd::Crowd;
pub(crate) use directory::Directory;
pub(crate) use load::{Load, Sample, Summary};
pub(crate) use networks::{
    BlackHole, abstract_name, any_addr, conns, has_ipv6, local, networks, unix_name,
};
pub(crate) use process::{Process, is_alone, run_alone};
pub(crate) use scenario::{scenario, under_all_settings};

use corio_net::{TcpListener, TcpStream, UdpSocket, is_closed};
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(50);
/// Long enough to be noticed.
pub(crate) const SHORT: Duration = Duration::from_millis(15);

/// A listener on a free port.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Both ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listen();
    let client = TcpStream::connect(addr).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A connection whose other end is std's.
pub(crate) fn pair_with_std() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A UDP socket on a free port of loopback.
pub(crate) fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two UDP sockets that are connected to each other.
pub(crate) fn connected() -> (UdpSocket, UdpSocket) {
    let ((a, a_addr), (b, b_addr)) = (bound(), bound());
    a.connect(b_addr).unwrap();
    b.connect(a_addr).unwrap();
    (a, b)
}

/// Asserts that a call failed in this way.
pub(crate) fn assert_kind<T: Debug>(result: io::Result<T>, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(!is_closed(&error));
}

/// Asserts that a call ran out of time.
pub(crate) fn assert_timed_out<T: Debug>(result: io::Result<T>) {
    assert_kind(result, ErrorKind::TimedOut);
}

/// Asserts that a call found the socket closed.
pub(crate) fn assert_closed<T: Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert!(is_closed(&error), "{error:?}");
}

/// Writes until there is no more room; returns how many bytes of value 7 that took.
pub(crate) fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // The peer's system may take some more for a while.
    let mut full = 0;
    while full < 3 {
        match (&mut &*stream).write(&[7; 65536]) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                full += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// Reads exactly so many bytes and forgets them.
pub(crate) fn skip(mut stream: impl Read, mut len: usize) {
    let mut buffer = [0; 65536];
    while len > 0 {
        let n = len.min(buffer.len());
        stream.read_exact(&mut buffer[..n]).unwrap();
        len -= n;
    }
}

/// The time from now on.
pub(crate) fn after(duration: Duration) -> Option<Instant> {
    Some(Instant::now() + duration)
}

/// Lets the goroutine that is being waited for get to its wait. Whether it got there makes no
/// difference to what must happen; it decides which way is taken.
pub(crate) fn pause(round: usize) {
    match round % 4 {
        0 => {}
        1 => corio::yield_now(),
        2 => corio::sleep(Duration::from_micros(200)),
        _ => std::thread::sleep(Duration::from_millis(2)),
    }
}
