//! Handing a P on when its M is about to block, and `blocking(..)`.
//!
//! `blocking(f)` announces that `f` may block the thread. If there is work for the P, or nobody would
//! notice new work, the P is handed to another M at once; otherwise it stays in `BLOCKING`, from
//! where sysmon takes it with its next tick if somebody comes to wait, and the way back is one
//! compare-exchange. Go does the same for system calls (`entersyscall`, `exitsyscall`, `handoffp`).
//!
//! Coming back without a P, the goroutine takes an idle one if there is one; otherwise it queues up:
//! `blocking` is a switch point. While unwinding it must not switch, and goes on without a P.
//!
//! Next in the reading order: `sysmon`, which takes the P where nobody announced anything.

use crate::coroutine::Suspend;
use crate::prim::atomic::Ordering;
use crate::prim::trace::{self, Event, Kind, Turn};
use crate::sched::p::Held;
use crate::sched::schedule::suspend_current;
use crate::sched::{Sched, current, sched};
use crate::state::pstatus::PState;

impl Sched {
    /// Gives a P to another M if there is something to do for it, or puts it on the idle list.
    /// Mirrors `find_runnable`: whatever that looks at is a reason to start an M here.
    #[doc(alias = "handoffp")]
    pub(crate) fn hand_off(&self, held: Held) {
        held.counters.hand_offs.add(1);
        held.trace(|| Event::new(Kind::HandOff, held.status.load().m().into(), 0));
        if held.id >= self.procs() {
            self.stop_p(held);
        } else if self.wants_m(&held) {
            self.start_m(held, None);
        } else {
            self.release_p(held);
            self.idle.before_recheck();
            if self.work_anywhere() {
                self.submitted();
            }
        }
    }

    /// Would an M that got this P find work, or be needed to watch for it?
    fn wants_m(&self, held: &Held) -> bool {
        held.has_work()
            || !self.global.is_empty()
            || held.timers.next() <= held.clock()
            // The last P: somebody has to poll.
            || (self.idle.ps() + 1 == self.procs() && !self.poller.is_taken())
    }
}

/// Puts the P back into user code, or finds another, when `blocking` ends, by return or by unwinding.
struct EndBlocking;

impl Drop for EndBlocking {
    fn drop(&mut self) {
        let m = current::m();
        // SAFETY: the caller is this goroutine.
        unsafe { current::g().run() }.blocking.set(false);
        if m.p().is_some() {
            // Either the P is still ours, in BLOCKING; or `f` parked, came back on another M, and
            // its P is in user code already.
            if m.outside_state() == PState::User {
                let id = m.goroutine_id();
                trace::unowned(m.id, || Event::new(Kind::Unblock, id, m.id.into()));
                return;
            }
            if m.end_blocking() {
                return;
            }
        }
        // A reniced thread takes no P: its goroutine goes on elsewhere.
        let idle = (!m.burning.load(Ordering::Relaxed)).then(|| sched().acquire_p(m.id));
        let id = m.goroutine_id();
        trace::unowned(m.id, || Event::new(Kind::Unblock, id, m.id.into()));
        if let Some(held) = idle.flatten() {
            held.trace(|| Event::new(Kind::Run, id, trace::switch(m.id, Turn::Unblocked)));
            m.leave_as(held, PState::User, false);
        } else if !std::thread::panicking() {
            suspend_current(m, current::g(), Suspend::WaitForP);
        }
    }
}

/// Runs `f`, which may block its thread, without holding up other goroutines.
///
/// The goroutine's P (its share of the processors) goes to another thread while `f` runs, at once if
/// others wait for it. Use it around calls that block in the kernel or in foreign code: files, DNS,
/// a database driver, `std::process::Command::output`, a `std::sync::Mutex` that is held for long.
/// For computations it is not needed, only honest: `procs` limits how many goroutines compute at
/// once, and `blocking` lifts that limit for `f`.
///
/// What is not announced is found out: sysmon takes the P from a goroutine that keeps its thread for
/// more than 10 ms while others wait. `blocking` spares the others these milliseconds.
///
/// On a plain thread `f` is simply called. Corresponds to Go's handling of system calls; tokio's
/// `block_in_place` comes closest in Rust.
///
/// # Blocking
///
/// Blocks the thread as long as `f` does; afterwards the goroutine may have to queue for a P, so this
/// is a switch point: see the [rule about thread-locals](crate#the-one-rule). `f` itself stays on its
/// thread, unless it calls something that switches.
///
/// # Panics
///
/// Only if `f` does.
///
/// ```
/// let text = corio::spawn(|| corio::blocking(|| std::fs::read_to_string("Cargo.toml")))
///     .join()
///     .unwrap();
/// assert!(text.is_ok());
/// ```
#[doc(alias = "entersyscall")]
#[doc(alias = "exitsyscall")]
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    let Some(m) = current::try_m().filter(|m| m.is_worker()) else {
        return f();
    };
    let Some(g) = m.curg() else { return f() };
    // SAFETY: the caller is this goroutine.
    if unsafe { g.run() }.blocking.replace(true) {
        // Announced already.
        return f();
    }
    let block = || Event::new(Kind::Block, g.id(), m.id.into());
    if let Some(held) = m.enter() {
        held.trace(block);
        let sched = sched();
        if sched.wants_m(&held) {
            m.forget_p();
            sched.hand_off(held);
        } else {
            m.leave_as(held, PState::Blocking, false);
        }
    } else {
        trace::unowned(m.id, block);
    }
    let _end = EndBlocking;
    f()
}
