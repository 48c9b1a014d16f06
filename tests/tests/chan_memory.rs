//! What channels cost: a channel of capacity 0 is one small allocation, and waiting allocates nothing.
//!
//! One test, since it counts what the process allocates; it takes the least of several rounds, because the
//! runtime's threads do their own work now and then.

use corio::channel::{self, Receiver, Sender, select};
use corio_tests::watchdog;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The least number of allocations, and of bytes, that `f` needed in any of many rounds.
fn least<T>(mut f: impl FnMut() -> T) -> (usize, usize) {
    let mut least = (usize::MAX, usize::MAX);
    for _ in 0..100 {
        let count = COUNT.load(Ordering::Relaxed);
        let bytes = BYTES.load(Ordering::Relaxed);
        let kept = f();
        least.0 = least.0.min(COUNT.load(Ordering::Relaxed) - count);
        least.1 = least.1.min(BYTES.load(Ordering::Relaxed) - bytes);
        drop(kept);
    }
    least
}

/// Both parties wait, in turn, twenty times. Not more: what is made ready from outside goes through
/// the global queue, which allocates a block for every 63 goroutines that pass.
fn ping_pong((there, back): (&Sender<u64>, &Receiver<u64>), wait: fn(&Receiver<u64>) -> u64) {
    for n in 0..20 {
        there.send(n).unwrap();
        assert_eq!(wait(back), n);
    }
}

#[test]
fn chan_memory() {
    let _dog = watchdog();
    let (count, bytes) = least(|| channel::bounded::<u64>(0));
    assert!(
        count == 1 && bytes <= 128,
        "capacity 0: {count}, {bytes} bytes"
    );
    let (count, bytes) = least(|| channel::bounded::<[u64; 100]>(0));
    assert!(
        count == 1 && bytes <= 128,
        "large messages: {count}, {bytes} bytes"
    );
    let (count, bytes) = least(channel::unbounded::<u64>);
    assert!(
        count <= 2 && bytes <= 1024,
        "unbounded: {count}, {bytes} bytes"
    );

    type Wait = fn(&Receiver<u64>) -> u64;
    let waits: [(&str, Wait); 4] = [
        ("recv", |r| r.recv().unwrap()),
        ("recv_timeout", |r| {
            r.recv_timeout(Duration::from_secs(60)).unwrap()
        }),
        ("select over 2", |r| {
            let never = channel::never::<u64>();
            select! { recv(r) -> m => m.unwrap(), recv(never) -> _ => unreachable!() }
        }),
        ("select over 8", |r| {
            let n = channel::never::<u64>();
            select! {
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(n) -> _ => unreachable!(),
                recv(r) -> m => m.unwrap(),
            }
        }),
    ];
    for (name, wait) in waits {
        let (there, r) = channel::bounded(0);
        let (s, back) = channel::bounded(0);
        let echo = corio::spawn(move || r.iter().for_each(|n| s.send(n).unwrap()));
        let (there, back, count) = corio::spawn(move || {
            let (count, _) = least(|| ping_pong((&there, &back), wait));
            (there, back, count)
        })
        .join()
        .unwrap();
        assert_eq!(count, 0, "{name} on a goroutine");
        let (count, _) = least(|| ping_pong((&there, &back), wait));
        assert_eq!(count, 0, "{name} on a thread");
        drop(there);
        echo.join().unwrap();
    }
}
