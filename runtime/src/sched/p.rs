//! P: the right to run goroutines, with everything that running them needs.
//!
//! A P is owned by at most one M. Its status word (`pstatus`) says whether the owner is in the
//! runtime; only then is the P's [`Local`] part touched, and only by the owner. The proof is a value:
//! [`Held`] is made by taking the word to `SCHED` and is the only way to a `&mut Local`.
//!
//! The rest is for everybody: the thieves' ends of the queues, the timers (locked), the counters
//! (written by the owner, read by all), the cached clock, the preempt flag.
//!
//! Next in the reading order: `m`, which needs a P.

use crate::prim::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::prim::clock;
use crate::prim::counters::PCounters;
use crate::prim::latency::{self, Histogram};
use crate::prim::rng::Rng;
use crate::prim::trace::ring::Ring;
use crate::prim::trace::stamp::Stamp;
use crate::prim::trace::{self, Event, When};
use crate::sched::arena::FreeList;
use crate::sched::g::GRef;
use crate::sched::queue::{self, LocalQueue, LocalStealer, RunNext};
use crate::sched::reactor::{ReadyList, SLACK};
use crate::sched::timers::Timers;
use crate::stack::StackCache;
use crate::state::pstatus::{PState, PStatus, PWord};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Deref;

/// Numbers for new goroutines that a P takes from the global counter at a time.
pub(crate) const ID_BATCH: u64 = 16;

/// Is any P's `preempt` set? One word that is almost always false and almost never written, so that a
/// call that could have blocked but didn't learns for the price of a load that nobody asks for the
/// processor. Written by sysmon alone: true before it sets a flag, false when it finds none set.
pub(crate) static ASKED: AtomicBool = AtomicBool::new(false);

/// See the module's head. Aligned so that two Ps share no cache line.
#[repr(align(128))]
pub(crate) struct P {
    pub(crate) id: u32,
    pub(crate) status: PStatus,
    pub(crate) runnext: RunNext,
    /// Set by sysmon when the time slice is over; honoured at switch points.
    pub(crate) preempt: AtomicBool,
    /// Time slices begun; with sysmon's clock it tells how long the current one lasts.
    pub(crate) slices: AtomicU32,
    /// The time, as of the last look; see `prim::clock`. The owner refreshes it after polls and on
    /// every 61st tick, sysmon while a goroutine runs.
    clock: AtomicU64,
    pub(crate) stealer: LocalStealer,
    pub(crate) timers: Timers,
    pub(crate) counters: PCounters,
    pub(crate) latency: Histogram,
    /// Written through `Held::trace`.
    pub(crate) events: Ring,
    local: UnsafeCell<Local>,
}

// SAFETY: all fields but `local` are synchronised by themselves; `local` is reached only through
// `Held`, whose holder owns the P in SCHED (status word), one M at a time.
unsafe impl Sync for P {}
// SAFETY: as above.
unsafe impl Send for P {}

/// What only the owner touches, and only in the runtime.
pub(crate) struct Local {
    pub(crate) queue: LocalQueue,
    pub(crate) free: FreeList,
    pub(crate) stacks: StackCache,
    pub(crate) rng: Rng,
    /// Goroutines switched to; every 61st looks at the global queue.
    pub(crate) tick: u32,
    /// The last reactor poll by this P.
    pub(crate) polled: u64,
    /// Goroutines made ready until the next one whose time in the queue is taken.
    pub(crate) untimed: u32,
    pub(crate) next_id: u64,
    pub(crate) last_id: u64,
    /// Kept to spare an allocation per batch of timers or events.
    pub(crate) ready: ReadyList,
}

impl P {
    /// A stopped P.
    pub(crate) fn new(id: u32) -> P {
        let (queue, stealer) = queue::local();
        P {
            id,
            status: PStatus::new(),
            runnext: RunNext::new(),
            preempt: AtomicBool::new(false),
            slices: AtomicU32::new(0),
            clock: AtomicU64::new(0),
            stealer,
            timers: Timers::new(),
            counters: PCounters::new(),
            latency: Histogram::new(),
            events: Ring::new(),
            local: UnsafeCell::new(Local {
                queue,
                free: FreeList::new(),
                stacks: StackCache::new(),
                rng: Rng::new(u64::from(id) + 1),
                tick: 0,
                polled: 0,
                untimed: latency::EVERY,
                next_id: 0,
                last_id: 0,
                ready: ReadyList::new(),
            }),
        }
    }

    /// Does it have goroutines to run?
    pub(crate) fn has_work(&self) -> bool {
        self.runnext.is_some() || !self.stealer.is_empty()
    }

    /// Goroutines in its queue, the one to run next included.
    pub(crate) fn queued(&self) -> usize {
        self.stealer.len() + usize::from(self.runnext.is_some())
    }

    /// Is it late with its timers? They are others' business only then: with timers due every few microseconds two
    /// Ms would do nothing but take them from each other, twice the work for the same wake-ups. Nobody but others looks
    /// after those of a P that no M has, so they are late as soon as they are due.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        let next = self.timers.next();
        if next > now {
            return false;
        }
        let unowned = matches!(self.status.load().state(), PState::Idle | PState::Stopped);
        unowned || next.saturating_add(SLACK) <= now
    }

    /// The cached time.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Refreshes the cached time and returns it.
    pub(crate) fn refresh_clock(&self) -> u64 {
        let now = clock::now();
        self.clock.store(now, Ordering::Relaxed);
        now
    }
}

/// The caller's M owns this P and is in the runtime: the P's status is `SCHED`.
///
/// Not `Copy`, not `Send`. It is given up by leaving (`M::leave`), by handing the P to another M, or
/// by putting it on the idle list; dropping it by mistake would strand the P, which debug builds
/// notice when the next `enter` fails.
#[must_use]
pub(crate) struct Held {
    p: &'static P,
    _on_this_thread: PhantomData<*mut ()>,
}

impl Held {
    /// # Safety
    /// The P's status is `SCHED`, the caller's M owns it, and there is no other `Held` for it.
    #[inline]
    pub(crate) unsafe fn new(p: &'static P) -> Held {
        Held {
            p,
            _on_this_thread: PhantomData,
        }
    }

    /// The P itself.
    #[inline]
    pub(crate) fn p(&self) -> &'static P {
        self.p
    }

    /// The owner's part.
    #[inline]
    pub(crate) fn local(&mut self) -> &mut Local {
        // SAFETY: a `Held` is the only one for its P (`Held::new`), and it is borrowed mutably.
        unsafe { &mut *self.p.local.get() }
    }

    /// Gives the P up with this word as its status: outside, idle, stopped or another M's.
    #[inline]
    pub(crate) fn release(self, word: PWord) -> &'static P {
        self.p.status.leave(word);
        self.p
    }

    /// A number for a new goroutine; `more` gets a batch of [`ID_BATCH`] from the global counter.
    #[inline]
    pub(crate) fn new_id(&mut self, more: impl FnOnce() -> u64) -> u64 {
        let local = self.local();
        if local.next_id == local.last_id {
            local.next_id = more();
            local.last_id = local.next_id + ID_BATCH;
        }
        let id = local.next_id;
        local.next_id += 1;
        id
    }

    /// Records an event if a trace is running.
    #[inline(always)]
    pub(crate) fn trace(&self, event: impl FnOnce() -> Event) {
        if trace::on() {
            self.record(event(), true);
        }
    }

    /// As [`trace`](Held::trace), if another event of this P follows at once: that one's time is this one's as well.
    #[inline(always)]
    pub(crate) fn trace_soon(&self, event: impl FnOnce() -> Event) {
        if trace::on() {
            self.record(event(), false);
        }
    }

    #[cold]
    #[inline(never)]
    fn record(&self, event: Event, timed: bool) {
        let when = if timed {
            When::At(Stamp::now())
        } else {
            When::Soon
        };
        self.p.events.push(event.pack(when));
    }

    /// `g` is about to be queued: one of so many has its time in the queue taken.
    #[inline(always)]
    pub(crate) fn readied(&mut self, g: GRef) {
        let local = self.local();
        local.untimed -= 1;
        if local.untimed == 0 {
            self.take_time(g);
        }
    }

    #[cold]
    #[inline(never)]
    fn take_time(&mut self, g: GRef) {
        let local = self.local();
        local.untimed = latency::EVERY;
        let hint = local.rng.below(usize::from(u8::MAX));
        g.timed.set(latency::take_place(clock::now(), hint));
    }

    /// `g` was taken out of a queue and is about to run.
    #[inline(always)]
    pub(crate) fn note_latency(&self, g: GRef) {
        if g.timed.get() != 0 {
            self.count_latency(g);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_latency(&self, g: GRef) {
        let since = latency::give_back(g.timed.replace(0));
        self.p.latency.add(clock::now().saturating_sub(since));
    }

    /// Makes `g` the goroutine that runs next here; the one it displaces goes to the queue. `true`:
    /// there is now more than a lone `runnext`, so the caller tells the idle (`Sched::submitted`).
    #[inline]
    #[must_use]
    #[doc(alias = "runqput")]
    pub(crate) fn put_next(&mut self, g: GRef) -> bool {
        self.readied(g);
        match self.p.runnext.replace(g) {
            None => false,
            Some(displaced) => {
                self.local().queue.push(displaced);
                true
            }
        }
    }
}

impl Deref for Held {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        self.p
    }
}
