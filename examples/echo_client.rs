//! Load for the echo server: one goroutine per connection, each reply compared with what was sent.
//!
//! `cargo run --release --example echo_client -- --conns 100 --duration 5`
//!
//! Two ways to ask, which answer different questions:
//!
//! * **Closed loop** (the default): each connection sends its next request when the reply to the
//!   last one is there. It measures how many requests fit into a second. Its latencies flatter: while
//!   the server stands still nobody asks, so a freeze of a second shows up as *one* slow request.
//! * **Open loop** (`--rate`): requests are due at fixed times whether or not the server keeps up,
//!   and latency counts from the time a request *was due*, not from when it got its turn. A freeze
//!   shows up in every request that it delayed, as it would with independent users.
//!
//! In the open loop a connection still has one request under way at a time; a late one is followed by
//! those that have become due meanwhile, back to back.
//!
//! A server that prefers some connections to others looks good in all figures but the tail of the
//! latencies. `spread` shows it: how many replies each connection got, the most less the fewest as a
//! share of the mean. In the closed loop that is the server's doing.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use corio::go;
use corio_examples::{on_signal, run, say, seconds};
use corio_net::{TcpStream, lookup_host};
use hdrhistogram::Histogram;

/// Loads an echo server and prints throughput and latency. Ctrl-C ends it early, with the summary.
#[derive(Parser, Clone)]
struct Args {
    /// The server's address.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: String,
    /// Connections, each with one request under way at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    conns: u32,
    /// Bytes per request; no more than socket buffers hold, since a request is sent before its reply
    /// is read.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    size: u32,
    /// Seconds to run, fractions allowed.
    #[arg(long, default_value = "5", value_parser = seconds)]
    duration: Duration,
    /// Open loop: requests per second over all connections, latency from when each was due.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Seconds to wait for a connection or a reply before it counts as an error.
    #[arg(long, default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("echo_client", move || measure(args))
}

/// Runs the load until it is done or a signal ends it, and prints the summary.
fn measure(args: Args) -> io::Result<()> {
    let report = Arc::new(Report::new());
    let end = {
        let (report, main) = (Arc::clone(&report), corio::current());
        move || {
            report.over.store(true, Relaxed);
            main.unpark();
        }
    };
    on_signal(end.clone())?;
    let worker = go!(load(args.clone(), Arc::clone(&report)));
    go!(move || {
        // A panic has been printed; what was measured until then is still worth showing.
        let _ = worker.join();
        end();
    });
    while !report.over.load(Relaxed) {
        corio::park();
    }
    report.print(&args)
}

/// Connects, then drives all connections to the end of the run.
fn load(args: Args, report: Arc<Report>) {
    let args = Arc::new(args);
    let connecting: Vec<_> = (0..args.conns)
        .map(|_| go!(connect(Arc::clone(&args))))
        .collect();
    let mut streams = Vec::new();
    for stream in connecting
        .into_iter()
        .flat_map(|goroutine| goroutine.join())
    {
        match stream {
            Ok(stream) => streams.push(stream),
            Err(error) => report.error(&error),
        }
    }
    let start = Instant::now();
    {
        let mut counts = report.lock();
        counts.start = Some(start);
        counts.replies = vec![0; streams.len()];
    }
    let driving: Vec<_> = (0..)
        .zip(streams)
        .map(|(index, stream)| {
            let (args, report) = (Arc::clone(&args), Arc::clone(&report));
            go!(drive(stream, index, start, args, report))
        })
        .collect();
    for goroutine in driving {
        let _ = goroutine.join();
    }
}

fn connect(args: Arc<Args>) -> io::Result<TcpStream> {
    let mut result = Err(ErrorKind::NotFound.into());
    for addr in lookup_host(&args.addr)? {
        result = TcpStream::connect_timeout(&addr, args.timeout);
        if result.is_ok() {
            break;
        }
    }
    let stream = result?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(args.timeout))?;
    stream.set_write_timeout(Some(args.timeout))?;
    Ok(stream)
}

/// One connection's share of the load: requests number `index`, `index + conns`, `index + 2 conns`...
///
/// In the open loop request `k` is due `k / rate` after the start.
fn drive(mut stream: TcpStream, index: u64, start: Instant, args: Arc<Args>, report: Arc<Report>) {
    let mut request: Vec<u8> = (0..args.size).map(|i| i as u8).collect();
    let mut reply = vec![0; request.len()];
    let step = u64::from(args.conns);
    let total = args
        .rate
        .map(|rate| (args.duration.as_secs_f64() * f64::from(rate)) as u64);
    let mut number = index;
    while !report.over.load(Relaxed) {
        let due = match (args.rate, total) {
            (Some(rate), Some(total)) => {
                if number >= total {
                    break;
                }
                let due = start + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
                if start.elapsed() > args.duration + args.timeout {
                    report.lock().unsent += (total - number).div_ceil(step);
                    break;
                }
                corio::sleep_until(due);
                due
            }
            _ if start.elapsed() >= args.duration => break,
            _ => Instant::now(),
        };
        // The number in front tells a late reply to another request from the right one.
        for (byte, stamp) in request.iter_mut().zip(number.to_le_bytes()) {
            *byte = stamp;
        }
        match exchange(&mut stream, &request, &mut reply) {
            Ok(()) => report.record(index as usize, due.elapsed()),
            Err(error) => {
                report.error(&error);
                if let Some(total) = total {
                    report.lock().unsent += (total - number).div_ceil(step) - 1;
                }
                break;
            }
        }
        number += step;
    }
}

fn exchange(stream: &mut TcpStream, request: &[u8], reply: &mut [u8]) -> io::Result<()> {
    stream.write_all(request)?;
    stream.read_exact(reply)?;
    if request == reply {
        Ok(())
    } else {
        Err(io::Error::new(
            ErrorKind::InvalidData,
            "the reply differs from the request",
        ))
    }
}

/// What the goroutines have found out so far.
///
/// The lock is std's: it is held for some nanoseconds and never across a call that may block the
/// goroutine, which is where a std guard would be wrong.
struct Report {
    over: AtomicBool,
    counts: Mutex<Counts>,
}

struct Counts {
    start: Option<Instant>,
    latency: Histogram<u64>,
    /// Of each connection.
    replies: Vec<u64>,
    errors: BTreeMap<String, u64>,
    unsent: u64,
}

impl Report {
    fn new() -> Self {
        // From a nanosecond to an hour with three digits; anything longer counts as an hour.
        let latency = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
            .expect("the bounds are in order and the digits below six");
        let counts = Counts {
            start: None,
            latency,
            replies: Vec::new(),
            errors: BTreeMap::new(),
            unsent: 0,
        };
        Report {
            over: AtomicBool::new(false),
            counts: Mutex::new(counts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, connection: usize, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut counts = self.lock();
        counts.latency.saturating_record(nanos);
        counts.replies[connection] += 1;
    }

    fn error(&self, error: &io::Error) {
        let text = match error.kind() {
            ErrorKind::UnexpectedEof => "the server closed the connection".into(),
            _ => error.to_string(),
        };
        *self.lock().errors.entry(text).or_insert(0) += 1;
    }

    /// Prints the summary; errors and unsent requests make it an `Err`.
    fn print(&self, args: &Args) -> io::Result<()> {
        let counts = self.lock();
        let seconds = counts
            .start
            .map_or(0.0, |start| start.elapsed().as_secs_f64());
        let mode = match args.rate {
            Some(rate) => format!("open loop at {rate}/s"),
            None => "closed loop".into(),
        };
        let requests = counts.latency.len();
        let errors: u64 = counts.errors.values().sum();
        let at = |quantile| Duration::from_nanos(counts.latency.value_at_quantile(quantile));
        say!(
            "{} connections, {} bytes, {mode}, {seconds:.2} s",
            args.conns,
            args.size
        );
        say!("requests  {requests}");
        say!(
            "req/s     {:.0}",
            requests as f64 / seconds.max(f64::MIN_POSITIVE)
        );
        say!(
            "latency   p50 {:.1?}  p99 {:.1?}  p99.9 {:.1?}  max {:.1?}",
            at(0.5),
            at(0.99),
            at(0.999),
            Duration::from_nanos(counts.latency.max())
        );
        if let (Some(min), Some(max)) = (counts.replies.iter().min(), counts.replies.iter().max()) {
            let mean = requests as f64 / counts.replies.len() as f64;
            say!(
                "spread    {:.1}% (min {min}, max {max} per connection)",
                100.0 * (max - min) as f64 / mean.max(f64::MIN_POSITIVE)
            );
        }
        say!("errors    {errors}");
        for (text, count) in &counts.errors {
            say!("          {count} x {text}");
        }
        if counts.unsent > 0 {
            say!("unsent    {}", counts.unsent);
        }
        if errors + counts.unsent > 0 {
            return Err(io::Error::other(format!(
                "load on {} was not served in full",
                args.addr
            )));
        }
        Ok(())
    }
}
