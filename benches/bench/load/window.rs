//! The measured window, and what is counted in it.
//!
//! Two rules, the same for the closed and the open loop:
//!
//! * An answer counts for throughput if it comes while the window is open.
//! * Its latency counts if the request was due in the window, whenever the answer comes. After the
//!   window nothing more is asked, but what was asked is waited for; otherwise the requests that a
//!   server left lying, the slowest of all, would be those that nobody sees.
//!
//! A request is due, in a closed loop, when it is sent; in an open loop, when the schedule says,
//! though the connection may not have been free yet.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Hook, Latency, LoadResult, Moment};

/// The longest latency that is told from longer ones, ns.
const LONGEST: u64 = 100_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Open,
    Over,
}

/// A window. Times are ns since the warm-up began.
pub(super) struct Window<'h> {
    hook: Hook<'h>,
    start: Instant,
    /// When it is to begin, and how long it is to be; when it has begun, these are what is kept.
    begin: u64,
    duration: u64,
    phase: Phase,
    /// When it was found that the window has begun, and how long it was in the end.
    opened: Instant,
    length: Duration,
    latencies: Histogram<u64>,
    result: LoadResult,
}

impl<'h> Window<'h> {
    /// The warm-up begins.
    pub(super) fn new(
        hook: Hook<'h>,
        connections: usize,
        warmup: Duration,
        duration: Duration,
    ) -> io::Result<Window<'h>> {
        let latencies =
            Histogram::new_with_bounds(1, LONGEST, 3).map_err(|_| io::ErrorKind::InvalidInput)?;
        let begin = warmup.as_nanos() as u64;
        let start = Instant::now();
        Ok(Window {
            hook,
            start,
            begin,
            duration: duration.as_nanos() as u64,
            phase: Phase::Before,
            opened: start,
            length: Duration::ZERO,
            latencies,
            result: LoadResult {
                per_connection: vec![0; connections],
                ..LoadResult::default()
            },
        })
    }

    /// The time; tells the hook if the window has begun or ended meanwhile.
    pub(super) fn now(&mut self) -> io::Result<u64> {
        let time = Instant::now();
        let now = (time - self.start).as_nanos() as u64;
        if self.phase == Phase::Before && now >= self.begin {
            self.phase = Phase::Open;
            self.opened = time;
            self.begin = now;
            (self.hook)(Moment::Begin)?;
        }
        if self.phase == Phase::Open && now >= self.end() {
            self.phase = Phase::Over;
            self.length = time - self.opened;
            (self.hook)(Moment::End)?;
        }
        Ok(now)
    }

    /// When it ends; later if it begins late.
    pub(super) fn end(&self) -> u64 {
        self.begin + self.duration
    }

    /// It has ended.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// How long until it begins or ends.
    pub(super) fn until_change(&self, now: u64) -> Duration {
        match self.phase {
            Phase::Before => Duration::from_nanos(self.begin.saturating_sub(now)),
            Phase::Open => Duration::from_nanos(self.end().saturating_sub(now)),
            Phase::Over => Duration::MAX,
        }
    }

    /// A request that was due then is answered now.
    pub(super) fn answered(&mut self, connection: usize, due: u64, now: u64) {
        self.result.total_requests += 1;
        if self.phase == Phase::Open {
            self.result.requests += 1;
            self.result.per_connection[connection] += 1;
        }
        self.latency(due, now);
    }

    /// A request that was due then has waited until now, though for no answer.
    pub(super) fn latency(&mut self, due: u64, now: u64) {
        if (self.begin..self.end()).contains(&due) {
            self.latencies
                .saturating_record(now.saturating_sub(due).max(1));
        }
    }

    /// What was counted. So many more requests were answered before the warm-up.
    pub(super) fn finish(mut self, before: u64) -> LoadResult {
        let micros = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        self.result.latency = Latency {
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: self.latencies.max() as f64 / 1000.0,
            mean: self.latencies.mean() / 1000.0,
        };
        self.result.seconds = self.length.as_secs_f64();
        self.result.total_requests += before;
        self.result
    }
}
