//! A 64-byte request over loopback TCP to an echo server and back, both in this process.
//!
//! The floor is the four system calls alone, made in turn by one thread on both ends of a connection:
//! nobody ever waits. `threads` is std's way, a thread on each end. With 100 connections the figures
//! are still per request.

use std::io::{self, Read, Write};
use std::net;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use corio_bench::{crew, within};
use corio_net::{TcpListener, TcpStream};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZE: usize = 64;
const CONNECTIONS: [usize; 2] = [1, 100];

/// One request and its reply.
fn ask(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(&[1; SIZE])?;
    stream.read_exact(&mut [0; SIZE])
}

/// Sends everything back until the other side closes.
fn serve(mut stream: impl Read + Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

/// Pairs of connected std sockets.
fn std_pairs(count: usize) -> io::Result<Vec<(net::TcpStream, net::TcpStream)>> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    (0..count)
        .map(|_| {
            let client = net::TcpStream::connect(addr)?;
            let (server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            Ok((client, server))
        })
        .collect()
}

/// Connections whose other ends are served by a goroutine each, until they are dropped.
fn corio_clients(count: usize) -> io::Result<Vec<Arc<TcpStream>>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    (0..count)
        .map(|_| {
            let client = TcpStream::connect(addr)?;
            let (server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            corio::spawn(move || serve(server));
            Ok(Arc::new(client))
        })
        .collect()
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");

    for count in CONNECTIONS {
        group.bench_function(BenchmarkId::new("floor/system_calls", count), |b| {
            let pairs = std_pairs(count).expect("loopback connections");
            let mut turn = pairs.iter().cycle();
            let mut buffer = [0; SIZE];
            b.iter(|| -> io::Result<()> {
                let Some((client, server)) = turn.next() else {
                    return Ok(());
                };
                let (mut client, mut server) = (client, server);
                client.write_all(&[1; SIZE])?;
                server.read_exact(&mut buffer)?;
                server.write_all(&buffer)?;
                client.read_exact(&mut buffer)
            });
        });
    }

    group.bench_function(BenchmarkId::new("floor/threads", 1), |b| {
        let (client, server) = std_pairs(1)
            .expect("a loopback connection")
            .pop()
            .expect("one pair");
        thread::spawn(move || serve(server));
        b.iter(|| ask(&client));
    });

    for procs in [1, 2] {
        for count in CONNECTIONS {
            group.bench_function(BenchmarkId::new(format!("corio/{procs}P"), count), |b| {
                let clients =
                    within(procs, move || corio_clients(count)).expect("loopback connections");
                b.iter_custom(|iterations| {
                    let clients = clients.clone();
                    within(procs, move || {
                        if let [client] = clients.as_slice() {
                            let start = Instant::now();
                            for _ in 0..iterations {
                                ask(&**client).expect("an echo");
                            }
                            return start.elapsed();
                        }
                        crew(clients, iterations, |client, share| {
                            for _ in 0..share {
                                ask(&*client).expect("an echo");
                            }
                        })
                    })
                });
            });
        }
    }

    group.finish();
}

criterion_group!(benches, echo);
criterion_main!(benches);
