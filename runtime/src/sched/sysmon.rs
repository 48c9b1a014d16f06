//! sysmon: the thread that watches the others. It has no P and runs no goroutine.
//!
//! On every tick it
//! * takes the P from a goroutine that keeps its thread while others wait: at once if the thread
//!   blocks, after [`SLICE`] if it computes. A P whose thread blocks is taken after [`SLICE`] even
//!   if nobody waits, so that an idle process has no busy P and sysmon can sleep;
//! * asks a pair that shares a time slice for too long to let others run (`P::preempt`);
//! * moves a goroutine that lies in the `runnext` of a P that doesn't get around to it;
//! * polls the reactor if nobody has for [`SLICE`];
//! * retries stacks for goroutines that wait for one, and gives unused stack pages back.
//!
//! Who computes without pause after its P was taken competes with the Ps' threads for processors, so
//! its thread is reniced; since a thread can't lower its niceness again, the M ends with its
//! goroutine's next switch. A thread locked to its goroutine is not reniced. `max_burners` bounds
//! such threads.
//!
//! # Blocked or burning
//!
//! Telling them apart by the thread's CPU clock alone takes a thread that is merely waiting for a
//! processor for a blocked one, which matters just when processors are scarce. The kernel knows:
//! `/proc/self/task/<tid>/stat` says whether the thread is runnable. It is read only for a P that
//! looks stuck.
//!
//! A thread that is runnable is a hog only if its CPU clock went on, too. Otherwise others have the
//! processors, maybe other processes, and a second thread for the P would wait for one just like the first;
//! only that the first would be reniced, and its goroutine wait for much longer than those behind it.
//!
//! # Pace
//!
//! A tick per ms while a P looks stuck or was just taken, at most 5 ms apart while goroutines run,
//! 10 ms otherwise; after 100 ms with every P idle it sleeps until a P is taken into use
//! ([`Bell::ring`]). A thread that wakes every 10 ms costs 0.5% of a core, every ms 2.5%.
//!
//! Next in the reading order: `start`.

pub(crate) mod sys;

use crate::prim::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::prim::trace::{self, Event, Kind, Queue, who};
use crate::prim::{Condvar, Mutex, clock, warn};
use crate::sched::m::M;
use crate::sched::p::{ASKED, Held, P};
use crate::sched::{Sched, arena, send};
use crate::stack::{self, TRIM_MARGIN};
use crate::state::pstatus::{PState, PWord};
use std::io;
use std::thread;
use std::time::Duration;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// A goroutine's time slice, in ns; Go's.
pub(crate) const SLICE: u64 = 10 * MS;
/// A P that stays with one goroutine this long is asked to switch at its next chance.
const ASK: u64 = 5 * MS;
/// Hogs come in crowds: for this long after one was found, others are found sooner, so that a queue of
/// them doesn't hold everybody up for a slice each.
const CROWD: u64 = 20 * MS;
/// A goroutine's time slice then: the next tick.
const CROWD_SLICE: u64 = MS;
/// Who has kept a P for so long without computing, because others have the processors, loses it nevertheless.
const STARVED: u64 = 100 * MS;
/// All Ps must be idle this long before sysmon sleeps.
const LINGER: u64 = 100 * MS;
/// Looks for a deadlock, each after twice the pause of the one before, while the answer may change
/// without any goroutine running (a thread of the program ends).
const QUIET_LOOKS: u32 = 4;
/// How often goroutines without a stack are retried, and stacks trimmed.
const SLOW: u64 = 100 * MS;
/// A goroutine parked this long has its stack trimmed.
const LONG_PARKED: u64 = 100 * MS;
/// Slots looked at, and pooled stacks trimmed, at a time.
const TRIM_BATCH: usize = 1024;

/// How the sleeping sysmon is woken, and what it shares with others.
#[derive(Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    rung: Mutex<bool>,
    wake: Condvar,
    /// Reniced threads.
    burners: AtomicU32,
    /// Called when everything has come to rest, says whether to call again; set by `task::run`.
    on_quiet: once_cell::sync::OnceCell<fn() -> bool>,
    /// A reniced thread wanted an M started: a thread it starts itself would inherit its niceness.
    wanted: AtomicBool,
    pub(crate) tid: AtomicU32,
}

impl Bell {
    /// A P is taken into use: sysmon must be awake. Called with the scheduler's lists locked, which
    /// orders it with sysmon's decision to sleep.
    #[inline]
    pub(crate) fn ring(&self) {
        if self.asleep.load(Ordering::Relaxed) {
            *self.rung.lock() = true;
            self.wake.notify_one();
        }
    }

    /// A reniced thread ends.
    pub(crate) fn burner_ended(&self) {
        self.burners.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks sysmon to start an M, with its next tick, for the work that is queued.
    pub(crate) fn want_m(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// What to call when everything has come to rest, on sysmon's thread: it says whether it wants to
    /// be called again soon if nothing happens. The first call counts.
    pub(crate) fn set_on_quiet(&self, hook: fn() -> bool) {
        let _ = self.on_quiet.set(hook);
    }

    /// Sleeps until rung or for `timeout`; `true` if rung.
    fn sleep(&self, timeout: Option<Duration>) -> bool {
        let mut rung = self.rung.lock();
        if !*rung {
            match timeout {
                Some(timeout) => drop(self.wake.wait_for(&mut rung, timeout)),
                None => self.wake.wait(&mut rung),
            }
        }
        std::mem::take(&mut *rung)
    }
}

/// Starts the thread.
pub(crate) fn start(sched: &'static Sched) -> io::Result<()> {
    thread::Builder::new()
        .name("corio-sysmon".into())
        .spawn(move || {
            sched.sysmon.tid.store(sys::gettid(), Ordering::Relaxed);
            Sysmon::new(sched).run();
        })
        .map(drop)
}

/// What sysmon saw of a P.
#[derive(Clone, Copy)]
struct Seen {
    word: PWord,
    since: u64,
    slices: u32,
    slice_since: u64,
    runnext: usize,
    /// The owner's CPU time then.
    cpu: u64,
}

struct Sysmon {
    sched: &'static Sched,
    seen: Vec<Seen>,
    idle_since: Option<u64>,
    last_take: u64,
    /// The last P taken from a goroutine that blocked: crowds of these hold nobody up for long if the
    /// next tick is near.
    last_blocked: u64,
    last_slow: u64,
    last_trace: u64,
    trim_cursor: usize,
    rescue: bool,
    /// Looks for a deadlock since everything came to rest.
    looks: u32,
    /// The last look for one while goroutines wait for a stack.
    last_look: u64,
}

impl Sysmon {
    fn new(sched: &'static Sched) -> Self {
        let now = clock::now();
        Sysmon {
            sched,
            seen: Vec::new(),
            idle_since: None,
            last_take: 0,
            last_blocked: 0,
            last_slow: now,
            last_trace: now,
            trim_cursor: 0,
            rescue: false,
            looks: 0,
            last_look: now,
        }
    }

    #[doc(alias = "sysmon")]
    fn run(mut self) -> ! {
        let mut delay = 10 * MS;
        loop {
            self.sched.sysmon.sleep(Some(Duration::from_nanos(delay)));
            let now = clock::now();
            self.poll(now);
            delay = self.watch(now);
            self.slow(now);
            self.trace(now);
            self.rescue_work();
            if self.sched.all_at_rest() {
                delay = 10 * MS;
                let since = *self.idle_since.get_or_insert(now);
                if now - since >= LINGER && self.rest() {
                    self.idle_since = None;
                }
            } else {
                self.idle_since = None;
            }
        }
    }

    /// Everything is idle: gives memory back, looks for a deadlock, and sleeps until a P is taken
    /// into use. `true` if it slept.
    fn rest(&mut self) -> bool {
        let sched = self.sched;
        if sched.work_anywhere() {
            return false;
        }
        if sched.stacks_wanted() {
            // Perhaps for ever, so look for a deadlock; but go on retrying.
            let now = clock::now();
            if now - self.last_look >= SECOND {
                self.last_look = now;
                self.quiet();
            }
            return false;
        }
        while stack::trim_pool(TRIM_BATCH) > 0 {}
        for n in 0..arena::count() {
            self.trim(n, u64::MAX);
        }
        self.looks = if self.quiet() { self.looks + 1 } else { 0 };
        if !sched.fall_asleep() {
            return true;
        }
        let trace = sched.settings.schedtrace.map(|every| {
            let left = (self.last_trace + every.as_nanos() as u64).saturating_sub(clock::now());
            Duration::from_nanos(left)
        });
        let look = (1..=QUIET_LOOKS)
            .contains(&self.looks)
            .then(|| Duration::from_nanos(LINGER << self.looks));
        let rung = sched.sysmon.sleep(trace.into_iter().chain(look).min());
        sched.sysmon.asleep.store(false, Ordering::Relaxed);
        if rung {
            self.looks = 0;
        }
        true
    }

    /// Tells `run` that everything has come to rest; `true` if it wants to be told again.
    fn quiet(&self) -> bool {
        let on_quiet = self.sched.sysmon.on_quiet.get();
        on_quiet.is_some_and(|on_quiet| on_quiet())
    }

    /// Polls if nobody has for a while: all Ps may be in the hands of goroutines that compute.
    fn poll(&self, now: u64) {
        let sched = self.sched;
        if !sched.poller.is_installed() || now.saturating_sub(sched.poller.last()) < SLICE {
            return;
        }
        let Some(mut seat) = sched.poller.sit() else {
            return;
        };
        let mut n = 0;
        let begin = trace::begin();
        let ready = seat.poll_now(now);
        trace::unowned(who::SYSMON, || {
            Event::new(Kind::Poll, ready.len() as u64, trace::ticks_since(begin))
        });
        for next in ready.drain() {
            trace::unowned(who::SYSMON, || {
                Event::new(Kind::Ready, next.g.id(), Queue::Global as u64)
            });
            sched.global.push(next.g);
            n += 1;
        }
        drop(seat);
        sched.shared.polls.add(1);
        sched.shared.wakeups.add(n);
        // Even if nothing was ready: an M that found the seat taken has stopped, and nobody polls.
        sched.submitted();
    }

    /// Looks at every P; returns when to come back.
    fn watch(&mut self, now: u64) -> u64 {
        let mut running = false;
        let mut stuck = false;
        let mut asked = false;
        for (i, p) in self.sched.all_ps().enumerate() {
            let word = p.status.load();
            let slices = p.slices.load(Ordering::Relaxed);
            if self.seen.len() == i {
                self.seen.push(Seen {
                    word,
                    since: now,
                    slices,
                    slice_since: now,
                    runnext: 0,
                    cpu: 0,
                });
            }
            asked |= p.preempt.load(Ordering::Relaxed);
            let runnext = p.runnext.peek();
            let seen = &mut self.seen[i];
            if slices != seen.slices {
                (seen.slices, seen.slice_since) = (slices, now);
            }
            if word != seen.word {
                (seen.word, seen.since) = (word, now);
                seen.runnext = runnext;
                if word.is_outside() {
                    running = true;
                    seen.cpu = self.sched.cpu_time(word);
                }
                if now - seen.slice_since >= SLICE && word.state() != PState::Idle {
                    ask(p);
                    asked = true;
                }
                continue;
            }
            if !word.is_outside() {
                continue;
            }
            running = true;
            p.refresh_clock();
            if runnext != 0 && runnext == seen.runnext {
                self.move_runnext(p);
            } else {
                seen.runnext = runnext;
            }
            let seen = self.seen[i];
            let mut waiting = self.somebody_waits(p, now);
            if waiting && p.id < self.sched.procs() && self.sched.idle.ps() > 0 {
                // An idle P can serve them: see that somebody comes.
                self.sched.submitted();
                waiting = false;
            }
            stuck |= waiting;
            if waiting && now - seen.since >= ASK {
                ask(p);
                asked = true;
            }
            self.retake(p, seen, waiting, now);
        }
        if !asked {
            ASKED.store(false, Ordering::Relaxed);
        }
        let last_take = self.last_take.max(self.last_blocked);
        if stuck || now.saturating_sub(last_take) < LINGER {
            MS
        } else if running {
            5 * MS
        } else {
            10 * MS
        }
    }

    /// Does anybody wait whom this P could serve?
    fn somebody_waits(&self, p: &P, now: u64) -> bool {
        p.has_work() || !self.sched.global.is_empty() || self.sched.next_timer() <= now
    }

    /// The goroutine in `runnext` has been there for a whole tick behind the same one: anybody may
    /// have it.
    fn move_runnext(&self, p: &P) {
        if let Some(g) = p.runnext.take() {
            trace::unowned(who::SYSMON, || {
                Event::new(Kind::MoveNext, p.id.into(), g.id())
            });
            self.sched.enqueue_global(g);
        }
    }

    /// Takes the P if its goroutine blocks its thread or hogs it.
    fn retake(&mut self, p: &'static P, seen: Seen, waiting: bool, now: u64) {
        let sched = self.sched;
        let (word, stayed) = (seen.word, now - seen.since);
        if !waiting && stayed < SLICE {
            return;
        }
        let blocked = word.state() == PState::Blocking
            || sched
                .ms
                .by_id(word.m())
                .is_some_and(|m| sys::is_blocked(m.tid.load(Ordering::Relaxed)));
        let slice = if now.saturating_sub(self.last_take) < CROWD {
            CROWD_SLICE
        } else {
            SLICE
        };
        if !blocked && (!waiting || stayed < slice) {
            return;
        }
        let m = sched.ms.by_id(word.m());
        if !blocked && stayed < STARVED {
            let used = sched.cpu_time(word).saturating_sub(seen.cpu);
            if used < MS && used < stayed / 2 {
                return;
            }
        }
        if !blocked
            && sched.sysmon.burners.load(Ordering::Relaxed) >= sched.settings.max_burners as u32
        {
            return;
        }
        if !p.status.take(word) {
            return;
        }
        // SAFETY: the compare-exchange took the P to SCHED, so it is ours.
        let mut held = unsafe { Held::new(p) };
        held.trace(|| {
            let kind = if blocked {
                Kind::TookBlocked
            } else {
                Kind::TookHog
            };
            let g = m.map_or(0, M::goroutine_id);
            Event::new(kind, word.m().into(), g)
        });
        p.refresh_clock();
        if blocked {
            self.last_blocked = now;
        } else {
            held.counters.take_overs.add(1);
            self.last_take = now;
            self.demote(m);
        }
        self.make_way(&mut held);
        sched.hand_off(held);
    }

    /// The goroutines that queued up behind a hog, or behind one that blocks, may be like it: they go to the global
    /// queue, and whoever I/O has made ready meanwhile goes first.
    fn make_way(&self, held: &mut Held) {
        let sched = self.sched;
        let mut waiting = Vec::new();
        while let Some(g) = held.local().queue.pop() {
            waiting.push(g);
        }
        if sched.poller.is_installed()
            && let Some(mut seat) = sched.poller.sit()
        {
            let begin = trace::begin();
            let ready = seat.poll_now(held.clock());
            held.trace(|| Event::new(Kind::Poll, ready.len() as u64, trace::ticks_since(begin)));
            for next in ready.drain() {
                held.trace(|| Event::new(Kind::Ready, next.g.id(), Queue::Local as u64));
                held.local().queue.push_upcoming(next);
            }
        }
        held.trace(|| Event::new(Kind::MakeWay, waiting.len() as u64, 0));
        for g in waiting {
            sched.global.push(g);
        }
        // As in `poll`; and there may be work now that an idle P can take.
        sched.submitted();
    }

    /// Renices the thread that goes on computing without a P.
    fn demote(&self, m: Option<&'static M>) {
        let Some(m) = m else { return };
        let locked = m.locked.load(Ordering::Relaxed);
        let tid = m.tid.load(Ordering::Relaxed);
        if !locked && tid != 0 && sys::renice(tid) && !m.burning.swap(true, Ordering::Relaxed) {
            self.sched.sysmon.burners.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What need not be done on every tick.
    fn slow(&mut self, now: u64) {
        if now - self.last_slow < SLOW {
            return;
        }
        self.last_slow = now;
        let end = (self.trim_cursor + TRIM_BATCH).min(arena::count());
        for n in self.trim_cursor..end {
            self.trim(n, now);
        }
        self.trim_cursor = if end == arena::count() { 0 } else { end };
        self.sched.retry_stacks(now);
        stack::trim_pool(TRIM_BATCH);
    }

    /// Gives the unused pages of a long-parked goroutine's stack back.
    #[doc(alias = "shrinkstack")]
    fn trim(&self, n: usize, now: u64) {
        let g = arena::slot(n);
        if !g.is_goroutine() {
            return;
        }
        let Some(scan) = g.status.begin_scan() else {
            return;
        };
        if g.is_goroutine()
            && !scan.on_m()
            && let Some(fiber) = g.fiber()
        {
            // SAFETY: the goroutine is parked and claimed for this scan, and has a fiber.
            unsafe {
                let run = fiber.data();
                let (_, _, since) = run.wait.get();
                if now.saturating_sub(since) >= LONG_PARKED
                    && !run.trimmed.swap(true, Ordering::Relaxed)
                {
                    let (top, class) = fiber.stack();
                    let below = fiber.suspended_at().sp - TRIM_MARGIN;
                    stack::trim_below(top, class, below);
                }
            }
        }
        self.sched.end_scan(g, scan);
    }

    /// Work that nobody comes for although a P idles: a thread could not be started. Seen twice in a
    /// row, somebody is sent for it.
    fn rescue_work(&mut self) {
        let sched = self.sched;
        if sched.sysmon.wanted.swap(false, Ordering::Relaxed) {
            sched.submitted();
        }
        let stranded = sched.idle.ps() > 0 && sched.idle.spinning() == 0 && sched.work_anywhere();
        if stranded && self.rescue {
            sched.shared.rescues.add(1);
            let failures = sched.shared.thread_failures.get();
            sched.submitted();
            if sched.shared.thread_failures.get() != failures {
                self.last_resort();
            }
        }
        self.rescue = stranded;
    }

    /// No thread can be started, and all there are wait for goroutines locked to them, or block. What
    /// needs no further thread is done here: due timers, and locked goroutines that are runnable.
    fn last_resort(&self) {
        let sched = self.sched;
        let Some(mut held) = sched.acquire_p(0) else {
            return;
        };
        for p in sched.all_ps() {
            sched.run_timers(&mut held, p);
        }
        while let Some(g) = held.local().queue.pop() {
            sched.global.push(g);
        }
        for _ in 0..sched.global.len() {
            let Some(g) = sched.global.pop() else { break };
            if let Some(m) = sched.locked_to(g) {
                return send(m, held, false, Some(g));
            }
            sched.global.push(g);
        }
        sched.release_p(held);
    }

    #[doc(alias = "schedtrace")]
    fn trace(&mut self, now: u64) {
        let Some(every) = self.sched.settings.schedtrace else {
            return;
        };
        if now - self.last_trace >= every.as_nanos() as u64 {
            self.last_trace = now;
            warn(format_args!("{}", self.sched.observe().schedtrace()));
        }
    }
}

/// Asks the goroutine on `p` to give the processor up at its next switch point.
#[doc(alias = "preemptone")]
fn ask(p: &P) {
    if !p.preempt.load(Ordering::Relaxed) {
        trace::unowned(who::SYSMON, || Event::new(Kind::Ask, p.id.into(), 0));
    }
    ASKED.store(true, Ordering::Relaxed);
    p.preempt.store(true, Ordering::Relaxed);
}

impl Sched {
    /// The CPU time of the thread that has the P, in ns.
    fn cpu_time(&self, word: PWord) -> u64 {
        self.ms
            .by_id(word.m())
            .map_or(0, |m| sys::cpu_time(m.tid.load(Ordering::Relaxed)))
    }

    /// Is no P in anybody's hands? Also none beyond `procs` whose goroutine hasn't switched yet.
    fn all_at_rest(&self) -> bool {
        self.all_ps()
            .all(|p| matches!(p.status.load().state(), PState::Idle | PState::Stopped))
    }

    /// Decides to sleep, under the lock that P's are taken into use under.
    fn fall_asleep(&self) -> bool {
        let _lists = self.lists.lock();
        if !self.all_at_rest() || self.stacks_wanted() {
            return false;
        }
        self.sysmon.asleep.store(true, Ordering::Relaxed);
        true
    }
}
