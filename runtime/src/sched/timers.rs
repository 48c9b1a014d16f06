//! A P's timers: a heap under a lock, and the time of the earliest outside it.
//!
//! A raw timer is a function and two words. When it is due, whichever M comes by (the P's own, a
//! thief, sysmon for a P that hangs) takes it out and calls the function in scheduler context, where
//! it may only make waiters ready. Sleeping, timeouts and socket deadlines are all built on that.
//!
//! Cancelling leaves the heap entry behind, its record marked; when such zombies are more than a
//! quarter of the heap, or all of it, it is swept in place. (Go does the same; keeping each record's place
//! in the heap for immediate removal costs a random write per heap move, which dominates with 100,000
//! timers.) So however often timers are cancelled and added, the heap stays within 4/3 of its live
//! entries and 32, a cancellation costs a few entries' worth of sweeping, and a heap without live entries
//! says so: nobody wakes up for it, and it hides no deadlock.
//!
//! The lock is rarely contended: the owner adds and runs its own timers, others come only for due
//! ones, or to cancel.
//!
//! Next in the reading order: `p`, which has a queue and timers.

use crate::prim::Mutex;
use crate::prim::atomic::{AtomicU64, Ordering};
use crate::prim::clock::NEVER;
use crate::sched::reactor::ReadyList;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a timer calls when it is due: `(arg, seq, ready)`, in scheduler context. It must not block,
/// park, panic or run user code; it pushes the waiters it claims to `ready`.
pub type TimerFn = fn(usize, u64, &mut ReadyList);

/// A due timer, taken out of the heap.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) func: TimerFn,
    pub(crate) arg: usize,
    pub(crate) seq: u64,
}

/// Names a timer within one heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    record: u32,
    generation: u32,
}

#[derive(Clone, Copy)]
enum Record {
    Free { next: u32 },
    Armed(Due),
    Cancelled,
}

#[derive(Clone, Copy)]
struct Slot {
    generation: u32,
    record: Record,
}

const NO_SLOT: u32 = u32::MAX;
/// This many zombies beside live entries are not worth a sweep.
const FEW: usize = 32;

/// See the module's head.
pub(crate) struct Timers {
    /// When the earliest is due, at the latest: [`NEVER`] if there is none. Zombies may make it too
    /// early, never too late.
    next: AtomicU64,
    heap: Mutex<Heap>,
}

struct Heap {
    order: BinaryHeap<Reverse<(u64, u32)>>,
    slots: Vec<Slot>,
    free: u32,
    cancelled: usize,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers {
            next: AtomicU64::new(NEVER),
            heap: Mutex::new(Heap {
                order: BinaryHeap::new(),
                slots: Vec::new(),
                free: NO_SLOT,
                cancelled: 0,
            }),
        }
    }

    /// When the earliest timer is due.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Adds a timer. The caller then fences and tells the poller if this one is earlier than it
    /// would wake up by itself.
    pub(crate) fn add(&self, when: u64, due: Due) -> Key {
        let mut heap = self.heap.lock();
        let slot = match heap.free {
            NO_SLOT => {
                heap.slots.push(Slot {
                    generation: 0,
                    record: Record::Armed(due),
                });
                (heap.slots.len() - 1) as u32
            }
            slot => {
                let place = &mut heap.slots[slot as usize];
                let Record::Free { next } = place.record else {
                    unreachable!("the free list holds free slots")
                };
                place.record = Record::Armed(due);
                heap.free = next;
                slot
            }
        };
        heap.order.push(Reverse((when, slot)));
        self.publish(&heap);
        Key {
            record: slot,
            generation: heap.slots[slot as usize].generation,
        }
    }

    /// Cancels a timer. `true`: it has not been called and won't be.
    pub(crate) fn cancel(&self, key: Key) -> bool {
        let mut heap = self.heap.lock();
        let Some(slot) = heap.slots.get_mut(key.record as usize) else {
            return false;
        };
        if slot.generation != key.generation || !matches!(slot.record, Record::Armed(_)) {
            return false;
        }
        slot.record = Record::Cancelled;
        heap.cancelled += 1;
        let all = heap.order.len();
        if heap.cancelled == all || heap.cancelled > FEW && heap.cancelled > all / 4 {
            heap.sweep();
            self.publish(&heap);
        }
        true
    }

    /// Takes due timers out, as many as fit into `into`; returns how many.
    pub(crate) fn take_due(&self, now: u64, into: &mut [Option<Due>]) -> usize {
        if self.next() > now {
            return 0;
        }
        let mut heap = self.heap.lock();
        let mut taken = 0;
        while taken < into.len() {
            match heap.order.peek() {
                Some(&Reverse((when, slot))) if when <= now => {
                    heap.order.pop();
                    if let Some(due) = heap.release(slot) {
                        into[taken] = Some(due);
                        taken += 1;
                    }
                }
                _ => break,
            }
        }
        self.publish(&heap);
        taken
    }

    /// Timers pending, for observers.
    pub(crate) fn len(&self) -> usize {
        let heap = self.heap.lock();
        heap.order.len() - heap.cancelled
    }

    fn publish(&self, heap: &Heap) {
        let next = heap.order.peek().map_or(NEVER, |&Reverse((when, _))| when);
        // Relaxed: whoever decides to sleep by it stands in the fence pair AddTimer/PollUntil.
        self.next.store(next, Ordering::Relaxed);
    }
}

impl Heap {
    /// Frees a record whose heap entry is gone; returns what to call unless it was cancelled.
    fn release(&mut self, slot: u32) -> Option<Due> {
        let free = self.free;
        let place = &mut self.slots[slot as usize];
        let record = std::mem::replace(&mut place.record, Record::Free { next: free });
        place.generation = place.generation.wrapping_add(1);
        self.free = slot;
        match record {
            Record::Armed(due) => Some(due),
            Record::Cancelled => {
                self.cancelled -= 1;
                None
            }
            Record::Free { .. } => unreachable!("the heap holds no free slots"),
        }
    }

    fn sweep(&mut self) {
        // Apart from `self`, which the closure needs.
        let mut order = std::mem::take(&mut self.order);
        order.retain(|&Reverse((_, slot))| {
            let armed = matches!(self.slots[slot as usize].record, Record::Armed(_));
            if !armed {
                self.release(slot);
            }
            armed
        });
        self.order = order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: usize, _: u64, _: &mut ReadyList) {}

    fn due(arg: usize) -> Due {
        Due {
            func: nothing,
            arg,
            seq: 0,
        }
    }

    fn take(timers: &Timers, now: u64) -> Vec<usize> {
        let mut into = [None; 4];
        let mut all = Vec::new();
        loop {
            let n = timers.take_due(now, &mut into);
            all.extend(into[..n].iter().map(|due| due.unwrap().arg));
            if n == 0 {
                return all;
            }
        }
    }

    #[test]
    fn due_timers_come_in_order() {
        let timers = Timers::new();
        for when in [50, 10, 30, 20, 40, 60] {
            timers.add(when, due(when as usize));
        }
        assert_eq!(timers.next(), 10);
        assert_eq!(take(&timers, 5), []);
        assert_eq!(take(&timers, 50), [10, 20, 30, 40, 50]);
        assert_eq!(timers.next(), 60);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn a_cancelled_timer_is_not_called_and_its_key_is_dead() {
        let timers = Timers::new();
        let key = timers.add(10, due(1));
        timers.add(20, due(2));
        assert!(timers.cancel(key));
        assert!(!timers.cancel(key));
        assert_eq!(timers.len(), 1);
        assert_eq!(take(&timers, 100), [2]);
        // The record is used again; the old key must not match.
        let again = timers.add(30, due(3));
        assert!(!timers.cancel(key));
        assert!(timers.cancel(again));
        assert_eq!(take(&timers, 100), []);
        assert_eq!(timers.next(), NEVER);
    }

    #[test]
    fn a_heap_of_zombies_is_empty() {
        let timers = Timers::new();
        let keys: Vec<Key> = (1..=20).map(|when| timers.add(when, due(0))).collect();
        for key in keys {
            assert!(timers.cancel(key));
        }
        assert_eq!(timers.next(), NEVER);
        assert_eq!(timers.heap.lock().order.len(), 0);
    }

    #[test]
    fn timers_set_anew_for_ever_take_bounded_room() {
        let timers = Timers::new();
        let mut keys: Vec<Key> = (0..1000).map(|i| timers.add(1 << 40 | i, due(0))).collect();
        for round in 0..100_000 {
            let key = &mut keys[round * 7 % 1000];
            assert!(timers.cancel(*key));
            *key = timers.add(1 << 40 | round as u64, due(0));
        }
        assert_eq!(timers.len(), 1000);
        let heap = timers.heap.lock();
        assert!(heap.order.len() <= 1400, "{} entries", heap.order.len());
        assert!(heap.slots.len() <= 1400, "{} records", heap.slots.len());
    }

    #[test]
    fn zombies_are_swept() {
        let timers = Timers::new();
        let keys: Vec<Key> = (0..1000)
            .map(|i| timers.add(1_000_000 + i, due(0)))
            .collect();
        for key in keys {
            assert!(timers.cancel(key));
        }
        assert!(timers.heap.lock().order.len() < 100);
        assert_eq!(timers.len(), 0);
        let slots = timers.heap.lock().slots.len();
        for i in 0..500 {
            timers.add(i, due(0));
        }
        assert!(
            timers.heap.lock().slots.len() <= slots,
            "records are used again"
        );
    }
}
