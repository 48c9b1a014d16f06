//! Run queues: `runnext` and a FIFO per P, and one global queue.
//!
//! crossbeam-deque's `Worker` (FIFO flavour) is the local queue: unbounded, so nothing spills to the
//! global queue as Go's 256-slot ring does, and stealing takes a batch. Only its owner may push,
//! so sysmon moves work away from a P that hangs only after it has taken the P itself.
//!
//! `runnext` is the goroutine that the running one made ready last. It runs next and inherits the
//! time slice: in a ping-pong the partner is usually there before anything else, with the data hot
//! in the cache, and a pair can't starve the queue because they share one slice. A lone `runnext`
//! wakes no other M, because the running goroutine is usually about to park. If it isn't, sysmon moves
//! the waiting one to the global queue with its next tick but one, some milliseconds later. (The owner
//! could do so at its next runtime entry, but would have to look at the clock at every one.)
//!
//! Next in the reading order: `ahead`.

use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::sched::ahead::{Ahead, Upcoming};
use crate::sched::g::GRef;
use crossbeam_deque::{Injector, Steal, Stealer, Worker};

/// The goroutines one steal may take.
const STEAL_LIMIT: usize = 256;

/// The slot for the goroutine that runs next. Put and taken by the owner; taken by thieves.
#[derive(Debug)]
pub(crate) struct RunNext(AtomicUsize);

impl RunNext {
    pub(crate) const fn new() -> Self {
        RunNext(AtomicUsize::new(0))
    }

    /// Is a goroutine there?
    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// The address of what is there, to recognise it later; 0 for nothing.
    pub(crate) fn peek(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Puts `g` there and returns what was there before. Only by the owner.
    #[inline]
    pub(crate) fn replace(&self, g: GRef) -> Option<GRef> {
        if self.0.load(Ordering::Relaxed) == 0 {
            // Only the owner ever puts something there, so it is still empty.
            // Release: partner of the Acquire in `take`.
            self.0.store(g.addr(), Ordering::Release);
            return None;
        }
        // AcqRel: partner of the swaps in `take`; the goroutine's contents go with its address.
        Self::from_word(self.0.swap(g.addr(), Ordering::AcqRel))
    }

    /// Takes what is there.
    #[inline]
    pub(crate) fn take(&self) -> Option<GRef> {
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire: partner of the Release in `replace`.
        Self::from_word(self.0.swap(0, Ordering::AcqRel))
    }

    fn from_word(word: usize) -> Option<GRef> {
        // SAFETY: the slot holds 0 or a G's address.
        (word != 0).then(|| unsafe { GRef::from_addr(word) })
    }
}

/// A P's local queue, the owner's end.
#[derive(Debug)]
pub(crate) struct LocalQueue {
    worker: Worker<GRef>,
    ahead: Ahead,
}

/// A P's local queue, the thieves' end.
#[derive(Debug)]
pub(crate) struct LocalStealer(Stealer<GRef>);

/// Makes a local queue.
pub(crate) fn local() -> (LocalQueue, LocalStealer) {
    let worker = Worker::new_fifo();
    let stealer = worker.stealer();
    let ahead = Ahead::new();
    (LocalQueue { worker, ahead }, LocalStealer(stealer))
}

impl LocalQueue {
    /// Adds at the tail. There is no fence in it: before reading idle state there must be one.
    #[inline(always)]
    pub(crate) fn push(&self, g: GRef) {
        self.push_upcoming(Upcoming { g, near: 0 });
    }

    /// As `push`, with a hint of what the goroutine will need.
    #[inline(always)]
    pub(crate) fn push_upcoming(&self, next: Upcoming) {
        self.ahead.push(next);
        self.worker.push(next.g);
    }

    /// Takes from the head.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<GRef> {
        let len = self.worker.len();
        let g = self.worker.pop()?;
        self.ahead.look(len);
        Some(g)
    }

    /// Runs a steal that puts goroutines here, beside the one that it returns.
    fn take_in(
        &self,
        steal: impl FnOnce(&Worker<GRef>) -> Result<Option<GRef>, Contended>,
    ) -> Result<Option<GRef>, Contended> {
        let before = self.worker.len();
        let result = steal(&self.worker);
        self.ahead.skip(self.worker.len().saturating_sub(before));
        result
    }

    /// Is it empty?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.worker.is_empty()
    }

    /// How many are in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.worker.len()
    }
}

impl LocalStealer {
    /// Steals half into `into` and returns one of them. `Err`: lost a race; the queue was not empty.
    #[doc(alias = "runqgrab")]
    #[doc(alias = "runqsteal")]
    pub(crate) fn steal_half(&self, into: &LocalQueue) -> Result<Option<GRef>, Contended> {
        into.take_in(|into| outcome(self.0.steal_batch_with_limit_and_pop(into, STEAL_LIMIT)))
    }

    /// Is it empty?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its length, for observers.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A thief lost a race: there was something to steal.
#[derive(Debug)]
pub(crate) struct Contended;

fn outcome(steal: Steal<GRef>) -> Result<Option<GRef>, Contended> {
    match steal {
        Steal::Success(g) => Ok(Some(g)),
        Steal::Empty => Ok(None),
        Steal::Retry => Err(Contended),
    }
}

fn insist(mut steal: impl FnMut() -> Result<Option<GRef>, Contended>) -> Option<GRef> {
    loop {
        match steal() {
            Ok(found) => return found,
            Err(Contended) => std::hint::spin_loop(),
        }
    }
}

/// The global queue: goroutines made ready by threads without a P, and those that lost theirs.
#[derive(Debug)]
pub(crate) struct GlobalQueue(Injector<GRef>);

impl GlobalQueue {
    pub(crate) fn new() -> Self {
        GlobalQueue(Injector::new())
    }

    /// Adds at the tail.
    pub(crate) fn push(&self, g: GRef) {
        self.0.push(g);
    }

    /// Takes one.
    pub(crate) fn pop(&self) -> Option<GRef> {
        if self.0.is_empty() {
            return None;
        }
        insist(|| outcome(self.0.steal()))
    }

    /// Takes a P's fair share: returns one goroutine and puts the others into `into`.
    #[doc(alias = "globrunqget")]
    pub(crate) fn take_share(&self, into: &LocalQueue, procs: usize) -> Option<GRef> {
        if self.0.is_empty() {
            return None;
        }
        let share = (self.0.len() / procs + 1).min(STEAL_LIMIT / 2);
        insist(|| into.take_in(|into| outcome(self.0.steal_batch_with_limit_and_pop(into, share))))
    }

    /// Is it empty?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its length, for observers.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
