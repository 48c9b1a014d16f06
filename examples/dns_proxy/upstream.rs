//! Asking those who know: all of them at once, and again if nobody answers.
//!
//! Who wants to slip a client a false answer has to guess the port and the number of the question. So each question
//! has a socket of its own, whose port the system chooses, and a random number; and what comes back with another
//! number, or to another question, is as if it had not come: the wait goes on.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use corio::channel::bounded;
use corio::context::Context;
use corio::go;
use corio_net::{Dialer, UdpSocket, with_context};

use crate::message::{Answer, Query, Received, UDP_SIZE};

pub(crate) struct Upstreams {
    addrs: Vec<SocketAddr>,
    /// For one attempt.
    timeout: Duration,
    attempts: u32,
    /// Hashes that only this process can compute: numbers that nobody can foresee.
    random: RandomState,
    asked: AtomicU64,
    /// What came and was no answer to what was asked.
    pub(crate) strays: AtomicU64,
}

impl Upstreams {
    pub(crate) fn new(addrs: Vec<SocketAddr>, timeout: Duration, attempts: u32) -> Upstreams {
        Upstreams {
            addrs,
            timeout,
            attempts,
            random: RandomState::new(),
            asked: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    /// How often anybody was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// The first good answer; if there is none, any that is one. Waits.
    pub(crate) fn resolve(self: &Arc<Self>, query: &Arc<Query>) -> Option<Arc<Answer>> {
        let mut worse = None;
        for _ in 0..self.attempts {
            // Ends those that are still waiting when the first one has answered.
            let (ctx, cancel) = Context::background().with_timeout(self.timeout);
            let _ends = cancel.drop_guard();
            let (results, received) = bounded(self.addrs.len());
            for &addr in &self.addrs {
                let (upstreams, query) = (Arc::clone(self), Arc::clone(query));
                let (ctx, results) = (ctx.clone(), results.clone());
                go!(move || {
                    // It has room for all.
                    let _ = results.try_send(upstreams.ask(addr, &query, &ctx));
                });
            }
            drop(results);
            for answer in received.iter().flatten() {
                if answer.is_good {
                    return Some(Arc::new(answer));
                }
                worse = Some(Arc::new(answer));
            }
            // Somebody is there, and says that it can't: asking again would not help.
            if worse.is_some() {
                break;
            }
        }
        worse
    }

    fn ask(&self, addr: SocketAddr, query: &Query, ctx: &Context) -> io::Result<Answer> {
        let number = self.asked.fetch_add(1, Relaxed);
        // A part of the hash: as random as the whole.
        let id = self.random.hash_one(number) as u16;
        let message = query.forward(id).ok_or(ErrorKind::InvalidInput)?;
        match self.ask_udp(addr, &message, id, query, ctx)? {
            Received::Answer(answer) => Ok(answer),
            Received::Truncated => self.ask_tcp(addr, &message, id, query, ctx),
        }
    }

    fn ask_udp(
        &self,
        addr: SocketAddr,
        message: &[u8],
        id: u16,
        query: &Query,
        ctx: &Context,
    ) -> io::Result<Received> {
        let socket = UdpSocket::bind(match addr {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        })?;
        // What others send does not arrive.
        socket.connect(addr)?;
        socket.send(message)?;
        let mut buffer = [0; UDP_SIZE as usize];
        loop {
            let n = with_context(ctx, &socket, |socket| socket.recv(&mut buffer))?;
            match Answer::parse(&buffer[..n], id, &query.key, Instant::now()) {
                Some(received) => return Ok(received),
                None => self.strays.fetch_add(1, Relaxed),
            };
        }
    }

    fn ask_tcp(
        &self,
        addr: SocketAddr,
        message: &[u8],
        id: u16,
        query: &Query,
        ctx: &Context,
    ) -> io::Result<Answer> {
        let dialer = Dialer::new().timeout(self.timeout).context(ctx);
        let stream = dialer.connect(addr)?;
        let answer = with_context(ctx, &stream, |mut stream| {
            stream.write_all(&framed(message))?;
            read_framed(&mut stream)
        })?;
        match Answer::parse(&answer, id, &query.key, Instant::now()) {
            Some(Received::Answer(answer)) => Ok(answer),
            Some(Received::Truncated) | None => {
                self.strays.fetch_add(1, Relaxed);
                Err(ErrorKind::InvalidData.into())
            }
        }
    }
}

/// Over TCP each message has its length in front of it. The longest one that there is fits.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&message[..usize::from(length)]);
    bytes
}

/// The next message; memory is taken for what has come, not for what was announced.
pub(crate) fn read_framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = u64::from(u16::from_be_bytes(length));
    let mut message = Vec::new();
    if stream.by_ref().take(length).read_to_end(&mut message)? as u64 == length {
        Ok(message)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}
