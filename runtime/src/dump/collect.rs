//! From the scheduler's slots to a [`Dump`].

use super::{Dump, DumpThread, GoroutineDump, GoroutineStatus, Stack};
use crate::prim::clock;
use crate::sched::observe::GoroutineInfo;
use crate::sched::reason::WaitReason;
use crate::sched::started;
use crate::state::gstatus::{RUNNABLE, RUNNING};
use std::sync::Arc;
use std::time::Duration;

/// All goroutines; none if the runtime has not been started.
pub(super) fn dump() -> Dump {
    let Some(sched) = started() else {
        return Dump::default();
    };
    let now = clock::now();
    let none = Arc::new(Stack::default());
    let mut goroutines: Vec<GoroutineDump> = sched
        .goroutines()
        .iter()
        .map(|info| describe(info, now, &none))
        .collect();
    goroutines.sort_by_key(|g| g.id);
    Dump { goroutines }
}

fn describe(info: &GoroutineInfo, now: u64, stack: &Arc<Stack>) -> GoroutineDump {
    let status = match info.state {
        RUNNABLE => GoroutineStatus::Runnable,
        RUNNING => GoroutineStatus::Running,
        _ => GoroutineStatus::Waiting,
    };
    let waits = status == GoroutineStatus::Waiting && info.since != 0;
    GoroutineDump {
        id: info.id,
        name: info.name.clone(),
        status,
        thread: None::<DumpThread>,
        reason: info.reason,
        object: object(info.reason, info.object, now),
        waited: waits.then(|| Duration::from_nanos(now.saturating_sub(info.since))),
        spawned_at: info.location,
        stack: Arc::clone(stack),
    }
}

/// What it waits for, in words.
fn object(reason: WaitReason, object: usize, now: u64) -> Option<Box<str>> {
    let text = match reason {
        WaitReason::None | WaitReason::NeedsStack => return None,
        WaitReason::Sleep => {
            let left = Duration::from_nanos((object as u64).saturating_sub(now));
            format!("{left:.1?} left")
        }
        _ if object == 0 => return None,
        WaitReason::Join => format!("goroutine {object}"),
        _ => format!("{object:#x}"),
    };
    Some(text.into())
}
