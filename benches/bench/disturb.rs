//! Whether something else ran while a figure was taken.
//!
//! The CPU time of all CPUs together, from `/proc/stat`, less that of the harness and of its
//! children, is what others used; steal time is what the hypervisor gave to others. Interrupts are
//! left out: on loopback they are the work of the peers themselves, whoever they are billed to.
//!
//! `/proc/stat` counts in ticks of 10 ms, so a short window can be off by a tick on each CPU.

use std::fs;
use std::mem;
use std::time::Instant;

/// What others may use of one core before a round counts as disturbed.
pub(crate) const OTHERS: f64 = 0.10;
/// What the hypervisor may take of one core.
pub(crate) const STEAL: f64 = 0.02;

/// Totals since the machine and the harness were started, in seconds of CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    busy: f64,
    steal: f64,
    cpus: usize,
}

/// Reads the text of `/proc/stat`.
fn parse(stat: &str, ticks: f64) -> Totals {
    let cpus = stat
        .lines()
        .filter(|line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| !rest.starts_with(' '))
        })
        .count();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0.0) / ticks;
    // user, nice, system, idle, iowait, irq, softirq, steal
    Totals {
        busy: field(0) + field(1) + field(2),
        steal: field(7),
        cpus,
    }
}

fn totals() -> Totals {
    // SAFETY: sysconf takes no pointer.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    parse(&fs::read_to_string("/proc/stat").unwrap_or_default(), ticks)
}

/// Seconds of CPU of this process and of the children it has waited for.
fn own() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .map(|who| {
            // SAFETY: a rusage is plain numbers.
            let mut usage: libc::rusage = unsafe { mem::zeroed() };
            // SAFETY: the pointer is to a rusage.
            unsafe { libc::getrusage(who, &raw mut usage) };
            let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
            seconds(usage.ru_utime) + seconds(usage.ru_stime)
        })
        .iter()
        .sum()
}

/// A window that is being watched. All children of the window must have been waited for when it
/// ends.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    totals: Totals,
    own: f64,
}

/// What went on in a window, in cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Disturbance {
    pub(crate) others: f64,
    pub(crate) steal: f64,
}

impl Disturbance {
    /// Whether the figure should be marked.
    pub(crate) fn disturbed(&self) -> bool {
        self.others > OTHERS || self.steal > STEAL
    }

    /// The larger of both, each by its own limit.
    pub(crate) fn degree(&self) -> f64 {
        (self.others / OTHERS).max(self.steal / STEAL)
    }
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn begin() -> Watch {
        Watch {
            began: Instant::now(),
            totals: totals(),
            own: own(),
        }
    }

    /// What has gone on since.
    pub(crate) fn end(&self) -> Disturbance {
        difference(
            self.totals,
            totals(),
            own() - self.own,
            self.began.elapsed().as_secs_f64(),
        )
    }
}

fn difference(before: Totals, after: Totals, own: f64, seconds: f64) -> Disturbance {
    // What a tick on each CPU comes to is no disturbance.
    let grain = 0.01 * after.cpus.max(1) as f64;
    let over = |time: f64| (time - grain).max(0.0) / seconds.max(0.001);
    Disturbance {
        others: over(after.busy - before.busy - own),
        steal: over(after.steal - before.steal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 999 5 7 8 40 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";

    #[test]
    fn the_first_line_is_all_cpus() {
        assert_eq!(
            parse(STAT, 100.0),
            Totals {
                busy: 1.5,
                steal: 0.4,
                cpus: 2
            }
        );
        assert_eq!(parse("", 100.0), Totals::default());
    }

    #[test]
    fn what_others_used() {
        let before = Totals {
            busy: 10.0,
            steal: 1.0,
            cpus: 2,
        };
        let after = Totals {
            busy: 13.0,
            steal: 1.0,
            cpus: 2,
        };
        let quiet = difference(before, after, 2.99, 2.0);
        assert!(!quiet.disturbed() && quiet.others == 0.0, "{quiet:?}");
        let loud = difference(before, after, 2.0, 2.0);
        assert!(
            loud.disturbed() && (loud.others - 0.49).abs() < 1e-9,
            "{loud:?}"
        );
        let stolen = difference(
            before,
            Totals {
                steal: 1.2,
                ..after
            },
            3.0,
            2.0,
        );
        assert!(stolen.disturbed() && stolen.degree() > 4.0, "{stolen:?}");
    }
}
