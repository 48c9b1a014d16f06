//! The figures of a run: rows, and the JSON that holds them.
//!
//! `results` has a row for each workload, variant, peer, number of procs and metric. `rounds` goes
//! beside it, row by row, with the figure of each round, `null` where a round has none: ratios to
//! corio are medians of the ratios inside a round, and need them. A row's `disturbed` counts its
//! rounds in which something else ran (see [`crate::disturb`]); they are in the figures all the same.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::machine::Machine;
use crate::stats;

/// What the first field of the JSON says.
pub(crate) const FORMAT: &str = "corio-bench 1";

/// Stands in a note between who was passed over and why.
pub(crate) const PASSED_OVER: &str = ": passed over: ";

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: String,
    pub(crate) machine: Machine,
    /// How it was run: rounds, windows, pinning.
    pub(crate) method: String,
    pub(crate) results: Vec<Row>,
    /// The figures of each round of the row of the same index.
    pub(crate) rounds: Vec<Vec<Option<f64>>>,
    /// Peers and workloads that were passed over, and what went wrong.
    pub(crate) notes: Vec<String>,
}

/// The figures of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) variant: String,
    pub(crate) peer: String,
    pub(crate) procs: usize,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) lower_is_better: bool,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Rounds that there are figures of.
    pub(crate) runs: usize,
    /// How many of them were disturbed.
    pub(crate) disturbed: usize,
}

impl Row {
    /// What makes it the same row in another run.
    pub(crate) fn key(&self) -> (&str, &str, &str, usize, &str) {
        (
            &self.workload,
            &self.variant,
            &self.peer,
            self.procs,
            &self.metric,
        )
    }

    /// Whether it is of the same thing, measured of another peer perhaps.
    pub(crate) fn beside(&self, other: &Row) -> bool {
        (&self.workload, &self.variant, self.procs, &self.metric)
            == (&other.workload, &other.variant, other.procs, &other.metric)
    }
}

impl Report {
    /// An empty one.
    pub(crate) fn new(machine: Machine, method: String) -> Report {
        Report {
            format: FORMAT.to_owned(),
            machine,
            method,
            results: Vec::new(),
            rounds: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a row, unless no round has a figure.
    pub(crate) fn add(
        &mut self,
        (workload, variant, peer): (&str, &str, &str),
        procs: usize,
        metric: &str,
        rounds: Vec<Option<f64>>,
        disturbed: usize,
    ) {
        let Some(summary) = stats::summary(&rounds) else {
            return;
        };
        let known = catalog::metric(metric);
        self.results.push(Row {
            workload: workload.to_owned(),
            variant: variant.to_owned(),
            peer: peer.to_owned(),
            procs,
            metric: metric.to_owned(),
            unit: known.map_or("", |metric| metric.unit).to_owned(),
            lower_is_better: known.is_none_or(|metric| metric.lower_is_better),
            median: summary.median,
            min: summary.min,
            max: summary.max,
            runs: summary.runs,
            disturbed,
        });
        self.rounds.push(rounds);
    }

    /// The row's figures in relation to corio's, inside each round.
    pub(crate) fn ratio(&self, index: usize) -> Option<f64> {
        let row = &self.results[index];
        if row.peer == "corio" {
            return None;
        }
        let corio = self
            .results
            .iter()
            .position(|r| r.peer == "corio" && r.beside(row))?;
        stats::ratio(&self.rounds[index], &self.rounds[corio])
    }

    /// The notes, each once; of what was passed over for the same reason, a line for each reason.
    pub(crate) fn short_notes(&self) -> Vec<String> {
        // Who and why, and where: in the order in which they came first.
        let mut reasons: Vec<((&str, &str), Vec<&str>)> = Vec::new();
        let mut others: Vec<String> = Vec::new();
        for note in &self.notes {
            let passed = note
                .split_once(PASSED_OVER)
                .and_then(|(front, why)| Some((front.rsplit_once(": ")?, why)));
            let Some(((what, peer), why)) = passed else {
                if !others.contains(note) {
                    others.push(note.clone());
                }
                continue;
            };
            let what = what.rsplit_once(", procs ").map_or(what, |(what, _)| what);
            match reasons.iter_mut().find(|(key, _)| *key == (peer, why)) {
                Some((_, places)) if places.contains(&what) => {}
                Some((_, places)) => places.push(what),
                None => reasons.push(((peer, why), vec![what])),
            }
        }
        others.extend(reasons.iter().map(|((peer, why), places)| {
            let places = places.join("; ");
            format!("{peer}{PASSED_OVER}{why} ({places})")
        }));
        others
    }

    /// Reads one.
    pub(crate) fn load(path: &Path) -> io::Result<Report> {
        let named = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {error}", path.display()),
            )
        };
        let text = fs::read_to_string(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let report: Report = serde_json::from_str(&text).map_err(|error| named(&error))?;
        if report.format != FORMAT || report.rounds.len() != report.results.len() {
            return Err(named(&"not a run of this harness"));
        }
        Ok(report)
    }

    /// The JSON, with a line for each row, so that two runs can be compared by eye too.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        let list = |lines: Vec<String>| match lines.len() {
            0 => "[]".to_owned(),
            _ => format!("[\n    {}\n  ]", lines.join(",\n    ")),
        };
        let lines = |values: Vec<serde_json::Result<String>>| {
            values
                .into_iter()
                .collect::<serde_json::Result<Vec<String>>>()
                .map(list)
        };
        Ok(format!(
            "{{\n  \"format\": {},\n  \"machine\": {},\n  \"method\": {},\n  \"results\": {},\n  \
             \"rounds\": {},\n  \"notes\": {}\n}}\n",
            serde_json::to_string(&self.format)?,
            serde_json::to_string(&self.machine)?,
            serde_json::to_string(&self.method)?,
            lines(self.results.iter().map(serde_json::to_string).collect())?,
            lines(self.rounds.iter().map(serde_json::to_string).collect())?,
            lines(self.notes.iter().map(serde_json::to_string).collect())?,
        ))
    }

    /// Writes it.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.json()?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of one workload by corio and go, every figure times `factor`.
    pub(crate) fn example(factor: f64) -> Report {
        let mut report = Report::new(Machine::default(), "7 rounds".to_owned());
        let figures = |base: f64| -> Vec<Option<f64>> {
            (0..7)
                .map(|round| Some(base * factor * (1.0 + 0.001 * f64::from(round))))
                .collect()
        };
        let what = |peer| ("yield", "2 tasks", peer);
        report.add(what("corio"), 1, "ns_per_op", figures(20.0), 0);
        report.add(what("corio"), 1, "cpu_ns_per_op", figures(21.0), 0);
        report.add(what("go"), 1, "ns_per_op", figures(50.0), 1);
        report.notes.push("may: \"passed over\"".to_owned());
        report
    }

    #[test]
    fn json_there_and_back() {
        let report = example(1.0);
        let text = report.json().unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        let empty = Report::new(Machine::default(), String::new());
        assert_eq!(
            serde_json::from_str::<Report>(&empty.json().unwrap()).unwrap(),
            empty
        );
    }

    #[test]
    fn rows_have_the_fields_that_are_promised() {
        let value: serde_json::Value = serde_json::from_str(&example(1.0).json().unwrap()).unwrap();
        let mut names: Vec<_> = value["results"][0].as_object().unwrap().keys().collect();
        names.sort();
        let mut promised = [
            "workload",
            "variant",
            "peer",
            "procs",
            "metric",
            "unit",
            "lower_is_better",
            "median",
            "min",
            "max",
            "runs",
            "disturbed",
        ];
        promised.sort_unstable();
        assert_eq!(names, promised.iter().collect::<Vec<_>>());
    }

    #[test]
    fn ratios_are_to_corio() {
        let report = example(1.0);
        assert_eq!(report.ratio(0), None);
        assert!((report.ratio(2).unwrap() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn reasons_are_given_once() {
        let mut report = example(1.0);
        report.notes = [
            "go: not there",
            "skynet, 10 leaves, cold, procs 1: may: passed over: too many",
            "skynet, 10 leaves, cold, procs 2: may: passed over: too many",
            "skynet, 10 leaves, warm, procs 1: may: passed over: too many",
            "go: not there",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(
            report.short_notes(),
            [
                "go: not there",
                "may: passed over: too many (skynet, 10 leaves, cold; skynet, 10 leaves, warm)",
            ]
        );
    }

    #[test]
    fn a_row_without_figures_is_not_added() {
        let mut report = example(1.0);
        report.add(
            ("yield", "2 tasks", "may"),
            1,
            "ns_per_op",
            vec![None, None],
            0,
        );
        assert_eq!((report.results.len(), report.rounds.len()), (3, 3));
    }
}
