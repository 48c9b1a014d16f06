//! Servers in processes of their own: out of descriptors, out of goroutines, and ended by a signal under load.

mod net_support;

use corio_tests::watchdog;
use net_support::Process;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

fn connect(port: u64) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(("127.0.0.1", port as u16)).unwrap())
}

fn ask(client: &mut BufReader<TcpStream>, line: &str) {
    client.get_mut().write_all(line.as_bytes()).unwrap();
    assert_answer(client, line);
}

fn assert_answer(client: &mut BufReader<TcpStream>, expected: &str) {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert_eq!(line, expected);
}

/// A server that has no more descriptors, one of its clients, and three others, who are waiting.
fn out_of_descriptors() -> (Process, BufReader<TcpStream>, [BufReader<TcpStream>; 3]) {
    let mut server = Process::start(&["server_descriptors"], &[]);
    let port = server.number("port");
    let mut first = connect(port);
    ask(&mut first, "hello\n");
    server.tell("exhaust");
    server.number("exhausted");
    let mut others = [connect(port), connect(port), connect(port)];
    for other in &mut others {
        other.get_mut().write_all(b"hello\n").unwrap();
    }
    // Each pause is twice as long as the one before; the first clients go on meanwhile.
    for pause in ["5ms", "10ms", "20ms", "40ms"] {
        assert_eq!(server.line(), ("failed".into(), format!("Wait({pause})")));
        ask(&mut first, "still there\n");
    }
    (server, first, others)
}

/// The next line that is not about a failed accept.
fn line_after_failures(server: &mut Process) -> (String, String) {
    loop {
        let (name, value) = server.line();
        if name != "failed" {
            return (name, value);
        }
    }
}

#[test]
fn without_descriptors_connections_wait_until_there_are_some() {
    let _dog = watchdog();
    let (mut server, mut first, mut others) = out_of_descriptors();
    server.tell("free");
    for other in &mut others {
        assert_answer(other, "hello\n");
        ask(other, "again\n");
    }
    ask(&mut first, "bye\n");
    drop((first, others));
    server.close_stdin();
    assert_eq!(
        line_after_failures(&mut server),
        ("forced".into(), "0".into())
    );
    assert_eq!(server.number("accepted"), 4);
    server.end();
}

#[test]
fn a_server_that_shuts_down_without_descriptors_serves_who_waits_one_after_the_other() {
    let _dog = watchdog();
    let (mut server, first, mut others) = out_of_descriptors();
    server.tell("end");
    // Idle, it is closed, and leaves the others its descriptor. They are closed when answered.
    drop(first);
    for other in &mut others {
        assert_answer(other, "hello\n");
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
    server.close_stdin();
    assert_eq!(
        line_after_failures(&mut server),
        ("forced".into(), "0".into())
    );
    assert_eq!(server.number("accepted"), 4);
    server.end();
}

#[test]
fn without_goroutines_connections_are_refused_and_the_server_goes_on() {
    let _dog = watchdog();
    Process::start(&["server_goroutines"], &[]).end();
}

#[test]
fn who_sets_no_hooks_is_warned_once() {
    let _dog = watchdog();
    Process::start(&["server_warnings"], &[]).end();
}

/// What the clients of a server that is ended have seen.
#[derive(Debug, Default)]
struct Seen {
    /// Whole answers.
    answers: AtomicU64,
    /// Connections on which there was one at least.
    served: AtomicU64,
    /// Connections that ended before the first byte of a first answer: the kernel had accepted them after
    /// the server's last accept.
    late: AtomicU64,
    /// The server has been told to end.
    told: AtomicBool,
}

const ANSWER: usize = 4 * 8192;

impl Seen {
    /// Up to so many requests on one connection. `false`: the server is gone.
    fn connection(&self, port: u16, requests: usize, byte: u8) -> bool {
        let mut stream = match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => stream,
            Err(error) => {
                let late = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
                assert!(late.contains(&error.kind()), "{error}");
                assert!(self.told.load(Ordering::SeqCst), "{error}");
                return false;
            }
        };
        for request in 0..requests {
            // A request on a connection that was idle may come too late; it is not answered at all.
            if stream.write_all(&[byte]).is_err() || !self.answer(&mut stream, byte) {
                assert!(self.told.load(Ordering::SeqCst));
                if request == 0 {
                    self.late.fetch_add(1, Ordering::SeqCst);
                }
                return true;
            }
            self.answers.fetch_add(1, Ordering::SeqCst);
            if request == 0 {
                self.served.fetch_add(1, Ordering::SeqCst);
            }
        }
        true
    }

    /// A whole answer, or not a byte of it.
    fn answer(&self, stream: &mut TcpStream, byte: u8) -> bool {
        let mut buffer = vec![0; ANSWER];
        let mut got = 0;
        while got < ANSWER {
            match stream.read(&mut buffer[got..]) {
                Ok(n) if n > 0 => got += n,
                end => {
                    assert_eq!(got, 0, "cut off: {end:?}");
                    if let Err(error) = end {
                        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    }
                    return false;
                }
            }
        }
        assert!(buffer.iter().all(|b| *b == byte));
        true
    }
}

#[test]
fn kill_under_load_loses_no_request_that_was_accepted() {
    let _dog = watchdog();
    for (procs, requests) in [("1", 1), ("2", 1), ("2", 5), ("8", 20)] {
        let mut server = Process::start(&["server_term"], &[("CORIO_PROCS", procs)]);
        let port = server.number("port") as u16;
        let seen = Arc::new(Seen::default());
        let clients: Vec<_> = (0..32)
            .map(|i| {
                let seen = Arc::clone(&seen);
                thread::spawn(move || while seen.connection(port, requests, i) {})
            })
            .collect();
        corio_tests::wait_until("load", || seen.answers.load(Ordering::SeqCst) > 500);
        seen.told.store(true, Ordering::SeqCst);
        // SAFETY: no memory is passed; the process was not waited for.
        assert_eq!(unsafe { libc::kill(server.id() as i32, libc::SIGTERM) }, 0);
        assert_eq!(server.number("forced"), 0);
        let (accepted, begun) = (server.number("accepted"), server.number("begun"));
        for client in clients {
            client.join().unwrap();
        }
        let get = |figure: &AtomicU64| figure.load(Ordering::SeqCst);
        println!(
            "procs {procs}, up to {requests} requests: {accepted} connections, {begun} requests, \
             {} connections too late for the server",
            get(&seen.late)
        );
        assert_eq!(begun, get(&seen.answers));
        assert_eq!(accepted, get(&seen.served));
        server.end();
    }
}
