//! A TCP echo server: one goroutine per connection, written as if it might block.
//!
//! `cargo run --release --example echo`, then `nc 127.0.0.1 7000` in another terminal.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Parser;
use corio::go;
use corio_examples::{accept, listen, run, say};
use corio_net::TcpStream;

/// Sends every client its own bytes back. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("echo", move || serve(&args.addr))
}

fn serve(addr: &str) -> io::Result<()> {
    let listener = listen("echo", addr)?;
    let local = listener.local_addr()?;
    say!("try: nc {} {}", local.ip(), local.port());
    let mut connections = 0_u64;
    while let Some(stream) = accept(&listener) {
        connections += 1;
        go!(echo(stream));
    }
    say!("echo: stopped after {connections} connections");
    Ok(())
}

/// Serves one connection. Whatever goes wrong on it ends it and nothing else.
///
/// The buffer lies on the goroutine's stack and is small: it is memory that every idle connection
/// keeps. `read` returns 0 when the client has shut its side down, as `nc -N` does at end of input;
/// by then all its bytes have been sent back.
fn echo(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}
