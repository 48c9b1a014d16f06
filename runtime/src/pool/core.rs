//! The pool's core: who works, who is idle, and who waits to submit, under one lock.
//!
//! There is no queue of tasks. A task goes from hand to hand: into the slot of an idle worker, with a
//! new worker, or, when all are busy, from the stack of the submitter that waits to the first worker that
//! gets free. So the pool allocates nothing but the task's box, and a task that can't be placed is given
//! back.
//!
//! ```text
//!            submit                              a worker is through
//!   idle worker there?   give it the task        closed, or one too many?  end
//!   fewer than capacity? start one with it       somebody waits?           take the task, wake it
//!   else                 wait, or Full           else                      idle, in front of the others
//! ```
//!
//! Idle workers are reused last in, first out, so the ones at the far end are those that nobody needs. They
//! expire like this: they lie in two lists, *fresh* and *stale*. Whoever becomes idle goes to the front of
//! the fresh ones; who is needed is taken from the front of the fresh ones, then of the stale ones. Once in a
//! period a raw timer ends whoever is stale and makes the fresh ones stale. So a worker expires after one to
//! two periods, nobody's clock is read per task, and the timer runs only while somebody is idle. (ants has a
//! goroutine with a ticker and a binary search for it. A timer per idle worker was rejected too: it would be
//! set and cancelled with each task.)
//!
//! # Invariants
//!
//! * `running` counts workers that were started, or are being started, and have not been told to end. Who
//!   tells a worker to end, or the worker that decides so itself, takes it off, under the lock.
//! * While somebody is idle nobody waits to submit, unless it is about to try again.
//! * A free place (`running < capacity`) is known to as many waiting submitters as there are such places:
//!   whoever frees one otherwise than by taking a submitter's task tells one to try [`AGAIN`].
//! * This part holds no code of the user's, so that the timer may hold a reference to it.
//!
//! | `timer` | means | changed by, to |
//! | --- | --- | --- |
//! | `Off` | none is set | a worker that becomes idle → `On` with the next number |
//! | `On` without an id | somebody is about to set the timer of this number, or has just set it | it → with its id; the timer's function, should it come first, as below |
//! | `On` with an id | that timer is set, or its function is about to run | its function → `On` with the next number, or `Off` |
//! | either `On` | | `close`, which cancels what it can → `Off` |
//!
//! Who has set a timer and does not find its number any more cancels it again; a timer's function that does not
//! find its number does nothing. Each timer owns a reference to the core, which goes with whoever cancels it in
//! time, or else with its function.

use crate::park::{self, WaitReason, begin, has_slot, park, take_slot};
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::prim::spin::SpinLock;
use crate::sched::reactor::ReadyList;
use crate::sync::waitq::{Batch, Claimed, FIRST_OWN, NOT_POPPED, Node, Outcome, WaitList};
use crate::timer::{self, TimerId};
use std::any::Any;
use std::cell::UnsafeCell;
use std::mem;
use std::ptr;
use std::sync::Arc;

/// An idle worker was given a task, or a submitter's task was taken.
const HANDED_OVER: Outcome = FIRST_OWN;
/// A submitter may find a free place.
const AGAIN: Outcome = FIRST_OWN + 1;
/// The worker is to end; or the pool was closed while a submitter waited.
const END: Outcome = FIRST_OWN + 2;

/// A submitted closure.
pub(super) type Task = Box<dyn Run>;

/// A closure that can be run, and recovered.
pub(super) trait Run: Any + Send {
    fn run(self: Box<Self>);
}

impl<F: FnOnce() + Send + 'static> Run for F {
    fn run(self: Box<Self>) {
        self();
    }
}

/// Where a task changes hands. Lies on the stack of whoever waits.
type Slot = UnsafeCell<Option<Task>>;

/// What becomes of a submitted task.
pub(super) enum Placed {
    /// A worker has it.
    HandedOver,
    /// A place was reserved: the caller starts a worker with it.
    Start(Task),
    /// The pool is closed.
    Closed(Task),
    /// Nobody took it in time.
    Full(Task),
}

/// How long to wait for a worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until this time, perhaps [`NEVER`], if `max_waiting` permits.
    Until(u64),
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Core {
    state: SpinLock<State>,
    /// Submitters that wait.
    waiting: AtomicUsize,
    /// The most of them.
    max_waiting: usize,
    /// The period of expiry, or [`NEVER`].
    expiry: u64,
}

#[derive(Debug)]
struct State {
    closed: bool,
    /// `usize::MAX` if it is unlimited.
    capacity: usize,
    running: usize,
    fresh: Idle,
    stale: Idle,
    submitters: WaitList,
    /// Who waits for `running` to become 0.
    drained: WaitList,
    timer: Timer,
    /// Timers there have been.
    timers: u64,
}

/// Idle workers, the last to become idle in front.
#[derive(Debug)]
struct Idle {
    list: WaitList,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    Off,
    On { number: u64, id: Option<TimerId> },
}

impl Idle {
    const NOBODY: Idle = Idle {
        list: WaitList::new(),
        len: 0,
    };
}

impl State {
    /// The number of the timer that the caller is to set.
    fn next_timer(&mut self) -> u64 {
        self.timers += 1;
        self.timer = Timer::On {
            number: self.timers,
            id: None,
        };
        self.timers
    }

    fn idle(&self) -> usize {
        self.fresh.len + self.stale.len
    }

    /// Nobody works any more: who waits for that is let go.
    fn if_drained(&mut self) -> Batch {
        match self.running {
            0 => self.drained.pop_all(),
            _ => Batch::new(),
        }
    }

    /// As many submitters as there are free places, to be told to try again.
    fn invited(&mut self) -> Batch {
        let mut invited = Batch::new();
        for _ in self.running..self.capacity {
            match self.submitters.pop() {
                Some(submitter) => invited.push(submitter),
                None => break,
            }
        }
        invited
    }

    fn pop_idle(&mut self) -> Option<Claimed> {
        let from = match self.fresh.len {
            0 => &mut self.stale,
            _ => &mut self.fresh,
        };
        let worker = from.list.pop()?;
        from.len -= 1;
        Some(worker)
    }

    /// Takes out the idle workers that are more than the pool may have, the ones longest idle first.
    fn surplus(&mut self) -> Batch {
        let mut surplus = Batch::new();
        while self.running > self.capacity {
            let from = match self.stale.len {
                0 => &mut self.fresh,
                _ => &mut self.stale,
            };
            let Some(worker) = from.list.pop() else { break };
            from.len -= 1;
            self.running -= 1;
            surplus.push(worker);
        }
        surplus
    }
}

impl Core {
    pub(super) fn new(capacity: usize, max_waiting: usize, expiry: u64) -> Core {
        Core {
            state: SpinLock::new(State {
                closed: false,
                capacity,
                running: 0,
                fresh: Idle::NOBODY,
                stale: Idle::NOBODY,
                submitters: WaitList::new(),
                drained: WaitList::new(),
                timer: Timer::Off,
                timers: 0,
            }),
            waiting: AtomicUsize::new(0),
            max_waiting,
            expiry,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.state.lock().running
    }

    pub(super) fn idle(&self) -> usize {
        self.state.lock().idle()
    }

    pub(super) fn capacity(&self) -> usize {
        self.state.lock().capacity
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Finds somebody for `task`.
    pub(super) fn place(&self, task: Task, patience: Patience) -> Placed {
        let slot = Slot::new(Some(task));
        // SAFETY: nobody waits with the slot, so it is the caller's alone.
        let take = || unsafe { (*slot.get()).take() }.expect("the task is in its slot");
        let mut tried = false;
        if !has_slot() {
            // Not under the lock, should the caller have to wait.
            take_slot();
        }
        loop {
            let mut state = self.state.lock();
            if state.closed {
                return Placed::Closed(take());
            }
            if let Some(worker) = state.pop_idle() {
                drop(state);
                let theirs = worker.node().slot.cast::<Option<Task>>();
                // SAFETY: an idle worker's slot, which is empty and whose owner can't go on before it is
                // woken.
                unsafe { *theirs = Some(take()) };
                worker.wake(HANDED_OVER);
                return Placed::HandedOver;
            }
            if state.running < state.capacity {
                state.running += 1;
                return Placed::Start(take());
            }
            let deadline = match patience {
                Patience::Until(deadline) if deadline > clock::now() => deadline,
                _ => return Placed::Full(take()),
            };
            // Relaxed: the lock orders it where it matters, at the limit.
            if !tried && self.waiting.load(Ordering::Relaxed) >= self.max_waiting {
                return Placed::Full(take());
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // SAFETY: it is parked for right below.
            let token = unsafe { begin() };
            let node = Node::contested(token, 0, slot.get().cast());
            // SAFETY: node and slot stay here until the node has been popped, or is removed below.
            unsafe {
                if tried {
                    state.submitters.push_front(&node);
                } else {
                    state.submitters.push_back(&node);
                }
            }
            drop(state);
            let timer = (deadline != NEVER).then(|| timer::wake_at(deadline, token));
            park(WaitReason::Semaphore, self.id());
            if let Some(timer) = timer {
                timer::cancel(timer);
                // SAFETY: it was pushed to this queue only.
                unsafe { self.state.lock().submitters.remove(&node) };
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tried = true;
            match node.outcome() {
                HANDED_OVER => return Placed::HandedOver,
                END => return Placed::Closed(take()),
                NOT_POPPED => return Placed::Full(take()),
                _ => {}
            }
        }
    }

    /// The next task of a worker that is through with the last one. `None`: it ends, and is counted as
    /// ended already.
    pub(super) fn next(self: &Arc<Core>) -> Option<Task> {
        let mut state = self.state.lock();
        if state.closed || state.running > state.capacity {
            state.running -= 1;
            let drained = state.if_drained();
            drop(state);
            drained.wake_all(HANDED_OVER);
            return None;
        }
        if let Some(submitter) = state.submitters.pop() {
            drop(state);
            let theirs = submitter.node().slot.cast::<Option<Task>>();
            // SAFETY: a waiting submitter's slot, whose owner can't go on before it is woken.
            let task = unsafe { (*theirs).take() };
            submitter.wake(HANDED_OVER);
            park::checkpoint();
            return task;
        }
        let slot = Slot::new(None);
        // SAFETY: it is pushed, and parked for until popped, right below; setting the timer does not
        // park.
        let node = unsafe { Node::alone(0, slot.get().cast()) };
        // SAFETY: node and slot stay here until `park` returns, which takes a pop.
        unsafe { state.fresh.list.push_front(&node) };
        state.fresh.len += 1;
        let timer =
            (matches!(state.timer, Timer::Off) && self.expiry != NEVER).then(|| state.next_timer());
        drop(state);
        if let Some(number) = timer {
            self.set_timer(number, None);
        }
        park(WaitReason::Worker, self.id());
        slot.into_inner()
    }

    /// A place has become free because its worker failed, or could not be started.
    pub(super) fn failed(&self) {
        let mut state = self.state.lock();
        state.running -= 1;
        let (drained, invited) = (state.if_drained(), state.invited());
        drop(state);
        drained.wake_all(HANDED_OVER);
        invited.wake_all(AGAIN);
    }

    /// From now on there may be `capacity` workers.
    pub(super) fn resize(&self, capacity: usize) {
        let mut state = self.state.lock();
        state.capacity = capacity;
        let (surplus, invited) = (state.surplus(), state.invited());
        drop(state);
        surplus.wake_all(END);
        invited.wake_all(AGAIN);
    }

    /// Refuses tasks from now on, and ends idle workers and waits.
    pub(super) fn close(self: &Arc<Core>) {
        let mut state = self.state.lock();
        state.closed = true;
        state.running -= state.idle();
        let (mut fresh, mut stale) = (
            mem::replace(&mut state.fresh, Idle::NOBODY),
            mem::replace(&mut state.stale, Idle::NOBODY),
        );
        let submitters = state.submitters.pop_all();
        let drained = state.if_drained();
        let timer = mem::replace(&mut state.timer, Timer::Off);
        drop(state);
        if let Timer::On { id: Some(id), .. } = timer {
            self.cancel(id);
        }
        fresh.list.pop_all().wake_all(END);
        stale.list.pop_all().wake_all(END);
        submitters.wake_all(END);
        drained.wake_all(HANDED_OVER);
    }

    /// Accepts tasks again.
    pub(super) fn open(&self) {
        self.state.lock().closed = false;
    }

    /// Waits until there are no workers. `false`: not before `deadline`.
    pub(super) fn wait_drained(&self, deadline: u64) -> bool {
        if !has_slot() {
            // Not under the lock.
            take_slot();
        }
        let mut state = self.state.lock();
        if state.running == 0 {
            return true;
        }
        if deadline <= clock::now() {
            return false;
        }
        // SAFETY: it is parked for right below.
        let token = unsafe { begin() };
        let node = Node::contested(token, 0, ptr::null_mut());
        // SAFETY: the node stays here until it has been popped, or is removed below.
        unsafe { state.drained.push_back(&node) };
        drop(state);
        let timer = (deadline != NEVER).then(|| timer::wake_at(deadline, token));
        park(WaitReason::WaitGroup, self.id());
        if let Some(timer) = timer {
            timer::cancel(timer);
        }
        // SAFETY: it was pushed to this queue only.
        unsafe { self.state.lock().drained.remove(&node) };
        node.outcome() != NOT_POPPED
    }

    /// The pool, in dumps.
    fn id(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Sets the timer of this number; from the function of the last one, with what that was called with.
    fn set_timer(self: &Arc<Core>, number: u64, ready: Option<&ReadyList>) {
        let when = clock::now().saturating_add(self.expiry);
        let core = Arc::into_raw(Arc::clone(self)).expose_provenance();
        let set = match ready {
            None => timer::add(when, expire, core, number),
            Some(ready) => timer::add_again(when, expire, core, number, ready),
        };
        let mut state = self.state.lock();
        match &mut state.timer {
            Timer::On { number: of, id } if *of == number => *id = Some(set),
            _ => {
                drop(state);
                self.cancel(set);
            }
        }
    }

    fn cancel(self: &Arc<Core>, id: TimerId) {
        if timer::cancel(id) {
            // SAFETY: a timer that won't be called owns a reference to this very core.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(self)) };
        }
    }
}

/// The timer's function: ends who is stale, and makes who is fresh stale.
fn expire(core: usize, timer: u64, ready: &mut ReadyList) {
    // SAFETY: `set_timer` passed a reference on, and a timer is called once. Should it be the last one,
    // nothing of the user's is dropped with it.
    let core = unsafe { Arc::from_raw(ptr::with_exposed_provenance::<Core>(core)) };
    let mut state = core.state.lock();
    if !matches!(state.timer, Timer::On { number, .. } if number == timer) {
        return;
    }
    // Nodes don't know their list, so a list may be moved with those who are in it.
    let fresh = mem::replace(&mut state.fresh, Idle::NOBODY);
    let mut expired = mem::replace(&mut state.stale, fresh);
    state.running -= expired.len;
    let drained = state.if_drained();
    let next = (state.stale.len > 0).then(|| state.next_timer());
    if next.is_none() {
        state.timer = Timer::Off;
    }
    drop(state);
    expired.list.pop_all().wake_all_into(END, ready);
    drained.wake_all_into(HANDED_OVER, ready);
    if let Some(number) = next {
        core.set_timer(number, Some(ready));
    }
}
