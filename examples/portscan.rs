//! Which ports of a host accept connections?
//!
//! `cargo run --release --example portscan -- 127.0.0.1 --ports 1-1024,6379`. To be used on hosts that are yours.
//!
//! A goroutine per port, but no more at once than `--parallel`: that is the group's limit, so there are never more
//! goroutines or sockets than that, and a scan of all ports needs no list of them. Each attempt has a time limit of
//! its own; Ctrl-C ends them all by their context, and what is known by then is printed.
//!
//! A port is *open* if the connection was accepted, *closed* if it was refused, and *filtered* if nothing at all
//! came back in time, as from behind a firewall; an error of another kind, such as an unreachable network, is told
//! once for each kind.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::context::Context;
use corio::group::Group;
use corio::signal::{SIGINT, SIGTERM, notify_context};
use corio::sync::Mutex;
use corio_examples::{run, say, seconds};
use corio_net::{Dialer, lookup_host};

/// Tries the ports of a host. Ctrl-C ends it, with what it has found by then.
#[derive(Parser)]
struct Args {
    /// Name or address of the host.
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// Ports and ranges of ports, with commas between them.
    #[arg(long, default_value = "1-1024", value_parser = ports)]
    ports: Ports,
    /// Attempts at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Seconds until a port that does not answer counts as filtered.
    #[arg(long, default_value = "1", value_parser = seconds)]
    timeout: Duration,
}

/// Ranges in order, none of which touches another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ports(Vec<RangeInclusive<u16>>);

/// Reads `22,80,8000-8100`.
fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| match text.trim().parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{text:?} is no port: expected 1 to 65535")),
    };
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = port(first)?..=port(last)?;
        if range.is_empty() {
            return Err(format!("{part:?} ends before it begins"));
        }
        ranges.push(range);
    }
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Vec<RangeInclusive<u16>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(before) if *range.start() <= before.end().saturating_add(1) => {
                *before = *before.start()..=*before.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    Ok(Ports(joined))
}

/// What an attempt has shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    Open,
    Closed,
    Filtered,
}

/// What has been found by now.
#[derive(Default)]
struct Found {
    open: Vec<u16>,
    closed: usize,
    filtered: usize,
    /// How often, by text.
    errors: BTreeMap<String, usize>,
}

impl Found {
    fn add(&mut self, port: u16, result: io::Result<Port>) {
        match result {
            Ok(Port::Open) => self.open.push(port),
            Ok(Port::Closed) => self.closed += 1,
            Ok(Port::Filtered) => self.filtered += 1,
            Err(error) => *self.errors.entry(error.to_string()).or_default() += 1,
        }
    }

    fn failed(&self) -> usize {
        self.errors.values().sum()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, closed, filtered) = (self.open.len(), self.closed, self.filtered);
        write!(f, "{open} open, {closed} closed, {filtered} filtered")?;
        match self.failed() {
            0 => Ok(()),
            failed => write!(f, ", {failed} failed"),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("portscan", move || {
        let (ctx, _stop) = notify_context(&Context::background(), &[SIGINT, SIGTERM])?;
        let start = Instant::now();
        let host = resolve(&args.host)?;
        let found = scan(&ctx, host, &args);
        for port in &found.open {
            say!("{port} open");
        }
        for (error, count) in &found.errors {
            say!("{count} x {error}");
        }
        let total: usize = args.ports.0.iter().map(ExactSizeIterator::len).sum();
        let cut = if ctx.err().is_some() {
            " (cut short)"
        } else {
            ""
        };
        say!(
            "{host}: {found} of {total} ports in {:.2} s{cut}",
            start.elapsed().as_secs_f64()
        );
        Ok(())
    })
}

/// The first of the host's addresses.
fn resolve(host: &str) -> io::Result<IpAddr> {
    let fail = |error: io::Error| io::Error::new(error.kind(), format!("{host}: {error}"));
    let mut addrs = lookup_host((host, 0)).map_err(fail)?;
    let addr = addrs
        .next()
        .ok_or_else(|| fail(ErrorKind::NotFound.into()))?;
    Ok(addr.ip())
}

/// Tries all ports; returns what is known when they are done or the context has ended.
fn scan(ctx: &Context, host: IpAddr, args: &Args) -> Found {
    let found = Arc::new(Mutex::new(Found::default()));
    let group = Group::<Infallible>::new();
    group.set_limit(usize::from(args.parallel));
    for port in args.ports.0.iter().cloned().flatten() {
        if ctx.err().is_some() {
            break;
        }
        let (ctx, found, timeout) = (ctx.clone(), Arc::clone(&found), args.timeout);
        // Waits if there are as many as there may be.
        group.go(move || {
            let result = attempt(&ctx, SocketAddr::new(host, port), timeout);
            // An attempt that was cut short has shown nothing.
            if ctx.err().is_none() || result.is_ok() {
                found.lock().add(port, result);
            }
            Ok(())
        });
    }
    // There is no error that they could return.
    let _ = group.wait();
    let mut found = std::mem::take(&mut *found.lock());
    found.open.sort_unstable();
    found
}

fn attempt(ctx: &Context, addr: SocketAddr, timeout: Duration) -> io::Result<Port> {
    let dialer = Dialer::new().timeout(timeout).context(ctx);
    match dialer.dial("tcp", &addr.to_string()) {
        Ok(_) => Ok(Port::Open),
        Err(error) if ctx.err().is_some() => Err(error),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Ok(Port::Closed),
            ErrorKind::TimedOut => Ok(Port::Filtered),
            _ => Err(error),
        },
    }
}
