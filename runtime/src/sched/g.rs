//! G: a goroutine.
//!
//! The slot ([`G`], 80 bytes) is all that exists of a goroutine before it first runs: status, wait
//! and join words, entry function and a closure of up to three words (larger ones are boxed). With
//! its first run it gets a stack, at whose top lies the rest ([`Run`]): what only a goroutine that
//! has run needs, such as its name and what it waits for.
//!
//! Slots come from a type-stable arena (`arena`): a slot's memory is a `G` for ever, so a pointer to
//! it may be out of date but never dangles. Timers and handles name a goroutine by (slot, id) or
//! (slot, wait sequence) and find out whether they still mean the same one.
//!
//! A plain thread that blocks has a slot too; its `link` leads to its M instead of to a fiber.
//!
//! Who may touch what: `status`, `wait`, `join` are atomic words with tables of their own. `entry`,
//! `payload`, `location`, `class`, `tag` are written by the spawner before the G is first queued, and
//! belong to the goroutine afterwards (the payload, from `STORED` on, to whoever `join` says). `entry`, which
//! is done with then, tells `ahead` where the stack was suspended.
//!
//! Next in the reading order: `arena`, where slots come from.

use crate::coroutine::Fiber;
use crate::prim::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sched::m::M;
use crate::sched::reason::WaitReason;
use crate::sched::tags::Tag;
use crate::stack::SizeClass;
use crate::state::gstatus::GStatus;
use crate::state::join::JoinWord;
use crate::state::wait::WaitWord;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// Room in the slot for a closure, and later for its result: three words.
pub(crate) type Payload = [MaybeUninit<usize>; 3];

/// Runs a goroutine's closure, which lies in the payload, and stores the result there. Must not
/// unwind.
pub(crate) type EntryFn = unsafe fn(GRef);

/// Set in the numbers of plain threads.
const PLAIN: u64 = 1 << 63;

/// A goroutine's slot. All zero bytes are a free slot.
#[repr(C, align(16))]
pub(crate) struct G {
    pub(crate) status: GStatus,
    class: Cell<SizeClass>,
    /// Its place among those whose time in the queue is taken (`prim::latency`), or 0. Touched only by whoever queues it,
    /// or has taken it out of a queue.
    pub(crate) timed: Cell<u8>,
    /// Inherited by what it spawns. Atomic because observers read it at any time.
    tag: AtomicU16,
    pub(crate) wait: WaitWord,
    pub(crate) join: JoinWord,
    /// The goroutine's number, never used twice; 0 in a free slot. A plain thread's has the highest
    /// bit set.
    id: AtomicU64,
    /// A fiber once bound; the M of a plain thread; the next slot in a free list.
    link: AtomicUsize,
    /// The function that runs it, until it has been called; then where its stack was suspended last.
    entry: AtomicUsize,
    payload: UnsafeCell<Payload>,
    /// A `Location`; a plain word because observers read it at any time.
    location: AtomicUsize,
}

const _: () = assert!(std::mem::size_of::<G>() == 80);

/// A pointer to a slot. Slots live for ever, so this is a plain `&'static G` that compares by
/// address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct GRef(NonNull<G>);

// SAFETY: the slot's words are atomic, and its cells are used only by whoever holds the goroutine
// (module head), with the queues and words ordering one holder before the next.
unsafe impl Send for GRef {}
// SAFETY: as above; a shared GRef gives no access that a copy does not give.
unsafe impl Sync for GRef {}

// A panic can't leave the scheduler's words half changed: nothing in it unwinds.
impl UnwindSafe for GRef {}
impl RefUnwindSafe for GRef {}

impl Deref for GRef {
    type Target = G;

    #[inline(always)]
    fn deref(&self) -> &G {
        // SAFETY: the arena never frees or moves a slot.
        unsafe { self.0.as_ref() }
    }
}

impl GRef {
    /// A slot of the arena.
    ///
    /// # Safety
    /// `slot` must point into the arena.
    #[inline(always)]
    pub(crate) unsafe fn new(slot: NonNull<G>) -> GRef {
        GRef(slot)
    }

    /// The slot's address: at least 16-byte aligned.
    #[inline(always)]
    pub(crate) fn addr(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// From [`GRef::addr`].
    ///
    /// # Safety
    /// `addr` must come from `addr()`.
    #[inline(always)]
    pub(crate) unsafe fn from_addr(addr: usize) -> GRef {
        // SAFETY: the caller passes a slot's address, which is not null.
        GRef(unsafe { NonNull::new_unchecked(addr as *mut G) })
    }
}

/// A goroutine's bookkeeping from its first run on; lies at the top of its stack.
pub(crate) struct Run {
    /// The M that runs it, or ran it last. Valid while it runs or blocks its M.
    pub(crate) m: Cell<&'static M>,
    /// Set at most once, by the goroutine.
    pub(crate) name: OnceLock<Arc<str>>,
    /// What it waits for, written before parking.
    pub(crate) wait: WaitInfo,
    /// Nesting of `lock_os_thread`, and the M it is locked to while that is not zero.
    pub(crate) locks: Cell<u32>,
    /// It is inside `blocking`.
    pub(crate) blocking: Cell<bool>,
    /// Its stack has been trimmed since it last ran.
    pub(crate) trimmed: AtomicBool,
    /// Its goroutine-local values, or null; what it points to is known to `local` alone.
    pub(crate) locals: Cell<*mut ()>,
    /// To be called on its stack at its end: drops `locals`. Must not unwind.
    pub(crate) end_locals: Cell<Option<fn()>>,
}

// SAFETY: `m`, `locks`, `blocking`, `locals`, `end_locals` are touched only by whoever runs the goroutine, and what
// `locals` leads to is `Send`; `name`, `wait` and `trimmed` are synchronised.
unsafe impl Send for Run {}

/// What a parked goroutine waits for. Written by the goroutine before it parks, read by observers
/// at any time: a torn set of three is an inexact answer in a dump, nothing worse.
#[derive(Debug, Default)]
pub(crate) struct WaitInfo {
    reason: AtomicU32,
    object: AtomicUsize,
    since: AtomicU64,
}

impl WaitInfo {
    #[inline]
    pub(crate) fn set(&self, reason: WaitReason, object: usize, since: u64) {
        self.reason.store(reason as u32, Ordering::Relaxed);
        self.object.store(object, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Reason, object, and since when.
    pub(crate) fn get(&self) -> (WaitReason, usize, u64) {
        (
            WaitReason::from_u32(self.reason.load(Ordering::Relaxed)),
            self.object.load(Ordering::Relaxed),
            self.since.load(Ordering::Relaxed),
        )
    }
}

/// A goroutine's fiber.
pub(crate) type GFiber = Fiber<Run>;

impl G {
    /// Fills a free slot for a goroutine. Only the spawner, which holds the slot.
    ///
    /// # Safety
    /// The slot was handed out by the arena and not used since.
    #[inline]
    pub(crate) unsafe fn fill(
        &self,
        id: u64,
        class: SizeClass,
        tag: Tag,
        entry: EntryFn,
        payload: Payload,
        location: &'static Location<'static>,
    ) {
        self.class.set(class);
        self.set_tag(tag);
        // The slot's last goroutine has lost its number: whoever still unparks it fails over this.
        self.wait.retire();
        self.join.reset();
        self.link.store(0, Ordering::Relaxed);
        self.entry.store(entry as usize, Ordering::Relaxed);
        // SAFETY: the caller holds the slot.
        unsafe { *self.payload.get() = payload };
        let location = std::ptr::from_ref(location) as usize;
        self.location.store(location, Ordering::Relaxed);
        // Release: partner of the Acquire in `id`; an observer that sees the number sees `location`.
        self.id.store(id, Ordering::Release);
        self.status.set_runnable();
    }

    /// Fills a free slot for a plain thread.
    ///
    /// # Safety
    /// As [`G::fill`].
    pub(crate) unsafe fn fill_plain(&self, id: u64, m: &'static M) {
        self.wait.retire();
        self.set_tag(Tag::NONE);
        self.link
            .store(std::ptr::from_ref(m) as usize, Ordering::Relaxed);
        self.id.store(id | PLAIN, Ordering::Release);
        self.status.set_running();
    }

    /// The goroutine's (or plain thread's) number; 0 if the slot is free.
    #[inline]
    pub(crate) fn id(&self) -> u64 {
        // Acquire: partner of the Release in `fill`.
        self.id.load(Ordering::Acquire)
    }

    /// Is it a goroutine's, not free and not a plain thread's?
    #[inline]
    pub(crate) fn is_goroutine(&self) -> bool {
        let id = self.id();
        id != 0 && id & PLAIN == 0
    }

    /// Marks the slot's goroutine as gone: handles to it no longer match.
    pub(crate) fn clear_id(&self) {
        self.id.store(0, Ordering::Relaxed);
    }

    /// Where it was spawned.
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        let location = self.location.load(Ordering::Relaxed) as *const Location<'static>;
        // SAFETY: `fill` stores a `&'static Location`; a fresh slot holds null.
        unsafe { location.as_ref() }
    }

    /// A goroutine's stack's size class.
    pub(crate) fn class(&self) -> SizeClass {
        self.class.get()
    }

    /// What `testing` counts it under.
    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        Tag::from_raw(self.tag.load(Ordering::Relaxed))
    }

    /// Only by the goroutine (or plain thread) itself, or by whoever fills the slot.
    #[inline]
    pub(crate) fn set_tag(&self, tag: Tag) {
        self.tag.store(tag.into_raw(), Ordering::Relaxed);
    }

    /// Its fiber, once it has run. Must not be asked of a plain thread's slot.
    #[inline]
    pub(crate) fn fiber(&self) -> Option<GFiber> {
        GFiber::from_raw(self.link.load(Ordering::Relaxed))
    }

    /// Its bookkeeping.
    ///
    /// # Safety
    /// The goroutine has run and hasn't finished, and the caller holds it (it runs it, is it, or has
    /// claimed it for a scan).
    #[inline]
    pub(crate) unsafe fn run<'a>(&self) -> &'a Run {
        let fiber = self.fiber().expect("the goroutine has run");
        // SAFETY: by the caller's contract the fiber is bound for as long as the reference is used.
        unsafe { fiber.data() }
    }

    /// Gives it a stack: `bind` builds the fiber.
    pub(crate) fn set_fiber(&self, fiber: GFiber) {
        self.link.store(fiber.into_raw(), Ordering::Relaxed);
    }

    /// The plain thread's M.
    ///
    /// # Safety
    /// The slot is a plain thread's.
    pub(crate) unsafe fn plain_m(&self) -> &'static M {
        // SAFETY: `fill_plain` stored a reference to an M, and Ms live for ever.
        unsafe { &*(self.link.load(Ordering::Relaxed) as *const M) }
    }

    /// The free list's link.
    pub(crate) fn next_free(&self) -> usize {
        self.link.load(Ordering::Relaxed)
    }

    /// Sets the free list's link. Only by the slot's holder.
    pub(crate) fn set_next_free(&self, next: usize) {
        self.link.store(next, Ordering::Relaxed);
    }

    /// The function that runs it.
    ///
    /// # Safety
    /// The caller is the goroutine, which has not been suspended yet.
    pub(crate) unsafe fn entry(&self) -> EntryFn {
        let entry = self.entry.load(Ordering::Relaxed);
        // SAFETY: `fill` stored the function, and `suspend_at` was not called since.
        unsafe { std::mem::transmute::<usize, EntryFn>(entry) }
    }

    /// Notes where its stack is suspended. Only by the goroutine, once its entry was called.
    #[inline]
    pub(crate) fn suspend_at(&self, stack_pointer: usize) {
        self.entry.store(stack_pointer, Ordering::Relaxed);
    }

    /// Where its stack was suspended last, if it has run: a hint, which may be out of date.
    #[inline]
    pub(crate) fn suspended_at(&self) -> usize {
        self.entry.load(Ordering::Relaxed)
    }

    /// Closure or result; see the module head for whose it is.
    pub(crate) fn payload(&self) -> *mut Payload {
        self.payload.get()
    }

    /// The M that it blocks.
    ///
    /// # Safety
    /// It is parked on its M, and can't go on meanwhile.
    pub(crate) unsafe fn blocked_m(&self) -> &'static M {
        if !self.is_goroutine() {
            // SAFETY: a parked slot is in use: it is a plain thread's.
            unsafe { self.plain_m() }
        } else {
            // SAFETY: a goroutine that is parked on its M has a fiber, which stays bound.
            unsafe { self.run() }.m.get()
        }
    }
}
