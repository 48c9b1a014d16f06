//! Where poll descriptors live: memory that is never freed and always holds a [`Source`].
//!
//! The poller finds a descriptor by the number in an event's token, a timer by its address, and both
//! may come late, when the socket is long closed. They may, because the memory stays a `Source` for
//! ever; a generation (poller) or a sequence number (timer) tells them that it is not the one they
//! meant. A late one that slips through in between has woken somebody who looks and parks again.
//!
//! Sources lie in chunks, each twice as large as the one before, whose addresses are in a fixed table:
//! looking one up takes no lock. A chunk is address space at first; its pages are touched one source
//! after another. The lock is taken when a socket is opened and when it is dropped. Free sources are
//! reused last in, first out: the last one used is the one in the cache.
//!
//! Next in the reading order: `metrics`.

use crate::prim::Mutex;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::source::Source;
use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicPtr;

/// Sources in the first chunk: a power of two, about three pages' worth.
const FIRST: usize = 64;
/// Chunks until the numbers of 32 bits are used up.
const CHUNKS: usize = (u32::BITS - FIRST.trailing_zeros()) as usize;
/// The end of the free list.
const END: u32 = u32::MAX;

/// The sources of this process.
pub(crate) static ARENA: Arena = Arena::new();

/// See the module's head.
pub(crate) struct Arena {
    chunks: [AtomicPtr<Source>; CHUNKS],
    /// Sources below this number exist.
    len: AtomicU32,
    free: Mutex<Free>,
}

/// What [`Arena::take`] and [`Arena::put`] change.
struct Free {
    /// The first free source's number.
    head: u32,
    tally: Tally,
}

/// How often sources were taken and given back.
#[derive(Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) taken: u64,
    pub(crate) returned: u64,
}

impl Arena {
    const fn new() -> Self {
        Arena {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            len: AtomicU32::new(0),
            free: Mutex::new(Free {
                head: END,
                tally: Tally {
                    taken: 0,
                    returned: 0,
                },
            }),
        }
    }

    /// The source with this number, if there has ever been one.
    #[inline]
    pub(crate) fn get(&'static self, index: u32) -> Option<&'static Source> {
        // Acquire: partner of the Release in `grow`.
        if index >= self.len.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `grow` has written every source below `len` before it raised `len`, and nothing is
        // ever freed or moved.
        Some(unsafe { &*self.place(index)?.as_ptr() })
    }

    /// A source that nobody uses; it is the caller's until [`put`](Self::put).
    pub(crate) fn take(&'static self) -> &'static Source {
        let mut free = self.free.lock();
        free.tally.taken += 1;
        match self.get(free.head) {
            Some(source) => {
                free.head = source.next_free.load(Ordering::Relaxed);
                source
            }
            None => self.grow(),
        }
    }

    /// Gives a source back. The caller must not use it any more.
    pub(crate) fn put(&'static self, source: &'static Source) {
        let mut free = self.free.lock();
        source.next_free.store(free.head, Ordering::Relaxed);
        free.head = source.index();
        free.tally.returned += 1;
    }

    /// How many sources were taken and given back so far.
    pub(crate) fn tally(&self) -> Tally {
        self.free.lock().tally
    }

    /// All sources that there are, in use or free; one made meanwhile may be among them or not.
    pub(crate) fn iter(&'static self) -> impl Iterator<Item = &'static Source> {
        (0..).map_while(|index| self.get(index))
    }

    /// Makes one more source. Only under the lock.
    fn grow(&'static self) -> &'static Source {
        let index = self.len.load(Ordering::Relaxed);
        assert!(index < END - FIRST as u32, "four billion sockets are open");
        let place = self.place(index).unwrap_or_else(|| {
            let (chunk, _) = split(index);
            let base = new_chunk(FIRST << chunk);
            // Relaxed: published by `len`.
            self.chunks[chunk].store(base.as_ptr(), Ordering::Relaxed);
            base
        });
        // SAFETY: the place lies in its chunk (`split`), and no one knows of it before `len` is raised.
        let source: &'static Source = unsafe {
            place.write(Source::new(index));
            &*place.as_ptr()
        };
        // Release: partner of the Acquire in `get`.
        self.len.store(index + 1, Ordering::Release);
        source
    }

    /// Where the source with this number is or will be; `None` if it is the first of a chunk that does
    /// not exist yet.
    #[inline]
    fn place(&self, index: u32) -> Option<NonNull<Source>> {
        let (chunk, offset) = split(index);
        let base = NonNull::new(self.chunks[chunk].load(Ordering::Relaxed))?;
        // SAFETY: `offset` is less than the chunk's length, see `split`.
        Some(unsafe { base.add(offset) })
    }
}

/// Which chunk a number is in, and where in it. Chunk `k` has `FIRST << k` sources, so together with
/// `FIRST` that are not there, the chunks before it have as many as it has.
#[inline]
fn split(index: u32) -> (usize, usize) {
    let position = index as usize + FIRST;
    let chunk = (position / FIRST).ilog2();
    (chunk as usize, position - (FIRST << chunk))
}

fn new_chunk(len: usize) -> NonNull<Source> {
    let layout = Layout::array::<Source>(len).expect("a chunk fits into the address space");
    // SAFETY: the layout is not empty: neither `len` nor `Source` is.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_the_chunks_without_gaps() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(split(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(split(END - FIRST as u32 - 1).0 < CHUNKS);
    }

    #[test]
    fn sources_are_reused_and_found_by_number() {
        let arena: &'static Arena = Box::leak(Box::new(Arena::new()));
        assert!(arena.get(0).is_none());
        let all: Vec<_> = (0..1000).map(|_| arena.take()).collect();
        for (index, source) in all.iter().enumerate() {
            let index = index as u32;
            assert_eq!(source.index(), index);
            assert!(ptr::eq(arena.get(index).unwrap(), *source));
        }
        assert!(arena.get(1000).is_none());
        arena.put(all[7]);
        arena.put(all[3]);
        assert_eq!(arena.take().index(), 3);
        assert_eq!(arena.take().index(), 7);
        assert_eq!(arena.take().index(), 1000);
        let tally = arena.tally();
        assert_eq!((tally.taken, tally.returned), (1003, 2));
        assert!(arena.iter().map(Source::index).eq(0..1001));
    }
}
