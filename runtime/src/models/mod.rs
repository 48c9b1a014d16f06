//! loom models: every interleaving of a few threads, and every stale value that the orderings allow a load
//! to return.
//!
//! They stand on three levels, each of which relies on what the one below has shown:
//!
//! | models of | run | over |
//! | --- | --- | --- |
//! | the status words (`state::models`), the spin lock ([`spin`]), a trace's rings ([`ring`]) | the words, composed as the scheduler does | loom's atomics |
//! | the wait queue ([`waitq`]) | `sync::waitq`, `sched::waiter`, the wait word | a [`sched`], [`park`] and [`timer`] of models, a lock of loom's (`prim::model`) |
//! | channels and selects (`channel::models`), mutexes ([`mutex`]), wait groups ([`wait_group`]) | all of `channel`, `sync::raw`, `group::wait_group`, and the above | the same |
//!
//! So what is compiled here differs from the runtime in what lies *below* the algorithms, and in nothing
//! else. Memory that threads hand on without its being atomic is watched by loom, too: the fields of a wait
//! queue's nodes (`prim::cell`), the contents of messages, what a mutex guards.
//!
//! The code that they run is the runtime's own, compiled over `prim::mutant`'s atomics. A model is worth
//! something only if it can fail, so next to each stand mutants, the runtime with one bit, fence, ordering
//! or claim taken away, and what the model says to them. That it isn't vacuous either is shown by the
//! outcomes it must have come across.
//!
//! Where every interleaving is too many, a model bounds the preemptions (switches away from a thread
//! that could go on) per execution, and says so; the known bugs of such protocols need two or three.
//!
//! What loom can't do: its sequentially consistent fences also synchronise data, which C++'s do not,
//! so that a pair of fences alone seems to publish what it doesn't; a weak compare-exchange never
//! fails for no reason; a compare-exchange that fails never reads a stale value.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p corio --lib models` runs them.

mod mutex;
pub(crate) mod park;
mod ring;
pub(crate) mod sched;
mod spin;
pub(crate) mod sync;
pub(crate) mod task;
pub(crate) mod timer;
mod wait_group;
mod waitq;

use crate::prim::clock;
use crate::prim::mutant::{self, Mutant, Use};
use loom::cell::UnsafeCell;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic;
use std::sync::Once;
use std::thread;

/// A program for loom.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    /// The program; asserts what must hold.
    pub(crate) run: fn(),
    /// At most this many preemptions per execution; `None`: any number.
    pub(crate) preemptions: Option<usize>,
    /// Outcomes ([`saw`]) that must occur.
    pub(crate) outcomes: &'static [&'static str],
}

thread_local! {
    static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    /// Panics of this thread are no news.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the running model came across an outcome.
pub(crate) fn saw(outcome: &'static str) {
    SEEN.with_borrow_mut(|seen| seen.insert(outcome));
}

impl Model {
    fn explore(self) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = self.preemptions;
        builder.check(move || {
            mutant::begin();
            clock::restart();
            sched::begin();
            (self.run)();
        });
    }

    /// Passes, and comes across all its outcomes.
    pub(crate) fn passes(self) {
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
    pub(crate) fn fails_for(self, mutant: Mutant, why: &str) {
        match self.verdict(mutant) {
            None => panic!("{mutant:?} passes"),
            Some(text) => assert!(text.contains(why), "{mutant:?} fails with: {text}"),
        }
    }
}

/// Each ordering above relaxed in this file is needed by one of the models.
pub(crate) fn every_ordering_is_needed(file: &str, models: &'static [Model]) {
    let uses = orderings_not_needed(file, models);
    assert!(uses.is_empty(), "no model needs {uses:#?}");
}

/// The orderings above relaxed in this file that none of the models needs.
fn orderings_not_needed(file: &str, models: &'static [Model]) -> Vec<Use> {
    // On one thread, so that the uses are those of these models alone.
    let explored = thread::spawn(move || {
        for model in models {
            model.explore();
        }
        mutant::uses()
    });
    let mut uses = explored.join().expect("the models pass");
    uses.retain(|of| of.file().ends_with(&format!("/{file}")));
    assert!(!uses.is_empty());
    uses.retain(|&of| {
        let mutant = Mutant::Relaxed(of);
        models.iter().all(|model| model.verdict(mutant).is_none())
    });
    uses
}

/// What the protocol under test gives to one thread at a time, or to several that only read it. loom
/// checks that it does, and that each sees what those before did.
#[derive(Debug)]
pub(crate) struct Owned<T>(UnsafeCell<T>);

// SAFETY: loom ends the model at an access that races with another.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Owned(UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: as above.
        self.0.with_mut(|value| with(unsafe { &mut *value }))
    }

    pub(crate) fn read<R>(&self, with: impl FnOnce(&T) -> R) -> R {
        // SAFETY: as above.
        self.0.with(|value| with(unsafe { &*value }))
    }
}
