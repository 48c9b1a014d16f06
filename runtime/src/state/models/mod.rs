//! loom models of the status words: every interleaving of a few threads, and every stale value that
//! the orderings allow a load to return.
//!
//! A model composes the words as the scheduler does; each of its threads says which functions it
//! stands for. It runs the runtime's own types, compiled over `prim::mutant`'s atomics. A model is
//! worth something only if it can fail, so next to each stand mutants, the runtime with one bit or
//! fence taken away, and what the model says to them; and for each word one test takes away the
//! orderings one by one and demands that some model of the word notices. That it isn't vacuous
//! either is shown by the outcomes it must have come across.
//!
//! Where every interleaving is too many, a model bounds the preemptions (switches away from a thread
//! that could go on) per execution, and says so; the known bugs of such protocols need two or three.
//!
//! What loom can't do: its sequentially consistent fences also synchronise data, which C++'s do not,
//! so that a pair of fences alone seems to publish what it doesn't; a weak compare-exchange never
//! fails for no reason; a compare-exchange that fails never reads a stale value.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p corio --lib models` runs them.

mod goroutine;
mod gstatus;
mod idle;
mod join;
mod poll;
mod pstatus;
mod wait;
mod wait_group;

use crate::prim::mutant::{self, Mutant};
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic;
use std::sync::Once;
use std::thread;

/// A program for loom.
#[derive(Clone, Copy)]
struct Model {
    /// The program; asserts what must hold.
    run: fn(),
    /// At most this many preemptions per execution; `None`: any number.
    preemptions: Option<usize>,
    /// Outcomes ([`saw`]) that must occur.
    outcomes: &'static [&'static str],
}

thread_local! {
    static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    /// Panics of this thread are no news.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the running model came across an outcome.
fn saw(outcome: &'static str) {
    SEEN.with_borrow_mut(|seen| seen.insert(outcome));
}

impl Model {
    fn explore(self) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = self.preemptions;
        builder.check(self.run);
    }

    /// Passes, and comes across all its outcomes.
    fn passes(self) {
        SEEN.take();
        self.explore();
        let seen = SEEN.take();
        for outcome in self.outcomes {
            assert!(
                seen.contains(outcome),
                "never came across: {outcome}; only {seen:?}"
            );
        }
    }

    /// What it says to `mutant`; `None` if it doesn't notice. On a thread of its own, because loom
    /// leaves threads behind when a model fails.
    fn verdict(self, mutant: Mutant) -> Option<String> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let loud = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !QUIET.get() {
                    loud(info);
                }
            }));
        });
        let explored = thread::spawn(move || {
            QUIET.set(true);
            mutant::set(mutant);
            self.explore();
        });
        let payload = explored.join().err()?;
        Some(match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload
                .downcast::<&str>()
                .map_or_else(|_| "?".into(), |text| text.to_string()),
        })
    }

    /// Fails for `mutant`, saying something that contains `why`.
    #[track_caller]
    fn fails_for(self, mutant: Mutant, why: &str) {
        match self.verdict(mutant) {
            None => panic!("{mutant:?} passes"),
            Some(text) => assert!(text.contains(why), "{mutant:?} fails with: {text}"),
        }
    }
}

/// Each ordering above relaxed in this file of the parent module is needed by one of the models.
fn every_ordering_is_needed(file: &str, models: &'static [Model]) {
    // On one thread, so that the uses are those of these models alone.
    let explored = thread::spawn(move || {
        for model in models {
            model.explore();
        }
        mutant::uses()
    });
    let mut uses = explored.join().expect("the models pass");
    uses.retain(|of| of.file().ends_with(&format!("/state/{file}")));
    assert!(!uses.is_empty());
    uses.retain(|&of| {
        let mutant = Mutant::Relaxed(of);
        models.iter().all(|model| model.verdict(mutant).is_none())
    });
    assert!(uses.is_empty(), "no model needs {uses:#?}");
}

/// What the protocol under test gives to one thread at a time, or to several that only read it. loom
/// checks that it does, and that each sees what those before did.
#[derive(Debug)]
struct Owned<T>(UnsafeCell<T>);

// SAFETY: loom ends the model at an access that races with another.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    fn new(value: T) -> Self {
        Owned(UnsafeCell::new(value))
    }

    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: as above.
        self.0.with_mut(|value| with(unsafe { &mut *value }))
    }

    fn read<R>(&self, with: impl FnOnce(&T) -> R) -> R {
        // SAFETY: as above.
        self.0.with(|value| with(unsafe { &*value }))
    }
}

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
