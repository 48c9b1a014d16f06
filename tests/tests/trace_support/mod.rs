//! Reads traces, and checks that they are what Chrome's JSON format is.

// Each test file uses a part of it.
#![allow(dead_code)]

use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// A place for a trace that is removed in the end.
pub(crate) struct TraceFile(pub(crate) PathBuf);

impl TraceFile {
    pub(crate) fn new(name: &str) -> TraceFile {
        let name = format!("corio-trace-{}-{name}.json", std::process::id());
        TraceFile(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> String {
        self.0.to_str().expect("a path that is text").to_owned()
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.0).expect("a trace")
    }

    /// A trace that was stopped: an array.
    pub(crate) fn whole(&self) -> Trace {
        let text = self.text();
        let all: Vec<Value> = serde_json::from_str(&text).expect("an array");
        let trace = Trace::new(all);
        trace.check(true);
        let last = trace.events.last().expect("there are events");
        assert_eq!(last["name"], "summary");
        trace
    }

    /// A trace whose end may be missing.
    pub(crate) fn torn(&self) -> Trace {
        let text = self.text();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("["));
        // All that are followed by another one are whole.
        let whole: Vec<&str> = lines.filter_map(|line| line.strip_suffix(',')).collect();
        let parse = |line: &&str| serde_json::from_str(line).expect("an event on a line");
        let trace = Trace::new(whole.iter().map(parse).collect());
        trace.check(false);
        trace
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) struct Trace {
    pub(crate) events: Vec<Value>,
}

fn number(event: &Value, field: &str) -> u64 {
    let number = event[field].as_u64();
    number.unwrap_or_else(|| panic!("{field} of {event} is a number"))
}

impl Trace {
    fn new(events: Vec<Value>) -> Trace {
        Trace { events }
    }

    /// Those of this category and, unless it is empty, name.
    pub(crate) fn of(&self, cat: &str, name: &str) -> Vec<&Value> {
        let of = |event: &&Value| event["cat"] == cat && (name.is_empty() || event["name"] == name);
        self.events.iter().filter(of).collect()
    }

    /// The turns of goroutines that were found so.
    pub(crate) fn turns_from(&self, from: &str) -> usize {
        let turns = self.of("run", "");
        turns
            .iter()
            .filter(|turn| turn["args"]["from"] == from)
            .count()
    }

    /// The turns that ended so.
    pub(crate) fn turns_ended(&self, end: &str) -> usize {
        let ends = self.events.iter().filter(|event| event["ph"] == "E");
        ends.filter(|event| event["args"]["end"] == end).count()
    }

    /// The turns that ended by parking for this reason.
    pub(crate) fn parked(&self, reason: &str) -> usize {
        let ends = self.events.iter().filter(|event| event["ph"] == "E");
        ends.filter(|event| event["args"]["reason"] == reason)
            .count()
    }

    pub(crate) fn dropped(&self) -> bool {
        !self.of("trace", "dropped").is_empty()
    }

    /// The format. In a `complete` one nothing is left open.
    fn check(&self, complete: bool) {
        let mut named = HashSet::new();
        let mut used = HashSet::new();
        let mut last: HashMap<(u64, u64, Option<&str>), f64> = HashMap::new();
        let mut open: HashMap<(u64, u64), usize> = HashMap::new();
        let mut begun = HashMap::new();
        let mut ended = HashSet::new();
        for event in &self.events {
            let ph = event["ph"].as_str().expect("ph");
            let track = (number(event, "pid"), number(event, "tid"));
            let ts = event["ts"].as_f64().expect("ts");
            assert!(ts >= 0.0, "{event}");
            if ph == "M" {
                let what = event["name"].as_str().expect("name");
                assert!(["process_name", "thread_name"].contains(&what), "{event}");
                assert!(event["args"]["name"].is_string(), "{event}");
                assert!(named.insert((what, track)), "named twice: {event}");
                continue;
            }
            if ph != "E" {
                assert!(event["name"].is_string(), "{event}");
            }
            // A counter has a track of its own.
            let counter = (ph == "C").then(|| event["name"].as_str().expect("name"));
            let last = last.entry((track.0, track.1, counter)).or_default();
            assert!(ts >= *last, "back in time from {last}: {event}");
            *last = ts;
            if ph == "C" {
                let args = event["args"].as_object().expect("args");
                assert!(
                    !args.is_empty() && args.values().all(Value::is_u64),
                    "{event}"
                );
                continue;
            }
            used.insert(track);
            let depth = open.entry(track).or_default();
            match ph {
                "B" => *depth += 1,
                "E" => {
                    *depth = depth
                        .checked_sub(1)
                        .unwrap_or_else(|| panic!("ends nothing: {event}"))
                }
                "i" => assert_eq!(event["s"], "t", "{event}"),
                "s" | "f" => {
                    assert!(*depth > 0, "in no slice: {event}");
                    let id = number(event, "id");
                    let of = (event["name"].clone(), event["args"]["g"].clone());
                    if ph == "s" {
                        assert!(begun.insert(id, of).is_none(), "begins twice: {event}");
                        assert!(event["args"]["queue"].is_string(), "{event}");
                    } else {
                        assert_eq!(event["bp"], "e", "{event}");
                        assert_eq!(begun.get(&id), Some(&of), "{event}");
                        assert!(ended.insert(id), "ends twice: {event}");
                    }
                }
                ph => panic!("unknown ph {ph}: {event}"),
            }
            if event["cat"] == "run" {
                let (g, label) = (number(&event["args"], "g"), event["name"].as_str().unwrap());
                let prefix = format!("G{g}");
                assert!(label.split(' ').next() == Some(&prefix), "{event}");
            }
        }
        for track in used {
            assert!(
                named.contains(&("thread_name", track)),
                "{track:?} has no name"
            );
            assert!(named.contains(&("process_name", (track.0, 0))), "{track:?}");
        }
        if complete {
            let open: Vec<_> = open.iter().filter(|(_, depth)| **depth > 0).collect();
            assert!(open.is_empty(), "left open: {open:?}");
        }
        assert!(!begun.is_empty() || self.events.len() < 50);
    }
}
