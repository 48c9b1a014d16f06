//! `bench compare`: two runs, row by row, by the noise rule of [`crate::stats`].

use crate::catalog;
use crate::report::{Report, Row};
use crate::stats::{Side, Summary, Verdict, change, judge};
use crate::table::{align, figure};

/// The margin of a metric that is not in the catalog.
const MARGIN: f64 = 0.15;

/// What came of comparing.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    rows: Vec<(&'a Row, &'a Row, Verdict)>,
    /// Rows that only one of the runs has.
    alone: usize,
    warnings: Vec<String>,
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
        for a in &before.results {
            if let Some(b) = after.results.iter().find(|b| b.key() == a.key()) {
                rows.push((a, b, verdict(a, b)));
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
        self.rows.iter().filter(|(_, _, v)| *v == verdict).count()
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
            for (a, b, _) in self.rows.iter().filter(|(_, _, v)| *v == verdict) {
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
                    format!("{:+.1}%", 100.0 * change(side(a).summary, side(b).summary)),
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
        let (run, slow) = (example(1.0), example(1.5));
        let slower = Comparison::of(&run, &slow);
        assert_eq!(slower.worse(), 3);
        assert!(
            slower.text(false).contains("+50.0%"),
            "{}",
            slower.text(false)
        );
        let faster = Comparison::of(&slow, &run);
        assert_eq!((faster.worse(), faster.count(Verdict::Better)), (0, 3));
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
