//! What may be switched on and off while the runtime runs, as bits of one word.
//!
//! The word is read on the scheduler's fastest paths. It is almost never written, so the read is a load from the
//! first-level cache, and the branch on it is always predicted: whatever hides behind a bit costs nothing measurable
//! while the bit is not set. Hence one word for all, and bits that are clear in normal operation.
//!
//! | bit | set means |
//! | --- | --- |
//! | [`TRACE`] | events are recorded (`prim::trace`) |

use crate::prim::atomic::{AtomicU32, Ordering};

/// Events are recorded.
pub(crate) const TRACE: u32 = 1;

static FLAGS: AtomicU32 = AtomicU32::new(0);

/// Is one of these bits set? A moment ago: whoever relies on the answer finds out by other means when it has changed.
#[inline(always)]
pub(crate) fn has(bits: u32) -> bool {
    FLAGS.load(Ordering::Relaxed) & bits != 0
}

/// Sets these bits.
pub(crate) fn set(bits: u32) {
    FLAGS.fetch_or(bits, Ordering::Relaxed);
}

/// Clears these bits.
pub(crate) fn clear(bits: u32) {
    FLAGS.fetch_and(!bits, Ordering::Relaxed);
}
