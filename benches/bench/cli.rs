//! The command line.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::Report;
use crate::{catalog, compare, doctor, html, markdown, profile, remote, run};

/// The peers that are asked when none are named.
const PEERS: &str = "corio,go,tokio,may,std,raw,corosensei";

/// corio beside Go, tokio, may and the raw machine, in one run.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the workloads and what each verifies
    List,
    /// Runs workloads, all if none are named: about an hour then, a few minutes with --quick
    Run(Box<RunArgs>),
    /// Compares two runs; exit status 1 if the second is worse beyond noise
    Compare {
        /// The run before
        before: PathBuf,
        /// The run after
        after: PathBuf,
        /// Also list the rows that are too noisy or too few to judge
        #[arg(long)]
        all: bool,
    },
    /// Prints a run again, and writes it as a page or as Markdown
    Report {
        /// What `run --json` wrote
        file: PathBuf,
        /// Where the page goes
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Where the Markdown goes: between the two comments of a file that has them, as the whole of
        /// one that has not
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
    },
    /// Looks for what would spoil a run on this machine, and says how to mend it
    Doctor,
    /// Starts the server of a peer for a `load` on another machine
    Serve(ServeArgs),
    /// Puts a load on a server on another machine
    Load(LoadArgs),
}

/// What `bench run` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Workloads, as in `bench list`
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<String>,
    /// Only the variants that contain this text
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Peers to run
    #[arg(long, value_delimiter = ',', default_value = PEERS)]
    pub(crate) peers: Vec<String>,
    /// A peer of your own that keeps to benches/CONTRACT.md; may be given again
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    pub(crate) peer: Vec<(String, String)>,
    /// Take built peers from this directory and build none
    #[arg(long, value_name = "DIR")]
    pub(crate) peer_dir: Option<PathBuf>,
    /// Threads that the peers may run on; 1 and all CPUs if not given
    #[arg(long, value_delimiter = ',')]
    pub(crate) procs: Vec<usize>,
    /// Rounds [default: 7, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: Option<u32>,
    /// Small sizes, short windows, one round: a smoke test of a few minutes, figures not to be judged
    #[arg(long)]
    pub(crate) quick: bool,
    /// Seconds of a measured window of the network workloads [default: 0.7, and more where a variant
    /// needs it (fairness 3, hog 2, 8000 connections 1); with --quick 0.2]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// How often a disturbed round is tried again, but no more than one round in ten over the whole
    /// run [default: 1, with --quick 0]
    #[arg(long)]
    pub(crate) retries: Option<u32>,
    /// Pin nothing, also when there are CPUs to spare
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Sizes to go through: connections, message, depth, rate, stack_size (corio's), a parameter of
    /// the workload, or, in capitals, a variable of the environment
    #[arg(long, value_name = "NAME=A,B,..", value_parser = pair)]
    pub(crate) sweep: Option<(String, String)>,
    /// Also count the system calls of each operation, under strace
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// Write folded stacks of the first peer and variant, taken by perf, in place of figures
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "corio.folded")]
    pub(crate) profile: Option<PathBuf>,
    /// Write the figures here
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots here
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Compare with this run; exit status 1 if worse beyond noise
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
}

/// What `bench serve` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// Which peer
    #[arg(long, default_value = "corio")]
    pub(crate) peer: String,
    /// What it serves
    #[arg(long, value_enum, default_value = "echo")]
    pub(crate) kind: ServeKind,
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:7777")]
    pub(crate) addr: String,
    /// Threads that the peer may run on
    #[arg(long, default_value_t = 1)]
    pub(crate) procs: usize,
    /// Take built peers from this directory and build none
    #[arg(long, value_name = "DIR")]
    pub(crate) peer_dir: Option<PathBuf>,
}

/// What `bench load` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    /// Where `bench serve` listens
    #[arg(long)]
    pub(crate) addr: String,
    /// Which load
    #[arg(long, value_enum, default_value = "echo")]
    pub(crate) kind: LoadKind,
    /// Connections at a time
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Bytes in a message
    #[arg(long, default_value_t = 64)]
    pub(crate) message: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1)]
    pub(crate) depth: usize,
    /// Requests per second, as an open loop
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds before the measured window
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// Seconds of the measured window
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Print a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `bench serve` serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServeKind {
    /// What comes goes back
    Echo,
    /// "Hello, World!"
    Http,
}

/// What `bench load` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadKind {
    /// Messages that come back
    Echo,
    /// Connections that live for one message
    Churn,
    /// Connections that do nothing for the time given, after one message if its size is not 0
    Idle,
    /// Requests of HTTP
    Http,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("{text}: expected NAME=VALUE")),
    }
}

/// Does what the command line says.
pub(crate) fn dispatch() -> io::Result<ExitCode> {
    let command = Cli::parse().command;
    if !matches!(
        command,
        Command::Run(_) | Command::Serve(_) | Command::Load(_)
    ) {
        // For `bench list | head`. The others write to sockets and want the error.
        // SAFETY: no other thread is running, and the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    match command {
        Command::List => catalog::print(),
        Command::Run(args) => {
            return match &args.profile {
                Some(file) => profile::profile(&args, file).map(|()| ExitCode::SUCCESS),
                None => run::command(&args),
            };
        }
        Command::Compare { before, after, all } => {
            let (before, after) = (Report::load(&before)?, Report::load(&after)?);
            let comparison = compare::Comparison::of(&before, &after);
            print!("{}", comparison.text(all));
            if comparison.worse() > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Report {
            file,
            html: page,
            markdown: tables,
        } => {
            let report = Report::load(&file)?;
            print!("{}", report.text());
            if let Some(page) = page {
                html::write(&report, &page)?;
            }
            if let Some(tables) = tables {
                markdown::write(&report, &tables)?;
            }
        }
        Command::Doctor => doctor::run(),
        Command::Serve(args) => remote::serve(&args)?,
        Command::Load(args) => remote::load(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("a=1,2").unwrap(), ("a".to_owned(), "1,2".to_owned()));
        assert!(pair("a").is_err() && pair("=1").is_err() && pair("a=").is_err());
    }
}
