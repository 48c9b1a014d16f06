//! The server of a peer: started, asked for its usage by SIGUSR1, ended by SIGTERM.
//!
//! Asking is a signal and costs the load generator next to nothing; the answers are collected after
//! the load is over. They come in order, one for each signal. With thousands of threads an answer may
//! come seconds late; so how much CPU the server had used is read from the system's clock of its process at the
//! moment of the question, and the answer only tells how much of it was user time.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::contract::{Listening, Usage};
use crate::process::Running;

/// How long a server may take over an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    listening: Listening,
    /// The question without an answer yet: the CPU time, in microseconds, when it was asked.
    asked: Option<Option<f64>>,
    answered: Vec<Usage>,
}

/// Why there is no server.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The peer does not have it; its own words.
    Absent(String),
    /// It went wrong.
    Failed(io::Error),
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(command: &mut Command, cpus: Option<&[usize]>) -> Result<Server, Refusal> {
        let until = Instant::now() + PATIENCE;
        let running = Running::start(command, cpus).map_err(Refusal::Failed)?;
        let Some(line) = running.line(until).map_err(Refusal::Failed)? else {
            let (status, last) = running.end(until).map_err(Refusal::Failed)?;
            return Err(match status.code() {
                Some(crate::contract::ABSENT) => Refusal::Absent(last),
                _ => Refusal::Failed(io::Error::other(format!("{status}: {last}"))),
            });
        };
        match serde_json::from_str(&line) {
            Ok(listening) => Ok(Server {
                running,
                listening,
                asked: None,
                answered: Vec::new(),
            }),
            Err(error) => Err(Refusal::Failed(io::Error::other(format!(
                "{line}: {error}"
            )))),
        }
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Asks for its usage, of now, once it has answered to the time before: two signals of one kind
    /// can become one.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        let used = cpu_us(self.listening.pid);
        self.collect()?;
        self.asked = Some(used);
        self.signal(libc::SIGUSR1)
    }

    /// Its usage at each time that it was asked.
    pub(crate) fn answers(&mut self) -> io::Result<Vec<Usage>> {
        self.collect()?;
        Ok(std::mem::take(&mut self.answered))
    }

    /// Waits for the answer that is due.
    fn collect(&mut self) -> io::Result<()> {
        let Some(used) = self.asked else {
            return Ok(());
        };
        let until = Instant::now() + PATIENCE;
        let line = self
            .running
            .line(until)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended"))?;
        let usage: Usage = serde_json::from_str(&line)
            .map_err(|error| io::Error::other(format!("{line}: {error}")))?;
        self.answered.push(match used {
            Some(used) => usage.when_used(used),
            None => usage,
        });
        self.asked = None;
        Ok(())
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.signal(libc::SIGTERM)?;
        let (status, last) = self.running.end(Instant::now() + PATIENCE)?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "the server ended with {status}: {last}"
            )))
        }
    }

    /// To the peer itself: the process that was started may be a tracer around it.
    fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: kill takes no pointer.
        match unsafe { libc::kill(self.listening.pid, signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The microseconds of CPU that a process has used, if the system tells.
fn cpu_us(pid: libc::pid_t) -> Option<f64> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both write where they are told to, to a number and a time of ours.
    let told = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    told.then(|| time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn asked_answered_and_ended() {
        let script = r#"
            trap 'echo "{\"cpu_user_us\":1,\"cpu_sys_us\":2,\"rss_kb\":3,\"page_tables_kb\":4}"' USR1
            trap 'exit 0' TERM
            echo "{\"listening\":\"127.0.0.1:9\",\"pid\":$$}"
            while :; do sleep 0.01; done"#;
        let mut server = Server::start(&mut shell(script), None).unwrap();
        assert_eq!(server.listening().listening.port(), 9);
        for _ in 0..2 {
            server.ask().unwrap();
            assert_eq!(server.answers().unwrap()[0].rss_kb, 3.0);
        }
        server.stop().unwrap();
    }

    #[test]
    fn the_system_tells_what_a_process_has_used() {
        let before = cpu_us(std::process::id() as libc::pid_t).unwrap();
        let busy = Instant::now();
        while busy.elapsed() < Duration::from_millis(20) {}
        assert!(cpu_us(std::process::id() as libc::pid_t).unwrap() > before);
        // There are at most 2^22 of them.
        assert_eq!(cpu_us((1 << 22) + 1), None);
    }

    #[test]
    fn a_server_that_the_peer_does_not_have() {
        let refused = Server::start(&mut shell("echo no such >&2; exit 3"), None);
        assert!(matches!(refused, Err(Refusal::Absent(why)) if why == "no such"));
        let refused = Server::start(&mut shell("echo broken >&2; exit 1"), None);
        assert!(matches!(refused, Err(Refusal::Failed(_))));
    }
}
