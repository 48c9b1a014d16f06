//! Free stacks: a cache per P, and a pool per size class.
//!
//! A free stack is its top's address, 8 bytes in a list; nothing is written into the stack itself,
//! whose pages may have been given back.
//!
//! | where | what | leaves it |
//! | --- | --- | --- |
//! | [`StackCache`] | the hottest stacks of the default class, on one P | last in first out; the coldest half to the pool when full |
//! | `dirty` | free stacks whose pages are still committed | back: to who needs stacks, hottest first; front: to `trim`, coldest first |
//! | `trimmed` | free stacks without pages | to who needs stacks when `dirty` is empty |
//! | `bare` | carved, but their guard could not be installed | as if still in the slab |
//! | `slab` | never handed out | a guard is installed, then handed out |
//!
//! Invariants:
//!
//! 1. What is in a cache, `dirty` or `trimmed` has its guard. What is in `bare` or `slab` is not
//!    counted as having one.
//! 2. `dirty` and `trimmed` and `bare` have room for every stack mapped: putting a stack back
//!    allocates nothing and can't fail.
//! 3. The pool's lock is a leaf but for the slab table's (rank: pool, then table). It is not held
//!    while guards are installed or pages given back, only while a slab is mapped, which is rare, and
//!    keeps two threads from mapping one each.
//!
//! Rejected: a lock-free stack linked through the free stacks (each would keep a page committed, and
//! it needs tags against ABA); trimming on `put` (a system call on the exit path, for stacks that are
//! often needed again at once).

use super::slab::{self, Carver, MapError, Top};
use super::sys::{self, Step};
use super::{SizeClass, Stack, StackError, StackStats, default_class};
use crate::prim::arch::prefetch;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::slice;

/// How many stacks a cache holds.
const CACHE: usize = 64;
/// How many stacks move between a cache and the pool in one lock.
const HALF: usize = CACHE / 2;
/// How many stacks without pages a cache takes at a time: the user of each pays for its pages
/// anyway, so that few would be saved by taking more, and fewer lie idle in caches.
const FRESH: usize = 8;
/// How many stacks are trimmed per lock.
const TRIM: usize = 32;

static POOLS: [Pool; SizeClass::COUNT] = {
    let mut pools = [const { Pool::new(SizeClass(0)) }; SizeClass::COUNT];
    let mut index = 0;
    while index < SizeClass::COUNT {
        pools[index].class = SizeClass(index as u8);
        index += 1;
    }
    pools
};

/// A stack for a caller without a P.
#[doc(alias = "stackalloc")]
#[doc(alias = "stackfree")]
pub(crate) fn pool_get(class: SizeClass) -> Result<Stack, StackError> {
    POOLS[class.index()].take_one()
}

/// Takes a stack back from a caller without a P.
pub(crate) fn pool_put(stack: Stack) {
    let (top, class) = stack.into_raw();
    POOLS[class.index()].put(&mut [Some(Top(top))]);
}

/// Gives pages of free stacks back, of at most `batch` stacks, those first that were free for
/// longest. Returns how many were trimmed: less than `batch` if no more were left to trim.
pub(crate) fn trim_pool(batch: usize) -> usize {
    let mut trimmed = 0;
    for pool in &POOLS {
        trimmed += pool.trim(batch - trimmed);
    }
    trimmed
}

/// Adds all pools to `stats`.
pub(super) fn count(stats: &mut StackStats) {
    for pool in &POOLS {
        pool.count(stats);
    }
}

/// A P's free stacks of the default class; for other classes it goes to the pool. Never trims; takes
/// a lock once per [`HALF`] operations at most.
pub(crate) struct StackCache {
    pool: &'static Pool,
    /// The pool's; here so that a hit touches nothing else.
    class: SizeClass,
    len: usize,
    /// `Some` below `len`; the hottest is the last.
    entries: [Option<Top>; CACHE],
}

impl StackCache {
    /// An empty cache for what is now the default class.
    pub(crate) fn new() -> Self {
        Self::of(&POOLS[default_class().index()])
    }

    fn of(pool: &'static Pool) -> Self {
        StackCache {
            pool,
            class: pool.class,
            len: 0,
            entries: [None; CACHE],
        }
    }

    /// A stack: the one put back last, if there is one of the class.
    #[inline]
    pub(crate) fn get(&mut self, class: SizeClass) -> Result<Stack, StackError> {
        if class != self.class {
            return pool_get(class);
        }
        if self.len == 0 {
            self.refill()?;
        }
        self.len -= 1;
        let top = self.entries[self.len].take();
        let top = top.expect("entries below `len` are filled").0;
        if let Some(next) = self.len.checked_sub(1)
            && let Some(next) = &self.entries[next]
        {
            // Goroutines that start come in bursts.
            prefetch(next.0.as_ptr().addr() - 64);
            prefetch(next.0.as_ptr().addr() - 128);
        }
        Ok(Stack { top, class })
    }

    /// Takes a stack back.
    #[inline]
    pub(crate) fn put(&mut self, stack: Stack) {
        if stack.class() != self.class {
            return pool_put(stack);
        }
        if self.len == CACHE {
            self.spill();
        }
        self.entries[self.len] = Some(Top(stack.into_raw().0));
        self.len += 1;
    }

    /// Gives every stack to the pool.
    pub(crate) fn flush(&mut self) {
        self.pool.put(&mut self.entries[..self.len]);
        self.len = 0;
    }

    /// Gets at least one stack into the empty cache.
    #[cold]
    fn refill(&mut self) -> Result<(), StackError> {
        self.len = self.pool.take(&mut self.entries[..HALF])?;
        Ok(())
    }

    /// Gives the colder half of the full cache to the pool.
    #[cold]
    fn spill(&mut self) {
        self.pool.put(&mut self.entries[..HALF]);
        self.entries.copy_within(HALF.., 0);
        self.entries[HALF..].fill(None);
        self.len = HALF;
    }
}

impl Drop for StackCache {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The free stacks of one class.
struct Pool {
    class: SizeClass,
    free: Mutex<Free>,
}

/// What a pool's lock protects; the module's head tells what is where.
struct Free {
    dirty: VecDeque<Top>,
    trimmed: Vec<Top>,
    bare: Vec<Top>,
    slab: Carver,
    /// Stacks in all slabs of the class.
    mapped: usize,
}

impl Pool {
    const fn new(class: SizeClass) -> Self {
        Pool {
            class,
            free: Mutex::new(Free {
                dirty: VecDeque::new(),
                trimmed: Vec::new(),
                bare: Vec::new(),
                slab: Carver::empty(),
                mapped: 0,
            }),
        }
    }

    /// One stack.
    fn take_one(&self) -> Result<Stack, StackError> {
        let mut top = None;
        self.take(slice::from_mut(&mut top))?;
        let top = top.expect("`take` fills at least one entry").0;
        Ok(Stack {
            top,
            class: self.class,
        })
    }

    /// Fills the first entries of `room` with stacks, the hottest last, and returns how many: at
    /// least one.
    #[cold]
    fn take(&self, room: &mut [Option<Top>]) -> Result<usize, StackError> {
        let mut free = self.free.lock();
        let n = free.take_pooled(room);
        if n > 0 {
            return Ok(n);
        }
        let carved = free.carve(self.class, room);
        drop(free);
        let n = carved.map_err(|error| error.explain(self.class))?;
        self.install_guards(&mut room[..n])
    }

    /// Installs the guards of stacks just carved. Those for which that fails become `bare` again; it
    /// is an error only if no stack is left.
    fn install_guards(&self, carved: &mut [Option<Top>]) -> Result<usize, StackError> {
        let failed = carved.iter().flatten().enumerate().find_map(|(n, &top)| {
            let error = slab::install_guard(top, self.class).err()?;
            Some((n, error))
        });
        let Some((n, error)) = failed else {
            return Ok(carved.len());
        };
        let bare = carved[n..].iter_mut().filter_map(Option::take);
        self.free.lock().bare.extend(bare);
        if n > 0 {
            return Ok(n);
        }
        Err(StackError::system(self.class, Step::Guard, error))
    }

    /// Empties `stacks` into the pool, the hottest last. They have guards.
    #[cold]
    fn put(&self, stacks: &mut [Option<Top>]) {
        let mut free = self.free.lock();
        free.dirty
            .extend(stacks.iter_mut().filter_map(Option::take));
    }

    /// Gives back the pages of at most `limit` stacks, without the lock; returns of how many.
    fn trim(&self, limit: usize) -> usize {
        let mut done = 0;
        while done < limit {
            let mut batch = [None; TRIM];
            let want = TRIM.min(limit - done);
            let mut free = self.free.lock();
            let n = want.min(free.dirty.len());
            for (entry, top) in batch.iter_mut().zip(free.dirty.drain(..n)) {
                *entry = Some(top);
            }
            drop(free);

            // Ours alone until they are put back. Those that are refused (locked memory) stay dirty.
            let mut refused = [None; TRIM];
            for (entry, refused) in batch[..n].iter_mut().zip(&mut refused) {
                // SAFETY: a free stack's contents are dead, and it was taken out of the lists.
                if entry.is_some_and(|top| unsafe { discard(top, self.class) }.is_err()) {
                    mem::swap(entry, refused);
                }
            }

            let mut free = self.free.lock();
            let before = free.trimmed.len();
            free.trimmed.extend(batch.into_iter().flatten());
            let trimmed = free.trimmed.len() - before;
            for top in refused.into_iter().flatten() {
                free.dirty.push_front(top);
            }
            drop(free);
            done += trimmed;
            if trimmed < want {
                break;
            }
        }
        done
    }

    fn count(&self, stats: &mut StackStats) {
        let free = self.free.lock();
        let pooled = free.dirty.len() + free.trimmed.len();
        let fresh = free.slab.left() + free.bare.len();
        stats.mapped += free.mapped;
        stats.in_use += free.mapped - fresh - pooled;
        stats.pooled += pooled;
        stats.trimmed += free.trimmed.len();
    }
}

/// Gives back all pages of a stack.
///
/// # Safety
/// The caller owns the stack, and nothing in it is in use.
unsafe fn discard(top: Top, class: SizeClass) -> io::Result<()> {
    // SAFETY: from its bottom on a stack has `size` bytes in its slab; dead, by the caller's word.
    unsafe { sys::discard(top.bottom(class), class.size()) }
}

impl Free {
    /// Moves free stacks into `room`, the hottest last; returns how many, which may be none.
    fn take_pooled(&mut self, room: &mut [Option<Top>]) -> usize {
        if self.dirty.is_empty() {
            let n = room.len().min(FRESH).min(self.trimmed.len());
            let from = self.trimmed.len() - n;
            for (entry, top) in room.iter_mut().zip(self.trimmed.drain(from..)) {
                *entry = Some(top);
            }
            return n;
        }
        let n = room.len().min(self.dirty.len());
        let from = self.dirty.len() - n;
        for (entry, top) in room.iter_mut().zip(self.dirty.drain(from..)) {
            *entry = Some(top);
        }
        n
    }

    /// Moves stacks without guards into `room`, from a new slab if there are none; returns how many:
    /// at least one.
    fn carve(&mut self, class: SizeClass, room: &mut [Option<Top>]) -> Result<usize, MapError> {
        if self.bare.is_empty() && self.slab.left() == 0 {
            let slab = slab::map(class, self.mapped)?;
            let mapped = self.mapped + slab.left();
            (self.slab, self.mapped) = (slab, mapped);
        }
        // After the mapping, and again after a failure, because slabs can't be taken back.
        self.reserve().map_err(|_| MapError::Lists)?;
        let mut n = 0;
        for entry in room.iter_mut().take(FRESH) {
            let Some(top) = self.bare.pop().or_else(|| self.slab.carve(class)) else {
                break;
            };
            *entry = Some(top);
            n += 1;
        }
        Ok(n)
    }

    /// Makes room in the lists for every stack there is. Large lists cost memory only where they
    /// have been filled.
    fn reserve(&mut self) -> Result<(), std::collections::TryReserveError> {
        let room = |len| self.mapped - len;
        self.dirty.try_reserve_exact(room(self.dirty.len()))?;
        self.trimmed.try_reserve_exact(room(self.trimmed.len()))?;
        self.bare.try_reserve_exact(room(self.bare.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::tests::readable;
    use super::super::{GuardKind, StackConfig, configure, stats, tests::in_child};
    use super::*;
    use std::collections::HashSet;
    use std::fs;

    /// A pool of its own, so that tests don't see each other's stacks.
    fn pool(size: usize) -> &'static Pool {
        let class = SizeClass::for_size(size).unwrap();
        Box::leak(Box::new(Pool::new(class)))
    }

    fn counts(pool: &Pool) -> (usize, usize, usize) {
        let free = pool.free.lock();
        (free.dirty.len(), free.trimmed.len(), free.bare.len())
    }

    fn get(cache: &mut StackCache) -> Stack {
        cache.get(cache.class).unwrap()
    }

    fn guarded(stack: &Stack) -> bool {
        let bottom = stack.bottom().as_ptr();
        readable(bottom)
            && !readable(bottom.wrapping_sub(1))
            && !readable(bottom.wrapping_sub(super::super::GUARD_SIZE))
    }

    #[test]
    fn a_cache_hands_out_distinct_guarded_stacks_and_the_hottest_first() {
        let mut cache = StackCache::of(pool(16 * 1024));
        let stacks: Vec<_> = (0..200).map(|_| get(&mut cache)).collect();
        let tops: HashSet<_> = stacks.iter().map(Stack::top).collect();
        assert_eq!(tops.len(), 200);
        assert!(stacks.iter().all(guarded));
        let mut last = None;
        for stack in stacks {
            assert_eq!(stack.top().as_ptr() as usize % sys::page_size(), 0);
            last = Some(stack.top());
            cache.put(stack);
        }
        assert_eq!(Some(get(&mut cache).top()), last);
    }

    #[test]
    fn a_cache_spills_its_colder_half_and_refills_from_the_pool() {
        let pool = pool(16 * 1024);
        let mut cache = StackCache::of(pool);
        let stacks: Vec<_> = (0..CACHE + 1).map(|_| get(&mut cache)).collect();
        let tops: Vec<_> = stacks.iter().map(Stack::top).collect();
        cache.flush();
        let (fresh, ..) = counts(pool);
        assert!(fresh < FRESH, "a cache carves few stacks ahead");
        for stack in stacks {
            cache.put(stack);
        }
        assert_eq!(counts(pool).0, fresh + HALF);
        assert_eq!(cache.len, HALF + 1);
        let back: Vec<_> = (0..CACHE + 1).map(|_| get(&mut cache).top()).collect();
        assert!(back.iter().eq(tops.iter().rev()), "last in, first out");
        assert_eq!(counts(pool).0, fresh);
    }

    #[test]
    fn stacks_of_other_classes_bypass_the_cache() {
        let mut cache = StackCache::of(pool(16 * 1024));
        // No other test uses this class.
        let class = SizeClass::for_size(128 * 1024).unwrap();
        let stack = cache.get(class).unwrap();
        assert_eq!(stack.class(), class);
        assert!(guarded(&stack));
        let top = stack.top();
        cache.put(stack);
        assert_eq!(cache.len, 0);
        let stack = pool_get(class).unwrap();
        assert_eq!(stack.top(), top);
        pool_put(stack);
    }

    #[test]
    fn trimming_gives_pages_back_coldest_first_and_keeps_guards() {
        let pool = pool(16 * 1024);
        let stacks: Vec<_> = (0..TRIM + 8).map(|_| pool.take_one().unwrap()).collect();
        let size = pool.class.size();
        let fill = |stack: &Stack| {
            // SAFETY: the test owns the stack, and nothing runs on it.
            unsafe { stack.bottom().as_ptr().write_bytes(0xA5, size) }
        };
        let is = |stack: &Stack, value: u8| {
            // SAFETY: as above.
            let bytes = unsafe { slice::from_raw_parts(stack.bottom().as_ptr(), size) };
            bytes.iter().all(|&byte| byte == value)
        };
        let mut tops: Vec<_> = stacks.iter().map(Stack::top).collect();
        for stack in stacks {
            fill(&stack);
            pool.put(&mut [Some(Top(stack.into_raw().0))]);
        }
        assert_eq!(pool.trim(TRIM + 4), TRIM + 4);
        assert_eq!(counts(pool), (4, TRIM + 4, 0));
        // Dirty ones come first, the hottest of them at once.
        for _ in 0..4 {
            let stack = pool.take_one().unwrap();
            assert_eq!(Some(stack.top()), tops.pop());
            assert!(is(&stack, 0xA5));
        }
        for left in (0..TRIM + 4).rev() {
            let stack = pool.take_one().unwrap();
            assert!(tops.contains(&stack.top()));
            assert!(is(&stack, 0) && guarded(&stack));
            assert_eq!(counts(pool), (0, left, 0));
        }
        assert_eq!(pool.trim(100), 0);
    }

    #[test]
    fn threads_never_get_the_same_stack() {
        let pool = pool(16 * 1024);
        std::thread::scope(|scope| {
            for id in 1..=4u64 {
                scope.spawn(move || {
                    let mut cache = StackCache::of(pool);
                    for round in 0..200 {
                        let held: Vec<_> = (0..round % 100).map(|_| get(&mut cache)).collect();
                        for stack in &held {
                            // SAFETY: owned here; the place is aligned and inside the stack.
                            unsafe { stack.top().cast::<u64>().sub(1).write(id << 32 | round) };
                        }
                        if round % 7 == 0 {
                            pool.trim(10);
                        }
                        for stack in held {
                            // SAFETY: as above.
                            let word = unsafe { stack.top().cast::<u64>().sub(1).read() };
                            assert_eq!(word, id << 32 | round);
                            cache.put(stack);
                        }
                    }
                });
            }
        });
        let free = pool.free.lock();
        let all = free.dirty.iter().chain(&free.trimmed);
        let carved = free.mapped - free.slab.left();
        assert_eq!(all.collect::<HashSet<_>>().len(), carved, "none was lost");
    }

    #[test]
    fn a_hundred_thousand_stacks_need_few_mappings() {
        in_child("a_hundred_thousand_stacks_need_few_mappings", || {
            let maps = || {
                fs::read_to_string("/proc/self/maps")
                    .unwrap()
                    .lines()
                    .count()
            };
            let before = maps();
            let mut cache = StackCache::new();
            let stacks: Vec<_> = (0..100_000).map(|_| get(&mut cache)).collect();
            let stats = stats();
            if stats.guard_kind == GuardKind::Mprotect {
                return; // This kernel can't.
            }
            assert!(maps() - before < 100, "{before} then {}", maps());
            assert!(stats.in_use >= 100_000 && stats.mapped < 150_000);
            stacks.into_iter().for_each(|stack| cache.put(stack));
            cache.flush();
            assert_eq!(super::super::stats().in_use, 0);
            assert_eq!(trim_pool(50_000), 50_000);
            assert_eq!(super::super::stats().trimmed, 50_000);
        });
    }

    #[test]
    fn forced_mprotect_guards_until_mappings_run_out() {
        in_child("forced_mprotect_guards_until_mappings_run_out", || {
            let max = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
            let max: usize = max.trim().parse().unwrap();
            let default_class = SizeClass::for_size(16 * 1024).unwrap();
            configure(StackConfig {
                guard: GuardKind::Mprotect,
                default_class,
            });
            let mut cache = StackCache::new();
            let first = get(&mut cache);
            assert!(guarded(&first));
            assert_eq!(stats().guard_kind, GuardKind::Mprotect);
            if max > 200_000 {
                return; // It would take too long.
            }
            let mut stacks = Vec::with_capacity(max);
            let error = loop {
                match cache.get(default_class) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => break error,
                }
            };
            assert!(stacks.iter().all(guarded));
            let bare = counts(&POOLS[default_class.index()]).2;
            // What was freed can be had again; more can't, and nothing is lost by trying.
            cache.put(stacks.pop().unwrap());
            stacks.push(get(&mut cache));
            assert!(cache.get(default_class).is_err());
            assert_eq!(counts(&POOLS[default_class.index()]).2, bare);
            assert!(bare > 0);
            assert_eq!(super::super::stats().in_use, 1 + stacks.len() + cache.len);
            let text = error.to_string();
            assert!(text.contains("vm.max_map_count of"), "{text}");
            assert!(stacks.len() > max / 2 - 2000, "{}", stacks.len());
        });
    }

    #[test]
    fn a_tight_address_space_is_used_up_and_then_named() {
        in_child("a_tight_address_space_is_used_up_and_then_named", || {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
            let class = SizeClass::for_size(1 << 20).unwrap();
            let limit = |bytes| libc::rlimit {
                rlim_cur: bytes,
                rlim_max: libc::RLIM_INFINITY,
            };
            // Room for ten stacks and a half, where a first slab would have 30, besides what is spared.
            let room = class.stride() * 21 / 2 + slab::BYTES_SPARED;
            let tight = limit((pages * sys::page_size() + room) as u64);
            // SAFETY: only sets a limit of this process.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &tight) };
            let mut stacks = Vec::with_capacity(64);
            let error = loop {
                match pool_get(class) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => break error,
                }
            };
            // SAFETY: as above.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit(libc::RLIM_INFINITY)) };
            assert!((8..=10).contains(&stacks.len()), "{}", stacks.len());
            assert!(stacks.iter().all(guarded));
            let error = io::Error::from(error);
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            let text = error.to_string();
            assert!(text.contains("RLIMIT_AS"), "{text}");
            assert!(pool_get(class).is_ok(), "it goes on once there is room");
        });
    }
}
