//! `Once`, `OnceLock` and `LazyLock`.

mod sync_support;

use corio::sync::{LazyLock, Once, OnceLock, OnceState};
use corio_tests::{Drops, watchdog, yield_until};
use std::cell::Cell;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use sync_support::on_both;

fn panics<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| {
        f();
    }))
    .expect_err("it panics");
    match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => *payload.downcast::<String>().expect("a message"),
    }
}

#[test]
fn sizes() {
    assert_eq!(size_of::<Once>(), 24);
    assert!(size_of::<OnceLock<Box<u8>>>() <= 32);
    assert!(size_of::<LazyLock<u64>>() <= 40);
}

/// Go: TestOnce (once_test.go): once, and everybody sees it done when they go on.
#[test]
fn once_runs_once() {
    let _dog = watchdog();
    for _ in 0..50 {
        let state = Arc::new((Once::new(), AtomicUsize::new(0)));
        let theirs = Arc::clone(&state);
        on_both(4, move |_| {
            theirs.0.call_once(|| {
                corio::yield_now();
                theirs.1.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(theirs.1.load(Ordering::Relaxed), 1);
        });
        assert_eq!(state.0.state(), OnceState::Done);
        state.0.call_once(|| unreachable!());
        state.0.call_once_force(|_| unreachable!());
    }
}

/// Waiting for an initialiser parks: the initialiser may need the threads of those who wait.
#[test]
fn waiting_blocks_no_thread() {
    let _dog = watchdog();
    static ONCE: Once = Once::new();
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let first = corio::spawn(|| {
        ONCE.call_once(|| yield_until(|| STARTED.load(Ordering::SeqCst) == 500));
    });
    yield_until(|| ONCE.state() == OnceState::InProgress);
    let others: Vec<_> = (0..500)
        .map(|_| {
            corio::spawn(|| {
                STARTED.fetch_add(1, Ordering::SeqCst);
                ONCE.call_once(|| unreachable!());
            })
        })
        .collect();
    first.join().unwrap();
    for other in others {
        other.join().unwrap();
    }
}

/// Go: TestOncePanic (once_test.go); unlike Go's, a panic poisons, as std's and parking_lot's.
#[test]
fn a_panic_poisons() {
    let _dog = watchdog();
    static ONCE: Once = Once::new();
    assert!(
        corio::spawn(|| ONCE.call_once(|| panic!("first")))
            .join()
            .is_err()
    );
    assert_eq!(ONCE.state(), OnceState::Poisoned);
    assert!(ONCE.state().is_poisoned() && !ONCE.is_completed());
    assert!(panics(|| ONCE.call_once(|| ())).contains("poisoned"));
    assert!(panics(|| ONCE.wait()).contains("poisoned"));
    let forced = thread::spawn(|| ONCE.call_once_force(|_| panic!("second")));
    assert!(forced.join().is_err());
    let before = Cell::new(OnceState::New);
    ONCE.call_once_force(|state| before.set(state));
    assert_eq!(before.get(), OnceState::Poisoned);
    assert!(ONCE.is_completed());
    ONCE.call_once(|| unreachable!());
}

/// Those who wait while a closure panics: the ordinary ones panic too, the others go on.
#[test]
fn a_panic_reaches_those_who_wait() {
    let _dog = watchdog();
    static ONCE: Once = Once::new();
    static GO: AtomicUsize = AtomicUsize::new(0);
    let failing = corio::spawn(|| {
        ONCE.call_once(|| {
            yield_until(|| GO.load(Ordering::SeqCst) == 6);
            panic!("in the closure");
        });
    });
    yield_until(|| ONCE.state() == OnceState::InProgress);
    let ready = || GO.fetch_add(1, Ordering::SeqCst);
    let calls = corio::spawn(move || {
        ready();
        ONCE.call_once(|| ());
    });
    let waits = corio::spawn(move || {
        ready();
        ONCE.wait();
    });
    let waits_on_a_thread = thread::spawn(move || {
        ready();
        ONCE.wait();
    });
    let forces = [(); 2].map(|()| {
        corio::spawn(move || {
            ready();
            ONCE.wait_force();
        })
    });
    let forces_on_a_thread = thread::spawn(move || {
        ready();
        ONCE.wait_force();
    });
    assert!(failing.join().is_err());
    assert!(calls.join().is_err());
    assert!(waits.join().is_err());
    assert!(waits_on_a_thread.join().is_err());
    ONCE.call_once_force(|state| assert!(state.poisoned()));
    for forced in forces {
        forced.join().unwrap();
    }
    forces_on_a_thread.join().unwrap();
}

#[test]
fn wait_waits_for_the_end() {
    let _dog = watchdog();
    let once = Arc::new(Once::new());
    let done = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let (once, done) = (Arc::clone(&once), Arc::clone(&done));
            corio::spawn(move || {
                once.wait();
                assert_eq!(done.load(Ordering::Relaxed), 1);
            })
        })
        .collect();
    corio::yield_now();
    assert_eq!(once.state(), OnceState::New);
    once.call_once(|| done.store(1, Ordering::Relaxed));
    for handle in waiting {
        handle.join().unwrap();
    }
    once.wait();
    once.wait_force();
    Once::new_completed().wait();
    assert_eq!(Once::default().state(), OnceState::New);
    assert_eq!(format!("{once:?}"), "Once { state: Done }");
}

/// Go: TestOnceValue (oncefunc_test.go): calculated once, the same for everybody.
#[test]
fn once_lock_is_written_once() {
    let _dog = watchdog();
    static CELL: OnceLock<usize> = OnceLock::new();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static RACE: OnceLock<usize> = OnceLock::new();
    static WON: AtomicUsize = AtomicUsize::new(0);
    on_both(8, |i| {
        let value = CELL.get_or_init(|| {
            corio::yield_now();
            CALLS.fetch_add(1, Ordering::Relaxed) + 42
        });
        assert_eq!(*value, 42);
        match RACE.set(i) {
            Ok(()) => WON.store(i, Ordering::Relaxed),
            Err(back) => assert_eq!(back, i),
        }
    });
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(RACE.get(), Some(&WON.load(Ordering::Relaxed)));
}

#[test]
fn once_lock_wait() {
    let _dog = watchdog();
    let cell = Arc::new(OnceLock::new());
    let theirs = Arc::clone(&cell);
    let goroutine = corio::spawn(move || *theirs.wait());
    let theirs = Arc::clone(&cell);
    let thread = thread::spawn(move || *theirs.wait());
    corio::yield_now();
    cell.set(7).unwrap();
    assert_eq!(goroutine.join().unwrap(), 7);
    assert_eq!(thread.join().unwrap(), 7);
    assert_eq!(*cell.wait(), 7);
}

/// A panic or an error in the initialiser leaves the cell empty, for the next one to try; those who wait
/// for the value aren't bothered.
#[test]
fn once_lock_after_a_failed_initialiser() {
    let _dog = watchdog();
    let cell = Arc::new(OnceLock::<String>::new());
    let theirs = Arc::clone(&cell);
    let waiting = corio::spawn(move || theirs.wait().len());
    let theirs = Arc::clone(&cell);
    let panicking = corio::spawn(move || theirs.get_or_init(|| panic!("no value")).len());
    assert!(panicking.join().is_err());
    assert_eq!(cell.get(), None);
    assert_eq!(cell.get_or_try_init(|| Err(5)), Err(5));
    assert_eq!(cell.get(), None);
    assert_eq!(
        cell.get_or_try_init(|| Ok::<_, ()>("here".into())),
        Ok(&"here".into())
    );
    assert_eq!(cell.get_or_try_init(|| Err(6)), Ok(&"here".into()));
    assert_eq!(waiting.join().unwrap(), 4);
}

#[test]
fn once_lock_of_one_owner() {
    let drops = Drops::new();
    let mut cell = OnceLock::new();
    assert!(cell.get_mut().is_none() && cell.take().is_none());
    cell.set(drops.token()).unwrap();
    drop(cell.set(drops.token()).unwrap_err());
    assert_eq!(drops.count(), 1);
    drop(cell.take().unwrap());
    assert_eq!(drops.count(), 2);
    assert!(cell.get().is_none());
    cell.set(drops.token()).unwrap();
    drop(cell);
    assert_eq!(drops.count(), 3);

    let mut cell = OnceLock::from(1);
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.clone(), cell);
    assert_ne!(cell, OnceLock::new());
    assert_eq!(
        format!("{cell:?} {:?}", OnceLock::<u8>::default()),
        "OnceLock(2) OnceLock(<uninit>)"
    );
    assert_eq!(cell.into_inner(), Some(2));
}

#[test]
fn lazy_lock_is_made_once() {
    let _dog = watchdog();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static LAZY: LazyLock<String> = LazyLock::new(|| {
        corio::yield_now();
        format!("call {}", CALLS.fetch_add(1, Ordering::Relaxed))
    });
    on_both(8, |_| assert_eq!(*LAZY, "call 0"));
    assert_eq!(LazyLock::force(&LAZY), "call 0");
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

/// Go: TestOnceFuncPanic (oncefunc_test.go): every use panics, not only the first.
#[test]
fn lazy_lock_is_poisoned_by_a_panic() {
    let _dog = watchdog();
    static LAZY: LazyLock<u8> = LazyLock::new(|| panic!("can't be made"));
    assert!(corio::spawn(|| *LAZY).join().is_err());
    assert!(thread::spawn(|| *LAZY).join().is_err());
    assert!(panics(|| *LAZY).contains("LazyLock instance has previously been poisoned"));
    assert_eq!(LazyLock::get(&LAZY), None);
}

#[test]
fn lazy_lock_of_one_owner() {
    let drops = Drops::new();
    let captured = drops.token();
    let mut lazy = LazyLock::new(move || (captured, 1));
    assert!(LazyLock::get_mut(&mut lazy).is_none());
    lazy.1 += 1;
    LazyLock::force_mut(&mut lazy).1 += 1;
    assert_eq!(LazyLock::get(&lazy).unwrap().1, 3);
    drop(lazy);
    assert_eq!(drops.count(), 1);
    let captured = drops.token();
    drop(LazyLock::new(move || captured));
    assert_eq!(drops.count(), 2);
    let lazy = LazyLock::<u8>::default();
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    assert_eq!(*lazy, 0);
    assert_eq!(format!("{lazy:?}"), "LazyLock(0)");
}

#[test]
fn the_traits_of_their_models() {
    fn all<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    all::<Once>();
    all::<OnceLock<String>>();
    all::<LazyLock<String>>();
}
