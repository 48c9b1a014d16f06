//! What is computed, sent and added up, in the same way by all peers, and what must come out.

use std::hint::black_box;
use std::time::Duration;

use crate::report::Failure;

/// Steps of [`xorshift`] under a contended lock: about 13 ns.
pub const STEPS: u32 = 8;

/// Children of each task of a tree that is not a leaf.
pub const CHILDREN: u64 = 10;

/// Splits `total` into `count` parts that differ by one at most.
pub fn shares(total: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| total / count + u64::from(index < total % count))
}

/// The sum of the numbers below `end`.
pub fn sum_below(end: u64) -> u64 {
    end * end.saturating_sub(1) / 2
}

/// Checks that something came out as it must.
///
/// # Errors
///
/// [`Failure::Wrong`] that says what it is.
pub fn check(what: &str, is: u64, should: u64) -> Result<(), Failure> {
    if is == should {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{what}: {is} instead of {should}")))
}

/// Random numbers, each step of which needs the one before: they take time and touch no memory.
pub fn xorshift(mut x: u64, steps: u32) -> u64 {
    x |= 1;
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

/// What is under a lock: the state of a computation, and how often it has been changed.
#[derive(Debug, Default)]
pub struct Shared {
    state: u64,
    /// How often it has been changed.
    pub changes: u64,
}

impl Shared {
    /// Goes on with the computation.
    pub fn change(&mut self, steps: u32) {
        self.state = xorshift(self.state, steps);
        self.changes += 1;
    }

    /// Computes as much, and changes nothing.
    pub fn look(&self, steps: u32) {
        black_box(xorshift(self.state, steps));
    }
}

/// Whose turn it is to write: so many turns in a hundred only read, evenly spread.
///
/// Every turn gives credit, a write costs 100 of it.
#[derive(Debug)]
pub struct Writes {
    per_turn: u64,
    credit: u64,
}

impl Writes {
    /// At the first of the turns, of which `reads` in 100 only read.
    pub fn new(reads: u64) -> Writes {
        Writes {
            per_turn: 100 - reads,
            credit: 0,
        }
    }

    /// Whether the next turn writes.
    pub fn next_turn(&mut self) -> bool {
        self.credit += self.per_turn;
        let writes = self.credit >= 100;
        if writes {
            self.credit -= 100;
        }
        writes
    }

    /// How many of so many turns write.
    pub fn among(turns: u64, reads: u64) -> u64 {
        turns * (100 - reads) / 100
    }
}

/// How a lock is used.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// How many tasks compete.
    pub tasks: u64,
    /// Turns in a hundred that only read.
    pub reads: u64,
}

impl Turns {
    /// What is computed under the lock: nothing if nobody competes, so that the lock itself shows.
    pub fn steps(self) -> u32 {
        if self.tasks > 1 { STEPS } else { 0 }
    }

    /// The variant's name.
    pub fn name(self) -> String {
        let tasks = match self.tasks {
            1 => "uncontended".to_owned(),
            tasks => format!("{tasks} tasks"),
        };
        match self.reads {
            0 => tasks,
            reads => format!("{tasks} {reads}% reads"),
        }
    }

    /// How many of so many turns, shared among the tasks, must have changed what is locked.
    pub fn changes(self, turns: u64) -> u64 {
        shares(turns, self.tasks)
            .map(|share| Writes::among(share, self.reads))
            .sum()
    }
}

/// A subtree of tasks: the number of its first leaf, and how many leaves it has.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    /// The number of the first leaf, which is what it returns.
    pub first: u64,
    /// How many leaves there are.
    pub leaves: u64,
}

impl Tree {
    /// The whole tree.
    ///
    /// # Errors
    ///
    /// [`Failure::Wrong`] if the number of leaves is not a power of 10.
    pub fn with(leaves: u64) -> Result<Tree, Failure> {
        if leaves == 0 || CHILDREN.pow(leaves.ilog10()) != leaves {
            return Err(Failure::Wrong(format!("{leaves} is not a power of 10")));
        }
        Ok(Tree { first: 0, leaves })
    }

    /// How many tasks it takes, the root included.
    pub fn tasks(self) -> u64 {
        self.leaves + (self.leaves - 1) / (CHILDREN - 1)
    }

    /// The subtrees of the root.
    pub fn children(self) -> impl Iterator<Item = Tree> {
        let leaves = self.leaves / CHILDREN;
        (0..CHILDREN).map(move |child| Tree {
            first: self.first + child * leaves,
            leaves,
        })
    }
}

/// How long the sleeper of that number sleeps: spread over the range of milliseconds.
pub fn nap(sleeper: u64, min_ms: u64, max_ms: u64) -> Duration {
    let range = max_ms.saturating_sub(min_ms) + 1;
    Duration::from_millis(min_ms + sleeper % range)
}

/// By how many nanoseconds a sleeper was late.
///
/// # Panics
///
/// If it was early.
pub fn lateness(slept: Duration, nap: Duration) -> u64 {
    let late = slept
        .checked_sub(nap)
        .expect("a sleep that lasts as long as was asked for");
    late.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_as_many_as_announced() {
        for (turns, reads) in [(1000, 90), (999, 90), (10, 0), (10, 100), (7, 33)] {
            let mut writes = Writes::new(reads);
            let count = (0..turns).filter(|_| writes.next_turn()).count() as u64;
            assert_eq!(count, Writes::among(turns, reads), "{turns} {reads}");
        }
    }

    #[test]
    fn trees_are_counted() {
        assert_eq!(Tree::with(1).unwrap().tasks(), 1);
        assert_eq!(Tree::with(1_000_000).unwrap().tasks(), 1_111_111);
        assert!(Tree::with(0).is_err() && Tree::with(20).is_err());
        let leaves: u64 = Tree::with(100)
            .unwrap()
            .children()
            .map(|tree| tree.leaves)
            .sum();
        assert_eq!(leaves, 100);
    }
}
