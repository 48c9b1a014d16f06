//! One figure: one workload in one form, one peer, one round.
//!
//! What a peer does by itself it also times by itself; the harness only checks that it says that
//! the result was verified. What a server does is timed here, from outside, by a load that the
//! harness makes; the CPU time of the server over the measured window is the difference of what it
//! answers to two SIGUSR1.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::catalog::{self, Case, Drive, Load, Parameters, Socket, Wants};
use crate::contract::{ABSENT, Line, Usage};
use crate::load::{self, ChurnPlan, EchoPlan, HttpPlan, IdlePlan, LoadResult, Moment};
use crate::peers::Peer;
use crate::process::{Running, pin_thread};
use crate::server::{Refusal, Server};
use crate::wrk;

/// How it is measured.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) procs: usize,
    /// Where the peer runs, if it is pinned.
    pub(crate) server_cpus: Option<Vec<usize>>,
    /// Where the load is made, if it is pinned.
    pub(crate) client_cpus: Option<Vec<usize>>,
    /// The window of a network workload.
    pub(crate) window: Duration,
    /// Whether a load that needs a longer window gets it.
    pub(crate) stretch: bool,
    /// After which a peer that does a workload by itself is given up.
    pub(crate) patience: Duration,
}

impl Setting {
    /// Warm-up and window of that load.
    fn times(&self, load: &Load) -> (Duration, Duration) {
        let window = match self.stretch {
            true => self.window.max(load.least_window()),
            false => self.window,
        };
        let warmup = (window / 4).min(WARMUP);
        let hogs = matches!(load, Load::Echo { wants, .. } if *wants == Wants::Hogs);
        // The hogs begin when the connections are there, and the window when the hogs spin.
        (if hogs { HOGS_SPIN } else { warmup }, window)
    }
}

/// The longest warm-up: by then every connection has had its turn.
const WARMUP: Duration = Duration::from_millis(500);

/// The warm-up of a load beside hogs.
const HOGS_SPIN: Duration = Duration::from_millis(700);

/// How much longer than that and the window hogs compute, as connecting takes its time.
const HOGS_LONGER: Duration = Duration::from_millis(600);

/// One figure of one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) flavour: Option<String>,
    pub(crate) metric: String,
    pub(crate) value: f64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The figures, and what the peer calls its version.
    Measured(Vec<Sample>, Option<String>),
    /// The peer does not have the workload, or not so large; in its own words.
    Absent(String),
    /// It went wrong.
    Failed(String),
}

fn sample(metric: &str, value: f64) -> Sample {
    Sample {
        flavour: None,
        metric: metric.to_owned(),
        value,
    }
}

/// Measures it.
pub(crate) fn measure(peer: &Peer, workload: &str, case: &Case, setting: &Setting) -> Outcome {
    let outcome = match &case.drive {
        Drive::Own { .. } => own(command(peer, workload, case, setting), workload, setting),
        Drive::Served { load, .. } => served(peer, case, load, setting),
    };
    outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
}

/// The command of a workload that the peer does by itself, for one round.
pub(crate) fn command(peer: &Peer, workload: &str, case: &Case, setting: &Setting) -> Command {
    let mut command = Command::new(&peer.program);
    command
        .arg(workload)
        .args(["--procs", &setting.procs.to_string(), "--rounds", "1"]);
    let mut case = case.clone();
    if let Drive::Own {
        parameters,
        operations,
    } = &mut case.drive
    {
        let n = catalog::operations(workload, &case.variant, &peer.name, *operations);
        for (_, value) in parameters.iter_mut().filter(|(name, _)| name == "n") {
            *value = n.to_string();
        }
    }
    finish(&mut command, &case);
    command
}

fn finish(command: &mut Command, case: &Case) {
    for (name, value) in parameters(case) {
        command.arg(format!("--{name}"));
        if !value.is_empty() {
            command.arg(value);
        }
    }
    command.envs(case.env.iter().map(|(name, value)| (name, value)));
}

fn parameters(case: &Case) -> &Parameters {
    match &case.drive {
        Drive::Own { parameters, .. } | Drive::Served { parameters, .. } => parameters,
    }
}

fn own(mut command: Command, workload: &str, setting: &Setting) -> io::Result<Outcome> {
    let until = Instant::now() + setting.patience;
    let running = Running::start(&mut command, setting.server_cpus.as_deref())?;
    let mut last_line = None;
    while let Some(line) = running.line(until)? {
        last_line = Some(line);
    }
    let (status, last) = running.end(until)?;
    if status.code() == Some(ABSENT) {
        return Ok(Outcome::Absent(last));
    }
    if !status.success() {
        return Ok(Outcome::Failed(format!("{status}: {last}")));
    }
    let line = last_line.ok_or_else(|| io::Error::other("printed nothing"))?;
    let line: Line = serde_json::from_str(&line)
        .map_err(|error| io::Error::other(format!("{line}: {error}")))?;
    if !line.verified || line.workload != workload {
        return Ok(Outcome::Failed("did not verify its result".to_owned()));
    }
    let samples = line
        .results
        .into_iter()
        .filter_map(|figures| {
            let value = crate::stats::median(&figures.values)?;
            Some(Sample {
                flavour: figures.flavour,
                metric: figures.metric,
                value,
            })
        })
        .collect();
    Ok(Outcome::Measured(samples, Some(line.version)))
}

/// A path for a Unix socket, gone when dropped.
#[derive(Debug)]
pub(crate) struct SocketPath(PathBuf);

impl SocketPath {
    /// One for this process; there is one server at a time.
    fn new() -> SocketPath {
        let path = std::env::temp_dir().join(format!("corio-bench-{}.sock", std::process::id()));
        let fresh = SocketPath(path);
        fresh.remove();
        fresh
    }

    fn remove(&self) {
        // Most often the server has removed it, or never made it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Starts the peer's server for that load, by what `wrap` makes of its command; beside it the socket
/// that it listens on if that has a path.
pub(crate) fn start(
    peer: &Peer,
    case: &Case,
    load: &Load,
    setting: &Setting,
    wrap: impl FnOnce(Command) -> Command,
) -> Result<(Server, Option<SocketPath>), Refusal> {
    let mut command = Command::new(&peer.program);
    command
        .arg(load.server())
        .args(["--procs", &setting.procs.to_string()]);
    command.args(["--addr", "127.0.0.1:0"]);
    let on_unix = matches!(load, Load::Echo { on, .. } if *on == Socket::Unix);
    let socket = on_unix.then(SocketPath::new);
    if let Some(SocketPath(path)) = &socket {
        command.arg("--unix").arg(path);
    }
    finish(&mut command, case);
    if let Load::Echo { wants, .. } = load
        && *wants == Wants::Hogs
        && parameters(case)
            .iter()
            .all(|(name, _)| name != "hog-seconds")
    {
        let (warmup, window) = setting.times(load);
        let seconds = (warmup + window + HOGS_LONGER).as_secs_f64();
        command.args(["--hog-seconds", &seconds.to_string()]);
    }
    let server = Server::start(&mut wrap(command), setting.server_cpus.as_deref())?;
    Ok((server, socket))
}

fn served(peer: &Peer, case: &Case, load: &Load, setting: &Setting) -> io::Result<Outcome> {
    let (mut server, _socket) = match start(peer, case, load, setting, |command| command) {
        Ok(started) => started,
        Err(Refusal::Absent(why)) => return Ok(Outcome::Absent(why)),
        Err(Refusal::Failed(error)) => return Err(error),
    };
    let version = server.listening().version.clone();
    let result = put(&mut server, load, setting)?;
    let usage = server.answers()?;
    server.stop()?;
    let [begin, end] = &usage[..] else {
        return Err(io::Error::other(format!(
            "{} answers to two questions",
            usage.len()
        )));
    };
    Ok(Outcome::Measured(
        samples(load, &result, begin, end),
        version,
    ))
}

/// Puts the load on the server, which is asked for its usage when the window begins and ends.
pub(crate) fn put(server: &mut Server, load: &Load, setting: &Setting) -> io::Result<LoadResult> {
    let Some(target) = (match load {
        Load::Echo { on, .. } => catalog::target(*on, server.listening()),
        _ => catalog::target(Socket::Tcp, server.listening()),
    }) else {
        return Err(io::Error::other(
            "the server does not listen on a Unix socket",
        ));
    };
    let (warmup, duration) = setting.times(load);
    match *load {
        Load::Http {
            connections,
            depth,
            wrk: false,
        } => {
            let plan = HttpPlan {
                target,
                connections,
                depth,
                rate: None,
                warmup,
                duration,
            };
            pinned(server, setting, |hook| load::http(&plan, hook))
        }
        Load::Http {
            connections,
            depth,
            wrk: true,
        } => {
            let addr = server.listening().listening;
            wrk::verify(addr)?;
            let cpus = setting.client_cpus.as_deref();
            if warmup >= Duration::from_millis(400) {
                wrk::run(addr, connections, depth, 1, cpus)?;
            }
            server.ask()?;
            let seconds = duration.as_secs_f64().round().max(1.0) as u64;
            let result = wrk::run(addr, connections, depth, seconds, cpus)?;
            server.ask()?;
            Ok(result)
        }
        Load::Echo {
            connections,
            message,
            depth,
            rate,
            ..
        } => {
            let plan = EchoPlan {
                target,
                connections,
                message,
                depth,
                rate,
                warmup,
                duration,
            };
            pinned(server, setting, |hook| load::echo(&plan, hook))
        }
        Load::Churn {
            concurrency,
            message,
        } => {
            let plan = ChurnPlan {
                target,
                concurrency,
                message,
                warmup,
                duration,
            };
            pinned(server, setting, |hook| load::churn(&plan, hook))
        }
        Load::Idle {
            connections,
            message,
        } => {
            let hold = Duration::from_millis(300);
            let plan = IdlePlan {
                target,
                connections,
                message,
                hold,
            };
            pinned(server, setting, |hook| {
                load::idle(&plan, hook)?;
                let per_connection = vec![1; connections];
                Ok(LoadResult {
                    per_connection,
                    ..LoadResult::default()
                })
            })
        }
    }
}

/// Runs a generator on a thread of its own, pinned to the client's CPUs.
fn pinned(
    server: &mut Server,
    setting: &Setting,
    generator: impl FnOnce(load::Hook<'_>) -> io::Result<LoadResult> + Send,
) -> io::Result<LoadResult> {
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            if let Some(cpus) = &setting.client_cpus {
                pin_thread(cpus)?;
            }
            generator(&mut |moment| match moment {
                Moment::Begin | Moment::End => server.ask(),
            })
        });
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the load generator panicked")))
    })
}

/// The figures of a load.
fn samples(load: &Load, result: &LoadResult, begin: &Usage, end: &Usage) -> Vec<Sample> {
    let requests = (result.requests as f64).max(1.0);
    let seconds = result.seconds.max(1e-9);
    let mut samples = Vec::new();
    let mut say = |metric, value| samples.push(sample(metric, value));
    if let Load::Idle { connections, .. } = load {
        let each = |kb: f64| kb * 1024.0 / *connections as f64;
        say("rss_bytes_per_conn", each(end.rss_kb - begin.rss_kb));
        say(
            "page_table_bytes_per_conn",
            each(end.page_tables_kb - begin.page_tables_kb),
        );
        return samples;
    }
    let wants = match load {
        Load::Echo { wants, .. } => *wants,
        _ => Wants::Throughput,
    };
    match wants {
        Wants::Throughput => {
            say("req_per_s", requests / seconds);
            say(
                "server_cpu_us_per_req",
                (end.cpu_us() - begin.cpu_us()) / requests,
            );
            say(
                "server_user_us_per_req",
                (end.cpu_user_us - begin.cpu_user_us) / requests,
            );
        }
        Wants::Fairness => {
            say("req_per_s", requests / seconds);
            say("unfairness", unfairness(&result.per_connection));
        }
        Wants::Hogs => {}
    }
    say("p50_us", result.latency.p50);
    say("p99_us", result.latency.p99);
    say("p999_us", result.latency.p999);
    if wants != Wants::Throughput {
        say("max_us", result.latency.max);
    }
    if wants == Wants::Hogs {
        let progress: Vec<f64> = end
            .hog_progress
            .iter()
            .enumerate()
            .map(|(hog, after)| after - begin.hog_progress.get(hog).copied().unwrap_or(0.0))
            .map(|progress| progress / seconds)
            .collect();
        say("hog_ms_per_s", progress.iter().sum());
        say(
            "hog_min_ms_per_s",
            progress.iter().copied().reduce(f64::min).unwrap_or(0.0),
        );
    }
    samples
}

/// (max - min) / mean of the requests served on each connection.
fn unfairness(served: &[u64]) -> f64 {
    let (Some(max), Some(min)) = (served.iter().max(), served.iter().min()) else {
        return 0.0;
    };
    let mean = served.iter().sum::<u64>() as f64 / served.len() as f64;
    (max - min) as f64 / mean.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu: f64, rss: f64, hogs: &[f64]) -> Usage {
        Usage {
            cpu_user_us: cpu,
            cpu_sys_us: cpu,
            rss_kb: rss,
            page_tables_kb: 0.0,
            hog_progress: hogs.to_vec(),
        }
    }

    fn of(samples: &[Sample], metric: &str) -> f64 {
        samples
            .iter()
            .find(|s| s.metric == metric)
            .map_or(f64::NAN, |s| s.value)
    }

    #[test]
    fn unfairness_of_connections() {
        assert_eq!(unfairness(&[10, 10, 10]), 0.0);
        assert_eq!(unfairness(&[5, 15, 10]), 1.0);
        assert_eq!(unfairness(&[]), 0.0);
    }

    #[test]
    fn figures_of_loads() {
        let echo = |wants| Load::Echo {
            connections: 2,
            message: 64,
            depth: 1,
            rate: None,
            on: Socket::Tcp,
            wants,
        };
        let result = LoadResult {
            requests: 1000,
            seconds: 2.0,
            per_connection: vec![400, 600],
            ..LoadResult::default()
        };
        let (begin, end) = (
            usage(100.0, 0.0, &[10.0, 0.0]),
            usage(2600.0, 0.0, &[30.0, 10.0]),
        );
        let throughput = samples(&echo(Wants::Throughput), &result, &begin, &end);
        assert_eq!(of(&throughput, "req_per_s"), 500.0);
        assert_eq!(of(&throughput, "server_cpu_us_per_req"), 5.0);
        let hogs = samples(&echo(Wants::Hogs), &result, &begin, &end);
        assert_eq!(of(&hogs, "hog_ms_per_s"), 15.0);
        assert_eq!(of(&hogs, "hog_min_ms_per_s"), 5.0);
        let fair = samples(&echo(Wants::Fairness), &result, &begin, &end);
        assert_eq!(of(&fair, "unfairness"), 0.4);
        let idle = Load::Idle {
            connections: 4,
            message: 0,
        };
        let idle = samples(
            &idle,
            &result,
            &usage(0.0, 10.0, &[]),
            &usage(0.0, 18.0, &[]),
        );
        assert_eq!(of(&idle, "rss_bytes_per_conn"), 2048.0);
    }
}
