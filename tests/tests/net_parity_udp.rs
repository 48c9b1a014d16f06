//! `UdpSocket`: the same code on std's type and on ours.
//!
//! Multicast may not work where this runs: that a call fails is no failure, if it fails for both.

mod net_support;
#[macro_use]
mod net_parity_support;

use net_support::under_other_settings;

both! {
    [std::net] [UdpSocket]

    pub(crate) type Datagram = UdpSocket;

    pub(crate) fn bound() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    pub(crate) fn datagram_pair() -> (UdpSocket, UdpSocket) {
        let ((a, a_addr), (b, b_addr)) = (bound(), bound());
        a.connect(b_addr).unwrap();
        b.connect(a_addr).unwrap();
        (a, b)
    }

    /// A socket connected to an address where nobody is, as long as the second value lives.
    pub(crate) fn to_nobody() -> (UdpSocket, impl Sized) {
        let (a, a_addr) = bound();
        // It takes messages only from somebody else, and so the system says that nobody is there.
        let (b, b_addr) = bound();
        let (other, other_addr) = bound();
        b.connect(other_addr).unwrap();
        a.connect(b_addr).unwrap();
        assert_ne!(a_addr, other_addr);
        (a, (b, other))
    }
}

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

mod udp_socket {
    datagram_parity! {
        methods: [
            bind, recv_from, peek_from, send_to, peer_addr, local_addr, try_clone, set_read_timeout,
            set_write_timeout, read_timeout, write_timeout, set_broadcast, broadcast,
            set_multicast_loop_v4, multicast_loop_v4, set_multicast_ttl_v4, multicast_ttl_v4,
            set_multicast_loop_v6, multicast_loop_v6, set_ttl, ttl, join_multicast_v4,
            join_multicast_v6, leave_multicast_v4, leave_multicast_v6, take_error, connect, send, recv,
            peek, set_nonblocking,
        ];

        fn bind(log) {
            let (socket, addr) = bound();
            log.note("a port", addr.port() != 0);
            log.result("in use", UdpSocket::bind(addr).map(drop));
            log.result("of nobody here", UdpSocket::bind("192.0.2.1:0").map(drop));
            let both = [addr, "127.0.0.1:0".parse().unwrap()];
            log.result("second address", UdpSocket::bind(&both[..]).map(drop));
            let neither = [addr, "192.0.2.1:0".parse().unwrap()];
            log.result("neither", UdpSocket::bind(&neither[..]).map(drop));
            let none: &[SocketAddr] = &[];
            log.result("no address", UdpSocket::bind(none).map(drop));
            for text in ["", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"] {
                log.result(text, UdpSocket::bind(text).map(drop));
            }
            drop(socket);
            log.result("free again", UdpSocket::bind(addr).map(drop));
            log.result("pair", UdpSocket::bind(("127.0.0.1", 0)).map(drop));
            log.result("name", UdpSocket::bind("localhost:0").map(drop));
            log.result("v6", UdpSocket::bind("[::1]:0").map(drop));
            log.result("any", UdpSocket::bind("0.0.0.0:0").map(drop));
            log.result("any v6", UdpSocket::bind("[::]:0").map(drop));
            log.result("group", UdpSocket::bind("224.0.0.123:0").map(drop));
        }

        fn bind_both_ip_versions(log) {
            let socket = UdpSocket::bind("[::]:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
            log.result("send", v4.send_to(b"x", ("127.0.0.1", port)));
            let (n, from) = socket.recv_from(&mut [0; 8]).unwrap();
            log.note("a mapped address", (n, from.ip()));
            log.result("answer", socket.send_to(b"yy", from));
            log.result("comes", v4.recv(&mut [0; 8]));
        }

        fn recv_from(log) {
            let ((a, a_addr), (b, b_addr)) = (bound(), bound());
            a.send_to(b"hello", b_addr).unwrap();
            let mut buffer = [0; 3];
            let (n, from) = b.recv_from(&mut buffer).unwrap();
            log.note("cut", (n, buffer, from == a_addr));
            a.send_to(b"", b_addr).unwrap();
            let (n, from) = b.recv_from(&mut buffer).unwrap();
            log.note("empty", (n, from == a_addr));
            a.send_to(b"no room", b_addr).unwrap();
            let (n, from) = b.recv_from(&mut []).unwrap();
            log.note("no room", (n, from == a_addr));
            let receiver = log.spawn(move || b.recv_from(&mut [0; 8]).unwrap());
            a.send_to(b"late", b_addr).unwrap();
            let (n, from) = receiver.join();
            log.note("blocked", (n, from == a_addr));
        }

        fn peek_from(log) {
            let ((a, a_addr), (b, b_addr)) = (bound(), bound());
            a.send_to(b"hello", b_addr).unwrap();
            let mut buffer = [0; 3];
            let (n, from) = b.peek_from(&mut buffer).unwrap();
            log.note("cut", (n, buffer, from == a_addr));
            let (n, from) = b.peek_from(&mut []).unwrap();
            log.note("no room", (n, from == a_addr));
            let (n, from) = b.recv_from(&mut [0; 8]).unwrap();
            log.note("still there", (n, from == a_addr));
            b.set_read_timeout(Some(SHORT)).unwrap();
            log.late("nothing any more", b.peek_from(&mut buffer));
            b.set_nonblocking(true).unwrap();
            log.result("non-blocking", b.peek_from(&mut buffer).map(drop));
            b.set_nonblocking(false).unwrap();
            b.set_read_timeout(None).unwrap();
            let peeker = log.spawn(move || {
                let n = b.peek_from(&mut [0; 8]).unwrap().0;
                (b, n)
            });
            a.send_to(b"", b_addr).unwrap();
            let (b, n) = peeker.join();
            log.note("blocked", n);
            log.result("still there", b.recv(&mut [0; 8]));
        }

        fn peek(log) {
            let (a, b) = datagram_pair();
            a.send(b"hello").unwrap();
            a.send(b"").unwrap();
            let mut buffer = [0; 3];
            log.result("cut", b.peek(&mut buffer));
            log.note("bytes", buffer);
            log.result("no room", b.peek(&mut []));
            log.result("all", b.peek(&mut [0; 64]));
            log.result("recv", b.recv(&mut [0; 64]));
            log.result("empty", b.peek(&mut buffer));
            log.result("recv", b.recv(&mut buffer));
            b.set_read_timeout(Some(SHORT)).unwrap();
            log.late("nothing any more", b.peek(&mut buffer));
            b.set_nonblocking(true).unwrap();
            log.result("non-blocking", b.peek(&mut buffer));
            log.result("no room", b.peek(&mut []));
        }

        fn send_to(log) {
            let ((a, _), (b, b_addr)) = (bound(), bound());
            log.result("send", a.send_to(b"hello", b_addr));
            log.result("empty", a.send_to(b"", b_addr));
            log.result("recv", b.recv(&mut [0; 8]));
            log.result("recv", b.recv(&mut [0; 8]));
            // Only the first address counts.
            let (c, c_addr) = bound();
            log.result("two addresses", a.send_to(b"x", &[b_addr, c_addr][..]));
            log.result("the first", b.recv(&mut [0; 8]));
            c.set_nonblocking(true).unwrap();
            log.result("not the second", c.recv(&mut [0; 8]));
            let wrong: SocketAddr = "[::1]:1".parse().unwrap();
            log.result("bad first", a.send_to(b"x", &[wrong, b_addr][..]));
            let none: &[SocketAddr] = &[];
            log.result("no address", a.send_to(b"x", none));
            for text in ["", ":", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536"] {
                log.result(text, a.send_to(b"x", text));
            }
            log.result("port 0", a.send_to(b"x", "127.0.0.1:0"));
            log.result("name", a.send_to(b"x", ("localhost", b_addr.port())));
            log.result("other version", a.send_to(b"x", "[::1]:1"));
            log.result("out of loopback", a.send_to(b"x", "192.0.2.1:1"));
            log.result("broadcast", a.send_to(b"x", "127.255.255.255:1"));
            log.result("65507 bytes", a.send_to(&[0; 65507], b_addr));
            log.result("65508 bytes", a.send_to(&[0; 65508], b_addr));
            log.result("a megabyte", a.send_to(&vec![0; 1 << 20], b_addr));
        }

        fn send_to_nobody(log) {
            // Unconnected sockets are not told.
            let (gone, gone_addr) = bound();
            drop(gone);
            let (a, _) = bound();
            log.result("send", a.send_to(b"x", gone_addr));
            log.result("again", a.send_to(b"x", gone_addr));
            log.result("no error", a.take_error().map(|e| e.map(|e| e.kind())));
        }

        fn send_on_an_unconnected_socket(log) {
            let (a, _) = bound();
            log.result("send", a.send(b"x"));
            log.result("empty", a.send(b""));
        }

        fn send_to_on_a_connected_socket(log) {
            let (a, b) = datagram_pair();
            let (c, c_addr) = bound();
            log.result("to somebody else", a.send_to(b"x", c_addr));
            log.result("it comes", c.recv(&mut [0; 8]));
            log.result("to the peer", a.send_to(b"yy", b.local_addr().unwrap()));
            log.result("it comes", b.recv(&mut [0; 8]));
        }

        fn refused(log) {
            let (a, _keep) = to_nobody();
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("recv", a.recv(&mut [0; 8]));
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("next send", a.send(b"x"));
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("peek", a.peek(&mut [0; 8]));
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("recv_from", a.recv_from(&mut [0; 8]).map(drop));
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("send_to", a.send_to(b"x", a.local_addr().unwrap()));
        }

        fn refused_while_blocked(log) {
            let (a, _keep) = to_nobody();
            let a = Arc::new(a);
            let receiving = Arc::clone(&a);
            let receiver = log.spawn(move || receiving.recv(&mut [0; 8]));
            log.result("send", a.send(b"x"));
            log.result("recv", receiver.join());
        }

        fn take_error(log) {
            let (a, _keep) = to_nobody();
            log.result("none", a.take_error().map(|e| e.map(|e| e.kind())));
            log.result("send", a.send(b"x"));
            hangs_up(&a);
            log.result("refused", a.take_error().map(|e| e.map(|e| e.raw_os_error())));
            log.result("taken", a.take_error().map(|e| e.map(|e| e.raw_os_error())));
            log.result("send", a.send(b"x"));
        }

        fn connect(log) {
            let ((a, a_addr), (b, b_addr), (c, c_addr)) = (bound(), bound(), bound());
            log.result("connect", a.connect(b_addr));
            log.result("send", a.send(b"one"));
            let (n, from) = b.recv_from(&mut [0; 8]).unwrap();
            log.note("comes", (n, from == a_addr));
            // Others are not heard any more.
            c.send_to(b"not heard", a_addr).unwrap();
            b.send_to(b"two", a_addr).unwrap();
            log.result("recv", a.recv(&mut [0; 16]));
            log.result("connect again", a.connect(c_addr));
            log.note("peer", a.peer_addr().unwrap() == c_addr);
            log.result("send", a.send(b"three"));
            log.result("comes", c.recv(&mut [0; 16]));
            let wrong: SocketAddr = "[::1]:1".parse().unwrap();
            log.result("second address", a.connect(&[wrong, b_addr][..]));
            log.note("peer", a.peer_addr().unwrap() == b_addr);
            log.result("neither", a.connect(&[wrong, wrong][..]));
            log.note("peer", a.peer_addr().unwrap() == b_addr);
            let none: &[SocketAddr] = &[];
            log.result("no address", a.connect(none));
            for text in ["", ":", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536"] {
                log.result(text, a.connect(text));
            }
            log.result("name", a.connect(("localhost", b_addr.port())));
            log.result("broadcast", a.connect("255.255.255.255:1"));
            log.result("port 0", a.connect("127.0.0.1:0"));
        }

        fn connect_from_any(log) {
            // Connecting decides which address is ours.
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            log.result("any", socket.local_addr().map(|addr| addr.ip()));
            let (_b, b_addr) = bound();
            log.result("connect", socket.connect(b_addr));
            log.result("loopback", socket.local_addr().map(|addr| addr.ip()));
        }

        fn peer_addr(log) {
            let (a, b) = datagram_pair();
            log.note("the other", a.peer_addr().unwrap() == b.local_addr().unwrap());
            log.result("not connected", bound().0.peer_addr());
        }

        fn local_addr(log) {
            let (a, addr) = bound();
            log.note("ip", addr.ip());
            log.note("the same", a.local_addr().unwrap() == addr);
            let v6 = UdpSocket::bind("[::1]:0").unwrap();
            log.result("v6", v6.local_addr().map(|addr| addr.ip()));
        }

        fn set_write_timeout(log) {
            // Sending to loopback never waits.
            let (a, b) = datagram_pair();
            log.result("zero", a.set_write_timeout(Some(Duration::ZERO)));
            log.result("set", a.set_write_timeout(Some(SHORT)));
            log.result("send", a.send(b"x"));
            log.result("recv", b.recv(&mut [0; 8]));
            log.result("none", a.set_write_timeout(None));
            log.result("send", a.send(b"x"));
        }

        fn set_broadcast(log) {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let addr = SocketAddr::from(([127, 255, 255, 255], 9));
            log.result("off", socket.send_to(b"x", addr));
            log.result("set", socket.set_broadcast(true));
            log.result("get", socket.broadcast());
            log.result("on", socket.send_to(b"x", addr));
            log.result("set", socket.set_broadcast(false));
            log.result("get", socket.broadcast());
            log.result("off", socket.send_to(b"x", addr));
        }

        fn broadcast(log) {
            log.result("at first", bound().0.broadcast());
        }

        fn set_multicast_loop_v4(log) {
            let socket = bound().0;
            log.result("off", socket.set_multicast_loop_v4(false));
            log.result("is off", socket.multicast_loop_v4());
            log.result("on", socket.set_multicast_loop_v4(true));
            log.result("is on", socket.multicast_loop_v4());
            let v6 = UdpSocket::bind("[::1]:0").unwrap();
            log.result("v6", v6.set_multicast_loop_v4(false));
        }

        fn multicast_loop_v4(log) {
            log.result("at first", bound().0.multicast_loop_v4());
            let v6 = UdpSocket::bind("[::1]:0").unwrap();
            log.result("v6", v6.multicast_loop_v4());
        }

        fn set_multicast_ttl_v4(log) {
            let socket = bound().0;
            for ttl in [0, 1, 55, 255, 256, u32::MAX] {
                log.result("set", socket.set_multicast_ttl_v4(ttl));
                log.result("get", socket.multicast_ttl_v4());
            }
        }

        fn multicast_ttl_v4(log) {
            log.result("at first", bound().0.multicast_ttl_v4());
            let v6 = UdpSocket::bind("[::1]:0").unwrap();
            log.result("v6", v6.multicast_ttl_v4());
        }

        fn set_multicast_loop_v6(log) {
            let socket = UdpSocket::bind("[::1]:0").unwrap();
            log.result("off", socket.set_multicast_loop_v6(false));
            log.result("is off", socket.multicast_loop_v6());
            log.result("on", socket.set_multicast_loop_v6(true));
            log.result("is on", socket.multicast_loop_v6());
            log.result("v4", bound().0.set_multicast_loop_v6(false));
        }

        fn multicast_loop_v6(log) {
            let socket = UdpSocket::bind("[::1]:0").unwrap();
            log.result("at first", socket.multicast_loop_v6());
            log.result("v4", bound().0.multicast_loop_v6());
        }

        fn set_ttl(log) {
            let socket = bound().0;
            for ttl in [1, 99, 255, 0, 256, u32::MAX] {
                log.result("set", socket.set_ttl(ttl));
                log.result("get", socket.ttl());
            }
            let v6 = UdpSocket::bind("[::1]:0").unwrap();
            log.result("v6", v6.set_ttl(77));
            log.result("get", v6.ttl());
        }

        fn ttl(log) {
            log.result("at first", bound().0.ttl());
        }

        fn join_multicast_v4(log) {
            let group = Ipv4Addr::new(239, 255, 77, 1);
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let loopback = Ipv4Addr::LOCALHOST;
            log.result("join", socket.join_multicast_v4(&group, &loopback));
            log.result("again", socket.join_multicast_v4(&group, &loopback));
            log.result("no group", socket.join_multicast_v4(&loopback, &loopback));
            let nowhere = Ipv4Addr::new(192, 0, 2, 1);
            log.result("no interface", socket.join_multicast_v4(&group, &nowhere));
            log.result("any", socket.join_multicast_v4(&Ipv4Addr::new(239, 255, 77, 2), &Ipv4Addr::UNSPECIFIED));
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            let sent = sender.send_to(b"to all", (group, port));
            let comes = sent.is_ok();
            log.result("send", sent);
            if comes {
                socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                log.note("comes", socket.recv(&mut [0; 16]).ok());
            }
        }

        fn leave_multicast_v4(log) {
            let group = Ipv4Addr::new(239, 255, 77, 3);
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let loopback = Ipv4Addr::LOCALHOST;
            log.result("not joined", socket.leave_multicast_v4(&group, &loopback));
            log.result("join", socket.join_multicast_v4(&group, &loopback));
            log.result("leave", socket.leave_multicast_v4(&group, &loopback));
            log.result("again", socket.leave_multicast_v4(&group, &loopback));
        }

        fn join_multicast_v6(log) {
            let group: Ipv6Addr = "ff01::77:1".parse().unwrap();
            let socket = UdpSocket::bind("[::]:0").unwrap();
            log.result("any interface", socket.join_multicast_v6(&group, 0));
            log.result("again", socket.join_multicast_v6(&group, 0));
            log.result("the first", socket.join_multicast_v6(&group, 1));
            log.result("no interface", socket.join_multicast_v6(&group, u32::MAX));
            log.result("no group", socket.join_multicast_v6(&Ipv6Addr::LOCALHOST, 0));
            log.result("v4", bound().0.join_multicast_v6(&group, 0));
        }

        fn leave_multicast_v6(log) {
            let group: Ipv6Addr = "ff01::77:2".parse().unwrap();
            let socket = UdpSocket::bind("[::]:0").unwrap();
            log.result("not joined", socket.leave_multicast_v6(&group, 1));
            log.result("join", socket.join_multicast_v6(&group, 1));
            log.result("leave", socket.leave_multicast_v6(&group, 1));
            log.result("again", socket.leave_multicast_v6(&group, 1));
        }

        fn debug(log) {
            let (socket, addr) = bound();
            let fd = socket.as_raw_fd();
            let expected = format!("UdpSocket {{ addr: {addr:?}, fd: {fd} }}");
            log.note("text", format!("{socket:?}") == expected);
            // The peer is not mentioned.
            let (a, _b) = datagram_pair();
            log.note("connected", format!("{a:?}").contains("peer"));
        }
    }
}
