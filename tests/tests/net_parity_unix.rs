//! `UnixListener` and `UnixStream`: the same code on std's types and on ours.

mod net_support;
#[macro_use]
mod net_parity_support;

use net_support::under_other_settings;

both! {
    [std::os::unix::net] [UnixListener, UnixStream, UnixDatagram]

    pub(crate) type Stream = UnixStream;

    pub(crate) fn stream_pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
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
