//! Requests and answers on connections that stay open: the loop behind echo, streams and http.
//!
//! Requests all have the same bytes or the same length, so a connection is a few counters: requests
//! due, begun and answered. In a closed loop a request is due when an earlier one is answered, and
//! `depth` are under way. In an open loop the k-th request of `c` connections is due k / rate after
//! the start, on connection k mod c, whether or not that is free; at most `depth` are under way on
//! each and the others wait in the client, with the clock running since they were due. No queue is
//! needed for that, as the schedule can be computed.
//!
//! Before the clock starts, each connection makes one exchange, and no more than
//! [`GREETINGS`] have yet to: a burst of connections would overrun the backlog of a server (128 is
//! usual), whose dropped handshakes are tried again a second later. So every connection is known to
//! be served when the warm-up begins.
//!
//! After the window nothing more is asked and all answers are waited for. A server that is behind
//! the schedule of an open loop may not get through in time; what is then open counts with the time
//! that it has waited so far, which is less than the truth but hides nothing.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::connect::{Connector, SILENCE};
use super::pattern::Pattern;
use super::poll::{Event, Poll};
use super::window::Window;
use super::{Hook, LoadResult, Target};

/// Connections that may wait for their first answer at a time.
const GREETINGS: usize = 64;

/// How long after the window a server may take to catch up with an open loop.
const CATCH_UP: u64 = 3_000_000_000;

/// Bytes read at once.
const READ: usize = 64 << 10;

/// A server that catches up has answered something this recently.
const ALIVE: Duration = Duration::from_secs(1);

/// What looks at the bytes that come back.
pub(super) trait Check {
    /// Takes bytes that a connection received; tells how many answers they complete, or what is
    /// wrong with them.
    fn check(&mut self, connection: usize, bytes: &[u8]) -> Result<usize, String>;
}

/// What is asked, how and for how long.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) connections: usize,
    pub(super) depth: usize,
    /// Bytes in a request.
    pub(super) request: usize,
    /// Where the requests begin in the pattern: the same place for all connections or not.
    pub(super) scattered: bool,
    pub(super) rate: Option<f64>,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
}

struct Connection {
    socket: Socket,
    /// Requests that the schedule of an open loop has had.
    due: u64,
    begun: u64,
    answered: u64,
    /// Bytes that have yet to be written, and where they are in the pattern.
    unsent: usize,
    place: usize,
    /// Being writable is asked for.
    blocked: bool,
}

impl Connection {
    fn under_way(&self) -> usize {
        (self.begun - self.answered) as usize
    }
}

/// The loop.
pub(super) struct Exchange<'a, C> {
    asking: &'a Asking,
    pattern: &'a Pattern,
    check: C,
    poll: Poll,
    connections: Vec<Connection>,
    /// When the requests under way were due, `depth` for each connection.
    stamps: Vec<u64>,
    buffer: Vec<u8>,
    /// Of all connections.
    under_way: usize,
    /// Greetings, until there is a window.
    greeted: usize,
    /// There was an answer since `last_answer` was set.
    heard: bool,
    last_answer: Instant,
}

impl<'a, C: Check> Exchange<'a, C> {
    /// Connects, and greets the server on each connection.
    pub(super) fn open(
        asking: &'a Asking,
        pattern: &'a Pattern,
        check: C,
        target: &Target,
    ) -> io::Result<Exchange<'a, C>> {
        let Asking {
            connections,
            depth,
            request,
            rate,
            ..
        } = *asking;
        if connections == 0
            || depth == 0
            || request == 0
            || rate.is_some_and(|r| r.is_nan() || r <= 0.0)
        {
            let what = "connections, depth, size and rate must be more than 0";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut exchange = Exchange {
            asking,
            pattern,
            check,
            poll: Poll::new()?,
            connections: Vec::with_capacity(connections),
            stamps: vec![0; connections * depth],
            buffer: vec![0; READ],
            under_way: 0,
            greeted: 0,
            heard: false,
            last_answer: Instant::now(),
        };
        exchange.greet(&mut Connector::new(target)?)?;
        Ok(exchange)
    }

    fn greet(&mut self, connector: &mut Connector) -> io::Result<()> {
        while self.greeted < self.asking.connections {
            while self.connections.len() < self.asking.connections
                && self.connections.len() - self.greeted < GREETINGS
            {
                let index = self.connections.len();
                let socket = connector.connect()?;
                self.poll.add(&socket, index, false)?;
                let scattered = self.asking.scattered;
                let place = if scattered {
                    self.pattern.place(index)
                } else {
                    0
                };
                let (due, begun, answered, unsent, blocked) = (0, 0, 0, 0, false);
                let connection = Connection {
                    socket,
                    due,
                    begun,
                    answered,
                    unsent,
                    place,
                    blocked,
                };
                self.connections.push(connection);
                self.begin(index, 0);
                self.flush(index)?;
            }
            for number in 0..self.poll.wait(ALIVE)? {
                let event = self.poll.event(number);
                self.serve(event, None)?;
            }
            self.watch()?;
        }
        for connection in &mut self.connections {
            (connection.due, connection.begun, connection.answered) = (0, 0, 0);
        }
        Ok(())
    }

    /// The connections are open: makes sure that they still are.
    pub(super) fn expect_open(&mut self) -> io::Result<()> {
        for index in 0..self.connections.len() {
            let ended = true;
            self.serve(
                Event {
                    index,
                    writable: false,
                    ended,
                },
                None,
            )?;
        }
        Ok(())
    }

    /// Asks, for as long as was asked for.
    pub(super) fn run(mut self, hook: Hook<'_>) -> io::Result<LoadResult> {
        let Asking {
            connections,
            depth,
            rate,
            warmup,
            duration,
            ..
        } = *self.asking;
        let mut window = Window::new(hook, connections, warmup, duration)?;
        // The requests of an open loop that have been due.
        let mut scheduled = 0;
        if rate.is_none() {
            for index in 0..connections {
                for _ in 0..depth {
                    self.begin(index, window.now()?);
                }
                self.flush(index)?;
            }
        }
        loop {
            let now = window.now()?;
            let mut patience = window.until_change(now).min(ALIVE);
            if let Some(rate) = rate {
                let next = self.schedule(rate, &mut scheduled, now, window.end())?;
                patience = patience.min(Duration::from_nanos(next.saturating_sub(now)));
            }
            if window.is_over() {
                if self.under_way == 0 {
                    self.expect_open()?;
                    break;
                }
                let late = rate.is_some() && now > window.end() + CATCH_UP;
                if late && self.last_answer.elapsed() < ALIVE {
                    self.give_up(&mut window, now);
                    break;
                }
            }
            for number in 0..self.poll.wait(patience)? {
                let event = self.poll.event(number);
                self.serve(event, Some(&mut window))?;
            }
            self.watch()?;
        }
        Ok(window.finish(connections as u64))
    }

    /// When the request of a connection is due, in an open loop.
    fn due(&self, rate: f64, connection: usize, number: u64) -> u64 {
        let count = connection as u64 + number * self.asking.connections as u64;
        (count as f64 * 1e9 / rate) as u64
    }

    /// Sends what has become due by now, and tells when there will be more.
    fn schedule(&mut self, rate: f64, done: &mut u64, now: u64, end: u64) -> io::Result<u64> {
        let connections = self.connections.len() as u64;
        loop {
            let (index, number) = ((*done % connections) as usize, *done / connections);
            let due = self.due(rate, index, number);
            if due >= end {
                return Ok(u64::MAX);
            }
            if due > now {
                return Ok(due);
            }
            *done += 1;
            self.connections[index].due += 1;
            self.begin_due(rate, index);
            self.flush(index)?;
        }
    }

    /// Begins requests that are due, as far as the depth allows.
    fn begin_due(&mut self, rate: f64, index: usize) {
        loop {
            let connection = &self.connections[index];
            if connection.begun >= connection.due || connection.under_way() >= self.asking.depth {
                return;
            }
            self.begin(index, self.due(rate, index, connection.begun));
        }
    }

    /// Begins a request, which was due then; it is sent by the next [`flush`](Self::flush).
    fn begin(&mut self, index: usize, due: u64) {
        let depth = self.asking.depth;
        let connection = &mut self.connections[index];
        self.stamps[index * depth + (connection.begun % depth as u64) as usize] = due;
        connection.begun += 1;
        connection.unsent += self.asking.request;
        if self.under_way == 0 {
            self.last_answer = Instant::now();
        }
        self.under_way += 1;
    }

    /// Writes as much as goes.
    fn flush(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let mut full = false;
        while connection.unsent > 0 && !full {
            let piece = self.pattern.piece(connection.place, connection.unsent);
            match (&connection.socket).write(piece) {
                Ok(written) => {
                    connection.unsent -= written;
                    connection.place = self.pattern.after(connection.place, written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => full = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(index, "writing", &error)),
            }
        }
        if full != connection.blocked {
            connection.blocked = full;
            self.poll.change(&connection.socket, index, full)?;
        }
        Ok(())
    }

    /// Does what an event is about.
    fn serve(&mut self, event: Event, mut window: Option<&mut Window<'_>>) -> io::Result<()> {
        let index = event.index;
        loop {
            let connection = &mut self.connections[index];
            // All is answered, so there is nothing to read, unless the end.
            if connection.under_way() == 0 && !event.ended {
                break;
            }
            let read = match (&connection.socket).read(&mut self.buffer) {
                Ok(0) => return Err(failed(index, "the server has closed", &"end of file")),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(index, "reading", &error)),
            };
            let answers = match self.check.check(index, &self.buffer[..read]) {
                Ok(answers) => answers,
                Err(what) => return Err(failed(index, "wrong answer", &what)),
            };
            if connection.under_way() < answers.max(1) {
                return Err(failed(index, "wrong answer", &"more than was asked for"));
            }
            if answers > 0 {
                self.heard = true;
                self.under_way -= answers;
                match &mut window {
                    Some(window) => self.answered(index, answers, window)?,
                    None => {
                        connection.answered += answers as u64;
                        self.greeted += 1;
                    }
                }
            }
            if read < self.buffer.len() && !event.ended {
                break;
            }
        }
        // What is begun by answers, and what could not be written before.
        let connection = &self.connections[index];
        if connection.unsent > 0 && (event.writable || !connection.blocked) {
            self.flush(index)?;
        }
        Ok(())
    }

    /// Counts answers, and begins what they make room for.
    fn answered(
        &mut self,
        index: usize,
        answers: usize,
        window: &mut Window<'_>,
    ) -> io::Result<()> {
        let depth = self.asking.depth;
        let now = window.now()?;
        for _ in 0..answers {
            let connection = &mut self.connections[index];
            let stamp = index * depth + (connection.answered % depth as u64) as usize;
            connection.answered += 1;
            window.answered(index, self.stamps[stamp], now);
        }
        match self.asking.rate {
            Some(rate) => self.begin_due(rate, index),
            None if window.is_over() => {}
            None => (0..answers).for_each(|_| self.begin(index, now)),
        }
        Ok(())
    }

    /// Counts what was due and will not be waited for.
    fn give_up(&self, window: &mut Window<'_>, now: u64) {
        let Some(rate) = self.asking.rate else { return };
        for (index, connection) in self.connections.iter().enumerate() {
            for number in connection.answered..connection.due {
                window.latency(self.due(rate, index, number), now);
            }
        }
    }

    /// Fails when there has been no answer for too long, though there should be.
    fn watch(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if std::mem::take(&mut self.heard) || self.under_way == 0 {
            self.last_answer = now;
        }
        if now - self.last_answer < SILENCE {
            return Ok(());
        }
        let waits = |connection: &&Connection| connection.under_way() > 0;
        let count = self.connections.iter().filter(waits).count();
        let index = self
            .connections
            .iter()
            .position(|c| waits(&c))
            .unwrap_or_default();
        let answered = self.connections[index].answered;
        let what = format!(
            "connection {index}: silence for {SILENCE:?} after {answered} answers; connections \
             that wait: {count}"
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

fn failed(connection: usize, what: &str, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("connection {connection}: {what}: {why}"))
}
