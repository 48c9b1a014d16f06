//! `WorkerPool`: a bounded number of goroutines that run submitted functions.
//!
//! Goroutines are cheap, so a pool is not there to save their making; it is there to *bound* them: how
//! many tasks run at once, how many callers wait, and what happens to the rest. That is what ants is
//! mostly used for, too, and this is ants' model: workers are started as tasks come, up to a capacity;
//! idle ones are reused, the most recently idle first, and end after a while.
//!
//! Left out of ants: preallocation (nothing is allocated per worker), pools of one function, and pools of
//! pools (against contention for a lock that is held for a few instructions here).
//!
//! For readers of the code: `core` is the pool without its workers' code; here are the handles, the workers,
//! and what they do about panics. Who keeps whom alive: handles own an `Owner`, whose drop releases the pool;
//! workers own what is theirs, `Workers`; its timer owns the core alone. So a forgotten pool ends with its last
//! handle, and running tasks run on.

// Next in the reading order: `signal`.

mod core;

use self::core::{Core, Patience, Placed, Run, Task};
use crate::park;
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::task::builder;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How long a worker stays idle before it ends, unless the builder says otherwise. ants' default.
const IDLE_EXPIRY: Duration = Duration::from_secs(1);

/// Called with a task's panic.
type PanicHandler = Box<dyn Fn(Box<dyn Any + Send>) + Send + Sync>;

/// A bounded pool of goroutines that run what is submitted to it.
///
/// Clones are handles to the same pool. When the last one is dropped the pool is
/// [released](WorkerPool::release).
///
/// ```
/// use corio::group::WaitGroup;
/// use corio::pool::WorkerPool;
///
/// let pool = WorkerPool::new(4); // at most four at once
/// let wg = WaitGroup::new();
/// for n in 0..100 {
///     wg.add(1);
///     let wg = wg.clone();
///     pool.submit(move || {
///         println!("task {n}");
///         wg.done();
///     })
///     .unwrap();
/// }
/// wg.wait();
/// assert!(pool.running() <= 4);
/// ```
///
/// What can be set is in [`Builder`].
///
/// # Counterpart
///
/// ants' `Pool` (v2), method by method: `Submit`, `Running`, `Free`, `Waiting`, `Cap`, `Tune`
/// ([`resize`](WorkerPool::resize)), `IsClosed`, `Release`, `ReleaseTimeout`, `Reboot`. What differs:
///
/// * A task that is refused comes back in the error.
/// * "Unlimited" is `None`, not -1, where it is returned, and 0 where it is passed. An unlimited pool can be
///   resized.
/// * `submit_timeout`, and `try_submit` beside a pool-wide setting.
#[derive(Clone)]
pub struct WorkerPool {
    owner: Arc<Owner>,
}

/// Configures a [`WorkerPool`].
///
/// ```
/// use corio::pool::{Builder, SubmitError};
/// use std::time::Duration;
///
/// let pool = Builder::new()
///     .capacity(8)
///     .max_blocking_tasks(100)
///     .idle_expiry(Duration::from_secs(10))
///     .name_prefix("crawler")
///     .panic_handler(|panic| eprintln!("a task failed: {panic:?}"))
///     .build();
/// match pool.submit(|| println!("fetching")) {
///     Ok(()) => {}
///     Err(SubmitError::Full(_task)) => println!("a hundred are waiting already"),
///     Err(SubmitError::Closed(_task)) => unreachable!("nobody has released it"),
/// }
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder {
    capacity: usize,
    nonblocking: bool,
    max_blocking_tasks: usize,
    idle_expiry: Option<Duration>,
    panic_handler: Option<PanicHandler>,
    name_prefix: Option<String>,
}

/// Why a task was not accepted, with the task.
///
/// The counterpart of ants' `ErrPoolClosed` and `ErrPoolOverload`, in the form of crossbeam's `TrySendError`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SubmitError<F> {
    /// The pool is released.
    Closed(F),
    /// All workers are busy, and the task may not wait, or has waited in vain.
    Full(F),
}

/// Releases the pool with the last handle.
struct Owner {
    workers: Arc<Workers>,
    nonblocking: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.workers.core.close();
    }
}

/// What the workers share.
struct Workers {
    core: Arc<Core>,
    panic_handler: Option<PanicHandler>,
    name_prefix: Option<String>,
    /// The last number that follows the prefix.
    named: AtomicUsize,
}

impl Workers {
    /// Starts a worker with its first task, for which a place is reserved.
    #[track_caller]
    fn start(self: &Arc<Workers>, task: Task) {
        let mut worker = builder::Builder::new();
        if let Some(prefix) = &self.name_prefix {
            let n = self.named.fetch_add(1, Ordering::Relaxed) + 1;
            worker = worker.name(format!("{prefix}-{n}"));
        }
        let workers = Arc::clone(self);
        if let Err(error) = worker.spawn(move || workers.work(task)) {
            self.core.failed();
            panic!("can't start a worker: {error}");
        }
    }

    /// A worker's life.
    fn work(&self, first: Task) {
        /// Frees the worker's place if a panic ends it.
        struct Place<'a>(&'a Core);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.failed();
            }
        }
        let place = Place(&self.core);
        let mut next = Some(first);
        while let Some(task) = next {
            self.run(task);
            next = self.core.next();
        }
        // `next` has given the place back.
        std::mem::forget(place);
    }

    /// Without a handler the panic goes on: it ends the worker, and is reported as any goroutine's.
    fn run(&self, task: Task) {
        let Some(handler) = &self.panic_handler else {
            return task.run();
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task.run())) {
            handler(payload);
        }
    }
}

impl Builder {
    /// An unlimited pool: no task ever waits, idle workers end after a second.
    pub fn new() -> Builder {
        Builder {
            capacity: 0,
            nonblocking: false,
            max_blocking_tasks: 0,
            idle_expiry: Some(IDLE_EXPIRY),
            panic_handler: None,
            name_prefix: None,
        }
    }

    /// The most workers at once; 0: no limit.
    pub fn capacity(mut self, capacity: usize) -> Builder {
        self.capacity = capacity;
        self
    }

    /// Makes [`submit`](WorkerPool::submit) refuse a task that would have to wait. ants' `WithNonblocking`.
    pub fn nonblocking(mut self, nonblocking: bool) -> Builder {
        self.nonblocking = nonblocking;
        self
    }

    /// The most callers that wait in [`submit`](WorkerPool::submit) at once; 0, the default: no limit. More
    /// are refused with [`SubmitError::Full`].
    pub fn max_blocking_tasks(mut self, max: usize) -> Builder {
        self.max_blocking_tasks = max;
        self
    }

    /// How long a worker stays idle before it ends: at least so long, at most twice as long. 1 s by
    /// default; `None`: it does not end (ants' `WithDisablePurge`).
    pub fn idle_expiry(mut self, expiry: impl Into<Option<Duration>>) -> Builder {
        self.idle_expiry = expiry.into();
        self
    }

    /// Is called with the payload when a task panics, by the worker, which then goes on with other tasks.
    ///
    /// Without it the worker ends, and the panic is reported as any goroutine's is; another worker takes
    /// its place. If the handler panics itself it is the same.
    pub fn panic_handler<H>(mut self, handler: H) -> Builder
    where
        H: Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    {
        self.panic_handler = Some(Box::new(handler));
        self
    }

    /// Names the workers: the prefix, a hyphen, and a number.
    pub fn name_prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.name_prefix = Some(prefix.into());
        self
    }

    /// The pool. Workers are started as tasks come.
    pub fn build(self) -> WorkerPool {
        let max_waiting = limit(self.max_blocking_tasks);
        let expiry = self.idle_expiry.map_or(NEVER, |expiry| {
            u64::try_from(expiry.as_nanos()).unwrap_or(NEVER).max(1)
        });
        WorkerPool {
            owner: Arc::new(Owner {
                workers: Arc::new(Workers {
                    core: Arc::new(Core::new(limit(self.capacity), max_waiting, expiry)),
                    panic_handler: self.panic_handler,
                    name_prefix: self.name_prefix,
                    named: AtomicUsize::new(0),
                }),
                nonblocking: self.nonblocking,
            }),
        }
    }
}

/// 0 stands for no limit.
fn limit(max: usize) -> usize {
    match max {
        0 => usize::MAX,
        max => max,
    }
}

impl WorkerPool {
    /// A pool of at most `capacity` workers (0: no limit), where submitting waits for a free one.
    pub fn new(capacity: usize) -> WorkerPool {
        Builder::new().capacity(capacity).build()
    }

    /// A [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Has `task` run by a worker: an idle one, or a new one, or else the first that gets free, in the order
    /// of submission.
    ///
    /// # Errors
    ///
    /// The task comes back: [`Closed`](SubmitError::Closed) if the pool is released, also while it waits;
    /// [`Full`](SubmitError::Full) if all workers are busy and the pool is
    /// [nonblocking](Builder::nonblocking) or [too many](Builder::max_blocking_tasks) wait already.
    ///
    /// # Panics
    ///
    /// If a new worker can't be started, as [`spawn`](crate::spawn()).
    ///
    /// # Blocking
    ///
    /// Blocks until a worker takes the task, not until that is through. A task that submits to its own pool
    /// may wait for itself, so to speak: if all workers do, nobody gets free.
    ///
    /// ```
    /// use corio::pool::{SubmitError, WorkerPool};
    ///
    /// let pool = WorkerPool::new(1);
    /// pool.submit(|| println!("in a worker")).unwrap();
    /// pool.release();
    /// let refused = pool.submit(|| println!("too late"));
    /// assert!(matches!(refused, Err(SubmitError::Closed(_))));
    /// ```
    #[track_caller]
    pub fn submit<F>(&self, task: F) -> Result<(), SubmitError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let patience = match self.owner.nonblocking {
            true => Patience::None,
            false => Patience::Until(NEVER),
        };
        let result = self.place(task, patience);
        park::checkpoint();
        result
    }

    /// As [`submit`](WorkerPool::submit), but never waits.
    ///
    /// # Errors
    ///
    /// [`Full`](SubmitError::Full) also if all workers are busy.
    ///
    /// # Blocking
    ///
    /// Never blocks or switches.
    #[track_caller]
    pub fn try_submit<F>(&self, task: F) -> Result<(), SubmitError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        self.place(task, Patience::None)
    }

    /// As [`submit`](WorkerPool::submit), but waits for at most `timeout`, even if the pool is
    /// nonblocking.
    ///
    /// # Errors
    ///
    /// [`Full`](SubmitError::Full) also if no worker got free in time.
    ///
    /// ```
    /// use corio::pool::{SubmitError, WorkerPool};
    /// use std::time::Duration;
    ///
    /// let pool = WorkerPool::new(1);
    /// pool.submit(corio::park).unwrap(); // for ever
    /// let refused = pool.submit_timeout(|| (), Duration::from_millis(1));
    /// assert!(matches!(refused, Err(SubmitError::Full(_))));
    /// ```
    #[track_caller]
    pub fn submit_timeout<F>(&self, task: F, timeout: Duration) -> Result<(), SubmitError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let result = self.place(task, Patience::Until(clock::after(timeout)));
        park::checkpoint();
        result
    }

    #[track_caller]
    fn place<F>(&self, task: F, patience: Patience) -> Result<(), SubmitError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        match self.core().place(Box::new(task), patience) {
            Placed::HandedOver => {}
            Placed::Start(task) => self.owner.workers.start(task),
            Placed::Closed(task) => return Err(SubmitError::Closed(recover(task))),
            Placed::Full(task) => return Err(SubmitError::Full(recover(task))),
        }
        Ok(())
    }

    /// How many workers there are, idle ones included, as in ants.
    pub fn running(&self) -> usize {
        self.core().running()
    }

    /// How many of them are idle.
    pub fn idle(&self) -> usize {
        self.core().idle()
    }

    /// How many more workers there may be; `None` if there is no limit. So many tasks, and one for each
    /// [idle](WorkerPool::idle) worker, can be submitted without waiting.
    pub fn free(&self) -> Option<usize> {
        self.capacity()
            .map(|capacity| capacity.saturating_sub(self.running()))
    }

    /// How many callers wait in [`submit`](WorkerPool::submit).
    pub fn waiting(&self) -> usize {
        self.core().waiting()
    }

    /// The most workers there may be; `None` if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.core().capacity()).filter(|&capacity| capacity != usize::MAX)
    }

    /// Changes the most workers there may be; 0: no limit. Those who wait to submit get new places at once;
    /// if there are too many workers, idle ones end now and busy ones after their task.
    ///
    /// ```
    /// let pool = corio::pool::WorkerPool::new(2);
    /// pool.resize(10);
    /// assert_eq!(pool.capacity(), Some(10));
    /// pool.resize(0);
    /// assert_eq!(pool.capacity(), None);
    /// ```
    #[doc(alias = "Tune")]
    pub fn resize(&self, capacity: usize) {
        self.core().resize(limit(capacity));
    }

    /// Refuses tasks from now on, ends idle workers, and lets those who wait to submit go, with their
    /// tasks. Tasks that run go on; their workers end after them. Doing it again changes nothing.
    ///
    /// Never blocks.
    pub fn release(&self) {
        self.core().close();
    }

    /// [Releases](WorkerPool::release) the pool and waits until all workers have ended, for at most
    /// `timeout`. `false`: the time ran out first.
    ///
    /// # Blocking
    ///
    /// Blocks, for up to `timeout`. A task that releases its own pool waits for itself.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = corio::pool::WorkerPool::new(4);
    /// pool.submit(|| println!("finishes")).unwrap();
    /// assert!(pool.release_timeout(Duration::from_secs(10)));
    /// assert_eq!(pool.running(), 0);
    /// ```
    #[must_use = "whether all workers have ended is all there is to know"]
    pub fn release_timeout(&self, timeout: Duration) -> bool {
        self.core().close();
        let drained = self.core().wait_drained(clock::after(timeout));
        park::checkpoint();
        drained
    }

    /// Is it released?
    pub fn is_closed(&self) -> bool {
        self.core().is_closed()
    }

    /// Makes a released pool accept tasks again. Otherwise it changes nothing.
    ///
    /// ```
    /// let pool = corio::pool::WorkerPool::new(4);
    /// pool.release();
    /// assert!(pool.is_closed());
    /// pool.reboot();
    /// pool.submit(|| ()).unwrap();
    /// ```
    pub fn reboot(&self) {
        self.core().open();
    }

    fn core(&self) -> &Arc<Core> {
        &self.owner.workers.core
    }
}

/// The closure that `task` was made of.
fn recover<F: Run>(task: Task) -> F {
    let task: Box<dyn Any> = task;
    *task.downcast().expect("the task that was submitted")
}

impl<F> SubmitError<F> {
    /// The task.
    pub fn into_inner(self) -> F {
        match self {
            SubmitError::Closed(task) | SubmitError::Full(task) => task,
        }
    }

    /// Is it because the pool is released?
    pub fn is_closed(&self) -> bool {
        matches!(self, SubmitError::Closed(_))
    }

    /// Is it because all workers are busy?
    pub fn is_full(&self) -> bool {
        matches!(self, SubmitError::Full(_))
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Closed(_) => "submitting to a released pool",
            SubmitError::Full(_) => "all workers of the pool are busy",
        })
    }
}

/// Without the task, which need not be `Debug`.
impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Closed(_) => "Closed(..)",
            SubmitError::Full(_) => "Full(..)",
        })
    }
}

impl<F> Error for SubmitError<F> {}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("nonblocking", &self.nonblocking)
            .field("max_blocking_tasks", &self.max_blocking_tasks)
            .field("idle_expiry", &self.idle_expiry)
            .field("name_prefix", &self.name_prefix)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("running", &self.running())
            .field("idle", &self.idle())
            .field("waiting", &self.waiting())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

// A panic never leaves it half changed: no code of the user runs in the core.
impl UnwindSafe for WorkerPool {}
impl RefUnwindSafe for WorkerPool {}
