//! `copy_bidirectional` is a proxy: both directions, each with its own end, and one end for both when
//! something goes wrong.

mod net_support;

use corio_net::{BufferPool, Conn, PooledReader, TcpStream, UnixStream, copy_bidirectional};
use net_support::*;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

type Counts = io::Result<(u64, u64)>;

/// A client and a server with a proxy between them.
fn proxied(cast: Cast) -> (TcpStream, TcpStream, Task<Counts>) {
    let (client, a) = pair();
    let (b, server) = pair();
    let proxy = cast.spawn(move || copy_bidirectional(&a, &b));
    (client, server, proxy)
}

#[test]
fn a_request_and_its_answer() {
    everywhere(|cast| {
        let (mut client, mut server, proxy) = proxied(cast);
        for number in 0..50_u8 {
            client.write_all(&[number; 100]).unwrap();
            let mut request = [0; 100];
            server.read_exact(&mut request).unwrap();
            assert_eq!(request, [number; 100]);
            server.write_all(&[!number; 30]).unwrap();
            let mut answer = [0; 30];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [!number; 30]);
        }
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        drop(server);
        assert_eq!(proxy.join().unwrap(), (5000, 1500));
    });
}

#[test]
fn the_end_of_one_direction_is_carried_over_and_the_other_goes_on() {
    everywhere(|cast| {
        for client_first in [true, false] {
            let (client, server, proxy) = proxied(cast);
            let (mut first, mut second) = if client_first {
                (client, server)
            } else {
                (server, client)
            };
            first.write_all(b"all I have to say").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            let mut text = String::new();
            second.read_to_string(&mut text).unwrap();
            assert_eq!(text, "all I have to say");
            // The answer comes after the end was seen.
            second.write_all(&[3; 1_000_000]).unwrap();
            second.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            first.read_to_end(&mut answer).unwrap();
            assert!(answer.len() == 1_000_000 && answer.iter().all(|&b| b == 3));
            let counts = proxy.join().unwrap();
            if client_first {
                assert_eq!(counts, (17, 1_000_000));
            } else {
                assert_eq!(counts, (1_000_000, 17));
            }
        }
    });
}

#[test]
fn both_directions_at_full_speed() {
    everywhere(|cast| {
        const LEN: usize = 5 << 20;
        let byte = |at: usize| (at.wrapping_mul(31) >> 3) as u8;
        let content: Arc<Vec<u8>> = Arc::new((0..LEN).map(byte).collect());
        let (client, server, proxy) = proxied(cast);
        let ends = [Arc::new(client), Arc::new(server)];
        let mut all = Vec::new();
        for end in &ends {
            let (end, content) = (Arc::clone(end), Arc::clone(&content));
            all.push(cast.spawn(move || {
                for piece in content.chunks(100_003) {
                    (&*end).write_all(piece).unwrap();
                }
                end.shutdown(Shutdown::Write).unwrap();
            }));
        }
        for end in &ends {
            let (end, content) = (Arc::clone(end), Arc::clone(&content));
            all.push(cast.spawn(move || {
                let mut got = Vec::new();
                (&*end).read_to_end(&mut got).unwrap();
                assert!(got == *content);
            }));
        }
        for one in all {
            one.join();
        }
        assert_eq!(proxy.join().unwrap(), (LEN as u64, LEN as u64));
    });
}

#[test]
fn between_networks() {
    everywhere(|cast| {
        let (mut client, a) = pair();
        let (b, mut server) = UnixStream::pair().unwrap();
        let proxy = cast.spawn(move || copy_bidirectional(&a, &b));
        client.write_all(b"over TCP").unwrap();
        let mut request = [0; 8];
        server.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"over TCP");
        server.write_all(b"over a Unix socket").unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "over a Unix socket");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(proxy.join().unwrap(), (8, 18));
    });
}

#[test]
fn connections_of_any_network() {
    everywhere(|cast| {
        let (client, a) = pair();
        let (b, server) = UnixStream::pair().unwrap();
        let (a, b) = (Conn::from(a), Conn::from(b));
        let proxy = cast.spawn(move || copy_bidirectional(&a, &b));
        let (mut client, server) = (Conn::from(client), Conn::from(server));
        let echo = cast.spawn(move || corio_net::copy(&server, &server));
        client.write_all(b"there and back").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let pool = BufferPool::new(100);
        let mut reader = PooledReader::new(client, &pool);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there and back");
        assert_eq!(echo.join().unwrap(), 14);
        assert_eq!(proxy.join().unwrap(), (14, 14));
    });
}

#[test]
fn an_error_in_one_direction_ends_the_other() {
    everywhere(|cast| {
        for which in [true, false] {
            let (client, server, proxy) = proxied(cast);
            let (mut broken, mut other) = if which {
                (client, server)
            } else {
                (server, client)
            };
            broken.write_all(b"some").unwrap();
            other.read_exact(&mut [0; 4]).unwrap();
            // Dropping it resets the connection.
            broken.set_linger(Some(Duration::ZERO)).unwrap();
            drop(broken);
            assert_kind(proxy.join(), ErrorKind::ConnectionReset);
            // The other peer is not left waiting.
            assert_eq!(other.read(&mut [0; 8]).unwrap_or(0), 0);
        }
    });
}

#[test]
fn an_error_while_writing_is_reported_and_ends_the_other_direction() {
    everywhere(|cast| {
        let (client, server, proxy) = proxied(cast);
        let client = Arc::new(client);
        let sending = cast.spawn({
            let client = Arc::clone(&client);
            move || while (&*client).write_all(&[1; 100_000]).is_ok() {}
        });
        (&server).read_exact(&mut vec![0; 300_000]).unwrap();
        server.set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let error = proxy.join().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{error:?}"
        );
        sending.join();
    });
}

#[test]
fn deadlines_and_close_end_both_directions() {
    everywhere(|cast| {
        for round in 0..12 {
            let (client, a) = pair();
            let (b, server) = pair();
            let (a, b) = (Arc::new(a), Arc::new(b));
            let proxy = cast.spawn({
                let (a, b) = (Arc::clone(&a), Arc::clone(&b));
                move || copy_bidirectional(&a, &b)
            });
            pause(round / 3);
            match round % 3 {
                0 => {
                    a.set_read_deadline(Some(Instant::now())).unwrap();
                    assert_timed_out(proxy.join());
                }
                1 => {
                    a.close().unwrap();
                    assert_closed(proxy.join());
                }
                _ => {
                    b.close().unwrap();
                    assert_closed(proxy.join());
                }
            }
            // Both peers see an end.
            for mut peer in [client, server] {
                assert_eq!(peer.read(&mut [0]).unwrap_or(0), 0);
            }
        }
    });
}

#[test]
fn the_first_error_is_the_one_reported() {
    everywhere(|cast| {
        // One direction times out; what ends the other is a consequence of that, whatever it says.
        let (client, a) = pair();
        let (b, _server) = pair();
        fill(&a);
        a.set_read_deadline(after(SHORT)).unwrap();
        let proxy = cast.spawn(move || copy_bidirectional(&a, &b));
        assert_timed_out(proxy.join());
        drop(client);
    });
}

#[test]
fn many_proxied_connections_at_once() {
    let _watchdog = corio_tests::watchdog();
    let tasks: Vec<_> = (0..100_u8)
        .map(|number| {
            corio::spawn(move || {
                let (mut client, a) = pair();
                let (b, server) = pair();
                let proxy = corio::spawn(move || copy_bidirectional(&a, &b));
                let echo = corio::spawn(move || corio_net::copy(&server, &server));
                for size in [1, 10, 1000, 30_000] {
                    let request = vec![number; size];
                    client.write_all(&request).unwrap();
                    let mut answer = vec![0; size];
                    client.read_exact(&mut answer).unwrap();
                    assert!(request == answer);
                }
                drop(client);
                assert_eq!(echo.join().unwrap().unwrap(), 31_011);
                assert_eq!(proxy.join().unwrap().unwrap(), (31_011, 31_011));
            })
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
}
