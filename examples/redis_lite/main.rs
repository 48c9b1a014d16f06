//! A part of Redis: strings, counters, lists with blocking pops, expiry, PUBLISH and SUBSCRIBE, in RESP2 with
//! pipelining.
//!
//! `cargo run --release --example redis_lite`, then `redis-cli -p 6380` and `redis-benchmark -p 6380`. A
//! goroutine per connection; keys are in a hash map in shards. Nothing is written to disk.
//!
//! To be read in this order: this file; `resp` (requests are taken apart) and `reply`; `client` (buffers, and
//! one write per read); `store` (keys, expiry) and `lists` (who waits for an element); `commands` (the table), `list_commands`;
//! `hub` and `pubsub`; `admin`.
//!
//! Rejected: one goroutine that owns all data and gets commands over a channel, which would be Redis' own design. It
//! would keep all commands on one core, and cost each of them two switches more.

mod admin;
mod client;
mod commands;
mod hub;
mod list_commands;
mod lists;
mod pubsub;
mod reply;
mod resp;
mod store;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use corio::context::after_func;
use corio::go;
use corio::signal::{SIGINT, SIGTERM};
use corio_examples::{run, say, seconds};
use corio_net::{Connection, Overflow, Server, listen};

use client::{Client, Input};
use hub::Hub;
use store::Store;

/// How often keys are removed whose time is over.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a client may take none of what is written to it.
const STUCK: Duration = Duration::from_secs(60);
/// How long a client may take for the rest of a request that it has begun.
const SLOW: Duration = Duration::from_secs(120);
/// How long a client may take to read why its connection is closed.
const LINGER: Duration = Duration::from_secs(1);
/// How long the last replies may take when the server is to end.
const GRACE: Duration = Duration::from_secs(5);
const MEBIBYTE: usize = 1024 * 1024;

/// A part of Redis. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:6380")]
    addr: String,
    /// Clients at once; further ones are refused.
    #[arg(long, default_value_t = 10_000, value_parser = at_least(1))]
    max_clients: usize,
    /// Bytes of the longest request.
    #[arg(long, default_value_t = 64 * MEBIBYTE, value_parser = at_least(1024))]
    max_request: usize,
    /// Bytes that wait for one subscriber at most; who is slower is shut out.
    #[arg(long, default_value_t = 32 * MEBIBYTE, value_parser = at_least(1024))]
    max_output: usize,
    /// Parts of the hash map, each with its lock.
    #[arg(long, default_value_t = 64, value_parser = at_least(1))]
    shards: usize,
    /// Seconds until an idle client is shut out; if it isn't said, never.
    #[arg(long, value_parser = seconds)]
    timeout: Option<Duration>,
}

/// Up to a GiB, or a thousand million of something.
fn at_least(least: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=1 << 30)
}

/// What all connections have in common.
struct Shared {
    store: Store,
    hub: Hub,
    started: Instant,
    max_clients: usize,
    max_request: usize,
    max_output: usize,
    timeout: Option<Duration>,
    /// Commands of connections, told when they have nothing more to do.
    commands: AtomicU64,
    expired: AtomicUsize,
    /// Clients that wait for an element of a list.
    blocked: AtomicUsize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("redis_lite", move || {
        let shared = Arc::new(Shared {
            store: Store::new(args.shards),
            hub: Hub::default(),
            started: Instant::now(),
            max_clients: args.max_clients,
            max_request: args.max_request,
            max_output: args.max_output,
            timeout: args.timeout,
            commands: AtomicU64::new(0),
            expired: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
        });
        let ours = Arc::clone(&shared);
        let server = Server::new(move |conn| attend(conn, &ours))
            .name("redis_lite")
            .max_connections(args.max_clients)
            .overflow(Overflow::Refuse)
            .on_refused(|_, mut conn, _| {
                // A new connection has room for a line, and if it has not, it does without.
                let _ = conn.write(b"-ERR max number of clients reached\r\n");
            })
            .write_timeout(STUCK)
            .shutdown_on(&[SIGINT, SIGTERM], GRACE)
            .start([listen("tcp", &args.addr)?])?;
        go!(sweep(Arc::clone(&shared)));
        say!("redis_lite: listening on {}", server.addrs()[0]);
        let report = server.wait();
        let accepted = server.stats().accepted;
        let commands = shared.commands.load(Relaxed);
        say!("redis_lite: stopped after {accepted} connections and {commands} commands; {report}");
        Ok(())
    })
}

/// Removes keys whose time is over, until the program ends.
fn sweep(shared: Arc<Shared>) {
    loop {
        corio::sleep(SWEEP);
        let swept = shared.store.sweep(Instant::now());
        shared.expired.fetch_add(swept, Relaxed);
    }
}

/// Serves one connection to its end. An error means that nobody is left to be told about it.
fn attend(conn: &Connection, shared: &Arc<Shared>) -> io::Result<()> {
    // When the server is to end, reading finds the end of the stream.
    let ours = conn.try_clone()?;
    let stop = after_func(conn.context(), move || drop(ours.shutdown(Shutdown::Read)));
    let mut client = Client::new(conn, shared);
    let result = serve(conn, shared, &mut client);
    client.finish();
    shared.commands.fetch_add(client.commands, Relaxed);
    stop.stop();
    result
}

fn serve(conn: &Connection, shared: &Shared, client: &mut Client<'_>) -> io::Result<()> {
    let mut input = Input::new(shared.max_request);
    let mut partial = false;
    conn.set_read_timeout(shared.timeout)?;
    let mut read_ahead = false;
    while !client.quit && (read_ahead || input.fill(conn)?) {
        client.now = Instant::now();
        let problem = loop {
            match input.next() {
                Ok(Some(args)) => client.execute(args)?,
                Ok(None) => break None,
                Err(problem) => break Some(problem),
            }
            if client.quit {
                break None;
            }
        };
        if let Some(problem) = problem {
            reply::error(
                &mut client.out,
                &format!("ERR Protocol error: {}", problem.0),
            );
            client.flush()?;
            client.finish();
            return linger(conn);
        }
        client.flush()?;
        let done = std::mem::take(&mut client.commands);
        shared.commands.fetch_add(done, Relaxed);
        read_ahead = !client.ahead.is_empty();
        input.append(&std::mem::take(&mut client.ahead));
        // A request that has begun has to end in time, in however many pieces it comes.
        let begun = input.is_partial();
        if begun && (done > 0 || !partial) {
            conn.set_read_deadline(Some(client.now + SLOW))?;
        } else if partial && !begun {
            conn.set_read_deadline(None)?;
        }
        partial = begun;
    }
    Ok(())
}

/// Closing with input unread would send a reset, which can overtake the last reply.
fn linger(mut conn: &Connection) -> io::Result<()> {
    conn.shutdown(Shutdown::Write)?;
    conn.set_read_deadline(Some(Instant::now() + LINGER))?;
    let mut rest = [0; 4096];
    while conn.read(&mut rest)? > 0 {}
    Ok(())
}
