//! A proxy: to one address (`--to`), or wherever the client wants, by SOCKS 5.
//!
//! `cargo run --release --example proxy`, then `curl --socks5-hostname 127.0.0.1:1080 http://...`; or
//! `... --example proxy -- --to 127.0.0.1:8080`, then `curl http://127.0.0.1:1080/`.
//!
//! Once connected, [`copy_bidirectional`] moves the bytes in the kernel, from socket to pipe to socket (`splice`): they
//! are never in this process, and a connection holds no buffer. It carries half-closes over: who has said everything
//! shuts its side down, as `nc -N` does, and still gets the answer. Peers that have vanished without a word are found by
//! keepalive probes.

mod socks5;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::signal::{SIGINT, SIGTERM};
use corio_examples::{run, say, seconds};
use corio_net::{Conn, Connection, Dialer, Server, copy_bidirectional, listen};
use socks5::{Reply, Target};

/// Forwards connections. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:1080")]
    addr: String,
    /// Address to forward to; without it clients say by SOCKS 5 where they want to go.
    #[arg(long, conflicts_with = "login")]
    to: Option<String>,
    /// What SOCKS clients must know, as NAME:PASSWORD; nothing by default.
    #[arg(long, value_parser = login)]
    login: Option<String>,
    /// Seconds for a client to say where to, and for connecting there.
    #[arg(long, default_value = "10", value_parser = seconds)]
    patience: Duration,
    /// Seconds that either side may say nothing, as in a long download; no limit by default.
    #[arg(long, value_parser = seconds)]
    idle: Option<Duration>,
    /// Seconds for connections to end by themselves when the server is to end.
    #[arg(long, default_value = "1", value_parser = seconds)]
    grace: Duration,
    /// Connections at once; further ones wait.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
}

fn login(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => Ok(text.into()),
        _ => Err("expected NAME:PASSWORD".into()),
    }
}

fn main() -> ExitCode {
    let args = Arc::new(Args::parse());
    run("proxy", move || {
        let theirs = Arc::clone(&args);
        let server = Server::new(move |conn| serve(conn, &theirs))
            .name("proxy")
            .max_connections(args.max as usize)
            .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
            .shutdown_on(&[SIGINT, SIGTERM], args.grace)
            .start([listen("tcp", &args.addr)?])?;
        say!("proxy: listening on {}", server.addrs()[0]);
        let report = server.wait();
        say!(
            "proxy: stopped after {} connections; {report}",
            server.stats().accepted
        );
        Ok(())
    })
}

/// Serves one client, until both sides have said everything.
fn serve(client: &mut Connection, args: &Args) -> io::Result<()> {
    let by = Instant::now() + args.patience;
    let server = match &args.to {
        Some(to) => dial(to, by)?,
        None => {
            // For the negotiation as a whole, so that nobody gains time by sending single bytes.
            client.set_deadline(Some(by))?;
            let server = negotiate(client, args.login.as_deref(), by)?;
            client.set_deadline(None)?;
            server
        }
    };
    client.set_read_timeout(args.idle)?;
    server.set_read_timeout(args.idle)?;
    copy_bidirectional(client, &server)?;
    Ok(())
}

/// Speaks SOCKS with a client, and makes the connection that it wants.
fn negotiate(client: &mut Connection, login: Option<&str>, by: Instant) -> io::Result<Conn> {
    socks5::greet(client, login)?;
    let target = match socks5::request(client)? {
        Ok(target) => target,
        Err(refusal) => {
            socks5::reply(client, refusal, None)?;
            return Err(io::Error::other(format!("refused: {refusal:?}")));
        }
    };
    let addr = match &target {
        Target::Ip(addr) => addr.to_string(),
        // An address as text is one, with brackets if it is IPv6.
        Target::Domain(name, port) if name.contains(':') => format!("[{name}]:{port}"),
        Target::Domain(name, port) => format!("{name}:{port}"),
    };
    match dial(&addr, by) {
        Ok(server) => {
            let bound = server.local_addr()?.as_ip();
            socks5::reply(client, Reply::Succeeded, bound)?;
            Ok(server)
        }
        Err(error) => {
            socks5::reply(client, Reply::of(&error), None)?;
            Err(error)
        }
    }
}

/// Resolves and connects, IPv6 and IPv4 raced; nodelay and keepalive are on.
fn dial(addr: &str, by: Instant) -> io::Result<Conn> {
    Dialer::new().deadline(by).dial("tcp", addr)
}
