//! From ticks to nanoseconds.
//!
//! At every pass the collector looks at the counter and at the clock together: that is a *mark*. Between two marks time is
//! interpolated, so nobody need know how fast the counter is, and an error doesn't add up. Events are written at the pass
//! after the one that found them, when there is a mark behind them; only at the very end there is none to wait for.

use crate::prim::clock;
use crate::prim::trace::stamp::Stamp;

/// A moment: ticks and nanoseconds since the trace began.
#[derive(Clone, Copy, Debug)]
struct Mark {
    ticks: i64,
    ns: u64,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Timeline {
    start: Stamp,
    start_ns: u64,
    /// The latest three, oldest first.
    marks: [Mark; 3],
}

impl Timeline {
    /// One that begins now.
    pub(super) fn new() -> Timeline {
        Timeline {
            start: Stamp::now(),
            start_ns: clock::now(),
            marks: [Mark { ticks: 0, ns: 0 }; 3],
        }
    }

    /// Ticks since the beginning; negative before it.
    pub(super) fn ticks(&self, stamp: Stamp) -> i64 {
        stamp.since(self.start)
    }

    /// Sets a mark; returns the ticks of the one before it.
    pub(super) fn mark(&mut self) -> i64 {
        let ticks = self.ticks(Stamp::now());
        let ns = clock::now() - self.start_ns;
        self.set(Mark { ticks, ns })
    }

    fn set(&mut self, mark: Mark) -> i64 {
        let [_, before, last] = self.marks;
        if mark.ticks > last.ticks {
            self.marks = [before, last, mark];
        }
        last.ticks
    }

    /// The last mark, in ticks.
    pub(super) fn now_ticks(&self) -> i64 {
        self.marks[2].ticks
    }

    /// The last mark, in ns.
    pub(super) fn now(&self) -> u64 {
        self.marks[2].ns
    }

    /// Nanoseconds since the beginning; exact from the last mark but two to the last.
    pub(super) fn ns(&self, ticks: i64) -> u64 {
        let [first, middle, last] = self.marks;
        let (from, to) = if ticks <= middle.ticks && first.ticks < middle.ticks {
            (first, middle)
        } else {
            (middle, last)
        };
        if from.ticks == to.ticks {
            return to.ns;
        }
        let speed = (to.ns - from.ns) as f64 / (to.ticks - from.ticks) as f64;
        let after = ((ticks - from.ticks) as f64 * speed) as i64;
        from.ns.saturating_add_signed(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_interpolated_between_marks() {
        let mut line = Timeline::new();
        assert_eq!(line.ns(5), 0, "nothing is known so far");
        for (ticks, ns, before) in [(3000, 1000, 0), (6000, 2000, 3000), (9000, 3500, 6000)] {
            assert_eq!(line.set(Mark { ticks, ns }), before);
        }
        let at = |ticks| line.ns(ticks);
        assert_eq!(
            [3000, 4500, 6000, 7000, 9000].map(at),
            [1000, 1500, 2000, 2500, 3500]
        );
        // Beyond them, as fast as beside them.
        assert_eq!([0, 1500, 11_000].map(at), [0, 500, 4500]);
        // No time has passed.
        assert_eq!(
            line.set(Mark {
                ticks: 9000,
                ns: 3500
            }),
            9000
        );
        assert_eq!(line.ns(9000), 3500);
    }

    #[test]
    fn stamps_lie_where_the_clock_says() {
        let mut line = Timeline::new();
        let before = clock::now();
        while clock::now() < before + 2_000_000 {}
        let stamp = Stamp::now();
        let now = clock::now();
        line.mark();
        let ns = line.ns(line.ticks(stamp));
        assert!(ns >= 2_000_000 && ns <= line.now(), "{ns}");
        assert!(now - line.start_ns + 100_000_000 > ns);
    }
}
