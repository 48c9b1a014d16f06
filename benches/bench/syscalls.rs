//! `--syscalls`: system calls for each operation, counted by strace.
//!
//! A run of its own, of which no other figure is kept: under strace a system call costs a hundred
//! times as much. The counts are of the whole process, so what it does once, to start and to accept
//! connections, is in them; over the tens of thousands of operations of a run it does not show.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::catalog::{self, Case, Drive, Load, Socket};
use crate::measure::{self, Setting, SocketPath};
use crate::peers::Peer;
use crate::process::{Running, which};
use crate::server::{Refusal, Server};

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
    let file = TraceFile::new();
    let (metric, operations) = match &case.drive {
        Drive::Own { operations, .. } => {
            let mut inner = measure::command(peer, workload, case, setting);
            inner.args(["--warmup", "0"]);
            let until = Instant::now() + setting.patience.max(Duration::from_secs(120));
            let running =
                Running::start(&mut traced(&inner, &file.0), setting.server_cpus.as_deref())?;
            while running.line(until)?.is_some() {}
            let (status, last) = running.end(until)?;
            match status.code() {
                Some(0) => {
                    let variant = &case.variant;
                    let done = catalog::operations(workload, variant, &peer.name, *operations);
                    ("syscalls_per_op", done)
                }
                Some(crate::contract::ABSENT) => return Ok(None),
                _ => return Err(io::Error::other(format!("{status}: {last}"))),
            }
        }
        Drive::Served {
            load: Load::Idle { .. },
            ..
        } => return Ok(None),
        Drive::Served { load, .. } => {
            let on_unix = matches!(
                load,
                Load::Echo {
                    on: Socket::Unix,
                    ..
                }
            );
            let socket = on_unix.then(SocketPath::new);
            let path = socket.as_ref().map(SocketPath::path);
            let inner = measure::server_command(peer, case, load, setting, path);
            let mut command = traced(&inner, &file.0);
            let mut server = match Server::start(&mut command, setting.server_cpus.as_deref()) {
                Ok(server) => server,
                Err(Refusal::Absent(_)) => return Ok(None),
                Err(Refusal::Failed(error)) => return Err(error),
            };
            let result = measure::put(&mut server, load, setting)?;
            server.answers()?;
            server.stop()?;
            ("syscalls_per_req", result.total_requests)
        }
    };
    let calls = parse(&fs::read_to_string(&file.0)?);
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

/// The same command under strace.
fn traced(inner: &Command, file: &Path) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-c", "-o"])
        .arg(file)
        .arg("--")
        .arg(inner.get_program());
    command.args(inner.get_args());
    let set = |(name, value): (&OsStr, Option<&OsStr>)| Some((name.to_owned(), value?.to_owned()));
    command.envs(inner.get_envs().filter_map(set));
    command
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

/// Where strace writes; gone when dropped.
struct TraceFile(PathBuf);

impl TraceFile {
    fn new() -> TraceFile {
        TraceFile(std::env::temp_dir().join(format!("corio-bench-{}.strace", std::process::id())))
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        // There is none if strace did not get that far.
        let _ = fs::remove_file(&self.0);
    }
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
