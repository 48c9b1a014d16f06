//! What a client is told: heads of responses, into a buffer that is written as a whole.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The body that benchmarks ask for.
const PLAINTEXT: &str = "Hello, World!";

/// The moment, as HTTP writes it, and the answer that is given most often; both are made once a second.
pub(crate) struct Clock {
    second: u64,
    date: String,
    plaintext: Vec<u8>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            second: u64::MAX,
            date: String::new(),
            plaintext: Vec::new(),
        }
    }

    /// To be called now and then: for each batch of requests.
    pub(crate) fn tick(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since.unwrap_or(Duration::ZERO).as_secs();
        if second != self.second {
            self.second = second;
            self.date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            self.plaintext.clear();
            let mut plaintext = std::mem::take(&mut self.plaintext);
            Response::new(&mut plaintext, self, "200 OK", true).text(PLAINTEXT);
            self.plaintext = plaintext;
        }
    }

    pub(crate) fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }
}

/// A response whose head is being written.
pub(crate) struct Response<'a>(&'a mut Vec<u8>);

impl<'a> Response<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, clock: &Clock, status: &str, keep_alive: bool) -> Self {
        let mut response = Response(out);
        response.line(format_args!("HTTP/1.1 {status}"));
        response.field("Date", &clock.date);
        if !keep_alive {
            response.field("Connection", "close");
        }
        response
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a Vec can't fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    pub(crate) fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}: {value}"));
    }

    /// Ends the head. A body of this length follows, unless it is the answer to HEAD.
    pub(crate) fn length(mut self, length: u64) {
        self.field("Content-Length", length);
        self.end();
    }

    /// Ends the head of a response that has no body.
    pub(crate) fn end(self) {
        self.0.extend_from_slice(b"\r\n");
    }

    /// The whole of it.
    pub(crate) fn text(self, body: &str) {
        self.body("text/plain; charset=utf-8", body.as_bytes());
    }

    pub(crate) fn body(mut self, kind: &str, body: &[u8]) {
        self.field("Content-Type", kind);
        self.field("Content-Length", body.len());
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(body);
    }
}

/// A piece of a body whose length nobody knows yet; an empty one ends it.
pub(crate) fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = write!(out, "{:x}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
