//! Groups, pools: what only shows with certain settings.

use crate::Scenario;
use corio::group::WaitGroup;
use std::sync::{Arc, Mutex};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("wait_group_order", wait_group_order)];

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
