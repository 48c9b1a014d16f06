//! `Mutex` and `FairMutex`.

mod sync_support;

use corio::sync::lock_api::{RawMutex as _, RawMutexFair as _, RawMutexTimed as _};
use corio::sync::{FairMutex, MappedMutexGuard, Mutex, MutexGuard, RawMutex};
use corio_tests::{wait_until, watchdog, yield_until};
use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sync_support::{is_not_starved, on_both};

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn sizes() {
    assert_eq!(size_of::<RawMutex>(), 24);
    assert!(size_of::<Mutex<()>>() <= 24);
    assert!(size_of::<Mutex<u64>>() <= 32);
}

/// Go: TestMutex (mutex_test.go), `HammerMutex`.
#[test]
fn nobody_is_in_it_with_another() {
    let _dog = watchdog();
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static MUTEX: Mutex<u64> = Mutex::new(0);
    const ROUNDS: u64 = 2_000;
    on_both(8, |_| {
        for round in 0..ROUNDS {
            let mut count = match round % 3 {
                0 => loop {
                    if let Some(guard) = MUTEX.try_lock() {
                        break guard;
                    }
                    corio::yield_now();
                },
                1 => MUTEX
                    .try_lock_for(Duration::from_secs(50))
                    .expect("soon enough"),
                _ => MUTEX.lock(),
            };
            assert_eq!(INSIDE.fetch_add(1, Ordering::Relaxed), 0);
            *count += 1;
            if round % 64 == 0 {
                corio::yield_now();
            }
            INSIDE.fetch_sub(1, Ordering::Relaxed);
            drop(count);
        }
    });
    assert_eq!(*MUTEX.lock(), 16 * ROUNDS);
    assert!(!MUTEX.is_locked());
}

/// Go: TestSemaphore (mutex_test.go) hammers the semaphore under the mutex; here it is the fair one, whose
/// every unlock hands over.
#[test]
fn a_fair_one_hands_over_under_load() {
    let _dog = watchdog();
    static MUTEX: FairMutex<u64> = FairMutex::new(0);
    on_both(4, |_| {
        for _ in 0..1_000 {
            *MUTEX.lock() += 1;
        }
    });
    assert_eq!(*MUTEX.lock(), 8_000);
}

/// Go: TestMutexFairness (mutex_test.go): one that locks again and again must not keep out one that locks
/// now and then.
#[test]
fn a_spinning_locker_starves_nobody() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let greedy = corio::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let held = MUTEX.lock();
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(100) {}
            drop(held);
        }
    });
    for _ in 0..10 {
        corio::sleep(Duration::from_micros(100));
        drop(MUTEX.lock());
    }
    let modest = corio::spawn(|| {
        for _ in 0..10 {
            corio::sleep(Duration::from_micros(100));
            drop(MUTEX.lock());
        }
    });
    modest.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    greedy.join().unwrap();
}

/// As above, but one that waits would lose for ever if it weren't for the rule.
#[test]
fn one_that_always_comes_too_late_is_handed_it() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    let hold = |inside: fn()| {
        let _held = MUTEX.lock();
        inside();
    };
    let greedy = move || is_not_starved(hold, || drop(MUTEX.lock()));
    corio::spawn(greedy).join().unwrap();
    greedy();
}

#[test]
fn many_spinning_lockers_starve_nobody() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    static TURNS: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
    let enough = || TURNS.iter().all(|turns| turns.load(Ordering::Relaxed) > 20);
    on_both(4, move |i| {
        while !enough() {
            let held = MUTEX.lock();
            TURNS[i].fetch_add(1, Ordering::Relaxed);
            drop(held);
        }
    });
}

#[test]
fn try_lock_fails_while_locked() {
    let mutex = Mutex::new(1);
    let held = mutex.try_lock().unwrap();
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    drop(held);
    assert!(mutex.try_lock().is_some());
    assert!(!mutex.is_locked());
}

#[test]
fn a_timeout_ends_the_wait() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    let held = MUTEX.lock();
    let check = |_| {
        let start = Instant::now();
        assert!(MUTEX.try_lock_for(SHORT).is_none());
        assert!(start.elapsed() >= SHORT);
        assert!(MUTEX.try_lock_until(Instant::now() + SHORT).is_none());
        assert!(MUTEX.try_lock_for(Duration::ZERO).is_none());
        assert!(MUTEX.try_lock_until(start).is_none());
    };
    on_both(3, check);
    drop(held);
    on_both(1, |_| assert!(MUTEX.try_lock_for(Duration::MAX).is_some()));
    assert!(MUTEX.try_lock_for(Duration::ZERO).is_some());
    let past = Instant::now();
    assert!(MUTEX.try_lock_until(past).is_some());
}

#[test]
fn a_timeout_without_end_gets_the_lock() {
    let _dog = watchdog();
    static MUTEX: Mutex<()> = Mutex::new(());
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    let held = MUTEX.lock();
    let lock = || {
        WAITING.fetch_add(1, Ordering::SeqCst);
        assert!(MUTEX.try_lock_for(Duration::MAX).is_some());
    };
    let goroutine = corio::spawn(lock);
    let thread = thread::spawn(lock);
    yield_until(|| WAITING.load(Ordering::SeqCst) == 2);
    drop(held);
    goroutine.join().unwrap();
    thread.join().unwrap();
}

/// Waits that time out in the middle of the queue leave the others in order.
#[test]
fn those_behind_one_that_timed_out_get_it() {
    let _dog = watchdog();
    for _ in 0..20 {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let handles: Vec<_> = (0..20)
            .map(|i| {
                let mutex = Arc::clone(&mutex);
                corio::spawn(move || match i % 2 {
                    0 => mutex
                        .try_lock_for(Duration::from_micros(i * 50))
                        .map_or(0, |_| 1),
                    _ => {
                        *mutex.lock() += 1;
                        1
                    }
                })
            })
            .collect();
        corio::sleep(Duration::from_micros(500));
        drop(held);
        let locked: usize = handles.into_iter().map(|h| h.join().unwrap()).sum();
        assert!(locked >= 10);
        assert_eq!(*mutex.lock(), 10);
    }
}

/// Many short waits against many locks: no timeout may lose a wake-up.
#[test]
fn timeouts_and_locks_race() {
    let _dog = watchdog();
    static MUTEX: Mutex<u64> = Mutex::new(0);
    static LOCKED: AtomicUsize = AtomicUsize::new(0);
    on_both(6, |i| {
        for round in 0..300 {
            let guard = if i % 3 == 0 {
                Some(MUTEX.lock())
            } else {
                MUTEX.try_lock_for(Duration::from_micros(round % 7 * 20))
            };
            if let Some(mut count) = guard {
                *count += 1;
                LOCKED.fetch_add(1, Ordering::Relaxed);
                if round % 16 == 0 {
                    corio::yield_now();
                }
            }
        }
    });
    assert_eq!(*MUTEX.lock(), LOCKED.load(Ordering::Relaxed) as u64);
    assert!(!MUTEX.is_locked());
}

/// `unlock_fair` hands over: the one that waits has it next, however fast the unlocker is.
#[test]
fn unlock_fair_hands_over() {
    let _dog = watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    for pass in 0..50 {
        let mut held = mutex.lock();
        held.clear();
        let waiting = Arc::new(AtomicBool::new(false));
        let (theirs, told) = (Arc::clone(&mutex), Arc::clone(&waiting));
        let lock = move || {
            told.store(true, Ordering::SeqCst);
            theirs.lock().push("waiter");
        };
        let goroutine = (pass % 2 == 0).then(|| corio::spawn(lock.clone()));
        let thread = (pass % 2 == 1).then(|| thread::spawn(lock));
        yield_until(|| waiting.load(Ordering::SeqCst));
        // It has said so, but it may not be in the queue yet.
        wait_for_queue(&mutex, 1);
        MutexGuard::unlock_fair(held);
        mutex.lock().push("unlocker");
        assert_eq!(*mutex.lock(), ["waiter", "unlocker"]);
        goroutine.map(|handle| handle.join()).transpose().unwrap();
        thread.map(|handle| handle.join()).transpose().unwrap();
    }
}

/// Until so many are in the queue of a lock that the caller holds.
fn wait_for_queue<T>(mutex: &Mutex<T>, n: usize) {
    // SAFETY: it is only looked at.
    let raw = unsafe { mutex.raw() };
    yield_until(|| format!("{raw:?}").contains(&format!("waiting: {n} ")));
}

#[test]
fn bump_lets_one_in() {
    let _dog = watchdog();
    let mutex = Arc::new(Mutex::new(0));
    let mut held = mutex.lock();
    MutexGuard::bump(&mut held);
    let theirs = Arc::clone(&mutex);
    let handle = corio::spawn(move || *theirs.lock() = 1);
    wait_for_queue(&mutex, 1);
    MutexGuard::bump(&mut held);
    assert_eq!(*held, 1);
    drop(held);
    handle.join().unwrap();
}

#[test]
fn unlocked_unlocks_meanwhile() {
    let mutex = Mutex::new(0);
    let mut held = mutex.lock();
    MutexGuard::unlocked(&mut held, || *mutex.lock() = 1);
    assert_eq!(*held, 1);
    MutexGuard::unlocked_fair(&mut held, || *mutex.lock() = 2);
    assert_eq!(*held, 2);
}

#[test]
fn mapped_guards() {
    let mutex = Mutex::new((1, 2));
    let mut second = MutexGuard::map(mutex.lock(), |pair| &mut pair.1);
    *second = 3;
    assert!(mutex.is_locked());
    let second = MappedMutexGuard::try_map(second, |n| (*n > 100).then_some(n));
    assert!(second.is_err());
    drop(second);
    assert_eq!(*mutex.lock(), (1, 3));

    let map = Mutex::new(HashMap::from([("here", 1)]));
    let missing = MutexGuard::try_map_or_err(map.lock(), |map| map.get_mut("there").ok_or("no"));
    let (map, error) = missing.expect_err("it isn't there");
    assert_eq!((error, map.len()), ("no", 1));
}

/// A panic unlocks and doesn't poison.
#[test]
fn a_panic_unlocks() {
    let _dog = watchdog();
    let mutex = Arc::new(Mutex::new(1));
    let theirs = Arc::clone(&mutex);
    let goroutine = corio::spawn(move || {
        let _held = theirs.lock();
        panic!("while holding it");
    });
    assert!(goroutine.join().is_err());
    assert_eq!(*mutex.lock(), 1);
    let theirs = Arc::clone(&mutex);
    let thread = thread::spawn(move || {
        let _held = theirs.lock();
        panic!("while holding it");
    });
    assert!(thread.join().is_err());
    assert_eq!(*mutex.lock(), 1);
}

/// A destructor may lock while unwinding, also if it has to wait.
#[test]
fn locking_while_unwinding() {
    let _dog = watchdog();
    struct Count(Arc<Mutex<u32>>);
    impl Drop for Count {
        fn drop(&mut self) {
            *self.0.lock() += 1;
        }
    }
    let mutex = Arc::new(Mutex::new(0));
    let held = mutex.lock();
    let handles: Vec<_> = (0..4)
        .map(|_| {
            let count = Count(Arc::clone(&mutex));
            corio::spawn(move || {
                let _count = count;
                panic!("its destructor will lock");
            })
        })
        .collect();
    wait_for_queue(&mutex, 4);
    drop(held);
    for handle in handles {
        assert!(handle.join().is_err());
    }
    assert_eq!(*mutex.lock(), 4);
}

/// A guard may be held over switches, also when the goroutine goes on on another thread.
#[test]
fn held_across_switches() {
    let _dog = watchdog();
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let handles: Vec<_> = (0..20)
        .map(|_| {
            corio::spawn(|| {
                for _ in 0..10 {
                    let mut count = MUTEX.lock();
                    let before = *count;
                    corio::yield_now();
                    corio::sleep(Duration::from_micros(1));
                    *count = before + 1;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(*MUTEX.lock(), 200);
}

#[test]
#[should_panic(expected = "unlock of a mutex that is not locked")]
fn unlocking_an_unlocked_one_panics() {
    let raw = RawMutex::INIT;
    let guard = raw.lock();
    // SAFETY: it is locked.
    unsafe { raw.unlock(guard) };
    // SAFETY: it isn't locked, which the lock itself must survive; it guards nothing.
    unsafe { raw.unlock(Default::default()) };
}

#[test]
#[should_panic(expected = "unlock of a mutex that is not locked")]
fn handing_over_an_unlocked_one_panics() {
    let raw = RawMutex::INIT;
    // SAFETY: it isn't locked, which the lock itself must survive; it guards nothing.
    unsafe { raw.unlock_fair(Default::default()) };
}

#[test]
fn a_wrong_unlock_changes_nothing() {
    let raw = RawMutex::INIT;
    // SAFETY: as above.
    let wrong = std::panic::catch_unwind(|| unsafe { raw.unlock(Default::default()) });
    assert!(wrong.is_err());
    assert!(!raw.is_locked());
    let _guard = raw.try_lock().expect("still open");
    assert!(raw.try_lock_for(Duration::ZERO).is_none());
}

#[test]
fn what_lock_api_promises() {
    fn sync<T: Sync>(_: &T) {}
    let mut mutex = Mutex::new(vec![1, 2]);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: [1, 2] }");
    let held = mutex.lock();
    sync(&held);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");
    drop(held);
    mutex.get_mut().push(3);
    assert_eq!(mutex.into_inner(), [1, 2, 3]);
    let unsized_: &Mutex<[i32]> = &Mutex::new([1, 2]);
    unsized_.lock()[0] = 5;
    assert_eq!(*unsized_.lock(), [5, 2]);
    assert_eq!(*Mutex::<u8>::default().lock(), 0);
}

/// Waiting blocks only the goroutine: with more waiters than threads everybody gets on.
#[test]
fn waiting_blocks_no_thread() {
    let _dog = watchdog();
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let held = MUTEX.lock();
    let handles: Vec<_> = (0..1_000)
        .map(|_| corio::spawn(|| *MUTEX.lock() += 1))
        .collect();
    let other = corio::spawn(|| 1);
    assert_eq!(other.join().unwrap(), 1);
    drop(held);
    for handle in handles {
        handle.join().unwrap();
    }
    wait_until("everybody", || *MUTEX.lock() == 1_000);
}

/// A thread may lock, and wait for it, in the destructor of a thread-local.
#[test]
fn locking_while_a_thread_ends() {
    let _dog = watchdog();
    static MUTEX: Mutex<u32> = Mutex::new(0);
    struct Locks;
    impl Drop for Locks {
        fn drop(&mut self) {
            *MUTEX.lock() += 1;
        }
    }
    thread_local!(static LOCKS: Locks = const { Locks });
    let held = MUTEX.lock();
    let handles = [(); 4].map(|()| thread::spawn(|| LOCKS.with(|_| ())));
    wait_for_queue(&MUTEX, 4);
    drop(held);
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(*MUTEX.lock(), 4);
}
