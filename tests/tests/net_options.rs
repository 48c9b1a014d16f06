//! Socket options: what is set is what the system has, what it can't do is an error, and nothing is left
//! after `close`.

mod net_support;

use corio_net::{KeepAlive, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use corio_tests::on_both;
use net_support::*;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn keepalive_is_off_until_it_is_set() {
    on_both(|| {
        let (client, server) = pair();
        for stream in [&client, &server] {
            assert_eq!(stream.keepalive().unwrap(), None);
        }
        let keepalive = KeepAlive {
            idle: seconds(30),
            interval: seconds(7),
            count: 4,
        };
        client.set_keepalive(Some(keepalive)).unwrap();
        assert_eq!(client.keepalive().unwrap(), Some(keepalive));
        let system = SockRef::from(&client);
        assert!(system.keepalive().unwrap());
        assert_eq!(system.tcp_keepalive_time().unwrap(), seconds(30));
        assert_eq!(system.tcp_keepalive_interval().unwrap(), seconds(7));
        assert_eq!(system.tcp_keepalive_retries().unwrap(), 4);
        client.set_keepalive(None).unwrap();
        assert_eq!(client.keepalive().unwrap(), None);
        assert_eq!(server.keepalive().unwrap(), None);
    });
}

#[test]
fn keepalive_has_the_defaults_of_go_and_whole_seconds() {
    on_both(|| {
        let (client, _server) = pair();
        client.set_keepalive(Some(KeepAlive::default())).unwrap();
        let found = client.keepalive().unwrap().unwrap();
        assert_eq!(found.idle, seconds(15));
        assert_eq!(found.interval, seconds(15));
        assert_eq!(found.count, 9);
        let fractions = KeepAlive {
            idle: Duration::from_millis(1),
            interval: Duration::from_millis(2001),
            ..found
        };
        client.set_keepalive(Some(fractions)).unwrap();
        let found = client.keepalive().unwrap().unwrap();
        assert_eq!((found.idle, found.interval), (seconds(1), seconds(3)));
        client.set_keepalive(None).unwrap();
        let default = KeepAlive::default();
        for impossible in [
            KeepAlive {
                idle: Duration::ZERO,
                ..default
            },
            KeepAlive {
                idle: Duration::MAX,
                ..default
            },
            KeepAlive {
                interval: seconds(32_768),
                ..default
            },
            KeepAlive {
                count: 0,
                ..default
            },
            KeepAlive {
                count: u32::MAX,
                ..default
            },
        ] {
            let refused = client.set_keepalive(Some(impossible));
            let error = refused.as_ref().unwrap_err().to_string();
            let named = ["idle", "interval", "count"].map(|name| error.contains(name));
            assert_eq!(named.iter().filter(|named| **named).count(), 1, "{error}");
            assert_kind(refused, ErrorKind::InvalidInput);
            assert_eq!(client.keepalive().unwrap(), None);
        }
    });
}

#[test]
fn buffer_sizes_are_what_was_asked_for_or_more() {
    macro_rules! check {
        ($socket:expr, $set:ident, $get:ident) => {
            $socket.$set(20_000).unwrap();
            let small = $socket.$get().unwrap();
            assert!((20_000..=50_000).contains(&small), "{small}");
            $socket.$set(50_000).unwrap();
            assert!($socket.$get().unwrap() > small);
        };
    }
    macro_rules! check_both {
        ($socket:expr) => {
            let socket = $socket;
            check!(socket, set_send_buffer_size, send_buffer_size);
            check!(socket, set_recv_buffer_size, recv_buffer_size);
            socket.close().unwrap();
            assert_closed(socket.set_send_buffer_size(1));
            assert_closed(socket.recv_buffer_size());
        };
    }
    on_both(|| {
        check_both!(pair().0);
        check_both!(listen().0);
        check_both!(UnixStream::pair().unwrap().0);
        check_both!(UnixDatagram::unbound().unwrap());
        check_both!(UdpSocket::bind("127.0.0.1:0").unwrap());
    });
}

#[test]
fn a_small_buffer_takes_less() {
    let (one, _other) = UnixStream::pair().unwrap();
    let (two, _other) = UnixStream::pair().unwrap();
    two.set_send_buffer_size(10_000).unwrap();
    let [one, two] = [one, two].map(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(n) = (&stream).write(&[0; 1000]) {
            sent += n;
        }
        sent
    });
    assert!(two < one / 2, "{two} {one}");
}

#[test]
fn the_user_timeout_is_in_milliseconds() {
    on_both(|| {
        let (client, _server) = pair();
        assert_eq!(client.tcp_user_timeout().unwrap(), None);
        for (set, got) in [
            (Duration::from_secs(3), Duration::from_secs(3)),
            (Duration::from_nanos(1), Duration::from_millis(1)),
            (Duration::from_micros(1001), Duration::from_millis(2)),
            (Duration::MAX, Duration::from_millis(i32::MAX as u64)),
        ] {
            client.set_tcp_user_timeout(Some(set)).unwrap();
            assert_eq!(client.tcp_user_timeout().unwrap(), Some(got));
        }
        assert_kind(
            client.set_tcp_user_timeout(Some(Duration::ZERO)),
            ErrorKind::InvalidInput,
        );
        client.set_tcp_user_timeout(None).unwrap();
        assert_eq!(client.tcp_user_timeout().unwrap(), None);
    });
}

#[test]
fn switches_can_be_turned() {
    on_both(|| {
        let (client, _server) = pair();
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
        for quickack in [false, true] {
            client.set_quickack(quickack).unwrap();
            assert_eq!(client.quickack().unwrap(), quickack);
        }
        assert_eq!(client.linger().unwrap(), None);
        client.set_linger(Some(seconds(5))).unwrap();
        assert_eq!(client.linger().unwrap(), Some(seconds(5)));
        // In whole seconds, rounded up: half a second must not become none, which resets the connection.
        client.set_linger(Some(seconds(1) / 2)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(seconds(1)));
        client.set_linger(Some(seconds(1 << 32))).unwrap();
        assert_ne!(client.linger().unwrap(), Some(Duration::ZERO));
        client.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        client.set_linger(None).unwrap();
        assert_eq!(client.linger().unwrap(), None);
        client.set_ttl(42).unwrap();
        assert_eq!(client.ttl().unwrap(), 42);
        // A clone is the same socket.
        assert_eq!(client.try_clone().unwrap().ttl().unwrap(), 42);
        assert_kind(client.set_ttl(256), ErrorKind::InvalidInput);
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn no_linger_resets_the_connection() {
    everywhere(|cast| {
        let (client, mut server) = pair();
        let reader = cast.spawn(move || server.read(&mut [0]));
        pause(2);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        client.close().unwrap();
        assert_kind(reader.join(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn listeners_say_how_they_were_bound() {
    on_both(|| {
        let (listener, _) = listen();
        assert!(listener.reuse_address().unwrap());
        assert!(!listener.reuse_port().unwrap());
        listener.set_ttl(33).unwrap();
        assert_eq!(listener.ttl().unwrap(), 33);
        assert!(listener.only_v6().is_err(), "an IPv4 address");
        // Connections have the listener's options.
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap().0.ttl().unwrap(), 33);
        assert_ne!(client.ttl().unwrap(), 33);
        match TcpListener::bind("[::]:0") {
            Ok(listener) => {
                assert!(!listener.only_v6().unwrap());
                #[allow(deprecated)]
                let result = listener.set_only_v6(true);
                assert_kind(result, ErrorKind::InvalidInput);
            }
            Err(error) => eprintln!("skipped, no IPv6 here: {error}"),
        }
    });
}

#[test]
fn a_receive_buffer_of_the_listener_is_that_of_its_connections() {
    on_both(|| {
        let (listener, addr) = listen();
        listener.set_recv_buffer_size(30_000).unwrap();
        let size = listener.recv_buffer_size().unwrap();
        let _client = TcpStream::connect(addr).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(stream.recv_buffer_size().unwrap(), size);
    });
}

#[test]
fn all_other_options_are_there_by_the_descriptor() {
    let (client, _server) = pair();
    SockRef::from(&client.as_fd()).set_tcp_cork(true).unwrap();
    assert!(SockRef::from(&client).tcp_cork().unwrap());
}

#[test]
fn a_closed_socket_has_no_options() {
    on_both(|| {
        let (client, _server) = pair();
        let (listener, _) = listen();
        client.close().unwrap();
        listener.close().unwrap();
        assert_closed(client.set_keepalive(None));
        assert_closed(client.keepalive());
        assert_closed(client.set_tcp_user_timeout(None));
        assert_closed(client.tcp_user_timeout());
        assert_closed(client.set_linger(None));
        assert_closed(client.linger());
        assert_closed(client.set_nodelay(true));
        assert_closed(client.nodelay());
        assert_closed(client.set_quickack(true));
        assert_closed(client.quickack());
        assert_closed(client.set_ttl(1));
        assert_closed(client.ttl());
        assert_closed(client.take_error());
        assert_closed(client.wait_readable());
        assert_closed(client.wait_writable());
        assert_closed(listener.ttl());
        assert_closed(listener.only_v6());
        assert_closed(listener.reuse_address());
        assert_closed(listener.reuse_port());
        assert_closed(listener.wait_readable());
    });
}
