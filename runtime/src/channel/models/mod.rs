//! loom models of channels: nothing is lost, nothing comes twice, nobody is left parked. See
//! `crate::models` for what they run on.
//!
//! That nobody is left parked: loom fails a model in which nobody can go on. That each message is received
//! by one, or given back to one, or dropped, and that the receiver sees what the sender wrote into it:
//! [`Message`].

mod plain;
mod select;
mod watch;

use crate::channel::engine::{self, Arm, NOW, Operation};
use crate::channel::reserve::{Begun, Prize, Wait};
use crate::channel::{Receiver, Sender};
use crate::models::{Model, Owned, saw};
use crate::park;
use crate::prim::clock::{self, NEVER};
use crate::sched::current;
use crate::sync::waitq::Node;
use loom::thread::{self, JoinHandle};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
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
        let message = ManuallyDrop::new(self);
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

/// Both ends of a channel.
struct Ends(
    ManuallyDrop<Sender<Message>>,
    ManuallyDrop<Receiver<Message>>,
);

impl Drop for Ends {
    fn drop(&mut self) {
        // When a model has failed loom is no more, and nothing may be locked.
        if !std::thread::panicking() {
            // SAFETY: nobody uses them any more.
            unsafe {
                ManuallyDrop::drop(&mut self.0);
                ManuallyDrop::drop(&mut self.1);
            }
        }
    }
}

/// Both ends for several threads, without their being counted: whoever drops it last drops both.
type Both = Arc<Ends>;

fn bounded(capacity: usize) -> Both {
    let (s, r) = crate::channel::bounded(capacity);
    Arc::new(Ends(ManuallyDrop::new(s), ManuallyDrop::new(r)))
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
    saw(if park::has_parked() {
        first
    } else {
        "the other waited"
    });
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

    /// Gives up what was won.
    fn cancel(&self, prize: Prize) {
        self.operation().cancel(prize);
    }
}

/// Notes what becomes of an operation.
struct Watched<'a> {
    operation: &'a dyn Operation,
    /// Takes what has gone for won.
    careless: bool,
}

impl Operation for Watched<'_> {
    fn begin(&self, wait: Wait<'_>) -> Begun {
        match self.operation.begin(wait) {
            Begun::Gone => {
                saw("the peer was gone");
                if self.careless {
                    return Begun::Won(Prize::Reserved);
                }
                Begun::Gone
            }
            Begun::Lost => {
                saw("was chosen meanwhile");
                Begun::Lost
            }
            begun => begun,
        }
    }

    fn delist(&self, node: &Node) {
        self.operation.delist(node);
    }

    fn cancel(&self, prize: Prize) {
        self.operation.cancel(prize);
    }

    fn await_promise(&self) -> bool {
        saw("was promised a message");
        let came = self.operation.await_promise();
        if !came {
            saw("a promise was broken");
        }
        came
    }

    fn due(&self) -> u64 {
        self.operation.due()
    }

    fn is_ready(&self) -> bool {
        self.operation.is_ready()
    }

    fn watch(&self, node: &Node) -> bool {
        self.operation.watch(node)
    }
}

/// Calls `run` with the arms of a select.
fn with_arms<const N: usize, R>(
    ops: &[Op<'_>; N],
    careless: bool,
    run: impl FnOnce(&mut [Arm<'_>]) -> R,
) -> R {
    let watched = ops.map(|op| Watched {
        operation: op.operation(),
        careless,
    });
    let mut index = 0;
    let mut arms = watched.each_ref().map(|operation| {
        index += 1;
        Arm {
            operation,
            index: index - 1,
        }
    });
    run(&mut arms)
}

/// Wins an operation, without performing it yet.
fn choose<const N: usize>(ops: &[Op<'_>; N], deadline: u64) -> Option<(usize, Prize)> {
    with_arms(ops, false, |arms| {
        engine::select(arms, deadline, true).map(|(arm, prize)| (arm.index, prize))
    })
}

/// Performs what was won.
fn perform(op: Op<'_>, index: usize, prize: Prize) -> Did {
    match op {
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

fn select_for<const N: usize>(ops: [Op<'_>; N], deadline: u64) -> Did {
    match choose(&ops, deadline) {
        Some((index, prize)) => perform(ops[index], index, prize),
        None => TimedOut,
    }
}

/// Waits for one of the operations, in this order of preference, and performs it.
fn select<const N: usize>(ops: [Op<'_>; N]) -> Did {
    select_for(ops, NEVER)
}

/// As [`select`], but takes what has gone for won.
fn select_carelessly<const N: usize>(ops: [Op<'_>; N]) -> Did {
    let won = with_arms(&ops, true, |arms| {
        engine::select(arms, NEVER, true).map(|(arm, prize)| (arm.index, prize))
    });
    let (index, prize) = won.expect("for ever does not end");
    perform(ops[index], index, prize)
}

/// Waits until one of the operations could be performed.
fn ready<const N: usize>(ops: [Op<'_>; N]) -> usize {
    with_arms(&ops, false, |arms| {
        let ready = engine::ready(arms, NEVER, true);
        ready.expect("for ever does not end").index
    })
}

/// A deadline that has passed when a timer comes.
fn soon() -> u64 {
    clock::after(SOON)
}
