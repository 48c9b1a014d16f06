//! One connection, and what can be done to it: reset, half-closed, closed while others are blocked.

use super::{
    Baseline, ENDLESS, Service, assert_closed, assert_kind, bytes, everywhere, pause, receive,
    reset_at_close, send,
};
use crate::Scenario;
use crate::fault::cast::Cast;
use corio_net::{TcpListener, TcpStream, copy};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("fault_reset", |_| everything(reset)),
    ("fault_half_close", |_| everything(half_close)),
    ("fault_close_under", |_| everything(close_under)),
];

fn everything(scenario: fn(Cast)) {
    let baseline = Baseline::new();
    everywhere(scenario);
    baseline.check();
}

/// A reset ends the write that is going on, blocked or not, or the copy, and a read that waits beside it.
fn reset(cast: Cast) {
    type Ends = (io::Result<()>, io::Result<usize>, io::Result<usize>);
    let service = Service::start(cast, move |stream: TcpStream| -> Ends {
        let mut copying = [0];
        (&stream).read_exact(&mut copying).unwrap();
        let stream = Arc::new(stream);
        let reader = Arc::clone(&stream);
        let read = cast.spawn(move || (&*reader).read(&mut [0; 10]));
        let written = match copying {
            [0] => send(&*stream, 9, ENDLESS),
            _ => send_on(cast, &stream),
        };
        let read = read.join();
        let again = (&*stream).write(b"more");
        stream.close().unwrap();
        (written, read, again)
    });
    for round in 0..12 {
        let mut hostile = service.attack();
        hostile.write_all(&[round as u8 / 3 % 2]).unwrap();
        // More than nothing: the reset comes in the middle. At times, so much that the writer is blocked
        // again and again, at times, so little that it gets stuck.
        let taken = [1, 100_000, 3_000_000][round % 3];
        assert_eq!(receive(&hostile, 9, taken).unwrap(), taken);
        pause(round);
        reset_at_close(&hostile);
        drop(hostile);
        let (written, read, again) = service.outcome();
        let written = written.unwrap_err().kind();
        // The system tells it once. Who comes second finds a connection that is no more.
        match read.as_ref().map_err(io::Error::kind) {
            Err(ErrorKind::ConnectionReset) => assert!(
                matches!(written, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                "{written}"
            ),
            Ok(0) => assert_eq!(written, ErrorKind::ConnectionReset),
            other => panic!("{other:?}"),
        }
        assert_kind(again, ErrorKind::BrokenPipe);
    }
    service.stop();
}

/// Copies an endless stream that comes from another connection, which ends with it.
fn send_on(cast: Cast, to: &TcpStream) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let source = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let from = listener.accept().unwrap().0;
    let source = cast.spawn(move || send(&source, 9, ENDLESS));
    let copied = copy(&from, to).map(drop);
    drop(from);
    let end = source.join().unwrap_err().kind();
    assert!(
        matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{end}"
    );
    copied
}

/// What one end says after the other has ended its half arrives, whoever ends first.
fn half_close(cast: Cast) {
    const LEN: u64 = 600_000;
    const ROUNDS: usize = 6;
    let service = Service::start(cast, move |mut stream: TcpStream| {
        let mut way = [0];
        stream.read_exact(&mut way).unwrap();
        match way[0] % 3 {
            0 => {
                assert_eq!(receive(&stream, 1, ENDLESS).unwrap(), LEN);
                send(&stream, 2, LEN).unwrap();
            }
            1 => {
                send(&stream, 2, LEN).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert_kind(stream.write(b"more"), ErrorKind::BrokenPipe);
                assert_eq!(receive(&stream, 1, ENDLESS).unwrap(), LEN);
            }
            _ => {
                // Our own end stops a read under way, and nothing else.
                let stream = Arc::new(stream);
                let reader = Arc::clone(&stream);
                let read = cast.spawn(move || receive(&*reader, 1, ENDLESS));
                pause(usize::from(way[0]) / 3);
                stream.shutdown(Shutdown::Read).unwrap();
                assert_eq!(read.join().unwrap(), 0);
                assert_eq!((&*stream).read(&mut [0]).unwrap(), 0);
                send(&*stream, 2, LEN).unwrap();
            }
        }
    });
    for round in 0..ROUNDS {
        let mut peer = service.attack();
        peer.write_all(&[round as u8]).unwrap();
        match round % 3 {
            0 => {
                send(&peer, 1, LEN).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                pause(round);
                assert_eq!(receive(&peer, 2, ENDLESS).unwrap(), LEN);
            }
            1 => {
                assert_eq!(receive(&peer, 2, ENDLESS).unwrap(), LEN);
                pause(round);
                send(&peer, 1, LEN).unwrap();
                drop(peer);
            }
            _ => assert_eq!(receive(&peer, 2, ENDLESS).unwrap(), LEN),
        }
        service.outcome();
    }
    // Both at once, from both ends.
    let service_at_once = Service::start(cast, move |stream: TcpStream| {
        let stream = Arc::new(stream);
        let writer = Arc::clone(&stream);
        let write = cast.spawn(move || {
            send(&*writer, 2, LEN).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(receive(&*stream, 1, ENDLESS).unwrap(), LEN);
        write.join();
    });
    for _ in 0..ROUNDS {
        let peer = service_at_once.attack();
        thread::scope(|scope| {
            scope.spawn(|| {
                send(&peer, 1, LEN).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
            });
            assert_eq!(receive(&peer, 2, ENDLESS).unwrap(), LEN);
        });
        service_at_once.outcome();
    }
    service_at_once.stop();
    service.stop();
}

/// Closing ends reads and writes that are blocked or queue for their turn, and the peer gets all that was
/// written before.
fn close_under(cast: Cast) {
    const STREAMS: usize = 20;
    const BLOCKED: usize = 6;
    let service = Service::start(cast, move |stream: TcpStream| {
        SockRef::from(&stream).set_send_buffer_size(8192).unwrap();
        let filled = fill(&stream);
        let stream = Arc::new(stream);
        let tasks: Vec<_> = (0..BLOCKED)
            .map(|number| {
                let stream = Arc::clone(&stream);
                cast.spawn(move || match number {
                    0 => (&*stream).write_all(&vec![b'x'; 8 << 20]),
                    1 | 2 => (&*stream).write_all(b"x"),
                    _ => (&*stream).read(&mut [0]).map(drop),
                })
            })
            .collect();
        (stream, filled, tasks)
    });
    let peers: Vec<_> = (0..STREAMS)
        .map(|_| (service.attack(), service.outcome()))
        .collect();
    for (round, (_, (stream, ..))) in peers.iter().enumerate() {
        pause(round);
        stream.close().unwrap();
        assert_closed(stream.close());
    }
    for (peer, (stream, filled, tasks)) in peers {
        for (number, task) in tasks.into_iter().enumerate() {
            let result = task.join();
            // There may have been room for a byte or two after all.
            if !matches!(number, 1 | 2) || result.is_err() {
                assert_closed(result);
            }
        }
        assert_closed((&*stream).read(&mut [0]));
        assert_eq!(receive(&peer, 9, filled).unwrap(), filled);
        let mut rest = Vec::new();
        (&peer).read_to_end(&mut rest).unwrap();
        assert!(rest.iter().all(|&byte| byte == b'x'));
    }
    service.stop();
}

/// Writes a stream's beginning until there is no more room; returns how much that was.
fn fill(mut stream: &TcpStream) -> u64 {
    stream.set_nonblocking(true).unwrap();
    let (mut at, mut full) = (0, 0);
    // The peer's system may take some more for a while.
    while full < 3 {
        match stream.write(&bytes(9, at, 8192)) {
            Ok(n) => at += n as u64,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                full += 1;
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
    at
}
