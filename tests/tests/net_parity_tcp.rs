//! `TcpListener` and `TcpStream`: the same code on std's types and on ours.

mod net_support;
#[macro_use]
mod net_parity_support;

use net_support::under_other_settings;

both! {
    [std::net] [TcpListener, TcpStream]

    pub(crate) type Stream = TcpStream;

    pub(crate) fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    pub(crate) fn stream_pair() -> (TcpStream, TcpStream) {
        let (listener, addr) = listen();
        let client = TcpStream::connect(addr).unwrap();
        (client, listener.accept().unwrap().0)
    }
}

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

mod tcp_listener {
    parity! {
        methods: [
            bind, local_addr, try_clone, accept, incoming, set_ttl, ttl, set_only_v6, only_v6,
            take_error, set_nonblocking,
        ];

        fn bind(log) {
            let (listener, addr) = listen();
            log.note("a port", addr.port() != 0);
            log.result("in use", TcpListener::bind(addr).map(drop));
            log.result("of nobody here", TcpListener::bind("192.0.2.1:0").map(drop));
            let both = [addr, "127.0.0.1:0".parse().unwrap()];
            log.result("second address", TcpListener::bind(&both[..]).map(drop));
            let neither = [addr, "192.0.2.1:0".parse().unwrap()];
            log.result("neither", TcpListener::bind(&neither[..]).map(drop));
            let none: &[SocketAddr] = &[];
            log.result("no address", TcpListener::bind(none).map(drop));
            for text in ["", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:0"] {
                log.result(text, TcpListener::bind(text).map(drop));
            }
            drop(listener);
            log.result("free again", TcpListener::bind(addr).map(drop));
            let localhost = Ipv4Addr::LOCALHOST;
            log.result("pair", TcpListener::bind(("127.0.0.1", 0)).map(drop));
            log.result("ip", TcpListener::bind((localhost, 0)).map(drop));
            log.result("v4", TcpListener::bind(SocketAddrV4::new(localhost, 0)).map(drop));
            log.result("name", TcpListener::bind("localhost:0").map(drop));
            log.result("string", TcpListener::bind(String::from("127.0.0.1:0")).map(drop));
            log.result("v6", TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).map(drop));
        }

        fn bind_again_after_connections(log) {
            // A connection that our end has closed first lingers, and does not keep the port.
            let (listener, addr) = listen();
            let mut client = TcpStream::connect(addr).unwrap();
            drop(listener.accept().unwrap());
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            drop((client, listener));
            log.result("again", TcpListener::bind(addr).map(drop));
        }

        fn bind_both_ip_versions(log) {
            let wildcard: SocketAddr = "[::]:0".parse().unwrap();
            log.result("bind", TcpListener::bind(wildcard).map(drop));
            if let Ok(listener) = TcpListener::bind(wildcard) {
                let port = listener.local_addr().unwrap().port();
                let v4 = TcpStream::connect(("127.0.0.1", port));
                log.result("v4 comes too", v4.map(drop));
                let v6 = TcpStream::connect(("::1", port));
                log.result("v6", v6.map(drop));
                log.result("in use for v4", TcpListener::bind(("0.0.0.0", port)).map(drop));
                let (_, from) = listener.accept().unwrap();
                log.note("a mapped address", from.ip());
            }
        }

        fn local_addr(log) {
            let (listener, addr) = listen();
            log.note("ip", addr.ip());
            log.note("as asked for", listener.local_addr().unwrap() == addr);
            let any = TcpListener::bind("0.0.0.0:0").unwrap();
            log.note("any", any.local_addr().unwrap().ip());
        }

        fn try_clone(log) {
            let (listener, addr) = listen();
            let clone = listener.try_clone().unwrap();
            log.note("same address", clone.local_addr().unwrap() == addr);
            let clients = [TcpStream::connect(addr).unwrap(), TcpStream::connect(addr).unwrap()];
            log.result("one accepts", listener.accept().map(drop));
            log.result("the other too", clone.accept().map(drop));
            clone.set_nonblocking(true).unwrap();
            log.result("non-blocking", listener.accept().map(drop));
            drop(listener);
            let _client = TcpStream::connect(addr).unwrap();
            arrives(&clone);
            log.result("still open", clone.accept().map(drop));
            drop(clients);
        }

        fn accept(log) {
            let (listener, addr) = listen();
            let client = TcpStream::connect(addr).unwrap();
            let (mut stream, from) = listener.accept().unwrap();
            log.note("from", from == client.local_addr().unwrap());
            log.note("peer", stream.peer_addr().unwrap() == from);
            log.note("own", stream.local_addr().unwrap() == addr);
            log.note("closed on exec", descriptor_flags(&stream) & libc::FD_CLOEXEC != 0);
            log.result("nodelay", stream.nodelay());
            log.result("read timeout", stream.read_timeout());
            (&client).write_all(b"x").unwrap();
            log.result("connected", stream.read(&mut [0; 2]));
            let acceptor = log.spawn(move || listener.accept());
            let late = TcpStream::connect(addr).unwrap();
            let (_stream, from) = acceptor.join().unwrap();
            log.note("a blocked one", from == late.local_addr().unwrap());
        }

        fn accept_what_is_gone(log) {
            let (listener, addr) = listen();
            let mut client = TcpStream::connect(addr).unwrap();
            client.write_all(b"last words").unwrap();
            drop(client);
            arrives(&listener);
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            log.result("read", stream.read_to_string(&mut text));
            log.note("text", text);
        }

        fn incoming(log) {
            let (listener, addr) = listen();
            let clients = log.spawn(move || {
                for i in 0..3_u8 {
                    TcpStream::connect(addr).unwrap().write_all(&[i]).unwrap();
                }
            });
            for (i, stream) in listener.incoming().take(3).enumerate() {
                let mut byte = [0];
                log.result("read", stream.unwrap().read(&mut byte));
                log.note("byte", byte == [i as u8]);
            }
            clients.join();
            listener.set_nonblocking(true).unwrap();
            let mut incoming = listener.incoming();
            log.result("an error is an item", incoming.next().unwrap().map(drop));
            log.result("and no end", incoming.next().unwrap().map(drop));
            let _client = TcpStream::connect(addr).unwrap();
            arrives(&listener);
            log.result("after which it goes on", incoming.next().unwrap().map(drop));
        }

        fn set_ttl(log) {
            let (listener, addr) = listen();
            for ttl in [1, 99, 255, 0, 256, u32::MAX] {
                log.result("set", listener.set_ttl(ttl));
                log.result("get", listener.ttl());
            }
            let _client = TcpStream::connect(addr).unwrap();
            log.result("of a connection", listener.accept().unwrap().0.ttl());
            let v6 = TcpListener::bind("[::1]:0").unwrap();
            log.result("v6", v6.set_ttl(9));
            log.result("get", v6.ttl());
        }

        fn ttl(log) {
            log.result("at first", listen().0.ttl());
        }

        #[allow(deprecated)]
        fn set_only_v6(log) {
            // It has to be set before binding, which neither type allows.
            let v6 = TcpListener::bind("[::1]:0").unwrap();
            log.result("on", v6.set_only_v6(true));
            log.result("off", v6.set_only_v6(false));
            log.result("v4", listen().0.set_only_v6(true));
        }

        #[allow(deprecated)]
        fn only_v6(log) {
            log.result("v6", TcpListener::bind("[::1]:0").unwrap().only_v6());
            log.result("any v6", TcpListener::bind("[::]:0").unwrap().only_v6());
            log.result("v4", listen().0.only_v6());
        }

        fn take_error(log) {
            let (listener, _) = listen();
            log.result("none", listener.take_error().map(|e| e.map(|e| e.kind())));
        }

        fn set_nonblocking(log) {
            let (listener, addr) = listen();
            log.result("on", listener.set_nonblocking(true));
            log.result("accept", listener.accept().map(drop));
            let mut client = TcpStream::connect(addr).unwrap();
            arrives(&listener);
            let (mut stream, _) = listener.accept().unwrap();
            log.result("next", listener.accept().map(drop));
            // The connection is not like its listener.
            let reader = log.spawn(move || stream.read(&mut [0]));
            client.write_all(b"x").unwrap();
            log.result("read waits", reader.join());
            log.result("off", listener.set_nonblocking(false));
            let acceptor = log.spawn(move || listener.accept().map(drop));
            let _client = TcpStream::connect(addr).unwrap();
            log.result("accept waits", acceptor.join());
        }

        fn debug(log) {
            let (listener, addr) = listen();
            let fd = listener.as_raw_fd();
            log.note(
                "text",
                format!("{listener:?}") == format!("TcpListener {{ addr: {addr:?}, fd: {fd} }}"),
            );
            log.note("incoming", format!("{:?}", listener.incoming()).starts_with("Incoming"));
        }

        fn descriptors(log) {
            let (listener, addr) = listen();
            log.note("the same", listener.as_fd().as_raw_fd() == listener.as_raw_fd());
            log.note("closed on exec", descriptor_flags(&listener) & libc::FD_CLOEXEC != 0);
            let fd: OwnedFd = listener.try_into().unwrap();
            let _client = TcpStream::connect(addr).unwrap();
            let again = TcpListener::try_from(fd).unwrap();
            log.result("accept", again.accept().map(drop));
        }

        fn auto_traits(log) {
            fn has<T>(_: Option<T>) -> bool
            where
                T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + AsFd + AsRawFd + 'static,
                T: TryFrom<OwnedFd> + TryInto<OwnedFd>,
            {
                true
            }
            log.note("all", has::<TcpListener>(None));
        }
    }
}

mod tcp_stream {
    stream_parity! {
        methods: [
            connect, connect_timeout, peer_addr, local_addr, shutdown, try_clone, set_read_timeout,
            set_write_timeout, read_timeout, write_timeout, peek, set_nodelay, nodelay, set_ttl, ttl,
            take_error, set_nonblocking,
            // Of `TcpStreamExt`.
            set_quickack, quickack,
        ];

        fn connect(log) {
            let (listener, addr) = listen();
            log.result("connect", TcpStream::connect(addr).map(drop));
            let (refuses, _bound) = refusing();
            log.result("refused", TcpStream::connect(refuses).map(drop));
            let both = [refuses, addr];
            log.result("second address", TcpStream::connect(&both[..]).map(drop));
            log.result("neither", TcpStream::connect(&[refuses, refuses][..]).map(drop));
            let none: &[SocketAddr] = &[];
            log.result("no address", TcpStream::connect(none).map(drop));
            for text in ["", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"] {
                log.result(text, TcpStream::connect(text).map(drop));
            }
            log.result("port 0", TcpStream::connect("127.0.0.1:0").map(drop));
            log.result("broadcast", TcpStream::connect("255.255.255.255:80").map(drop));
            log.result("pair", TcpStream::connect(("127.0.0.1", addr.port())).map(drop));
            log.result("name", TcpStream::connect(("localhost", addr.port())).map(drop));
            // "Any" is this host.
            log.result("any", TcpStream::connect(("0.0.0.0", addr.port())).map(drop));
            let stream = TcpStream::connect(addr).unwrap();
            log.note("closed on exec", descriptor_flags(&stream) & libc::FD_CLOEXEC != 0);
            drop(listener);
            log.result("refused", TcpStream::connect(("localhost", refuses.port())).map(drop));
        }

        fn connect_timeout(log) {
            let (_listener, addr) = listen();
            log.result("zero", TcpStream::connect_timeout(&addr, Duration::ZERO).map(drop));
            log.result("in time", TcpStream::connect_timeout(&addr, LONG).map(drop));
            log.result("for ever", TcpStream::connect_timeout(&addr, Duration::MAX).map(drop));
            let (refuses, _bound) = refusing();
            log.result("refused", TcpStream::connect_timeout(&refuses, LONG).map(drop));
            let (hole, _kept) = black_hole();
            let start = Instant::now();
            // `TimedOut` for both.
            log.result("too late", TcpStream::connect_timeout(&hole, SHORT).map(drop));
            assert!(start.elapsed() >= SHORT);
            // Blocking calls block afterwards.
            let (listener, addr) = listen();
            let mut stream = TcpStream::connect_timeout(&addr, LONG).unwrap();
            log.result("no read timeout", stream.read_timeout());
            let mut peer = listener.accept().unwrap().0;
            let reader = log.spawn(move || stream.read(&mut [0]));
            peer.write_all(b"x").unwrap();
            log.result("read", reader.join());
        }

        fn peer_addr(log) {
            let (listener, addr) = listen();
            let stream = TcpStream::connect(addr).unwrap();
            log.note("the listener's", stream.peer_addr().unwrap() == addr);
            let (peer, from) = listener.accept().unwrap();
            log.note("the connector's", peer.peer_addr().unwrap() == from);
            stream.shutdown(Shutdown::Write).unwrap();
            log.note("of a half", peer.peer_addr().unwrap() == from);
        }

        fn local_addr(log) {
            let (a, b) = stream_pair();
            log.note("a's", a.local_addr().unwrap() == b.peer_addr().unwrap());
            log.note("b's", b.local_addr().unwrap() == a.peer_addr().unwrap());
            drop(b);
            log.result("without a peer", a.local_addr().map(|addr| addr.ip()));
            let listener = TcpListener::bind("[::1]:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            log.result("v6", stream.local_addr().map(|addr| addr.ip()));
        }

        fn peek(log) {
            let (mut a, mut b) = stream_pair();
            b.write_all(b"hello").unwrap();
            arrives(&a);
            let mut buffer = [0; 4];
            log.result("part", a.peek(&mut buffer));
            log.note("bytes", buffer);
            log.result("again", a.peek(&mut buffer));
            log.result("all", a.peek(&mut [0; 64]));
            log.result("nothing", a.peek(&mut []));
            log.result("read", a.read(&mut [0; 64]));
            a.set_read_timeout(Some(SHORT)).unwrap();
            log.late("nothing there", a.peek(&mut buffer));
            a.set_nonblocking(true).unwrap();
            log.result("non-blocking", a.peek(&mut buffer));
            a.set_nonblocking(false).unwrap();
            a.set_read_timeout(None).unwrap();
            let peeker = log.spawn(move || {
                let n = a.peek(&mut [0; 8]);
                (a, n)
            });
            b.write_all(b"xy").unwrap();
            let (a, n) = peeker.join();
            log.result("waits", n);
            log.result("takes nothing", (&a).read_exact(&mut [0; 2]));
            drop(b);
            log.result("end", a.peek(&mut buffer));
            log.result("end again", a.peek(&mut buffer));
        }

        fn set_nodelay(log) {
            let (a, _b) = stream_pair();
            log.result("on", a.set_nodelay(true));
            log.result("is on", a.nodelay());
            log.result("off", a.set_nodelay(false));
            log.result("is off", a.nodelay());
        }

        fn nodelay(log) {
            let (a, b) = stream_pair();
            log.result("connected", a.nodelay());
            log.result("accepted", b.nodelay());
        }

        fn set_ttl(log) {
            let (a, _b) = stream_pair();
            for ttl in [1, 99, 255, 0, 256, u32::MAX] {
                log.result("set", a.set_ttl(ttl));
                log.result("get", a.ttl());
            }
        }

        fn ttl(log) {
            let (a, b) = stream_pair();
            log.result("connected", a.ttl());
            log.result("accepted", b.ttl());
        }

        fn set_quickack(log) {
            // Whether it stays on is the system's decision, so it is not asked for it.
            let (a, _b) = stream_pair();
            log.result("on", a.set_quickack(true));
            log.result("off", a.set_quickack(false));
            log.result("is off", a.quickack());
        }

        fn quickack(log) {
            let (a, b) = stream_pair();
            log.result("connected", a.quickack());
            log.result("accepted", b.quickack());
        }

        fn options_after_a_reset(log) {
            let (mut a, b) = stream_pair();
            a.write_all(b"never read").unwrap();
            arrives(&b);
            drop(b);
            hangs_up(&a);
            log.result("error", a.take_error().map(|e| e.map(|e| e.kind())));
            log.result("taken", a.take_error().map(|e| e.map(|e| e.kind())));
            log.result("nodelay", a.set_nodelay(true));
            log.result("ttl", a.set_ttl(9));
            log.result("peer", a.peer_addr());
            log.result("own", a.local_addr().map(|addr| addr.ip()));
            log.result("shutdown", a.shutdown(Shutdown::Write));
            log.result("read", a.read(&mut [0]));
            log.result("write", a.write(b"x"));
        }

        fn reset_of_a_blocked_read(log) {
            let (a, b) = stream_pair();
            (&a).write_all(b"never read").unwrap();
            arrives(&b);
            let a = Arc::new(a);
            let reading = Arc::clone(&a);
            let reader = log.spawn(move || (&*reading).read(&mut [0; 8]));
            drop(b);
            log.result("read", reader.join());
            log.result("then", (&*a).read(&mut [0; 8]));
            log.result("write", (&*a).write(b"x"));
        }

        fn debug(log) {
            let (a, _b) = stream_pair();
            let (addr, peer) = (a.local_addr().unwrap(), a.peer_addr().unwrap());
            let fd = a.as_raw_fd();
            let expected = format!("TcpStream {{ addr: {addr:?}, peer: {peer:?}, fd: {fd} }}");
            log.note("text", format!("{a:?}") == expected);
        }
    }
}
