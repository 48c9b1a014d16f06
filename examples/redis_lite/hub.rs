//! Who listens to which channels, and what is to be written to them.
//!
//! A subscriber has an *outbox*, a buffer with a limit, and a goroutine that writes what is in it, all at once.
//! Publishing appends to the outboxes of all who listen, and waits for none of them: whose outbox is full
//! is shut out, as in Redis.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use corio::sync::{Condvar, Mutex};
use corio_net::Conn;

use crate::reply;
use crate::store::Key;

/// An outbox keeps a buffer of up to so many bytes for the next messages.
const SPARE: usize = 64 * 1024;

/// What is to be written to a subscriber.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    news: Condvar,
    limit: usize,
    conn: Conn,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Nothing more comes; what there is is still written.
    ended: bool,
    /// It was full, or writing has failed: nothing is written any more.
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(conn: Conn, limit: usize) -> Arc<Outbox> {
        Arc::new(Outbox {
            queue: Mutex::default(),
            news: Condvar::new(),
            limit,
            conn,
        })
    }

    /// Never waits for the subscriber. `false`: it has been too slow, and its connection is to be closed.
    pub(crate) fn append(&self, bytes: &[u8]) -> bool {
        let mut queue = self.queue.lock();
        if queue.closed || queue.bytes.len() + bytes.len() > self.limit {
            queue.bytes = Vec::new();
            queue.closed = true;
            return false;
        }
        queue.bytes.extend_from_slice(bytes);
        drop(queue);
        self.news.notify_one();
        true
    }

    pub(crate) fn end(&self) {
        self.queue.lock().ended = true;
        self.news.notify_one();
    }

    /// Ends whoever reads from or writes to it.
    pub(crate) fn close(&self) {
        // It fails if it is closed.
        let _ = self.conn.close();
    }

    /// The only one that writes.
    pub(crate) fn write(&self) {
        let mut batch = Vec::new();
        loop {
            let mut queue = self.queue.lock();
            while queue.bytes.is_empty() && !queue.ended && !queue.closed {
                self.news.wait(&mut queue);
            }
            if queue.bytes.is_empty() {
                return;
            }
            std::mem::swap(&mut batch, &mut queue.bytes);
            drop(queue);
            if (&self.conn).write_all(&batch).is_err() {
                self.queue.lock().closed = true;
                return self.close();
            }
            batch.clear();
            batch.shrink_to(SPARE);
        }
    }
}

/// Who listens to what.
#[derive(Default)]
pub(crate) struct Hub {
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    channels: HashMap<Key, Vec<Arc<Outbox>>>,
    patterns: HashMap<Key, Vec<Arc<Outbox>>>,
}

/// A name of a channel, or a pattern for names.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Channel,
    Pattern,
}

impl Topics {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Key, Vec<Arc<Outbox>>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

impl Hub {
    /// How many channels and patterns somebody listens to.
    pub(crate) fn size(&self) -> (usize, usize) {
        let topics = self.topics.lock();
        (topics.channels.len(), topics.patterns.len())
    }

    /// Confirms before the first message can come.
    pub(crate) fn subscribe(
        &self,
        kind: Kind,
        name: &[u8],
        outbox: &Arc<Outbox>,
        confirmation: &[u8],
    ) -> bool {
        let mut topics = self.topics.lock();
        let listeners = topics.of(kind).entry(name.into()).or_default();
        if !listeners.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            listeners.push(Arc::clone(outbox));
        }
        outbox.append(confirmation)
    }

    pub(crate) fn unsubscribe(&self, kind: Kind, name: &[u8], outbox: &Arc<Outbox>) {
        let mut topics = self.topics.lock();
        let names = topics.of(kind);
        if let Some(listeners) = names.get_mut(name) {
            listeners.retain(|other| !Arc::ptr_eq(other, outbox));
            if listeners.is_empty() {
                names.remove(name);
            }
        }
    }

    /// Returns how many have got it.
    pub(crate) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let (mut received, mut slow) = (0, Vec::new());
        let mut send = |listeners: &[Arc<Outbox>], bytes: &[u8]| {
            for outbox in listeners {
                if outbox.append(bytes) {
                    received += 1;
                } else {
                    slow.push(Arc::clone(outbox));
                }
            }
        };
        let topics = self.topics.lock();
        if let Some(listeners) = topics.channels.get(channel) {
            send(listeners, &push(&[b"message", channel, message]));
        }
        for (pattern, listeners) in &topics.patterns {
            if matches(pattern, channel) {
                send(listeners, &push(&[b"pmessage", pattern, channel, message]));
            }
        }
        drop(topics);
        // Closing may wait for a call under way.
        slow.iter().for_each(|outbox| outbox.close());
        received
    }
}

fn push(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 16).sum());
    reply::array(&mut out, parts.len());
    parts.iter().for_each(|part| reply::bulk(&mut out, part));
    out
}

/// Does a name match a pattern of `*`, `?`, `[a-z]`, `[^a-z]` and `\`? Steps back to the last star only, so
/// that it takes at most the product of their lengths.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, n));
            p += 1;
        } else if let Some(next) = one(&pattern[p..], name[n]) {
            (p, n) = (p + next, n + 1);
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, n) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// If the pattern's first element, no star, matches: its length.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [b'[', ref class @ ..] => {
            let negated = class.first() == Some(&b'^');
            let (mut at, mut found) = (usize::from(negated), false);
            loop {
                match class[at.min(class.len())..] {
                    // One without an end ends with the pattern.
                    [] => return (found != negated).then_some(1 + class.len()),
                    [b']', ..] => return (found != negated).then_some(2 + at),
                    [b'\\', escaped, ..] => {
                        (found, at) = (found | (escaped == byte), at + 2);
                    }
                    [low, b'-', high, ..] => {
                        let range = low.min(high)..=low.max(high);
                        (found, at) = (found | range.contains(&byte), at + 3);
                    }
                    [single, ..] => (found, at) = (found | (single == byte), at + 1),
                }
            }
        }
        [literal, ..] => (literal == byte).then_some(1),
    }
}
