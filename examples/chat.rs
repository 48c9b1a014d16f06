//! A chat room: what one says all others hear; who doesn't listen is shown out.
//!
//! `cargo run --release --example chat`, then `nc 127.0.0.1 9000` in several terminals.
//!
//! Each connection has two goroutines. The handler reads; the *writer*, the only one that writes, is
//! fed by a channel, the connection's *outbox*. So lines are never mixed, and a client that reads
//! slowly holds up nobody until its outbox is full. Then whoever speaks waits for it a moment, without
//! holding a lock, and then its connection is closed. (Not to wait at all would turn out everybody each
//! time that somebody pastes a text; to wait as long as it takes would let one client stop the room.)
//!
//! When the server is to end the readers find the end of the stream, and writers have the last word.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::channel::{Receiver, Sender, TrySendError, bounded};
use corio::context::after_func;
use corio::go;
use corio::signal::{SIGINT, SIGTERM};
use corio::sync::Mutex;
use corio_examples::{read_line, run, say, seconds};
use corio_net::{Conn, Connection, Server, listen};

/// Of longer lines the rest is skipped.
const MAX_LINE: usize = 1024;
const MAX_NAME: usize = 20;
/// How long a client may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(60);
/// How long a client may take none of what is written to it. (Its outbox may have room as long as nobody
/// speaks, and who has no name yet is not in the room.)
const STUCK: Duration = Duration::from_secs(10);
/// How long the last words may take when the server is to end.
const GRACE: Duration = Duration::from_secs(5);

/// A chat room. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:9000")]
    addr: String,
    /// Lines that wait for one client at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    outbox: u16,
    /// Seconds to wait for a client whose outbox is full.
    #[arg(long, default_value = "1", value_parser = seconds)]
    patience: Duration,
    /// Clients at once; further ones wait.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("chat", move || {
        let room = Room {
            members: Mutex::new(BTreeMap::new()),
            patience: args.patience,
        };
        let outbox = usize::from(args.outbox);
        let server = Server::new(move |conn| attend(conn, &room, outbox))
            .name("chat")
            .max_connections(args.max as usize)
            .write_timeout(STUCK)
            .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
            .shutdown_on(&[SIGINT, SIGTERM], GRACE)
            .start([listen("tcp", &args.addr)?])?;
        say!("chat: listening on {}", server.addrs()[0]);
        let report = server.wait();
        let accepted = server.stats().accepted;
        say!("chat: stopped after {accepted} connections; {report}");
        Ok(())
    })
}

/// A line with its end, on its way to many.
type Line = Arc<str>;

/// Who is there, by name.
struct Room {
    members: Mutex<BTreeMap<String, Member>>,
    patience: Duration,
}

#[derive(Clone)]
struct Member {
    outbox: Sender<Line>,
    conn: Arc<Conn>,
}

impl Room {
    /// `false`: there is somebody of this name.
    fn enter(&self, name: &str, member: Member) -> bool {
        let mut members = self.members.lock();
        if members.contains_key(name) {
            return false;
        }
        members.insert(name.to_owned(), member);
        true
    }

    /// `false`: it has been shown out before.
    fn leave(&self, name: &str, outbox: &Sender<Line>) -> bool {
        let mut members = self.members.lock();
        // By now the name may be somebody else's.
        let there = members
            .get(name)
            .is_some_and(|member| member.outbox.same_channel(outbox));
        if there {
            members.remove(name);
        }
        there
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.members.lock().keys().cloned().collect();
        names.join(", ")
    }

    /// Tells a line to everybody but `speaker`. Who speaks waits for who is slow; nobody else does.
    fn tell(&self, speaker: &str, line: &str) {
        let line = Line::from(format!("{line}\n"));
        let mut slow = Vec::new();
        for (name, member) in self.members.lock().iter() {
            if name != speaker
                && let Err(TrySendError::Full(_)) = member.outbox.try_send(Arc::clone(&line))
            {
                slow.push((name.clone(), member.clone()));
            }
        }
        let deadline = Instant::now() + self.patience;
        for (name, member) in slow {
            let sent = member.outbox.send_deadline(Arc::clone(&line), deadline);
            if sent.is_err_and(|error| error.is_timeout()) && self.leave(&name, &member.outbox) {
                // Ends its reader, and its writer, which waits for it.
                let _ = member.conn.close();
                self.tell(&name, &format!("* {name} was too slow and had to go"));
            }
        }
    }
}

/// Serves one connection.
fn attend(conn: &Connection, room: &Room, outbox: usize) -> io::Result<()> {
    let (outbox, lines) = bounded(outbox);
    let member = Member {
        outbox,
        conn: Arc::new(conn.try_clone()?),
    };
    let writer = go!(write(Arc::clone(&member.conn), lines));

    // When the server is to end, the reader finds the end of the stream.
    let ours = Arc::clone(&member.conn);
    let stop = after_func(conn.context(), move || drop(ours.shutdown(Shutdown::Read)));
    let result = listen_to(conn, room, &member);
    stop.stop();

    if conn.is_shutting_down() {
        // If there is no room for it, it is not heard.
        let _ = member
            .outbox
            .try_send("* the server ends, goodbye\n".into());
    }
    // The last sender: the writer ends when it has written what there is.
    drop(member);
    let _ = writer.join();
    // A client that is gone is no error.
    result.or_else(|error| {
        if conn.is_shutting_down() {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// The only one that writes.
fn write(conn: Arc<Conn>, lines: Receiver<Line>) {
    for line in lines {
        if (&*conn).write_all(line.as_bytes()).is_err() {
            // Ends the reader too.
            let _ = conn.close();
            return;
        }
    }
}

/// Reads, from the name to the end.
fn listen_to(conn: &Connection, room: &Room, member: &Member) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(MAX_LINE, conn);
    conn.set_read_deadline(Some(Instant::now() + INTRODUCTION))?;
    let reply = |text: &str| drop(member.outbox.send(format!("* {text}\n").into()));
    reply("what is your name?");
    let name = loop {
        let Some(line) = read_line(&mut reader, MAX_LINE)? else {
            return Ok(());
        };
        let name = line.trim();
        if name.is_empty()
            || name.chars().count() > MAX_NAME
            || !name.chars().all(char::is_alphanumeric)
        {
            reply("a name has 1 to 20 letters and digits; what is yours?");
        } else if !room.enter(name, member.clone()) {
            reply("that name is taken; have you another?");
        } else {
            break name.to_owned();
        }
    };
    reply(&format!("welcome; here are: {}", room.names()));
    room.tell(&name, &format!("* {name} has joined"));
    let result = conn
        .set_read_deadline(None)
        .and_then(|()| converse(&mut reader, room, &name));
    if room.leave(&name, &member.outbox) {
        if !conn.is_shutting_down() {
            room.tell(&name, &format!("* {name} has left"));
        }
        result
    } else {
        // It was shown out, and so the connection is closed.
        Ok(())
    }
}

fn converse(reader: &mut BufReader<&Connection>, room: &Room, name: &str) -> io::Result<()> {
    while let Some(line) = read_line(reader, MAX_LINE)? {
        // Nothing that could move the cursor on somebody's terminal.
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        if !line.is_empty() {
            room.tell(name, &format!("{name}: {line}"));
        }
    }
    Ok(())
}
