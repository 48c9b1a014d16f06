//! Where goroutine-local values lie, and how they end.
//!
//! A key is a static with a number that it takes when first used. A goroutine's values lie in boxes; a
//! table (`Locals::slots`) leads from a key's number to its box, and a list through the boxes gives the
//! order in which to drop them. The one word to find the table by lies in the goroutine's `Run`, a plain
//! thread's in a thread-local:
//!
//! | word | meaning | changes to |
//! | --- | --- | --- |
//! | null | no value yet | a table, with the first value; `ENDED` |
//! | a table | there are, or were, values | `ENDED`, when all have been dropped |
//! | `ENDED` | it is over | null, in the stack's next goroutine |
//!
//! | slot | meaning | changes to |
//! | --- | --- | --- |
//! | null, or beyond the table | the key's value has not been made | a box |
//! | a box | the value is there | `GONE`, before it is dropped |
//! | `GONE` | it was dropped, or is being dropped | never: so dropping comes to an end, as there are only so many keys |
//!
//! Why a reference may be held across a switch, unlike one to a thread-local: it points into a box that
//! stays where it is, that nobody but this goroutine can find, and that is dropped by this goroutine, at
//! its end, when no closure of `with` is active any more. And what the compiler may have remembered from
//! before a switch is still true after it: the goroutine is the same, hence its `Run` and its table. (It
//! is looked up by way of the thread's M, which `sched::current` reads in a way that can't be merged
//! across a switch.) The plain threads' thread-local is only looked at on plain threads, which are never
//! switched.
//!
//! Rejected: values inline in `Run`, which would make every goroutine's stack pay; a hash map by the
//! key's address, which costs more than an index; numbers given by the linker, which Rust can't do.

use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::prim::config::PanicPolicy;
use crate::prim::warn;
use crate::sched::{current, started};
use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

/// A key's number: which slot is its in every table. It has none before it is first used.
pub(super) struct Number(AtomicUsize);

/// Numbers given out.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

impl Number {
    pub(super) const fn new() -> Number {
        Number(AtomicUsize::new(0))
    }

    /// The number; 0, whose slot is always empty, if there is none yet.
    #[inline]
    pub(super) fn get(&self) -> usize {
        // Relaxed, here and below: the number is all there is.
        self.0.load(Ordering::Relaxed)
    }

    /// The number, given out now if there is none.
    pub(super) fn take(&self) -> usize {
        let number = self.get();
        if number != 0 {
            return number;
        }
        let mine = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        // A number lost to a race is a slot that stays empty.
        self.0
            .compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed)
            .map_or_else(|theirs| theirs, |_| mine)
    }
}

/// The value has been dropped, or is being dropped.
pub(super) struct Gone;

/// The caller's value with this number, if it has been made. It stays until the goroutine, or plain
/// thread, ends.
///
/// # Safety
/// Values with this number are of type `T`.
#[inline]
pub(super) unsafe fn find<T>(number: usize) -> Result<Option<NonNull<T>>, Gone> {
    let locals = locals();
    if locals.addr() <= ENDED {
        return if locals.is_null() {
            Ok(None)
        } else {
            Err(Gone)
        };
    }
    // SAFETY: the table is freed after its word has become `ENDED`, and only this goroutine, or plain
    // thread, changes it, in `insert` and `drop_all`, which don't come in between.
    let slots = unsafe { &(*locals).slots };
    let slot = slots.get(number).copied().unwrap_or(ptr::null_mut());
    if slot.addr() <= GONE {
        return if slot.is_null() { Ok(None) } else { Err(Gone) };
    }
    // SAFETY: the slot holds what `insert` put there: by the caller's contract a `Boxed<T>`.
    Ok(Some(unsafe { Boxed::value(slot) }))
}

/// Makes the caller's value with this number.
///
/// # Safety
/// As [`find`], which has just said that there is none.
#[cold]
pub(super) unsafe fn insert<T>(number: usize, value: T) -> NonNull<T> {
    let mut locals = locals();
    debug_assert!(locals.addr() != ENDED);
    if locals.is_null() {
        locals = Box::into_raw(Box::new(Locals {
            slots: Vec::new(),
            newest: ptr::null_mut(),
        }));
        set_locals(locals);
    }
    // SAFETY: by contract the word is not `ENDED`, so it is a table, which only this goroutine uses;
    // nothing of the user's runs as long as it is borrowed here.
    let Locals { slots, newest } = unsafe { &mut *locals };
    if slots.len() <= number {
        slots.resize(number + 1, ptr::null_mut());
    }
    debug_assert!(slots[number].is_null());
    let head = Box::into_raw(Box::new(Boxed {
        head: Head {
            drop: Boxed::<T>::drop_box,
            number,
            older: *newest,
        },
        value,
    }))
    .cast::<Head>();
    slots[number] = head;
    *newest = head;
    // SAFETY: it is the box just made.
    unsafe { Boxed::value(head) }
}

/// The values of one goroutine or plain thread; see the tables above.
struct Locals {
    /// By number of the key.
    slots: Vec<*mut Head>,
    /// The value made last, or null.
    newest: *mut Head,
}

/// In the word: all values have been dropped, and there will be no more.
const ENDED: usize = 1;
/// In a slot: the value has been dropped.
const GONE: usize = 1;

/// What is known of a value whatever its type; it comes first in its [`Boxed`].
struct Head {
    /// Drops the box.
    drop: unsafe fn(*mut Head),
    number: usize,
    /// The value made before this one, or null.
    older: *mut Head,
}

#[repr(C)]
struct Boxed<T> {
    head: Head,
    value: T,
}

impl<T> Boxed<T> {
    /// # Safety
    /// `head` is a `Boxed<T>`'s.
    #[inline]
    unsafe fn value(head: *mut Head) -> NonNull<T> {
        // SAFETY: `head` came out of a box of this type, whose first field it is.
        unsafe { NonNull::new_unchecked(&raw mut (*head.cast::<Self>()).value) }
    }

    /// # Safety
    /// `head` is a `Boxed<T>`'s, which nobody uses any more.
    unsafe fn drop_box(head: *mut Head) {
        // SAFETY: `insert` made it from a box of this type.
        drop(unsafe { Box::from_raw(head.cast::<Self>()) });
    }
}

/// The word of the goroutine or plain thread that calls.
#[inline]
fn locals() -> *mut Locals {
    match current::goroutine() {
        // SAFETY: the caller is this goroutine.
        Some(g) => unsafe { g.run() }.locals.get().cast(),
        None => plain_locals(),
    }
}

fn set_locals(locals: *mut Locals) {
    match current::goroutine() {
        Some(g) => {
            // SAFETY: the caller is this goroutine.
            let run = unsafe { g.run() };
            run.locals.set(locals.cast());
            run.end_locals.set(Some(drop_all));
        }
        None => set_plain_locals(locals),
    }
}

/// Drops the values of the goroutine that calls, which is at its end, and makes sure that what it does
/// from here on, such as dropping its result, makes no new ones. On a plain thread it does nothing.
///
/// Without this call they are dropped when the goroutine's entry has returned.
pub(crate) fn close() {
    if current::goroutine().is_some() {
        drop_all();
        set_locals(ptr::without_provenance_mut(ENDED));
    }
}

/// Drops all values of the goroutine or plain thread that calls, the newest first, and those made
/// meanwhile.
#[cold]
#[inline(never)]
fn drop_all() {
    let locals = locals();
    if locals.addr() <= ENDED {
        return;
    }
    // SAFETY: only this goroutine uses the table, and nothing of the user's runs as long as it is
    // borrowed: `take_newest` has returned before the value is dropped.
    while let Some(head) = unsafe { &mut *locals }.take_newest() {
        // SAFETY: it was taken out of slot and list, so nobody can find it; whoever held a reference is
        // through, as this is the goroutine's end.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ((*head).drop)(head) }));
        if let Err(payload) = dropped {
            // Its destructor might panic again, and so on.
            mem::forget(payload);
            panicked();
        }
    }
    set_locals(ptr::without_provenance_mut(ENDED));
    // SAFETY: `insert` made it from a box, and the word has just forgotten it.
    drop(unsafe { Box::from_raw(locals) });
}

impl Locals {
    fn take_newest(&mut self) -> Option<*mut Head> {
        let head = self.newest;
        if head.is_null() {
            return None;
        }
        // SAFETY: what is listed is a box that has not been dropped.
        let Head { number, older, .. } = unsafe { &*head };
        self.newest = *older;
        self.slots[*number] = ptr::without_provenance_mut(GONE);
        Some(head)
    }
}

/// A value's destructor has panicked; the hook has reported that.
#[cold]
fn panicked() {
    match current::goroutine() {
        Some(g) => warn(format_args!(
            "corio: a goroutine-local's destructor panicked at the end of goroutine {}",
            g.id()
        )),
        None => warn(format_args!(
            "corio: a goroutine-local's destructor panicked at the end of a thread"
        )),
    }
    if started().is_some_and(|sched| sched.settings.panic == PanicPolicy::Abort) {
        std::process::abort();
    }
}

thread_local! {
    /// A plain thread's word. Without a destructor, so that it can be used in those of others.
    static PLAIN: Cell<*mut Locals> = const { Cell::new(ptr::null_mut()) };
    static PLAIN_END: PlainEnd = const { PlainEnd };
}

/// Drops a plain thread's values when the thread ends.
struct PlainEnd;

impl Drop for PlainEnd {
    fn drop(&mut self) {
        drop_all();
    }
}

#[inline(never)]
fn plain_locals() -> *mut Locals {
    PLAIN.get()
}

#[inline(never)]
fn set_plain_locals(locals: *mut Locals) {
    PLAIN.set(locals);
    // Refused if it is running already: `drop_all` calls this, too.
    let _ = PLAIN_END.try_with(|_| ());
}
