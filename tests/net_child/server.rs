//! Servers that run out of something, or are told to end.

use crate::limits::{exhaust, lower_limit};
use crate::{Scenario, word};
use corio::Config;
use corio::signal::SIGTERM;
use corio_net::{Connection, Refusal, Server, ServerHandle, ServerWarning, TcpListener};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("server_descriptors", descriptors),
    ("server_goroutines", goroutines),
    ("server_term", term),
    ("server_warnings", warnings),
];

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(50);

fn start(server: Server) -> ServerHandle {
    let server = server
        .start([TcpListener::bind("127.0.0.1:0").unwrap()])
        .unwrap();
    println!("port: {}", server.addrs()[0].port().unwrap());
    server
}

/// Sends each line back.
fn echo(conn: &mut Connection) -> io::Result<()> {
    let mut reader = BufReader::new(&*conn);
    let mut line = String::new();
    while !reader.buffer().is_empty() || conn.wait_request()? {
        line.clear();
        reader.read_line(&mut line)?;
        (&*conn).write_all(line.as_bytes())?;
    }
    Ok(())
}

/// A server without descriptors, until the test has it give some back, or shut down.
fn descriptors(_: &[String]) {
    lower_limit();
    let server = Server::new(echo).on_accept_error(|failed| {
        assert_eq!(failed.error.raw_os_error(), Some(libc::EMFILE));
        println!("failed: {:?}", failed.then);
    });
    let server = start(server);
    assert_eq!(word().as_deref(), Some("exhaust"));
    let mut files = exhaust();
    println!("exhausted: {}", files.len());
    while let Some(word) = word() {
        match word.as_str() {
            "free" => files.clear(),
            "end" => server.begin_shutdown(LONG),
            other => panic!("{other:?}"),
        }
    }
    let report = server.shutdown(LONG);
    println!("forced: {}", report.forced);
    println!("accepted: {}", server.stats().accepted);
}

/// A server without hooks but the one for warnings, that runs out of descriptors and then of goroutines.
fn warnings(_: &[String]) {
    Config::new().max_goroutines(32).init().unwrap();
    lower_limit();
    let (tell, told) = corio::channel::unbounded();
    let server = Server::new(echo).on_warning(move |warning| tell.send(warning.clone()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = server.start([listener]).unwrap();
    let connected = |client: socket2::Socket| {
        client.connect(&addr.into()).unwrap();
        BufReader::new(TcpStream::from(client))
    };
    let client = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);

    let first = client().unwrap();
    let mut files = exhaust();
    let mut first = connected(first);
    corio_tests::yield_until(|| server.stats().accept_errors >= 4);
    files.clear();
    let mut line = String::new();
    first.get_mut().write_all(b"hello\n").unwrap();
    first.read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    let ServerWarning::Accept { listener, problem } = told.try_recv().unwrap() else {
        panic!("another warning");
    };
    assert_eq!(listener.as_ip(), Some(addr));
    assert!(problem.contains("open files"), "{problem}");
    assert!(told.is_empty(), "told once");

    let mut parked = Vec::new();
    while let Ok(goroutine) = corio::Builder::new().spawn(corio::park) {
        parked.push(goroutine);
    }
    for _ in 0..2 {
        // The reset may come while it still connects.
        let client = client().unwrap();
        if client.connect(&addr.into()).is_ok() {
            let line = BufReader::new(TcpStream::from(client)).lines().next();
            assert!(!matches!(line, Some(Ok(_))), "{line:?}");
        }
    }
    assert_eq!(told.recv(), Ok(ServerWarning::NoGoroutine));
    assert!(told.is_empty(), "told once");
    for goroutine in parked {
        goroutine.goroutine().unpark();
        goroutine.join().unwrap();
    }
    drop(first);
    assert_eq!(server.shutdown(LONG).forced, 0);
}

/// A server that can't have goroutines, for a while.
fn goroutines(_: &[String]) {
    Config::new().max_goroutines(32).init().unwrap();
    let (tell, told) = corio::channel::unbounded();
    let server = Server::new(echo).on_refused(move |info, _, refusal| {
        assert_eq!(refusal, Refusal::NoGoroutine);
        tell.send(info.id()).unwrap();
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = server.start([listener]).unwrap();
    let ask = || {
        let mut stream = TcpStream::connect(addr)?;
        writeln!(stream, "hello")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok::<_, io::Error>(line)
    };
    assert_eq!(ask().unwrap(), "hello\n");
    // The connection's goroutine has ended; left are those of listener and server.
    corio_tests::yield_until(|| corio::num_goroutines() == 2);
    let mut parked = Vec::new();
    while let Ok(goroutine) = corio::Builder::new().spawn(corio::park) {
        parked.push(goroutine);
    }
    let second = Server::new(echo).start([TcpListener::bind("127.0.0.1:0").unwrap()]);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::OutOfMemory);
    for id in [2, 3] {
        // Reset or ended, but not answered.
        assert!(ask().map_or(true, |line| line.is_empty()));
        assert_eq!(told.recv(), Ok(id));
    }
    for goroutine in parked {
        goroutine.goroutine().unpark();
        goroutine.join().unwrap();
    }
    assert_eq!(ask().unwrap(), "hello\n");
    let report = server.shutdown(LONG);
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.refused, report.forced), (4, 2, 0));
}

/// A server that is ended by a signal. A request is a byte; the answer is many of it, and takes a while.
fn term(_: &[String]) {
    let begun = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&begun);
    let handler = move |conn: &mut Connection| {
        let mut byte = [0];
        while conn.wait_request()? {
            conn.read_exact(&mut byte)?;
            count.fetch_add(1, Ordering::SeqCst);
            for _ in 0..4 {
                corio::sleep(Duration::from_micros(500));
                conn.write_all(&[byte[0]; 8192])?;
            }
        }
        Ok(())
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("port: {}", listener.local_addr().unwrap().port());
    let server = Server::new(handler)
        // A client may be kept from sending its request for long, if the machine is busy.
        .new_grace(LONG)
        .shutdown_on(&[SIGTERM], LONG)
        .on_error(|info, error| println!("error: {info}: {error}"))
        .start([listener])
        .unwrap();
    let report = server.wait();
    println!("forced: {}", report.forced);
    println!("accepted: {}", server.stats().accepted);
    println!("begun: {}", begun.load(Ordering::SeqCst));
}
