//! `RwLock` and `RecursiveRwLock`.

mod sync_support;

use corio::sync::lock_api::{self, RawRwLock as RawRwLock_};
use corio::sync::{
    Mutex, RawRwLock, RecursiveRwLock, RecursiveRwLockReadGuard,
    RecursiveRwLockUpgradableReadGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard,
    RwLockWriteGuard,
};
use corio_tests::{Rng, watchdog, yield_until};
use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sync_support::{is_not_starved, on_both};

const SHORT: Duration = Duration::from_millis(5);

fn waiting<R: RawRwLock_ + Debug, T>(lock: &lock_api::RwLock<R, T>, n: usize) -> bool {
    // SAFETY: it is only looked at.
    let raw = unsafe { lock.raw() };
    format!("{raw:?}").contains(&format!("waiting: {n} "))
}

/// Until so many are in the lock's queue.
fn wait_for_queue<R: RawRwLock_ + Debug, T>(lock: &lock_api::RwLock<R, T>, n: usize) {
    yield_until(|| waiting(lock, n));
}

#[test]
fn sizes() {
    assert_eq!(size_of::<RwLock<()>>(), 24);
    assert_eq!(size_of::<RecursiveRwLock<u64>>(), 32);
}

/// Go: TestParallelReaders (rwmutex_test.go).
#[test]
fn readers_are_in_together() {
    let _dog = watchdog();
    static LOCK: RwLock<()> = RwLock::new(());
    static IN: AtomicUsize = AtomicUsize::new(0);
    on_both(5, |_| {
        let _read = LOCK.read();
        IN.fetch_add(1, Ordering::SeqCst);
        // Nobody leaves before everybody is in.
        yield_until(|| IN.load(Ordering::SeqCst) == 10);
    });
    assert!(LOCK.try_write().is_some());
}

/// Also when some have waited for a writer and others come just when it leaves.
#[test]
fn readers_are_in_together_after_a_writer() {
    let _dog = watchdog();
    for _ in 0..100 {
        let shared = Arc::new((RwLock::new(()), AtomicUsize::new(0)));
        let held = shared.0.write();
        let read = |shared: Arc<(RwLock<()>, AtomicUsize)>| {
            move || {
                let _read = shared.0.read();
                shared.1.fetch_add(1, Ordering::SeqCst);
                yield_until(|| shared.1.load(Ordering::SeqCst) == 12);
            }
        };
        let mut goroutines = Vec::new();
        let mut threads = Vec::new();
        let mut start = |n: usize| {
            for _ in 0..n {
                goroutines.push(corio::spawn(read(Arc::clone(&shared))));
                threads.push(thread::spawn(read(Arc::clone(&shared))));
            }
        };
        start(2);
        wait_for_queue(&shared.0, 4);
        start(2);
        drop(held);
        start(2);
        for handle in goroutines {
            handle.join().unwrap();
        }
        for handle in threads {
            handle.join().unwrap();
        }
    }
}

/// Go: TestRWMutex (rwmutex_test.go), `HammerRWMutex`, with upgradable readers besides.
#[test]
fn a_writer_is_in_alone() {
    let _dog = watchdog();
    static LOCK: RwLock<u64> = RwLock::new(0);
    /// Readers count 1, upgradable readers 1,000, writers 1,000,000.
    static ACTIVITY: AtomicUsize = AtomicUsize::new(0);
    static WRITES: AtomicUsize = AtomicUsize::new(0);
    fn enter(as_: usize) {
        let now = ACTIVITY.fetch_add(as_, Ordering::SeqCst) + as_;
        match as_ {
            1 => assert!(now < 2_000, "reading beside {now}"),
            1_000 => assert!((1_000..2_000).contains(&now), "upgradable beside {now}"),
            _ => assert_eq!(now, 1_000_000, "writing beside somebody"),
        }
    }
    fn leave(as_: usize) {
        ACTIVITY.fetch_sub(as_, Ordering::SeqCst);
    }
    on_both(6, |i| {
        let mut rng = Rng::new(i as u64 + 1);
        for _ in 0..800 {
            let pause = rng.below(8) == 0;
            let short = Duration::from_micros(rng.below(100));
            let stay = || {
                if pause {
                    corio::yield_now();
                }
            };
            match rng.below(12) {
                0..=4 => {
                    let _read = LOCK.read();
                    enter(1);
                    stay();
                    leave(1);
                }
                5 => {
                    if let Some(_read) = LOCK.try_read_for(short) {
                        enter(1);
                        stay();
                        leave(1);
                    }
                }
                6 | 7 => {
                    let mut count = LOCK.write();
                    enter(1_000_000);
                    *count += 1;
                    WRITES.fetch_add(1, Ordering::Relaxed);
                    stay();
                    leave(1_000_000);
                    if pause {
                        RwLockWriteGuard::unlock_fair(count);
                    }
                }
                8 => {
                    if let Some(mut count) = LOCK.try_write_for(short) {
                        enter(1_000_000);
                        *count += 1;
                        WRITES.fetch_add(1, Ordering::Relaxed);
                        leave(1_000_000);
                        // A change of mode is one step: nobody writes in between.
                        let count = RwLockWriteGuard::downgrade(count);
                        enter(1);
                        stay();
                        leave(1);
                        drop(count);
                    }
                }
                9 => {
                    let read = LOCK.upgradable_read();
                    enter(1_000);
                    stay();
                    let before = *read;
                    leave(1_000);
                    let mut count = RwLockUpgradableReadGuard::upgrade(read);
                    enter(1_000_000);
                    assert_eq!(*count, before);
                    *count += 1;
                    WRITES.fetch_add(1, Ordering::Relaxed);
                    leave(1_000_000);
                    let read = RwLockWriteGuard::downgrade_to_upgradable(count);
                    enter(1_000);
                    stay();
                    leave(1_000);
                    drop(read);
                }
                10 => {
                    let Some(read) = LOCK.try_upgradable_read_for(short) else {
                        continue;
                    };
                    enter(1_000);
                    leave(1_000);
                    match RwLockUpgradableReadGuard::try_upgrade_for(read, short) {
                        Ok(mut count) => {
                            enter(1_000_000);
                            *count += 1;
                            WRITES.fetch_add(1, Ordering::Relaxed);
                            leave(1_000_000);
                        }
                        Err(read) => {
                            enter(1_000);
                            stay();
                            leave(1_000);
                            let _read = RwLockUpgradableReadGuard::downgrade(read);
                            enter(1);
                            leave(1);
                        }
                    }
                }
                _ => {
                    if let Some(_read) = LOCK.try_read() {
                        enter(1);
                        leave(1);
                    }
                    if let Some(mut count) = LOCK.try_write() {
                        enter(1_000_000);
                        *count += 1;
                        WRITES.fetch_add(1, Ordering::Relaxed);
                        leave(1_000_000);
                    }
                }
            }
        }
    });
    assert!(!LOCK.is_locked());
    assert_eq!(*LOCK.read(), WRITES.load(Ordering::Relaxed) as u64);
}

/// Readers that come all the time don't keep a writer out.
#[test]
fn a_writer_gets_in_among_readers() {
    let _dog = watchdog();
    static LOCK: RwLock<bool> = RwLock::new(false);
    on_both(4, |i| {
        if i == 0 || i == 7 {
            for _ in 0..20 {
                corio::yield_now();
                *LOCK.write() = true;
            }
        } else {
            while !*LOCK.read() {
                corio::yield_now();
            }
        }
    });
}

/// Readers that overlap all the time, so that the lock is never open by itself.
#[test]
fn a_writer_gets_in_among_overlapping_readers() {
    let _dog = watchdog();
    static LOCK: RwLock<()> = RwLock::new(());
    static WRITTEN: AtomicBool = AtomicBool::new(false);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            corio::spawn(|| {
                while !WRITTEN.load(Ordering::SeqCst) {
                    let _read = LOCK.read();
                    corio::yield_now();
                }
            })
        })
        .collect();
    let writer = corio::spawn(|| {
        for _ in 0..10 {
            let _write = LOCK.write();
        }
        WRITTEN.store(true, Ordering::SeqCst);
    });
    writer.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Writers that come all the time don't keep a reader out.
#[test]
fn a_reader_gets_in_among_writers() {
    let _dog = watchdog();
    static LOCK: RwLock<u64> = RwLock::new(0);
    static READ: AtomicUsize = AtomicUsize::new(0);
    on_both(4, |i| {
        if i == 0 || i == 7 {
            for _ in 0..20 {
                corio::yield_now();
                let _read = LOCK.read();
            }
            READ.fetch_add(1, Ordering::SeqCst);
        } else {
            while READ.load(Ordering::SeqCst) < 2 {
                *LOCK.write() += 1;
            }
        }
    });
}

/// Those who wait would lose against a writer for ever if they weren't handed the lock one day.
#[test]
fn one_that_always_comes_too_late_is_handed_it() {
    let _dog = watchdog();
    static LOCK: RwLock<()> = RwLock::new(());
    let write = |inside: fn()| {
        let _held = LOCK.write();
        inside();
    };
    let read = |inside: fn()| {
        let _held = LOCK.read();
        inside();
    };
    let greedy = move || {
        is_not_starved(write, || drop(LOCK.write()));
        is_not_starved(write, || drop(LOCK.read()));
        is_not_starved(write, || drop(LOCK.upgradable_read()));
        is_not_starved(read, || drop(LOCK.write()));
        is_not_starved(read, || {
            drop(RwLockUpgradableReadGuard::upgrade(LOCK.upgradable_read()));
        });
    };
    corio::spawn(greedy).join().unwrap();
    greedy();
}

#[test]
fn try_reads_and_writes() {
    let lock = RwLock::new(0);
    let read = lock.try_read().unwrap();
    assert!(lock.is_locked() && !lock.is_locked_exclusive());
    assert!(lock.try_read().is_some());
    assert!(lock.try_write().is_none());
    let upgradable = lock.try_upgradable_read().unwrap();
    assert!(lock.try_upgradable_read().is_none());
    let upgradable = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap_err();
    drop(read);
    let write = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap();
    assert!(lock.is_locked_exclusive());
    assert!(lock.try_read().is_none());
    assert!(lock.try_upgradable_read().is_none());
    let read = RwLockWriteGuard::downgrade(write);
    assert!(lock.try_read().is_some());
    assert!(lock.try_write().is_none());
    drop(read);
    assert!(!lock.is_locked());
}

/// An upgradable reader that waits for another one keeps no readers out.
#[test]
fn a_second_upgradable_reader_stops_no_readers() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(0));
    let first = lock.upgradable_read();
    let theirs = Arc::clone(&lock);
    let second = corio::spawn(move || *theirs.upgradable_read());
    wait_for_queue(&*lock, 1);
    let theirs = Arc::clone(&lock);
    let goroutine = corio::spawn(move || *theirs.read());
    let theirs = Arc::clone(&lock);
    let thread = thread::spawn(move || *theirs.try_read_for(Duration::MAX).unwrap());
    assert_eq!(goroutine.join().unwrap() + thread.join().unwrap(), 0);
    // Not even those that came while a writer waited that gave up.
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || theirs.try_write_for(SHORT).is_none());
    let readers = [(); 5].map(|()| {
        let theirs = Arc::clone(&lock);
        corio::spawn(move || *theirs.read())
    });
    assert!(writer.join().unwrap());
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 0);
    }
    drop(first);
    assert_eq!(second.join().unwrap(), 0);
}

/// A waiting writer keeps new readers out; those of the recursive kind come in while others are.
#[test]
fn a_waiting_writer_comes_before_new_readers() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(0));
    let first = lock.read();
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || *theirs.write() = 1);
    wait_for_queue(&*lock, 1);
    assert!(lock.try_read().is_none());
    assert!(lock.try_read_for(SHORT).is_none());
    let theirs = Arc::clone(&lock);
    let reader = corio::spawn(move || *theirs.read());
    wait_for_queue(&*lock, 2);
    drop(first);
    assert_eq!(reader.join().unwrap(), 1);
    writer.join().unwrap();
}

/// When the writer that kept readers out gives up, they get in.
#[test]
fn readers_get_in_when_the_writer_gives_up() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(0));
    let first = lock.read();
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || theirs.try_write_for(4 * SHORT).is_none());
    // If this thread is slow, the time may be over already.
    yield_until(|| waiting(&*lock, 1) || writer.is_finished());
    let theirs = Arc::clone(&lock);
    let goroutine = corio::spawn(move || *theirs.read());
    let theirs = Arc::clone(&lock);
    let thread = thread::spawn(move || *theirs.read());
    assert_eq!(goroutine.join().unwrap(), 0);
    assert_eq!(thread.join().unwrap(), 0);
    assert!(writer.join().unwrap());
    drop(first);
    assert!(lock.try_write().is_some());
}

#[test]
fn a_failed_upgrade_lets_readers_in_again() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(0));
    let first = lock.read();
    let theirs = Arc::clone(&lock);
    let upgrader = corio::spawn(move || {
        let read = theirs.upgradable_read();
        RwLockUpgradableReadGuard::try_upgrade_for(read, 4 * SHORT).is_err()
    });
    // If this thread is slow, the time may be over already.
    yield_until(|| waiting(&*lock, 1) || upgrader.is_finished());
    let theirs = Arc::clone(&lock);
    let reader = corio::spawn(move || *theirs.read());
    assert_eq!(reader.join().unwrap(), 0);
    assert!(upgrader.join().unwrap());
    drop(first);
    assert!(lock.try_write().is_some());
}

/// An upgrade comes before writers that have waited for longer: nobody else could let them in.
#[test]
fn an_upgrade_comes_first() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(Vec::new()));
    let read = lock.upgradable_read();
    let other = lock.read();
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || theirs.write().push("writer"));
    wait_for_queue(&*lock, 1);
    let other_leaves = Arc::new(AtomicBool::new(false));
    drop(other);
    let mut write = RwLockUpgradableReadGuard::upgrade(read);
    write.push("upgrade");
    other_leaves.store(true, Ordering::SeqCst);
    drop(write);
    writer.join().unwrap();
    assert_eq!(*lock.read(), ["upgrade", "writer"]);
}

#[test]
fn timeouts() {
    let _dog = watchdog();
    static LOCK: RwLock<()> = RwLock::new(());
    let held = LOCK.write();
    on_both(3, |_| {
        let start = Instant::now();
        assert!(LOCK.try_read_for(SHORT).is_none());
        assert!(LOCK.try_write_for(SHORT).is_none());
        assert!(
            LOCK.try_upgradable_read_until(Instant::now() + SHORT)
                .is_none()
        );
        assert!(start.elapsed() >= 3 * SHORT);
        assert!(LOCK.try_read_for(Duration::ZERO).is_none());
        assert!(LOCK.try_write_until(start).is_none());
    });
    drop(held);
    on_both(1, |_| {
        assert!(LOCK.try_read_for(Duration::MAX).is_some());
        assert!(LOCK.try_write_for(Duration::MAX).is_some());
    });
    assert!(LOCK.try_write_for(Duration::ZERO).is_some());
}

#[test]
fn fair_unlocking_hands_over() {
    let _dog = watchdog();
    for _ in 0..20 {
        let lock = Arc::new(RwLock::new(Vec::new()));
        let held = lock.write();
        let theirs = Arc::clone(&lock);
        let writer = corio::spawn(move || theirs.write().push("waiter"));
        wait_for_queue(&*lock, 1);
        RwLockWriteGuard::unlock_fair(held);
        lock.write().push("unlocker");
        writer.join().unwrap();
        assert_eq!(*lock.read(), ["waiter", "unlocker"]);
    }
}

#[test]
fn bump_lets_others_in() {
    let _dog = watchdog();
    let lock = Arc::new(RwLock::new(0));
    let mut held = lock.write();
    RwLockWriteGuard::bump(&mut held);
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || *theirs.write() += 1);
    wait_for_queue(&*lock, 1);
    RwLockWriteGuard::bump(&mut held);
    assert_eq!(*held, 1);
    writer.join().unwrap();
    let mut held = RwLockWriteGuard::downgrade(held);
    let theirs = Arc::clone(&lock);
    let writer = thread::spawn(move || *theirs.write() += 1);
    wait_for_queue(&*lock, 1);
    RwLockReadGuard::bump(&mut held);
    assert_eq!(*held, 2);
    writer.join().unwrap();
}

/// One that reads already may read again, also when a writer waits.
#[test]
fn recursive_reads() {
    let _dog = watchdog();
    let lock = Arc::new(RecursiveRwLock::new(0));
    let first = lock.read();
    let theirs = Arc::clone(&lock);
    let writer = corio::spawn(move || *theirs.write() = 1);
    wait_for_queue(&*lock, 1);
    let mut second = lock.read();
    assert!(lock.try_read().is_some());
    RecursiveRwLockReadGuard::bump(&mut second);
    assert_eq!(*second, 0);
    drop((first, second));
    writer.join().unwrap();

    let read = lock.upgradable_read();
    drop(lock.read());
    *RecursiveRwLockUpgradableReadGuard::upgrade(read) = 2;
    assert_eq!(*lock.read(), 2);
}

/// A panic unlocks and doesn't poison, whichever way it was held.
#[test]
fn a_panic_unlocks() {
    let _dog = watchdog();
    static LOCK: RwLock<u32> = RwLock::new(1);
    fn panics(way: usize) {
        let read = (way == 0).then(|| LOCK.read());
        let upgradable = (way == 1).then(|| LOCK.upgradable_read());
        let write = (way == 2).then(|| LOCK.write());
        if way < 3 {
            panic!("while holding it");
        }
        drop((read, upgradable, write));
    }
    for way in 0..3 {
        assert!(corio::spawn(move || panics(way)).join().is_err());
        assert!(thread::spawn(move || panics(way)).join().is_err());
        assert!(!LOCK.is_locked());
    }
    assert_eq!(*LOCK.write(), 1);
}

#[test]
fn locking_while_unwinding() {
    let _dog = watchdog();
    struct Count;
    static LOCK: RwLock<u32> = RwLock::new(0);
    impl Drop for Count {
        fn drop(&mut self) {
            *LOCK.write() += 1;
        }
    }
    let held = LOCK.read();
    let handles = [(); 3].map(|()| {
        corio::spawn(|| {
            let _count = Count;
            panic!("its destructor will lock");
        })
    });
    wait_for_queue(&LOCK, 3);
    drop(held);
    for handle in handles {
        assert!(handle.join().is_err());
    }
    assert_eq!(*LOCK.read(), 3);
}

#[test]
fn held_across_switches() {
    let _dog = watchdog();
    static LOCK: RwLock<u32> = RwLock::new(0);
    on_both(8, |i| {
        for _ in 0..10 {
            if i % 2 == 0 {
                let read = LOCK.read();
                let before = *read;
                corio::yield_now();
                assert_eq!(*read, before);
            } else {
                let mut write = LOCK.write();
                let before = *write;
                corio::yield_now();
                *write = before + 1;
            }
        }
    });
    assert_eq!(*LOCK.read(), 80);
}

fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(f).unwrap_err();
    payload
        .downcast_ref::<String>()
        .cloned()
        .expect("a formatted message")
}

#[test]
fn unlocking_an_unlocked_one_panics() {
    let raw: RawRwLock = RawRwLock::INIT;
    // SAFETY: here and below: it isn't locked, which the lock itself must survive; it guards nothing.
    let text = message(|| unsafe { raw.unlock_shared(Default::default()) });
    assert_eq!(text, "unlock of an RwLock that is not locked to read");
    // SAFETY: as above.
    let text = message(|| unsafe { raw.unlock_exclusive(Default::default()) });
    assert_eq!(text, "unlock of an RwLock that is not locked to write");
    assert!(!raw.is_locked());
    let _guard = raw.try_lock_exclusive().expect("still open");
}

#[test]
fn what_lock_api_promises() {
    fn sync<T: Sync>(_: &T) {}
    let mut lock = RwLock::new(vec![1]);
    assert_eq!(format!("{lock:?}"), "RwLock { data: [1] }");
    let held = lock.write();
    sync(&held);
    assert_eq!(format!("{lock:?}"), "RwLock { data: <locked> }");
    drop(held);
    lock.get_mut().push(2);
    let first = RwLockReadGuard::map(lock.read(), |v| &v[0]);
    assert_eq!(*first, 1);
    drop(first);
    let mut second = RwLockWriteGuard::map(lock.write(), |v| &mut v[1]);
    *second = 5;
    drop(second);
    assert_eq!(lock.into_inner(), [1, 5]);
    // Beside a mutex, in one static.
    static BOTH: Mutex<RwLock<u8>> = Mutex::new(RwLock::new(0));
    *BOTH.lock().write() = 1;
}
