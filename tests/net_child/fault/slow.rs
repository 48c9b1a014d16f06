//! Slow clients by the thousand ("slowloris"): they send a byte now and then, so that no read waits long, and
//! never finish what they say.

use super::{Baseline, LONG, Service, after, peak};
use crate::Scenario;
use corio_net::{Connection, Server, TcpListener, TcpStream};
use socket2::{Domain, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

pub(super) const SCENARIOS: &[(&str, Scenario)] =
    &[("fault_slow", slow), ("fault_slow_server", slow_server)];

/// The longest head of a request.
const HEAD: usize = 4096;
/// The time for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads a line, in limited memory.
fn read_head(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" && head.len() < HEAD {
        match from.read(&mut byte)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
    }
    Ok(head)
}

/// Sends a byte on each connection from time to time, until the server has ended all.
fn drip(mut clients: Vec<std::net::TcpStream>) {
    for client in &clients {
        client.set_nonblocking(true).unwrap();
    }
    let alive = |result: io::Result<usize>| match result {
        Ok(n) => n > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    while !clients.is_empty() {
        clients.retain_mut(|client| alive(client.write(b"x")) && alive(client.read(&mut [0])));
        thread::sleep(PATIENCE / 20);
    }
}

/// A deadline for the whole request ends each of so many slow clients, other than a timeout per read
/// would, and meanwhile others are served. Memory is bounded by the clients, and does not grow when they
/// come again.
fn slow(args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    let baseline = Baseline::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let service = Service::on_goroutines(listener, |stream: TcpStream| {
        stream.set_read_deadline(after(PATIENCE)).unwrap();
        read_head(&stream)
    });
    service.check();
    println!("before kB: {}", peak());
    for round in 0..2 {
        let clients: Vec<_> = (0..count).map(|_| service.attack()).collect();
        let dripping = thread::spawn(move || drip(clients));
        for number in 0..count {
            if number % 100 == 0 {
                service.check();
            }
            let error = service.outcome().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
        }
        dripping.join().unwrap();
        println!("peak kB {round}: {}", peak());
    }
    service.stop();
    baseline.check();
}

/// So many slow clients at one address are more than a [`Server`] admits from there. They don't fill it, and
/// who comes from elsewhere is served all the time.
fn slow_server(args: &[String]) {
    const PER_PEER: usize = 200;
    let count: usize = args[0].parse().unwrap();
    let baseline = Baseline::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    // One request, so that it is the server that closes: clients get their ports back.
    let server = Server::new(|conn: &mut Connection| {
        if conn.wait_request()? {
            conn.set_read_deadline(after(PATIENCE))?;
            let head = read_head(&mut *conn)?;
            conn.write_all(&head)?;
        }
        Ok(())
    })
    .max_connections(2 * PER_PEER)
    .max_per_peer(PER_PEER)
    .idle_timeout(PATIENCE)
    .on_error(|conn, error| assert_eq!(error.kind(), ErrorKind::TimedOut, "{conn}: {error}"))
    .start([listener])
    .unwrap();
    ask(addr);
    println!("before kB: {}", peak());
    let clients: Vec<_> = (0..count)
        .filter_map(|_| {
            // It may be refused before we know that it is connected, and before we write.
            let mut client = match std::net::TcpStream::connect(addr) {
                Ok(client) => client,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    return None;
                }
            };
            let _ = client.write(b"x");
            Some(client)
        })
        .collect();
    let dripping = thread::spawn(move || drip(clients));
    let mut asked = 0;
    while !dripping.is_finished() {
        ask(addr);
        asked += 1;
        // The last well-behaved ones may not have been counted out yet.
        assert!(server.stats().open() <= PER_PEER + 10);
    }
    dripping.join().unwrap();
    println!("asked: {asked}");
    println!("peak kB: {}", peak());
    let stats = server.stats();
    assert_eq!(stats.panics, 0);
    // Each was refused, or lost its patience.
    assert_eq!(stats.refused + stats.handler_errors, count as u64);
    assert!(stats.handler_errors >= PER_PEER as u64, "{stats:?}");
    server.shutdown(LONG);
    drop(server);
    baseline.check();
}

/// A well-behaved client, from another address.
fn ask(addr: SocketAddr) {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&elsewhere.into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut client = std::net::TcpStream::from(socket);
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(b"what?\n").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"what?\n");
    assert_eq!(client.read(&mut answer).unwrap(), 0);
}
