//! The workloads for runtimes whose tasks block: written once, compiled for each.
//!
//! [`Runtime`] is what a peer supplies, its own functions under common names; nothing is boxed or called
//! by pointer, so the machine code is what it would be had it been written out for each. [`workload`]
//! does everything that needs no more than that.

pub mod channel;
pub mod lock;
mod tasks;
mod tree;

use std::iter::Sum;
use std::sync::Arc;
use std::time::Duration;

use crate::args::Args;
use crate::measure::{Span, Watch};
use crate::report::{Failure, Outcome};

/// What a runtime calls the things that every one has.
pub trait Runtime: Sized + 'static {
    /// A task that has been started and returns a `T`.
    type Task<T: Send + 'static>: Send;
    /// Where tasks wait for each other.
    type Barrier: Send + Sync + 'static;
    /// The sending end of a channel for one receiver.
    type Sender: Clone + Send + 'static;
    /// Its other end.
    type Receiver: Send + 'static;
    /// The sending end of a channel for many receivers.
    type ManySender: Clone + Send + 'static;
    /// Its other end.
    type ManyReceiver: Clone + Send + 'static;

    /// Starts a task.
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Task<T>;

    /// Waits for a task.
    ///
    /// # Panics
    ///
    /// If the task did.
    fn join<T: Send + 'static>(task: Self::Task<T>) -> T;

    /// Lets others run.
    fn yield_now();

    /// Sleeps, as tasks do.
    fn sleep(time: Duration);

    /// A barrier for so many tasks.
    fn barrier(tasks: usize) -> Self::Barrier;

    /// Waits at the barrier.
    fn wait(barrier: &Self::Barrier);

    /// A channel for one receiver with so many places. With none, both sides wait for each other.
    ///
    /// A runtime whose channels are unbounded may return one of those for one place.
    ///
    /// # Errors
    ///
    /// [`Failure::Absent`] if the runtime has none.
    fn channel(places: usize) -> Result<(Self::Sender, Self::Receiver), Failure>;

    /// Sends a number, and waits for a place if need be.
    ///
    /// # Panics
    ///
    /// If there is no receiver any more.
    fn send(sender: &Self::Sender, number: u64);

    /// Waits for a number. `None` if there is no sender any more.
    fn recv(receiver: &Self::Receiver) -> Option<u64>;

    /// A channel for many receivers with so many places.
    fn many(places: usize) -> (Self::ManySender, Self::ManyReceiver);

    /// Sends the numbers below `end`, one by one.
    ///
    /// # Panics
    ///
    /// If there is no receiver any more.
    fn produce(sender: &Self::ManySender, end: u64);

    /// Receives until there is no sender any more, or as many as the quota, whatever the runtime is
    /// better at; returns their sum. The quotas of all receivers are as many as are sent.
    fn consume(receiver: &Self::ManyReceiver, quota: u64) -> u64;

    /// The channel on which the children of a task of a tree report.
    ///
    /// # Errors
    ///
    /// [`Failure::Absent`] if the runtime has none.
    fn reports() -> Result<(Self::Sender, Self::Receiver), Failure> {
        Self::channel(0)
    }

    /// How many tasks there can be at the same time.
    fn capacity() -> u64 {
        u64::MAX
    }
}

/// Runs it in a task and waits for it.
pub(crate) fn in_task<R: Runtime, T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    R::join(R::spawn(f))
}

/// Refuses more tasks than the runtime can have at the same time.
pub(crate) fn fit<R: Runtime>(tasks: u64) -> Result<(), Failure> {
    let capacity = R::capacity();
    if tasks > capacity {
        return Err(Failure::Absent(format!(
            "cannot have {tasks} tasks at the same time on this machine, {capacity} at most"
        )));
    }
    Ok(())
}

/// Runs a task for each of `members` and measures from their common release until the last one has
/// been joined. Returns the sum of what they returned too.
///
/// They assemble at one barrier and are released by another: who has passed the first is about to wait at
/// the second, and after a `yield_now` does. To look again and again whether all have arrived is not an
/// alternative: on may's only worker, one that yields in a loop keeps new ones from ever starting.
///
/// Must be called from a task.
pub(crate) fn crew<R, S, T, F>(members: Vec<S>, work: F) -> (Span, T)
where
    R: Runtime,
    S: Send + 'static,
    T: Sum + Send + 'static,
    F: Fn(S) -> T + Send + Clone + 'static,
{
    let barriers = Arc::new([0, 1].map(|_| R::barrier(members.len() + 1)));
    let tasks: Vec<_> = members
        .into_iter()
        .map(|member| {
            let (barriers, work) = (Arc::clone(&barriers), work.clone());
            R::spawn(move || {
                barriers.iter().for_each(R::wait);
                work(member)
            })
        })
        .collect();
    let [assembly, release] = &*barriers;
    R::wait(assembly);
    R::yield_now();
    let watch = Watch::start();
    R::wait(release);
    let sum = tasks.into_iter().map(R::join).sum();
    (watch.stop(), sum)
}

/// The workloads that need nothing but a [`Runtime`].
///
/// # Errors
///
/// [`Failure::Absent`] for all others, [`Failure::Wrong`] for results that are.
pub fn workload<R: Runtime>(args: &Args) -> Outcome {
    match args.workload.as_str() {
        "yield" => tasks::yields::<R>(args),
        "spawn" => tasks::spawn::<R>(args),
        "timers" => tasks::timers::<R>(args),
        "idle_mem" => tasks::idle_memory::<R>(args),
        "pingpong" => channel::pingpong::<R>(args),
        "chan_mpmc" => channel::mpmc::<R>(args),
        "skynet" => tree::skynet::<R>(args),
        other => Err(Failure::absent(other)),
    }
}
