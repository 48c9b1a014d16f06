//! Tasks that begin together.

use std::sync::Arc;

use corio_bench_peers::measure::{Span, Watch};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::yield_now;

/// Runs a future in a task, since `block_on` itself would poll it on a thread that is not a worker.
pub(crate) fn in_task<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    let task = runtime.spawn(future);
    runtime.block_on(task).expect("a task that does not panic")
}

/// Runs a task for each of `members` and measures from their common release until the last one has
/// been joined. Returns the sum of what they returned too.
pub(crate) fn crew<S, F, W>(runtime: &Runtime, members: Vec<S>, work: F) -> (Span, u64)
where
    S: Send + 'static,
    F: Fn(S) -> W + Send + Clone + 'static,
    W: Future<Output = u64> + Send + 'static,
{
    in_task(runtime, async move {
        let barriers = Arc::new([0, 1].map(|_| Barrier::new(members.len() + 1)));
        let mut tasks = Vec::with_capacity(members.len());
        for member in members {
            let (barriers, work) = (Arc::clone(&barriers), work.clone());
            tasks.push(tokio::spawn(async move {
                for barrier in &*barriers {
                    barrier.wait().await;
                }
                work(member).await
            }));
        }
        let [assembly, release] = &*barriers;
        assembly.wait().await;
        yield_now().await;
        let watch = Watch::start();
        release.wait().await;
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("a task that does not panic");
        }
        (watch.stop(), sum)
    })
}
