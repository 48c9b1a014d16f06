//! Lists, and who waits for their elements.
//!
//! Who finds no element queues a [`Waiter`] at each of its keys. Whoever adds elements hands them to
//! the waiters of that key, under the same lock: the one that has waited longest first, one element each. So
//!
//! * a list with elements has nobody waiting: who comes later cannot overtake;
//! * an element wakes exactly one: a waiter is *claimed* once, by the first of its keys that gets an element,
//!   or by its owner, who has waited long enough. Who does not win the claim does nothing with it.
//!
//! An element that has been handed over to somebody who turns out to be gone goes back to where it was
//! ([`give_back`](Store::give_back)), or to the next one who waits.
//!
//! Rejected: to wake a waiter and let it look again. Others could have taken the element meanwhile; it would have to
//! queue again, behind who came after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use corio::channel::{Receiver, Sender, bounded};

use crate::store::{Element, Error, Key, Shard, Store, Value};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

fn push_at(list: &mut VecDeque<Element>, side: Side, element: Element) {
    match side {
        Side::Left => list.push_front(element),
        Side::Right => list.push_back(element),
    }
}

fn pop_at(list: &mut VecDeque<Element>, side: Side) -> Option<Element> {
    match side {
        Side::Left => list.pop_front(),
        Side::Right => list.pop_back(),
    }
}

/// An element, and the key of the list it was taken from.
pub(crate) type Popped = (Key, Element);

/// Somebody who waits for the first element of several lists.
pub(crate) struct Waiter {
    side: Side,
    /// Set once. Relaxed: what is handed over goes through the channel.
    claimed: AtomicBool,
    hand_over: Sender<Popped>,
}

impl Waiter {
    fn new(side: Side) -> (Arc<Waiter>, Receiver<Popped>) {
        let (hand_over, received) = bounded(1);
        let claimed = AtomicBool::new(false);
        let waiter = Waiter {
            side,
            claimed,
            hand_over,
        };
        (Arc::new(waiter), received)
    }

    /// `true` for exactly one caller.
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Relaxed)
    }
}

/// What [`Store::pop_or_wait`] has found.
pub(crate) enum Wait {
    Popped(Popped),
    /// It comes over the channel; [`Store::forget`] ends the wait.
    Queued(Arc<Waiter>, Receiver<Popped>),
}

impl Shard {
    /// The list, or `None` if there is no such key.
    fn list(&mut self, key: &[u8]) -> Result<Option<&mut VecDeque<Element>>, Error> {
        match self.entries.get_mut(key).map(|entry| &mut entry.value) {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(list)),
            Some(Value::Bytes(_)) => Err(Error::WrongType),
        }
    }

    /// Removes the key if its list has become empty.
    fn tidy(&mut self, key: &[u8]) {
        if let Ok(Some(list)) = self.list(key)
            && list.is_empty()
        {
            self.remove(key);
        }
    }

    /// Hands elements to those who wait for them.
    fn serve(&mut self, key: &[u8]) {
        let Some(mut waiters) = self.waiting.remove(key) else {
            return;
        };
        while let Ok(Some(list)) = self.list(key)
            && !list.is_empty()
            && let Some(waiter) = waiters.pop_front()
        {
            if waiter.claim()
                && let Some(element) = pop_at(list, waiter.side)
                // It has room for one, and its receiver is there until the waiter is forgotten.
                && let Err(error) = waiter.hand_over.try_send((key.into(), element))
            {
                push_at(list, waiter.side, error.into_inner().1);
            }
        }
        if !waiters.is_empty() {
            self.waiting.insert(key.into(), waiters);
        }
        self.tidy(key);
    }
}

impl Store {
    /// Adds elements, one after the other; returns how many there are then, before those who wait get theirs.
    pub(crate) fn push<'a>(
        &self,
        key: &[u8],
        side: Side,
        elements: impl Iterator<Item = &'a [u8]>,
        now: Instant,
    ) -> Result<usize, Error> {
        let mut shard = self.lock(key, now);
        let length = match shard.list(key)? {
            Some(list) => {
                elements.for_each(|element| push_at(list, side, element.into()));
                list.len()
            }
            None => {
                let mut list = VecDeque::new();
                elements.for_each(|element| push_at(&mut list, side, element.into()));
                let length = list.len();
                shard.insert(key, Value::List(list));
                length
            }
        };
        if !shard.waiting.is_empty() {
            shard.serve(key);
        }
        Ok(length)
    }

    pub(crate) fn pop(
        &self,
        key: &[u8],
        side: Side,
        now: Instant,
    ) -> Result<Option<Element>, Error> {
        let mut shard = self.lock(key, now);
        let Some(list) = shard.list(key)? else {
            return Ok(None);
        };
        let element = pop_at(list, side);
        if list.is_empty() {
            shard.remove(key);
        }
        Ok(element)
    }

    /// Up to so many; `None`: no such key.
    pub(crate) fn pop_many(
        &self,
        key: &[u8],
        side: Side,
        count: usize,
        now: Instant,
    ) -> Result<Option<Vec<Element>>, Error> {
        let mut shard = self.lock(key, now);
        let Some(list) = shard.list(key)? else {
            return Ok(None);
        };
        let elements = (0..count).map_while(|_| pop_at(list, side)).collect();
        shard.tidy(key);
        Ok(Some(elements))
    }

    pub(crate) fn list_len(&self, key: &[u8], now: Instant) -> Result<usize, Error> {
        let mut shard = self.lock(key, now);
        Ok(shard.list(key)?.map_or(0, |list| list.len()))
    }

    /// Calls `f` with the elements between two positions, both included; negative ones count from the end.
    pub(crate) fn range<R>(
        &self,
        key: &[u8],
        start: i64,
        stop: i64,
        now: Instant,
        f: impl FnOnce(&mut dyn ExactSizeIterator<Item = &Element>) -> R,
    ) -> Result<R, Error> {
        let mut shard = self.lock(key, now);
        let Some(list) = shard.list(key)? else {
            return Ok(f(&mut [].iter()));
        };
        // No list is that long.
        let len = list.len() as i64;
        let position = |n: i64| if n < 0 { n.saturating_add(len) } else { n };
        let start = position(start).max(0);
        let end = position(stop).min(len - 1) + 1;
        if start >= end {
            return Ok(f(&mut [].iter()));
        }
        // Within the list's length.
        Ok(f(&mut list.range(start as usize..end as usize)))
    }

    /// Takes an element of the first list that has one, or else queues at all of them.
    ///
    /// # Errors
    ///
    /// If a key is looked at that is no list; those before it have been empty.
    pub(crate) fn pop_or_wait<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]> + Clone,
        side: Side,
        now: Instant,
    ) -> Result<Wait, Error> {
        for key in keys.clone() {
            if let Some(element) = self.pop(key, side, now)? {
                return Ok(Wait::Popped((key.into(), element)));
            }
        }
        let (waiter, received) = Waiter::new(side);
        for key in keys.clone() {
            let mut shard = self.lock(key, now);
            let queue = shard.waiting.entry(key.into()).or_default();
            queue.push_back(Arc::clone(&waiter));
            // Elements that have come since the first look; from here on whoever adds some serves.
            shard.serve(key);
        }
        Ok(Wait::Queued(waiter, received))
    }

    /// Ends a wait: afterwards nothing is handed over any more. What has been before is returned.
    pub(crate) fn forget<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
        waiter: &Arc<Waiter>,
        received: &Receiver<Popped>,
        now: Instant,
    ) -> Option<Popped> {
        let unserved = waiter.claim();
        for key in keys {
            let mut shard = self.lock(key, now);
            if let Some(queue) = shard.waiting.get_mut(key) {
                queue.retain(|other| !Arc::ptr_eq(other, waiter));
                if queue.is_empty() {
                    shard.waiting.remove(key);
                }
            }
        }
        if unserved {
            return None;
        }
        // Claimed by somebody else, who hands over under a lock that has been taken since; if it has
        // been received already, there is none.
        received.try_recv().ok()
    }

    /// Puts an element back to where it was taken from.
    pub(crate) fn give_back(&self, popped: Popped, side: Side, now: Instant) {
        let (key, element) = popped;
        let mut shard = self.lock(&key, now);
        let mut rest = VecDeque::new();
        match shard.list(&key) {
            Ok(Some(list)) => push_at(list, side, element),
            Ok(None) => {
                rest.push_back(element);
                shard.insert(&key, Value::List(rest));
            }
            // The key has been given another meaning since.
            Err(_) => return,
        }
        shard.serve(&key);
    }
}
