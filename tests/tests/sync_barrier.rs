//! `Barrier`.

mod sync_support;

use corio::sync::{Barrier, BarrierWaitResult};
use corio_tests::watchdog;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use sync_support::on_both;

#[test]
fn nobody_goes_on_before_all_are_there() {
    let _dog = watchdog();
    static BARRIER: Barrier = Barrier::new(20);
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    static LEADERS: AtomicUsize = AtomicUsize::new(0);
    const ROUNDS: usize = 200;
    on_both(10, |_| {
        for round in 1..=ROUNDS {
            ARRIVED.fetch_add(1, Ordering::SeqCst);
            let leads = BARRIER.wait().is_leader();
            let arrived = ARRIVED.load(Ordering::SeqCst);
            // All of this round, and perhaps some of the next.
            assert!((round * 20..(round + 1) * 20).contains(&arrived));
            LEADERS.fetch_add(usize::from(leads), Ordering::SeqCst);
        }
    });
    assert_eq!(LEADERS.load(Ordering::SeqCst), ROUNDS);
}

#[test]
fn more_than_it_is_for() {
    let _dog = watchdog();
    let barrier = Arc::new(Barrier::new(3));
    let leaders = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&barrier), Arc::clone(&leaders));
    on_both(6, move |_| {
        count.fetch_add(usize::from(theirs.wait().is_leader()), Ordering::SeqCst);
    });
    assert_eq!(leaders.load(Ordering::SeqCst), 4);
}

#[test]
fn for_one_or_none() {
    for n in 0..2 {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().is_leader());
        assert!(barrier.wait().is_leader());
    }
}

/// One that panics after it has met the others leaves the barrier fit for use.
#[test]
fn a_panic_after_meeting() {
    let _dog = watchdog();
    static BARRIER: Barrier = Barrier::new(2);
    let failing = corio::spawn(|| {
        BARRIER.wait();
        panic!("after meeting");
    });
    BARRIER.wait();
    assert!(failing.join().is_err());
    let second = corio::spawn(|| BARRIER.wait().is_leader());
    assert_ne!(BARRIER.wait().is_leader(), second.join().unwrap());
}

/// A destructor may meet others while its goroutine unwinds.
#[test]
fn meeting_while_unwinding() {
    let _dog = watchdog();
    static BARRIER: Barrier = Barrier::new(3);
    struct Meets;
    impl Drop for Meets {
        fn drop(&mut self) {
            BARRIER.wait();
        }
    }
    let handles = [(); 2].map(|()| {
        corio::spawn(|| {
            let _meets = Meets;
            panic!("its destructor will wait");
        })
    });
    BARRIER.wait();
    for handle in handles {
        assert!(handle.join().is_err());
    }
}

#[test]
fn what_is_shown() {
    let barrier = Barrier::new(1);
    assert_eq!(format!("{barrier:?}"), "Barrier { .. }");
    let result: BarrierWaitResult = barrier.wait();
    assert_eq!(
        format!("{result:?}"),
        "BarrierWaitResult { is_leader: true }"
    );
}
