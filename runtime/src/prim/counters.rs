//! What the scheduler counts, and the plain data in which it shows what it sees.
//!
//! Counting must cost nothing measurable, so each P has counters of its own ([`PCounters`]) which only
//! its owner writes, while it is in the runtime (status `SCHED`). With one writer an increment is a
//! load and a store, not a locked instruction, and still loses nothing: the next writer is the P's
//! next owner, and taking a P over acquires what leaving it released (the P's status word), so that
//! every owner starts from its predecessor's last value. Readers look at any time and find each
//! counter exact as of some recent moment; the set of them is not one moment's.
//!
//! What happens on a thread without a P (a plain thread, sysmon, an M whose P was taken) is counted in
//! one process-wide [`SharedCounters`], by atomic addition: it is rare.
//!
//! [`Counts`] is the plain form of either, and [`Metrics`] holds one per P next to everything else
//! that an observer can see. They are defined down here because the scheduler fills them in
//! (`sched::observe`), and prints one as its trace line; `metrics` shows them to the user.

use crate::prim::atomic::{AtomicU64, Ordering};
use crate::prim::latency::Latencies;
use std::fmt::Write;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A counter with one writer at a time; see the module's head for why it loses nothing.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// Counts `n` more. Only by the owner of the P, in `SCHED`.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(n), Ordering::Relaxed);
    }

    /// The count as of a recent moment. By anybody.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter with any number of writers.
#[derive(Debug)]
pub(crate) struct SharedCounter(AtomicU64);

impl SharedCounter {
    fn new() -> Self {
        SharedCounter(AtomicU64::new(0))
    }

    /// Counts `n` more. By anybody.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count as of a recent moment. By anybody.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one P. In cache lines of their own, because observers read them while the
        /// owner runs.
        #[derive(Debug)]
        #[repr(align(128))]
        pub(crate) struct PCounters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The counters for whoever has no P.
        #[derive(Debug)]
        #[repr(align(128))]
        pub(crate) struct SharedCounters {
            $($(#[$doc])* pub(crate) $name: SharedCounter,)*
        }

        /// What was counted since the runtime started: of one P, of the threads without one, or in
        /// total. Counts add up with `+` and [`sum`](Iterator::sum).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl PCounters {
            /// Counters at zero.
            pub(crate) fn new() -> Self {
                PCounters { $($name: Counter::new(),)* }
            }

            /// Their values, each as of a recent moment. By anybody.
            pub(crate) fn get(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }

        impl SharedCounters {
            /// Counters at zero.
            pub(crate) fn new() -> Self {
                SharedCounters { $($name: SharedCounter::new(),)* }
            }

            /// Their values, each as of a recent moment. By anybody.
            pub(crate) fn get(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }

        impl Add for Counts {
            type Output = Counts;

            fn add(self, other: Counts) -> Counts {
                Counts { $($name: self.$name.wrapping_add(other.$name),)* }
            }
        }
    };
}

counts! {
    /// Goroutines switched to.
    runs,
    /// Goroutines spawned.
    spawned,
    /// Goroutines that ended.
    finished,
    /// Times a goroutine parked.
    parks,
    /// Goroutines and threads made ready.
    wakeups,
    /// Times work was stolen from another P.
    steals,
    /// Times every other P was looked at and had nothing to steal.
    steal_misses,
    /// Times goroutines were taken from the global queue.
    global_gets,
    /// Times a P was handed on because its thread blocked, or was about to.
    hand_offs,
    /// Times sysmon took a P from a goroutine that hogged it by computing.
    take_overs,
    /// Times the reactor was polled.
    polls,
    /// Timers that fired.
    timers,
    /// Times a thread could not be started.
    thread_failures,
    /// Times sysmon found work that nobody came for, after a thread could not be started.
    rescues,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        *self = *self + other;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(iter: I) -> Counts {
        iter.fold(Counts::default(), Add::add)
    }
}

/// What a P is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcState {
    /// Nothing: no M has it.
    #[default]
    Idle,
    /// Its M is in the scheduler: it switches, or looks for work.
    Scheduler,
    /// Its goroutine runs.
    User,
    /// Its goroutine is inside [`blocking`](crate::blocking()), and the P may be handed on at any time.
    Blocking,
}

impl ProcState {
    /// It in one word: "idle", "scheduler", "user", "blocking".
    pub fn as_str(self) -> &'static str {
        match self {
            ProcState::Idle => "idle",
            ProcState::Scheduler => "scheduler",
            ProcState::User => "user",
            ProcState::Blocking => "blocking",
        }
    }
}

/// What a thread of the runtime's (M) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MachineState {
    /// Asleep, without a P.
    #[default]
    Idle,
    /// Has a P and no goroutine: it looks for work.
    Searching,
    /// Runs a goroutine.
    Running,
    /// Runs a goroutine that blocks the thread.
    Blocked,
    /// Runs a goroutine that has lost its P because it computes for long.
    Burning,
    /// Waits for events, in the reactor's poll. It has no P.
    Polling,
}

impl MachineState {
    /// It in one word: "idle", "searching", "running", "blocked", "burning", "polling".
    pub fn as_str(self) -> &'static str {
        match self {
            MachineState::Idle => "idle",
            MachineState::Searching => "searching",
            MachineState::Running => "running",
            MachineState::Blocked => "blocked",
            MachineState::Burning => "burning",
            MachineState::Polling => "polling",
        }
    }
}

/// One thread of the runtime's (M).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineMetrics {
    /// Its number, from 1.
    pub id: u32,
    /// The system's number of the thread.
    pub tid: u32,
    /// What it does.
    pub state: MachineState,
    /// The number of the P that it has.
    pub p: Option<usize>,
    /// The number of the goroutine that it runs.
    pub goroutine: Option<u64>,
    /// Is a goroutine locked to it ([`lock_os_thread`](crate::lock_os_thread))?
    pub locked: bool,
}

/// What one P has done and has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcMetrics {
    /// Its number, from 0.
    pub id: usize,
    /// Goroutines in its queue, the one to run next included.
    pub queued: usize,
    /// Timers in its heap.
    pub timers: usize,
    /// What it is used for.
    pub state: ProcState,
    /// The number of the M that has it.
    pub m: Option<u32>,
    /// The number of the goroutine that it runs. (Its M may have one without running it on this P: see
    /// [`Metrics::ms`].)
    pub goroutine: Option<u64>,
    /// The number of the goroutine that runs next, as it was made ready by the running one.
    pub runnext: Option<u64>,
    /// Goroutines it has switched to, modulo 2^40: whether it stands still or not.
    pub tick: u64,
    /// What was counted on it.
    pub counts: Counts,
}

/// Goroutines by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoroutineMetrics {
    /// In a queue.
    pub runnable: usize,
    /// On a thread.
    pub running: usize,
    /// Parked.
    pub waiting: usize,
    /// Slots that hold no goroutine: free ones, and those of plain threads.
    pub idle: usize,
}

impl GoroutineMetrics {
    /// Goroutines that exist: runnable, running, or waiting.
    pub fn live(&self) -> usize {
        self.runnable + self.running + self.waiting
    }
}

/// The runtime's threads (Ms), by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadMetrics {
    /// All of them, sysmon's not included.
    pub total: usize,
    /// Asleep without work.
    pub idle: usize,
    /// Looking for work.
    pub spinning: usize,
    /// Running a goroutine that blocks the thread.
    pub blocked: usize,
    /// Running a goroutine that has lost its P because it computes for long.
    pub burning: usize,
}

/// Goroutine stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackMetrics {
    /// Held by goroutines, or kept by Ps for their next ones.
    pub in_use: usize,
    /// Free, kept for goroutines to come.
    pub pooled: usize,
    /// Stacks that there is address space for: in use, pooled, or not used so far.
    pub mapped: usize,
    /// Pooled stacks whose memory has been given back to the system.
    pub trimmed: usize,
}

/// A snapshot of the scheduler, made by [`metrics`](crate::metrics()).
///
/// Every figure is exact as of a recent moment, but not all of the same moment: the scheduler is not
/// stopped to be looked at. So two Ps may seem to have the same M, or an M a goroutine that another one runs by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Time since the runtime started.
    pub uptime: Duration,
    /// The Ps in use, in order.
    pub procs: Vec<ProcMetrics>,
    /// Ps without work.
    pub idle_procs: usize,
    /// What was counted on threads without a P, by sysmon, and on Ps that
    /// [`set_procs`](crate::set_procs) has stopped.
    pub others: Counts,
    /// Goroutines in the global queue.
    pub global_queue: usize,
    /// Goroutines by status.
    pub goroutines: GoroutineMetrics,
    /// Threads.
    pub threads: ThreadMetrics,
    /// Each of them, in the order of their numbers; see [`MachineMetrics`].
    pub ms: Vec<MachineMetrics>,
    /// Stacks.
    pub stacks: StackMetrics,
    /// How long goroutines wait in queues.
    pub sched_latency: Latencies,
}

impl Metrics {
    /// All counts together: those of the Ps and [`others`](Metrics::others).
    pub fn totals(&self) -> Counts {
        self.procs.iter().map(|p| p.counts).sum::<Counts>() + self.others
    }

    /// The snapshot as one line, in the manner of Go's `GODEBUG=schedtrace`; what
    /// `CORIO_SCHEDTRACE` prints.
    ///
    /// ```text
    /// SCHED 1003ms: procs=2 idleprocs=1 threads=4 spinningthreads=0 idlethreads=2 runqueue=0 [0 3] goroutines=104 steals=5 handoffs=1 takeovers=0
    /// ```
    ///
    /// The numbers in brackets are the lengths of the Ps' queues, `runqueue` is that of the global
    /// one. `steals`, `handoffs` and `takeovers` count from the start.
    ///
    /// # Examples
    ///
    /// ```
    /// let line = corio::metrics().schedtrace();
    /// assert!(line.starts_with("SCHED "));
    /// ```
    pub fn schedtrace(&self) -> String {
        let totals = self.totals();
        let mut line = format!(
            "SCHED {}ms: procs={} idleprocs={} threads={} spinningthreads={} idlethreads={} \
             runqueue={} [",
            self.uptime.as_millis(),
            self.procs.len(),
            self.idle_procs,
            self.threads.total,
            self.threads.spinning,
            self.threads.idle,
            self.global_queue,
        );
        for (i, p) in self.procs.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(line, "{space}{}", p.queued).expect("a String takes any text");
        }
        write!(
            line,
            "] goroutines={} steals={} handoffs={} takeovers={}",
            self.goroutines.live(),
            totals.steals,
            totals.hand_offs,
            totals.take_overs,
        )
        .expect("a String takes any text");
        line
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn a_new_owner_goes_on_from_its_predecessors_count() {
        let counters = PCounters::new();
        let turn = AtomicUsize::new(0);
        thread::scope(|s| {
            for me in 0..2 {
                let (counters, turn) = (&counters, &turn);
                s.spawn(move || {
                    for round in 0..1000 {
                        // Acquire and Release: partners of each other, as in the P's status word.
                        while turn.load(Ordering::Acquire) != 2 * round + me {
                            thread::yield_now();
                        }
                        counters.steals.add(3);
                        turn.store(2 * round + me + 1, Ordering::Release);
                    }
                });
            }
        });
        assert_eq!(counters.get().steals, 6000);
        assert_eq!(counters.get().runs, 0);
    }

    #[test]
    fn anybody_may_write_the_shared_counters() {
        let counters = SharedCounters::new();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..1000).for_each(|_| counters.wakeups.add(1)));
            }
        });
        assert_eq!(counters.get().wakeups, 4000);
    }

    #[test]
    fn counters_of_two_ps_share_no_cache_line() {
        assert_eq!(align_of::<PCounters>(), 128);
        assert_eq!(size_of::<PCounters>(), 128);
    }

    fn sample() -> Metrics {
        let counts = |steals| Counts {
            steals,
            hand_offs: 1,
            ..Counts::default()
        };
        let p = |id, queued, steals| ProcMetrics {
            id,
            queued,
            counts: counts(steals),
            ..ProcMetrics::default()
        };
        Metrics {
            uptime: Duration::from_micros(1_003_900),
            procs: vec![p(0, 0, 2), p(1, 3, 3)],
            idle_procs: 1,
            others: counts(0),
            goroutines: GoroutineMetrics {
                runnable: 3,
                running: 1,
                waiting: 100,
                idle: 24,
            },
            threads: ThreadMetrics {
                total: 4,
                idle: 2,
                ..ThreadMetrics::default()
            },
            ..Metrics::default()
        }
    }

    #[test]
    fn totals_are_of_all_ps_and_the_rest() {
        let totals = sample().totals();
        assert_eq!((totals.steals, totals.hand_offs, totals.runs), (5, 3, 0));
    }

    #[test]
    fn the_trace_line_reads_like_gos() {
        assert_eq!(
            sample().schedtrace(),
            "SCHED 1003ms: procs=2 idleprocs=1 threads=4 spinningthreads=0 idlethreads=2 \
             runqueue=0 [0 3] goroutines=104 steals=5 handoffs=3 takeovers=0"
        );
    }
}
