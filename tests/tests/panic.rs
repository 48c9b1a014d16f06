//! Panics: what they end, what they leave alone, and destructors that do as they please meanwhile.

use corio::Builder;
use corio_tests::{Drops, child, wait_until, watchdog};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .expect("a text")
}

#[test]
fn panic_reaches_the_joiner() {
    let _dog = watchdog();
    let payload = corio::spawn(|| panic!("plain")).join().unwrap_err();
    assert_eq!(text(&*payload), "plain");
    let payload = corio::spawn(|| panic!("number {}", 3)).join().unwrap_err();
    assert_eq!(text(&*payload), "number 3");
    let payload = corio::spawn(|| panic_any([5u64; 20])).join().unwrap_err();
    assert_eq!(*payload.downcast::<[u64; 20]>().unwrap(), [5; 20]);
    let payload = corio::spawn(|| resume_unwind(Box::new(7u8)))
        .join()
        .unwrap_err();
    assert_eq!(*payload.downcast::<u8>().unwrap(), 7);
}

#[test]
fn panic_ends_only_its_goroutine() {
    let _dog = watchdog();
    let stop = Arc::new(AtomicBool::new(false));
    let other = {
        let stop = Arc::clone(&stop);
        corio::spawn(move || {
            let mut turns = 0u64;
            while !stop.load(Ordering::Relaxed) {
                corio::yield_now();
                turns += 1;
            }
            turns
        })
    };
    for n in 0..200 {
        let handle = corio::spawn(move || {
            corio::yield_now();
            panic!("{n}");
        });
        assert_eq!(text(&*handle.join().unwrap_err()), n.to_string());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(other.join().unwrap() > 0);
}

#[test]
fn panic_drops_every_frame() {
    let _dog = watchdog();
    let drops = Drops::new();
    let handle = corio::spawn(|| {
        let _outer = drops.token();
        let frames = || {
            let _inner = drops.token();
            corio::yield_now();
            panic!("expected");
        };
        frames()
    });
    handle.join().unwrap_err();
    assert_eq!(drops.count(), 2);
}

#[test]
fn panic_detached_drops_the_payload() {
    let _dog = watchdog();
    let drops = Drops::new();
    drop(corio::spawn(|| panic_any(drops.token())));
    wait_until("payload dropped", || drops.count() == 1);
}

#[test]
fn panic_can_be_caught_across_switches() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..50)
        .map(|n| {
            corio::spawn(move || {
                for round in 0..20 {
                    let caught = catch_unwind(|| {
                        corio::yield_now();
                        corio::sleep(Duration::from_micros(100));
                        panic!("{n} {round}");
                    });
                    assert_eq!(text(&*caught.unwrap_err()), format!("{n} {round}"));
                    assert!(!thread::panicking());
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

/// Does something when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Goroutines that look all the time whether they seem to be panicking, until told to stop.
struct Witnesses {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    handles: Vec<corio::JoinHandle<()>>,
}

impl Witnesses {
    fn new() -> Witnesses {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let handles = (0..16)
            .map(|n| {
                let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
                corio::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        if thread::panicking() {
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                        let lock = Mutex::new(());
                        drop(lock.lock().unwrap());
                        if lock.is_poisoned() {
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                        if n % 2 == 0 {
                            corio::yield_now();
                        } else {
                            corio::sleep(Duration::from_micros(50));
                        }
                    }
                })
            })
            .collect();
        Witnesses {
            stop,
            seen,
            handles,
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for handle in self.handles {
            handle.join().unwrap();
        }
        assert_eq!(
            self.seen.load(Ordering::Relaxed),
            0,
            "somebody else seemed to panic"
        );
    }
}

/// Panics in many goroutines at once with a destructor that does `what`, which must work as always,
/// and looks whether others are harmed.
fn unwinding(what: impl Fn() + Send + Sync + 'static) {
    let _dog = watchdog();
    let what = Arc::new(what);
    let witnesses = Witnesses::new();
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..40)
        .map(|_| {
            let (what, done) = (Arc::clone(&what), Arc::clone(&done));
            corio::spawn(move || {
                let _on_drop = OnDrop(|| {
                    assert!(thread::panicking());
                    what();
                    assert!(thread::panicking());
                    done.fetch_add(1, Ordering::Relaxed);
                });
                corio::yield_now();
                panic!("expected");
            })
        })
        .collect();
    for handle in handles {
        assert_eq!(text(&*handle.join().unwrap_err()), "expected");
    }
    assert_eq!(done.load(Ordering::Relaxed), 40);
    witnesses.end();
}

#[test]
fn unwinding_destructor_may_sleep() {
    unwinding(|| corio::sleep(Duration::from_millis(5)));
}

#[test]
fn unwinding_destructor_may_yield() {
    unwinding(|| (0..100).for_each(|_| corio::yield_now()));
}

#[test]
fn unwinding_destructor_may_spawn_and_join() {
    unwinding(|| {
        let handle = corio::spawn(|| {
            assert!(!thread::panicking());
            corio::sleep(Duration::from_millis(1));
            5
        });
        assert_eq!(handle.join().unwrap(), 5);
    });
}

#[test]
fn unwinding_destructor_may_park() {
    unwinding(|| {
        let me = corio::current();
        corio::spawn(move || {
            corio::sleep(Duration::from_millis(1));
            me.unpark();
        });
        corio::park();
        corio::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn unwinding_destructor_may_open_a_scope() {
    unwinding(|| {
        let mut numbers = [0; 4];
        corio::scope(|s| {
            for number in &mut numbers {
                s.spawn(|| {
                    corio::sleep(Duration::from_millis(1));
                    *number = 1;
                });
            }
        });
        assert_eq!(numbers, [1; 4]);
    });
}

#[test]
fn unwinding_destructor_may_block_the_thread() {
    unwinding(|| corio::blocking(|| thread::sleep(Duration::from_millis(5))));
}

#[test]
fn unwinding_destructor_may_wait_for_a_future() {
    unwinding(|| {
        let mut turn = 0;
        corio::block_on(std::future::poll_fn(|cx| {
            turn += 1;
            if turn == 3 {
                return std::task::Poll::Ready(());
            }
            let waker = cx.waker().clone();
            corio::spawn(move || {
                corio::sleep(Duration::from_millis(1));
                waker.wake();
            });
            std::task::Poll::Pending
        }));
    });
}

#[test]
fn unwinding_destructor_may_catch_another_panic() {
    unwinding(|| {
        let caught = catch_unwind(|| {
            corio::sleep(Duration::from_millis(1));
            panic!("inner");
        });
        assert_eq!(text(&*caught.unwrap_err()), "inner");
    });
}

#[test]
fn unwinding_goroutine_goes_on_afterwards() {
    let _dog = watchdog();
    let handle = corio::spawn(|| {
        for _ in 0..20 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _sleeps = OnDrop(|| corio::sleep(Duration::from_millis(1)));
                panic!("expected");
            }));
            caught.unwrap_err();
            assert!(!thread::panicking());
            corio::yield_now();
            corio::sleep(Duration::from_micros(100));
            assert_eq!(corio::spawn(|| 1).join().unwrap(), 1);
        }
    });
    handle.join().unwrap();
}

#[test]
fn unwinding_poisons_only_what_it_holds() {
    let _dog = watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&mutex);
    let witnesses = Witnesses::new();
    let handle = corio::spawn(move || {
        let _guard = theirs.lock().unwrap();
        let _sleeps = OnDrop(|| corio::sleep(Duration::from_millis(5)));
        panic!("expected");
    });
    handle.join().unwrap_err();
    assert!(mutex.is_poisoned());
    witnesses.end();
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

#[test]
fn destructor_of_a_result_may_panic_in_the_joiner() {
    let _dog = watchdog();
    let handle = corio::spawn(|| Bomb);
    wait_until("finished", || handle.is_finished());
    let caught = catch_unwind(AssertUnwindSafe(|| drop(handle)));
    assert_eq!(text(&*caught.unwrap_err()), "bomb");
    assert_eq!(corio::spawn(|| 1).join().unwrap(), 1);
}

#[test]
fn destructor_of_a_detached_result_may_panic() {
    let _dog = watchdog();
    for _ in 0..50 {
        let handle = corio::spawn(|| {
            corio::park();
            Bomb
        });
        let goroutine = handle.goroutine().clone();
        drop(handle);
        goroutine.unpark();
    }
    // The Ms are as good as before.
    let handles: Vec<_> = (0..1000).map(|n| corio::spawn(move || n)).collect();
    assert_eq!(
        handles.into_iter().map(|h| h.join().unwrap()).sum::<i32>(),
        499_500
    );
}

#[test]
fn destructor_of_a_detached_payload_may_panic() {
    let _dog = watchdog();
    for _ in 0..50 {
        let handle = corio::spawn(|| {
            corio::park();
            panic_any(Bomb)
        });
        let goroutine = handle.goroutine().clone();
        drop(handle);
        goroutine.unpark();
    }
    assert_eq!(corio::spawn(|| 1).join().unwrap(), 1);
}

#[test]
fn destructor_of_a_captured_value_may_panic() {
    let _dog = watchdog();
    let bomb = Bomb;
    let handle = corio::spawn(move || {
        let _bomb = &bomb;
    });
    assert_eq!(text(&*handle.join().unwrap_err()), "bomb");
}

#[test]
fn panic_message_names_the_goroutine() {
    child!("panic_named")
        .succeeds()
        .says("what went wrong")
        .says("goroutine")
        .says("\"worker\"")
        .says("child/panic.rs");
}

#[test]
fn panic_policy_can_be_to_abort() {
    child!("panic_named")
        .env("CORIO_PANIC", "abort")
        .dies_by(libc::SIGABRT)
        .says("what went wrong")
        .says("\"worker\"");
}

#[test]
fn panic_leaves_nothing_behind() {
    child!("panic_count").succeeds();
}

#[test]
fn panic_with_a_name_reaches_the_joiner() {
    let _dog = watchdog();
    let handle = Builder::new()
        .name("named".into())
        .spawn(|| -> u8 { panic!("expected") })
        .unwrap();
    assert_eq!(text(&*handle.join().unwrap_err()), "expected");
}
