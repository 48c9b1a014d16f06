//! [`Cell`] for models: loom sees every access, and ends the model at one that races with another.

use std::fmt;
use std::thread;

/// `std::cell::Cell`, as far as it is used. Dropping it counts as an access, so that loom also sees who
/// comes too late for it.
pub(crate) struct Cell<T: Copy>(loom::cell::Cell<T>);

impl<T: Copy> Cell<T> {
    #[track_caller]
    pub(crate) fn new(value: T) -> Self {
        Cell(loom::cell::Cell::new(value))
    }

    #[track_caller]
    pub(crate) fn get(&self) -> T {
        self.0.get()
    }

    #[track_caller]
    pub(crate) fn set(&self, value: T) {
        self.0.set(value);
    }
}

impl<T: Copy> Drop for Cell<T> {
    fn drop(&mut self) {
        // A model that failed is over.
        if !thread::panicking() {
            self.0.set(self.0.get());
        }
    }
}

impl<T: Copy> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell")
    }
}
