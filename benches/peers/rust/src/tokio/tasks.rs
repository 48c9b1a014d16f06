//! Tasks by themselves: yielding, starting, sleeping, doing nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use corio_bench_peers::measure::{
    Memory, SETTLE, Span, Watch, millis, per_operation, rounds, whole,
};
use corio_bench_peers::work::{check, lateness, nap, shares};
use corio_bench_peers::{Args, Failure, Outcome, Row};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::crew::{crew, in_task};

/// To the back of the queue and, in time, to the front again.
pub(crate) fn yields(runtime: &Runtime, args: &Args) -> Outcome {
    let (n, tasks) = (args.n(10_000_000), args.tasks(2));
    let spans = rounds(args, || {
        let members = shares(n, tasks).collect();
        let (span, yields) = crew(runtime, members, async |share| {
            for _ in 0..share {
                yield_now().await;
            }
            share
        });
        check("yields", yields, n)?;
        Ok(span)
    })?;
    Ok(per_operation(&format!("{tasks} tasks"), n, &spans))
}

/// Starting tasks that do next to nothing, and joining them.
pub(crate) fn spawn(runtime: &Runtime, args: &Args) -> Outcome {
    let n = args.n(1_000_000);
    let name = match args.mode("one") {
        "one" => "one by one",
        "burst" => "burst",
        mode => return Err(Failure::absent(format!("spawn --mode {mode}"))),
    };
    let spans = rounds(args, || {
        let (span, ran) = if name == "burst" {
            in_task(runtime, burst(n))
        } else {
            in_task(runtime, one_by_one(n))
        };
        check("tasks", ran, n)?;
        Ok(span)
    })?;
    Ok(per_operation(name, n, &spans))
}

async fn one_by_one(n: u64) -> (Span, u64) {
    let watch = Watch::start();
    let mut ran = 0;
    for _ in 0..n {
        let task = tokio::spawn(async { black_box(1_u64) });
        ran += task.await.expect("a task that does not panic");
    }
    (watch.stop(), ran)
}

async fn burst(n: u64) -> (Span, u64) {
    let mut tasks = Vec::with_capacity(n as usize);
    let watch = Watch::start();
    tasks.extend((0..n).map(|_| tokio::spawn(async { black_box(1_u64) })));
    let mut ran = 0;
    for task in tasks {
        ran += task.await.expect("a task that does not panic");
    }
    (watch.stop(), ran)
}

/// Many tasks that are started and sleep for times that are spread over a range.
pub(crate) fn timers(runtime: &Runtime, args: &Args) -> Outcome {
    let (n, min_ms, max_ms) = (args.n(100_000), args.min_ms, args.max_ms);
    let results = rounds(args, || {
        Ok(in_task(runtime, async move {
            let mut tasks = Vec::with_capacity(n as usize);
            let watch = Watch::start();
            tasks.extend((0..n).map(|sleeper| {
                tokio::spawn(async move {
                    let nap = nap(sleeper, min_ms, max_ms);
                    let begin = Instant::now();
                    sleep(nap).await;
                    lateness(begin.elapsed(), nap)
                })
            }));
            let mut latest = 0;
            for task in tasks {
                latest = latest.max(task.await.expect("a sleep that is long enough"));
            }
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
pub(crate) fn idle_memory(runtime: &Runtime, args: &Args) -> Outcome {
    let n = args.n(100_000);
    let without = in_task(runtime, async { Memory::now() });
    let with: Vec<_> = (0..args.rounds)
        .map(|_| {
            let (memory, woken) = in_task(runtime, idle(n));
            check("tasks that were woken", woken, n)?;
            Ok(memory)
        })
        .collect::<Result<_, Failure>>()?;
    let variant = format!("{n} tasks");
    Ok(Memory::rows_per_task(&variant, n, without, &with))
}

/// The memory with so many tasks that wait, and how many of them could be woken afterwards.
async fn idle(n: u64) -> (Memory, u64) {
    let (release, released) = watch::channel(());
    let waiting = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let (mut released, waiting) = (released.clone(), Arc::clone(&waiting));
        tasks.push(tokio::spawn(async move {
            waiting.fetch_add(1, Relaxed);
            u64::from(released.changed().await.is_ok())
        }));
    }
    while waiting.load(Relaxed) < n {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(SETTLE).await;
    let memory = Memory::now();
    release.send_replace(());
    let mut woken = 0;
    for task in tasks {
        woken += task.await.expect("a task that does not panic");
    }
    (memory, woken)
}
