//! From the scheduler's slots to a [`Dump`], in three steps.
//!
//! 1. Slot by slot: a parked goroutine is claimed (the Scan bit, `state::gstatus`), what it waits for is read and
//!    its stack walked where it is, and it is given back; if it was made ready meanwhile, the dumper queues it.
//!    No lock is held. Equal stacks are kept once, as addresses.
//! 2. The Ms that run goroutines are asked where those are (`running`). The caller, if it is a goroutine, has noted
//!    where it is before it came here, and waits.
//! 3. With nobody claimed: objects get their words (by the reactor, if it knows them) and addresses their names.
//!
//! A goroutine that calls hands the work to a thread: reading debug information takes more stack than it may have.

use super::symbol::Symbols;
use super::{Dump, DumpThread, GoroutineDump, GoroutineStatus, Stack, running};
use crate::prim::arch::{Registers, registers};
use crate::prim::atomic::Ordering;
use crate::prim::clock;
use crate::sched::blocking::blocking;
use crate::sched::observe::GoroutineInfo;
use crate::sched::reason::WaitReason;
use crate::sched::sysmon::sys;
use crate::sched::{Sched, arena, current, started};
use crate::state::gstatus::{RUNNABLE, RUNNING};
use crate::walk::{InPlace, Memory, Walker};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// After so many slots the dumper offers its processor to others.
const PORTION: usize = 64;

/// The goroutine that asks for the dump.
struct Caller {
    id: u64,
    name: Option<Arc<str>>,
    at: Registers,
    end: usize,
}

/// All goroutines; none if the runtime has not been started.
// Its frame stays where `registers` has found it until the dump is made.
#[inline(never)]
pub(super) fn dump() -> Dump {
    let Some(sched) = started() else {
        return Dump::default();
    };
    let Some(g) = current::goroutine() else {
        return collect(sched, None);
    };
    let fiber = g.fiber().expect("a running goroutine has a stack");
    let caller = Caller {
        id: g.id(),
        // SAFETY: the caller is this goroutine.
        name: unsafe { g.run() }.name.get().cloned(),
        at: registers(),
        // SAFETY: as above, so its fiber is bound.
        end: unsafe { fiber.frames_end() },
    };
    blocking(|| {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("corio-dump".into())
                .spawn_scoped(scope, || collect(sched, Some(&caller)))
                .map(|made| made.join().expect("making a dump doesn't panic"))
        })
        .unwrap_or_else(|_| collect(sched, Some(&caller)))
    })
}

/// Dumps for the runtime's own reports, on one of its threads.
pub(crate) fn all() -> Dump {
    started().map_or_else(Dump::default, |sched| collect(sched, None))
}

/// Stacks as addresses, equal ones once, by the number in which they were first seen.
struct Stacks {
    walker: Walker,
    known: HashMap<Box<[usize]>, usize>,
    all: Vec<(Box<[usize]>, bool)>,
    last: Vec<usize>,
    cut: bool,
}

impl Stacks {
    fn new() -> Stacks {
        let mut stacks = Stacks {
            walker: Walker::new(),
            known: HashMap::new(),
            all: Vec::new(),
            last: Vec::new(),
            cut: false,
        };
        stacks.keep();
        stacks
    }

    /// Begins with no frames.
    fn clear(&mut self) {
        self.last.clear();
        self.cut = false;
    }

    fn walk(&mut self, at: Registers, memory: &InPlace) {
        self.cut = !self.walker.walk(at, memory, &mut self.last);
    }

    fn walk_interrupted(&mut self, at: Registers, lr: usize, memory: &impl Memory) {
        let walker = &mut self.walker;
        self.cut = !walker.walk_interrupted(at, lr, memory, &mut self.last);
        if let Some(first) = self.last.first_mut() {
            // The instruction itself. The others are where a call returns to, the instruction after.
            *first += 1;
        }
    }

    /// The number of the stack that was walked since `clear`.
    fn keep(&mut self) -> usize {
        if let Some(&known) = self.known.get(self.last.as_slice()) {
            return known;
        }
        let addresses: Box<[usize]> = self.last.as_slice().into();
        let number = self.all.len();
        self.all.push((addresses.clone(), self.cut));
        self.known.insert(addresses, number);
        number
    }
}

fn collect(sched: &Sched, caller: Option<&Caller>) -> Dump {
    let mut stacks = Stacks::new();
    let mut seen: Vec<(GoroutineInfo, usize)> = Vec::new();
    for (n, g) in arena::all().enumerate() {
        if n % PORTION == PORTION - 1 {
            thread::yield_now();
        }
        stacks.clear();
        let info = sched.look_at(g, |at, memory| stacks.walk(at, memory));
        if let Some(mut info) = info {
            if let Some(caller) = caller.filter(|caller| caller.id == info.id) {
                info.name = caller.name.clone();
                // SAFETY: the caller waits for us in a function that it called from there.
                let memory = unsafe { InPlace::new(caller.at.sp, caller.end) };
                stacks.walk(caller.at, &memory);
            }
            seen.push((info, stacks.keep()));
        }
    }
    let first = caller.map(|caller| caller.id);
    seen.sort_unstable_by_key(|(info, _)| (Some(info.id) != first, info.id));
    let running = running(sched, seen.iter().any(|(info, _)| info.state == RUNNING));
    ask(&running, first, &mut seen, &mut stacks);
    let now = clock::now();
    let mut symbols = Symbols::new();
    let stacks: Vec<Arc<Stack>> = stacks
        .all
        .iter()
        .map(|(addresses, cut)| Arc::new(symbols.stack(addresses, *cut)))
        .collect();
    let goroutines = seen
        .into_iter()
        .map(|(info, stack)| {
            let mut dump = describe(sched, info, now, Arc::clone(&stacks[stack]));
            if dump.status == GoroutineStatus::Running
                && let Some(&(thread, blocked)) = running.get(&dump.id)
            {
                dump.thread = Some(thread);
                if blocked && Some(dump.id) != first {
                    dump.status = GoroutineStatus::Syscall;
                }
            }
            dump
        })
        .collect();
    Dump { goroutines }
}

/// Has the threads that compute tell where they are.
fn ask(
    running: &HashMap<u64, (DumpThread, bool)>,
    caller: Option<u64>,
    seen: &mut [(GoroutineInfo, usize)],
    stacks: &mut Stacks,
) {
    let computing = running
        .iter()
        .filter(|&(&id, &(_, blocked))| !blocked && Some(id) != caller);
    let tids: Vec<u32> = computing.map(|(_, (thread, _))| thread.tid).collect();
    running::ask(&tids, |_, found| {
        let of = seen
            .iter_mut()
            .find(|(info, _)| info.id == found.id && info.state == RUNNING);
        if let Some((info, stack)) = of {
            info.name = found.name.as_deref().map(Arc::from);
            stacks.clear();
            stacks.walk_interrupted(found.at, found.lr, &found.stack);
            *stack = stacks.keep();
        }
    });
}

/// Who runs what, by the goroutine's number, and whether that thread is blocked.
fn running(sched: &Sched, any: bool) -> HashMap<u64, (DumpThread, bool)> {
    let mut running = HashMap::new();
    if !any {
        return running;
    }
    sched.ms.for_each(|m| {
        let tid = m.tid.load(Ordering::Relaxed);
        if m.is_worker()
            && tid != 0
            && let Some(g) = m.curg()
        {
            let thread = DumpThread { m: m.id, tid };
            running.insert(g.id(), (thread, sys::is_blocked(tid)));
        }
    });
    running
}

fn describe(sched: &Sched, info: GoroutineInfo, now: u64, stack: Arc<Stack>) -> GoroutineDump {
    let status = match info.state {
        RUNNABLE => GoroutineStatus::Runnable,
        RUNNING => GoroutineStatus::Running,
        _ => GoroutineStatus::Waiting,
    };
    let waits = status == GoroutineStatus::Waiting && info.since != 0;
    GoroutineDump {
        id: info.id,
        name: info.name,
        status,
        thread: None,
        reason: info.reason,
        object: object(sched, info.reason, info.object, now),
        waited: waits.then(|| Duration::from_nanos(now.saturating_sub(info.since))),
        spawned_at: info.location,
        stack,
    }
}

/// What it waits for, in words.
fn object(sched: &Sched, reason: WaitReason, object: usize, now: u64) -> Option<Box<str>> {
    let text = match reason {
        WaitReason::None | WaitReason::NeedsStack => return None,
        WaitReason::Sleep => {
            let left = Duration::from_nanos((object as u64).saturating_sub(now));
            format!("{left:.1?} left")
        }
        WaitReason::Join => format!("goroutine {object}"),
        WaitReason::NetAccept
        | WaitReason::NetConnect
        | WaitReason::NetRead
        | WaitReason::NetWrite
        | WaitReason::NetLock
        | WaitReason::Io => sched.poller.describe(reason, object)?,
        _ if object == 0 => return None,
        _ => format!("{object:#x}"),
    };
    Some(text.into())
}
