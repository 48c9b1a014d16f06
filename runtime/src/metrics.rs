//! Metrics for people: the table that `println!("{}", corio::metrics())` prints.
//!
//! The figures are gathered by the scheduler (`sched::observe`) into the plain structures of
//! `prim::counters`; the line that `CORIO_SCHEDTRACE` prints is made there, because the scheduler
//! prints it.
//!
//! Next in the reading order: `testing`.

use crate::prim::counters::{Counts, Metrics};
use std::fmt;

/// A table for people: one line per P, then a line for each of the rest.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (g, m, s) = (&self.goroutines, &self.threads, &self.stacks);
        let totals = self.totals();
        writeln!(
            f,
            "up {:.1} s; {} Ps, {} idle; {} in the global queue",
            self.uptime.as_secs_f64(),
            self.procs.len(),
            self.idle_procs,
            self.global_queue,
        )?;
        writeln!(
            f,
            "goroutines: {} live ({} runnable, {} running, {} waiting), {} spawned, {} finished",
            g.live(),
            g.runnable,
            g.running,
            g.waiting,
            totals.spawned,
            totals.finished,
        )?;
        writeln!(
            f,
            "threads:    {} ({} idle, {} spinning, {} blocked, {} burning)",
            m.total, m.idle, m.spinning, m.blocked, m.burning,
        )?;
        writeln!(
            f,
            "stacks:     {} in use, {} pooled, {} mapped, {} trimmed",
            s.in_use, s.pooled, s.mapped, s.trimmed,
        )?;
        header(f)?;
        for p in &self.procs {
            row(f, &p.id.to_string(), &p.queued.to_string(), &p.counts)?;
        }
        row(f, "other", "-", &self.others)?;
        let queued: usize = self.procs.iter().map(|p| p.queued).sum();
        row(f, "total", &queued.to_string(), &totals)
    }
}

/// The table's columns, in the order of [`row`].
const COLUMNS: [&str; 10] = [
    "runs", "parks", "wakeups", "steals", "misses", "global", "handoff", "takeover", "polls",
    "timers",
];

fn header(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{:>5} {:>6}", "P", "queue")?;
    for name in COLUMNS {
        write!(f, " {name:>9}")?;
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, queued: &str, counts: &Counts) -> fmt::Result {
    write!(f, "\n{name:>5} {queued:>6}")?;
    let values: [u64; COLUMNS.len()] = [
        counts.runs,
        counts.parks,
        counts.wakeups,
        counts.steals,
        counts.steal_misses,
        counts.global_gets,
        counts.hand_offs,
        counts.take_overs,
        counts.polls,
        counts.timers,
    ];
    for value in values {
        write!(f, " {value:>9}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::counters::ProcMetrics;

    #[test]
    fn the_table_has_a_line_per_p_and_aligned_columns() {
        let mut metrics = Metrics {
            procs: vec![ProcMetrics::default(); 3],
            ..Metrics::default()
        };
        metrics.procs[1].counts.runs = 12_345;
        metrics.others.runs = 5;
        let text = metrics.to_string();
        let table: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(table.len(), 1 + 3 + 2, "{text}");
        assert!(
            table.iter().all(|line| line.len() == table[0].len()),
            "{text}"
        );
        assert!(table.last().unwrap().contains("12350"), "{text}");
    }
}
