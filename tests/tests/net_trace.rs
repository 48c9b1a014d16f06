//! What sockets wait for, and who wakes them, in a trace. The only test of its process, whose trace it is.

mod trace_support;

use corio::trace;
use corio_net::{TcpListener, TcpStream};
use std::fs::File;
use std::io::{Read, Write};
use trace_support::TraceFile;

const CLIENTS: usize = 20;
const ROUNDS: usize = 10;

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

#[test]
fn net_trace_shows_polls_and_whom_they_wake() {
    let file = TraceFile::new("net");
    trace::start(File::create(&file.0).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = corio::spawn(move || {
        let served: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                corio::spawn(move || echo(stream))
            })
            .collect();
        served.into_iter().for_each(|g| g.join().unwrap());
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            corio::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                for _ in 0..ROUNDS {
                    stream.write_all(b"hello").unwrap();
                    stream.read_exact(&mut [0; 5]).unwrap();
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|g| g.join().unwrap());
    server.join().unwrap();
    let summary = trace::stop().unwrap();
    assert_eq!(summary.dropped, 0, "{summary:?}");

    let trace = file.whole();
    let parked =
        trace.parked("net read") + trace.parked("net accept") + trace.parked("net connect");
    assert!(parked >= ROUNDS, "{parked}");
    let polls = trace.of("poll", "poll");
    let ready = |poll: &&serde_json::Value| poll["args"]["n"].as_u64().unwrap();
    let woken: u64 = polls.iter().map(ready).sum();
    assert!(woken >= ROUNDS as u64, "{woken}");
    // Nothing but polls wakes who waits for the network, perhaps before it has parked.
    let sooner = trace.turns_from("made ready before it parked");
    assert!(
        woken as usize + sooner >= parked,
        "{woken} woken, {sooner} sooner, {parked} parked"
    );
    assert_eq!(trace.turns_ended("exit"), 2 * CLIENTS + 1);
}
