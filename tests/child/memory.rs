//! What goroutines cost.

use crate::Scenario;
use corio_tests::{proc_number, wait_until};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("memory_parked", memory_parked),
    ("memory_burst", memory_burst),
    ("memory_trim", memory_trim),
    ("memory_pool", memory_pool),
];

/// Resident memory and page tables, in KiB.
fn used() -> u64 {
    proc_number("/proc/self/status", "VmRSS") + proc_number("/proc/self/status", "VmPTE")
}

fn rss() -> u64 {
    proc_number("/proc/self/status", "VmRSS")
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Goroutines that all park at once, then wake and finish.
fn memory_parked(args: &[String]) {
    let n: usize = args[0].parse().unwrap();
    corio::spawn(|| ()).join().unwrap();
    // Made and touched before the first look.
    let mut handles = vec![None; n];
    let done = Arc::new(AtomicUsize::new(0));
    let before = used();
    for handle in &mut handles {
        let done = Arc::clone(&done);
        let spawned = corio::spawn(move || {
            corio::park();
            done.fetch_add(1, Ordering::Relaxed);
        });
        *handle = Some(spawned.goroutine().clone());
    }
    wait_until("all parked", || corio::metrics().goroutines.waiting == n);
    let each = (used() - before) * 1024 / n as u64;
    println!("bytes each: {each}");
    println!("mappings: {}", mappings());
    for handle in handles.iter().flatten() {
        handle.unpark();
    }
    wait_until("all ended", || corio::num_goroutines() == 0);
    assert_eq!(done.load(Ordering::Relaxed), n);
}

/// Goroutines spawned by one in a burst, all before the first of them runs.
fn memory_burst(args: &[String]) {
    let n: usize = args[0].parse().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&done);
    corio::spawn(move || {
        for _ in 0..n {
            let done = Arc::clone(&theirs);
            corio::spawn(move || done.fetch_add(1, Ordering::Relaxed));
        }
    });
    wait_until("all ended", || done.load(Ordering::Relaxed) == n);
    println!("peak KiB: {}", proc_number("/proc/self/status", "VmHWM"));
}

/// Touches 100 KiB of stack.
#[inline(never)]
fn touch() {
    black_box([1u8; 100 << 10]);
}

/// A goroutine that went deep and parks for long gives its pages back, and works on.
fn memory_trim(_: &[String]) {
    const N: usize = 200;
    let handles: Vec<_> = (0..N)
        .map(|n| {
            corio::spawn(move || {
                let kept = black_box([n; 16]);
                touch();
                corio::park();
                assert_eq!(kept, [n; 16]);
                touch();
            })
        })
        .collect();
    wait_until("all parked", || corio::metrics().goroutines.waiting == N);
    let all = N as u64 * 100;
    wait_until("stacks are trimmed", || rss() < all / 2);
    handles.iter().for_each(|h| h.goroutine().unpark());
    handles.into_iter().for_each(|h| h.join().unwrap());
}

/// The stacks of goroutines that have ended give their pages back.
fn memory_pool(_: &[String]) {
    const N: usize = 2000;
    let handles: Vec<_> = (0..N)
        .map(|_| {
            corio::spawn(|| {
                touch();
                corio::sleep(Duration::from_millis(50));
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    wait_until("pooled stacks are trimmed", || rss() < 60 * 1024);
    assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
}
