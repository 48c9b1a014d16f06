//! A fixed number of workers share a queue of jobs, and report to one collector.
//!
//! `cargo run --release --example worker_pool -- --workers 3 --jobs 10`. The same in Go stands in
//! `examples/go/worker_pool.go`. This is the pattern with channels alone; `corio::pool::WorkerPool` is the
//! ready-made thing, with a queue limit, idle expiry and a panic handler.

use std::process::ExitCode;

use clap::Parser;
use corio::channel::{Receiver, Sender, bounded, unbounded};
use corio::go;
use corio_examples::{run, say};

/// Computes some Collatz lengths, each job one start number.
#[derive(Parser)]
struct Args {
    /// Goroutines that work.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Jobs, numbered from 1.
    #[arg(long, default_value_t = 10)]
    jobs: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("worker_pool", move || {
        let (jobs, queue) = bounded(16);
        let (results, collected) = unbounded();
        for _ in 0..args.workers {
            go!(work(queue.clone(), results.clone()));
        }
        // The workers have theirs; when the last one ends, so does the loop over the results.
        drop((queue, results));
        go!(move || (1..=args.jobs)
            .for_each(|job| jobs.send(job).expect("workers outlive the jobs")));
        let mut lengths: Vec<(u64, u64)> = collected.iter().collect();
        lengths.sort_unstable();
        for (job, length) in lengths {
            say!("job {job}: {length} steps");
        }
        Ok(())
    })
}

/// Takes jobs until there are no more.
fn work(queue: Receiver<u64>, results: Sender<(u64, u64)>) {
    for job in queue {
        results
            .send((job, collatz(job)))
            .expect("the collector outlives the workers");
    }
}

/// Steps until 1.
fn collatz(mut n: u64) -> u64 {
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) {
            n / 2
        } else {
            3 * n + 1
        };
        steps += 1;
    }
    steps
}
