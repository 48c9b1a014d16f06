//! `bench serve` and `bench load`: server and load on two machines.
//!
//! On one machine a server and its load share caches, memory and, with few CPUs, the CPUs; and a
//! loopback has no network card. `serve` starts the server of a peer where others can reach it, and
//! `load` is one of the generators of [`crate::load`] by itself:
//!
//! ```text
//! one$ bench serve --peer corio --procs 4
//! two$ bench load --addr one:7777 --connections 1000
//! two$ bench load --addr one:7777 --connections 100 --rate 20000
//! ```
//!
//! The CPU time of the server is the stablest of the figures, and only its machine knows it. So
//! `serve` listens on the next port too, and answers each line that it gets there with what the server
//! says of its usage. `load` sends one when the window begins and one when it ends; the way there is
//! short beside a window of seconds. Without that port (a server that is none of ours, a firewall)
//! there are all figures but those.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::cli::{LoadArgs, LoadKind, ServeArgs, ServeKind};
use crate::contract::Usage;
use crate::load::{self, ChurnPlan, EchoPlan, Hook, HttpPlan, IdlePlan, LoadResult, Target};
use crate::peers::{self, Search};
use crate::process::raise_descriptors;
use crate::server::{Refusal, Server};

/// How long the port for usage may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a server of a peer where others can reach it, until SIGINT or SIGTERM.
pub(crate) fn serve(args: &ServeArgs) -> io::Result<()> {
    raise_descriptors();
    let addr = resolve(&args.addr)?;
    let names = [args.peer.clone()];
    let search = Search {
        names: &names,
        dir: args.peer_dir.as_deref(),
        ..Search::default()
    };
    let found = peers::find(&search)?;
    let peer = found
        .peers
        .first()
        .ok_or_else(|| io::Error::other(found.missing.join("; ")))?;
    let kind = match args.kind {
        ServeKind::Echo => "serve-echo",
        ServeKind::Http => "serve-http",
    };
    let mut command = Command::new(&peer.program);
    command.args([
        kind,
        "--procs",
        &args.procs.to_string(),
        "--addr",
        &addr.to_string(),
    ]);
    // A ^C is for the harness, which then ends the server.
    command.process_group(0);
    let signals = block_signals()?;
    let server = match Server::start(&mut command, None) {
        Ok(server) => server,
        Err(Refusal::Absent(why)) => return Err(io::Error::other(why)),
        Err(Refusal::Failed(error)) => return Err(error),
    };
    let listening = server.listening().listening;
    let usage = TcpListener::bind(usage_addr(listening)?)?;
    println!(
        "{} {kind} listens on {listening}, usage on {}",
        args.peer,
        usage.local_addr()?
    );
    let server = Arc::new(Mutex::new(Some(server)));
    let asked = server.clone();
    thread::spawn(move || answer(&usage, &asked));
    wait(&signals)?;
    let server = server.lock().unwrap_or_else(PoisonError::into_inner).take();
    server.map_or(Ok(()), Server::stop)
}

/// Answers lines with usage, a connection at a time, until the process ends.
fn answer(listener: &TcpListener, server: &Mutex<Option<Server>>) {
    for stream in listener.incoming() {
        // A connection that fails is the business of who made it.
        if let Err(error) = stream.and_then(|stream| usage_of(server, &stream)) {
            eprintln!("usage: {error}");
        }
    }
}

fn usage_of(server: &Mutex<Option<Server>>, mut stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        line?;
        let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = server.as_mut() else {
            return Ok(());
        };
        server.ask()?;
        for usage in server.answers()? {
            let Usage {
                cpu_user_us,
                cpu_sys_us,
                rss_kb,
                page_tables_kb,
                hog_progress,
            } = usage;
            let answer = json!({
                "cpu_user_us": cpu_user_us,
                "cpu_sys_us": cpu_sys_us,
                "rss_kb": rss_kb,
                "page_tables_kb": page_tables_kb,
                "hog_progress": hog_progress,
            });
            stream.write_all(format!("{answer}\n").as_bytes())?;
        }
    }
    Ok(())
}

/// The signals that end `serve`: SIGINT, SIGTERM, SIGHUP, and that the server has ended by itself.
/// Threads that are made from now on inherit that they are blocked, a child does not.
fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: a set is plain bits, and it is initialised before anything else is done with it; the
    // calls get valid pointers.
    let (signals, status) = unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
            libc::sigaddset(&raw mut signals, signal);
        }
        let old = std::ptr::null_mut();
        (
            signals,
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, old),
        )
    };
    if status == 0 {
        Ok(signals)
    } else {
        Err(io::Error::from_raw_os_error(status))
    }
}

fn wait(signals: &libc::sigset_t) -> io::Result<()> {
    let mut signal = 0;
    // SAFETY: both pointers are valid.
    match unsafe { libc::sigwait(signals, &raw mut signal) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn resolve(addr: &str) -> io::Result<SocketAddr> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("{addr}: {error}"));
    let mut all = addr.to_socket_addrs().map_err(explain)?;
    all.next()
        .ok_or_else(|| explain(io::ErrorKind::NotFound.into()))
}

/// Where the usage of the server there is asked for.
fn usage_addr(mut addr: SocketAddr) -> io::Result<SocketAddr> {
    let port = addr
        .port()
        .checked_add(1)
        .ok_or(io::ErrorKind::InvalidInput)?;
    addr.set_port(port);
    Ok(addr)
}

/// The way to the usage of a server elsewhere.
struct Remote(TcpStream);

impl Remote {
    fn connect(addr: SocketAddr) -> io::Result<Remote> {
        let stream = TcpStream::connect_timeout(&usage_addr(addr)?, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Remote(stream))
    }

    /// Asks; a line fits into any socket buffer.
    fn ask(&mut self) -> io::Result<()> {
        self.0.write_all(b"usage\n")
    }

    /// The answers to two questions.
    fn answers(self) -> io::Result<(Usage, Usage)> {
        let mut lines = BufReader::new(self.0).lines();
        let mut next = || {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            serde_json::from_str(&line)
                .map_err(|error| io::Error::other(format!("usage: {line}: {error}")))
        };
        Ok((next()?, next()?))
    }
}

/// Puts a load on a server elsewhere and prints what came of it.
pub(crate) fn load(args: &LoadArgs) -> io::Result<()> {
    raise_descriptors();
    let addr = resolve(&args.addr)?;
    let mut remote = match Remote::connect(addr) {
        Ok(remote) => Some(remote),
        Err(error) => {
            eprintln!("no figures of the server's CPU time and memory: {error}");
            None
        }
    };
    let result = generate(args, addr, &mut |_| {
        remote.as_mut().map_or(Ok(()), Remote::ask)
    })?;
    let usage = remote.map(Remote::answers).transpose()?;
    let figures = figures(args, &result, usage.as_ref());
    if args.json {
        let object = figures
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value)));
        println!("{}", serde_json::Value::Object(object.collect()));
        return Ok(());
    }
    for (name, value) in figures {
        println!("{name:<26} {value:>14.2}");
    }
    Ok(())
}

fn generate(args: &LoadArgs, addr: SocketAddr, hook: Hook<'_>) -> io::Result<LoadResult> {
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    };
    let (warmup, duration) = (seconds(args.warmup)?, seconds(args.seconds)?);
    let target = Target::Tcp(addr);
    let LoadArgs {
        connections,
        message,
        depth,
        rate,
        ..
    } = *args;
    match args.kind {
        LoadKind::Echo => {
            let plan = EchoPlan {
                target,
                connections,
                message,
                depth,
                rate,
                warmup,
                duration,
            };
            load::echo(&plan, hook)
        }
        LoadKind::Http => {
            let plan = HttpPlan {
                target,
                connections,
                depth,
                rate,
                warmup,
                duration,
            };
            load::http(&plan, hook)
        }
        LoadKind::Churn => {
            let concurrency = connections;
            let plan = ChurnPlan {
                target,
                concurrency,
                message,
                warmup,
                duration,
            };
            load::churn(&plan, hook)
        }
        LoadKind::Idle => {
            let plan = IdlePlan {
                target,
                connections,
                message,
                hold: duration,
            };
            load::idle(&plan, hook).map(|()| LoadResult::default())
        }
    }
}

fn figures(
    args: &LoadArgs,
    result: &LoadResult,
    usage: Option<&(Usage, Usage)>,
) -> Vec<(&'static str, f64)> {
    if args.kind == LoadKind::Idle {
        let Some((begin, end)) = usage else {
            return Vec::new();
        };
        let each = |kb: f64| kb * 1024.0 / args.connections as f64;
        return vec![
            ("rss_bytes_per_conn", each(end.rss_kb - begin.rss_kb)),
            (
                "page_table_bytes_per_conn",
                each(end.page_tables_kb - begin.page_tables_kb),
            ),
        ];
    }
    let requests = (result.requests as f64).max(1.0);
    let latency = result.latency;
    let mut figures = vec![
        (
            "req_per_s",
            result.requests as f64 / result.seconds.max(1e-9),
        ),
        ("p50_us", latency.p50),
        ("p90_us", latency.p90),
        ("p99_us", latency.p99),
        ("p999_us", latency.p999),
        ("max_us", latency.max),
        ("mean_us", latency.mean),
    ];
    if let (Some(min), Some(max)) = (
        result.per_connection.iter().min(),
        result.per_connection.iter().max(),
    ) {
        figures.push(("requests_per_conn_min", *min as f64));
        figures.push(("requests_per_conn_max", *max as f64));
    }
    if let Some((begin, end)) = usage {
        let user = end.cpu_user_us - begin.cpu_user_us;
        figures.push((
            "server_cpu_us_per_req",
            (end.cpu_us() - begin.cpu_us()) / requests,
        ));
        figures.push(("server_user_us_per_req", user / requests));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere() {
        // It answers to signals, as peers do, but does not listen.
        let script = r#"
            trap 'echo "{\"cpu_user_us\":1,\"cpu_sys_us\":2,\"rss_kb\":3,\"page_tables_kb\":4}"' USR1
            trap 'exit 0' TERM
            echo "{\"listening\":\"127.0.0.1:9\",\"pid\":$$}"
            while :; do sleep 0.01; done"#;
        let server = Server::start(Command::new("sh").args(["-c", script]), None).unwrap();
        let server = Arc::new(Mutex::new(Some(server)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut addr = listener.local_addr().unwrap();
        let asked = server.clone();
        thread::spawn(move || answer(&listener, &asked));
        addr.set_port(addr.port() - 1);
        let mut remote = Remote::connect(addr).unwrap();
        remote.ask().unwrap();
        remote.ask().unwrap();
        let (begin, end) = remote.answers().unwrap();
        assert_eq!((begin.rss_kb, end.rss_kb), (3.0, 3.0));
        assert!(end.cpu_us() >= begin.cpu_us());
        let server = server.lock().unwrap().take().unwrap();
        server.stop().unwrap();
    }

    #[test]
    fn addresses() {
        assert_eq!(resolve("127.0.0.1:80").unwrap().port(), 80);
        assert!(resolve("127.0.0.1").is_err());
        assert_eq!(usage_addr(resolve("[::1]:80").unwrap()).unwrap().port(), 81);
        assert!(usage_addr(resolve("127.0.0.1:65535").unwrap()).is_err());
    }
}
