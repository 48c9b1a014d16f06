//! What the socket tests share.

// Each test binary uses its part of this.
#![allow(dead_code)]

use corio_net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Long enough to be noticed.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// Runs a test on a plain thread, which the calls block, and on a goroutine, which they park.
pub(crate) fn everywhere(test: fn()) {
    std::thread::spawn(test).join().unwrap();
    corio::spawn(test).join().unwrap();
}

/// A listener on a free port.
pub(crate) fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Both ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = listen();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// Asserts that a call ran out of time.
pub(crate) fn assert_timed_out<T: std::fmt::Debug>(result: std::io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
}

/// Asserts that a call found the socket closed.
pub(crate) fn assert_closed<T: std::fmt::Debug>(result: std::io::Result<T>) {
    let error = result.unwrap_err();
    assert!(corio_net::is_closed(&error), "{error:?}");
}

/// Writes until there is no more room; the stream is left blocking.
pub(crate) fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    loop {
        match (&mut &*stream).write(&[7; 65536]) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// Reads exactly so many bytes and forgets them.
pub(crate) fn skip(mut stream: &TcpStream, mut len: usize) {
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

/// A time that has passed.
pub(crate) fn past() -> Option<Instant> {
    Some(Instant::now())
}
