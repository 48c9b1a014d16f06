//! The state behind channels that deliver an `Instant` when a time has come: `after`, `at`, `tick`, and
//! the channels of `time::Timer` and `time::Ticker`.
//!
//! Nothing is ever sent into such a channel. A [`Clock`] only says when it is *due*; who looks at it after
//! that takes the instant, and thereby decides when it is due next, if at all. So a clock that nobody waits
//! for costs the runtime nothing, resetting it is a few stores, and no instant of before a reset can come
//! out after it: there is no buffer in which it could have stayed. (Go's timers work so since 1.23. The
//! alternative, a timer that sends into a channel of capacity 1, needs a raw timer per channel, and a
//! drain at each reset that races with it.)
//!
//! Who waits arms a raw timer of its own for the due time, and looks again when that wakes it. Waiters
//! also queue in the clock, for one purpose: a reset to an *earlier* time wakes them, so that they look
//! again and arm anew. One to a later time doesn't; they find out when their timers wake them.
//!
//! What follows a delivery depends on the [`Rhythm`]:
//!
//! | rhythm | delivers | is due next | as in |
//! | --- | --- | --- | --- |
//! | `Once` | the due time | never | crossbeam's `after` and `at`, Go's `Timer` |
//! | `Spaced` | the due time, however late | one period after the delivery; after the due time, if a `recv` has waited for it | crossbeam's `tick` |
//! | `Grid` | the due time, however late | at the next multiple of the period that lies in the future | Go's `Ticker` |
//!
//! Invariants, under the lock: `due` is `when` on the runtime's clock, or [`NEVER`]; whoever takes an
//! instant moves `due` on before unlocking, so that it is taken once.
//!
//! Next in the reading order: `counter`: who has a channel's ends.

use crate::park::{WaitReason, begin, checkpoint, park};
use crate::prim::clock::{self, NEVER};
use crate::prim::spin::SpinLock;
use crate::sync::waitq::{FIRST_OWN, Node, Outcome, WaitList};
use crate::timer;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// The outcome of a wait that a reset ended: look again. Not one of those that `channel` gives a meaning.
pub(crate) const RECHECK: Outcome = FIRST_OWN + 2;

/// What follows a delivery; see the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rhythm {
    Once,
    Spaced(Duration),
    Grid(Duration),
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Clock(SpinLock<State>);

#[derive(Debug)]
struct State {
    /// What is delivered next. Meaningless if `due` is `NEVER`.
    when: Instant,
    /// `when`, on the runtime's clock; `NEVER`: it is stopped, or was received.
    due: u64,
    rhythm: Rhythm,
    waiters: WaitList,
}

// Nothing of it is left half changed by a panic: no user code runs under its lock.
impl UnwindSafe for Clock {}
impl RefUnwindSafe for Clock {}

impl State {
    fn new(when: Option<Instant>, rhythm: Rhythm) -> State {
        let mut state = State {
            when: when.unwrap_or_else(Instant::now),
            due: NEVER,
            rhythm,
            waiters: WaitList::new(),
        };
        state.set(when);
        state
    }

    fn set(&mut self, when: Option<Instant>) {
        self.due = NEVER;
        if let Some(when) = when {
            self.when = when;
            self.due = clock::at(when);
        }
    }

    /// Takes the instant if it is due. `awaited` is the due time that the caller has waited for, if any: who
    /// did that is on time, even if it was woken late.
    fn take(&mut self, now: Instant, awaited: u64) -> Option<Instant> {
        if self.due > clock::at(now) {
            return None;
        }
        let taken = self.when;
        let next = match self.rhythm {
            Rhythm::Once => None,
            Rhythm::Spaced(period) if self.due == awaited => taken.checked_add(period),
            Rhythm::Spaced(period) => now.checked_add(period),
            Rhythm::Grid(period) => {
                let late = now.saturating_duration_since(taken);
                let into = Duration::from_nanos_u128(late.as_nanos() % period.as_nanos());
                now.checked_add(period - into)
            }
        };
        self.set(next);
        Some(taken)
    }
}

impl Clock {
    /// Due at `when`, once; `None` or the far future: never.
    pub(crate) fn once(when: Option<Instant>) -> Clock {
        Clock::new(when, Rhythm::Once)
    }

    /// Due at `first`, and then again and again. A [`Rhythm::Grid`]'s period is not zero.
    pub(crate) fn periodic(first: Option<Instant>, rhythm: Rhythm) -> Clock {
        debug_assert_ne!(rhythm, Rhythm::Grid(Duration::ZERO));
        Clock::new(first, rhythm)
    }

    fn new(when: Option<Instant>, rhythm: Rhythm) -> Clock {
        Clock(SpinLock::new(State::new(when, rhythm)))
    }

    /// When it is due, on the runtime's clock; [`NEVER`] if it is stopped or was received.
    pub(crate) fn due(&self) -> u64 {
        self.0.lock().due
    }

    /// What is left until it is due; `None`: it never is.
    pub(crate) fn left(&self) -> Option<Duration> {
        clock::until(self.due(), clock::now())
    }

    /// Is it due?
    pub(crate) fn is_due(&self) -> bool {
        let due = self.due();
        // Spares the look at the clock.
        due != NEVER && due <= clock::now()
    }

    /// Takes the instant if it is due. Never blocks.
    pub(crate) fn try_take(&self) -> Option<Instant> {
        if self.due() == NEVER {
            return None;
        }
        // Before locking: if a reset comes between, a time that has passed makes nothing due too early.
        let now = Instant::now();
        self.0.lock().take(now, NEVER)
    }

    /// Takes the instant, when it is due. `None`: `deadline` (on the runtime's clock) came first.
    ///
    /// # Blocking
    ///
    /// A switch point.
    pub(crate) fn recv(&self, deadline: Option<u64>) -> Option<Instant> {
        let deadline = deadline.unwrap_or(NEVER);
        let mut awaited = NEVER;
        loop {
            let now = Instant::now();
            let mut state = self.0.lock();
            if let Some(taken) = state.take(now, awaited) {
                drop(state);
                checkpoint();
                return Some(taken);
            }
            if deadline <= clock::at(now) && deadline != NEVER {
                return None;
            }
            awaited = state.due;
            let when = awaited.min(deadline);
            // SAFETY: it is parked for right below.
            let token = unsafe { begin() };
            let node = Node::contested(token, 0, ptr::null_mut());
            // SAFETY: the node stays in place until `delist`, and is in no queue.
            unsafe { state.waiters.push_back(&node) };
            drop(state);
            let timer = (when != NEVER).then(|| timer::wake_at(when, token));
            park(WaitReason::ChanReceive, ptr::from_ref(self).addr());
            if let Some(timer) = timer {
                timer::cancel(timer);
            }
            // SAFETY: it was put into this queue and no other.
            unsafe { self.delist(&node) };
        }
    }

    /// Queues a contested node, to be woken with [`RECHECK`] when a reset brings the due time forward.
    /// Returns that time as it is now.
    ///
    /// # Safety
    ///
    /// The node stays in place until it has been delisted, and is in no queue.
    pub(crate) unsafe fn enlist(&self, node: &Node) -> u64 {
        let mut state = self.0.lock();
        // SAFETY: passed on to the caller.
        unsafe { state.waiters.push_back(node) };
        state.due
    }

    /// Takes a node out, if it is still in.
    ///
    /// # Safety
    ///
    /// The node was enlisted here, or is in no queue.
    pub(crate) unsafe fn delist(&self, node: &Node) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.lock().waiters.remove(node) };
    }

    /// Makes it due at `when`, in its old rhythm; `None`: never. Returns whether it was active: neither
    /// stopped nor, if it delivers once, received.
    pub(crate) fn reset(&self, when: Option<Instant>) -> bool {
        self.change(when, None)
    }

    /// Makes it due at `first`, and then in another rhythm.
    pub(crate) fn reset_periodic(&self, first: Option<Instant>, rhythm: Rhythm) -> bool {
        debug_assert_ne!(rhythm, Rhythm::Grid(Duration::ZERO));
        self.change(first, Some(rhythm))
    }

    /// Stops it. Returns whether it was active. What was not received by now never will be.
    pub(crate) fn stop(&self) -> bool {
        self.change(None, None)
    }

    fn change(&self, when: Option<Instant>, rhythm: Option<Rhythm>) -> bool {
        let mut state = self.0.lock();
        let before = state.due;
        if let Some(rhythm) = rhythm {
            state.rhythm = rhythm;
        }
        state.set(when);
        let was_active = before != NEVER;
        if state.due < before && !state.waiters.is_empty() {
            let waiters = state.waiters.pop_all();
            drop(state);
            waiters.wake_all(RECHECK);
        }
        was_active
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::channel::Receiver;
    use crate::channel::engine::Operation;
    use std::sync::Arc;

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn state(when: Instant, rhythm: Rhythm) -> State {
        State::new(Some(when), rhythm)
    }

    #[test]
    fn once_delivers_its_instant_once() {
        let when = Instant::now();
        let clock = Clock::once(Some(when));
        assert!(clock.is_due());
        assert_eq!(clock.try_take(), Some(when));
        assert_eq!(clock.due(), NEVER);
        assert_eq!(clock.try_take(), None);
        assert!(!clock.is_due());
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let now = Instant::now();
        let mut once = state(now + MS, Rhythm::Once);
        assert_eq!(once.take(now, NEVER), None);
        assert_eq!(once.take(now + MS, NEVER), Some(now + MS));
    }

    #[test]
    fn spaced_ticks_keep_their_distance() {
        let now = Instant::now();
        let mut tick = state(now + 10 * MS, Rhythm::Spaced(10 * MS));
        assert_eq!(tick.take(now + 10 * MS, NEVER), Some(now + 10 * MS));
        // 15 ms late: the old time, and the next one a whole period later.
        assert_eq!(tick.take(now + 35 * MS, NEVER), Some(now + 20 * MS));
        assert_eq!(tick.take(now + 44 * MS, NEVER), None);
        assert_eq!(tick.take(now + 45 * MS, NEVER), Some(now + 45 * MS));
    }

    #[test]
    fn spaced_ticks_that_were_awaited_keep_their_phase() {
        let now = Instant::now();
        let mut tick = state(now + 10 * MS, Rhythm::Spaced(10 * MS));
        let due = tick.due;
        assert_eq!(tick.take(now + 13 * MS, due), Some(now + 10 * MS));
        assert_eq!(tick.when, now + 20 * MS);
    }

    #[test]
    fn grid_ticks_keep_their_phase() {
        let now = Instant::now();
        let mut tick = state(now + 10 * MS, Rhythm::Grid(10 * MS));
        assert_eq!(tick.take(now + 10 * MS, NEVER), Some(now + 10 * MS));
        assert_eq!(tick.take(now + 35 * MS, NEVER), Some(now + 20 * MS));
        assert_eq!(tick.take(now + 39 * MS, NEVER), None);
        assert_eq!(tick.take(now + 40 * MS, NEVER), Some(now + 40 * MS));
        assert_eq!(tick.take(now + 40 * MS, NEVER), None);
        assert_eq!(tick.take(now + 50 * MS, NEVER), Some(now + 50 * MS));
    }

    #[test]
    fn extreme_times_are_fine() {
        let now = Instant::now();
        assert_eq!(Clock::once(now.checked_add(Duration::MAX)).due(), NEVER);
        let mut grid = state(now, Rhythm::Grid(Duration::MAX));
        assert_eq!(grid.take(now, NEVER), Some(now));
        assert_eq!(grid.due, NEVER);
        let mut spaced = state(now, Rhythm::Spaced(Duration::MAX));
        assert_eq!(spaced.take(now, NEVER), Some(now));
        assert_eq!(spaced.due, NEVER);
        let mut busy = state(now, Rhythm::Spaced(Duration::ZERO));
        assert_eq!(busy.take(now, NEVER), Some(now));
        assert_eq!(busy.take(now, NEVER), Some(now));
        if let Some(past) = now.checked_sub(HOUR) {
            assert_eq!(Clock::once(Some(past)).try_take(), Some(past));
        }
    }

    #[test]
    fn reset_and_stop_say_whether_it_was_active() {
        let far = Instant::now() + HOUR;
        let clock = Clock::once(Some(far));
        assert!(clock.stop());
        assert!(!clock.stop());
        assert!(!clock.reset(Some(far)));
        assert!(clock.reset(Some(Instant::now())));
        // Due but not received, so still active; and what it would have delivered is gone.
        assert!(clock.stop());
        assert_eq!(clock.try_take(), None);
    }

    /// A watcher that is told at once isn't queued: nobody would take its node out.
    #[test]
    fn a_clock_that_becomes_due_while_it_is_looked_at_queues_nobody() {
        for _ in 0..2000 {
            let clock = Arc::new(Clock::once(Some(Instant::now() + Duration::from_micros(2))));
            let receiver = Receiver::of_clock(Arc::clone(&clock));
            loop {
                // SAFETY: it is ended right below.
                let token = unsafe { begin() };
                let node = Node::contested(token, 0, ptr::null_mut());
                let is_due = receiver.watch(&node);
                token.claim().expect("nobody else knows it").cancel();
                let was_queued = !clock.0.lock().waiters.is_empty();
                // SAFETY: it was enlisted there, or nowhere.
                unsafe { clock.delist(&node) };
                assert_ne!(was_queued, is_due);
                if is_due {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_reset_wakes_who_waits() {
        let clock = std::sync::Arc::new(Clock::once(None));
        let waits = {
            let clock = std::sync::Arc::clone(&clock);
            std::thread::spawn(move || clock.recv(None))
        };
        let goroutine = {
            let clock = std::sync::Arc::clone(&clock);
            crate::task::builder::spawn(move || clock.recv(None))
        };
        for _ in 0..2 {
            let when = Instant::now();
            clock.reset(Some(when));
            while clock.due() != NEVER {
                std::thread::yield_now();
            }
        }
        assert!(waits.join().unwrap().is_some());
        assert!(goroutine.join().unwrap().is_some());
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let clock = Clock::once(None);
        assert_eq!(clock.recv(Some(1)), None);
        assert_eq!(clock.recv(Some(clock::after(MS))), None);
        assert!(clock.0.lock().waiters.is_empty());
        let when = Instant::now();
        clock.reset(Some(when));
        // What is there is taken, even if the deadline has passed.
        assert_eq!(clock.recv(Some(1)), Some(when));
    }
}
