//! The same crew on each runtime: tasks that begin together, and the time from when the first began
//! until the last had finished, with the sum of what they returned.
//!
//! The sum lets a benchmark check that what it measured has happened. `work` gets each member once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use corio_bench::{crew, testing, within};
use criterion::Bencher;
use tokio::runtime::Runtime;

/// Measures `run`, which gets a number of operations and returns the time that they took.
///
/// Under `--test` there are enough of them for the tasks to get into each other's way.
pub(crate) fn measure(bencher: &mut Bencher<'_>, mut run: impl FnMut(u64) -> Duration) {
    bencher.iter_custom(|operations| run(if testing() { 1000 } else { operations }));
}

/// When a member began, when it finished and what it returned.
type Stint = (Instant, Instant, u64);

fn total(stints: &[Stint]) -> (Duration, u64) {
    let begin = stints.iter().map(|stint| stint.0).min();
    let end = stints.iter().map(|stint| stint.1).max();
    let elapsed = begin.zip(end).map(|(begin, end)| end - begin);
    let sum = stints.iter().map(|stint| stint.2).sum();
    (elapsed.unwrap_or_default(), sum)
}

/// Goroutines, on that many Ps.
pub(crate) fn corio<S, F>(procs: usize, members: Vec<S>, work: F) -> (Duration, u64)
where
    S: Send + 'static,
    F: Fn(S) -> u64 + Send + Sync + Copy + 'static,
{
    within(procs, move || {
        let sum = Arc::new(AtomicU64::new(0));
        let members = members
            .into_iter()
            .map(|member| (member, Arc::clone(&sum)))
            .collect();
        let elapsed = crew(members, 0, move |(member, sum): (S, Arc<AtomicU64>), _| {
            sum.fetch_add(work(member), Relaxed);
        });
        (elapsed, sum.load(Relaxed))
    })
}

/// Tokio's tasks.
pub(crate) fn tokio<S, F, W>(runtime: &Runtime, members: Vec<S>, work: F) -> (Duration, u64)
where
    S: Send + 'static,
    F: Fn(S) -> W + Send + Copy + 'static,
    W: Future<Output = u64> + Send + 'static,
{
    let barrier = Arc::new(tokio::sync::Barrier::new(members.len()));
    let tasks: Vec<_> = members
        .into_iter()
        .map(|member| {
            let barrier = Arc::clone(&barrier);
            runtime.spawn(async move {
                barrier.wait().await;
                let begin = Instant::now();
                let sum = work(member).await;
                (begin, Instant::now(), sum)
            })
        })
        .collect();
    let stints: Vec<Stint> = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).expect("a task that does not panic"))
        .collect();
    total(&stints)
}

/// May's coroutines; see [`crate::peers::may`].
pub(crate) fn may<S, F>(members: Vec<S>, work: F) -> (Duration, u64)
where
    S: Send + 'static,
    F: Fn(S) -> u64 + Send + Copy + 'static,
{
    let barrier = Arc::new(may::sync::Barrier::new(members.len()));
    let coroutines: Vec<_> = members
        .into_iter()
        .map(|member| {
            let barrier = Arc::clone(&barrier);
            may::go!(move || {
                barrier.wait();
                let begin = Instant::now();
                let sum = work(member);
                (begin, Instant::now(), sum)
            })
        })
        .collect();
    let stints: Vec<Stint> = coroutines
        .into_iter()
        .map(|coroutine| coroutine.join().expect("a coroutine that does not panic"))
        .collect();
    total(&stints)
}

/// Threads.
pub(crate) fn threads<S, F>(members: Vec<S>, work: F) -> (Duration, u64)
where
    S: Send + 'static,
    F: Fn(S) -> u64 + Send + Copy + 'static,
{
    let barrier = Arc::new(Barrier::new(members.len()));
    let threads: Vec<_> = members
        .into_iter()
        .map(|member| {
            let barrier = Arc::clone(&barrier);
            std::thread::spawn(move || {
                barrier.wait();
                let begin = Instant::now();
                let sum = work(member);
                (begin, Instant::now(), sum)
            })
        })
        .collect();
    let stints: Vec<Stint> = threads
        .into_iter()
        .map(|thread| thread.join().expect("a thread that does not panic"))
        .collect();
    total(&stints)
}
