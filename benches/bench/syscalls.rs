//! `--syscalls`: system calls for each operation, counted by strace.
//!
//! A run of its own, of which no other figure is kept: under strace a system call costs a hundred
//! times as much. The counts are of the whole process, so what it does once, to start and to accept
//! connections, is in them; over the tens of thousands of operations of a run it does not show.

use std::fs;
use std::io;
use std::process::Command;

use crate::catalog::{self, Case, Drive, Load};
use crate::measure::Setting;
use crate::peers::Peer;
use crate::process::which;
use crate::wrapped::{self, Scratch, Tool, Watched};

/// What was counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) metric: &'static str,
    /// Calls for each operation.
    pub(crate) total: f64,
    /// The most frequent ones, by name.
    pub(crate) names: String,
}

/// Counts; nothing if the peer does not have the workload.
pub(crate) fn count(
    peer: &Peer,
    workload: &str,
    case: &Case,
    setting: &Setting,
) -> io::Result<Option<Counted>> {
    if which("strace").is_none() {
        return Err(io::Error::other("strace is not installed"));
    }
    if let Drive::Served {
        load: Load::Idle { .. },
        ..
    } = case.drive
    {
        return Ok(None);
    }
    let file = Scratch::new("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(file.path());
    let own = &["--warmup", "0"];
    let tool = Tool { command, own };
    let (metric, operations) = match wrapped::run(tool, peer, workload, case, setting)? {
        Watched::Own => {
            let Drive::Own { operations, .. } = case.drive else {
                return Ok(None);
            };
            let done = catalog::operations(workload, &case.variant, &peer.name, operations);
            ("syscalls_per_op", done)
        }
        Watched::Served(requests) => ("syscalls_per_req", requests),
        Watched::Absent(_) => return Ok(None),
    };
    let calls = parse(&fs::read_to_string(file.path())?);
    let each = |calls: u64| calls as f64 / operations.max(1) as f64;
    let names: Vec<String> = calls
        .iter()
        .filter(|(_, calls)| each(*calls) >= 0.001)
        .take(8)
        .map(|(name, calls)| format!("{name} {:.3}", each(*calls)))
        .collect();
    Ok(Some(Counted {
        metric,
        total: each(calls.iter().map(|(_, calls)| calls).sum()),
        names: names.join(", "),
    }))
}

/// Names and counts of a summary of strace, the most frequent first.
fn parse(summary: &str) -> Vec<(String, u64)> {
    // % time, seconds, usecs/call, calls, [errors,] syscall
    let mut calls: Vec<(String, u64)> = summary
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 5 && fields[0].parse::<f64>().is_ok())
        .filter_map(|fields| Some(((*fields.last()?).to_owned(), fields[3].parse().ok()?)))
        .filter(|(name, _)| name != "total")
        .collect();
    calls.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_strace() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000300           3       100           write
 40.00    0.000200           2       101         7 read
  0.00    0.000000           0         1           exit_group
------ ----------- ----------- --------- --------- ----------------
100.00    0.000500           2       202         7 total
";
        let calls = parse(summary);
        let expected = [("read", 101), ("write", 100), ("exit_group", 1)];
        assert_eq!(calls, expected.map(|(name, n)| (name.to_owned(), n)));
    }
}
