//! Tasks by themselves: yielding, starting, sleeping, doing nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::{Runtime, crew, fit, in_task};
use crate::args::Args;
use crate::measure::{Memory, SETTLE, Span, Watch, millis, per_operation, rounds, whole};
use crate::report::{Failure, Outcome, Row};
use crate::work::{check, lateness, nap, shares};

/// To the back of the queue and, in time, to the front again.
pub(super) fn yields<R: Runtime>(args: &Args) -> Outcome {
    let (n, tasks) = (args.n(10_000_000), args.tasks(2));
    fit::<R>(tasks)?;
    let spans = rounds(args, || {
        let (span, yields) = in_task::<R, _>(move || {
            crew::<R, _, u64, _>(shares(n, tasks).collect(), |share| {
                (0..share).for_each(|_| R::yield_now());
                share
            })
        });
        check("yields", yields, n)?;
        Ok(span)
    })?;
    Ok(per_operation(&format!("{tasks} tasks"), n, &spans))
}

/// Starting tasks that do next to nothing, and joining them.
pub(super) fn spawn<R: Runtime>(args: &Args) -> Outcome {
    let n = args.n(1_000_000);
    let name = match args.mode("one") {
        "one" => "one by one",
        "burst" => "burst",
        mode => return Err(Failure::absent(format!("spawn --mode {mode}"))),
    };
    let burst = name == "burst";
    fit::<R>(if burst { n } else { 1 })?;
    let spans = rounds(args, || {
        let (span, ran) = in_task::<R, _>(move || {
            if burst {
                in_burst::<R>(n)
            } else {
                one_by_one::<R>(n)
            }
        });
        check("tasks", ran, n)?;
        Ok(span)
    })?;
    Ok(per_operation(name, n, &spans))
}

fn one_by_one<R: Runtime>(n: u64) -> (Span, u64) {
    let watch = Watch::start();
    let ran = (0..n).map(|_| R::join(R::spawn(|| black_box(1_u64)))).sum();
    (watch.stop(), ran)
}

fn in_burst<R: Runtime>(n: u64) -> (Span, u64) {
    let mut tasks = Vec::with_capacity(n as usize);
    let watch = Watch::start();
    tasks.extend((0..n).map(|_| R::spawn(|| black_box(1_u64))));
    let ran = tasks.into_iter().map(R::join).sum();
    (watch.stop(), ran)
}

/// Many tasks that are started and sleep for times that are spread over a range.
pub(super) fn timers<R: Runtime>(args: &Args) -> Outcome {
    let (n, min_ms, max_ms) = (args.n(100_000), args.min_ms, args.max_ms);
    fit::<R>(n)?;
    let results = rounds(args, || {
        Ok(in_task::<R, _>(move || {
            let mut tasks = Vec::with_capacity(n as usize);
            let watch = Watch::start();
            tasks.extend((0..n).map(|sleeper| {
                R::spawn(move || {
                    let nap = nap(sleeper, min_ms, max_ms);
                    let begin = Instant::now();
                    R::sleep(nap);
                    lateness(begin.elapsed(), nap)
                })
            }));
            let latest = tasks.into_iter().map(R::join).max().unwrap_or(0);
            (watch.stop(), Duration::from_nanos(latest))
        }))
    })?;
    let variant = format!("{n} timers");
    let spans: Vec<_> = results.iter().map(|result| result.0).collect();
    let mut rows = whole(&variant, &spans);
    rows.push(Row {
        variant,
        flavour: None,
        metric: "late_max_ms",
        values: results.iter().map(|result| millis(result.1)).collect(),
    });
    Ok(rows)
}

/// How much memory a task takes that waits and will not be needed for a while.
///
/// There is no warming up: memory that an earlier round has left behind would not count.
pub(super) fn idle_memory<R: Runtime>(args: &Args) -> Outcome {
    let n = args.n(100_000);
    fit::<R>(n)?;
    let without = in_task::<R, _>(Memory::now);
    let with: Vec<_> = (0..args.rounds)
        .map(|_| {
            let (memory, woken) = in_task::<R, _>(move || idle::<R>(n));
            check("tasks that were woken", woken, n)?;
            Ok(memory)
        })
        .collect::<Result<_, Failure>>()?;
    let variant = format!("{n} tasks");
    Ok(Memory::rows_per_task(&variant, n, without, &with))
}

/// The memory with so many tasks that wait, and how many of them could be woken afterwards.
fn idle<R: Runtime>(n: u64) -> (Memory, u64) {
    let barrier = Arc::new(R::barrier(n as usize + 1));
    let waiting = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            let (barrier, waiting) = (Arc::clone(&barrier), Arc::clone(&waiting));
            R::spawn(move || {
                waiting.fetch_add(1, Relaxed);
                R::wait(&barrier);
                1
            })
        })
        .collect();
    while waiting.load(Relaxed) < n {
        R::sleep(Duration::from_millis(1));
    }
    R::sleep(SETTLE);
    // On a thread, so that what reading needs in stack is not the runtime's.
    let memory = thread::spawn(Memory::now).join();
    R::wait(&barrier);
    let woken = tasks.into_iter().map(R::join).sum();
    (memory.expect("a look at the memory"), woken)
}
