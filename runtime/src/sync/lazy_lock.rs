//! `LazyLock`: a value that is made when it is first used.
//!
//! A [`Once`] and a place that first holds the function and then what it made. The place is an `enum`,
//! where std's is a union: a word more for some types, and reading it needs no argument about which of
//! the two is there.

use super::once::Once;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A value that is made when it is first used; whoever comes while that happens waits.
///
/// Mirrors [`std::sync::LazyLock`]. A goroutine that waits parks instead of blocking its thread.
///
/// # Panics
///
/// If the function panics, its caller gets that panic, and every use from then on panics too: the value
/// is poisoned.
///
/// # Blocking
///
/// A use is a switch point while somebody else makes the value. A function that uses its own value waits
/// for itself for ever.
///
/// ```
/// use corio::sync::LazyLock;
///
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| "to be or not".split(' ').collect());
///
/// assert_eq!(WORDS.len(), 4);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    /// Done once the value is there.
    once: Once,
    /// Changed by the closure that the `Once` runs, and read when it is done.
    place: UnsafeCell<Place<T, F>>,
}

enum Place<T, F> {
    Function(F),
    /// The function runs or has panicked.
    Gone,
    Value(T),
}

// SAFETY: the place is changed by one at a time and only before the `Once` is done (`once`), and from then
// on only shared. `Send`, because one goroutine may make the value with another's function, and a third
// drop it.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

// As std's: a panic in the function poisons.
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    #[inline]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            once: Once::new(),
            place: UnsafeCell::new(Place::Function(f)),
        }
    }

    /// Makes the value if it isn't there, and returns it; the same as dereferencing.
    ///
    /// # Panics
    ///
    /// If the function panics, or has.
    ///
    /// ```
    /// use corio::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 92);
    /// assert_eq!(LazyLock::force(&lazy), &92);
    /// ```
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        if !this.once.is_completed() {
            this.make();
        }
        LazyLock::get(this).expect("done means made")
    }

    /// As [`force`](LazyLock::force), for changing it.
    ///
    /// # Panics
    ///
    /// If the function panics, or has.
    #[inline]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        LazyLock::force(this);
        LazyLock::get_mut(this).expect("done means made")
    }

    #[cold]
    fn make(&self) {
        self.once.call_once_force(|state| {
            if state.is_poisoned() {
                panic!("LazyLock instance has previously been poisoned");
            }
            // SAFETY: the `Once` runs one closure at a time, and nobody reads before it is done.
            let function = mem::replace(unsafe { &mut *self.place.get() }, Place::Gone);
            let Place::Function(function) = function else {
                unreachable!("it is taken out once");
            };
            let value = function();
            // SAFETY: as above.
            unsafe { *self.place.get() = Place::Value(value) };
        });
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made.
    #[inline]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        if !this.once.is_completed() {
            return None;
        }
        // SAFETY: nobody changes it any more.
        match unsafe { &*this.place.get() } {
            Place::Value(value) => Some(value),
            Place::Function(_) | Place::Gone => None,
        }
    }

    /// The value, if it has been made, for changing it.
    #[inline]
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        match this.place.get_mut() {
            Place::Value(value) => Some(value),
            Place::Function(_) | Place::Gone => None,
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<uninit>")),
        };
        tuple.finish()
    }
}
