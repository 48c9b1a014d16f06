//! A server among goroutines that keep their thread. At the word `go` they start; when the last is
//! done, what they have seen is printed.

use crate::{Scenario, namespace, serve, word};
use corio::JoinHandle;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("three_hogs", |_| among(three_hogs)),
    ("fifo", |_| among(fifo)),
    ("mutex", |_| among(mutex)),
    ("runnext", |_| among(runnext)),
    ("resolver", resolver),
    ("crowd", |args| {
        let n = args[0].parse().unwrap();
        among(move || crowd(n));
    }),
    ("sleepers", |args| {
        let n = args[0].parse().unwrap();
        among(move || sleepers(n));
    }),
];

/// How long most hogs go on: long against any latency that a working scheduler shows.
const LONG: Duration = Duration::from_secs(2);

fn among(hogs: impl FnOnce()) {
    serve(corio_net::TcpListener::bind("127.0.0.1:0").unwrap());
    then(hogs);
}

fn then(hogs: impl FnOnce()) {
    assert_eq!(word().as_deref(), Some("go"));
    hogs();
    println!("done: {}", corio::metrics().totals().take_overs);
    // The client's connections end first.
    assert_eq!(word(), None);
    std::process::exit(0);
}

fn spin_until(end: Instant) {
    while Instant::now() < end {
        black_box((0..1000).sum::<u64>());
    }
}

/// The calling thread's CPU time in microseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to a live `timespec`.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(done, 0);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

fn join_all(handles: Vec<JoinHandle<()>>) {
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
}

fn three_hogs() {
    join_all(vec![
        corio::spawn(|| spin_until(Instant::now() + LONG)),
        corio::spawn(|| thread::sleep(LONG)),
        corio::spawn(|| corio::blocking(|| thread::sleep(LONG))),
    ]);
}

/// Opening a FIFO waits for the other end.
fn fifo() {
    let path = std::env::temp_dir().join(format!("corio-net-fifo-{}", std::process::id()));
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let theirs = path.clone();
    let start = Instant::now();
    let reader = corio::spawn(move || drop(File::open(theirs).unwrap()));
    thread::sleep(LONG);
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    reader.join().unwrap();
    drop(writer);
    std::fs::remove_file(path).unwrap();
    assert!(start.elapsed() >= LONG);
}

/// std's lock blocks the thread.
fn mutex() {
    let mutex = Arc::new(Mutex::new(()));
    let (held, holding) = mpsc::channel();
    let theirs = Arc::clone(&mutex);
    let holder = thread::spawn(move || {
        let _guard = theirs.lock().unwrap();
        held.send(()).unwrap();
        thread::sleep(LONG);
    });
    holding.recv().unwrap();
    let waiting = (0..4).map(|_| {
        let mutex = Arc::clone(&mutex);
        corio::spawn(move || drop(mutex.lock().unwrap()))
    });
    join_all(waiting.collect());
    holder.join().unwrap();
}

/// How long a goroutine waits in `runnext` while the one that readied it spins.
fn runnext() {
    let (tell, told) = mpsc::channel();
    let hog = corio::spawn(move || {
        let ready = Instant::now();
        corio::spawn(move || tell.send(ready.elapsed()).unwrap());
        spin_until(ready + LONG);
    });
    println!("waited us: {}", told.recv().unwrap().as_micros());
    hog.join().unwrap();
}

/// Names that no server answers for. The server's socket was made outside of the namespace in which
/// the rest of the process is.
fn resolver(_: &[String]) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = match namespace::without_answers() {
        Ok(socket) => socket,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    serve(listener.try_into().unwrap());
    then(move || {
        let lookups: Vec<_> = (0..4)
            .map(|number| {
                corio::spawn(move || {
                    let start = Instant::now();
                    let name = format!("name{number}.example:80");
                    let error = corio_net::lookup_host(name.as_str())
                        .map(|_| ())
                        .unwrap_err();
                    println!(
                        "lookup {number}: {} ms, {error}",
                        start.elapsed().as_millis()
                    );
                })
            })
            .collect();
        join_all(lookups);
        drop(nobody);
    });
}

/// `n` hogs at once; each tells what CPU time it got.
fn crowd(n: usize) {
    let start = Instant::now();
    let end = start + 2 * LONG;
    let hogs: Vec<_> = (0..n)
        .map(|_| {
            corio::spawn(move || {
                let before = cpu_time();
                spin_until(end);
                cpu_time() - before
            })
        })
        .collect();
    let times: Vec<_> = hogs.into_iter().map(|hog| hog.join().unwrap()).collect();
    let seconds = start.elapsed().as_secs_f64();
    let per_second = |time: u64| (time as f64 / seconds) as u64;
    println!(
        "cpu us/s least: {}",
        per_second(*times.iter().min().unwrap())
    );
    println!(
        "cpu us/s mean: {}",
        per_second(times.iter().sum::<u64>() / n as u64)
    );
}

/// `n` goroutines at once that block their threads.
fn sleepers(n: usize) {
    let sleepers = (0..n).map(|_| corio::spawn(|| thread::sleep(LONG)));
    join_all(sleepers.collect());
}
