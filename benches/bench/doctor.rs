//! `bench doctor`: what on this machine would spoil a run, and how to mend it.
//!
//! A line is `ok`; or `MEND` if figures would be wrong or workloads fail, with what to do about it; or
//! `LACK` if something that is not needed is not there, with what is left out without it.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::disturb::{self, Watch};
use crate::machine;
use crate::process::{allowed_cpus, raise_descriptors, which};

/// How long it is watched what else runs.
const LOOK: Duration = Duration::from_secs(2);

/// Descriptors that the largest load takes, with some to spare.
const DESCRIPTORS: u64 = 10_000;

/// What was looked at.
#[derive(Debug, PartialEq)]
struct Finding {
    what: String,
    verdict: Verdict,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Well,
    /// It would spoil figures; how to mend it.
    Ill(String),
    /// It is not there; what is left out, and where it is to be had.
    Lacking(String),
}

fn well(what: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        verdict: Verdict::Well,
    }
}

fn ill(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        verdict: Verdict::Ill(mend.into()),
    }
}

fn lacking(what: impl Into<String>, without: impl Into<String>) -> Finding {
    Finding {
        what: what.into(),
        verdict: Verdict::Lacking(without.into()),
    }
}

fn descriptors(limit: u64) -> Finding {
    let what = format!("up to {limit} file descriptors in a process");
    if limit >= DESCRIPTORS {
        well(what)
    } else {
        ill(
            what,
            format!(
                "echo and idle_conn with 8000 connections fail: `ulimit -Hn {DESCRIPTORS}` as root, \
                 LimitNOFILE= of the service, or /etc/security/limits.conf"
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
    let what = format!("{count} ports to connect from");
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
    let what = format!("up to {longest} connections wait to be accepted");
    if longest >= 1024 {
        well(what)
    } else {
        ill(
            what,
            "connecting thousands at a time stalls for seconds: `sysctl -w net.core.somaxconn=4096`",
        )
    }
}

fn governor(governor: &str) -> Finding {
    match governor {
        "" => well("clock frequency: not ours to choose (a virtual machine, most likely)"),
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
            "server and load share it, so requests per second say little; go by server CPU per request",
        ),
        n => well(format!(
            "{n} CPUs; with --procs {n} server and load share them, and with fewer each has its own"
        )),
    }
}

/// What a control group allows of the CPUs: its `cpu.max`, empty where there is none.
fn quota(max: &str) -> Option<Finding> {
    let (quota, period) = max.split_once(' ')?;
    let cpus = quota.parse::<f64>().ok()? / period.trim().parse::<f64>().ok()?;
    Some(ill(
        format!("a quota of {cpus:.1} CPUs (cpu.max of the control group)"),
        "who has used it up stands still for the rest of a period, in the middle of a figure: run without it",
    ))
}

fn quiet() -> Vec<Finding> {
    eprintln!("watching for {} s what else runs", LOOK.as_secs());
    let watch = Watch::begin();
    thread::sleep(LOOK);
    let seen = watch.end();
    let share = |what: &str, used: f64, limit: f64, mend: &str| {
        let (used, limit) = (100.0 * used, 100.0 * limit);
        if used > limit {
            ill(
                format!(
                    "{what} {used:.1}% of a core, and a round with more than {limit:.0}% is disturbed"
                ),
                mend,
            )
        } else {
            well(format!(
                "{what} {used:.1}% of a core, up to {limit:.0}% are taken as quiet"
            ))
        }
    };
    vec![
        share(
            "the hypervisor takes",
            seen.steal,
            disturb::STEAL,
            "the host is busy: another time of day, or a machine with cores of its own",
        ),
        share(
            "other programs use",
            seen.others,
            disturb::OTHERS,
            "stop them (`top` shows which)",
        ),
    ]
}

fn tool(name: &str, without: &str) -> Finding {
    match which(name) {
        Some(path) => well(format!("{name}: {}", path.display())),
        None => lacking(format!("{name}: not found"), without),
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
            "--profile sees nothing of the kernel, or nothing at all: \
             `sysctl -w kernel.perf_event_paranoid=1`",
        )
    }
}

fn memory(mib: u64) -> Finding {
    let what = format!("{mib} MiB of memory available");
    if mib >= 8000 {
        well(what)
    } else {
        ill(
            what,
            "a million parked goroutines take 5 GiB: leave out idle_mem and skynet, or use --quick",
        )
    }
}

/// A stack with its guard takes two mappings, unless the system has guards that take none.
fn mappings(max: u64, kernel: &str) -> Finding {
    let what = format!("up to {max} mappings in a process, Linux {kernel}");
    let mut numbers = kernel
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 13) || max >= 2_100_000 {
        well(what)
    } else {
        ill(
            what,
            "a million goroutines fail before Linux 6.13: `sysctl -w vm.max_map_count=2100000`",
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn number(path: &str) -> u64 {
    read(path).parse().unwrap_or(0)
}

/// Looks at everything and prints what it finds.
pub(crate) fn run() {
    let mut findings = vec![
        cpus(allowed_cpus().len()),
        memory(machine::available_mib()),
        mappings(
            number("/proc/sys/vm/max_map_count"),
            &read("/proc/sys/kernel/osrelease"),
        ),
        descriptors(raise_descriptors()),
        ports(&read("/proc/sys/net/ipv4/ip_local_port_range")),
        backlog(number("/proc/sys/net/core/somaxconn")),
        governor(&machine::governor()),
    ];
    findings.extend(quota(&read("/sys/fs/cgroup/cpu.max")));
    findings.extend(quiet());
    findings.push(tool(
        "go",
        "no Go peer: the package is called golang-go, or https://go.dev/dl/",
    ));
    findings.push(tool(
        "wrk",
        "http is measured by our own load only: the package is called wrk",
    ));
    findings.push(tool(
        "strace",
        "no --syscalls: the package is called strace",
    ));
    findings.push(tool(
        "perf",
        "no --profile: the package is called linux-perf, or linux-tools-generic",
    ));
    if which("perf").is_some() {
        findings.push(paranoid(&read("/proc/sys/kernel/perf_event_paranoid")));
    }
    print!("{}", text(&findings));
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut to_mend = 0;
    for Finding { what, verdict } in findings {
        text.push_str(&match verdict {
            Verdict::Well => format!("ok    {what}\n"),
            Verdict::Ill(mend) => {
                to_mend += 1;
                format!("MEND  {what}\n      {mend}\n")
            }
            Verdict::Lacking(without) => format!("LACK  {what}\n      {without}\n"),
        });
    }
    text.push_str(&match to_mend {
        0 => "\nNothing here would spoil a run.\n".to_owned(),
        1 => "\nOne thing to mend before figures are worth something.\n".to_owned(),
        n => format!("\n{n} things to mend before figures are worth something.\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_well(finding: &Finding) -> bool {
        finding.verdict == Verdict::Well
    }

    #[test]
    fn limits() {
        assert!(is_well(&descriptors(20_000)) && !is_well(&descriptors(1024)));
        assert!(ports("32768\t60999").what.starts_with("28232 ports"));
        assert!(!is_well(&ports("40000 41000")) && !is_well(&ports("")));
        assert!(is_well(&backlog(4096)) && !is_well(&backlog(128)));
        assert!(is_well(&governor("")) && !is_well(&governor("powersave")));
        assert!(is_well(&cpus(2)) && !is_well(&cpus(1)));
        assert!(is_well(&memory(16_000)) && !is_well(&memory(4000)));
    }

    #[test]
    fn old_systems_need_mappings() {
        assert!(is_well(&mappings(65_530, "6.13.0-rc1")) && is_well(&mappings(65_530, "7.0")));
        assert!(is_well(&mappings(3_000_000, "5.15.0-1-generic")));
        assert!(!is_well(&mappings(65_530, "6.1.0")) && !is_well(&mappings(65_530, "")));
    }

    #[test]
    fn quotas() {
        assert_eq!(quota("max 100000"), None);
        assert_eq!(quota(""), None);
        let found = quota("150000 100000").unwrap();
        assert!(!is_well(&found) && found.what.contains("1.5 CPUs"));
    }

    #[test]
    fn what_is_not_well_says_what_to_do() {
        let found = [well("a"), ill("b", "do c"), lacking("d", "no e")];
        assert_eq!(
            text(&found),
            "ok    a\nMEND  b\n      do c\nLACK  d\n      no e\n\n\
             One thing to mend before figures are worth something.\n"
        );
        assert!(text(&found[..1]).ends_with("\nNothing here would spoil a run.\n"));
    }
}
