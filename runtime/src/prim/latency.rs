//! Scheduling latency: how long goroutines wait in queues, as a histogram per P.
//!
//! Looking at the clock twice for each goroutine that is made ready would cost more than switching to it. So one in
//! [`EVERY`] is looked at. It gets a place in one table for all Ps, which keeps the time; the goroutine's slot has
//! a byte for the number of the place. Whoever switches to it looks at that byte, which lies beside the status word
//! that is written then, and gives the place back. If all places are taken the goroutine goes without.
//!
//! The buckets are as wide as a quarter of the power of two that they lie in, so that a quantile is wrong by a fifth
//! at most. Each P has its own, with one writer at a time (`counters`).

use crate::prim::counters::Counter;
// Not through `prim::atomic`: no model runs it, and models' atomics can't be in a static.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One of so many goroutines made ready by a P is timed.
pub(crate) const EVERY: u32 = 256;

/// Places in the table; one byte says which, and 0 says none.
const PLACES: usize = 255;
/// How many are tried.
const TRIES: usize = 4;

/// When the goroutine that has this place was made ready; 0: nobody has it.
static TABLE: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

/// Takes a place for a goroutine made ready `now`, near `hint`, which should differ from call to call. 0: there is none.
pub(crate) fn take_place(now: u64, hint: usize) -> u8 {
    for n in 0..TRIES {
        let place = hint.wrapping_add(n) % PLACES;
        let free = TABLE[place]
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if free {
            return place as u8 + 1;
        }
    }
    0
}

/// Gives a place back; returns when the goroutine that had it was made ready.
pub(crate) fn give_back(place: u8) -> u64 {
    // Relaxed: the goroutine's way through a queue orders this after `take_place`.
    let place = &TABLE[usize::from(place) - 1];
    let since = place.load(Ordering::Relaxed);
    place.store(0, Ordering::Relaxed);
    since
}

/// The first bucket holds what is below 2^FIRST ns, the last what is 2^LAST ns and more.
const FIRST: u32 = 6;
const LAST: u32 = 35;
/// Buckets per power of two, as a power of two.
const SPLIT: u32 = 2;
const BUCKETS: usize = (((LAST - FIRST) << SPLIT) + 2) as usize;

/// The bucket for so many ns.
fn bucket(ns: u64) -> usize {
    let Some(power) = ns.checked_ilog2().filter(|&power| power >= FIRST) else {
        return 0;
    };
    if power >= LAST {
        return BUCKETS - 1;
    }
    let quarter = (ns >> (power - SPLIT)) as u32 & ((1 << SPLIT) - 1);
    (((power - FIRST) << SPLIT) + quarter + 1) as usize
}

/// The smallest number of ns that lies above the bucket; none does above the last.
fn upper(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return u64::MAX;
    }
    let (power, quarter) = (
        (bucket as u32 >> SPLIT) + FIRST,
        bucket as u64 & ((1 << SPLIT) - 1),
    );
    ((1 << SPLIT) + quarter) << (power - SPLIT)
}

/// A P's histogram.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Histogram {
            buckets: std::array::from_fn(|_| Counter::new()),
            sum: Counter::new(),
        }
    }

    /// Counts a goroutine that has waited so long. Only by the owner of the P, in `SCHED`.
    pub(crate) fn add(&self, ns: u64) {
        self.buckets[bucket(ns)].add(1);
        self.sum.add(ns);
    }

    /// Adds what it has counted to `total`. By anybody.
    pub(crate) fn add_to(&self, total: &mut Latencies) {
        for (bucket, counter) in total.buckets.iter_mut().zip(&self.buckets) {
            bucket.count += counter.get();
        }
        total.sum = total
            .sum
            .saturating_add(Duration::from_nanos(self.sum.get()));
    }
}

/// How long goroutines have waited in a queue, from being made ready (or spawned) to running.
///
/// It is a sample: one of 256 goroutines that are made ready is timed. So the counts tell shares and
/// quantiles, not how often anything happened.
///
/// Corresponds to `/sched/latencies:seconds` of Go's `runtime/metrics`.
///
/// # Examples
///
/// ```
/// corio::spawn(|| (0..10_000).for_each(|_| corio::yield_now())).join().unwrap();
/// let latency = corio::metrics().sched_latency;
/// assert!(latency.count() > 0);
/// println!("99% wait for less than {:?}", latency.quantile(0.99));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latencies {
    /// The buckets, shortest latencies first.
    pub buckets: Vec<LatencyBucket>,
    /// The sum of all latencies that were sampled.
    pub sum: Duration,
}

/// One bucket of [`Latencies`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyBucket {
    /// It holds latencies below this number of nanoseconds that don't belong into an earlier one. `u64::MAX` in
    /// the last.
    pub upper_ns: u64,
    /// How many.
    pub count: u64,
}

impl Default for Latencies {
    /// Nothing sampled so far.
    fn default() -> Self {
        Latencies {
            buckets: (0..BUCKETS)
                .map(|bucket| LatencyBucket {
                    upper_ns: upper(bucket),
                    count: 0,
                })
                .collect(),
            sum: Duration::ZERO,
        }
    }
}

impl Latencies {
    /// How many goroutines were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// A latency that this share of the goroutines (0.0 to 1.0) stayed below: the upper end of a bucket, so that it is
    /// too high by a fifth at most. `None` if none was timed, or if it lies in the last bucket, beyond half a minute.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            below += bucket.count;
            below >= rank
        })?;
        (bucket.upper_ns != u64::MAX).then(|| Duration::from_nanos(bucket.upper_ns))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut lower = 0;
        for n in 0..BUCKETS - 1 {
            assert_eq!(bucket(lower), n, "from {lower}");
            assert_eq!(bucket(upper(n) - 1), n, "up to {}", upper(n));
            assert!(n == 0 || upper(n) - lower <= lower / 4, "{lower}");
            lower = upper(n);
        }
        assert_eq!(lower, 1 << LAST);
        assert_eq!(bucket(lower), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_the_ends_of_buckets() {
        let histogram = Histogram::new();
        let mut all = Latencies::default();
        assert_eq!((all.count(), all.quantile(0.5)), (0, None));
        for ns in [100, 100, 100, 5_000_000] {
            histogram.add(ns);
        }
        histogram.add_to(&mut all);
        histogram.add_to(&mut all);
        assert_eq!(all.count(), 8);
        assert_eq!(all.sum, Duration::from_nanos(2 * 5_000_300));
        assert_eq!(all.quantile(0.0), Some(Duration::from_nanos(112)));
        assert_eq!(all.quantile(0.75), Some(Duration::from_nanos(112)));
        let slowest = all.quantile(1.0).unwrap().as_nanos() as u64;
        assert!((5_000_001..=6_250_000).contains(&slowest), "{slowest}");
        histogram.add(1 << 40);
        histogram.add_to(&mut all);
        assert_eq!(all.quantile(1.0), None);
    }

    #[test]
    fn places_are_taken_once_and_given_back() {
        // Others may use the table meanwhile, but not all of it.
        let places: Vec<u8> = (0..50).map(|n| take_place(1000 + n, 200)).collect();
        let mine: Vec<u8> = places.into_iter().filter(|&place| place != 0).collect();
        assert!(mine.len() <= TRIES);
        for place in mine {
            assert!(give_back(place) >= 1000);
        }
    }
}
