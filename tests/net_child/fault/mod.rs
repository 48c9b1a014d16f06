//! Scenarios in which the other side, or the network between, misbehaves.
//!
//! Each asserts by itself that what arrives is what was sent, that nothing is left of what was going on
//! ([`Baseline`]), and that the server goes on serving ([`Service::check`]). That it ends at all is the
//! business of the test's time limit. One that the system does not permit prints `skipped: why`.

mod crowd;
mod hole;
mod limits;
mod lossy;
mod short;
mod slow;
mod stream;

#[path = "../../tests/net_support/cast.rs"]
#[allow(dead_code, reason = "scenarios use a part of it")]
pub(crate) mod cast;

use crate::Scenario;
use crate::network::Refused;
use cast::{Cast, Task, everywhere};
use corio_net::{TcpListener, TcpStream, is_closed};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[&[(&str, Scenario)]] = &[
    crowd::SCENARIOS,
    hole::SCENARIOS,
    limits::SCENARIOS,
    lossy::SCENARIOS,
    short::SCENARIOS,
    slow::SCENARIOS,
    stream::SCENARIOS,
];

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(50);

/// Ends the scenario if the system does not permit it.
pub(crate) fn permitted<T>(result: Result<T, Refused>) -> T {
    result.unwrap_or_else(|Refused(why)| {
        println!("skipped: {why}");
        std::process::exit(0);
    })
}

/// The time from now on.
fn after(duration: Duration) -> Option<Instant> {
    Some(Instant::now() + duration)
}

/// The byte at this place of a stream.
fn byte(stream: u64, at: u64) -> u8 {
    (stream.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// So many bytes of a stream, from this place on.
fn bytes(stream: u64, at: u64, len: u64) -> Vec<u8> {
    (at..at + len).map(|at| byte(stream, at)).collect()
}

/// Writes the first `len` bytes of a stream.
fn send(mut to: impl Write, stream: u64, len: u64) -> io::Result<()> {
    const PIECE: u64 = 50_021;
    for at in (0..len).step_by(PIECE as usize) {
        to.write_all(&bytes(stream, at, PIECE.min(len - at)))?;
    }
    Ok(())
}

/// Reads the first `len` bytes of a stream, or up to its end; returns how many came, and demands that
/// they are right.
fn receive(mut from: impl Read, stream: u64, len: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 33_331];
    let mut at = 0;
    while at < len {
        let room = buffer.len().min((len - at) as usize);
        let n = from.read(&mut buffer[..room])?;
        if n == 0 {
            break;
        }
        let right = buffer[..n]
            .iter()
            .zip(at..)
            .all(|(&b, at)| b == byte(stream, at));
        assert!(right, "wrong bytes in {at}..{}", at + n as u64);
        at += n as u64;
    }
    Ok(at)
}

/// Without an end that could be reached.
const ENDLESS: u64 = 1 << 40;

/// What the process has open when nothing goes on.
#[derive(Debug)]
struct Baseline(usize);

impl Baseline {
    /// To be taken before anything goes on.
    fn new() -> Baseline {
        // From here on the runtime and the poller have what they need.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        corio::spawn(move || stream.close())
            .join()
            .unwrap()
            .unwrap();
        drop(listener);
        Baseline(descriptors())
    }

    /// Demands that everything ends, without waiting for more than the end of what is ending.
    fn check(&self) {
        corio_tests::wait_until("goroutines at their end", || corio::num_goroutines() == 0);
        corio_tests::wait_until("descriptors as before", || descriptors() <= self.0);
    }
}

/// How many are open, but for those of pipes, of which copying keeps some.
fn descriptors() -> usize {
    let is_pipe = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|what| what.to_string_lossy().starts_with("pipe:"))
    };
    let all = fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    all.filter(|entry| !is_pipe(entry)).count()
}

/// How many there may be. To be asked for after the first socket: that raises the soft limit.
fn most_descriptors() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes to a live `rlimit`.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(done, 0);
    limit.rlim_cur as usize
}

/// The most memory it had so far, in kB. What it has now says less: stacks are given back some time after
/// their use.
fn peak() -> u64 {
    corio_tests::proc_number("/proc/self/status", "VmHWM")
}

/// A server under attack. A connection's first byte says which of two things it does with it: echo, as
/// for a well-behaved client, or what the scenario wants to see attacked.
struct Service<T> {
    addr: SocketAddr,
    listener: Arc<TcpListener>,
    acceptor: Task<()>,
    refused: Arc<AtomicUsize>,
    ended: Mutex<Receiver<T>>,
}

const ECHO: u8 = b'e';
const ATTACK: u8 = b'a';

impl<T: Send + 'static> Service<T> {
    /// Serves on loopback, on goroutines or threads as the cast has it.
    fn start(cast: Cast, attacked: impl Fn(TcpStream) -> T + Send + Sync + 'static) -> Service<T> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Service::with(listener, move |body| cast.spawn(body), attacked)
    }

    /// Serves with this listener, on goroutines.
    fn on_goroutines(
        listener: TcpListener,
        attacked: impl Fn(TcpStream) -> T + Send + Sync + 'static,
    ) -> Service<T> {
        Service::with(
            listener,
            |body| Task::Goroutine(corio::spawn(body)),
            attacked,
        )
    }

    fn with(
        listener: TcpListener,
        spawn: impl Fn(Box<dyn FnOnce() + Send>) -> Task<()> + Send + 'static,
        attacked: impl Fn(TcpStream) -> T + Send + Sync + 'static,
    ) -> Service<T> {
        let listener = Arc::new(listener);
        let (end, ended) = mpsc::channel();
        let (theirs, attacked) = (Arc::clone(&listener), Arc::new(attacked));
        let refused = Arc::new(AtomicUsize::new(0));
        let unaccepted = Arc::clone(&refused);
        let accept = move || {
            // Acceptors are goroutines always: this one starts both kinds.
            for stream in theirs.incoming() {
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                        unaccepted.fetch_add(1, Ordering::Relaxed);
                        // As any server does: somebody will be done.
                        corio::sleep(Duration::from_millis(2));
                        continue;
                    }
                };
                let (end, attacked) = (end.clone(), Arc::clone(&attacked));
                // Detached: the scenario counts those that have ended.
                drop(spawn(Box::new(move || {
                    let mut kind = [0];
                    if (&stream).read_exact(&mut kind).is_err() {
                        return;
                    }
                    match kind[0] {
                        ECHO => echo(&stream),
                        // The scenario may have seen enough.
                        ATTACK => drop(end.send(attacked(stream))),
                        kind => panic!("{kind} is not what a connection begins with"),
                    }
                })));
            }
        };
        Service {
            addr: listener.local_addr().unwrap(),
            listener,
            acceptor: Task::Goroutine(corio::spawn(accept)),
            refused,
            ended: Mutex::new(ended),
        }
    }

    /// A connection of std's that is to be used for an attack.
    fn attack(&self) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(&[ATTACK]).unwrap();
        stream
    }

    /// What the next connection under attack came to.
    fn outcome(&self) -> T {
        let ended = self.ended.lock().unwrap();
        corio::blocking(|| ended.recv_timeout(LONG)).expect("an end")
    }

    /// How often there was no descriptor for a connection.
    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Demands that a well-behaved client is served.
    fn check(&self) {
        let stream = TcpStream::connect_timeout(&self.addr, LONG).unwrap();
        stream.set_deadline(after(LONG)).unwrap();
        check_echo(&stream, 30_000);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&stream).read(&mut [0]).unwrap(), 0);
    }

    /// Ends it, after a last check.
    fn stop(self) {
        self.check();
        self.listener.close().unwrap();
        self.acceptor.join();
    }
}

/// Sends so many bytes and demands the same back.
fn check_echo(stream: &TcpStream, len: u64) {
    (&mut &*stream).write_all(&[ECHO]).unwrap();
    send(stream, 5, len).unwrap();
    assert_eq!(receive(stream, 5, len).unwrap(), len);
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).expect("a well-behaved client") {
            0 => return,
            n => stream
                .write_all(&buffer[..n])
                .expect("a well-behaved client"),
        }
    }
}

/// Makes closing it a reset.
fn reset_at_close(stream: &std::net::TcpStream) {
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(stream).set_linger(linger).unwrap();
}

/// Lets those who have been started get to their waits, in one of several ways.
fn pause(round: usize) {
    match round % 4 {
        0 => {}
        1 => corio::yield_now(),
        2 => corio::sleep(Duration::from_millis(1)),
        _ => thread::sleep(Duration::from_millis(5)),
    }
}

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert!(is_closed(&error), "{error:?}");
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(result: io::Result<T>, kind: io::ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
}
