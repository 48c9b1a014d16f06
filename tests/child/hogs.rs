//! Goroutines that keep their thread without saying so.

use crate::Scenario;
use corio_tests::{threads, wait_until};
use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("hog_spins", hog_spins),
    ("hog_runnext", hog_runnext),
    ("hog_timers", hog_timers),
    ("hog_std_sleep", hog_std_sleep),
    ("hog_fifo", hog_fifo),
    ("hog_pipe", hog_pipe),
    ("hog_mutex", hog_mutex),
    ("hogs", hogs),
    ("hogs_bounded", hogs_bounded),
    ("hogs_locked", hogs_locked),
    ("hog_yields", hog_yields),
    ("hog_pair", hog_pair),
    ("hog_then_everything", hog_then_everything),
];

/// Spins, without any call into the runtime, until somebody sets the flag.
fn spin_until(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        spin_loop();
    }
}

fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box((0..1000).sum::<u64>());
    }
}

fn take_overs() -> u64 {
    corio::metrics().totals().take_overs
}

/// Only another goroutine can end the hog, and there is but one P.
fn hog_spins(_: &[String]) {
    for _ in 0..20 {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let hog = corio::spawn(move || spin_until(&theirs));
        let setter = corio::spawn(move || {
            corio::yield_now();
            corio::sleep(Duration::from_millis(1));
            flag.store(true, Ordering::Relaxed);
        });
        hog.join().unwrap();
        setter.join().unwrap();
    }
    assert!(take_overs() > 0);
    // A reniced thread ends: what remains is this thread, sysmon, and a few Ms.
    wait_until("the burners' threads end", || threads().len() <= 5);
    assert_eq!(corio::metrics().threads.burning, 0);
}

/// The goroutine that would end the hog lies in `runnext`, which only the hog's P serves.
fn hog_runnext(_: &[String]) {
    for _ in 0..20 {
        let hog = corio::spawn(|| {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            corio::spawn(move || theirs.store(true, Ordering::Relaxed));
            spin_until(&flag);
        });
        hog.join().unwrap();
    }
    // By an `unpark` as well as by a spawn.
    for _ in 0..20 {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let parked = corio::spawn(move || {
            corio::park();
            theirs.store(true, Ordering::Relaxed);
        });
        let goroutine = parked.goroutine().clone();
        wait_until("parked", || corio::metrics().goroutines.waiting == 1);
        let hog = corio::spawn(move || {
            goroutine.unpark();
            spin_until(&flag);
        });
        hog.join().unwrap();
        parked.join().unwrap();
    }
}

/// A timer that nobody but the hog's P would look at.
fn hog_timers(_: &[String]) {
    for _ in 0..10 {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let sleeper = corio::spawn(move || {
            let start = Instant::now();
            corio::sleep(Duration::from_millis(20));
            theirs.store(true, Ordering::Relaxed);
            start.elapsed()
        });
        let hog = corio::spawn(move || spin_until(&flag));
        hog.join().unwrap();
        assert!(sleeper.join().unwrap() < Duration::from_secs(2));
    }
}

/// Runs `block` in a goroutine, on the only P, and sees that others run before it ends, which it does
/// when `release` is called.
fn blocked(block: impl FnOnce() + Send + 'static, release: impl FnOnce() + Send + 'static) {
    let entered = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&entered);
    let hog = corio::spawn(move || {
        theirs.store(true, Ordering::SeqCst);
        block();
    });
    wait_until("blocked", || entered.load(Ordering::SeqCst));
    for n in 0..100 {
        assert_eq!(corio::spawn(move || n).join().unwrap(), n);
    }
    corio::spawn(|| corio::sleep(Duration::from_millis(5)))
        .join()
        .unwrap();
    assert!(!hog.is_finished());
    corio::spawn(release).join().unwrap();
    hog.join().unwrap();
}

fn hog_std_sleep(_: &[String]) {
    let start = Instant::now();
    let hog = corio::spawn(|| thread::sleep(Duration::from_secs(2)));
    let others = corio::spawn(|| {
        for _ in 0..100 {
            corio::sleep(Duration::from_micros(100));
            corio::spawn(|| ()).join().unwrap();
        }
    });
    others.join().unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    hog.join().unwrap();
}

/// `open` of a FIFO blocks until somebody opens its other end.
fn hog_fifo(_: &[String]) {
    let path = std::env::temp_dir().join(format!("corio-fifo-{}", std::process::id()));
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a string that ends with a null byte.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let (read, write) = (path.clone(), path.clone());
    blocked(
        move || drop(File::open(read).unwrap()),
        move || drop(File::options().write(true).open(write).unwrap()),
    );
    std::fs::remove_file(path).unwrap();
}

fn hog_pipe(_: &[String]) {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: descriptors just made, owned by nobody else.
    let (mut reader, writer) = unsafe { (File::from_raw_fd(pipe[0]), File::from_raw_fd(pipe[1])) };
    blocked(
        move || assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0),
        move || drop(writer),
    );
}

/// A std mutex that a plain thread holds.
fn hog_mutex(_: &[String]) {
    let mutex = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&mutex);
    let (locked, is_locked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let mut guard = theirs.lock().unwrap();
        locked.send(()).unwrap();
        released.recv().unwrap();
        *guard += 1;
    });
    is_locked.recv().unwrap();
    let theirs = Arc::clone(&mutex);
    blocked(
        move || *theirs.lock().unwrap() += 1,
        move || release.send(()).unwrap(),
    );
    holder.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 2);
}

/// As many hogs as asked for: all make progress while others run, and all end.
fn hogs(args: &[String]) {
    let n: usize = args[0].parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let progress: Arc<Vec<AtomicU64>> = Arc::new((0..n).map(|_| AtomicU64::new(0)).collect());
    let hogs: Vec<_> = (0..n)
        .map(|i| {
            let (stop, progress) = (Arc::clone(&stop), Arc::clone(&progress));
            corio::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    progress[i].fetch_add(black_box(1), Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Somebody who sleeps, who spawns, and who yields, all the time.
    let turns = Arc::new(AtomicUsize::new(0));
    let worst = Arc::new(Mutex::new(Duration::ZERO));
    let (their_stop, their_turns, their_worst) =
        (Arc::clone(&stop), Arc::clone(&turns), Arc::clone(&worst));
    let other = corio::spawn(move || {
        while !their_stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            corio::sleep(Duration::from_millis(1));
            corio::spawn(corio::yield_now).join().unwrap();
            their_turns.fetch_add(1, Ordering::Relaxed);
            let took = start.elapsed();
            let mut worst = their_worst.lock().unwrap();
            *worst = took.max(*worst);
        }
    });
    wait_until("every hog runs", || {
        progress
            .iter()
            .all(|count| count.load(Ordering::Relaxed) > 0)
    });
    // Each of them goes on, and so do the others.
    let before: Vec<_> = progress
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .collect();
    let turns_before = turns.load(Ordering::Relaxed);
    wait_until("every hog goes on", || {
        turns.load(Ordering::Relaxed) > turns_before + 200
            && before
                .iter()
                .zip(&*progress)
                .all(|(before, now)| now.load(Ordering::Relaxed) > *before)
    });
    println!("worst ms: {}", worst.lock().unwrap().as_millis());
    println!("take-overs: {}", take_overs());
    assert!(take_overs() >= n as u64 / 2, "{}", take_overs());
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|h| h.join().unwrap());
    other.join().unwrap();
    let procs = corio::metrics().procs.len();
    wait_until("the burners' threads end", || threads().len() <= procs + 4);
    assert_eq!(corio::metrics().threads.burning, 0);
    assert_eq!(corio::num_goroutines(), 0);
}

/// More hogs than may burn beside the Ps: the rest hold a P until they are done, and all get theirs.
fn hogs_bounded(_: &[String]) {
    let handles: Vec<_> = (0..12)
        .map(|_| corio::spawn(|| spin_for(Duration::from_millis(100))))
        .collect();
    wait_until("some burn", || corio::metrics().threads.burning > 0);
    assert!(corio::metrics().threads.burning <= 2);
    handles.into_iter().for_each(|h| h.join().unwrap());
    wait_until("none burn", || corio::metrics().threads.burning == 0);
}

/// Hogs that lock themselves to their reniced thread and end so: each gives its place back.
fn hogs_locked(_: &[String]) {
    for round in 0..5 {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let hog = corio::spawn(move || {
            spin_until(&theirs);
            let lock = corio::lock_os_thread();
            corio::yield_now();
            std::mem::forget(lock);
        });
        // Ends the hog only if the hog's P is taken.
        let setter = corio::spawn(move || flag.store(true, Ordering::Relaxed));
        wait_until(&format!("round {round}"), || setter.is_finished());
        hog.join().unwrap();
    }
}

/// One that yields often enough loses nothing.
fn hog_yields(_: &[String]) {
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&stop);
    let busy = corio::spawn(move || {
        while !theirs.load(Ordering::Relaxed) {
            spin_for(Duration::from_micros(200));
            corio::yield_now();
        }
    });
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_millis(500) {
        corio::spawn(|| ()).join().unwrap();
        rounds += 1;
    }
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    // The global queue has its turn after 61 others.
    assert!(rounds > 5, "{rounds}");
    // A descheduled process may look like a hog now and then.
    assert!(take_overs() < 10, "{}", take_overs());
}

/// Two that keep waking each other share one time slice after the other; a third gets its turn.
fn hog_pair(_: &[String]) {
    let stop = Arc::new(AtomicBool::new(false));
    let (tx, rx) = mpsc::channel::<corio::Goroutine>();
    let theirs = Arc::clone(&stop);
    let one = corio::spawn(move || {
        let other = corio::blocking(|| rx.recv().unwrap());
        while !theirs.load(Ordering::Relaxed) {
            other.unpark();
            corio::park();
        }
        other.unpark();
    });
    let first = one.goroutine().clone();
    let theirs = Arc::clone(&stop);
    let two = corio::spawn(move || {
        while !theirs.load(Ordering::Relaxed) {
            corio::park();
            first.unpark();
        }
        first.unpark();
    });
    tx.send(two.goroutine().clone()).unwrap();
    let start = Instant::now();
    for _ in 0..50 {
        corio::spawn(corio::yield_now).join().unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    stop.store(true, Ordering::Relaxed);
    one.goroutine().unpark();
    two.goroutine().unpark();
    one.join().unwrap();
    two.join().unwrap();
}

/// A hog that lost its P may do everything afterwards.
fn hog_then_everything(_: &[String]) {
    let hog = |n: u64| {
        move || {
            for round in 0..3 {
                spin_for(Duration::from_millis(40));
                match (n + round) % 8 {
                    0 => corio::yield_now(),
                    1 => corio::sleep(Duration::from_millis(1)),
                    2 => corio::blocking(|| thread::sleep(Duration::from_millis(15))),
                    3 => assert_eq!(corio::spawn(|| 5).join().unwrap(), 5),
                    4 => drop(corio::lock_os_thread()),
                    5 => {
                        let me = corio::current();
                        corio::spawn(move || me.unpark());
                        corio::park();
                    }
                    6 => {
                        let _lock = corio::lock_os_thread();
                        corio::yield_now();
                        corio::sleep(Duration::from_millis(1));
                    }
                    _ => {
                        std::panic::catch_unwind(|| panic!("expected")).unwrap_err();
                    }
                }
            }
        }
    };
    let handles: Vec<_> = (0..16).map(|n| corio::spawn(hog(n))).collect();
    handles.into_iter().for_each(|h| h.join().unwrap());
    assert_eq!(corio::num_goroutines(), 0);
    let handles: Vec<_> = (0..1000).map(|n| corio::spawn(move || n)).collect();
    assert_eq!(
        handles.into_iter().map(|h| h.join().unwrap()).sum::<i32>(),
        499_500
    );
}
