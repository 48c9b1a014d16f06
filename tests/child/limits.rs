//! When something runs out.

use crate::Scenario;
use corio::{Builder, JoinHandle};
use corio_tests::{Drops, wait_until};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("limit_goroutines", limit_goroutines),
    ("limit_goroutines_panic", limit_goroutines_panic),
    ("limit_threads", limit_threads),
    ("limit_stacks", limit_stacks),
    ("limit_stacks_report", limit_stacks_report),
    ("limit_stacks_deadlock", limit_stacks_deadlock),
    ("limit_stacks_cached", limit_stacks_cached),
    ("limit_mappings", limit_mappings),
];

fn limit_goroutines(_: &[String]) {
    let parked: Vec<_> = (0..100).map(|_| corio::spawn(corio::park)).collect();
    let drops = Drops::new();
    for _ in 0..10 {
        let token = drops.token();
        let error = Builder::new().spawn(move || drop(token)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(
            text.contains("100") && text.contains("CORIO_MAX_GOROUTINES"),
            "{text}"
        );
    }
    assert_eq!(drops.count(), 10, "a closure that can't run is dropped");
    parked[0].goroutine().unpark();
    wait_until("one ended", || corio::num_goroutines() == 99);
    // From a goroutine as well.
    parked[1].goroutine().unpark();
    wait_until("two ended", || corio::num_goroutines() == 98);
    let inner = corio::spawn(|| {
        let one = Builder::new().spawn(corio::park).unwrap();
        let error = Builder::new().spawn(|| ()).unwrap_err();
        one.goroutine().unpark();
        one.join().unwrap();
        error.kind()
    });
    assert_eq!(inner.join().unwrap(), ErrorKind::OutOfMemory);
    parked[2..].iter().for_each(|h| h.goroutine().unpark());
    parked.into_iter().for_each(|h| h.join().unwrap());
}

fn limit_goroutines_panic(_: &[String]) {
    for _ in 0..11 {
        corio::spawn(corio::park);
    }
}

/// More goroutines block their thread, unannounced, than there may be threads.
fn limit_threads(_: &[String]) {
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..20)
        .map(|_| {
            let done = Arc::clone(&done);
            corio::spawn(move || {
                thread::sleep(Duration::from_millis(40));
                corio::yield_now();
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    let sleeper = corio::spawn(|| corio::sleep(Duration::from_millis(10)));
    handles.into_iter().for_each(|h| h.join().unwrap());
    sleeper.join().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 20);
    let metrics = corio::metrics();
    assert!(metrics.threads.total <= 4, "{metrics:?}");
    assert!(metrics.totals().thread_failures > 0);
}

/// More than there is address space for.
const TOO_MANY: usize = 4000;

/// Each keeps its stack until it is told to end.
fn parkers(n: usize) -> (Vec<JoinHandle<()>>, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (started, end) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let handles = (0..n)
        .map(|_| {
            let (started, end) = (Arc::clone(&started), Arc::clone(&end));
            corio::spawn(move || {
                started.fetch_add(1, Ordering::SeqCst);
                while !end.load(Ordering::SeqCst) {
                    corio::park();
                }
            })
        })
        .collect();
    (handles, started, end)
}

/// Waits until as many run as can, the rest waiting for a stack; returns how many run.
fn settled(started: &AtomicUsize) -> usize {
    let mut before = (0, Instant::now());
    loop {
        let now = started.load(Ordering::SeqCst);
        if now != before.0 {
            before = (now, Instant::now());
        } else if now > 0 && before.1.elapsed() > Duration::from_millis(500) {
            return now;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Goroutines that find no stack get one as others end.
fn limit_stacks(_: &[String]) {
    for round in 0..3 {
        let (handles, started, end) = parkers(TOO_MANY);
        let running = settled(&started);
        println!("round {round}: {running} run at once");
        assert!((100..TOO_MANY).contains(&running), "{running}");
        // The runtime goes on meanwhile.
        wait_until("all parked or without a stack", || {
            corio::metrics().goroutines.waiting == TOO_MANY
        });
        end.store(true, Ordering::SeqCst);
        handles.iter().for_each(|h| h.goroutine().unpark());
        handles.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(started.load(Ordering::SeqCst), TOO_MANY);
        assert_eq!(corio::num_goroutines(), 0);
    }
}

/// It is reported after a second, once.
fn limit_stacks_report(_: &[String]) {
    let (handles, started, end) = parkers(TOO_MANY);
    settled(&started);
    thread::sleep(Duration::from_secs(3));
    end.store(true, Ordering::SeqCst);
    handles.iter().for_each(|h| h.goroutine().unpark());
    handles.into_iter().for_each(|h| h.join().unwrap());
}

fn limit_stacks_deadlock(_: &[String]) {
    corio::run(|| {
        let handles: Vec<_> = (0..TOO_MANY).map(|_| corio::spawn(corio::park)).collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

/// As many goroutines as there are stacks, while some of the stacks lie in the cache of a P whose
/// goroutine is busy: all must get one.
fn limit_stacks_cached(_: &[String]) {
    let (handles, started, end) = parkers(TOO_MANY);
    let room = settled(&started);
    end.store(true, Ordering::SeqCst);
    handles.iter().for_each(|h| h.goroutine().unpark());
    handles.into_iter().for_each(|h| h.join().unwrap());
    for round in 0..30 {
        // Their ends fill the caches of both Ps.
        let handles: Vec<_> = (0..room / 2)
            .map(|_| corio::spawn(|| corio::sleep(Duration::from_millis(1))))
            .collect();
        handles.into_iter().for_each(|h| h.join().unwrap());
        // One P is kept busy while the other one starts all that it can.
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let busy = corio::spawn(move || {
            let start = Instant::now();
            while !theirs.load(Ordering::Relaxed) && start.elapsed() < Duration::from_millis(5) {}
        });
        let (handles, started, end) = parkers(room - 2);
        let patience = Instant::now() + Duration::from_secs(10);
        while started.load(Ordering::SeqCst) < room - 2 {
            assert!(
                Instant::now() < patience,
                "round {round}: {} of {} run: {:?}",
                started.load(Ordering::SeqCst),
                room - 2,
                corio::metrics().stacks
            );
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        end.store(true, Ordering::SeqCst);
        handles.iter().for_each(|h| h.goroutine().unpark());
        handles.into_iter().for_each(|h| h.join().unwrap());
    }
}

/// Guards by `mprotect` use up the process's mappings; the rest waits, and other things can still be
/// mapped.
fn limit_mappings(_: &[String]) {
    let limit: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let many = limit / 2 + 2000;
    let (handles, started, end) = parkers(many);
    let running = settled(&started);
    println!("{running} of {many} run at once");
    assert!((1000..many).contains(&running), "{running}");
    // Long enough for the report.
    thread::sleep(Duration::from_secs(2));
    end.store(true, Ordering::SeqCst);
    handles.iter().for_each(|h| h.goroutine().unpark());
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(started.load(Ordering::SeqCst), many);
}
