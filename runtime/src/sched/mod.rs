//! The scheduler: G, M and P.
//!
//! * **G**, a goroutine: a slot, later a stack, and what it waits for.
//! * **M**, an OS thread. It needs a P to run goroutines in scheduled mode.
//! * **P**, the right to run goroutines: run queue, timers, caches, counters. There are `procs` of
//!   them, and as many Ms as blocked or hogging goroutines make necessary.
//!
//! One global queue would make every switch contend; a queue per thread would strand work on threads
//! that block. Hence Go's third party: the queues belong to Ps, and a P moves on when its thread is
//! stuck. corio follows Go's scheduler (Vyukov, "Scalable Go Scheduler Design Doc", 2012; proc.go)
//! in structure and vocabulary. What is different, and why:
//!
//! * User code never touches the P, so sysmon can take the P from *any* goroutine that keeps it too
//!   long, whether it computes or blocks in a system call nobody announced (`pstatus`, `sysmon`). Go
//!   needs signals to preempt and hooks around system calls.
//! * Parking needs no lock that is released after the switch (`gstatus`).
//! * A goroutine gets its stack when it first runs, not when it is spawned.
//!
//! # A goroutine's life
//!
//! `spawn` fills a slot and puts it into the caller's `runnext` (or the global queue, from a plain
//! thread). An M's loop (`schedule`) finds it (`find`), binds a stack and switches to it. It runs
//! until it yields (back into the queue), parks (its waker puts it into a queue: `ready`), or ends
//! (its stack goes to the P's cache, its slot to the free list or to its `JoinHandle`).
//!
//! # Reading order
//!
//! This head; `g` → `arena` → `queue` → `ahead` → `timers` → `p` → `m` → `current` → `waiter` → `reactor`; this module's
//! [`Sched`]; `find` → `schedule` → `state::idle` (the proof) → `stacks` → `blocking` → `sysmon` → `start` → `observe`.
//! Each names the next.
//!
//! Next in the reading order: `g`.
//!
//! # Locks
//!
//! In this order: `Sched::lists` → `Ms` → an allocator's; `Timers`, the arena's, the stack pool's and
//! the tags' locks are leaves, held for a few instructions. No lock is held while user code runs or a
//! goroutine is switched.

pub(crate) mod ahead;
pub(crate) mod arena;
pub(crate) mod blocking;
pub(crate) mod current;
pub(crate) mod find;
pub(crate) mod g;
pub(crate) mod m;
pub(crate) mod observe;
pub(crate) mod p;
pub(crate) mod queue;
pub(crate) mod reactor;
pub(crate) mod reason;
pub(crate) mod schedule;
pub(crate) mod stacks;
pub(crate) mod start;
pub(crate) mod sysmon;
pub(crate) mod tags;
pub(crate) mod timers;
pub(crate) mod trace;
pub(crate) mod waiter;

pub(crate) use start::{sched, started};

use crate::prim::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::prim::config::{MAX_GOROUTINES, MAX_PROCS, Migrate, Settings};
use crate::prim::counters::SharedCounters;
use crate::prim::trace::{self as events, Event, Kind, Queue};
use crate::prim::{CachePadded, Mutex, warn};
use crate::state::idle::Idle;
use crate::state::join::ResultOf;
use crate::state::pstatus::PState;
use ahead::Upcoming;
use g::{EntryFn, GRef, Payload};
use m::{M, Ms};
use p::{Held, ID_BATCH, P};
use queue::GlobalQueue;
use reactor::Poller;
use std::io;
use std::panic::Location;
use tags::Tag;

use crate::stack::SizeClass;

/// The one scheduler of the process.
pub(crate) struct Sched {
    pub(crate) settings: Settings,
    /// Of goroutines that ask for no other.
    stack_class: SizeClass,
    /// Ps that exist, by number; they are made when first needed and live for ever.
    ps: Box<[AtomicPtr<P>]>,
    /// Ps that exist: `ps[..made]` are not null.
    made: AtomicU32,
    /// Ps in use: those with a number below this.
    procs: AtomicU32,
    pub(crate) global: GlobalQueue,
    pub(crate) idle: CachePadded<Idle>,
    lists: Mutex<Lists>,
    pub(crate) ms: Ms,
    pub(crate) poller: Poller,
    pub(crate) sysmon: sysmon::Bell,
    pub(crate) stack_waiters: stacks::StackWaiters,
    pub(crate) shared: SharedCounters,
    next_id: AtomicU64,
    thread_failed: AtomicBool,
}

/// Idle Ps and Ms.
#[derive(Default)]
struct Lists {
    ps: Vec<&'static P>,
    ms: Vec<&'static M>,
}

/// What a spawner asks for.
pub(crate) struct SpawnRequest {
    pub(crate) entry: EntryFn,
    pub(crate) payload: Payload,
    /// `None`: the configured size.
    pub(crate) class: Option<SizeClass>,
    pub(crate) location: &'static Location<'static>,
}

impl SpawnRequest {
    /// What a trace says of it.
    fn event(&self, kind: Kind, id: u64) -> Event {
        Event::new(kind, id, std::ptr::from_ref(self.location) as usize as u64)
    }

    /// Writes it into a free slot.
    ///
    /// # Safety
    ///
    /// As [`G::fill`](g::G::fill).
    #[inline]
    unsafe fn fill(&self, g: GRef, id: u64, class: SizeClass, tag: Tag) {
        // SAFETY: passed on to the caller.
        unsafe { g.fill(id, class, tag, self.entry, self.payload, self.location) };
    }
}

impl Sched {
    fn new(settings: Settings) -> Sched {
        Sched {
            ps: (0..MAX_PROCS).map(|_| AtomicPtr::default()).collect(),
            made: AtomicU32::new(0),
            procs: AtomicU32::new(0),
            global: GlobalQueue::new(),
            idle: CachePadded::new(Idle::new()),
            lists: Mutex::new(Lists::default()),
            ms: Ms::default(),
            poller: Poller::new(),
            sysmon: sysmon::Bell::default(),
            stack_waiters: stacks::StackWaiters::default(),
            shared: SharedCounters::new(),
            next_id: AtomicU64::new(1),
            thread_failed: AtomicBool::new(false),
            stack_class: SizeClass::for_size(settings.stack_size).expect("Config checks the range"),
            settings,
        }
    }

    /// Is every goroutine to go on on another M after each park?
    #[inline]
    pub(crate) fn migrates(&self) -> bool {
        self.settings.migrate == Migrate::Always
    }

    /// Ps in use.
    #[inline]
    pub(crate) fn procs(&self) -> u32 {
        self.procs.load(Ordering::Relaxed)
    }

    /// Every P that was ever in use.
    pub(crate) fn all_ps(&self) -> impl ExactSizeIterator<Item = &'static P> + '_ {
        // Acquire: partner of the Release in `set_procs`.
        let made = self.made.load(Ordering::Acquire) as usize;
        self.ps[..made].iter().map(|p| {
            // SAFETY: `set_procs` stored leaked Ps below `made`.
            unsafe { &*p.load(Ordering::Relaxed) }
        })
    }

    /// The P with this number, which must be below the number made.
    pub(crate) fn p(&self, n: usize) -> &'static P {
        let p = self.ps[n].load(Ordering::Relaxed);
        debug_assert!(!p.is_null());
        // SAFETY: `set_procs` stored a leaked P; the caller has seen `made` above `n`.
        unsafe { &*p }
    }

    /// Changes the number of Ps in use, from 1 to `MAX_PROCS`. New ones become idle and are put to
    /// work at once if there is some; surplus ones stop when their owner next looks for work.
    #[doc(alias = "procresize")]
    pub(crate) fn set_procs(&self, n: u32) -> u32 {
        assert!(
            (1..=MAX_PROCS as u32).contains(&n),
            "the number of procs is {n}; it must be from 1 to {MAX_PROCS}"
        );
        let mut lists = self.lists.lock();
        let before = self.procs.load(Ordering::Relaxed);
        for id in self.made.load(Ordering::Relaxed)..n {
            let p: &'static P = Box::leak(Box::new(P::new(id)));
            self.ps[id as usize].store(std::ptr::from_ref(p).cast_mut(), Ordering::Relaxed);
            // Release: partner of the Acquire in `all_ps`.
            self.made.store(id + 1, Ordering::Release);
        }
        self.procs.store(n, Ordering::Relaxed);
        for p in self.all_ps() {
            let idle = p.status.load().state() == PState::Idle;
            if p.id >= n && idle {
                lists.ps.retain(|listed| !std::ptr::eq(*listed, p));
                self.idle.p_busy();
                p.status.leave(p.status.load().with(PState::Stopped));
            } else if p.id < n && p.status.load().state() == PState::Stopped {
                self.list_p(&mut lists, p);
            }
        }
        drop(lists);
        // Stopped Ps may have left timers and goroutines; new ones may have work waiting.
        self.idle.before_recheck();
        if self.work_anywhere() {
            self.submitted();
        }
        before
    }

    /// I1: puts a P on the idle list.
    fn list_p(&self, lists: &mut Lists, p: &'static P) {
        p.status
            .leave(p.status.load().with(PState::Idle).owned_by(0));
        lists.ps.push(p);
        self.idle.p_idle();
    }

    /// Gives an idle P up; the caller looks at every queue afterwards (`state::idle`). A P beyond
    /// `procs` is stopped instead, its goroutines moved to the global queue.
    pub(crate) fn release_p(&self, held: Held) {
        let mut lists = self.lists.lock();
        if held.id >= self.procs() {
            drop(lists);
            self.stop_p(held);
            return;
        }
        held.trace(|| Event::new(Kind::Idle, held.status.load().m().into(), 0));
        self.list_p(&mut lists, held.p());
        // `held` is given up by the status that `list_p` stored.
    }

    /// Takes a P off the idle list for `m`.
    #[doc(alias = "acquirep")]
    #[doc(alias = "releasep")]
    pub(crate) fn acquire_p(&self, m: u32) -> Option<Held> {
        if self.idle.ps() == 0 {
            return None;
        }
        let mut lists = self.lists.lock();
        self.take_p(&mut lists, m)
    }

    fn take_p(&self, lists: &mut Lists, m: u32) -> Option<Held> {
        let p = lists.ps.pop()?;
        self.idle.p_busy();
        p.status
            .leave(p.status.load().with(PState::Sched).owned_by(m));
        p.refresh_clock();
        self.sysmon.ring();
        // SAFETY: the P was idle, and the list's lock gives it to one taker.
        let held = unsafe { Held::new(p) };
        if m != 0 {
            held.trace(|| Event::new(Kind::Start, m.into(), 0));
        }
        Some(held)
    }

    /// Takes a P out of use: it is beyond `procs`.
    pub(crate) fn stop_p(&self, mut held: Held) {
        held.trace(|| Event::new(Kind::Stopped, 0, 0));
        let mut moved = false;
        if let Some(g) = held.runnext.take() {
            self.global.push(g);
            moved = true;
        }
        while let Some(g) = held.local().queue.pop() {
            self.global.push(g);
            moved = true;
        }
        held.local().free.flush();
        held.local().stacks.flush();
        // Under the lock, against a `set_procs` that takes the P back into use.
        let mut lists = self.lists.lock();
        if held.id < self.procs() {
            self.list_p(&mut lists, held.p());
            moved = true;
        } else {
            let word = held.status.load().with(PState::Stopped).owned_by(0);
            held.release(word);
        }
        drop(lists);
        self.idle.before_recheck();
        if moved && self.work_anywhere() {
            self.submitted();
        }
    }

    /// Work was put into a queue (S1 of `state::idle`): starts a spinning M if a P idles and nobody
    /// spins.
    #[inline]
    #[doc(alias = "wakep")]
    pub(crate) fn submitted(&self) {
        if self.idle.submit() {
            self.start_spinning();
        }
    }

    /// As [`Sched::submitted`], by an M that holds a P: with one P in use there is none to wake.
    #[inline]
    pub(crate) fn submitted_by_p(&self) {
        if self.procs() > 1 {
            self.submitted();
        }
    }

    /// Starts an M that spins. The caller has raised the count of spinning Ms for it.
    #[cold]
    fn start_spinning(&self) {
        let mut lists = self.lists.lock();
        let Some(held) = self.take_p(&mut lists, 0) else {
            // Under the lock, so that a P that goes idle later sees the count lowered: a submitter
            // who read the higher one has fenced before that P's owner looks around.
            self.idle.stop_spinning();
            return;
        };
        let m = lists.ms.pop();
        drop(lists);
        self.wake_or_start(held, m, true, None);
    }

    /// Gives `held` to an idle M, or to a new one.
    #[doc(alias = "startm")]
    pub(crate) fn start_m(&self, held: Held, first: Option<GRef>) {
        let m = self.lists.lock().ms.pop();
        self.wake_or_start(held, m, false, first);
    }

    fn wake_or_start(
        &self,
        held: Held,
        m: Option<&'static M>,
        spinning: bool,
        first: Option<GRef>,
    ) {
        match m {
            Some(m) => send(m, held, spinning, first),
            // A thread inherits the niceness of the one that starts it, and whatever a locked
            // goroutine has done to its own.
            None if current::try_m().is_some_and(M::is_special) => {
                self.put_back(held, spinning, first);
                self.sysmon.want_m();
            }
            None => {
                if let Err((held, error)) = start::start_thread(self, held, spinning, first) {
                    self.no_thread(held, spinning, first, &error);
                }
            }
        }
    }

    /// No thread could be started: the P goes back to the idle list, where its queue can still be
    /// stolen from; sysmon tries again while there is work.
    #[cold]
    fn no_thread(&self, held: Held, spinning: bool, first: Option<GRef>, error: &io::Error) {
        self.shared.thread_failures.add(1);
        if !self.thread_failed.swap(true, Ordering::Relaxed) {
            warn(format_args!(
                "corio: can't start a thread: {error}; goroutines may have to wait"
            ));
        }
        self.put_back(held, spinning, first);
    }

    /// There was no M for the P: what it was to do waits in the queues.
    fn put_back(&self, held: Held, spinning: bool, first: Option<GRef>) {
        // Nobody looks at the `runnext` of an idle P.
        for g in first.into_iter().chain(held.runnext.take()) {
            self.global.push(g);
        }
        self.release_p(held);
        if spinning {
            self.idle.stop_spinning();
        }
        // The poller's M is idle too, but not on the list: it comes back and takes the P.
        self.poller.rouse();
    }

    /// Moves a goroutine to another M together with the P, if another can be had.
    pub(crate) fn migrate(&self, held: Held, g: GRef) -> Result<(), Held> {
        let m = self.lists.lock().ms.pop();
        match m {
            Some(m) => send(m, held, false, Some(g)),
            None => start::start_thread(self, held, false, Some(g)).map_err(|(held, _)| held)?,
        }
        Ok(())
    }

    /// Puts the calling M on the idle list and waits for mail.
    #[doc(alias = "stopm")]
    #[doc(alias = "mPark")]
    pub(crate) fn stop_m(&self, m: &'static M) -> m::Mail {
        debug_assert!(!m.spinning.get());
        self.lists.lock().ms.push(m);
        m.wait_for_mail()
    }

    /// Number of idle Ms.
    pub(crate) fn idle_ms(&self) -> usize {
        self.lists.lock().ms.len()
    }

    /// Is there a goroutine in any queue, or a timer that its P is late with? A lone `runnext` doesn't count: its P's
    /// goroutine is about to park and run it, or else sysmon moves it on. Counting it would keep an M
    /// from going idle beside every ping-pong.
    pub(crate) fn work_anywhere(&self) -> bool {
        if !self.global.is_empty() {
            return true;
        }
        let now = crate::prim::clock::now();
        self.all_ps()
            .any(|p| !p.stealer.is_empty() || p.is_late(now))
    }

    /// When the first of all timers is due.
    pub(crate) fn next_timer(&self) -> u64 {
        self.all_ps()
            .map(|p| p.timers.next())
            .min()
            .unwrap_or(crate::prim::clock::NEVER)
    }

    /// Queues a goroutine that was made ready by its waker, who may be anybody.
    #[inline]
    pub(crate) fn enqueue(&self, g: GRef) {
        if !self.migrates()
            && let Some(m) = current::try_m()
            && let Some(mut held) = m.enter()
        {
            held.counters.wakeups.add(1);
            held.trace(|| Event::new(Kind::Ready, g.id(), Queue::Next as u64));
            let more = held.put_next(g);
            self.leave_with_work(m, held, more);
            return;
        }
        self.shared.wakeups.add(1);
        events::unowned(current::number(), || {
            Event::new(Kind::Ready, g.id(), Queue::Global as u64)
        });
        self.enqueue_global(g);
    }

    /// Leaves a P as it was entered, with a goroutine in its `runnext` and perhaps `more`. Inside
    /// `blocking` the P goes to an M that will run them.
    #[inline]
    fn leave_with_work(&self, m: &M, held: Held, more: bool) {
        if m.outside_state() == PState::Blocking {
            m.forget_p();
            return self.hand_off(held);
        }
        m.leave(held);
        if more {
            self.submitted_by_p();
        }
    }

    /// Queues a goroutine for whoever comes first.
    pub(crate) fn enqueue_global(&self, g: GRef) {
        self.global.push(g);
        self.submitted();
    }

    /// Queues goroutines on the P the caller holds.
    #[doc(alias = "injectglist")]
    pub(crate) fn enqueue_all(&self, held: &mut Held, ready: impl Iterator<Item = Upcoming>) {
        let mut n = 0;
        for next in ready {
            held.trace(|| Event::new(Kind::Ready, next.g.id(), Queue::Local as u64));
            held.readied(next.g);
            held.local().queue.push_upcoming(next);
            n += 1;
        }
        held.counters.wakeups.add(n);
        if n > 0 {
            self.submitted_by_p();
        }
    }

    /// Makes a goroutine and queues it.
    ///
    /// # Errors
    ///
    /// `max_goroutines` exist, or memory is exhausted.
    #[doc(alias = "newproc")]
    #[doc(alias = "newproc1")]
    pub(crate) fn spawn(&self, request: SpawnRequest) -> io::Result<(GRef, u64)> {
        self.admit()?;
        let class = request.class.unwrap_or(self.stack_class);
        let m = current::try_m();
        let tag = m.and_then(M::curg).map_or(Tag::NONE, |g| g.tag());
        tag.count();
        if let Some(m) = m
            && let Some(mut held) = m.enter()
        {
            let g = match held.local().free.take() {
                Ok(g) => g,
                Err(error) => {
                    m.leave(held);
                    tag.uncount();
                    return Err(error);
                }
            };
            let id = held.new_id(|| self.next_id.fetch_add(ID_BATCH, Ordering::Relaxed));
            // SAFETY: the slot was taken from a free list.
            unsafe { request.fill(g, id, class, tag) };
            held.counters.spawned.add(1);
            held.trace(|| request.event(Kind::Create, id));
            let more = held.put_next(g);
            self.leave_with_work(m, held, more);
            return Ok((g, id));
        }
        let made = self
            .make(class, tag, &request)
            .inspect_err(|_| tag.uncount())?;
        events::unowned(current::number(), || request.event(Kind::Create, made.1));
        self.enqueue_global(made.0);
        Ok(made)
    }

    /// Makes a goroutine that nobody will join, without queueing it: for callers in scheduler context,
    /// who hold no P but have a [`ReadyList`](reactor::ReadyList), and for those who keep the payload if
    /// there is none to be had.
    ///
    /// # Errors
    ///
    /// As [`Sched::spawn`]; the payload is still the caller's then.
    pub(crate) fn make_detached(&self, request: &SpawnRequest) -> io::Result<GRef> {
        self.admit()?;
        let class = request.class.unwrap_or(self.stack_class);
        let (g, id) = self.make(class, Tag::NONE, request)?;
        events::unowned(current::number(), || request.event(Kind::Made, id));
        let result = g.join.detach();
        debug_assert_eq!(result, ResultOf::Theirs, "it hasn't run yet");
        Ok(g)
    }

    /// Makes a goroutine for a caller without a P.
    fn make(&self, class: SizeClass, tag: Tag, request: &SpawnRequest) -> io::Result<(GRef, u64)> {
        let g = arena::take()?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the slot was taken from a free list.
        unsafe { request.fill(g, id, class, tag) };
        self.shared.spawned.add(1);
        Ok((g, id))
    }

    /// May there be another goroutine?
    #[inline]
    fn admit(&self) -> io::Result<()> {
        let limit = self.settings.max_goroutines as u64;
        if limit < MAX_GOROUTINES as u64 && self.num_goroutines() >= limit {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "the limit of {limit} goroutines is reached; raise it with \
                     CORIO_MAX_GOROUTINES or Config::max_goroutines"
                ),
            ));
        }
        Ok(())
    }

    /// A number for a plain thread.
    fn new_plain_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Goroutines spawned and not finished.
    pub(crate) fn num_goroutines(&self) -> u64 {
        // Counters of several threads, read one by one: exact when nothing is spawned or ends.
        let finished: u64 = self
            .all_ps()
            .map(|p| p.counters.finished.get())
            .sum::<u64>()
            + self.shared.finished.get();
        let spawned: u64 = self.all_ps().map(|p| p.counters.spawned.get()).sum::<u64>()
            + self.shared.spawned.get();
        spawned.saturating_sub(finished)
    }

    /// Frees a finished goroutine's slot.
    pub(crate) fn free(&self, g: GRef) {
        g.clear_id();
        g.status.set_idle();
        if let Some(m) = current::try_m()
            && let Some(mut held) = m.enter()
        {
            held.local().free.put(g);
            m.leave(held);
        } else {
            arena::put(g);
        }
    }
}

/// Hands a P to an M that waits for mail, and wakes it: [`M::send`], whose contract this has.
pub(crate) fn send(m: &M, held: Held, spinning: bool, first: Option<GRef>) {
    held.trace(|| {
        let first = first.map_or(0, |g| g.id());
        let sent = events::sent(current::number(), spinning, first);
        Event::new(Kind::Sent, m.id.into(), sent)
    });
    m.send(held, spinning, first);
}
