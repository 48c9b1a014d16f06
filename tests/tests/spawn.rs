//! Spawning and joining: what a goroutine is given, what it leaves, and who drops it.

use corio::{Builder, JoinHandle};
use corio_tests::{Drops, child, wait_until, watchdog, yield_until};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

#[test]
fn spawn_returns_the_result() {
    let _dog = watchdog();
    assert_eq!(corio::spawn(|| 6 * 7).join().unwrap(), 42);
    assert_eq!(
        corio::spawn(|| String::from("text")).join().unwrap(),
        "text"
    );
    corio::spawn(|| ()).join().unwrap();
}

#[test]
fn spawn_works_from_a_goroutine() {
    let _dog = watchdog();
    let outer = corio::spawn(|| corio::spawn(|| 1).join().unwrap() + 1);
    assert_eq!(outer.join().unwrap(), 2);
}

#[test]
fn spawn_takes_closures_of_every_size() {
    let _dog = watchdog();
    fn sum<const N: usize>() {
        let bytes = [7u8; N];
        let sum = corio::spawn(move || bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 7 * N as u64);
    }
    // The slot holds three words; beyond that there is a box.
    sum::<0>();
    sum::<1>();
    sum::<23>();
    sum::<24>();
    sum::<25>();
    sum::<4096>();
    sum::<20_000>();
}

#[test]
fn spawn_returns_results_of_every_size() {
    let _dog = watchdog();
    fn array<const N: usize>() {
        let array = corio::spawn(|| std::array::from_fn::<u8, N, _>(|i| i as u8));
        assert_eq!(array.join().unwrap(), std::array::from_fn(|i| i as u8));
    }
    array::<0>();
    array::<1>();
    array::<16>();
    array::<23>();
    array::<24>();
    array::<25>();
    array::<10_000>();
}

#[test]
fn spawn_keeps_alignment() {
    let _dog = watchdog();
    #[repr(align(128))]
    struct Aligned(u8);

    fn aligned(value: &Aligned) -> bool {
        std::ptr::from_ref(value).addr().is_multiple_of(128)
    }

    let given = Aligned(5);
    let handle = corio::spawn(move || {
        assert!(aligned(&given));
        Aligned(given.0 + 1)
    });
    let result = handle.join().unwrap();
    assert!(aligned(&result));
    assert_eq!(result.0, 6);
}

#[test]
fn spawn_drops_what_a_closure_holds_once() {
    let _dog = watchdog();
    let drops = Drops::new();
    let (small, large) = (drops.token(), (drops.token(), [0u8; 1000]));
    corio::spawn(move || drop(small)).join().unwrap();
    assert_eq!(drops.count(), 1);
    corio::spawn(move || {
        // Moves it in, and leaves it to the end of the closure.
        let _large = &large;
    })
    .join()
    .unwrap();
    assert_eq!(drops.count(), 2);
    let caught = drops.token();
    let failed = corio::spawn(move || {
        let _caught = &caught;
        panic!("expected");
    });
    failed.join().unwrap_err();
    assert_eq!(drops.count(), 3);
}

#[test]
fn join_hands_the_result_over_once() {
    let _dog = watchdog();
    let drops = Drops::new();
    let token = corio::spawn(|| drops.token()).join().unwrap();
    assert_eq!(drops.count(), 0);
    drop(token);
    assert_eq!(drops.count(), 1);
    let large = corio::spawn(|| (drops.token(), [0u8; 5000]))
        .join()
        .unwrap();
    assert_eq!(drops.count(), 1);
    drop(large);
    assert_eq!(drops.count(), 2);
}

#[test]
fn detach_before_the_end_drops_the_result() {
    let _dog = watchdog();
    let drops = Drops::new();
    let goroutine = {
        let handle = corio::spawn(|| {
            corio::park();
            (drops.token(), [0u8; 100])
        });
        handle.goroutine().clone()
    };
    assert_eq!(drops.count(), 0);
    goroutine.unpark();
    wait_until("result dropped", || drops.count() == 1);
}

#[test]
fn detach_after_the_end_drops_the_result() {
    let _dog = watchdog();
    let drops = Drops::new();
    let small = corio::spawn(|| drops.token());
    let large = corio::spawn(|| (drops.token(), [0u8; 100]));
    yield_until(|| small.is_finished() && large.is_finished());
    assert_eq!(drops.count(), 0);
    drop(small);
    assert_eq!(drops.count(), 1);
    drop(large);
    assert_eq!(drops.count(), 2);
}

#[test]
fn detach_races_with_the_end() {
    let _dog = watchdog();
    let drops = Drops::new();
    const ROUNDS: usize = 20_000;
    for round in 0..ROUNDS {
        let handle = corio::spawn(|| drops.token());
        if round % 3 == 0 {
            corio::yield_now();
        }
        drop(handle);
    }
    wait_until("all dropped", || drops.count() == ROUNDS);
}

#[test]
fn detached_goroutine_runs() {
    let _dog = watchdog();
    let (tx, rx) = mpsc::channel();
    drop(corio::spawn(move || tx.send(3).unwrap()));
    assert_eq!(rx.recv(), Ok(3));
}

#[test]
fn is_finished_tells_the_truth() {
    let _dog = watchdog();
    let handle = corio::spawn(corio::park);
    assert!(!handle.is_finished());
    handle.goroutine().unpark();
    wait_until("finished", || handle.is_finished());
    handle.join().unwrap();
}

#[test]
fn join_from_another_goroutine_or_thread() {
    let _dog = watchdog();
    let one = corio::spawn(|| 1);
    let two = corio::spawn(move || one.join().unwrap() + 1);
    let three = thread::spawn(move || two.join().unwrap() + 1);
    assert_eq!(three.join().unwrap(), 3);
}

#[test]
fn join_sees_what_the_goroutine_wrote() {
    let _dog = watchdog();
    for n in 0..5000usize {
        let cell = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&cell);
        let handle = corio::spawn(move || theirs.store(n, Ordering::Relaxed));
        handle.join().unwrap();
        assert_eq!(cell.load(Ordering::Relaxed), n);
    }
}

#[test]
fn join_a_chain_of_goroutines() {
    let _dog = watchdog();
    let mut last = corio::spawn(|| 0u32);
    for _ in 0..2000 {
        let before = last;
        last = corio::spawn(move || before.join().unwrap() + 1);
    }
    assert_eq!(last.join().unwrap(), 2000);
}

#[test]
fn spawn_many_from_one() {
    let _dog = watchdog();
    let total = corio::spawn(|| {
        let handles: Vec<_> = (0..100_000u64).map(|n| corio::spawn(move || n)).collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
    });
    assert_eq!(total.join().unwrap(), 100_000 * 99_999 / 2);
}

#[test]
fn spawn_a_tree() {
    let _dog = watchdog();
    fn skynet(first: u64, size: u64) -> u64 {
        if size == 1 {
            return first;
        }
        let part = size / 10;
        let children: Vec<JoinHandle<u64>> = (0..10)
            .map(|n| corio::spawn(move || skynet(first + n * part, part)))
            .collect();
        children
            .into_iter()
            .map(|child| child.join().unwrap())
            .sum()
    }
    let sum = corio::spawn(|| skynet(0, 100_000)).join().unwrap();
    assert_eq!(sum, 100_000 * 99_999 / 2);
}

#[test]
fn spawn_from_many_threads() {
    let _dog = watchdog();
    let count = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let handles: Vec<_> = (0..1000)
                    .map(|_| {
                        let count = Arc::clone(&count);
                        corio::spawn(move || {
                            count.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                    .collect();
                handles.into_iter().for_each(|h| h.join().unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(count.load(Ordering::Relaxed), 8000);
}

#[test]
fn builder_names_the_goroutine() {
    let _dog = watchdog();
    let handle = Builder::new()
        .name("worker".into())
        .spawn(|| corio::current().name().map(String::from))
        .unwrap();
    assert_eq!(handle.goroutine().name(), Some("worker"));
    assert_eq!(handle.join().unwrap().as_deref(), Some("worker"));
    let handle = corio::spawn(|| corio::current().name().map(String::from));
    assert_eq!(handle.goroutine().name(), None);
    assert_eq!(handle.join().unwrap(), None);
}

#[test]
fn builder_name_survives_every_switch() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..100)
        .map(|n| {
            Builder::new()
                .name(format!("number {n}"))
                .spawn(move || {
                    for _ in 0..50 {
                        corio::yield_now();
                        assert_eq!(corio::current().name(), Some(&*format!("number {n}")));
                    }
                })
                .unwrap()
        })
        .collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
}

/// Uses a KiB of stack for each level, and several in debug builds.
#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = std::hint::black_box([depth as u8; 1024]);
    if depth == 0 {
        return usize::from(frame[0]);
    }
    recurse(depth - 1) + 1 + usize::from(frame[1]) - usize::from(frame[2])
}

#[test]
fn builder_stack_size_is_there() {
    let _dog = watchdog();
    for mib in [1, 4, 16] {
        let handle = Builder::new()
            .stack_size(mib << 20)
            .spawn(move || recurse(mib * 150))
            .unwrap();
        assert_eq!(handle.join().unwrap(), mib * 150);
    }
}

#[test]
fn builder_stack_survives_switches_at_depth() {
    let _dog = watchdog();
    #[inline(never)]
    fn deep(depth: usize) -> usize {
        let frame = std::hint::black_box([depth; 32]);
        if depth == 0 {
            corio::yield_now();
            corio::sleep(std::time::Duration::from_millis(1));
            return 0;
        }
        deep(depth - 1) + frame[depth % 32] / depth
    }
    let handles: Vec<_> = (0..64).map(|_| corio::spawn(|| deep(200))).collect();
    for handle in handles {
        assert_eq!(handle.join().unwrap(), 200);
    }
}

#[test]
fn builder_refuses_a_stack_beyond_the_maximum() {
    let error = Builder::new()
        .stack_size((1 << 30) + 1)
        .spawn(|| ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("1 GiB"), "{error}");
}

#[test]
fn builder_drops_the_closure_it_could_not_start() {
    let drops = Drops::new();
    let token = drops.token();
    Builder::new()
        .stack_size(usize::MAX)
        .spawn(move || drop(token))
        .unwrap_err();
    assert_eq!(drops.count(), 1);
}

#[test]
fn current_ids_are_unique() {
    let _dog = watchdog();
    let handles: Vec<_> = (0..2000)
        .map(|_| corio::spawn(|| corio::current().id()))
        .collect();
    let mut seen = HashSet::new();
    for handle in handles {
        let id = handle.goroutine().id();
        assert_eq!(handle.join().unwrap(), id);
        assert!(seen.insert(id));
    }
    // Slots are used again, numbers are not.
    for _ in 0..2000 {
        assert!(seen.insert(corio::spawn(|| corio::current().id()).join().unwrap()));
    }
    let main = corio::current().id();
    assert!(seen.insert(main));
    assert_eq!(corio::current().id(), main);
    assert_ne!(
        thread::spawn(|| corio::current().id()).join().unwrap(),
        main
    );
}

#[test]
fn current_on_a_thread_has_its_name() {
    let thread = thread::Builder::new()
        .name("plain".into())
        .spawn(|| corio::current().name().map(String::from))
        .unwrap();
    assert_eq!(thread.join().unwrap().as_deref(), Some("plain"));
}

#[test]
fn spawn_in_a_destructor_of_a_thread_local() {
    let _dog = watchdog();
    static RAN: AtomicBool = AtomicBool::new(false);
    struct AtEnd;
    impl Drop for AtEnd {
        fn drop(&mut self) {
            corio::spawn(|| RAN.store(true, Ordering::SeqCst))
                .join()
                .unwrap();
        }
    }
    thread_local!(static AT_END: AtEnd = const { AtEnd });
    // Before and after the thread's own entry in the runtime.
    thread::spawn(|| AT_END.with(|_| ())).join().unwrap();
    assert!(RAN.swap(false, Ordering::SeqCst));
    thread::spawn(|| {
        AT_END.with(|_| ());
        corio::sleep(std::time::Duration::from_millis(1));
    })
    .join()
    .unwrap();
    assert!(RAN.load(Ordering::SeqCst));
}

#[test]
fn num_goroutines_returns_to_where_it_was() {
    child!("count").succeeds();
}

#[test]
fn spawn_reuses_memory() {
    child!("reuse").succeeds();
}
