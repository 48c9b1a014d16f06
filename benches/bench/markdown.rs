//! A run as Markdown, for `BENCHMARKS.md`: complete tables, legible where GitHub shows them.
//!
//! There is a table for each workload, with a line for each variant, number of procs and metric, and
//! a column for each peer; a line for each peer, as on the screen, would make it seven times as long.
//! What is generated stands between two comments, so that prose above and below stays when it is
//! generated again.

use std::fs;
use std::io;
use std::path::Path;

use crate::catalog;
use crate::compare::verdict;
use crate::report::{Report, Row};
use crate::stats::Verdict;
use crate::table::figure;

const BEGIN: &str = "<!-- bench report: begin; what stands up to the end is generated -->";
const END: &str = "<!-- bench report: end -->";

/// Peers that are no runtimes: what the machine can do at best.
const FLOORS: &[&str] = &["raw", "corosensei"];

/// Writes it between the comments of the file, or as the whole of one that does not have them.
pub(crate) fn write(report: &Report, path: &Path) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return Err(io::Error::new(error.kind(), text));
        }
    };
    let new = put(&old, &page(report)).map_err(|why| {
        let text = format!("{}: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    fs::write(path, new)
}

/// The old text with the new part in its place.
fn put(old: &str, part: &str) -> Result<String, &'static str> {
    let part = format!("{BEGIN}\n\n{part}\n{END}");
    match (old.split_once(BEGIN), old.split_once(END)) {
        (None, None) => Ok(format!("# Benchmarks\n\n{part}\n")),
        (Some((before, rest)), Some(_)) => match rest.split_once(END) {
            Some((_, after)) => Ok(format!("{before}{part}{after}")),
            None => Err("the comment at the end stands before that at the beginning"),
        },
        _ => Err("has one of the two comments of `bench report`, and not the other"),
    }
}

fn page(report: &Report) -> String {
    let mut text = head(report);
    let workloads = distinct(report.results.iter().map(|row| row.workload.as_str()));
    let links: Vec<String> = workloads
        .iter()
        .map(|name| format!("[{name}](#{name})"))
        .collect();
    text.push_str(&format!("\n{}\n", links.join(" · ")));
    text.push_str(&behind(report));
    for workload in workloads {
        text.push_str(&section(report, workload));
    }
    let notes = report.short_notes();
    if !notes.is_empty() {
        text.push_str("\n## Notes\n\n");
        for note in notes {
            text.push_str(&format!("- {}\n", plain(&note)));
        }
    }
    text
}

/// The machine, the method, and how to read the tables.
fn head(report: &Report) -> String {
    let m = &report.machine;
    let machine = match m.virtual_machine {
        true => ", virtual machine",
        false => "",
    };
    let governor = match m.governor.as_str() {
        "" => String::new(),
        governor => format!(", governor {governor}"),
    };
    let mut lines = vec![
        ("CPU", format!("{}, {} CPUs{governor}", m.cpu, m.cpus)),
        ("memory", format!("{} MiB", m.memory_mib)),
        ("system", format!("Linux {}{machine}", m.kernel)),
        ("commit", m.commit.clone()),
        ("date", format!("{}, load {:.2} before", m.date, m.load)),
    ];
    lines.extend(m.versions.iter().map(|(name, version)| {
        // "perf version 6.1" is 6.1 of perf; "std, crossbeam-channel 0.5" is more than std.
        let bare = version.strip_prefix(name.as_str()).unwrap_or_default();
        let bare = bare.strip_prefix(" version").unwrap_or(bare);
        let bare = bare.strip_prefix(' ').unwrap_or(version);
        (name.as_str(), bare.to_owned())
    }));
    lines.push(("method", report.method.clone()));
    let mut text = String::from("## Machine and method\n\n| | |\n| --- | --- |\n");
    for (what, value) in lines {
        text.push_str(&format!("| {} | {} |\n", plain(what), plain(&value)));
    }
    text.push_str(
        "\nA cell has the median; below it the ratio to corio and the range over the rounds. A ratio of 2× \
         is twice corio's figure: worse where less is better (↓), better where more is (↑). The best of the \
         runtimes is **bold**",
    );
    let floors: Vec<&str> = FLOORS
        .iter()
        .copied()
        .filter(|floor| report.results.iter().any(|row| row.peer == *floor))
        .collect();
    if !floors.is_empty() {
        let floors = floors.join(" and ");
        text.push_str(&format!(
            "; {floors}: what the machine does without a scheduler"
        ));
    }
    text.push_str(". †2 says that something else ran during two of the rounds.\n");
    text
}

/// Where another runtime is better than corio beyond noise; nothing if that is nowhere.
fn behind(report: &Report) -> String {
    let mut text = String::new();
    for (index, corio) in report.results.iter().enumerate() {
        if corio.peer != "corio" {
            continue;
        }
        let beside: Vec<(usize, &Row)> = report
            .results
            .iter()
            .enumerate()
            .filter(|(_, row)| row.beside(corio))
            .collect();
        let better = best(&beside)
            .filter(|best| *best != index)
            .map(|best| (best, &report.results[best]))
            .filter(|(_, row)| verdict(corio, row) == Verdict::Better);
        let Some((place, row)) = better else { continue };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {}× |\n",
            plain(&corio.workload),
            plain(&corio.variant),
            corio.procs,
            label(corio),
            number(corio.median),
            format_args!("{} {}", plain(&row.peer), number(row.median)),
            number(report.ratio(place).unwrap_or(f64::NAN)),
        ));
    }
    match text.is_empty() {
        true => text,
        false => format!(
            "\n## Where corio is behind\n\nBeyond noise, as `bench compare` judges it, and by the best of \
             the runtimes.\n\n| workload | variant | procs | metric | corio | best | ratio |\n\
             | --- | --- | --- | --- | ---: | ---: | ---: |\n{text}"
        ),
    }
}

/// The metric, and which way is better.
fn label(row: &Row) -> String {
    let arrow = if row.lower_is_better { "↓" } else { "↑" };
    let label = catalog::metric(&row.metric).map_or(&*row.metric, |known| known.label);
    format!("{} {arrow}", plain(label))
}

/// The table of a workload.
fn section(report: &Report, workload: &str) -> String {
    let rows: Vec<(usize, &Row)> = report
        .results
        .iter()
        .enumerate()
        .filter(|(_, row)| row.workload == workload)
        .collect();
    let peers = distinct(rows.iter().map(|(_, row)| row.peer.as_str()));
    let mut text = format!("\n## {workload}\n\n");
    if let Some(known) = catalog::WORKLOADS.iter().find(|w| w.name == workload) {
        text.push_str(&format!(
            "{}; verified: {}.\n\n",
            capital(known.about),
            known.verifies
        ));
    }
    let names: Vec<String> = peers.iter().map(|peer| plain(peer)).collect();
    text.push_str(&format!(
        "| variant | procs | metric | {} |\n| --- | --- | --- |{}\n",
        names.join(" | "),
        " ---: |".repeat(peers.len())
    ));
    let mut forms = distinct(rows.iter().map(|(_, row)| (&row.variant, row.procs)));
    // The procs of a variant one below the other.
    let variants = distinct(rows.iter().map(|(_, row)| &row.variant));
    forms.sort_by_key(|(variant, _)| variants.iter().position(|known| known == variant));
    let mut above = None;
    for (variant, procs) in forms {
        let of_form: Vec<_> = rows
            .iter()
            .filter(|(_, row)| (&row.variant, row.procs) == (variant, procs))
            .collect();
        let mut metrics = distinct(of_form.iter().map(|(_, row)| row.metric.as_str()));
        metrics.sort_by_key(|metric| catalog::place(metric));
        for (line, metric) in metrics.into_iter().enumerate() {
            let of_metric: Vec<(usize, &Row)> = of_form
                .iter()
                .filter(|(_, row)| row.metric == metric)
                .map(|found| **found)
                .collect();
            let best = best(&of_metric);
            let cells: Vec<String> = peers
                .iter()
                .map(|peer| {
                    let found = of_metric.iter().find(|(_, row)| row.peer == *peer);
                    found.map_or("–".to_owned(), |(index, row)| {
                        cell(report, *index, row, best == Some(*index))
                    })
                })
                .collect();
            text.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                if above == Some(variant) {
                    String::new()
                } else {
                    plain(variant)
                },
                if line == 0 {
                    procs.to_string()
                } else {
                    String::new()
                },
                label(of_metric[0].1),
                cells.join(" | ")
            ));
            above = Some(variant);
        }
    }
    text
}

/// The row with the best median, floors aside; none if there is nobody to be better than.
fn best(rows: &[(usize, &Row)]) -> Option<usize> {
    let mut runtimes: Vec<_> = rows
        .iter()
        .filter(|(_, row)| !FLOORS.contains(&row.peer.as_str()))
        .collect();
    runtimes.sort_by(|(_, a), (_, b)| {
        let order = a.median.total_cmp(&b.median);
        if a.lower_is_better {
            order
        } else {
            order.reverse()
        }
    });
    match &runtimes[..] {
        [(first, a), (_, b), ..] if a.median != b.median => Some(*first),
        _ => None,
    }
}

fn cell(report: &Report, index: usize, row: &Row, best: bool) -> String {
    let median = number(row.median);
    let median = match best {
        true => format!("**{median}**"),
        false => median,
    };
    let mut small = Vec::new();
    if let Some(ratio) = report.ratio(index) {
        small.push(format!("{}×", number(ratio)));
    }
    if row.runs > 1 {
        small.push(format!("{}..{}", number(row.min), number(row.max)));
    }
    if row.disturbed > 0 {
        small.push(format!("†{}", row.disturbed));
    }
    match small.is_empty() {
        true => median,
        false => format!("{median}<br><sub>{}</sub>", small.join(" ")),
    }
}

/// A figure that is not broken between its thousands.
fn number(value: f64) -> String {
    figure(value).replace(' ', "\u{a0}")
}

/// Text in which nothing is taken for Markdown's or HTML's.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().collect::<String>() + chars.as_str()
    })
}

/// Each once, in the order in which they come.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn a_workload_is_a_table() {
        let text = section(&example(1.0), "yield");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            lines,
            [
                "| variant | procs | metric | corio | go |",
                "| --- | --- | --- | ---: | ---: |",
                "| 2 tasks | 1 | ns/op ↓ | **20.1**<br><sub>20.0..20.1</sub> \
                 | 50.1<br><sub>2.50× 50.0..50.3 †1</sub> |",
                "|  |  | CPU ns/op ↓ | 21.1<br><sub>21.0..21.1</sub> | – |",
            ]
        );
    }

    #[test]
    fn the_procs_of_a_variant_stand_together() {
        let mut report = example(1.0);
        let mut add = |variant, procs| {
            report.add(
                ("echo", variant, "corio"),
                procs,
                "req_per_s",
                vec![Some(1234.0)],
                0,
            );
        };
        for procs in [1, 2] {
            add("C=1", procs);
            add("C=64", procs);
        }
        let text = section(&report, "echo");
        let lines: Vec<&str> = text.lines().skip_while(|l| !l.contains("---")).collect();
        assert_eq!(
            lines[1..],
            [
                "| C=1 | 1 | req/s ↑ | 1\u{a0}234 |",
                "|  | 2 | req/s ↑ | 1\u{a0}234 |",
                "| C=64 | 1 | req/s ↑ | 1\u{a0}234 |",
                "|  | 2 | req/s ↑ | 1\u{a0}234 |",
            ]
        );
    }

    #[test]
    fn where_corio_is_behind() {
        let mut report = example(1.0);
        assert_eq!(behind(&report), "");
        let mut add = |peer, figure| {
            let figures = vec![Some(figure); 7];
            report.add(("yield", "2 tasks", peer), 1, "ns_per_op", figures, 0);
        };
        add("may", 10.03);
        add("corosensei", 2.0);
        let text = behind(&report);
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "| yield | 2 tasks | 1 | ns/op ↓ | 20.1 | may 10.0 | 0.500× |"
        );
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 3);
    }

    #[test]
    fn floors_are_not_the_best() {
        let mut report = example(1.0);
        report.add(
            ("yield", "2 tasks", "corosensei"),
            1,
            "ns_per_op",
            vec![Some(2.0)],
            0,
        );
        let text = page(&report);
        assert!(text.contains("**20.1**") && !text.contains("**2.00**"));
        assert!(text.contains("corosensei: what the machine does"));
    }

    #[test]
    fn what_was_written_by_hand_stays() {
        let first = put("", "one").unwrap();
        assert!(first.starts_with("# Benchmarks\n"));
        let own = first.replace("# Benchmarks", "# Ours\n\nprose") + "\nmore prose\n";
        let second = put(&own, "two").unwrap();
        assert!(second.starts_with("# Ours\n\nprose") && second.ends_with("\nmore prose\n"));
        assert!(second.contains("\ntwo\n") && !second.contains("one"));
        assert_eq!(put(&second, "two").unwrap(), second);
    }

    #[test]
    fn half_of_the_comments_is_an_error() {
        assert!(put(&format!("prose {BEGIN}"), "x").is_err());
        assert!(put(&format!("prose {END}"), "x").is_err());
        assert!(put(&format!("{END} prose {BEGIN}"), "x").is_err());
    }

    #[test]
    fn text_is_not_taken_for_markup() {
        assert_eq!(plain("a|b <c> *d*\n_e_"), "a\\|b &lt;c&gt; \\*d\\* \\_e\\_");
        assert!(page(&example(1.0)).contains("- may: \"passed over\"\n"));
    }
}
