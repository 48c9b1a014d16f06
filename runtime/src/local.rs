//! Goroutine-local values: `thread_local!` for goroutines.
//!
//! A thread-local belongs to whatever thread a goroutine happens to run on, so a goroutine that uses one
//! before and after a blocking call may meet two different values ([the one rule](crate#the-one-rule)).
//! A [goroutine-local](crate::goroutine_local!) belongs to the goroutine and moves with it.
//!
//! | | |
//! | --- | --- |
//! | who has one | each goroutine its own; each plain thread its own. Nothing is inherited by `spawn` |
//! | when it is made | with the first use in that goroutine or thread |
//! | when it is dropped | when the goroutine ends: after its closure with all it captured, before [`join`](crate::JoinHandle::join) returns. A plain thread's, when the thread ends |
//! | in which order | the one made last first. A destructor may use the others that are left, and even make new ones; these are dropped next |
//! | how long a reference is good | as long as the closure given to [`LocalKey::with`] runs, also across blocking calls |
//!
//! A goroutine's result, and the payload of its panic, never find its locals in their destructors:
//! neither at the joiner's, who has locals of its own, nor in the goroutine, which drops a result that
//! nobody wants at last. [`run`](crate::run) and
//! [`scope`](crate::scope()) return only after their goroutines' locals are gone. A goroutine that is
//! still there when the process exits is never dropped, and neither are its locals; the same goes for
//! the main thread's, as in std. A destructor that panics is reported and ends nothing else, except if
//! [`Config::panic`](crate::Config::panic) says that panics abort.
//!
//! ```
//! use corio::goroutine_local;
//! use std::cell::Cell;
//!
//! goroutine_local! {
//!     static REQUEST: Cell<u64> = const { Cell::new(0) };
//! }
//!
//! fn log(what: &str) -> String {
//!     format!("request {}: {what}", REQUEST.get())
//! }
//!
//! let handles: Vec<_> = (1..=3)
//!     .map(|n| {
//!         corio::go!(move || {
//!             REQUEST.set(n);
//!             corio::yield_now(); // the others run; maybe it goes on on another thread
//!             log("done")
//!         })
//!     })
//!     .collect();
//! let lines: Vec<String> = handles.into_iter().map(|h| h.join().unwrap()).collect();
//! assert_eq!(lines, ["request 1: done", "request 2: done", "request 3: done"]);
//! ```

// Next in the reading order: `task`: `go!` and what comes of it.

mod storage;

pub(crate) use storage::close;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::ptr::NonNull;
use storage::{Gone, Number};

/// Declares goroutine-local values: [`std::thread_local!`] for goroutines.
///
/// Each `static` becomes a [`LocalKey`] of the given type. Its initial value, an expression or a
/// `const` block, is computed by each goroutine (or plain thread) that uses it, with the first use. See
/// [the module](crate::local) for who owns the values and when they are dropped.
///
/// ```
/// use corio::goroutine_local;
/// use std::cell::RefCell;
///
/// goroutine_local! {
///     /// What the goroutine has seen so far.
///     pub static TRACE: RefCell<Vec<String>> = RefCell::new(Vec::new());
///     static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
/// }
///
/// TRACE.with_borrow_mut(|trace| trace.push("start".into()));
/// corio::go!(|| assert!(TRACE.with_borrow(Vec::is_empty))).join().unwrap();
/// assert_eq!(TRACE.take(), ["start"]);
/// assert_eq!(DEPTH.get(), 0);
/// ```
///
/// Different from std: the type must be `Send`, since a goroutine moves between threads with its
/// values.
///
/// ```compile_fail,E0277
/// corio::goroutine_local!(static SHARED: std::rc::Rc<u32> = std::rc::Rc::new(1));
/// ```
///
/// It need not be `Sync`: no other goroutine can get at it.
#[macro_export]
macro_rules! goroutine_local {
    () => {};
    (
        $(#[$attribute:meta])* $vis:vis static $name:ident : $type:ty = const $init:block
        $(; $($rest:tt)*)?
    ) => {
        $(#[$attribute])*
        $vis static $name: $crate::local::LocalKey<$type> = {
            fn init() -> $type {
                const $init
            }
            $crate::local::LocalKey::__new(init)
        };
        $($crate::goroutine_local!($($rest)*);)?
    };
    (
        $(#[$attribute:meta])* $vis:vis static $name:ident : $type:ty = $init:expr
        $(; $($rest:tt)*)?
    ) => {
        $(#[$attribute])*
        $vis static $name: $crate::local::LocalKey<$type> = {
            fn init() -> $type {
                $init
            }
            $crate::local::LocalKey::__new(init)
        };
        $($crate::goroutine_local!($($rest)*);)?
    };
}

pub use goroutine_local;

/// A goroutine-local value's key, made by [`goroutine_local!`](crate::goroutine_local!).
///
/// Mirrors [`std::thread::LocalKey`], with all its methods. Different from it: what
/// [`with`](LocalKey::with) lends may be held across blocking calls.
pub struct LocalKey<T: 'static> {
    number: Number,
    init: fn() -> T,
}

/// The error of [`LocalKey::try_with`]: the value has been dropped already, or is being dropped.
///
/// Mirrors [`std::thread::AccessError`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already destroyed")
    }
}

impl Error for AccessError {}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> LocalKey<T> {
    /// For the macro.
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> LocalKey<T> {
        LocalKey {
            number: Number::new(),
            init,
        }
    }
}

impl<T: 'static> LocalKey<T> {
    /// Lends the goroutine's value to `f`, after making it if this is its first use.
    ///
    /// `f` may block: the reference stays good, since the value moves between threads with its goroutine.
    /// Should the initial value's expression itself use the key, the value made by that inner use stays.
    ///
    /// # Panics
    ///
    /// If the value has been dropped already, or is being dropped: in the destructor of another one, or
    /// of the goroutine's result.
    ///
    /// # Blocking
    ///
    /// Only if `f` or the initial value's expression does.
    ///
    /// ```
    /// corio::goroutine_local!(static NAME: String = String::from("nobody"));
    /// assert_eq!(NAME.with(|name| name.len()), 6);
    /// ```
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => refused(error),
        }
    }

    /// As [`with`](LocalKey::with), but returns an error where `with` panics.
    ///
    /// # Errors
    ///
    /// [`AccessError`] if the value has been dropped already, or is being dropped.
    ///
    /// # Panics
    ///
    /// With whatever `f` or the initial value's expression panics with. In the latter case the value is
    /// not made, and the next use tries again.
    #[inline]
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let value = match self.find()? {
            Some(value) => value,
            None => self.make()?,
        };
        // SAFETY: the value is this goroutine's and is dropped at its end, when `f` is through.
        Ok(f(unsafe { value.as_ref() }))
    }

    /// The value, if it has been made.
    #[inline]
    fn find(&'static self) -> Result<Option<NonNull<T>>, AccessError> {
        // SAFETY: no other key has the number.
        unsafe { storage::find(self.number.get()) }.map_err(|Gone| AccessError)
    }

    #[cold]
    #[inline(never)]
    fn make(&'static self) -> Result<NonNull<T>, AccessError> {
        self.find_or((self.init)()).map(|(made, _)| made)
    }

    /// The value; if it has not been made it becomes `first`, which is returned otherwise.
    fn find_or(&'static self, first: T) -> Result<(NonNull<T>, Option<T>), AccessError> {
        if let Some(value) = self.find()? {
            return Ok((value, Some(first)));
        }
        // SAFETY: no other key has the number, and there is no value.
        let value = unsafe { storage::insert(self.number.take(), first) };
        Ok((value, None))
    }

    /// Calls `f` with the value, and with `first` if it was made before; else `first` becomes the value.
    #[track_caller]
    fn with_first<R>(&'static self, first: T, f: impl FnOnce(Option<T>, &T) -> R) -> R {
        match self.find_or(first) {
            // SAFETY: as in `try_with`.
            Ok((value, left)) => f(left, unsafe { value.as_ref() }),
            Err(error) => refused(error),
        }
    }
}

#[cold]
#[track_caller]
fn refused(error: AccessError) -> ! {
    panic!("can't use a goroutine-local value during or after its destruction: {error:?}")
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value; the initial one is not even computed if this is the first use.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    ///
    /// ```
    /// use std::cell::Cell;
    /// corio::goroutine_local!(static USER: Cell<u32> = panic!("nobody is logged in"));
    /// USER.set(7);
    /// assert_eq!(USER.get(), 7);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with_first(Cell::new(value), |left, cell| {
            if let Some(value) = left {
                cell.set(value.into_inner());
            }
        });
    }

    /// A copy of the value.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving the type's default.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value and returns the one before.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }

    /// Sets the value to what `f` makes of it.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    ///
    /// ```
    /// use std::cell::Cell;
    /// corio::goroutine_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    /// CALLS.update(|calls| calls + 1);
    /// assert_eq!(CALLS.get(), 1);
    /// ```
    #[track_caller]
    pub fn update(&'static self, f: impl FnOnce(T) -> T)
    where
        T: Copy,
    {
        self.with(|cell| cell.set(f(cell.get())));
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Borrows the value. The borrow, too, may be held across blocking calls.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if it is mutably borrowed.
    #[track_caller]
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Borrows the value mutably.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if it is borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// corio::goroutine_local!(static SEEN: RefCell<Vec<u32>> = RefCell::default());
    /// SEEN.with_borrow_mut(|seen| seen.push(1));
    /// assert_eq!(SEEN.with_borrow(Vec::len), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value; the initial one is not even computed if this is the first use.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if it is borrowed.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with_first(RefCell::new(value), |left, cell| {
            if let Some(value) = left {
                *cell.borrow_mut() = value.into_inner();
            }
        });
    }

    /// Takes the value, leaving the type's default.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if it is borrowed.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value and returns the one before.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if it is borrowed.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}
