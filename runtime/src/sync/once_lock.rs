//! `OnceLock`: a cell that is written once.
//!
//! A [`Once`] and a place. The place is an `Option` rather than a `MaybeUninit`: a word more for some types,
//! and no `Drop` and no reading of what may not be there to argue about.

use super::once::Once;
use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A cell that is written once; whoever comes while that happens waits.
///
/// Mirrors [`std::sync::OnceLock`], with the fallible initialisation that std hasn't stabilised. A goroutine
/// that waits parks instead of blocking its thread.
///
/// # Blocking
///
/// `wait`, and `set`, `get_or_init` and `get_or_try_init` while somebody else initialises, are switch
/// points. An initialiser that asks for its own cell's value waits for itself for ever.
///
/// ```
/// use corio::{go, sync::OnceLock};
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
///
/// let reader = go!(|| CONFIG.wait().len());
/// assert_eq!(CONFIG.get_or_init(|| "verbose".to_owned()), "verbose");
/// assert_eq!(reader.join().unwrap(), 7);
/// ```
pub struct OnceLock<T> {
    /// Done once the value is there.
    once: Once,
    /// Written by the closure that the `Once` runs, and read when it is done.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written by one at a time and only before the `Once` is done (`once`), and from then
// on only shared. `Send`, because one goroutine may write it and another take it out or drop it.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

// As std's: a panic in the initialiser leaves the cell empty.
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    #[inline]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// The value, if it is there.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.once.is_completed() {
            // SAFETY: nobody writes any more.
            unsafe { &*self.value.get() }.as_ref()
        } else {
            None
        }
    }

    /// The value, if it is there, for changing it.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until the value is there. It does not initialise it.
    ///
    /// ```
    /// use corio::{go, sync::OnceLock};
    /// use std::sync::Arc;
    ///
    /// let cell = Arc::new(OnceLock::new());
    /// let theirs = Arc::clone(&cell);
    /// go!(move || theirs.set(5));
    /// assert_eq!(*cell.wait(), 5);
    /// ```
    #[inline]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("done means written")
    }

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// The value comes back if another one is there, or is there after waiting for its initialiser.
    ///
    /// ```
    /// use corio::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// ```
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; `f` makes it if it isn't there.
    ///
    /// # Panics
    ///
    /// If `f` panics; then the cell stays empty, and the next caller tries its own closure.
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(f())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](OnceLock::get_or_init), with an `f` that may fail. It has std's unstable name
    /// and `once_cell`'s semantics.
    ///
    /// # Errors
    ///
    /// What `f` returns; then the cell stays empty, and the next caller tries its own closure.
    ///
    /// ```
    /// use corio::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert!(cell.get_or_try_init(|| "x".parse::<i32>()).is_err());
    /// assert_eq!(cell.get_or_try_init(|| "1".parse::<i32>()), Ok(&1));
    /// ```
    #[inline]
    pub fn get_or_try_init<F, E>(&self, f: F) -> Result<&T, E>
    where
        F: FnOnce() -> Result<T, E>,
    {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        self.init(f)?;
        Ok(self.get().expect("done means written"))
    }

    #[cold]
    fn init<F, E>(&self, f: F) -> Result<(), E>
    where
        F: FnOnce() -> Result<T, E>,
    {
        let mut result = Ok(());
        self.once.try_call(|| match f() {
            Ok(value) => {
                // SAFETY: the `Once` runs one closure at a time, and nobody reads before it is done.
                unsafe { *self.value.get() = Some(value) };
                true
            }
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result
    }

    /// The value, out of the cell.
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The value, if it is there; the cell is empty then and may be written again.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<uninit>")),
        };
        tuple.finish()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock {
            once: Once::new_completed(),
            value: UnsafeCell::new(Some(value)),
        }
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get()
            .map_or_else(OnceLock::new, |value| OnceLock::from(value.clone()))
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
