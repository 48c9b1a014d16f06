//! An idle process makes no system calls.

use crate::Scenario;
use corio_tests::threads;
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("idle", idle)];

/// Context switches of every thread but the caller's, by thread and kind.
fn switches() -> BTreeMap<(u32, String), u64> {
    let me = corio_tests::gettid();
    let mut all = BTreeMap::new();
    for tid in threads().into_iter().filter(|&tid| tid != me) {
        let file = format!("/proc/self/task/{tid}/status");
        for field in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"] {
            all.insert(
                (tid, field.to_owned()),
                corio_tests::proc_number(&file, field),
            );
        }
    }
    all
}

/// 10,000 parked goroutines and one that reads standard input, which stays empty; over five seconds no
/// thread runs.
fn idle(_: &[String]) {
    for _ in 0..10_000 {
        corio::spawn(corio::park);
    }
    corio::spawn(|| corio::blocking(|| std::io::stdin().read_exact(&mut [0])));
    corio_tests::wait_until("all parked", || {
        let metrics = corio::metrics();
        metrics.goroutines.waiting == 10_000 && metrics.goroutines.running == 1
    });
    // Until sysmon sleeps: it watches for a while after the last activity.
    let mut before = switches();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(500));
        let now = switches();
        if now == before {
            break;
        }
        before = now;
    }
    let before = switches();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(before, switches());
    std::process::exit(0);
}
