//! What the programs in the directories beside this file have in common; each is one peer of the
//! benchmark harness.
//!
//! A peer is a process that does one workload: `peer-tokio yield --procs 2 --n 1000000`. Either it runs it
//! so many times by itself and prints what it measured, as one line of JSON, or the workload is `serve-...`,
//! and it serves until SIGTERM while the harness measures from outside. It checks what it has done: a
//! wrong result is a line on stderr and exit status 1. Status 3 means that the peer does not have the
//! workload, not in this size or not with an option. `benches/CONTRACT.md` has the details, for peers in other languages too.
//!
//! * [`args`]: all options. [`report`]: the line. [`measure`]: clocks and memory.
//! * [`work`]: what is computed under locks, trees, naps, sums: whatever must be the same for all.
//! * [`blocking`]: the workloads for runtimes whose tasks block, which are corio, may and threads; each
//!   adds its names for things. tokio's and corosensei's are written out in their own directories.
//! * [`serve`]: signals, the statistics of a server, hogs. [`http`]: the plaintext answer.
//!
//! The clock runs inside a task: what a plain thread pays to hand over the work and to get the result back
//! is in no figure. Before it starts, the tasks exist and wait to be released, unless starting them is
//! what is measured.

pub mod args;
pub mod blocking;
pub mod http;
pub mod measure;
pub mod report;
pub mod serve;
pub mod work;

pub use args::Args;
pub use report::{Failure, Outcome, Row, flavoured, run};
