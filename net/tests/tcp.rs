//! TCP streams and listeners behave like std's.

mod common;

use common::*;
use corio_net::{TcpListener, TcpStream, is_closed};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

#[test]
fn many_connections_echo() {
    everywhere(|| {
        let listener = Arc::new(listen());
        let addr = listener.local_addr().unwrap();
        let server = corio::spawn({
            let listener = Arc::clone(&listener);
            move || {
                for stream in listener.incoming() {
                    corio::spawn(move || echo(stream.unwrap()));
                }
            }
        });
        let clients: Vec<_> = (0..50_u8)
            .map(|number| {
                corio::spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    for length in 1..200_usize {
                        let request = vec![number ^ length as u8; length * 7];
                        stream.write_all(&request).unwrap();
                        let mut reply = vec![0; request.len()];
                        stream.read_exact(&mut reply).unwrap();
                        assert_eq!(request, reply);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        listener.close().unwrap();
        server.join().unwrap();
    });
}

#[test]
fn more_than_the_buffers_hold_passes_in_both_directions() {
    everywhere(|| {
        const LEN: usize = 8 << 20;
        let byte = |at: usize| (at.wrapping_mul(31) >> 3) as u8;
        let (a, b) = pair();
        let (a, b) = (Arc::new(a), Arc::new(b));
        let mut all = Vec::new();
        for (from, to) in [(&a, &b), (&b, &a)] {
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            all.push(corio::spawn(move || {
                let bytes: Vec<u8> = (0..LEN).map(byte).collect();
                for piece in bytes.chunks(100_003) {
                    (&mut &*from).write_all(piece).unwrap();
                }
                from.shutdown(Shutdown::Write).unwrap();
            }));
            all.push(corio::spawn(move || {
                let (mut at, mut buffer) = (0, vec![0; 70_001]);
                loop {
                    let n = (&mut &*to).read(&mut buffer).unwrap();
                    if n == 0 {
                        break;
                    }
                    assert!(buffer[..n].iter().zip(at..).all(|(&b, i)| b == byte(i)));
                    at += n;
                }
                assert_eq!(at, LEN);
            }));
        }
        for one in all {
            one.join().unwrap();
        }
    });
}

#[test]
fn the_end_is_seen_with_and_after_the_last_bytes() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        let mut buffer = [0; 64];
        // The bytes and the end arrive together, and the read that takes the bytes is short.
        client.write_all(b"last").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut buffer).unwrap(), 4);
        assert_eq!(server.read(&mut buffer).unwrap(), 0);
        assert_eq!(server.read(&mut buffer).unwrap(), 0);
        // Half closed: the other direction works.
        server.write_all(b"reply").unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "reply");
    });
}

#[test]
fn shutting_reading_down_ends_a_read_under_way() {
    everywhere(|| {
        let (mut client, server) = pair();
        let server = Arc::new(server);
        let (tell, told) = std::sync::mpsc::channel();
        let reader = corio::spawn({
            let server = Arc::clone(&server);
            move || {
                let mut buffer = [0; 8];
                assert_eq!((&mut &*server).read(&mut buffer).unwrap(), 4);
                tell.send(()).unwrap();
                (&mut &*server).read(&mut buffer).unwrap()
            }
        });
        client.write_all(b"some").unwrap();
        corio::blocking(|| told.recv()).unwrap();
        server.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn urgent_data_does_not_stall_the_stream() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        for _ in 0..100 {
            client.write_all(b"before").unwrap();
            // SAFETY: the kernel reads one byte, which is there.
            let sent =
                unsafe { libc::send(client.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
            assert_eq!(sent, 1);
            client.write_all(b"after").unwrap();
            let mut got = [0; 11];
            server.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"beforeafter");
        }
    });
}

#[test]
fn peeked_bytes_are_read_again() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        let mut buffer = [0; 64];
        while server.peek(&mut buffer).unwrap() < 5 {}
        assert_eq!(server.peek(&mut buffer).unwrap(), 5);
        assert_eq!(server.read(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        client.write_all(b"again").unwrap();
        assert!(server.peek(&mut buffer).unwrap() > 0);
        server.read_exact(&mut buffer[..5]).unwrap();
        assert_eq!(&buffer[..5], b"again");
    });
}

#[test]
fn vectored_calls_pass_all_slices() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        let parts = [
            IoSlice::new(b"one "),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(client.write_vectored(&parts).unwrap(), 7);
        let (mut first, mut second) = ([0; 3], [0; 10]);
        let mut got = 0;
        while got < 7 {
            let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
            let n = server.read_vectored(&mut bufs).unwrap();
            got += n;
        }
        assert_eq!((&first, &second[..4]), (b"one", &b" two"[..]));
        // More slices than the system takes at once are cut, as by std.
        let many: Vec<_> = (0..3000).map(|_| IoSlice::new(b"x")).collect();
        let n = client.write_vectored(&many).unwrap();
        assert!((1..=1024).contains(&n));
        skip(&server, n);
    });
}

#[test]
fn empty_buffers_return_at_once() {
    everywhere(|| {
        let (mut client, _server) = pair();
        assert_eq!(client.read(&mut []).unwrap(), 0);
        assert_eq!(client.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(client.peek(&mut []).unwrap(), 0);
        assert_eq!(client.write(&[]).unwrap(), 0);
        assert_eq!(client.write_vectored(&[]).unwrap(), 0);
        client.write_all(&[]).unwrap();
        write!(client, "").unwrap();
    });
}

#[test]
fn write_formats_and_flushes() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        write!(client, "plain").unwrap();
        write!(&mut &client, " text {:>3}", 7).unwrap();
        client.flush().unwrap();
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "plain text   7");
    });
}

#[test]
fn a_closed_peer_is_a_broken_pipe_and_a_reset_is_reported() {
    everywhere(|| {
        // SAFETY: the default action would end the test process, which is what must not happen.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (mut client, server) = pair();
        server.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(server);
        let error = client.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(!is_closed(&error));
        let error = client.write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let many = [IoSlice::new(b"x"), IoSlice::new(b"y")];
        let error = client.write_vectored(&many).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn connecting_to_nobody_is_refused() {
    everywhere(|| {
        let addr = listen().local_addr().unwrap();
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_timeout(&addr, LONG).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // One of several addresses is enough.
        let listener = listen();
        let addrs = [addr, listener.local_addr().unwrap()];
        let stream = TcpStream::connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[1]);
    });
}

#[test]
fn connecting_gives_up_in_time() {
    everywhere(|| {
        // A full backlog: the kernel drops further attempts, which then go on trying.
        let full =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        full.listen(0).unwrap();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        let mut connected = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&addr, SHORT) {
                Ok(stream) => connected.push(stream),
                Err(error) => break error,
            }
            assert!(connected.len() < 10);
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let zero = TcpStream::connect_timeout(&addr, std::time::Duration::ZERO);
        assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_port_in_use_is_reported_and_a_free_one_is_reusable() {
    everywhere(|| {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let error = TcpListener::bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // A connection that the server has closed first lingers on its port.
        let client = TcpStream::connect(addr).unwrap();
        drop(listener.accept().unwrap());
        drop((client, listener));
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn names_that_do_not_resolve_are_errors() {
    everywhere(|| {
        // Too long for a label of a name, so that no resolver need be asked.
        let name = format!("{}:80", "x".repeat(64));
        assert!(TcpStream::connect(&*name).is_err());
        assert!(TcpListener::bind(&*name).is_err());
        let error = TcpStream::connect("no port").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn ipv6_works() {
    everywhere(|| {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return; // not on this machine
        };
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    });
}

#[test]
fn options_are_the_systems() {
    everywhere(|| {
        let (client, _server) = pair();
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_ttl(33).unwrap();
        assert_eq!(client.ttl().unwrap(), 33);
        assert_eq!(client.linger().unwrap(), None);
        let second = std::time::Duration::from_secs(1);
        client.set_linger(Some(second)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(second));
        client.set_linger(None).unwrap();
        assert!(client.take_error().unwrap().is_none());
        let listener = listen();
        listener.set_ttl(34).unwrap();
        assert_eq!(listener.ttl().unwrap(), 34);
        assert!(listener.take_error().unwrap().is_none());
        let text = format!("{client:?} {listener:?}");
        assert!(text.contains("peer: 127.0.0.1") && text.contains("TcpListener { addr"));
    });
}

#[test]
fn nonblocking_calls_do_not_wait() {
    everywhere(|| {
        let listener = listen();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let (mut client, mut server) = pair();
        server.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let error = server.read(&mut buffer).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            client.write_all(b"x").unwrap();
            while server.read(&mut buffer).is_err() {}
        }
        server.set_nonblocking(false).unwrap();
        client.write_all(b"y").unwrap();
        assert_eq!(server.read(&mut buffer).unwrap(), 1);
    });
}

#[test]
fn sockets_pass_to_std_and_back() {
    everywhere(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::try_from(listener).unwrap();
        let client = corio::spawn(move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            stream.write_all(b"from std").unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream
        });
        let (server, _) = listener.accept().unwrap();
        let clone = server.try_clone().unwrap();
        assert_eq!(
            server.into_std().unwrap_err().kind(),
            ErrorKind::ResourceBusy
        );
        let mut server = clone.into_std().unwrap();
        let mut text = [0; 8];
        server.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"from std");
        let mut client = TcpStream::try_from(client.join().unwrap()).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(LONG));
        server.write_all(b"back").unwrap();
        client.read_exact(&mut text[..4]).unwrap();
        // What std made non-blocking stays so.
        server.set_nonblocking(true).unwrap();
        let mut server = TcpStream::try_from(server).unwrap();
        assert_eq!(
            server.read(&mut text).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let listener = listener.into_std().unwrap();
        let client = TcpStream::connect(addr).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn handles_are_send_sync_and_unwind_safe() {
    fn assert<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    assert::<TcpStream>();
    assert::<TcpListener>();
    assert::<corio_net::Incoming<'_>>();
}
