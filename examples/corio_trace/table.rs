//! Printing tables.

use std::io::{self, Write};

use crate::summary::{Goroutine, Summary, Times};

/// The columns of a table of durations.
const SHARES: [(&str, f64); 5] = [
    ("50%", 0.5),
    ("90%", 0.9),
    ("99%", 0.99),
    ("99.9%", 0.999),
    ("max", 1.0),
];

/// What a decision is called here, and of what it has a number besides.
const DECISIONS: [(&str, &str); 20] = [
    ("create", ""),
    ("ready", ""),
    ("steal", "goroutines"),
    ("steal runnext", ""),
    ("global queue", "goroutines"),
    ("global queue (61st tick)", "goroutines"),
    ("slice over", ""),
    ("wake M", ""),
    ("hand off", ""),
    ("took P (blocked)", ""),
    ("took P (computes)", ""),
    ("asked", ""),
    ("runnext to global", ""),
    ("queue to global", "goroutines"),
    ("poll", "events"),
    ("timers", "timers"),
    ("idle", ""),
    ("stopped", ""),
    ("M started", ""),
    ("M ended", ""),
];

/// Prints all of it.
pub(crate) fn print(out: &mut impl Write, file: &str, all: &Summary, top: usize) -> io::Result<()> {
    write!(out, "{file}: {}", seconds(all.duration))?;
    writeln!(out, ", {} lines", grouped(all.lines))?;
    if all.torn {
        writeln!(
            out,
            "the end is missing: the program was ended before the trace was"
        )?;
    }
    if all.dropped > 0 {
        let dropped = grouped(all.dropped);
        writeln!(
            out,
            "{dropped} events were lost: what follows is not all, and may be inexact"
        )?;
    }
    times(out, all)?;
    let turns: u64 = all.found.values().sum();
    counts(
        out,
        "turns by where the goroutine was",
        all.found.iter(),
        turns,
    )?;
    let ends: u64 = all.ended.values().sum();
    counts(out, "turns by how they ended", all.ended.iter(), ends)?;
    decisions(out, all)?;
    procs(out, all)?;
    goroutines(out, all, "by run time", top, |g| g.ran)?;
    goroutines(out, all, "by time in queues", top, |g| g.queued)?;
    goroutines(out, all, "by time of waiting", top, |g| g.waited)
}

fn times(out: &mut impl Write, all: &Summary) -> io::Result<()> {
    write!(out, "\n{:<34} {:>10} {:>10}", "durations", "count", "total")?;
    for (name, _) in SHARES {
        write!(out, " {name:>9}")?;
    }
    writeln!(out)?;
    row(out, "in a queue, woken or new", &all.woken)?;
    row(out, "in a queue, having yielded", &all.yielded)?;
    row(out, "running", &all.turns)?;
    row(out, "running without a P", &all.without)?;
    row(out, "in a blocking call", &all.blocking)?;
    for (reason, times) in &all.waits {
        row(out, &format!("waiting: {reason}"), times)?;
    }
    Ok(())
}

fn row(out: &mut impl Write, name: &str, times: &Times) -> io::Result<()> {
    let count = times.histogram.len();
    if count == 0 {
        return Ok(());
    }
    let (count, total) = (grouped(count), short(times.total));
    write!(out, "{:<34} {count:>10} {total:>10}", clean(name))?;
    for (_, share) in SHARES {
        let ns = times.histogram.value_at_quantile(share);
        write!(out, " {:>9}", short(ns))?;
    }
    writeln!(out)
}

fn counts<'a>(
    out: &mut impl Write,
    title: &str,
    counts: impl Iterator<Item = (&'a String, &'a u64)>,
    total: u64,
) -> io::Result<()> {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    writeln!(out, "\n{title:<34} {:>10}", "count")?;
    for (name, count) in counts {
        let share = 100.0 * *count as f64 / total.max(1) as f64;
        let (name, count) = (clean(name), grouped(*count));
        writeln!(out, "{name:<34} {count:>10} {share:>9.1}%")?;
    }
    Ok(())
}

fn decisions(out: &mut impl Write, all: &Summary) -> io::Result<()> {
    writeln!(out, "\n{:<34} {:>10}", "the scheduler", "count")?;
    for (name, what) in DECISIONS {
        let Some(&(times, n)) = all.decisions.get(name) else {
            continue;
        };
        let times = grouped(times);
        match what {
            "" => writeln!(out, "{name:<34} {times:>10}")?,
            what => writeln!(out, "{name:<34} {times:>10} {:>10} {what}", grouped(n))?,
        }
    }
    Ok(())
}

fn procs(out: &mut impl Write, all: &Summary) -> io::Result<()> {
    let title = ("Ps", "turns", "run time", "busy");
    writeln!(
        out,
        "\n{:<34} {:>10} {:>10} {:>10}",
        title.0, title.1, title.2, title.3
    )?;
    for (p, proc) in &all.procs {
        let busy = proc.ran as f64 / 10.0 / all.duration.max(1.0);
        let (turns, ran) = (grouped(proc.turns), short(proc.ran));
        writeln!(
            out,
            "{:<34} {turns:>10} {ran:>10} {busy:>9.1}%",
            format!("P{p}")
        )?;
    }
    Ok(())
}

fn goroutines(
    out: &mut impl Write,
    all: &Summary,
    title: &str,
    top: usize,
    by: impl Fn(&Goroutine) -> u64,
) -> io::Result<()> {
    let mut known: Vec<_> = all.goroutines.iter().filter(|(_, g)| by(g) > 0).collect();
    known.sort_by_key(|(id, g)| (std::cmp::Reverse(by(g)), **id));
    write!(
        out,
        "\n{:<34} {:>10}",
        format!("goroutines {title}"),
        "turns"
    )?;
    writeln!(
        out,
        " {:>10} {:>10} {:>10}",
        "running", "in queues", "waiting"
    )?;
    for (id, g) in known.iter().take(top) {
        let label = if g.label.is_empty() {
            format!("G{id}")
        } else {
            clean(&g.label)
        };
        let turns = grouped(g.turns);
        let (ran, queued, waited) = (short(g.ran), short(g.queued), short(g.waited));
        writeln!(
            out,
            "{label:<34} {turns:>10} {ran:>10} {queued:>10} {waited:>10}"
        )?;
    }
    if known.len() > top {
        writeln!(out, "and {} more", grouped((known.len() - top) as u64))?;
    }
    Ok(())
}

/// Names may be anything: no control characters, and not too long.
fn clean(name: &str) -> String {
    let shown = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(34).collect()
}

/// Microseconds as seconds.
fn seconds(us: f64) -> String {
    format!("{:.3} s", us / 1e6)
}

/// Nanoseconds, with three digits.
fn short(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1000 => return format!("{ns} ns"),
        1000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// With commas.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
