//! Which M this thread is: the one thread-local that goroutines read.
//!
//! A goroutine may go on on another thread after any switch, and compilers don't know: within one
//! function (after inlining) they may compute a thread-local's address once and use it on both sides
//! of a switch. Even a never-inlined function that returns such an address gets merged, once the
//! optimiser has inferred that it has no side effects. So the M is read only through [`m_or_null`],
//! which is never inlined *and* contains an `asm!` that may have side effects for all the compiler
//! knows; the address never leaves it. And nobody keeps the M across a switch: it is asked for anew.
//!
//! A plain thread gets an M and a goroutine slot with its first blocking call; both go back when the
//! thread ends. A thread that blocks even later, in the destructor of another thread-local, gets a
//! pair that is not given back.
//!
//! There are others, here for the end of a plain thread and in `local::storage` for its goroutine-locals.
//! They are only touched on plain threads, which are never switched.
//!
//! Next in the reading order: `waiter`.

use crate::prim::arch::opaque;
use crate::prim::trace::who;
use crate::sched::g::GRef;
use crate::sched::m::M;
use crate::sched::{arena, sched};
use std::cell::Cell;
use std::ptr;

thread_local! {
    static CURRENT: Cell<*const M> = const { Cell::new(ptr::null()) };
}

/// The calling thread's M, or null if it has none.
#[inline(never)]
fn m_or_null() -> *const M {
    opaque(CURRENT.get())
}

/// The calling thread's M, if it has one. Must not be kept across a switch.
#[inline]
pub(crate) fn try_m<'a>() -> Option<&'a M> {
    let m = m_or_null();
    // SAFETY: `set` stores null or a reference to an M, and Ms live for ever. The lifetime is left
    // to the caller so that nobody takes it for something to keep.
    (!m.is_null()).then(|| unsafe { &*m })
}

/// The calling thread's M; a plain thread is given one. Must not be kept across a switch.
#[inline]
pub(crate) fn m<'a>() -> &'a M {
    match try_m() {
        Some(m) => m,
        None => adopt(),
    }
}

/// The goroutine that calls, or the plain thread's slot.
#[inline]
pub(crate) fn g() -> GRef {
    m().curg()
        .expect("an M that runs user code has a goroutine")
}

/// The goroutine that calls, if one does.
pub(crate) fn goroutine() -> Option<GRef> {
    try_m().filter(|m| m.is_worker()).and_then(M::curg)
}

/// The number of the calling thread's M for a trace; `who::NO_M` if it has none.
pub(crate) fn number() -> u32 {
    try_m().map_or(who::NO_M, |m| m.id)
}

/// A random number below `n`, which must not be zero.
#[inline]
pub(crate) fn random(n: usize) -> usize {
    let m = m();
    let mut rng = m.rng.get();
    let number = rng.below(n);
    m.rng.set(rng);
    number
}

/// Makes `m` this thread's M.
#[inline(never)]
pub(crate) fn set(m: Option<&'static M>) {
    CURRENT.set(m.map_or(ptr::null(), ptr::from_ref));
}

/// Gives a plain thread an M and a slot.
#[cold]
#[inline(never)]
#[doc(alias = "needm")]
#[doc(alias = "dropm")]
fn adopt<'a>() -> &'a M {
    let sched = sched();
    let m = sched
        .ms
        .get(false, 0)
        .unwrap_or_else(|error| panic!("corio can't serve this thread: {error}"));
    let slot = arena::take().expect("no memory for a thread's goroutine slot");
    // SAFETY: the slot comes fresh from the arena.
    unsafe { slot.fill_plain(sched.new_plain_id(), m) };
    m.set_curg(Some(slot));
    set(Some(m));
    // The destructor may already have run if this is called from another one's; see module head.
    let _ = RETURN.try_with(|guard| guard.0.set(true));
    m
}

thread_local! {
    static RETURN: ReturnPlain = const { ReturnPlain(Cell::new(false)) };
}

/// Gives a plain thread's M and slot back when the thread ends.
struct ReturnPlain(Cell<bool>);

impl Drop for ReturnPlain {
    fn drop(&mut self) {
        let m = m_or_null();
        if !self.0.get() || m.is_null() {
            return;
        }
        // SAFETY: Ms live for ever; `adopt` set this one.
        let m: &'static M = unsafe { &*m };
        set(None);
        let slot = m.curg().expect("a plain thread has a slot");
        slot.clear_id();
        slot.status.set_idle();
        arena::put(slot);
        sched().ms.put(m);
    }
}
