//! tokio: its multi-threaded runtime, channels, locks and sockets, flume or async-channel for many
//! receivers, and hyper.
//!
//! The workloads are those of [`corio_bench_peers::blocking`], written as tokio's users would. Its channels
//! have no rendezvous: they have at least one place.

mod channel;
mod crew;
mod echo;
mod http;
mod lock;
mod tasks;
mod tree;

use std::process::ExitCode;

use corio_bench_peers::{Args, Failure, Outcome, run};
use tokio::runtime::{Builder, Runtime};

const VERSION: &str = concat!("tokio ", env!("VERSION_tokio"));
const VERSION_CHANNEL: &str = concat!(
    "tokio ",
    env!("VERSION_tokio"),
    ", flume ",
    env!("VERSION_flume"),
    ", async-channel ",
    env!("VERSION_async_channel")
);
const VERSION_HTTP: &str = concat!(
    "tokio ",
    env!("VERSION_tokio"),
    ", hyper ",
    env!("VERSION_hyper")
);

fn main() -> ExitCode {
    let version = match std::env::args().nth(1).as_deref() {
        Some("chan_mpmc") => VERSION_CHANNEL,
        Some("serve-http") => VERSION_HTTP,
        _ => VERSION,
    };
    run("tokio", version, |args| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(args.procs())
            .enable_all()
            .build()?;
        workload(&runtime, args)
    })
}

fn workload(runtime: &Runtime, args: &Args) -> Outcome {
    match args.workload.as_str() {
        "yield" => tasks::yields(runtime, args),
        "spawn" => tasks::spawn(runtime, args),
        "timers" => tasks::timers(runtime, args),
        "idle_mem" => tasks::idle_memory(runtime, args),
        "pingpong" => channel::pingpong(runtime, args),
        "chan_mpmc" => channel::mpmc(runtime, args),
        "select" => channel::select(runtime, args),
        "mutex" => lock::mutex(runtime, args),
        "rwlock" => lock::rwlock(runtime, args),
        "skynet" => tree::skynet(runtime, args),
        "serve-echo" => echo::serve(runtime, args),
        "serve-http" => http::serve(runtime, args),
        other => Err(Failure::absent(other)),
    }
}
