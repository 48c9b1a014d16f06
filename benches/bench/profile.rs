//! `--profile`: one workload of one peer under perf, folded for a flame graph.
//!
//! The Rust peers are built again, in a directory of their own, with frame pointers: following them
//! is exact, cheap, and ends where a coroutine's stack ends, at its first frame. perf's copies of
//! stacks with DWARF unwinding were tried and rejected: at a few thousand samples a second they cost
//! more than what they watch, and they cut deep stacks off. Go has frame pointers anyway, and so has the
//! precompiled std. The C library has none on most distributions: of a sample in it, the function that
//! called it is missing, and the stack goes on with that one's caller.
//!
//! The output has a line for each stack, `peer;outermost;...;innermost count`, which flamegraph.pl,
//! inferno-flamegraph and speedscope read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::cli::RunArgs;
use crate::process::{raise_descriptors, which};
use crate::wrapped::{self, Scratch, Tool, Watched};
use crate::{process, run};

/// The window of a network workload if none is given: some thousand samples.
const SECONDS: f64 = 3.0;

/// `bench run WORKLOAD --profile FILE`.
pub(crate) fn profile(args: &RunArgs, file: &Path) -> io::Result<()> {
    if which("perf").is_none() {
        return Err(io::Error::other(
            "--profile needs perf (linux-perf, or linux-tools-generic)",
        ));
    }
    if args.workloads.is_empty() {
        return Err(io::Error::other("--profile needs the name of a workload"));
    }
    let chosen = run::chosen(args)?;
    let (workload, cases) = &chosen[0];
    let mut args = args.clone();
    args.peers.truncate(1);
    args.seconds = args.seconds.or(Some(SECONDS));
    let found = run::search(&args, true)?;
    let (peer, case) = (&found.peers[0], &cases[0]);
    let setting = run::setting(&args, run::procs(&args)[0]);
    raise_descriptors();
    eprintln!(
        "{}, {}, {}, procs {}",
        workload.name, case.variant, peer.name, setting.procs
    );
    let data = Scratch::new("perf");
    let mut command = Command::new("perf");
    command
        .args(["record", "-q", "-F", "1999", "--call-graph", "fp", "-o"])
        .arg(data.path());
    // A round is some hundredths of a second on a fast peer.
    let own = &["--rounds", "20"];
    let tool = Tool { command, own };
    if let Watched::Absent(why) = wrapped::run(tool, peer, workload.name, case, &setting)? {
        return Err(io::Error::other(why));
    }
    let script = process::output(
        "perf",
        &[
            "script",
            "-i",
            &data.path().display().to_string(),
            "-F",
            "comm,ip,sym",
        ],
    )
    .ok_or_else(|| io::Error::other("perf script printed nothing"))?;
    let folded = fold(&script);
    fs::write(file, &folded)?;
    println!(
        "{} stacks in {}; for a picture: inferno-flamegraph < {} > flame.svg, or speedscope",
        folded.lines().count(),
        file.display(),
        file.display()
    );
    Ok(())
}

/// Stacks of `perf script -F comm,ip,sym`, each on a line with its count.
fn fold(script: &str) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for sample in script.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some(comm) = lines.next() else { continue };
        let mut frames = vec![comm.trim().replace(';', ":")];
        let mut stack: Vec<String> = lines.map(symbol).collect();
        stack.reverse();
        frames.append(&mut stack);
        *counts.entry(frames.join(";")).or_default() += 1;
    }
    counts
        .iter()
        .map(|(stack, count)| format!("{stack} {count}\n"))
        .collect()
}

/// `  55d0 <name>+0x10` without the address, the offset and the hash.
fn symbol(line: &str) -> String {
    let name = line
        .trim()
        .split_once(' ')
        .map_or("[unknown]", |(_, name)| name.trim());
    let name = name.rsplit_once("+0x").map_or(name, |(name, _)| name);
    let name = match name.rsplit_once("::h") {
        Some((front, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            front
        }
        _ => name,
    };
    name.replace(';', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_folded_from_the_outside() {
        let script = "\
peer-corio 
\t55d0 corio::park::h0123456789abcdef+0x1f
\t55d1 main

peer-corio
\t55d9 corio::park::h0123456789abcdef
\t55d1 main

peer-corio
\tffff [unknown]
";
        assert_eq!(
            fold(script),
            "peer-corio;[unknown] 1\npeer-corio;main;corio::park 2\n"
        );
    }
}
