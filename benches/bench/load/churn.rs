//! Connections that live for one exchange.
//!
//! So many connections are under way at a time, each in a slot: connect, write, read, close, and at
//! once the next one. The client closes first, so it is the client's ports that rest (see
//! [`super::connect`]). A latency is that of a whole life, from before the socket is made until after
//! it is closed.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::connect::{Connector, SILENCE};
use super::pattern::Pattern;
use super::poll::Poll;
use super::window::Window;
use super::{ChurnPlan, Hook, LoadResult};

struct Slot {
    socket: Option<Socket>,
    /// Which connection this is, of all.
    number: usize,
    born: u64,
    sent: usize,
    received: usize,
}

struct Churn<'a, 'h> {
    message: usize,
    pattern: &'a Pattern,
    connector: Connector,
    poll: Poll,
    window: Window<'h>,
    slots: Vec<Slot>,
    buffer: Vec<u8>,
    born: usize,
}

/// Puts the load.
pub(super) fn churn(plan: &ChurnPlan, hook: Hook<'_>) -> io::Result<LoadResult> {
    if plan.concurrency == 0 || plan.message == 0 {
        let what = "concurrency and size must be more than 0";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut churn = Churn {
        message: plan.message,
        pattern: &Pattern::noise(),
        connector: Connector::new(&plan.target)?,
        poll: Poll::new()?,
        window: Window::new(hook, plan.concurrency, plan.warmup, plan.duration)?,
        slots: Vec::with_capacity(plan.concurrency),
        buffer: vec![0; plan.message.clamp(1, 64 << 10)],
        born: 0,
    };
    for index in 0..plan.concurrency {
        churn.slots.push(Slot {
            socket: None,
            number: 0,
            born: 0,
            sent: 0,
            received: 0,
        });
        churn.bear(index)?;
    }
    churn.run()?;
    Ok(churn.window.finish(0))
}

impl Churn<'_, '_> {
    fn run(&mut self) -> io::Result<()> {
        let mut alive = self.slots.len();
        let mut last = Instant::now();
        while alive > 0 {
            let now = self.window.now()?;
            let patience = self.window.until_change(now).min(Duration::from_secs(1));
            let mut heard = false;
            for number in 0..self.poll.wait(patience)? {
                let index = self.poll.event(number).index;
                let slot = &self.slots[index];
                let number = slot.number;
                let done = self.advance(index).map_err(|error| {
                    io::Error::new(error.kind(), format!("connection {number}: {error}"))
                })?;
                if !done {
                    continue;
                }
                heard = true;
                self.slots[index].socket = None;
                let now = self.window.now()?;
                self.window.answered(index, self.slots[index].born, now);
                if self.window.is_over() {
                    alive -= 1;
                } else {
                    self.bear(index)?;
                }
            }
            let now = Instant::now();
            if heard {
                last = now;
            }
            if now - last > SILENCE {
                let what = format!("silence for {SILENCE:?} on {alive} connections");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        }
        Ok(())
    }

    /// The next connection in a slot.
    fn bear(&mut self, index: usize) -> io::Result<()> {
        let born = self.window.now()?;
        let socket = self.connector.begin()?;
        self.poll.add(&socket, index, true)?;
        let number = self.born;
        self.born += 1;
        self.slots[index] = Slot {
            socket: Some(socket),
            number,
            born,
            sent: 0,
            received: 0,
        };
        Ok(())
    }

    /// Goes on with a connection; true if it has had its exchange.
    fn advance(&mut self, index: usize) -> io::Result<bool> {
        let slot = &mut self.slots[index];
        let Some(mut socket) = slot.socket.as_ref() else {
            return Ok(false);
        };
        let first = self.pattern.place(slot.number);
        while slot.sent < self.message {
            let place = self.pattern.after(first, slot.sent);
            match socket.write(self.pattern.piece(place, self.message - slot.sent)) {
                Ok(written) => slot.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        while slot.received < slot.sent {
            let read = match socket.read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::other("the server has closed")),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let place = self.pattern.after(first, slot.received);
            let agreed = self.pattern.agree(place, &self.buffer[..read]);
            slot.received += agreed;
            if agreed < read || slot.received > slot.sent {
                let what = format!("byte {} is wrong", slot.received);
                return Err(io::Error::other(what));
            }
        }
        Ok(slot.received == self.message)
    }
}
