//! A small HTTP/1.1 server: keep-alive, pipelining, HEAD, bodies that are read past, and the errors
//! a stranger can provoke. Parsing is httparse's, which knows nothing of goroutines.
//!
//! `cargo run --release --example http_hello`, then `curl -i http://127.0.0.1:8080/hello`. All
//! requests that one read brought in are answered by one write. Not here: chunked request bodies
//! (411, as RFC 9112 allows) and whatever else belongs to a framework.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::go;
use corio_examples::{accept, listen, run, say};
use corio_net::TcpStream;
use httparse::{EMPTY_HEADER, Error, Request, Status};

/// The longest request head; a longer one is answered 431.
const MAX_HEAD: usize = 8192;
const HEAD_TOO_LARGE: &str = "431 Request Header Fields Too Large";
const BAD_REQUEST: &str = "400 Bad Request";
/// A connection that sends nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take to read the last answer before its connection is dropped.
const LINGER: Duration = Duration::from_secs(1);

/// Answers GET and HEAD of / and /hello. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("http_hello", move || {
        let listener = listen("http_hello", &args.addr)?;
        say!("try: curl -i http://{}/hello", listener.local_addr()?);
        let mut connections = 0_u64;
        while let Some(stream) = accept(&listener) {
            connections += 1;
            go!(serve(stream));
        }
        say!("http_hello: stopped after {connections} connections");
        Ok(())
    })
}

/// Serves one connection to its end. An error means that nobody is left to be told about it.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let mut input = [0; MAX_HEAD];
    let mut end = 0; // input[..end] is received and not yet used
    let mut body = 0; // bytes of the last request's body that are still to come
    let mut output = Vec::new();
    let mut open = true;
    while open {
        let received = stream.read(&mut input[end..])?;
        open = received > 0;
        end += received;
        let mut start = 0;
        while open {
            let skip = body.min(end - start);
            (start, body) = (start + skip, body - skip);
            match answer(&input[start..end], &mut output) {
                Ok(Some((head, length, keep_alive))) => {
                    (start, body, open) = (start + head, length, keep_alive);
                }
                Ok(None) if end - start < MAX_HEAD => break,
                Ok(None) => open = respond(&mut output, HEAD_TOO_LARGE, false, ""),
                Err(status) => open = respond(&mut output, status, false, ""),
            }
        }
        stream.write_all(&output)?;
        output.clear();
        input.copy_within(start..end, 0);
        end -= start;
    }
    // Closing with input unread would send a reset, which can overtake the last answer.
    stream.shutdown(Shutdown::Write)?;
    stream.set_deadline(Some(Instant::now() + LINGER))?;
    while stream.read(&mut input)? > 0 {}
    Ok(())
}

/// Answers the first request in `input`: returns the lengths of its head and body and whether the
/// connection stays open, or `None` if the head is incomplete, or the status to refuse it with.
fn answer(
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<Option<(usize, usize, bool)>, &'static str> {
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = Request::new(&mut headers);
    let head = match request.parse(input) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(_) => return Err(BAD_REQUEST),
    };
    let (mut keep_alive, mut body) = (request.version == Some(1), None);
    for header in request.headers.iter() {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        let value = str::from_utf8(header.value).unwrap_or("");
        if is("transfer-encoding") {
            return Err("411 Length Required");
        } else if is("content-length") {
            // Digits only, and all in agreement: where proxies differ, requests are smuggled.
            let length = value.parse().map_err(|_| BAD_REQUEST)?;
            if value.starts_with('+') || body.is_some_and(|body| body != length) {
                return Err(BAD_REQUEST);
            }
            body = Some(length);
        } else if is("connection") {
            let has = |name| {
                value
                    .split(',')
                    .any(|word| word.trim().eq_ignore_ascii_case(name))
            };
            keep_alive = (keep_alive || has("keep-alive")) && !has("close");
        }
    }
    let method = request.method.unwrap_or("");
    let path = request.path.and_then(|path| path.split('?').next());
    let (status, text) = match (method, path) {
        ("GET" | "HEAD", Some("/" | "/hello")) => ("200 OK", "Hello, world!\n"),
        ("GET" | "HEAD", _) => ("404 Not Found", "Not found.\n"),
        _ => ("405 Method Not Allowed\r\nAllow: GET, HEAD", "Try GET.\n"),
    };
    respond(output, status, keep_alive, text);
    if method == "HEAD" {
        output.truncate(output.len() - text.len());
    }
    Ok(Some((head, body.unwrap_or(0), keep_alive)))
}

/// Appends a response; returns whether the connection stays open after it.
fn respond(output: &mut Vec<u8>, status: &str, keep_alive: bool, text: &str) -> bool {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = text.len();
    // Writing to a Vec cannot fail.
    let _ = write!(
        output,
        "HTTP/1.1 {status}\r\nConnection: {connection}\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{text}"
    );
    keep_alive
}
