//! A load balancer for TCP: connections go to the backends in turn, or to the one that has the fewest.
//!
//! `cargo run --release --example load_balancer -- --backends FILE`, a file with an address per line; or with
//! addresses as arguments.
//!
//! * Each backend has a goroutine that connects now and then, to see whether it lives: after `--fall` failures in a row
//!   it is down, after `--rise` successes it is up again. A connection that can't be made for a client counts too,
//!   and the client gets the next backend: as long as one lives, nobody is refused.
//! * `kill -HUP` reads the file anew. A backend that is no longer in it gets no further connections, and keeps those it
//!   has to their end (it *drains*).
//! * Ctrl-C drains all: nothing new is accepted, and what is open has `--grace` to end.
//! * `kill -USR1` prints how things stand.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use corio::context::{CancelFunc, Context};
use corio::go;
use corio::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, notify};
use corio::sync::Mutex;
use corio_examples::{run, say, seconds};
use corio_net::{Conn, Connection, Dialer, Server, copy_bidirectional, listen};

/// Spreads connections over backends. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7200")]
    addr: String,
    /// A file with a backend's address in each line; empty lines and what follows a # don't count.
    #[arg(long)]
    backends: Option<String>,
    /// Who gets the next connection.
    #[arg(long, value_enum, default_value = "in-turn")]
    policy: Policy,
    /// Seconds between two looks at a backend.
    #[arg(long, default_value = "2", value_parser = seconds)]
    interval: Duration,
    /// Seconds for a connection to be made.
    #[arg(long, default_value = "2", value_parser = seconds)]
    patience: Duration,
    /// Failures in a row after which a backend is down.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    fall: u32,
    /// Successes in a row after which it is up again.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rise: u32,
    /// Seconds for connections to end by themselves when the server is to end.
    #[arg(long, default_value = "10", value_parser = seconds)]
    grace: Duration,
    /// Addresses of backends.
    #[arg(required_unless_present = "backends", conflicts_with = "backends")]
    addrs: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Policy {
    /// One after the other.
    InTurn,
    /// The one with the fewest connections.
    Fewest,
}

fn main() -> ExitCode {
    let args = Arc::new(Args::parse());
    run("load_balancer", move || {
        let balancer = Arc::new(Balancer {
            args: Arc::clone(&args),
            backends: Mutex::default(),
            turn: AtomicUsize::new(0),
        });
        balancer.set(read_backends(&args)?);
        // Before the address is printed, so that whoever waits for that line may send signals.
        let signals = notify(&[SIGHUP, SIGUSR1])?;
        let theirs = Arc::clone(&balancer);
        let server = Server::new(move |conn| theirs.serve(conn))
            .name("load_balancer")
            .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
            .shutdown_on(&[SIGINT, SIGTERM], args.grace)
            .start([listen("tcp", &args.addr)?])?;
        say!("load_balancer: listening on {}", server.addrs()[0]);
        let theirs = Arc::clone(&balancer);
        go!(move || {
            for signal in signals {
                match signal {
                    SIGUSR1 => say!("{}", theirs.status().trim_end()),
                    _ => match read_backends(&theirs.args) {
                        Ok(addrs) => theirs.set(addrs),
                        Err(error) => drop(writeln!(io::stderr(), "load_balancer: {error}")),
                    },
                }
            }
        });
        let report = server.wait();
        say!("{}", balancer.status().trim_end());
        let accepted = server.stats().accepted;
        say!("load_balancer: stopped after {accepted} connections; {report}");
        Ok(())
    })
}

fn read_backends(args: &Args) -> io::Result<Vec<String>> {
    let Some(file) = &args.backends else {
        return Ok(args.addrs.clone());
    };
    let text = corio::blocking(|| std::fs::read_to_string(file))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {file}: {error}")))?;
    let line = |line: &str| line.split('#').next().unwrap_or("").trim().to_owned();
    let addrs: Vec<_> = text
        .lines()
        .map(line)
        .filter(|addr| !addr.is_empty())
        .collect();
    if addrs.is_empty() {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("{file} names no backend"),
        ));
    }
    Ok(addrs)
}

/// A backend, for as long as it is in the list or has connections.
struct Backend {
    addr: String,
    /// Cancelled when it is taken out of the list.
    listed: Context,
    open: AtomicUsize,
    served: AtomicU64,
    health: Mutex<Health>,
}

struct Health {
    up: bool,
    /// How many looks in a row have contradicted that.
    contrary: u32,
}

struct Balancer {
    args: Arc<Args>,
    /// In the order of the file, with what takes each out.
    backends: Mutex<Vec<(Arc<Backend>, CancelFunc)>>,
    turn: AtomicUsize,
}

impl Balancer {
    /// The list is this one from now on. Who was in it stays as it is, connections and all.
    fn set(self: &Arc<Self>, addrs: Vec<String>) {
        let mut backends = self.backends.lock();
        let mut before = std::mem::take(&mut *backends);
        for addr in addrs {
            let known = before.iter().position(|(backend, _)| backend.addr == addr);
            backends.push(match known {
                Some(known) => before.swap_remove(known),
                None => self.add(addr),
            });
        }
        for (backend, cancel) in before {
            cancel.cancel();
            say!(
                "{}: no further connections, {} open",
                backend.addr,
                backend.open()
            );
        }
    }

    /// Taken to be up until it is found out that it is not: its clients get another one then.
    fn add(self: &Arc<Self>, addr: String) -> (Arc<Backend>, CancelFunc) {
        let (listed, cancel) = Context::background().with_cancel();
        let backend = Arc::new(Backend {
            addr,
            listed,
            open: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            health: Mutex::new(Health {
                up: true,
                contrary: 0,
            }),
        });
        let (this, theirs) = (Arc::clone(self), Arc::clone(&backend));
        go!(move || {
            while theirs.listed.sleep(this.args.interval).is_ok() {
                drop(this.dial(&theirs));
            }
        });
        (backend, cancel)
    }

    /// A connection to this backend; what comes of it says whether it lives.
    fn dial(&self, backend: &Backend) -> io::Result<Conn> {
        let result = Dialer::new()
            .timeout(self.args.patience)
            .dial("tcp", &backend.addr);
        let mut health = backend.health.lock();
        if result.is_ok() == health.up {
            health.contrary = 0;
            return result;
        }
        health.contrary += 1;
        let enough = if health.up {
            self.args.fall
        } else {
            self.args.rise
        };
        if health.contrary >= enough {
            *health = Health {
                up: !health.up,
                contrary: 0,
            };
            let what = if health.up { "up" } else { "down" };
            say!("{}: {what}", backend.addr);
        }
        result
    }

    /// Whom to try, in order. Those that are down come last: better a small chance than none.
    fn candidates(&self) -> Vec<Arc<Backend>> {
        let mut all: Vec<_> = self
            .backends
            .lock()
            .iter()
            .map(|(b, _)| Arc::clone(b))
            .collect();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1);
        all.rotate_left(first);
        if let Policy::Fewest = self.args.policy {
            all.sort_by_key(|backend| backend.open());
        }
        all.sort_by_key(|backend| !backend.health.lock().up);
        all
    }

    /// Serves one client: to the first backend that can be connected to.
    fn serve(&self, client: &mut Connection) -> io::Result<()> {
        let mut last = io::Error::new(ErrorKind::NotFound, "there is no backend");
        for backend in self.candidates() {
            // Before it connects, so that whoever chooses meanwhile knows.
            backend.open.fetch_add(1, Ordering::Relaxed);
            let result = self.dial(&backend).map(|server| {
                backend.served.fetch_add(1, Ordering::Relaxed);
                copy_bidirectional(client, &server)
            });
            backend.open.fetch_sub(1, Ordering::Relaxed);
            match result {
                Ok(copied) => return copied.map(drop),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A line per backend.
    fn status(&self) -> String {
        let mut text = String::new();
        for (backend, _) in self.backends.lock().iter() {
            let up = if backend.health.lock().up {
                "up"
            } else {
                "down"
            };
            let served = backend.served.load(Ordering::Relaxed);
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "{}: {up}, {} open, {served} served",
                backend.addr,
                backend.open()
            );
        }
        text
    }
}

impl Backend {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}
