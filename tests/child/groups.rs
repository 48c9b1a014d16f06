//! Groups, pools: what only shows with certain settings.

use crate::Scenario;
use corio::group::WaitGroup;
use corio::pool::{Builder, WorkerPool};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("wait_group_order", wait_group_order),
    ("pool_order", pool_order),
    ("pool_deadlock", pool_deadlock),
];

fn wait_group_order(_: &[String]) {
    corio::run(|| {
        let wg = WaitGroup::new();
        wg.add(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..20)
            .map(|i| {
                let (wg, order) = (wg.clone(), Arc::clone(&order));
                let waiter = corio::spawn(move || {
                    wg.wait();
                    order.lock().unwrap().push(i);
                });
                // It runs until it waits.
                corio::yield_now();
                waiter
            })
            .collect();
        let theirs = wg.clone();
        corio::spawn(move || theirs.done());
        waiters.into_iter().for_each(|w| w.join().unwrap());
        // The one made ready last is run first (`runnext`), as in Go.
        let order = order.lock().unwrap();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let turned: Vec<_> = [19].into_iter().chain(0..19).collect();
        assert!(*order == sorted || *order == turned, "{order:?}");
    });
}

/// One worker runs the tasks in the order in which they were submitted.
fn pool_order(_: &[String]) {
    corio::run(|| {
        let pool = WorkerPool::new(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        for i in 0..100 {
            let order = Arc::clone(&order);
            pool.submit(move || order.lock().unwrap().push(i)).unwrap();
        }
        assert!(pool.release_timeout(Duration::MAX));
        assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    });
}

/// The idle worker never expires; a released pool's timer is gone, however far away it was.
fn pool_deadlock(_: &[String]) {
    corio::run(|| {
        let released = Builder::new()
            .idle_expiry(Duration::from_secs(3600))
            .build();
        released.submit(|| ()).unwrap();
        while released.idle() == 0 {
            corio::yield_now();
        }
        assert!(released.release_timeout(Duration::MAX));
        let pool = Builder::new().idle_expiry(None).build();
        pool.submit(|| ()).unwrap();
        corio::park();
    });
}
