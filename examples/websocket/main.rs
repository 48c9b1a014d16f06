//! A room over WebSocket: what one says all hear, in as many browsers as you like.
//!
//! `cargo run --release --example websocket`, then open http://127.0.0.1:8090/ in two windows.
//!
//! Frames, masks and the closing handshake are tungstenite's, which needs nothing but `Read` and `Write`, and knows
//! nothing of goroutines. Each client has two: the handler reads, the *writer* writes what comes through a channel, the
//! client's *outbox*. Whose outbox is full is too slow, and has to go. Each has a tungstenite `WebSocket` of its own over
//! the same connection; that their frames don't mix is [`Whole`]'s doing.

mod handshake;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::channel::{Receiver, Sender, bounded, tick};
use corio::context::Context;
use corio::signal::{SIGINT, SIGTERM};
use corio::sync::Mutex;
use corio::{go, select};
use corio_examples::{run, say, seconds};
use corio_net::{Conn, Connection, Server, listen};
use handshake::{MAX_HEAD, Wish};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

/// The longest message.
const MAX_MESSAGE: usize = 64 << 10;
/// How long a client may take for its request.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is written to it.
const STUCK: Duration = Duration::from_secs(10);
/// How long closing handshakes may take when the server is to end.
const GRACE: Duration = Duration::from_secs(1);
const PAGE: &str = include_str!("page.html");

/// A room for browsers. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8090")]
    addr: String,
    /// Messages that wait for one client at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    outbox: u16,
    /// Seconds between two pings; who has been silent for three of them is taken to be gone.
    #[arg(long, default_value = "20", value_parser = seconds)]
    ping: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("websocket", move || {
        let room = Room::default();
        let (outbox, ping) = (usize::from(args.outbox), args.ping);
        let server = Server::new(move |conn| attend(conn, &room, outbox, ping))
            .name("websocket")
            .max_connections(10_000)
            .write_timeout(STUCK)
            .on_error(|conn, error| drop(writeln!(io::stderr(), "{conn}: {error}")))
            .shutdown_on(&[SIGINT, SIGTERM], GRACE)
            .start([listen("tcp", &args.addr)?])?;
        say!("websocket: listening on {}", server.addrs()[0]);
        let report = server.wait();
        let accepted = server.stats().accepted;
        say!("websocket: stopped after {accepted} connections; {report}");
        Ok(())
    })
}

/// The outboxes of all who are there.
#[derive(Default)]
struct Room(Mutex<HashMap<u64, Sender<Message>>>);

impl Room {
    /// To all, the speaker too. Never waits: without its outbox, a writer closes its connection.
    fn tell(&self, message: &Message) {
        let mut members = self.0.lock();
        members.retain(|_, outbox| outbox.try_send(message.clone()).is_ok());
    }
}

/// A stream that writes all or nothing. tungstenite hands over whole frames, but may go on after a part of
/// them was taken; by then another goroutine could have begun with its own.
struct Whole<S>(S);

impl<S: Read> Read for Whole<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Write> Write for Whole<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write_all(buf).map(|()| buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Serves one client, whatever it wants.
fn attend(conn: &mut Connection, room: &Room, outbox: usize, ping: Duration) -> io::Result<()> {
    conn.set_read_deadline(Some(Instant::now() + INTRODUCTION))?;
    let Some((wish, rest)) = introduction(conn)? else {
        return Ok(());
    };
    match wish {
        Wish::Upgrade(answer) => conn.write_all(answer.as_bytes())?,
        Wish::Page => return respond(conn, "200 OK", PAGE),
        Wish::Refused(status) => return respond(conn, status, ""),
    }
    conn.set_read_deadline(None)?;
    conn.set_read_timeout(Some(ping * 3))?;
    let (tell, told) = bounded(outbox);
    room.0.lock().insert(conn.id(), tell);
    let (theirs, ctx) = (conn.try_clone()?, conn.context().clone());
    let writer = go!(write(theirs, told, ctx, ping));
    let end = read(conn, rest, room);
    // The only sender: without it the writer ends, if it hasn't for being too slow.
    let tell = room.0.lock().remove(&conn.id());
    if let (Some(tell), Err(error)) = (tell, &end)
        && let Some(code) = code_of(error)
    {
        drop(tell.try_send(closing(code, "")));
    }
    drop(writer.join());
    match end {
        Err(Error::Io(error)) if error.kind() != ErrorKind::TimedOut => Err(error),
        _ => Ok(()),
    }
}

/// Reads the head of a request. What follows it was read too, and is returned.
fn introduction(conn: &mut Connection) -> io::Result<Option<(Wish, Vec<u8>)>> {
    let mut input = vec![0; MAX_HEAD];
    let mut end = 0;
    loop {
        let n = conn.read(&mut input[end..])?;
        end += n;
        match handshake::read(&input[..end]) {
            Some((length, wish)) => return Ok(Some((wish, input[length..end].to_vec()))),
            None if n == 0 => return Ok(None),
            None => {}
        }
    }
}

fn respond(conn: &mut Connection, status: &str, body: &str) -> io::Result<()> {
    write!(
        conn,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Passes on what the client says, until one side closes.
fn read(conn: &Connection, rest: Vec<u8>, room: &Room) -> Result<(), Error> {
    let mut socket =
        WebSocket::from_partially_read(Whole(conn), rest, Role::Server, Some(config()));
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => room.tell(&message),
            // tungstenite has answered pings, and answers a closing one with the next `read`.
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Writes what comes through the outbox, and pings in between; at the end the connection is closed.
fn write(conn: Conn, outbox: Receiver<Message>, ctx: Context, every: Duration) {
    let mut socket = WebSocket::from_raw_socket(Whole(&conn), Role::Server, Some(config()));
    let pings = tick(every);
    loop {
        let message = select! {
            recv(outbox) -> message => match message {
                Ok(message) => message,
                // The reader has gone, or the room has: then it was too slow.
                Err(_) => break,
            },
            recv(pings) -> _ => Message::Ping(Bytes::new()),
            // The client answers with a closing frame of its own, which the reader ends with.
            recv(ctx.done()) -> _ => {
                drop(socket.send(closing(CloseCode::Away, "the server ends")));
                return;
            }
        };
        let last = message.is_close();
        if socket.send(message).is_err() || last {
            break;
        }
    }
    drop(conn.close());
}

fn closing(code: CloseCode, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }))
}

/// What a client is told whose messages can't be understood.
fn code_of(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
