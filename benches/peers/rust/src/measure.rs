//! Clocks, rounds and memory.

use std::fs;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::report::{Failure, Row};

/// Runs until it is stopped: the time that passes, and the processor time of all threads.
#[derive(Debug)]
pub struct Watch {
    begin: Instant,
    cpu: Duration,
}

/// What a [`Watch`] has measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Time that has passed.
    pub wall: Duration,
    /// Processor time of the whole process, user and system.
    pub cpu: Duration,
}

impl Watch {
    /// A running watch.
    pub fn start() -> Watch {
        let cpu = cpu_time();
        Watch {
            begin: Instant::now(),
            cpu,
        }
    }

    /// What has been measured.
    pub fn stop(self) -> Span {
        let wall = self.begin.elapsed();
        Span {
            wall,
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

/// Processor time of the process so far, to the nanosecond.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Linux and `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Runs the rounds that are asked for, those for warming up first, and returns what the others measured.
///
/// # Errors
///
/// The first one that `round` returns.
pub fn rounds<T>(
    args: &Args,
    mut round: impl FnMut() -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    for _ in 0..args.warmup {
        round()?;
    }
    (0..args.rounds).map(|_| round()).collect()
}

/// The rows of a workload that consists of so many equal operations.
pub fn per_operation(variant: &str, operations: u64, spans: &[Span]) -> Vec<Row> {
    let nanos = |time: Duration| time.as_nanos() as f64 / operations.max(1) as f64;
    rows(variant, spans, ["ns_per_op", "cpu_ns_per_op"], nanos)
}

/// The rows of a workload that counts as a whole.
pub fn whole(variant: &str, spans: &[Span]) -> Vec<Row> {
    rows(variant, spans, ["wall_ms", "cpu_ms"], millis)
}

/// Milliseconds, with fractions.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn rows(
    variant: &str,
    spans: &[Span],
    [wall, cpu]: [&'static str; 2],
    figure: impl Fn(Duration) -> f64,
) -> Vec<Row> {
    let row = |metric, time: fn(&Span) -> Duration| Row {
        variant: variant.to_owned(),
        flavour: None,
        metric,
        values: spans.iter().map(|span| figure(time(span))).collect(),
    };
    vec![row(wall, |span| span.wall), row(cpu, |span| span.cpu)]
}

/// How long idle tasks are left alone before memory is looked at.
pub const SETTLE: Duration = Duration::from_millis(200);

/// What memory the process has.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident memory in KiB.
    pub rss: u64,
    /// Page tables in KiB.
    pub page_tables: u64,
}

impl Memory {
    /// That of now.
    ///
    /// `smaps_rollup` counts pages; the `VmRSS` of `status` is a sum of per-CPU counters that are some
    /// hundred KiB behind.
    pub fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        Memory {
            rss: field(&rollup, "Rss:")
                .or_else(|| field(&status, "VmRSS:"))
                .unwrap_or(0),
            page_tables: field(&status, "VmPTE:").unwrap_or(0),
        }
    }

    /// The rows of tasks that wait: how many bytes each takes, given the memory with them in each round.
    pub fn rows_per_task(variant: &str, tasks: u64, without: Memory, with: &[Memory]) -> Vec<Row> {
        let row = |metric, kib: fn(&Memory) -> u64| Row {
            variant: variant.to_owned(),
            flavour: None,
            metric,
            values: with
                .iter()
                .map(|with| (kib(with) as f64 - kib(&without) as f64) * 1024.0 / tasks as f64)
                .collect(),
        };
        vec![
            row("rss_bytes_per_task", |memory| memory.rss),
            row("page_table_bytes_per_task", |memory| memory.page_tables),
        ]
    }
}

/// The number in a line `name   number kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_operation() {
        let span = Span {
            wall: Duration::from_micros(3),
            cpu: Duration::from_micros(6),
        };
        let rows = per_operation("x", 1000, &[span]);
        assert_eq!((rows[0].metric, rows[0].values[0]), ("ns_per_op", 3.0));
        assert_eq!((rows[1].metric, rows[1].values[0]), ("cpu_ns_per_op", 6.0));
    }

    #[test]
    fn memory_is_found() {
        let memory = Memory::now();
        assert!(memory.rss > 0 && memory.page_tables > 0, "{memory:?}");
    }
}
