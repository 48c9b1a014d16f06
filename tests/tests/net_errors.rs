//! What goes wrong on a connection is reported as std reports it: on goroutines, on plain threads, and
//! across.

mod net_support;

use corio_net::{TcpListener, TcpStream, lookup_host};
use net_support::*;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn bind_to_a_port_in_use_fails_until_it_is_free() {
    everywhere(|cast| {
        let (listener, addr) = listen();
        cast.spawn(move || assert_kind(TcpListener::bind(addr), ErrorKind::AddrInUse))
            .join();
        assert_kind(std::net::TcpListener::bind(addr), ErrorKind::AddrInUse);
        // A blocked accept does not keep the port once the listener is closed.
        let clone = listener.try_clone().unwrap();
        let accept = cast.spawn(move || clone.accept());
        pause(2);
        listener.close().unwrap();
        drop(TcpListener::bind(addr).unwrap());
        assert_closed(accept.join());
        let theirs = std::net::TcpListener::bind(addr).unwrap();
        assert_kind(TcpListener::bind(addr), ErrorKind::AddrInUse);
        drop(theirs);
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn bind_to_an_address_of_another_machine_fails() {
    everywhere(|_| {
        // Reserved for documentation.
        assert_kind(
            TcpListener::bind("192.0.2.1:0"),
            ErrorKind::AddrNotAvailable,
        );
    });
}

#[test]
fn names_that_do_not_resolve_are_errors() {
    everywhere(|cast| {
        // Too long for a label of a name, so that no resolver need be asked.
        const NAME: &str = "a-label-of-more-than-sixty-three-characters-is-not-a-name-anywhere:80";
        let lookup = cast.spawn(|| lookup_host(NAME).map(|_| ()));
        let connect = cast.spawn(|| TcpStream::connect(NAME).map(|_| ()));
        let bind = cast.spawn(|| TcpListener::bind(NAME).map(|_| ()));
        for task in [lookup, connect, bind] {
            let error = task.join().unwrap_err();
            assert_ne!(error.kind(), ErrorKind::TimedOut, "{error}");
        }
        for name in ["localhost", "localhost:", "localhost:http", "", ":::"] {
            assert_kind(lookup_host(name).map(|_| ()), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn connect_to_nobody_is_refused() {
    everywhere(|cast| {
        let addr = listen().1;
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                cast.spawn(move || match number % 2 {
                    0 => TcpStream::connect(addr),
                    _ => TcpStream::connect_timeout(&addr, LONG),
                })
            })
            .collect();
        for task in tasks {
            assert_kind(task.join(), ErrorKind::ConnectionRefused);
        }
    });
}

/// An address at which connecting neither works nor fails, as long as the result lives.
fn black_hole() -> (SocketAddr, impl Drop) {
    struct Hole(
        socket2::Socket,
        #[expect(dead_code)] Vec<std::net::TcpStream>,
    );
    impl Drop for Hole {
        fn drop(&mut self) {
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let addr = full.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        fillers.push(stream);
        assert!(fillers.len() < 20);
    }
    (addr, Hole(full, fillers))
}

#[test]
fn connect_gives_up_when_its_time_is_up() {
    everywhere(|cast| {
        let (addr, _hole) = black_hole();
        let tasks: Vec<_> = (1..20)
            .map(|number| {
                cast.spawn(move || {
                    let start = std::time::Instant::now();
                    let timeout = Duration::from_micros(number * number * 100);
                    assert_timed_out(TcpStream::connect_timeout(&addr, timeout));
                    assert!(start.elapsed() >= timeout);
                })
            })
            .collect();
        for task in tasks {
            task.join();
        }
        assert_kind(
            TcpStream::connect_timeout(&addr, Duration::ZERO),
            ErrorKind::InvalidInput,
        );
    });
}

#[test]
fn connect_goes_on_until_somebody_listens() {
    everywhere(|cast| {
        let (addr, hole) = black_hole();
        let task = cast.spawn(move || TcpStream::connect(addr));
        pause(2);
        assert!(!task.is_finished());
        // Connecting is tried again after a second, and then there is nobody.
        drop(hole);
        let error = task.join().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
            ),
            "{error}"
        );
    });
}

#[test]
fn a_peer_that_closed_is_the_end_and_then_a_broken_pipe() {
    everywhere(|cast| {
        for round in 0..8 {
            let (client, server) = pair_with_std();
            let reader = cast.spawn(move || {
                assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
                assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
                client
            });
            pause(round);
            drop(server);
            let mut client = reader.join();
            // The first is answered by a reset.
            let error = loop {
                if let Err(error) = client.write(b"hello?") {
                    break error;
                }
            };
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "{error}"
            );
            assert_kind(client.write_all(b"hello?"), ErrorKind::BrokenPipe);
            let two = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
            assert_kind(client.write_vectored(&two), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn a_reset_ends_blocked_reads_and_writes() {
    everywhere(|cast| {
        for round in 0..8 {
            let (client, server) = pair_with_std();
            fill(&client);
            let (reader, writer) = (client.try_clone().unwrap(), client.try_clone().unwrap());
            let reader = cast.spawn(move || (&reader).read(&mut [0; 8]));
            let writer = cast.spawn(move || (&writer).write_all(&[7; 1 << 20]));
            pause(round);
            // It closes with bytes unread, which is a reset.
            drop(server);
            // Whoever comes first is told; afterwards reading is at its end and writing broken.
            let (read, write) = (reader.join(), writer.join());
            let kinds = (
                read.as_ref().map_err(std::io::Error::kind),
                write.unwrap_err().kind(),
            );
            assert!(
                matches!(
                    kinds,
                    (Err(ErrorKind::ConnectionReset), ErrorKind::BrokenPipe)
                        | (Ok(0), ErrorKind::ConnectionReset)
                        | (Err(ErrorKind::ConnectionReset), ErrorKind::ConnectionReset)
                ),
                "{kinds:?}"
            );
            assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
            assert_kind((&client).write(b"x"), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn a_peer_that_does_not_linger_resets() {
    everywhere(|cast| {
        for round in 0..8 {
            let (mut client, server) = pair();
            let reader = cast.spawn(move || {
                let mut buffer = [0; 8];
                // The first read empties the socket, the second waits without asking.
                assert_eq!(client.read(&mut buffer).unwrap(), 4);
                client.read(&mut buffer)
            });
            (&server).write_all(b"last").unwrap();
            pause(round);
            if round < 4 {
                // Else the bytes may be thrown away with the rest.
                corio_tests::wait_until("sent", || {
                    corio::yield_now();
                    unread(&server) == 0
                });
            }
            pause(2);
            server.set_linger(Some(Duration::ZERO)).unwrap();
            drop(server);
            assert_kind(reader.join(), ErrorKind::ConnectionReset);
        }
    });
}

/// Bytes that the peer's system has not acknowledged.
fn unread(stream: &TcpStream) -> libc::c_int {
    use std::os::fd::AsRawFd;
    let mut bytes = 0;
    // SAFETY: the kernel writes to a live integer.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
    assert_eq!(done, 0);
    bytes
}

#[test]
fn a_half_closed_peer_still_sends() {
    everywhere(|cast| {
        for round in 0..8 {
            let (mut client, mut server) = pair();
            let requests = cast.spawn(move || {
                let mut text = String::new();
                server.read_to_string(&mut text).unwrap();
                // Its read side is at its end, its write side is not.
                for piece in text.as_bytes().chunks(1000) {
                    pause(round);
                    server.write_all(piece).unwrap();
                }
                assert_eq!(server.read(&mut [0]).unwrap(), 0);
            });
            let text = "all work and no play ".repeat(300);
            client.write_all(text.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_kind(client.write(b"more"), ErrorKind::BrokenPipe);
            let mut echo = String::new();
            client.read_to_string(&mut echo).unwrap();
            assert_eq!(echo, text);
            requests.join();
        }
    });
}

#[test]
fn a_half_closed_own_side_ends_own_calls_only() {
    everywhere(|cast| {
        for round in 0..8 {
            let (client, mut server) = pair();
            fill(&client);
            let (reader, writer) = (client.try_clone().unwrap(), client.try_clone().unwrap());
            let reader = cast.spawn(move || (&reader).read(&mut [0; 8]));
            let writer = cast.spawn(move || (&writer).write_all(&[7; 1 << 20]));
            pause(round);
            client.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reader.join().unwrap(), 0);
            assert!(!writer.is_finished());
            client.shutdown(Shutdown::Write).unwrap();
            assert_kind(writer.join(), ErrorKind::BrokenPipe);
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).unwrap();
            assert!(rest.iter().all(|&byte| byte == 7));
        }
    });
}

#[test]
fn empty_buffers_neither_wait_nor_fail() {
    everywhere(|cast| {
        let (mut client, mut server) = pair();
        let nothing = |stream: &mut TcpStream| {
            assert_eq!(stream.read(&mut []).unwrap(), 0);
            assert_eq!(
                stream
                    .read_vectored(&mut [IoSliceMut::new(&mut [])])
                    .unwrap(),
                0
            );
            assert_eq!(stream.peek(&mut []).unwrap(), 0);
            stream.read_exact(&mut []).unwrap();
            assert_eq!(stream.write(&[]).unwrap(), 0);
            assert_eq!(stream.write_vectored(&[IoSlice::new(&[])]).unwrap(), 0);
            stream.write_all(&[]).unwrap();
        };
        nothing(&mut client);
        // While somebody else waits, and with bytes there, too.
        let reader = client.try_clone().unwrap();
        let reader = cast.spawn(move || (&reader).read(&mut [0; 8]).unwrap());
        pause(2);
        nothing(&mut client);
        server.write_all(b"some").unwrap();
        assert_eq!(reader.join(), 4);
        server.write_all(b"more").unwrap();
        nothing(&mut client);
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"more");
        drop(server);
        assert_eq!(client.read(&mut []).unwrap(), 0);
    });
}

#[test]
fn sockets_pass_to_std_and_back_in_the_middle_of_a_stream() {
    everywhere(|cast| {
        let (client, mut server) = pair_with_std();
        let echo = cast.spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                match server.read(&mut buffer).unwrap() {
                    0 => return,
                    n => server.write_all(&buffer[..n]).unwrap(),
                }
            }
        });
        let mut stream = client;
        for round in 0..20_u8 {
            let mut reply = [0; 100];
            stream.write_all(&[round; 100]).unwrap();
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, [round; 100]);
            let mut theirs = stream.into_std().unwrap();
            theirs.write_all(&[round; 50]).unwrap();
            theirs.read_exact(&mut reply[..50]).unwrap();
            // Bytes on their way do not get lost.
            theirs.write_all(&[round; 100]).unwrap();
            stream = theirs.try_into().unwrap();
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, [round; 100]);
        }
        drop(stream);
        echo.join();
    });
}

#[test]
fn a_process_without_descriptors_recovers_on_a_goroutine() {
    out_of_descriptors("goroutine");
}

#[test]
fn a_process_without_descriptors_recovers_on_a_plain_thread() {
    out_of_descriptors("thread");
}

fn out_of_descriptors(role: &str) {
    let mut server = Process::start(&["emfile", role], &[("CORIO_PROCS", "2")]);
    let port = server.number("port") as u16;
    let streams: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    for (mut stream, byte) in streams.into_iter().zip(0..) {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(&[byte]).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [byte]);
    }
    assert_eq!(server.number("done"), 0);
    server.end();
}

#[test]
fn a_process_without_descriptors_for_the_poller_recovers() {
    let mut server = Process::start(&["emfile_first"], &[("CORIO_PROCS", "2")]);
    assert_eq!(server.number("done"), 0);
    server.end();
}

/// What is true of TCP is assumed of whatever is taken over as such: multipath TCP, which is TCP to its users,
/// keeps to it, also where a short read or write is taken for an empty or full socket.
#[test]
fn multipath_tcp_is_taken_over() {
    use socket2::{Domain, Protocol, Socket, Type};
    let new = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    if let Err(error) = new() {
        eprintln!("skipped: the system has no multipath TCP: {error}");
        return;
    }
    everywhere(|cast| {
        let new = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap();
        let listener = new();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(1).unwrap();
        let client = new();
        client.connect(&listener.local_addr().unwrap()).unwrap();
        let listener = TcpListener::try_from(OwnedFd::from(listener)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut client = TcpStream::try_from(OwnedFd::from(client)).unwrap();

        let echo = cast.spawn(move || {
            let mut buffer = vec![0; 70_000];
            loop {
                match server.read(&mut buffer).unwrap() {
                    0 => return,
                    n => server.write_all(&buffer[..n]).unwrap(),
                }
            }
        });
        for len in (0..60).map(|n| 1 + n * n * 97 % 66_000) {
            let mut reply = vec![0; len];
            client.write_all(&vec![7; len]).unwrap();
            client.read_exact(&mut reply).unwrap();
        }
        let mut writing = client.try_clone().unwrap();
        let sending = cast.spawn(move || {
            writing.write_all(&vec![1; 3 << 20]).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back.len(), 3 << 20);
        sending.join();
        echo.join();
    });
}
