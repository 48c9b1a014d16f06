//! The options of all workloads in one list. A workload looks at those that it has a use for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Runs one workload of the benchmark harness and prints the figures as a line of JSON.
#[derive(Clone, Debug, Parser)]
#[command(args_override_self = true)]
pub struct Args {
    /// yield, spawn, pingpong, chan_mpmc, select, mutex, rwlock, skynet, timers, idle_mem, serve-echo or serve-http
    pub workload: String,

    /// Threads that run tasks at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub procs: u16,

    /// How many times the workload is measured
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,

    /// How many times it is run before, without being measured
    #[arg(long, default_value_t = 1)]
    pub warmup: usize,

    /// Operations, messages, tasks, leaves: all of them together, over all tasks [default: depends]
    #[arg(long)]
    n: Option<u64>,

    /// yield, mutex, rwlock: how many tasks there are [default: 2 for yield, 8 for locks]
    #[arg(long)]
    tasks: Option<u64>,

    /// spawn: one (join each before the next is started) or burst; skynet: chan or join
    #[arg(long)]
    mode: Option<String>,

    /// pingpong: rendezvous or cap1
    #[arg(long, default_value = "rendezvous")]
    pub kind: String,

    /// chan_mpmc: sending tasks
    #[arg(long, default_value_t = 4)]
    pub producers: u64,

    /// chan_mpmc: receiving tasks
    #[arg(long, default_value_t = 4)]
    pub consumers: u64,

    /// chan_mpmc: places in the channel
    #[arg(long, default_value_t = 128)]
    pub cap: usize,

    /// select: channels that one side waits for: 2, 4 or 8
    #[arg(long, default_value_t = 2)]
    pub arms: usize,

    /// rwlock: turns in 100 that only read
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub reads: u64,

    /// timers: the shortest sleep
    #[arg(long, default_value_t = 10)]
    pub min_ms: u64,

    /// timers: the longest sleep
    #[arg(long, default_value_t = 110)]
    pub max_ms: u64,

    /// Servers: where to listen; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:0")]
    pub addr: String,

    /// serve-echo: listen on this Unix socket too
    #[arg(long)]
    pub unix: Option<PathBuf>,

    /// serve-echo: how long messages are; each connection has a buffer for one, of at least 4096 bytes
    #[arg(long, default_value_t = 0)]
    size_hint: usize,

    /// serve-echo: wait without a buffer and take one from a pool to read (only corio)
    #[arg(long)]
    pub pooled: bool,

    /// serve-echo: tasks that compute and never wait
    #[arg(long, default_value_t = 0)]
    pub hogs: usize,

    /// serve-echo: tasks that block the thread they are on
    #[arg(long, default_value_t = 0)]
    pub blockers: usize,

    /// serve-echo: for how many seconds they do
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub hog_seconds: Duration,

    /// serve-echo: seconds from the announcement of the address until they begin
    #[arg(long, default_value = "0", value_parser = seconds)]
    pub delay: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The smallest buffer of an echo server.
pub const BUFFER: usize = 4096;

impl Args {
    /// `--n`, or else the default of the workload.
    pub fn n(&self, default: u64) -> u64 {
        self.n.unwrap_or(default)
    }

    /// `--tasks`, or else the default of the workload.
    pub fn tasks(&self, default: u64) -> u64 {
        self.tasks.unwrap_or(default).max(1)
    }

    /// `--mode`, or else the default of the workload.
    pub fn mode<'a>(&'a self, default: &'a str) -> &'a str {
        self.mode.as_deref().unwrap_or(default)
    }

    /// The size of a connection's buffer.
    pub fn buffer(&self) -> usize {
        self.size_hint.max(BUFFER)
    }

    /// `--procs`, as many interfaces want it.
    pub fn procs(&self) -> usize {
        usize::from(self.procs)
    }
}
