//! The bytes of a connection: what has come and is not used yet, and what is to be said and not written yet.
//!
//! All requests that one read brought are answered by one write. Between requests nothing is kept: the input buffer goes
//! back to its pool.

use crate::request::{self, Body, Framing, Head, MAX_HEAD, Part, Refusal};
use corio::sync::{Pool, Pooled};
use corio_net::{Conn, Connection, copy_n};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The longest body that is kept in memory.
const MAX_BODY: u64 = 1 << 20;
/// How long a client may take for a request, once it has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to read the last answer before its connection is dropped.
const LINGER: Duration = Duration::from_secs(1);
/// What is to be said is written when it is longer than this.
const OUTPUT: usize = 64 << 10;

/// Room for several heads; a read takes as many requests as fit.
type Input = [u8; 2 * MAX_HEAD];
static INPUTS: Pool<Box<Input>> = Pool::new(|| Box::new([0; 2 * MAX_HEAD]));

/// A connection, encrypted or not.
pub(crate) trait Wire: Read + Write {
    /// The connection below.
    fn conn(&self) -> &Connection;

    /// Waits for the first byte of a request; `false`: there is none to come.
    fn wait_request(&mut self) -> io::Result<bool>;

    /// Sends a part of a file.
    fn send_file(&mut self, file: &mut File, range: Range<u64>) -> io::Result<()>;
}

/// One that is not encrypted: files go from the file to the socket, and are never in this process (sendfile).
pub(crate) struct Plain<'a>(pub(crate) &'a Connection);

impl Read for Plain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Plain<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Plain<'_> {
    fn conn(&self) -> &Connection {
        self.0
    }

    fn wait_request(&mut self) -> io::Result<bool> {
        self.0.wait_request()
    }

    fn send_file(&mut self, file: &mut File, range: Range<u64>) -> io::Result<()> {
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        if copy_n(file, self.0, length)? < length {
            return Err(shorter());
        }
        Ok(())
    }
}

/// Its length has been announced: the only thing left is to close the connection.
pub(crate) fn shorter() -> io::Error {
    io::Error::other("a file became shorter while it was sent")
}

pub(crate) struct Exchange<W> {
    pub(crate) wire: W,
    input: Option<Pooled<'static, Box<Input>>>,
    start: usize,
    end: usize,
    pub(crate) output: Vec<u8>,
}

impl<W: Wire> Exchange<W> {
    pub(crate) fn new(wire: W) -> Self {
        Exchange {
            wire,
            input: None,
            start: 0,
            end: 0,
            output: Vec::new(),
        }
    }

    /// Waits until there is something to read, and reads it. `false`: the connection is over.
    pub(crate) fn wait(&mut self) -> io::Result<bool> {
        if self.start < self.end {
            // Part of a request has come; the rest has to come soon.
            self.wire
                .conn()
                .set_read_deadline(Some(Instant::now() + PATIENCE))?;
            let more = self.fill();
            self.wire.conn().set_read_deadline(None)?;
            return more;
        }
        self.input = None;
        Ok(self.wire.wait_request()? && self.fill()?)
    }

    /// Reads once. `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let input = self.input.get_or_insert_with(|| INPUTS.get());
        if self.start > 0 {
            input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = self.wire.read(&mut input[self.end..])?;
        self.end += n;
        Ok(n > 0)
    }

    /// What has come and is not used yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.input
            .as_ref()
            .map_or(&[], |input| &input[self.start..self.end])
    }

    /// The next request's head, if all of it is there.
    pub(crate) fn head(&self) -> Result<Option<Head<'_>>, Refusal> {
        match self.rest() {
            [] => Ok(None),
            rest => request::head(rest),
        }
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
    }

    /// Reads the body that follows the head: all of it, or past it if nobody wants it.
    pub(crate) fn body(
        &mut self,
        framing: Framing,
        expects_continue: bool,
        wanted: bool,
    ) -> io::Result<Result<Vec<u8>, Refusal>> {
        let mut bytes = Vec::new();
        let mut body = match Body::new(framing, if wanted { MAX_BODY } else { u64::MAX }) {
            Ok(body) => body,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if body.is_over() {
            return Ok(Ok(bytes));
        }
        if expects_continue && self.rest().is_empty() {
            self.output
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        // For the whole of it, so that a client that sends it byte by byte gains nothing.
        self.wire
            .conn()
            .set_read_deadline(Some(Instant::now() + PATIENCE))?;
        loop {
            match body.next(self.rest()) {
                Ok(Part::Data(data)) => {
                    if wanted {
                        bytes.extend_from_slice(&self.rest()[data.clone()]);
                    }
                    self.start += data.end;
                }
                Ok(Part::Skip(n)) => self.start += n,
                Ok(Part::More) => {
                    self.flush()?;
                    if !self.fill()? {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Ok(Part::End) => break,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        self.wire.conn().set_read_deadline(None)?;
        Ok(Ok(bytes))
    }

    /// Writes what is to be said.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.wire.write_all(&self.output)?;
            self.wire.flush()?;
            self.output.clear();
        }
        Ok(())
    }

    /// The same, once there is much of it: a client that asks and asks must not fill the memory with answers.
    pub(crate) fn flush_if_long(&mut self) -> io::Result<()> {
        if self.output.len() > OUTPUT {
            self.flush()
        } else {
            Ok(())
        }
    }

    pub(crate) fn send_file(&mut self, mut file: File, range: Range<u64>) -> io::Result<()> {
        self.flush()?;
        self.wire.send_file(&mut file, range)
    }

    /// Ends a connection whose client may still be sending: closing with input unread would send a reset, which
    /// can overtake the last answer.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        let conn: &Conn = self.wire.conn();
        conn.shutdown(Shutdown::Write)?;
        conn.set_deadline(Some(Instant::now() + LINGER))?;
        let mut scratch = [0; 4096];
        while self.wire.conn().read(&mut scratch)? > 0 {}
        Ok(())
    }
}
