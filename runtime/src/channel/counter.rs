//! Counted handles: a channel knows how many senders and receivers it has.
//!
//! An `Arc` would count once more, and cost another word. Here the two counts do everything: the last
//! handle of one side closes the channel, and of the two sides the one that comes second frees it.
//!
//! Next in the reading order: `local`.

use crate::channel::core::Chan;
use crate::prim::atomic::{AtomicU32, Ordering};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// Handles of one side, at most: 8 GiB of them, so more can only be leaked ones.
const MAX: u32 = i32::MAX as u32 / 2;
/// One side is gone.
const HALF_GONE: u32 = 1 << 31;

#[derive(Debug)]
struct Counted<T> {
    chan: Chan<T>,
    /// And in the highest bit, whether one side is gone: a word of its own would make the channel larger.
    senders: AtomicU32,
    receivers: AtomicU32,
}

/// One side of a channel.
pub(super) trait Side {
    fn count<T>(counted: &Shared<T>) -> &AtomicU32;
    /// The last handle is gone.
    fn leave<T>(chan: &Chan<T>);
}

/// See [`Side`].
#[derive(Debug)]
pub(super) struct Sends;

/// See [`Side`].
#[derive(Debug)]
pub(super) struct Receives;

/// What the handles point to.
#[derive(Debug)]
pub(super) struct Shared<T>(Counted<T>);

// All that a channel of capacity 0 allocates.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Shared<u64>>() <= 128);

impl Side for Sends {
    fn count<T>(counted: &Shared<T>) -> &AtomicU32 {
        &counted.0.senders
    }

    fn leave<T>(chan: &Chan<T>) {
        chan.close();
    }
}

impl Side for Receives {
    fn count<T>(counted: &Shared<T>) -> &AtomicU32 {
        &counted.0.receivers
    }

    fn leave<T>(chan: &Chan<T>) {
        chan.close();
        chan.discard();
    }
}

/// An owned handle of one side.
#[derive(Debug)]
pub(super) struct Handle<T, S: Side> {
    shared: NonNull<Shared<T>>,
    _side: PhantomData<(S, Counted<T>)>,
}

// SAFETY: the channel may be used by, and freed by, several threads if messages may be sent.
unsafe impl<T: Send, S: Side> Send for Handle<T, S> {}
// SAFETY: as above.
unsafe impl<T: Send, S: Side> Sync for Handle<T, S> {}

/// A channel with one handle on each side.
pub(super) fn new<T>(chan: Chan<T>) -> (Handle<T, Sends>, Handle<T, Receives>) {
    let shared = Box::leak(Box::new(Shared(Counted {
        chan,
        senders: AtomicU32::new(1),
        receivers: AtomicU32::new(1),
    })));
    let shared = NonNull::from(shared);
    let sender = Handle {
        shared,
        _side: PhantomData,
    };
    let receiver = Handle {
        shared,
        _side: PhantomData,
    };
    (sender, receiver)
}

impl<T, S: Side> Handle<T, S> {
    fn shared(&self) -> &Shared<T> {
        // SAFETY: a handle counts, and what it points to is freed when nothing counts any more.
        unsafe { self.shared.as_ref() }
    }

    /// Do both belong to the same channel?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.shared == other.shared
    }
}

impl<T, S: Side> Deref for Handle<T, S> {
    type Target = Chan<T>;

    #[inline(always)]
    fn deref(&self) -> &Chan<T> {
        &self.shared().0.chan
    }
}

impl<T, S: Side> Clone for Handle<T, S> {
    fn clone(&self) -> Self {
        // Relaxed: who holds a handle keeps the count above zero.
        let before = S::count(self.shared()).fetch_add(1, Ordering::Relaxed);
        if before & !HALF_GONE > MAX {
            // As `Arc`: only leaking clones gets here, and going on could free what is in use.
            std::process::abort();
        }
        Handle {
            shared: self.shared,
            _side: PhantomData,
        }
    }
}

impl<T, S: Side> Drop for Handle<T, S> {
    fn drop(&mut self) {
        // AcqRel: partner of itself; what other handles did comes before closing.
        if S::count(self.shared()).fetch_sub(1, Ordering::AcqRel) & !HALF_GONE != 1 {
            return;
        }
        S::leave(&self.shared().0.chan);
        // AcqRel: partner of itself; what the first side did comes before freeing.
        let before = self
            .shared()
            .0
            .senders
            .fetch_or(HALF_GONE, Ordering::AcqRel);
        if before & HALF_GONE != 0 {
            // SAFETY: it comes from a box (`new`), and both sides are gone.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        }
    }
}
