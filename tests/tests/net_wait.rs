//! Waiting until there is something to read, or room to write, takes nothing; and however it is mixed with
//! other calls, no event is lost.

mod net_support;

use corio_net::{TcpStream, UnixStream, pipe};
use corio_tests::Rng;
use net_support::*;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn waiting_takes_nothing() {
    everywhere(|cast| {
        let (mut ours, theirs) = pair();
        let theirs = Arc::new(theirs);
        for round in 0..40 {
            let sending = cast.spawn({
                let theirs = Arc::clone(&theirs);
                move || {
                    pause(round);
                    (&*theirs).write_all(b"request").unwrap();
                }
            });
            ours.wait_readable().unwrap();
            if round % 3 == 0 {
                // It stays readable until it is read.
                ours.wait_readable().unwrap();
            }
            let mut request = [0; 7];
            ours.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"request");
            sending.join();
        }
        // The end is something to read, again and again.
        theirs.shutdown(Shutdown::Write).unwrap();
        for _ in 0..3 {
            ours.wait_readable().unwrap();
            assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
        }
    });
}

#[test]
fn waiting_for_part_of_what_is_there() {
    everywhere(|_| {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&[1; 1000]).unwrap();
        // Reads that leave something: the rest needs no further event.
        for _ in 0..10 {
            ours.wait_readable().unwrap();
            ours.read_exact(&mut [0; 100]).unwrap();
        }
        ours.set_read_deadline(after(SHORT)).unwrap();
        assert_timed_out(wait_in_vain(&ours));
        ours.set_read_deadline(None).unwrap();
        // A peek leaves all.
        theirs.write_all(b"x").unwrap();
        ours.wait_readable().unwrap();
        assert_eq!(ours.peek(&mut [0; 8]).unwrap(), 1);
        ours.wait_readable().unwrap();
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn waiting_to_write() {
    everywhere(|cast| {
        let (ours, theirs) = pair();
        ours.wait_writable().unwrap();
        let mut sent = fill(&ours);
        ours.set_write_deadline(after(SHORT)).unwrap();
        assert_timed_out(ours.wait_writable());
        ours.set_write_deadline(None).unwrap();
        let reading = cast.spawn(move || {
            skip(&theirs, sent);
            theirs
        });
        ours.wait_writable().unwrap();
        (&ours).write_all(&[7; 1000]).unwrap();
        sent = 1000;
        let theirs = reading.join();
        skip(&theirs, sent);
        // A peer that is gone is a result, too.
        drop(theirs);
        loop {
            ours.wait_writable().unwrap();
            if (&ours).write(b"x").is_err() {
                break;
            }
        }
    });
}

/// Waits on an empty stream, which fails. On TCP a wait may end although there is nothing, after a read
/// that was quicker than the news of what it took; then the next read finds that out.
fn wait_in_vain(stream: &TcpStream) -> io::Result<()> {
    stream.wait_readable()?;
    stream.set_nonblocking(true).unwrap();
    assert_kind((&mut &*stream).read(&mut [0]), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    stream.wait_readable()
}

#[test]
fn deadlines_timeouts_close_and_mode_apply_to_waiting() {
    everywhere(|cast| {
        for round in 0..16 {
            let (ours, mut theirs) = pair();
            if round % 2 == 0 {
                // After a short read, which parks without asking the system.
                theirs.write_all(b"x").unwrap();
                assert_eq!((&ours).read(&mut [0; 8]).unwrap(), 1);
            }
            ours.set_read_timeout(Some(SHORT)).unwrap();
            let start = Instant::now();
            assert_timed_out(wait_in_vain(&ours));
            assert!(start.elapsed() >= SHORT);
            ours.set_read_timeout(None).unwrap();

            ours.set_nonblocking(true).unwrap();
            assert_kind(ours.wait_readable(), ErrorKind::WouldBlock);
            ours.set_nonblocking(false).unwrap();

            ours.set_read_deadline(Some(Instant::now())).unwrap();
            theirs.write_all(b"y").unwrap();
            assert_timed_out(ours.wait_readable());
            ours.set_read_deadline(None).unwrap();
            ours.wait_readable().unwrap();
            assert_eq!((&ours).read(&mut [0; 8]).unwrap(), 1);

            let ours = Arc::new(ours);
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let ours = Arc::clone(&ours);
                    // The read is for those to whom the last byte's event came late.
                    cast.spawn(move || ours.wait_readable().and_then(|()| (&*ours).read(&mut [0])))
                })
                .collect();
            pause(round / 2);
            ours.close().unwrap();
            for waiting in waiting {
                assert_closed(waiting.join());
            }
            assert_closed(ours.wait_readable());
            assert_closed(ours.wait_writable());
        }
    });
}

#[test]
fn errors_are_something_to_read() {
    everywhere(|cast| {
        for round in 0..8 {
            let (ours, theirs) = pair();
            let ours = Arc::new(ours);
            let waiting = cast.spawn({
                let ours = Arc::clone(&ours);
                move || ours.wait_readable()
            });
            pause(round);
            theirs.set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            waiting.join().unwrap();
            ours.wait_writable().unwrap();
            assert_kind((&*ours).read(&mut [0]), ErrorKind::ConnectionReset);
            ours.wait_readable().unwrap();
        }
    });
}

#[test]
fn those_who_wait_and_those_who_read_take_turns() {
    everywhere(|cast| {
        const MESSAGES: usize = 300;
        let (ours, mut theirs) = pair();
        let ours = Arc::new(ours);
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let ours = Arc::clone(&ours);
                cast.spawn(move || {
                    let mut got = 0;
                    loop {
                        if number % 2 == 0 {
                            ours.wait_readable().unwrap();
                        }
                        match (&*ours).read(&mut [0; 3]).unwrap() {
                            0 => return got,
                            n => got += n,
                        }
                    }
                })
            })
            .collect();
        for round in 0..MESSAGES {
            theirs.write_all(b"0123456789").unwrap();
            if round % 50 == 0 {
                pause(round / 50);
            }
        }
        drop(theirs);
        let got: usize = tasks.into_iter().map(Task::join).sum();
        assert_eq!(got, MESSAGES * 10);
    });
}

#[test]
fn unix_streams_and_listeners_wait_too() {
    everywhere(|cast| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        for round in 0..20 {
            let sending = cast.spawn(move || {
                pause(round);
                theirs.write_all(b"x").unwrap();
                theirs
            });
            ours.wait_readable().unwrap();
            assert_eq!(ours.read(&mut [0; 8]).unwrap(), 1);
            theirs = sending.join();
        }
        let (listener, addr) = listen();
        let connecting = cast.spawn(move || TcpStream::connect(addr).unwrap());
        listener.wait_readable().unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.accept().unwrap();
        connecting.join();
    });
}

fn byte(at: usize) -> u8 {
    (at.wrapping_mul(31) >> 3) as u8
}

/// Sends bytes in pieces and at times that nobody can foresee.
fn send(mut to: impl Write, len: usize, mut rng: Rng) {
    let bytes: Vec<u8> = (0..len).map(byte).collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let size = 1 + rng.below(300) as usize;
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        to.write_all(piece).unwrap();
        rest = tail;
        match rng.below(6) {
            0 => corio::yield_now(),
            1 => corio::sleep(Duration::from_micros(rng.below(100))),
            _ => {}
        }
    }
}

/// Reads all of it by one call after the other, each of whatever kind.
macro_rules! receive {
    ($stream:expr, $len:expr, $rng:expr) => {{
        let (stream, mut rng, mut at): (_, Rng, usize) = (&$stream, $rng, 0);
        let mut buffer = [0; 1000];
        loop {
            let size = 1 + rng.below(999) as usize;
            let hasty = rng.below(3) == 0;
            if hasty {
                stream.set_nonblocking(true).unwrap();
            }
            let result = match rng.below(3) {
                0 => stream.wait_readable().map(|()| None),
                1 if rng.below(2) == 0 => stream
                    .wait_readable()
                    .and_then(|()| (&mut &*stream).read(&mut buffer[..size]).map(Some)),
                _ => (&mut &*stream).read(&mut buffer[..size]).map(Some),
            };
            if hasty {
                stream.set_nonblocking(false).unwrap();
            }
            match result {
                Ok(None) => {}
                Ok(Some(0)) => break,
                Ok(Some(n)) => {
                    assert!(buffer[..n].iter().zip(at..).all(|(&b, at)| b == byte(at)));
                    at += n;
                }
                Err(error) => {
                    assert!(hasty, "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                }
            }
        }
        assert_eq!(at, $len);
    }};
}

#[test]
fn any_mixture_of_calls_gets_everything() {
    everywhere(|cast| {
        const LEN: usize = 100_000;
        for seed in 0..4 {
            let (ours, theirs) = pair();
            let sending = cast.spawn(move || send(theirs, LEN, Rng::new(seed)));
            receive!(ours, LEN, Rng::new(!seed));
            sending.join();
            let (ours, theirs) = UnixStream::pair().unwrap();
            let sending = cast.spawn(move || send(theirs, LEN, Rng::new(seed)));
            receive!(ours, LEN, Rng::new(!seed));
            sending.join();
            let (ours, theirs) = pipe().unwrap();
            let sending = cast.spawn(move || send(theirs, LEN, Rng::new(seed)));
            receive!(ours, LEN, Rng::new(!seed));
            sending.join();
        }
    });
}
