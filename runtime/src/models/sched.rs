//! Goroutines for models of what parks: each thread of a model has a slot.
//!
//! The waiter, its token and the wait word are the real ones. The status word is not: that a goroutine
//! parks until it is made ready, and sees what was done before, is what `state::models` shows; here it is
//! a gate, so that parking is one step for loom and waking none.

#[path = "../sched/reason.rs"]
pub(crate) mod reason;
#[path = "../sched/waiter.rs"]
pub(crate) mod waiter;

use g::GRef;

/// A new execution begins.
pub(crate) fn begin() {
    current::begin();
}

/// The scheduler.
pub(crate) fn sched() -> Sched {
    Sched
}

/// It never is, so that nobody spins.
pub(crate) fn started() -> Option<Sched> {
    None
}

/// See [`sched`].
pub(crate) struct Sched;

impl Sched {
    pub(crate) fn procs(&self) -> usize {
        1
    }

    /// Never called: all goroutines of models block their threads.
    pub(crate) fn enqueue(&self, g: GRef) {
        unreachable!("{g:?} is no worker's goroutine");
    }
}

/// Slots.
pub(crate) mod g {
    use crate::prim::mutant;
    use crate::state::gstatus::Readied;
    use crate::state::wait::{Seq, WaitWord};
    use loom::sync::{Mutex, MutexGuard};
    use std::cell::Cell;
    use std::mem::{self, ManuallyDrop};
    use std::ops::Deref;
    use std::ptr::NonNull;
    use std::thread;

    /// The slot of one thread.
    pub(crate) struct G {
        pub(crate) status: Status,
        pub(crate) wait: Wait,
        /// Has it parked since it was last asked?
        pub(crate) parked: Cell<bool>,
    }

    impl G {
        /// Called by its thread.
        pub(in crate::models) fn new() -> Box<G> {
            let g = Box::new(G {
                status: Status {
                    ready: Cell::new(false),
                    gate: Mutex::new(()),
                    shut: Cell::new(None),
                },
                wait: Wait(WaitWord::new()),
                parked: Cell::new(false),
            });
            g.status.shut();
            g
        }

        /// Never asked for.
        pub(crate) unsafe fn blocked_m(&self) -> M {
            M
        }
    }

    /// What a thread's M is to a waker.
    pub(crate) struct M;

    impl M {
        pub(crate) fn p(&self) -> Option<P> {
            None
        }

        pub(crate) fn unpark_thread(&self) {
            unreachable!("`Status` has done so");
        }
    }

    /// No M has one.
    pub(crate) struct P;

    impl P {
        pub(crate) fn has_work(&self) -> bool {
            false
        }
    }

    /// Stands for `state::gstatus::GStatus`.
    pub(crate) struct Status {
        /// The wait is over; the thread may not know yet.
        ready: Cell<bool>,
        gate: Mutex<()>,
        /// What keeps the gate shut for the thread, until somebody makes it ready. Otherwise never dropped,
        /// as loom forgets a gate when the execution is over.
        shut: Cell<Option<ManuallyDrop<MutexGuard<'static, ()>>>>,
    }

    impl Status {
        pub(crate) fn ready<M>(&self, _: impl Fn() -> M) -> Readied<M> {
            if thread::panicking() {
                // A waiter dropped as a model fails.
                return Readied::Noted;
            }
            assert!(!self.ready.replace(true), "made ready twice");
            let guard = self.shut.take().expect("the gate is shut");
            drop(ManuallyDrop::into_inner(guard));
            Readied::Noted
        }

        pub(in crate::models) fn park(&self) {
            self.shut();
            self.ready.set(false);
        }

        fn shut(&self) {
            let guard = self.gate.lock().expect("loom's mutexes are not poisoned");
            // SAFETY: a slot stays where it is as long as its gate is used.
            let guard: MutexGuard<'static, ()> = unsafe { mem::transmute(guard) };
            self.shut.set(Some(ManuallyDrop::new(guard)));
        }

        /// Has it been made ready without having waited?
        pub(in crate::models) fn is_ready(&self) -> bool {
            self.ready.get()
        }
    }

    /// The wait word, with the mutant that concerns whole claims.
    #[derive(Debug)]
    pub(crate) struct Wait(WaitWord);

    impl Wait {
        pub(crate) fn open(&self) -> Seq {
            self.0.open()
        }

        pub(crate) fn claim(&self, seq: Seq) -> bool {
            let own = std::ptr::eq(self, &raw const super::current::g().wait);
            if own && mutant::claims_nothing_for_itself() {
                return true;
            }
            self.0.claim(seq)
        }

        pub(crate) fn is_open(&self, seq: Seq) -> bool {
            self.0.is_open(seq)
        }
    }

    /// A slot, which stays where it is until the execution is over.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct GRef(pub(in crate::models) NonNull<G>);

    // SAFETY: a slot's words and channel are for all threads, and loom's threads run on one of the
    // operating system, where the cells are.
    unsafe impl Send for GRef {}
    // SAFETY: as above.
    unsafe impl Sync for GRef {}

    impl Deref for GRef {
        type Target = G;

        fn deref(&self) -> &G {
            // SAFETY: it stays until the execution is over.
            unsafe { self.0.as_ref() }
        }
    }

    impl GRef {
        pub(crate) fn addr(self) -> usize {
            self.0.as_ptr() as usize
        }

        /// # Safety
        /// As the real one's: it comes from `addr`.
        pub(crate) unsafe fn from_addr(addr: usize) -> GRef {
            GRef(NonNull::new(addr as *mut G).expect("a slot's address"))
        }
    }
}

/// Where a timer's function puts whom it wakes.
pub(crate) mod reactor {
    use super::waiter::Waiter;

    /// Wakes at once: the timers of models are threads of their own.
    pub(crate) struct ReadyList;

    impl ReadyList {
        pub(crate) fn push(&mut self, waiter: Waiter) {
            waiter.ready();
        }
    }
}

/// Which thread runs.
pub(crate) mod current {
    use super::g::{G, GRef, M};
    use loom::thread::{self, ThreadId};
    use std::cell::RefCell;
    use std::ptr::NonNull;

    thread_local! {
        /// The slots of the running execution.
        static SLOTS: RefCell<Vec<(ThreadId, Box<G>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Forgets the last execution's slots.
    pub(super) fn begin() {
        SLOTS.take();
    }

    /// The caller's slot, if it has one already.
    fn mine() -> Option<GRef> {
        let id = thread::current().id();
        SLOTS.with_borrow(|slots| {
            let mine = slots.iter().find(|(of, _)| *of == id);
            mine.map(|(_, g)| GRef(NonNull::from(&**g)))
        })
    }

    /// Has the caller a slot already?
    pub(crate) fn has_slot() -> bool {
        mine().is_some()
    }

    /// The caller's slot.
    pub(crate) fn g() -> GRef {
        mine().unwrap_or_else(|| {
            // loom may switch in here.
            let g = G::new();
            let id = thread::current().id();
            SLOTS.with_borrow_mut(|slots| slots.push((id, g)));
            mine().expect("it has just been put there")
        })
    }

    /// Models have no Ms, except for wakers.
    pub(crate) fn try_m() -> Option<M> {
        None
    }

    /// Models choose the order of a select's arms themselves.
    pub(crate) fn random(_: usize) -> usize {
        0
    }

    /// To be called when all threads have been joined: nobody was woken who didn't wait.
    pub(crate) fn assert_all_quiet() {
        SLOTS.with_borrow(|slots| {
            for (_, g) in slots {
                assert!(!g.status.is_ready(), "made ready without having waited");
            }
        });
    }
}
