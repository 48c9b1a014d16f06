//! The poller's side of the scheduler: the [`Reactor`] contract and who polls when.
//!
//! The runtime knows no sockets. A crate that does (`corio-net`) installs a reactor; until then a
//! built-in one that only keeps time has its place, so that the scheduler has one way to sleep.
//!
//! One M at a time polls: it has the *seat* (a flag taken by compare-exchange). An M with a P polls
//! without blocking on the way to its next goroutine; an M without work gives up its P, takes the
//! seat and blocks in `poll` until the next timer. The other idle Ms sleep on their parkers. The
//! seat's holder never has a P while it blocks.
//!
//! Seat and wake-up time are words of `state::poll`, where it is argued that no timer is missed and
//! that somebody always polls.
//!
//! Next in the reading order: `find`: with all these parts, what to run next.

use crate::prim::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::prim::{Condvar, Mutex, Site, arch, clock, fence, warn};
use crate::sched::ahead::Upcoming;
use crate::sched::g::GRef;
use crate::sched::reason::WaitReason;
use crate::sched::waiter::Waiter;
use crate::state::poll::PollWords;
use once_cell::sync::OnceCell;
use std::cell::UnsafeCell;
use std::io;
use std::time::Duration;

/// Asks the processor to fetch the memory at this address, which will be used soon. It is not read: any address
/// will do.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    arch::prefetch(at.addr());
}

/// A source of readiness that the scheduler polls: how sockets become part of the runtime.
///
/// Implemented by `corio-net` over `mio::Poll`. Implement it yourself to park goroutines on
/// something else; there is one reactor per process.
#[doc(alias = "netpoll")]
pub trait Reactor: Send + Sync {
    /// Waits for events and pushes the waiters they end to `ready`.
    ///
    /// `None` blocks until an event or [`wake`](Reactor::wake), zero looks without blocking. Being
    /// interrupted by a signal counts as no event. It is called by one thread at a time, which may
    /// have no goroutine: it must not park, run user code or panic.
    ///
    /// # Errors
    ///
    /// An error is reported once on standard error and otherwise taken for no event.
    fn poll(&self, timeout: Option<Duration>, ready: &mut ReadyList) -> io::Result<()>;

    /// Ends the current [`poll`](Reactor::poll), or else the next one that blocks.
    fn wake(&self);

    /// Says in words what somebody waits for, for [`dump`](crate::dump()): `object` is what was passed to
    /// [`park`](crate::reactor::park) with one of the reasons of the network, or with
    /// [`Io`](crate::reactor::WaitReason::Io). `None`, the default, if there is nothing to say.
    ///
    /// The wait may be over meanwhile, and what it was for be gone. It is called on any thread, with no lock held; it
    /// must not park or panic.
    fn describe(&self, reason: WaitReason, object: usize) -> Option<String> {
        let _ = (reason, object);
        None
    }
}

/// Goroutines made ready by a poll or by timers, on their way to a run queue.
///
/// They are collected, and made ready and queued together when the poll returns: so the memory of each is
/// asked for while the others are looked for.
#[derive(Debug, Default)]
pub struct ReadyList {
    woken: Vec<(Waiter, usize)>,
    ready: Vec<Upcoming>,
    /// The number of the P whose timers are being run: those that their functions add belong there.
    timers_of: u32,
}

impl std::fmt::Debug for GRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "goroutine {}", self.id())
    }
}

impl ReadyList {
    pub(crate) const fn new() -> Self {
        ReadyList {
            woken: Vec::new(),
            ready: Vec::new(),
            timers_of: 0,
        }
    }

    /// Makes the waiter's goroutine or thread ready.
    pub fn push(&mut self, waiter: Waiter) {
        self.push_near(waiter, std::ptr::null());
    }

    /// As [`push`](ReadyList::push), for a goroutine that goes on with the 256 bytes at this address. A hint:
    /// shortly before it runs, the processor is asked to fetch them. They are not read.
    #[inline]
    pub fn push_near(&mut self, waiter: Waiter, near: *const u8) {
        arch::prefetch(waiter.0.addr());
        self.woken.push((waiter, near.addr()));
    }

    /// Makes everybody ready that was pushed. To be called after the last push.
    pub(crate) fn settle(&mut self) {
        for (waiter, near) in self.woken.drain(..) {
            if let Some(g) = waiter.ready_unqueued() {
                self.ready.push(Upcoming { g, near });
            }
        }
    }

    /// Queues a new goroutine with the others.
    pub(crate) fn push_new(&mut self, g: GRef) {
        self.ready.push(Upcoming { g, near: 0 });
    }

    /// The timers of the P with this number are run now.
    pub(crate) fn run_timers_of(&mut self, p: u32) {
        self.timers_of = p;
    }

    /// Whose timers are run.
    pub(crate) fn timers_of(&self) -> u32 {
        self.timers_of
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Upcoming> + '_ {
        self.ready.drain(..)
    }
}

/// A reactor is installed already; there is one per process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl std::fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reactor is installed already; there is one per process")
    }
}

impl std::error::Error for AlreadyInstalled {}

/// The reactor of a program without sockets: it keeps time and can be woken.
#[derive(Default)]
struct Timekeeper {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Reactor for Timekeeper {
    fn poll(&self, timeout: Option<Duration>, _: &mut ReadyList) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        let mut woken = self.woken.lock();
        if !*woken {
            match timeout {
                Some(timeout) => drop(self.wake.wait_for(&mut woken, timeout)),
                None => self.wake.wait(&mut woken),
            }
        }
        *woken = false;
        Ok(())
    }

    fn wake(&self) {
        let mut woken = self.woken.lock();
        *woken = true;
        self.wake.notify_one();
    }
}

/// The shortest sleep, in nanoseconds, for a timer that is not due yet. Falling asleep and waking up take some
/// microseconds of CPU; with timers that are due every few microseconds there would be nothing but that. Linux is
/// as much too late anyway (its timer slack); Go and tokio round up to a millisecond here.
pub(crate) const SLACK: u64 = 50_000;

/// The pause after a poll that failed.
const FAILED_POLL_PAUSE: Duration = Duration::from_millis(1);

/// Who polls, what, and until when.
pub(crate) struct Poller {
    words: PollWords,
    /// When somebody polled last.
    last: AtomicU64,
    /// Number of the M that blocks in the poll, for observers; 0: none does.
    by: AtomicU32,
    list: UnsafeCell<ReadyList>,
    timekeeper: Timekeeper,
    installed: OnceCell<&'static dyn Reactor>,
    failed: AtomicBool,
}

// SAFETY: `list` is used only by the seat's holder (`Seat`); everything else is synchronised.
unsafe impl Sync for Poller {}

/// The right to poll. Given up on drop.
pub(crate) struct Seat<'a>(&'a Poller);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.words.rise();
    }
}

impl Poller {
    pub(crate) fn new() -> Self {
        Poller {
            words: PollWords::new(),
            last: AtomicU64::new(0),
            by: AtomicU32::new(0),
            list: UnsafeCell::new(ReadyList::new()),
            timekeeper: Timekeeper::default(),
            installed: OnceCell::new(),
            failed: AtomicBool::new(false),
        }
    }

    fn reactor(&self) -> &dyn Reactor {
        match self.installed.get() {
            Some(reactor) => *reactor,
            None => &self.timekeeper,
        }
    }

    /// Is there something to poll besides the time?
    #[inline]
    pub(crate) fn is_installed(&self) -> bool {
        self.installed.get().is_some()
    }

    /// Does somebody poll, blocking or not?
    pub(crate) fn is_taken(&self) -> bool {
        self.words.is_taken()
    }

    /// When somebody polled last.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The number of the M that blocks in the poll, as of a moment ago.
    pub(crate) fn blocked_by(&self) -> Option<u32> {
        let m = self.by.load(Ordering::Relaxed);
        (m != 0).then_some(m)
    }

    /// Takes the seat if it is free.
    pub(crate) fn sit(&self) -> Option<Seat<'_>> {
        // Lazily: a seat that is made and dropped is given up.
        self.words.sit().then(|| Seat(self))
    }

    /// What somebody waits for, in the reactor's words.
    pub(crate) fn describe(&self, reason: WaitReason, object: usize) -> Option<String> {
        self.reactor().describe(reason, object)
    }

    /// Puts the reactor in its place and wakes whoever sleeps on the timekeeper.
    pub(crate) fn install(&self, reactor: &'static dyn Reactor) -> Result<(), AlreadyInstalled> {
        self.installed.set(reactor).map_err(|_| AlreadyInstalled)?;
        // No fence: whoever polls the timekeeper from now on doesn't block, and finds the reactor
        // there afterwards, because the timekeeper's lock comes between.
        self.timekeeper.wake();
        Ok(())
    }

    /// Wakes whoever is in a blocking poll: there is work and nobody else to do it.
    pub(crate) fn rouse(&self) {
        fence(Site::AddTimer);
        self.reactor().wake();
    }

    /// A timer for `when` was added: wakes the poller if it would sleep longer.
    #[inline]
    pub(crate) fn timer_added(&self, when: u64) {
        if self.words.sleeps_beyond(when) {
            self.reactor().wake();
        }
    }
}

impl Seat<'_> {
    /// Polls without blocking.
    pub(crate) fn poll_now(&mut self, now: u64) -> &mut ReadyList {
        self.0.last.store(now, Ordering::Relaxed);
        self.poll(self.0.reactor(), Some(Duration::ZERO))
    }

    /// Polls until there is an event, a wake-up, or the first of all timers is due, which `next`
    /// computes. The caller is the M of this number, and must have no P.
    pub(crate) fn poll_blocking(&mut self, m: u32, next: impl FnOnce() -> u64) -> &mut ReadyList {
        let poller = self.0;
        let reactor = poller.reactor();
        let until = poller.words.sleep_until(next);
        let now = clock::now();
        let timeout = if until > now {
            clock::until(until.max(now + SLACK), now)
        } else {
            Some(Duration::ZERO)
        };
        poller.by.store(m, Ordering::Relaxed);
        self.poll(reactor, timeout);
        poller.by.store(0, Ordering::Relaxed);
        poller.words.woke();
        poller.last.store(clock::now(), Ordering::Relaxed);
        // SAFETY: only the seat's holder uses the list.
        unsafe { &mut *poller.list.get() }
    }

    fn poll(&mut self, reactor: &dyn Reactor, timeout: Option<Duration>) -> &mut ReadyList {
        // SAFETY: only the seat's holder uses the list.
        let list = unsafe { &mut *self.0.list.get() };
        if let Err(error) = reactor.poll(timeout, list) {
            if !self.0.failed.swap(true, Ordering::Relaxed) {
                warn(format_args!("corio: polling for events failed: {error}"));
            }
            if timeout != Some(Duration::ZERO) {
                // If it goes on failing, not in a tight loop.
                std::thread::sleep(FAILED_POLL_PAUSE);
            }
        }
        list.settle();
        list
    }
}
