//! A line server with everything that one in production needs: whoever sends a number gets the next
//! one, after two seconds of work; whoever sends anything else gets told.
//!
//! `cargo run --release --example async_tcp_server`, then `nc 127.0.0.1 8000`, in as many terminals as
//! you like: they don't wait for each other. Ctrl-C lets the lines be finished that are being worked
//! on.
//!
//! What the server takes care of: a limit of connections, time limits, bounded memory for each client,
//! an end without loss. What the handler is left with is `serve`, straight code that waits where it has
//! to.

use std::io::{self, BufReader, ErrorKind, Write};
use std::num::IntErrorKind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::signal::{SIGINT, SIGTERM};
use corio_examples::{read_line, run, say, seconds};
use corio_net::{Connection, Server, listen};

/// No number that can be answered is longer; of a longer line the rest is skipped.
const MAX_LINE: usize = 128;

/// Answers every number with the next one. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8000")]
    addr: String,
    /// Seconds of work for each line.
    #[arg(long, default_value = "2", value_parser = seconds)]
    work: Duration,
    /// Seconds in which a client must have sent its next line.
    #[arg(long, default_value = "300", value_parser = seconds)]
    deadline: Duration,
    /// Seconds for what is being worked on when the server is to end.
    #[arg(long, default_value = "10", value_parser = seconds)]
    grace: Duration,
    /// Clients served at once; further ones wait.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("async_tcp_server", move || {
        let (work, deadline) = (args.work, args.deadline);
        let server = Server::new(move |conn| serve(conn, work, deadline))
            .name("async_tcp_server")
            .max_connections(args.max as usize)
            // For answers that a client doesn't read.
            .write_timeout(Duration::from_secs(10))
            .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
            .shutdown_on(&[SIGINT, SIGTERM], args.grace)
            .start([listen("tcp", &args.addr)?])?;
        say!("async_tcp_server: listening on {}", server.addrs()[0]);
        let report = server.wait();
        let accepted = server.stats().accepted;
        say!("async_tcp_server: stopped after {accepted} connections; {report}");
        Ok(())
    })
}

/// Serves one connection. An error ends it and nothing else.
fn serve(conn: &Connection, work: Duration, patience: Duration) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(MAX_LINE, conn);
    loop {
        // For the whole line: a client that sends it byte by byte gains nothing.
        let deadline = Instant::now() + patience;
        conn.set_read_deadline(Some(deadline))?;
        let line = match next_line(conn, &mut reader) {
            Ok(None) if Instant::now() < deadline => return Ok(()),
            Ok(Some(line)) => line,
            Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
            _ => return writeln!(&mut &*conn, "no line for {patience:?}, goodbye"),
        };
        // The work. A goroutine that waits here costs its stack; one that computes should do it in
        // `corio::blocking`, or just do it: it loses its P to the others after a while.
        corio::sleep(work);
        writeln!(&mut &*conn, "{}", answer(&line))?;
    }
}

/// `None`: the client has nothing more to say, or was silent for too long, or the server is to end.
fn next_line(conn: &Connection, reader: &mut BufReader<&Connection>) -> io::Result<Option<String>> {
    // Between lines the connection is idle: the server may close it when it is to end.
    // What the client has sent in advance is in the buffer.
    if reader.buffer().is_empty() && !conn.wait_request()? {
        return Ok(None);
    }
    read_line(reader, MAX_LINE)
}

fn answer(line: &str) -> String {
    match line.trim().parse::<i128>() {
        Ok(n) => match n.checked_add(1) {
            Some(next) => next.to_string(),
            None => "this is the last number I know".to_owned(),
        },
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                "a number, but too long for me: 38 digits will do".to_owned()
            }
            IntErrorKind::Empty => "nothing? Send a whole number, such as 41".to_owned(),
            _ => format!("{line:?} is not a number. Send a whole number, such as 41"),
        },
    }
}
