//! The server of a peer: started, asked for its usage by SIGUSR1, ended by SIGTERM.
//!
//! Asking is a signal and costs the load generator next to nothing; the answers are collected after
//! the load is over. They come in order, one for each signal.

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
    /// Questions without an answer yet.
    asked: usize,
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
                asked: 0,
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
        self.collect()?;
        self.asked += 1;
        self.signal(libc::SIGUSR1)
    }

    /// Its usage at each time that it was asked.
    pub(crate) fn answers(&mut self) -> io::Result<Vec<Usage>> {
        self.collect()?;
        Ok(std::mem::take(&mut self.answered))
    }

    /// Waits for the answers that are due.
    fn collect(&mut self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.asked > 0 {
            let line = self.running.line(until)?.ok_or_else(|| {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended")
            })?;
            let usage = serde_json::from_str(&line)
                .map_err(|error| io::Error::other(format!("{line}: {error}")))?;
            self.answered.push(usage);
            self.asked -= 1;
        }
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
    fn a_server_that_the_peer_does_not_have() {
        let refused = Server::start(&mut shell("echo no such >&2; exit 3"), None);
        assert!(matches!(refused, Err(Refusal::Absent(why)) if why == "no such"));
        let refused = Server::start(&mut shell("echo broken >&2; exit 1"), None);
        assert!(matches!(refused, Err(Refusal::Failed(_))));
    }
}
