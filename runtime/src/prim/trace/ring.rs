//! A P's ring of events: written by the P's owner, emptied by the collector.
//!
//! One producer and one consumer, each with a count of its own that only it moves. The producer never waits: if the
//! ring is full the event is counted as dropped and that is all. It looks at the consumer's count only if what it
//! remembers of it says that the ring is full.
//!
//! *One producer* means one at a time: the P's owner, in `SCHED`. An owner finds what its predecessor wrote, since
//! taking the P over acquires what leaving it released (`state::pstatus`).
//!
//! A slot is plain memory: the counts say whose it is, the producer's until `head` is beyond it, then the consumer's
//! until `tail` is. The loom model (`models::ring`) watches over it.
//!
//! A ring is made when the first trace starts and then stays; a P that there is only since found none, and drops.

use crate::prim::atomic::{AtomicU64, Ordering};
use crate::prim::cell::Cell;
use std::sync::OnceLock;

/// Words of an event.
pub(crate) const WORDS: usize = 3;

/// Events in a ring.
#[cfg(not(loom))]
const CAPACITY: usize = 1 << 15;
#[cfg(loom)]
pub(crate) const CAPACITY: usize = 2;

type Slot = Cell<[u64; WORDS]>;

/// See the module's head.
pub(crate) struct Ring {
    slots: OnceLock<Box<[Slot]>>,
    /// Events written. Moved by the producer.
    head: AtomicU64,
    /// What the producer knows of `tail`.
    seen: AtomicU64,
    /// Events dropped. Moved by the producer.
    dropped: AtomicU64,
    /// Events read. Moved by the consumer.
    tail: AtomicU64,
}

// SAFETY: `slots` is filled in under the `OnceLock`. A slot is touched by the producer, if it lies from `head` up to `tail` +
// CAPACITY, or by the consumer, if it lies from `tail` up to `head`; the counts hand it over (Release and Acquire). That
// there is one producer and one consumer at a time is what their functions demand.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

impl Ring {
    /// Without memory as yet: drops everything.
    pub(crate) fn new() -> Ring {
        Ring {
            slots: OnceLock::new(),
            head: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            tail: AtomicU64::new(0),
        }
    }

    /// Gives it memory if it has none.
    pub(crate) fn provide(&self) {
        self.slots
            .get_or_init(|| (0..CAPACITY).map(|_| Cell::new([0; WORDS])).collect());
    }

    /// Writes an event, or drops it. Only by the producer.
    #[inline]
    pub(crate) fn push(&self, event: [u64; WORDS]) {
        let head = self.head.load(Ordering::Relaxed);
        let Some(slots) = self.slots.get().filter(|_| self.has_room(head)) else {
            let dropped = self.dropped.load(Ordering::Relaxed);
            self.dropped.store(dropped + 1, Ordering::Relaxed);
            return;
        };
        slots[head as usize % CAPACITY].set(event);
        // Release: partner of the Acquire in `end`; the slot has been written.
        self.head.store(head + 1, Ordering::Release);
    }

    #[inline]
    fn has_room(&self, head: u64) -> bool {
        if head - self.seen.load(Ordering::Relaxed) < CAPACITY as u64 {
            return true;
        }
        // Acquire: partner of the Release in `drain`; the slot has been read.
        let tail = self.tail.load(Ordering::Acquire);
        self.seen.store(tail, Ordering::Relaxed);
        head - tail < CAPACITY as u64
    }

    /// How many events there have been: those to come have higher numbers. Only by the consumer.
    pub(crate) fn end(&self) -> u64 {
        // Acquire: partner of the Release in `push`.
        self.head.load(Ordering::Acquire)
    }

    /// Reads events, oldest first, up to the one numbered `end`, which [`Ring::end`] has returned. Only by the consumer.
    pub(crate) fn drain(&self, end: u64, mut read: impl FnMut([u64; WORDS])) {
        let Some(slots) = self.slots.get() else {
            return;
        };
        let tail = self.tail.load(Ordering::Relaxed);
        for n in tail..end {
            read(slots[n as usize % CAPACITY].get());
        }
        // Release: partner of the Acquire in `has_room`; the slots have been read.
        self.tail.store(end, Ordering::Release);
    }

    /// How many events were dropped so far. By anybody.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn all(ring: &Ring) -> Vec<u64> {
        let mut read = Vec::new();
        ring.drain(ring.end(), |event| {
            assert_eq!(event, [event[0], event[0] + 1, event[0] + 2]);
            read.push(event[0]);
        });
        read
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let ring = Ring::new();
        ring.provide();
        assert_eq!(all(&ring), []);
        for round in 0..3 {
            let numbers: Vec<u64> = (0..CAPACITY as u64 - 1).map(|n| n + round).collect();
            numbers.iter().for_each(|&n| ring.push([n, n + 1, n + 2]));
            assert_eq!(all(&ring), numbers);
        }
        assert_eq!(ring.dropped(), 0);
    }

    #[test]
    fn a_full_ring_drops_what_comes_last() {
        let ring = Ring::new();
        ring.push([1, 2, 3]);
        assert_eq!(ring.dropped(), 1, "it has no memory");
        ring.provide();
        (0..CAPACITY as u64 + 5).for_each(|n| ring.push([n, n + 1, n + 2]));
        assert_eq!(ring.dropped(), 6);
        let kept: Vec<u64> = (0..CAPACITY as u64).collect();
        assert_eq!(all(&ring), kept);
        ring.push([9, 10, 11]);
        assert_eq!(all(&ring), [9]);
    }
}
