//! Servers with thousands of connections, idle or busy.

use crate::{Scenario, word};
use corio_net::{TcpListener, TcpStream};
use corio_tests::{proc_number, wait_until};
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("idle_stack_buffer", |_| idle(with_stack_buffer)),
    ("fair", fair),
];

/// Serves on all local addresses, since one has too few ports for a crowd of clients. An error ends one
/// connection.
fn serve(handle: impl Fn(TcpStream) + Send + Sync + Copy + 'static) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    println!("port: {}", listener.local_addr().unwrap().port());
    corio::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("descriptors enough");
            corio::spawn(move || handle(stream));
        }
    });
}

/// Tells what memory it uses whenever the test says how many connections there are and all of them are at rest.
fn idle(handle: fn(TcpStream)) {
    serve(handle);
    while let Some(connections) = word() {
        let connections: usize = connections.parse().unwrap();
        wait_until("all parked", || {
            // And the one that accepts.
            corio::metrics().goroutines.waiting == connections + 1
        });
        let status = "/proc/self/status";
        let used = proc_number(status, "VmRSS") + proc_number(status, "VmPTE");
        println!("KiB: {used}");
    }
    std::process::exit(0);
}

/// The buffer lies on the stack for as long as the connection does.
fn with_stack_buffer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

/// Requests of 64 bytes, each of which keeps the processor for some microseconds. At the word `hog`, a goroutine
/// keeps it for very much longer.
fn fair(args: &[String]) {
    let work = Duration::from_micros(args[0].parse().unwrap());
    serve(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            spin(work);
            if stream.write_all(&buffer[..n]).is_err() {
                return;
            }
        }
    });
    while let Some(word) = word() {
        assert_eq!(word, "hog");
        corio::spawn(|| spin(Duration::from_millis(100)));
    }
    std::process::exit(0);
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box((0..100).sum::<u64>());
    }
}
