//! Where goroutine slots come from: a type-stable arena with free lists.
//!
//! Chunks double in size and are never freed, so the k-th slot is found by arithmetic, all slots can
//! be enumerated (dumps, the deadlock report, trimming), and a stale pointer to a slot is still a
//! pointer to a slot. Fresh chunks are zeroed by the operating system and committed as they are
//! touched.
//!
//! Each P keeps a [`FreeList`]; it takes and gives [`BATCH`] slots at a time from the global list,
//! in one lock. A slot that is freed on the P that will spawn next is still in its cache.
//!
//! Next in the reading order: `queue`, where those stand that may run.

use crate::prim::Mutex;
use crate::prim::arch::prefetch;
use crate::prim::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::sched::g::{G, GRef};
use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::ptr::{self, NonNull};

/// Slots moved between a P's list and the global one at a time.
const BATCH: usize = 64;
/// A P's list gives a batch back beyond this.
const HIGH: usize = 2 * BATCH;
/// Slots in the first chunk; each further chunk doubles the total.
const FIRST: usize = 256;
/// Enough chunks for 2^35 goroutines.
const CHUNKS: usize = 28;

static ARENA: Arena = Arena {
    chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
    fresh: AtomicUsize::new(0),
    global: Mutex::new(Global {
        head: 0,
        len: 0,
        capacity: 0,
    }),
};

struct Arena {
    chunks: [AtomicPtr<G>; CHUNKS],
    /// Slots below this have been handed out at least once.
    fresh: AtomicUsize,
    global: Mutex<Global>,
}

struct Global {
    head: usize,
    len: usize,
    capacity: usize,
}

/// A list of free slots, linked through the slots themselves. Owned by a P or made for one call.
#[derive(Debug, Default)]
#[doc(alias = "gfget")]
#[doc(alias = "gfput")]
pub(crate) struct FreeList {
    head: usize,
    len: usize,
}

impl FreeList {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        FreeList { head: 0, len: 0 }
    }

    /// A free slot, from the global list or a fresh chunk if there is none here. Fails if memory is
    /// exhausted.
    #[inline]
    pub(crate) fn take(&mut self) -> io::Result<GRef> {
        if self.head == 0 {
            refill(self, BATCH)?;
        }
        Ok(self.pop().expect("the list was refilled"))
    }

    /// Puts a slot back. The caller holds the slot, whose status is `IDLE`.
    #[inline]
    pub(crate) fn put(&mut self, g: GRef) {
        self.push(g);
        if self.len > HIGH {
            self.spill(BATCH);
        }
    }

    /// Gives `n` slots to the global list.
    fn spill(&mut self, n: usize) {
        let mut global = ARENA.global.lock();
        for _ in 0..n {
            let Some(g) = self.pop() else { break };
            g.set_next_free(global.head);
            global.head = g.addr();
            global.len += 1;
        }
    }

    /// Gives every slot to the global list.
    pub(crate) fn flush(&mut self) {
        self.spill(self.len);
    }

    fn push(&mut self, g: GRef) {
        g.set_next_free(self.head);
        self.head = g.addr();
        self.len += 1;
    }

    fn pop(&mut self) -> Option<GRef> {
        if self.head == 0 {
            return None;
        }
        // SAFETY: the lists hold only addresses of slots.
        let g = unsafe { GRef::from_addr(self.head) };
        self.head = g.next_free();
        self.len -= 1;
        prefetch(self.head);
        Some(g)
    }
}

/// A free slot for a caller without a P.
pub(crate) fn take() -> io::Result<GRef> {
    let mut one = FreeList::new();
    refill(&mut one, 1)?;
    Ok(one.pop().expect("the list was refilled"))
}

/// Frees a slot for a caller without a P.
pub(crate) fn put(g: GRef) {
    let mut global = ARENA.global.lock();
    g.set_next_free(global.head);
    global.head = g.addr();
    global.len += 1;
}

/// Every slot that was ever handed out, in no meaningful order. What is found may change at once.
pub(crate) fn all() -> impl Iterator<Item = GRef> {
    // Acquire: partner of the Release in `refill`; the chunks below are there.
    let fresh = ARENA.fresh.load(Ordering::Acquire);
    (0..fresh).map(slot)
}

/// How many slots were ever handed out.
pub(crate) fn count() -> usize {
    ARENA.fresh.load(Ordering::Acquire)
}

/// The slot with this number, which must be below [`count`].
pub(crate) fn slot(n: usize) -> GRef {
    let (chunk, offset) = place(n);
    let base = ARENA.chunks[chunk].load(Ordering::Relaxed);
    debug_assert!(!base.is_null());
    // SAFETY: slots below `fresh` lie in chunks that are allocated; `place` stays within the chunk.
    unsafe { GRef::new(NonNull::new_unchecked(base.add(offset))) }
}

/// Chunk and offset of slot `n`: chunk 0 has `FIRST` slots, chunk k > 0 has `FIRST << (k - 1)`.
fn place(n: usize) -> (usize, usize) {
    let k = n / FIRST;
    if k == 0 {
        return (0, n);
    }
    let chunk = (usize::BITS - k.leading_zeros()) as usize;
    (chunk, n - (FIRST << (chunk - 1)))
}

fn chunk_len(chunk: usize) -> usize {
    if chunk == 0 {
        FIRST
    } else {
        FIRST << (chunk - 1)
    }
}

#[cold]
fn refill(list: &mut FreeList, n: usize) -> io::Result<()> {
    let mut global = ARENA.global.lock();
    for _ in 0..n.min(global.len) {
        // SAFETY: the lists hold only addresses of slots.
        let g = unsafe { GRef::from_addr(global.head) };
        global.head = g.next_free();
        global.len -= 1;
        list.push(g);
    }
    if list.head != 0 {
        return Ok(());
    }
    let fresh = ARENA.fresh.load(Ordering::Relaxed);
    if fresh == global.capacity {
        let chunk = if fresh == 0 { 0 } else { place(fresh).0 };
        let exhausted = || io::Error::from(io::ErrorKind::OutOfMemory);
        if chunk == CHUNKS {
            return Err(exhausted());
        }
        let layout = Layout::array::<G>(chunk_len(chunk)).map_err(|_| exhausted())?;
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) }.cast::<G>();
        if base.is_null() {
            return Err(exhausted());
        }
        // Relaxed: published by the Release store of `fresh` below.
        ARENA.chunks[chunk].store(base, Ordering::Relaxed);
        global.capacity += chunk_len(chunk);
    }
    let take = n.min(global.capacity - fresh);
    // In reverse, so that slots are used in the order of their addresses.
    for i in (fresh..fresh + take).rev() {
        let (chunk, offset) = place(i);
        let base = ARENA.chunks[chunk].load(Ordering::Relaxed);
        // SAFETY: the chunk is allocated (above or earlier) and zeroed, which is a free slot; it is
        // never freed. `offset` lies within it.
        list.push(unsafe { GRef::new(NonNull::new_unchecked(base.add(offset))) });
    }
    // Release: partner of the Acquire in `all` and `count`.
    ARENA.fresh.store(fresh + take, Ordering::Release);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_numbered_without_gaps() {
        let mut expected = 0;
        for chunk in 0..10 {
            for offset in [0, chunk_len(chunk) - 1] {
                assert_eq!(place(expected + offset), (chunk, offset));
            }
            expected += chunk_len(chunk);
        }
    }

    #[test]
    fn slots_are_distinct_and_come_back() {
        let mut list = FreeList::new();
        let taken: Vec<GRef> = (0..1000).map(|_| list.take().unwrap()).collect();
        let mut addrs: Vec<usize> = taken.iter().map(|g| g.addr()).collect();
        addrs.sort_unstable();
        addrs.dedup();
        assert_eq!(addrs.len(), 1000);
        assert!(count() >= 1000);
        let known: std::collections::HashSet<usize> = all().map(|g| g.addr()).collect();
        assert!(addrs.iter().all(|addr| known.contains(addr)));
        let last = *taken.last().unwrap();
        for g in taken {
            list.put(g);
        }
        assert!(list.len <= HIGH);
        assert!(
            list.take().unwrap() == last,
            "the slot freed last is used first"
        );
        list.put(last);
        list.flush();
        assert_eq!(list.len, 0);
    }
}
