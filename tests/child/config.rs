//! Starting with settings.

use crate::Scenario;
use corio::Config;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("config_init", config_init),
    ("config_default", config_default),
    ("config_good", config_good),
    ("config_explicit", config_explicit),
    ("config_late", config_late),
    ("config_repaired", config_repaired),
    ("config_trace", config_trace),
    ("config_race", config_race),
    ("config_start_race", config_start_race),
];

/// With a bad variable: `init` returns the error.
fn config_init(_: &[String]) {
    let error = Config::new().init().unwrap_err();
    assert!(!error.is_already_started());
    eprintln!("{error}");
}

/// With a bad variable: the first use panics.
fn config_default(_: &[String]) {
    corio::spawn(|| ());
}

fn config_good(_: &[String]) {
    Config::new().init().unwrap();
    assert_eq!(corio::set_procs(1), 3);
}

/// A variable that is overruled is not even looked at.
fn config_explicit(_: &[String]) {
    Config::new().procs(4).init().unwrap();
    assert_eq!(corio::set_procs(1), 4);
}

fn config_late(_: &[String]) {
    corio::spawn(|| ()).join().unwrap();
    let error = Config::new().procs(1).init().unwrap_err();
    assert!(error.is_already_started(), "{error}");
    // Checked first or not, a bad value does no harm either.
    Config::new().procs(0).init().unwrap_err();
    assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
}

fn config_repaired(_: &[String]) {
    let error = Config::new().stack_size(1).init().unwrap_err();
    assert!(
        error.to_string().contains("Config::stack_size(1)"),
        "{error}"
    );
    Config::new().procs(2).init().unwrap();
    assert_eq!(corio::set_procs(2), 2);
}

/// The line is printed while goroutines run and while all are asleep.
fn config_trace(_: &[String]) {
    corio::spawn(|| corio::sleep(Duration::from_millis(500)))
        .join()
        .unwrap();
}

fn config_race(_: &[String]) {
    let barrier = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|n| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                match n % 4 {
                    0 => usize::from(Config::new().procs(3).init().is_ok()),
                    1 => corio::spawn(|| 0).join().unwrap(),
                    2 => {
                        corio::sleep(Duration::from_micros(1));
                        0
                    }
                    _ => {
                        corio::metrics();
                        0
                    }
                }
            })
        })
        .collect();
    let started: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert!(started <= 1);
    assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
}

/// Many threads' first use starts the runtime, by the same call at the same time.
fn config_start_race(_: &[String]) {
    const THREADS: usize = 8;
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                let handles: Vec<_> = (0..20).map(|_| corio::spawn(move || n)).collect();
                handles
                    .into_iter()
                    .for_each(|h| assert_eq!(h.join().unwrap(), n));
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}
