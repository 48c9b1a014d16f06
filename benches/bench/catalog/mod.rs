//! The table of workloads: their forms and sizes, the peers that have them, what each verifies.
//!
//! A workload is a list of [`Case`]s. A case is either done inside the peer, clock and all, or is a
//! load that the harness puts on the peer's server. The names of variants are part of what `compare`
//! goes by, so sizes that `--quick` changes are in them.

mod cases;

use std::time::Duration;

use crate::load;

/// What one metric means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// As it is called in results.
    pub(crate) name: &'static str,
    /// As it is called in tables.
    pub(crate) label: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) lower_is_better: bool,
    /// By how much medians of one commit may differ: see [`crate::stats`].
    pub(crate) margin: f64,
}

const fn lower(name: &'static str, label: &'static str, unit: &'static str, margin: f64) -> Metric {
    Metric {
        name,
        label,
        unit,
        lower_is_better: true,
        margin,
    }
}

const fn higher(
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    margin: f64,
) -> Metric {
    Metric {
        name,
        label,
        unit,
        lower_is_better: false,
        margin,
    }
}

/// All metrics, in the order of the columns of a table.
///
/// The margins: a quarter for percentiles of latency far out and for anything that hangs on which
/// CPU a thread is put on, a tenth for times otherwise, little for memory.
pub(crate) const METRICS: &[Metric] = &[
    lower("ns_per_op", "ns/op", "ns", 0.10),
    lower("cpu_ns_per_op", "CPU ns/op", "ns", 0.10),
    lower("wall_ms", "ms", "ms", 0.10),
    lower("cpu_ms", "CPU ms", "ms", 0.10),
    lower("late_max_ms", "latest ms", "ms", 0.50),
    lower("rss_bytes_per_task", "RSS B/task", "B", 0.03),
    lower("page_table_bytes_per_task", "page tables B/task", "B", 0.05),
    lower("unfairness", "(max-min)/mean", "ratio", 0.50),
    higher("req_per_s", "req/s", "1/s", 0.15),
    lower("server_cpu_us_per_req", "server CPU µs/req", "us", 0.15),
    lower("server_user_us_per_req", "of it user", "us", 0.15),
    lower("p50_us", "p50 µs", "us", 0.20),
    lower("p99_us", "p99 µs", "us", 0.35),
    lower("p999_us", "p99.9 µs", "us", 0.60),
    lower("max_us", "max µs", "us", 1.00),
    lower("rss_bytes_per_conn", "RSS B/conn", "B", 0.05),
    lower("page_table_bytes_per_conn", "page tables B/conn", "B", 0.10),
    higher("hog_ms_per_s", "hogs' CPU ms/s", "ms/s", 0.25),
    higher("hog_min_ms_per_s", "slowest hog ms/s", "ms/s", 0.50),
    lower("syscalls_per_op", "syscalls/op", "calls", 0.10),
    lower("syscalls_per_req", "syscalls/req", "calls", 0.10),
];

/// The metric of that name; a metric that a peer of one's own brings is a time in its own words.
pub(crate) fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// Where the metric stands in a table; those of peers of one's own come last.
pub(crate) fn place(name: &str) -> usize {
    let found = METRICS.iter().position(|metric| metric.name == name);
    found.unwrap_or(usize::MAX)
}

/// Names and values that go to a peer as `--name value`; as `--name` if the value is empty.
pub(crate) type Parameters = Vec<(String, String)>;

/// A workload.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What makes it fail.
    pub(crate) verifies: &'static str,
    /// The peers that have it; one's own are always asked.
    pub(crate) peers: &'static [&'static str],
    /// Its cases, `quick` or in full.
    pub(crate) cases: fn(quick: bool) -> Vec<Case>,
}

/// One form of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) variant: String,
    pub(crate) drive: Drive,
    /// Set in the environment of the peer.
    pub(crate) env: Parameters,
}

/// Who does it.
#[derive(Clone, Debug)]
pub(crate) enum Drive {
    /// The peer by itself, with these parameters.
    Own {
        parameters: Parameters,
        /// Operations in one round.
        operations: u64,
    },
    /// The harness puts a load on the peer's server.
    Served { parameters: Parameters, load: Load },
}

/// A load on a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Echo {
        connections: usize,
        message: usize,
        depth: usize,
        rate: Option<f64>,
        on: Socket,
        wants: Wants,
    },
    Churn {
        concurrency: usize,
        message: usize,
    },
    Idle {
        connections: usize,
        message: usize,
    },
    Http {
        connections: usize,
        depth: usize,
        wrk: bool,
    },
}

/// The kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Tcp,
    Unix,
}

/// What of an echo is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// How many and how fast.
    Throughput,
    /// Latencies beside spinning tasks.
    Hogs,
    /// How evenly.
    Fairness,
}

impl Load {
    /// The peer's subcommand.
    pub(crate) fn server(&self) -> &'static str {
        match self {
            Load::Http { .. } => "serve-http",
            _ => "serve-echo",
        }
    }

    /// The shortest window in which the load says something.
    pub(crate) fn least_window(&self) -> Duration {
        match self {
            // Each connection must get hundreds of turns, or the luck of a few is the difference.
            Load::Echo {
                wants: Wants::Fairness,
                ..
            } => Duration::from_secs(3),
            // Of 2000 requests a second, the slowest thousandth are then four.
            Load::Echo {
                wants: Wants::Hogs, ..
            } => Duration::from_secs(2),
            // Some turns for each connection.
            Load::Echo { connections, .. } if *connections >= 4000 => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }
}

const RUNTIMES: &[&str] = &["corio", "go", "tokio", "may", "std"];
const SERVERS: &[&str] = &["corio", "go", "tokio", "may", "std", "raw"];
const WITH_FLOOR: &[&str] = &["corio", "go", "tokio", "may", "std", "corosensei"];
const HTTP: &[&str] = &["corio", "go", "tokio", "may"];
const ECHOED: &str = "every byte comes back, in order";

/// All of them.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "yield",
        about: "tasks that give way to each other",
        verifies: "each task did its share",
        peers: WITH_FLOOR,
        cases: cases::yields,
    },
    Workload {
        name: "spawn",
        about: "tasks that end at once, one by one and a million together",
        verifies: "the sum of what the tasks returned",
        peers: WITH_FLOOR,
        cases: cases::spawn,
    },
    Workload {
        name: "pingpong",
        about: "two tasks and two channels, a message there and back",
        verifies: "every message is the one before plus one",
        peers: RUNTIMES,
        cases: cases::pingpong,
    },
    Workload {
        name: "chan_mpmc",
        about: "many producers and consumers on one buffered channel",
        verifies: "count and sum of what was received",
        peers: RUNTIMES,
        cases: cases::chan_mpmc,
    },
    Workload {
        name: "select",
        about: "round trips through one of several channels",
        verifies: "every answer is that to its question",
        peers: RUNTIMES,
        cases: cases::select,
    },
    Workload {
        name: "mutex",
        about: "one lock, alone and in a crowd",
        verifies: "the counter under the lock",
        peers: RUNTIMES,
        cases: cases::mutex,
    },
    Workload {
        name: "rwlock",
        about: "one lock, nine readers to a writer",
        verifies: "the number of writes",
        peers: RUNTIMES,
        cases: cases::rwlock,
    },
    Workload {
        name: "skynet",
        about: "a tree of tasks, ten children each",
        verifies: "the sum of the leaves",
        peers: RUNTIMES,
        cases: cases::skynet,
    },
    Workload {
        name: "timers",
        about: "many sleepers, 10 to 110 ms each",
        verifies: "none wakes early, all wake",
        peers: RUNTIMES,
        cases: cases::timers,
    },
    Workload {
        name: "idle_mem",
        about: "memory of a task that waits",
        verifies: "all of them wait, and all end when told",
        peers: RUNTIMES,
        cases: cases::idle_mem,
    },
    Workload {
        name: "echo",
        about: "ping-pong on C connections",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::echoes,
    },
    Workload {
        name: "stream",
        about: "pipelined echo on few connections",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::stream,
    },
    Workload {
        name: "http",
        about: "plaintext, keep-alive and pipelined (wrk beside our own load)",
        verifies: "status, length and body of every answer",
        peers: HTTP,
        cases: cases::http,
    },
    Workload {
        name: "churn",
        about: "connect, one exchange, close",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::churn,
    },
    Workload {
        name: "idle_conn",
        about: "memory of a connection that does nothing",
        verifies: "all connect; the exchange, where there is one",
        peers: SERVERS,
        cases: cases::idle_conn,
    },
    Workload {
        name: "hog",
        about: "latency at a fixed rate while tasks spin and one blocks its thread",
        verifies: ECHOED,
        peers: HTTP,
        cases: cases::hog,
    },
    Workload {
        name: "bulk",
        about: "echo of 64 KiB messages",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::bulk,
    },
    Workload {
        name: "uds",
        about: "echo on Unix sockets",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::uds,
    },
    Workload {
        name: "fairness",
        about: "how evenly the connections of an echo are served",
        verifies: ECHOED,
        peers: SERVERS,
        cases: cases::fairness,
    },
];

/// The workloads of those names, in the order of the table; all if there are no names.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Workload>, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| WORKLOADS.iter().all(|w| w.name != **name))
    {
        return Err(format!("no workload {unknown}; `bench list` has them all"));
    }
    let all = names.is_empty();
    Ok(WORKLOADS
        .iter()
        .filter(|w| all || names.iter().any(|name| name == w.name))
        .collect())
}

/// `bench list`.
pub(crate) fn print() {
    for workload in WORKLOADS {
        println!("{:<10} {}", workload.name, workload.about);
        let variants: Vec<_> = (workload.cases)(false)
            .into_iter()
            .map(|c| c.variant)
            .collect();
        println!("{:<10}   variants: {}", "", variants.join("; "));
        println!("{:<10}   peers:    {}", "", workload.peers.join(", "));
        println!("{:<10}   verifies: {}", "", workload.verifies);
    }
}

/// One case for each value of a sweep.
pub(crate) fn sweep(case: &Case, name: &str, value: &str) -> Result<Case, String> {
    let mut swept = case.clone();
    swept.variant = format!("{}, {name}={value}", case.variant);
    let number = || {
        value
            .parse::<usize>()
            .map_err(|error| format!("{name}={value}: {error}"))
    };
    if name == "stack_size" {
        swept.env.push(("CORIO_STACK_SIZE".into(), value.into()));
        return Ok(swept);
    }
    if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
        swept.env.push((name.into(), value.into()));
        return Ok(swept);
    }
    match (&mut swept.drive, name) {
        (Drive::Served { load, .. }, "connections" | "message" | "depth" | "rate") => {
            let number = number()?;
            let place = match (load, name) {
                (Load::Echo { rate, .. }, "rate") => {
                    *rate = Some(number as f64);
                    return Ok(swept);
                }
                (Load::Echo { connections, .. }, "connections") => connections,
                (Load::Echo { message, .. }, "message") => message,
                (Load::Echo { depth, .. }, "depth") => depth,
                (Load::Churn { concurrency, .. }, "connections") => concurrency,
                (Load::Churn { message, .. }, "message") => message,
                (Load::Idle { connections, .. }, "connections") => connections,
                (Load::Idle { message, .. }, "message") => message,
                (Load::Http { connections, .. }, "connections") => connections,
                (Load::Http { depth, .. }, "depth") => depth,
                _ => return Err(format!("{}: has no {name}", case.variant)),
            };
            *place = number;
        }
        (
            Drive::Own {
                parameters,
                operations,
            },
            _,
        ) => {
            if name == "n" {
                *operations = number()? as u64;
            }
            parameters.retain(|(known, _)| known != name);
            parameters.push((name.into(), value.into()));
        }
        (Drive::Served { parameters, .. }, _) => {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name.into(), value.into()));
        }
    }
    Ok(swept)
}

/// By how much fewer operations a peer does where it is far slower than the others, so that it does
/// not take most of the time of a run: workload, beginning of the variant, peer, divisor. The figures
/// are per operation. What is measured as a whole is not divided.
const SLOW: &[(&str, &str, &str, u64)] = &[
    ("yield", "", "std", 20),
    ("spawn", "one by one", "std", 100),
    ("spawn", "one by one", "may", 40),
    ("pingpong", "", "std", 50),
    ("select", "", "std", 50),
];

/// The operations that this peer does in one round of the case.
pub(crate) fn operations(workload: &str, variant: &str, peer: &str, full: u64) -> u64 {
    let slow = SLOW
        .iter()
        .find(|(w, v, p, _)| *w == workload && variant.starts_with(v) && *p == peer);
    (full / slow.map_or(1, |(.., divisor)| *divisor)).max(1)
}

/// The address that a load is put on.
pub(crate) fn target(on: Socket, listening: &crate::contract::Listening) -> Option<load::Target> {
    match on {
        Socket::Tcp => Some(load::Target::Tcp(listening.listening)),
        Socket::Unix => listening.unix.clone().map(load::Target::Unix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = WORKLOADS.iter().map(|w| w.name).collect();
        assert_eq!(names.len(), WORKLOADS.len());
        let metrics: HashSet<_> = METRICS.iter().map(|m| m.name).collect();
        assert_eq!(metrics.len(), METRICS.len());
        for workload in WORKLOADS {
            for quick in [false, true] {
                let cases = (workload.cases)(quick);
                let variants: HashSet<_> = cases.iter().map(|c| &c.variant).collect();
                assert!(
                    !cases.is_empty() && variants.len() == cases.len(),
                    "{}",
                    workload.name
                );
            }
        }
    }

    #[test]
    fn workloads_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), WORKLOADS.len());
        let two = chosen(&["echo".into(), "yield".into()]).unwrap();
        assert_eq!([two[0].name, two[1].name], ["yield", "echo"]);
        assert!(chosen(&["yeild".into()]).is_err());
    }

    #[test]
    fn the_slow_do_less() {
        assert_eq!(operations("pingpong", "cap1", "std", 1000), 20);
        assert_eq!(operations("pingpong", "cap1", "corio", 1000), 1000);
        assert_eq!(
            operations("spawn", "burst of 1000, cold", "std", 1000),
            1000
        );
    }

    #[test]
    fn a_sweep_reaches_load_parameters_and_environment() {
        let case = &cases::echoes(true)[0];
        let swept = sweep(case, "connections", "7").unwrap();
        assert_eq!(swept.variant, "C=1 64 B, connections=7");
        assert!(matches!(
            swept.drive,
            Drive::Served {
                load: Load::Echo {
                    connections: 7,
                    message: 64,
                    ..
                },
                ..
            }
        ));
        let swept = sweep(case, "stack_size", "16k").unwrap();
        assert_eq!(
            swept.env,
            [("CORIO_STACK_SIZE".to_owned(), "16k".to_owned())]
        );
        let swept = sweep(&cases::yields(true)[0], "tasks", "9").unwrap();
        let Drive::Own { parameters, .. } = swept.drive else {
            panic!("not served")
        };
        assert_eq!(
            parameters
                .iter()
                .filter(|(name, _)| name == "tasks")
                .count(),
            1
        );
        assert!(sweep(case, "connections", "many").is_err());
    }
}
