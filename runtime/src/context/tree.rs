//! The tree of what can be cancelled.
//!
//! A [`Node`] stands for one `with_cancel`, `with_deadline` or `with_timeout`. (Values are a list of their
//! own, `values`: a context is a place in each.) A node holds its parent; a parent knows its children by
//! weak references, and they take themselves out when they are dropped. So a context that nobody cancels
//! leaves nothing behind, where Go's stays in its parent's map until somebody does.
//!
//! # Cancelling
//!
//! | `status` | means | changed by, to |
//! | --- | --- | --- |
//! | live | | whoever cancels it or an ancestor first → canceled or deadline exceeded, under the node's lock |
//! | canceled, deadline exceeded | for ever | |
//!
//! Who marks a node takes, under the same lock, all that depends on it: its children, which it marks next;
//! the sending side of `done`; the deadline's timer; the functions to be called. All of that is acted on
//! only when the whole subtree is marked and no lock is held; and the `done`s are disconnected from the
//! bottom upwards. So whoever sees one disconnect finds every descendant cancelled and disconnected.
//!
//! `cancel` returns when that is so. One that finds the node marked by somebody else therefore waits until
//! it is `settled`, which is set at the end; likewise for nodes of the subtree that another `cancel` has
//! marked. Such waits go from a node to one below it, so they don't go round in circles, and they are short,
//! for nothing between marking and settling blocks or runs user code: it is a spin lock in effect. (Go
//! holds the locks of all nodes on the way down instead, which limits the depth to the stack's.)
//!
//! Nothing here recurses: neither marking, which keeps a list, nor dropping a chain of nodes
//! ([`Node::drop`]).
//!
//! # Locks
//!
//! A node's lock is held for a few instructions, or for the growth of the list of its dependents; never two
//! of them together. No user code runs and nobody is woken under it.

use crate::channel::{Receiver, Sender, bounded};
use crate::context::{Cause, ContextError};
use crate::prim::Mutex;
use crate::prim::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::time::func::{self, FuncTimer};
use std::convert::Infallible;
use std::panic::Location;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// A function to be called, and who asked for it.
pub(super) type Call = (Box<dyn FnOnce() + Send>, &'static Location<'static>);

const LIVE: u32 = 0;
const CANCELED: u32 = 1;
const DEADLINE_EXCEEDED: u32 = 2;

/// The place of what is in no list.
pub(super) const NOWHERE: usize = usize::MAX;

/// Why a node was cancelled.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) error: ContextError,
    /// `None`: the error itself.
    pub(super) cause: Option<Cause>,
}

/// See the module's head.
pub(super) struct Node {
    parent: Option<Arc<Node>>,
    /// Where it is among its parent's dependents. Guarded by the parent's lock.
    place: AtomicUsize,
    /// The earliest of its own and its ancestors' deadlines.
    deadline: Option<Instant>,
    status: AtomicU32,
    settled: AtomicBool,
    /// Made when first asked for.
    done: OnceLock<Receiver<Infallible>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reason: Option<Reason>,
    sender: Option<Sender<Infallible>>,
    timer: Option<FuncTimer>,
    dependents: Dependents,
}

/// What has to be done about a node's end, in places that stay the same.
struct Dependents {
    entries: Vec<Entry>,
    free: usize,
    used: usize,
}

enum Entry {
    Free { next: usize },
    Child(Weak<Node>),
    Call(Call),
}

impl Node {
    /// A child of `parent`; cancelled at once if that is.
    pub(super) fn new(parent: Option<&Arc<Node>>, deadline: Option<Instant>) -> Arc<Node> {
        let node = Arc::new(Node {
            parent: parent.cloned(),
            place: AtomicUsize::new(NOWHERE),
            deadline,
            status: AtomicU32::new(LIVE),
            settled: AtomicBool::new(false),
            done: OnceLock::new(),
            state: Mutex::new(State::default()),
        });
        if let Some(parent) = parent {
            let mut state = parent.state.lock();
            match state.reason.clone() {
                None => {
                    let child = Entry::Child(Arc::downgrade(&node));
                    let place = state.dependents.add(child);
                    node.place.store(place, Ordering::Relaxed);
                }
                Some(reason) => {
                    drop(state);
                    node.cancel(reason);
                }
            }
        }
        node
    }

    /// Arms the timer that cancels it at `deadline` for this cause.
    pub(super) fn arm(
        self: &Arc<Node>,
        deadline: Instant,
        cause: Option<Cause>,
        location: &'static Location<'static>,
    ) {
        let reason = Reason {
            error: ContextError::DeadlineExceeded,
            cause,
        };
        if deadline <= Instant::now() {
            return self.cancel(reason);
        }
        let node = Arc::downgrade(self);
        let expire = move || {
            if let Some(node) = node.upgrade() {
                node.cancel(reason.clone());
            }
        };
        let timer = func::at(deadline, expire, location);
        let mut state = self.state.lock();
        if state.reason.is_none() {
            state.timer = Some(timer);
        } else {
            drop(state);
            timer.stop();
        }
    }

    /// Why it was cancelled, if it was.
    #[inline]
    pub(super) fn error(&self) -> Option<ContextError> {
        // Acquire: partner of the Release in `mark`; what was done before cancelling is visible.
        match self.status.load(Ordering::Acquire) {
            LIVE => None,
            CANCELED => Some(ContextError::Canceled),
            _ => Some(ContextError::DeadlineExceeded),
        }
    }

    /// The same in full.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.error()?;
        self.state.lock().reason.clone()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A channel that is disconnected when the node is cancelled.
    pub(super) fn done(&self) -> &Receiver<Infallible> {
        self.done.get_or_init(|| {
            let (sender, receiver) = bounded(0);
            let mut state = self.state.lock();
            if state.reason.is_none() {
                state.sender = Some(sender);
            } else {
                drop(state);
                // It is disconnected from the start, which says the same as if it were now.
                self.wait_until_settled();
            }
            receiver
        })
    }

    /// Has `call` called when the node is cancelled; returns its place. If it is already, the function
    /// comes back.
    pub(super) fn add_call(&self, call: Call) -> Result<usize, Call> {
        let mut state = self.state.lock();
        match state.reason {
            None => Ok(state.dependents.add(Entry::Call(call))),
            Some(_) => Err(call),
        }
    }

    /// Takes the function at this place back. `false`: the node was cancelled.
    pub(super) fn remove_call(&self, place: usize) -> bool {
        let mut state = self.state.lock();
        if state.reason.is_some() {
            return false;
        }
        let removed = state.dependents.remove(place);
        drop(state);
        // The function, with what it captured.
        drop(removed);
        true
    }

    /// Cancels it and all its descendants, unless that was done before. They are cancelled when this
    /// returns.
    pub(super) fn cancel(self: &Arc<Node>, reason: Reason) {
        let mut work = Work::default();
        if !self.mark(&reason, &mut work) {
            return self.wait_until_settled();
        }
        while let Some(node) = work.to_mark.pop() {
            if node.mark(&reason, &mut work) {
                work.marked.push(node);
            } else {
                work.others.push(node);
            }
        }
        for node in &work.others {
            node.wait_until_settled();
        }
        // Wakes those who wait for `done`; a node's children before the node.
        while let Some(sender) = work.senders.pop() {
            drop(sender);
        }
        for node in &work.marked {
            node.settle();
        }
        self.settle();
        // Not before: who cancels the parent meanwhile finds it there, and waits for it.
        self.leave_parent();
        // From here on there may be user code: in the goroutines that are started, and in destructors, of which
        // one that panics keeps nothing from being done.
        for (f, location) in work.calls {
            func::start(f, location);
        }
        for timer in &work.timers {
            timer.stop();
        }
    }

    /// Marks it, and takes what is to be done about it. `false`: it was marked before.
    fn mark(&self, reason: &Reason, work: &mut Work) -> bool {
        let status = match reason.error {
            ContextError::Canceled => CANCELED,
            ContextError::DeadlineExceeded => DEADLINE_EXCEEDED,
        };
        let mut state = self.state.lock();
        if state.reason.is_some() {
            return false;
        }
        state.reason = Some(reason.clone());
        // Release: partner of the Acquire in `error`.
        self.status.store(status, Ordering::Release);
        let sender = state.sender.take();
        let timer = state.timer.take();
        let dependents = std::mem::take(&mut state.dependents);
        drop(state);
        work.senders.extend(sender);
        work.timers.extend(timer);
        for entry in dependents.entries {
            match entry {
                Entry::Free { .. } => {}
                // One that is being dropped can't be had any more, and needn't.
                Entry::Child(child) => work.to_mark.extend(child.upgrade()),
                Entry::Call(call) => work.calls.push(call),
            }
        }
        true
    }

    fn settle(&self) {
        // Release: partner of the Acquire in `wait_until_settled`.
        self.settled.store(true, Ordering::Release);
    }

    /// Waits for the `cancel` that marked it.
    fn wait_until_settled(&self) {
        const SPINS: u32 = 100;
        const YIELDS: u32 = 200;
        let mut round = 0;
        // Acquire: partner of the Release in `settle`.
        while !self.settled.load(Ordering::Acquire) {
            round += 1;
            if round < SPINS {
                std::hint::spin_loop();
            } else if round < YIELDS {
                std::thread::yield_now();
            } else {
                // Its thread may have a lower priority than ours.
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn leave_parent(&self) {
        let Some(parent) = &self.parent else { return };
        let mut state = parent.state.lock();
        if state.reason.is_some() {
            return;
        }
        let place = self.place.swap(NOWHERE, Ordering::Relaxed);
        let removed = (place != NOWHERE).then(|| state.dependents.remove(place));
        drop(state);
        drop(removed);
    }

    /// Takes it out of the tree, whose last reference is gone; returns its parent.
    fn leave(&mut self) -> Option<Arc<Node>> {
        if let Some(timer) = self.state.get_mut().timer.take() {
            timer.stop();
        }
        self.leave_parent();
        self.parent.take()
    }
}

impl Drop for Node {
    /// Drops the ancestors that only it has kept, one after the other: the chain may be long.
    fn drop(&mut self) {
        let mut next = self.leave();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.leave();
            // `node` is dropped without a parent, so this doesn't recurse.
        }
    }
}

/// What a `cancel` has found and has still to do.
#[derive(Default)]
struct Work {
    to_mark: Vec<Arc<Node>>,
    marked: Vec<Arc<Node>>,
    /// Marked by somebody else.
    others: Vec<Arc<Node>>,
    senders: Vec<Sender<Infallible>>,
    timers: Vec<FuncTimer>,
    calls: Vec<Call>,
}

impl Default for Dependents {
    fn default() -> Dependents {
        Dependents {
            entries: Vec::new(),
            free: NOWHERE,
            used: 0,
        }
    }
}

impl Dependents {
    fn add(&mut self, entry: Entry) -> usize {
        self.used += 1;
        let Some(place) = self.entries.get_mut(self.free) else {
            self.entries.push(entry);
            return self.entries.len() - 1;
        };
        let Entry::Free { next } = std::mem::replace(place, entry) else {
            unreachable!("the free list holds free places")
        };
        std::mem::replace(&mut self.free, next)
    }

    /// Takes out what is at `place`, which the caller has from `add`; and the room for all, when this was
    /// the last. To be dropped without the lock.
    fn remove(&mut self, place: usize) -> (Entry, Dependents) {
        let next = self.free;
        let entry = std::mem::replace(&mut self.entries[place], Entry::Free { next });
        self.free = place;
        self.used -= 1;
        let room = if self.used == 0 && self.entries.len() > SMALL {
            std::mem::take(self)
        } else {
            Dependents::default()
        };
        (entry, room)
    }
}

/// Room for this many dependents is kept when there are none.
const SMALL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn canceled() -> Reason {
        Reason {
            error: ContextError::Canceled,
            cause: None,
        }
    }

    fn dependents(node: &Node) -> usize {
        node.state.lock().dependents.used
    }

    /// Go's `XTestCancelRemoves`.
    #[test]
    fn a_node_that_ends_is_gone_from_its_parent() {
        let root = Node::new(None, None);
        let cancelled = Node::new(Some(&root), None);
        let dropped = Node::new(Some(&root), None);
        let timed = Node::new(Some(&root), None);
        timed.arm(Instant::now() + HOUR, None, Location::caller());
        assert_eq!(dependents(&root), 3);
        cancelled.cancel(canceled());
        assert_eq!(dependents(&root), 2);
        drop(dropped);
        assert_eq!(dependents(&root), 1);
        let call = root.add_call((Box::new(|| ()), Location::caller()));
        let Ok(place) = call else {
            panic!("it is live")
        };
        assert_eq!(dependents(&root), 2);
        assert!(root.remove_call(place));
        timed.cancel(canceled());
        assert!(timed.state.lock().timer.is_none());
        assert_eq!(dependents(&root), 0);
        assert_eq!(Arc::strong_count(&root), 3, "ours, and two children's");
        drop((cancelled, timed));
        assert_eq!((Arc::strong_count(&root), Arc::weak_count(&root)), (1, 0));
    }

    #[test]
    fn a_chain_is_kept_by_its_end_alone() {
        let root = Node::new(None, None);
        let middle = Node::new(Some(&root), None);
        let leaf = Node::new(Some(&middle), None);
        drop(middle);
        assert_eq!(dependents(&root), 1);
        root.cancel(canceled());
        assert_eq!(leaf.error(), Some(ContextError::Canceled));
        drop(leaf);
        assert_eq!(Arc::strong_count(&root), 1);
    }

    #[test]
    fn places_are_used_again_and_room_is_given_back() {
        let mut all = Dependents::default();
        let entry = || Entry::Child(Weak::new());
        let places: Vec<usize> = (0..100).map(|_| all.add(entry())).collect();
        for &place in places.iter().step_by(2) {
            drop(all.remove(place));
        }
        for _ in 0..50 {
            assert!(all.add(entry()) < 100);
        }
        assert_eq!(all.entries.len(), 100);
        for place in 0..100 {
            drop(all.remove(place));
        }
        assert_eq!((all.used, all.entries.capacity()), (0, 0));
        assert_eq!(all.add(entry()), 0);
    }
}
