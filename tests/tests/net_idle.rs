//! A server without work makes no system calls, and one with little work costs little.

mod net_support;

use corio_tests::proc_number;
use net_support::{Load, Process, Summary};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Timed tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn tasks(pid: u32) -> Vec<PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Each thread's context switches.
fn switches(pid: u32) -> BTreeMap<PathBuf, (u64, u64)> {
    tasks(pid)
        .into_iter()
        .map(|task| {
            let status = task.join("status");
            let number = |field| proc_number(status.to_str().unwrap(), field);
            let both = (
                number("voluntary_ctxt_switches"),
                number("nonvoluntary_ctxt_switches"),
            );
            (task, both)
        })
        .collect()
}

fn no_switches(procs: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Process::start(&["parked"], &[("CORIO_PROCS", procs)]);
    let pairs = server.number("pairs");
    if pairs < 5000 {
        println!(
            "only {} connections: the limit of descriptors is too low",
            pairs
        );
    }
    // Until sysmon sleeps: it watches for a while after the last activity.
    let mut before = switches(server.id());
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(500));
        let now = switches(server.id());
        if before == now {
            break;
        }
        before = now;
    }
    let before = switches(server.id());
    thread::sleep(Duration::from_secs(5));
    assert_eq!(before, switches(server.id()));
    println!(
        "{procs} Ps, {} goroutines, {} threads: no context switch in 5 s",
        2 * pairs,
        before.len()
    );
    server.end();
}

#[test]
fn parked_on_sockets_it_makes_no_context_switch_on_one_proc() {
    no_switches("1");
}

#[test]
fn parked_on_sockets_it_makes_no_context_switch_on_two_procs() {
    no_switches("2");
}

#[test]
fn parked_on_sockets_it_makes_no_context_switch_on_eight_procs() {
    no_switches("8");
}

/// CPU time of the process's threads, by name; more precise than the ticks in `stat`.
fn cpu_times(pid: u32) -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    for task in tasks(pid) {
        let name = fs::read_to_string(task.join("comm"))
            .unwrap()
            .trim()
            .to_owned();
        let ns = fs::read_to_string(task.join("schedstat")).unwrap();
        let ns = ns.split_whitespace().next().unwrap().parse().unwrap();
        *times.entry(name).or_default() += Duration::from_nanos(ns);
    }
    times
}

#[test]
fn sysmon_costs_little_at_a_hundred_requests_per_second() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Process::start(&["light"], &[]);
    let port = server.number("port") as u16;
    let load = Load::start(port, 10, 100);
    thread::sleep(Duration::from_millis(500));
    let (from, before) = (Instant::now(), cpu_times(server.id()));
    thread::sleep(Duration::from_secs(3));
    let (to, after) = (Instant::now(), cpu_times(server.id()));
    let samples = load.stop();
    server.end();
    println!("light load: {}", Summary::of(&samples, from, to));
    let share = |name: &str| {
        let spent = after[name].saturating_sub(before.get(name).copied().unwrap_or_default());
        100.0 * spent.as_secs_f64() / (to - from).as_secs_f64()
    };
    for name in after.keys() {
        println!("thread {name}: {:.2}% of a core", share(name));
    }
    println!("sysmon's budget: 1%");
    assert!(share("corio-sysmon") < 5.0);
}
