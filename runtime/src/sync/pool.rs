//! `Pool`: a cache of objects that are dear to make, one part for each P.
//!
//! The problem is Go's `sync.Pool`'s: every request needs a buffer for a moment, making one costs an
//! allocation, and one list of spare buffers for all threads would be a lock that everybody contends
//! for. So each P has a list of its own.
//!
//! ```text
//!   P 0        P 1        P 2      no P (plain threads), overflow
//!  ┌────┐     ┌────┐     ┌────┐   ┌────────────┐
//!  │list│     │list│     │list│   │   shared   │
//!  └────┘     └────┘     └────┘   └────────────┘
//! ```
//!
//! * To take: the caller's own list, else a value from any other, else make one.
//! * To put: the caller's own list; if that is full, the shared one; if that is full, drop it.
//!
//! Go pins its goroutine to the P while it touches the P's list, which spares the lock, and pays with a
//! lock-free deque that others steal from. Here every list is behind a [`SpinLock`] of its own. Nobody
//! contends for it as long as there is something in everybody's list, so it costs one compare-exchange;
//! and it stays right if sysmon takes the P in the middle: the P's number is no more than a hint which
//! list to use. (For the same reason a P beyond the number of lists may share one with another.)
//!
//! Under a lock a value is moved and nothing else: values are made, dropped, and lists enlarged outside.
//!
//! Go's garbage collector empties its pools, in two steps (the "victim cache"). There is no collector
//! here to say when; instead the lists are short, and [`Pool::clear`] and [`Pool::shrink_to`] are there for
//! those who know when.

use crate::prim::CachePadded;
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::prim::spin::SpinLock;
use crate::sched::{current, sched};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

/// Values that each P's list keeps, unless the pool says otherwise.
const LIMIT: usize = 64;
/// The shared list keeps this many times as many.
const SHARED: usize = 4;
/// The first allocation of a list.
const FIRST: usize = 4;

/// A cache of objects that are dear to make and used for a short time, such as buffers.
///
/// [`get`](Pool::get) lends a value that goes back when the guard is dropped; [`take`](Pool::take) and
/// [`put`](Pool::put) do the same by hand. When there is none left, `init` makes one.
///
/// Values come back as their last user left them: clean them after getting or before putting. And a pool
/// of things that grow, grows: do not put a buffer back that one huge request has enlarged.
///
/// ```
/// use corio::sync::Pool;
/// use std::io::Write;
///
/// static BUFFERS: Pool<Vec<u8>> = Pool::new(|| Vec::with_capacity(4096));
///
/// fn respond(n: u32) -> usize {
///     let mut buffer = BUFFERS.get();
///     buffer.clear();
///     write!(buffer, "the answer is {n}").unwrap();
///     let len = buffer.len(); // ... send it ...
///     if buffer.capacity() > 64 * 1024 {
///         drop(corio::sync::Pooled::into_inner(buffer)); // not this one
///     }
///     len
/// }
///
/// assert_eq!(respond(42), 16);
/// assert_eq!(BUFFERS.idle(), 1);
/// ```
///
/// # How many it keeps
///
/// At most 64 values for each P and four times as many for all together, or as [`with_limit`] says;
/// what is put beyond that is dropped. They are kept until they are used or the pool is cleared.
///
/// # Panics
///
/// What a panicking user held is dropped, not put back: who knows in which state it is. A panic of
/// `init` reaches the caller and leaves the pool as it was.
///
/// # Blocking
///
/// Nothing here blocks or switches, unless `init` or the value's destructor does. They run without any
/// lock held and may use the pool themselves.
///
/// # Counterpart
///
/// Go's `sync.Pool`. Different from it: the number of values is bounded, and they are not dropped for
/// being idle, since there is no garbage collector (Go drops what two collections found unused).
///
/// [`with_limit`]: Pool::with_limit
#[doc(alias = "sync.Pool")]
pub struct Pool<T, F = fn() -> T> {
    init: F,
    limit: usize,
    /// One for each P that existed when the first value was put by a goroutine.
    lists: OnceLock<Box<[CachePadded<List<T>>]>>,
    shared: List<T>,
}

// No user code runs while anything of the pool is half done, and what a panicking user held does not
// come back.
impl<T, F: UnwindSafe> UnwindSafe for Pool<T, F> {}
impl<T, F: RefUnwindSafe> RefUnwindSafe for Pool<T, F> {}

impl<T, F> Pool<T, F> {
    /// An empty pool whose values `init` makes.
    #[must_use]
    pub const fn new(init: F) -> Self
    where
        F: Fn() -> T,
    {
        Pool::with_limit(init, LIMIT)
    }

    /// As [`new`](Pool::new), keeping at most `limit` values for each P, and four times as many for all
    /// together. With 0 it keeps none.
    ///
    /// ```
    /// use corio::sync::Pool;
    ///
    /// static PAGES: Pool<Box<[u8; 4096]>> = Pool::with_limit(|| Box::new([0; 4096]), 8);
    /// assert_eq!(PAGES.get().len(), 4096);
    /// ```
    #[must_use]
    pub const fn with_limit(init: F, limit: usize) -> Self
    where
        F: Fn() -> T,
    {
        Pool {
            init,
            limit,
            lists: OnceLock::new(),
            shared: List::new(),
        }
    }

    /// A value that goes back into the pool when the guard is dropped.
    ///
    /// # Panics
    ///
    /// With whatever `init` panics with, if it has to make one.
    #[inline]
    pub fn get(&self) -> Pooled<'_, T, F>
    where
        F: Fn() -> T,
    {
        Pooled {
            value: ManuallyDrop::new(self.take()),
            pool: self,
        }
    }

    /// A value, for good: [`put`](Pool::put) it back, here or in another goroutine, or keep it.
    ///
    /// # Panics
    ///
    /// As [`get`](Pool::get).
    ///
    /// ```
    /// use corio::sync::Pool;
    ///
    /// let pool = Pool::new(String::new);
    /// let mut text = pool.take();
    /// text.push_str("used");
    /// pool.put(text);
    /// assert_eq!(pool.take(), "used");
    /// ```
    #[inline]
    pub fn take(&self) -> T
    where
        F: Fn() -> T,
    {
        self.try_take().unwrap_or_else(|| (self.init)())
    }

    /// A value if there is one: `None` where [`take`](Pool::take) would make one.
    #[inline]
    pub fn try_take(&self) -> Option<T> {
        match self.own() {
            Some((lists, own)) => lists[own].take().or_else(|| self.steal(lists, own + 1)),
            None => self.shared.take().or_else(|| match self.lists.get() {
                Some(lists) => self.steal(lists, 0),
                None => None,
            }),
        }
    }

    /// A value from the shared list or anybody's, looking from number `first` on.
    #[cold]
    fn steal(&self, lists: &[CachePadded<List<T>>], first: usize) -> Option<T> {
        let (before, from) = lists.split_at(first);
        from.iter()
            .chain(before)
            .map(|list| &**list)
            .chain([&self.shared])
            .find_map(List::take)
    }

    /// Puts a value into the pool, or drops it if the pool is full.
    #[inline]
    pub fn put(&self, value: T) {
        let refused = match self.own_or_new() {
            Some((lists, own)) => lists[own].put(value, self.limit),
            None => Err(value),
        };
        if let Err(value) = refused {
            // What is refused here, too, is dropped, with no lock held.
            drop(self.shared.put(value, self.limit.saturating_mul(SHARED)));
        }
    }

    /// Drops every value that is in the pool. Those in use are not affected.
    pub fn clear(&self) {
        self.shrink_to(0);
    }

    /// Drops values until there are at most `limit` for each P and, besides, at most `limit` for all
    /// together; gives unused room for more back, too.
    ///
    /// ```
    /// use corio::sync::Pool;
    ///
    /// let pool = Pool::new(|| 0);
    /// (0..10).for_each(|n| pool.put(n));
    /// pool.shrink_to(3);
    /// assert_eq!(pool.idle(), 3);
    /// pool.clear();
    /// assert_eq!(pool.idle(), 0);
    /// ```
    pub fn shrink_to(&self, limit: usize) {
        for list in self.all() {
            list.shrink_to(limit);
        }
    }

    /// How many values are in the pool. Others may change that at once.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.all().map(List::len).sum()
    }

    fn all(&self) -> impl Iterator<Item = &List<T>> {
        let lists = self.lists.get().map_or(&[][..], |lists| lists);
        lists.iter().map(|list| &**list).chain([&self.shared])
    }

    /// The lists, and the number of the caller's. `None`: it has no P, or there are no lists yet.
    #[inline]
    fn own(&self) -> Option<(&[CachePadded<List<T>>], usize)> {
        let lists = self.lists.get()?;
        Some((lists, index(p_number()?, lists.len())))
    }

    /// As [`Pool::own`], making the lists if there are none.
    #[inline]
    fn own_or_new(&self) -> Option<(&[CachePadded<List<T>>], usize)> {
        let number = p_number()?;
        let lists = self.lists.get_or_init(|| {
            let all = sched().all_ps();
            all.map(|_| CachePadded::new(List::new())).collect()
        });
        Some((lists, index(number, lists.len())))
    }
}

/// The list of the P with this number, out of `len`. There may be more Ps by now.
#[inline]
fn index(number: usize, len: usize) -> usize {
    if number < len { number } else { number % len }
}

/// The number of the caller's P, if it has one: a moment ago at least.
#[inline]
fn p_number() -> Option<usize> {
    Some(current::try_m()?.p()?.id as usize)
}

impl<T: Default> Default for Pool<T> {
    /// A pool whose values are made by [`Default`].
    fn default() -> Self {
        Pool::new(T::default)
    }
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A stack of spare values: the one put last is warm in the cache, and taken first.
struct List<T> {
    values: SpinLock<Vec<T>>,
    /// How many there are; written under the lock, read by those who look for a list worth locking.
    len: AtomicUsize,
}

impl<T> List<T> {
    const fn new() -> Self {
        List {
            values: SpinLock::new(Vec::new()),
            len: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn take(&self) -> Option<T> {
        // Relaxed: a value overlooked is as good as one put a moment later.
        if self.len() == 0 {
            return None;
        }
        let mut values = self.values.lock();
        let value = values.pop();
        self.len.store(values.len(), Ordering::Relaxed);
        value
    }

    /// Gives the value back if there are `limit` already.
    #[inline]
    fn put(&self, value: T, limit: usize) -> Result<(), T> {
        let mut values = self.values.lock();
        if values.len() >= limit {
            return Err(value);
        }
        if values.len() == values.capacity() {
            drop(values);
            return self.put_growing(value, limit);
        }
        // There is room: this does not allocate.
        values.push(value);
        self.len.store(values.len(), Ordering::Relaxed);
        Ok(())
    }

    /// As [`List::put`], with room made outside the lock.
    #[cold]
    fn put_growing(&self, value: T, limit: usize) -> Result<(), T> {
        let mut room = Vec::new();
        loop {
            let mut values = self.values.lock();
            let len = values.len();
            if len >= limit {
                return Err(value);
            }
            if len == values.capacity() {
                if room.capacity() <= len {
                    drop(values);
                    room = Vec::with_capacity((2 * len).max(FIRST).min(limit));
                    continue;
                }
                room.append(&mut values);
                mem::swap(&mut room, &mut values);
            }
            values.push(value);
            self.len.store(values.len(), Ordering::Relaxed);
            // `room`, empty in any case, is freed after the lock, which was taken later.
            return Ok(());
        }
    }

    /// Drops what is too much.
    fn shrink_to(&self, limit: usize) {
        let mut keep = Vec::with_capacity(limit.min(self.len()));
        let mut values = self.values.lock();
        // Those put last are kept: they would be taken first. (More may have come since `len` was read.)
        let kept = values.len().min(limit).min(keep.capacity());
        let first = values.len() - kept;
        keep.extend(values.drain(first..));
        let rest = mem::replace(&mut *values, keep);
        self.len.store(values.len(), Ordering::Relaxed);
        drop(values);
        drop(rest);
    }
}

/// A value lent by [`Pool::get`]; goes back when dropped.
///
/// It may be sent to another goroutine or thread, and goes back from there.
#[must_use = "it goes back into the pool at once"]
pub struct Pooled<'a, T, F = fn() -> T> {
    value: ManuallyDrop<T>,
    pool: &'a Pool<T, F>,
}

impl<T, F> Pooled<'_, T, F> {
    /// Takes the value out, for good. As all guards', it must be called as `Pooled::into_inner(value)`.
    pub fn into_inner(this: Self) -> T {
        let mut this = ManuallyDrop::new(this);
        // SAFETY: `this` is not used again, nor dropped.
        unsafe { ManuallyDrop::take(&mut this.value) }
    }
}

impl<T, F> Drop for Pooled<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard is being dropped, so the value is not used again.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        if std::thread::panicking() {
            drop(value);
        } else {
            self.pool.put(value);
        }
    }
}

impl<T, F> Deref for Pooled<'_, T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, F> DerefMut for Pooled<'_, T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Pooled<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Display, F> fmt::Display for Pooled<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize as Counter;

    #[test]
    fn a_list_grows_up_to_its_limit() {
        let list = List::new();
        for n in 0..10 {
            assert_eq!(list.put(n, 10), Ok(()));
        }
        assert_eq!(list.put(10, 10), Err(10));
        assert_eq!(list.len(), 10);
        assert!((0..10).rev().all(|n| list.take() == Some(n)));
        assert_eq!(list.take(), None);
        assert_eq!(list.put(0, 0), Err(0));
    }

    #[test]
    fn shrinking_keeps_what_was_put_last() {
        let list = List::new();
        for n in 0..10 {
            assert_eq!(list.put(n, 64), Ok(()));
        }
        list.shrink_to(20);
        assert_eq!(list.len(), 10);
        list.shrink_to(3);
        assert_eq!(list.len(), 3);
        assert_eq!([list.take(), list.take()], [Some(9), Some(8)]);
        list.shrink_to(0);
        assert_eq!(list.take(), None);
        assert_eq!(list.put(1, 1), Ok(()));
    }

    #[test]
    fn values_without_size_are_counted_too() {
        let made = Counter::new(0);
        let pool = Pool::with_limit(
            || {
                made.fetch_add(1, Ordering::Relaxed);
            },
            2,
        );
        pool.take();
        (0..20).for_each(|_| pool.put(()));
        // From a plain thread, all in the shared list.
        assert_eq!(pool.idle(), 2 * SHARED);
        (0..2 * SHARED).for_each(|_| pool.take());
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}
