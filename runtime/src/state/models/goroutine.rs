//! What the models put around the words: a goroutine with a stack, and a plain thread with a slot.

use super::{Owned, Parker, saw};
use crate::prim::atomic::{AtomicU64, Ordering};
use crate::state::gstatus::{GStatus, Parked, Readied, Scanned};
use crate::state::join::JoinWord;
use crate::state::wait::{Seq, Unparked, WaitWord};
use loom::thread;
use std::sync::{Arc, Mutex};

/// A goroutine. Its stack counts how often it ran; loom checks that nobody uses it twice at a time,
/// and that each use sees the one before.
#[derive(Debug)]
pub(super) struct Goroutine {
    pub(super) status: GStatus,
    pub(super) stack: Owned<u32>,
    /// What a waker leaves for the goroutine.
    message: Owned<u32>,
    /// It waits this often, each time for a waker of its own, and ends.
    waits: u32,
    wakers: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Goroutine {
    pub(super) fn new(waits: u32) -> Arc<Self> {
        Arc::new(Goroutine {
            status: GStatus::new(),
            stack: Owned::new(0),
            message: Owned::new(0),
            waits,
            wakers: Mutex::default(),
        })
    }

    /// `Sched::execute`, by the M that took the goroutine out of a queue.
    pub(super) fn execute(self: &Arc<Self>) {
        loop {
            self.status.set_running();
            // `Fiber::resume`, and on the goroutine: what its last waker left is there.
            let waited = self.stack.with(|waited| {
                *waited += 1;
                *waited - 1
            });
            let message = self.message.read(|message| *message);
            assert_eq!(message, waited, "woken before the message was there");
            if waited == self.waits {
                return;
            }
            // `park::prepare`: the waker gets the right to wake.
            let g = Arc::clone(self);
            let waker = thread::spawn(move || g.wake());
            self.wakers.lock().unwrap().push(waker);
            // `park::park`.
            if self.status.take_notified() {
                saw("notified before it suspended itself");
                continue;
            }
            // `suspend_current`, and back on the M's stack.
            self.stack.with(|_| ());
            match self.status.park() {
                Parked::Waiting => return,
                Parked::Notified => saw("notified before it was parked"),
            }
        }
    }

    /// A waker with its right to wake: `Waiter::ready`.
    fn wake(self: &Arc<Self>) {
        self.message.with(|message| *message += 1);
        self.ready();
    }

    /// `waiter::ready`; who takes the goroutine out of the queue it is put into runs it here.
    pub(super) fn ready(self: &Arc<Self>) {
        match self.status.ready(|| ()) {
            Readied::Enqueue => {
                saw("enqueued by its waker");
                self.execute();
            }
            Readied::Unpark(()) => unreachable!("it never blocks its M"),
            Readied::Noted => {}
        }
    }

    /// `Sysmon::trim`.
    pub(super) fn trim(self: &Arc<Self>) {
        let Some(scan) = self.status.begin_scan() else {
            return;
        };
        self.stack.with(|_| ());
        match self.status.end_scan(scan, || ()) {
            Scanned::Ready(Readied::Enqueue) => {
                saw("enqueued by its scanner");
                self.execute();
            }
            Scanned::Ready(_) => unreachable!("it never blocks its M"),
            Scanned::Parked => saw("scanned in peace"),
        }
    }

    /// After all threads but the wakers have been joined: it waited as often as it should.
    pub(super) fn assert_done(&self) {
        loop {
            let waker = self.wakers.lock().unwrap().pop();
            let Some(waker) = waker else { break };
            waker.join().unwrap();
        }
        let ran = self.stack.with(|ran| *ran);
        assert_eq!(ran, self.waits + 1, "lost wake-up");
    }
}

/// The slot of a plain thread, or of a goroutine that blocks its M, which makes the model's control
/// flow simple. Its holder changes, as an arena's slots do.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) status: GStatus,
    pub(super) wait: WaitWord,
    pub(super) join: JoinWord,
    id: AtomicU64,
    /// `Run::m`: whose parker to use. It changes until the goroutine parks, because it may yield after
    /// having made a waiter, and again when the wait is over.
    m: Owned<Arc<Parker>>,
    /// Belongs to the holder while it runs.
    stack: Owned<u32>,
    /// What the wait is about; belongs to the holder, during a wait to whoever ends it.
    pub(super) node: Owned<u32>,
}

impl Slot {
    /// The slot of the holder with this number, which runs.
    pub(super) fn new(id: u64) -> Arc<Self> {
        let slot = Arc::new(Slot {
            status: GStatus::new(),
            wait: WaitWord::new(),
            join: JoinWord::new(),
            id: AtomicU64::new(0),
            m: Owned::new(Arc::new(Parker::new())),
            stack: Owned::new(0),
            node: Owned::new(0),
        });
        slot.fill(id);
        slot
    }

    /// `G::fill_plain`. Only by the slot's holder.
    pub(super) fn fill(&self, id: u64) {
        self.wait.retire();
        self.fill_without_retiring(id);
    }

    /// The rest of [`Slot::fill`].
    pub(super) fn fill_without_retiring(&self, id: u64) {
        self.id.store(id, Ordering::Release);
        self.status.set_running();
    }

    /// `G::clear_id` and what follows it. Only by the slot's holder.
    pub(super) fn vacate(&self) {
        self.id.store(0, Ordering::Relaxed);
        self.status.set_idle();
    }

    /// `park::park`, `park_thread`.
    pub(super) fn park(&self) {
        if self.status.take_notified() {
            saw("notified before it parked");
            return;
        }
        let m = Arc::new(Parker::new());
        self.m.with(|at| *at = Arc::clone(&m));
        self.stack.with(|_| ());
        if self.status.park_on_m() == Parked::Notified {
            saw("notified while it parked");
            return;
        }
        while self.status.is_parked_on_m() {
            m.park();
        }
        self.stack.with(|_| ());
        self.m.with(|_| ());
    }

    /// `G::blocked_m`.
    fn blocked_m(&self) -> Arc<Parker> {
        self.m.read(Arc::clone)
    }

    /// `waiter::ready`.
    pub(super) fn ready(&self) {
        self.finish_ready(self.status.ready(|| self.blocked_m()));
    }

    fn finish_ready(&self, readied: Readied<Arc<Parker>>) {
        match readied {
            Readied::Enqueue => panic!("a plain thread was put into a queue"),
            Readied::Unpark(m) => {
                saw("unparked");
                m.unpark();
            }
            Readied::Noted => saw("noted"),
        }
    }

    /// `Sched::look_at`: a dump walks the stack.
    pub(super) fn walk(&self) {
        let Some(scan) = self.status.begin_scan() else {
            return;
        };
        assert!(scan.on_m());
        self.stack.read(|_| ());
        match self.status.end_scan(scan, || self.blocked_m()) {
            Scanned::Parked => saw("walked in peace"),
            Scanned::Ready(readied) => {
                saw("made ready by its scanner");
                self.finish_ready(readied);
            }
        }
    }

    /// `WaitToken::claim` by a party that then leaves `by` in the node and makes the waiter ready.
    /// `true` if it won.
    pub(super) fn claim_and_ready(&self, seq: Seq, by: u32) -> bool {
        let won = self.wait.claim(seq);
        if won {
            self.node.with(|node| *node = by);
            self.ready();
        }
        won
    }

    /// `Goroutine::unpark` by a holder of a handle to number `id`: `park::unpark`.
    pub(super) fn unpark(&self, id: u64) -> Unparked {
        // Acquire: `G::id`.
        let found = self.wait.unpark(|| self.id.load(Ordering::Acquire) == id);
        if found == Unparked::Claimed {
            self.ready();
        }
        found
    }

    /// `park::park_user` without a timeout.
    pub(super) fn park_user(&self) {
        if self.wait.open_user().is_some() {
            self.park();
        }
    }
}
