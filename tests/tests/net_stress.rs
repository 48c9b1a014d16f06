//! Random traffic for a while (`CORIO_STRESS_SECS`, 5 if unset): connections that echo, deadlines,
//! half-closes, closes and rebinds from elsewhere at any time, goroutines and plain threads, a changing
//! number of Ps, now and then a hog.
//!
//! Calls may fail in any way that these disturbances explain. What must hold: bytes that come back are
//! the right ones, everything ends, nothing is left, and it never stands still.

mod net_support;

use corio_net::{TcpListener, TcpStream, is_closed};
use corio_tests::Rng;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long nothing may move.
const STILL: Duration = Duration::from_secs(20);
/// Connections at a time.
const CLIENTS: u64 = 48;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    connections: AtomicU64,
    undisturbed: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
    reset: AtomicU64,
    rebinds: AtomicU64,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts an error of a kind that is to be expected.
    fn count(&self, error: &io::Error) {
        let counter = match error.kind() {
            _ if is_closed(error) => &self.closed,
            ErrorKind::TimedOut => &self.timed_out,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => &self.reset,
            ErrorKind::ConnectionRefused => &self.refused,
            // Shutting down what the peer has reset.
            ErrorKind::NotConnected => &self.reset,
            _ => panic!("{error:?}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The byte at this place of a connection's stream.
fn byte(seed: u64, at: u64) -> u8 {
    (seed.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// On a goroutine, seldom on a plain thread.
fn spawn(rng: &mut Rng, f: impl FnOnce() + Send + 'static) -> mpsc::Receiver<()> {
    let (end, ended) = mpsc::channel();
    let run = move || {
        f();
        // Whoever waits may have panicked.
        let _ = end.send(());
    };
    if rng.below(20) == 0 {
        thread::spawn(run);
    } else {
        corio::spawn(run);
    }
    ended
}

/// Waits until the sender's function has returned, without keeping a P.
fn join(ended: &mpsc::Receiver<()>) {
    corio::blocking(|| ended.recv()).expect("it did not panic");
}

/// Does something to a connection that those who use it don't expect.
fn disturb(stream: &TcpStream, rng: &mut Rng, shared: &Shared) {
    let soon = Duration::from_micros(rng.below(2000));
    let result = match rng.below(10) {
        0 => stream.close(),
        1 => stream.shutdown(Shutdown::Write),
        2 => stream.shutdown(Shutdown::Read),
        3 => stream.shutdown(Shutdown::Both),
        4 => stream.set_deadline(Some(Instant::now() + soon)),
        5 => stream.set_read_deadline(Some(Instant::now())),
        6 => stream.set_write_deadline(Some(Instant::now() + soon)),
        7 => stream
            .set_linger(Some(Duration::ZERO))
            .and_then(|()| stream.close()),
        8 => stream.set_deadline(Some(Instant::now() + STILL)),
        _ => stream.set_read_timeout(Some(soon + Duration::from_nanos(1))),
    };
    if let Err(error) = result {
        shared.count(&error);
    }
}

fn linger(rng: &mut Rng) {
    match rng.below(8) {
        0..4 => {}
        4 | 5 => corio::yield_now(),
        6 => corio::sleep(Duration::from_micros(rng.below(1500))),
        _ => match rng.below(50) {
            0 => corio::blocking(|| thread::sleep(Duration::from_millis(1))),
            1 => thread::sleep(Duration::from_millis(12)),
            2 => {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(12) {
                    std::hint::spin_loop();
                }
            }
            _ => {}
        },
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, mut rng: Rng) {
    let mut buffer = vec![0; 100 + rng.below(9000) as usize];
    loop {
        linger(&mut rng);
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if let Err(error) = stream.write_all(&buffer[..n]) {
                    return shared.count(&error);
                }
            }
            Err(error) => return shared.count(&error),
        }
    }
}

fn close(stream: &TcpStream, shared: &Shared) {
    if let Err(error) = stream.close() {
        shared.count(&error);
    }
}

/// One connection from beginning to end.
fn session(addr: SocketAddr, shared: &Arc<Shared>, rng: &mut Rng) {
    let seed = rng.below(u64::MAX >> 1);
    let connected = match rng.below(4) {
        0 => {
            let timeout = Duration::from_micros(1 + rng.below(20) * rng.below(200));
            TcpStream::connect_timeout(&addr, timeout)
        }
        _ => TcpStream::connect(addr),
    };
    let stream = match connected {
        Ok(stream) => Arc::new(stream),
        Err(error) => return shared.count(&error),
    };
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let disturbed = rng.below(3) > 0;
    let length = match rng.below(20) {
        0 => 4_000_000,
        1..4 => 100_000,
        _ => rng.below(3000),
    };
    let mut others = Vec::new();
    let (writer, theirs, mut own) = (Arc::clone(&stream), Arc::clone(shared), Rng::new(seed));
    others.push(spawn(rng, move || {
        let mut at = 0;
        while at < length {
            let n = (1 + own.below(20_000)).min(length - at);
            let bytes: Vec<u8> = (at..at + n).map(|at| byte(seed, at)).collect();
            if let Err(error) = (&*writer).write_all(&bytes) {
                theirs.count(&error);
                // Else the reader would wait for the rest.
                return close(&writer, &theirs);
            }
            at += n;
            linger(&mut own);
        }
        if let Err(error) = writer.shutdown(Shutdown::Write) {
            theirs.count(&error);
        }
    }));
    if disturbed {
        let (stream, theirs, mut own) =
            (Arc::clone(&stream), Arc::clone(shared), Rng::new(seed + 1));
        others.push(spawn(rng, move || {
            for _ in 0..1 + own.below(4) {
                linger(&mut own);
                corio::sleep(Duration::from_micros(own.below(500)));
                disturb(&stream, &mut own, &theirs);
            }
        }));
    }
    let mut at = 0;
    let mut buffer = vec![0; 100 + rng.below(30_000) as usize];
    let end = loop {
        match (&*stream).read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(_) if shared.stopped() => break Ok(()),
            Ok(n) => {
                let good = buffer[..n]
                    .iter()
                    .zip(at..)
                    .all(|(&got, at)| got == byte(seed, at));
                assert!(good, "wrong bytes in {at}..{}", at + n as u64);
                at += n as u64;
                shared.bytes.fetch_add(n as u64, Ordering::Relaxed);
                assert!(at <= length);
            }
            Err(error) => break Err(error),
        }
        linger(rng);
    };
    if let Err(error) = &end {
        shared.count(error);
    }
    // The writer may be waiting for room that the server will not make any more.
    close(&stream, shared);
    others.iter().for_each(join);
    if end.is_ok() && at == length {
        shared.undisturbed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accepts on one port, with several acceptors, closing and binding anew all the time.
fn listen(listener: TcpListener, shared: &Arc<Shared>, mut rng: Rng) {
    let addr = listener.local_addr().unwrap();
    let mut listener = Arc::new(listener);
    while !shared.stopped() {
        let acceptors: Vec<_> = (0..3)
            .map(|_| {
                let (listener, shared) = (Arc::clone(&listener), Arc::clone(shared));
                let mut own = Rng::new(rng.below(u64::MAX >> 1));
                spawn(&mut rng, move || {
                    loop {
                        let stream = match listener.accept() {
                            Ok((stream, _)) => stream,
                            Err(error) if is_closed(&error) => return,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::TimedOut);
                                listener.set_deadline(None).unwrap_or_default();
                                continue;
                            }
                        };
                        let server = Rng::new(own.below(u64::MAX >> 1));
                        let shared = Arc::clone(&shared);
                        // Detached: its connection's client waits for its end.
                        drop(spawn(&mut own, move || serve(stream, &shared, server)));
                    }
                })
            })
            .collect();
        for _ in 0..rng.below(20) {
            corio::sleep(Duration::from_millis(rng.below(20)));
            listener
                .set_deadline(Some(Instant::now() + Duration::from_micros(rng.below(300))))
                .unwrap();
        }
        listener.close().unwrap();
        shared.rebinds.fetch_add(1, Ordering::Relaxed);
        listener = Arc::new(TcpListener::bind(addr).unwrap());
        acceptors.iter().for_each(join);
    }
}

fn progress(shared: &Shared) -> (u64, u64, u64) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    (
        get(&shared.bytes),
        get(&shared.connections),
        get(&shared.rebinds),
    )
}

/// Aborts, with the scheduler's metrics, if nothing moves.
fn watch(shared: &Arc<Shared>, ended: mpsc::Receiver<()>) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut last = (progress(&shared), Instant::now());
        while ended.recv_timeout(Duration::from_millis(500)) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            let now = progress(&shared);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > STILL {
                // `eprintln` would be captured together with the test's output, and lost.
                let _ = writeln!(
                    io::stderr(),
                    "nothing has moved for {STILL:?}: {now:?}\n{:#?}",
                    corio::metrics()
                );
                std::process::abort();
            }
        }
    })
}

#[test]
fn random_traffic_never_stands_still() {
    let seconds = std::env::var("CORIO_STRESS_SECS").map_or(5, |text| text.parse().unwrap());
    let seed = std::env::var("CORIO_STRESS_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |text| text.parse().unwrap(),
    );
    println!("CORIO_STRESS_SEED={seed}");
    let mut rng = Rng::new(seed);
    let shared = Arc::new(Shared::default());
    let (end, ended) = mpsc::channel();
    let watchdog = watch(&shared, ended);
    let (listener, addr) = net_support::listen();
    let (theirs, own) = (Arc::clone(&shared), Rng::new(seed + 1));
    let server = spawn(&mut rng, move || listen(listener, &theirs, own));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (theirs, mut own) = (Arc::clone(&shared), Rng::new(seed + 2 + number));
            spawn(&mut rng, move || {
                while !theirs.stopped() {
                    session(addr, &theirs, &mut own);
                }
            })
        })
        .collect();
    let procs = corio::set_procs(2);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(200));
        corio::set_procs(1 + rng.below(8) as usize);
    }
    corio::set_procs(procs);
    shared.stop.store(true, Ordering::Relaxed);
    clients.iter().for_each(join);
    join(&server);
    // Servers of connections that were not looked at to the end.
    corio_tests::wait_until("all ended", || corio::num_goroutines() == 0);
    drop(end);
    watchdog.join().unwrap();
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} connections, {} of them undisturbed, {} MB; {} refused, {} timed out, {} closed, {} reset, \
         {} rebinds",
        get(&shared.connections),
        get(&shared.undisturbed),
        get(&shared.bytes) >> 20,
        get(&shared.refused),
        get(&shared.timed_out),
        get(&shared.closed),
        get(&shared.reset),
        get(&shared.rebinds),
    );
    assert!(get(&shared.undisturbed) > 0);
}
