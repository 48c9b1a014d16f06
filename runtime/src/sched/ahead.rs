//! Look-ahead: asking for the memory of goroutines shortly before they run.
//!
//! A goroutine that was parked for a while has left the caches: its slot, the top of its stack, the
//! frames it goes on in, and what it was woken for (a socket's words). That is a dozen cache lines, and
//! with a thousand connections served in turn, the kernel's own lines of a thousand sockets between
//! them, each comes from memory: 1.5 µs of a request of 10, against 0.3 µs with 64 connections. But who
//! runs next is known long before, and the time until then suffices to fetch it all.
//!
//! crossbeam-deque has no way to look into a queue, so the local queue keeps a copy: a ring of what was
//! pushed. It is made of hints. As the queue is first in, first out, and only its owner pushes, what is in
//! it are the last `len` that were pushed, however many thieves took from its head; so the ring needs
//! no head of its own. Two things make it tell less, both until the queue has got past them: what thieves'
//! batches put into the queue (`skip`), and lengths beyond the ring.
//!
//! [`FAR`] places ahead the slot is asked for. [`NEAR`] places ahead it has come, and is read to find the
//! rest: slots are memory of one type for ever and the two words read are atomic, so it doesn't matter if the
//! hint is out of date. Beyond that nothing is read, only prefetched, which no address makes a fault.
//!
//! Rejected: taking goroutines out of the queue ahead of their turn, as thieves would not see them any more while
//! the one that runs computes; and a link from each slot to the next, which would make slots larger.
//!
//! Next in the reading order: `timers`.

use crate::prim::arch::prefetch;
use crate::sched::g::GRef;
use std::cell::Cell;

/// Goroutines remembered; a poll finds at most 1,024, but several may follow each other.
const RING: usize = 4096;
/// With fewer in the queue everything is in the cache anyway.
const ENOUGH: usize = 16;
/// Places ahead at which a slot is asked for.
const FAR: usize = 8;
/// Places ahead at which all else is.
const NEAR: usize = 2;
/// Bytes of frames that are asked for: what a goroutine returns through from `park` to its own code.
const FRAMES: usize = 512;
/// Bytes of what it was woken for: the words of a socket.
const OBJECT: usize = 256;
const LINE: usize = 64;

/// A goroutine, and the address of what it will work on, or 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upcoming {
    pub(crate) g: GRef,
    pub(crate) near: usize,
}

/// Set in the address of a slot, which is at least 16-byte aligned: `near` tells more.
const MORE: usize = 1;

/// The ring of a local queue.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Addresses of slots, perhaps with [`MORE`], or 0.
    slots: Box<[Cell<usize>]>,
    /// Written only where there is `MORE`.
    near: Box<[Cell<usize>]>,
    /// How many were pushed.
    pushed: Cell<usize>,
}

/// Zeroed memory: pages are used only once something is written to them.
fn ring() -> Box<[Cell<usize>]> {
    vec![Cell::new(0); RING].into_boxed_slice()
}

impl Ahead {
    /// An empty one.
    pub(crate) fn new() -> Ahead {
        Ahead {
            slots: ring(),
            near: ring(),
            pushed: Cell::new(0),
        }
    }

    /// One was pushed.
    #[inline(always)]
    pub(crate) fn push(&self, next: Upcoming) {
        let pushed = self.pushed.get();
        let mut slot = next.g.addr();
        if next.near != 0 {
            slot |= MORE;
            self.near[pushed % RING].set(next.near);
        }
        self.slots[pushed % RING].set(slot);
        self.pushed.set(pushed.wrapping_add(1));
    }

    /// So many were pushed that are not known.
    pub(crate) fn skip(&self, n: usize) {
        let pushed = self.pushed.get();
        for i in 0..n.min(RING) {
            self.slots[pushed.wrapping_add(i) % RING].set(0);
        }
        self.pushed.set(pushed.wrapping_add(n));
    }

    /// The first of `len` is about to run: asks for what those after it need.
    #[inline(always)]
    pub(crate) fn look(&self, len: usize) {
        if (ENOUGH..=RING).contains(&len) {
            self.look_from(self.pushed.get().wrapping_sub(len));
        }
    }

    #[inline(never)]
    fn look_from(&self, first: usize) {
        let slot = self.slots[first.wrapping_add(FAR) % RING].get();
        // A slot may lie across two lines.
        prefetch(slot);
        prefetch(slot + LINE);
        let next = first.wrapping_add(NEAR) % RING;
        let slot = self.slots[next].get();
        if slot == 0 {
            return;
        }
        // SAFETY: `push` stored a slot's address.
        let g = unsafe { GRef::from_addr(slot & !MORE) };
        if let Some(fiber) = g.fiber() {
            fiber.prefetch();
            lines(g.suspended_at(), FRAMES);
        }
        if slot & MORE != 0 {
            lines(self.near[next].get(), OBJECT);
        }
    }
}

fn lines(from: usize, bytes: usize) {
    for line in (0..bytes).step_by(LINE) {
        prefetch(from.wrapping_add(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::arena;

    /// Which of `gs` the hint `places` after the first of `len` names.
    fn hint(ahead: &Ahead, gs: &[GRef], len: usize, places: usize) -> Option<usize> {
        let at = ahead.pushed.get().wrapping_sub(len).wrapping_add(places) % RING;
        let slot = ahead.slots[at].get() & !MORE;
        gs.iter().position(|g| g.addr() == slot)
    }

    #[test]
    fn hints_follow_the_queue_in_order() {
        let gs: Vec<GRef> = (0..20).map(|_| arena::take().unwrap()).collect();
        let ahead = Ahead::new();
        // Around the end of the ring, and with wrapping.
        ahead.pushed.set(0_usize.wrapping_sub(5));
        for (i, g) in gs.iter().enumerate() {
            // Any address will do.
            ahead.push(Upcoming { g: *g, near: i });
        }
        for len in 1..=20 {
            assert_eq!(hint(&ahead, &gs, len, 0), Some(20 - len));
        }
        assert_eq!(hint(&ahead, &gs, 18, 2), Some(4));
        ahead.look(20);
        ahead.skip(3);
        assert_eq!(hint(&ahead, &gs, 3, 0), None);
        assert_eq!(hint(&ahead, &gs, 4, 0), Some(19));
        // What is not known, and what is not there, is passed over.
        for len in [0, 1, ENOUGH, 17, RING, RING + 1, usize::MAX] {
            ahead.look(len);
        }
        gs.into_iter().for_each(arena::put);
    }
}
