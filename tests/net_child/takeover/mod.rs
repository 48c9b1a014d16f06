//! Servers that are told to end, and replaced, while clients ask. What is lost is counted on both sides: servers
//! count the connections they accept and the requests they read, clients what they get ([`load`]).
//!
//! A request is a line with a number. So is the answer, with a word that says whether another request may follow
//! on this connection: a server that shuts down says `last`. One that had said `more` may close the connection
//! nevertheless while it is idle, so a client may find it closed when it sends its next request; as in HTTP,
//! it then tries again on a new connection.

mod load;

use crate::fault::permitted;
use crate::network::{self, Refused};
use crate::{Scenario, word};
use corio::signal::SIGTERM;
use corio_net::{Backlog, Connection, ListenConfig, Server, inherit};
use load::{Load, Tally};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("takeover_inherited", |_| in_line()),
    ("takeover_server", server),
    ("takeover_shared", |args| side_by_side(&args[0])),
    ("takeover_term", |_| term()),
];

/// How often a server is replaced.
const RESTARTS: usize = 10;
/// How many answers clients get in between.
const ANSWERS: usize = 300;

/// The requests that this process has read.
static READ: AtomicUsize = AtomicUsize::new(0);

/// Answers requests; some take a while.
fn answer(conn: &mut Connection) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256, conn);
    let mut line = String::new();
    while !reader.buffer().is_empty() || reader.get_ref().wait_request()? {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        READ.fetch_add(1, Ordering::Relaxed);
        let number: u64 = line.trim().parse().map_err(io::Error::other)?;
        corio::sleep(Duration::from_millis(number % 4));
        let last = reader.get_ref().is_shutting_down();
        let follows = if last { "last" } else { "more" };
        let answer = format!("{number} {follows}\n");
        reader.get_mut().write_all(answer.as_bytes())?;
        if last {
            break;
        }
    }
    Ok(())
}

/// How a server comes by its listener, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// It has one of its own.
    Alone,
    /// It has one of its own, on an address that others listen on, too.
    Shared,
    /// It has the first one, which is handed on.
    First,
    /// It was handed on, and will be.
    Heir,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Alone, Kind::Shared, Kind::First, Kind::Heir];
}

/// A server's process. It prints a line when it serves, and one when it has ended. SIGTERM ends it, and so does the end of
/// its standard input. At the word `replace` it starts its heir, who also gets the pipes.
fn server(args: &[String]) {
    // Whatever happens to the test, it leaves nothing behind. SAFETY: no memory is passed.
    unsafe { libc::alarm(100) };
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| format!("{kind:?}") == args[0])
        .unwrap();
    let listener = match kind {
        Kind::Heir => inherit::listeners().unwrap().remove(0).1,
        _ => ListenConfig::new()
            .reuse_port(kind == Kind::Shared)
            .listen("tcp4", &args[1])
            .unwrap(),
    };
    let addr = listener.local_addr().unwrap();
    let hands_on = matches!(kind, Kind::First | Kind::Heir);
    let to_pass = listener.try_clone().unwrap();
    let server = Server::new(answer)
        .backlog(if hands_on {
            Backlog::Leave
        } else {
            Backlog::Serve
        })
        .shutdown_on(&[SIGTERM], Duration::from_secs(30))
        .start([listener])
        .unwrap();
    println!("ready: {} {addr}", std::process::id());
    let handle = server.clone();
    thread::spawn(move || match word() {
        Some(word) => {
            assert_eq!(word, "replace");
            let this = std::env::current_exe().unwrap();
            let mut command = inherit::pass(this, &[("numbers", &to_pass)]).unwrap();
            command
                .arg("takeover_server")
                .arg(format!("{:?}", Kind::Heir));
            let mut heir = command.spawn().unwrap();
            // It has the listener.
            drop(command);
            // Usually this process ends first.
            let _ = heir.wait();
        }
        None => handle.begin_shutdown(Duration::from_secs(30)),
    });
    let report = server.wait();
    assert_eq!((report.forced, report.unfinished), (0, 0), "{report}");
    let accepted = server.stats().accepted;
    println!("done: {accepted} {}", READ.load(Ordering::Relaxed));
}

/// What servers have done.
#[derive(Debug, Default)]
struct Done {
    accepted: usize,
    read: usize,
}

/// A server, or a line of them, from outside.
struct Servers {
    /// The first one.
    child: Child,
    words: ChildStdin,
    lines: BufReader<ChildStdout>,
    /// The process that serves.
    pid: libc::pid_t,
    addr: SocketAddr,
}

impl Servers {
    /// Starts one, and waits until it serves.
    fn start(kind: Kind, addr: &str) -> Servers {
        let this = std::env::current_exe().unwrap();
        let mut child = Command::new(this)
            .arg("takeover_server")
            .arg(format!("{kind:?}"))
            .arg(addr)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut servers = Servers {
            words: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()),
            child,
            pid: 0,
            addr: SocketAddr::from(([0; 4], 0)),
        };
        servers.ready();
        servers
    }

    /// The two values of the next line.
    fn line(&mut self, name: &str) -> (String, String) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let values = line
            .trim()
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(": ")?.split_once(' '));
        let (first, second) = values.unwrap_or_else(|| panic!("a server printed {line:?}"));
        (first.to_owned(), second.to_owned())
    }

    fn ready(&mut self) {
        let (pid, addr) = self.line("ready");
        self.pid = pid.parse().unwrap();
        self.addr = addr.parse().unwrap();
    }

    /// Replaces the process that serves by its heir.
    fn replace(&mut self, done: &mut Done) {
        let old = self.pid;
        writeln!(self.words, "replace").unwrap();
        self.ready();
        kill(old);
        self.done(done);
    }

    fn done(&mut self, done: &mut Done) {
        let (accepted, read) = self.line("done");
        done.accepted += accepted.parse::<usize>().unwrap();
        done.read += read.parse::<usize>().unwrap();
    }

    /// `kill -TERM`, and waits until it has ended.
    fn end(mut self, done: &mut Done) {
        kill(self.pid);
        self.done(done);
        assert!(self.child.wait().unwrap().success());
    }
}

fn kill(pid: libc::pid_t) {
    // SAFETY: no memory is passed. It has said who it is, and runs until it is told to end.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
}

/// Whatever was accepted, and whatever was read, was answered.
fn compare(what: &str, done: &Done, tally: &Tally) {
    println!("{what}: {done:?}, {tally:?}");
    assert_eq!(tally.failed, [""; 0]);
    assert_eq!(done.read, tally.answers, "requests read, and answered");
    assert_eq!(done.accepted, tally.connections, "connections");
}

/// A server is ended while it is busy. Nobody follows it, so clients are refused then, or reset if they connect in the
/// moment in which it closes its listener.
fn term() {
    for _ in 0..3 {
        let mut done = Done::default();
        let server = Servers::start(Kind::Alone, "127.0.0.1:0");
        let load = Load::start(server.addr);
        load.wait(1000);
        server.end(&mut done);
        compare("ended", &done, &load.stop());
    }
}

/// Each server hands its listener on to the next one. Nobody notices.
fn in_line() {
    let mut done = Done::default();
    let mut servers = Servers::start(Kind::First, "127.0.0.1:0");
    let load = Load::start(servers.addr);
    for _ in 0..RESTARTS {
        load.wait(ANSWERS);
        servers.replace(&mut done);
    }
    load.wait(ANSWERS);
    let tally = load.stop();
    servers.end(&mut done);
    compare("replaced by heirs", &done, &tally);
    assert_eq!((tally.refused, tally.reset), (0, 0));
}

/// Each server has a listener of its own on the same address (`SO_REUSEPORT`). What has not been accepted when the old
/// one closes its listener goes to the new one's if `net.ipv4.tcp_migrate_req` is 1. If it is 0 it is reset;
/// nothing else is lost.
fn side_by_side(migrate: &str) {
    permitted(network::isolate());
    let setting = "/proc/sys/net/ipv4/tcp_migrate_req";
    permitted(fs::write(setting, migrate).map_err(|error| Refused(format!("{setting}: {error}"))));
    let mut done = Done::default();
    let mut server = Servers::start(Kind::Shared, "127.0.0.1:0");
    let addr = server.addr;
    let load = Load::start(addr);
    for _ in 0..RESTARTS {
        load.wait(ANSWERS);
        let next = Servers::start(Kind::Shared, &addr.to_string());
        std::mem::replace(&mut server, next).end(&mut done);
    }
    load.wait(ANSWERS);
    let tally = load.stop();
    server.end(&mut done);
    compare(
        &format!("replaced by equals, tcp_migrate_req {migrate}"),
        &done,
        &tally,
    );
    assert_eq!(tally.refused, 0);
    assert!(migrate == "0" || tally.reset == 0);
}
