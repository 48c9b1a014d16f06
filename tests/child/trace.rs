//! Programs whose execution is traced. The first argument is the file; the test looks at what is in it.

use crate::Scenario;
use corio::trace;
use corio_tests::{gettid, threads, wait_until};
use std::fs::File;
use std::hint::spin_loop;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("trace_nothing", trace_nothing),
    ("trace_ping_pong", trace_ping_pong),
    ("trace_pair", trace_pair),
    ("trace_steal", trace_steal),
    ("trace_hog", trace_hog),
    ("trace_blocking", trace_blocking),
    ("trace_timers", trace_timers),
    ("trace_global_tick", trace_global_tick),
    ("trace_plain_thread", trace_plain_thread),
    ("trace_in_the_middle", trace_in_the_middle),
    ("trace_again_and_again", trace_again_and_again),
    ("trace_refused", trace_refused),
    ("trace_writer_fails", trace_writer_fails),
    ("trace_writer_panics", trace_writer_panics),
    ("trace_writer_is_slow", trace_writer_is_slow),
    ("trace_whole_program", trace_whole_program),
    ("trace_exit", trace_exit),
    ("trace_killed", trace_killed),
    ("trace_deadlock", trace_deadlock),
    ("trace_latency", trace_latency),
];

/// Traces what `f` does into the file that the first argument names.
fn traced<T>(args: &[String], f: impl FnOnce() -> T) -> T {
    trace::start(File::create(&args[0]).unwrap()).unwrap();
    assert!(trace::is_running());
    let result = f();
    let summary = trace::stop().unwrap();
    assert!(!trace::is_running());
    assert_eq!(
        std::fs::metadata(&args[0]).unwrap().len(),
        summary.bytes,
        "{summary:?}"
    );
    println!("events: {}", summary.events);
    println!("dropped: {}", summary.dropped);
    result
}

fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

fn trace_nothing(args: &[String]) {
    traced(args, || ());
}

/// Two that wake each other: each finds its turn in `runnext`.
fn trace_ping_pong(args: &[String]) {
    traced(args, || {
        let (ping, pinged) = corio::channel::bounded::<u32>(0);
        let (pong, ponged) = corio::channel::bounded::<u32>(0);
        let echo = corio::Builder::new()
            .name("pong".into())
            .spawn(move || pinged.iter().for_each(|n| pong.send(n).unwrap()))
            .unwrap();
        let hit = corio::Builder::new()
            .name("ping \"quoted\"\n".into())
            .spawn(move || {
                for n in 0..100 {
                    ping.send(n).unwrap();
                    assert_eq!(ponged.recv().unwrap(), n);
                }
            })
            .unwrap();
        hit.join().unwrap();
        echo.join().unwrap();
    });
}

/// Two that share one time slice after the other, until sysmon asks them to let others run.
fn trace_pair(args: &[String]) {
    traced(args, || {
        let (ping, pinged) = corio::channel::bounded(0);
        let (pong, ponged) = corio::channel::bounded(0);
        corio::spawn(move || pinged.iter().for_each(|()| pong.send(()).unwrap()));
        let start = Instant::now();
        let hits = corio::spawn(move || {
            while start.elapsed() < Duration::from_millis(300) {
                // Not so fast that it can't be written.
                spin_for(Duration::from_micros(50));
                ping.send(()).unwrap();
                ponged.recv().unwrap();
            }
        });
        hits.join().unwrap();
    });
}

/// Work for two Ps, made on one: the other steals.
fn trace_steal(args: &[String]) {
    let before = corio::metrics().totals().steals;
    traced(args, || {
        wait_until("something is stolen", || {
            let maker = corio::spawn(|| {
                let all: Vec<_> = (0..50)
                    .map(|_| corio::spawn(|| spin_for(Duration::from_micros(100))))
                    .collect();
                all.into_iter().for_each(|g| g.join().unwrap());
            });
            maker.join().unwrap();
            corio::metrics().totals().steals > before + 3
        });
    });
}

/// A goroutine that computes while another waits, on one P.
fn trace_hog(args: &[String]) {
    traced(args, || {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let hog = corio::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                spin_loop();
            }
            gettid()
        });
        corio::spawn(move || flag.store(true, Ordering::Relaxed))
            .join()
            .unwrap();
        let burner = hog.join().unwrap();
        wait_until("its thread ends", || !threads().contains(&burner));
    });
}

/// Blocking calls with work waiting, on one P: it is handed off. And one that nobody announces, which sysmon finds out.
fn trace_blocking(args: &[String]) {
    traced(args, || {
        for announced in [true, false] {
            let (tx, rx) = mpsc::channel::<()>();
            let waits = corio::spawn(move || {
                // In `runnext` when the P is handed off.
                corio::spawn(move || tx.send(()).unwrap());
                if announced {
                    corio::blocking(|| rx.recv().unwrap());
                } else {
                    rx.recv().unwrap();
                }
            });
            waits.join().unwrap();
        }
        // With nothing else to do the P stays.
        corio::spawn(|| corio::blocking(|| ())).join().unwrap();
    });
}

fn trace_timers(args: &[String]) {
    traced(args, || {
        let all: Vec<_> = (1..=20)
            .map(|n| corio::spawn(move || corio::sleep(Duration::from_millis(n))))
            .collect();
        all.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// Two that yield to each other find nothing else to do but on every 61st tick: then a third has its turn.
fn trace_global_tick(args: &[String]) {
    traced(args, || {
        let done = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..2)
            .map(|_| {
                let done = Arc::clone(&done);
                corio::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        corio::yield_now();
                    }
                })
            })
            .collect();
        wait_until("both run", || corio::metrics().totals().runs > 200);
        corio::spawn(move || done.store(true, Ordering::Relaxed))
            .join()
            .unwrap();
        busy.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// A thread of the program's that wakes goroutines and waits for them.
fn trace_plain_thread(args: &[String]) {
    // From now on it has an M.
    corio::current();
    traced(args, || {
        let (tx, rx) = corio::channel::unbounded();
        let (answer, answers) = corio::channel::unbounded();
        let adder = corio::spawn(move || rx.iter().for_each(|n: u64| answer.send(n + 1).unwrap()));
        for n in 0..10 {
            wait_until("it waits", || corio::metrics().goroutines.waiting == 1);
            tx.send(n).unwrap();
            assert_eq!(answers.recv(), Ok(n + 1));
        }
        drop(tx);
        adder.join().unwrap();
    });
}

/// What there is before the trace is known to it: goroutines that are parked, run, and end in it.
fn trace_in_the_middle(args: &[String]) {
    let (tx, rx) = corio::channel::bounded::<()>(0);
    let parked = corio::Builder::new()
        .name("early".into())
        .spawn(move || rx.recv().unwrap())
        .unwrap();
    wait_until("parked", || corio::metrics().goroutines.waiting == 1);
    traced(args, || {
        tx.send(()).unwrap();
        parked.join().unwrap();
    });
}

/// Goroutines that do a bit of everything, with pauses so that it can be written, until told to stop.
fn load() -> impl FnOnce() {
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&stop);
    let rounds = Arc::new(AtomicU64::new(0));
    let done = Arc::clone(&rounds);
    let busy: Vec<_> = (0..8)
        .map(|n| {
            let (stop, done) = (Arc::clone(&theirs), Arc::clone(&done));
            corio::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match n % 4 {
                        0 => corio::yield_now(),
                        1 => drop(corio::lock_os_thread()),
                        2 => corio::blocking(|| ()),
                        _ => corio::spawn(|| ()).join().unwrap(),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    corio::sleep(Duration::from_micros(50));
                }
            })
        })
        .collect();
    wait_until("they are at work", || rounds.load(Ordering::Relaxed) > 100);
    move || {
        stop.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|g| g.join().unwrap());
    }
}

/// Started and stopped under load, from a thread and from a goroutine; the last one is looked at.
fn trace_again_and_again(args: &[String]) {
    let stop = load();
    for _ in 0..5 {
        trace::start(io::sink()).unwrap();
        trace::stop().unwrap();
    }
    let theirs = args.to_vec();
    corio::spawn(move || {
        for _ in 0..5 {
            trace::start(io::sink()).unwrap();
            corio::sleep(Duration::from_micros(100));
            trace::stop().unwrap();
        }
        traced(&theirs, || corio::sleep(Duration::from_millis(20)));
    })
    .join()
    .unwrap();
    stop();
}

fn trace_refused(_: &[String]) {
    let kind = |error: io::Error| error.kind();
    assert_eq!(trace::stop().map_err(kind), Err(ErrorKind::NotFound));
    trace::start(io::sink()).unwrap();
    let second = trace::start(io::sink());
    assert_eq!(second.map_err(kind), Err(ErrorKind::ResourceBusy));
    assert!(trace::is_running());
    trace::stop().unwrap();
    assert_eq!(trace::stop().map_err(kind), Err(ErrorKind::NotFound));
    // They are free to start another one.
    trace::start(io::sink()).unwrap();
    trace::stop().unwrap();
}

struct Broken {
    left: usize,
    panics: bool,
}

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(bytes.len()) {
            Some(left) => self.left = left,
            None if self.panics => panic!("the writer's own panic"),
            None => return Err(io::Error::new(ErrorKind::StorageFull, "no room")),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The trace ends, and the program goes on.
fn broken(panics: bool) -> io::Error {
    let stop = load();
    let mut error = None;
    for left in [0, 10_000] {
        trace::start(Broken { left, panics }).unwrap();
        wait_until("the trace ends by itself", || !trace::is_running());
        // Also one that failed has to be stopped.
        let second = trace::start(io::sink()).map_err(|error| error.kind());
        assert_eq!(second, Err(ErrorKind::ResourceBusy));
        error = trace::stop().err();
        assert!(error.is_some());
    }
    trace::start(io::sink()).unwrap();
    trace::stop().unwrap();
    stop();
    error.unwrap()
}

fn trace_writer_fails(_: &[String]) {
    let error = broken(false);
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(error.to_string(), "no room");
}

fn trace_writer_panics(_: &[String]) {
    let error = broken(true);
    assert_eq!(error.kind(), ErrorKind::Other);
    let text = error.to_string();
    assert!(text.contains("the writer's own panic"), "{text}");
}

/// Passes on what it gets only when it is told to.
struct Slow(File, mpsc::Receiver<()>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error: there is nobody any more, and it may go on.
        let _ = self.1.recv();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Nobody waits for a writer that hangs: events are lost, and counted.
fn trace_writer_is_slow(args: &[String]) {
    let (go_on, told) = mpsc::channel();
    let file = File::create(&args[0]).unwrap();
    trace::start(Slow(file, told)).unwrap();
    let yields = || {
        let all: Vec<_> = (0..4)
            .map(|_| corio::spawn(|| (0..100_000).for_each(|_| corio::yield_now())))
            .collect();
        all.into_iter().for_each(|g| g.join().unwrap());
    };
    yields();
    drop(go_on);
    let summary = trace::stop().unwrap();
    println!("dropped: {}", summary.dropped);
    assert!(summary.dropped >= 400_000, "{summary:?}");
    assert!(summary.events > 10_000, "{summary:?}");
}

/// Traced from beginning to end, as the environment asks for it.
fn trace_whole_program(_: &[String]) {
    assert!(!trace::is_running(), "the runtime has not started");
    corio::run(|| {
        assert!(trace::is_running());
        let parts: Vec<_> = (0..10).map(|n| corio::go!(move || n)).collect();
        assert_eq!(
            parts.into_iter().map(|g| g.join().unwrap()).sum::<i32>(),
            45
        );
    });
    assert!(!trace::is_running());
}

/// Ends in the middle, as programs do that aren't under `run`.
fn trace_exit(_: &[String]) {
    corio::spawn(|| {
        corio::spawn(corio::yield_now).join().unwrap();
        std::process::exit(7);
    })
    .join()
    .unwrap();
}

/// Is killed when there is something in the file.
fn trace_killed(args: &[String]) {
    let _stop = load();
    wait_until("there is something in the file", || {
        std::fs::metadata(&args[0]).is_ok_and(|file| file.len() > 200_000)
    });
    // SAFETY: a signal to ourselves.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    thread::park();
}

/// The thread that writes is none of the program's: it keeps nobody from noticing a deadlock.
fn trace_deadlock(args: &[String]) {
    let path = args[0].clone();
    corio::run(move || {
        trace::start(File::create(path).unwrap()).unwrap();
        let (_tx, rx) = corio::channel::bounded::<()>(0);
        rx.recv().unwrap();
    });
}

/// What goroutines wait for in a queue shows in the metrics; also what a thread without a P has made ready.
fn trace_latency(_: &[String]) {
    assert_eq!(corio::metrics().sched_latency.count(), 0);
    let all: Vec<_> = (0..10)
        .map(|_| corio::spawn(|| (0..10_000).for_each(|_| corio::yield_now())))
        .collect();
    all.into_iter().for_each(|g| g.join().unwrap());
    let few = corio::metrics().sched_latency;
    println!("sampled: {}", few.count());
    // Each 256th of 100,000, and perhaps a few less.
    assert!((300..=100_000 / 256 + 10).contains(&few.count()), "{few:?}");
    assert!(few.sum > Duration::ZERO);
    let half = few.quantile(0.5).unwrap();
    assert!(half <= few.quantile(1.0).unwrap());

    // 2,000 wait behind one that keeps the only P for 2 ms.
    let hog = corio::spawn(|| {
        let all: Vec<_> = (0..2000).map(|_| corio::spawn(|| ())).collect();
        spin_for(Duration::from_millis(2));
        all.into_iter().for_each(|g| g.join().unwrap());
    });
    hog.join().unwrap();
    let more = corio::metrics().sched_latency;
    assert!(more.count() >= few.count() + 2, "{more:?}");
    assert!(
        more.quantile(1.0).unwrap() >= Duration::from_millis(2),
        "{more:?}"
    );
    println!("{more:?}");
}
