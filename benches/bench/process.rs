//! A peer as a process: pinned, with its output read by threads, and never left behind.
//!
//! The output is read by threads of the harness, so that a peer that prints nothing can be given up
//! after a while and one that prints much does not stall in a full pipe. Dropping a [`Running`]
//! kills the process and reaps it: nothing that the harness starts outlives the harness, and the
//! CPU time of every child is in `RUSAGE_CHILDREN` when a round is over (see [`crate::disturb`]).

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The CPUs that this process may use, in ascending order.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a set of the size given.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return vec![0];
    }
    // SAFETY: every number asked for is below CPU_SETSIZE.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect()
}

fn set_of(cpus: &[usize]) -> libc::cpu_set_t {
    // SAFETY: as in `allowed_cpus`.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for cpu in cpus {
        // SAFETY: the numbers come from `allowed_cpus`, so they are below CPU_SETSIZE.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    set
}

/// Pins the calling thread.
pub(crate) fn pin_thread(cpus: &[usize]) -> io::Result<()> {
    let set = set_of(cpus);
    // SAFETY: the pointer is to a set of the size given.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the command start on those CPUs.
pub(crate) fn pin_command(command: &mut Command, cpus: &[usize]) {
    let set = set_of(cpus);
    // SAFETY: between fork and exec only a system call is made, on memory that the fork copied.
    unsafe {
        command.pre_exec(move || {
            match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

/// Lets this process and its children have as many descriptors as they are allowed.
pub(crate) fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: the pointer is to a limit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

/// A process whose output is being read.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts it, on those CPUs if there are any.
    pub(crate) fn start(command: &mut Command, cpus: Option<&[usize]>) -> io::Result<Running> {
        if let Some(cpus) = cpus {
            pin_command(command, cpus);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().display();
            io::Error::new(error.kind(), format!("{program}: {error}"))
        })?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take();
        thread::spawn(move || {
            for line in stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines())
            {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = child.stderr.take();
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is as good as there is.
            let _ = stderr.map(|mut err| err.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Running {
            child,
            lines,
            errors: Some(errors),
        })
    }

    /// The next line; `None` when there are no more.
    pub(crate) fn line(&self, until: Instant) -> io::Result<Option<String>> {
        match self
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "says nothing; given up",
            )),
        }
    }

    /// Waits for the end; how it ended, and the last line of its complaints.
    pub(crate) fn end(mut self, until: Instant) -> io::Result<(ExitStatus, String)> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "does not end; killed",
                ));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let errors = self
            .errors
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        let last = errors
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("");
        Ok((status, last.to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill and nothing lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a tool and returns what it printed, if it is there and succeeds.
pub(crate) fn output(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Where a tool is, if it is anywhere on the path.
pub(crate) fn which(tool: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(tool))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn lines_status_and_the_last_complaint() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo one; echo two; echo first >&2; echo last >&2; exit 3",
        ]);
        let running = Running::start(&mut command, Some(&allowed_cpus())).unwrap();
        assert_eq!(running.line(soon()).unwrap().as_deref(), Some("one"));
        assert_eq!(running.line(soon()).unwrap().as_deref(), Some("two"));
        assert_eq!(running.line(soon()).unwrap(), None);
        let (status, last) = running.end(soon()).unwrap();
        assert_eq!((status.code(), last.as_str()), (Some(3), "last"));
    }

    #[test]
    fn silence_is_given_up() {
        let mut command = Command::new("sleep");
        let running = Running::start(command.arg("60"), None).unwrap();
        let error = running
            .line(Instant::now() + Duration::from_millis(20))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = running.child.id() as libc::pid_t;
        drop(running);
        // SAFETY: signal 0 only asks whether the process is there.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }
}
