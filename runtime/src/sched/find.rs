//! Finding the next goroutine to run.
//!
//! In order: on every 61st tick the global queue (so that it isn't starved by local work) and, if
//! nobody has polled for a while, the reactor (so that busy goroutines don't starve I/O); due timers;
//! `runnext`; the local queue; a fair share of the global one; the reactor, without blocking; then,
//! spinning, the other Ps: half of a victim's queue, in the last round its `runnext` and the timers that it is late with;
//! and at last the idle protocol of `state::idle`, ending in a blocking poll or on the parker.
//!
//! Next in the reading order: `schedule`, which runs what was found; the proof behind going idle is in `state::idle`.

use crate::prim::arch::prefetch;
use crate::prim::atomic::Ordering;
use crate::prim::trace::{self, Event, Kind, Queue};
use crate::sched::Sched;
use crate::sched::g::GRef;
use crate::sched::m::{M, Mail};
use crate::sched::p::{Held, P};
use crate::sched::queue::Contended;
use crate::sched::timers::Due;
use std::hint;

/// The global queue is looked at on every 61st tick. Go's number: prime, so that it doesn't beat
/// with anything periodic in the program.
const GLOBAL_TICK: u32 = 61;
/// With local work at hand, the reactor is polled if nobody has for this long (ns): a poll costs
/// about 0.2 µs.
const POLL_INTERVAL: u64 = 50_000;
/// Rounds over all Ps before a thief gives up; timers and `runnext` are touched in the last.
const STEAL_ROUNDS: u32 = 4;
/// How often a thief looks at another's `runnext` before taking it: its owner is probably about to
/// park and run it, which is cheaper for everybody.
const RUNNEXT_LOOKS: u32 = 200;
/// Due timers taken out of a heap at a time.
const TIMER_BATCH: usize = 32;
/// Due timers stay in their heap while so many goroutines are queued, and are run in portions of this size, so
/// that the goroutines' slots, which waking them touches, are still in the cache when they run.
const READY_AHEAD: usize = 64;
/// In any case a portion is run on one of 61 ticks, so that timers get their share beside goroutines that keep
/// each other busy. Not on the one that may find something in the global queue, and then looks no further.
const TIMER_TICK: u32 = 1;

/// What to run next, and whether it inherits the time slice.
pub(crate) struct Found {
    pub(crate) held: Held,
    pub(crate) g: GRef,
    pub(crate) inherit: bool,
}

impl Sched {
    /// The next goroutine for `m`, which comes with a P or, having lost it, without. Blocks until there
    /// is one.
    #[doc(alias = "findRunnable")]
    pub(crate) fn find_runnable(&self, m: &'static M, held: Option<Held>) -> Found {
        let mut mine = held.or_else(|| self.acquire_p(m.id));
        loop {
            let mut held = match mine.take() {
                Some(held) => held,
                None => {
                    if m.spinning.get() {
                        // Its P was stopped. Who submitted meanwhile may have counted on it.
                        self.stop_spinning(m);
                        self.submitted();
                    }
                    let Mail { held, first } = self.stop_m(m);
                    if let Some(g) = first {
                        return self.found(m, held, g, false);
                    }
                    held
                }
            };
            if held.id >= self.procs() {
                self.stop_p(held);
                mine = self.acquire_p(m.id);
                continue;
            }
            if let Some((g, inherit)) = self.next_local(&mut held) {
                return self.found(m, held, g, inherit);
            }
            if let Some(g) = self.next_shared(m, &mut held) {
                return self.found(m, held, g, false);
            }
            mine = self.go_idle(m, held);
        }
    }

    /// Work was found: a spinning M stops spinning and wakes the next one, so that new work has its
    /// watcher.
    #[inline]
    #[doc(alias = "resetspinning")]
    fn found(&self, m: &'static M, held: Held, g: GRef, inherit: bool) -> Found {
        if m.spinning.get() {
            held.trace(|| Event::new(Kind::Found, m.id.into(), 0));
            m.spinning.set(false);
            self.idle.stop_spinning();
            self.submitted();
        }
        Found { held, g, inherit }
    }

    fn stop_spinning(&self, m: &M) {
        if m.spinning.get() {
            m.spinning.set(false);
            self.idle.stop_spinning();
        }
    }

    /// The P's own work.
    #[inline]
    #[doc(alias = "runqget")]
    pub(crate) fn next_local(&self, held: &mut Held) -> Option<(GRef, bool)> {
        let tick = held.local().tick.wrapping_add(1);
        held.local().tick = tick;
        if tick.is_multiple_of(GLOBAL_TICK)
            && let Some(g) = self.on_global_tick(held)
        {
            return Some((g, false));
        }
        if held.timers.next() <= held.clock()
            && (held.local().queue.len() < READY_AHEAD || tick % GLOBAL_TICK == TIMER_TICK)
        {
            self.run_timers(held, held.p());
        }
        if held.preempt.load(Ordering::Relaxed) {
            self.end_slice(held);
        }
        if let Some(g) = held.runnext.take() {
            return Some((g, true));
        }
        held.local().queue.pop().map(|g| (g, false))
    }

    /// The time slice is over: who is in `runnext` queues up like everybody else.
    #[cold]
    fn end_slice(&self, held: &mut Held) {
        held.preempt.store(false, Ordering::Relaxed);
        if let Some(g) = held.runnext.take() {
            held.trace(|| Event::new(Kind::SliceOver, g.id(), 0));
            held.local().queue.push(g);
        }
    }

    #[cold]
    fn on_global_tick(&self, held: &mut Held) -> Option<GRef> {
        let now = held.refresh_clock();
        // Before the poll: they have waited for longer than those that are ready only now.
        let g = self.take_global(held, Kind::GlobalTick);
        if self.poller.is_installed() && now.saturating_sub(held.local().polled) > POLL_INTERVAL {
            self.poll_now(held, now);
        }
        g
    }

    /// A fair share of the global queue: one to run, the others queue up in the local one. On the 61st tick too,
    /// since one at a time would be next to nothing for a crowd, such as the goroutines that waited behind a hog.
    /// `why` is what a trace calls it.
    fn take_global(&self, held: &mut Held, why: Kind) -> Option<GRef> {
        let before = held.local().queue.len();
        let g = self
            .global
            .take_share(&held.local().queue, self.procs() as usize)?;
        held.counters.global_gets.add(1);
        let after = held.local().queue.len();
        held.trace(|| Event::new(why, gained(before, after), 0));
        if !held.local().queue.is_empty() {
            self.submitted_by_p();
        }
        Some(g)
    }

    /// Work that others may take too.
    fn next_shared(&self, m: &'static M, held: &mut Held) -> Option<GRef> {
        if let Some(g) = self.take_global(held, Kind::Global) {
            return Some(g);
        }
        if self.stacks_wanted() {
            held.local().stacks.flush();
        }
        let now = held.refresh_clock();
        if self.run_timers(held, held.p()) > 0 || self.poll_now(held, now) > 0 {
            return held.local().queue.pop();
        }
        if m.spinning.get()
            || self
                .idle
                .try_spin(self.procs().saturating_sub(self.idle.ps()))
        {
            self.spin(m, held);
            if let Some(g) = self.steal(held) {
                held.counters.steals.add(1);
                return Some(g);
            }
            held.counters.steal_misses.add(1);
        }
        None
    }

    /// Polls the reactor without blocking if nobody else polls; queues what is ready.
    fn poll_now(&self, held: &mut Held, now: u64) -> usize {
        held.local().polled = now;
        if !self.poller.is_installed() {
            return 0;
        }
        let Some(mut seat) = self.poller.sit() else {
            return 0;
        };
        held.counters.polls.add(1);
        let begin = trace::begin();
        let ready = seat.poll_now(now);
        let n = ready.len();
        held.trace(|| Event::new(Kind::Poll, n as u64, trace::ticks_since(begin)));
        self.enqueue_all(held, ready.drain());
        n
    }

    /// Runs the due timers of `of`, queueing on `held` whom they make ready; returns how many.
    #[doc(alias = "checkTimers")]
    pub(crate) fn run_timers(&self, held: &mut Held, of: &P) -> usize {
        let now = held.clock();
        if of.timers.next() > now {
            return 0;
        }
        let begin = trace::begin();
        let mut ready = std::mem::take(&mut held.local().ready);
        ready.run_timers_of(of.id);
        let mut ran = 0;
        let mut due: [Option<Due>; TIMER_BATCH] = [None; TIMER_BATCH];
        loop {
            let n = of.timers.take_due(now, &mut due);
            // Most lead to a goroutine's slot.
            for due in due[..n].iter().flatten() {
                prefetch(due.arg);
            }
            for due in due[..n].iter().flatten() {
                (due.func)(due.arg, due.seq, &mut ready);
            }
            ran += n;
            if n < TIMER_BATCH || ran >= READY_AHEAD {
                break;
            }
        }
        ready.settle();
        held.counters.timers.add(ran as u64);
        held.trace(|| {
            Event::new(
                Kind::Timers,
                trace::timers(ran, of.id),
                trace::ticks_since(begin),
            )
        });
        let n = ready.len();
        self.enqueue_all(held, ready.drain());
        held.local().ready = ready;
        n
    }

    /// Steals from the other Ps.
    #[doc(alias = "stealWork")]
    fn steal(&self, held: &mut Held) -> Option<GRef> {
        let n = self.all_ps().len();
        if n < 2 {
            return None;
        }
        for round in 0..STEAL_ROUNDS {
            let last = round == STEAL_ROUNDS - 1;
            let start = held.local().rng.below(n);
            for i in 0..n {
                let victim = self.p((start + i) % n);
                if victim.id == held.id {
                    continue;
                }
                if last
                    && victim.is_late(held.clock())
                    && self.run_timers(held, victim) > 0
                    && let Some(g) = held.local().queue.pop()
                {
                    return Some(g);
                }
                let before = held.local().queue.len();
                match victim.stealer.steal_half(&held.local().queue) {
                    Ok(Some(g)) => {
                        let after = held.local().queue.len();
                        held.trace(|| {
                            Event::new(Kind::Steal, victim.id.into(), gained(before, after))
                        });
                        return Some(g);
                    }
                    Ok(None) => {}
                    // It isn't empty: a further round tries again.
                    Err(Contended) => hint::spin_loop(),
                }
                if last && let Some(g) = steal_next(victim) {
                    held.trace(|| Event::new(Kind::StealNext, victim.id.into(), 0));
                    return Some(g);
                }
            }
        }
        None
    }

    /// I1 to I3 of `state::idle`, then the poller's seat if it is free. Returns with a P if there is
    /// something to look for; without one the M stops.
    #[cold]
    fn go_idle(&self, m: &'static M, held: Held) -> Option<Held> {
        self.release_p(held);
        self.stop_spinning(m);
        self.idle.before_recheck();
        if self.work_anywhere() {
            return self.acquire_spinning(m);
        }
        let mut seat = self.poller.sit()?;
        let begin = trace::begin();
        let ready = seat.poll_blocking(m.id, || self.next_timer());
        trace::unowned(m.id, || {
            let ticks = trace::ticks_since(begin);
            Event::new(Kind::PollBlocking, ready.len() as u64, ticks)
        });
        let Some(mut held) = self.acquire_p(m.id) else {
            self.shared.polls.add(1);
            let n = ready.len();
            for next in ready.drain() {
                trace::unowned(m.id, || {
                    Event::new(Kind::Ready, next.g.id(), Queue::Global as u64)
                });
                self.global.push(next.g);
            }
            drop(seat);
            if n > 0 {
                self.shared.wakeups.add(n as u64);
                self.submitted();
            }
            // An M that went idle meanwhile found the seat taken and stopped: its P is ours to watch
            // with. (It listed the P, fenced, and looked at the seat; we do the reverse.)
            self.idle.before_recheck();
            return self.acquire_p(m.id);
        };
        let now = held.clock();
        held.local().polled = now;
        held.counters.polls.add(1);
        self.enqueue_all(&mut held, ready.drain());
        drop(seat);
        Some(held)
    }

    /// Work was seen after the P was given up: take one back and look for it, spinning, so that a
    /// submitter meanwhile need not start another M. However many spin already: the one that this M would be
    /// refused for may be a thread that was woken up and waits for a CPU, perhaps for this one, and until it came
    /// this M would only see the work again and again.
    fn acquire_spinning(&self, m: &'static M) -> Option<Held> {
        let held = self.acquire_p(m.id)?;
        if self.idle.try_spin(u32::MAX) {
            self.spin(m, &held);
        }
        Some(held)
    }

    /// `m`, which holds a P, spins; the count of spinning Ms has been raised for it.
    fn spin(&self, m: &M, held: &Held) {
        if !m.spinning.replace(true) {
            held.trace(|| Event::new(Kind::Spin, m.id.into(), 0));
        }
    }
}

/// How many goroutines were taken, for a trace: the one that is to run, and those that the queue has more of now. (Thieves
/// may have taken some of these again.)
fn gained(before: usize, after: usize) -> u64 {
    1 + after.saturating_sub(before) as u64
}

/// Takes the victim's `runnext` if it stays there for a moment.
fn steal_next(victim: &P) -> Option<GRef> {
    let seen = victim.runnext.peek();
    if seen == 0 {
        return None;
    }
    for _ in 0..RUNNEXT_LOOKS {
        if victim.runnext.peek() != seen {
            return None;
        }
        hint::spin_loop();
    }
    victim.runnext.take()
}
