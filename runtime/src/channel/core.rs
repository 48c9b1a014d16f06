//! What a channel is: a lock, a ring, and two queues of waiters, as Go's `hchan`.
//!
//! One type for every capacity. With capacity 0 the ring stays empty (but see `reserve`) and every message
//! goes from hand to hand; unbounded is a capacity that is never reached. The lock-free designs
//! (crossbeam's array and list) were not taken: with goroutines the parties of a channel mostly take turns
//! on one P, so what counts is the number of atomic operations of an undisturbed call, which here is one
//! compare-exchange and one store; and waiters and messages under one lock make it plain that nobody
//! sleeps while there is something for him.
//!
//! # Invariants, whenever the lock is open
//!
//! Let *available* be the messages in the ring that are not owed to a select, and *room* the places in it
//! that are neither taken nor promised to one.
//!
//! 1. Somebody waits in `receivers` only if nothing is available.
//! 2. Somebody waits in `senders` only if there is no room.
//! 3. With capacity 0, `senders` and `receivers` are not both waited in, unless by one and the same select.
//! 4. `closed` is set once, when all handles of one side are gone; then nobody waits any more.
//!
//! ("Waits" means: with an open wait. A node whose wait another queue or a timer has ended may linger until
//! its owner takes it out, or somebody comes across it.)
//!
//! # Handing over
//!
//! Who finds a waiter of the other side moves the message directly between the waiter's stack (its node's
//! `slot`) and its own, and wakes the waiter after unlocking. A full channel's sender puts its message into
//! the place that a receiver has just emptied.
//!
//! Next in the reading order: `state`, what the channel's lock guards.

use crate::channel::ring::Ring;
use crate::channel::state::{CLOSED, DONE, LOOK_AGAIN, Locked, State, WAITS, is_peer, waits};
use crate::park::{WaitReason, begin, checkpoint, has_slot, park, take_slot};
use crate::prim::clock;
use crate::prim::spin::SpinLock;
use crate::sync::waitq::{Batch, Claimed, Node, Outcome, WaitList};
use crate::timer;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// No room, and the time is up.
    Full,
    /// All receivers are gone.
    Closed,
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReceived {
    /// There is none, and the time is up.
    Empty,
    /// There is none, and all senders are gone.
    Closed,
}

/// A channel without its handles. See the module's head.
#[derive(Debug)]
#[doc(alias = "hchan")]
pub(super) struct Chan<T> {
    pub(super) state: SpinLock<State<T>>,
}

// SAFETY: messages are moved in and out under the lock; waiters' slots as `sync::waitq` says. A channel
// shared between threads moves messages between them, for which `T: Send` is enough.
unsafe impl<T: Send> Send for Chan<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Chan<T> {}

impl<T> Chan<T> {
    /// An open channel for this many messages; [`usize::MAX`]: for any number.
    pub(super) fn new(capacity: usize) -> Chan<T> {
        Chan {
            state: SpinLock::new(State {
                ring: Ring::new(if capacity == usize::MAX { 0 } else { capacity }),
                capacity,
                owed: 0,
                promised: 0,
                unmet: 0,
                senders: WaitList::new(),
                receivers: WaitList::new(),
                expecting: WaitList::new(),
                closed: false,
                room_watched: false,
                message_watched: false,
            }),
        }
    }

    /// Sends without waiting.
    ///
    /// # Safety
    /// `message` is there. If the result is `Ok`, it no longer is.
    #[inline]
    pub(super) unsafe fn try_send(&self, message: &mut ManuallyDrop<T>) -> Result<(), NotSent> {
        // SAFETY: passed on to the caller.
        match unsafe { self.start_send(message) } {
            Ok(()) => Ok(()),
            Err(state) if state.closed => Err(NotSent::Closed),
            Err(_) => Err(NotSent::Full),
        }
    }

    /// Sends, waiting for room until `deadline` (for ever if there is none).
    ///
    /// # Safety
    /// As [`try_send`](Chan::try_send).
    #[inline]
    #[doc(alias = "chansend")]
    pub(super) unsafe fn send(
        &self,
        message: &mut ManuallyDrop<T>,
        deadline: Option<u64>,
    ) -> Result<(), NotSent> {
        // SAFETY: passed on to the caller; after `Err` the message is still there.
        match unsafe { self.start_send(message) } {
            Ok(()) => {
                checkpoint();
                Ok(())
            }
            // SAFETY: as above.
            Err(state) => unsafe { self.send_slowly(state, message, deadline) },
        }
    }

    /// The rest of `send`: a function of its own, so that there the message need not be in memory.
    ///
    /// # Safety
    /// As [`try_send`](Chan::try_send).
    #[inline(never)]
    unsafe fn send_slowly<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        message: &mut ManuallyDrop<T>,
        deadline: Option<u64>,
    ) -> Result<(), NotSent> {
        loop {
            // SAFETY: passed on to the caller; after `None` the message is still there.
            if let Some(end) = unsafe { self.wait_to_send(state, message, deadline) } {
                return end;
            }
            // SAFETY: as above; also after `Err`.
            match unsafe { self.start_send(message) } {
                Ok(()) => return Ok(()),
                Err(still_locked) => state = still_locked,
            }
        }
    }

    /// Receives without waiting. After `Ok` there is a message in `into`.
    #[inline]
    pub(super) fn try_recv(&self, into: &mut MaybeUninit<T>) -> Result<(), NotReceived> {
        match self.start_recv(into) {
            Ok(true) => Ok(()),
            Ok(false) => self.try_recv(into),
            Err(state) if state.closed => Err(NotReceived::Closed),
            Err(_) => Err(NotReceived::Empty),
        }
    }

    /// Receives, waiting for a message until `deadline` (for ever if there is none). After `Ok` there is a
    /// message in `into`.
    #[inline]
    #[doc(alias = "chanrecv")]
    pub(super) fn recv(
        &self,
        into: &mut MaybeUninit<T>,
        deadline: Option<u64>,
    ) -> Result<(), NotReceived> {
        match self.start_recv(into) {
            Ok(true) => {
                checkpoint();
                Ok(())
            }
            Ok(false) => self.recv_slowly(None, into, deadline),
            Err(state) => self.recv_slowly(Some(state), into, deadline),
        }
    }

    /// The rest of `recv`; see `send_slowly`.
    #[inline(never)]
    fn recv_slowly<'a>(
        &'a self,
        mut state: Option<Locked<'a, T>>,
        into: &mut MaybeUninit<T>,
        deadline: Option<u64>,
    ) -> Result<(), NotReceived> {
        loop {
            if let Some(state) = state.take()
                && let Some(end) = self.wait_to_recv(state, into, deadline)
            {
                return end;
            }
            match self.start_recv(into) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(still_locked) => state = Some(still_locked),
            }
        }
    }

    /// `Err`: there is no room or nobody to send to; the lock is still held, and the message still there.
    ///
    /// # Safety
    /// As [`try_send`](Chan::try_send).
    #[inline(always)]
    unsafe fn start_send(&self, message: &mut ManuallyDrop<T>) -> Result<(), Locked<'_, T>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(state);
        }
        if let Some(receiver) = state.receivers.pop_where(waits) {
            // SAFETY: the message is there (contract), and it is taken once: the result is `Ok`.
            let message = unsafe { ManuallyDrop::take(message) };
            let slot = receiver.node().slot.cast::<T>();
            if slot.is_null() {
                state.ring.push(message);
                state.owed += 1;
            } else {
                let message = state.in_turn(message);
                // SAFETY: a receiver that isn't a select has room for a message there, ours to write until
                // it is woken.
                unsafe { slot.write(message) };
            }
            drop(state);
            receiver.wake(DONE);
        } else if state.has_room() {
            // SAFETY: as above.
            state.ring.push(unsafe { ManuallyDrop::take(message) });
            if state.message_watched {
                let watchers = state.message_watchers();
                drop(state);
                watchers.wake_all(DONE);
            }
        } else {
            return Err(state);
        }
        Ok(())
    }

    /// `Ok(true)`: there is a message in `into`. `Ok(false)`: try again. `Err`: there is nothing; the lock is
    /// still held.
    #[inline(always)]
    fn start_recv(&self, into: &mut MaybeUninit<T>) -> Result<bool, Locked<'_, T>> {
        let mut state = self.state.lock();
        if state.is_available() {
            into.write(state.ring.pop().expect("one is available"));
            let sender = state.refill();
            if state.room_watched && sender.is_none() {
                let watchers = state.room_watchers();
                drop(state);
                watchers.wake_all(DONE);
                return Ok(true);
            }
            drop(state);
            if let Some(sender) = sender {
                sender.wake(DONE);
            }
            return Ok(true);
        }
        if state.capacity == 0
            && let Some(sender) = state.senders.pop_where(|node| is_peer(node, None))
        {
            let slot = sender.node().slot.cast::<T>();
            if slot.is_null() {
                return Ok(self.expect(state, sender, into));
            }
            // SAFETY: a sender that isn't a select leaves its message there, and forgets it when it is
            // woken with DONE.
            let message = state.in_turn(unsafe { slot.read() });
            drop(state);
            into.write(message);
            sender.wake(DONE);
            return Ok(true);
        }
        Err(state)
    }

    /// Waits for room, or for a receiver. `None`: try again.
    ///
    /// # Safety
    /// As [`try_send`](Chan::try_send).
    #[inline(always)]
    unsafe fn wait_to_send(
        &self,
        mut state: Locked<'_, T>,
        message: &mut ManuallyDrop<T>,
        deadline: Option<u64>,
    ) -> Option<Result<(), NotSent>> {
        if state.closed {
            return Some(Err(NotSent::Closed));
        }
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return Some(Err(NotSent::Full));
        }
        if !has_slot() {
            drop(state);
            take_slot();
            return None;
        }
        // With capacity 0 a waiting sender is a message to be had.
        let mut watchers = Batch::new();
        if state.capacity == 0 && state.message_watched {
            watchers = state.message_watchers();
        }
        let slot = ptr::from_mut(message).cast();
        // SAFETY: who finds a sender takes the message from there, and wakes it with DONE.
        match unsafe { self.wait(state, true, slot, watchers, deadline) } {
            DONE => Some(Ok(())),
            CLOSED => Some(Err(NotSent::Closed)),
            _ => Some(Err(NotSent::Full)),
        }
    }

    /// Waits for a message. `None`: try again.
    #[inline(always)]
    fn wait_to_recv(
        &self,
        mut state: Locked<'_, T>,
        into: &mut MaybeUninit<T>,
        deadline: Option<u64>,
    ) -> Option<Result<(), NotReceived>> {
        if state.closed {
            return Some(Err(NotReceived::Closed));
        }
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return Some(Err(NotReceived::Empty));
        }
        if !has_slot() {
            drop(state);
            take_slot();
            return None;
        }
        // With capacity 0 a waiting receiver is room.
        let mut watchers = Batch::new();
        if state.capacity == 0 && state.room_watched {
            watchers = state.room_watchers();
        }
        let slot = into.as_mut_ptr().cast();
        // SAFETY: who finds a receiver writes a message there, and wakes it with DONE.
        match unsafe { self.wait(state, false, slot, watchers, deadline) } {
            DONE => Some(Ok(())),
            CLOSED => Some(Err(NotReceived::Closed)),
            LOOK_AGAIN => None,
            _ => Some(Err(NotReceived::Empty)),
        }
    }

    /// Waits in one of the queues, of which the node is taken out again.
    ///
    /// # Safety
    /// `slot` is what the queue's wakers expect, and stays valid during the call.
    #[inline(always)]
    unsafe fn wait(
        &self,
        mut state: Locked<'_, T>,
        sends: bool,
        slot: *mut (),
        watchers: Batch,
        deadline: Option<u64>,
    ) -> Outcome {
        let reason = if sends {
            WaitReason::ChanSend
        } else {
            WaitReason::ChanReceive
        };
        let object = ptr::from_ref(self) as usize;
        let Some(deadline) = deadline else {
            // SAFETY: it is pushed and parked for right below.
            let node = unsafe { Node::alone(WAITS, slot) };
            // SAFETY: it stays here until it was popped: `park` returns only then.
            unsafe { state.side(sends).push_back(&node) };
            drop(state);
            watchers.wake_all(DONE);
            park(reason, object);
            return node.outcome();
        };
        // SAFETY: it is parked for right below.
        let token = unsafe { begin() };
        let node = Node::contested(token, WAITS, slot);
        // SAFETY: it stays here until it was popped, or removed below.
        unsafe { state.side(sends).push_back(&node) };
        drop(state);
        watchers.wake_all(DONE);
        let timer = timer::wake_at(deadline, token);
        park(reason, object);
        timer::cancel(timer);
        if !node.was_popped() {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.state.lock().side(sends).remove(&node) };
        }
        node.outcome()
    }

    /// Accepts the promise of a sender that is a select and has yet to make its message, and waits for
    /// that. `false`: it won't come; look again.
    #[inline(never)]
    fn expect(
        &self,
        mut state: Locked<'_, T>,
        promiser: Claimed,
        into: &mut MaybeUninit<T>,
    ) -> bool {
        state.promise();
        if !has_slot() {
            drop(state);
            promiser.wake(DONE);
            take_slot();
            let kept = self.await_promise();
            if kept {
                into.write(self.finish_recv());
            }
            return kept;
        }
        // SAFETY: it is pushed and parked for right below.
        let node = unsafe { Node::alone(WAITS, into.as_mut_ptr().cast()) };
        // SAFETY: it stays here until it was popped: `park` returns only then.
        unsafe { state.expecting.push_back(&node) };
        drop(state);
        promiser.wake(DONE);
        park(WaitReason::ChanReceive, ptr::from_ref(self) as usize);
        node.outcome() == DONE
    }

    /// Messages that can be received.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.ring.len().saturating_sub(state.owed as usize)
    }

    /// Is there no room? Always so with capacity 0.
    pub(super) fn is_full(&self) -> bool {
        !self.state.lock().has_room()
    }

    /// Its capacity, if it has one.
    pub(super) fn capacity(&self) -> Option<usize> {
        let capacity = self.state.lock().capacity;
        (capacity != usize::MAX).then_some(capacity)
    }

    /// Are all handles of one side gone?
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// All senders, or all receivers, are gone: nobody need wait any more.
    #[doc(alias = "closechan")]
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let mut waiters = state.receivers.pop_all();
        waiters.append(state.senders.pop_all());
        // Only if an operation was forgotten (`mem::forget`) does anybody expect a message still.
        let mut left = Batch::new();
        while let Some(receiver) = state.expecting.pop() {
            state.unmet -= 1;
            state.owed -= 1;
            left.push(receiver);
        }
        drop(state);
        left.wake_all(LOOK_AGAIN);
        waiters.wake_all(CLOSED);
    }

    /// All receivers are gone: drops the messages. If one's destructor panics, the rest are leaked, since a
    /// second panic would abort the process.
    pub(super) fn discard(&self) {
        let ring = std::mem::take(&mut self.state.lock().ring);
        let mut messages = ManuallyDrop::new(ring);
        while let Some(message) = messages.pop() {
            drop(message);
        }
        drop(ManuallyDrop::into_inner(messages));
    }
}
