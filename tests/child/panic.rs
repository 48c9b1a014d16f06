//! What a panic prints and leaves behind.

use crate::Scenario;
use corio_tests::wait_until;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] =
    &[("panic_named", panic_named), ("panic_count", panic_count)];

fn panic_named(_: &[String]) {
    let handle = corio::Builder::new()
        .name("worker".into())
        .spawn(|| panic!("what went wrong"))
        .unwrap();
    handle.join().unwrap_err();
}

/// Sleeps when dropped.
struct Sleeps;

impl Drop for Sleeps {
    fn drop(&mut self) {
        corio::sleep(Duration::from_millis(1));
    }
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

/// Goroutines that panic in every way are counted as finished, and their stacks come back.
fn panic_count(_: &[String]) {
    std::panic::set_hook(Box::new(|_| ()));
    for _ in 0..50 {
        let handles = [
            corio::spawn(|| panic!("plain")),
            corio::spawn(|| {
                let _sleeps = Sleeps;
                panic!("sleeps while unwinding");
            }),
            corio::spawn(|| {
                let _lock = corio::lock_os_thread();
                panic!("locked");
            }),
        ];
        handles
            .into_iter()
            .for_each(|h| drop(h.join().unwrap_err()));
        // Detached before they end, or the bombs would go off in this thread.
        let parked = [
            corio::spawn(|| {
                corio::park();
                Bomb
            }),
            corio::spawn(|| {
                corio::park();
                std::panic::panic_any(Bomb)
            }),
        ];
        let goroutines = parked.each_ref().map(|h| h.goroutine().clone());
        drop(parked);
        goroutines.iter().for_each(corio::Goroutine::unpark);
    }
    wait_until("all ended", || corio::num_goroutines() == 0);
    let metrics = corio::metrics();
    assert_eq!(metrics.totals().finished, 250);
    assert!(metrics.stacks.mapped < 500, "{metrics:?}");
    assert_eq!(corio::spawn(|| 5).join().unwrap(), 5);
}
