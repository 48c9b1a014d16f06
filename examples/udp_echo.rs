//! Sends every datagram back to where it came from.
//!
//! `cargo run --release --example udp_echo`, then `nc -u 127.0.0.1 7001`. Several goroutines receive from one
//! socket, on which they take turns; each answers what it has received before it receives again.
//!
//! Nobody is told when a datagram is lost, and so the counters are half of the program. What the system has
//! no room for is not seen here at all: `--queue` asks for more room. A datagram that is longer than `--max` is dropped,
//! not cut: an echo of a part would be a wrong one. Answers are sent without waiting long, as whoever waits for
//! room to send does not receive, and then the system drops what comes.
//!
//! An echo server answers whoever a datagram *says* it comes from, and two of them that are told they are
//! each other's client would talk for ever: what comes from a port below 1024 is dropped, as such a service would have one.

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use corio::context::{Context, after_func};
use corio::group::WaitGroup;
use corio::signal::{SIGINT, SIGTERM, notify_context};
use corio_examples::{run, say, seconds};
use corio_net::{UdpSocket, is_closed};

/// How long an answer may wait for room to be sent.
const STUCK: Duration = Duration::from_millis(100);
/// The wait after an error that is not about a single datagram.
const BACKOFF: Duration = Duration::from_millis(5);
/// Ports of services; see above.
const SERVICES: std::ops::Range<u16> = 0..1024;

/// Sends every datagram back. Ctrl-C ends it, with what it has counted.
#[derive(Parser)]
struct Args {
    /// Address to receive on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7001")]
    addr: String,
    /// Goroutines that receive and answer.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    receivers: u16,
    /// Bytes of the longest datagram that is answered.
    #[arg(long, default_value_t = 65_507, value_parser = clap::value_parser!(u16).range(1..=65_507))]
    max: u16,
    /// Bytes of datagrams that the system is asked to keep until they are received.
    #[arg(long, default_value_t = 4 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1024..=1 << 30))]
    queue: u32,
    /// Seconds between two lines of counters; if it isn't said, there are none.
    #[arg(long, value_parser = seconds)]
    report: Option<Duration>,
}

/// What became of the datagrams.
#[derive(Default)]
struct Counters {
    echoed: AtomicU64,
    bytes: AtomicU64,
    too_long: AtomicU64,
    from_service: AtomicU64,
    not_sent: AtomicU64,
}

impl Counters {
    fn line(&self) -> String {
        format!(
            "echoed {} ({} bytes), dropped: {} too long, {} from a service's port, {} not sent",
            self.echoed.load(Relaxed),
            self.bytes.load(Relaxed),
            self.too_long.load(Relaxed),
            self.from_service.load(Relaxed),
            self.not_sent.load(Relaxed)
        )
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("udp_echo", move || {
        let socket = UdpSocket::bind(&args.addr).map_err(|error| {
            let text = format!("cannot receive on {}: {error}", args.addr);
            io::Error::new(error.kind(), text)
        })?;
        // The system may give less, and says so to nobody.
        socket.set_recv_buffer_size(args.queue as usize)?;
        socket.set_write_timeout(Some(STUCK))?;
        let socket = Arc::new(socket);
        let counters = Arc::new(Counters::default());
        let (ctx, _stop) = notify_context(&Context::background(), &[SIGINT, SIGTERM])?;
        let closer = Arc::clone(&socket);
        let _watch = after_func(&ctx, move || drop(closer.close()));
        say!("udp_echo: listening on {}", socket.local_addr()?);

        let receivers = WaitGroup::new();
        for _ in 0..args.receivers {
            let (socket, counters) = (Arc::clone(&socket), Arc::clone(&counters));
            receivers.go(move || echo(&socket, &counters, usize::from(args.max)));
        }
        if let Some(period) = args.report {
            while ctx.sleep(period).is_ok() {
                say!("udp_echo: {}", counters.line());
            }
        }
        receivers.wait();
        let line = counters.line();
        say!("udp_echo: stopped after {line}");
        Ok(())
    })
}

/// Receives and answers until the socket is closed.
fn echo(socket: &UdpSocket, counters: &Counters, max: usize) {
    // One byte more tells what is too long.
    let mut buffer = vec![0; max + 1];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_closed(&error) => return,
            // An answer before found nobody. (Not on Linux, whose unconnected sockets are not told.)
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                corio::sleep(BACKOFF);
                continue;
            }
        };
        if length > max {
            count(&counters.too_long, 1);
        } else if SERVICES.contains(&peer.port()) {
            count(&counters.from_service, 1);
        } else {
            match socket.send_to(&buffer[..length], peer) {
                Ok(_) => {
                    count(&counters.echoed, 1);
                    count(&counters.bytes, length as u64);
                }
                Err(error) if is_closed(&error) => return,
                Err(_) => count(&counters.not_sent, 1),
            }
        }
    }
}

fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
