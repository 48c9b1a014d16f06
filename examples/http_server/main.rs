//! An HTTP/1.1 server: files, JSON, and the plaintext that benchmarks ask for; with `--self-signed`, or a certificate, over
//! TLS.
//!
//! `cargo run --release --example http_server -- --root .`, then `curl -i http://127.0.0.1:8081/README.md`.
//!
//! * `request` says what a client wants, and where its request ends: keep-alive, pipelining, chunked bodies, limits.
//! * `exchange` has the connection's bytes: what came, and what is to be said. One write answers what one read brought.
//! * `files` finds a file, and knows who has it already (304) and who wants a part (206).
//! * `response` writes heads; `tls` is all there is to HTTPS.
//! * Below is the rest: what there is to ask for. Limits of connections, time limits and the end are [`Server`]'s.
//!
//! `http_hello` is the same question in a hundred lines; `hyper_server` asks a library.

mod exchange;
mod files;
mod request;
mod response;
mod tls;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use corio::signal::{SIGINT, SIGTERM};
use corio_examples::{run, say, seconds, tls::server_config};
use corio_net::{Connection, Server, listen};
use exchange::{Exchange, Plain, Wire};
use files::{Found, Wanted};
use request::{BAD_REQUEST, Framing, Head, Refusal};
use response::{Clock, Response, chunk};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tls::Encrypted;

/// Serves the files of a directory. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: String,
    /// Directory whose files are served.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Certificates, the server's first, as PEM.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Their key, as PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Makes a certificate for localhost, and writes it to this file.
    #[arg(long, conflicts_with = "cert", value_name = "FILE")]
    self_signed: Option<PathBuf>,
    /// Seconds in which a client must have sent its next request.
    #[arg(long, default_value = "60", value_parser = seconds)]
    idle: Duration,
    /// Seconds for requests that are worked on when the server is to end.
    #[arg(long, default_value = "10", value_parser = seconds)]
    grace: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("http_server", move || {
        let mut tls = server_config(
            args.cert.as_deref(),
            args.key.as_deref(),
            args.self_signed.as_deref(),
        )?;
        if let Some(config) = &mut tls {
            // So that clients that know HTTP/2 do not try it.
            Arc::make_mut(config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let root = args.root.canonicalize().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("no such root: {}: {error}", args.root.display()),
            )
        })?;
        let site = Site { root, tls };
        let server = Server::new(move |conn| site.serve(conn))
            .name("http_server")
            .max_connections(10_000)
            .idle_timeout(args.idle)
            .write_timeout(Duration::from_secs(10))
            .on_error(|conn, error| match error.kind() {
                // Clients come and go.
                ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof => {}
                _ => drop(writeln!(io::stderr(), "{conn}: {error}")),
            })
            .shutdown_on(&[SIGINT, SIGTERM], args.grace)
            .start([listen("tcp", &args.addr)?])?;
        say!("http_server: listening on {}", server.addrs()[0]);
        let report = server.wait();
        say!(
            "http_server: stopped after {} connections; {report}",
            server.stats().accepted
        );
        Ok(())
    })
}

/// What a request asks for, without what was read.
enum Route {
    Plaintext,
    /// The numbers up to this one, as they come: a body whose length nobody knows.
    Count(u64),
    Hello(String),
    Echo,
    File(Wanted),
    Refused(Refusal),
}

/// What a request's answer has to know of it.
struct Asked {
    keep_alive: bool,
    /// HEAD: the same without the body.
    head_only: bool,
}

struct Site {
    root: PathBuf,
    tls: Option<Arc<ServerConfig>>,
}

impl Site {
    fn serve(&self, conn: &Connection) -> io::Result<()> {
        match &self.tls {
            None => self.exchange(Exchange::new(Plain(conn))),
            Some(config) => {
                let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                self.exchange(Exchange::new(Encrypted(StreamOwned::new(tls, conn))))
            }
        }
    }

    /// Serves one connection to its end. An error means that nobody is left to be told about it.
    fn exchange<W: Wire>(&self, mut exchange: Exchange<W>) -> io::Result<()> {
        let mut clock = Clock::new();
        loop {
            match exchange.wait() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // In the middle of a request.
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return refuse(exchange, &clock, "408 Request Timeout");
                }
                Err(error) => return Err(error),
            }
            clock.tick();
            loop {
                let head = match exchange.head() {
                    Ok(Some(head)) => head,
                    Ok(None) => break,
                    Err(refusal) => return refuse(exchange, &clock, refusal),
                };
                let (route, framing, expects) = (route(&head), head.framing, head.expects_continue);
                let asked = Asked {
                    keep_alive: head.keep_alive,
                    head_only: head.method == "HEAD",
                };
                let length = head.length;
                exchange.consume(length);
                if let (Route::Plaintext, Framing::Length(0), true, false) =
                    (&route, framing, asked.keep_alive, asked.head_only)
                {
                    exchange.output.extend_from_slice(clock.plaintext());
                } else {
                    // A file is sent without having read all that is about to be thrown away.
                    let body = exchange.body(framing, expects, matches!(route, Route::Echo));
                    match timely(body)? {
                        Ok(body) => self.answer(&mut exchange, &clock, route, &asked, &body)?,
                        Err(refusal) => return refuse(exchange, &clock, refusal),
                    }
                    if !asked.keep_alive {
                        return exchange.finish();
                    }
                }
                exchange.flush_if_long()?;
            }
            exchange.flush()?;
        }
    }

    fn answer<W: Wire>(
        &self,
        exchange: &mut Exchange<W>,
        clock: &Clock,
        route: Route,
        asked: &Asked,
        body: &[u8],
    ) -> io::Result<()> {
        let out = &mut exchange.output;
        let before = out.len();
        let respond = |out, status| Response::new(out, clock, status, asked.keep_alive);
        match route {
            Route::Plaintext => respond(out, "200 OK").text("Hello, World!"),
            Route::Hello(name) => json(respond(out, "200 OK"), &json!({ "hello": name })),
            Route::Echo => match serde_json::from_slice::<Value>(body) {
                Ok(value) => json(
                    respond(out, "200 OK"),
                    &json!({ "echo": value, "bytes": body.len() }),
                ),
                Err(error) => json(
                    respond(out, BAD_REQUEST),
                    &json!({ "error": error.to_string() }),
                ),
            },
            Route::Refused(status) => respond(out, status).text(&format!("{}.\n", text(status))),
            Route::Count(to) => return count(exchange, clock, asked, to),
            Route::File(wanted) => {
                let found = corio::blocking(|| wanted.find(&self.root));
                return file(exchange, clock, asked, found);
            }
        }
        if asked.head_only {
            let end = out[before..].windows(4).position(|end| end == b"\r\n\r\n");
            out.truncate(end.map_or(out.len(), |end| before + end + 4));
        }
        Ok(())
    }
}

fn route(head: &Head<'_>) -> Route {
    let get = matches!(head.method, "GET" | "HEAD");
    match head.path {
        "/plaintext" if get => Route::Plaintext,
        "/json/echo" if head.method == "POST" => Route::Echo,
        "/json/echo" => Route::Refused("405 Method Not Allowed\r\nAllow: POST"),
        path if !get => Route::Refused(match path {
            "*" if head.method == "OPTIONS" => "200 OK\r\nAllow: GET, HEAD, POST",
            _ => "405 Method Not Allowed\r\nAllow: GET, HEAD",
        }),
        path => {
            if let Some(name) = path.strip_prefix("/json/hello/") {
                Route::Hello(name.to_owned())
            } else if let Some(to) = path.strip_prefix("/count/") {
                to.parse()
                    .map_or(Route::Refused(files::NOT_FOUND), Route::Count)
            } else {
                Wanted::new(head).map_or_else(Route::Refused, Route::File)
            }
        }
    }
}

/// A body that took too long is refused, and not an error.
fn timely<T>(body: io::Result<Result<T, Refusal>>) -> io::Result<Result<T, Refusal>> {
    match body {
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Err("408 Request Timeout")),
        body => body,
    }
}

/// The status' words, without the fields that go with it.
fn text(status: &str) -> &str {
    status.split('\r').next().unwrap_or_default()
}

fn refuse<W: Wire>(mut exchange: Exchange<W>, clock: &Clock, status: Refusal) -> io::Result<()> {
    Response::new(&mut exchange.output, clock, status, false).text(&format!("{}.\n", text(status)));
    exchange.finish()
}

fn json(response: Response<'_>, value: &Value) {
    response.body("application/json", format!("{value}\n").as_bytes());
}

/// A body in chunks, each written when there is enough of it.
fn count<W: Wire>(
    exchange: &mut Exchange<W>,
    clock: &Clock,
    asked: &Asked,
    to: u64,
) -> io::Result<()> {
    let mut response = Response::new(&mut exchange.output, clock, "200 OK", asked.keep_alive);
    response.field("Content-Type", "text/plain; charset=utf-8");
    response.field("Transfer-Encoding", "chunked");
    response.end();
    if asked.head_only {
        return Ok(());
    }
    let mut lines = String::new();
    for n in 1..=to {
        lines.push_str(&format!("{n}\n"));
        if lines.len() >= 4096 || n == to {
            chunk(&mut exchange.output, lines.as_bytes());
            lines.clear();
            exchange.flush_if_long()?;
        }
    }
    chunk(&mut exchange.output, b"");
    Ok(())
}

fn file<W: Wire>(
    exchange: &mut Exchange<W>,
    clock: &Clock,
    asked: &Asked,
    found: Result<Found, Refusal>,
) -> io::Result<()> {
    let respond = |out, status| Response::new(out, clock, status, asked.keep_alive);
    let out = &mut exchange.output;
    match found {
        Err(status) => {
            let body = format!("{status}.\n");
            let response = respond(out, status);
            if asked.head_only {
                response.length(body.len() as u64)
            } else {
                response.text(&body)
            }
        }
        Ok(Found::NotModified(tags)) => {
            let mut response = respond(out, "304 Not Modified");
            response.field("ETag", tags.etag);
            response.end();
        }
        Ok(Found::Directory) => {
            respond(out, "404 Not Found").text("It is a directory: add a slash.\n")
        }
        Ok(Found::NoSuchRange(length)) => {
            let mut response = respond(out, "416 Range Not Satisfiable");
            response.field("Content-Range", format_args!("bytes */{length}"));
            response.length(0);
        }
        Ok(Found::Part {
            file,
            kind,
            tags,
            range,
            length,
        }) => {
            let whole = range == (0..length);
            let mut response = respond(
                out,
                if whole {
                    "200 OK"
                } else {
                    "206 Partial Content"
                },
            );
            response.field("Content-Type", kind);
            response.field("ETag", tags.etag);
            response.field("Last-Modified", tags.modified);
            response.field("Accept-Ranges", "bytes");
            if !whole {
                let (from, to) = (range.start, range.end - 1);
                response.field("Content-Range", format_args!("bytes {from}-{to}/{length}"));
            }
            response.length(range.end - range.start);
            if !asked.head_only {
                exchange.send_file(file, range)?;
            }
        }
    }
    Ok(())
}
