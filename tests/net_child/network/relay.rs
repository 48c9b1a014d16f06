//! A wire that is a program: each network has a TUN device, and threads carry the packets from one to
//! the other, holding them back, losing and doubling them as a [`Weather`] says.
//!
//! What is held back for different times comes out in another order. A kernel's `tc netem` does the same
//! in less code, but many kernels don't have it.
//!
//! Per direction one thread reads packets and gives each a time to leave; the other takes them out of a
//! heap when their time comes. They end with the process.

use super::{FAR, Far, NEAR, Refused, near};
use corio_tests::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Each is held back for this long,
    pub(crate) delay: Duration,
    /// and for up to this long in addition.
    pub(crate) jitter: Duration,
    /// So many of a hundred get lost,
    pub(crate) lost: u64,
    /// or come twice, each in its own time.
    pub(crate) doubled: u64,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) lost: AtomicUsize,
    pub(crate) doubled: AtomicUsize,
    /// Left after one that came later.
    pub(crate) overtaken: AtomicUsize,
}

/// When to leave, number, packet.
type Held = Reverse<(Instant, u64, Vec<u8>)>;

/// Larger than any packet: the devices' MTU is 1500.
const PACKET: usize = 2048;

/// Joins the networks. The result logs what goes out, and what comes back.
pub(crate) fn join(far: &Far, weather: Weather) -> Result<[Arc<Log>; 2], Refused> {
    let tun = || tun().map_err(|error| Refused::at("/dev/net/tun", error));
    let (here, there) = (tun()?, far.enter(tun)?);
    for step in [
        format!("ip address add {NEAR} peer {FAR} dev wire"),
        "ip link set wire up".to_owned(),
        format!("ip route change {FAR} dev wire src {NEAR} rto_min 5ms"),
    ] {
        near(&step)?;
    }
    for step in [
        format!("ip address add {FAR} peer {NEAR} dev wire"),
        "ip link set wire up".to_owned(),
        format!("ip route change {NEAR} dev wire src {FAR} rto_min 5ms"),
    ] {
        far.command(&step)?;
    }
    let logs = [Arc::default(), Arc::default()];
    carry(&here, &there, weather, &logs[0], Rng::new(1));
    carry(&there, &here, weather, &logs[1], Rng::new(2));
    Ok(logs)
}

/// A TUN device called `wire` in this thread's network. It goes with its last descriptor.
fn tun() -> io::Result<Arc<File>> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zero is a request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"wire") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the kernel reads and writes a live `ifreq`, with a name that ends with a zero.
    super::check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })?;
    Ok(Arc::new(file))
}

fn carry(from: &Arc<File>, to: &Arc<File>, weather: Weather, log: &Arc<Log>, rng: Rng) {
    let (held, due) = mpsc::channel();
    let (from, theirs) = (Arc::clone(from), Arc::clone(log));
    thread::spawn(move || take(&from, weather, &theirs, rng, &held));
    let (to, theirs) = (Arc::clone(to), Arc::clone(log));
    thread::spawn(move || give(&to, &theirs, &due));
}

fn take(mut from: &File, weather: Weather, log: &Log, mut rng: Rng, held: &Sender<Held>) {
    let mut buffer = [0; PACKET];
    for number in 0.. {
        let n = from.read(&mut buffer).expect("a device that is up");
        // Only version 4 has addresses here; what version 6 asks for is of no use.
        if buffer[0] >> 4 != 4 {
            continue;
        }
        let copies = match rng.below(100) {
            draw if draw < weather.lost => {
                log.lost.fetch_add(1, Ordering::Relaxed);
                0
            }
            draw if draw < weather.lost + weather.doubled => {
                log.doubled.fetch_add(1, Ordering::Relaxed);
                2
            }
            _ => 1,
        };
        for _ in 0..copies {
            let extra = Duration::from_nanos(rng.below(weather.jitter.as_nanos() as u64 + 1));
            let leaves = Instant::now() + weather.delay + extra;
            let packet = Reverse((leaves, number, buffer[..n].to_vec()));
            held.send(packet).expect("the other thread never ends");
        }
    }
}

fn give(mut to: &File, log: &Log, due: &Receiver<Held>) {
    let mut heap = BinaryHeap::<Held>::new();
    let mut latest = 0;
    loop {
        let now = Instant::now();
        while heap
            .peek()
            .is_some_and(|Reverse((leaves, ..))| *leaves <= now)
        {
            let Reverse((_, number, packet)) = heap.pop().expect("seen just now");
            if number < latest {
                log.overtaken.fetch_add(1, Ordering::Relaxed);
            }
            latest = latest.max(number);
            // A full queue at the other end is a loss like any other.
            let _ = to.write(&packet);
        }
        let wait = heap.peek().map_or(Duration::from_secs(3600), |held| {
            held.0.0.saturating_duration_since(now)
        });
        match due.recv_timeout(wait) {
            Ok(packet) => heap.push(packet),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
