//! One publisher, many subscribers: a slow one misses messages instead of holding everybody up.
//!
//! `cargo run --release --example pubsub -- --messages 1000`. The same in Go stands in `examples/go/pubsub.go`.
//! Each subscriber has a buffer of its own. Publishing never waits: what does not fit is counted as missed.
//! Half of the subscribers here are quick; the others wait for a starting signal, until when only their
//! buffers fill.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use corio::channel::{Receiver, Sender, TrySendError, bounded};
use corio::go;
use corio::sync::Mutex;
use corio_examples::{run, say};

/// Publishes numbers, and says who got how many.
#[derive(Parser)]
struct Args {
    /// Messages to publish.
    #[arg(long, default_value_t = 1000)]
    messages: u64,
    /// Messages that wait for one subscriber at most.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    buffer: u16,
}

/// Passes each message on to all who have subscribed.
struct Topic<T> {
    subscribers: Mutex<Vec<Subscriber<T>>>,
}

struct Subscriber<T> {
    name: String,
    messages: Sender<T>,
    missed: u64,
}

impl<T: Clone> Topic<T> {
    fn subscribe(&self, name: &str, buffer: usize) -> Receiver<T> {
        let (messages, received) = bounded(buffer);
        self.subscribers.lock().push(Subscriber {
            name: name.to_owned(),
            messages,
            missed: 0,
        });
        received
    }

    /// Never waits; forgets subscribers that have gone.
    fn publish(&self, message: &T) {
        self.subscribers.lock().retain_mut(|subscriber| {
            match subscriber.messages.try_send(message.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => subscriber.missed += 1,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            true
        });
    }

    /// Ends all subscriptions; returns what was missed.
    fn close(&self) -> Vec<(String, u64)> {
        let subscribers = std::mem::take(&mut *self.subscribers.lock());
        subscribers
            .into_iter()
            .map(|s| (s.name, s.missed))
            .collect()
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("pubsub", move || {
        let topic = Arc::new(Topic {
            subscribers: Mutex::new(Vec::new()),
        });
        let (start, started) = bounded::<()>(0);
        let (acknowledge, acknowledged) = bounded(0);
        let quick = topic.subscribe("quick", usize::from(args.buffer));
        let slow = topic.subscribe("slow", usize::from(args.buffer));
        let quick = go!(move || quick
            .iter()
            .inspect(|_| acknowledge.send(()).unwrap_or(()))
            .count());
        let slow = go!(move || {
            // Disconnected: the signal.
            let _ = started.recv();
            slow.iter().count()
        });
        for message in 0..args.messages {
            topic.publish(&message);
            // Only so that the quick one is quick on any machine.
            acknowledged.recv().expect("the quick subscriber is there");
        }
        drop((start, acknowledged));
        let missed = topic.close();
        let received = [quick.join().unwrap(), slow.join().unwrap()];
        for ((name, missed), received) in missed.into_iter().zip(received) {
            say!("{name}: received {received}, missed {missed}");
        }
        Ok(())
    })
}
