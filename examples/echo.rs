//! A TCP echo server: one goroutine per connection, written as if it might block.
//!
//! `cargo run --release --example echo`, then `nc 127.0.0.1 7000` in another terminal. With `--debug 127.0.0.1:6060` the
//! scheduler can be watched at work, at <http://127.0.0.1:6060/>.

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
    /// Loopback address on which to serve debug pages, e.g. 127.0.0.1:6060.
    #[arg(long, value_name = "ADDR")]
    debug: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("echo", move || serve(&args))
}

fn serve(args: &Args) -> io::Result<()> {
    let listener = listen("echo", &args.addr)?;
    let local = listener.local_addr()?;
    say!("try: nc {} {}", local.ip(), local.port());
    if let Some(addr) = &args.debug {
        let pages = corio_net::debug::serve(&addr[..])
            .map_err(|error| io::Error::new(error.kind(), format!("--debug {addr}: {error}")))?;
        say!("debug pages: http://{}/", pages.local_addr());
    }
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
