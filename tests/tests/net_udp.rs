//! UDP: messages, addresses, several senders and receivers. What Go's tests of its UDP sockets look at,
//! and what is our own; `net_parity_udp` compares with std, `net_udp_ending` is about deadlines and close. On
//! goroutines, on plain threads, and across.

mod net_support;

use corio_net::UdpSocket;
use net_support::*;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

// ---- messages ----

#[test]
fn zero_length_messages_are_messages() {
    everywhere(|cast| {
        for round in 0..8 {
            let ((a, a_addr), (b, b_addr)) = (bound(), bound());
            b.set_read_deadline(after(LONG)).unwrap();
            let receiver = cast.spawn(move || {
                let mut buffer = [7; 8];
                assert_eq!(b.recv_from(&mut buffer).unwrap(), (0, a_addr));
                assert_eq!(b.peek(&mut buffer).unwrap(), 0);
                assert_eq!(b.recv(&mut buffer).unwrap(), 0);
                assert_eq!(b.recv_from(&mut buffer).unwrap(), (3, a_addr));
                assert_eq!(b.recv(&mut []).unwrap(), 0);
                assert_eq!(b.recv_from(&mut []).unwrap(), (0, a_addr));
                assert_eq!(b.recv(&mut buffer).unwrap(), 4);
                assert_eq!(&buffer, b"last\x07\x07\x07\x07");
            });
            pause(round);
            for message in [&b""[..], b"", b"abc", b"", b"lost", b"last"] {
                assert_eq!(a.send_to(message, b_addr).unwrap(), message.len());
                pause(round);
            }
            receiver.join();
        }
    });
}

#[test]
fn messages_that_are_there_are_received_without_further_events() {
    everywhere(|cast| {
        for len in [0, 1, 9] {
            let (a, b) = connected();
            // One makes the receiver wait, so that what follows comes as one event, or as many.
            let first = cast.spawn(move || {
                b.recv(&mut [0; 64]).unwrap();
                b
            });
            for _ in 0..50 {
                a.send(&vec![3; len]).unwrap();
            }
            let b = first.join();
            // All are shorter than the buffer, which says nothing about the next one.
            for _ in 1..50 {
                assert_eq!(b.recv(&mut [0; 64]).unwrap(), len);
            }
            b.set_nonblocking(true).unwrap();
            assert_kind(b.recv(&mut [0; 64]), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn a_long_message_is_cut_and_the_next_one_is_whole() {
    everywhere(|_| {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        a.send_to(&[1; 1000], b_addr).unwrap();
        a.send_to(&[2; 10], b_addr).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(b.peek_from(&mut buffer).unwrap(), (100, a_addr));
        assert_eq!(b.recv_from(&mut buffer).unwrap(), (100, a_addr));
        assert_eq!(buffer, [1; 100]);
        assert_eq!(b.recv_from(&mut buffer).unwrap(), (10, a_addr));
        assert_eq!(buffer[..10], [2; 10]);
        // The longest there is.
        a.send_to(&[3; 65507], b_addr).unwrap();
        assert_eq!(b.recv(&mut [0; 70000]).unwrap(), 65507);
        let error = a.send_to(&[3; 65508], b_addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

#[test]
fn a_message_needs_an_address() {
    everywhere(|_| {
        let (a, addr) = bound();
        let error = a.send(b"to whom?").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        assert_kind(a.peer_addr(), ErrorKind::NotConnected);
        let none: &[SocketAddr] = &[];
        assert_kind(a.send_to(b"x", none), ErrorKind::InvalidInput);
        assert_kind(a.connect(none), ErrorKind::InvalidInput);
        assert_kind(a.send_to(b"x", "127.0.0.1"), ErrorKind::InvalidInput);
        // Every way to write one.
        let port = addr.port();
        assert_eq!(a.send_to(b"1", addr).unwrap(), 1);
        assert_eq!(a.send_to(b"2", addr.to_string().as_str()).unwrap(), 1);
        assert_eq!(a.send_to(b"3", addr.to_string()).unwrap(), 1);
        assert_eq!(a.send_to(b"4", ("127.0.0.1", port)).unwrap(), 1);
        assert_eq!(a.send_to(b"5", (Ipv4Addr::LOCALHOST, port)).unwrap(), 1);
        assert_eq!(a.send_to(b"6", &[addr, addr][..]).unwrap(), 1);
        for digit in b"123456" {
            let mut byte = [0];
            assert_eq!(a.recv_from(&mut byte).unwrap(), (1, addr));
            assert_eq!(byte, [*digit]);
        }
    });
}

// ---- addresses ----

#[test]
fn a_bound_socket_has_a_name() {
    everywhere(|_| {
        for (text, ip) in [
            ("127.0.0.1:0", IpAddr::from(Ipv4Addr::LOCALHOST)),
            ("0.0.0.0:0", Ipv4Addr::UNSPECIFIED.into()),
            ("[::1]:0", Ipv6Addr::LOCALHOST.into()),
            ("[::]:0", Ipv6Addr::UNSPECIFIED.into()),
        ] {
            let socket = UdpSocket::bind(text).unwrap();
            let addr = socket.local_addr().unwrap();
            assert_eq!(addr.ip(), ip);
            assert_ne!(addr.port(), 0);
            assert_kind(UdpSocket::bind(addr), ErrorKind::AddrInUse);
            drop(socket);
            UdpSocket::bind(addr).unwrap();
        }
        let named = UdpSocket::bind("localhost:0").unwrap();
        assert!(named.local_addr().unwrap().ip().is_loopback());
    });
}

#[test]
fn both_ends_of_a_connected_pair_know_their_names() {
    everywhere(|_| {
        for (here, there) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:0", "127.0.0.1:0"),
            ("[::1]:0", "[::1]:0"),
            ("[::]:0", "[::1]:0"),
        ] {
            let peer = UdpSocket::bind(there).unwrap();
            let peer_addr = peer.local_addr().unwrap();
            let socket = UdpSocket::bind(here).unwrap();
            socket.connect(peer_addr).unwrap();
            assert_eq!(socket.peer_addr().unwrap(), peer_addr);
            let addr = socket.local_addr().unwrap();
            assert!(addr.ip().is_loopback());
            socket.send(b"hello").unwrap();
            assert_eq!(peer.recv_from(&mut [0; 8]).unwrap(), (5, addr));
            peer.send_to(b"hi", addr).unwrap();
            assert_eq!(socket.recv_from(&mut [0; 8]).unwrap(), (2, peer_addr));
        }
    });
}

#[test]
fn a_socket_of_both_ip_versions_sees_mapped_addresses() {
    everywhere(|_| {
        let both = UdpSocket::bind("[::]:0").unwrap();
        let port = both.local_addr().unwrap().port();
        let (v4, v4_addr) = bound();
        let v6 = UdpSocket::bind("[::1]:0").unwrap();
        v4.send_to(b"four", ("127.0.0.1", port)).unwrap();
        let (n, from) = both.recv_from(&mut [0; 8]).unwrap();
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!((n, from), (4, (mapped, v4_addr.port()).into()));
        assert_eq!(both.send_to(b"back", from).unwrap(), 4);
        assert_eq!(v4.recv(&mut [0; 8]).unwrap(), 4);
        v6.send_to(b"six", ("::1", port)).unwrap();
        let (n, from) = both.recv_from(&mut [0; 8]).unwrap();
        assert_eq!((n, from), (3, v6.local_addr().unwrap()));
    });
}

/// This machine's link-local addresses, each with the number of its interface.
fn link_local() -> Vec<SocketAddrV6> {
    // Address, interface, prefix, scope, flags (hexadecimal) and name. 0x20: link-local; 0x40: not yet
    // usable.
    let text = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let ip = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
            let mut number = || u32::from_str_radix(fields.next()?, 16).ok();
            let (interface, _, scope, flags) = (number()?, number()?, number()?, number()?);
            (scope == 0x20 && flags & 0x40 == 0).then(|| SocketAddrV6::new(ip, 0, 0, interface))
        })
        .collect()
}

#[test]
fn link_local_addresses_keep_their_interface() {
    if link_local().is_empty() {
        eprintln!("skipped: this machine has no link-local IPv6 address");
    }
    everywhere(|cast| {
        for addr in link_local() {
            let server = UdpSocket::bind(addr).unwrap();
            let SocketAddr::V6(server_addr) = server.local_addr().unwrap() else {
                panic!("not IPv6");
            };
            assert_eq!(server_addr.scope_id(), addr.scope_id());
            let echo = cast.spawn(move || {
                for _ in 0..2 {
                    let mut buffer = [0; 8];
                    let (n, from) = server.recv_from(&mut buffer).unwrap();
                    server.send_to(&buffer[..n], from).unwrap();
                }
            });
            for own in [addr, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)] {
                let client = UdpSocket::bind(own).unwrap();
                client.connect(server_addr).unwrap();
                assert_eq!(client.peer_addr().unwrap(), server_addr.into());
                let SocketAddr::V6(own) = client.local_addr().unwrap() else {
                    panic!("not IPv6");
                };
                assert_eq!((own.ip(), own.scope_id()), (addr.ip(), addr.scope_id()));
                client.send(b"hello").unwrap();
                let reply = client.recv_from(&mut [0; 8]).unwrap();
                assert_eq!(reply, (5, server_addr.into()));
            }
            echo.join();
        }
    });
}

#[test]
fn a_group_gets_what_is_sent_to_it() {
    everywhere(|_| {
        let group = Ipv4Addr::new(239, 255, 77, 77);
        let loopback = Ipv4Addr::LOCALHOST;
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        if let Err(error) = member.join_multicast_v4(&group, &loopback) {
            eprintln!("skipped: no multicast here: {error}");
            return;
        }
        let port = member.local_addr().unwrap().port();
        let (sender, addr) = bound();
        // Loopback may be without multicast, which only the sender is told.
        if let Err(error) = sender.send_to(b"all", (group, port)) {
            eprintln!("skipped: no multicast here: {error}");
            return;
        }
        assert_eq!(member.recv_from(&mut [0; 8]).unwrap(), (3, addr));
        member.leave_multicast_v4(&group, &loopback).unwrap();
        sender.send_to(b"nobody", (group, port)).unwrap();
        sender.send_to(b"you", ("127.0.0.1", port)).unwrap();
        assert_eq!(member.recv(&mut [0; 8]).unwrap(), 3);
    });
}

// ---- several at once ----

#[test]
fn a_server_answers_connected_and_unconnected_clients() {
    everywhere(|cast| {
        for ip in ["127.0.0.1", "::1"] {
            let server = UdpSocket::bind((ip, 0)).unwrap();
            let addr = server.local_addr().unwrap();
            let server = Arc::new(server);
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let server = Arc::clone(&server);
                    cast.spawn(move || {
                        let mut buffer = [0; 64];
                        loop {
                            match server.recv_from(&mut buffer) {
                                Ok((n, from)) => {
                                    assert_eq!(server.send_to(&buffer[..n], from).unwrap(), n);
                                }
                                Err(error) => return assert!(corio_net::is_closed(&error)),
                            }
                        }
                    })
                })
                .collect();
            let clients: Vec<_> = (0..6_usize)
                .map(|number| {
                    cast.spawn(move || {
                        let client = UdpSocket::bind((ip, 0)).unwrap();
                        let connected = number % 2 == 0;
                        if connected {
                            client.connect(addr).unwrap();
                        }
                        for round in 0..30 {
                            let message = vec![number as u8; (number + round) % 9];
                            let sent = if connected {
                                client.send(&message)
                            } else {
                                client.send_to(&message, addr)
                            };
                            assert_eq!(sent.unwrap(), message.len());
                            let mut reply = [0; 64];
                            let (n, from) = client.recv_from(&mut reply).unwrap();
                            assert_eq!((&reply[..n], from), (&message[..], addr));
                        }
                    })
                })
                .collect();
            for client in clients {
                client.join();
            }
            server.close().unwrap();
            for worker in workers {
                worker.join();
            }
        }
    });
}

#[test]
fn each_message_goes_to_one_of_many_receivers() {
    everywhere(|cast| {
        const EACH: usize = 100;
        let (receiver, addr) = bound();
        let receiver = Arc::new(receiver);
        let (count, sum) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                let (count, sum) = (Arc::clone(&count), Arc::clone(&sum));
                cast.spawn(move || {
                    let mut message = [0; 8];
                    while receiver.recv(&mut message).is_ok() {
                        let number = usize::from_le_bytes(message);
                        sum.fetch_add(number, Ordering::SeqCst);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..2)
            .map(|number| {
                let count = Arc::clone(&count);
                cast.spawn(move || {
                    let (sender, _) = bound();
                    for i in 0..EACH {
                        // No more under way than fit into the receiver's buffer for sure.
                        corio_tests::yield_until(|| i < count.load(Ordering::SeqCst) + 20);
                        let message = (number * EACH + i).to_le_bytes();
                        sender.send_to(&message, addr).unwrap();
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join();
        }
        corio_tests::yield_until(|| count.load(Ordering::SeqCst) == 2 * EACH);
        receiver.close().unwrap();
        for receiver in receivers {
            receiver.join();
        }
        assert_eq!(sum.load(Ordering::SeqCst), (0..2 * EACH).sum());
    });
}

#[test]
fn nobody_there_is_an_error_and_then_somebody_is() {
    everywhere(|cast| {
        for round in 0..8 {
            let ((a, a_addr), (b, b_addr)) = (bound(), bound());
            a.connect(b_addr).unwrap();
            // Connected elsewhere, it is not there for us; but it keeps its port.
            let (elsewhere, elsewhere_addr) = bound();
            b.connect(elsewhere_addr).unwrap();
            let a = Arc::new(a);
            let theirs = Arc::clone(&a);
            let receiver = cast.spawn(move || theirs.recv(&mut [0; 8]));
            pause(round);
            assert_eq!(a.send(b"anybody?").unwrap(), 8);
            assert_kind(receiver.join(), ErrorKind::ConnectionRefused);
            assert!(a.take_error().unwrap().is_none());
            let theirs = Arc::clone(&a);
            let receiver = cast.spawn(move || theirs.recv(&mut [0; 8]));
            pause(round);
            b.connect(a_addr).unwrap();
            assert_eq!(b.send(b"yes").unwrap(), 3);
            assert_eq!(receiver.join().unwrap(), 3);
            drop(elsewhere);
        }
    });
}

// ---- and the rest ----

#[test]
fn wait_readable_takes_nothing() {
    everywhere(|cast| {
        for round in 0..8 {
            let (a, b) = connected();
            let waiter = cast.spawn(move || {
                b.wait_readable().unwrap();
                b.wait_readable().unwrap();
                b
            });
            pause(round);
            // An empty message is something to read.
            a.send(b"").unwrap();
            let b = waiter.join();
            assert_eq!(b.recv(&mut [0; 8]).unwrap(), 0);
            b.wait_writable().unwrap();
            b.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_timed_out(b.wait_readable());
        }
    });
}

#[test]
fn sockets_pass_to_std_and_back_with_what_they_hold() {
    everywhere(|_| {
        let (a, b) = connected();
        a.send(b"first").unwrap();
        a.send(b"second").unwrap();
        b.set_read_timeout(Some(LONG)).unwrap();
        let clone = b.try_clone().unwrap();
        assert_kind(b.into_std(), ErrorKind::ResourceBusy);
        let theirs = clone.into_std().unwrap();
        assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 5);
        theirs
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        theirs.set_nonblocking(true).unwrap();
        let b = UdpSocket::try_from(theirs).unwrap();
        assert_eq!(b.read_timeout().unwrap(), Some(Duration::from_secs(3)));
        assert_eq!(b.recv(&mut [0; 8]).unwrap(), 6);
        assert_kind(b.recv(&mut [0; 8]), ErrorKind::WouldBlock);
        // What is no UDP socket is refused.
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = std::os::fd::OwnedFd::from(tcp);
        assert_kind(UdpSocket::try_from(fd), ErrorKind::InvalidInput);
    });
}

#[test]
fn buffers_have_a_size_and_what_does_not_fit_is_lost() {
    everywhere(|_| {
        let (a, b) = connected();
        let before = b.recv_buffer_size().unwrap();
        b.set_recv_buffer_size(1).unwrap();
        let least = b.recv_buffer_size().unwrap();
        assert!(0 < least && least < before);
        a.set_send_buffer_size(100_000).unwrap();
        assert!(a.send_buffer_size().unwrap() >= 100_000);
        // Sending neither waits nor fails.
        for _ in 0..100 {
            assert_eq!(a.send(&[9; 1000]).unwrap(), 1000);
        }
        b.set_nonblocking(true).unwrap();
        let mut came = 0;
        while let Ok(n) = b.recv(&mut [0; 2000]) {
            assert_eq!(n, 1000);
            came += 1;
        }
        assert!(0 < came && came < 100);
        b.set_nonblocking(false).unwrap();
        a.send(b"later").unwrap();
        assert_eq!(b.recv(&mut [0; 8]).unwrap(), 5);
    });
}
