//! `metrics()`: what sockets did is counted, once, and the figures never go backwards.
//!
//! The figures are the process's, so the tests of this file run one after the other.

mod net_support;

use corio_net::{
    Connection, Metrics, Server, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream,
    metrics,
};
use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn with_other_settings() {
    let _alone = alone();
    under_other_settings("with_other_settings");
}

#[test]
fn a_connection_counts_at_both_ends() {
    let _alone = alone();
    everywhere(|cast| {
        let before = metrics();
        let (listener, addr) = listen();
        let server = cast.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            stream.write_all(b"bye").unwrap();
            text.len()
        });
        let mut client = TcpStream::connect(addr).unwrap();
        for part in [&b"a"[..], b"few", b"words"] {
            client.write_all(part).unwrap();
        }
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = [0; 3];
        assert_eq!(client.peek(&mut answer[..1]).unwrap(), 1);
        client.read_exact(&mut answer).unwrap();
        assert_eq!(server.join(), 9);

        let after = metrics();
        assert_eq!(after.opened, before.opened + 3);
        assert_eq!(after.open, before.open + 1, "the client's is left");
        assert_eq!(after.accepts, before.accepts + 1);
        assert_eq!(after.connects, before.connects + 1);
        assert_eq!(after.bytes_read, before.bytes_read + 12);
        assert_eq!(after.bytes_written, before.bytes_written + 12);
        assert_eq!(after.accept_errors, before.accept_errors);
        assert_eq!(after.connect_errors, before.connect_errors);
        assert_eq!(after.timeouts, before.timeouts);
        drop(client);
        assert_eq!(metrics().open, before.open);
    });
}

#[test]
fn a_socket_is_open_until_its_last_handle_is_dropped() {
    let _alone = alone();
    everywhere(|cast| {
        let before = metrics().open;
        let (client, server) = pair();
        let other = client.try_clone().unwrap();
        assert_eq!(metrics().open, before + 2);
        client.close().unwrap();
        drop(client);
        assert_eq!(metrics().open, before + 2);
        cast.spawn(move || drop(other)).join();
        assert_eq!(metrics().open, before + 1);
        let std = server.into_std().unwrap();
        assert_eq!(metrics().open, before);
        let back = TcpStream::try_from(std).unwrap();
        assert_eq!(metrics().open, before + 1);
        drop(back);
        assert_eq!(metrics().open, before);
    });
}

#[test]
fn timeouts_and_deadlines_count_as_timeouts_only() {
    let _alone = alone();
    everywhere(|_| {
        let before = metrics();
        let (listener, _) = listen();
        let (mut client, _server) = pair();
        let middle = metrics();
        client
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(client.read(&mut [0]).map(drop)), ErrorKind::TimedOut);
        client.set_write_deadline(Some(Instant::now())).unwrap();
        assert_eq!(kind(client.write_all(b"x")), ErrorKind::TimedOut);
        listener
            .set_deadline(Some(Instant::now() + Duration::from_millis(1)))
            .unwrap();
        assert_eq!(kind(listener.accept().map(drop)), ErrorKind::TimedOut);
        listener.set_nonblocking(true).unwrap();
        listener.set_deadline(None).unwrap();
        assert_eq!(kind(listener.accept().map(drop)), ErrorKind::WouldBlock);
        listener.close().unwrap();
        assert_closed(listener.accept());

        let after = metrics();
        assert_eq!(after.timeouts, middle.timeouts + 3);
        assert_eq!(after.accept_errors, before.accept_errors);
        assert_eq!(after.bytes_written, before.bytes_written);
    });
}

#[test]
fn failures_to_accept_and_connect_count() {
    let _alone = alone();
    everywhere(|_| {
        let (listener, addr) = listen();
        drop(listener);
        let before = metrics();
        assert_eq!(
            TcpStream::connect(addr).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let refused = metrics();
        assert_eq!(refused.connect_errors, before.connect_errors + 1);
        assert_eq!(refused.connects, before.connects);
        assert_eq!(refused.open, before.open);

        // One that doesn't listen.
        let kind = socket2::Type::STREAM;
        let deaf = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        let deaf = std::net::TcpListener::from(OwnedFd::from(deaf));
        let deaf = TcpListener::try_from(deaf).unwrap();
        assert_eq!(deaf.accept().unwrap_err().kind(), ErrorKind::InvalidInput);
        let after = metrics();
        assert_eq!(after.accept_errors, before.accept_errors + 1);
        assert_eq!(after.accepts, before.accepts);
    });
}

#[test]
fn all_kinds_of_sockets_count_their_bytes() {
    let _alone = alone();
    everywhere(|cast| {
        let moved = |f: &dyn Fn()| {
            let before = metrics();
            f();
            let after = metrics();
            assert_eq!(after.open, before.open);
            (
                after.bytes_read - before.bytes_read,
                after.bytes_written - before.bytes_written,
            )
        };
        let udp = || {
            let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
            let addr = b.local_addr().unwrap();
            a.send_to(b"", addr).unwrap();
            a.send_to(b"12345", addr).unwrap();
            a.connect(addr).unwrap();
            a.send(b"678").unwrap();
            let mut buf = [0; 8];
            assert_eq!(b.recv(&mut buf).unwrap(), 0);
            assert_eq!(b.peek_from(&mut buf).unwrap().0, 5);
            assert_eq!(b.recv_from(&mut buf).unwrap().0, 5);
            assert_eq!(b.recv(&mut buf).unwrap(), 3);
        };
        assert_eq!(moved(&udp), (8, 8));
        let unix = || {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            a.write_all(b"12345").unwrap();
            b.read_exact(&mut [0; 5]).unwrap();
            let (a, b) = UnixDatagram::pair().unwrap();
            a.send(b"67").unwrap();
            assert_eq!(b.recv(&mut [0; 8]).unwrap(), 2);
        };
        assert_eq!(moved(&unix), (7, 7));
        let pipe = || {
            let (mut reader, mut writer) = corio_net::pipe().unwrap();
            writer.write_all(b"1234").unwrap();
            reader.read_exact(&mut [0; 4]).unwrap();
        };
        assert_eq!(moved(&pipe), (4, 4));
        // Through two connections, moved on by the system.
        let copied = move || {
            let ((mut a, b), (c, mut d)) = (pair(), pair());
            let copier = cast.spawn(move || corio_net::copy(&b, &c).unwrap());
            a.write_all(&[1; 100_000]).unwrap();
            drop(a);
            assert_eq!(copier.join(), 100_000);
            let mut bytes = Vec::new();
            d.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), 100_000);
        };
        assert_eq!(moved(&copied), (200_000, 200_000));
    });
}

#[test]
fn panics_of_handlers_count() {
    let _alone = alone();
    everywhere(|_| {
        let before = metrics();
        let (listener, addr) = listen();
        let server = Server::new(|conn: &mut Connection| {
            conn.read_exact(&mut [0])?;
            panic!("in a handler");
        });
        let server = server.start([listener]).unwrap();
        for _ in 0..3 {
            let mut client = TcpStream::connect(addr).unwrap();
            client.write_all(b"x").unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        server.shutdown(LONG);
        let after = metrics();
        assert_eq!(after.panics, before.panics + 3);
        assert_eq!(after.accepts, before.accepts + 3);
    });
}

/// What only grows.
fn totals(metrics: &Metrics) -> [u64; 9] {
    [
        metrics.opened,
        metrics.accepts,
        metrics.accept_errors,
        metrics.connects,
        metrics.connect_errors,
        metrics.bytes_read,
        metrics.bytes_written,
        metrics.timeouts,
        metrics.panics,
    ]
}

#[test]
fn figures_never_go_backwards_and_lose_nothing() {
    const CLIENTS: u64 = 8;
    const CONNECTIONS: u64 = 50;
    const ROUNDS: u64 = 4;

    let _alone = alone();
    everywhere(|cast| {
        let before = metrics();
        let (listener, addr) = listen();
        let listener = Arc::new(listener);
        let server = {
            let listener = Arc::clone(&listener);
            cast.spawn(move || {
                let mut connections = Vec::new();
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    connections.push(corio::spawn(move || {
                        let mut byte = [0];
                        while stream.read(&mut byte).unwrap() == 1 {
                            stream.write_all(&byte).unwrap();
                        }
                    }));
                }
                for connection in connections {
                    connection.join().unwrap();
                }
            })
        };
        let done = Arc::new(AtomicBool::new(false));
        let observers: Vec<_> = (0..2)
            .map(|_| {
                let done = Arc::clone(&done);
                cast.spawn(move || {
                    let mut last = metrics();
                    while !done.load(Ordering::Relaxed) {
                        let next = metrics();
                        let pairs = totals(&last).into_iter().zip(totals(&next));
                        for (last, next) in pairs {
                            assert!(last <= next, "{last} then {next}");
                        }
                        assert!(next.open <= next.opened);
                        last = next;
                        corio::yield_now();
                    }
                })
            })
            .collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                cast.spawn(move || {
                    for _ in 0..CONNECTIONS {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        for _ in 0..ROUNDS {
                            stream.write_all(b"x").unwrap();
                            stream.read_exact(&mut [0]).unwrap();
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(Task::join);
        listener.close().unwrap();
        server.join();
        done.store(true, Ordering::Relaxed);
        observers.into_iter().for_each(Task::join);
        drop(listener);

        let after = metrics();
        let connections = CLIENTS * CONNECTIONS;
        assert_eq!(after.accepts, before.accepts + connections);
        assert_eq!(after.connects, before.connects + connections);
        assert_eq!(after.opened, before.opened + 2 * connections + 1);
        assert_eq!(after.open, before.open);
        let bytes = 2 * connections * ROUNDS;
        assert_eq!(after.bytes_read, before.bytes_read + bytes);
        assert_eq!(after.bytes_written, before.bytes_written + bytes);
    });
}

#[test]
fn concurrent_writers_of_one_stream_are_all_counted() {
    let _alone = alone();
    everywhere(|cast| {
        let (client, mut server) = pair();
        let before = metrics();
        let client = Arc::new(client);
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let client = Arc::clone(&client);
                cast.spawn(move || {
                    for _ in 0..500 {
                        (&*client).write_all(&[1; 100]).unwrap();
                    }
                })
            })
            .collect();
        let mut bytes = vec![0; 8 * 500 * 100];
        server.read_exact(&mut bytes).unwrap();
        writers.into_iter().for_each(Task::join);
        let after = metrics();
        assert_eq!(after.bytes_written, before.bytes_written + 400_000);
        assert_eq!(after.bytes_read, before.bytes_read + 400_000);
    });
}
