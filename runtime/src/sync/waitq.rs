//! The one wait queue, on which every lock and channel is built.
//!
//! A waiter is a [`Node`] on the stack of whoever waits; a [`WaitList`] links nodes first come, first
//! served. The list itself has no lock: it lies inside one ([`SpinLock`](crate::prim::spin::SpinLock)),
//! next to the state that decides whether anybody has to wait.
//!
//! ```text
//!          waiter                                     waker
//!   node on my stack, armed
//!   lock; must I wait? push(node); unlock      lock; pop() -> Claimed; unlock
//!   park                                       claimed.node(): give or take the goods
//!   (again mine) read node.outcome             claimed.wake(outcome)
//! ```
//!
//! # Whose is a node?
//!
//! | when | who may touch it | by what right |
//! | --- | --- | --- |
//! | before it is pushed, and after its waiter has woken | the waiter | it lies on its stack |
//! | while it is linked | whoever holds the list's lock | the lock |
//! | from `pop` until `wake` | the holder of the [`Claimed`] | it owns the right to wake the waiter, who until then can't go on |
//!
//! # Two ways to wait
//!
//! *Alone* ([`Node::alone`]): only who pops the node can end the wait, so the lock already decides who
//! that is, and no atomic operation is spent on it. *Contested* ([`Node::contested`]): a timer or other
//! queues may end it as well; then popping claims the wait's token, and a node whose token is gone is
//! unlinked and skipped. Who wakes without having been popped takes its node out with
//! [`remove`](WaitList::remove).
//!
//! Nothing is allocated, and the list may be moved while it is empty, so that everything built on it has
//! a `const fn new`.
//!
//! Next in the reading order: `raw`: how those who wait get a lock.

use crate::park::{WaitToken, Waiter, prepare};
use crate::prim::cell::Cell;
use crate::sched::reactor::ReadyList;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// How a wait ended. What wakes with something else than these says so in its own constants, from
/// [`FIRST_OWN`] on.
pub(crate) type Outcome = u32;

/// Nobody popped the node: the wait timed out, or another of its queues ended it.
pub(crate) const NOT_POPPED: Outcome = 0;
/// The first number that users of the queue may give a meaning.
pub(crate) const FIRST_OWN: Outcome = 1;

/// One waiter in one queue; lies on the waiter's stack.
#[derive(Debug)]
#[doc(alias = "sudog")]
pub(crate) struct Node {
    next: Cell<Option<NonNull<Node>>>,
    prev: Cell<Option<NonNull<Node>>>,
    linked: Cell<bool>,
    who: Cell<Who>,
    outcome: Cell<Outcome>,
    /// What the queue's users say about this waiter: whether it reads or writes, how many permits.
    pub(crate) tag: usize,
    /// Where the goods are or go, or null.
    pub(crate) slot: *mut (),
}

#[derive(Clone, Copy, Debug)]
enum Who {
    /// A `Waiter`, as a word: owned by the node while it is linked.
    Alone(NonZeroUsize),
    Contested(WaitToken),
}

/// A first come, first served queue of [`Node`]s. Guarded by the lock it lies in.
#[derive(Debug)]
#[doc(alias = "semacquire")]
#[doc(alias = "semrelease")]
pub(crate) struct WaitList {
    head: Option<NonNull<Node>>,
    tail: Option<NonNull<Node>>,
}

// SAFETY: the nodes it points to are touched under the lock it lies in (module head), whichever thread
// holds that.
unsafe impl Send for WaitList {}

/// A waiter that was popped: the right to wake it, and until then access to its node.
#[derive(Debug)]
#[must_use = "a waiter that is forgotten waits for ever"]
pub(crate) struct Claimed {
    node: NonNull<Node>,
    waiter: Waiter,
}

impl Node {
    /// A node for a wait that only who pops it ends.
    ///
    /// # Safety
    ///
    /// As for [`prepare`]: the caller pushes the node and parks until it has been popped, before it
    /// blocks on anything else.
    #[inline]
    pub(crate) unsafe fn alone(tag: usize, slot: *mut ()) -> Node {
        // SAFETY: passed on to the caller.
        let waiter = unsafe { prepare() };
        Node::new(Who::Alone(waiter.into_raw()), tag, slot)
    }

    /// A node for the wait that `token` names.
    #[inline]
    pub(crate) fn contested(token: WaitToken, tag: usize, slot: *mut ()) -> Node {
        Node::new(Who::Contested(token), tag, slot)
    }

    fn new(who: Who, tag: usize, slot: *mut ()) -> Node {
        Node {
            next: Cell::new(None),
            prev: Cell::new(None),
            linked: Cell::new(false),
            who: Cell::new(who),
            outcome: Cell::new(NOT_POPPED),
            tag,
            slot,
        }
    }

    /// How the wait ended. Only for the waiter, once it is awake and the node is in no queue.
    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        debug_assert!(!self.linked.get(), "the node is still linked");
        self.outcome.get()
    }

    /// Has it been popped, so that it is in no queue? Only for the waiter, once it is awake. (If not, it may
    /// be in no queue all the same.)
    #[inline]
    pub(crate) fn was_popped(&self) -> bool {
        self.outcome.get() != NOT_POPPED
    }

    /// Is it a node of the wait that `token` names?
    pub(crate) fn waits_for(&self, token: WaitToken) -> bool {
        matches!(self.who.get(), Who::Contested(mine) if mine == token)
    }

    /// The right to end the node's wait, if it is still to be had.
    #[inline]
    fn claim(&self) -> Option<Waiter> {
        match self.who.get() {
            // SAFETY: the node owned the waiter, and has just been unlinked, which happens once.
            Who::Alone(raw) => Some(unsafe { Waiter::from_raw(raw) }),
            Who::Contested(token) => token.claim(),
        }
    }
}

impl WaitList {
    /// An empty queue.
    pub(crate) const fn new() -> WaitList {
        WaitList {
            head: None,
            tail: None,
        }
    }

    /// Is nobody in it? A contested waiter whose wait is over may still be.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Puts `node` at the end.
    ///
    /// # Safety
    ///
    /// The node stays where it is until it has been popped and woken, or removed; and it is in no queue.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: &Node) {
        let this = NonNull::from(node);
        node.linked.set(true);
        node.prev.set(self.tail);
        node.next.set(None);
        match self.tail.replace(this) {
            // SAFETY: linked nodes are in place (contract), and the lock is held.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(this)),
            None => self.head = Some(this),
        }
    }

    /// Puts `node` at the front, before all others.
    ///
    /// # Safety
    ///
    /// As [`WaitList::push_back`].
    pub(crate) unsafe fn push_front(&mut self, node: &Node) {
        let this = NonNull::from(node);
        node.linked.set(true);
        node.prev.set(None);
        node.next.set(self.head);
        match self.head.replace(this) {
            // SAFETY: linked nodes are in place (contract), and the lock is held.
            Some(head) => unsafe { head.as_ref() }.prev.set(Some(this)),
            None => self.tail = Some(this),
        }
    }

    /// Takes the first waiter out whose wait is still open.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Claimed> {
        while let Some(node) = self.head {
            if let Some(claimed) = self.take(node) {
                return Some(claimed);
            }
        }
        None
    }

    /// Takes the first waiter out whose wait is still open and whose node is `wanted`.
    pub(crate) fn pop_where(&mut self, mut wanted: impl FnMut(&Node) -> bool) -> Option<Claimed> {
        let mut at = self.head;
        while let Some(node) = at {
            // SAFETY: linked, so in place; the lock is held.
            let here = unsafe { node.as_ref() };
            at = here.next.get();
            if wanted(here)
                && let Some(claimed) = self.take(node)
            {
                return Some(claimed);
            }
        }
        None
    }

    /// Takes the first waiter out whose wait is still open, if its node is `wanted`; nobody behind it.
    pub(crate) fn pop_if(&mut self, mut wanted: impl FnMut(&Node) -> bool) -> Option<Claimed> {
        while let Some(node) = self.head {
            // SAFETY: linked, so in place; the lock is held.
            if !wanted(unsafe { node.as_ref() }) {
                return None;
            }
            if let Some(claimed) = self.take(node) {
                return Some(claimed);
            }
        }
        None
    }

    /// Adds everybody to `batch` whose wait is still open and whose node is `wanted`. How many they are.
    pub(crate) fn pop_each(
        &mut self,
        batch: &mut Batch,
        mut wanted: impl FnMut(&Node) -> bool,
    ) -> usize {
        let mut count = 0;
        let mut at = self.head;
        while let Some(node) = at {
            // SAFETY: linked, so in place; the lock is held.
            let here = unsafe { node.as_ref() };
            at = here.next.get();
            if wanted(here)
                && let Some(claimed) = self.take(node)
            {
                batch.push(claimed);
                count += 1;
            }
        }
        count
    }

    /// Puts a waiter that was popped from another queue at the end of this one: it goes on waiting, now
    /// alone.
    pub(crate) fn requeue(&mut self, claimed: Claimed) {
        let Claimed { node, waiter } = claimed;
        // SAFETY: the waiter can't go on before it is woken.
        let here = unsafe { node.as_ref() };
        here.who.set(Who::Alone(waiter.into_raw()));
        // SAFETY: as above, so it stays in place; `pop` unlinked it.
        unsafe { self.push_back(here) };
    }

    /// Puts waiters that were popped from another queue at the end of this one, in their order.
    pub(crate) fn append(&mut self, mut batch: Batch) {
        while let Some(claimed) = batch.0.pop() {
            self.requeue(claimed);
        }
    }

    /// The first node, which may be one whose wait is over.
    pub(crate) fn first(&self) -> Option<&Node> {
        // SAFETY: linked, so in place; the list is borrowed, so the lock is held.
        self.head.map(|node| unsafe { node.as_ref() })
    }

    /// Is there a linked node that is `wanted`?
    pub(crate) fn any(&self, mut wanted: impl FnMut(&Node) -> bool) -> bool {
        let mut at = self.head;
        while let Some(node) = at {
            // SAFETY: linked, so in place; the lock is held.
            let here = unsafe { node.as_ref() };
            if wanted(here) {
                return true;
            }
            at = here.next.get();
        }
        false
    }

    /// Takes `node` out if it is still in. `false`: somebody popped it.
    ///
    /// # Safety
    ///
    /// The node is in this queue or in none.
    pub(crate) unsafe fn remove(&mut self, node: &Node) -> bool {
        let linked = node.linked.get();
        if linked {
            self.unlink(node);
        }
        linked
    }

    /// Takes everybody out whose wait is still open, to be woken together.
    pub(crate) fn pop_all(&mut self) -> Batch {
        let mut batch = Batch::new();
        while let Some(claimed) = self.pop() {
            batch.push(claimed);
        }
        batch
    }

    #[inline]
    fn take(&mut self, node: NonNull<Node>) -> Option<Claimed> {
        // SAFETY: linked, so in place; the lock is held.
        let here = unsafe { node.as_ref() };
        self.unlink(here);
        here.claim().map(|waiter| Claimed { node, waiter })
    }

    #[inline]
    fn unlink(&mut self, node: &Node) {
        let (prev, next) = (node.prev.get(), node.next.get());
        match prev {
            // SAFETY: neighbours are linked, so in place; the lock is held.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail = prev,
        }
        node.linked.set(false);
    }
}

impl Claimed {
    /// The waiter's node.
    #[inline]
    pub(crate) fn node(&self) -> &Node {
        // SAFETY: the waiter can't go on, and its node can't go away, before it is woken, for which
        // `wake` consumes `self`.
        unsafe { self.node.as_ref() }
    }

    /// Lets the waiter go on. Never blocks or switches. Best called after unlocking.
    #[inline]
    pub(crate) fn wake(self, outcome: Outcome) {
        self.node().outcome.set(outcome);
        self.waiter.ready();
    }

    /// As [`wake`](Claimed::wake), from a timer's function.
    pub(crate) fn wake_into(self, outcome: Outcome, ready: &mut ReadyList) {
        self.node().outcome.set(outcome);
        ready.push(self.waiter);
    }
}

/// Waiters that were popped, to be woken once the lock is open.
#[derive(Debug)]
#[must_use = "waiters that are forgotten wait for ever"]
pub(crate) struct Batch(WaitList);

impl Batch {
    /// Nobody yet.
    pub(crate) const fn new() -> Batch {
        Batch(WaitList::new())
    }

    /// Adds one.
    pub(crate) fn push(&mut self, claimed: Claimed) {
        self.0.requeue(claimed);
    }

    /// Adds those of another batch.
    pub(crate) fn append(&mut self, other: Batch) {
        self.0.append(other);
    }

    /// Adds one, if it is one. How many it were.
    pub(crate) fn extend(&mut self, claimed: Option<Claimed>) -> usize {
        let count = usize::from(claimed.is_some());
        if let Some(claimed) = claimed {
            self.push(claimed);
        }
        count
    }

    /// Lets them all go on.
    pub(crate) fn wake_all(mut self, outcome: Outcome) {
        while let Some(claimed) = self.0.pop() {
            claimed.wake(outcome);
        }
    }

    /// As [`wake_all`](Batch::wake_all), from a timer's function.
    pub(crate) fn wake_all_into(mut self, outcome: Outcome, ready: &mut ReadyList) {
        while let Some(claimed) = self.0.pop() {
            claimed.wake_into(outcome, ready);
        }
    }
}
