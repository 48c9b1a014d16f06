//! `sync::Pool`: values come back, are bounded in number, and none is lost or dropped twice.

use corio::sync::{Pool, Pooled};
use corio::yield_now;
use corio_tests::{Drops, Token, watchdog};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `f` on this plain thread and in a goroutine.
fn on_both(f: fn()) {
    f();
    corio::spawn(f).join().unwrap();
}

#[test]
fn what_was_put_is_taken_again() {
    let _watchdog = watchdog();
    on_both(|| {
        let pool: Pool<Vec<u8>, _> = Pool::new(Vec::new);
        let mut buffer = pool.get();
        assert!(buffer.is_empty());
        buffer.extend(b"used");
        let address = buffer.as_ptr();
        drop(buffer);
        assert_eq!(pool.idle(), 1);
        let buffer = pool.get();
        assert_eq!((&buffer[..], buffer.as_ptr()), (&b"used"[..], address));
        assert_eq!(pool.idle(), 0);
        let owned = Pooled::into_inner(buffer);
        assert_eq!((pool.idle(), owned.len()), (0, 4));
        assert_eq!(pool.try_take(), None);
        pool.put(owned);
        assert_eq!(pool.try_take().unwrap(), b"used");
        assert!(pool.take().is_empty());
    });
}

#[test]
fn a_value_put_anywhere_is_found_everywhere() {
    let _watchdog = watchdog();
    static POOL: Pool<u32> = Pool::new(|| panic!("there is one"));
    // Thread to goroutine, goroutine to thread, goroutine to goroutine.
    POOL.put(1);
    corio::spawn(|| assert_eq!(POOL.take(), 1)).join().unwrap();
    corio::spawn(|| POOL.put(2)).join().unwrap();
    assert_eq!(POOL.take(), 2);
    for n in 0..200 {
        corio::spawn(move || POOL.put(n)).join().unwrap();
        corio::spawn(move || {
            yield_now();
            assert_eq!(*POOL.get(), n);
        })
        .join()
        .unwrap();
        assert_eq!(POOL.take(), n);
        assert_eq!(POOL.idle(), 0);
    }
}

#[test]
fn a_guard_moves_into_a_goroutine() {
    let _watchdog = watchdog();
    static POOL: Pool<String> = Pool::new(String::new);
    let mut text = POOL.get();
    text.push('a');
    corio::go!(move || {
        text.push('b');
        yield_now();
        assert_eq!(format!("{text} {text:?}"), "ab \"ab\"");
    })
    .join()
    .unwrap();
    assert_eq!(*POOL.get(), "ab");
}

#[test]
fn every_value_has_one_user_at_a_time() {
    let _watchdog = watchdog();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let drops = Drops::new();
    let pool = Pool::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        (AtomicUsize::new(0), drops.token())
    });
    let work = |rounds: usize| {
        for round in 0..rounds {
            let value = pool.get();
            assert_eq!(value.0.fetch_add(1, Ordering::Relaxed), 0);
            if round % 3 == 0 {
                yield_now();
            }
            let other = pool.take();
            assert_eq!(other.0.fetch_add(1, Ordering::Relaxed), 0);
            assert_eq!(value.0.fetch_sub(1, Ordering::Relaxed), 1);
            assert_eq!(other.0.fetch_sub(1, Ordering::Relaxed), 1);
            drop(value);
            pool.put(other);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| work(2_000));
        corio::scope(|s| {
            for _ in 0..30 {
                s.spawn(|| work(200));
            }
        });
    });
    let made = made.load(Ordering::Relaxed);
    // 31 users hold two each, at most.
    assert!(made >= 2, "{made}");
    assert_eq!(made, pool.idle() + drops.count());
    drop(pool);
    assert_eq!(drops.count(), made);
}

#[test]
fn the_number_is_bounded() {
    let _watchdog = watchdog();
    on_both(|| {
        let drops = Drops::new();
        let pool: Pool<Token, _> = Pool::with_limit(|| drops.token(), 3);
        (0..100).for_each(|_| pool.put(drops.token()));
        // The list for all keeps four times as many as the caller's.
        let idle = pool.idle();
        assert!((12..=100).contains(&idle), "{idle}");
        assert_eq!(drops.count(), 100 - idle);
        pool.shrink_to(2);
        assert!(pool.idle() >= 2 && pool.idle() < idle);
        assert_eq!(drops.count(), 100 - pool.idle());
        pool.clear();
        assert_eq!((pool.idle(), drops.count()), (0, 100));
        pool.put(drops.token());
        drop(pool);
        assert_eq!(drops.count(), 101);

        let none: Pool<Token, _> = Pool::with_limit(|| drops.token(), 0);
        drop(none.get());
        none.put(drops.token());
        assert_eq!((none.idle(), drops.count()), (0, 103));
    });
}

#[test]
fn what_a_panicking_user_held_does_not_come_back() {
    let _watchdog = watchdog();
    on_both(|| {
        let drops = Drops::new();
        let pool: Pool<Token, _> = Pool::new(|| drops.token());
        let held = catch_unwind(AssertUnwindSafe(|| {
            let _held = pool.get();
            panic!("on purpose");
        }));
        assert!(held.is_err());
        assert_eq!((pool.idle(), drops.count()), (0, 1));
        drop(pool.get());
        assert_eq!((pool.idle(), drops.count()), (1, 1));
    });
}

#[test]
fn a_panic_of_init_leaves_the_pool_as_it_was() {
    let _watchdog = watchdog();
    on_both(|| {
        let failing = AtomicUsize::new(1);
        let pool = Pool::new(|| {
            assert!(failing.swap(0, Ordering::Relaxed) == 0, "on purpose");
            5
        });
        assert!(catch_unwind(AssertUnwindSafe(|| pool.take())).is_err());
        assert_eq!((*pool.get(), pool.idle()), (5, 0));
        assert_eq!(pool.idle(), 1);
    });
}

#[test]
fn init_and_destructors_may_use_the_pool_and_block() {
    let _watchdog = watchdog();
    static POOL: Pool<Item> = Pool::with_limit(
        || {
            yield_now();
            Item(POOL.idle())
        },
        1,
    );
    struct Item(usize);
    impl Drop for Item {
        fn drop(&mut self) {
            yield_now();
            self.0 += POOL.idle();
        }
    }
    on_both(|| {
        assert_eq!(POOL.take().0, 0);
        for _ in 0..10 {
            POOL.put(Item(0));
        }
        POOL.clear();
        assert_eq!(POOL.idle(), 0);
    });
}

#[test]
fn more_ps_than_lists() {
    let _watchdog = watchdog();
    let before = corio::metrics().procs.len();
    let drops = Drops::new();
    let pool = Pool::new(|| drops.token());
    corio::scope(|s| {
        s.spawn(|| drop(pool.get()));
    });
    // The pool has as many lists as there were Ps just now.
    corio::set_procs(before + 6);
    corio::scope(|s| {
        for _ in 0..200 {
            s.spawn(|| {
                for _ in 0..20 {
                    let token = pool.take();
                    yield_now();
                    pool.put(token);
                }
            });
        }
    });
    corio::set_procs(before);
    let idle = pool.idle();
    assert!(idle >= 1);
    pool.clear();
    assert_eq!(pool.idle(), 0);
    let made = drops.count();
    assert!(made >= idle);
    drop(pool);
    assert_eq!(drops.count(), made);
}

#[test]
fn it_has_the_usual_traits() {
    fn all<
        T: Send + Sync + std::fmt::Debug + std::panic::RefUnwindSafe + std::panic::UnwindSafe,
    >(
        _: &T,
    ) {
    }
    let pool: Pool<std::cell::Cell<u32>> = Pool::default();
    all(&pool);
    assert_eq!(pool.get().get(), 0);
    assert_eq!(format!("{pool:?}"), "Pool { idle: 1, limit: 64, .. }");
}
