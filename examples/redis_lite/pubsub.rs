//! PUBLISH, SUBSCRIBE and what belongs to them.
//!
//! From its first subscription on all of a connection's replies go through its outbox (see `hub`), so that messages
//! and replies keep their order.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use corio::{JoinHandle, go};

use crate::client::Client;
use crate::commands::Outcome;
use crate::hub::{Hub, Kind, Outbox};
use crate::reply;
use crate::resp::Args;
use crate::store::Key;

/// A connection's subscriptions.
pub(crate) struct Subscriber {
    outbox: Arc<Outbox>,
    writer: JoinHandle<()>,
    channels: BTreeSet<Key>,
    patterns: BTreeSet<Key>,
}

impl Subscriber {
    fn start(client: &Client<'_>) -> io::Result<Subscriber> {
        // Who listens is not idle.
        client.conn.set_read_timeout(None)?;
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
    /// If the outbox is full. Then the connection is closed.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.check(self.outbox.append(bytes))
    }

    fn check(&self, has_room: bool) -> io::Result<()> {
        if has_room {
            return Ok(());
        }
        // Ends its writer, too.
        self.outbox.close();
        Err(io::Error::other("the output buffer is full"))
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
        subscriber.check(hub.subscribe(kind, name, &subscriber.outbox, &confirmation))?;
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
