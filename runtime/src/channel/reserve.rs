//! The operations of a channel in two steps, as selects need them: reserve, then redeem.
//!
//! A select first learns *which* operation it may perform, and performs it in a second step, with user
//! code in between (crossbeam's `SelectedOperation`; the message of a `send` arm is evaluated only then).
//! So the first step makes a reservation and the second redeems it. Reservations are only counted:
//!
//! | a select has won | what is counted | redeemed by |
//! | --- | --- | --- |
//! | a message in the ring | `owed` + 1 | taking the first one |
//! | a place in the ring | `promised` + 1 | putting the message there |
//! | with capacity 0: a sender that waits with its message | it is put into the ring, `owed` + 1 | taking it |
//! | with capacity 0: a receiver that waits | all three, as in the next line | handing it over |
//! | with capacity 0: another select, on the other side | `promised`, `owed`, `unmet` + 1 | see below |
//!
//! In the last two cases a receiver is owed a message that is yet to be made. It waits for it in `expecting`,
//! which only redeemed promises serve; a select does so before it tells its user that it has won
//! ([`await_promise`](Chan::await_promise)), so that it can go on looking if the message isn't made, because
//! that panics. Once the message is in the ring, the promise is met, and the reservation like any other.
//!
//! Nobody is tied to anybody in particular, so a reservation needs no address. Messages are taken in the
//! order in which they were sent, by whoever takes one next, and a message that is owed no longer takes up
//! room.
//!
//! Next in the reading order: `engine`, how a select finds its operation.

use crate::channel::core::Chan;
use crate::channel::state::{DONE, LOOK_AGAIN, Locked, PROMISED, WAITS, is_peer};
use crate::park::{WaitReason, WaitToken, park};
use crate::sync::waitq::{Batch, Node};
use std::mem::ManuallyDrop;
use std::ptr;
use std::time::Instant;

/// What a select has won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prize {
    /// A message, or a place for one.
    Reserved,
    /// A message that another select has yet to make.
    Promised,
    /// To be told that the other side is gone.
    Closed,
    /// What a clock delivered.
    Instant(Instant),
}

/// What beginning an operation of a select came to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It can be performed. If there was a wait, the caller has ended it itself.
    Won(Prize),
    /// It can't. If there was a node, it is now queued.
    Queued,
    /// Another operation of the select has been chosen already; its waker is about to wake the caller.
    Lost,
    /// The peer that was seen has just gone. The wait is over: start anew.
    Gone,
}

/// A select's wait: one node per operation, one token for all.
pub(super) type Wait<'a> = Option<(&'a Node, WaitToken)>;

impl<T> Chan<T> {
    /// A select would like to send.
    pub(super) fn begin_send(&self, wait: Wait<'_>) -> Begun {
        let mut state = self.state.lock();
        let me = wait.map(|(_, token)| token);
        if !state.can_send(me) {
            return self.queue(state, wait, true);
        }
        if !end_own_wait(wait) {
            return Begun::Lost;
        }
        if state.closed {
            return Begun::Won(Prize::Closed);
        }
        if state.capacity == 0 {
            let Some(receiver) = state.receivers.pop_where(|node| is_peer(node, me)) else {
                return Begun::Gone;
            };
            state.promise();
            if receiver.node().slot.is_null() {
                drop(state);
                receiver.wake(PROMISED);
            } else {
                // It goes on waiting, for this very promise.
                state.expecting.requeue(receiver);
            }
        } else {
            // Who waits to receive is served when the message has come.
            state.promised += 1;
        }
        Begun::Won(Prize::Reserved)
    }

    /// A select would like to receive.
    pub(super) fn begin_recv(&self, wait: Wait<'_>) -> Begun {
        let mut state = self.state.lock();
        let me = wait.map(|(_, token)| token);
        if !state.can_recv(me) {
            return self.queue(state, wait, false);
        }
        if !end_own_wait(wait) {
            return Begun::Lost;
        }
        if state.is_available() {
            // From now on its place is free.
            state.owed += 1;
            let woken = state.settle();
            drop(state);
            woken.wake_all(DONE);
        } else if state.closed {
            return Begun::Won(Prize::Closed);
        } else {
            let Some(sender) = state.senders.pop_where(|node| is_peer(node, me)) else {
                return Begun::Gone;
            };
            if sender.node().slot.is_null() {
                state.promise();
                drop(state);
                sender.wake(DONE);
                return Begun::Won(Prize::Promised);
            }
            // SAFETY: it was popped from `senders`.
            unsafe { state.admit(&sender) };
            state.owed += 1;
            drop(state);
            sender.wake(DONE);
        }
        Begun::Won(Prize::Reserved)
    }

    /// Queues a select's node, if it waits, and tells who watches the other side.
    fn queue(&self, mut state: Locked<'_, T>, wait: Wait<'_>, sends: bool) -> Begun {
        let Some((node, _)) = wait else {
            return Begun::Queued;
        };
        // SAFETY: a select takes its nodes out before it returns (`engine`).
        unsafe { state.side(sends).push_back(node) };
        let mut watchers = Batch::new();
        if state.capacity == 0 && sends && state.message_watched {
            watchers = state.message_watchers();
        } else if state.capacity == 0 && !sends && state.room_watched {
            watchers = state.room_watchers();
        }
        drop(state);
        watchers.wake_all(DONE);
        Begun::Queued
    }

    /// Takes a select's node out of whichever queue it is in.
    pub(super) fn delist(&self, node: &Node, sends: bool) {
        let mut state = self.state.lock();
        // SAFETY: the node is in this queue or in none.
        unsafe { state.side(sends).remove(node) };
    }

    /// Redeems [`Prize::Reserved`] of `begin_send`, or of a node in `senders` woken with [`DONE`]. `false`: all
    /// receivers are gone, and the message is still there.
    ///
    /// # Safety
    /// `message` is there. If the result is `true`, it no longer is.
    pub(super) unsafe fn finish_send(&self, message: &mut ManuallyDrop<T>) -> bool {
        let mut state = self.state.lock();
        state.promised -= 1;
        if state.closed {
            return false;
        }
        // SAFETY: it is there (contract), and taken once: the result is `true`.
        let message = unsafe { ManuallyDrop::take(message) };
        let receiver = state.expecting.pop();
        match receiver.as_ref().map(|receiver| receiver.node().slot) {
            Some(slot) if !slot.is_null() => {
                let message = state.in_turn(message);
                state.owed -= 1;
                // SAFETY: who expects a message, and isn't a select, has room for it there.
                unsafe { slot.cast::<T>().write(message) };
            }
            _ => state.ring.push(message),
        }
        if receiver.is_some() {
            state.unmet -= 1;
        }
        let woken = state.settle();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake(DONE);
        }
        woken.wake_all(DONE);
        true
    }

    /// A select has won [`Prize::Promised`], or was woken with [`PROMISED`]: waits for the message. `true`: it
    /// has come, and the prize is now [`Prize::Reserved`]. `false`: it won't, and there is no prize.
    pub(super) fn await_promise(&self) -> bool {
        let mut state = self.state.lock();
        // More messages than those who have won one, and know it, will take.
        if state.ring.len() > (state.owed - state.unmet) as usize {
            state.unmet -= 1;
            return true;
        }
        if state.unmet > state.promised {
            // One promise was taken back, and nobody else has noticed.
            state.unmet -= 1;
            state.owed -= 1;
            return false;
        }
        // SAFETY: it is pushed and parked for right below. A select's goroutine or thread has a slot.
        let node = unsafe { Node::alone(WAITS, ptr::null_mut()) };
        // SAFETY: it stays here until it was popped: `park` returns only then.
        unsafe { state.expecting.push_back(&node) };
        drop(state);
        park(WaitReason::Select, ptr::from_ref(self) as usize);
        node.outcome() == DONE
    }

    /// Redeems [`Prize::Reserved`] of `begin_recv`, or of a node in `receivers` woken with [`DONE`].
    pub(super) fn finish_recv(&self) -> T {
        let mut state = self.state.lock();
        state.owed -= 1;
        state.ring.pop().expect("what is owed is in the ring")
    }

    /// Gives up what `begin_send` reserved.
    pub(super) fn cancel_send(&self) {
        let mut state = self.state.lock();
        state.promised -= 1;
        let left = state.expecting.pop();
        if left.is_some() {
            state.unmet -= 1;
            state.owed -= 1;
        }
        let mut woken = state.settle();
        if state.room_watched && state.has_room() {
            woken.append(state.room_watchers());
        }
        drop(state);
        if let Some(left) = left {
            left.wake(LOOK_AGAIN);
        }
        woken.wake_all(DONE);
    }

    /// Gives up what `begin_recv` reserved.
    pub(super) fn cancel_recv(&self) {
        let mut state = self.state.lock();
        state.owed -= 1;
        let mut woken = state.settle();
        if state.message_watched && state.is_available() {
            woken.append(state.message_watchers());
        }
        drop(state);
        woken.wake_all(DONE);
    }

    /// Could a send be performed now?
    pub(super) fn can_send(&self) -> bool {
        self.state.lock().can_send(None)
    }

    /// Could a receive be performed now?
    pub(super) fn can_recv(&self) -> bool {
        self.state.lock().can_recv(None)
    }

    /// Queues `node` as a watcher, unless a send could be performed now: `true`.
    pub(super) fn watch_send(&self, node: &Node) -> bool {
        let mut state = self.state.lock();
        if state.can_send(None) {
            return true;
        }
        state.room_watched = true;
        // SAFETY: a select takes its nodes out before it returns (`engine`).
        unsafe { state.senders.push_back(node) };
        false
    }

    /// Queues `node` as a watcher, unless a receive could be performed now: `true`.
    pub(super) fn watch_recv(&self, node: &Node) -> bool {
        let mut state = self.state.lock();
        if state.can_recv(None) {
            return true;
        }
        state.message_watched = true;
        // SAFETY: a select takes its nodes out before it returns (`engine`).
        unsafe { state.receivers.push_back(node) };
        false
    }
}

/// A select chooses for itself: ends its wait, if it waits. `false`: somebody else has.
pub(super) fn end_own_wait(wait: Wait<'_>) -> bool {
    match wait {
        None => true,
        Some((_, token)) => match token.claim() {
            Some(waiter) => {
                waiter.cancel();
                true
            }
            None => false,
        },
    }
}
