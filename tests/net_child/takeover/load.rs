//! Clients on plain threads that ask without pause: half of them one request per connection, half of them as many as
//! the server lets them.

use corio_tests::wait_until;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CLIENTS: u64 = 16;
/// A client that keeps its connection takes a new one after so many requests.
const REQUESTS: usize = 50;

/// What clients have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answers: usize,
    /// Connections on which something was answered.
    pub(super) connections: usize,
    /// Requests sent again, because the connection had been closed while it was idle.
    pub(super) again: usize,
    /// Connections that nobody listened for.
    pub(super) refused: usize,
    /// Connections that were reset before anything was answered on them.
    pub(super) reset: usize,
    /// Everything else.
    pub(super) failed: Vec<String>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    answers: AtomicUsize,
}

/// Clients at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(super) fn start(addr: SocketAddr) -> Load {
        let shared = Arc::new(Shared::default());
        let clients = (0..CLIENTS)
            .map(|number| {
                let client = Client {
                    addr,
                    requests: if number % 2 == 0 { 1 } else { REQUESTS },
                    shared: Arc::clone(&shared),
                    tally: Tally::default(),
                };
                thread::spawn(move || client.run(number << 32))
            })
            .collect();
        Load { shared, clients }
    }

    /// Waits for so many more answers.
    pub(super) fn wait(&self, answers: usize) {
        let answered = || self.shared.answers.load(Ordering::Relaxed);
        let before = answered();
        wait_until("answers", || answered() >= before + answers);
    }

    /// Lets all requests under way be answered.
    pub(super) fn stop(self) -> Tally {
        self.shared.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            sum.answers += tally.answers;
            sum.connections += tally.connections;
            sum.again += tally.again;
            sum.refused += tally.refused;
            sum.reset += tally.reset;
            sum.failed.extend(tally.failed);
        }
        sum
    }
}

struct Client {
    addr: SocketAddr,
    /// Per connection.
    requests: usize,
    shared: Arc<Shared>,
    tally: Tally,
}

/// A connection, and the requests answered on it.
type Connection = (BufReader<TcpStream>, usize);

impl Client {
    fn run(mut self, first: u64) -> Tally {
        let mut connection = None;
        for number in first.. {
            if self.shared.over.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.request(number, &mut connection) {
                self.tally.failed.push(error.to_string());
            }
        }
        self.tally
    }

    /// Sends a request until it is answered, or there is no hope.
    fn request(&mut self, number: u64, connection: &mut Option<Connection>) -> io::Result<()> {
        loop {
            let (mut stream, before) = match connection.take() {
                Some(connection) => connection,
                None => match connect(self.addr) {
                    Ok(stream) => (stream, 0),
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        self.tally.refused += 1;
                        thread::sleep(Duration::from_millis(1));
                        return Ok(());
                    }
                    // It was made, and is gone already.
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                        self.tally.reset += 1;
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                },
            };
            match exchange(&mut stream, number) {
                Ok(more) => {
                    self.tally.answers += 1;
                    self.tally.connections += usize::from(before == 0);
                    self.shared.answers.fetch_add(1, Ordering::Relaxed);
                    if more && before + 1 < self.requests {
                        *connection = Some((stream, before + 1));
                    }
                    return Ok(());
                }
                Err(Exchange::Closed(_)) if before > 0 => self.tally.again += 1,
                Err(Exchange::Closed(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)) => {
                    self.tally.reset += 1;
                    return Ok(());
                }
                Err(Exchange::Closed(kind)) => return Err(kind.into()),
                Err(Exchange::Failed(error)) => return Err(error),
            }
        }
    }
}

/// Why there is no answer.
enum Exchange {
    /// There is not a byte of it, and there won't be.
    Closed(ErrorKind),
    /// Anything else.
    Failed(io::Error),
}

impl From<io::Error> for Exchange {
    fn from(error: io::Error) -> Exchange {
        match error.kind() {
            kind @ (ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Exchange::Closed(kind),
            _ => Exchange::Failed(error),
        }
    }
}

fn connect(addr: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(addr)?;
    // Far longer than any answer takes.
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}

/// Sends a request and reads its answer. May another one follow?
fn exchange(stream: &mut BufReader<TcpStream>, number: u64) -> Result<bool, Exchange> {
    stream
        .get_mut()
        .write_all(format!("{number}\n").as_bytes())?;
    let mut line = String::new();
    let read = stream.read_line(&mut line);
    if line.is_empty() {
        return match read {
            Ok(_) => Err(Exchange::Closed(ErrorKind::UnexpectedEof)),
            Err(error) => Err(error.into()),
        };
    }
    match line.trim_end_matches('\n').split_once(' ') {
        Some((answered, "more")) if answered == number.to_string() => Ok(true),
        Some((answered, "last")) if answered == number.to_string() => Ok(false),
        _ => Err(Exchange::Failed(io::Error::other(format!(
            "{number} was answered by {line:?}"
        )))),
    }
}
