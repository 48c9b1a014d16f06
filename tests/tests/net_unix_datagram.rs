//! Unix datagrams: messages stay whole, names, full queues, deadlines, close.

mod net_support;

use corio_net::UnixDatagram;
use net_support::*;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

/// Sends until there is no more room; how many messages that took.
fn fill(socket: &UnixDatagram, to: Option<&SocketAddr>) -> usize {
    socket.set_nonblocking(true).unwrap();
    let mut sent = 0;
    loop {
        let result = match to {
            Some(addr) => socket.send_to_addr(b"full", addr),
            None => socket.send(b"full"),
        };
        match result {
            Ok(n) => {
                assert_eq!(n, 4);
                sent += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                socket.set_nonblocking(false).unwrap();
                return sent;
            }
        }
    }
}

#[test]
fn messages_stay_whole() {
    everywhere(|cast| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let receiver = cast.spawn(move || {
            let mut buffer = [0; 100];
            assert_eq!(other.peek(&mut buffer).unwrap(), 5);
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
            assert_eq!(&buffer[..5], b"first");
            // An empty message is one, and no end; an empty buffer takes a message.
            assert_eq!(other.recv(&mut buffer).unwrap(), 0);
            assert_eq!(other.recv(&mut []).unwrap(), 0);
            // What doesn't fit is lost.
            assert_eq!(other.recv(&mut buffer[..3]).unwrap(), 3);
            assert_eq!(&buffer[..3], b"too");
            assert_eq!(other.recv(&mut buffer).unwrap(), 4);
            assert_eq!(&buffer[..4], b"last");
        });
        pause(2);
        for message in [&b"first"[..], b"", b"for nobody", b"too long", b"last"] {
            assert_eq!(one.send(message).unwrap(), message.len());
        }
        receiver.join();
        let long = vec![0; 10 << 20];
        let error = one.send(&long).unwrap_err();
        assert!(
            matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::EPIPE)),
            "{error}"
        );
    });
}

#[test]
fn messages_tell_who_sent_them() {
    everywhere(|cast| {
        let directory = Directory::new();
        let path = directory.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(receiver.local_addr().unwrap().as_pathname(), Some(&*path));
        let name = abstract_name();
        let receiver = cast.spawn({
            let name = name.clone();
            move || {
                let mut buffer = [0; 10];
                let (n, from) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], b"unnamed");
                assert!(from.is_unnamed());
                let (n, from) = receiver.peek_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], b"abstract");
                assert_eq!(from.as_abstract_name(), name.as_abstract_name());
                let (n, from) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], b"abstract");
                receiver.send_to_addr(b"answer", &from).unwrap();
                let (n, from) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], b"path");
                receiver
                    .send_to(b"answer", from.as_pathname().unwrap())
                    .unwrap();
            }
        });
        let sender = UnixDatagram::unbound().unwrap();
        assert!(sender.local_addr().unwrap().is_unnamed());
        assert_kind(sender.send(b"nowhere"), ErrorKind::NotConnected);
        assert_kind(sender.peer_addr(), ErrorKind::NotConnected);
        assert_eq!(sender.send_to(b"unnamed", &path).unwrap(), 7);
        let mut buffer = [0; 10];
        let sender = UnixDatagram::bind_addr(&name).unwrap();
        sender.connect(&path).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert_eq!(sender.send(b"abstract").unwrap(), 8);
        assert_eq!(sender.recv(&mut buffer).unwrap(), 6);
        let sender = UnixDatagram::bind(directory.join("sender")).unwrap();
        sender
            .connect_addr(&SocketAddr::from_pathname(&path).unwrap())
            .unwrap();
        assert_eq!(sender.send(b"path").unwrap(), 4);
        assert_eq!(sender.recv(&mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"answer");
        receiver.join();
    });
}

#[test]
fn sending_to_nobody_fails() {
    everywhere(|_| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let sender = UnixDatagram::unbound().unwrap();
        assert_kind(sender.send_to(b"x", &path), ErrorKind::NotFound);
        assert_kind(sender.connect(&path), ErrorKind::NotFound);
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_kind(UnixDatagram::bind(&path), ErrorKind::AddrInUse);
        sender.connect(&path).unwrap();
        drop(receiver);
        assert_kind(sender.send(b"x"), ErrorKind::ConnectionRefused);
        assert_kind(sender.send_to(b"x", &path), ErrorKind::ConnectionRefused);
        for path in [directory.join("x".repeat(108)), directory.join("a\0b")] {
            assert_kind(UnixDatagram::bind(&path), ErrorKind::InvalidInput);
            assert_kind(sender.connect(&path), ErrorKind::InvalidInput);
            assert_kind(sender.send_to(b"x", &path), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn sending_waits_for_room() {
    everywhere(|cast| {
        for connected in [true, false] {
            let addr = abstract_name();
            let receiver = UnixDatagram::bind_addr(&addr).unwrap();
            let sender = Arc::new(UnixDatagram::unbound().unwrap());
            let to = if connected {
                sender.connect_addr(&addr).unwrap();
                None
            } else {
                Some(addr)
            };
            let filled = fill(&sender, to.as_ref());
            // Several who wait, each with many.
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let (sender, to) = (Arc::clone(&sender), to.clone());
                    cast.spawn(move || {
                        for _ in 0..20 {
                            match &to {
                                Some(addr) => sender.send_to_addr(b"more", addr).unwrap(),
                                None => sender.send(b"more").unwrap(),
                            };
                        }
                    })
                })
                .collect();
            pause(3);
            assert!(tasks.iter().all(|task| !task.is_finished()));
            let mut buffer = [0; 10];
            for number in 0..filled + 60 {
                assert_eq!(receiver.recv(&mut buffer).unwrap(), 4);
                let expected: &[u8] = if number < filled { b"full" } else { b"more" };
                assert_eq!(&buffer[..4], expected);
            }
            for task in tasks {
                task.join();
            }
            receiver.set_nonblocking(true).unwrap();
            assert_kind(receiver.recv(&mut buffer), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn deadlines_and_close_end_what_waits() {
    everywhere(|cast| {
        for round in 0..8 {
            let addr = abstract_name();
            let _receiver = UnixDatagram::bind_addr(&addr).unwrap();
            let sender = Arc::new(UnixDatagram::unbound().unwrap());
            fill(&sender, Some(&addr));
            let start = || -> Vec<_> {
                (0..6)
                    .map(|number| {
                        let (sender, addr) = (Arc::clone(&sender), addr.clone());
                        cast.spawn(move || match number % 3 {
                            0 => sender.recv(&mut [0; 10]).map(drop),
                            1 => sender.send_to_addr(b"x", &addr).map(drop),
                            _ => sender.wait_readable(),
                        })
                    })
                    .collect()
            };
            let tasks = start();
            pause(round);
            sender.set_deadline(after(SHORT)).unwrap();
            for task in tasks {
                assert_timed_out(task.join());
            }
            sender.set_deadline(None).unwrap();
            sender.set_read_timeout(Some(SHORT)).unwrap();
            sender.set_write_timeout(Some(SHORT)).unwrap();
            for task in start() {
                assert_timed_out(task.join());
            }
            sender.set_read_timeout(None).unwrap();
            sender.set_write_timeout(None).unwrap();
            let tasks = start();
            pause(round);
            sender.close().unwrap();
            for task in tasks {
                assert_closed(task.join());
            }
            assert_closed(sender.send_to_addr(b"x", &addr));
            assert_closed(sender.connect_addr(&addr));
        }
    });
}

#[test]
fn a_connected_sender_is_ended_too() {
    everywhere(|cast| {
        let (one, _other) = UnixDatagram::pair().unwrap();
        fill(&one, None);
        one.set_write_timeout(Some(SHORT)).unwrap();
        assert_timed_out(one.send(b"x"));
        assert_timed_out(one.wait_writable());
        one.set_write_timeout(None).unwrap();
        let one = Arc::new(one);
        let sender = cast.spawn({
            let one = Arc::clone(&one);
            move || one.send(b"x")
        });
        pause(2);
        one.close().unwrap();
        assert_closed(sender.join());
    });
}

#[test]
fn shutdown_ends_a_direction() {
    everywhere(|cast| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let other = Arc::new(other);
        let receiver = cast.spawn({
            let other = Arc::clone(&other);
            move || other.recv(&mut [0; 10])
        });
        pause(2);
        other.shutdown(Shutdown::Read).unwrap();
        assert_eq!(receiver.join().unwrap(), 0);
        assert_kind(one.send(b"x"), ErrorKind::BrokenPipe);
        one.shutdown(Shutdown::Write).unwrap();
        assert_kind(one.send(b"x"), ErrorKind::BrokenPipe);
        assert_eq!(other.send(b"x").unwrap(), 1);
        assert_eq!(one.recv(&mut [0; 10]).unwrap(), 1);
    });
}

#[test]
fn many_send_and_many_receive() {
    everywhere(|cast| {
        const SENDERS: usize = 8;
        const MESSAGES: usize = 200;
        let addr = abstract_name();
        let receiver = Arc::new(UnixDatagram::bind_addr(&addr).unwrap());
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                cast.spawn(move || {
                    let (mut seen, mut buffer) = ([0; SENDERS], [0; 300]);
                    loop {
                        let n = receiver.recv(&mut buffer).unwrap();
                        if n == 0 {
                            return seen;
                        }
                        let number = usize::from(buffer[0]);
                        assert_eq!(n, 100 + number);
                        assert!(buffer[..n].iter().all(|&byte| byte == buffer[0]));
                        seen[number] += 1;
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let addr = addr.clone();
                cast.spawn(move || {
                    let sender = UnixDatagram::unbound().unwrap();
                    sender.connect_addr(&addr).unwrap();
                    let message = vec![number as u8; 100 + number];
                    for _ in 0..MESSAGES {
                        assert_eq!(sender.send(&message).unwrap(), message.len());
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join();
        }
        let last = UnixDatagram::unbound().unwrap();
        let mut total = [0; SENDERS];
        for _ in 0..4 {
            last.send_to_addr(b"", &addr).unwrap();
        }
        for receiver in receivers {
            for (total, seen) in total.iter_mut().zip(receiver.join()) {
                *total += seen;
            }
        }
        assert_eq!(total, [MESSAGES; SENDERS]);
    });
}

#[test]
fn sockets_pass_to_std_and_back() {
    everywhere(|_| {
        let (one, other) = std_unix::UnixDatagram::pair().unwrap();
        other.set_write_timeout(Some(LONG)).unwrap();
        let one = UnixDatagram::try_from(one).unwrap();
        let other = UnixDatagram::try_from(OwnedFd::from(other)).unwrap();
        assert_eq!(other.write_timeout().unwrap(), Some(LONG));
        one.send(b"abc").unwrap();
        let other = other.into_std().unwrap();
        assert_eq!(other.recv(&mut [0; 10]).unwrap(), 3);
        let one = std_unix::UnixDatagram::try_from(one).unwrap();
        other.send(b"ab").unwrap();
        assert_eq!(one.recv(&mut [0; 10]).unwrap(), 2);
    });
}

/// The processor time of this process.
fn processor_time() -> Duration {
    // SAFETY: all zero is one of them; the pointer is to a live one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .sum()
}

/// Does nothing unless [`waiting_for_room_takes_no_time`] runs it, alone in a process.
#[test]
fn alone_waiting_for_room() {
    if !is_alone() {
        return;
    }
    let _watchdog = corio_tests::watchdog();
    let (to, connected) = (abstract_name(), abstract_name());
    let _receivers = [&to, &connected].map(|addr| UnixDatagram::bind_addr(addr).unwrap());
    let senders = [(); 2].map(|()| Arc::new(UnixDatagram::unbound().unwrap()));
    senders[1].connect_addr(&connected).unwrap();
    fill(&senders[0], Some(&to));
    fill(&senders[1], None);
    for sender in &senders {
        sender
            .set_write_deadline(after(Duration::from_secs(1)))
            .unwrap();
    }
    let before = processor_time();
    let [unconnected, connected] = senders;
    let tasks = [
        corio::spawn(move || unconnected.send_to_addr(b"x", &to).map(drop)),
        corio::spawn(move || connected.send(b"x").map(drop)),
    ];
    for task in tasks {
        assert_timed_out(task.join().unwrap());
    }
    let used = processor_time() - before;
    // Who spins takes all of the second. (The scheduler's own monitor runs for a part of it.)
    assert!(used < Duration::from_millis(250), "{used:?}");
}

#[test]
fn waiting_for_room_takes_no_time() {
    run_alone("alone_waiting_for_room", Path::new("."));
}
