//! The child process of socket tests: runs the scenario that its first argument names.
//!
//! Like the `child` binary, but a scenario talks with its test while it runs: it prints lines
//! `name: value`, and reads words, one per line. At the end of its standard input it ends. Its main
//! thread is a plain one.

mod dial;
mod fault;
mod hogs;
mod idle;
mod limits;
mod namespace;
mod network;
mod scale;
mod server;
mod takeover;
mod udp;

use corio_net::{TcpListener, TcpStream};
use std::io::{Read, Write};

/// A scenario, and what follows its name on the command line.
type Scenario = fn(&[String]);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, args) = args.split_first().expect("the name of a scenario");
    let areas = [
        dial::SCENARIOS,
        hogs::SCENARIOS,
        idle::SCENARIOS,
        limits::SCENARIOS,
        scale::SCENARIOS,
        server::SCENARIOS,
        takeover::SCENARIOS,
        udp::SCENARIOS,
    ];
    let (_, scenario) = areas
        .iter()
        .chain(fault::SCENARIOS)
        .copied()
        .flatten()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("no scenario {name:?}"));
    scenario(args);
}

/// The test's next word; none at the end.
fn word() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    (read.expect("a pipe") > 0).then(|| line.trim().to_owned())
}

/// Tells the test where to connect, and serves echoes from then on.
fn serve(listener: TcpListener) {
    println!("port: {}", listener.local_addr().unwrap().port());
    corio::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("descriptors enough");
            corio::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).expect("a well-behaved client") {
            0 => return,
            n => stream
                .write_all(&buffer[..n])
                .expect("a well-behaved client"),
        }
    }
}
