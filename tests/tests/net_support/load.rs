//! An open-loop client on plain threads: requests leave at a fixed rate, whatever the answers do, and
//! a request's latency counts from when it was to be sent. So a server that stands still is seen by
//! all requests that fall into that time, not only by one.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LEN: usize = 64;

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When it was to be sent.
    pub(crate) at: Instant,
    /// How long it took from then on to the end of the answer.
    pub(crate) latency: Duration,
    /// How much of that is the client's: it was sent late.
    pub(crate) late: Duration,
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Duration>>,
    receiver: JoinHandle<Vec<(Instant, Duration)>>,
}

fn message(number: u64) -> [u8; LEN] {
    let mut bytes = [number as u8; LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

impl Load {
    /// Starts sending `rate` requests per second over `connections` connections in turn.
    pub(crate) fn start(port: u16, connections: usize, rate: u32) -> Load {
        let streams: Vec<_> = (0..connections)
            .map(|_| {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_nodelay(true).unwrap();
                stream
            })
            .collect();
        let clones: Vec<_> = streams
            .iter()
            .map(|stream| stream.try_clone().unwrap())
            .collect();
        let (start, gap) = (Instant::now(), Duration::from_secs(1) / rate);
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        Load {
            stop,
            sender: thread::spawn(move || send(streams, start, gap, &theirs)),
            receiver: thread::spawn(move || receive(clones, start, gap)),
        }
    }

    /// Stops sending, waits for the answers that are due, and demands that all came and were right.
    pub(crate) fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        let late = self.sender.join().unwrap();
        let mut answers = self.receiver.join().unwrap();
        assert_eq!(late.len(), answers.len(), "requests and answers");
        // Answers of different connections overtake each other.
        answers.sort_unstable();
        answers
            .into_iter()
            .zip(late)
            .map(|((at, latency), late)| Sample { at, latency, late })
            .collect()
    }
}

fn send(
    mut streams: Vec<TcpStream>,
    start: Instant,
    gap: Duration,
    stop: &AtomicBool,
) -> Vec<Duration> {
    let connections = streams.len();
    let mut late = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = late.len();
        let at = start + gap * number as u32;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        late.push(at.elapsed());
        streams[number % connections]
            .write_all(&message(number as u64))
            .unwrap();
    }
    for stream in &streams {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    late
}

/// When each request was to be sent, and how long it took.
fn receive(streams: Vec<TcpStream>, start: Instant, gap: Duration) -> Vec<(Instant, Duration)> {
    struct Connection {
        stream: TcpStream,
        next: u64,
        partial: Vec<u8>,
    }
    let connections = streams.len() as u64;
    let mut polled: Vec<_> = streams
        .iter()
        .map(|stream| libc::pollfd {
            fd: stream.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let mut open: Vec<_> = streams
        .into_iter()
        .zip(0..)
        .map(|(stream, next)| Connection {
            stream,
            next,
            partial: Vec::new(),
        })
        .collect();
    let mut samples = Vec::new();
    let mut buffer = [0; 64 * LEN];
    let mut left = open.len();
    while left > 0 {
        // SAFETY: the kernel writes to as many live `pollfd`s as it is told.
        let n = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, 30_000) };
        assert!(
            n > 0,
            "no answer for 30 s: {}",
            std::io::Error::last_os_error()
        );
        let now = Instant::now();
        for (polled, connection) in polled.iter_mut().zip(&mut open) {
            if polled.revents == 0 {
                continue;
            }
            let n = connection.stream.read(&mut buffer).unwrap();
            if n == 0 {
                assert!(connection.partial.is_empty());
                // Negative ones are skipped.
                polled.fd = -1;
                polled.revents = 0;
                left -= 1;
            }
            connection.partial.extend_from_slice(&buffer[..n]);
            let whole = connection.partial.len() / LEN * LEN;
            for answer in connection.partial.drain(..whole).as_slice().chunks(LEN) {
                assert_eq!(answer, message(connection.next));
                let at = start + gap * connection.next as u32;
                samples.push((at, now.saturating_duration_since(at)));
                connection.next += connections;
            }
        }
    }
    samples
}

/// What a budget is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    requests: usize,
    p50: Duration,
    p99: Duration,
    /// The worst.
    pub(crate) max: Duration,
    late_p99: Duration,
    late_max: Duration,
}

impl Summary {
    /// Of the requests that were to be sent in this time.
    pub(crate) fn of(samples: &[Sample], from: Instant, to: Instant) -> Summary {
        let chosen = || {
            samples
                .iter()
                .filter(|sample| (from..to).contains(&sample.at))
        };
        let mut latencies: Vec<_> = chosen().map(|sample| sample.latency).collect();
        let mut late: Vec<_> = chosen().map(|sample| sample.late).collect();
        latencies.sort_unstable();
        late.sort_unstable();
        assert!(!latencies.is_empty(), "no requests");
        let rank = |sorted: &[Duration], percent| sorted[(sorted.len() - 1) * percent / 100];
        Summary {
            requests: latencies.len(),
            p50: rank(&latencies, 50),
            p99: rank(&latencies, 99),
            max: rank(&latencies, 100),
            late_p99: rank(&late, 99),
            late_max: rank(&late, 100),
        }
    }

    /// Prints it next to the budget.
    pub(crate) fn print(&self, what: &str, p99: Duration, max: Duration) {
        let verdict = |value: Duration, budget: Duration| {
            if value <= budget { "met" } else { "MISSED" }
        };
        println!(
            "{what}: {self}; budget p99 {p99:?} {}, max {max:?} {}",
            verdict(self.p99, p99),
            verdict(self.max, max)
        );
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} requests, p50 {:.2} p99 {:.2} max {:.2} ms (sent late: p99 {:.2} max {:.2})",
            self.requests,
            ms(self.p50),
            ms(self.p99),
            ms(self.max),
            ms(self.late_p99),
            ms(self.late_max)
        )
    }
}
