//! Tests of what all streams have, whatever their addresses are.

/// [`parity!`], with the tests of all streams first. Both `theirs` and `ours` must have a `Stream` and a
/// `stream_pair() -> (Stream, Stream)`.
macro_rules! stream_parity {
    (methods: [$($method:ident),* $(,)?]; $($tests:tt)*) => { parity! {
        methods: [$($method),*];

        fn read(log) {
            let (mut a, mut b) = stream_pair();
            b.write_all(b"hello, ").unwrap();
            arrives(&a);
            let mut buffer = [0; 4];
            log.result("part", a.read(&mut buffer));
            log.note("bytes", buffer);
            let mut buffer = [0; 64];
            log.result("rest", a.read(&mut buffer));
            let reader = log.spawn(move || {
                let mut buffer = [0; 64];
                let n = a.read(&mut buffer).unwrap();
                (a, buffer[..n].to_vec())
            });
            b.write_all(b"world").unwrap();
            let (mut a, bytes) = reader.join();
            log.note("blocked read", bytes);
            drop(b);
            log.result("end", a.read(&mut buffer));
            log.result("end again", a.read(&mut buffer));
            log.result("end, empty buffer", a.read(&mut []));
        }

        fn read_into_an_empty_buffer(log) {
            let (mut a, mut b) = stream_pair();
            b.write_all(b"x").unwrap();
            arrives(&a);
            log.result("read", a.read(&mut []));
            log.result("no slices", a.read_vectored(&mut []));
            log.result("empty slices", a.read_vectored(&mut [IoSliceMut::new(&mut [])]));
            log.result("exactly nothing", a.read_exact(&mut []));
            let mut buffer = [0; 2];
            log.result("the byte is there", a.read(&mut buffer));
        }

        fn read_vectored(log) {
            let (mut a, mut b) = stream_pair();
            b.write_all(b"0123456789").unwrap();
            arrives(&a);
            let (mut one, mut two, mut three) = ([0; 3], [0; 4], [0; 8]);
            log.result("read", a.read_vectored(&mut [
                IoSliceMut::new(&mut one),
                IoSliceMut::new(&mut []),
                IoSliceMut::new(&mut two),
                IoSliceMut::new(&mut three),
            ]));
            log.note("bytes", (one, two, three));
            let mut many = [[0]; 1100];
            let mut slices: Vec<_> = many.iter_mut().map(|slice| IoSliceMut::new(slice)).collect();
            b.write_all(&[7; 1100]).unwrap();
            arrives(&a);
            // More slices than the system takes at once.
            let n = a.read_vectored(&mut slices).unwrap();
            assert!(0 < n && n <= 1100);
            log.note("more slices than possible", n);
            drop(b);
        }

        fn read_traits(log) {
            let (mut a, b) = stream_pair();
            let mut writer = &b;
            writer.write_all(b"line one\nline two\nand so on and on\xff").unwrap();
            b.shutdown(Shutdown::Write).unwrap();
            let mut lines = BufReader::new(&a);
            let mut line = String::new();
            log.result("line", lines.read_line(&mut line));
            log.note("line", &line);
            let mut two = [0; 4];
            log.result("exactly", lines.read_exact(&mut two));
            let mut chained = lines.take(5).chain(&b"chained"[..]);
            let mut text = Vec::new();
            log.result("take, chain", chained.read_to_end(&mut text));
            log.note("text", &text);
            log.result("too much", a.read_exact(&mut [0; 100]));

            let (a, mut b) = stream_pair();
            b.write_all(b"not text: \xff").unwrap();
            drop(b);
            log.result("not text", (&a).read_to_string(&mut String::new()));
            let (a, mut b) = stream_pair();
            b.write_all(b"bytes").unwrap();
            drop(b);
            log.note("bytes", (&a).bytes().map(Result::unwrap).collect::<Vec<_>>());
            let (a, b) = stream_pair();
            let copied = log.spawn(move || {
                let (mut from, mut to) = (&b, Vec::new());
                io::copy(&mut from, &mut to).map(|n| (n, to.len()))
            });
            log.result("copy in", io::copy(&mut &[5; 100_000][..], &mut &a));
            drop(a);
            log.result("copy out", copied.join());
        }

        fn write(log) {
            let (mut a, mut b) = stream_pair();
            log.result("write", a.write(b"hello"));
            log.result("nothing", a.write(b""));
            log.result("no slices", a.write_vectored(&[]));
            log.result("empty slices", a.write_vectored(&[IoSlice::new(b"")]));
            log.result("all of nothing", a.write_all(b""));
            log.result("flush", a.flush());
            log.result("format", write!(a, ", {} and {:?}", 1, "two"));
            log.result("literal", writeln!(a, "."));
            let mut all = [0; 20];
            log.result("read", b.read_exact(&mut all));
            log.note("bytes", all);
            // More than the socket holds.
            let much: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
            let copy = much.clone();
            let writer = log.spawn(move || a.write_all(&copy));
            let mut received = Vec::new();
            log.result("read to end", b.read_to_end(&mut received));
            log.result("write_all", writer.join());
            assert!(received == much);
        }

        fn write_vectored(log) {
            let (mut a, mut b) = stream_pair();
            log.result("write", a.write_vectored(&[
                IoSlice::new(b"one"),
                IoSlice::new(b""),
                IoSlice::new(b", two"),
            ]));
            let many = vec![IoSlice::new(b"z"); 1100];
            // More slices than the system takes at once.
            let n = a.write_vectored(&many);
            log.result("more slices than possible", n);
            drop(a);
            let mut all = Vec::new();
            log.result("read", b.read_to_end(&mut all));
        }

        fn by_reference(log) {
            let (a, b) = stream_pair();
            let (a, b) = (Arc::new(a), Arc::new(b));
            let theirs = Arc::clone(&b);
            let echo = log.spawn(move || {
                let mut buffer = [0; 3];
                let mut stream = &*theirs;
                stream.read_exact(&mut buffer).unwrap();
                stream.write_all(&buffer).unwrap();
                stream.flush().unwrap();
            });
            // Blocked before anything is written.
            let reading = Arc::clone(&a);
            let reader = log.spawn(move || {
                let (mut one, mut two) = ([0; 1], [0; 1]);
                let mut slices = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                let n = (&*reading).read_vectored(&mut slices).unwrap();
                (n, one, two)
            });
            log.result("write", (&*a).write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]));
            log.note("read", reader.join());
            echo.join();
            log.result("rest", (&*a).read(&mut [0; 8]));
            log.result("shut down", b.shutdown(Shutdown::Both));
            log.result("end", (&*a).read(&mut [0; 8]));
        }

        fn shutdown(log) {
            let (mut a, mut b) = stream_pair();
            log.result("write half", a.shutdown(Shutdown::Write));
            log.result("twice", a.shutdown(Shutdown::Write));
            log.result("write", a.write(b"x"));
            log.result("write_all", a.write_all(b"x"));
            log.result("write_vectored", a.write_vectored(&[IoSlice::new(b"x")]));
            log.result("format", write!(a, "{}", 1));
            log.result("peer is at its end", b.read(&mut [0]));
            log.result("peer still writes", b.write(b"y"));
            log.result("and is read", a.read(&mut [0; 2]));
            log.result("read half", a.shutdown(Shutdown::Read));
            log.result("read", a.read(&mut [0]));
            log.result("read again", a.read(&mut [0]));

            let (a, b) = stream_pair();
            let (reader, writer) = (Arc::new(a), Arc::new(b));
            let reading = Arc::clone(&reader);
            let blocked = log.spawn(move || (&*reading).read(&mut [0]));
            log.result("of a blocked read", reader.shutdown(Shutdown::Read));
            log.result("it ends", blocked.join());
            log.result("both", writer.shutdown(Shutdown::Both));
            log.result("write", (&*writer).write(b"x"));
            log.result("read", (&*writer).read(&mut [0]));
        }

        fn peer_is_gone(log) {
            let (mut a, b) = stream_pair();
            drop(b);
            arrives(&a);
            log.result("end", a.read(&mut [0]));
            // The first write may be what tells the peer's system to complain.
            let _ = a.write(b"x");
            hangs_up(&a);
            log.note("later ones fail", a.write(b"x").is_err());
            log.result("and again", a.write(b"x"));
            log.result("write_all", a.write_all(b"x"));
            log.result("write_vectored", a.write_vectored(&[IoSlice::new(b"x")]));
            log.result("end", a.read(&mut [0]));
        }

        fn peer_is_gone_with_bytes_unread(log) {
            for write_first in [true, false] {
                let (mut a, b) = stream_pair();
                a.write_all(b"never read").unwrap();
                arrives(&b);
                drop(b);
                hangs_up(&a);
                if write_first {
                    log.result("write", a.write(b"x"));
                }
                log.result("read", a.read(&mut [0]));
                log.result("read again", a.read(&mut [0]));
                log.result("write after that", a.write(b"x"));
                log.result("shutdown", a.shutdown(Shutdown::Both));
                log.result("peer_addr", a.peer_addr().map(drop));
                log.result("take_error", a.take_error().map(|e| e.map(|e| e.kind())));
            }
        }

        fn try_clone(log) {
            let (mut a, mut b) = stream_pair();
            let mut clone = a.try_clone().unwrap();
            log.note("same end", format!("{:?}", a.local_addr()) == format!("{:?}", clone.local_addr()));
            b.write_all(b"12").unwrap();
            log.result("one reads", a.read_exact(&mut [0; 1]));
            log.result("the other too", clone.read_exact(&mut [0; 1]));
            // What the system keeps for the socket is common to both.
            clone.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
            clone.set_write_timeout(Some(Duration::from_secs(8))).unwrap();
            log.result("read timeout", a.read_timeout());
            log.result("write timeout", a.write_timeout());
            clone.set_nonblocking(true).unwrap();
            log.result("non-blocking", a.read(&mut [0]));
            clone.set_nonblocking(false).unwrap();
            drop(a);
            b.write_all(b"3").unwrap();
            log.result("still open", clone.read_exact(&mut [0]));
            log.result("shut down by one", clone.try_clone().unwrap().shutdown(Shutdown::Write));
            log.result("holds for the other", clone.write(b"x"));
            log.result("end", b.read(&mut [0]));
        }

        fn set_read_timeout(log) {
            let (mut a, mut b) = stream_pair();
            log.result("zero", a.set_read_timeout(Some(Duration::ZERO)));
            log.result("set", a.set_read_timeout(Some(SHORT)));
            let start = Instant::now();
            log.late("read", a.read(&mut [0]));
            log.late("read_vectored", a.read_vectored(&mut [IoSliceMut::new(&mut [0])]));
            log.late("read_exact", a.read_exact(&mut [0]));
            log.late("read_to_end", a.read_to_end(&mut Vec::new()));
            // The system counts in ticks, of which the first is not a whole one.
            assert!(start.elapsed() >= SHORT * 2);
            b.write_all(b"x").unwrap();
            arrives(&a);
            log.result("in time", a.read(&mut [0]));
            log.result("the least", a.set_read_timeout(Some(Duration::from_nanos(1))));
            log.late("read", a.read(&mut [0]));
            log.result("none", a.set_read_timeout(None));
            let reader = log.spawn(move || a.read(&mut [0]));
            b.write_all(b"y").unwrap();
            log.result("waits again", reader.join());
        }

        fn read_timeout(log) {
            let (a, _b) = stream_pair();
            log.result("at first", a.read_timeout());
            log.result("set", a.set_read_timeout(Some(Duration::from_secs(5))));
            log.result("then", a.read_timeout());
            log.result("zero", a.set_read_timeout(Some(Duration::ZERO)));
            log.result("unchanged", a.read_timeout());
            log.result("write's", a.write_timeout());
            log.result("none", a.set_read_timeout(None));
            log.result("then", a.read_timeout());
        }

        fn set_write_timeout(log) {
            let (mut a, b) = stream_pair();
            log.result("zero", a.set_write_timeout(Some(Duration::ZERO)));
            log.result("set", a.set_write_timeout(Some(SHORT)));
            // Whole blocks, until no more of them are taken.
            let error = loop {
                if let Err(error) = a.write(&[7; 65536]) {
                    break error;
                }
            };
            log.late("write", Err::<(), _>(error));
            log.late("write_all", a.write_all(&[7; 8_000_000]));
            log.result("none", a.set_write_timeout(None));
            let reader = log.spawn(move || {
                let mut all = Vec::new();
                (&b).read_to_end(&mut all).unwrap();
                all.iter().all(|&byte| byte == 7)
            });
            log.result("waits again", a.write_all(&[7; 1_000_000]));
            drop(a);
            log.note("all sevens", reader.join());
        }

        fn write_timeout(log) {
            let (a, _b) = stream_pair();
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
            let (mut a, mut b) = stream_pair();
            log.result("on", a.set_nonblocking(true));
            log.result("read", a.read(&mut [0]));
            log.result("read_vectored", a.read_vectored(&mut [IoSliceMut::new(&mut [0])]));
            log.result("read_to_end", a.read_to_end(&mut Vec::new()));
            // A timeout does not make it wait.
            a.set_read_timeout(Some(LONG)).unwrap();
            log.result("read", a.read(&mut [0]));
            let error = loop {
                if let Err(error) = a.write(&[7; 65536]) {
                    break error;
                }
            };
            log.result("write", Err::<(), _>(error));
            b.write_all(b"x").unwrap();
            arrives(&a);
            log.result("something there", a.read(&mut [0; 8]));
            log.result("nothing any more", a.read(&mut [0; 8]));
            log.result("off", a.set_nonblocking(false));
            let reader = log.spawn(move || a.read(&mut [0]));
            b.write_all(b"y").unwrap();
            log.result("waits", reader.join());
        }

        fn take_error(log) {
            let (a, _b) = stream_pair();
            log.result("none", a.take_error().map(|e| e.map(|e| e.kind())));
            log.result("none", a.take_error().map(|e| e.map(|e| e.kind())));
        }

        fn descriptors(log) {
            let (a, mut b) = stream_pair();
            log.note("the same", a.as_fd().as_raw_fd() == a.as_raw_fd());
            log.note("of a reference", (&a).as_fd().as_raw_fd() == Arc::new(&a).as_raw_fd());
            let flags = descriptor_flags(&a);
            log.note("closed on exec", flags & libc::FD_CLOEXEC != 0);
            let fd: OwnedFd = a.try_into().unwrap();
            log.note("closed on exec", descriptor_flags(&fd) & libc::FD_CLOEXEC != 0);
            let mut again = Stream::try_from(fd).unwrap();
            b.write_all(b"still connected").unwrap();
            log.result("read", again.read_exact(&mut [0; 15]));
            log.result("write", again.write_all(b"x"));
            log.result("read", b.read(&mut [0; 2]));
        }

        fn auto_traits(log) {
            fn has<T>(_: Option<T>) -> bool
            where
                T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + AsFd + AsRawFd + 'static,
                T: Read + Write + TryFrom<OwnedFd> + TryInto<OwnedFd>,
                for<'a> &'a T: Read + Write,
            {
                true
            }
            log.note("all", has::<Stream>(None));
        }

        $($tests)*
    } };
}
