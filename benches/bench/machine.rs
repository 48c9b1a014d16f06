//! The machine and the programs that a run was made with, so that figures can be told apart later.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::peers;
use crate::process::{allowed_cpus, output};

/// What a run was made with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// When it began, in UTC.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) virtual_machine: bool,
    /// Of the clock frequency; empty where there is none to choose.
    pub(crate) governor: String,
    /// One minute's, at the beginning.
    pub(crate) load: f64,
    pub(crate) commit: String,
    /// Of compilers and peers.
    pub(crate) versions: BTreeMap<String, String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The value of `key : value` in a file of /proc.
fn field<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key))
        .map_or("", |(_, value)| value.trim())
}

/// The governor of the first CPU.
pub(crate) fn governor() -> String {
    read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
}

/// What programs could still take.
pub(crate) fn available_mib() -> u64 {
    mib(field(&read("/proc/meminfo"), "MemAvailable"))
}

/// `1024 kB` in MiB.
fn mib(amount: &str) -> u64 {
    let kib = amount.split(' ').next().unwrap_or_default();
    kib.parse::<u64>().map_or(0, |kib| kib / 1024)
}

/// Looks around.
pub(crate) fn describe() -> Machine {
    let info = read("/proc/cpuinfo");
    let mut versions = BTreeMap::new();
    for (tool, args) in [
        ("rustc", "--version"),
        ("go", "version"),
        ("wrk", "--version"),
        ("perf", "--version"),
    ] {
        if let Some(text) = output(tool, &[args]) {
            let line = text.lines().next().unwrap_or_default();
            versions.insert(tool.to_owned(), line.to_owned());
        }
    }
    Machine {
        date: utc(SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs())),
        cpu: match field(&info, "model name") {
            "" => std::env::consts::ARCH.to_owned(),
            name => name.to_owned(),
        },
        cpus: allowed_cpus().len(),
        memory_mib: mib(field(&read("/proc/meminfo"), "MemTotal")),
        kernel: read("/proc/sys/kernel/osrelease"),
        virtual_machine: field(&info, "flags")
            .split(' ')
            .any(|flag| flag == "hypervisor"),
        governor: governor(),
        load: read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|l| l.parse().ok())
            .unwrap_or(0.0),
        commit: commit(),
        versions,
    }
}

/// The commit of the working tree, marked when there are changes on top of it.
fn commit() -> String {
    let root = peers::root().display().to_string();
    let Some(commit) = output("git", &["-C", &root, "rev-parse", "--short=12", "HEAD"]) else {
        return String::new();
    };
    let changes = output(
        "git",
        &["-C", &root, "status", "--porcelain", "--untracked-files=no"],
    );
    if changes.is_some() {
        format!("{commit}+changes")
    } else {
        commit
    }
}

/// Seconds since 1970 as a date and time of day.
fn utc(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (rest / 3600, rest % 3600 / 60);
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59 UTC");
    }

    #[test]
    fn fields() {
        assert_eq!(
            field("a\t: 1\nmodel name\t: Big 9\n", "model name"),
            "Big 9"
        );
        assert_eq!(field("a: 1", "b"), "");
        assert!(describe().cpus > 0);
    }
}
