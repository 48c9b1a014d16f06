//! A busy server serves everybody alike. Counted, not timed: each client sends its next request when it has the
//! answer to the last one, and after so many answers in all, nobody has got far fewer than the others. So a slow
//! or busy machine makes the test slow, and not wrong.
//!
//! That holds by design: the system lists sockets in the order in which they became ready, and goroutines queue in
//! that order. It ends where there is more than one queue.

mod net_support;

use net_support::{Crowd, Process};

const CONNECTIONS: usize = 1000;
/// Answers that each gets, on average.
const ROUNDS: usize = 200;
/// The fewest and the most that any may get. On an idle machine and one P it is 198 to 202; other processes that
/// take the processor away, and Ps that progress at different speeds, are allowed for.
const FEWEST: usize = ROUNDS * 2 / 3;
const MOST: usize = ROUNDS * 2;
/// The most answers that may come in between a request and its answer, for 99 of 100 requests. In turn, all others
/// come. A thread that waits for a processor keeps its P's queue waiting, and the more of them there are for each
/// processor, the longer.
const P99: usize = CONNECTIONS * 2;
const P99_CROWDED: usize = CONNECTIONS * 8;

/// Drives the server from all connections; panics if somebody was served much more or less than others. `work` is in
/// microseconds per request. So many times meanwhile, a goroutine hogs its thread for long. `longest` is the most that may come in between.
fn evenly(procs: &str, work: &str, hogs: usize, longest: usize) {
    const PARTS: usize = 10;
    let mut server = Process::start(&["fair", work], &[("CORIO_PROCS", procs)]);
    let port = server.number("port") as u16;
    let mut crowd = Crowd::connect(port, CONNECTIONS);
    crowd.start();
    for part in 0..PARTS {
        if part < hogs {
            server.tell("hog");
        }
        crowd.serve(CONNECTIONS * ROUNDS / PARTS);
    }
    let counts = crowd.served();
    let (fewest, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
    let waits = crowd.waits();
    let [p50, p99, max] = [50, 99, 100].map(|percent| waits[(waits.len() - 1) * percent / 100]);
    println!(
        "{procs} Ps, {work} us of work, {hogs} hogs: {fewest} to {most} answers, {ROUNDS} on average; \
         a wait takes p50 {p50}, p99 {p99}, max {max} answers"
    );
    assert!(fewest >= FEWEST && most <= MOST);
    assert!(p99 <= longest);
    drop(crowd);
    server.end();
}

#[test]
fn busy_connections_are_served_in_turn_on_one_proc() {
    evenly("1", "0", 0, P99);
}

#[test]
fn busy_connections_are_served_in_turn_on_two_procs() {
    evenly("2", "0", 0, P99);
}

#[test]
fn busy_connections_are_served_in_turn_on_eight_procs() {
    evenly("8", "0", 0, P99_CROWDED);
}

/// When a hog loses its P, those who wait behind it are put into the global queue. They are not forgotten there,
/// though the local queue is never empty: the server is slower than its clients.
#[test]
fn who_waited_behind_a_hog_is_served_as_often_as_others() {
    evenly("1", "20", 5, P99);
}
