//! What the server's tests share: a protocol of lines, clients for it, and events instead of waiting.

// Each test binary uses its part of this.
#![allow(dead_code, unused_imports)]

use corio::channel::{Receiver, Sender, unbounded};
use corio::testing::assert_no_leaks;
use corio_net::{
    Addr, Connection, ConnectionInfo, ConnectionState, Server, ServerHandle, TcpListener, TcpStream,
};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(50);
/// Long enough to be noticed.
pub(crate) const SHORT: Duration = Duration::from_millis(15);

/// Runs a test on a plain thread and on a goroutine, each time under a watchdog; no goroutine may be left.
pub(crate) fn server_test(test: impl Fn() + Send + Sync + 'static) {
    corio_tests::on_both(move || assert_no_leaks(&test));
}

/// A listener on a free port.
pub(crate) fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Starts a server on a free port.
pub(crate) fn start(server: Server) -> (ServerHandle, SocketAddr) {
    let server = server.start([listen()]).unwrap();
    let addr = server.addrs()[0].as_ip().unwrap();
    (server, addr)
}

/// Answers each line with the same in capitals, and is idle in between.
pub(crate) fn shout(conn: &mut Connection) -> io::Result<()> {
    lines(conn, |_, line| line.to_uppercase())
}

/// Answers each line with what `answer` makes of it, and is idle in between.
pub(crate) fn lines(
    conn: &Connection,
    mut answer: impl FnMut(&Connection, &str) -> String,
) -> io::Result<()> {
    let mut reader = BufReader::new(conn);
    let mut line = String::new();
    while !reader.buffer().is_empty() || conn.wait_request()? {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        let mut answer = answer(conn, line.trim_end());
        answer.push('\n');
        (&*conn).write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// A client of lines.
#[derive(Debug)]
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Client {
        Client::of(TcpStream::connect(addr).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Client {
        // A failure, if it takes that long.
        stream.set_read_timeout(Some(LONG)).unwrap();
        Client(BufReader::new(stream))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.get_ref().local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }

    /// The next answer; none at the end of the stream.
    pub(crate) fn answer(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(
                line.strip_suffix('\n')
                    .expect("a whole answer, or none")
                    .to_owned(),
            )),
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer().unwrap().expect("an answer")
    }

    /// Demands that the server has ended the connection, in whatever way, after all answers were read.
    pub(crate) fn assert_over(&mut self) {
        match self.answer() {
            Ok(None) => {}
            Ok(Some(line)) => panic!("an answer: {line}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Demands that the server has closed the connection in the ordinary way.
    pub(crate) fn assert_end(&mut self) {
        assert_eq!(self.answer().unwrap(), None);
    }
}

/// States of connections, as the hook told them, in order.
#[derive(Clone, Debug)]
pub(crate) struct States(Receiver<(u64, ConnectionState)>);

/// What to pass to `on_state`, and what comes of it.
pub(crate) fn states() -> (
    impl Fn(&ConnectionInfo, ConnectionState) + Send + Sync + 'static,
    States,
) {
    let (tell, told) = unbounded();
    let hook = move |info: &ConnectionInfo, state| {
        let _ = tell.send((info.id(), state));
    };
    (hook, States(told))
}

impl States {
    /// The next change.
    pub(crate) fn next(&self) -> (u64, ConnectionState) {
        self.0.recv_timeout(LONG).expect("a change of state")
    }

    /// Waits for this change of this connection, past all others.
    pub(crate) fn wait(&self, id: u64, state: ConnectionState) {
        while self.next() != (id, state) {}
    }

    /// All changes of a server that has ended.
    pub(crate) fn all(&self) -> Vec<(u64, ConnectionState)> {
        self.0.try_iter().collect()
    }
}

/// A gate that handlers stop at: they tell that they are there, and wait until they are let through.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    here: (Sender<()>, Receiver<()>),
    pass: (Sender<()>, Receiver<()>),
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate {
            here: unbounded(),
            pass: unbounded(),
        }
    }

    /// By a handler.
    pub(crate) fn stop(&self) {
        self.here.0.send(()).unwrap();
        self.pass.1.recv_timeout(LONG).expect("to be let through");
    }

    /// Waits until somebody is there.
    pub(crate) fn wait(&self) {
        self.here.1.recv_timeout(LONG).expect("somebody");
    }

    /// Lets one through.
    pub(crate) fn open(&self) {
        self.pass.0.send(()).unwrap();
    }
}
