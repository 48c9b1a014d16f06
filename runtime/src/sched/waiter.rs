//! Who waits: the owned right to wake a goroutine or thread, and the name of a contested wait.
//!
//! See `crate::park` for how the two are used; they live here because the reactor's contract and raw
//! timers speak of them.
//!
//! Next in the reading order: `reactor`, whose events make waiters ready.

use crate::sched::g::GRef;
use crate::sched::sched;
use crate::state::gstatus::Readied;
use crate::state::wait::Seq;
use std::fmt;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

/// The right to wake one goroutine or thread, which is parked or about to park, exactly once.
///
/// It must be used up: by [`ready`](Waiter::ready), by [`ReadyList::push`](crate::reactor::ReadyList::push), or
/// by its owner with [`cancel`](Waiter::cancel). Dropping it makes the goroutine ready, as the
/// mistake that does least harm.
#[must_use = "a waiter that is forgotten leaves its goroutine parked for ever"]
pub struct Waiter(pub(crate) GRef);

/// Names one wait of one goroutine or thread, for ever: it is `Copy`, may be kept beyond the wait,
/// and then simply can't be claimed any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WaitToken {
    pub(crate) g: GRef,
    pub(crate) seq: Seq,
}

impl Waiter {
    /// Wakes it. Never blocks or switches; from a goroutine, the woken one runs next.
    #[doc(alias = "goready")]
    pub fn ready(self) {
        let g = self.into_g();
        if ready(g) {
            sched().enqueue(g);
        }
    }

    /// As `ready`, but returns the goroutine if it must still be queued.
    pub(crate) fn ready_unqueued(self) -> Option<GRef> {
        let g = self.into_g();
        ready(g).then_some(g)
    }

    /// Gives the wait up. Only for the owner, instead of [`park`](crate::reactor::park).
    pub fn cancel(self) {
        let _ = self.into_g();
    }

    /// As a word whose low four bits are clear.
    pub fn into_raw(self) -> NonZeroUsize {
        NonZeroUsize::new(self.into_g().addr()).expect("slots lie above address 0")
    }

    /// From [`Waiter::into_raw`].
    ///
    /// # Safety
    ///
    /// `raw` comes from `into_raw`, and is turned back once.
    pub unsafe fn from_raw(raw: NonZeroUsize) -> Waiter {
        // SAFETY: the caller passes a slot's address.
        Waiter(unsafe { GRef::from_addr(raw.get()) })
    }

    /// The joiner's waiter out of a join word.
    pub(crate) fn from_join(word: usize) -> Option<Waiter> {
        // SAFETY: `JoinWord::wait` is given only what `into_raw` returned, and `finish` returns it
        // once.
        NonZeroUsize::new(word).map(|raw| unsafe { Waiter::from_raw(raw) })
    }

    fn into_g(self) -> GRef {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        Waiter(self.0).ready();
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiter({:?})", self.0)
    }
}

impl fmt::Debug for WaitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitToken({:?}, {})", self.g, self.seq.get())
    }
}

impl WaitToken {
    /// Ends the wait if nobody has yet: whoever gets the [`Waiter`] wakes the goroutine. The owner may
    /// claim its own wait to give it up.
    #[inline]
    pub fn claim(self) -> Option<Waiter> {
        // Lazily: a waiter that is made and dropped wakes.
        self.g.wait.claim(self.seq).then(|| Waiter(self.g))
    }

    /// Is the wait still open? It may be claimed at any moment; only the owner learns something
    /// lasting from `false`.
    pub fn is_open(self) -> bool {
        self.g.wait.is_open(self.seq)
    }

    /// As two words, for a timer's arguments.
    pub fn into_words(self) -> (usize, u64) {
        (self.g.addr(), self.seq.get())
    }

    /// From [`WaitToken::into_words`].
    ///
    /// # Safety
    ///
    /// The words come from `into_words`; they may be out of date.
    pub unsafe fn from_words(g: usize, seq: u64) -> WaitToken {
        WaitToken {
            // SAFETY: the caller passes a slot's address.
            g: unsafe { GRef::from_addr(g) },
            seq: Seq::from_raw(seq),
        }
    }
}

/// Makes `g` ready. `true`: the caller queues it.
#[inline]
fn ready(g: GRef) -> bool {
    // SAFETY: asked while `g` is parked on its M.
    match g.status.ready(|| unsafe { g.blocked_m() }) {
        Readied::Enqueue => return true,
        Readied::Unpark(m) => m.unpark_thread(),
        Readied::Noted => {}
    }
    false
}
