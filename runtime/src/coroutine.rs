//! A fiber: one coroutine bound to one stack, with its bookkeeping at the top of that stack.
//!
//! The only module that uses corosensei. A [`Fiber`] is a pointer to a [`Top`], which lies in the
//! highest bytes of the stack it describes:
//!
//! ```text
//!   top     ┌──────────────────────────┐ page aligned
//!           │ Top: the coroutine's     │
//!           │ handle, registers, data  │ ← Fiber points here
//!           ├──────────────────────────┤ base, 16-byte aligned
//!           │ frames, growing down     │
//!           │            ↓             │
//!   bottom  ├──────────────────────────┤
//!           │ guard                    │
//!           └──────────────────────────┘
//! ```
//!
//! So a goroutine that has not run yet costs no stack, and one that has costs no second allocation:
//! its bookkeeping shares the page its first frames touch.
//!
//! # Why a fiber may be resumed on any thread
//!
//! corosensei's `Coroutine` is not `Send`, because it can't know what lies on the stack. Here it
//! can't be known either: `spawn` demands a `Send` closure, but the closure may create a value that
//! is not `Send` and hold it across a switch. Two cases have to be told apart:
//!
//! * A `!Send` value made and used by one goroutine only (an `Rc` it created) moves between threads
//!   *together with everything that can reach it*: the whole stack goes. The scheduler's queues and
//!   status words order one thread's accesses before the next thread's. Nothing goes wrong.
//! * A `!Send` value that is tied to *its thread* (a reference into a thread-local, std's
//!   `MutexGuard`, a handle to thread-local state) must not be held across a switch. No type can
//!   express that, and no bound on `spawn` can exclude it. The crate's first page states it as the
//!   rule that users must follow, with the remedies.
//!
//! This is the one hole in the crate's soundness; the `unsafe impl Send` below is where it lies.
//!
//! Next in the reading order: `sched`, which decides who runs.

use crate::prim::arch::{Registers, prefetch, registers};
use crate::stack::{SizeClass, Stack};
use corosensei::stack::{Stack as CoroStack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::mem::{self, MaybeUninit};
use std::ptr::NonNull;

/// Why a goroutine gives its M back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspend {
    /// Go on later, behind the others.
    Yield,
    /// Go on when made ready.
    Park,
    /// Go on when there is a P: it came back from a blocking call and found none.
    WaitForP,
}

type Co = Coroutine<(), Suspend, (), Region>;

/// The part of a stack that corosensei uses.
#[derive(Clone, Copy)]
struct Region {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: `Fiber::bind` builds regions from a `Stack`, whose guard lies inside `limit..` and whose
// usable part is at least `SizeClass`'s smallest, 16 KiB; both ends are 16-byte aligned.
unsafe impl CoroStack for Region {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// What lies at the top of a bound stack; `X` is the scheduler's share.
#[repr(C, align(16))]
struct Top<X> {
    co: UnsafeCell<MaybeUninit<Co>>,
    yielder: Cell<*const Yielder<(), Suspend>>,
    /// Where it was suspended: for trimming and walking.
    at: Cell<Registers>,
    class: SizeClass,
    data: X,
}

/// A goroutine's coroutine on its stack. A plain pointer: who may do what is the scheduler's
/// business (see each function's contract and the table in `gstatus`).
pub(crate) struct Fiber<X>(NonNull<Top<X>>);

impl<X> Clone for Fiber<X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X> Copy for Fiber<X> {}

// SAFETY: a fiber is resumed by whichever M took its goroutine out of a queue, after the switch that
// suspended it happened before (status word and queue). That everything on the stack may then run
// on that M's thread is the rule for users that the module's head argues.
unsafe impl<X: Send> Send for Fiber<X> {}

impl<X> Fiber<X> {
    /// Asks for the memory that resuming it begins with; it lies at the top of a stack that nobody may have
    /// touched for long.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let top = self.0.as_ptr().addr();
        for line in (0..size_of::<Top<X>>()).step_by(64) {
            prefetch(top + line);
        }
    }

    /// Binds a stack: when first resumed, `main(arg)` runs on it. The stack is got back by
    /// [`Fiber::unbind`] once `main` has returned.
    ///
    /// `main` must not unwind.
    pub(crate) fn bind(stack: Stack, data: X, main: fn(usize), arg: usize) -> Self {
        const { assert!(mem::align_of::<X>() <= 16) };
        let (top, bottom) = (stack.top(), stack.bottom().as_ptr() as usize);
        let (_, class) = stack.into_raw();
        let at = top.as_ptr() as usize - mem::size_of::<Top<X>>();
        debug_assert_eq!(at % 16, 0);
        let place = at as *mut Top<X>;
        // SAFETY: the stack is ours (it was passed by value) and `place` lies in its highest page,
        // which is mapped, writable and aligned for `Top`.
        let fiber = unsafe {
            place.write(Top {
                co: UnsafeCell::new(MaybeUninit::uninit()),
                yielder: Cell::new(std::ptr::null()),
                at: Cell::new(Registers::default()),
                class,
                data,
            });
            Fiber(NonNull::new_unchecked(place))
        };
        let region = Region {
            base: StackPointer::new(at).expect("a stack lies above address 0"),
            limit: StackPointer::new(bottom - crate::stack::GUARD_SIZE)
                .expect("a stack lies above address 0"),
        };
        let co = Co::with_stack(region, move |yielder, ()| {
            let place = at as *const Top<X>;
            // SAFETY: `Top` was written above and lives until `unbind`, after this returns. Only
            // the goroutine itself touches `yielder`.
            unsafe { (*place).yielder.set(yielder) };
            main(arg);
        });
        // SAFETY: nobody else has the fiber yet.
        unsafe { (*fiber.0.as_ref().co.get()).write(co) };
        fiber
    }

    /// The scheduler's data.
    ///
    /// # Safety
    /// The fiber must be bound for as long as the reference is used.
    #[inline]
    pub(crate) unsafe fn data<'a>(self) -> &'a X {
        // SAFETY: the caller keeps the fiber bound, so `Top` is initialised and stays in place.
        unsafe { &self.0.as_ref().data }
    }

    /// Runs the goroutine until it suspends itself (why is returned) or returns (`None`).
    ///
    /// # Safety
    /// The fiber is bound and suspended (or not started), its `main` has not returned, and the
    /// caller alone holds its goroutine (status `RUNNING`).
    #[inline]
    pub(crate) unsafe fn resume(self) -> Option<Suspend> {
        // SAFETY: the caller alone holds the goroutine, so nobody else has a reference to `co`;
        // `bind` initialised it.
        let co = unsafe { (*self.0.as_ref().co.get()).assume_init_mut() };
        match co.resume(()) {
            CoroutineResult::Yield(why) => Some(why),
            CoroutineResult::Return(()) => None,
        }
    }

    /// Suspends the goroutine this is called on, noting where it is for trimming and walking. Returns when it is
    /// resumed, possibly on another thread.
    ///
    /// # Safety
    /// Must be called on this fiber's own stack.
    #[inline(always)]
    pub(crate) unsafe fn suspend(self, why: Suspend) {
        // SAFETY: the fiber is bound while it runs.
        let top = unsafe { self.0.as_ref() };
        top.at.set(registers());
        // SAFETY: `yielder` was set when the fiber started, and lives on its stack as long as it.
        unsafe { (*top.yielder.get()).suspend(why) };
    }

    /// Notes where the goroutine is, which is about to block its thread instead of being suspended.
    ///
    /// # Safety
    /// Must be called on this fiber's own stack; `at` are the caller's registers, and its frame stays until the goroutine goes on.
    pub(crate) unsafe fn stay(self, at: Registers) {
        // SAFETY: the fiber is bound while it runs.
        unsafe { self.0.as_ref() }.at.set(at);
    }

    /// Takes the stack back. The fiber, and every copy of it, is dead after this.
    ///
    /// # Safety
    /// `resume` has returned `None`, and the caller alone holds the goroutine.
    pub(crate) unsafe fn unbind(self) -> Stack {
        let place = self.0.as_ptr();
        // SAFETY: the coroutine has completed, so its drop neither unwinds nor frees anything;
        // `data` is dropped here, once; nobody else has a reference.
        unsafe {
            let class = (*place).class;
            std::ptr::drop_in_place((*(*place).co.get()).as_mut_ptr());
            std::ptr::drop_in_place(&raw mut (*place).data);
            let top = NonNull::new_unchecked(place.add(1).cast::<u8>());
            Stack::from_raw(top, class)
        }
    }

    /// Where the goroutine was suspended.
    ///
    /// # Safety
    /// The goroutine is parked and the caller has claimed it for a scan.
    pub(crate) unsafe fn suspended_at(self) -> Registers {
        // SAFETY: the caller's scan keeps the fiber bound and suspended.
        unsafe { self.0.as_ref().at.get() }
    }

    /// The address one past the stack's highest byte, and its class.
    ///
    /// # Safety
    /// The fiber must be bound.
    pub(crate) unsafe fn stack(self) -> (NonNull<u8>, SizeClass) {
        // SAFETY: the caller keeps the fiber bound; `Top` ends where the stack does.
        unsafe { (self.0.add(1).cast::<u8>(), self.0.as_ref().class) }
    }

    /// The address below which the goroutine's frames lie. The two words between it and `Top` lead corosensei's first
    /// frame on to the stack of whoever resumed it last: nowhere, for somebody who walks it from outside.
    ///
    /// # Safety
    /// The fiber must be bound.
    pub(crate) unsafe fn frames_end(self) -> usize {
        self.0.as_ptr() as usize - 2 * size_of::<usize>()
    }

    /// As a word, for the goroutine's slot.
    pub(crate) fn into_raw(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// From [`Fiber::into_raw`]; `None` for 0.
    pub(crate) fn from_raw(raw: usize) -> Option<Self> {
        NonNull::new(raw as *mut Top<X>).map(Fiber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack;

    thread_local! {
        static FIBER: Cell<usize> = const { Cell::new(0) };
        static STEPS: Cell<u32> = const { Cell::new(0) };
    }

    fn steps(n: usize) {
        for _ in 0..n {
            STEPS.set(STEPS.get() + 1);
            let fiber = Fiber::<u64>::from_raw(FIBER.get()).unwrap();
            // SAFETY: runs on this very fiber.
            unsafe { fiber.suspend(Suspend::Yield) };
        }
    }

    #[test]
    fn runs_suspends_and_gives_the_stack_back() {
        let class = SizeClass::for_size(64 * 1024).unwrap();
        let stack = stack::pool_get(class).unwrap();
        let top = stack.top();
        let fiber = Fiber::bind(stack, 42u64, steps, 3);
        FIBER.set(fiber.into_raw());
        // SAFETY: only this thread knows the fiber.
        unsafe {
            for step in 1..=3 {
                assert_eq!(fiber.resume(), Some(Suspend::Yield));
                assert_eq!(STEPS.get(), step);
                assert_eq!(*fiber.data(), 42);
                let sp = fiber.suspended_at().sp;
                assert!(sp < top.as_ptr() as usize && sp > top.as_ptr() as usize - 64 * 1024);
            }
            assert_eq!(fiber.resume(), None);
            let stack = fiber.unbind();
            assert_eq!(stack.top(), top);
            stack::pool_put(stack);
        }
    }

    /// What corosensei pushes below the saved stack pointer must stay within the margin that
    /// trimming leaves.
    #[test]
    fn a_switch_pushes_little_below_the_saved_stack_pointer() {
        let class = SizeClass::for_size(64 * 1024).unwrap();
        let stack = stack::pool_get(class).unwrap();
        let bottom = stack.bottom().as_ptr() as usize;
        let fiber = Fiber::bind(stack, 0u64, steps, 2);
        FIBER.set(fiber.into_raw());
        // SAFETY: only this thread knows the fiber; between the two resumes nothing runs on the
        // stack, so bytes below everything in use may be overwritten and read.
        unsafe {
            assert_eq!(fiber.resume(), Some(Suspend::Yield));
            let sp = fiber.suspended_at().sp;
            let low = (sp - crate::stack::TRIM_MARGIN) as *mut u8;
            assert!(low as usize > bottom);
            std::ptr::write_bytes(bottom as *mut u8, 0xA5, low as usize - bottom);
            assert_eq!(
                fiber.resume(),
                Some(Suspend::Yield),
                "the frames were intact"
            );
            assert_eq!(fiber.resume(), None);
            stack::pool_put(fiber.unbind());
        }
    }
}
