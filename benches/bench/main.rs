//! The benchmark harness: corio beside Go, tokio, may and the raw machine, in one run.
//!
//! ```text
//! cargo run --release -p corio-bench -- list
//! cargo run --release -p corio-bench -- run --quick
//! cargo run --release -p corio-bench -- run echo --json echo.json --html echo.html
//! cargo run --release -p corio-bench -- compare before.json after.json
//! cargo run --release -p corio-bench -- doctor
//! ```
//!
//! How it is put together, from the bottom up:
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`catalog`] | the workloads: their forms and sizes, their metrics, what each verifies |
//! | [`contract`] | the line of JSON that a peer prints (`benches/CONTRACT.md`) |
//! | [`peers`] | finding and building the programs of the peers |
//! | [`process`], [`server`], [`wrk`], [`load`] | a peer's process; a server and the loads put on it |
//! | [`measure`] | one figure: one workload, one peer, one round |
//! | [`disturb`] | whether something else ran meanwhile |
//! | [`run`] | the rounds, interleaved |
//! | [`stats`], [`report`], [`compare`], [`drift`] | medians, rows, the noise rule, the machine's own speed |
//! | [`table`], [`html`], [`markdown`] | what a person looks at |
//! | [`wrapped`], [`profile`], [`syscalls`] | a peer under perf or strace |
//! | [`doctor`], [`remote`] | the rest of the commands |
//!
//! Every peer is a process of its own, so that no peer's allocator, threads or memory is in
//! another's figures, and a figure of one peer is set in relation to corio's only inside one round,
//! when both ran within seconds of each other.

mod catalog;
mod cli;
mod compare;
mod contract;
mod disturb;
mod doctor;
mod drift;
mod html;
mod load;
mod machine;
mod markdown;
mod measure;
mod peers;
mod process;
mod profile;
mod remote;
mod report;
mod run;
mod server;
mod stats;
mod syscalls;
mod table;
mod wrapped;
mod wrk;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
