//! Dumps in processes of their own: totals, crowds, storms, signals.

use crate::Scenario;
use corio::reactor::WaitReason;
use corio::{Dump, GoroutineStatus, JoinHandle, channel};
use corio_tests::wait_until;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("dump_nothing", dump_nothing),
    ("dump_never_run", dump_never_run),
    ("dump_needs_stack", dump_needs_stack),
    ("dump_crowd", dump_crowd),
    ("dump_storm", dump_storm),
    ("dump_sigquit", dump_sigquit),
    ("dump_deadlock", dump_deadlock),
];

/// Does not start the runtime, which would be seen by its threads.
fn dump_nothing(_: &[String]) {
    assert!(corio::dump().goroutines().is_empty());
    assert_eq!(corio::dump().to_string(), "");
    assert_eq!(corio::dump().groups().to_string(), "");
    assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), 1);
}

/// The one P is busy.
fn dump_never_run(_: &[String]) {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, started) = (Arc::clone(&stop), Arc::new(AtomicBool::new(false)));
    let starts = Arc::clone(&started);
    let hog = corio::spawn(move || {
        starts.store(true, Ordering::Relaxed);
        while !stopped.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    wait_until("the hog runs", || started.load(Ordering::Relaxed));
    let waits = corio::spawn(|| ());
    let dump = corio::dump();
    assert_eq!(dump.goroutines().len(), 2, "{dump}");
    let g = &dump.goroutines()[1];
    assert_eq!(g.id(), waits.goroutine().id());
    assert_eq!(g.status(), GoroutineStatus::Runnable);
    assert!(g.frames().is_empty());
    assert!(g.thread().is_none() && g.name().is_none() && g.object().is_none());
    let text = g.to_string();
    assert!(text.contains(" [runnable]:\ncreated at "), "{text}");
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    waits.join().unwrap();
    assert!(corio::dump().goroutines().is_empty());
}

fn dump_needs_stack(_: &[String]) {
    // So large that there is room for other things when there is none for another stack.
    let large = || {
        corio::Builder::new()
            .stack_size(512 << 20)
            .spawn(corio::park)
    };
    let handles: Vec<_> = (0..20).map(|_| large().unwrap()).collect();
    let mut dump = Dump::default();
    wait_until("one waits for a stack", || {
        dump = corio::dump();
        dump.goroutines()
            .iter()
            .any(|g| g.reason() == WaitReason::NeedsStack)
    });
    let text = dump.groups().to_string();
    assert!(text.contains(" goroutines [needs stack]: "), "{text}");
    for handle in handles {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

#[inline(never)]
fn parks(depth: usize) {
    if depth > 0 {
        parks(depth - 1);
    } else {
        corio::park();
    }
    black_box(depth);
}

/// Resident memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

fn dump_crowd(_: &[String]) {
    const N: usize = 100_000;
    const STACKS: usize = 10;
    let handles: Vec<JoinHandle<()>> = (0..N)
        .map(|n| corio::spawn(move || parks(n % STACKS)))
        .collect();
    wait_until("all are parked", || {
        corio::metrics().goroutines.waiting == N
    });
    // The debug information is read before anything is measured.
    let first = Instant::now();
    let dump = corio::dump();
    println!("first dump: {:?}", first.elapsed());
    let before = resident();
    drop(dump);

    let (latest, ticks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let ticker = corio::spawn({
        let (latest, ticks, stop) = (Arc::clone(&latest), Arc::clone(&ticks), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                let due = Instant::now() + Duration::from_millis(1);
                corio::sleep_until(due);
                latest.fetch_max(due.elapsed().as_micros() as u64, Ordering::Relaxed);
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    wait_until("it ticks", || ticks.load(Ordering::Relaxed) > 100);
    println!(
        "latest tick without a dump (us): {}",
        latest.swap(0, Ordering::Relaxed)
    );
    let start = Instant::now();
    let dump = corio::dump();
    let took = start.elapsed();
    let during = ticks.load(Ordering::Relaxed);
    println!("latest tick (us): {}", latest.load(Ordering::Relaxed));
    println!("dump of {N} goroutines: {took:?}");
    println!(
        "memory of the dump (KiB): {}",
        resident().saturating_sub(before)
    );
    assert!(during > 100, "{during}");
    let parked = dump
        .goroutines()
        .iter()
        .filter(|g| g.reason() == WaitReason::Park);
    assert_eq!(parked.clone().count(), N);
    assert!(parked.clone().all(|g| !g.frames().is_empty()));
    let groups = dump.groups();
    for group in &groups.as_slice()[..STACKS] {
        assert_eq!(group.count(), N / STACKS);
    }
    assert!(groups.to_string().starts_with("10000 goroutines [park, "));
    let text = Instant::now();
    println!(
        "text: {} bytes in {:?}",
        dump.to_string().len(),
        text.elapsed()
    );
    stop.store(true, Ordering::Relaxed);
    ticker.join().unwrap();
    for handle in handles {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

/// Goroutines that are made, park, wake each other, wait in pairs, get their stacks trimmed and end, while two
/// threads and a goroutine dump without a pause.
fn dump_storm(_: &[String]) {
    const LENGTH: Duration = Duration::from_secs(5);
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicUsize::new(0));
    let look = |dump: &Dump| {
        for g in dump.goroutines() {
            assert!(g.frames().len() < 1000);
            assert!(g.shown_frames().len() <= g.frames().len());
            if g.status() != GoroutineStatus::Waiting {
                assert_eq!(g.reason(), WaitReason::None);
            }
        }
    };
    let dumper = |stop: Arc<AtomicBool>, rounds: Arc<AtomicUsize>| {
        move || {
            while !stop.load(Ordering::Relaxed) {
                look(&corio::dump());
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let dumpers: Vec<_> = (0..2)
        .map(|_| thread::spawn(dumper(Arc::clone(&stop), Arc::clone(&rounds))))
        .collect();
    let inside = corio::spawn(dumper(Arc::clone(&stop), Arc::clone(&rounds)));
    let workers: Vec<_> = (0..500)
        .map(|n| {
            let stop = Arc::clone(&stop);
            corio::spawn(move || {
                let (tx, rx) = channel::bounded::<usize>(0);
                let echo = corio::spawn(move || rx.iter().sum::<usize>());
                let mut sent = 0;
                let mut round = n;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    match round % 4 {
                        0 => corio::sleep(Duration::from_micros(round as u64 % 300)),
                        1 => corio::spawn(|| parks(0)).goroutine().unpark(),
                        2 => corio::park_timeout(Duration::from_micros(50)),
                        _ => {
                            tx.send(round).unwrap();
                            sent += round;
                        }
                    }
                }
                drop(tx);
                assert_eq!(echo.join().unwrap(), sent);
            })
        })
        .collect();
    let start = Instant::now();
    wait_until("enough dumps", || {
        start.elapsed() > LENGTH && rounds.load(Ordering::Relaxed) > 20
    });
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    inside.join().unwrap();
    for dumper in dumpers {
        dumper.join().unwrap();
    }
    println!("dumps: {}", rounds.load(Ordering::Relaxed));
    wait_until("nobody is left", || corio::num_goroutines() == 0);
    assert!(corio::dump().goroutines().is_empty());
}

fn dump_sigquit(args: &[String]) {
    if !args.is_empty() {
        corio::Config::new().dump(true).init().unwrap();
    }
    let parked = corio::Builder::new()
        .name("sleeper".into())
        .spawn(|| parks(0))
        .unwrap();
    wait_until("it is parked", || corio::metrics().goroutines.waiting == 1);
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors; standard error is replaced by one of them.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        assert_eq!(
            libc::dup2(pipe[1], libc::STDERR_FILENO),
            libc::STDERR_FILENO
        );
    }
    // SAFETY: a descriptor just made, owned by nobody else.
    let mut said = BufReader::new(unsafe { File::from_raw_fd(pipe[0]) }).lines();
    for _ in 0..3 {
        // SAFETY: no memory is passed.
        unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) };
        let mut line = || said.next().unwrap().unwrap();
        assert_eq!(line(), "SIGQUIT: 1 goroutines");
        assert_eq!(line(), "");
        let head = line();
        assert!(head.contains(" \"sleeper\" [park, "), "{head}");
        while !line().starts_with("created at ") {}
    }
    parked.goroutine().unpark();
    parked.join().unwrap();
}

#[inline(never)]
fn waits_for_ever(from: channel::Receiver<u8>) {
    black_box(from.recv().unwrap());
}

fn dump_deadlock(_: &[String]) {
    corio::run(|| {
        let (_tx, rx) = channel::unbounded();
        let handles: Vec<_> = (0..30)
            .map(|_| {
                let rx = rx.clone();
                corio::spawn(move || waits_for_ever(rx))
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}
