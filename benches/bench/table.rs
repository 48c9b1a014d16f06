//! What is printed: for each form of a workload a small table, a line for each peer.
//!
//! The first metric of a form is the one it is about, and has its range and its ratio to corio; of
//! the others there is the median, and of some the ratio, so that a line fits a screen. A `!` marks rows with disturbed
//! rounds.

use crate::catalog;
use crate::report::{Report, Row};

/// Three digits that count, and spaces between thousands.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    let text = match size {
        s if s >= 99.95 || s == 0.0 => format!("{size:.0}"),
        s if s >= 9.995 => format!("{size:.1}"),
        s if s >= 0.9995 => format!("{size:.2}"),
        _ => format!("{size:.3}"),
    };
    let (whole, rest) = text
        .split_once('.')
        .map_or((&text[..], None), |(w, r)| (w, Some(r)));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

/// Lines of cells, the first column to the left and the others to the right.
pub(crate) fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::from(" ");
        for (cell, width) in line.iter().zip(&widths) {
            let pad = " ".repeat(width - cell.chars().count());
            if out.len() == 1 {
                out.push_str(&format!(" {cell}{pad}"));
            } else {
                out.push_str(&format!("  {pad}{cell}"));
            }
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

/// Whether the column has its ratio to corio beside it.
fn in_relation(column: usize, metric: &str) -> bool {
    const ALSO: &[&str] = &["cpu_ns_per_op", "cpu_ms", "server_cpu_us_per_req", "p99_us"];
    column == 0 || ALSO.contains(&metric)
}

impl Report {
    /// The whole run.
    pub(crate) fn text(&self) -> String {
        let m = &self.machine;
        let mut text = format!(
            "{} ({} CPUs, {} MiB), Linux {}, {}, commit {}\n{}\n",
            m.cpu, m.cpus, m.memory_mib, m.kernel, m.date, m.commit, self.method
        );
        text.push_str(&self.text_from(0));
        for note in self.short_notes() {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    }

    /// The rows from that one on.
    pub(crate) fn text_from(&self, from: usize) -> String {
        let mut text = String::new();
        let mut done = from;
        while let Some(first) = self.results.get(done) {
            let same = |row: &Row| {
                (&row.workload, &row.variant, row.procs)
                    == (&first.workload, &first.variant, first.procs)
            };
            let end = done
                + self.results[done..]
                    .iter()
                    .take_while(|row| same(row))
                    .count();
            text.push_str(&format!(
                "\n{}: {}, procs {}\n",
                first.workload, first.variant, first.procs
            ));
            text.push_str(&self.form(done..end));
            done = end;
        }
        text
    }

    /// One form of a workload.
    fn form(&self, rows: std::ops::Range<usize>) -> String {
        let mut metrics: Vec<&str> = Vec::new();
        let mut peers: Vec<&str> = Vec::new();
        for row in &self.results[rows.clone()] {
            if !metrics.contains(&row.metric.as_str()) {
                metrics.push(&row.metric);
            }
            if !peers.contains(&row.peer.as_str()) {
                peers.push(&row.peer);
            }
        }
        metrics.sort_by_key(|metric| catalog::place(metric));
        let mut head = vec!["peer".to_owned()];
        for (column, metric) in metrics.iter().enumerate() {
            head.push(
                catalog::metric(metric)
                    .map_or(*metric, |known| known.label)
                    .to_owned(),
            );
            if column == 0 {
                head.push("[min..max]".to_owned());
            }
            if in_relation(column, metric) {
                head.push("vs corio".to_owned());
            }
        }
        let mut lines = vec![head];
        for peer in peers {
            let mut marked = false;
            let mut line = Vec::new();
            for (column, metric) in metrics.iter().enumerate() {
                let found = rows
                    .clone()
                    .find(|i| self.results[*i].peer == peer && self.results[*i].metric == *metric);
                let row = found.map(|index| &self.results[index]);
                marked |= row.is_some_and(|row| row.disturbed > 0);
                line.push(row.map_or("-".to_owned(), |row| figure(row.median)));
                if column == 0 {
                    line.push(row.map_or(String::new(), |row| {
                        format!("[{}..{}]", figure(row.min), figure(row.max))
                    }));
                }
                if in_relation(column, metric) {
                    let ratio = found.and_then(|index| self.ratio(index));
                    line.push(ratio.map_or(String::new(), |ratio| format!("{}x", figure(ratio))));
                }
            }
            line.insert(0, format!("{peer}{}", if marked { " !" } else { "" }));
            lines.push(line);
        }
        align(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn figures() {
        let cases = [
            (0.0, "0"),
            (0.1234, "0.123"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (54.26, "54.3"),
            (99.96, "100"),
            (1234.5, "1 234"),
            (-1_234_567.0, "-1 234 567"),
            (f64::NAN, "-"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text, "{value}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let cell = |text: &str| text.to_owned();
        let text = align(&[
            vec![cell("peer"), cell("ns")],
            vec![cell("corio"), cell("1 000")],
            vec![cell("go")],
        ]);
        assert_eq!(text, "  peer      ns\n  corio  1 000\n  go\n");
    }

    #[test]
    fn a_form_is_a_table() {
        let text = example(1.0).text();
        assert!(text.contains("yield: 2 tasks, procs 1"), "{text}");
        assert!(text.contains("corio   20.1  [20.0..20.1]"), "{text}");
        let go = text.lines().find(|line| line.contains("go !")).unwrap();
        assert!(
            go.contains("2.50x") && go.trim_end().ends_with('-'),
            "{text}"
        );
        assert!(text.contains("note: may"), "{text}");
    }
}
