//! `close`: who waits is told, the port is free, the descriptor's number stays taken.

mod common;

use common::*;
use corio_net::{TcpListener, TcpStream};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn every_call_on_a_closed_stream_says_so() {
    everywhere(|| {
        let (client, mut server) = pair();
        let mut clone = client.try_clone().unwrap();
        client.close().unwrap();
        assert_closed(client.close());
        assert_closed(clone.read(&mut [0; 8]));
        assert_closed(clone.read(&mut []));
        assert_closed(clone.peek(&mut [0; 8]));
        assert_closed(clone.write(b"x"));
        assert_closed(clone.write(b""));
        assert_closed(clone.write_all(b"x"));
        assert_closed(clone.shutdown(std::net::Shutdown::Both));
        assert_closed(clone.local_addr());
        assert_closed(clone.peer_addr());
        assert_closed(clone.set_nodelay(true));
        assert_closed(clone.set_deadline(None));
        assert_closed(clone.set_read_timeout(None));
        assert_closed(clone.set_nonblocking(true));
        assert_closed(clone.take_error());
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
        assert!(format!("{clone:?}").starts_with("TcpStream { fd: "));
        drop(client);
        assert_closed(clone.into_std());
    });
}

#[test]
fn close_ends_blocked_calls_and_queued_ones() {
    everywhere(|| {
        for round in 0..100 {
            let (client, _server) = pair();
            fill(&client);
            let client = Arc::new(client);
            let calls: Vec<_> = (0..6)
                .map(|number| {
                    let client = Arc::clone(&client);
                    corio::spawn(move || match number {
                        0..2 => (&mut &*client).read(&mut [0; 8]).map(drop),
                        2..4 => (&mut &*client).write(b"x").map(drop),
                        4 => (&mut &*client).write_all(b"x"),
                        _ => client.peek(&mut [0; 8]).map(drop),
                    })
                })
                .collect();
            for _ in 0..round * 100 {
                std::hint::spin_loop();
            }
            client.close().unwrap();
            for call in calls {
                assert_closed(call.join().unwrap());
            }
        }
    });
}

#[test]
fn close_ends_accept_and_frees_the_port() {
    everywhere(|| {
        let mut addr = listen().local_addr().unwrap();
        for _ in 0..100 {
            // The same port each time: the last round's `close` must have freed it.
            let listener = Arc::new(TcpListener::bind(addr).unwrap());
            addr = listener.local_addr().unwrap();
            let acceptor = corio::spawn({
                let listener = Arc::clone(&listener);
                move || assert_closed(listener.accept())
            });
            listener.close().unwrap();
            acceptor.join().unwrap();
            assert_closed(listener.accept());
            assert_eq!(listener.incoming().count(), 0);
        }
    });
}

#[test]
fn the_number_stays_ours_until_the_last_handle_is_dropped() {
    everywhere(|| {
        let (client, _server) = pair();
        let fd = client.as_fd();
        client.close().unwrap();
        let more: Vec<_> = (0..20).map(|_| pair()).collect();
        assert!(
            more.iter()
                .flat_map(|(a, b)| [a, b])
                .all(|stream| stream.as_raw_fd() != fd.as_raw_fd())
        );
        // It is open, and every call on it fails.
        let duplicate = fd.try_clone_to_owned().unwrap();
        let mut duplicate = std::net::TcpStream::from(duplicate);
        assert_eq!(
            duplicate.read(&mut [0]).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    });
}

#[test]
fn a_duplicated_descriptor_survives_close_and_drop() {
    everywhere(|| {
        for close in [false, true] {
            let (client, mut server) = pair();
            let duplicate = client.as_fd().try_clone_to_owned().unwrap();
            if close {
                client.close().unwrap();
            }
            drop(client);
            let mut duplicate = TcpStream::try_from(std::net::TcpStream::from(duplicate)).unwrap();
            // It was non-blocking as a part of ours.
            duplicate.set_nonblocking(false).unwrap();
            server.write_all(b"x").unwrap();
            assert_eq!(duplicate.read(&mut [0; 8]).unwrap(), 1);
        }
    });
}

#[test]
fn close_and_calls_race() {
    everywhere(|| {
        for _ in 0..300 {
            let (client, mut server) = pair();
            let client = Arc::new(client);
            let start = Arc::new(Barrier::new(4));
            server.set_read_timeout(Some(LONG)).unwrap();
            let reader = {
                let (client, start) = (Arc::clone(&client), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    loop {
                        match (&mut &*client).read(&mut [0; 8]) {
                            Ok(n) => assert_ne!(n, 0),
                            Err(error) => return assert!(corio_net::is_closed(&error)),
                        }
                    }
                })
            };
            let writer = {
                let (client, start) = (Arc::clone(&client), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    loop {
                        if let Err(error) = (&mut &*client).write_all(b"xy") {
                            return assert!(corio_net::is_closed(&error), "{error:?}");
                        }
                    }
                })
            };
            let peer = std::thread::spawn({
                let start = Arc::clone(&start);
                move || {
                    start.wait();
                    let mut buffer = [0; 1024];
                    while let Ok(n) = server.read(&mut buffer) {
                        if n == 0 || server.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                }
            });
            start.wait();
            client.set_read_deadline(after(LONG)).unwrap();
            std::thread::yield_now();
            client.close().unwrap();
            drop(client);
            reader.join().unwrap();
            writer.join().unwrap();
            peer.join().unwrap();
        }
    });
}

#[test]
fn reused_descriptors_start_afresh() {
    everywhere(|| {
        for round in 0..200 {
            let (client, mut server) = pair();
            // Leave everything behind that a descriptor can remember.
            client
                .set_deadline(after(Duration::from_millis(2)))
                .unwrap();
            client
                .set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            assert_timed_out((&client).read(&mut [0; 8]));
            client.set_nonblocking(true).unwrap();
            server
                .set_read_deadline(after(Duration::from_millis(1 + round % 3)))
                .unwrap();
            assert_timed_out(server.read(&mut [0; 8]));
            drop((client, server));
            let (mut client, mut server) = pair();
            assert_eq!(client.read_timeout().unwrap(), None);
            let reader = corio::spawn(move || server.read(&mut [0; 8]));
            client.write_all(b"x").unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        }
    });
}
