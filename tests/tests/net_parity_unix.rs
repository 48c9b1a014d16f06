//! `UnixListener`, `UnixStream` and `UnixDatagram`: the same code on std's types and on ours.

mod net_support;
#[macro_use]
mod net_parity_support;

use net_support::under_other_settings;

both! {
    [std::os::unix::net] [UnixListener, UnixStream, UnixDatagram]

    pub(crate) type Stream = UnixStream;
    pub(crate) type Datagram = UnixDatagram;

    pub(crate) fn stream_pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    pub(crate) fn datagram_pair() -> (UnixDatagram, UnixDatagram) {
        UnixDatagram::pair().unwrap()
    }

    /// An address in the abstract namespace that nobody has.
    pub(crate) fn abstract_addr() -> UnixAddr {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (id, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        UnixAddr::from_abstract_name(format!("corio-{}-{id}-{number}", module_path!())).unwrap()
    }

    /// What is wrong with these is seen before the system is asked, or by it.
    pub(crate) fn bad_paths(dir: &Dir) -> Vec<(&'static str, std::path::PathBuf)> {
        vec![
            ("too long", dir.join(&"x".repeat(108))),
            ("a nul inside", dir.join("a\0b")),
            ("a nul first", Path::new("\0abstract?").into()),
            ("no such directory", dir.join("missing/socket")),
            ("a directory", dir.join(".")),
            ("in no directory", dir.join("file/socket")),
        ]
    }

    pub(crate) fn kinds(addr: &UnixAddr) -> (bool, bool, bool) {
        (addr.is_unnamed(), addr.as_pathname().is_some(), addr.as_abstract_name().is_some())
    }
}

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

mod unix_listener {
    parity! {
        methods: [
            bind, bind_addr, accept, try_clone, local_addr, set_nonblocking, take_error, incoming,
        ];

        fn bind(log) {
            let dir = Dir::new();
            std::fs::write(dir.join("file"), "").unwrap();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            log.result("in use", UnixListener::bind(&path).map(drop));
            drop(listener);
            log.note("a file remains", path.exists());
            log.result("still in use", UnixListener::bind(&path).map(drop));
            log.result("of another file", UnixListener::bind(dir.join("file")).map(drop));
            std::fs::remove_file(&path).unwrap();
            log.result("free", UnixListener::bind(&path).map(drop));
            for (what, path) in bad_paths(&dir) {
                log.result(what, UnixListener::bind(&path).map(drop));
            }
            // The system chooses a name.
            let chosen = UnixListener::bind("").unwrap();
            log.note("no name", kinds(&chosen.local_addr().unwrap()));
        }

        fn bind_addr(log) {
            let dir = Dir::new();
            let addr = UnixAddr::from_pathname(dir.join("socket")).unwrap();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            log.note("path", listener.local_addr().unwrap().as_pathname() == addr.as_pathname());
            log.result("in use", UnixListener::bind_addr(&addr).map(drop));
            let addr = abstract_addr();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            let local = listener.local_addr().unwrap();
            log.note("name", local.as_abstract_name() == addr.as_abstract_name());
            log.result("in use", UnixListener::bind_addr(&addr).map(drop));
            let client = UnixStream::connect_addr(&addr);
            log.result("connect", client.map(drop));
            log.result("accept", listener.accept().map(drop));
            drop(listener);
            log.result("free again", UnixListener::bind_addr(&addr).map(drop));
        }

        fn accept(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let mut client = UnixStream::connect(&path).unwrap();
            let (mut stream, from) = listener.accept().unwrap();
            log.note("from", from);
            log.note("own", stream.local_addr().unwrap().as_pathname() == Some(&path));
            log.note("peer", stream.peer_addr().unwrap());
            log.note("closed on exec", descriptor_flags(&stream) & libc::FD_CLOEXEC != 0);
            client.write_all(b"x").unwrap();
            log.result("connected", stream.read(&mut [0; 2]));
            let acceptor = log.spawn(move || listener.accept());
            let mut late = UnixStream::connect(&path).unwrap();
            let (mut stream, from) = acceptor.join().unwrap();
            log.note("a blocked one", from);
            late.write_all(b"y").unwrap();
            log.result("connected", stream.read(&mut [0; 2]));
        }

        fn accept_from_named(log) {
            // A client can have a name only if it is made by hand.
            let dir = Dir::new();
            let (path, own) = (dir.join("socket"), dir.join("client"));
            let listener = UnixListener::bind(&path).unwrap();
            for abstract_name in [false, true] {
                let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
                let client = client.unwrap();
                let hidden = format!("corio-named-{}", std::process::id());
                let name = if abstract_name { format!("\0{hidden}").into() } else { own.clone() };
                client.bind(&socket2::SockAddr::unix(name).unwrap()).unwrap();
                client.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
                let (stream, from) = listener.accept().unwrap();
                log.note("path", from.as_pathname() == Some(&own));
                log.note("name", from.as_abstract_name() == Some(hidden.as_bytes()));
                log.note("same", format!("{:?}", stream.peer_addr().unwrap()) == format!("{from:?}"));
            }
        }

        fn try_clone(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let clone = listener.try_clone().unwrap();
            let clients = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
            log.result("one accepts", listener.accept().map(drop));
            log.result("the other too", clone.accept().map(drop));
            clone.set_nonblocking(true).unwrap();
            log.result("non-blocking", listener.accept().map(drop));
            drop(listener);
            let _client = UnixStream::connect(&path).unwrap();
            arrives(&clone);
            log.result("still open", clone.accept().map(drop));
            drop(clients);
        }

        fn local_addr(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            log.note("path", listener.local_addr().unwrap().as_pathname() == Some(&path));
            log.note("kinds", kinds(&listener.local_addr().unwrap()));
            // It is what was asked for, however long.
            let room = 107 - dir.join("").as_os_str().len();
            let path = dir.join(&"x".repeat(room));
            let listener = UnixListener::bind(&path).unwrap();
            log.note("longest", listener.local_addr().unwrap().as_pathname() == Some(&path));
        }

        fn set_nonblocking(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            log.result("on", listener.set_nonblocking(true));
            log.result("accept", listener.accept().map(drop));
            let mut client = UnixStream::connect(&path).unwrap();
            arrives(&listener);
            let (mut stream, _) = listener.accept().unwrap();
            let reader = log.spawn(move || stream.read(&mut [0]));
            client.write_all(b"x").unwrap();
            log.result("read waits", reader.join());
            log.result("off", listener.set_nonblocking(false));
            let acceptor = log.spawn(move || listener.accept().map(drop));
            let _client = UnixStream::connect(&path).unwrap();
            log.result("accept waits", acceptor.join());
        }

        fn take_error(log) {
            let listener = UnixListener::bind_addr(&abstract_addr()).unwrap();
            log.result("none", listener.take_error().map(|e| e.map(|e| e.kind())));
        }

        fn incoming(log) {
            let addr = abstract_addr();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            let clients = log.spawn(move || {
                for i in 0..6_u8 {
                    UnixStream::connect_addr(&addr).unwrap().write_all(&[i]).unwrap();
                }
                addr
            });
            for stream in listener.incoming().take(3) {
                let mut byte = [0];
                log.result("read", stream.unwrap().read(&mut byte));
                log.note("byte", byte);
            }
            for stream in (&listener).into_iter().take(3) {
                let mut byte = [0];
                log.result("read", stream.unwrap().read(&mut byte));
                log.note("byte", byte);
            }
            let addr = clients.join();
            listener.set_nonblocking(true).unwrap();
            let mut incoming = listener.incoming();
            log.result("an error is an item", incoming.next().unwrap().map(drop));
            let _client = UnixStream::connect_addr(&addr).unwrap();
            log.result("after which it goes on", incoming.next().unwrap().map(drop));
        }

        fn debug(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let (addr, text) = (listener.local_addr().unwrap(), format!("{listener:?}"));
            log.note("type", text.starts_with("UnixListener {"));
            log.note("fd", text.contains("fd: "));
            log.note("address", text.contains(&format!("local: {addr:?}")));
            let text = format!("{:?}", listener.incoming());
            log.note("incoming", text.contains("Incoming") && text.contains("UnixListener"));
        }

        fn descriptors(log) {
            let addr = abstract_addr();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            log.note("the same", listener.as_fd().as_raw_fd() == listener.as_raw_fd());
            log.note("closed on exec", descriptor_flags(&listener) & libc::FD_CLOEXEC != 0);
            let fd: OwnedFd = listener.try_into().unwrap();
            let _client = UnixStream::connect_addr(&addr).unwrap();
            let again = UnixListener::try_from(fd).unwrap();
            log.result("accept", again.accept().map(drop));
        }

        fn auto_traits(log) {
            fn has<T>(_: Option<T>) -> bool
            where
                T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + AsFd + AsRawFd + 'static,
                T: TryFrom<OwnedFd> + TryInto<OwnedFd>,
                for<'a> &'a T: IntoIterator<Item = io::Result<UnixStream>>,
            {
                true
            }
            log.note("all", has::<UnixListener>(None));
        }
    }
}

mod unix_stream {
    stream_parity! {
        methods: [
            connect, connect_addr, pair, try_clone, local_addr, peer_addr, set_read_timeout,
            set_write_timeout, read_timeout, write_timeout, set_nonblocking, take_error, shutdown,
        ];

        fn pair(log) {
            let (a, b) = UnixStream::pair().unwrap();
            log.result("write", (&a).write(b"there"));
            log.result("read", (&b).read(&mut [0; 8]));
            log.result("write", (&b).write(b"and back"));
            log.result("read", (&a).read(&mut [0; 8]));
            log.note("closed on exec", descriptor_flags(&a) & libc::FD_CLOEXEC != 0);
            log.result("own", a.local_addr());
            log.result("peer", a.peer_addr());
        }

        fn connect(log) {
            let dir = Dir::new();
            std::fs::write(dir.join("file"), "").unwrap();
            let path = dir.join("socket");
            log.result("nobody", UnixStream::connect(&path).map(drop));
            let listener = UnixListener::bind(&path).unwrap();
            log.result("connect", UnixStream::connect(&path).map(drop));
            log.result("str", UnixStream::connect(path.to_str().unwrap()).map(drop));
            for (what, path) in bad_paths(&dir) {
                log.result(what, UnixStream::connect(&path).map(drop));
            }
            log.result("empty", UnixStream::connect("").map(drop));
            log.result("no socket", UnixStream::connect(dir.join("file")).map(drop));
            let _datagram = UnixDatagram::bind(dir.join("datagram")).unwrap();
            log.result("wrong type", UnixStream::connect(dir.join("datagram")).map(drop));
            drop(listener);
            log.result("refused", UnixStream::connect(&path).map(drop));
        }

        fn connect_waits_for_room(log) {
            let addr = abstract_addr();
            let small = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            let mut name = b"\0".to_vec();
            name.extend_from_slice(addr.as_abstract_name().unwrap());
            let name = std::str::from_utf8(&name).unwrap();
            small.bind(&socket2::SockAddr::unix(name).unwrap()).unwrap();
            small.listen(1).unwrap();
            let connectors: Vec<_> = (0..8)
                .map(|_| {
                    let addr = addr.clone();
                    log.spawn(move || UnixStream::connect_addr(&addr).map(drop))
                })
                .collect();
            let listener = UnixListener::try_from(OwnedFd::from(small)).unwrap();
            for _ in 0..8 {
                log.result("accept", listener.accept().map(drop));
            }
            for connector in connectors {
                log.result("connect", connector.join());
            }
        }

        fn connect_addr(log) {
            let dir = Dir::new();
            let addr = UnixAddr::from_pathname(dir.join("socket")).unwrap();
            log.result("nobody", UnixStream::connect_addr(&addr).map(drop));
            let _listener = UnixListener::bind_addr(&addr).unwrap();
            let stream = UnixStream::connect_addr(&addr).unwrap();
            log.note("peer", stream.peer_addr().unwrap().as_pathname() == addr.as_pathname());
            let addr = abstract_addr();
            log.result("nobody", UnixStream::connect_addr(&addr).map(drop));
            let _listener = UnixListener::bind_addr(&addr).unwrap();
            let stream = UnixStream::connect_addr(&addr).unwrap();
            let peer = stream.peer_addr().unwrap();
            log.note("peer", peer.as_abstract_name() == addr.as_abstract_name());
            let unnamed = UnixAddr::from_pathname("").unwrap();
            log.result("unnamed", UnixStream::connect_addr(&unnamed).map(drop));
        }

        fn local_addr(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let client = UnixStream::connect(&path).unwrap();
            let (server, _) = listener.accept().unwrap();
            log.note("client", kinds(&client.local_addr().unwrap()));
            log.note("server", server.local_addr().unwrap().as_pathname() == Some(&path));
        }

        fn peer_addr(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let client = UnixStream::connect(&path).unwrap();
            let (server, _) = listener.accept().unwrap();
            log.note("client's", client.peer_addr().unwrap().as_pathname() == Some(&path));
            log.note("server's", kinds(&server.peer_addr().unwrap()));
            drop(server);
            log.result("gone", client.peer_addr().map(drop));
        }

        fn debug(log) {
            let (a, _b) = UnixStream::pair().unwrap();
            let text = format!("{a:?}");
            log.note("type", text.starts_with("UnixStream {"));
            log.note("fd", text.contains("fd: "));
            log.note("addresses", text.contains("local: (unnamed), peer: (unnamed)"));
        }
    }
}

mod unix_datagram {
    datagram_parity! {
        methods: [
            bind, bind_addr, unbound, pair, connect, connect_addr, try_clone, local_addr, peer_addr,
            recv_from, recv, send_to, send_to_addr, send, set_read_timeout, set_write_timeout,
            read_timeout, write_timeout, set_nonblocking, take_error, shutdown,
        ];

        fn bind(log) {
            let dir = Dir::new();
            std::fs::write(dir.join("file"), "").unwrap();
            let path = dir.join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            log.result("in use", UnixDatagram::bind(&path).map(drop));
            drop(socket);
            log.result("still in use", UnixDatagram::bind(&path).map(drop));
            log.result("of another file", UnixDatagram::bind(dir.join("file")).map(drop));
            std::fs::remove_file(&path).unwrap();
            log.result("free", UnixDatagram::bind(&path).map(drop));
            for (what, path) in bad_paths(&dir) {
                log.result(what, UnixDatagram::bind(&path).map(drop));
            }
            let chosen = UnixDatagram::bind("").unwrap();
            log.note("no name", kinds(&chosen.local_addr().unwrap()));
        }

        fn bind_addr(log) {
            let dir = Dir::new();
            let addr = UnixAddr::from_pathname(dir.join("socket")).unwrap();
            let socket = UnixDatagram::bind_addr(&addr).unwrap();
            log.note("path", socket.local_addr().unwrap().as_pathname() == addr.as_pathname());
            log.result("in use", UnixDatagram::bind_addr(&addr).map(drop));
            let addr = abstract_addr();
            let socket = UnixDatagram::bind_addr(&addr).unwrap();
            let local = socket.local_addr().unwrap();
            log.note("name", local.as_abstract_name() == addr.as_abstract_name());
            log.result("in use", UnixDatagram::bind_addr(&addr).map(drop));
            drop(socket);
            log.result("free again", UnixDatagram::bind_addr(&addr).map(drop));
        }

        fn unbound(log) {
            let socket = UnixDatagram::unbound().unwrap();
            log.result("own", socket.local_addr());
            log.result("peer", socket.peer_addr());
            log.result("send", socket.send(b"x"));
            log.note("closed on exec", descriptor_flags(&socket) & libc::FD_CLOEXEC != 0);
            socket.set_read_timeout(Some(SHORT)).unwrap();
            log.late("recv", socket.recv(&mut [0]));
        }

        fn pair(log) {
            let (a, b) = UnixDatagram::pair().unwrap();
            log.result("send", a.send(b"there"));
            log.result("recv", b.recv(&mut [0; 8]));
            log.result("send", b.send(b"and back"));
            log.result("recv", a.recv(&mut [0; 8]));
            log.result("own", a.local_addr());
            log.result("peer", a.peer_addr());
            drop(b);
            log.result("gone", a.send(b"x"));
            a.set_nonblocking(true).unwrap();
            log.result("recv", a.recv(&mut [0; 8]));
        }

        fn connect(log) {
            let dir = Dir::new();
            std::fs::write(dir.join("file"), "").unwrap();
            let (one, two) = (dir.join("one"), dir.join("two"));
            let socket = UnixDatagram::unbound().unwrap();
            log.result("nobody", socket.connect(&one));
            let first = UnixDatagram::bind(&one).unwrap();
            let second = UnixDatagram::bind(&two).unwrap();
            log.result("connect", socket.connect(&one));
            log.result("send", socket.send(b"x"));
            log.result("comes", first.recv(&mut [0; 8]));
            log.result("connect again", socket.connect(&two));
            log.result("send", socket.send(b"yy"));
            log.result("comes", second.recv(&mut [0; 8]));
            for (what, path) in bad_paths(&dir) {
                log.result(what, socket.connect(&path));
            }
            log.result("empty", socket.connect(""));
            log.result("no socket", socket.connect(dir.join("file")));
            let _listener = UnixListener::bind(dir.join("stream")).unwrap();
            log.result("wrong type", socket.connect(dir.join("stream")));
            log.note("peer", socket.peer_addr().unwrap().as_pathname() == Some(&two));
            drop(second);
            log.result("gone", socket.send(b"x"));
            log.result("refused", socket.connect(&two));
        }

        fn connect_addr(log) {
            let dir = Dir::new();
            let socket = UnixDatagram::unbound().unwrap();
            for addr in [UnixAddr::from_pathname(dir.join("socket")).unwrap(), abstract_addr()] {
                log.result("nobody", socket.connect_addr(&addr));
                let receiver = UnixDatagram::bind_addr(&addr).unwrap();
                log.result("connect", socket.connect_addr(&addr));
                log.result("send", socket.send(b"x"));
                log.result("comes", receiver.recv(&mut [0; 8]));
                let peer = socket.peer_addr().unwrap();
                log.note("peer", format!("{peer:?}") == format!("{addr:?}"));
            }
            let unnamed = UnixAddr::from_pathname("").unwrap();
            log.result("unnamed", socket.connect_addr(&unnamed));
        }

        fn local_addr(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            log.note("path", socket.local_addr().unwrap().as_pathname() == Some(&path));
            log.result("unbound", UnixDatagram::unbound().unwrap().local_addr());
        }

        fn peer_addr(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            log.result("not connected", socket.peer_addr());
            let other = UnixDatagram::unbound().unwrap();
            other.connect(&path).unwrap();
            log.note("path", other.peer_addr().unwrap().as_pathname() == Some(&path));
        }

        fn recv_from(log) {
            let dir = Dir::new();
            let (one, two) = (dir.join("one"), dir.join("two"));
            let receiver = UnixDatagram::bind(&one).unwrap();
            let sender = UnixDatagram::bind(&two).unwrap();
            sender.send_to(b"hello", &one).unwrap();
            let mut buffer = [0; 3];
            let (n, from) = receiver.recv_from(&mut buffer).unwrap();
            log.note("cut", (n, buffer, from.as_pathname() == Some(&two)));
            sender.send_to(b"", &one).unwrap();
            let (n, from) = receiver.recv_from(&mut buffer).unwrap();
            log.note("empty", (n, from.as_pathname() == Some(&two)));
            let unnamed = UnixDatagram::unbound().unwrap();
            unnamed.send_to(b"xy", &one).unwrap();
            log.result("from no name", receiver.recv_from(&mut buffer));
            let addr = abstract_addr();
            let named = UnixDatagram::bind_addr(&addr).unwrap();
            named.send_to(b"z", &one).unwrap();
            let (n, from) = receiver.recv_from(&mut buffer).unwrap();
            log.note("abstract", (n, from.as_abstract_name() == addr.as_abstract_name()));
            let waiting = log.spawn(move || receiver.recv_from(&mut [0; 8]).unwrap());
            sender.send_to(b"late", &one).unwrap();
            let (n, from) = waiting.join();
            log.note("blocked", (n, from.as_pathname() == Some(&two)));
        }

        fn send_to(log) {
            let dir = Dir::new();
            std::fs::write(dir.join("file"), "").unwrap();
            let path = dir.join("socket");
            let receiver = UnixDatagram::bind(&path).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            log.result("send", sender.send_to(b"hello", &path));
            log.result("empty", sender.send_to(b"", &path));
            log.result("recv", receiver.recv(&mut [0; 8]));
            log.result("recv", receiver.recv(&mut [0; 8]));
            for (what, path) in bad_paths(&dir) {
                log.result(what, sender.send_to(b"x", &path));
            }
            log.result("nowhere", sender.send_to(b"x", ""));
            log.result("no socket", sender.send_to(b"x", dir.join("file")));
            log.result("nobody", sender.send_to(b"x", dir.join("nobody")));
            let _listener = UnixListener::bind(dir.join("stream")).unwrap();
            log.result("wrong type", sender.send_to(b"x", dir.join("stream")));
            log.result("too long by far", sender.send_to(&vec![0; 64 << 20], &path));
            // Who is connected elsewhere does not take it.
            let other = UnixDatagram::bind(dir.join("other")).unwrap();
            receiver.connect(dir.join("other")).unwrap();
            log.result("not for us", sender.send_to(b"x", &path));
            drop(other);
            drop(receiver);
            log.result("gone", sender.send_to(b"x", &path));
        }

        fn send_to_addr(log) {
            let dir = Dir::new();
            let sender = UnixDatagram::unbound().unwrap();
            for addr in [UnixAddr::from_pathname(dir.join("socket")).unwrap(), abstract_addr()] {
                log.result("nobody", sender.send_to_addr(b"x", &addr));
                let receiver = UnixDatagram::bind_addr(&addr).unwrap();
                log.result("send", sender.send_to_addr(b"hello", &addr));
                log.result("empty", sender.send_to_addr(b"", &addr));
                log.result("recv", receiver.recv(&mut [0; 8]));
                log.result("recv", receiver.recv(&mut [0; 8]));
            }
            let unnamed = UnixAddr::from_pathname("").unwrap();
            log.result("unnamed", sender.send_to_addr(b"x", &unnamed));
        }

        fn send_waits_for_room(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let receiver = UnixDatagram::bind(&path).unwrap();
            for connected in [true, false] {
                let sender = UnixDatagram::unbound().unwrap();
                sender.connect(&path).unwrap();
                if !connected {
                    let nowhere = UnixDatagram::bind_addr(&abstract_addr()).unwrap();
                    sender.connect_addr(&nowhere.local_addr().unwrap()).unwrap();
                }
                let path = path.clone();
                let sending = log.spawn(move || {
                    for i in 0..100_u8 {
                        let sent = if connected { sender.send(&[i]) } else { sender.send_to(&[i], &path) };
                        assert_eq!(sent.unwrap(), 1);
                    }
                });
                for i in 0..100_u8 {
                    let mut byte = [0];
                    receiver.recv(&mut byte).unwrap();
                    assert_eq!(byte, [i]);
                }
                sending.join();
                log.note("all", connected);
            }
        }

        fn set_write_timeout(log) {
            let (a, b) = UnixDatagram::pair().unwrap();
            log.result("zero", a.set_write_timeout(Some(Duration::ZERO)));
            log.result("set", a.set_write_timeout(Some(SHORT)));
            let mut sent = 0;
            let error = loop {
                match a.send(b"x") {
                    Ok(_) => sent += 1,
                    Err(error) => break error,
                }
            };
            log.note("sent", sent);
            log.late("send", Err::<(), _>(error));
            log.late("again", a.send(b"x"));
            a.set_nonblocking(true).unwrap();
            log.result("non-blocking", a.send(b"x"));
            a.set_nonblocking(false).unwrap();
            log.result("none", a.set_write_timeout(None));
            let sender = log.spawn(move || a.send(b"last"));
            for _ in 0..=sent {
                b.recv(&mut [0; 8]).unwrap();
            }
            log.result("waits again", sender.join());
        }

        fn send_to_is_late(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let receiver = UnixDatagram::bind(&path).unwrap();
            // The queue is full of somebody else's messages.
            let other = UnixDatagram::unbound().unwrap();
            other.set_nonblocking(true).unwrap();
            while other.send_to(b"x", &path).is_ok() {}
            let sender = UnixDatagram::unbound().unwrap();
            sender.set_write_timeout(Some(SHORT)).unwrap();
            log.late("send_to", sender.send_to(b"y", &path));
            sender.set_nonblocking(true).unwrap();
            log.result("non-blocking", sender.send_to(b"y", &path));
            sender.set_nonblocking(false).unwrap();
            sender.set_write_timeout(None).unwrap();
            let sending = log.spawn(move || sender.send_to(b"yy", &path));
            while receiver.recv(&mut [0; 8]).unwrap() == 1 {}
            log.result("waits", sending.join());
        }

        fn take_error(log) {
            let (a, b) = UnixDatagram::pair().unwrap();
            log.result("none", a.take_error().map(|e| e.map(|e| e.kind())));
            drop(b);
            log.result("gone", a.take_error().map(|e| e.map(|e| e.kind())));
            log.result("taken", a.take_error().map(|e| e.map(|e| e.kind())));
        }

        fn shutdown(log) {
            let (a, b) = UnixDatagram::pair().unwrap();
            a.send(b"before").unwrap();
            log.result("write half", a.shutdown(Shutdown::Write));
            log.result("send", a.send(b"x"));
            log.result("recv", b.recv(&mut [0; 8]));
            // Which a socket for datagrams is not told.
            b.set_nonblocking(true).unwrap();
            log.result("nothing", b.recv(&mut [0; 8]));
            b.set_nonblocking(false).unwrap();
            log.result("the other way", b.send(b"back"));
            log.result("recv", a.recv(&mut [0; 8]));
            log.result("read half", a.shutdown(Shutdown::Read));
            log.result("end", a.recv(&mut [0; 8]));
            log.result("peer sends", b.send(b"x"));
            let (a, b) = UnixDatagram::pair().unwrap();
            let b = Arc::new(b);
            let receiving = Arc::clone(&b);
            let receiver = log.spawn(move || receiving.recv(&mut [0; 8]));
            log.result("of a blocked recv", b.shutdown(Shutdown::Both));
            log.result("it ends", receiver.join());
            log.result("send", b.send(b"x"));
            drop(a);
            log.result("not connected", UnixDatagram::unbound().unwrap().shutdown(Shutdown::Both));
        }

        fn debug(log) {
            let dir = Dir::new();
            let path = dir.join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            let (addr, text) = (socket.local_addr().unwrap(), format!("{socket:?}"));
            log.note("type", text.starts_with("UnixDatagram {"));
            log.note("fd", text.contains("fd: "));
            log.note("address", text.contains(&format!("local: {addr:?}")));
            log.note("peer", text.contains("peer"));
        }
    }
}
