//! One connection: its requests in, its replies out.
//!
//! All requests that one read brought are answered by one write. Input and output have limits: a request that
//! is too long is refused, and replies are written whenever they have filled [`FLUSH`], so that a client that asks
//! for much and reads nothing stops being served.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use corio_net::Connection;

use crate::Shared;
use crate::commands::{self, Failure};
use crate::pubsub::Subscriber;
use crate::reply;
use crate::resp::{Args, Parser, ProtocolError};

/// What a connection's buffers hold at first, and again after something large.
const BUFFER: usize = 16 * 1024;
/// Replies are written when there are so many bytes of them.
const FLUSH: usize = 64 * 1024;
/// No request may be longer than the limit; this much can lie behind it unseen, the line of a length.
const SLACK: usize = 64;

/// What a client has sent and is not yet used.
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    parser: Parser,
    limit: usize,
}

impl Input {
    pub(crate) fn new(max_request: usize) -> Input {
        Input {
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            parser: Parser::new(max_request),
            limit: max_request + SLACK,
        }
    }

    /// Reads once; `false` at the end of the stream. Waits.
    pub(crate) fn fill(&mut self, mut conn: &Connection) -> io::Result<bool> {
        self.make_room(1);
        let n = conn.read(&mut self.buffer[self.end..])?;
        self.end += n;
        Ok(n > 0)
    }

    /// Adds what somebody else has read.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.buffer[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Has a request begun that is not complete?
    pub(crate) fn is_partial(&self) -> bool {
        self.start < self.end
    }

    pub(crate) fn next(&mut self) -> Result<Option<Args<'_>>, ProtocolError> {
        let parsed = self.parser.parse(&self.buffer[self.start..self.end])?;
        Ok(parsed.map(|(args, length)| {
            self.start += length;
            args
        }))
    }

    /// Room for so many bytes: by moving what there is to the front, then by doubling. The parser refuses what would
    /// need more than the limit.
    fn make_room(&mut self, n: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > BUFFER {
                self.buffer = vec![0; BUFFER];
            }
        }
        if self.buffer.len() - self.end < n && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < n {
            let enough = (self.buffer.len() * 2).min(self.limit);
            self.buffer.resize(enough.max(self.end + n), 0);
        }
    }
}

/// What commands work on.
pub(crate) struct Client<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) shared: &'a Arc<Shared>,
    /// When the requests came that are being answered: for them, time stands still.
    pub(crate) now: Instant,
    /// Replies that are not yet written.
    pub(crate) out: Vec<u8>,
    /// What was read while a command was waiting.
    pub(crate) ahead: Vec<u8>,
    /// From the first subscription on, everything is written by its goroutine.
    pub(crate) subscriber: Option<Subscriber>,
    /// The connection is to be closed.
    pub(crate) quit: bool,
    /// How many commands it has given.
    pub(crate) commands: u64,
}

impl<'a> Client<'a> {
    pub(crate) fn new(conn: &'a Connection, shared: &'a Arc<Shared>) -> Client<'a> {
        Client {
            conn,
            shared,
            now: Instant::now(),
            out: Vec::with_capacity(BUFFER),
            ahead: Vec::new(),
            subscriber: None,
            quit: false,
            commands: 0,
        }
    }

    /// Does what a request says, and appends the reply.
    #[inline]
    pub(crate) fn execute(&mut self, args: Args<'_>) -> io::Result<()> {
        if args.len() == 0 {
            return Ok(());
        }
        self.commands += 1;
        match commands::run(self, args) {
            Ok(()) => {}
            Err(Failure::Reply(text)) => reply::error(&mut self.out, &text),
            Err(Failure::Io(error)) => return Err(error),
        }
        if self.out.len() > FLUSH {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the replies, or has them written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        match &self.subscriber {
            Some(subscriber) => subscriber.send(&self.out)?,
            None => {
                let mut conn = self.conn;
                conn.write_all(&self.out)?;
            }
        }
        self.out.clear();
        self.out.shrink_to(2 * FLUSH);
        Ok(())
    }

    /// Ends subscriptions; what is still to be written is written.
    pub(crate) fn finish(&mut self) {
        if let Some(subscriber) = self.subscriber.take() {
            subscriber.finish(&self.shared.hub);
        }
    }
}
