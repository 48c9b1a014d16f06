//! Stack overflows and bad accesses.

use crate::Scenario;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("overflow", overflow),
    ("overflow_named", overflow_named),
    ("overflow_main", overflow_main),
    ("overflow_after_switches", overflow_after_switches),
    ("overflow_blocking", overflow_blocking),
    ("overflow_large_frame", overflow_large_frame),
    ("overflow_thread", overflow_thread),
    ("overflow_not", overflow_not),
    ("overflow_not_configured", overflow_not_configured),
    ("fault", fault),
    ("fault_handled", fault_handled),
];

/// Uses half a KiB of stack for each level, or a bit more.
#[inline(never)]
fn recurse(depth: u64, until: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == until {
        return 0;
    }
    recurse(depth + 1, until) + frame[depth as usize % 64] - depth + 1
}

const FOR_EVER: u64 = u64::MAX;

fn named(name: &str) -> corio::Builder {
    corio::Builder::new().name(name.into())
}

fn overflow(_: &[String]) {
    // Others are around, on both sides of the guard.
    for _ in 0..100 {
        corio::spawn(corio::park);
    }
    corio::spawn(|| recurse(0, FOR_EVER)).join().unwrap();
}

fn overflow_named(_: &[String]) {
    named("deep thought")
        .stack_size(1 << 20)
        .spawn(|| recurse(0, FOR_EVER))
        .unwrap()
        .join()
        .unwrap();
}

fn overflow_main(_: &[String]) {
    corio::run(|| recurse(0, FOR_EVER));
}

fn overflow_after_switches(_: &[String]) {
    named("traveller")
        .spawn(|| {
            for _ in 0..20 {
                corio::sleep(Duration::from_micros(100));
            }
            recurse(0, FOR_EVER)
        })
        .unwrap()
        .join()
        .unwrap();
}

fn overflow_blocking(_: &[String]) {
    let handle = named("blocker")
        .spawn(|| {
            corio::blocking(|| {
                // Its P is gone by then.
                thread::sleep(Duration::from_millis(50));
                recurse(0, FOR_EVER)
            })
        })
        .unwrap();
    for _ in 0..20 {
        corio::spawn(|| corio::sleep(Duration::from_millis(1)))
            .join()
            .unwrap();
    }
    handle.join().unwrap();
}

fn overflow_large_frame(_: &[String]) {
    #[inline(never)]
    fn large() -> u8 {
        let frame = black_box([1u8; 3 << 20]);
        frame[black_box(5)]
    }
    corio::spawn(large).join().unwrap();
}

fn overflow_thread(_: &[String]) {
    corio::spawn(|| ()).join().unwrap();
    let thread = thread::Builder::new().name("plain".into());
    let thread = thread.spawn(|| {
        // One that the runtime knows.
        corio::sleep(Duration::from_millis(1));
        recurse(0, FOR_EVER)
    });
    thread.unwrap().join().unwrap();
}

fn overflow_not(_: &[String]) {
    let handle = corio::Builder::new()
        .stack_size(64 << 20)
        .spawn(|| recurse(0, 40_000))
        .unwrap();
    assert_eq!(handle.join().unwrap(), 40_000);
    let handle = corio::Builder::new()
        .stack_size(1 << 30)
        .spawn(|| recurse(0, 100))
        .unwrap();
    assert_eq!(handle.join().unwrap(), 100);
    assert_eq!(corio::run(|| recurse(0, 5000)), 5000);
}

fn overflow_not_configured(_: &[String]) {
    assert_eq!(corio::spawn(|| recurse(0, 5000)).join().unwrap(), 5000);
}

/// Reads from the first page, which nobody has.
fn read_null() -> u8 {
    let null = black_box(std::ptr::null::<u8>().wrapping_add(16));
    // SAFETY: none; the fault is what is tested.
    unsafe { null.read_volatile() }
}

fn fault(_: &[String]) {
    corio::spawn(read_null).join().unwrap();
}

/// A handler that was there before the runtime gets the signal.
fn fault_handled(_: &[String]) {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: allowed in a signal handler.
        unsafe { libc::_exit(33) };
    }
    // SAFETY: a valid action; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        assert_eq!(
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()),
            0
        );
    }
    corio::spawn(read_null).join().unwrap();
}
