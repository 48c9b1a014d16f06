//! Deadlocks under `run`, and what only looks like one. For no thread to be there but the runtime's and
//! the one in `run`, this can't be done in a test harness.

use crate::Scenario;
use std::future::poll_fn;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("run_abandons", run_abandons),
    ("deadlock_park", deadlock_park),
    ("deadlock_list", deadlock_list),
    ("deadlock_late", deadlock_late),
    ("deadlock_after_thread", deadlock_after_thread),
    ("deadlock_after_waker", deadlock_after_waker),
    ("deadlock_caught", deadlock_caught),
    ("no_deadlock_thread", no_deadlock_thread),
    ("no_deadlock_sleep", no_deadlock_sleep),
    ("no_deadlock_timeout", no_deadlock_timeout),
    ("no_deadlock_blocking", no_deadlock_blocking),
    ("no_deadlock_unannounced", no_deadlock_unannounced),
    ("no_deadlock_without_run", no_deadlock_without_run),
];

/// Much longer than a deadlock takes to be found.
const A_WHILE: Duration = Duration::from_millis(700);

fn run_abandons(_: &[String]) {
    corio::run(|| {
        corio::spawn(|| corio::sleep(Duration::from_secs(3600)));
        corio::spawn(|| thread::sleep(Duration::from_secs(3600)));
        corio::spawn(|| {
            loop {
                corio::yield_now();
            }
        });
        corio::yield_now();
    });
}

fn deadlock_park(_: &[String]) {
    corio::run(corio::park);
}

fn deadlock_list(_: &[String]) {
    corio::run(|| {
        let named = |name: &str| corio::Builder::new().name(name.into());
        let first = named("first").spawn(corio::park).unwrap();
        named("second")
            .spawn(|| corio::scope(|s| drop(s.spawn(corio::park))))
            .unwrap();
        corio::spawn(|| corio::block_on(poll_fn(|_| Poll::<()>::Pending)));
        first.join()
    })
    .unwrap();
}

fn deadlock_late(_: &[String]) {
    corio::run(|| {
        for n in 0..50 {
            corio::spawn(move || corio::sleep(Duration::from_millis(n * 5)));
        }
        corio::sleep(A_WHILE);
        corio::blocking(|| thread::sleep(A_WHILE));
        corio::park();
    });
}

fn deadlock_after_thread(_: &[String]) {
    corio::run(|| {
        thread::spawn(|| thread::sleep(A_WHILE));
        corio::park();
    });
}

fn deadlock_after_waker(_: &[String]) {
    corio::run(|| {
        let (tx, rx) = mpsc::channel();
        corio::spawn(move || {
            corio::block_on(poll_fn(|cx| {
                tx.send(cx.waker().clone()).unwrap();
                Poll::<()>::Pending
            }))
        });
        let waker = corio::blocking(|| rx.recv().unwrap());
        corio::sleep(A_WHILE);
        drop(waker);
        corio::park();
    });
}

/// After the panic of one `run` the next one works.
fn deadlock_caught(_: &[String]) {
    for _ in 0..2 {
        let caught = std::panic::catch_unwind(|| corio::run(corio::park));
        let payload = caught.unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("all goroutines are asleep - deadlock!"));
        // The goroutines of the first are still asleep, but here nobody looks until main parks.
        assert_eq!(corio::run(|| corio::spawn(|| 3).join().unwrap()), 3);
    }
}

fn no_deadlock_thread(_: &[String]) {
    corio::run(|| {
        let me = corio::current();
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            me.unpark();
        });
        corio::park();
    });
}

fn no_deadlock_sleep(_: &[String]) {
    corio::run(|| {
        let me = corio::current();
        corio::spawn(move || {
            corio::sleep(A_WHILE);
            me.unpark();
        });
        corio::park();
    });
}

fn no_deadlock_timeout(_: &[String]) {
    corio::run(|| corio::park_timeout(A_WHILE));
}

fn no_deadlock_blocking(_: &[String]) {
    corio::run(|| {
        let me = corio::current();
        corio::spawn(move || {
            // Blocked in the kernel all the time, announced.
            let mut poll = libc::pollfd {
                fd: 0,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid pollfd.
            corio::blocking(|| unsafe { libc::poll(&mut poll, 1, A_WHILE.as_millis() as i32) });
            me.unpark();
        });
        corio::park();
    });
}

fn no_deadlock_unannounced(_: &[String]) {
    corio::run(|| {
        let me = corio::current();
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // SAFETY: a descriptor just made, owned by nobody else.
        let mut reader = unsafe { std::fs::File::from_raw_fd(pipe[0]) };
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        corio::spawn(move || {
            assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
            theirs.store(true, Ordering::SeqCst);
            me.unpark();
        });
        corio::spawn(move || {
            thread::sleep(A_WHILE);
            // SAFETY: nobody uses the writing end.
            unsafe { libc::close(pipe[1]) };
        });
        corio::park();
        assert!(done.load(Ordering::SeqCst));
    });
}

fn no_deadlock_without_run(_: &[String]) {
    let handle = corio::spawn(corio::park);
    corio::spawn(corio::park);
    thread::sleep(A_WHILE);
    handle.goroutine().unpark();
    handle.join().unwrap();
}
