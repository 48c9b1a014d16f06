//! `dump`: every goroutine, what it waits for, and its stack.
//!
//! [`dump()`] is Go's `runtime.Stack(buf, true)` and its `goroutine` profile in one: [`Dump`] lists all
//! goroutines, [`Dump::groups`] puts those together that do the same.
//!
//! How it is made, step by step, is `collect`'s business; `text` is what it looks like.
//!
//! Rejected: resuming each goroutine so that it prints its own backtrace. That would commit memory that
//! trimming gave back, can't reach goroutines that block their M, and runs user code's destructors' neighbours
//! in the middle of a dump. Stopping the world, as Go does: 100,000 stacks take a few hundred milliseconds,
//! and nobody needs them all from one instant. So a dump is exact for each goroutine, and no snapshot of all.
//!
//! Next in the reading order: `timer`, the first of three small modules that everything that waits is built on.

mod collect;
mod groups;
mod running;
pub(crate) mod sigquit;
mod symbol;
mod text;

pub(crate) use collect::all;

pub use groups::{Group, Groups};

use crate::sched::reason::WaitReason;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// What a goroutine was doing when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GoroutineStatus {
    /// It waits for its turn on a processor, or has not run yet.
    Runnable,
    /// A thread runs it: see [`GoroutineDump::thread`].
    Running,
    /// A thread runs it, and is itself blocked: in [`blocking`](crate::blocking), in a system call, in a lock of
    /// std's.
    Syscall,
    /// It is parked: see [`GoroutineDump::reason`].
    Waiting,
}

/// The thread that runs a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DumpThread {
    m: u32,
    tid: u32,
}

impl DumpThread {
    /// The number of the M, as in the thread's name (`corio-m3`).
    pub fn m(&self) -> u32 {
        self.m
    }

    /// The system's id of the thread.
    pub fn tid(&self) -> u32 {
        self.tid
    }
}

/// A function in a stack. An inlined one has a frame of its own, with the address of the function that it was
/// inlined into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    function: Option<Box<str>>,
    file: Option<Arc<str>>,
    line: Option<u32>,
    address: usize,
}

impl Frame {
    /// The function's name and path, without a hash. `None` if the program has no symbol for it.
    pub fn function(&self) -> Option<&str> {
        self.function.as_deref()
    }

    /// The source file. `None` without debug information.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line in the file.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The address where the function goes on.
    pub fn address(&self) -> usize {
        self.address
    }
}

/// The frames of a stack; goroutines with equal ones share it.
#[derive(Debug, Default)]
struct Stack {
    frames: Vec<Frame>,
    /// Those that are not the runtime's own business: what is shown.
    shown: Range<usize>,
    /// There would have been more.
    cut: bool,
}

/// One goroutine of a [`Dump`].
#[derive(Clone, Debug)]
pub struct GoroutineDump {
    id: u64,
    name: Option<Arc<str>>,
    status: GoroutineStatus,
    thread: Option<DumpThread>,
    reason: WaitReason,
    object: Option<Box<str>>,
    waited: Option<Duration>,
    spawned_at: Option<&'static Location<'static>>,
    stack: Arc<Stack>,
}

impl GoroutineDump {
    /// Its number: [`Goroutine::id`](crate::Goroutine::id).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name, if it has one and is waiting, or runs and has a stack here. (Until then it is its own.)
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it was doing.
    pub fn status(&self) -> GoroutineStatus {
        self.status
    }

    /// The thread that runs it, if one does.
    pub fn thread(&self) -> Option<DumpThread> {
        self.thread
    }

    /// Why it is parked; [`WaitReason::None`] if it is not.
    pub fn reason(&self) -> WaitReason {
        self.reason
    }

    /// What it waits for, if there is more to say than the reason: the addresses of a socket
    /// (`127.0.0.1:5000 <- 127.0.0.1:4711`, here and there), the goroutine that it joins (`goroutine 7`), how
    /// long it still sleeps (`1.5s left`), or else the address of the lock or channel (`0x7f32a40`), by which to
    /// find others that wait for the same.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// How long it has been parked, to a few milliseconds.
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.spawned_at
    }

    /// Its stack, the innermost function first, up to 128 of those that were not inlined. Empty if it is runnable
    /// (and perhaps has never run), if it blocks its thread, or if the thread that runs it did not answer in time.
    pub fn frames(&self) -> &[Frame] {
        &self.stack.frames
    }

    /// Has its stack more frames than were walked?
    pub fn is_cut(&self) -> bool {
        self.stack.cut
    }

    /// The part of [`frames`](Self::frames) that is shown: without the runtime's functions below the one that
    /// was called, and without those that start a goroutine.
    pub fn shown_frames(&self) -> &[Frame] {
        &self.stack.frames[self.stack.shown.clone()]
    }
}

/// All goroutines: see [`dump()`].
///
/// Displayed, it is a text much like Go's, with a paragraph for each goroutine:
///
/// ```text
/// goroutine 7 "worker" [chan receive, 1.2s]:
/// corio::channel::receiver::Receiver<T>::recv
///     runtime/src/channel/receiver.rs:84
/// server::work
///     src/main.rs:30
/// created at src/main.rs:12:9
/// ```
///
/// `{:#}` also shows the runtime's own functions.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    goroutines: Vec<GoroutineDump>,
}

impl Dump {
    /// The goroutines: the caller, if it is one, then the others in the order in which they were spawned.
    pub fn goroutines(&self) -> &[GoroutineDump] {
        &self.goroutines
    }

    /// The goroutines with equal stacks, status, wait reason and origin together, the largest groups first.
    ///
    /// Mirrors the `goroutine` profile of Go's pprof.
    pub fn groups(&self) -> Groups<'_> {
        Groups::of(&self.goroutines)
    }
}

/// Lists all goroutines, each with what it waits for and its stack.
///
/// Nothing is stopped for it: goroutines are looked at one after another, parked ones where they are, and each
/// is held up only while its own stack is walked, some microseconds. So each is shown as it was at some moment
/// during the call, not all of the same moment. It takes time and memory in proportion to the goroutines that
/// exist (some microseconds each), and the first call the time to read the program's debug information.
///
/// A thread that computes is interrupted by a signal, SIGURG, to copy its goroutine's stack; unless the program has a
/// handler of its own for that. Threads that are blocked are left alone: a signal would end some system calls.
///
/// Mirrors Go's `runtime.Stack` with all goroutines, and `runtime.GoroutineProfile`. What differs: the world is
/// not stopped; goroutines that are runnable, or block their thread, have no stack in it.
///
/// # Blocking
///
/// Blocks the thread while it works, announced as by [`blocking`](crate::blocking): a switch point.
///
/// ```
/// let parked = corio::Builder::new().name("sleeper".into()).spawn(corio::park).unwrap();
/// corio::yield_now();
/// let dump = corio::dump();
/// let sleeper = dump.goroutines().iter().find(|g| g.id() == parked.goroutine().id());
/// assert!(sleeper.is_some(), "{dump}");
/// parked.goroutine().unpark();
/// parked.join().unwrap();
/// ```
#[doc(alias = "Stack")]
#[doc(alias = "GoroutineProfile")]
#[doc(alias = "pprof")]
#[doc(alias = "backtrace")]
pub fn dump() -> Dump {
    collect::dump()
}
