//! `after_func`: a function that runs in a goroutine of its own when its time has come.
//!
//! No goroutine exists while it waits. What exists is a [`Task`]: the function, its state, and an entry in
//! a heap of raw timers that holds one reference to it. When the entry is due it is run in scheduler
//! context, where no user code may run, neither the function nor the destructors of what it captured. So
//! the reference goes to a new goroutine, which runs the function, or only drops it. If there can be no
//! goroutine now (`max_goroutines`, memory) the entry comes back a millisecond later.
//!
//! Rejected: a goroutine that sleeps for each pending function (a stack each); one goroutine that
//! runs them all (one that blocks would hold up the others); the function in a channel's or a wheel's
//! hands (a thread or goroutine that is always there).
//!
//! # State
//!
//! | `when` | `armed` | means |
//! | --- | --- | --- |
//! | `NEVER` | none | stopped, or the time has come |
//! | t | none | somebody is just arming it; see `turn` |
//! | t | a timer for t | it waits |
//! | t | a timer for an earlier time | it was put off: the timer's function finds that, and arms for t |
//! | `NEVER` | a timer | does not exist |
//!
//! Putting off is what timeouts do all the time, and it costs a lock and two stores, like Go's lazy
//! `timerModified`.
//!
//! User code does not touch the heap, which may be in the middle of a sweep, under the task's lock. So
//! `turn` counts who is responsible for arming: whoever changes `armed` raises it, arms with the number,
//! and notes the timer if the number is still the same; if not, it cancels what it has just armed. A timer
//! whose number is out of date only drops its reference. (The timer's own function does arm under the
//! lock. It runs on an M that would wait for the heap anyway, and has no reference but the timer's.)
//!
//! # References
//!
//! A timer in the heap has one; who cancels it successfully gets it. `runs`, the runs that are under way
//! or owed, have one each: the goroutine that raised it from 0 does them all, one after the other, and drops
//! their references. The last reference is always dropped by user code or on a goroutine.
//!
//! Next in the reading order: `context`.

use crate::park::checkpoint;
use crate::prim::clock::{self, NEVER};
use crate::prim::spin::SpinLock;
use crate::sched::g::GRef;
use crate::sched::reactor::ReadyList;
use crate::task::join::catch;
use crate::timer::{self, TimerId};
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When to try again if there could be no goroutine (ns).
const RETRY: u64 = 1_000_000;

/// What [`retry`] is for, as its timer's second word.
const TO_RUN: u64 = 0;
const TO_DROP: u64 = 1;

/// Calls `f` in a goroutine of its own after `duration`.
///
/// Mirrors Go's `time.AfterFunc`. The timer that is returned can stop that, put it off, or have `f` called
/// once more; dropping it changes nothing. A pending call costs about 150 bytes and no goroutine.
///
/// What differs from Go: calls of `f` never overlap. If it is due again, after a
/// [`reset`](FuncTimer::reset), while it still runs, it runs again right afterwards. (Go starts another
/// goroutine; here `f` may have state of its own to change.) If `f` panics, that goroutine ends with the
/// usual report, and the timer can still be reset.
///
/// If `max_goroutines` exist when it is due, it is called as soon as there can be one. A duration too long
/// for the clock (584 years) is never over, and nothing is planned.
///
/// # Blocking
///
/// Never blocks or switches.
///
/// ```
/// use corio::channel;
/// use std::time::Duration;
///
/// let (tx, rx) = channel::bounded(1);
/// corio::time::after_func(Duration::from_millis(1), move || tx.send("now").unwrap());
/// assert_eq!(rx.recv(), Ok("now"));
/// ```
#[doc(alias = "AfterFunc")]
#[track_caller]
pub fn after_func<F>(duration: Duration, f: F) -> FuncTimer
where
    F: FnMut() + Send + 'static,
{
    plan(clock::after(duration), f, Location::caller())
}

/// As [`after_func`], for this time, and on behalf of whoever is at `location`.
pub(crate) fn at<F>(when: Instant, f: F, location: &'static Location<'static>) -> FuncTimer
where
    F: FnMut() + Send + 'static,
{
    plan(clock::at(when), f, location)
}

fn plan<F>(when: u64, f: F, location: &'static Location<'static>) -> FuncTimer
where
    F: FnMut() + Send + 'static,
{
    let task = Task::new(f, location);
    Arc::clone(&task).set(when);
    FuncTimer(task)
}

/// As [`after_func`] for no time at all, but sooner, and for good: calls `f` in a goroutine of its own,
/// even if there can be none now.
pub(crate) fn start<F>(f: F, location: &'static Location<'static>)
where
    F: FnOnce() + Send + 'static,
{
    let mut f = Some(f);
    let once = move || {
        if let Some(f) = f.take() {
            f();
        }
    };
    start_task(Task::new(once, location));
}

fn start_task<F: FnMut() + Send + 'static>(task: Arc<Task<F>>) {
    task.state.lock().runs = 1;
    let location = task.location;
    let arg = Arc::into_raw(task) as usize;
    if timer::start_now(run::<F>, arg, location).is_err() {
        timer::add(clock::now() + RETRY, retry::<F>, arg, TO_RUN);
    }
}

/// A call that [`after_func`] has planned. Dropping it does not cancel the call; a clone stands for the
/// same one.
///
/// Mirrors Go's `time.Timer` as `time.AfterFunc` returns it.
#[derive(Clone)]
pub struct FuncTimer(Arc<dyn Plan>);

impl FuncTimer {
    /// Calls the function after `duration` from now, instead of when it was planned before. Returns whether
    /// a call was still planned: `false` if it has begun or is over, or was stopped.
    ///
    /// Mirrors Go's `Timer.Reset`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let timeout = corio::time::after_func(Duration::from_secs(60), || eprintln!("timed out"));
    /// // Something came in:
    /// assert!(timeout.reset(Duration::from_secs(60)));
    /// assert!(timeout.stop());
    /// assert!(!timeout.reset(Duration::from_secs(60)));
    /// # timeout.stop();
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.set(clock::after(duration))
    }

    /// As [`reset`](FuncTimer::reset), with the time at which the function is called.
    pub fn reset_at(&self, when: Instant) -> bool {
        self.set(clock::at(when))
    }

    /// Cancels the call. `true`: it was still planned, and won't take place. `false`: it has begun (and may
    /// well be over) or was stopped before; this doesn't wait for its end.
    ///
    /// Mirrors Go's `Timer.Stop`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let timer = corio::time::after_func(Duration::from_secs(60), || unreachable!());
    /// assert!(timer.stop());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.set(NEVER)
    }

    fn set(&self, when: u64) -> bool {
        Arc::clone(&self.0).set(when)
    }
}

impl fmt::Debug for FuncTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuncTimer")
            .field("is_planned", &(self.0.when() != NEVER))
            .finish_non_exhaustive()
    }
}

// The function is not reached through the handle but by its goroutine, which catches its panics.
impl UnwindSafe for FuncTimer {}
impl RefUnwindSafe for FuncTimer {}

/// A task, whatever its function.
trait Plan: Send + Sync {
    /// Plans the call for `when`, or cancels it if that is `NEVER`. Was one planned?
    fn set(self: Arc<Self>, when: u64) -> bool;
    fn when(&self) -> u64;
}

/// See the module's head.
struct Task<F> {
    state: SpinLock<State>,
    location: &'static Location<'static>,
    f: UnsafeCell<F>,
}

// SAFETY: `f` is called by one goroutine at a time (`runs`), with the lock ordering one before the next,
// and is dropped by whoever has the last reference. That takes it from thread to thread, so `Send`.
unsafe impl<F: Send> Sync for Task<F> {}

/// See the module's table.
struct State {
    when: u64,
    armed: Option<Armed>,
    turn: u64,
    runs: u32,
}

struct Armed {
    timer: TimerId,
    at: u64,
}

impl<F: FnMut() + Send + 'static> Task<F> {
    fn new(f: F, location: &'static Location<'static>) -> Arc<Task<F>> {
        Arc::new(Task {
            state: SpinLock::new(State {
                when: NEVER,
                armed: None,
                turn: 0,
                runs: 0,
            }),
            location,
            f: UnsafeCell::new(f),
        })
    }

    /// Notes the timer that was added for this turn. `false`: the turn is over, cancel it.
    fn note(&self, turn: u64, armed: Armed) -> bool {
        let mut state = self.state.lock();
        let mine = state.turn == turn;
        if mine {
            state.armed = Some(armed);
        }
        mine
    }
}

impl<F: FnMut() + Send + 'static> Plan for Task<F> {
    fn set(self: Arc<Self>, when: u64) -> bool {
        let mut state = self.state.lock();
        let was_planned = std::mem::replace(&mut state.when, when) != NEVER;
        if when != NEVER && state.armed.as_ref().is_some_and(|armed| armed.at <= when) {
            return was_planned;
        }
        state.turn += 1;
        let turn = state.turn;
        let armed = state.armed.take();
        drop(state);
        if let Some(armed) = armed
            && timer::cancel(armed.timer)
        {
            // SAFETY: the cancelled timer's reference. It is not the last: `self` is another.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self)) };
        }
        if when != NEVER {
            let arg = Arc::into_raw(Arc::clone(&self)) as usize;
            let timer = timer::add(when, fire::<F>, arg, turn);
            if !self.note(turn, Armed { timer, at: when }) && timer::cancel(timer) {
                // SAFETY: as above.
                unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self)) };
            }
        }
        was_planned
    }

    fn when(&self) -> u64 {
        self.state.lock().when
    }
}

/// The timer's function: the time has come, unless the call was put off or cancelled.
fn fire<F: FnMut() + Send + 'static>(arg: usize, turn: u64, ready: &mut ReadyList) {
    // SAFETY: `arg` is a reference to the task, which is this timer's and now ours.
    let task = unsafe { &*(arg as *const Task<F>) };
    let mut state = task.state.lock();
    if state.turn != turn {
        drop(state);
        return launch::<F>(arg, TO_DROP, ready);
    }
    state.turn += 1;
    state.armed = None;
    if state.when > clock::now() {
        // Under the lock: the reference goes with the new timer, whose function, should another M run it
        // at once, waits for the lock and so can't drop the task yet.
        let at = state.when;
        let timer = timer::add_again(at, fire::<F>, arg, state.turn, ready);
        state.armed = Some(Armed { timer, at });
        return;
    }
    state.when = NEVER;
    state.runs += 1;
    let first = state.runs == 1;
    drop(state);
    if first {
        launch::<F>(arg, TO_RUN, ready);
    }
}

/// Hands the reference `arg` to a new goroutine, to run the function or only to drop it.
fn launch<F: FnMut() + Send + 'static>(arg: usize, what: u64, ready: &mut ReadyList) {
    // SAFETY: the reference is ours.
    let location = unsafe { &*(arg as *const Task<F>) }.location;
    let entry = if what == TO_RUN {
        run::<F>
    } else {
        discard::<F>
    };
    if timer::start(entry, arg, location, ready).is_err() {
        timer::add_again(clock::now() + RETRY, retry::<F>, arg, what, ready);
    }
}

/// A timer's function: there could be no goroutine before.
fn retry<F: FnMut() + Send + 'static>(arg: usize, what: u64, ready: &mut ReadyList) {
    launch::<F>(arg, what, ready);
}

/// A goroutine's entry: does the runs that are owed.
///
/// # Safety
///
/// Called as an entry, once, by a goroutine that was started with the reference that goes with the run
/// that raised `runs` from 0.
unsafe fn run<F: FnMut() + Send + 'static>(g: GRef) {
    // SAFETY: by contract.
    let task = unsafe { timer::started_with(g) } as *const Task<F>;
    loop {
        // SAFETY: the reference of the run that is done now keeps the task; while `runs` is not 0 nobody
        // else touches the function.
        let f = unsafe { &mut *(*task).f.get() };
        // A panic was reported, and is nobody's to take but this goroutine's.
        drop_caught(catch(f));
        // SAFETY: as above.
        let mut state = unsafe { &*task }.state.lock();
        state.runs -= 1;
        let more = state.runs > 0;
        drop(state);
        if !more {
            break;
        }
        // SAFETY: the reference of the run that is over; the next one has another.
        unsafe { Arc::decrement_strong_count(task) };
        checkpoint();
    }
    // SAFETY: the reference of the last run.
    drop_caught(catch(|| drop(unsafe { Arc::from_raw(task) })));
}

/// A goroutine's entry: drops a reference, which may be the last, and the function with it.
///
/// # Safety
///
/// Called as an entry, once, by a goroutine that was started with that reference.
unsafe fn discard<F: FnMut() + Send + 'static>(g: GRef) {
    // SAFETY: by contract.
    let task = unsafe { timer::started_with(g) } as *const Task<F>;
    // SAFETY: by contract.
    drop_caught(catch(|| drop(unsafe { Arc::from_raw(task) })));
}

/// Drops a panic's payload, whose destructor may panic as well: an entry must not unwind.
fn drop_caught(outcome: std::thread::Result<()>) {
    if let Err(payload) = outcome {
        let _ = catch(|| drop(payload)).map_err(std::mem::forget);
    }
}
