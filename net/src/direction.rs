//! One direction of a socket: its wait word, whose turn it is, and until when to wait.
//!
//! ```text
//!  operation                                        others
//!  take the turn ----------- or queue for it        release: hand the turn to the first in the queue
//!  try the system call                              event: word.ready
//!  publish a waiter in the word, park               set_deadline, timer: expire; close: close
//! ```
//!
//! ## Turns
//!
//! Like Go's fdMutex: one operation at a time per direction, the others queue first come, first
//! served. The word `turn`:
//!
//! | value | meaning | who changes it, to what |
//! | --- | --- | --- |
//! | `FREE` | nobody has the turn | operation → `HELD` |
//! | `HELD` | somebody has, nobody queues | its holder → `FREE`; operation, under the lock → `HELD+QUEUED` |
//! | `HELD+QUEUED` | somebody has, the queue is not empty | under the lock, who empties the queue → `HELD` |
//!
//! Without contention that is one compare-exchange each way. Under contention the holder hands its
//! turn to the first in the queue without freeing it: nobody overtakes. A queue node lies on its
//! waiter's stack; whoever unlinks it, under the lock, writes the outcome into it and owns waking it,
//! and the waiter can't return before that. So a node is unlinked once, and lives long enough.
//!
//! ## Deadlines
//!
//! `deadline` is the user's, absolute; `limit` is the parked operation's own (from a timeout), a
//! queued one has it in its node. The earlier of the two applies. Setting a deadline stores a number
//! and arms nothing; one timer per direction stays in the heap, and when it fires it looks at the
//! clock and the stored deadlines, wakes whose time is up, and is armed again if somebody still
//! waits. It is *armed for* `armed`. An operation that parks arms one only if the one there is later
//! than it needs, or there is none; so with deadlines that keep moving into the future, as a
//! server's do, requests do no timer work.
//!
//! **Claim:** when everything is at rest, for every operation that waits with an effective deadline
//! D: either its time is up and it has been woken, or a timer is armed for D or earlier.
//!
//! Three parties touch that: an operation that *parks* (publishes its waiter, or queues), a *setter*
//! of the deadline, and the timer that *fires*. Each writes, fences, and reads what the others wrote:
//!
//! | | writes | fence | reads |
//! | --- | --- | --- | --- |
//! | park | waiter | `Site::Park` | deadline, `armed` |
//! | queue | itself, under the lock | `Site::Queue` | deadline, `armed` |
//! | set | deadline | `Site::Deadline` | waiter, `armed` |
//! | fire | `armed` = never, under the lock | `Site::Fire` | waiter, deadline |
//!
//! Of any two, at least one sees the other's write (that is what the fences give; SeqCst accesses
//! would too, but loom does not model those). Park/set: either the operation sees the new deadline,
//! or the setter sees the waiter. Park/fire: either the operation sees that nothing is armed, or the
//! timer sees the waiter. (Queue/fire are ordered by the lock.) Set/fire: either the setter sees that nothing is armed, or the timer sees
//! the new deadline. Whoever sees that something is due or not covered calls
//! [`settle`](Direction::settle), which takes the lock, wakes whose time is up, and arms the timer for
//! the rest; calls of it are serialised, so the last one leaves what the claim says.
//!
//! An interruption is another way to set a deadline in the past: it leaves the user's alone, which may
//! be set meanwhile, and applies again afterwards.
//!
//! `settle` may wake an operation too early (its limit may be the one before); an operation that finds
//! neither an event nor its time up parks again.
//!
//! A timer knows its direction and a sequence number, which arming moves on and reuse of the
//! descriptor does not reset; one that comes late finds another number and does nothing.
//!
//! Rejected: arming a timer per call (a heap operation per request); generations of the descriptor
//! in the timer (an arming superseded within one generation has to be told apart too); a lock around
//! deadline and waiter (two more atomic operations per request; the fence is one).
//!
//! Next in the reading order: `source`, which has two of them.

use crate::prim::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::prim::{Mutex, MutexGuard, Site, fence};
use crate::word::{Close, RawWaiter, State, WaitWord};
use std::cell::Cell;
use std::ptr;

/// Which direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Reading and accepting.
    Read,
    /// Writing and connecting.
    Write,
}

/// No deadline, no timeout, nothing armed.
pub(crate) const NEVER: u64 = u64::MAX;

/// The clock and timers of the runtime, or of a model.
pub(crate) trait Timers {
    /// Names an armed timer.
    type Id;
    /// The clock.
    fn now(&self) -> u64;
    /// Arms a timer for the direction at `when`; it calls [`Direction::fire`] with `seq`.
    fn add(&self, when: u64, seq: u64) -> Self::Id;
    /// Disarms a timer unless it fires already.
    fn cancel(&self, id: Self::Id);
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const QUEUED: u32 = 2;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Direction<I> {
    pub(crate) word: WaitWord,
    turn: AtomicU32,
    /// The last call moved less than it was asked to: the next one may park without trying. Only
    /// with the turn.
    drained: AtomicBool,
    deadline: AtomicU64,
    /// How many interruptions are in force. As long as there is one, the deadline is in the past,
    /// whatever the user sets.
    interrupts: AtomicU32,
    /// The limit of the operation that is parked in the word. Written with the turn only.
    limit: AtomicU64,
    /// Nanoseconds that a call may take.
    timeout: AtomicU64,
    /// When the armed timer fires. Written under the lock only.
    armed: AtomicU64,
    /// Bytes moved since there has been this direction, by all sockets that were in it one after the
    /// other: it only ever grows ([`metrics`](mod@crate::metrics)). Written with the turn only.
    bytes: AtomicU64,
    slow: Mutex<Slow<I>>,
}

/// What only the slow paths need.
#[derive(Debug)]
struct Slow<I> {
    timer: Option<I>,
    seq: u64,
    head: *const Node,
    tail: *const Node,
}

// SAFETY: the pointers are followed only under the lock that owns this; what they point to is kept
// alive by its waiter until it has been unlinked, under the lock (`enqueue`'s contract).
unsafe impl<I: Send> Send for Slow<I> {}

/// How queueing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// Still in the queue.
    Waiting,
    /// The turn is ours.
    Granted,
    /// The time was up.
    TimedOut,
    /// The socket was closed.
    Closed,
}

const OUTCOMES: [Outcome; 4] = [
    Outcome::Waiting,
    Outcome::Granted,
    Outcome::TimedOut,
    Outcome::Closed,
];

/// An operation's place in the queue, on its stack.
#[derive(Debug)]
pub(crate) struct Node {
    waiter: RawWaiter,
    until: u64,
    outcome: AtomicU8,
    next: Cell<*const Node>,
}

impl Node {
    /// A node for a caller that can be woken by `waiter` and has time until `until`.
    pub(crate) fn new(waiter: RawWaiter, until: u64) -> Self {
        Node {
            waiter,
            until,
            outcome: AtomicU8::new(Outcome::Waiting as u8),
            next: Cell::new(ptr::null()),
        }
    }

    /// How queueing ended. To be asked by the waiter after it was woken.
    pub(crate) fn outcome(&self) -> Outcome {
        // Relaxed: ordered by being woken.
        OUTCOMES[usize::from(self.outcome.load(Ordering::Relaxed))]
    }
}

/// What became of an attempt to queue.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enqueue {
    /// The turn was free after all and is the caller's; it keeps its waiter.
    Held,
    /// In the queue: the caller calls [`Direction::after_queueing`] and parks.
    Queued,
    /// Closed; the caller keeps its waiter.
    Closed,
}

impl<I> Direction<I> {
    /// A direction of a descriptor that is not in use.
    pub(crate) fn new() -> Self {
        Direction {
            word: WaitWord::new(),
            turn: AtomicU32::new(FREE),
            drained: AtomicBool::new(false),
            deadline: AtomicU64::new(NEVER),
            interrupts: AtomicU32::new(0),
            limit: AtomicU64::new(NEVER),
            timeout: AtomicU64::new(NEVER),
            armed: AtomicU64::new(NEVER),
            bytes: AtomicU64::new(0),
            slow: Mutex::new(Slow {
                timer: None,
                seq: 0,
                head: ptr::null(),
                tail: ptr::null(),
            }),
        }
    }

    /// Makes the direction as good as new, but for what it has counted. Only when the descriptor is
    /// given out.
    pub(crate) fn reset(&self) {
        self.drained.store(false, Ordering::Relaxed);
        self.deadline.store(NEVER, Ordering::Relaxed);
        self.interrupts.store(0, Ordering::Relaxed);
        self.limit.store(NEVER, Ordering::Relaxed);
        self.timeout.store(NEVER, Ordering::Relaxed);
        self.word.reset();
    }

    // ---- turns ----

    /// Takes the turn if nobody has it.
    #[inline]
    #[must_use]
    pub(crate) fn try_turn(&self) -> bool {
        // Acquire: partner of the Release in `release`.
        self.turn
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Does somebody have the turn?
    pub(crate) fn is_held(&self) -> bool {
        // Acquire: partner of the Release in `release`.
        self.turn.load(Ordering::Acquire) != FREE
    }

    /// Takes the turn or queues for it.
    ///
    /// # Safety
    ///
    /// If the result is `Queued`, `node` stays where it is until its waiter has been woken.
    pub(crate) unsafe fn enqueue(&self, node: &Node) -> Enqueue {
        let mut slow = self.slow.lock();
        if self.word.state() == State::Closed {
            // `close` marks the word before it empties the queue under this lock, so a node that is
            // linked below will be found by it.
            return Enqueue::Closed;
        }
        let mut seen = self.turn.load(Ordering::Relaxed);
        while seen & QUEUED == 0 {
            let next = if seen == FREE { HELD } else { HELD | QUEUED };
            // Acquire: as in `try_turn`.
            match self
                .turn
                .compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(FREE) => return Enqueue::Held,
                Ok(_) => break,
                Err(found) => seen = found,
            }
        }
        if slow.head.is_null() {
            slow.head = node;
        } else {
            // SAFETY: a linked node is alive, see `Slow`; we have the lock.
            unsafe { (*slow.tail).next.set(node) };
        }
        slow.tail = node;
        Enqueue::Queued
    }

    /// Gives the turn up; returns the waiter to wake if it was handed over. Only with the turn.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self) -> Option<RawWaiter> {
        // Release: partner of the Acquires in `try_turn` and `enqueue`.
        match self
            .turn
            .compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => None,
            Err(_) => self.hand_over(),
        }
    }

    #[cold]
    #[inline(never)]
    fn hand_over(&self) -> Option<RawWaiter> {
        let mut slow = self.slow.lock();
        if slow.head.is_null() {
            // The queue ran out of time while we came here.
            // Release: as in `release`.
            self.turn.store(FREE, Ordering::Release);
            return None;
        }
        Some(self.unlink(&mut slow, ptr::null(), Outcome::Granted))
    }

    /// Unlinks the node after `before` (the first, if null), of which there must be one, and returns
    /// its waiter, which the caller must wake.
    fn unlink(&self, slow: &mut Slow<I>, before: *const Node, outcome: Outcome) -> RawWaiter {
        let node = if before.is_null() {
            slow.head
        } else {
            // SAFETY: a linked node is alive, see `Slow`; we have the lock.
            unsafe { (*before).next.get() }
        };
        // SAFETY: as above. After the waiter is woken the node may be gone; that is not before we
        // return.
        let node_ref = unsafe { &*node };
        let next = node_ref.next.get();
        if before.is_null() {
            slow.head = next;
        } else {
            // SAFETY: as above.
            unsafe { (*before).next.set(next) };
        }
        if slow.tail == node {
            slow.tail = before;
        }
        if slow.head.is_null() {
            // The turn is held: by the caller of `release`, who hands it on, or by another.
            self.turn.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        // Relaxed: ordered by waking the waiter.
        node_ref.outcome.store(outcome as u8, Ordering::Relaxed);
        node_ref.waiter
    }

    // ---- what the holder of the turn remembers ----

    /// See the field.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// See the field. Only with the turn.
    #[inline]
    pub(crate) fn set_drained(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    /// Counts bytes that an operation has moved. Only with the turn.
    #[inline]
    pub(crate) fn count(&self, bytes: usize) {
        // No read-modify-write: there is one writer at a time, and taking the turn orders it after
        // the one before (for the next socket in the source, the arena's lock does).
        let sum = self.bytes.load(Ordering::Relaxed);
        self.bytes
            .store(sum.wrapping_add(bytes as u64), Ordering::Relaxed);
    }

    /// See the field.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The limit of the operation that will be parked in the word next. Only with the turn, before
    /// publishing.
    #[inline]
    pub(crate) fn set_limit(&self, limit: u64) {
        // Relaxed: published by the word.
        self.limit.store(limit, Ordering::Relaxed);
    }

    // ---- timeouts and deadlines ----

    /// What a call may take, in nanoseconds, or [`NEVER`].
    #[inline]
    pub(crate) fn timeout(&self) -> u64 {
        self.timeout.load(Ordering::Relaxed)
    }

    /// Sets [`timeout`](Self::timeout) for calls to come.
    pub(crate) fn set_timeout(&self, timeout: u64) {
        self.timeout.store(timeout, Ordering::Relaxed);
    }

    /// The deadline: the user's, or a time in the past during an interruption.
    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        if self.interrupts.load(Ordering::Relaxed) == 0 {
            self.deadline.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// Sets the deadline, also for whoever waits already; `wake` gets the waiters whose time is up.
    #[doc(alias = "poll_runtime_pollSetDeadline")]
    pub(crate) fn set_deadline(
        &self,
        deadline: u64,
        timers: &impl Timers<Id = I>,
        wake: impl FnMut(RawWaiter),
    ) {
        self.deadline.store(deadline, Ordering::Relaxed);
        fence(Site::Deadline);
        if deadline < self.armed.load(Ordering::Relaxed) && self.is_waited_on() {
            self.settle(timers, wake);
        }
    }

    /// Ends operations that wait, and lets none wait until [`resume`](Self::resume): for those who
    /// wait it is a deadline in the past, and the user's own stays as it is. `wake` gets the waiters.
    pub(crate) fn interrupt(&self, timers: &impl Timers<Id = I>, wake: impl FnMut(RawWaiter)) {
        self.interrupts.fetch_add(1, Ordering::Relaxed);
        fence(Site::Deadline);
        if self.is_waited_on() {
            self.settle(timers, wake);
        }
    }

    /// Takes one [`interrupt`](Self::interrupt) back. (Moving a deadline into the future needs no fence
    /// either: who waits arms a timer, or finds one armed that is early.)
    pub(crate) fn resume(&self) {
        self.interrupts.fetch_sub(1, Ordering::Relaxed);
    }

    /// The parker's half of the pair, between publishing and parking.
    #[inline]
    pub(crate) fn after_publishing(
        &self,
        limit: u64,
        timers: &impl Timers<Id = I>,
        wake: impl FnMut(RawWaiter),
    ) {
        fence(Site::Park);
        self.cover(limit, timers, wake);
    }

    /// The parker's half of the pair, between queueing and parking.
    pub(crate) fn after_queueing(
        &self,
        limit: u64,
        timers: &impl Timers<Id = I>,
        wake: impl FnMut(RawWaiter),
    ) {
        fence(Site::Queue);
        self.cover(limit, timers, wake);
    }

    #[inline]
    fn cover(&self, limit: u64, timers: &impl Timers<Id = I>, wake: impl FnMut(RawWaiter)) {
        if limit.min(self.deadline()) < self.armed.load(Ordering::Relaxed) {
            self.settle(timers, wake);
        }
    }

    /// The timer armed as number `seq` has fired.
    #[doc(alias = "netpolldeadlineimpl")]
    pub(crate) fn fire(&self, seq: u64, timers: &impl Timers<Id = I>, wake: impl FnMut(RawWaiter)) {
        {
            let mut slow = self.slow.lock();
            if slow.seq != seq {
                return;
            }
            slow.timer = None;
            self.armed.store(NEVER, Ordering::Relaxed);
        }
        fence(Site::Fire);
        if self.is_waited_on() {
            self.settle(timers, wake);
        }
    }

    fn is_waited_on(&self) -> bool {
        self.word.state() == State::Waiting || self.turn.load(Ordering::Relaxed) & QUEUED != 0
    }

    /// Wakes whose time is up and arms the timer for the others.
    ///
    /// Wakes outside the lock, one by one: waking takes the scheduler's locks.
    #[cold]
    #[inline(never)]
    fn settle(&self, timers: &impl Timers<Id = I>, mut wake: impl FnMut(RawWaiter)) {
        loop {
            let mut slow = self.slow.lock();
            match self.take_expired(&mut slow, timers.now()) {
                Ok(waiter) => {
                    drop(slow);
                    wake(waiter);
                }
                Err(next) => {
                    if next < self.armed.load(Ordering::Relaxed) {
                        self.arm(slow, next, timers);
                    }
                    return;
                }
            }
        }
    }

    /// Takes one waiter out whose time is up at `now`, or returns when the next one's will be.
    fn take_expired(&self, slow: &mut Slow<I>, now: u64) -> Result<RawWaiter, u64> {
        let deadline = self.deadline();
        let mut next = NEVER;
        if self.word.state() == State::Waiting {
            let until = deadline.min(self.limit.load(Ordering::Relaxed));
            if until > now {
                next = until;
            } else if let Some(waiter) = self.word.expire() {
                return Ok(waiter);
            }
        }
        let mut before = ptr::null();
        let mut node = slow.head;
        while !node.is_null() {
            // SAFETY: a linked node is alive, see `Slow`; we have the lock.
            let node_ref = unsafe { &*node };
            let until = deadline.min(node_ref.until);
            if until <= now {
                return Ok(self.unlink(slow, before, Outcome::TimedOut));
            }
            next = next.min(until);
            before = node;
            node = node_ref.next.get();
        }
        Err(next)
    }

    fn arm(&self, mut slow: MutexGuard<'_, Slow<I>>, when: u64, timers: &impl Timers<Id = I>) {
        if let Some(timer) = slow.timer.take() {
            timers.cancel(timer);
        }
        slow.seq += 1;
        self.armed.store(when, Ordering::Relaxed);
        // The lock keeps the timer, should it be due at once, from firing before it is noted here.
        slow.timer = Some(timers.add(when, slow.seq));
    }

    /// Arms the timer, in place of an operation that has parked since and gone on.
    #[cfg(loom)]
    pub(crate) fn arm_for_model(&self, when: u64, timers: &impl Timers<Id = I>) {
        self.arm(self.slow.lock(), when, timers);
    }

    // ---- the end ----

    /// Marks the direction closed. [`drain`](Self::drain) follows.
    pub(crate) fn close(&self) -> Close {
        self.word.close()
    }

    /// After [`close`](Self::close): disarms the timer and hands everybody in the queue to `wake`.
    pub(crate) fn drain(&self, timers: &impl Timers<Id = I>, mut wake: impl FnMut(RawWaiter)) {
        let mut slow = self.slow.lock();
        if let Some(timer) = slow.timer.take() {
            timers.cancel(timer);
            // If it fires already, it finds another number.
            slow.seq += 1;
            self.armed.store(NEVER, Ordering::Relaxed);
        }
        while !slow.head.is_null() {
            let waiter = self.unlink(&mut slow, ptr::null(), Outcome::Closed);
            drop(slow);
            wake(waiter);
            slow = self.slow.lock();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
