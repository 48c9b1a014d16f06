//! The deadlock report: are all goroutines asleep for ever, and what does each wait for?
//!
//! Asked by sysmon when everything has come to rest, if somebody is in `run`. The answer is "no" as
//! soon as anything could still wake a goroutine:
//! * a goroutine is running or runnable (also one that blocks its thread in foreign code);
//! * one waits for the network, a descriptor or a signal, or a timer is pending;
//! * a waker of a future lives somewhere;
//! * somebody has subscribed to signals (`signal`, which lies above and says so through [`Outside`]);
//! * the process has a thread that is neither ours nor inside `run`.
//!
//! Threads and goroutines are looked at twice with nothing happening in between, since neither can
//! be stopped to be counted.

use crate::dump::{self, sigquit};
use crate::prim::atomic::Ordering;
use crate::prim::counters::Counts;
use crate::sched::sysmon::sys;
use crate::sched::tags::Tag;
use crate::sched::{Sched, sched, trace};
use crate::state::gstatus::WAITING;
use crate::task::block_on;
use once_cell::sync::OnceCell;

/// What the layers above know of: a system thread, and whether it may still wake a goroutine.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The thread's id. It does not count as one of the program's.
    pub(crate) tid: u32,
    /// May it wake a goroutine? Must not wait for anything.
    pub(crate) is_live: fn() -> bool,
}

/// The thread that delivers signals.
pub(crate) static SIGNALS: OnceCell<Outside> = OnceCell::new();

/// The report if all goroutines are asleep for ever. `in_run` are the threads inside `run`.
#[doc(alias = "checkdead")]
pub(crate) fn deadlock(in_run: &[u32]) -> Option<String> {
    let sched = sched();
    let before = activity(sched);
    if !all_asleep(sched, in_run) {
        return None;
    }
    std::thread::yield_now();
    (all_asleep(sched, in_run) && activity(sched) == before).then(report)
}

fn activity(sched: &Sched) -> Counts {
    let per_p: Counts = sched.all_ps().map(|p| p.counters.get()).sum();
    per_p + sched.shared.get()
}

/// Are there goroutines, and can nothing wake any of them?
fn all_asleep(sched: &Sched, in_run: &[u32]) -> bool {
    if block_on::live_wakers() > 0 {
        return false;
    }
    // A wait with a timeout doesn't show that it has one; its timer does. Timers that were cancelled don't
    // count, though they stay in their heap, and in `next_timer`, until their time comes.
    if sched.all_ps().any(|p| p.timers.len() > 0) {
        return false;
    }
    let signals = SIGNALS.get();
    if signals.is_some_and(|signals| (signals.is_live)()) {
        return false;
    }
    let mut ours = sched.ms.tids();
    ours.extend(signals.map(|signals| signals.tid));
    ours.extend_from_slice(in_run);
    ours.push(sched.sysmon.tid.load(Ordering::Relaxed));
    ours.push(sigquit::TID.load(Ordering::Relaxed));
    ours.push(trace::tid());
    if sys::other_threads(&ours) {
        return false;
    }
    let mut goroutines = sched.goroutines();
    // They wait for whoever looks at the program, which is no reason to believe that it lives.
    goroutines.retain(|g| g.tag != Tag::SYSTEM);
    let asleep = goroutines
        .iter()
        .all(|g| g.state == WAITING && !g.reason.ends_from_outside());
    asleep && !goroutines.is_empty()
}

/// Goroutines that wait for the same at the same place are told together.
fn report() -> String {
    format!(
        "all goroutines are asleep - deadlock!\n\n{}",
        dump::all().groups()
    )
}
