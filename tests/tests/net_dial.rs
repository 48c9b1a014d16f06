//! Dialling: networks and addresses, limits in time, IPv6 and IPv4 raced. In brackets, the test of Go's
//! `net` package that has the same behaviour in it.

mod net_support;

use corio::context::{Context, ContextError};
use corio_net::{Conn, Dialer, KeepAlive, OpError, TcpStream, dial, listen};
use net_support::*;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

/// What is inside of an error of dialling.
fn op_error(error: &io::Error) -> &OpError {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .unwrap_or_else(|| panic!("no OpError: {error:?}"))
}

/// The context's error inside of an error of dialling.
fn context_error(error: &io::Error) -> Option<ContextError> {
    let inner = op_error(error).error().get_ref()?;
    inner.downcast_ref().copied()
}

fn assert_text(error: &io::Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

/// A port of the loopback addresses on which nobody listens, and whose owner keeps it from others.
fn closed_port() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

fn echo_once(listener: corio_net::Listener) -> corio::JoinHandle<()> {
    corio::spawn(move || {
        let (mut conn, _) = listener.accept().unwrap();
        let mut bytes = [0; 4];
        conn.read_exact(&mut bytes).unwrap();
        conn.write_all(&bytes).unwrap();
    })
}

fn assert_echoes(mut conn: Conn) {
    conn.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    conn.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
}

/// [TestConnAndListener, TestDialLocal]
#[test]
fn every_network_can_be_dialled() {
    everywhere(|cast| {
        for network in networks() {
            let (listener, addr) = local(network);
            let server = echo_once(listener);
            let conn = cast.spawn(move || dial(network, &addr)).join().unwrap();
            assert!(network.starts_with(conn.network()));
            assert_echoes(conn);
            server.join().unwrap();
        }
    });
}

/// [TestDialLocal, TestDialListenerAddr, TestLookupPort]
#[test]
fn hosts_may_be_left_out_or_be_names() {
    everywhere(|_| {
        let listener = listen("tcp", ":0").unwrap();
        let port = listener.local_addr().unwrap().port().unwrap();
        let mut hosts = vec![
            ("tcp", ""),
            ("tcp", "localhost"),
            ("tcp", "0.0.0.0"),
            ("tcp4", "localhost"),
            ("tcp4", ""),
            ("tcp4", "127.0.0.1"),
            ("tcp", "[::ffff:127.0.0.1]"),
            ("tcp4", "[::ffff:127.0.0.1]"),
        ];
        if has_ipv6() {
            hosts.extend([("tcp6", ""), ("tcp6", "[::1]"), ("tcp", "[::]")]);
        }
        for (network, host) in hosts {
            let conn = dial(network, &format!("{host}:{port}"))
                .unwrap_or_else(|error| panic!("{network} {host:?}: {error}"));
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(conn.local_addr().unwrap(), peer, "{network} {host}");
            assert_eq!(accepted.peer_addr().unwrap(), peer);
            assert_eq!(
                conn.peer_addr().unwrap(),
                accepted.local_addr().unwrap(),
                "{network} {host}"
            );
        }
        // Somebody may listen there.
        if let Err(error) = dial("tcp", "127.0.0.1:http") {
            assert_text(&error, &["dial tcp 127.0.0.1:80: "]);
        }
    });
}

/// [TestDialError, TestDialAddrError, TestListenError, TestProhibitionaryDialArg,
/// TestDialClosedPortFailFast]
#[test]
fn errors_tell_what_was_to_be_done() {
    for (network, addr, why) in [
        ("foo", "127.0.0.1:1", "unknown network"),
        ("", "127.0.0.1:1", "unknown network"),
        ("tcp", "127.0.0.1", "missing port"),
        ("tcp", "::1", "too many colons"),
        ("tcp", "", "missing address"),
        ("tcp", "127.0.0.1:70000", "invalid port"),
        ("tcp", "127.0.0.1:nowhere", "unknown port"),
        ("tcp4", "[::1]:80", "no suitable address"),
        ("tcp6", "127.0.0.1:80", "no suitable address"),
        ("unix", "", "missing address"),
    ] {
        for error in [
            dial(network, addr).unwrap_err(),
            listen(network, addr).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{network} {addr}");
            assert_text(&error, &[why, network, addr]);
            let inner = op_error(&error);
            assert_eq!((inner.network(), inner.addr()), (network, addr));
        }
    }
    let (_owner, addr) = closed_port();
    let addr = addr.to_string();
    let error = dial("tcp", &addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("dial tcp {addr}: ")));
    let inner = op_error(&error).error();
    assert_eq!(inner.raw_os_error(), Some(libc::ECONNREFUSED));
    let error = dial("unix", "/nonexistent/socket").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_text(&error, &["dial unix /nonexistent/socket: "]);
    let (_listener, addr) = local("tcp4");
    let error = listen("tcp4", &addr).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .starts_with(&format!("listen tcp4 {addr}: "))
    );
}

/// [TestDialTimeout]
#[test]
fn a_silent_address_ends_with_the_time() {
    everywhere(|cast| {
        let hole = BlackHole::at("127.0.0.1:0");
        let addr = hole.addr.to_string();
        let dialers = [
            Dialer::new().timeout(SHORT),
            Dialer::new().timeout(LONG).deadline(Instant::now() + SHORT),
            Dialer::new().timeout(SHORT).timeout(Duration::ZERO),
            Dialer::new().deadline(Instant::now() - SHORT),
            Dialer::new().context(&Context::background().with_timeout(SHORT).0),
        ];
        for dialer in dialers {
            let addr = addr.clone();
            let error = cast
                .spawn(move || dialer.dial("tcp", &addr))
                .join()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert_text(&error, &["dial tcp 127.0.0.1:"]);
        }
        let start = Instant::now();
        let dialer = Dialer::new().timeout(SHORT);
        dialer.dial("tcp", &addr).unwrap_err();
        assert!(start.elapsed() >= SHORT);
    });
}

/// [TestDialTimeoutMaxDuration]
#[test]
fn the_longest_timeout_is_none() {
    let (listener, addr) = local("tcp");
    let dialer = Dialer::new().timeout(Duration::MAX);
    dialer.dial("tcp", &addr).unwrap();
    listener.accept().unwrap();
}

/// [TestDialCancel, TestContextError]
#[test]
fn a_context_ends_dialling() {
    everywhere(|cast| {
        let hole = BlackHole::at("127.0.0.1:0");
        let addr = hole.addr.to_string();
        for round in 0..4 {
            let (ctx, cancel) = Context::background().with_cancel();
            let (dialer, addr) = (Dialer::new().context(&ctx), addr.clone());
            let dialling = cast.spawn(move || dialer.dial("tcp", &addr));
            pause(round);
            cancel.cancel();
            let error = dialling.join().unwrap_err();
            assert_eq!(context_error(&error), Some(ContextError::Canceled));
            assert_eq!(error.kind(), ErrorKind::Other);
            assert_text(&error, &["dial tcp 127.0.0.1:", "context canceled"]);
        }
        let (ctx, cancel) = Context::background().with_cancel();
        cancel.cancel();
        for network in networks() {
            let (_listener, addr) = local(network);
            let error = Dialer::new()
                .context(&ctx)
                .dial(network, &addr)
                .unwrap_err();
            assert_eq!(context_error(&error), Some(ContextError::Canceled));
        }
    });
}

/// [TestCancelAfterDial, TestTCPSpuriousConnSetupCompletionWithCancel]
#[test]
fn a_context_that_ends_later_does_not_matter() {
    everywhere(|_| {
        for network in networks() {
            let (listener, addr) = local(network);
            for _ in 0..20 {
                let (ctx, cancel) = Context::background().with_cancel();
                let conn = Dialer::new().context(&ctx).dial(network, &addr).unwrap();
                let mut accepted = listener.accept().unwrap().0;
                cancel.cancel();
                corio::yield_now();
                accepted.write_all(b"x").unwrap();
                (&conn).read_exact(&mut [0]).unwrap();
            }
            // Either it connects, or it tells of the context; whatever was connected is closed then.
            for round in 0..20 {
                let (ctx, cancel) = Context::background().with_cancel();
                let canceller = corio::spawn(move || {
                    pause(round);
                    cancel.cancel();
                });
                // A connection that was given up may stand in the queue of this one.
                let (listener, addr) = local(network);
                match Dialer::new().context(&ctx).dial(network, &addr) {
                    Ok(conn) => {
                        let mut accepted = listener.accept().unwrap().0;
                        accepted.write_all(b"x").unwrap();
                        (&conn).read_exact(&mut [0]).unwrap();
                    }
                    Err(error) => {
                        assert_eq!(context_error(&error), Some(ContextError::Canceled));
                    }
                }
                canceller.join().unwrap();
            }
        }
    });
}

/// A full queue: the client waits, and so the limits apply.
#[test]
fn a_unix_listener_with_a_full_queue_does_not_hold_up_for_ever() {
    everywhere(|cast| {
        let config = corio_net::ListenConfig::new().backlog(0);
        let listener = config.listen("unix", &unix_name("/")).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut queue = Vec::new();
        let error = loop {
            match Dialer::new().timeout(SHORT).dial("unix", &addr) {
                Ok(conn) => queue.push(conn),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let (ctx, cancel) = Context::background().with_cancel();
        let (dialer, to) = (Dialer::new().context(&ctx), addr.clone());
        let dialling = cast.spawn(move || dialer.dial("unix", &to));
        pause(2);
        cancel.cancel();
        let error = dialling.join().unwrap_err();
        assert_eq!(context_error(&error), Some(ContextError::Canceled));
        let dialling = cast.spawn(move || dial("unix", &addr));
        for _ in 0..=queue.len() {
            listener.accept().unwrap();
        }
        dialling.join().unwrap();
    });
}

/// [TestDialerLocalAddr, TestUnixConnLocalAndRemoteNames]
#[test]
fn the_local_address_can_be_chosen() {
    let (listener, addr) = local("tcp4");
    let dialer = Dialer::new().local_addr(SocketAddr::from(([127, 0, 0, 2], 0)));
    let conn = dialer.dial("tcp", &addr).unwrap();
    assert_eq!(
        conn.local_addr().unwrap().as_ip().unwrap().ip(),
        Ipv4Addr::new(127, 0, 0, 2)
    );
    assert_eq!(listener.accept().unwrap().1, conn.local_addr().unwrap());
    if has_ipv6() {
        // Only addresses of its family are tried.
        let error = dialer.dial("tcp", "[::1]:1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_text(&error, &["dial tcp 127.0.0.2:0->[::1]:1", "no suitable"]);
    }
    let error = dialer.dial("unix", "/tmp/x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let (listener, addr) = local("unix");
    let name = unix_name("@");
    let unix = std::os::unix::net::SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let conn = Dialer::new().local_addr(unix).dial("unix", &addr).unwrap();
    assert_eq!(conn.local_addr().unwrap().to_string(), name);
    assert_eq!(listener.accept().unwrap().1.to_string(), name);
}

/// [TestDialerKeepAlive, TestTCPConnKeepAliveConfigDialer]
#[test]
fn connections_have_gos_defaults() {
    let (listener, addr) = local("tcp");
    let check = |conn: &Conn, expected: Option<KeepAlive>| {
        let socket = SockRef::from(conn);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.keepalive().unwrap(), expected.is_some());
        if let Some(expected) = expected {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), expected.idle);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), expected.interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), expected.count);
        }
    };
    let seconds = Duration::from_secs;
    let default = KeepAlive::default();
    assert_eq!(default.idle, seconds(15));
    assert_eq!(default.interval, seconds(15));
    assert_eq!(default.count, 9);
    check(&dial("tcp", &addr).unwrap(), Some(default));
    check(&listener.accept().unwrap().0, Some(default));
    let other = KeepAlive {
        idle: seconds(7),
        interval: seconds(3),
        count: 5,
    };
    let dialer = Dialer::new().keepalive(Some(other));
    check(&dialer.dial("tcp", &addr).unwrap(), Some(other));
    let dialer = Dialer::new().keepalive(None);
    check(&dialer.dial("tcp", &addr).unwrap(), None);
    // std's name, std's defaults.
    let addr: SocketAddr = addr.parse().unwrap();
    let stream = TcpStream::connect(addr).unwrap();
    assert!(!stream.nodelay().unwrap());
    assert!(!SockRef::from(&stream).keepalive().unwrap());
}

/// [TestDialerControl, TestDialerControlContext]
#[test]
fn control_sees_each_socket_first() {
    for network in networks() {
        let (_listener, addr) = local(network);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let dialer = Dialer::new().control(move |fd| {
            counted.fetch_add(1, Ordering::Relaxed);
            SockRef::from(&fd).set_recv_buffer_size(54_321)
        });
        let conn = dialer.dial(network, &addr).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1, "{network}");
        let size = SockRef::from(&conn).recv_buffer_size().unwrap();
        assert_eq!(size, 2 * 54_321, "Linux doubles it");
        let refuse = |_: std::os::fd::BorrowedFd<'_>| Err(io::Error::other("no sockets today"));
        let error = Dialer::new()
            .control(refuse)
            .dial(network, &addr)
            .unwrap_err();
        assert_text(&error, &["dial ", network, "no sockets today"]);
    }
}

/// [TestSelfConnect]
#[test]
fn nobody_is_connected_to_himself() {
    under_all_settings("dial_itself", &[]);
}

// ---- both families ----

/// A listener on an IPv4 and one on an IPv6 address.
fn both() -> (TcpListener, TcpListener) {
    (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("[::1]:0").unwrap(),
    )
}

fn addr(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

/// [TestDialParallel: primary is fast]
#[test]
fn the_first_family_has_a_head_start() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        let (v4, v6) = both();
        for addrs in [[addr(&v4), addr(&v6)], [addr(&v6), addr(&v4)]] {
            let stream = Dialer::new().connect(&addrs[..]).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addrs[0]);
            let stream = TcpStream::connect(&addrs[..]).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addrs[0]);
        }
        for listener in [v4, v6] {
            listener.set_nonblocking(true).unwrap();
            let accepted = (0..3).filter(|_| listener.accept().is_ok()).count();
            assert_eq!(accepted, 2, "nobody connects beside");
        }
    });
}

/// [TestDialParallel: primary is slow]
#[test]
fn a_family_that_does_not_answer_is_overtaken() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        for (hole, other) in [("[::1]:0", "127.0.0.1:0"), ("127.0.0.1:0", "[::1]:0")] {
            let hole = BlackHole::at(hole);
            let other = TcpListener::bind(other).unwrap();
            let addrs = [hole.addr, hole.addr, addr(&other)];
            let delay = Duration::from_millis(5);
            let dialer = Dialer::new().fallback_delay(Some(delay));
            let limited = dialer.clone().timeout(LONG);
            let dialers = [
                dialer.clone().fallback_delay(Some(Duration::ZERO)),
                limited.context(&Context::background()),
                dialer,
            ];
            for dialer in dialers {
                let stream = dialer.connect(&addrs[..]).unwrap();
                assert_eq!(stream.peer_addr().unwrap(), addr(&other));
                assert_eq!(other.accept().unwrap().1, stream.local_addr().unwrap());
            }
            let start = Instant::now();
            let stream = TcpStream::connect(&addrs[..]).unwrap();
            assert!(start.elapsed() >= Duration::from_millis(300));
            assert_eq!(stream.peer_addr().unwrap(), addr(&other));
        }
    });
}

/// [TestDialParallel: primary fails]
#[test]
fn a_family_that_refuses_is_not_waited_for() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        let v6 = TcpListener::bind("[::1]:0").unwrap();
        let (_owner, refuses) = closed_port();
        let addrs = [refuses, refuses, addr(&v6)];
        let dialer = Dialer::new().fallback_delay(Some(LONG * 100));
        let stream = dialer.connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr(&v6));
    });
}

/// [TestDialParallel: both fail]
#[test]
fn if_all_fail_the_first_family_is_heard() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        let (_owner, refuses) = closed_port();
        let hole = BlackHole::at("[::1]:0");
        let dialer = Dialer::new()
            .timeout(SHORT * 14)
            .fallback_delay(Some(Duration::from_millis(1)));
        let error = dialer.connect(&[hole.addr, refuses][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_text(&error, &[&hole.addr.to_string()]);
        let error = dialer.connect(&[refuses, hole.addr][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert_text(&error, &[&refuses.to_string()]);
        // As std has it: the last one.
        let closed6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None);
        let closed6 = closed6.unwrap();
        let any: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
        closed6.bind(&any.into()).unwrap();
        let unspecified: SocketAddr = "255.255.255.255:1".parse().unwrap();
        let closed6 = closed6.local_addr().unwrap().as_socket().unwrap();
        for addrs in [[unspecified, closed6], [closed6, unspecified]] {
            let ours = TcpStream::connect(&addrs[..]).unwrap_err();
            let stds = std::net::TcpStream::connect(&addrs[..]).unwrap_err();
            assert_eq!(ours.kind(), stds.kind(), "{addrs:?}");
        }
    });
}

/// [TestDialParallel: cancelled]
#[test]
fn a_context_ends_both_families() {
    everywhere(|cast| {
        if !has_ipv6() {
            return;
        }
        let holes = [BlackHole::at("[::1]:0"), BlackHole::at("127.0.0.1:0")];
        let addrs = [holes[0].addr, holes[1].addr];
        for round in 0..4 {
            let (ctx, cancel) = Context::background().with_cancel();
            let dialer = Dialer::new()
                .context(&ctx)
                .fallback_delay(Some(Duration::from_micros(100)));
            let dialling = cast.spawn(move || dialer.connect(&addrs[..]));
            pause(round);
            cancel.cancel();
            let error = dialling.join().unwrap_err();
            assert_eq!(context_error(&error), Some(ContextError::Canceled));
        }
    });
}

/// [TestDialerPartialDeadline, and a negative FallbackDelay]
#[test]
fn without_a_race_a_silent_address_has_its_share_of_the_time() {
    let _dog = corio_tests::watchdog();
    if !has_ipv6() {
        return;
    }
    let hole = BlackHole::at("[::1]:0");
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let addrs = [hole.addr, addr(&v4)];
    let start = Instant::now();
    // Two seconds are the least share.
    let dialer = Dialer::new().timeout(LONG / 10).fallback_delay(None);
    let stream = dialer.connect(&addrs[..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr(&v4));
    assert!(start.elapsed() >= Duration::from_secs(2));
    let dialer = Dialer::new().timeout(SHORT * 14).fallback_delay(None);
    let error = dialer.connect(&addrs[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_text(&error, &[&hole.addr.to_string()]);
}

/// [TestDialParallelSpuriousConnection, TestDialerDualStackFDLeak]
#[test]
fn the_loser_leaves_nothing_behind() {
    under_all_settings("dial_leaves_nothing", &[]);
}

/// [TestDialerDualStack]
#[test]
fn a_name_with_both_families_is_raced() {
    under_all_settings("dial_hosts", &[]);
}

/// [TestDialContext, TestLookupContextCancel]
#[test]
fn the_time_for_dialling_counts_for_the_resolver_too() {
    under_all_settings("dial_resolver", &[]);
}

/// [TestDualStackTCPListener without IPv6]
#[test]
fn a_system_without_ipv6_will_do() {
    under_all_settings("dial_no_ipv6", &[]);
}
