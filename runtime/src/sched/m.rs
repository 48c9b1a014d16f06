//! M: an OS thread, as the scheduler sees it.
//!
//! A *worker* M is a thread of ours that runs the scheduler's loop; a *plain* M stands for a thread
//! of the program's that called into the runtime, so that parking, timers and queues treat both
//! alike. M structures live for ever and are used again: sysmon, wakers and the fault handler may
//! look at one whose thread has gone.
//!
//! | field | written by | read by |
//! | --- | --- | --- |
//! | `p`, `outside`, `spinning`, `rng` | its thread | its thread |
//! | `curg` | its thread | observers |
//! | `mail_*` | whoever took it off the idle list (or holds its locked G), before unparking | its thread, after |
//! | `tid` | its thread at start | sysmon, dumps |
//! | `burning` | sysmon; its thread when it ends | its thread: a reniced one ends after its goroutine |
//! | `locked` | its thread | sysmon |
//!
//! Next in the reading order: `current`: which M this thread is.

use crate::prim::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::prim::rng::Rng;
use crate::prim::trace::{self as events, Event, Kind};
use crate::prim::{CachePadded, Mutex, Parker, Unparker};
use crate::sched::g::{G, GRef};
use crate::sched::p::{Held, P};
use crate::state::pstatus::{MAX_M, PState, PWord};
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::ptr;

/// See the module's head.
pub(crate) struct M {
    pub(crate) id: u32,
    /// Made a worker or a plain thread's when taken into use.
    worker: AtomicBool,
    p: Cell<Option<&'static P>>,
    /// The status with which `p` was left; whoever finds another one there took the P.
    outside: Cell<PWord>,
    pub(crate) spinning: Cell<bool>,
    /// For random choices on behalf of its goroutine.
    pub(crate) rng: Cell<Rng>,
    /// The goroutine it runs, or a plain thread's slot.
    curg: CachePadded<AtomicPtr<G>>,
    parker: UnsafeCell<Parker>,
    unparker: Unparker,
    mail_p: AtomicPtr<P>,
    mail_g: AtomicUsize,
    mail_spinning: AtomicBool,
    pub(crate) tid: AtomicU32,
    pub(crate) burning: AtomicBool,
    /// Its goroutine is locked to it.
    pub(crate) locked: AtomicBool,
}

// SAFETY: the cells and the parker are used only by the M's thread (table above); `Ms::get` hands an
// M to one thread at a time, under a lock.
unsafe impl Sync for M {}
// SAFETY: as above.
unsafe impl Send for M {}

/// What an M is given when it is woken or started: a P, perhaps the duty to spin, perhaps a
/// goroutine to run first.
pub(crate) struct Mail {
    pub(crate) held: Held,
    pub(crate) first: Option<GRef>,
}

impl M {
    fn new(id: u32) -> M {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        M {
            id,
            worker: AtomicBool::new(false),
            p: Cell::new(None),
            outside: Cell::new(PWord::STOPPED),
            spinning: Cell::new(false),
            rng: Cell::new(Rng::new(u64::from(id))),
            curg: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
            parker: UnsafeCell::new(parker),
            unparker,
            mail_p: AtomicPtr::new(ptr::null_mut()),
            mail_g: AtomicUsize::new(0),
            mail_spinning: AtomicBool::new(false),
            tid: AtomicU32::new(0),
            burning: AtomicBool::new(false),
            locked: AtomicBool::new(false),
        }
    }

    /// Is it a thread of ours?
    #[inline]
    pub(crate) fn is_worker(&self) -> bool {
        self.worker.load(Ordering::Relaxed)
    }

    /// Has its thread been changed, so that one started from it would be changed as well?
    pub(crate) fn is_special(&self) -> bool {
        self.burning.load(Ordering::Relaxed) || self.locked.load(Ordering::Relaxed)
    }

    /// Enters the runtime from outside. `None`: this M has no P, or has lost it just now.
    /// Only by its own thread.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Held> {
        let p = self.p.get()?;
        if p.status.enter(self.outside.get()) {
            // SAFETY: the compare-exchange took the P to SCHED for this M, which had left it with
            // exactly this word.
            Some(unsafe { Held::new(p) })
        } else {
            self.p.set(None);
            None
        }
    }

    /// Leaves the runtime as it was entered. Only by its own thread.
    #[inline]
    pub(crate) fn leave(&self, held: Held) {
        held.release(self.outside.get());
    }

    /// Leaves the runtime for `state` (user code or `blocking`), counting a switch if `ticked`.
    /// Only by its own thread.
    #[inline]
    pub(crate) fn leave_as(&self, held: Held, state: PState, ticked: bool) {
        let mut word = held.status.load().with(state).owned_by(self.id);
        if ticked {
            word = word.ticked();
        }
        self.p.set(Some(held.p()));
        self.outside.set(word);
        held.release(word);
    }

    /// Gets the P back after a goroutine that suspended itself in the runtime: it entered before it
    /// did. `None`: it found that the P had been taken. Only by its own thread.
    #[inline]
    pub(crate) fn resume_held(&self) -> Option<Held> {
        // SAFETY: goroutines suspend only in `suspend_current`, which enters and forgets the `Held`,
        // or finish through it; if entering failed `p` is `None`.
        self.p.get().map(|p| unsafe { Held::new(p) })
    }

    /// Forgets the P after it was handed on.
    pub(crate) fn forget_p(&self) {
        self.p.set(None);
    }

    /// Has it a P that nobody took, as far as it knows?
    pub(crate) fn p(&self) -> Option<&'static P> {
        self.p.get()
    }

    /// The status with which it left its P.
    pub(crate) fn outside_state(&self) -> PState {
        self.outside.get().state()
    }

    /// From inside `blocking` back to user code, without entering. `false`: the P was taken.
    /// Only by its own thread.
    pub(crate) fn end_blocking(&self) -> bool {
        match self.enter() {
            Some(held) => {
                held.trace(|| Event::new(Kind::Unblock, self.goroutine_id(), self.id.into()));
                self.leave_as(held, PState::User, false);
                true
            }
            None => false,
        }
    }

    /// What it runs: a goroutine, or a plain thread's slot.
    #[inline]
    pub(crate) fn curg(&self) -> Option<GRef> {
        let g = self.curg.load(Ordering::Relaxed);
        // SAFETY: `set_curg` stored a slot's address or null.
        (!g.is_null()).then(|| unsafe { GRef::from_addr(g as usize) })
    }

    /// Only by its own thread (or for a plain M, before it is used).
    #[inline]
    pub(crate) fn set_curg(&self, g: Option<GRef>) {
        let g = g.map_or(ptr::null_mut(), |g| g.addr() as *mut G);
        self.curg.store(g, Ordering::Relaxed);
    }

    /// The number of the goroutine it runs, for a trace.
    pub(crate) fn goroutine_id(&self) -> u64 {
        self.curg().map_or(0, |g| g.id())
    }

    /// Blocks the thread until unparked; may return early. Only by its own thread.
    pub(crate) fn park_thread(&self) {
        // SAFETY: only the M's thread uses the parker.
        unsafe { (*self.parker.get()).park() };
    }

    /// Unblocks the thread, now or when it blocks next.
    pub(crate) fn unpark_thread(&self) {
        self.unparker.unpark();
    }

    /// Hands a P to an M that waits for mail, and wakes it. The caller took the M off the idle
    /// list, or holds the goroutine that is locked to it.
    pub(crate) fn send(&self, held: Held, spinning: bool, first: Option<GRef>) {
        let word = held.status.load().with(PState::Sched).owned_by(self.id);
        let p = held.release(word);
        self.mail_spinning.store(spinning, Ordering::Relaxed);
        self.mail_g
            .store(first.map_or(0, GRef::addr), Ordering::Relaxed);
        // Release: partner of the Acquire in `take_mail`; the P and the fields above go with it.
        self.mail_p
            .store(ptr::from_ref(p).cast_mut(), Ordering::Release);
        self.unpark_thread();
    }

    /// Waits for mail. Only by its own thread, having no P.
    pub(crate) fn wait_for_mail(&self) -> Mail {
        loop {
            if let Some(mail) = self.take_mail() {
                return mail;
            }
            events::unowned(self.id, || Event::new(Kind::Asleep, self.id.into(), 0));
            self.park_thread();
        }
    }

    /// The mail, if there is some. Only by its own thread.
    pub(crate) fn take_mail(&self) -> Option<Mail> {
        // Acquire: partner of the Release in `send`.
        let p = self.mail_p.swap(ptr::null_mut(), Ordering::Acquire);
        if p.is_null() {
            return None;
        }
        if self.mail_spinning.load(Ordering::Relaxed) {
            self.spinning.set(true);
        }
        let g = self.mail_g.load(Ordering::Relaxed);
        // SAFETY: `send` got a `Held` by value and left the P in SCHED with this M as its owner.
        let held = unsafe { Held::new(&*p) };
        held.trace(|| {
            let spinning = self.spinning.get().into();
            Event::new(Kind::Start, self.id.into(), spinning)
        });
        Some(Mail {
            held,
            // SAFETY: `send` stored a slot's address or 0.
            first: (g != 0).then(|| unsafe { GRef::from_addr(g) }),
        })
    }
}

/// All Ms: those in use and those whose thread has gone.
#[derive(Default)]
pub(crate) struct Ms(Mutex<MsInner>);

#[derive(Default)]
struct MsInner {
    all: Vec<&'static M>,
    free: Vec<&'static M>,
    workers: u32,
}

impl Ms {
    /// An M for a thread about to start (`worker`), or for the calling plain thread. Fails if
    /// `max_threads` workers exist.
    #[doc(alias = "newm")]
    #[doc(alias = "mstart")]
    pub(crate) fn get(&self, worker: bool, max_threads: u32) -> io::Result<&'static M> {
        let mut ms = self.0.lock();
        if worker && ms.workers >= max_threads {
            return Err(io::Error::other(format!(
                "the limit of {max_threads} threads is reached; raise it with CORIO_MAX_THREADS \
                 or Config::max_threads"
            )));
        }
        let m = match ms.free.pop() {
            Some(m) => m,
            None => {
                let id = ms.all.len() as u32 + 1;
                if id > MAX_M {
                    return Err(io::Error::other("too many threads use corio"));
                }
                let m: &'static M = Box::leak(Box::new(M::new(id)));
                ms.all.push(m);
                m
            }
        };
        m.worker.store(worker, Ordering::Relaxed);
        ms.workers += u32::from(worker);
        Ok(m)
    }

    /// Gives an M back whose thread ends. The caller has no P and runs nothing.
    pub(crate) fn put(&self, m: &'static M) {
        m.set_curg(None);
        m.p.set(None);
        m.spinning.set(false);
        m.tid.store(0, Ordering::Relaxed);
        m.locked.store(false, Ordering::Relaxed);
        let mut ms = self.0.lock();
        ms.workers -= u32::from(m.is_worker());
        ms.free.push(m);
    }

    /// The M with this number.
    pub(crate) fn by_id(&self, id: u32) -> Option<&'static M> {
        let index = id.checked_sub(1)? as usize;
        self.0.lock().all.get(index).copied()
    }

    /// Calls `look` for every M that was ever in use.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&'static M)) {
        let all = self.0.lock().all.clone();
        for m in all {
            look(m);
        }
    }

    /// Threads of ours that run the scheduler.
    pub(crate) fn workers(&self) -> u32 {
        self.0.lock().workers
    }

    /// The thread ids of all Ms in use.
    pub(crate) fn tids(&self) -> Vec<u32> {
        let ms = self.0.lock();
        ms.all
            .iter()
            .map(|m| m.tid.load(Ordering::Relaxed))
            .filter(|&tid| tid != 0)
            .collect()
    }
}
