//! Tests run on goroutines, on plain threads, and across; and again with other settings.

use corio_tests::watchdog;
use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread;

/// Held for writing while a process is started. Between `fork` and `exec` that has copies of all
/// descriptors, and what a test closes meanwhile keeps its address, and its connection, for a moment.
static STARTING: RwLock<()> = RwLock::new(());

/// As long as the result lives, no process is started by [`output`].
pub(crate) fn undisturbed() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a program while no test is [`undisturbed`].
pub(super) fn output(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        // It returns when the program has been started.
        command.spawn().unwrap()
    };
    child.wait_with_output().unwrap()
}

/// Where a test's parts run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    /// Its body.
    body: Role,
    /// What it spawns.
    others: Role,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Goroutine,
    Thread,
}

/// A goroutine or thread.
#[derive(Debug)]
#[must_use]
pub(crate) enum Task<T> {
    Goroutine(corio::JoinHandle<T>),
    Thread(thread::JoinHandle<T>),
}

impl Role {
    fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        match self {
            Role::Goroutine => Task::Goroutine(corio::spawn(f)),
            Role::Thread => Task::Thread(thread::spawn(f)),
        }
    }
}

impl Cast {
    /// Starts another part of the test.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        self.others.spawn(f)
    }
}

impl<T: Send + 'static> Task<T> {
    /// Its result. Waiting for a thread does not keep a P.
    #[track_caller]
    pub(crate) fn join(self) -> T {
        match self {
            Task::Goroutine(handle) => handle.join(),
            Task::Thread(handle) => corio::blocking(|| handle.join()),
        }
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Has it come to its end?
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Task::Goroutine(handle) => handle.is_finished(),
            Task::Thread(handle) => handle.is_finished(),
        }
    }
}

/// Runs a test with all casts.
pub(crate) fn everywhere(test: fn(Cast)) {
    let _undisturbed = undisturbed();
    let _watchdog = watchdog();
    for body in [Role::Goroutine, Role::Thread] {
        for others in [Role::Goroutine, Role::Thread] {
            let cast = Cast { body, others };
            body.spawn(move || test(cast)).join();
        }
    }
}

/// Runs this test binary again for each of several settings, without the test of this name, which is
/// the calling one.
pub(crate) fn under_other_settings(caller: &str) {
    for (procs, migrate) in [(1, "never"), (8, "always")] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--skip", caller])
            .env("CORIO_PROCS", procs.to_string())
            .env("CORIO_MIGRATE", migrate);
        let output = output(&mut command);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success() && !out.contains("running 0 tests"),
            "CORIO_PROCS={procs} CORIO_MIGRATE={migrate}: {}\n{out}\n{err}",
            output.status
        );
        let result = out
            .lines()
            .find(|line| line.starts_with("test result"))
            .unwrap_or("?");
        println!("CORIO_PROCS={procs} CORIO_MIGRATE={migrate}: {result}");
    }
}
