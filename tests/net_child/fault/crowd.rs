//! Connections by the thousand: abandoned by a client that is killed, made all at once, and accepts that
//! are blocked when their listener is closed.

use super::{
    ATTACK, Baseline, Service, assert_closed, check_echo, everywhere, most_descriptors, peak,
    permitted, reset_at_close,
};
use crate::fault::cast::{Cast, Task};
use crate::network::{self, Refused};
use crate::{Scenario, word};
use corio_net::{TcpListener, TcpStream, is_closed};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("fault_abandoned", abandoned),
    ("fault_abandoner", abandoner),
    ("fault_burst", burst),
    ("fault_accepts", |_| accepts()),
];

/// Opens so many connections to this address, sends half of something on each, and waits for its end,
/// which is a kill. Then every other connection is reset, or all, the rest closed.
fn abandoner(args: &[String]) {
    let addr: SocketAddr = args[0].parse().unwrap();
    let (count, all_reset): (usize, bool) = (args[1].parse().unwrap(), args[2] == "reset");
    // For the limit of descriptors, which std's do not raise.
    drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let streams: Vec<_> = (0..count)
        .map(|number| {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            stream.write_all(&[ATTACK, b'h', b'a', b'l']).unwrap();
            if all_reset || number % 2 == 0 {
                reset_at_close(&stream);
            }
            stream
        })
        .collect();
    println!("open: {}", streams.len());
    assert_eq!(word(), None);
}

/// A client with so many connections, which are open now.
pub(super) struct Abandoner(Child);

impl Abandoner {
    pub(super) fn start(addr: SocketAddr, count: usize, all_reset: bool) -> Abandoner {
        let end = if all_reset { "reset" } else { "close" };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "fault_abandoner",
                &addr.to_string(),
                &count.to_string(),
                end,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, format!("open: {count}\n"));
        Abandoner(child)
    }

    pub(super) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A server whose clients are killed, again and again, so many connections each time.
///
/// Those that a client closes keep its ports for a minute: in a network of its own, or not at all.
fn abandoned(args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    let alone = network::isolate().is_ok();
    let baseline = Baseline::new();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Service::on_goroutines(listener, |mut stream: TcpStream| {
        let mut rest = Vec::new();
        let result = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"hal");
        result.map(drop)
    });
    for round in 1..=3 {
        let addr = SocketAddr::from(([127, 0, 0, round], port));
        let client = Abandoner::start(addr, count, !alone);
        // Waiting for the rest of what was sent, or about to.
        corio_tests::wait_until("there", || corio::num_goroutines() == 1 + count);
        client.kill();
        let closed = (0..count)
            .filter(|_| match service.outcome() {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    false
                }
            })
            .count();
        assert_eq!(closed, if alone { count / 2 } else { 0 });
        corio_tests::wait_until("ended", || corio::num_goroutines() == 1);
        service.check();
        println!("peak kB {round}: {}", peak());
    }
    service.stop();
    baseline.check();
}

/// All connects at once, while nobody accepts: then the queue must hold them; or while somebody does:
/// then it may be too short, and the system tries again.
fn burst(args: &[String]) {
    let (most, long_queue) = (args[0].parse::<usize>().unwrap(), args[1] == "long");
    // Else its ports would be missed for a minute.
    let alone = network::isolate();
    if long_queue {
        permitted(alone);
        let queue = "/proc/sys/net/core/somaxconn";
        let written = fs::write(queue, "16384").map_err(|error| Refused(error.to_string()));
        permitted(written);
    }
    let baseline = Baseline::new();
    let count = most.min((most_descriptors() - 200) / 2);
    if count < most {
        println!("only {count} connections: the limit of descriptors is too low");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let connected = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let connected = Arc::clone(&connected);
            corio::spawn(move || {
                let stream = TcpStream::connect(addr).unwrap();
                connected.fetch_add(1, Ordering::Relaxed);
                // What is sent before the connection is accepted waits with it.
                check_echo(&stream, 1000);
                stream
            })
        })
        .collect();
    if long_queue {
        corio_tests::wait_until("connected", || connected.load(Ordering::Relaxed) == count);
        assert_eq!(
            overflows(),
            0,
            "the queue is shorter than the system allows"
        );
    }
    let service = Service::on_goroutines(listener, |_| ());
    // Nobody closes before all are served.
    let streams: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    println!("served: {}", streams.len());
    drop(streams);
    service.stop();
    baseline.check();
}

/// Connections that this network found no room for in a listener's queue.
fn overflows() -> u64 {
    let text = fs::read_to_string("/proc/self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|name| name == "ListenOverflows");
    values.split(' ').nth(at.unwrap()).unwrap().parse().unwrap()
}

/// A listener is closed under a thousand blocked accepts, in the middle of connects: each of these is
/// served or fails, and another listener can take its place at once.
fn accepts() {
    let baseline = Baseline::new();
    everywhere(|cast| {
        let mut addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for _ in 0..3 {
            addr = accepts_once(cast, addr);
        }
    });
    baseline.check();
}

fn accepts_once(cast: Cast, addr: SocketAddr) -> SocketAddr {
    const ACCEPTS: usize = 1000;
    const CONNECTS: usize = 100;
    let listener = Arc::new(TcpListener::bind(addr).unwrap());
    let addr = listener.local_addr().unwrap();
    let entered = Arc::new(AtomicUsize::new(0));
    let acceptors: Vec<_> = (0..ACCEPTS)
        .map(|number| {
            let (listener, entered) = (Arc::clone(&listener), Arc::clone(&entered));
            let accept = move || {
                entered.fetch_add(1, Ordering::Relaxed);
                let (mut stream, _) = listener.accept()?;
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b"hello").unwrap();
                Ok(())
            };
            // Threads by the thousand would be a test of something else.
            if number % 50 == 0 {
                Task::Thread(thread::spawn(accept))
            } else {
                Task::Goroutine(corio::spawn(accept))
            }
        })
        .collect();
    corio_tests::wait_until("entered", || entered.load(Ordering::Relaxed) == ACCEPTS);
    let clients: Vec<_> = (0..CONNECTS / 20)
        .map(|_| {
            cast.spawn(move || {
                (0..20)
                    .filter(|_| {
                        let mut text = String::new();
                        // It speaks first: Linux sometimes forgets a connection that is completed
                        // while its listener is being closed, and says so only when asked.
                        let served = TcpStream::connect(addr).and_then(|mut stream| {
                            stream.write_all(b"?")?;
                            stream.read_to_string(&mut text)
                        });
                        match served {
                            Ok(_) => {
                                assert_eq!(text, "hello");
                                true
                            }
                            Err(error) => {
                                // Before, in, and after the listener's queue.
                                assert!(
                                    matches!(
                                        error.kind(),
                                        ErrorKind::ConnectionRefused
                                            | ErrorKind::ConnectionReset
                                            | ErrorKind::BrokenPipe
                                    ),
                                    "{error:?}"
                                );
                                false
                            }
                        }
                    })
                    .count()
            })
        })
        .collect();
    listener.close().unwrap();
    drop(TcpListener::bind(addr).unwrap());
    let accepted = acceptors
        .into_iter()
        .map(Task::join)
        .filter(|result| match result {
            Ok(()) => true,
            Err(error) => {
                assert!(is_closed(error), "{error:?}");
                false
            }
        })
        .count();
    let served: usize = clients.into_iter().map(Task::join).sum();
    assert_eq!(accepted, served);
    assert_closed(listener.accept());
    addr
}
