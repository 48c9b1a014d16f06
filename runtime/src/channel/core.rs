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

use crate::channel::ring::Ring;
use crate::channel::state::{CLOSED, DONE, LOOK_AGAIN, Locked, State, WAITS, is_peer, waits};
use crate::park::{WaitReason, begin, checkpoint, park};
use crate::prim::clock;
use crate::prim::spin::SpinLock;
use crate::sync::waitq::{Batch, Claimed, Node, Outcome, WaitList};
use crate::timer;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

/// Why a message was not sent. It is given back.
#[derive(Debug)]
pub(super) enum NotSent<T> {
    /// No room, and the time is up.
    Full(T),
    /// All receivers are gone.
    Closed(T),
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
    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), NotSent<T>> {
        match self.start_send(message) {
            Ok(()) => Ok(()),
            Err((state, message)) if state.closed => Err(NotSent::Closed(message)),
            Err((_, message)) => Err(NotSent::Full(message)),
        }
    }

    /// Sends, waiting for room until `deadline` (for ever if there is none).
    #[inline]
    pub(super) fn send(&self, message: T, deadline: Option<u64>) -> Result<(), NotSent<T>> {
        match self.start_send(message) {
            Ok(()) => {
                checkpoint();
                Ok(())
            }
            Err((state, message)) => self.wait_to_send(state, message, deadline),
        }
    }

    /// Receives without waiting.
    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, NotReceived> {
        loop {
            match self.start_recv() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(state) if state.closed => return Err(NotReceived::Closed),
                Err(_) => return Err(NotReceived::Empty),
            }
        }
    }

    /// Receives, waiting for a message until `deadline` (for ever if there is none).
    #[inline]
    pub(super) fn recv(&self, deadline: Option<u64>) -> Result<T, NotReceived> {
        loop {
            match self.start_recv() {
                Ok(Some(message)) => {
                    checkpoint();
                    return Ok(message);
                }
                Ok(None) => {}
                Err(state) => match self.wait_to_recv(state, deadline) {
                    Ok(None) => {}
                    Ok(Some(message)) => return Ok(message),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// `Err`: there is no room or nobody to send to; the lock is still held.
    #[inline(always)]
    fn start_send(&self, message: T) -> Result<(), (Locked<'_, T>, T)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((state, message));
        }
        if let Some(receiver) = state.receivers.pop_where(waits) {
            let slot = receiver.node().slot.cast::<T>();
            if slot.is_null() {
                state.ring.push(message);
                state.owed += 1;
            } else {
                // SAFETY: a receiver that isn't a select has room for a message there, ours to write until
                // it is woken.
                unsafe { slot.write(message) };
            }
            drop(state);
            receiver.wake(DONE);
        } else if state.has_room() {
            state.ring.push(message);
            if state.message_watched {
                let watchers = state.message_watchers();
                drop(state);
                watchers.wake_all(DONE);
            }
        } else {
            return Err((state, message));
        }
        Ok(())
    }

    /// `Ok(None)`: try again. `Err`: there is nothing; the lock is still held.
    #[inline(always)]
    fn start_recv(&self) -> Result<Option<T>, Locked<'_, T>> {
        let mut state = self.state.lock();
        if state.is_available() {
            let message = state.ring.pop();
            let sender = state.refill();
            if state.room_watched && sender.is_none() {
                let watchers = state.room_watchers();
                drop(state);
                watchers.wake_all(DONE);
                return Ok(message);
            }
            drop(state);
            if let Some(sender) = sender {
                sender.wake(DONE);
            }
            return Ok(message);
        }
        if state.capacity == 0
            && let Some(sender) = state.senders.pop_where(|node| is_peer(node, None))
        {
            let slot = sender.node().slot.cast::<T>();
            if slot.is_null() {
                state.owed += 1;
                state.promised += 1;
                return Ok(self.expect(state, Some(sender)));
            }
            drop(state);
            // SAFETY: a sender that isn't a select leaves its message there, and forgets it when it is
            // woken with DONE.
            let message = unsafe { slot.read() };
            sender.wake(DONE);
            return Ok(Some(message));
        }
        Err(state)
    }

    /// Waits for room, or for a receiver.
    #[inline(never)]
    fn wait_to_send(
        &self,
        mut state: Locked<'_, T>,
        message: T,
        deadline: Option<u64>,
    ) -> Result<(), NotSent<T>> {
        if state.closed {
            return Err(NotSent::Closed(message));
        }
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return Err(NotSent::Full(message));
        }
        // With capacity 0 a waiting sender is a message to be had.
        let mut watchers = Batch::new();
        if state.capacity == 0 && state.message_watched {
            watchers = state.message_watchers();
        }
        let mut message = ManuallyDrop::new(message);
        let slot = ptr::from_mut(&mut message).cast();
        // SAFETY: the node outlives the wait: `wait` returns when the node is in no queue.
        let outcome = unsafe { self.wait(state, true, slot, watchers, deadline) };
        // SAFETY: unless the outcome is DONE, nobody took the message; it is taken once here.
        let mut back = || unsafe { ManuallyDrop::take(&mut message) };
        match outcome {
            DONE => Ok(()),
            CLOSED => Err(NotSent::Closed(back())),
            _ => Err(NotSent::Full(back())),
        }
    }

    /// Waits for a message. `Ok(None)`: try again.
    #[inline(never)]
    fn wait_to_recv(
        &self,
        mut state: Locked<'_, T>,
        deadline: Option<u64>,
    ) -> Result<Option<T>, NotReceived> {
        if state.closed {
            return Err(NotReceived::Closed);
        }
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return Err(NotReceived::Empty);
        }
        // With capacity 0 a waiting receiver is room.
        let mut watchers = Batch::new();
        if state.capacity == 0 && state.room_watched {
            watchers = state.room_watchers();
        }
        let mut message = MaybeUninit::<T>::uninit();
        let slot = message.as_mut_ptr().cast();
        // SAFETY: as in `wait_to_send`.
        let outcome = unsafe { self.wait(state, false, slot, watchers, deadline) };
        match outcome {
            // SAFETY: DONE says that a message was written.
            DONE => Ok(Some(unsafe { message.assume_init() })),
            CLOSED => Err(NotReceived::Closed),
            LOOK_AGAIN => Ok(None),
            _ => Err(NotReceived::Empty),
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

    /// Waits for a message that was promised. `None`: it won't come; look again.
    #[inline(never)]
    pub(super) fn expect(&self, mut state: Locked<'_, T>, promiser: Option<Claimed>) -> Option<T> {
        let mut message = MaybeUninit::<T>::uninit();
        // SAFETY: it is pushed and parked for right below.
        let node = unsafe { Node::alone(WAITS, message.as_mut_ptr().cast()) };
        // SAFETY: it stays here until it was popped: `park` returns only then.
        unsafe { state.expecting.push_back(&node) };
        drop(state);
        if let Some(promiser) = promiser {
            promiser.wake(DONE);
        }
        park(WaitReason::ChanReceive, ptr::from_ref(self) as usize);
        // SAFETY: DONE says that a message was written.
        (node.outcome() == DONE).then(|| unsafe { message.assume_init() })
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
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let mut waiters = state.receivers.pop_all();
        waiters.append(state.senders.pop_all());
        drop(state);
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
