//! `Barrier`: some meet, and go on together.
//!
//! Those who came too early are in a queue; the last one takes all of them out at once. As that empties the
//! barrier under its lock, the next round can begin before the last one's waiters have woken: no count of
//! rounds is needed.

use crate::park::{WaitReason, has_slot, park, take_slot};
use crate::prim::spin::SpinLock;
use crate::sync::waitq::{FIRST_OWN, Node, WaitList};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;

/// Lets a number of goroutines or threads meet.
///
/// Mirrors [`std::sync::Barrier`]. It can be used again as soon as everybody was there.
///
/// ```
/// use corio::{go, sync::Barrier};
/// use std::sync::Arc;
///
/// let barrier = Arc::new(Barrier::new(3));
/// let handles = [(); 3].map(|()| {
///     let barrier = Arc::clone(&barrier);
///     go!(move || barrier.wait().is_leader())
/// });
/// let leaders = handles.map(|handle| handle.join().unwrap());
/// assert_eq!(leaders.iter().filter(|leads| **leads).count(), 1);
/// ```
pub struct Barrier {
    needed: usize,
    early: SpinLock<Early>,
}

struct Early {
    count: usize,
    waiters: WaitList,
}

// Nothing of the user's runs while it is changed.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// Tells the one that leads from the others. See [`Barrier::wait`].
pub struct BarrierWaitResult(bool);

impl Barrier {
    /// A barrier for `n`. With 0 or 1 nobody ever waits.
    #[inline]
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            needed: n,
            early: SpinLock::new(Early {
                count: 0,
                waiters: WaitList::new(),
            }),
        }
    }

    /// Waits until `n` have called it. The last one to come leads.
    ///
    /// # Blocking
    ///
    /// A switch point for all but the last one.
    pub fn wait(&self) -> BarrierWaitResult {
        if !has_slot() {
            // Not under the lock.
            take_slot();
        }
        let mut early = self.early.lock();
        early.count += 1;
        if early.count >= self.needed {
            early.count = 0;
            let everybody = early.waiters.pop_all();
            drop(early);
            everybody.wake_all(FIRST_OWN);
            return BarrierWaitResult(true);
        }
        // SAFETY: it is pushed and parked for right below, and only popping ends the wait.
        let node = unsafe { Node::alone(0, ptr::null_mut()) };
        // SAFETY: it lies here until the wait is over.
        unsafe { early.waiters.push_back(&node) };
        drop(early);
        park(WaitReason::Barrier, ptr::from_ref(self).addr());
        BarrierWaitResult(false)
    }
}

impl BarrierWaitResult {
    /// `true` for one of those who met.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.0)
            .finish()
    }
}
