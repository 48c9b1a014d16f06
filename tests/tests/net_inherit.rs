//! Listeners that a process inherits, in systemd's protocol.

mod net_support;

use corio_net::{Conn, Listener, dial, inherit, listen};
use corio_tests::watchdog;
use net_support::*;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process that has inherited something, and what it said about it.
struct Heir {
    child: Child,
    said: Vec<String>,
    rest: Lines<BufReader<ChildStdout>>,
}

impl Heir {
    fn start(command: &mut Command, lines: usize) -> Heir {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = rest.by_ref().take(lines).map(Result::unwrap).collect();
        Heir { child, said, rest }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.rest.for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

const CHILD: &str = env!("CARGO_BIN_EXE_net_child");

fn assert_echoes(conn: &Conn) {
    let mut conn = conn;
    conn.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    conn.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
}

#[test]
fn a_child_serves_on_what_it_was_given() {
    let _dog = watchdog();
    let given: Vec<(Listener, String)> = networks().into_iter().map(local).collect();
    let names = ["first one", "second", "third", "fourth"];
    let list: Vec<_> = names
        .into_iter()
        .zip(&given)
        .map(|(name, (listener, _))| (name, listener))
        .collect();
    // A connection from before its start is not lost.
    let early: Vec<_> = given
        .iter()
        .map(|(listener, addr)| dial(listener.network(), addr).unwrap())
        .collect();
    let mut command = inherit::pass(CHILD, &list).unwrap();
    let heir = Heir::start(command.arg("inherited"), 1 + given.len());
    drop(command);
    assert_eq!(heir.said[0], format!("count: {}", given.len()));
    for (said, (name, listener)) in heir.said[1..].iter().zip(&list) {
        let addr = listener.local_addr().unwrap();
        assert_eq!(*said, format!("{name}: {} {addr}", listener.network()));
    }
    early.iter().for_each(assert_echoes);
    // Ours are no longer needed; a path stays.
    for (listener, addr) in given {
        let network = listener.network();
        listener.close().unwrap();
        assert_echoes(&dial(network, &addr).unwrap());
        if network == "unix" {
            std::fs::remove_file(addr).unwrap();
        }
    }
    heir.end();
}

/// The numbers that descriptors are moved to may be those that they have.
#[test]
fn low_numbers_do_not_get_in_each_others_way() {
    let _dog = watchdog();
    // In this process the numbers are taken; in a shell's child, they are not.
    let given: Vec<_> = (0..20).map(|_| local("tcp4")).collect();
    let names: Vec<_> = (0..20).map(|n| format!("n{n}")).collect();
    // In reverse: high ones become low ones.
    let list: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(given.iter().rev().map(|(listener, _)| listener))
        .collect();
    let mut command = inherit::pass(CHILD, &list).unwrap();
    let heir = Heir::start(command.arg("inherited"), 21);
    for (said, (name, listener)) in heir.said[1..].iter().zip(&list) {
        let addr = listener.local_addr().unwrap();
        assert_eq!(*said, format!("{name}: tcp {addr}"));
    }
    heir.end();
}

#[test]
fn who_was_given_nothing_has_nothing() {
    let _dog = watchdog();
    let mut command = Command::new(CHILD);
    let heir = Heir::start(command.arg("inherited"), 1);
    assert_eq!(heir.said, ["count: 0"]);
    heir.end();
    // For somebody else, for instance its parent.
    for (pid, count) in [("1", "2"), ("1", "nonsense")] {
        let mut command = Command::new(CHILD);
        command.env("LISTEN_PID", pid).env("LISTEN_FDS", count);
        let heir = Heir::start(command.arg("inherited"), 1);
        assert_eq!(heir.said, ["count: 0"]);
        heir.end();
    }
    let command = &mut inherit::pass(CHILD, &[]).unwrap();
    let heir = Heir::start(command.arg("inherited"), 1);
    assert_eq!(heir.said, ["count: 0"]);
    heir.end();
}

/// A child that is told of descriptors 3 and up by hand.
fn told(count: &str, names: Option<&str>, fds: Vec<OwnedFd>) -> String {
    told_in("inherited", count, names, fds)
}

/// The same, in another scenario.
fn told_in(scenario: &str, count: &str, names: Option<&str>, fds: Vec<OwnedFd>) -> String {
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" \"$@\"",
            CHILD,
            scenario,
        ])
        .env("LISTEN_FDS", count);
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    let high: Vec<_> = fds
        .iter()
        // SAFETY: no memory is passed; the duplicates are the child's, and ours to forget.
        .map(|fd| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 50) })
        .collect();
    // SAFETY: between fork and exec there are only system calls.
    unsafe {
        command.pre_exec(move || {
            for number in 3..10 {
                libc::close(number);
            }
            for (fd, number) in high.iter().zip(3..) {
                libc::dup2(*fd, number);
            }
            Ok(())
        })
    };
    let heir = Heir::start(&mut command, 1);
    let said = heir.said[0].clone();
    heir.end();
    said
}

#[test]
fn what_is_no_listener_is_refused() {
    let _dog = watchdog();
    let std = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = std();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for (fd, name) in [
        (OwnedFd::from(stream), "a stream"),
        (udp.into(), "datagrams"),
        (file.into(), "a file"),
    ] {
        let names = format!("good:{name}");
        let said = told("2", Some(&names), vec![std().into(), fd]);
        let start = format!("error: inherited descriptor 4 ({name:?}): ");
        assert!(said.starts_with(&start), "{said}");
    }
    // Fewer than promised.
    let said = told("2", None, vec![std().into()]);
    assert!(
        said.starts_with("error: inherited descriptor 4: "),
        "{said}"
    );
    let said = told("x", None, vec![std().into()]);
    assert!(said.starts_with("error: LISTEN_FDS=\"x\" "), "{said}");
    let said = told("2", Some("a"), vec![std().into(), std().into()]);
    assert!(said.starts_with("error: LISTEN_FDNAMES=\"a\" "), "{said}");
    assert_eq!(told("1", Some("a"), vec![std().into()]), "count: 1");
    assert_eq!(told("1", None, vec![std().into()]), "count: 1");
}

#[test]
fn what_the_program_opened_itself_is_not_taken_from_it() {
    let _dog = watchdog();
    let said = told_in("not_inherited", "1", None, Vec::new());
    assert!(
        said.starts_with("error: inherited descriptor 3: opened by this process"),
        "{said}"
    );
}

#[test]
fn what_can_not_be_passed_is_refused() {
    let (listener, _) = local("tcp4");
    let long = "x".repeat(256);
    for name in ["", "a:b", "ä", "tab\t", &long] {
        let error = inherit::pass(CHILD, &[(name, &listener)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    listener.close().unwrap();
    assert_closed(inherit::pass(CHILD, &[("closed", &listener)]));
}

#[test]
fn a_program_that_is_not_there_is_the_shells_error() {
    let listener = listen("tcp", "127.0.0.1:0").unwrap();
    let status = inherit::pass("/nonexistent/program", &[("x", &listener)])
        .unwrap()
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(127));
}
