//! What the machine itself became slower or faster by between two runs.
//!
//! A virtual machine has neighbours: for minutes, everything on it takes a third longer. Two runs of one
//! commit, an hour apart, then differ in every row, whatever the rule for noise. Inside a round the peers are
//! measured within seconds of each other; so a figure is put beside what the *other* peers of its
//! workload, variant, number of procs and metric did in that round, in both runs, and only what is left is
//! judged. A change of corio shows in full where there are several others, whose median is taken; between two peers
//! there is only one ratio, and if the one became slower the other seems to have become faster.
//!
//! Memory and counts don't depend on the machine's speed and are judged as they are; so is what only one peer has.
//!
//! Rejected: a fixed piece of work, timed now and then, as a measure of the machine. It would measure the processor,
//! while the network's path through the system changes its speed by itself.

use crate::report::{Report, Row};
use crate::stats;

/// Units of figures that follow the machine's speed.
const SPEEDS: &[&str] = &["ns", "us", "ms", "1/s"];

/// Two rows of two runs at one speed of the machine, that of the first run.
pub(crate) struct Steady {
    pub(crate) before: Row,
    pub(crate) after: Row,
    /// The median figure of the others, of the second run, in those of the first.
    pub(crate) drift: f64,
}

/// The rows `i` and `j` of two runs, which are of the same thing, at one speed; `None` if they stand alone.
pub(crate) fn remove(before: &Report, i: usize, after: &Report, j: usize) -> Option<Steady> {
    let row = &before.results[i];
    if !SPEEDS.contains(&row.unit.as_str()) {
        return None;
    }
    let others: Vec<(usize, usize)> = before
        .results
        .iter()
        .enumerate()
        .filter(|(_, other)| other.beside(row) && other.peer != row.peer && other.median > 0.0)
        .filter_map(|(a, other)| {
            let b = after.results.iter().position(|r| r.key() == other.key())?;
            Some((a, b))
        })
        .collect();
    // Of each round, what the others did, each in its own median of the first run.
    let scale = |a: usize, value: Option<f64>| Some(value? / before.results[a].median);
    let paces = |report: &Report, second: bool, rounds: usize| -> Vec<Option<f64>> {
        (0..rounds)
            .map(|round| {
                let paces: Vec<f64> = others
                    .iter()
                    .filter_map(|&(a, b)| {
                        let figures = &report.rounds[if second { b } else { a }];
                        scale(a, *figures.get(round)?)
                    })
                    .collect();
                stats::median(&paces).filter(|pace| *pace > 0.0)
            })
            .collect()
    };
    let first = paces(before, false, before.rounds[i].len());
    let second = paces(after, true, after.rounds[j].len());
    let flat: Vec<f64> = second.iter().flatten().copied().collect();
    Some(Steady {
        before: at(row, &before.rounds[i], &first)?,
        after: at(&after.results[j], &after.rounds[j], &second)?,
        drift: stats::median(&flat)?,
    })
}

/// The row, its rounds divided by the pace of each.
fn at(row: &Row, rounds: &[Option<f64>], paces: &[Option<f64>]) -> Option<Row> {
    let figures: Vec<Option<f64>> = rounds
        .iter()
        .zip(paces)
        .map(|(figure, pace)| Some((*figure)? / (*pace)?))
        .collect();
    let stats::Summary {
        median,
        min,
        max,
        runs,
    } = stats::summary(&figures)?;
    Some(Row {
        median,
        min,
        max,
        runs,
        ..row.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    /// A run of three peers, each figure of a round times the factor of that round.
    fn run(corio: f64, factors: [f64; 5]) -> Report {
        let mut report = Report::new(Machine::default(), String::new());
        for (peer, base) in [("corio", corio), ("go", 50.0), ("may", 30.0)] {
            for metric in ["ns_per_op", "rss_bytes_per_task"] {
                let rounds = factors.iter().map(|f| Some(f * base)).collect();
                report.add(("yield", "2 tasks", peer), 1, metric, rounds, 0);
            }
        }
        report
    }

    #[test]
    fn what_all_have_in_common_is_the_machines() {
        let (before, after) = (run(20.0, [1.0; 5]), run(26.0, [1.5, 1.4, 1.6, 1.5, 1.5]));
        let steady = remove(&before, 0, &after, 0).unwrap();
        assert_eq!((steady.before.median, steady.drift), (20.0, 1.5));
        assert!((steady.after.max - 26.0).abs() < 1e-9 && (steady.after.min - 26.0).abs() < 1e-9);
    }

    #[test]
    fn memory_and_rows_that_stand_alone_are_left_as_they_are() {
        let (before, mut after) = (run(20.0, [1.0; 5]), run(20.0, [2.0; 5]));
        assert!(remove(&before, 1, &after, 1).is_none());
        after.results.truncate(2);
        after.rounds.truncate(2);
        assert!(remove(&before, 0, &after, 0).is_none());
    }
}
