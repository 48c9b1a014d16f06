//! Slow clients by the thousand ("slowloris"): they send a byte now and then, so that no read waits long, and
//! never finish what they say.

use super::{Baseline, LONG, Service, after, peak};
use crate::Scenario;
use corio_net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[("fault_slow", slow)];

/// The longest head of a request.
const HEAD: usize = 4096;
/// The time for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads a line, in limited time and memory.
fn read_head(stream: &TcpStream) -> io::Result<Vec<u8>> {
    stream.set_read_deadline(after(PATIENCE))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" && head.len() < HEAD {
        match (&*stream).read(&mut byte)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
    }
    Ok(head)
}

/// A deadline for the whole request ends each of so many slow clients, other than a timeout per read
/// would, and meanwhile others are served. Memory is bounded by the clients, and does not grow when they
/// come again.
fn slow(args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    let baseline = Baseline::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let service = Service::on_goroutines(listener, |stream| read_head(&stream));
    service.check();
    println!("before kB: {}", peak());
    for round in 0..2 {
        let clients: Vec<_> = (0..count).map(|_| service.attack()).collect();
        let ended = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&ended);
        let dripping = thread::spawn(move || drip(clients, count, &theirs));
        for _ in 0..count {
            if ended.load(Ordering::Relaxed).is_multiple_of(100) {
                service.check();
            }
            let error = service.outcome().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
            ended.fetch_add(1, Ordering::Relaxed);
        }
        dripping.join().unwrap();
        println!("peak kB {round}: {}", peak());
    }
    service.stop();
    baseline.check();
}

/// Sends a byte on each connection from time to time, until all have been ended by the server.
fn drip(mut clients: Vec<std::net::TcpStream>, count: usize, ended: &AtomicUsize) {
    while ended.load(Ordering::Relaxed) < count {
        // An error is what the server's end of the connection means in the end.
        clients.retain_mut(|client| client.write_all(b"x").is_ok());
        thread::sleep(PATIENCE / 20);
    }
    for mut client in clients {
        client.set_read_timeout(Some(LONG)).unwrap();
        match client.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("the server does not answer"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}
