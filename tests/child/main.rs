//! The child process of tests: runs the scenario that its first argument names.
//!
//! The main thread is a plain one, and the only one: the runtime starts when the scenario first uses
//! it, with the environment that the test chose.

mod basics;
mod blocking;
mod chan;
mod config;
mod deadlock;
mod dump;
mod fault;
mod groups;
mod hogs;
mod idle;
mod limits;
mod lock;
mod memory;
mod panic;
mod procs;
mod signals;
mod starvation;
mod stress;
mod time;
mod trace;

/// A scenario, and what follows its name on the command line.
type Scenario = fn(&[String]);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, args) = args.split_first().expect("the name of a scenario");
    let areas = [
        basics::SCENARIOS,
        blocking::SCENARIOS,
        chan::SCENARIOS,
        config::SCENARIOS,
        deadlock::SCENARIOS,
        dump::SCENARIOS,
        fault::SCENARIOS,
        groups::SCENARIOS,
        hogs::SCENARIOS,
        idle::SCENARIOS,
        limits::SCENARIOS,
        lock::SCENARIOS,
        memory::SCENARIOS,
        panic::SCENARIOS,
        procs::SCENARIOS,
        signals::SCENARIOS,
        starvation::SCENARIOS,
        stress::SCENARIOS,
        time::SCENARIOS,
        trace::SCENARIOS,
    ];
    let (_, scenario) = areas
        .into_iter()
        .flatten()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("no scenario {name:?}"));
    scenario(args);
}
