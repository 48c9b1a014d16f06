//! A `net_child` process that is talked to while it runs.

use super::cast::output;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// It is killed when this is dropped, or after a while.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
    what: String,
    _alive: Sender<()>,
}

/// How long a process may take: only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Process {
    /// Starts a scenario.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_net_child"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CORIO_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let pid = child.id() as libc::pid_t;
        let (alive, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // SAFETY: no memory is passed. The process has not been waited for: that happens
                // after `alive` is gone.
                unsafe { libc::kill(pid, libc::SIGABRT) };
            }
        });
        Process {
            child,
            lines,
            what: format!("{args:?} {env:?}"),
            _alive: alive,
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints, as name and value.
    pub(crate) fn line(&mut self) -> (String, String) {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a pipe");
        let (name, value) = line
            .trim_end()
            .split_once(": ")
            .unwrap_or_else(|| panic!("{} printed {line:?} (or is gone)", self.what));
        (name.to_owned(), value.to_owned())
    }

    /// The number in the next line, which must have this name.
    pub(crate) fn number(&mut self, name: &str) -> u64 {
        let (found, value) = self.line();
        assert_eq!(found, name, "{}", self.what);
        value.parse().unwrap()
    }

    /// Sends a word.
    pub(crate) fn tell(&mut self, word: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{word}").expect("the child listens");
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends its standard input and demands that it ends well.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}", self.what);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is this the process that [`run_alone`] has made?
pub(crate) fn is_alone() -> bool {
    std::env::var_os("CORIO_TEST_ALONE").is_some()
}

/// Runs a test of this binary in a process of its own, in this directory; it does nothing unless [`is_alone`].
#[track_caller]
pub(crate) fn run_alone(test: &str, directory: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = output(
        command
            .args(["--exact", test])
            .current_dir(directory)
            .env("CORIO_TEST_ALONE", "1"),
    );
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{out}\n{err}"
    );
}
