//! Looking at the scheduler without stopping it: metrics, and a list of all goroutines.
//!
//! Next in the reading order: `trace`: what happened, one event after the other.

use crate::prim::arch::Registers;
use crate::prim::atomic::Ordering;
use crate::prim::clock;
use crate::prim::counters::{
    Counts, GoroutineMetrics, MachineMetrics, MachineState, Metrics, ProcMetrics, ProcState,
    StackMetrics, ThreadMetrics,
};
use crate::prim::latency::Latencies;
use crate::sched::Sched;
use crate::sched::g::GRef;
use crate::sched::m::M;
use crate::sched::p::P;
use crate::sched::reason::WaitReason;
use crate::sched::tags::Tag;
use crate::sched::{arena, sysmon};
use crate::stack;
use crate::state::gstatus::{DEAD, RUNNABLE, RUNNING, Readied, Scan, Scanned, WAITING};
use crate::state::pstatus::PState;
use crate::walk::InPlace;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A goroutine, as it was a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct GoroutineInfo {
    pub(crate) id: u64,
    pub(crate) tag: Tag,
    pub(crate) name: Option<Arc<str>>,
    /// One of `gstatus`'s states.
    pub(crate) state: u32,
    pub(crate) reason: WaitReason,
    pub(crate) object: usize,
    /// When it was parked.
    pub(crate) since: u64,
    pub(crate) location: Option<&'static Location<'static>>,
}

/// As in Go's dumps: `goroutine 7 "name" [chan receive, 1.0s] spawned at src/main.rs:3:5`.
impl fmt::Display for GoroutineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        match (self.state, self.reason) {
            (RUNNABLE, _) => write!(f, " [runnable]")?,
            (RUNNING, _) => write!(f, " [running]")?,
            (_, WaitReason::None) => write!(f, " [waiting]")?,
            (_, WaitReason::NeedsStack) => write!(f, " [{}]", self.reason)?,
            (_, reason) => {
                let age = Duration::from_nanos(clock::now().saturating_sub(self.since));
                write!(f, " [{reason}, {age:.1?}]")?;
            }
        }
        match self.location {
            Some(at) => write!(f, " spawned at {at}"),
            None => Ok(()),
        }
    }
}

impl Sched {
    /// A snapshot of everything that is counted.
    pub(crate) fn observe(&self) -> Metrics {
        let procs = self.procs();
        let mut others = self.shared.get();
        let mut in_use = Vec::with_capacity(procs as usize);
        let mut sched_latency = Latencies::default();
        for p in self.all_ps() {
            let counts = p.counters.get();
            p.latency.add_to(&mut sched_latency);
            if p.id >= procs {
                others += counts;
                continue;
            }
            in_use.push(self.proc(p, counts));
        }
        let (threads, ms) = self.machines(&in_use);
        let stacks = stack::stats();
        Metrics {
            uptime: clock::uptime(),
            procs: in_use,
            idle_procs: self.idle.ps() as usize,
            others,
            global_queue: self.global.len(),
            goroutines: goroutines(),
            threads,
            ms,
            stacks: StackMetrics {
                in_use: stacks.in_use,
                pooled: stacks.pooled,
                mapped: stacks.mapped,
                trimmed: stacks.trimmed,
            },
            sched_latency,
        }
    }

    fn proc(&self, p: &P, counts: Counts) -> ProcMetrics {
        let word = p.status.load();
        let state = match word.state() {
            PState::Stopped | PState::Idle => ProcState::Idle,
            PState::Sched => ProcState::Scheduler,
            PState::User => ProcState::User,
            PState::Blocking => ProcState::Blocking,
        };
        let m = (state != ProcState::Idle).then(|| word.m());
        let runs = m.and_then(|m| self.ms.by_id(m)).and_then(M::curg);
        let next = p.runnext.peek();
        // SAFETY: the slot holds 0 or a G's address, and slots are never freed.
        let next = (next != 0).then(|| unsafe { GRef::from_addr(next) });
        ProcMetrics {
            id: p.id as usize,
            queued: p.queued(),
            timers: p.timers.len(),
            state,
            m,
            goroutine: runs.and_then(number),
            runnext: next.and_then(number),
            tick: word.tick(),
            counts,
        }
    }

    /// The worker threads, counted by what they do, and each for itself.
    fn machines(&self, procs: &[ProcMetrics]) -> (ThreadMetrics, Vec<MachineMetrics>) {
        let mut threads = ThreadMetrics {
            total: self.ms.workers() as usize,
            idle: self.idle_ms(),
            spinning: self.idle.spinning() as usize,
            ..ThreadMetrics::default()
        };
        let polls = self.poller.blocked_by();
        let mut ms = Vec::new();
        self.ms.for_each(|m| {
            let tid = m.tid.load(Ordering::Relaxed);
            if !m.is_worker() || tid == 0 {
                return;
            }
            let goroutine = m.curg().and_then(number);
            let p = procs.iter().find(|p| p.m == Some(m.id)).map(|p| p.id);
            let state = if goroutine.is_none() {
                match p {
                    _ if polls == Some(m.id) => MachineState::Polling,
                    Some(_) => MachineState::Searching,
                    None => MachineState::Idle,
                }
            } else if m.burning.load(Ordering::Relaxed) {
                threads.burning += 1;
                MachineState::Burning
            } else if sysmon::sys::is_blocked(tid) {
                threads.blocked += 1;
                MachineState::Blocked
            } else {
                MachineState::Running
            };
            ms.push(MachineMetrics {
                id: m.id,
                tid,
                state,
                p,
                goroutine,
                locked: m.locked.load(Ordering::Relaxed),
            });
        });
        (threads, ms)
    }

    /// Claims a parked goroutine for a look; gives it back, finishing a wake-up that came meanwhile.
    pub(crate) fn end_scan(&self, g: GRef, scan: Scan) {
        // SAFETY: asked while `g` is parked on its M and claimed.
        match g.status.end_scan(scan, || unsafe { g.blocked_m() }) {
            Scanned::Ready(Readied::Enqueue) => self.enqueue(g),
            Scanned::Ready(Readied::Unpark(m)) => m.unpark_thread(),
            Scanned::Ready(Readied::Noted) | Scanned::Parked => {}
        }
    }

    /// All goroutines, each as it was at some moment during the call.
    pub(crate) fn goroutines(&self) -> Vec<GoroutineInfo> {
        arena::all()
            .filter_map(|g| self.look_at(g, |_, _| ()))
            .collect()
    }

    /// The slot's goroutine, if it has one. If it is parked and has run, `walk` is shown where it was suspended,
    /// and its stack's memory, in which it stays as long as that takes.
    pub(crate) fn look_at(
        &self,
        g: GRef,
        walk: impl FnOnce(Registers, &InPlace),
    ) -> Option<GoroutineInfo> {
        if !g.is_goroutine() {
            return None;
        }
        let mut info = GoroutineInfo {
            id: g.id(),
            tag: g.tag(),
            name: None,
            state: g.status.state(),
            reason: WaitReason::None,
            object: 0,
            since: 0,
            location: g.location(),
        };
        if info.state == WAITING
            && let Some(scan) = claim(g)
        {
            info.id = g.id();
            info.tag = g.tag();
            if !g.is_goroutine() {
                info.id = 0;
            } else if let Some(fiber) = g.fiber() {
                // SAFETY: the goroutine is parked and claimed for this scan, and has a fiber.
                let run = unsafe { fiber.data() };
                info.name = run.name.get().cloned();
                (info.reason, info.object, info.since) = run.wait.get();
                // SAFETY: as above. What lies above the stack pointer of one who is suspended, or who waits in
                // a function called from there (`Fiber::stay`), is written by nobody.
                let (at, memory) = unsafe {
                    let at = fiber.suspended_at();
                    (at, InPlace::new(at.sp, fiber.frames_end()))
                };
                walk(at, &memory);
            } else {
                info.reason = WaitReason::NeedsStack;
            }
            self.end_scan(g, scan);
        } else {
            info.state = g.status.state();
        }
        (info.id != 0 && info.state != DEAD).then_some(info)
    }
}

/// Claims a parked goroutine; `None` if it is parked no more. Another observer, or sysmon trimming its stack,
/// may have it for some microseconds.
fn claim(g: GRef) -> Option<Scan> {
    loop {
        if let Some(scan) = g.status.begin_scan() {
            return Some(scan);
        }
        if g.status.state() != WAITING {
            return None;
        }
        std::thread::yield_now();
    }
}

/// The goroutine's number, if the slot has one.
fn number(g: GRef) -> Option<u64> {
    g.is_goroutine().then(|| g.id())
}

fn goroutines() -> GoroutineMetrics {
    let mut by_status = GoroutineMetrics::default();
    for g in arena::all() {
        if !g.is_goroutine() {
            by_status.idle += 1;
            continue;
        }
        match g.status.state() {
            RUNNABLE => by_status.runnable += 1,
            RUNNING => by_status.running += 1,
            WAITING => by_status.waiting += 1,
            _ => {}
        }
    }
    by_status
}
