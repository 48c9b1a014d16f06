//! loom models of the status words. See `crate::models` for what such a model is worth.
//!
//! A model composes the words as the scheduler does; each of its threads says which functions it
//! stands for. For each word one test takes away the orderings one by one and demands that some model of
//! the word notices.

mod goroutine;
mod gstatus;
mod idle;
mod join;
mod poll;
mod pstatus;
mod wait;
mod wait_group;

use crate::models::{Model, Owned, every_ordering_is_needed, saw};
use loom::sync::{Condvar, Mutex};

/// A thread's parker: `prim::Parker`. Not loom's own parking, where an `unpark` synchronises at once
/// with a thread that doesn't even park.
#[derive(Debug)]
struct Parker {
    permit: Mutex<bool>,
    unparked: Condvar,
}

impl Parker {
    fn new() -> Self {
        Parker {
            permit: Mutex::new(false),
            unparked: Condvar::new(),
        }
    }

    fn park(&self) {
        let mut permit = self.permit.lock().unwrap();
        while !*permit {
            permit = self.unparked.wait(permit).unwrap();
        }
        *permit = false;
    }

    fn unpark(&self) {
        *self.permit.lock().unwrap() = true;
        self.unparked.notify_one();
    }
}
