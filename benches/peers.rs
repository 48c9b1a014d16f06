//! The runtimes that stand beside corio.

use tokio::runtime::{Builder, Runtime};

/// A tokio runtime with that many workers.
pub(crate) fn tokio(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("a tokio runtime")
}

/// Sets the number of may's workers and returns it.
///
/// It is settled for the whole process when the first coroutine starts, so it comes from the
/// environment and all calls return the same.
pub(crate) fn may() -> usize {
    let workers = std::env::var("BENCH_MAY_WORKERS")
        .map_or(1, |value| value.parse().expect("a number of workers"));
    may::config().set_workers(workers);
    workers
}
