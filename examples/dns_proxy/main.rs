//! Answers DNS questions over UDP and TCP, from its cache or by asking others.
//!
//! `cargo run --release --example dns_proxy -- --upstream 9.9.9.9:53`, then `dig @127.0.0.1 -p 5300 example.com`.
//!
//! What is asked often is asked once: answers are kept as long as they hold (that there is none, too), and
//! who asks what somebody is just asking waits for that answer. A goroutine receives, and answers at once what is in the
//! cache; what is not is answered by a goroutine of its own, of which there are no more than `--pending`.
//! Beyond that questions are dropped: clients ask again.
//!
//! To be read in this order: this file, `message`, `cache`, `upstream`. Not here: DNSSEC's records, which have to be
//! asked for; zone transfers.

mod cache;
mod message;
mod upstream;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use corio::context::after_func;
use corio::go;
use corio::group::SingleFlight;
use corio::signal::{SIGINT, SIGTERM};
use corio::sync::Semaphore;
use corio_examples::{run, say, seconds};
use corio_net::{Connection, Server, TcpListener, UdpSocket, is_closed};

use cache::Cache;
use message::{Answer, Key, NoQuery, Query};
use upstream::{Upstreams, framed, read_framed};

/// The longest question that is read; real ones are shorter.
const MAX_QUERY: usize = 4096;
/// How long a TCP connection may be idle, and how long a question on it may take to arrive.
const IDLE: Duration = Duration::from_secs(10);
/// TCP connections at once.
const MAX_CONNECTIONS: usize = 1000;
/// How long the last answers may take when the server is to end.
const GRACE: Duration = Duration::from_secs(5);
/// The wait after an error of the socket's that is not about one message.
const BACKOFF: Duration = Duration::from_millis(5);

/// A DNS proxy with a cache. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on, over UDP and TCP; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:5300")]
    addr: String,
    /// Whom to ask; if there are several, all of them at once.
    #[arg(long, required = true)]
    upstream: Vec<SocketAddr>,
    /// Seconds to wait for an answer of one of them.
    #[arg(long, default_value = "2", value_parser = seconds)]
    timeout: Duration,
    /// How often they are asked if none answers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
    /// Answers that are kept.
    #[arg(long, default_value_t = 10_000)]
    cache: usize,
    /// Questions at once that wait for an upstream.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pending: u16,
}

struct Proxy {
    cache: Cache,
    upstreams: Arc<Upstreams>,
    flight: SingleFlight<Key, Option<Arc<Answer>>>,
    pending: Arc<Semaphore>,
    questions: AtomicU64,
    hits: AtomicU64,
    dropped: AtomicU64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("dns_proxy", move || {
        let proxy = Arc::new(Proxy {
            cache: Cache::new(args.cache),
            upstreams: Arc::new(Upstreams::new(args.upstream, args.timeout, args.attempts)),
            flight: SingleFlight::new(),
            pending: Arc::new(Semaphore::new(usize::from(args.pending))),
            questions: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let (socket, listener) = bind(&args.addr)?;
        let over_tcp = Arc::clone(&proxy);
        let server = Server::new(move |conn| over_tcp.serve(conn))
            .name("dns_proxy")
            .max_connections(MAX_CONNECTIONS)
            .idle_timeout(IDLE)
            .read_timeout(IDLE)
            .write_timeout(IDLE)
            .shutdown_on(&[SIGINT, SIGTERM], GRACE)
            .start([listener])?;
        // The server's end is the socket's.
        let ours = Arc::clone(&socket);
        let _watch = after_func(server.context(), move || drop(ours.close()));
        let (over_udp, ours) = (Arc::clone(&proxy), Arc::clone(&socket));
        let receiver = go!(move || over_udp.receive(&ours));
        say!("dns_proxy: listening on {}", server.addrs()[0]);
        let report = server.wait();
        let _ = receiver.join();
        say!(
            "dns_proxy: stopped after {} questions: {} from the cache, which has {} answers, {} dropped; \
             upstreams were asked {} times, {} strays; {report}",
            proxy.questions.load(Relaxed),
            proxy.hits.load(Relaxed),
            proxy.cache.len(),
            proxy.dropped.load(Relaxed),
            proxy.upstreams.asked(),
            proxy.upstreams.strays.load(Relaxed),
        );
        Ok(())
    })
}

/// The same port for both. With port 0 the system chooses one that is free for UDP; TCP may have to try again.
fn bind(addr: &str) -> io::Result<(Arc<UdpSocket>, TcpListener)> {
    const ATTEMPTS: usize = 10;
    let fail = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
    };
    let mut attempt = 1;
    loop {
        let socket = UdpSocket::bind(addr).map_err(fail)?;
        match TcpListener::bind(socket.local_addr()?) {
            Ok(listener) => return Ok((Arc::new(socket), listener)),
            Err(_) if addr.ends_with(":0") && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(fail(error)),
        }
    }
}

impl Proxy {
    /// Receives questions over UDP until the socket is closed.
    fn receive(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        let mut buffer = [0; MAX_QUERY];
        loop {
            let (n, client) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if is_closed(&error) => return,
                Err(_) => {
                    corio::sleep(BACKOFF);
                    continue;
                }
            };
            self.questions.fetch_add(1, Relaxed);
            let query = match Query::parse(&buffer[..n]) {
                Ok(query) => query,
                // An answer that cannot be sent is one that was lost.
                Err(NoQuery::Refuse(refusal)) => {
                    let _ = socket.send_to(&refusal, client);
                    continue;
                }
                Err(NoQuery::Ignore) => continue,
            };
            let now = Instant::now();
            if let Some(answer) = self.cache.get(&query.key, now) {
                self.hits.fetch_add(1, Relaxed);
                let _ = socket.send_to(&query.reply(&answer, now, query.room), client);
                continue;
            }
            let Ok(permit) = Semaphore::try_acquire_owned(&self.pending) else {
                self.dropped.fetch_add(1, Relaxed);
                continue;
            };
            let (proxy, socket) = (Arc::clone(self), Arc::clone(socket));
            go!(move || {
                let query = Arc::new(query);
                let reply = proxy.answer(&query, query.room);
                let _ = socket.send_to(&reply, client);
                drop(permit);
            });
        }
    }

    /// Answers the questions of a TCP connection, one after the other.
    fn serve(self: &Arc<Self>, conn: &mut Connection) -> io::Result<()> {
        while conn.wait_request()? {
            // For the whole of it, however it is cut up.
            conn.set_read_deadline(Some(Instant::now() + IDLE))?;
            let message = read_framed(conn)?;
            conn.set_read_deadline(None)?;
            self.questions.fetch_add(1, Relaxed);
            let reply = match Query::parse(&message) {
                Ok(query) => self.answer(&Arc::new(query), usize::from(u16::MAX)),
                Err(NoQuery::Refuse(refusal)) => refusal,
                Err(NoQuery::Ignore) => return Ok(()),
            };
            conn.write_all(&framed(&reply))?;
        }
        Ok(())
    }

    /// From the cache, or by asking; who asks what is being asked waits for that answer.
    fn answer(self: &Arc<Self>, query: &Arc<Query>, room: usize) -> Vec<u8> {
        let cached = self.cache.get(&query.key, Instant::now());
        if cached.is_some() {
            self.hits.fetch_add(1, Relaxed);
        }
        let answer = cached.or_else(|| {
            let resolve = || {
                let answer = self.upstreams.resolve(query)?;
                self.cache.put(&query.key, &answer, Instant::now());
                Some(answer)
            };
            self.flight.work(query.key.clone(), resolve).0
        });
        match answer {
            Some(answer) => query.reply(&answer, Instant::now(), room),
            None => query.failure(),
        }
    }
}
