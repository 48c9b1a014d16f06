//! Clients by the thousand: abandoned connections, more clients than descriptors, very short connections,
//! connects in one burst, accepts that a close ends, and clients that never finish what they say.

mod net_support;

use net_support::{Process, scenario, under_all_settings};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One crowd at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ten_thousand_connections_of_a_killed_client_leave_nothing() {
    const COUNT: &str = "10000";
    let _alone = alone();
    let outcome = scenario("fault_abandoned", &[COUNT], 2, false).unwrap();
    let [first, last] = ["peak kB 1", "peak kB 3"].map(|name| outcome.number(name));
    // The first round's memory is used again.
    assert!(last < first + first / 4, "{first} kB, then {last} kB");
}

#[test]
fn ten_thousand_clients_that_vanish_without_a_trace_leave_nothing() {
    let _alone = alone();
    scenario("fault_silence", &["10000"], 2, false);
}

#[test]
fn a_server_without_descriptors_serves_all_clients_in_the_end() {
    const CLIENTS: &str = "500";
    let _alone = alone();
    for (procs, migrate) in [("2", "never"), ("1", "always")] {
        let env = [("CORIO_PROCS", procs), ("CORIO_MIGRATE", migrate)];
        let mut server = Process::start(&["fault_few_descriptors"], &env);
        let port = server.number("port").to_string();
        let mut clients = Process::start(&["fault_clients", &port, CLIENTS], &env);
        assert!(server.number("out") > 0);
        clients.tell("release");
        assert_eq!(clients.number("served").to_string(), CLIENTS);
        clients.end();
        server.tell("served");
        server.end();
    }
}

#[test]
fn a_hundred_thousand_short_connections_are_all_served() {
    let _alone = alone();
    let outcome = scenario("fault_short", &["100000", "64"], 2, false).unwrap();
    let grown = outcome.number("grown kB");
    assert!(
        grown < 16 * 1024,
        "{grown} kB more after 90,000 connections"
    );
}

#[test]
fn nine_thousand_connects_at_once_fit_into_the_queue_of_a_listener() {
    let _alone = alone();
    if let Some(outcome) = scenario("fault_burst", &["9000", "long"], 2, false) {
        assert!(outcome.number("served") > 0);
    }
}

#[test]
fn nine_thousand_connects_at_once_are_all_served() {
    let _alone = alone();
    let outcome = scenario("fault_burst", &["9000", "short"], 2, false).unwrap();
    assert!(outcome.number("served") > 0);
}

#[test]
fn closing_a_listener_ends_a_thousand_accepts() {
    let _alone = alone();
    under_all_settings("fault_accepts", &[]);
}

#[test]
fn slow_clients_at_one_address_do_not_fill_a_server() {
    const CLIENTS: u64 = 2000;
    let _alone = alone();
    for (procs, migrate) in [(2, false), (1, true)] {
        let arg = CLIENTS.to_string();
        let outcome = scenario("fault_slow_server", &[&arg], procs, migrate).unwrap();
        assert!(outcome.number("asked") > 0);
        // It has admitted a tenth of them.
        let grown = outcome.number("peak kB") - outcome.number("before kB");
        assert!(grown < 10 * 1024, "{grown} kB");
    }
}

#[test]
fn slow_clients_get_neither_time_nor_memory() {
    const CLIENTS: u64 = 2000;
    let _alone = alone();
    let outcome = scenario("fault_slow", &[&CLIENTS.to_string()], 2, false).unwrap();
    let before = outcome.number("before kB");
    let [first, second] = ["peak kB 0", "peak kB 1"].map(|name| outcome.number(name));
    let each = first.saturating_sub(before) * 1024 / CLIENTS;
    println!("{each} bytes per slow client");
    assert!(each < 32 * 1024, "{each} bytes per slow client");
    assert!(second < first + first / 4, "{first} kB, then {second} kB");
}
