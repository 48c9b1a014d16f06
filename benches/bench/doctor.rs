//! `bench doctor`: what on this machine would spoil a run, and how to mend it.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::disturb::Watch;
use crate::machine;
use crate::process::{allowed_cpus, raise_descriptors, which};
use crate::wrk;

/// Descriptors that the largest load takes, with some to spare.
const DESCRIPTORS: u64 = 10_000;

/// What was looked at.
#[derive(Debug, PartialEq)]
struct Finding {
    what: String,
    /// How to mend it, if it is not well.
    mend: Option<String>,
}

fn well(what: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        mend: None,
    }
}

fn ill(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        mend: Some(mend.into()),
    }
}

fn descriptors(limit: u64) -> Finding {
    let what = format!("{limit} file descriptors");
    if limit >= DESCRIPTORS {
        well(what)
    } else {
        ill(
            what,
            format!(
                "echo with 8000 connections needs {DESCRIPTORS}: `ulimit -Hn {DESCRIPTORS}` as root, \
                 or LimitNOFILE= of the service, or /etc/security/limits.conf"
            ),
        )
    }
}

fn ports(range: &str) -> Finding {
    let mut ends = range
        .split_whitespace()
        .filter_map(|end| end.parse::<u32>().ok());
    let count = match (ends.next(), ends.next()) {
        (Some(low), Some(high)) if high >= low => high - low + 1,
        _ => 0,
    };
    let what = format!("{count} ephemeral ports");
    if count >= 20_000 {
        well(what)
    } else {
        ill(
            what,
            "churn uses many: `sysctl -w net.ipv4.ip_local_port_range='15000 65000'`",
        )
    }
}

fn backlog(longest: u64) -> Finding {
    let what = format!("backlog of at most {longest}");
    if longest >= 1024 {
        well(what)
    } else {
        ill(
            what,
            "connecting thousands at a time stalls: `sysctl -w net.core.somaxconn=4096`",
        )
    }
}

fn governor(governor: &str) -> Finding {
    match governor {
        "" => well("no choice of clock frequency (a virtual machine, most likely)"),
        "performance" => well("clock frequency governor: performance"),
        other => ill(
            format!("clock frequency governor: {other}"),
            "the clock changes during a run: `cpupower frequency-set -g performance`",
        ),
    }
}

fn cpus(count: usize) -> Finding {
    match count {
        0 | 1 => ill(
            "one CPU",
            "server and load share it, so requests per second say little; go by server CPU time",
        ),
        n => well(format!("{n} CPUs")),
    }
}

fn quiet() -> Vec<Finding> {
    let watch = Watch::begin();
    thread::sleep(Duration::from_secs(2));
    let seen = watch.end();
    let limits = crate::disturb::Disturbance {
        others: 0.0,
        ..seen
    };
    let steal = format!(
        "{:.1}% of a core stolen by the hypervisor",
        100.0 * seen.steal
    );
    let others = format!("{:.1}% of a core used by others", 100.0 * seen.others);
    vec![
        if limits.disturbed() {
            ill(
                steal,
                "the host is busy: another time of day, or a machine with cores of its own",
            )
        } else {
            well(steal)
        },
        if seen.others > crate::disturb::OTHERS {
            ill(
                others,
                "stop what else runs (see `top`); disturbed rounds will be marked",
            )
        } else {
            well(others)
        },
    ]
}

fn tool(name: &str, what_for: &str, mend: &str) -> Finding {
    match which(name) {
        Some(path) => well(format!("{name}: {}", path.display())),
        None => ill(format!("{name}: not found"), format!("{what_for} {mend}")),
    }
}

fn paranoid(level: &str) -> Finding {
    let what = format!("kernel.perf_event_paranoid = {level}");
    // SAFETY: geteuid takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if root || level.parse::<i32>().is_ok_and(|level| level <= 1) {
        well(what)
    } else {
        ill(
            what,
            "--profile sees too little: `sysctl -w kernel.perf_event_paranoid=1`",
        )
    }
}

fn memory(mib: u64) -> Finding {
    let what = format!("{mib} MiB of memory");
    if mib >= 12_000 {
        well(what)
    } else {
        ill(
            what,
            "a million parked goroutines take 5 GiB; leave out idle_mem and skynet, or --quick",
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Looks at everything and prints what it finds.
pub(crate) fn run() {
    let mut findings = vec![
        cpus(allowed_cpus().len()),
        memory(machine::describe().memory_mib),
        descriptors(raise_descriptors()),
        ports(&read("/proc/sys/net/ipv4/ip_local_port_range")),
        backlog(read("/proc/sys/net/core/somaxconn").parse().unwrap_or(0)),
        governor(&machine::governor()),
    ];
    findings.extend(quiet());
    findings.push(tool(
        "go",
        "the Go peer needs it:",
        "golang-go, or https://go.dev/dl/",
    ));
    findings.push(if wrk::found() {
        well("wrk: found")
    } else {
        ill(
            "wrk: not found",
            "http is measured by our own load only; the package is called wrk",
        )
    });
    findings.push(tool(
        "strace",
        "--syscalls needs it:",
        "the package is called strace",
    ));
    findings.push(tool(
        "perf",
        "--profile needs it:",
        "linux-perf, or linux-tools-generic",
    ));
    findings.push(paranoid(&read("/proc/sys/kernel/perf_event_paranoid")));
    print!("{}", text(&findings));
}

fn text(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| match &finding.mend {
            None => format!("ok    {}\n", finding.what),
            Some(mend) => format!("MEND  {}\n      {mend}\n", finding.what),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert!(descriptors(20_000).mend.is_none() && descriptors(1024).mend.is_some());
        assert_eq!(ports("32768\t60999"), well("28232 ephemeral ports"));
        assert!(ports("40000 41000").mend.is_some() && ports("").mend.is_some());
        assert!(backlog(4096).mend.is_none() && backlog(128).mend.is_some());
        assert!(governor("").mend.is_none() && governor("powersave").mend.is_some());
        assert!(cpus(2).mend.is_none() && cpus(1).mend.is_some());
    }

    #[test]
    fn what_is_ill_says_how_to_mend_it() {
        let text = text(&[well("a"), ill("b", "do c")]);
        assert_eq!(text, "ok    a\nMEND  b\n      do c\n");
    }
}
