//! HTTP/1.1 as far as pages to look at need it: GET and HEAD without bodies, keep-alive, and an answer to whatever else
//! a stranger may send. Heads are parsed by httparse.
//!
//! A head is bounded in bytes ([`MAX_HEAD`]) and in time ([`HEAD_TIME`], from its first byte): a client that sends a
//! byte now and then holds a connection for so long at most. After an answer to what makes no sense nothing further
//! is believed: the connection ends.

use crate::server::Connection;
use httparse::{EMPTY_HEADER, Error, Status as Parsed};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

/// The longest head of a request.
const MAX_HEAD: usize = 8192;
/// How long a head may take, from its first byte.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After the last answer: how long, and how many bytes, the client is listened to, as closing with input unread sends a
/// reset that may overtake the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// What an answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    ContentTooLarge,
    HeadTooLarge,
    InternalError,
    Unavailable,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::Conflict => "409 Conflict",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::InternalError => "500 Internal Server Error",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// A request to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
    /// Does the client understand a body in chunks?
    pub(super) chunks: bool,
    pub(super) path: String,
    query: String,
}

impl Request {
    /// The value of a parameter of the query; empty if it has none. (They are numbers and words: nothing is unescaped.)
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// Is a parameter there and not 0?
    pub(super) fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value != "0")
    }
}

/// An answer.
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status: Status::Ok,
            kind,
            body: body.into(),
        }
    }

    /// A line of text.
    pub(super) fn line(status: Status, text: impl AsRef<str>) -> Response {
        Response {
            status,
            kind: TEXT,
            body: format!("{}\n", text.as_ref()).into_bytes(),
        }
    }
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// What every answer's head has: nothing is kept, and nothing is taken for what it isn't.
fn write_head(output: &mut Vec<u8>, status: Status, kind: &str, keep_alive: bool) {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = match status {
        Status::MethodNotAllowed => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    output.extend_from_slice(
        format!(
            "HTTP/1.1 {}\r\nConnection: {connection}\r\nContent-Type: {kind}\r\n{allow}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            status.as_str()
        )
        .as_bytes(),
    );
}

/// Writes an answer.
pub(super) fn respond(
    mut conn: &Connection,
    response: &Response,
    head_only: bool,
    keep_alive: bool,
) -> io::Result<()> {
    let mut output = Vec::with_capacity(response.body.len() + 256);
    write_head(&mut output, response.status, response.kind, keep_alive);
    let length = response.body.len();
    output.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    if !head_only {
        output.extend_from_slice(&response.body);
    }
    conn.write_all(&output)
}

/// The head of an answer that is a file of unknown length, in chunks if the client understands them. After it the
/// connection ends.
pub(super) fn file_head(kind: &str, name: &str, chunks: bool) -> Vec<u8> {
    let mut output = Vec::new();
    write_head(&mut output, Status::Ok, kind, false);
    if chunks {
        output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let name = format!("Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n");
    output.extend_from_slice(name.as_bytes());
    output
}

/// What is read of a connection and not used so far.
pub(super) struct Input {
    buffer: Box<[u8; MAX_HEAD]>,
    end: usize,
}

/// What comes next on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Request(Request),
    /// An answer is owed to what isn't a request; then the connection ends.
    Refuse(Status, &'static str),
    /// The client is through, or gone.
    End,
}

impl Input {
    pub(super) fn new() -> Input {
        Input {
            buffer: Box::new([0; MAX_HEAD]),
            end: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Reads the next request. `any_host`: it may name any host.
    pub(super) fn next(&mut self, mut conn: &Connection, any_host: bool) -> io::Result<Next> {
        conn.set_read_deadline(Some(Instant::now() + HEAD_TIME))?;
        loop {
            if let Some((length, next)) = parse(&self.buffer[..self.end], any_host) {
                self.buffer.copy_within(length..self.end, 0);
                self.end -= length;
                conn.set_read_deadline(None)?;
                return Ok(next);
            }
            if self.end == MAX_HEAD {
                return Ok(Next::Refuse(Status::HeadTooLarge, "the head is too long"));
            }
            match conn.read(&mut self.buffer[self.end..]) {
                Ok(0) if self.end == 0 => return Ok(Next::End),
                Ok(0) => return Ok(Next::Refuse(Status::BadRequest, "the head is cut off")),
                Ok(n) => self.end += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Ok(Next::Refuse(
                        Status::RequestTimeout,
                        "the head takes too long",
                    ));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The first head in `input` and its length, or `None` if it is not complete.
fn parse(input: &[u8], any_host: bool) -> Option<(usize, Next)> {
    let refuse = |status, why| Some((input.len(), Next::Refuse(status, why)));
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(input) {
        Ok(Parsed::Complete(length)) => length,
        Ok(Parsed::Partial) => return None,
        Err(Error::TooManyHeaders) => {
            return refuse(Status::HeadTooLarge, "there are too many headers");
        }
        Err(_) => return refuse(Status::BadRequest, "this is not HTTP/1"),
    };
    let is_1_1 = request.version == Some(1);
    let (mut keep_alive, mut hosts, mut known) = (is_1_1, 0, true);
    for header in request.headers.iter() {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        let Ok(value) = str::from_utf8(header.value) else {
            continue;
        };
        if is("transfer-encoding") || is("content-length") && value.trim() != "0" {
            return refuse(Status::ContentTooLarge, "no page takes a body");
        } else if is("host") {
            hosts += 1;
            known = is_local(value.trim());
        } else if is("connection") {
            let has = |word: &str| {
                value
                    .split(',')
                    .any(|w| w.trim().eq_ignore_ascii_case(word))
            };
            keep_alive = (keep_alive || has("keep-alive")) && !has("close");
        }
    }
    if hosts > 1 || hosts == 0 && is_1_1 {
        return refuse(Status::BadRequest, "there must be one Host header");
    }
    if !(known || any_host) {
        return refuse(
            Status::Forbidden,
            "by this name these pages are served only if remote clients are allowed; use the address",
        );
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return refuse(Status::MethodNotAllowed, "use GET or HEAD"),
    };
    let target = request.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        head_only,
        keep_alive,
        chunks: is_1_1,
        path: path.to_owned(),
        query: query.to_owned(),
    };
    Some((length, Next::Request(request)))
}

/// Is a Host header's value an address or this machine's own name? A page of a stranger's can make a browser ask a
/// loopback address by a name of the stranger's own (DNS rebinding), and read the answer; it can't if it has to use the
/// address.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Ends the connection so that the last answer arrives.
pub(super) fn finish(mut conn: &Connection) -> io::Result<()> {
    conn.shutdown(Shutdown::Write)?;
    conn.set_deadline(Some(Instant::now() + LINGER))?;
    let mut rest = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match conn.read(&mut rest) {
            Ok(0) => break,
            Ok(n) => left = left.saturating_sub(n),
            // It was told; that it goes on all the same is its own affair.
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &str) -> Option<Status> {
        match parse(head.as_bytes(), false)? {
            (_, Next::Refuse(status, _)) => Some(status),
            (_, Next::Request(_)) => Some(Status::Ok),
            (_, Next::End) => None,
        }
    }

    #[test]
    fn heads_are_taken_apart() {
        let head = "HEAD /debug/trace?seconds=2&x HTTP/1.1\r\nHost: [::1]:80\r\n\r\nGET";
        let (length, next) = parse(head.as_bytes(), false).unwrap();
        assert_eq!(&head[length..], "GET");
        let Next::Request(request) = next else {
            panic!("{next:?}");
        };
        assert_eq!(request.path, "/debug/trace");
        assert!(request.head_only && request.keep_alive && request.chunks);
        assert_eq!(request.parameter("seconds"), Some("2"));
        assert!(request.flag("x") && !request.flag("y"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (head, status) in [
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                Status::Forbidden,
            ),
            ("GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n", Status::Ok),
            ("GET / HTTP/1.0\r\n\r\n", Status::Ok),
            ("GET / HTTP/1.1\r\n\r\n", Status::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: ::\r\nHost: a\r\n\r\n",
                Status::BadRequest,
            ),
            (
                "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                Status::MethodNotAllowed,
            ),
            (
                "GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
                Status::ContentTooLarge,
            ),
            ("nonsense\r\n\r\n", Status::BadRequest),
            ("\0\0\0", Status::BadRequest),
        ] {
            assert_eq!(status_of(head), Some(status), "{head:?}");
        }
        assert_eq!(status_of("GET / HTTP/1.1\r\nHo"), None);
    }
}
