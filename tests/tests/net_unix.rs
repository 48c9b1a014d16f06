//! Unix streams and listeners: ends, deadlines, close, a full queue. `net_unix_names` is about names.

mod net_support;

use corio_net::{UnixListener, UnixStream};
use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

/// Writes until there is no more room.
fn fill(stream: &UnixStream) {
    stream.set_nonblocking(true).unwrap();
    while (&*stream).write(&[7; 4096]).is_ok() {}
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn streams_carry_bytes_to_the_end() {
    everywhere(|cast| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = cast.spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            assert!(peer.is_unnamed());
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            write!(stream, "{text} back").unwrap();
            (stream, listener)
        });
        let mut client = UnixStream::connect(&path).unwrap();
        assert!(client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        client.write_all(b"there").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (server, _) = server.join();
        assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*path));
        assert!(server.peer_addr().unwrap().is_unnamed());
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there back");
        assert_kind(client.write(b"x"), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_half_closed_peer_still_reads() {
    everywhere(|cast| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let reader = cast.spawn(move || {
            let mut text = String::new();
            other.read_to_string(&mut text).unwrap();
            (text, other)
        });
        one.write_all(b"end").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert_kind(one.write(b"x"), ErrorKind::BrokenPipe);
        let (text, mut other) = reader.join();
        assert_eq!(text, "end");
        other.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        one.read_exact(&mut answer).unwrap();
        // The other half ends reads that wait already.
        let one = Arc::new(one);
        let reader = cast.spawn({
            let one = Arc::clone(&one);
            move || (&*one).read(&mut [0])
        });
        pause(2);
        one.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn close_ends_accept_read_and_write() {
    everywhere(|cast| {
        for round in 0..12 {
            let listener = Arc::new(UnixListener::bind_addr(&abstract_name()).unwrap());
            let (one, mut other) = UnixStream::pair().unwrap();
            let one = Arc::new(one);
            fill(&one);
            let tasks: Vec<_> = (0..10)
                .map(|number| {
                    let (listener, one) = (Arc::clone(&listener), Arc::clone(&one));
                    cast.spawn(move || match number % 5 {
                        0 => (&*one).read(&mut [0; 8]).map(drop),
                        1 => (&*one).write(b"x").map(drop),
                        2 => (&*one).write_all(&[0; 1000]),
                        3 => one.wait_readable(),
                        _ => listener.accept().map(drop),
                    })
                })
                .collect();
            pause(round);
            listener.close().unwrap();
            one.close().unwrap();
            for task in tasks {
                assert_closed(task.join());
            }
            assert_closed(listener.accept());
            assert_closed(one.peer_cred());
            assert!(listener.incoming().next().is_none());
            // The peer gets what was sent, and the end.
            let mut rest = Vec::new();
            other.read_to_end(&mut rest).unwrap();
            assert!(rest.iter().all(|&byte| byte == 7));
        }
    });
}

#[test]
fn deadlines_and_timeouts_end_what_waits() {
    everywhere(|cast| {
        let listener = Arc::new(UnixListener::bind_addr(&abstract_name()).unwrap());
        let (one, _other) = UnixStream::pair().unwrap();
        let one = Arc::new(one);
        fill(&one);
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let (listener, one) = (Arc::clone(&listener), Arc::clone(&one));
                cast.spawn(move || match number {
                    0 => (&*one).read(&mut [0; 8]).map(drop),
                    1 => (&*one).write_all(&[0; 1000]),
                    2 => one.wait_readable(),
                    _ => listener.accept().map(drop),
                })
            })
            .collect();
        pause(2);
        listener.set_deadline(after(SHORT)).unwrap();
        one.set_deadline(after(SHORT)).unwrap();
        for task in tasks {
            assert_timed_out(task.join());
        }
        one.set_deadline(None).unwrap();
        one.set_read_timeout(Some(SHORT)).unwrap();
        one.set_write_timeout(Some(SHORT)).unwrap();
        assert_timed_out((&*one).read(&mut [0]));
        assert_timed_out((&*one).write(&[0]));
        assert_timed_out(one.wait_writable());
        // They go on afterwards.
        listener.set_deadline(None).unwrap();
        let addr = listener.local_addr().unwrap();
        let client = cast.spawn(move || UnixStream::connect_addr(&addr).unwrap());
        listener.accept().unwrap();
        client.join();
    });
}

#[test]
fn concurrent_writers_do_not_mix() {
    everywhere(|cast| {
        const LEN: usize = 300_000;
        let (one, mut other) = UnixStream::pair().unwrap();
        let one = Arc::new(one);
        let writers: Vec<_> = (0..6)
            .map(|number| {
                let one = Arc::clone(&one);
                cast.spawn(move || (&*one).write_all(&vec![number; LEN]).unwrap())
            })
            .collect();
        drop(one);
        let mut seen = [false; 6];
        let mut block = vec![0; LEN];
        for _ in 0..6 {
            other.read_exact(&mut block).unwrap();
            assert!(block.iter().all(|&byte| byte == block[0]));
            assert!(!std::mem::replace(&mut seen[usize::from(block[0])], true));
        }
        for writer in writers {
            writer.join();
        }
        assert_eq!(other.read(&mut block).unwrap(), 0);
    });
}

/// Sends a byte together with a descriptor.
fn send_with_descriptor(stream: &UnixStream, byte: u8) {
    let mut byte = byte;
    let mut slice = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 8];
    let fd = stream.as_raw_fd();
    // SAFETY: all zero is a message without anything. Then it points to what lives as long as it does;
    // `control` is aligned and long enough for a header and a descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
        libc::sendmsg(fd, &message, 0)
    };
    assert_eq!(sent, 1, "{}", std::io::Error::last_os_error());
}

#[test]
fn reads_cut_short_by_passed_descriptors_lose_nothing() {
    everywhere(|cast| {
        let (one, mut other) = UnixStream::pair().unwrap();
        let reader = cast.spawn(move || {
            let (mut seen, mut buffer) = (Vec::new(), [0; 100]);
            loop {
                // Each returns less than the buffer could take, and there is more without an event.
                match other.read(&mut buffer).unwrap() {
                    0 => return seen,
                    n => seen.extend_from_slice(&buffer[..n]),
                }
            }
        });
        let mut sent = Vec::new();
        for number in 0..100 {
            send_with_descriptor(&one, number);
            (&one).write_all(&[number; 2]).unwrap();
            sent.extend([number; 3]);
        }
        drop(one);
        assert_eq!(reader.join(), sent);
    });
}

/// A listener with the shortest queue, and clients that fill it.
fn full_listener() -> (UnixListener, SocketAddr, Vec<UnixStream>) {
    let addr = abstract_name();
    let name = [b"\0", addr.as_abstract_name().unwrap()].concat();
    let name = String::from_utf8(name).unwrap();
    let name = socket2::SockAddr::unix(name).unwrap();
    let (domain, kind) = (socket2::Domain::UNIX, socket2::Type::STREAM);
    let socket = socket2::Socket::new(domain, kind, None).unwrap();
    socket.bind(&name).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::try_from(OwnedFd::from(socket)).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = socket2::Socket::new(domain, kind, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&name) {
            Ok(()) => clients.push(UnixStream::try_from(OwnedFd::from(client)).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener, addr, clients);
            }
        }
    }
}

#[test]
fn connect_waits_for_room_in_the_queue() {
    everywhere(|cast| {
        const WAITING: usize = 10;
        let (listener, addr, clients) = full_listener();
        let waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                let addr = addr.clone();
                cast.spawn(move || {
                    let mut stream = UnixStream::connect_addr(&addr).unwrap();
                    stream.write_all(&[number as u8]).unwrap();
                })
            })
            .collect();
        pause(3);
        assert!(waiting.iter().all(|task| !task.is_finished()));
        let mut seen = [false; WAITING];
        for _ in 0..clients.len() {
            listener.accept().unwrap();
        }
        for _ in 0..WAITING {
            let (mut stream, _) = listener.accept().unwrap();
            let mut number = [0];
            stream.read_exact(&mut number).unwrap();
            assert!(!std::mem::replace(&mut seen[usize::from(number[0])], true));
        }
        for task in waiting {
            task.join();
        }
    });
}

#[test]
fn connect_that_waits_is_refused_when_the_listener_goes() {
    everywhere(|cast| {
        let (listener, addr, _clients) = full_listener();
        let waiting = cast.spawn(move || UnixStream::connect_addr(&addr));
        pause(3);
        assert!(!waiting.is_finished());
        listener.close().unwrap();
        assert_kind(waiting.join(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn both_ends_know_who_the_other_is() {
    // SAFETY: no arguments, no memory.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let listener = UnixListener::bind_addr(&abstract_name()).unwrap();
    let client = UnixStream::connect_addr(&listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [client, server] {
        let peer = stream.peer_cred().unwrap();
        assert_eq!((peer.uid, peer.gid), (uid, gid));
        assert_eq!(peer.pid, Some(std::process::id() as i32));
    }
}

#[test]
fn peek_leaves_the_bytes() {
    everywhere(|cast| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let reader = cast.spawn(move || {
            let mut buffer = [0; 10];
            other.wait_readable().unwrap();
            assert_eq!(other.peek(&mut buffer).unwrap(), 3);
            assert_eq!(other.read(&mut buffer).unwrap(), 3);
            assert_eq!(other.read(&mut buffer).unwrap(), 0);
            // The end is a result, too.
            other.wait_readable().unwrap();
        });
        pause(2);
        one.write_all(b"abc").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        reader.join();
    });
}

#[test]
fn incoming_ends_with_the_listener() {
    everywhere(|cast| {
        let listener = UnixListener::bind_addr(&abstract_name()).unwrap();
        let addr = listener.local_addr().unwrap();
        let closer = listener.try_clone().unwrap();
        let server = cast.spawn(move || {
            let mut served = 0;
            for stream in &listener {
                stream.unwrap().write_all(b"x").unwrap();
                served += 1;
            }
            served
        });
        for _ in 0..5 {
            let mut stream = UnixStream::connect_addr(&addr).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        closer.close().unwrap();
        assert_eq!(server.join(), 5);
    });
}

#[test]
fn streams_pass_to_std_and_back() {
    everywhere(|_| {
        let (one, other) = std_unix::UnixStream::pair().unwrap();
        one.set_read_timeout(Some(LONG)).unwrap();
        other.set_nonblocking(true).unwrap();
        let one = UnixStream::try_from(one).unwrap();
        let other = UnixStream::try_from(OwnedFd::from(other)).unwrap();
        assert_eq!(one.read_timeout().unwrap(), Some(LONG));
        assert_eq!(one.write_timeout().unwrap(), None);
        assert_kind((&other).read(&mut [0]), ErrorKind::WouldBlock);
        other.set_nonblocking(false).unwrap();
        (&one).write_all(b"abc").unwrap();
        let clone = other.try_clone().unwrap();
        assert_kind(clone.into_std(), ErrorKind::ResourceBusy);
        let mut other = std_unix::UnixStream::try_from(other).unwrap();
        let mut buffer = [0; 3];
        other.read_exact(&mut buffer).unwrap();
        let one = OwnedFd::try_from(one).unwrap();
        drop(one);
        assert_eq!(other.read(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn descriptors_of_another_kind_are_refused() {
    let (stream, _other) = std_unix::UnixStream::pair().unwrap();
    let (datagram, _other) = std_unix::UnixDatagram::pair().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let fd = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().unwrap();
    let refused = ErrorKind::InvalidInput;
    assert_kind(corio_net::TcpStream::try_from(fd(&stream)), refused);
    assert_kind(corio_net::TcpListener::try_from(fd(&datagram)), refused);
    assert_kind(UnixStream::try_from(fd(&tcp)), refused);
    assert_kind(UnixStream::try_from(fd(&datagram)), refused);
    assert_kind(UnixListener::try_from(fd(&datagram)), refused);
    assert_kind(corio_net::UnixDatagram::try_from(fd(&stream)), refused);
    let error = UnixStream::try_from(fd(&pipe)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    UnixStream::try_from(fd(&stream)).unwrap();
    UnixListener::try_from(fd(&stream)).unwrap();
}

#[test]
fn debug_tells_the_names() {
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.join("name")).unwrap();
    let client = UnixStream::connect(directory.join("name")).unwrap();
    let text = format!("{listener:?} {client:?}");
    assert_eq!(text.matches("name\" (pathname)").count(), 2, "{text}");
    assert!(text.contains("local: (unnamed)"), "{text}");
    listener.close().unwrap();
    assert!(format!("{listener:?}").starts_with("UnixListener { fd: "));
}

#[test]
fn a_flood_of_connections_is_served() {
    everywhere(|cast| {
        const CLIENTS: usize = 500;
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = cast.spawn(move || {
            for _ in 0..CLIENTS {
                let (mut stream, _) = listener.accept().unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(&byte).unwrap();
            }
        });
        let clients: Vec<_> = (0..10)
            .map(|number| {
                let path = path.clone();
                cast.spawn(move || {
                    for _ in 0..CLIENTS / 10 {
                        let mut stream = UnixStream::connect(&path).unwrap();
                        stream.write_all(&[number]).unwrap();
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        assert_eq!(byte, [number]);
                    }
                })
            })
            .collect();
        let start = Instant::now();
        for client in clients {
            client.join();
        }
        server.join();
        assert!(start.elapsed() < LONG);
    });
}
