//! `Semaphore`.

mod sync_support;

use corio::sync::{
    AcquireTimeoutError, Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
use corio_tests::{Rng, watchdog, yield_until};
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use sync_support::on_both;

const SHORT: Duration = Duration::from_millis(5);

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => *payload.downcast::<String>().expect("a message"),
    }
}

fn waiting(semaphore: &Semaphore, n: usize) -> bool {
    format!("{semaphore:?}").contains(&format!("waiting: {n},"))
}

/// Until so many are in the semaphore's queue.
fn wait_for_queue(semaphore: &Semaphore, n: usize) {
    yield_until(|| waiting(semaphore, n));
}

#[test]
fn sizes() {
    assert_eq!(size_of::<Semaphore>(), 32);
}

/// Go: TestSemaphore (mutex_test.go), `HammerSemaphore`; with requests of several sizes.
#[test]
fn no_more_are_out_than_there_are() {
    let _dog = watchdog();
    static SEMAPHORE: Semaphore = Semaphore::new(5);
    static OUT: AtomicUsize = AtomicUsize::new(0);
    on_both(6, |i| {
        let mut rng = Rng::new(i as u64 + 1);
        for _ in 0..400 {
            let n = rng.below(6) as u32;
            let permit = match rng.below(4) {
                0 => SEMAPHORE.try_acquire_many(n).ok(),
                1 => {
                    let timeout = Duration::from_micros(rng.below(100));
                    SEMAPHORE.acquire_many_timeout(n, timeout).ok()
                }
                _ => Some(SEMAPHORE.acquire_many(n).unwrap()),
            };
            let Some(permit) = permit else { continue };
            assert_eq!(permit.num_permits(), n as usize);
            let out = OUT.fetch_add(n as usize, Ordering::SeqCst) + n as usize;
            assert!(out <= 5, "{out} are out");
            if rng.below(8) == 0 {
                corio::yield_now();
            }
            OUT.fetch_sub(n as usize, Ordering::SeqCst);
        }
    });
    assert_eq!(SEMAPHORE.available_permits(), 5);
}

#[test]
fn trying() {
    let semaphore = Semaphore::new(3);
    let two = semaphore.try_acquire_many(2).unwrap();
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(
        semaphore.try_acquire_many(2).unwrap_err(),
        TryAcquireError::NoPermits
    );
    let one = semaphore.try_acquire().unwrap();
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::NoPermits
    );
    assert_eq!(semaphore.try_acquire_many(0).unwrap().num_permits(), 0);
    drop(two);
    assert_eq!(semaphore.available_permits(), 2);
    drop(one);
    assert_eq!(semaphore.available_permits(), 3);
}

/// Strictly first come, first served: those who want few don't pass one that wants many, even if there is
/// enough for them.
#[test]
fn a_large_request_is_not_starved() {
    let _dog = watchdog();
    let semaphore = Arc::new(Semaphore::new(3));
    let first = semaphore.acquire().unwrap();
    let theirs = Arc::clone(&semaphore);
    let large = corio::spawn(move || theirs.acquire_many(3).unwrap().num_permits());
    wait_for_queue(&semaphore, 1);
    // Two are there, but the large request is saving up for them.
    assert_eq!(semaphore.available_permits(), 0);
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::NoPermits
    );
    assert_eq!(
        semaphore.acquire_timeout(SHORT).unwrap_err(),
        AcquireTimeoutError::Timeout
    );
    drop(first);
    assert_eq!(large.join().unwrap(), 3);
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn served_in_order() {
    let _dog = watchdog();
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    static ORDER: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let wants = |i: usize| 1 + i % 3;
    let mut goroutines = Vec::new();
    let mut threads = Vec::new();
    for i in 0..20 {
        let acquire = move || {
            let permits = SEMAPHORE.acquire_many(wants(i) as u32).unwrap();
            ORDER.lock().push(i);
            permits.forget();
        };
        if i % 4 == 3 {
            threads.push(thread::spawn(acquire));
        } else {
            goroutines.push(corio::spawn(acquire));
        }
        wait_for_queue(&SEMAPHORE, i + 1);
    }
    for i in 0..20 {
        for _ in 0..wants(i) {
            assert_eq!(ORDER.lock().len(), i);
            SEMAPHORE.add_permits(1);
        }
        yield_until(|| ORDER.lock().len() == i + 1);
        assert_eq!(ORDER.lock()[i], i);
    }
    for handle in goroutines {
        handle.join().unwrap();
    }
    for handle in threads {
        handle.join().unwrap();
    }
}

/// When one gives up that kept the others waiting, they are served.
#[test]
fn a_timeout_lets_those_behind_go_on() {
    let _dog = watchdog();
    let semaphore = Arc::new(Semaphore::new(1));
    let theirs = Arc::clone(&semaphore);
    let large = corio::spawn(move || theirs.acquire_many_timeout(2, 4 * SHORT).is_err());
    // If this thread is slow, the time may be over already.
    yield_until(|| waiting(&semaphore, 1) || large.is_finished());
    let small = |semaphore: Arc<Semaphore>| move || drop(semaphore.acquire().unwrap());
    let goroutine = corio::spawn(small(Arc::clone(&semaphore)));
    let thread = thread::spawn(small(Arc::clone(&semaphore)));
    goroutine.join().unwrap();
    thread.join().unwrap();
    assert!(large.join().unwrap());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn timeouts() {
    let _dog = watchdog();
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    on_both(3, |_| {
        let start = Instant::now();
        let timeout = Err(AcquireTimeoutError::Timeout);
        let nothing = |result: Result<SemaphorePermit<'_>, _>| result.map(|_| ());
        assert_eq!(nothing(SEMAPHORE.acquire_timeout(SHORT)), timeout);
        assert_eq!(
            nothing(SEMAPHORE.acquire_deadline(start + 2 * SHORT)),
            timeout
        );
        assert!(start.elapsed() >= 2 * SHORT);
        assert_eq!(nothing(SEMAPHORE.acquire_timeout(Duration::ZERO)), timeout);
        assert_eq!(nothing(SEMAPHORE.acquire_deadline(start)), timeout);
    });
    SEMAPHORE.add_permits(1);
    assert!(SEMAPHORE.acquire_timeout(Duration::ZERO).is_ok());
    on_both(2, |_| {
        drop(SEMAPHORE.acquire_timeout(Duration::MAX).unwrap())
    });
    assert_eq!(SEMAPHORE.available_permits(), 1);
}

#[test]
fn owned_permits_move() {
    let _dog = watchdog();
    let semaphore = Arc::new(Semaphore::new(2));
    let first = Semaphore::acquire_owned(&semaphore).unwrap();
    let second = Semaphore::try_acquire_owned(&semaphore).unwrap();
    assert!(Semaphore::try_acquire_owned(&semaphore).is_err());
    assert!(Semaphore::acquire_owned_timeout(&semaphore, SHORT).is_err());
    assert!(Semaphore::acquire_owned_deadline(&semaphore, Instant::now()).is_err());
    let goroutine = corio::spawn(move || drop(first));
    let thread = thread::spawn(move || drop(second));
    let mut both = Semaphore::acquire_many_owned(&semaphore, 2).unwrap();
    goroutine.join().unwrap();
    thread.join().unwrap();
    assert!(Arc::ptr_eq(both.semaphore(), &semaphore));
    let one = both.split(1).unwrap();
    assert!(both.split(2).is_none());
    assert_eq!((both.num_permits(), one.num_permits()), (1, 1));
    both.merge(one);
    assert_eq!(both.num_permits(), 2);
    both.forget();
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn permits_split_and_merge() {
    let semaphore = Semaphore::new(5);
    let mut many = semaphore.acquire_many(4).unwrap();
    let two = many.split(2).unwrap();
    assert!(many.split(3).is_none());
    drop(two);
    assert_eq!(semaphore.available_permits(), 3);
    many.merge(semaphore.acquire().unwrap());
    assert_eq!(many.num_permits(), 3);
    let other = Semaphore::new(1);
    let text = panics(|| {
        let mut mine = semaphore.acquire().unwrap();
        mine.merge(other.acquire().unwrap());
    });
    assert_eq!(text, "merging permits of different semaphores");
    assert_eq!(other.available_permits(), 1);
    many.forget();
    assert_eq!(semaphore.available_permits(), 2);
    assert_eq!(semaphore.forget_permits(1), 1);
    assert_eq!(semaphore.forget_permits(9), 1);
}

#[test]
fn close_ends_all_waits() {
    let _dog = watchdog();
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.acquire().unwrap();
    let waits: Vec<_> = (0..4)
        .map(|i| {
            let semaphore = Arc::clone(&semaphore);
            corio::spawn(move || match i % 2 {
                0 => semaphore.acquire().is_err(),
                _ => {
                    let closed = Err(AcquireTimeoutError::Closed);
                    let timeout = Duration::from_secs(3600);
                    semaphore.acquire_timeout(timeout).map(|_| ()) == closed
                }
            })
        })
        .collect();
    let theirs = Arc::clone(&semaphore);
    let thread = thread::spawn(move || theirs.acquire_many(3).is_err());
    wait_for_queue(&semaphore, 5);
    semaphore.close();
    semaphore.close();
    assert!(semaphore.is_closed());
    for wait in waits {
        assert!(wait.join().unwrap());
    }
    assert!(thread.join().unwrap());
    assert_eq!(
        semaphore.try_acquire().unwrap_err(),
        TryAcquireError::Closed
    );
    drop(held);
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(
        semaphore.acquire().unwrap_err().to_string(),
        "semaphore closed"
    );
}

#[test]
fn a_panic_returns_the_permits() {
    let _dog = watchdog();
    let semaphore = Arc::new(Semaphore::new(2));
    let theirs = Arc::clone(&semaphore);
    let goroutine = corio::spawn(move || {
        let _permit = theirs.acquire().unwrap();
        panic!("while holding it");
    });
    let permit = Semaphore::acquire_owned(&semaphore).unwrap();
    let thread = thread::spawn(move || {
        let _permit = permit;
        panic!("while holding it");
    });
    assert!(goroutine.join().is_err());
    assert!(thread.join().is_err());
    assert_eq!(semaphore.available_permits(), 2);
}

/// A destructor may wait for a permit while its goroutine unwinds.
#[test]
fn acquiring_while_unwinding() {
    let _dog = watchdog();
    static SEMAPHORE: Semaphore = Semaphore::new(0);
    struct Acquires;
    impl Drop for Acquires {
        fn drop(&mut self) {
            SEMAPHORE.acquire().unwrap().forget();
        }
    }
    let handles = [(); 3].map(|()| {
        corio::spawn(|| {
            let _acquires = Acquires;
            panic!("its destructor will wait");
        })
    });
    corio::yield_now();
    SEMAPHORE.add_permits(3);
    for handle in handles {
        assert!(handle.join().is_err());
    }
    assert_eq!(SEMAPHORE.available_permits(), 0);
}

#[test]
fn too_many_permits() {
    let max = Semaphore::MAX_PERMITS;
    let text = panics(|| {
        Semaphore::new(max + 1);
    });
    assert!(text.contains("Semaphore::MAX_PERMITS"), "{text}");
    let semaphore = Semaphore::new(max);
    semaphore.add_permits(0);
    for more in [1, usize::MAX] {
        let text = panics(|| semaphore.add_permits(more));
        assert!(text.contains("more than Semaphore::MAX_PERMITS"), "{text}");
    }
    assert_eq!(semaphore.available_permits(), max);
    let permit = semaphore.acquire_many(5).unwrap();
    semaphore.add_permits(5);
    let text = panics(|| drop(permit));
    assert!(text.starts_with("5 permits on top of"), "{text}");
    assert_eq!(semaphore.available_permits(), max);
}

#[test]
fn permits_are_send_and_sync() {
    fn both<T: Send + Sync>() {}
    both::<Semaphore>();
    both::<SemaphorePermit<'_>>();
    both::<OwnedSemaphorePermit>();
}
