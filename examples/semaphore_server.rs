//! At most so many at once, by a semaphore: the echo server of the article about connection limits, in which a
//! hundred handlers run and everybody else waits for one to end.
//!
//! `cargo run --release --example semaphore_server -- --limit 100`, then more clients than that.
//!
//! The permit is taken *before* the next connection is accepted. So the accept loop is what waits, those who come
//! meanwhile wait in the kernel's queue and cost nothing here; taking it in the handler would make a goroutine, with
//! a stack, for each of them. In Go the semaphore is a channel with room for a hundred; here it is one, whose permit
//! moves into the goroutine and comes back when it is dropped: also when the handler panics.
//!
//! A [`Server`](corio_net::Server) has this and more as `max_connections`; here one sees how little it takes.

use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use corio::group::WaitGroup;
use corio::sync::{OwnedSemaphorePermit, Semaphore};
use corio_examples::{accept, listen, on_signal, read_line, run, say, seconds};
use corio_net::TcpStream;

/// The longest line that is sent back whole.
const MAX_LINE: usize = 1024;
/// Who says nothing for so long gives the place to somebody else.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long Ctrl-C waits for those who are served.
const GRACE: Duration = Duration::from_secs(1);

/// Sends lines back, to so many clients at once. Ctrl-C lets those be served that are.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7100")]
    addr: String,
    /// Clients served at once; further ones wait.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Seconds of work for each line.
    #[arg(long, default_value = "0.01", value_parser = seconds)]
    work: Duration,
}

/// How many are served now, and the most there have been.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("semaphore_server", move || {
        let places = Arc::new(Semaphore::new(usize::from(args.limit)));
        // The accept loop waits for a place or for a connection: Ctrl-C has to end both waits.
        let closing = Arc::clone(&places);
        on_signal(move || closing.close())?;
        let listener = listen("semaphore_server", &args.addr)?;
        let (gauge, handlers) = (Arc::new(Gauge::default()), WaitGroup::new());
        let mut served = 0_u64;
        while let Ok(place) = Semaphore::acquire_owned(&places)
            && let Some(stream) = accept(&listener)
        {
            served += 1;
            let gauge = Arc::clone(&gauge);
            handlers.go(move || serve(stream, place, &gauge, args.work));
        }
        // For lines that are being worked on; who is idle is not waited for.
        let all = handlers.wait_timeout(GRACE);
        let most = gauge.most.load(Ordering::Relaxed);
        let left = if all { "" } else { "; some were cut off" };
        say!("semaphore_server: stopped after {served} connections, at most {most} at once{left}");
        Ok(())
    })
}

/// Serves one connection to its end, and gives its place back then.
fn serve(stream: TcpStream, place: OwnedSemaphorePermit, gauge: &Gauge, work: Duration) {
    let now = gauge.now.fetch_add(1, Ordering::Relaxed) + 1;
    gauge.most.fetch_max(now, Ordering::Relaxed);
    if let Err(error) = lines(&stream, work) {
        drop(writeln!(io::stderr(), "{:?}: {error}", stream.peer_addr()));
    }
    gauge.now.fetch_sub(1, Ordering::Relaxed);
    // Before the place is free, so that no more than the limit are ever open.
    drop(stream);
    drop(place);
}

fn lines(stream: &TcpStream, work: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    while let Some(line) = read_line(&mut reader, MAX_LINE)? {
        corio::sleep(work);
        writeln!(&mut &*stream, "{line}")?;
    }
    Ok(())
}
