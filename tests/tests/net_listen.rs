//! Listening: networks and addresses, settings, what is the same on all networks. In brackets, the test
//! of Go's `net` package that has the same behaviour in it.

mod net_support;

use corio_net::{Conn, KeepAlive, ListenConfig, Listener, dial, listen};
use net_support::{
    Directory, LONG, any_addr, assert_closed, assert_kind, assert_timed_out, conns, everywhere,
    has_ipv6, local, networks, pause, under_other_settings, unix_name,
};
use socket2::SockRef;
use std::collections::HashSet;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn port(listener: &Listener) -> u16 {
    listener.local_addr().unwrap().port().unwrap()
}

fn connects(network: &str, addr: &str, listener: &Listener) {
    let conn = dial(network, addr).unwrap_or_else(|error| panic!("{error}"));
    let (_accepted, peer) = listener.accept().unwrap();
    assert_eq!(conn.local_addr().unwrap(), peer);
}

/// [TestDualStackTCPListener, TestWildWildcardListener]
#[test]
fn no_host_means_both_families() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        for host in ["", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]"] {
            let listener = listen("tcp", &format!("{host}:0")).unwrap();
            let port = port(&listener);
            connects("tcp4", &format!("127.0.0.1:{port}"), &listener);
            connects("tcp6", &format!("[::1]:{port}"), &listener);
            // An IPv4 peer is one, not one mapped into IPv6.
            let conn = dial("tcp4", &format!(":{port}")).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert!(peer.as_ip().unwrap().is_ipv4());
            assert!(accepted.local_addr().unwrap().as_ip().unwrap().is_ipv4());
            drop(conn);
        }
    });
}

/// [TestDualStackTCPListener: tcp4 and tcp6 beside each other]
#[test]
fn one_family_leaves_the_other_alone() {
    everywhere(|_| {
        if !has_ipv6() {
            return;
        }
        // Somebody else may have the other family's port of this number: then another one.
        let (v4, v6) = loop {
            let v4 = listen("tcp4", ":0").unwrap();
            if let Ok(v6) = listen("tcp6", &format!(":{}", port(&v4))) {
                break (v4, v6);
            }
        };
        let port = port(&v4);
        connects("tcp", &format!("127.0.0.1:{port}"), &v4);
        connects("tcp", &format!("[::1]:{port}"), &v6);
        let error = listen("tcp", &format!(":{port}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(v4);
        assert_kind(
            dial("tcp4", &format!("127.0.0.1:{port}")),
            ErrorKind::ConnectionRefused,
        );
        let only = ListenConfig::new()
            .only_v6(true)
            .listen("tcp", ":0")
            .unwrap();
        assert!(SockRef::from(&only).only_v6().unwrap());
        let both = ListenConfig::new()
            .only_v6(false)
            .listen("tcp6", ":0")
            .unwrap();
        assert!(!SockRef::from(&both).only_v6().unwrap());
    });
}

/// [TestListenCloseListen, TestClosingListener]
#[test]
fn an_address_is_free_after_close() {
    everywhere(|_| {
        for network in networks() {
            let (listener, addr) = local(network);
            for _ in 0..3 {
                assert_kind(listen(network, &addr), ErrorKind::AddrInUse);
                // Also one that connections linger on.
                let conn = dial(network, &addr).unwrap();
                listener
                    .accept()
                    .unwrap()
                    .0
                    .shutdown(Shutdown::Both)
                    .unwrap();
                drop(conn);
            }
            listener.close().unwrap();
            assert_closed(listener.accept());
            assert_closed(listener.local_addr());
            assert_closed(listener.close());
            dial(network, &addr).unwrap_err();
            let again = listen(network, &addr).unwrap();
            connects_to(network, &addr, &again);
        }
    });
}

fn connects_to(network: &str, addr: &str, listener: &Listener) {
    let _conn = dial(network, addr).unwrap();
    listener.accept().unwrap();
}

/// [TestListenerClose]
#[test]
fn close_ends_accept() {
    everywhere(|cast| {
        for network in networks() {
            for round in 0..4 {
                let (listener, _) = local(network);
                let theirs = listener.try_clone().unwrap();
                let accepting = cast.spawn(move || theirs.accept());
                let theirs = listener.try_clone().unwrap();
                let iterating = cast.spawn(move || theirs.incoming().count());
                pause(round);
                listener.close().unwrap();
                assert_closed(accepting.join());
                assert_eq!(iterating.join(), 0);
            }
        }
    });
}

/// [TestTCPConcurrentAccept]
#[test]
fn several_may_accept_at_once() {
    everywhere(|cast| {
        for network in networks() {
            let (listener, addr) = local(network);
            let accepting: Vec<_> = (0..10)
                .map(|_| {
                    let theirs = listener.try_clone().unwrap();
                    cast.spawn(move || theirs.incoming().map(Result::unwrap).count())
                })
                .collect();
            let conns: Vec<_> = (0..50).map(|_| dial(network, &addr).unwrap()).collect();
            for conn in conns {
                // Closed by whoever has accepted it.
                assert_eq!((&conn).read(&mut [0]).unwrap(), 0);
            }
            listener.close().unwrap();
            let accepted: usize = accepting.into_iter().map(|task| task.join()).sum();
            assert_eq!(accepted, 50);
        }
    });
}

/// [TestUnixUnlink, TestUnixConnLocalAndRemoteNames]
#[test]
fn a_path_goes_with_its_listener() {
    everywhere(|_| {
        let directory = Directory::new();
        let path = directory.join("socket");
        let addr = path.to_str().unwrap();
        let exists = || path.symlink_metadata().is_ok();
        let bound = || {
            assert!(path.symlink_metadata().unwrap().file_type().is_socket());
        };
        let listener = listen("unix", addr).unwrap();
        bound();
        assert_eq!(listener.local_addr().unwrap().to_string(), addr);
        let conn = dial("unix", addr).unwrap();
        assert_eq!(conn.peer_addr().unwrap().to_string(), addr);
        assert_eq!(conn.local_addr().unwrap().to_string(), "@");
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.to_string(), "@");
        assert_eq!(accepted.local_addr().unwrap().as_pathname(), Some(&*path));
        listener.close().unwrap();
        assert!(!exists());
        // By the last handle as well; and not if somebody else's is to stay.
        let listener = listen("unix", addr).unwrap();
        let clone = listener.try_clone().unwrap();
        drop(listener);
        bound();
        drop(clone);
        assert!(!exists());
        let Listener::Unix(listener) = listen("unix", addr).unwrap() else {
            panic!("another network")
        };
        listener.set_unlink_on_close(false).unwrap();
        drop(listener);
        bound();
        // What is in the way is not taken away.
        assert_kind(listen("unix", addr), ErrorKind::AddrInUse);
        bound();
        // A name without a path.
        let name = unix_name("@");
        let listener = listen("unix", &name).unwrap();
        assert_eq!(listener.local_addr().unwrap().to_string(), name);
        assert_eq!(listener.local_addr().unwrap().as_pathname(), None);
        connects_to("unix", &name, &listener);
    });
}

/// [TestListenConfigControl]
#[test]
fn settings_are_made_before_binding() {
    for network in networks() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let config = ListenConfig::new()
            .recv_buffer_size(65_432)
            .send_buffer_size(54_321)
            .control(move |fd| {
                counted.fetch_add(1, Ordering::Relaxed);
                let addr = SockRef::from(&fd).local_addr()?;
                assert!(addr.as_socket().is_none_or(|addr| addr.port() == 0));
                Ok(())
            });
        let listener = config.listen(network, &any_addr(network)).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let addr = listener.local_addr().unwrap().to_string();
        let _conn = dial(network, &addr).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let check = |socket: &dyn AsFd| {
            let socket = socket.as_fd();
            let socket = SockRef::from(&socket);
            assert_eq!(socket.send_buffer_size().unwrap(), 2 * 54_321);
            assert_eq!(socket.recv_buffer_size().unwrap(), 2 * 65_432);
        };
        check(&listener);
        if network != "unix" {
            // What a Unix listener has, its connections do not have.
            check(&accepted);
        }
        let refuse = |_: std::os::fd::BorrowedFd<'_>| Err(io::Error::other("not today"));
        let error = ListenConfig::new()
            .control(refuse)
            .listen(network, &any_addr(network))
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("listen ") && text.ends_with(": not today"),
            "{text}"
        );
    }
}

/// [TestTCPConnKeepAliveConfigListener]
#[test]
fn accepted_connections_have_the_listeners_settings() {
    let keepalive = KeepAlive {
        idle: Duration::from_secs(7),
        interval: Duration::from_secs(3),
        count: 5,
    };
    for keepalive in [Some(keepalive), None] {
        let config = ListenConfig::new().keepalive(keepalive);
        let listener = config.listen("tcp", "127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let _conn = dial("tcp", &addr).unwrap();
        let Conn::Tcp(accepted) = listener.accept().unwrap().0 else {
            panic!("another network")
        };
        assert!(accepted.nodelay().unwrap());
        assert_eq!(accepted.keepalive().unwrap(), keepalive);
    }
}

#[test]
fn several_listeners_may_share_a_port() {
    let config = ListenConfig::new().reuse_port(true);
    let one = config.listen("tcp", "127.0.0.1:0").unwrap();
    let addr = one.local_addr().unwrap().to_string();
    let two = config.listen("tcp", &addr).unwrap();
    assert_kind(listen("tcp", &addr), ErrorKind::AddrInUse);
    // Which one gets a connection is the system's choice; of a hundred, each gets some.
    let clients: Vec<_> = (0..100).map(|_| dial("tcp", &addr).unwrap()).collect();
    let mut peers = HashSet::new();
    for listener in [&one, &two] {
        listener.set_nonblocking(true).unwrap();
        let before = peers.len();
        while let Ok((_, peer)) = listener.accept() {
            peers.insert(peer);
        }
        assert!(peers.len() > before, "none for one of them");
    }
    assert_eq!(peers.len(), clients.len());
}

#[test]
fn a_short_queue_is_as_short_as_it_was_asked_for() {
    let config = ListenConfig::new().backlog(1);
    let listener = config.listen("tcp", "127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let dialer = corio_net::Dialer::new().timeout(Duration::from_millis(100));
    let queue: Vec<_> = (0..9)
        .map_while(|_| dialer.dial("tcp", &addr).ok())
        .collect();
    assert!(queue.len() < 9);
    // The default one takes a burst.
    let (listener, addr) = local("tcp");
    let burst: Vec<_> = (0..500).map(|_| dial("tcp", &addr).unwrap()).collect();
    burst.iter().for_each(|_| drop(listener.accept().unwrap()));
}

/// [TestAcceptIgnoreAbortedConnRequest: the listener goes on]
#[test]
fn a_connection_that_was_reset_in_the_queue_does_no_harm() {
    everywhere(|_| {
        let (listener, addr) = local("tcp");
        for _ in 0..5 {
            let conn = dial("tcp", &addr).unwrap();
            SockRef::from(&conn)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(conn);
        }
        let mut conn = dial("tcp", &addr).unwrap();
        conn.write_all(b"x").unwrap();
        let ours = conn.local_addr().unwrap();
        loop {
            // An error would be the aborted connection's.
            if let Ok((mut accepted, peer)) = listener.accept() {
                if peer == ours {
                    accepted.read_exact(&mut [0]).unwrap();
                    break;
                }
                accepted.read(&mut [0]).unwrap_err();
            }
        }
    });
}

/// [TestConnAndListener, TestTCPListenerSpecificMethods, TestUnixListenerSpecificMethods,
/// TestTCPConnSpecificMethods]
#[test]
fn connections_have_the_same_methods_on_all_networks() {
    everywhere(|_| {
        for network in networks() {
            let (listener, addr) = local(network);
            let family = if network == "unix" { "unix" } else { "tcp" };
            assert_eq!(listener.network(), family);
            listener.set_deadline(Some(Instant::now() + LONG)).unwrap();
            listener.set_nonblocking(true).unwrap();
            assert_kind(listener.accept(), ErrorKind::WouldBlock);
            listener.set_nonblocking(false).unwrap();
            let conn = dial(network, &addr).unwrap();
            listener.wait_readable().unwrap();
            let accepted = listener.incoming().next().unwrap().unwrap();
            assert!(listener.take_error().unwrap().is_none());
            assert_eq!(listener.as_fd().as_raw_fd(), listener.as_raw_fd());
            assert_eq!(conn.network(), family);
            assert_eq!(conn.peer_addr().unwrap().to_string(), addr);
            assert_eq!(accepted.local_addr().unwrap().to_string(), addr);
            assert_eq!(conn.local_addr().unwrap(), accepted.peer_addr().unwrap());
            assert_eq!(conn.as_fd().as_raw_fd(), conn.as_raw_fd());
            let second = Some(Duration::from_secs(50));
            conn.set_read_timeout(second).unwrap();
            conn.set_write_timeout(second).unwrap();
            assert_eq!(conn.read_timeout().unwrap(), second);
            assert_eq!(conn.write_timeout().unwrap(), second);
            assert_kind(
                conn.set_read_timeout(Some(Duration::ZERO)),
                ErrorKind::InvalidInput,
            );
            let soon = Some(Instant::now() + LONG);
            conn.set_deadline(soon).unwrap();
            conn.set_read_deadline(soon).unwrap();
            conn.set_write_deadline(soon).unwrap();
            (&conn).write_all(b"ab").unwrap();
            write!(&conn, "c{}", 2 + 2).unwrap();
            let parts = [IoSlice::new(b"e"), IoSlice::new(b"f")];
            assert_eq!((&conn).write_vectored(&parts).unwrap(), 2);
            (&conn).flush().unwrap();
            conn.wait_writable().unwrap();
            accepted.wait_readable().unwrap();
            let mut bytes = [0; 4];
            (&accepted).read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"abc4");
            let (mut one, mut two) = ([0; 1], [0; 4]);
            let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!((&accepted).read_vectored(&mut parts).unwrap(), 2);
            assert_eq!((one[0], two[0]), (b'e', b'f'));
            accepted.set_nonblocking(true).unwrap();
            assert_kind((&accepted).read(&mut bytes), ErrorKind::WouldBlock);
            assert!(accepted.take_error().unwrap().is_none());
            let text = format!("{conn:?} {listener:?}");
            assert!(
                text.contains("Stream") && text.contains("Listener"),
                "{text}"
            );
            let clone = conn.try_clone().unwrap();
            clone.close().unwrap();
            assert_closed((&conn).read(&mut bytes));
            assert_closed((&conn).write(&bytes));
            assert_closed(conn.set_deadline(None));
            assert_closed(conn.local_addr());
            assert_closed(conn.shutdown(Shutdown::Both));
            assert_closed(conn.close());
        }
    });
}

/// [TestCloseRead, TestCloseWrite]
#[test]
fn halves_are_shut_down_one_by_one() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, mut other) = conns(network);
            other.write_all(b"before").unwrap();
            conn.shutdown(Shutdown::Write).unwrap();
            assert_eq!(other.read(&mut [0; 8]).unwrap(), 0, "{network}");
            (&conn).write(b"x").unwrap_err();
            // The other direction goes on.
            other.write_all(b" and after").unwrap();
            let mut text = [0; 16];
            (&conn).read_exact(&mut text).unwrap();
            assert_eq!(&text, b"before and after");
            let conn = Arc::new(conn);
            let theirs = Arc::clone(&conn);
            let reading = cast.spawn(move || (&mut &*theirs).read(&mut [0; 8]));
            pause(2);
            conn.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reading.join().unwrap(), 0);
        }
    });
}

/// [TestConnClose]
#[test]
fn close_ends_what_waits() {
    everywhere(|cast| {
        for network in networks() {
            for round in 0..4 {
                let (conn, other) = conns(network);
                let conn = Arc::new(conn);
                let (reader, writer) = (Arc::clone(&conn), Arc::clone(&conn));
                let reading = cast.spawn(move || (&mut &*reader).read(&mut [0]));
                let writing = cast.spawn(move || {
                    let bytes = vec![7; 1 << 20];
                    loop {
                        if let Err(error) = (&mut &*writer).write_all(&bytes) {
                            return io::Result::<()>::Err(error);
                        }
                    }
                });
                pause(round);
                conn.close().unwrap();
                assert_closed(reading.join());
                assert_closed(writing.join());
                drop(other);
            }
        }
    });
}

/// [TestZeroByteRead]
#[test]
fn an_empty_buffer_does_not_wait() {
    everywhere(|_| {
        for network in networks() {
            let (mut conn, _other) = conns(network);
            assert_eq!(conn.read(&mut []).unwrap(), 0);
            assert_eq!(conn.write(&[]).unwrap(), 0);
            conn.set_read_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(conn.read(&mut [0]));
        }
    });
}
