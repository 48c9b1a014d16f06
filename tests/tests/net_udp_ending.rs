//! UDP: deadlines and close end what waits, lose no message, and free the port. On goroutines, on plain
//! threads, and across.

mod net_support;

use corio_net::UdpSocket;
use net_support::*;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

// ---- deadlines ----

#[test]
fn a_passed_deadline_ends_calls_before_they_start() {
    everywhere(|cast| {
        let (a, b) = connected();
        a.send(b"there").unwrap();
        b.set_deadline(Some(Instant::now() - Duration::from_secs(1)))
            .unwrap();
        let theirs = b.try_clone().unwrap();
        cast.spawn(move || {
            for _ in 0..3 {
                assert_timed_out(theirs.recv(&mut [0; 8]));
                assert_timed_out(theirs.recv_from(&mut [0; 8]));
                assert_timed_out(theirs.recv(&mut []));
                assert_timed_out(theirs.peek(&mut [0; 8]));
                assert_timed_out(theirs.peek_from(&mut [0; 8]));
                assert_timed_out(theirs.send(b"x"));
                assert_timed_out(theirs.send_to(b"x", theirs.local_addr().unwrap()));
                assert_timed_out(theirs.wait_readable());
                assert_timed_out(theirs.wait_writable());
            }
        })
        .join();
        // Only one direction.
        b.set_write_deadline(None).unwrap();
        assert_eq!(b.send(b"x").unwrap(), 1);
        assert_timed_out(b.recv(&mut [0; 8]));
        b.set_deadline(None).unwrap();
        assert_eq!(b.recv(&mut [0; 8]).unwrap(), 5);
    });
}

#[test]
fn a_deadline_ends_waiting_and_is_not_early() {
    everywhere(|cast| {
        for millis in [1, 3, 10, 2, 0, 5] {
            let (_a, b) = connected();
            let limit = Duration::from_millis(millis);
            let end = Instant::now() + limit;
            if millis % 2 == 0 {
                b.set_read_deadline(Some(end)).unwrap();
            } else {
                b.set_read_timeout(Some(limit)).unwrap();
            }
            let start = Instant::now();
            let b = cast
                .spawn(move || {
                    assert_timed_out(b.recv_from(&mut [0; 8]));
                    b
                })
                .join();
            assert!(Instant::now() >= end.min(start + limit));
            // It stays what it was set to.
            assert_timed_out(b.peek(&mut [0; 8]));
            b.set_read_deadline(None).unwrap();
            b.set_read_timeout(None).unwrap();
        }
    });
}

#[test]
fn a_deadline_in_the_past_wakes_who_is_blocked() {
    everywhere(|cast| {
        for round in 0..12 {
            let (_a, b) = connected();
            let b = Arc::new(b);
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let b = Arc::clone(&b);
                    cast.spawn(move || match number {
                        0 => b.recv(&mut [0; 8]).map(drop),
                        1 => b.recv_from(&mut [0; 8]).map(drop),
                        2 => b.peek(&mut [0; 8]).map(drop),
                        3 => b.peek_from(&mut []).map(drop),
                        _ => b.wait_readable(),
                    })
                })
                .collect();
            pause(round);
            if round % 2 == 0 {
                b.set_deadline(after(LONG)).unwrap();
            }
            b.set_read_deadline(Some(Instant::now())).unwrap();
            for task in tasks {
                assert_timed_out(task.join());
            }
        }
    });
}

#[test]
fn a_deadline_that_moves_on_with_each_message_never_comes() {
    everywhere(|cast| {
        let (a, b) = connected();
        let echo = cast.spawn(move || {
            let mut buffer = [0; 8];
            while b.recv(&mut buffer).unwrap() > 0 {
                b.send(&buffer).unwrap();
            }
        });
        for _ in 0..300 {
            a.set_deadline(after(LONG)).unwrap();
            a.send(b"question").unwrap();
            assert_eq!(a.recv(&mut [0; 8]).unwrap(), 8);
        }
        a.send(b"").unwrap();
        echo.join();
    });
}

#[test]
fn deadlines_that_come_and_go_lose_no_message() {
    everywhere(|cast| {
        const MESSAGES: usize = 100;
        let (a, b) = connected();
        let b = Arc::new(b);
        let done = Arc::new(AtomicUsize::new(0));
        let (theirs, ended) = (Arc::clone(&b), Arc::clone(&done));
        let setter = cast.spawn(move || {
            for round in 0.. {
                if ended.load(Ordering::SeqCst) == 1 {
                    return;
                }
                theirs.set_read_deadline(Some(Instant::now())).unwrap();
                pause(round);
                theirs.set_read_deadline(None).unwrap();
                corio::yield_now();
            }
        });
        let receiver = cast.spawn(move || {
            let mut next = 0;
            while next < MESSAGES {
                let mut message = [0; 8];
                match b.recv(&mut message) {
                    Ok(_) => {
                        assert_eq!(usize::from_le_bytes(message), next);
                        next += 1;
                        b.send(b"next").unwrap();
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        // Nothing has waited: let the others go on.
                        corio::yield_now();
                    }
                }
            }
        });
        for number in 0..MESSAGES {
            a.send(&number.to_le_bytes()).unwrap();
            assert_eq!(a.recv(&mut [0; 8]).unwrap(), 4);
        }
        receiver.join();
        done.store(1, Ordering::SeqCst);
        setter.join();
    });
}

// ---- close ----

#[test]
fn close_in_the_middle_of_traffic_is_seen_as_that() {
    everywhere(|cast| {
        for round in 0..10 {
            let (a, b) = connected();
            let (a, b) = (Arc::new(a), Arc::new(b));
            let tasks: Vec<_> = (0..6)
                .map(|number| {
                    let (a, b) = (Arc::clone(&a), Arc::clone(&b));
                    cast.spawn(move || {
                        loop {
                            let result = match number % 3 {
                                0 => a.send(b"message"),
                                1 => a.send_to(b"message", b.local_addr()?),
                                _ => b.recv(&mut [0; 16]),
                            };
                            match result {
                                // The other one is closed first.
                                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                                other => assert_eq!(other?, 7),
                            }
                        }
                    })
                })
                .collect::<Vec<Task<std::io::Result<()>>>>();
            pause(round);
            b.close().unwrap();
            a.close().unwrap();
            for task in tasks {
                assert_closed(task.join());
            }
        }
    });
}

#[test]
fn close_ends_every_receive_and_frees_the_port() {
    everywhere(|cast| {
        let (first, addr) = bound();
        let mut socket = Arc::new(first);
        for round in 0..20 {
            let tasks: Vec<_> = (0..10)
                .map(|number| {
                    let socket = Arc::clone(&socket);
                    cast.spawn(move || match number % 5 {
                        0 => socket.recv(&mut [0; 8]).map(drop),
                        1 => socket.recv_from(&mut []).map(drop),
                        2 => socket.peek(&mut [0; 8]).map(drop),
                        3 => socket.peek_from(&mut [0; 8]).map(drop),
                        _ => socket.wait_readable(),
                    })
                })
                .collect();
            pause(round);
            socket.close().unwrap();
            // At once, whoever still has a handle.
            let next = UdpSocket::bind(addr).unwrap();
            assert_closed(socket.close());
            for task in tasks {
                assert_closed(task.join());
            }
            socket = Arc::new(next);
        }
    });
}

#[test]
fn a_closed_socket_refuses_everything() {
    everywhere(|_| {
        let (a, b) = connected();
        let addr = b.local_addr().unwrap();
        let clone = a.try_clone().unwrap();
        b.send(b"unread").unwrap();
        a.close().unwrap();
        for a in [&a, &clone] {
            assert_closed(a.recv(&mut [0; 8]));
            assert_closed(a.recv_from(&mut [0; 8]));
            assert_closed(a.peek(&mut []));
            assert_closed(a.peek_from(&mut [0; 8]));
            assert_closed(a.send(b"x"));
            assert_closed(a.send_to(b"", addr));
            assert_closed(a.connect(addr));
            assert_closed(a.local_addr());
            assert_closed(a.peer_addr());
            assert_closed(a.wait_readable());
            assert_closed(a.wait_writable());
            assert_closed(a.set_deadline(None));
            assert_closed(a.set_read_timeout(None));
            assert_closed(a.write_timeout());
            assert_closed(a.set_nonblocking(true));
            assert_closed(a.take_error());
            assert_closed(a.set_broadcast(true));
            assert_closed(a.broadcast());
            assert_closed(a.set_ttl(1));
            assert_closed(a.multicast_loop_v4());
            assert_closed(a.set_multicast_ttl_v4(1));
            assert_closed(a.join_multicast_v4(&Ipv4Addr::new(239, 1, 1, 1), &Ipv4Addr::LOCALHOST));
            assert_closed(a.leave_multicast_v6(&Ipv6Addr::LOCALHOST, 0));
            assert_closed(a.set_recv_buffer_size(10_000));
            assert_closed(a.send_buffer_size());
            assert_closed(a.close());
            // The number is still ours.
            assert!(a.as_raw_fd() >= 0);
            assert!(format!("{a:?}").starts_with("UdpSocket"));
        }
        drop(clone);
        assert_closed(a.into_std());
    });
}

#[test]
fn the_last_handle_frees_the_port() {
    everywhere(|_| {
        let (socket, addr) = bound();
        let clone = socket.try_clone().unwrap();
        drop(socket);
        assert_kind(UdpSocket::bind(addr), ErrorKind::AddrInUse);
        drop(clone);
        UdpSocket::bind(addr).unwrap();
    });
}
