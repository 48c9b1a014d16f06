//! A server replaces another one under load, again and again: who was accepted is served.

mod net_server_support;

use corio_net::{
    Backlog, Connection, ListenConfig, Listener, Server, ServerHandle, TcpListener, TcpStream,
};
use corio_tests::{mixed, yield_until};
use net_server_support::{LONG, server_test};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the server is replaced.
const RESTARTS: u64 = 10;
/// Clients at a time.
const CLIENTS: usize = 8;

/// A request is a byte; the answer is some of it, and takes a while.
fn answer(conn: &mut Connection) -> io::Result<()> {
    let mut byte = [0];
    conn.read_exact(&mut byte)?;
    corio::sleep(Duration::from_micros(300));
    conn.write_all(&[byte[0]; 100])?;
    conn.write_all(&[byte[0]; 100])
}

/// One request on a connection of its own. `None`: reset, before the first byte of an answer.
fn ask(addr: SocketAddr) -> Option<()> {
    let mut answer = Vec::new();
    let asked = TcpStream::connect(addr).and_then(|mut stream| {
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(b"x")?;
        stream.read_to_end(&mut answer)
    });
    match asked {
        Ok(_) => {
            assert_eq!(answer, [b'x'; 200]);
            Some(())
        }
        Err(error) => {
            let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(reset.contains(&error.kind()), "{error}");
            assert!(answer.is_empty(), "cut off: {answer:?}");
            None
        }
    }
}

/// Replaces the server under load; returns how many connections were accepted, answered, and reset.
fn restarts(addr: SocketAddr, start: impl Fn() -> ServerHandle) -> (u64, u64, u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let reset = Arc::new(AtomicU64::new(0));
    let mut server = start();
    let clients = {
        let (stop, answered, reset) =
            (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&reset));
        mixed(CLIENTS, move |_| {
            while !stop.load(Ordering::SeqCst) {
                match ask(addr) {
                    Some(()) => answered.fetch_add(1, Ordering::SeqCst),
                    None => reset.fetch_add(1, Ordering::SeqCst),
                };
            }
        })
    };
    let mut accepted = 0;
    for _ in 0..RESTARTS {
        // Both the old and the new one have something to do.
        yield_until(|| server.stats().accepted > 20);
        let successor = start();
        yield_until(|| successor.stats().accepted > 0);
        assert_eq!(server.shutdown(LONG).forced, 0);
        accepted += server.stats().accepted;
        server = successor;
    }
    stop.store(true, Ordering::SeqCst);
    clients();
    server.shutdown(LONG);
    accepted += server.stats().accepted;
    let get = |count: &AtomicU64| count.load(Ordering::SeqCst);
    (accepted, get(&answered), get(&reset))
}

/// The same listening socket goes from one server to the next: nobody notices anything.
#[test]
fn a_socket_that_is_handed_over_loses_no_connection() {
    server_test(|| {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let (accepted, answered, reset) = restarts(addr, || {
            let listener = TcpListener::try_from(socket.try_clone().unwrap()).unwrap();
            // A client may be kept from sending its request for long, if the machine is busy.
            let server = Server::new(answer).new_grace(LONG);
            server.backlog(Backlog::Leave).start([listener]).unwrap()
        });
        assert_eq!((accepted, reset), (answered, 0));
    });
}

/// Each server has a socket of its own, with a queue of its own. What completes between a server's last
/// accept and the closing of its socket is reset by the system; nothing else is lost.
#[test]
fn a_socket_beside_another_one_loses_only_what_the_system_resets() {
    server_test(|| {
        let first = ListenConfig::new()
            .reuse_port(true)
            .listen("tcp", "127.0.0.1:0")
            .unwrap();
        let addr = first.local_addr().unwrap().as_ip().unwrap();
        let first = std::cell::Cell::new(Some(first));
        let (accepted, answered, reset) = restarts(addr, || {
            let listener: Listener = first.take().unwrap_or_else(|| {
                ListenConfig::new()
                    .reuse_port(true)
                    .listen("tcp", &addr.to_string())
                    .unwrap()
            });
            Server::new(answer)
                .new_grace(LONG)
                .start([listener])
                .unwrap()
        });
        assert_eq!(accepted, answered);
        println!("{answered} answered, {reset} reset");
    });
}
