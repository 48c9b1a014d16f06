//! loom models of channels: nothing is lost, nothing comes twice, nobody is left parked. See
//! `crate::models` for what they run on.
//!
//! That nobody is left parked: loom fails a model in which nobody can go on. That each message is received
//! by one, or given back to one, or dropped, and that the receiver sees what the sender wrote into it:
//! [`Message`].

mod plain;
mod select;

use crate::channel::core::Chan;
use crate::channel::engine::{self, Arm, Operation, Patience};
use crate::channel::{Receiver, Sender};
use crate::models::{Model, Owned, saw};
use crate::park;
use crate::sched::current;
use loom::thread::{self, JoinHandle};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A timeout that ends when the timer comes.
const SOON: Duration = Duration::from_secs(1);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    OnItsWay,
    Taken,
    Dropped,
}

#[derive(Debug)]
struct Content {
    number: Owned<u32>,
    fate: std::cell::Cell<Fate>,
}

thread_local! {
    /// The contents of all messages of the running execution. A message is only an index, so that having
    /// one twice is noticed and does no harm.
    static CONTENTS: RefCell<Vec<Rc<Content>>> = const { RefCell::new(Vec::new()) };
}

/// A message: who takes it must be the only one, and must see what its maker wrote.
#[derive(Debug)]
struct Message(usize);

impl Message {
    fn new(number: u32) -> Message {
        let content = Content {
            number: Owned::new(0),
            fate: std::cell::Cell::new(Fate::OnItsWay),
        };
        content.number.with(|at| *at = number);
        CONTENTS.with_borrow_mut(|contents| {
            contents.push(Rc::new(content));
            Message(contents.len() - 1)
        })
    }

    fn end(&self, fate: Fate) -> u32 {
        let content = CONTENTS.with_borrow(|contents| contents.get(self.0).cloned());
        let content = content.expect("what was received is no message");
        let before = content.fate.replace(fate);
        assert_eq!(before, Fate::OnItsWay, "a message that was gone");
        content.number.with(|number| *number)
    }

    /// Its number. Once.
    fn take(self) -> u32 {
        let message = std::mem::ManuallyDrop::new(self);
        message.end(Fate::Taken)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // A model that failed is over.
        if !std::thread::panicking() {
            self.end(Fate::Dropped);
        }
    }
}

/// The program of a model, with what must hold when all its threads have been joined and all its channels
/// dropped: this many messages were dropped, all others taken. (Which must be less than 100.)
fn settles(run: impl FnOnce() -> usize) {
    CONTENTS.take();
    let dropped = run();
    current::assert_all_quiet();
    let contents = CONTENTS.take();
    let count = |fate| contents.iter().filter(|of| of.fate.get() == fate).count();
    assert_eq!(count(Fate::OnItsWay), 0, "a message was lost");
    assert_eq!(count(Fate::Dropped), dropped, "messages were dropped");
}

/// Both ends, for several threads without counting: whoever drops it last drops both.
type Both = Arc<(Sender<Message>, Receiver<Message>)>;

fn bounded(capacity: usize) -> Both {
    Arc::new(crate::channel::bounded(capacity))
}

fn with<T: Send + 'static>(
    both: &Both,
    run: impl FnOnce(&Sender<Message>, &Receiver<Message>) -> T + Send + 'static,
) -> JoinHandle<T> {
    let both = Arc::clone(both);
    thread::spawn(move || run(&both.0, &both.1))
}

fn send(s: &Sender<Message>, number: u32) {
    s.send(Message::new(number)).expect("there is a receiver");
}

fn recv(r: &Receiver<Message>) -> u32 {
    r.recv().expect("there is a sender").take()
}

/// Notes who of two had to wait.
fn saw_who_parked(first: &'static str) {
    saw(if park::has_parked() { first } else { "the other waited" });
}

/// An arm of a select in a model.
#[derive(Clone, Copy)]
enum Op<'a> {
    Send(&'a Sender<Message>, u32),
    Recv(&'a Receiver<Message>),
}

/// What a select did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    /// By the arm with this index: sent.
    Sent(usize),
    /// Received this.
    Got(usize, u32),
    /// The other side was gone.
    Closed(usize),
    TimedOut,
}

use Did::{Closed, Got, Sent, TimedOut};

impl<'a> Op<'a> {
    fn operation(&self) -> &'a dyn Operation {
        match *self {
            Op::Send(s, _) => s,
            Op::Recv(r) => r,
        }
    }

    fn arm(&self, index: usize) -> Arm<'a> {
        Arm {
            operation: self.operation(),
            index,
        }
    }
}

/// Wins an operation and does not perform it yet.
fn choose<'a, const N: usize>(
    ops: &[Op<'a>; N],
    patience: Patience,
) -> Option<(usize, crate::channel::core::Prize)> {
    let mut index = 0;
    let mut arms = ops.map(|op| {
        index += 1;
        op.arm(index - 1)
    });
    let (arm, prize) = engine::select(&mut arms, patience, true)?;
    Some((arm.index, prize))
}

fn select_for<const N: usize>(ops: [Op<'_>; N], patience: Patience) -> Did {
    let Some((index, prize)) = choose(&ops, patience) else {
        return TimedOut;
    };
    match ops[index] {
        Op::Send(s, number) => match s.finish(prize, Message::new(number)) {
            Ok(()) => Sent(index),
            Err(back) => {
                back.0.take();
                Closed(index)
            }
        },
        Op::Recv(r) => match r.finish(prize) {
            Ok(message) => Got(index, message.take()),
            Err(_) => Closed(index),
        },
    }
}

/// Waits for one of the operations, in this order of preference, and performs it.
fn select<const N: usize>(ops: [Op<'_>; N]) -> Did {
    select_for(ops, Patience::FOREVER)
}
