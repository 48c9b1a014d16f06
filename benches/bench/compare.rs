//! `bench compare`: two runs, row by row, by the noise rule of [`crate::stats`], at one speed of the machine
//! ([`crate::drift`]).

use crate::catalog;
use crate::drift::{self, Steady};
use crate::report::{Report, Row};
use crate::stats::{Side, Summary, Verdict, change, judge};
use crate::table::{align, figure};

/// The margin of a metric that is not in the catalog.
const MARGIN: f64 = 0.15;

/// What came of comparing.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    rows: Vec<Pair<'a>>,
    /// Rows that only one of the runs has.
    alone: usize,
    warnings: Vec<String>,
}

/// A row of both runs.
#[derive(Debug)]
struct Pair<'a> {
    before: &'a Row,
    after: &'a Row,
    verdict: Verdict,
    /// How much more the second figure is, without what the machine changed by.
    change: f64,
    /// What the machine changed by, if that is known.
    drift: Option<f64>,
}

impl<'a> Pair<'a> {
    fn of((before, i): (&'a Report, usize), (after, j): (&'a Report, usize)) -> Pair<'a> {
        let (a, b) = (&before.results[i], &after.results[j]);
        let (verdict, change, drift) = match drift::remove(before, i, after, j) {
            Some(Steady {
                before,
                after,
                drift,
            }) => (
                verdict(&before, &after),
                difference(&before, &after),
                Some(drift),
            ),
            None => (verdict(a, b), difference(a, b), None),
        };
        Pair {
            before: a,
            after: b,
            verdict,
            change,
            drift,
        }
    }
}

fn difference(before: &Row, after: &Row) -> f64 {
    change(side(before).summary, side(after).summary)
}

fn side(row: &Row) -> Side {
    let Row {
        median,
        min,
        max,
        runs,
        disturbed,
        ..
    } = *row;
    Side {
        summary: Summary {
            median,
            min,
            max,
            runs,
        },
        disturbed,
    }
}

/// What the noise rule says about two rows of one metric.
pub(crate) fn verdict(before: &Row, after: &Row) -> Verdict {
    let margin = catalog::metric(&before.metric).map_or(MARGIN, |metric| metric.margin);
    judge(side(before), side(after), margin, before.lower_is_better)
}

impl<'a> Comparison<'a> {
    /// Compares.
    pub(crate) fn of(before: &'a Report, after: &'a Report) -> Comparison<'a> {
        let mut rows = Vec::new();
        for (i, a) in before.results.iter().enumerate() {
            if let Some(j) = after.results.iter().position(|b| b.key() == a.key()) {
                rows.push(Pair::of((before, i), (after, j)));
            }
        }
        let mut warnings = Vec::new();
        let (m, n) = (&before.machine, &after.machine);
        for (what, a, b) in [
            ("CPU", m.cpu.clone(), n.cpu.clone()),
            ("number of CPUs", m.cpus.to_string(), n.cpus.to_string()),
            ("kernel", m.kernel.clone(), n.kernel.clone()),
            ("governor", m.governor.clone(), n.governor.clone()),
        ] {
            if a != b {
                warnings.push(format!("the {what} differs: {a}, {b}"));
            }
        }
        let alone = before.results.len() + after.results.len() - 2 * rows.len();
        Comparison {
            rows,
            alone,
            warnings,
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.rows
            .iter()
            .filter(|row| row.verdict == verdict)
            .count()
    }

    /// How many rows are worse beyond noise.
    pub(crate) fn worse(&self) -> usize {
        self.count(Verdict::Worse)
    }

    /// For a person: the rows that differ and how many do not; `all` adds those not judged.
    pub(crate) fn text(&self, all: bool) -> String {
        let mut text: String = self
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}\n"))
            .collect();
        let headings = [
            (Verdict::Worse, "worse beyond noise"),
            (Verdict::Better, "better beyond noise"),
            (
                Verdict::Unjudged,
                "not judged: fewer than 5 rounds, or most of them disturbed",
            ),
        ];
        for (verdict, heading) in headings {
            let mut lines = Vec::new();
            for row in self.rows.iter().filter(|row| row.verdict == verdict) {
                let (a, b) = (row.before, row.after);
                lines.push(vec![
                    format!(
                        "{}, {}, {}, procs {}",
                        a.workload, a.variant, a.peer, a.procs
                    ),
                    a.metric.clone(),
                    figure(a.median),
                    format!("[{}..{}]", figure(a.min), figure(a.max)),
                    "->".to_owned(),
                    figure(b.median),
                    format!("[{}..{}]", figure(b.min), figure(b.max)),
                    format!("{:+.1}%", 100.0 * row.change),
                    row.drift
                        .map(|drift| format!("beside the others' {:+.1}%", 100.0 * (drift - 1.0)))
                        .unwrap_or_default(),
                ]);
            }
            if !lines.is_empty() && (all || verdict != Verdict::Unjudged) {
                text.push_str(&format!("{heading}:\n{}", align(&lines)));
            }
        }
        let judged = self.rows.len() - self.count(Verdict::Unjudged);
        let differ = self.count(Verdict::Worse) + self.count(Verdict::Better);
        let share = match judged {
            0 => String::new(),
            _ => {
                let same = 100.0 * (judged - differ) as f64 / judged as f64;
                format!(" ({same:.1}% of those judged)")
            }
        };
        text.push_str(&format!(
            "{} rows in both: {} worse, {} better, {} without a difference beyond noise{share}, {} not \
             judged; {} rows in one only\n",
            self.rows.len(),
            self.worse(),
            self.count(Verdict::Better),
            self.count(Verdict::Same),
            self.count(Verdict::Unjudged),
            self.alone,
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn a_run_is_no_different_from_itself() {
        let run = example(1.0);
        let same = Comparison::of(&run, &run);
        assert_eq!(
            (same.worse(), same.count(Verdict::Same), same.alone),
            (0, 3, 0)
        );
        assert!(same.text(true).contains("100.0% of those judged"));
    }

    #[test]
    fn slower_is_worse_and_faster_is_better() {
        let (run, mut slow) = (example(1.0), example(1.0));
        for (row, rounds) in slow.results.iter_mut().zip(&mut slow.rounds) {
            if row.peer == "corio" {
                (row.median, row.min, row.max) = (row.median * 1.5, row.min * 1.5, row.max * 1.5);
                rounds
                    .iter_mut()
                    .flatten()
                    .for_each(|figure| *figure *= 1.5);
            }
        }
        let slower = Comparison::of(&run, &slow);
        // Between two peers there is one ratio: the other one is as much better.
        assert_eq!((slower.worse(), slower.count(Verdict::Better)), (2, 1));
        let text = slower.text(false);
        assert!(
            text.contains("+50.0%") && text.contains("others' +0.0%"),
            "{text}"
        );
        let faster = Comparison::of(&slow, &run);
        assert_eq!((faster.worse(), faster.count(Verdict::Better)), (1, 2));
    }

    #[test]
    fn a_slower_machine_is_no_difference_but_for_what_stands_alone() {
        let (run, slow) = (example(1.0), example(1.5));
        let comparison = Comparison::of(&run, &slow);
        assert_eq!(
            (comparison.worse(), comparison.count(Verdict::Same)),
            (1, 2)
        );
    }

    #[test]
    fn rows_of_one_run_only_and_another_machine() {
        let (run, mut other) = (example(1.0), example(1.0));
        other.results.truncate(1);
        other.machine.kernel = "9.9".to_owned();
        let comparison = Comparison::of(&run, &other);
        assert_eq!((comparison.rows.len(), comparison.alone), (1, 2));
        assert!(
            comparison
                .text(false)
                .contains("warning: the kernel differs")
        );
    }
}
