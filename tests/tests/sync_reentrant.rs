//! `ReentrantMutex`.

mod sync_support;

use corio::sync::{ReentrantMutex, ReentrantMutexGuard};
use corio_tests::{watchdog, yield_until};
use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use sync_support::on_both;

#[test]
fn the_owner_locks_again() {
    let mutex = ReentrantMutex::new(Cell::new(0));
    let outer = mutex.lock();
    {
        let inner = mutex.lock();
        inner.set(1);
        assert!(mutex.try_lock().is_some());
        assert!(mutex.try_lock_for(Duration::ZERO).is_some());
        assert!(mutex.is_owned_by_current_thread());
    }
    assert_eq!(outer.get(), 1);
    assert!(mutex.is_locked());
    drop(outer);
    assert!(!mutex.is_locked() && !mutex.is_owned_by_current_thread());
}

#[test]
fn one_owner_at_a_time() {
    let _dog = watchdog();
    static MUTEX: ReentrantMutex<RefCell<u32>> = ReentrantMutex::new(RefCell::new(0));
    on_both(6, |_| {
        for _ in 0..200 {
            let outer = MUTEX.lock();
            let before = *outer.borrow();
            corio::yield_now();
            let inner = MUTEX.lock();
            *inner.borrow_mut() = before + 1;
            drop(outer);
            corio::yield_now();
            assert_eq!(*inner.borrow(), before + 1);
        }
    });
    assert_eq!(*MUTEX.lock().borrow(), 2_400);
}

/// Another goroutine is not the owner, not even on the owner's thread, on which all of them are when there
/// is one P.
#[test]
fn owned_by_a_goroutine_not_by_its_thread() {
    let _dog = watchdog();
    static MUTEX: ReentrantMutex<()> = ReentrantMutex::new(());
    static TRIED: AtomicUsize = AtomicUsize::new(0);
    let owner = corio::spawn(|| {
        let _held = MUTEX.lock();
        let others: Vec<_> = (0..50)
            .map(|_| {
                corio::spawn(move || {
                    assert!(MUTEX.try_lock().is_none());
                    assert!(!MUTEX.is_owned_by_current_thread());
                    TRIED.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        yield_until(|| TRIED.load(Ordering::SeqCst) == 50);
        for other in others {
            other.join().unwrap();
        }
        assert!(MUTEX.is_owned_by_current_thread());
    });
    owner.join().unwrap();
    assert!(thread::spawn(|| MUTEX.try_lock().is_some()).join().unwrap());
}

/// It stays the owner's when that goes on on another thread.
#[test]
fn owned_across_switches() {
    let _dog = watchdog();
    static MUTEX: ReentrantMutex<Cell<u32>> = ReentrantMutex::new(Cell::new(0));
    let handles: Vec<_> = (0..8)
        .map(|_| {
            corio::spawn(|| {
                for _ in 0..20 {
                    let outer = MUTEX.lock();
                    let before = outer.get();
                    corio::sleep(Duration::from_micros(1));
                    let inner = MUTEX.try_lock().expect("still mine");
                    corio::yield_now();
                    inner.set(before + 1);
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(MUTEX.lock().get(), 160);
}

/// A guard forgotten by one that has ended makes nobody else the owner, whatever is reused of it.
#[test]
fn nobody_inherits_a_forgotten_guard() {
    let _dog = watchdog();
    static MUTEX: ReentrantMutex<()> = ReentrantMutex::new(());
    corio::spawn(|| mem::forget(MUTEX.lock())).join().unwrap();
    for _ in 0..100 {
        assert!(
            !corio::spawn(|| MUTEX.is_owned_by_current_thread())
                .join()
                .unwrap()
        );
        assert!(corio::spawn(|| MUTEX.try_lock().is_none()).join().unwrap());
    }
    assert!(thread::spawn(|| MUTEX.try_lock().is_none()).join().unwrap());
}

#[test]
fn a_panic_unlocks() {
    let _dog = watchdog();
    static MUTEX: ReentrantMutex<()> = ReentrantMutex::new(());
    fn panics() {
        let _outer = MUTEX.lock();
        let _inner = MUTEX.lock();
        panic!("while holding it twice");
    }
    assert!(corio::spawn(panics).join().is_err());
    assert!(thread::spawn(panics).join().is_err());
    assert!(!MUTEX.is_locked());
}

#[test]
fn bump_and_unlocked() {
    let _dog = watchdog();
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let other = |add: u32| {
        let mutex = Arc::clone(&mutex);
        corio::spawn(move || {
            let held = mutex.lock();
            held.set(held.get() + add);
        })
    };
    let mut held = mutex.lock();
    let first = other(1);
    ReentrantMutexGuard::unlocked(&mut held, || first.join().unwrap());
    assert_eq!(held.get(), 1);
    let second = other(10);
    yield_until(|| {
        ReentrantMutexGuard::bump(&mut held);
        held.get() == 11
    });
    second.join().unwrap();
    let part = ReentrantMutexGuard::map(held, |cell| cell);
    assert_eq!(part.get(), 11);
}
