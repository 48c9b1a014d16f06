//! The attempts to connect that are under way: which of them somebody may wait for, and how long.
//!
//! ```text
//!              begin                     fall_due
//!   (a place) ───────► awaited, until due ───────► overdue
//!                           ▲                         │
//!                           └──────── renew ──────────┘     both: end
//! ```
//!
//! The function that connects can't be interrupted. So when an attempt has lasted as long as connecting may,
//! only the waiting for it ends. It goes on, and keeps its place: it may still make a connection. If there are
//! waiters and no places for new attempts, those that are overdue are waited for once more, as long as for
//! a new one.
//!
//! **Invariant**: `awaited` is in the order of the times, as all wait equally long from when they are added.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    next: u64,
    /// When they become overdue, if ever.
    awaited: VecDeque<(u64, Option<Instant>)>,
    /// For the longest time first.
    overdue: VecDeque<u64>,
}

impl Attempts {
    /// All that are under way.
    pub(super) fn len(&self) -> usize {
        self.awaited.len() + self.overdue.len()
    }

    /// Those whose time isn't over.
    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Adds so many, and returns their numbers.
    pub(super) fn begin(&mut self, count: usize, due: Option<Instant>) -> Range<u64> {
        let first = self.next;
        for _ in 0..count {
            self.awaited.push_back((self.next, due));
            self.next += 1;
        }
        first..self.next
    }

    /// Gives up to so many of those that are overdue another time.
    pub(super) fn renew(&mut self, count: usize, due: Option<Instant>) {
        let count = count.min(self.overdue.len());
        let renewed = self.overdue.drain(..count);
        self.awaited.extend(renewed.map(|number| (number, due)));
    }

    /// Is the time of one over now? It is overdue then.
    pub(super) fn fall_due(&mut self, now: Instant) -> bool {
        if self.first_due().is_none_or(|due| now < due) {
            return false;
        }
        let first = self.awaited.pop_front();
        self.overdue.extend(first.map(|(number, _)| number));
        true
    }

    /// When the next one will be overdue.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.awaited.front()?.1
    }

    /// Removes one that has ended; was it awaited?
    pub(super) fn end(&mut self, number: u64) -> bool {
        // Near the front: most end in the order in which they began.
        let awaited = self.awaited.iter().position(|&(each, _)| each == number);
        match awaited {
            Some(index) => drop(self.awaited.remove(index)),
            None => self.overdue.retain(|&each| each != number),
        }
        awaited.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn attempts_fall_due_in_order_and_are_renewed_longest_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut attempts = Attempts::default();
        assert_eq!(attempts.begin(2, Some(at(1))), 0..2);
        assert_eq!(attempts.begin(1, Some(at(2))), 2..3);
        assert!(!attempts.fall_due(at(0)));
        assert!(attempts.fall_due(at(1)) && attempts.fall_due(at(1)));
        assert!(!attempts.fall_due(at(1)));
        assert_eq!((attempts.len(), attempts.awaited()), (3, 1));
        attempts.renew(1, Some(at(3)));
        assert_eq!(attempts.first_due(), Some(at(2)));
        assert!(attempts.end(0), "renewed");
        assert!(!attempts.end(1), "overdue");
        assert!(attempts.end(2));
        attempts.renew(5, Some(at(4)));
        assert_eq!((attempts.len(), attempts.first_due()), (0, None));
    }

    #[test]
    fn without_a_time_none_falls_due() {
        let mut attempts = Attempts::default();
        attempts.begin(1, None);
        assert!(!attempts.fall_due(Instant::now()));
        assert_eq!(attempts.awaited(), 1);
    }
}
