//! 15,000 idle connections: what each costs, and that one among them is served as if it were alone.
//!
//! A connection's memory is the pages of its stack that were touched, the page tables of its stack, and what the
//! runtime and this crate keep of it. (The system's own memory for a socket isn't the process's.) Stacks are
//! measured in whole pages, so what decides is whether the wait for a request fits into the first one.
//!
//! `cargo test --release -p corio-tests --test net_scale -- --nocapture` prints the figures. Debug builds, whose
//! frames are larger, do the same without looking at the budgets.

mod net_support;

use net_support::{Crowd, Process};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One after the other: each needs most of the descriptors that a process may have.
static ALONE: Mutex<()> = Mutex::new(());

const CONNECTIONS: usize = 15_000;

/// With a buffer of 4 KiB on the stack.
const STACK_BUFFER: u64 = 9 * 1024 + 512;
/// With one that is there only while there is something to read.
const LATE_BUFFER: u64 = 5 * 1024 + 307;

/// Opens as many connections as the limits allow. The server has a few descriptors of its own.
fn crowd(port: u16) -> Crowd {
    // The first socket raises the soft limit, for the test's own ones too.
    drop(net_support::listen());
    let connections = CONNECTIONS.min(descriptors().saturating_sub(200));
    if connections < CONNECTIONS {
        eprintln!("only {connections} connections: the limit of descriptors is too low");
    }
    Crowd::connect(port, connections)
}

fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.unwrap().parse().unwrap_or(usize::MAX)
}

/// What the server's threads have spent so far, those that are gone included.
fn cpu_time(server: &Process) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the C library and the kernel write to a live clock number and a live `timespec`.
    let done = unsafe {
        libc::clock_getcpuclockid(server.id() as libc::pid_t, &mut clock) == 0
            && libc::clock_gettime(clock, &mut time) == 0
    };
    assert!(done);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The memory of a server, in KiB, with this many connections at rest.
fn memory(server: &mut Process, connections: usize) -> u64 {
    server.tell(&connections.to_string());
    server.number("KiB")
}

/// Measures a server's connections. `budgets` are for a connection on which nothing has happened, for one after an
/// exchange, and for one that has been at rest for a while since, in bytes; printed, and checked unless it is
/// a debug build.
fn measure(scenario: &str, budgets: [u64; 3]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Process::start(&[scenario], &[]);
    let port = server.number("port") as u16;
    // What is made once is made for the first.
    let mut first = Crowd::connect(port, 1);
    first.exchange();
    let before = memory(&mut server, 1);
    let mut crowd = crowd(port);
    let n = crowd.served().len();
    let each =
        |server: &mut Process| memory(server, n + 1).saturating_sub(before) * 1024 / n as u64;
    let untouched = each(&mut server);
    crowd.exchange();
    let exchanged = each(&mut server);
    // Sysmon gives back what lies below a parked goroutine's stack pointer, some at a time.
    let mut rested = exchanged;
    for _ in 0..50 {
        if rested <= budgets[2] || cfg!(debug_assertions) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        rested = each(&mut server);
    }
    let all = [untouched, exchanged, rested];
    println!(
        "{scenario}: {n} connections, bytes each: {untouched} untouched, {exchanged} after an exchange, {rested} at rest; budgets {budgets:?}"
    );
    let met = all
        .iter()
        .zip(budgets)
        .all(|(&each, budget)| each <= budget);
    assert!(met || cfg!(debug_assertions), "{all:?} of {budgets:?}");
    drop((first, crowd));
    server.end();
}

#[test]
fn a_connection_with_a_buffer_on_its_stack_takes_two_pages() {
    measure("idle_stack_buffer", [STACK_BUFFER; 3]);
}

#[test]
fn a_connection_with_a_late_buffer_on_its_stack_gives_it_back() {
    measure(
        "idle_late_stack_buffer",
        [LATE_BUFFER, STACK_BUFFER, LATE_BUFFER],
    );
}

#[test]
fn a_connection_with_a_pooled_buffer_takes_one_page() {
    measure("idle_pooled_buffer", [LATE_BUFFER; 3]);
}

#[test]
fn a_connection_with_a_pooled_reader_takes_one_page() {
    measure("idle_pooled_reader", [LATE_BUFFER; 3]);
}

/// With what a server has to know of it: its address, its goroutine's name, its state.
#[test]
fn a_connection_of_a_server_takes_little_more() {
    measure("idle_server", [LATE_BUFFER + 1024; 3]);
}

/// Latency is printed, but what is demanded is that a request takes the server no more work: that can be
/// measured on a busy machine too.
#[test]
fn an_active_connection_among_idle_ones_costs_as_much_as_alone() {
    const EXCHANGES: usize = 5000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Process::start(&["idle_pooled_buffer"], &[]);
    let port = server.number("port") as u16;
    let mut active = Crowd::connect(port, 1);
    active.latencies(0, EXCHANGES);
    let mut phase = |what: &str| {
        let before = cpu_time(&server);
        let latencies = active.latencies(0, EXCHANGES);
        let work = (cpu_time(&server) - before) / EXCHANGES as u32;
        println!(
            "{what}: p50 {:?}, p99 {:?}, {work:?} of the server's time",
            latencies[EXCHANGES / 2],
            latencies[EXCHANGES * 99 / 100]
        );
        work
    };
    let alone = phase("alone");
    let mut crowd = crowd(port);
    let untouched = phase("among untouched ones");
    crowd.exchange();
    let exchanged = phase("among idle ones");
    let n = crowd.served().len();
    drop(crowd);
    let again = phase("alone again");
    let most = 2 * alone.max(again) + Duration::from_micros(20);
    assert!(untouched <= most && exchanged <= most, "{n} others");
    drop(active);
    server.end();
}
