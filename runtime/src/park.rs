//! Park and ready: the only way to block, on which everything that waits is built.
//!
//! A wait has three steps: [`prepare`] makes a [`Waiter`], the one right to wake the caller; the
//! caller leaves it where its waker will find it; [`park`] blocks until it has been used. A wake-up
//! that comes before `park` is not lost (`state::gstatus`), so no lock needs to be held across it and
//! nobody need look twice.
//!
//! A wait that several parties may end (a peer, a timer, a closing socket) is opened with [`begin`],
//! whose [`WaitToken`] can be copied to all of them. The one that [`claim`](WaitToken::claim)s it
//! gets the `Waiter`; the others get nothing, however late they come. A waiter is consumed by waking,
//! so waking twice can't be written.
//!
//! On a goroutine `park` switches to another one. On a plain thread it blocks the thread. And on a
//! goroutine that is unwinding it blocks the thread too, handing the P on: std counts panics per
//! thread, and a goroutine that unwinds on one thread after having begun on another would leave both
//! counts wrong.
//!
//! Go's `gopark` takes a function that unlocks something after the switch. It is not needed here,
//! since the status word notes a wake-up that comes first; releasing the lock before the switch
//! lets the waker go on, and often spares the switch.
//!
//! Next in the reading order: `sleep`, the simplest user of both.

pub use crate::sched::reason::WaitReason;
pub use crate::sched::waiter::{WaitToken, Waiter};

use crate::coroutine::Suspend;
use crate::prim::arch::registers;
use crate::prim::atomic::Ordering;
use crate::sched::g::GRef;
use crate::sched::m::M;
use crate::sched::p::ASKED;
use crate::sched::schedule::{suspend_current, suspension};
use crate::sched::{current, sched};
use crate::state::gstatus::Parked;
use crate::state::wait::Unparked;
use crate::timer;
use std::time::{Duration, Instant};

/// The right to wake the caller, who then either [`park`]s, or gets the waiter back and
/// [`cancel`](Waiter::cancel)s it.
///
/// # Safety
///
/// The waiter must be used up before the caller blocks on anything else, and before its goroutine or
/// thread ends: that is what parking or cancelling sees to. A waiter left over would end a wait that it
/// wasn't made for, and code relies on its waits not ending early.
#[inline]
pub unsafe fn prepare() -> Waiter {
    Waiter(current::g())
}

/// Opens a wait of the caller that several parties compete to end. The caller then either [`park`]s, or
/// claims the token itself and cancels; if that claim fails somebody else is about to wake it, and it
/// must park.
///
/// # Safety
///
/// As for [`prepare`]: the wait must be over before the caller blocks on anything else or ends. (The
/// token itself may be kept for as long as you like.)
#[inline]
pub unsafe fn begin() -> WaitToken {
    let g = current::g();
    WaitToken {
        g,
        seq: g.wait.open(),
    }
}

/// Can the caller be made a [`Waiter`] without much ado? On a plain thread the first one takes memory, perhaps
/// threads, which is nothing to do under a spin lock: [`take_slot`] does it ahead.
#[inline]
pub(crate) fn has_slot() -> bool {
    current::try_m().is_some()
}

/// See [`has_slot`].
#[cold]
pub(crate) fn take_slot() {
    current::m();
}

/// Blocks the caller until its [`Waiter`] is used. Never returns early.
///
/// `reason` and `object` (an address or number) are shown in dumps.
///
/// # Blocking
///
/// On a goroutine this is the switch point of everything that waits. While the goroutine unwinds, and
/// on a plain thread, it blocks the thread.
pub fn park(reason: WaitReason, object: usize) {
    let m = current::m();
    let g = m.curg().expect("an M that runs user code has a goroutine");
    if g.status.take_notified() {
        return;
    }
    if !m.is_worker() {
        return park_thread(m, g);
    }
    // SAFETY: the caller is this goroutine.
    let run = unsafe { g.run() };
    let since = m.p().map_or_else(timer::now, |p| p.clock());
    run.wait.set(reason, object, since);
    if std::thread::panicking() {
        park_unwinding(m, g);
    } else {
        suspend_current(m, g, Suspend::Park);
    }
    run.wait.set(WaitReason::None, 0, 0);
}

/// Blocks the thread of `g` until it is made ready.
fn park_thread(m: &M, g: GRef) {
    if g.status.park_on_m() == Parked::Notified {
        return;
    }
    while g.status.is_parked_on_m() {
        m.park_thread();
    }
}

/// Blocks a goroutine together with its M, the P going to others. It goes on without a P.
#[cold]
fn park_unwinding(m: &M, g: GRef) {
    if let Some(held) = m.enter() {
        held.counters.parks.add(1);
        held.trace_soon(|| suspension(g, Suspend::Park));
        m.forget_p();
        sched().hand_off(held);
    }
    let fiber = g.fiber().expect("a running goroutine has a stack");
    // SAFETY: the caller is this goroutine, and this function returns after it was made ready.
    unsafe { fiber.stay(registers()) };
    park_thread(m, g);
}

/// The goroutine or plain thread that calls, as a token for [`unpark`].
pub(crate) fn unpark(g: GRef, id: u64) {
    match g.wait.unpark(|| g.id() == id) {
        Unparked::Claimed => Waiter(g).ready(),
        Unparked::Token | Unparked::Gone => {}
    }
}

/// The user's `park`: until `unpark` (or its token), or until `deadline`.
fn park_user(deadline: Option<Instant>) {
    let g = current::g();
    let Some(seq) = g.wait.open_user() else {
        return;
    };
    let token = WaitToken { g, seq };
    let timer = deadline.map(|deadline| timer::wake_at(timer::deadline(deadline), token));
    park(WaitReason::Park, 0);
    if let Some(timer) = timer {
        timer::cancel(timer);
    }
}

/// Blocks the goroutine or thread until somebody calls [`unpark`](crate::Goroutine::unpark) on its
/// handle; returns at once if somebody already has since the last `park`.
///
/// Mirrors [`std::thread::park`]; unlike it, it does not wake spuriously.
///
/// # Blocking
///
/// A switch point on a goroutine; blocks the thread on a plain one.
///
/// ```
/// let waiter = corio::spawn(corio::park);
/// waiter.goroutine().unpark();
/// waiter.join().unwrap();
/// ```
#[doc(alias = "gopark")]
pub fn park_unparkable() {
    park_user(None);
}

/// As [`park`](crate::park()), but for at most `timeout`.
///
/// Mirrors [`std::thread::park_timeout`]; like it, it doesn't say why it returned.
///
/// ```
/// use std::time::Duration;
/// corio::park_timeout(Duration::from_millis(1));
/// ```
pub fn park_timeout(timeout: Duration) {
    park_user(Instant::now().checked_add(timeout));
}

/// The end of a call that could have blocked but did not: gives the processor up if the time slice is
/// over. Blocking calls that succeed at once call it, so that a goroutine whose socket always has
/// data is no hog.
#[inline]
pub fn checkpoint() {
    if ASKED.load(Ordering::Relaxed) {
        yield_if_asked();
    }
}

#[cold]
#[inline(never)]
fn yield_if_asked() {
    if let Some(m) = current::try_m()
        && let Some(p) = m.p()
        && p.preempt.load(Ordering::Relaxed)
    {
        yield_now();
    }
}

/// Lets other goroutines run; on a plain thread, other threads.
///
/// Mirrors [`std::thread::yield_now`] and Go's `runtime.Gosched`.
///
/// # Blocking
///
/// A switch point. While the goroutine unwinds it only yields the thread.
///
/// ```
/// corio::yield_now();
/// ```
// Always inlined, with the switch in it: a function that switches returns to another goroutine's
// caller than the processor predicts, and then the switch back is mispredicted too. In a loop that
// yields that is half of the time.
#[doc(alias = "Gosched")]
#[inline(always)]
#[doc(alias = "goyield")]
pub fn yield_now() {
    if let Some(m) = current::try_m()
        && m.is_worker()
        && !std::thread::panicking()
        && let Some(g) = m.curg()
    {
        suspend_current(m, g, Suspend::Yield);
    } else {
        std::thread::yield_now();
    }
}
