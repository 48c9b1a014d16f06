//! What a channel's lock guards: the messages, who waits, and what selects have reserved.
//!
//! The invariants are those of `core`; the reservations are explained in `reserve`.
//!
//! Next in the reading order: `ring`, where messages lie.

use crate::channel::ring::Ring;
use crate::park::WaitToken;
use crate::prim::spin::SpinGuard;
use crate::sync::waitq::{Batch, Claimed, FIRST_OWN, Node, Outcome, WaitList};

/// The waiter got what it waited for: its message is taken, or has come; or its select has won this.
pub(super) const DONE: Outcome = FIRST_OWN;
/// The other side is gone.
pub(super) const CLOSED: Outcome = FIRST_OWN + 1;
/// What was promised will not come, or a clock was changed: look again.
pub(super) const LOOK_AGAIN: Outcome = FIRST_OWN + 2;

/// The waiter's select has won this operation, but the message is yet to be made by another select.
pub(super) const PROMISED: Outcome = FIRST_OWN + 3;

/// A node's tag: it waits to send or receive.
pub(super) const WAITS: usize = 0;
/// A node's tag: it only waits until it could (`Select::ready`).
pub(super) const WATCHES: usize = 1;

pub(super) struct State<T> {
    pub(super) ring: Ring<T>,
    /// Places in the ring; [`usize::MAX`] if unbounded.
    pub(super) capacity: usize,
    /// Messages that receivers have won and not yet taken.
    pub(super) owed: u32,
    /// Messages that selects have won the right to send and not yet sent.
    pub(super) promised: u32,
    /// How many of those in `owed` are to be kept by a promise, and have not been yet. Capacity 0 only.
    pub(super) unmet: u32,
    pub(super) senders: WaitList,
    pub(super) receivers: WaitList,
    /// Receivers that are owed a promised message.
    pub(super) expecting: WaitList,
    pub(super) closed: bool,
    /// Somebody may be watching in `senders`.
    pub(super) room_watched: bool,
    /// Somebody may be watching in `receivers`.
    pub(super) message_watched: bool,
}

pub(super) type Locked<'a, T> = SpinGuard<'a, State<T>>;

impl<T> State<T> {
    #[inline(always)]
    pub(super) fn is_available(&self) -> bool {
        self.ring.len() > self.owed as usize
    }

    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        // With a capacity, what is owed is in the ring; but for what was owed to a select whose operation was
        // forgotten, when the messages have been discarded.
        let taken = self.ring.len().saturating_sub(self.owed as usize);
        self.capacity != 0 && taken + (self.promised as usize) < self.capacity
    }

    /// A message that is handed over directly takes its turn behind those in the ring, which are all owed:
    /// returns the one whose turn it is. A select that has won gets a later one.
    #[inline(always)]
    pub(super) fn in_turn(&mut self, message: T) -> T {
        if self.owed == 0 {
            return message;
        }
        self.ring.push(message);
        self.ring.pop().expect("just pushed")
    }

    /// Could a select with this token send?
    pub(super) fn can_send(&self, me: Option<WaitToken>) -> bool {
        self.closed
            || self.has_room()
            || self.capacity == 0 && self.receivers.any(|node| is_peer(node, me))
    }

    /// Could a select with this token receive?
    pub(super) fn can_recv(&self, me: Option<WaitToken>) -> bool {
        self.closed
            || self.is_available()
            || self.capacity == 0 && self.senders.any(|node| is_peer(node, me))
    }

    pub(super) fn side(&mut self, sends: bool) -> &mut WaitList {
        if sends {
            &mut self.senders
        } else {
            &mut self.receivers
        }
    }

    /// Everybody who watches for a message, to be woken because there is something to see.
    #[cold]
    pub(super) fn message_watchers(&mut self) -> Batch {
        self.message_watched = false;
        watchers(&mut self.receivers)
    }

    /// Everybody who watches for room.
    #[cold]
    pub(super) fn room_watchers(&mut self) -> Batch {
        self.room_watched = false;
        watchers(&mut self.senders)
    }

    /// Gives the place that has become free to a waiting sender.
    #[inline]
    pub(super) fn refill(&mut self) -> Option<Claimed> {
        if self.senders.is_empty() || !self.has_room() {
            return None;
        }
        let sender = self.senders.pop_where(waits)?;
        // SAFETY: it was popped from `senders`.
        unsafe { self.admit(&sender) };
        Some(sender)
    }

    /// A sending select and a receiver have found each other; the message is yet to be made.
    pub(super) fn promise(&mut self) {
        self.owed += 1;
        self.promised += 1;
        self.unmet += 1;
    }

    /// Takes a waiting sender's message into the ring; to a select it promises the place.
    ///
    /// # Safety
    /// `sender` was popped from `senders`, and not because it watches.
    pub(super) unsafe fn admit(&mut self, sender: &Claimed) {
        let slot = sender.node().slot.cast::<T>();
        if slot.is_null() {
            self.promised += 1;
        } else {
            // SAFETY: a sender that isn't a select leaves its message there, and forgets it when it is
            // woken with DONE; until then the node and its slot are ours.
            self.ring.push(unsafe { slot.read() });
        }
    }

    /// After a reservation was made, redeemed or given up: brings together what can be (invariants 1 and 2),
    /// and collects those who watch for what is there then.
    pub(super) fn settle(&mut self) -> Batch {
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
                    let message = self.ring.pop().expect("one is available");
                    // SAFETY: a receiver that isn't a select has room for a message there, which is ours
                    // to write until it is woken.
                    unsafe { slot.write(message) };
                }
                woken.push(receiver);
            } else {
                break;
            }
        }
        if self.message_watched && self.is_available() {
            woken.append(self.message_watchers());
        }
        if self.room_watched && self.has_room() {
            woken.append(self.room_watchers());
        }
        woken
    }
}

/// Takes everybody out who only watches.
fn watchers(list: &mut WaitList) -> Batch {
    let mut batch = Batch::new();
    list.pop_each(&mut batch, |node| node.tag == WATCHES);
    batch
}

/// Somebody who waits, and doesn't only watch.
pub(super) fn waits(node: &Node) -> bool {
    node.tag == WAITS
}

/// Somebody who waits with another token than this.
pub(super) fn is_peer(node: &Node, me: Option<WaitToken>) -> bool {
    node.tag == WAITS && me.is_none_or(|me| !node.waits_for(me))
}
