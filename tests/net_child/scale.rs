//! Servers with thousands of connections, idle or busy.

use crate::{Scenario, word};
use corio_net::{BufferPool, Connection, PooledReader, Server, TcpListener, TcpStream, listen};
use corio_tests::{proc_number, wait_until};
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("idle_stack_buffer", |_| idle(with_stack_buffer)),
    ("idle_late_stack_buffer", |_| idle(with_late_stack_buffer)),
    ("idle_pooled_buffer", |_| idle(with_pooled_buffer)),
    ("idle_pooled_reader", |_| idle(with_pooled_reader)),
    ("idle_server", idle_server),
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

/// An echo server that tells what memory it uses.
fn idle(handle: fn(TcpStream)) {
    serve(handle);
    // One accepts.
    tell_memory(1);
}

/// Tells what memory the process uses whenever the test says how many connections there are and all of their
/// goroutines, and the server's own, are parked.
fn tell_memory(own: usize) {
    while let Some(connections) = word() {
        let connections: usize = connections.parse().unwrap();
        wait_until("all parked", || {
            corio::metrics().goroutines.waiting == connections + own
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

/// The buffer lies on the stack, but only while there is something to read.
fn with_late_stack_buffer(mut stream: TcpStream) {
    #[inline(never)]
    fn exchange(stream: &mut TcpStream) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer)?;
        stream.write_all(&buffer[..n])?;
        Ok(n)
    }
    while stream.wait_readable().is_ok() && matches!(exchange(&mut stream), Ok(1..)) {}
}

static BUFFERS: BufferPool = BufferPool::new(4096);

fn with_pooled_buffer(mut stream: TcpStream) {
    while let Ok(buffer) = BUFFERS.read(&stream) {
        if buffer.is_empty() || stream.write_all(&buffer).is_err() {
            return;
        }
    }
}

fn with_pooled_reader(stream: TcpStream) {
    let mut reader = PooledReader::new(stream, &BUFFERS);
    loop {
        let Ok(bytes @ [_, ..]) = reader.fill_buf() else {
            return;
        };
        let n = bytes.len();
        let mut stream = reader.get_ref();
        if stream.write_all(reader.buffer()).is_err() {
            return;
        }
        reader.consume(n);
    }
}

/// A [`Server`], with a buffer for each request.
fn idle_server(_: &[String]) {
    let server = Server::new(|conn: &mut Connection| {
        while conn.wait_request()? {
            let mut buffer = vec![0; 4096];
            let n = conn.read(&mut buffer)?;
            conn.write_all(&buffer[..n])?;
        }
        Ok(())
    });
    let server = server.start([listen("tcp4", ":0").unwrap()]).unwrap();
    println!("port: {}", server.addrs()[0].port().unwrap());
    // One accepts, one supervises.
    tell_memory(2);
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
