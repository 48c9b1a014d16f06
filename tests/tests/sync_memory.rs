//! Waiting allocates nothing. A process of its own, since it counts what all of it allocates.

use corio::sync::{Barrier, Condvar, FairMutex, Mutex, RwLock, Semaphore};
use corio_tests::watchdog;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: it is the system's allocator, and a counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LONG: Duration = Duration::from_secs(3600);
const ROUNDS: usize = 2_000;

/// Runs `wait` on two goroutines, which switch in it while they have what the other one wants, and demands
/// that waiting allocated nothing. Spawning does, and the scheduler's global queue for every 31st entry or so;
/// hence not exactly nothing.
fn waits(what: &str, wait: fn()) {
    let both = || {
        let parks = || corio::metrics().totals().parks;
        let before = (parks(), ALLOCATIONS.load(Ordering::Relaxed));
        let handles = [(); 2].map(|()| {
            corio::spawn(move || {
                static START: Barrier = Barrier::new(2);
                START.wait();
                for _ in 0..ROUNDS {
                    wait();
                }
            })
        });
        for handle in handles {
            handle.join().unwrap();
        }
        let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before.1;
        ((parks() - before.0) as usize, allocated)
    };
    // Whatever there is one of is allocated in the first round.
    both();
    let (parked, allocated) = both();
    assert!(parked > ROUNDS / 2, "{what}: {parked} waits");
    assert!(
        allocated < parked / 10,
        "{what}: {allocated} allocations in {parked} waits"
    );
}

#[test]
fn waiting_allocates_nothing() {
    let _dog = watchdog();
    // So that one waits for the other while that switches, instead of running beside it.
    corio::set_procs(1);
    static MEET: Barrier = Barrier::new(2);
    waits("barrier", || {
        MEET.wait();
    });
    static FAIR: FairMutex<()> = FairMutex::new(());
    waits("fair mutex", || {
        let _held = FAIR.lock();
        corio::yield_now();
    });
    static MUTEX: Mutex<()> = Mutex::new(());
    waits("mutex", || {
        let _held = MUTEX.try_lock_for(LONG).unwrap();
        corio::yield_now();
    });
    static RWLOCK: RwLock<()> = RwLock::new(());
    waits("rwlock", || {
        let written = RWLOCK.write();
        corio::yield_now();
        drop(written);
        let _read = RWLOCK.read();
        corio::yield_now();
    });
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    waits("semaphore", || {
        let _permit = SEMAPHORE.acquire_timeout(LONG).unwrap();
        corio::yield_now();
    });
    static TURN: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    waits("condvar", || {
        let mut turn = TURN.lock();
        *turn += 1;
        let mine = *turn;
        CHANGED.notify_one();
        if mine % 2 == 1 {
            CHANGED.wait_while_for(&mut turn, |turn| *turn == mine, LONG);
        }
    });
}
