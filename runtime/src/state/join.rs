//! The join word: who drops a finished goroutine's result, and who frees its slot.
//!
//! Result and slot are shared by three parties: the goroutine, which stores the result on its own
//! stack; its M, which publishes the end once the stack is no longer in use; and the `JoinHandle`,
//! which takes the result or is dropped at any time.
//!
//! | bits | set by | means |
//! | --- | --- | --- |
//! | `STORED` | the goroutine, once | the result lies in the slot; the handle's side owns it |
//! | `DETACHED` | the handle's drop, once | nobody will join |
//! | `FINISHED` | its M, once, at last | the slot is no longer used by the scheduler |
//! | a pointer (the bits above) | a joiner | where the joiner's waiter lies |
//!
//! A result that needs no dropping is not announced by `STORED`: then nobody need drop it.
//!
//! * `DETACHED` before `STORED`: the goroutine drops its result itself, on its own stack.
//! * `STORED` before `DETACHED`: the handle takes or drops the result *first* and detaches then.
//! * The slot is freed by whichever of `DETACHED` and `FINISHED` comes second.

use crate::prim::atomic::{AtomicUsize, Ordering};

pub(super) const STORED: usize = 1;
pub(super) const DETACHED: usize = 2;
pub(super) const FINISHED: usize = 4;
const BITS: usize = 7;

/// See the module's table.
#[derive(Debug)]
pub(crate) struct JoinWord(AtomicUsize);

/// Who owns a result that was just stored, or that a handle no longer wants.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultOf {
    /// The caller: it drops or takes the result.
    Mine,
    /// The other side.
    Theirs,
}

/// What the M finds at the end.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Nobody will join: free the slot.
    pub(crate) free: bool,
    /// A joiner's waiter, or 0.
    pub(crate) joiner: usize,
}

impl JoinWord {
    /// A goroutine that has not finished.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        JoinWord(AtomicUsize::new(0))
    }

    /// For a slot's next goroutine. Only by the spawner.
    #[inline]
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The goroutine has stored its result. `Mine`: nobody wants it, drop it here and now.
    pub(crate) fn store(&self) -> ResultOf {
        // Release: partner of the Acquires in `detach`, after which the handle may drop the result.
        if self.0.fetch_or(STORED, Ordering::Release) & DETACHED != 0 {
            ResultOf::Mine
        } else {
            ResultOf::Theirs
        }
    }

    /// The M is done with the slot, its very last act but for what the return value says.
    pub(crate) fn finish(&self) -> Finished {
        // Release: partner of the Acquires in `is_finished`, `wait`, `detach` and `free_after_result`. Acquire:
        // partner of the Release in `wait`, for the joiner's waiter, and of those in `detach` and
        // `free_after_result`: the handle's side is done with the slot.
        let before = self.0.fetch_or(FINISHED, Ordering::AcqRel);
        Finished {
            free: before & DETACHED != 0,
            joiner: before & !BITS,
        }
    }

    /// Has the goroutine finished, so that its result can be taken?
    pub(crate) fn is_finished(&self) -> bool {
        // Acquire: partner of the Release in `finish`.
        self.0.load(Ordering::Acquire) & FINISHED != 0
    }

    /// A joiner leaves its waiter's address (aligned to 8). `false`: the goroutine has finished and
    /// won't look. There is one joiner at most, because joining consumes the handle.
    #[must_use]
    pub(crate) fn wait(&self, waiter: usize) -> bool {
        debug_assert_eq!(waiter & BITS, 0);
        // Release: partner of the Acquire in `finish`. Acquire: partner of its Release.
        self.0.fetch_or(waiter, Ordering::AcqRel) & FINISHED == 0
    }

    /// The handle goes away unjoined. `Mine`: the result is there; the caller drops it and
    /// calls [`JoinWord::free_after_result`]. `Theirs`: the goroutine will drop it.
    pub(crate) fn detach(&self) -> ResultOf {
        // Acquire, here and on failure: partner of the Releases in `store` and `finish`.
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if seen & (STORED | FINISHED) != 0 {
                return ResultOf::Mine;
            }
            // Release: partner of the Acquire in `finish`; what was done to the slot through the
            // handle comes before the slot's next goroutine.
            match self.0.compare_exchange_weak(
                seen,
                seen | DETACHED,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return ResultOf::Theirs,
                Err(found) => seen = found,
            }
        }
    }

    /// The handle has dropped a stored result. `true`: the caller frees the slot; otherwise the
    /// goroutine's M will.
    #[must_use]
    pub(crate) fn free_after_result(&self) -> bool {
        // Acquire: partner of the Release in `finish`. Release: partner of the Acquire there.
        self.0.fetch_or(DETACHED, Ordering::AcqRel) & FINISHED != 0
    }
}
