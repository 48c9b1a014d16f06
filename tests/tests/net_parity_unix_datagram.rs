//! `UnixDatagram`: the same code on std's type and on ours.

mod net_support;
#[macro_use]
mod net_parity_support;

use net_support::under_other_settings;

both! {
    [std::os::unix::net] [UnixDatagram, UnixListener]

    pub(crate) type Datagram = UnixDatagram;

    pub(crate) fn datagram_pair() -> (UnixDatagram, UnixDatagram) {
        UnixDatagram::pair().unwrap()
    }
}

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
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
