//! Integration tests of corio: shared helpers.
//!
//! What can be tested in the test process is; there, tests run beside each other on one runtime, so
//! they say nothing about totals. Everything else runs in a [`Child`]: a process with a runtime of its
//! own, in which one *scenario* of the `child` binary runs. A scenario checks itself with assertions;
//! the test looks at how the process ended and at what it printed.
//!
//! No test waits for something by sleeping a while: it waits for the thing itself, and a [`Watchdog`] or
//! the child's time limit ends it if that never comes.

use std::any::Any;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long a child or a test may take unless it says otherwise: long enough for a loaded machine, as
/// only a failure ever takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process running one scenario of the `child` binary; see [`child!`](crate::child!).
#[derive(Debug)]
#[must_use = "a child does nothing until `run`"]
pub struct Child {
    command: Command,
    limit: Duration,
    what: String,
}

/// How a [`Child`] ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    what: String,
}

/// A [`Child`] that runs the scenario of this name. The environment's `CORIO_` variables do not reach
/// it.
#[macro_export]
macro_rules! child {
    ($scenario:expr) => {
        $crate::Child::new(env!("CARGO_BIN_EXE_child"), $scenario)
    };
}

impl Child {
    /// See [`child!`](crate::child!).
    pub fn new(program: &str, scenario: &str) -> Child {
        let mut command = Command::new(program);
        command.arg(scenario).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CORIO_") {
                command.env_remove(name);
            }
        }
        // A backtrace would be searched for words as well.
        command.env("RUST_BACKTRACE", "0");
        Child {
            command,
            limit: PATIENCE,
            what: scenario.to_owned(),
        }
    }

    /// An argument for the scenario.
    pub fn arg(mut self, arg: impl ToString) -> Child {
        let arg = arg.to_string();
        self.what = format!("{} {arg}", self.what);
        self.command.arg(arg);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl ToString) -> Child {
        let value = value.to_string();
        self.what = format!("{} ({name}={value})", self.what);
        self.command.env(name, value);
        self
    }

    /// Another time limit than a minute.
    pub fn limit(mut self, limit: Duration) -> Child {
        self.limit = limit;
        self
    }

    /// Its standard input is a pipe that stays open and empty while it runs.
    pub fn open_stdin(mut self) -> Child {
        self.command.stdin(Stdio::piped());
        self
    }

    /// The most address space it may have, in bytes.
    pub fn address_space(self, bytes: u64) -> Child {
        self.rlimit(libc::RLIMIT_AS, bytes)
    }

    fn rlimit(mut self, resource: libc::__rlimit_resource_t, value: u64) -> Child {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: between fork and exec only one system call is made, on a copied struct.
        unsafe {
            self.command.pre_exec(move || {
                if libc::setrlimit(resource, &limit) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            })
        };
        self
    }

    /// Runs it to its end. Panics with what it printed if it takes longer than the limit.
    pub fn run(mut self) -> Outcome {
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the child binary starts");
        let _stdin = child.stdin.take();
        let out = read_all(child.stdout.take().expect("piped"));
        let err = read_all(child.stderr.take().expect("piped"));
        let pid = child.id() as libc::pid_t;
        let (ended, end) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let status = child.wait();
            // The receiver only goes away with a test that has failed already.
            let _ = ended.send(());
            status
        });
        let timed_out = end.recv_timeout(self.limit) == Err(RecvTimeoutError::Timeout);
        if timed_out {
            // SAFETY: no memory is passed. Should the child end and its number go to another process
            // in this very moment, so be it: the waiter has not reported its end.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        let status = waiter.join().unwrap().expect("a child can be waited for");
        let outcome = Outcome {
            status,
            stdout: out.join().unwrap(),
            stderr: err.join().unwrap(),
            what: self.what,
        };
        assert!(!timed_out, "no end after {:?}: {outcome}", self.limit);
        outcome
    }

    /// Runs it and demands that it ends well.
    pub fn succeeds(self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.status.success(), "{outcome}");
        outcome
    }

    /// Runs it and demands that it panics: status 101.
    pub fn panics(self) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.status.code(), Some(101), "{outcome}");
        outcome
    }

    /// Runs it and demands that this signal ends it.
    pub fn dies_by(self, signal: i32) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.status.signal(), Some(signal), "{outcome}");
        outcome
    }
}

impl Outcome {
    /// Demands that it complained in these words.
    pub fn says(self, text: &str) -> Outcome {
        assert!(self.stderr.contains(text), "not said: {text:?}; {self}");
        self
    }

    /// Demands that it did not use these words.
    pub fn does_not_say(self, text: &str) -> Outcome {
        assert!(!self.stderr.contains(text), "said: {text:?}; {self}");
        self
    }

    /// The number printed in a line `name: number`.
    pub fn number(&self, name: &str) -> u64 {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
            .unwrap_or_else(|| panic!("no number {name:?}; {self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "child {}: {}\n--- stdout\n{}--- stderr\n{}---",
            self.what, self.status, self.stdout, self.stderr
        )
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Aborts the process, after printing the scheduler's metrics, unless dropped in time: a test that
/// hangs fails.
#[derive(Debug)]
#[must_use = "it watches until it is dropped"]
pub struct Watchdog(Option<(Sender<()>, thread::JoinHandle<()>)>);

/// A [`Watchdog`] for a minute.
pub fn watchdog() -> Watchdog {
    watchdog_for(PATIENCE)
}

/// A [`Watchdog`] for this long.
pub fn watchdog_for(limit: Duration) -> Watchdog {
    let test = thread::current().name().unwrap_or("?").to_owned();
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // `eprintln` would be captured together with the test's output, and lost.
            let _ = writeln!(
                std::io::stderr(),
                "{test}: no end after {limit:?}\n{:#?}",
                corio::metrics()
            );
            std::process::abort();
        }
    });
    Watchdog(Some((stop, thread)))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            // It can't have panicked.
            let _ = thread.join();
        }
    }
}

/// Yields until `done`: for what will surely happen, but tells nobody.
pub fn yield_until(mut done: impl FnMut() -> bool) {
    while !done() {
        corio::yield_now();
    }
}

/// Blocks the thread (not the goroutine) until `done`, looking every millisecond; panics after 30 s.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{what}: still not"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `f` on a plain thread and on a goroutine, under a [`watchdog`].
pub fn on_both(f: impl Fn() + Send + Sync + 'static) {
    let _dog = watchdog();
    f();
    corio::spawn(f).join().unwrap();
}

/// Starts `n` of which every other one is a goroutine, the others threads; the result joins them.
pub fn mixed(n: usize, f: impl Fn(usize) + Send + Sync + 'static) -> impl FnOnce() {
    let f = Arc::new(f);
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for i in 0..n {
        let f = Arc::clone(&f);
        if i % 2 == 0 {
            goroutines.push(corio::spawn(move || f(i)));
        } else {
            threads.push(thread::spawn(move || f(i)));
        }
    }
    move || {
        goroutines.into_iter().for_each(|g| g.join().unwrap());
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

/// What a panic said.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

/// Counts how often values were dropped: each [`Drops::token`] once.
#[derive(Debug, Default)]
pub struct Drops(AtomicUsize);

/// See [`Drops`].
#[derive(Debug)]
pub struct Token(&'static Drops);

impl Drops {
    /// A counter that lives for ever.
    pub fn new() -> &'static Drops {
        Box::leak(Box::default())
    }

    /// A value that counts its drop.
    pub fn token(&'static self) -> Token {
        Token(self)
    }

    /// Tokens dropped.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The threads of this process.
pub fn threads() -> Vec<u32> {
    std::fs::read_dir("/proc/self/task")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The number in a line such as `VmRSS:  123 kB` of a `/proc` file.
pub fn proc_number(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(field)?
                .strip_prefix(':')?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or_else(|| panic!("no {field} in {file}"))
}

/// The calling thread's id.
pub fn gettid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() as u32 }
}

/// A small random number generator, the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Seeded.
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, of 31 bits.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    /// The next number, below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
