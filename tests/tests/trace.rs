//! The execution trace: what programs do shows in it, under its name.

mod trace_support;

use corio_tests::child;
use std::collections::BTreeSet;
use trace_support::{Trace, TraceFile};

/// The trace of a scenario on so many Ps.
fn traced(scenario: &str, procs: usize) -> Trace {
    let file = TraceFile::new(&format!("{scenario}-{procs}"));
    child!(scenario)
        .arg(file.path())
        .env("CORIO_PROCS", procs)
        .succeeds();
    file.whole()
}

#[test]
fn trace_of_nothing_is_a_trace() {
    let trace = traced("trace_nothing", 2);
    assert!(trace.of("run", "").is_empty());
    assert!(!trace.dropped());
}

#[test]
fn trace_of_a_ping_pong_shows_runnext_and_why_they_park() {
    let trace = traced("trace_ping_pong", 1);
    assert!(trace.turns_from("runnext") > 100);
    assert!(trace.parked("chan send") + trace.parked("chan receive") > 100);
    assert_eq!(trace.turns_ended("exit"), 2);
    let created = trace.of("wake", "create");
    let arrows = |ph| created.iter().filter(|arrow| arrow["ph"] == ph).count();
    assert_eq!((arrows("s"), arrows("f")), (2, 2));
    for create in created.iter().filter(|arrow| arrow["ph"] == "s") {
        let at = create["args"]["location"].as_str().unwrap();
        assert!(at.contains("child/trace.rs:"), "{create}");
    }
    let woken = trace.of("wake", "ready");
    assert!(
        woken
            .iter()
            .any(|arrow| arrow["args"]["queue"] == "runnext")
    );
    // By name, which may be any.
    let turns = trace.of("run", "");
    for name in [" pong", " ping \"quoted\"\n"] {
        let named = |turn: &&&serde_json::Value| turn["name"].as_str().unwrap().ends_with(name);
        assert!(turns.iter().filter(named).count() > 50, "{name:?}");
    }
}

#[test]
fn trace_of_a_pair_that_shares_a_slice_shows_its_end() {
    let trace = traced("trace_pair", 1);
    assert!(!trace.of("sysmon", "asked").is_empty());
    assert!(!trace.of("sched", "slice over").is_empty());
    assert!(trace.turns_from("runnext") > 100);
}

#[test]
fn trace_of_two_ps_shows_what_is_stolen_from_whom() {
    let trace = traced("trace_steal", 2);
    let steals = trace.of("sched", "steal");
    let nexts = trace.of("sched", "steal runnext");
    assert!(steals.len() + nexts.len() > 3);
    for steal in &steals {
        let (from, thief) = (&steal["args"]["from"], steal["tid"].as_u64().unwrap() - 1);
        assert!(
            from.as_u64().unwrap() < 2 && from.as_u64() != Some(thief),
            "{steal}"
        );
        assert!(steal["args"]["n"].as_u64().unwrap() >= 1, "{steal}");
    }
    assert_eq!(trace.turns_from("stolen"), steals.len());
    assert_eq!(trace.turns_from("stolen runnext"), nexts.len());
    assert!(!trace.of("spin", "spinning").is_empty());
    assert!(!trace.of("sched", "wake M").is_empty());
}

#[test]
fn trace_of_a_hog_shows_that_sysmon_takes_the_p() {
    let trace = traced("trace_hog", 1);
    let took = trace.of("sysmon", "took P");
    let hogs = took.iter().filter(|took| took["args"]["why"] == "computes");
    assert!(hogs.count() > 0, "{took:?}");
    assert!(trace.turns_ended("taken") > 0);
    // It goes on without one, on its M's track.
    let without = trace.of("nop", "");
    assert!(!without.is_empty());
    assert_eq!(without[0]["args"]["g"], took[0]["args"]["g"]);
    assert_eq!(without[0]["tid"], took[0]["args"]["m"]);
    assert!(!trace.of("m", "M started").is_empty());
    assert!(!trace.of("m", "M ended").is_empty(), "who was reniced ends");
}

#[test]
fn trace_of_blocking_calls_shows_hand_offs() {
    let trace = traced("trace_blocking", 1);
    assert!(!trace.of("sched", "hand off").is_empty());
    // One per goroutine, but it is cut where the M loses its P.
    let calls = trace.of("block", "");
    let callers: BTreeSet<u64> = calls
        .iter()
        .map(|call| call["args"]["g"].as_u64().unwrap())
        .collect();
    assert_eq!(callers.len(), 2, "{calls:?}");
    assert!(trace.turns_ended("handed off") >= 1);
    let took = trace.of("sysmon", "took P");
    assert!(
        took.iter().any(|took| took["args"]["why"] == "blocked"),
        "{took:?}"
    );
}

#[test]
fn trace_of_sleepers_shows_timers() {
    let trace = traced("trace_timers", 1);
    let ran = trace.of("timers", "timers");
    let n: u64 = ran
        .iter()
        .map(|ran| ran["args"]["n"].as_u64().unwrap())
        .sum();
    assert_eq!(n, 20);
    assert_eq!(trace.parked("sleep"), 20);
    let woken = trace.of("wake", "ready");
    let local = |arrow: &&&serde_json::Value| arrow["args"]["queue"] == "local";
    assert_eq!(woken.iter().filter(local).count(), 20);
    // In between, somebody waited for the next one to be due.
    let polls = trace.of("poll", "poll");
    assert!(polls.iter().any(|poll| poll["args"]["blocking"] == true));
    assert!(!trace.of("sched", "idle").is_empty());
}

#[test]
fn trace_shows_the_61st_tick() {
    let trace = traced("trace_global_tick", 1);
    assert!(!trace.of("sched", "global queue (61st tick)").is_empty());
    assert!(trace.turns_from("global queue (61st tick)") > 0);
    assert!(trace.turns_ended("yield") > 100);
}

#[test]
fn trace_of_a_thread_shows_whom_it_wakes() {
    let trace = traced("trace_plain_thread", 2);
    let woken = trace.of("wake", "ready");
    let global = |arrow: &&&serde_json::Value| arrow["args"]["queue"] == "global";
    assert!(woken.iter().filter(global).count() >= 10);
    let threads = trace.events.iter().filter(|event| event["ph"] == "M");
    let names: Vec<&str> = threads
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    assert!(
        names.iter().any(|name| name.ends_with("(thread)")),
        "{names:?}"
    );
    assert!(trace.turns_from("global queue") > 0);
}

#[test]
fn trace_knows_what_was_there_before_it() {
    let trace = traced("trace_in_the_middle", 2);
    let exists = trace.of("wake", "exists");
    assert_eq!(exists.len(), 1);
    assert_eq!(exists[0]["args"]["goroutine"], "early");
    let turns = trace.of("run", "");
    assert!(turns[0]["name"].as_str().unwrap().ends_with(" early"));
    assert_eq!(trace.turns_ended("exit"), 1);
}

#[test]
fn trace_is_started_and_stopped_under_load() {
    for procs in [1, 2, 4] {
        let trace = traced("trace_again_and_again", procs);
        assert!(!trace.of("run", "").is_empty());
    }
}

#[test]
fn trace_is_refused_while_there_is_one() {
    child!("trace_refused").succeeds();
}

#[test]
fn trace_reports_that_its_writer_has_failed() {
    child!("trace_writer_fails").succeeds();
}

#[test]
fn trace_reports_that_its_writer_has_panicked() {
    child!("trace_writer_panics").succeeds();
}

#[test]
fn trace_says_how_much_was_lost() {
    let file = TraceFile::new("slow");
    let ended = child!("trace_writer_is_slow")
        .arg(file.path())
        .env("CORIO_PROCS", 1)
        .succeeds();
    let trace = file.whole();
    let lost = trace.of("trace", "dropped");
    let n: u64 = lost
        .iter()
        .map(|lost| lost["args"]["n"].as_u64().unwrap())
        .sum();
    assert_eq!(n, ended.number("dropped"));
    assert_eq!(trace.of("trace", "summary")[0]["args"]["dropped"], n);
}

#[test]
fn trace_of_the_whole_program_ends_with_run() {
    let file = TraceFile::new("whole");
    child!("trace_whole_program")
        .env("CORIO_TRACE", file.path())
        .succeeds();
    let trace = file.whole();
    // Not waited for: the end of main, which has told `run`.
    assert!((10..=11).contains(&trace.turns_ended("exit")));
    let turns = trace.of("run", "");
    assert!(
        turns
            .iter()
            .any(|turn| turn["name"].as_str().unwrap().ends_with(" main"))
    );
}

#[test]
fn trace_of_the_whole_program_ends_with_the_process() {
    let file = TraceFile::new("exit");
    let ended = child!("trace_exit").env("CORIO_TRACE", file.path()).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    let trace = file.whole();
    assert!(trace.turns_from("already running") == 0 && !trace.of("run", "").is_empty());
}

#[test]
fn trace_of_a_killed_process_can_be_read() {
    let file = TraceFile::new("killed");
    child!("trace_killed")
        .arg(file.path())
        .env("CORIO_TRACE", file.path())
        .dies_by(libc::SIGKILL);
    let trace = file.torn();
    assert!(!trace.of("run", "").is_empty());
    assert!(trace.of("trace", "summary").is_empty());
}

#[test]
fn trace_needs_a_file_that_can_be_made() {
    child!("trace_whole_program")
        .env("CORIO_TRACE", "/nonexistent/corio.json")
        .panics()
        .says("CORIO_TRACE=\"/nonexistent/corio.json\"")
        .says("a file that can be written");
}

#[test]
fn trace_keeps_nobody_from_noticing_a_deadlock() {
    let file = TraceFile::new("deadlock");
    child!("trace_deadlock")
        .arg(file.path())
        .panics()
        .says("all goroutines are asleep - deadlock!");
}

#[test]
fn latency_is_sampled() {
    child!("trace_latency").env("CORIO_PROCS", 1).succeeds();
}
