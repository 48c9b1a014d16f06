//! `park` for models.

pub(crate) use crate::sched::reason::WaitReason;
pub(crate) use crate::sched::waiter::{WaitToken, Waiter};

use crate::sched::current;

/// The right to wake the caller.
///
/// # Safety
/// As the real one's.
pub(crate) unsafe fn prepare() -> Waiter {
    Waiter(current::g())
}

/// Opens a wait that several parties compete to end.
///
/// # Safety
/// As the real one's.
pub(crate) unsafe fn begin() -> WaitToken {
    let g = current::g();
    WaitToken {
        g,
        seq: g.wait.open(),
    }
}

/// Can the caller be made a [`Waiter`] without much ado?
pub(crate) fn has_slot() -> bool {
    current::has_slot()
}

/// See [`has_slot`].
pub(crate) fn take_slot() {
    current::g();
}

/// Blocks the caller until its [`Waiter`] is used.
pub(crate) fn park(_: WaitReason, _: usize) {
    let g = current::g();
    g.parked.set(true);
    g.status.park();
}

/// Has the caller parked since it last asked?
pub(crate) fn has_parked() -> bool {
    current::g().parked.take()
}

/// Models have no time slices.
pub(crate) fn checkpoint() {}
