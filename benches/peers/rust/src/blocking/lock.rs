//! Locks: the figure is per turn, that is, taken once and released.
//!
//! One task alone shows the lock itself; several do nothing but compute under the lock.

use std::hint::black_box;
use std::sync::Arc;

use super::{Runtime, crew, fit, in_task};
use crate::args::Args;
use crate::measure::{per_operation, rounds};
use crate::report::Outcome;
use crate::work::{Shared, Turns, Writes, check, shares};

/// A lock of the runtime `R`. A mutex lets readers in one by one.
pub trait Lock<R>: Default + Send + Sync + 'static {
    /// Takes it to look at what is locked.
    fn read(&self, act: impl FnOnce(&Shared));
    /// Takes it to change what is locked.
    fn write(&self, act: impl FnOnce(&mut Shared));
}

/// Implements [`Lock`] for locks by their methods, and what makes a guard of what these return.
#[macro_export]
macro_rules! locks {
    ($runtime:ty; $($lock:ty: $read:ident $write:ident $guard:expr;)+) => {$(
        impl $crate::blocking::lock::Lock<$runtime> for $lock {
            fn read(&self, act: impl FnOnce(&$crate::work::Shared)) {
                let shared = $guard(self.$read());
                act(&shared);
            }

            fn write(&self, act: impl FnOnce(&mut $crate::work::Shared)) {
                let mut shared = $guard(self.$write());
                act(&mut shared);
            }
        }
    )+};
}

/// The workload on one kind of lock.
///
/// # Errors
///
/// [`Failure::Wrong`](crate::Failure::Wrong) if changes were lost.
pub fn turns<R: Runtime, L: Lock<R>>(args: &Args, reads: u64) -> Outcome {
    let n = args.n(4_000_000);
    let setting = Turns {
        tasks: args.tasks(8),
        reads,
    };
    fit::<R>(setting.tasks)?;
    let spans = rounds(args, || {
        let (span, taken, changes) = in_task::<R, _>(move || {
            let lock = Arc::new(L::default());
            let members = shares(n, setting.tasks)
                .map(|share| (Arc::clone(&lock), share))
                .collect();
            let (span, taken) = crew::<R, _, u64, _>(members, move |(lock, share)| {
                take_turns::<R, L>(&lock, share, setting)
            });
            let mut changes = 0;
            lock.read(|shared| changes = shared.changes);
            (span, taken, changes)
        });
        check("turns", taken, n)?;
        check("changes", changes, setting.changes(n))?;
        Ok(span)
    })?;
    Ok(per_operation(&setting.name(), n, &spans))
}

/// One task's turns.
fn take_turns<R, L: Lock<R>>(lock: &L, turns: u64, setting: Turns) -> u64 {
    let (lock, steps) = (black_box(lock), setting.steps());
    let mut writes = Writes::new(setting.reads);
    for _ in 0..turns {
        if writes.next_turn() {
            lock.write(|shared| shared.change(steps));
        } else {
            lock.read(|shared| shared.look(steps));
        }
    }
    turns
}
