//! The loop of an M: find a goroutine, run it until it gives the M back, do what it asked for.
//!
//! Everything here runs on the M's own stack, but for [`suspend_current`] and [`main`], which run on
//! the goroutine's. Between the two there is the P's status word: a goroutine enters the runtime
//! before it suspends, so that the loop gets the P in `SCHED`, or finds that sysmon took it. An M
//! that lost its P finishes what it was doing: a goroutine that yields goes to the global queue, one
//! that parks is already out of everybody's hands, one that ended leaves its stack to the pool.
//!
//! A goroutine that is locked to its M (`lock_os_thread`) is only resumed by that M. When it gives
//! the M back, the P moves on and the M waits for mail: whoever finds the goroutine in a queue sends
//! it there with a P.
//!
//! Next in the reading order: `stacks`, for when there is none to run on.

use crate::coroutine::Suspend;
use crate::prim::arch;
use crate::prim::atomic::{AtomicBool, Ordering};
use crate::prim::config::PanicPolicy;
use crate::prim::trace::{self, Event, Kind, Queue, Turn};
use crate::prim::warn;
use crate::sched::find::Found;
use crate::sched::g::{GFiber, GRef, Run, WaitInfo};
use crate::sched::m::{M, Mail};
use crate::sched::p::Held;
use crate::sched::waiter::Waiter;
use crate::sched::{Sched, arena, current, sched, send};
use crate::stack::{self, Stack};
use crate::state::gstatus::Parked;
use crate::state::pstatus::PState;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

impl Sched {
    /// The loop of a worker M. Returns when its thread is to end: it was reniced, or its goroutine
    /// ended while locked to it.
    #[doc(alias = "schedule")]
    pub(crate) fn run_m(&self, m: &'static M, mail: Mail) {
        let mut held = Some(mail.held);
        let mut first = mail.first;
        loop {
            // Unless a goroutine locked itself to it while it burned: nobody else may run that one.
            if m.burning.load(Ordering::Relaxed) && !m.locked.load(Ordering::Relaxed) {
                return self.end_burner(m, held, first);
            }
            let Found {
                held: h,
                g,
                inherit,
            } = match (held.take(), first.take()) {
                (Some(held), Some(g)) => Found {
                    held,
                    g,
                    inherit: false,
                },
                (held, _) => self.find_runnable(m, held),
            };
            if m.burning.load(Ordering::Relaxed) && !m.locked.load(Ordering::Relaxed) {
                // It was reniced on its way to the idle list, and found out only now.
                return self.end_burner(m, Some(h), Some(g));
            }
            match self.place(m, h, g) {
                Placed::Here(h) => match self.execute(m, h, g, inherit) {
                    After::Loop(h) => held = h,
                    After::Mail(mail) => {
                        held = Some(mail.held);
                        first = mail.first;
                    }
                    After::End => return,
                },
                Placed::Elsewhere => {}
            }
        }
    }

    /// A reniced thread ends: it can't be made as fast as the others again.
    #[cold]
    fn end_burner(&self, m: &M, held: Option<Held>, first: Option<GRef>) {
        if m.spinning.replace(false) {
            self.idle.stop_spinning();
        }
        match (held, first) {
            (Some(held), Some(g)) => self.start_m(held, Some(g)),
            (Some(held), None) => self.hand_off(held),
            _ => {}
        }
    }

    /// Sends a goroutine that must run on another M there, together with the P: one that is locked
    /// to its M, or any that ran here last if `migrate` asks for it.
    #[inline]
    fn place(&self, m: &'static M, held: Held, g: GRef) -> Placed {
        if g.fiber().is_none() {
            return Placed::Here(held);
        }
        if let Some(owner) = self.locked_to(g) {
            if !std::ptr::eq(owner, m) {
                send(owner, held, false, Some(g));
                return Placed::Elsewhere;
            }
        // SAFETY: it has a fiber, and we took it out of a queue.
        } else if self.migrates() && std::ptr::eq(unsafe { g.run() }.m.get(), m) {
            return match self.migrate(held, g) {
                Ok(()) => Placed::Elsewhere,
                Err(held) => Placed::Here(held),
            };
        }
        Placed::Here(held)
    }

    /// The M that `g`, which the caller took out of a queue, is locked to.
    #[inline]
    pub(crate) fn locked_to(&self, g: GRef) -> Option<&'static M> {
        let fiber = g.fiber()?;
        // SAFETY: it has a fiber, and the caller holds it.
        let run = unsafe { fiber.data() };
        (run.locks.get() > 0).then(|| run.m.get())
    }

    /// Runs `g` until it gives the M back.
    #[inline]
    fn execute(&self, m: &'static M, mut held: Held, g: GRef, inherit: bool) -> After {
        let fiber = match g.fiber() {
            Some(fiber) => fiber,
            None => match self.bind(m, &mut held, g) {
                Some(fiber) => fiber,
                None => return After::Loop(Some(held)),
            },
        };
        held.note_latency(g);
        let mut turn = if inherit { Turn::Next } else { Turn::Queued };
        loop {
            // SAFETY: the fiber is bound, and this M holds the goroutine.
            let run = unsafe { fiber.data() };
            run.m.set(m);
            run.trimmed.store(false, Ordering::Relaxed);
            if !inherit {
                let slices = held.slices.load(Ordering::Relaxed);
                held.slices.store(slices.wrapping_add(1), Ordering::Relaxed);
            }
            held.counters.runs.add(1);
            held.trace(|| Event::new(Kind::Run, g.id(), trace::switch(m.id, turn)));
            g.status.set_running();
            m.set_curg(Some(g));
            m.leave_as(held, PState::User, true);
            // SAFETY: this M took the goroutine out of a queue (or its mail), so it alone holds it;
            // it is suspended or not started.
            let why = unsafe { fiber.resume() };
            m.set_curg(None);
            let now_held = m.resume_held();
            // SAFETY: until its status says otherwise (below) the goroutine is still ours.
            let locked = why.is_some() && unsafe { fiber.data() }.locks.get() > 0;
            match why {
                Some(Suspend::Yield | Suspend::WaitForP) => {
                    g.status.set_runnable();
                    if locked {
                        return self.stop_locked(m, now_held, Some(g));
                    }
                    return After::Loop(self.requeue(now_held, g));
                }
                Some(Suspend::Park) => match (g.status.park(), now_held) {
                    (Parked::Waiting, now_held) if locked => {
                        return self.stop_locked(m, now_held, None);
                    }
                    (Parked::Waiting, now_held) => return After::Loop(now_held),
                    (Parked::Notified, Some(still)) => (held, turn) = (still, Turn::Again),
                    (Parked::Notified, None) => {
                        g.status.set_runnable();
                        if locked {
                            return self.stop_locked(m, None, Some(g));
                        }
                        self.enqueue_global(g);
                        return After::Loop(None);
                    }
                },
                None => return self.exit(m, now_held, g, fiber),
            }
        }
    }

    /// Queues a goroutine that yielded. With a P it goes to the tail of the queue. If another one is in
    /// `runnext` that makes two, and the idle are told; otherwise as much work waits as before.
    #[inline]
    fn requeue(&self, held: Option<Held>, g: GRef) -> Option<Held> {
        match held {
            Some(mut held) if !self.migrates() => {
                held.readied(g);
                held.local().queue.push(g);
                if held.runnext.is_some() {
                    self.submitted_by_p();
                }
                Some(held)
            }
            held => {
                self.enqueue_global(g);
                held
            }
        }
    }

    /// A locked goroutine gave its M back: the P moves on, the M waits until the goroutine's turn.
    #[cold]
    #[doc(alias = "LockOSThread")]
    #[doc(alias = "stoplockedm")]
    #[doc(alias = "startlockedm")]
    fn stop_locked(&self, m: &'static M, held: Option<Held>, g: Option<GRef>) -> After {
        m.forget_p();
        if let Some(g) = g {
            self.enqueue_global(g);
        }
        if let Some(held) = held {
            self.hand_off(held);
        }
        After::Mail(m.wait_for_mail())
    }

    /// A goroutine ended: its stack, its slot, its joiner.
    #[inline]
    #[doc(alias = "goexit0")]
    fn exit(&self, m: &'static M, mut held: Option<Held>, g: GRef, fiber: GFiber) -> After {
        // SAFETY: the goroutine has returned, and this M holds it.
        let (locked, stack) = unsafe { (fiber.data().locks.get() > 0, fiber.unbind()) };
        let exit = || Event::new(Kind::Exit, g.id(), 0);
        match &held {
            Some(held) => held.trace_soon(exit),
            None => trace::unowned(m.id, exit),
        }
        if let Some(stack) = self.offer_stack(stack) {
            match &mut held {
                Some(held) => held.local().stacks.put(stack),
                None => stack::pool_put(stack),
            }
        }
        g.status.set_dead();
        match &held {
            Some(held) => held.counters.finished.add(1),
            None => self.shared.finished.add(1),
        }
        let end = g.join.finish();
        if end.free {
            g.clear_id();
            g.status.set_idle();
            match &mut held {
                Some(held) => held.local().free.put(g),
                None => arena::put(g),
            }
        } else if let Some(joiner) = Waiter::from_join(end.joiner)
            && let Some(joiner) = joiner.ready_unqueued()
        {
            match &mut held {
                Some(held) if !self.migrates() => {
                    held.counters.wakeups.add(1);
                    held.trace_soon(|| Event::new(Kind::Ready, joiner.id(), Queue::Next as u64));
                    if held.put_next(joiner) {
                        self.submitted_by_p();
                    }
                }
                _ => {
                    trace::unowned(m.id, || {
                        Event::new(Kind::Ready, joiner.id(), Queue::Global as u64)
                    });
                    self.enqueue_global(joiner);
                }
            }
        }
        if locked {
            m.forget_p();
            if let Some(held) = held {
                self.hand_off(held);
            }
            return After::End;
        }
        After::Loop(held)
    }

    /// Gives a goroutine its stack, for its first run. `None`: there is no memory for one; it waits
    /// until a stack is free.
    fn bind(&self, m: &'static M, held: &mut Held, g: GRef) -> Option<GFiber> {
        let stack = match held.local().stacks.get(g.class()) {
            Ok(stack) => stack,
            Err(error) => {
                self.wait_for_stack(g, &error);
                return None;
            }
        };
        let fiber = new_fiber(m, g, stack);
        g.set_fiber(fiber);
        Some(fiber)
    }
}

/// What to do with a goroutine that was found.
enum Placed {
    /// Run it on this M.
    Here(Held),
    /// It was sent to another M, with the P.
    Elsewhere,
}

/// How the loop goes on.
enum After {
    /// With this P, or without one.
    Loop(Option<Held>),
    /// With what was sent.
    Mail(Mail),
    /// Not at all: the thread ends.
    End,
}

fn new_fiber(m: &'static M, g: GRef, stack: Stack) -> GFiber {
    let run = Run {
        m: Cell::new(m),
        name: OnceLock::new(),
        wait: WaitInfo::default(),
        locks: Cell::new(0),
        blocking: Cell::new(false),
        trimmed: AtomicBool::new(false),
        locals: Cell::new(std::ptr::null_mut()),
        end_locals: Cell::new(None),
    };
    GFiber::bind(stack, run, main, g.addr())
}

/// A goroutine's first function: runs its entry, and enters the runtime before it returns to the M.
fn main(addr: usize) {
    // SAFETY: `new_fiber` passed a slot's address.
    let g = unsafe { GRef::from_addr(addr) };
    // The entry catches the closure's panics; what unwinds out of it nevertheless is a panic while
    // a result or a payload was dropped.
    // SAFETY: `fill` stored entry and payload together, and this is the beginning of the goroutine's only run.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| unsafe { g.entry()(g) })) {
        // Its destructor might panic again, with nobody left to catch that.
        std::mem::forget(payload);
        warn(format_args!(
            "corio: a destructor panicked at the end of goroutine {}",
            g.id()
        ));
        if sched().settings.panic == PanicPolicy::Abort {
            std::process::abort();
        }
    }
    // SAFETY: this is the goroutine.
    if let Some(end_locals) = unsafe { g.run() }.end_locals.get() {
        end_locals();
    }
    g.tag().uncount();
    // The P, if there still is one, goes back to the loop in SCHED.
    let _held = current::m().enter();
}

/// Gives the M back. Must be called on the goroutine `g`, not while it unwinds; `m` is its M, which
/// must not be used after this returns.
#[inline(always)]
pub(crate) fn suspend_current(m: &M, g: GRef, why: Suspend) {
    let fiber = g.fiber().expect("a running goroutine has a stack");
    if let Some(held) = m.enter() {
        if why != Suspend::Yield {
            held.counters.parks.add(1);
        }
        // The next goroutine's turn follows at once, or the P's search for one.
        held.trace_soon(|| suspension(g, why));
        // The loop takes it over: `M::resume_held`.
        let _taken_over = held;
    } else {
        trace::unowned(m.id, || suspension(g, why));
    }
    g.suspend_at(arch::stack_pointer());
    // SAFETY: the caller is this goroutine, so it runs on this fiber's stack.
    unsafe { fiber.suspend(why) };
}

/// What a trace says of it. Must be called on the goroutine.
#[cold]
#[inline(never)]
pub(crate) fn suspension(g: GRef, why: Suspend) -> Event {
    match why {
        Suspend::Yield => Event::new(Kind::Yield, g.id(), 0),
        Suspend::WaitForP => Event::new(Kind::WaitForP, g.id(), 0),
        Suspend::Park => {
            // SAFETY: the caller is this goroutine.
            let (reason, ..) = unsafe { g.run() }.wait.get();
            Event::new(Kind::Park, g.id(), reason as u64)
        }
    }
}
