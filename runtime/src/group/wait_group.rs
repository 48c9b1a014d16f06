//! `WaitGroup`: waiting for a number of goroutines.
//!
//! Counter and "somebody waits" are one word (`state::wait_group`, where the states are); who waits is in
//! a [`WaitList`] in a lock of its own. Counting touches the word alone, whether somebody waits or not;
//! the lock is taken by those who must wait, and once per generation by the last who is done.
//!
//! Go's keeps the number of waiters in the word and lets as many through a semaphore. A waiter of the next
//! generation can then take a place that was meant for one of the last, which Go detects sometimes and
//! forbids ("WaitGroup is reused before previous Wait has returned"). With the waiters in a list, a
//! generation's are taken out together before the next begins, and reuse needs no rule.
//!
//! Rejected: one lock around counter and list. It costs two locked operations per `done` where one is
//! enough, and makes a thousand goroutines that end together queue up.
//!
//! Invariants:
//! * The list is not empty only while the word says `WAITED`.
//! * Whoever moves the counter from 1 to 0 releases everybody who was in the list at that moment, and nobody
//!   who came after the next `add`.

use crate::park::{WaitReason, begin, has_slot, park, take_slot};
use crate::prim::clock;
use crate::prim::spin::{SpinGuard, SpinLock};
use crate::state::wait_group::{Added, Done, WaitGroupWord};
use crate::sync::waitq::{FIRST_OWN, NOT_POPPED, Node, Outcome, WaitList};
use crate::task::builder::spawn;
use crate::task::join::JoinHandle;
use crate::{park as parking, timer};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All are done.
const RELEASED: Outcome = FIRST_OWN;

/// Waits for a number of goroutines to be done.
///
/// A `WaitGroup` is a counter: [`add`](WaitGroup::add) raises it, [`done`](WaitGroup::done) lowers it by
/// one, and [`wait`](WaitGroup::wait) blocks until it is zero. Clones are handles to the same counter.
/// [`go`](WaitGroup::go) does all but the waiting.
///
/// ```
/// use corio::group::WaitGroup;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::sync::Arc;
///
/// let sum = Arc::new(AtomicU32::new(0));
/// let wg = WaitGroup::new();
/// for n in 1..=4 {
///     let sum = Arc::clone(&sum);
///     wg.go(move || sum.fetch_add(n, Ordering::Relaxed));
/// }
/// wg.wait();
/// assert_eq!(sum.load(Ordering::Relaxed), 10);
/// ```
///
/// By hand, as in Go:
///
/// ```
/// use corio::group::WaitGroup;
///
/// let wg = WaitGroup::new();
/// wg.add(1);
/// let theirs = wg.clone();
/// corio::spawn(move || {
///     // ... work; a panic here would leave the others waiting, which `go` doesn't
///     theirs.done();
/// });
/// wg.wait();
/// ```
///
/// # Counterpart
///
/// Go's `sync.WaitGroup`. The differences:
///
/// * It is passed around by cloning; Go's must not be copied.
/// * `add` takes no negative number; `done` is the only way down.
/// * It may be used again at once. Whoever waits is let go by the `done` that makes the counter zero, even
///   if it is raised again before the waiter runs. Go panics when it notices such a thing.
/// * There are waits with a timeout.
///
/// crossbeam's `WaitGroup` counts its clones instead; this one doesn't.
#[doc(alias = "sync.WaitGroup")]
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

// A panic never leaves it half changed: no code of the user runs in it.
impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

struct Inner {
    word: WaitGroupWord,
    queue: SpinLock<WaitList>,
}

/// One to be done; it is when this is dropped, however that comes about.
struct Ticket(WaitGroup);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl WaitGroup {
    /// A group with a counter of zero.
    pub fn new() -> WaitGroup {
        WaitGroup {
            inner: Arc::new(Inner {
                word: WaitGroupWord::new(),
                queue: SpinLock::new(WaitList::new()),
            }),
        }
    }

    /// Adds `n` to the counter: so many calls of [`done`](WaitGroup::done) are to come. Never blocks.
    ///
    /// Call it before the goroutine is started that will be done, not in it: a `wait` that runs in between
    /// would find nothing to wait for.
    ///
    /// # Panics
    ///
    /// If the counter would exceed 2⁶⁰.
    ///
    /// ```
    /// let wg = corio::group::WaitGroup::new();
    /// wg.add(2);
    /// wg.done();
    /// wg.done();
    /// wg.wait();
    /// ```
    #[track_caller]
    pub fn add(&self, n: usize) {
        loop {
            match self.inner.word.add(n as u64) {
                Added::Counted => return,
                Added::ReleaseFirst => self.inner.release(),
                Added::TooMany => panic!("WaitGroup counter overflow"),
            }
        }
    }

    /// Lowers the counter by one; if that makes it zero, everybody who waits goes on. Never blocks.
    ///
    /// What was done before it is visible to whoever returns from `wait` because of it.
    ///
    /// # Panics
    ///
    /// With "negative WaitGroup counter", if the counter is zero. The counter stays zero.
    #[track_caller]
    #[inline]
    pub fn done(&self) {
        match self.inner.word.done() {
            Done::Counted => {}
            Done::Release => self.inner.release(),
            Done::Negative { release } => {
                if release {
                    self.inner.release();
                }
                panic!("negative WaitGroup counter: done was called more often than added");
            }
        }
    }

    /// Starts a goroutine and counts it: the counter is raised now, and lowered when `f` has returned or
    /// panicked.
    ///
    /// The handle is there for those who want the result; dropping it detaches the goroutine, which is
    /// still waited for by `wait`. A panic of `f` is reported as any goroutine's, and `wait` returns all the
    /// same; [`Group`](crate::group::Group) is the one that passes panics on.
    ///
    /// # Panics
    ///
    /// If the goroutine can't be started, as [`spawn`](crate::spawn()).
    ///
    /// # Blocking
    ///
    /// Never blocks.
    ///
    /// ```
    /// let wg = corio::group::WaitGroup::new();
    /// let answer = wg.go(|| 6 * 7);
    /// wg.go(|| println!("in a goroutine"));
    /// wg.wait();
    /// assert_eq!(answer.join().unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn go<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.add(1);
        // Dropped with the closure if the goroutine can't be started.
        let ticket = Ticket(self.clone());
        spawn(move || {
            let _ticket = ticket;
            f()
        })
    }

    /// Waits until the counter is zero.
    ///
    /// # Blocking
    ///
    /// Blocks the goroutine or the plain thread; a switch point on a goroutine. Any number may wait at once;
    /// they are made ready in the order in which they came.
    ///
    /// ```
    /// let wg = corio::group::WaitGroup::new();
    /// wg.wait(); // nothing to wait for
    /// wg.go(|| ());
    /// wg.wait();
    /// ```
    pub fn wait(&self) {
        if self.inner.word.count() == 0 {
            return parking::checkpoint();
        }
        let mut queue = self.inner.queue_to_join();
        if !self.inner.word.enlist() {
            drop(queue);
            return parking::checkpoint();
        }
        // SAFETY: it is pushed, and parked for until popped, right below.
        let node = unsafe { Node::alone(0, ptr::null_mut()) };
        // SAFETY: the node stays here until `park` returns, which takes a pop.
        unsafe { queue.push_back(&node) };
        drop(queue);
        park(WaitReason::WaitGroup, self.inner.id());
    }

    /// Waits until the counter is zero, but for at most `timeout`. `false`: the time ran out first.
    ///
    /// # Blocking
    ///
    /// As [`wait`](WaitGroup::wait); with a zero timeout it only looks.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let wg = corio::group::WaitGroup::new();
    /// wg.add(1);
    /// assert!(!wg.wait_timeout(Duration::from_millis(1)));
    /// wg.done();
    /// assert!(wg.wait_timeout(Duration::ZERO));
    /// ```
    #[must_use = "whether the wait succeeded is all there is to know"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(|| clock::after(timeout))
    }

    /// Waits until the counter is zero, but not beyond `deadline`. `false`: the time ran out first.
    ///
    /// # Blocking
    ///
    /// As [`wait`](WaitGroup::wait); with a deadline in the past it only looks.
    #[must_use = "whether the wait succeeded is all there is to know"]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_until(|| clock::at(deadline))
    }

    /// `deadline` is asked only if there is something to wait for.
    fn wait_until(&self, deadline: impl FnOnce() -> u64) -> bool {
        if self.inner.word.count() == 0 {
            parking::checkpoint();
            return true;
        }
        let deadline = deadline();
        if deadline == clock::NEVER {
            self.wait();
            return true;
        }
        if deadline <= clock::now() {
            parking::checkpoint();
            return false;
        }
        let mut queue = self.inner.queue_to_join();
        if !self.inner.word.enlist() {
            drop(queue);
            parking::checkpoint();
            return true;
        }
        // SAFETY: it is parked for right below.
        let token = unsafe { begin() };
        let node = Node::contested(token, 0, ptr::null_mut());
        // SAFETY: the node stays here until it has been popped, or is removed below.
        unsafe { queue.push_back(&node) };
        drop(queue);
        let timer = timer::wake_at(deadline, token);
        park(WaitReason::WaitGroup, self.inner.id());
        timer::cancel(timer);
        let mut queue = self.inner.queue.lock();
        // SAFETY: it was pushed to this queue only.
        if unsafe { queue.remove(&node) } && queue.is_empty() {
            self.inner.word.nobody_waits();
        }
        drop(queue);
        node.outcome() != NOT_POPPED
    }
}

impl Inner {
    /// Locks the queue, for a caller that may wait.
    fn queue_to_join(&self) -> SpinGuard<'_, WaitList> {
        if !has_slot() {
            // Not under the lock.
            take_slot();
        }
        self.queue.lock()
    }

    /// Lets everybody go whose generation is over.
    #[cold]
    fn release(&self) {
        let mut queue = self.queue.lock();
        if !self.word.release() {
            return;
        }
        let batch = queue.pop_all();
        drop(queue);
        batch.wake_all(RELEASED);
    }

    /// The group, in dumps.
    fn id(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

/// Shows the counter.
impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.inner.word.count())
            .finish_non_exhaustive()
    }
}
