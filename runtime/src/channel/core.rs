//! What a channel is: a lock, a ring, and two queues of waiters, as Go's `hchan`.
//!
//! One type for every capacity. With capacity 0 the ring stays empty (but see below) and every message
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
//! # Selects
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

use crate::park::{WaitReason, WaitToken, begin, checkpoint, park};
use crate::prim::clock;
use crate::prim::spin::{SpinGuard, SpinLock};
use crate::sync::waitq::{Batch, Claimed, FIRST_OWN, Node, Outcome, WaitList};
use crate::timer;
use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::time::Instant;

/// The waiter got what it waited for: its message is taken, or has come; or its select has won this.
pub(super) const DONE: Outcome = FIRST_OWN;
/// The other side is gone.
pub(super) const CLOSED: Outcome = FIRST_OWN + 1;
/// What was promised will not come, or a clock was changed: look again.
pub(super) const LOOK_AGAIN: Outcome = FIRST_OWN + 2;

/// A node's tag: it waits to send or receive.
pub(super) const WAITS: usize = 0;
/// A node's tag: it only waits until it could (`Select::ready`).
pub(super) const WATCHES: usize = 1;

/// Rings up to this many bytes are allocated with the channel.
const EAGER: usize = 64 * 1024;
/// Rings of more messages than this give memory back when they are mostly empty.
const LARGE: usize = 1024;

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

/// A channel without its handles. See the module's head.
#[derive(Debug)]
pub(super) struct Chan<T> {
    state: SpinLock<State<T>>,
}

struct State<T> {
    ring: VecDeque<T>,
    /// Places in the ring; [`usize::MAX`] if unbounded.
    capacity: usize,
    /// Messages that selects have won and not yet taken.
    owed: u32,
    /// Messages that selects have won the right to send and not yet sent.
    promised: u32,
    senders: WaitList,
    receivers: WaitList,
    /// Receivers that are owed a promised message.
    expecting: WaitList,
    closed: bool,
    /// Somebody may be watching in `senders`.
    room_watched: bool,
    /// Somebody may be watching in `receivers`.
    message_watched: bool,
}

type Locked<'a, T> = SpinGuard<'a, State<T>>;

// SAFETY: messages are moved in and out under the lock; waiters' slots as `sync::waitq` says. A channel
// shared between threads moves messages between them, for which `T: Send` is enough.
unsafe impl<T: Send> Send for Chan<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Chan<T> {}

impl<T> State<T> {
    #[inline(always)]
    fn is_available(&self) -> bool {
        self.ring.len() > self.owed as usize
    }

    #[inline(always)]
    fn has_room(&self) -> bool {
        self.ring.len() + (self.promised as usize) < self.capacity
    }

    /// Could a select with this token send?
    fn can_send(&self, me: Option<WaitToken>) -> bool {
        self.closed
            || self.has_room()
            || self.capacity == 0 && self.receivers.any(|node| is_peer(node, me))
    }

    /// Could a select with this token receive?
    fn can_recv(&self, me: Option<WaitToken>) -> bool {
        self.closed
            || self.is_available()
            || self.capacity == 0 && self.senders.any(|node| is_peer(node, me))
    }

    fn side(&mut self, sends: bool) -> &mut WaitList {
        if sends {
            &mut self.senders
        } else {
            &mut self.receivers
        }
    }

    /// Everybody who watches for a message, to be woken because there is something to see.
    #[cold]
    fn message_watchers(&mut self) -> Batch {
        self.message_watched = false;
        watchers(&mut self.receivers)
    }

    /// Everybody who watches for room.
    #[cold]
    fn room_watchers(&mut self) -> Batch {
        self.room_watched = false;
        watchers(&mut self.senders)
    }

    /// Gives the place that has become free to a waiting sender.
    #[inline]
    fn refill(&mut self) -> Option<Claimed> {
        if self.senders.is_empty() || !self.has_room() {
            return None;
        }
        let sender = self.senders.pop_where(waits)?;
        // SAFETY: it was popped from `senders`.
        unsafe { self.admit(&sender) };
        Some(sender)
    }

    /// Takes a waiting sender's message into the ring; to a select it promises the place.
    ///
    /// # Safety
    /// `sender` was popped from `senders`, and not because it watches.
    unsafe fn admit(&mut self, sender: &Claimed) {
        let slot = sender.node().slot.cast::<T>();
        if slot.is_null() {
            self.promised += 1;
        } else {
            // SAFETY: a sender that isn't a select leaves its message there, and forgets it when it is
            // woken with DONE; until then the node and its slot are ours.
            self.ring.push_back(unsafe { slot.read() });
        }
    }

    /// After a reservation was redeemed or given up: brings together what can be (invariants 1 and 2).
    fn settle(&mut self) -> Batch {
        let mut woken = Batch::new();
        loop {
            if let Some(sender) = self.refill() {
                woken.push(sender);
            } else if self.is_available()
                && let Some(receiver) = self.receivers.pop_where(waits)
            {
                let slot = receiver.node().slot.cast::<T>();
                if slot.is_null() {
                    self.owed += 1;
                } else {
                    let message = self.ring.pop_front().expect("one is available");
                    // SAFETY: a receiver that isn't a select has room for a message there, which is ours
                    // to write until it is woken.
                    unsafe { slot.write(message) };
                }
                woken.push(receiver);
            } else {
                return woken;
            }
        }
    }

    /// A large ring that is mostly empty gives half of its memory back.
    #[inline(always)]
    fn shrink(&mut self) {
        if self.ring.capacity() > LARGE && self.ring.len() < self.ring.capacity() / 8 {
            self.shrink_large();
        }
    }

    #[cold]
    fn shrink_large(&mut self) {
        let half = self.ring.capacity() / 2;
        if self.capacity == usize::MAX || self.capacity.saturating_mul(size_of::<T>()) > EAGER {
            self.ring.shrink_to(half);
        }
    }
}

/// Takes everybody out who only watches.
fn watchers(list: &mut WaitList) -> Batch {
    let mut batch = Batch::new();
    while let Some(watcher) = list.pop_where(|node| node.tag == WATCHES) {
        batch.push(watcher);
    }
    batch
}

/// Somebody who waits, and doesn't only watch.
fn waits(node: &Node) -> bool {
    node.tag == WAITS
}

/// Somebody who waits with another token than this.
fn is_peer(node: &Node, me: Option<WaitToken>) -> bool {
    node.tag == WAITS && me.is_none_or(|me| !node.waits_for(me))
}

impl<T> Chan<T> {
    /// An open channel for this many messages; [`usize::MAX`]: for any number.
    pub(super) fn new(capacity: usize) -> Chan<T> {
        let bytes = capacity.saturating_mul(size_of::<T>());
        Chan {
            state: SpinLock::new(State {
                ring: VecDeque::with_capacity(if bytes <= EAGER { capacity } else { 0 }),
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
                state.ring.push_back(message);
                state.owed += 1;
            } else {
                // SAFETY: a receiver that isn't a select has room for a message there, ours to write until
                // it is woken.
                unsafe { slot.write(message) };
            }
            drop(state);
            receiver.wake(DONE);
        } else if state.has_room() {
            state.ring.push_back(message);
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
            let message = state.ring.pop_front();
            state.shrink();
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
        // SAFETY: the node is in this queue or in none.
        unsafe { self.state.lock().side(sends).remove(&node) };
        node.outcome()
    }

    /// Waits for a message that was promised. `None`: it won't come; look again.
    #[inline(never)]
    fn expect(&self, mut state: Locked<'_, T>, promiser: Option<Claimed>) -> Option<T> {
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

    // --- selects ---------------------------------------------------------------------------------

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
                // SAFETY: a popped node that stays in place and unwoken may be queued again.
                unsafe { receiver.requeue(&mut state.expecting) };
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
            state.ring.push_back(message);
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
        if let Some(message) = state.ring.pop_front() {
            state.owed -= 1;
            state.shrink();
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

    // --- the rest --------------------------------------------------------------------------------

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

    /// All senders, or all receivers, are gone: nobody need wait any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let mut waiters = state.receivers.pop_all();
        waiters.append(state.senders.pop_all());
        drop(state);
        waiters.wake_all(CLOSED);
    }

    /// All receivers are gone: drops the messages.
    pub(super) fn discard(&self) {
        let messages = std::mem::take(&mut self.state.lock().ring);
        drop(messages);
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
