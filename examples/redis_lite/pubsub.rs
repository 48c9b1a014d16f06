//! PUBLISH and SUBSCRIBE.
//!
//! A subscriber has an *outbox*, a buffer with a limit, and a goroutine that writes what is in it, all at once.
//! Publishing appends to the outboxes of all who listen, and waits for none of them: whose outbox is full
//! is shut out, as in Redis. From its first subscription on all of a connection's replies go through the outbox, so that
//! messages and replies keep their order.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use corio::sync::{Condvar, Mutex};
use corio::{JoinHandle, go};
use corio_net::Conn;

use crate::client::Client;
use crate::commands::Outcome;
use crate::reply;
use crate::resp::Args;
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
    fn new(conn: Conn, limit: usize) -> Arc<Outbox> {
        Arc::new(Outbox {
            queue: Mutex::default(),
            news: Condvar::new(),
            limit,
            conn,
        })
    }

    /// Never waits for the subscriber. `false`: it has been too slow, and its connection is to be closed.
    fn append(&self, bytes: &[u8]) -> bool {
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

    fn end(&self) {
        self.queue.lock().ended = true;
        self.news.notify_one();
    }

    /// Ends whoever reads from or writes to it.
    fn close(&self) {
        // It fails if it is closed.
        let _ = self.conn.close();
    }

    /// The only one that writes.
    fn write(&self) {
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
enum Kind {
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
    fn subscribe(
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

    fn unsubscribe(&self, kind: Kind, name: &[u8], outbox: &Arc<Outbox>) {
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
    fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
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

/// A connection's subscriptions.
pub(crate) struct Subscriber {
    outbox: Arc<Outbox>,
    writer: JoinHandle<()>,
    channels: BTreeSet<Key>,
    patterns: BTreeSet<Key>,
}

impl Subscriber {
    fn start(client: &Client<'_>) -> io::Result<Subscriber> {
        let outbox = Outbox::new(client.conn.try_clone()?, client.shared.max_output);
        let ours = Arc::clone(&outbox);
        Ok(Subscriber {
            outbox,
            writer: go!(move || ours.write()),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
        })
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.count() > 0
    }

    fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn names(&mut self, kind: Kind) -> &mut BTreeSet<Key> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// # Errors
    ///
    /// If the outbox is full.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let full = || io::Error::other("the output buffer is full");
        self.outbox.append(bytes).then_some(()).ok_or_else(full)
    }

    /// What is to be written is written.
    pub(crate) fn finish(self, hub: &Hub) {
        for (kind, names) in [
            (Kind::Channel, &self.channels),
            (Kind::Pattern, &self.patterns),
        ] {
            for name in names {
                hub.unsubscribe(kind, name, &self.outbox);
            }
        }
        self.outbox.end();
        // It does not panic.
        let _ = self.writer.join();
    }
}

pub(crate) fn publish(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let received = client.shared.hub.publish(args.at(1), args.at(2));
    reply::count(&mut client.out, received);
    Ok(())
}

pub(crate) fn subscribe(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    listen(client, args, Kind::Channel, b"subscribe")
}

pub(crate) fn psubscribe(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    listen(client, args, Kind::Pattern, b"psubscribe")
}

pub(crate) fn unsubscribe(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    leave(client, args, Kind::Channel, b"unsubscribe")
}

pub(crate) fn punsubscribe(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    leave(client, args, Kind::Pattern, b"punsubscribe")
}

fn listen(client: &mut Client<'_>, args: Args<'_>, kind: Kind, verb: &[u8]) -> Outcome {
    // What was asked before is answered before.
    client.flush()?;
    if client.subscriber.is_none() {
        client.subscriber = Some(Subscriber::start(client)?);
    }
    let Some(subscriber) = &mut client.subscriber else {
        return Ok(());
    };
    for name in args.from(1).iter() {
        subscriber.names(kind).insert(name.into());
        let mut confirmation = Vec::new();
        confirm(&mut confirmation, verb, Some(name), subscriber.count());
        let hub = &client.shared.hub;
        if !hub.subscribe(kind, name, &subscriber.outbox, &confirmation) {
            return Err(io::Error::other("the output buffer is full").into());
        }
    }
    Ok(())
}

fn leave(client: &mut Client<'_>, args: Args<'_>, kind: Kind, verb: &[u8]) -> Outcome {
    let Some(subscriber) = &mut client.subscriber else {
        let names = args.from(1).iter().map(Some);
        let none = if args.len() == 1 { Some(None) } else { None };
        for name in names.chain(none) {
            confirm(&mut client.out, verb, name, 0);
        }
        return Ok(());
    };
    let mut names: Vec<Key> = args.from(1).iter().map(Key::from).collect();
    if names.is_empty() {
        names.extend(subscriber.names(kind).iter().cloned());
    }
    if names.is_empty() {
        confirm(&mut client.out, verb, None, subscriber.count());
    }
    for name in names {
        if subscriber.names(kind).remove(&name) {
            client
                .shared
                .hub
                .unsubscribe(kind, &name, &subscriber.outbox);
        }
        confirm(&mut client.out, verb, Some(&name), subscriber.count());
    }
    Ok(())
}

/// What a change of the subscriptions is answered with, one for each name.
fn confirm(out: &mut Vec<u8>, verb: &[u8], name: Option<&[u8]>, count: usize) {
    reply::array(out, 3);
    reply::bulk(out, verb);
    match name {
        Some(name) => reply::bulk(out, name),
        None => reply::null(out),
    }
    reply::count(out, count);
}
