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
//! | with capacity 0: a receiver that waits | `promised` + 1, `owed` + 1 on its behalf | handing it over |
//! | with capacity 0: another select, on the other side | both | the sending one, then the receiving one |
//!
//! In the last two cases a receiver is owed a message that is yet to be made. It waits in `expecting`, which
//! only redeemed promises serve. As nobody is tied to anybody in particular, a reservation needs no
//! address, and one that is given up (because evaluating the message panicked) is simply taken back; the
//! receiver it leaves behind looks again.

use crate::channel::core::Chan;
use crate::channel::state::{DONE, LOOK_AGAIN, Locked, is_peer};
use crate::park::WaitToken;
use crate::sync::waitq::{Batch, Node};
use std::time::Instant;

/// What a select has won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prize {
    /// A message, or a place for one.
    Reserved,
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
            state.owed += 1;
            state.promised += 1;
            let slot = receiver.node().slot;
            if slot.is_null() {
                drop(state);
                receiver.wake(DONE);
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
            state.owed += 1;
        } else if state.closed {
            return Begun::Won(Prize::Closed);
        } else {
            let Some(sender) = state.senders.pop_where(|node| is_peer(node, me)) else {
                return Begun::Gone;
            };
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

    /// Redeems [`Prize::Reserved`] of `begin_send`, or of a node in `senders` woken with [`DONE`].
    pub(super) fn finish_send(&self, message: T) -> Result<(), T> {
        let mut state = self.state.lock();
        state.promised -= 1;
        if state.closed {
            return Err(message);
        }
        if let Some(receiver) = state.expecting.pop() {
            state.owed -= 1;
            drop(state);
            // SAFETY: who expects a message has room for it there.
            unsafe { receiver.node().slot.cast::<T>().write(message) };
            receiver.wake(DONE);
        } else {
            state.ring.push(message);
            let mut woken = state.settle();
            if state.message_watched && state.is_available() {
                woken.append(state.message_watchers());
            }
            drop(state);
            woken.wake_all(DONE);
        }
        Ok(())
    }

    /// Redeems [`Prize::Reserved`] of `begin_recv`, or of a node in `receivers` woken with [`DONE`]. `None`:
    /// the sender has changed its mind.
    pub(super) fn finish_recv(&self) -> Option<T> {
        let mut state = self.state.lock();
        if let Some(message) = state.ring.pop() {
            state.owed -= 1;
            let mut woken = state.settle();
            if state.room_watched && state.has_room() {
                woken.append(state.room_watchers());
            }
            drop(state);
            woken.wake_all(DONE);
            return Some(message);
        }
        if state.owed > state.promised {
            // One promise was taken back, and nobody else has noticed.
            state.owed -= 1;
            return None;
        }
        self.expect(state, None)
    }

    /// Gives up what `begin_send` reserved.
    pub(super) fn cancel_send(&self) {
        let mut state = self.state.lock();
        state.promised -= 1;
        let left = state.expecting.pop();
        if left.is_some() {
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
