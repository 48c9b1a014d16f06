//! Locks: the figure is per turn, that is, taken once and released.

use std::hint::black_box;
use std::sync::Arc;

use corio_bench_peers::measure::{per_operation, rounds};
use corio_bench_peers::work::{Shared, Turns, Writes, check, shares};
use corio_bench_peers::{Args, Outcome};
use tokio::runtime::Runtime;

use crate::crew::crew;

/// The workload on one kind of lock, by its methods to read, to write, and to look at it in the end.
macro_rules! turns {
    ($runtime:expr, $args:expr, $reads:expr, $lock:ident $read:ident $write:ident $look:ident) => {{
        let n = $args.n(4_000_000);
        let setting = Turns {
            tasks: $args.tasks(8),
            reads: $reads,
        };
        let spans = rounds($args, || {
            let lock = Arc::new(tokio::sync::$lock::<Shared>::default());
            let members = shares(n, setting.tasks)
                .map(|share| (Arc::clone(&lock), share))
                .collect();
            let work = move |(lock, turns): (Arc<tokio::sync::$lock<Shared>>, u64)| async move {
                let (lock, steps) = (black_box(&*lock), setting.steps());
                let mut writes = Writes::new(setting.reads);
                for _ in 0..turns {
                    if writes.next_turn() {
                        lock.$write().await.change(steps);
                    } else {
                        lock.$read().await.look(steps);
                    }
                }
                turns
            };
            let (span, taken) = crew($runtime, members, work);
            check("turns", taken, n)?;
            check("changes", lock.$look().changes, setting.changes(n))?;
            Ok(span)
        })?;
        Ok(per_operation(&setting.name(), n, &spans))
    }};
}

pub(crate) fn mutex(runtime: &Runtime, args: &Args) -> Outcome {
    turns!(runtime, args, 0, Mutex lock lock blocking_lock)
}

pub(crate) fn rwlock(runtime: &Runtime, args: &Args) -> Outcome {
    turns!(runtime, args, args.reads, RwLock read write blocking_read)
}
