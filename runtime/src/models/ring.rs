//! A ring of events: what is read is what was written, in order, and what is dropped is counted.

use super::{Model, every_ordering_is_needed, saw};
use crate::prim::trace::ring::{CAPACITY, Ring};
use loom::thread;
use std::sync::Arc;

/// Twice around the ring.
const EVENTS: u64 = 2 * CAPACITY as u64;

fn drain(ring: &Ring, last: &mut u64) -> u64 {
    let mut n = 0;
    ring.drain(ring.end(), |[a, b, c]| {
        assert_eq!((a, b), (c, c), "a torn event");
        assert!(a > *last, "{a} after {last}");
        *last = a;
        n += 1;
    });
    n
}

/// `Held::record` beside two passes of the collector.
fn write_and_read() {
    let ring = Arc::new(Ring::new());
    ring.provide();
    let theirs = Arc::clone(&ring);
    let writer = thread::spawn(move || {
        for n in 1..=EVENTS {
            theirs.push([n; 3]);
        }
    });
    let mut last = 0;
    let mut read = drain(&ring, &mut last);
    read += drain(&ring, &mut last);
    if read == EVENTS {
        saw("all were read while they were written");
    }
    writer.join().unwrap();
    read += drain(&ring, &mut last);
    assert_eq!(read + ring.dropped(), EVENTS);
    match ring.dropped() {
        0 => saw("none was dropped"),
        dropped if dropped == EVENTS - CAPACITY as u64 => saw("all that didn't fit were dropped"),
        _ => saw("some were dropped"),
    }
}

const RING: Model = Model {
    run: write_and_read,
    preemptions: None,
    outcomes: &[
        "all were read while they were written",
        "none was dropped",
        "some were dropped",
        "all that didn't fit were dropped",
    ],
};

#[test]
fn rings_hand_events_over() {
    RING.passes();
}

#[test]
fn every_ordering_of_rings_is_needed() {
    every_ordering_is_needed("prim/trace/ring.rs", &[RING]);
}
