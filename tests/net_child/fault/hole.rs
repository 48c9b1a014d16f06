//! A peer behind a black hole: packets vanish, and nobody says so.

use super::{
    ATTACK, Baseline, ENDLESS, LONG, Service, after, assert_kind, bytes, permitted, receive, send,
};
use crate::Scenario;
use crate::fault::crowd::Abandoner;
use crate::network::{Far, NEAR, nft, veth};
use corio_net::{KeepAlive, TcpStream, UdpSocket, is_closed};
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("fault_black_hole", |_| black_hole()),
    ("fault_silence", silence),
];

/// Long enough to be noticed.
const SHORT: Duration = Duration::from_millis(80);

fn cabled() -> Far {
    let far = permitted(Far::new());
    permitted(veth::join(&far));
    far
}

/// A connection that is to be used for an attack, ours.
fn attack(addr: SocketAddr) -> Arc<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, LONG).unwrap();
    (&stream).write_all(&[ATTACK]).unwrap();
    // The server has it.
    let mut byte = [0];
    (&stream).read_exact(&mut byte).unwrap();
    Arc::new(stream)
}

/// Every way to wait ends at its deadline, and a connection that was patient goes on when the hole is
/// gone, with all that was written meanwhile. On a goroutine and on a plain thread.
fn black_hole() {
    const ANSWER: u64 = 100_000;
    let far = cabled();
    let baseline = Baseline::new();
    let service = Service::on_goroutines(far.listen(), |mut stream: TcpStream| {
        stream.write_all(b"!").unwrap();
        let received = receive(&stream, 3, ENDLESS);
        send(&stream, 4, ANSWER).unwrap();
        received.unwrap()
    });
    // One that loses patience itself, once there is the hole.
    let patient = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&patient);
    let impatient = Service::on_goroutines(far.listen(), move |stream: TcpStream| {
        let stream = Arc::new(stream);
        theirs.lock().unwrap().push(Arc::clone(&stream));
        (&*stream).write_all(b"!").unwrap();
        assert_kind((&*stream).read(&mut [0]), ErrorKind::TimedOut);
    });
    service.check();
    for on_goroutine in [true, false] {
        let stream = attack(service.addr);
        let unheard: Vec<_> = (0..3).map(|_| attack(impatient.addr)).collect();
        permitted(nft::black_hole(&far));
        for stream in patient.lock().unwrap().drain(..) {
            stream.set_read_deadline(after(SHORT)).unwrap();
        }
        let addr = service.addr;
        let body = move || {
            unreachable(addr);
            given_up_by_the_system(&unheard[0], &unheard[1]);
            (waits(&stream), stream)
        };
        let (sent, stream) = if on_goroutine {
            corio::spawn(body).join().unwrap()
        } else {
            thread::spawn(body).join().unwrap()
        };
        for _ in 0..3 {
            impatient.outcome();
        }
        assert!(nft::hits(&far)[1][0] > 0);
        nft::clear(&far);
        stream.set_deadline(after(LONG)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(receive(&*stream, 4, ENDLESS).unwrap(), ANSWER);
        assert_eq!(service.outcome(), sent);
        service.check();
    }
    impatient.stop();
    service.stop();
    baseline.check();
}

/// Asserts that `wait` runs out of a [`SHORT`] time.
fn runs_out<T: Debug>(wait: impl FnOnce() -> io::Result<T>) {
    let start = Instant::now();
    let error = wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert_eq!(error.raw_os_error(), None, "it is ours");
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
}

/// Nothing answers, of what is new.
fn unreachable(addr: SocketAddr) {
    runs_out(|| TcpStream::connect_timeout(&addr, SHORT));
    let socket = UdpSocket::bind((NEAR, 0)).unwrap();
    assert_eq!(socket.send_to(b"anybody?", addr).unwrap(), 8);
    socket.set_read_deadline(after(SHORT)).unwrap();
    runs_out(|| socket.recv_from(&mut [0]));
}

/// Waits on a connection whose peer can't be heard; returns how many bytes it took nevertheless.
fn waits(stream: &Arc<TcpStream>) -> u64 {
    let mut byte = [0];
    stream.set_read_deadline(after(SHORT)).unwrap();
    runs_out(|| (&**stream).read(&mut byte));
    assert_kind((&**stream).read(&mut byte), ErrorKind::TimedOut);
    stream.set_read_deadline(None).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    runs_out(|| (&**stream).read(&mut byte));
    stream.set_read_timeout(None).unwrap();
    // A deadline that comes while it waits.
    let other = Arc::clone(stream);
    let setter = corio::spawn(move || {
        corio::sleep(SHORT);
        other.set_read_deadline(Some(Instant::now())).unwrap();
    });
    runs_out(|| (&**stream).read(&mut byte));
    setter.join().unwrap();
    stream.set_read_deadline(None).unwrap();
    let mut at = 0;
    // Until there is no room left, and then twice more.
    stream.set_write_deadline(after(SHORT)).unwrap();
    runs_out(|| write_on(stream, &mut at));
    stream.set_write_deadline(after(SHORT)).unwrap();
    runs_out(|| write_on(stream, &mut at));
    stream.set_write_deadline(None).unwrap();
    stream.set_write_timeout(Some(SHORT)).unwrap();
    runs_out(|| write_on(stream, &mut at));
    stream.set_write_timeout(None).unwrap();
    at
}

/// Writes on from this place of the stream, which moves, until an error.
fn write_on(mut stream: &TcpStream, at: &mut u64) -> io::Result<()> {
    loop {
        *at += stream.write(&bytes(3, *at, 10_007))? as u64;
    }
}

/// The system itself gives up, if it was asked to: on bytes that nobody acknowledges, and on a silent
/// peer.
fn given_up_by_the_system(sending: &TcpStream, idle: &TcpStream) {
    sending.set_tcp_user_timeout(Some(4 * SHORT)).unwrap();
    idle.set_keepalive(Some(KeepAlive {
        idle: Duration::from_secs(1),
        interval: Duration::from_secs(1),
        count: 1,
    }))
    .unwrap();
    (&*sending).write_all(b"is anybody there?").unwrap();
    for mut stream in [sending, idle] {
        stream.set_read_deadline(after(LONG)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}

/// So many clients vanish without a trace. Deadlines set later, and closing, end the reads that wait for
/// them.
fn silence(args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    let far = cabled();
    let baseline = Baseline::new();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&waiting);
    let service = Service::on_goroutines(far.listen(), move |stream: TcpStream| {
        let stream = Arc::new(stream);
        let mut message = [0; 3];
        (&*stream).read_exact(&mut message).unwrap();
        assert_eq!(&message, b"hal");
        theirs.lock().unwrap().push(Arc::clone(&stream));
        (&*stream).read(&mut message).map(drop)
    });
    let client = Abandoner::start(service.addr, count, false);
    corio_tests::wait_until("all read", || waiting.lock().unwrap().len() == count);
    permitted(nft::black_hole(&far));
    client.kill();
    // All reads are on the way to their wait, or there.
    assert_eq!(corio::num_goroutines(), 1 + count);
    let streams = std::mem::take(&mut *waiting.lock().unwrap());
    for (number, stream) in streams.into_iter().enumerate() {
        if number % 2 == 0 {
            stream.set_read_deadline(after(SHORT)).unwrap();
        } else {
            stream.close().unwrap();
        }
    }
    let closed = (0..count)
        .map(|_| service.outcome().unwrap_err())
        .filter(|error| {
            let closed = is_closed(error);
            assert!(closed || error.kind() == ErrorKind::TimedOut, "{error:?}");
            closed
        })
        .count();
    assert_eq!(closed, count / 2);
    println!("ended: {count}");
    nft::clear(&far);
    service.stop();
    baseline.check();
}
