//! A peer under a tool that watches it: perf for `--profile`, strace for `--syscalls`.
//!
//! The tool is given the peer's command to run and so stands between it and the harness, which sees
//! the tool's process end, but signals the peer's (a server says which process it is).

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::catalog::{Case, Drive};
use crate::contract::ABSENT;
use crate::measure::{self, Setting};
use crate::peers::Peer;
use crate::process::Running;
use crate::server::Refusal;

/// How long at least a peer may take that runs under a tool.
const PATIENCE: Duration = Duration::from_secs(120);

/// A tool.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    /// Its command, up to where the peer's comes.
    pub(crate) command: Command,
    /// What a peer is told besides that does a workload by itself.
    pub(crate) own: &'a [&'a str],
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Watched {
    /// The peer did the workload by itself.
    Own,
    /// It served so many requests.
    Served(u64),
    /// It does not have the workload; in its own words.
    Absent(String),
}

/// Runs the case once under the tool, and waits for the end of both.
pub(crate) fn run(
    tool: Tool<'_>,
    peer: &Peer,
    workload: &str,
    case: &Case,
    setting: &Setting,
) -> io::Result<Watched> {
    let Tool { command, own } = tool;
    match &case.drive {
        Drive::Own { .. } => {
            let mut inner = measure::command(peer, workload, case, setting);
            inner.args(own);
            let until = Instant::now() + setting.patience.max(PATIENCE);
            let mut command = before(command, &inner);
            let running = Running::start(&mut command, setting.server_cpus.as_deref())?;
            while running.line(until)?.is_some() {}
            let (status, last) = running.end(until)?;
            match status.code() {
                Some(0) => Ok(Watched::Own),
                Some(ABSENT) => Ok(Watched::Absent(last)),
                _ => Err(io::Error::other(format!("{status}: {last}"))),
            }
        }
        Drive::Served { load, .. } => {
            let wrap = |inner| before(command, &inner);
            let (mut server, _socket) = match measure::start(peer, case, load, setting, wrap) {
                Ok(started) => started,
                Err(Refusal::Absent(why)) => return Ok(Watched::Absent(why)),
                Err(Refusal::Failed(error)) => return Err(error),
            };
            let result = measure::put(&mut server, load, setting)?;
            server.answers()?;
            server.stop()?;
            Ok(Watched::Served(result.total_requests))
        }
    }
}

/// The tool's command with the other one behind it, in that one's environment.
fn before(mut tool: Command, inner: &Command) -> Command {
    tool.arg("--")
        .arg(inner.get_program())
        .args(inner.get_args());
    let set = |(name, value): (&OsStr, Option<&OsStr>)| Some((name.to_owned(), value?.to_owned()));
    tool.envs(inner.get_envs().filter_map(set));
    tool
}

/// The file that a tool writes; gone when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// One for this process and tool.
    pub(crate) fn new(tool: &str) -> Scratch {
        let name = format!("corio-bench-{}.{tool}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is none if the tool did not get that far.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_runs_the_peer_in_its_environment() {
        let mut tool = Command::new("tool");
        tool.args(["-o", "file"]);
        let mut inner = Command::new("peer");
        inner.args(["yield", "--procs", "1"]).env("SIZE", "16k");
        let command = before(tool, &inner);
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(
            args,
            ["-o", "file", "--", "peer", "yield", "--procs", "1"].map(OsStr::new)
        );
        let envs: Vec<_> = command.get_envs().collect();
        assert_eq!(envs, [(OsStr::new("SIZE"), Some(OsStr::new("16k")))]);
    }
}
