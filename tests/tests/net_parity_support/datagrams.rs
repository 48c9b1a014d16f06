//! Tests of what all datagram sockets have, whatever their addresses are.

/// [`parity!`], with the tests of all datagram sockets first. Both `theirs` and `ours` must have a
/// `Datagram` and a `datagram_pair() -> (Datagram, Datagram)` of two that are connected to each other.
macro_rules! datagram_parity {
    (methods: [$($method:ident),* $(,)?]; $($tests:tt)*) => { parity! {
        methods: [$($method),*];

        fn send(log) {
            let (a, b) = datagram_pair();
            log.result("send", a.send(b"one"));
            log.result("empty", a.send(b""));
            log.result("another", a.send(b"three"));
            for _ in 0..3 {
                let mut buffer = [0; 64];
                arrives(&b);
                log.result("recv", b.recv(&mut buffer));
                log.note("bytes", buffer);
            }
        }

        fn send_too_much(log) {
            let (a, b) = datagram_pair();
            log.result("too long by far", a.send(&vec![0; 64 << 20]));
            // The socket is as good as before.
            log.result("send", a.send(&[1; 60_000]));
            let mut buffer = vec![0; 1 << 16];
            log.result("recv", b.recv(&mut buffer));
        }

        fn recv(log) {
            let (a, b) = datagram_pair();
            // The rest of a message is lost.
            a.send(b"0123456789").unwrap();
            a.send(b"next").unwrap();
            let mut buffer = [0; 4];
            log.result("cut", b.recv(&mut buffer));
            log.note("bytes", buffer);
            let mut buffer = [0; 64];
            log.result("next", b.recv(&mut buffer));
            // Without room a message is taken all the same.
            a.send(b"lost").unwrap();
            a.send(b"kept").unwrap();
            log.result("no room", b.recv(&mut []));
            log.result("next", b.recv(&mut buffer));
            log.note("bytes", buffer);
            let receiver = log.spawn(move || {
                let mut buffer = [0; 64];
                let n = b.recv(&mut buffer).unwrap();
                (b, buffer[..n].to_vec())
            });
            a.send(b"late").unwrap();
            let (b, bytes) = receiver.join();
            log.note("blocked", bytes);
            let receiver = log.spawn(move || b.recv(&mut []));
            a.send(b"").unwrap();
            log.result("nothing into nothing", receiver.join());
        }

        fn recv_keeps_messages_apart(log) {
            let (a, b) = datagram_pair();
            let sender = log.spawn(move || {
                let mut answer = [0; 8];
                for len in 0..200 {
                    a.send(&vec![len as u8; len]).unwrap();
                    // One at a time, so that none is lost for lack of room.
                    a.recv(&mut answer).unwrap();
                }
            });
            for len in 0..200_usize {
                let mut buffer = [0; 256];
                let n = b.recv(&mut buffer).unwrap();
                assert!(n == len && buffer[..n].iter().all(|&byte| byte == len as u8));
                b.send(b"got it").unwrap();
            }
            sender.join();
            log.note("all", true);
        }

        fn recv_in_two_at_once(log) {
            let (a, b) = datagram_pair();
            let b = Arc::new(b);
            let receivers: Vec<_> = (0..2)
                .map(|_| {
                    let b = Arc::clone(&b);
                    log.spawn(move || b.recv(&mut [0; 8]).unwrap())
                })
                .collect();
            a.send(b"1").unwrap();
            a.send(b"22").unwrap();
            let mut sizes: Vec<_> = receivers.into_iter().map(|r| r.join()).collect();
            sizes.sort_unstable();
            log.note("sizes", sizes);
        }

        fn try_clone(log) {
            let (a, b) = datagram_pair();
            let clone = b.try_clone().unwrap();
            a.send(b"1").unwrap();
            a.send(b"22").unwrap();
            log.result("one", b.recv(&mut [0; 8]));
            log.result("the other", clone.recv(&mut [0; 8]));
            clone.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
            clone.set_write_timeout(Some(Duration::from_secs(8))).unwrap();
            log.result("read timeout", b.read_timeout());
            log.result("write timeout", b.write_timeout());
            clone.set_nonblocking(true).unwrap();
            log.result("non-blocking", b.recv(&mut [0]));
            clone.set_nonblocking(false).unwrap();
            drop(b);
            a.send(b"333").unwrap();
            log.result("still open", clone.recv(&mut [0; 8]));
        }

        fn set_read_timeout(log) {
            let (a, b) = datagram_pair();
            log.result("zero", b.set_read_timeout(Some(Duration::ZERO)));
            log.result("set", b.set_read_timeout(Some(SHORT)));
            let start = Instant::now();
            log.late("recv", b.recv(&mut [0]));
            log.late("no room", b.recv(&mut []));
            log.late("recv_from", b.recv_from(&mut [0]));
            assert!(start.elapsed() >= SHORT * 2);
            a.send(b"x").unwrap();
            log.result("in time", b.recv(&mut [0]));
            log.result("none", b.set_read_timeout(None));
            let receiver = log.spawn(move || b.recv(&mut [0; 8]));
            a.send(b"yy").unwrap();
            log.result("waits again", receiver.join());
        }

        fn read_timeout(log) {
            let (a, _b) = datagram_pair();
            log.result("at first", a.read_timeout());
            log.result("set", a.set_read_timeout(Some(Duration::from_secs(5))));
            log.result("then", a.read_timeout());
            log.result("zero", a.set_read_timeout(Some(Duration::ZERO)));
            log.result("unchanged", a.read_timeout());
            log.result("write's", a.write_timeout());
            log.result("none", a.set_read_timeout(None));
            log.result("then", a.read_timeout());
        }

        fn write_timeout(log) {
            let (a, _b) = datagram_pair();
            log.result("at first", a.write_timeout());
            log.result("set", a.set_write_timeout(Some(Duration::from_millis(1500))));
            log.result("then", a.write_timeout());
            log.result("zero", a.set_write_timeout(Some(Duration::ZERO)));
            log.result("unchanged", a.write_timeout());
            log.result("read's", a.read_timeout());
            log.result("none", a.set_write_timeout(None));
            log.result("then", a.write_timeout());
        }

        fn set_nonblocking(log) {
            let (a, b) = datagram_pair();
            log.result("on", b.set_nonblocking(true));
            log.result("recv", b.recv(&mut [0]));
            log.result("no room", b.recv(&mut []));
            log.result("recv_from", b.recv_from(&mut [0]).map(drop));
            b.set_read_timeout(Some(LONG)).unwrap();
            log.result("a timeout does not count", b.recv(&mut [0]));
            a.send(b"x").unwrap();
            arrives(&b);
            log.result("something there", b.recv(&mut [0; 8]));
            log.result("nothing any more", b.recv(&mut [0; 8]));
            log.result("send", b.send(b"y"));
            log.result("off", b.set_nonblocking(false));
            let receiver = log.spawn(move || b.recv(&mut [0; 8]));
            a.send(b"zz").unwrap();
            log.result("waits", receiver.join());
        }

        fn descriptors(log) {
            let (a, b) = datagram_pair();
            log.note("the same", a.as_fd().as_raw_fd() == a.as_raw_fd());
            log.note("closed on exec", descriptor_flags(&a) & libc::FD_CLOEXEC != 0);
            let fd: OwnedFd = a.try_into().unwrap();
            let again = Datagram::try_from(fd).unwrap();
            b.send(b"still connected").unwrap();
            log.result("recv", again.recv(&mut [0; 64]));
            log.result("send", again.send(b"x"));
            log.result("recv", b.recv(&mut [0; 64]));
        }

        fn auto_traits(log) {
            fn has<T>(_: Option<T>) -> bool
            where
                T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + AsFd + AsRawFd + 'static,
                T: TryFrom<OwnedFd> + TryInto<OwnedFd>,
            {
                true
            }
            log.note("all", has::<Datagram>(None));
        }

        $($tests)*
    } };
}
