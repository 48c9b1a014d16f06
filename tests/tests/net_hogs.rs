//! A server on one P answers in time while goroutines hog or block their threads.
//!
//! The bounds that are asserted are far above the budgets, which are printed: a server that stands
//! still as long as a hog misses them on any machine, and one on a slow machine does not.

mod net_support;

use net_support::{Load, Process, Summary};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Timed tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Half of the shortest time that a hog holds on.
const BOUND: Duration = Duration::from_secs(1);

struct Budget {
    p99: Duration,
    max: Duration,
}

const FEW: Budget = Budget {
    p99: Duration::from_millis(15),
    max: Duration::from_millis(40),
};
const CROWD: Budget = Budget {
    p99: Duration::from_millis(50),
    max: Duration::from_millis(200),
};

/// Runs a scenario under load; returns the lines it printed while the hogs were at work, or why it
/// could not run.
fn among(args: &[&str], budget: Budget) -> Result<Vec<(String, String)>, String> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Process::start(args, &[("CORIO_PROCS", "1")]);
    let port = match server.line() {
        (name, port) if name == "port" => port.parse().unwrap(),
        (_, why) => return Err(why),
    };
    let load = Load::start(port, 100, 2000);
    thread::sleep(Duration::from_millis(500));
    let from = Instant::now();
    server.tell("go");
    let mut lines = Vec::new();
    let take_overs = loop {
        match server.line() {
            (name, value) if name == "done" => break value,
            line => lines.push(line),
        }
    };
    let to = Instant::now();
    // The hogs did go on for a while.
    assert!(to - from >= 2 * BOUND, "{:?}", to - from);
    thread::sleep(Duration::from_millis(500));
    let samples = load.stop();
    server.end();
    let what = args.join(" ");
    println!(
        "{what}: {take_overs} take-overs in {:?}; {lines:?}",
        to - from
    );
    Summary::of(&samples, samples[0].at, from).print(
        &format!("{what}, before"),
        budget.p99,
        budget.max,
    );
    let summary = Summary::of(&samples, from, to);
    summary.print(&what, budget.p99, budget.max);
    assert!(summary.max < BOUND, "{what}: {summary}");
    Ok(lines)
}

fn number(lines: &[(String, String)], name: &str) -> u64 {
    let line = lines.iter().find(|(found, _)| found == name);
    line.expect("printed").1.parse().unwrap()
}

#[test]
fn hogs_that_spin_sleep_and_block_do_not_stop_a_server() {
    among(&["three_hogs"], FEW).unwrap();
}

#[test]
fn opening_a_fifo_does_not_stop_a_server() {
    among(&["fifo"], FEW).unwrap();
}

#[test]
fn a_locked_std_mutex_does_not_stop_a_server() {
    among(&["mutex"], FEW).unwrap();
}

#[test]
fn a_hog_stops_neither_a_server_nor_its_own_runnext() {
    let lines = among(&["runnext"], FEW).unwrap();
    let waited = number(&lines, "waited us");
    assert!(Duration::from_micros(waited) < BOUND, "{waited} us");
}

#[test]
fn a_resolver_without_answers_does_not_stop_a_server() {
    if let Err(why) = among(&["resolver"], FEW) {
        println!("SKIPPED: no namespaces of our own: {why}");
    }
}

#[test]
fn thirty_two_blocked_threads_do_not_stop_a_server() {
    among(&["sleepers", "32"], CROWD).unwrap();
}

#[test]
fn eight_hogs_make_progress_and_do_not_stop_a_server() {
    crowd("8");
}

#[test]
fn thirty_two_hogs_make_progress_and_do_not_stop_a_server() {
    crowd("32");
}

fn crowd(n: &str) {
    let lines = among(&["crowd", n], CROWD).unwrap();
    let least = number(&lines, "cpu us/s least");
    println!("crowd {n}: each hog at least {least} us of CPU per second; budget 10000");
    assert!(least > 0);
}
