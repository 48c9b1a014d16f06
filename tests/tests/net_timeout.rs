//! Timeouts and deadlines, on all networks: Go's `timeout_test.go` in spirit; in brackets, its tests.
//! (`net_deadlines` has more about TCP, `net_dial` those of dialling.)

mod net_support;

use corio_net::{Conn, Listener, dial};
use corio_tests::Rng;
use net_support::{
    LONG, SHORT, after, assert_closed, assert_kind, assert_timed_out, conns, everywhere, local,
    networks, pause, under_other_settings,
};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

/// Times that have come, or come soon.
fn soon_or_past() -> Vec<Instant> {
    let now = Instant::now();
    let past = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
    vec![past, now, now + SHORT]
}

fn read(conn: &Conn) -> io::Result<usize> {
    (&mut &*conn).read(&mut [0; 64])
}

/// Writes until that fails.
fn write(conn: &Conn) -> io::Result<()> {
    let bytes = vec![7; 1 << 20];
    loop {
        (&mut &*conn).write_all(&bytes)?;
    }
}

/// [TestAcceptTimeout, TestAcceptTimeoutMustReturn]
#[test]
fn accept_ends_with_its_time() {
    everywhere(|cast| {
        for network in networks() {
            let (listener, addr) = local(network);
            for deadline in soon_or_past() {
                listener.set_deadline(Some(deadline)).unwrap();
                let theirs = listener.try_clone().unwrap();
                // Again and again, until there is another deadline.
                cast.spawn(move || (0..3).for_each(|_| assert_timed_out(theirs.accept())))
                    .join();
                assert!(Instant::now() >= deadline);
            }
            // Nobody is accepted any more, and then again.
            let _conn = dial(network, &addr).unwrap();
            assert_timed_out(listener.accept());
            listener.set_deadline(None).unwrap();
            listener.accept().unwrap();
        }
    });
}

/// [TestReadTimeout]
#[test]
fn read_ends_with_its_time() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, mut other) = conns(network);
            let conn = Arc::new(conn);
            for deadline in soon_or_past() {
                conn.set_read_deadline(Some(deadline)).unwrap();
                let theirs = Arc::clone(&conn);
                cast.spawn(move || (0..3).for_each(|_| assert_timed_out(read(&theirs))))
                    .join();
                assert!(Instant::now() >= deadline);
            }
            // What is there is not lost.
            other.write_all(b"abc").unwrap();
            assert_timed_out(read(&conn));
            conn.set_read_deadline(None).unwrap();
            assert_eq!(read(&conn).unwrap(), 3);
            // std's timeout counts from each call on.
            conn.set_read_timeout(Some(SHORT)).unwrap();
            for _ in 0..2 {
                let start = Instant::now();
                assert_timed_out(read(&conn));
                assert!(start.elapsed() >= SHORT);
            }
            conn.set_read_timeout(None).unwrap();
            // The other direction has a time of its own.
            conn.set_read_deadline(Some(Instant::now())).unwrap();
            (&mut &*conn).write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
        }
    });
}

/// [TestWriteTimeout]
#[test]
fn write_ends_with_its_time() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, mut other) = conns(network);
            let conn = Arc::new(conn);
            for deadline in soon_or_past() {
                conn.set_write_deadline(Some(deadline)).unwrap();
                let theirs = Arc::clone(&conn);
                cast.spawn(move || (0..3).for_each(|_| assert_timed_out(write(&theirs))))
                    .join();
                assert!(Instant::now() >= deadline);
            }
            conn.set_write_deadline(None).unwrap();
            conn.set_write_timeout(Some(SHORT)).unwrap();
            assert_timed_out(write(&conn));
            conn.set_write_timeout(None).unwrap();
            // The other direction has a time of its own.
            other.write_all(b"x").unwrap();
            assert_eq!(read(&conn).unwrap(), 1);
            // It goes on where the peer takes what there is.
            let theirs = Arc::clone(&conn);
            let writing = cast.spawn(move || (&mut &*theirs).write_all(&[7; 100_000]));
            drop(conn);
            let mut sum = 0;
            while !writing.is_finished() {
                sum += other.read(&mut [0; 65536]).unwrap();
            }
            writing.join().unwrap();
            assert!(sum > 0);
        }
    });
}

/// [TestAcceptTimeoutMustNotReturn, TestReadTimeoutMustNotReturn, TestWriteTimeoutMustNotReturn]
#[test]
fn a_deadline_that_was_taken_back_does_not_come() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, other) = conns(network);
            let (listener, _) = local(network);
            let conn = Arc::new(conn);
            let deadline = after(SHORT);
            conn.set_deadline(deadline).unwrap();
            listener.set_deadline(deadline).unwrap();
            let (reader, writer) = (Arc::clone(&conn), Arc::clone(&conn));
            let acceptor = listener.try_clone().unwrap();
            conn.set_deadline(None).unwrap();
            listener.set_deadline(after(LONG)).unwrap();
            let reading = cast.spawn(move || read(&reader));
            let writing = cast.spawn(move || write(&writer));
            let accepting = cast.spawn(move || acceptor.accept());
            // Whoever is woken by mistake is woken then.
            std::thread::sleep(2 * SHORT);
            assert!(!reading.is_finished());
            assert!(!writing.is_finished());
            assert!(!accepting.is_finished());
            conn.close().unwrap();
            listener.close().unwrap();
            assert_closed(reading.join());
            assert_closed(writing.join());
            assert_closed(accepting.join());
            drop(other);
        }
    });
}

/// [TestReadTimeoutUnblocksRead, TestAcceptTimeout]
#[test]
fn a_deadline_reaches_calls_under_way() {
    everywhere(|cast| {
        for network in networks() {
            for round in 0..4 {
                let (conn, _other) = conns(network);
                let (listener, _) = local(network);
                let conn = Arc::new(conn);
                let (reader, writer) = (Arc::clone(&conn), Arc::clone(&conn));
                let acceptor = listener.try_clone().unwrap();
                let reading = cast.spawn(move || read(&reader));
                let writing = cast.spawn(move || write(&writer));
                let accepting = cast.spawn(move || acceptor.accept());
                pause(round);
                if round % 2 == 0 {
                    conn.set_deadline(after(LONG)).unwrap();
                    listener.set_deadline(after(LONG)).unwrap();
                }
                conn.set_deadline(Some(Instant::now())).unwrap();
                listener
                    .set_deadline(after(Duration::from_millis(1)))
                    .unwrap();
                assert_timed_out(reading.join());
                assert_timed_out(writing.join());
                assert_timed_out(accepting.join());
            }
        }
    });
}

/// [TestAcceptTimeoutFluctuation, TestReadTimeoutFluctuation, TestWriteTimeoutFluctuation]
#[test]
fn times_of_all_lengths_are_kept() {
    everywhere(|_| {
        for network in networks() {
            let (conn, _other) = conns(network);
            let (listener, _) = local(network);
            // From 1 ns on.
            for power in (0..25).step_by(4) {
                let time = Duration::from_nanos(1 << power);
                let start = Instant::now();
                conn.set_deadline(after(time)).unwrap();
                listener.set_deadline(after(time)).unwrap();
                assert_timed_out(read(&conn));
                assert_timed_out(write(&conn));
                assert_timed_out(listener.accept());
                assert!(start.elapsed() >= time);
            }
        }
    });
}

/// [TestReadWriteProlongedTimeout]
#[test]
fn a_deadline_that_is_put_off_all_the_time_does_not_come() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, mut other) = conns(network);
            let conn = Arc::new(conn);
            let theirs = Arc::clone(&conn);
            let reading = cast.spawn(move || {
                let mut sum = 0;
                loop {
                    theirs.set_read_deadline(after(LONG)).unwrap();
                    match read(&theirs).unwrap() {
                        0 => return sum,
                        n => sum += n,
                    }
                }
            });
            let theirs = Arc::clone(&conn);
            let done = Arc::new(AtomicBool::new(false));
            let stop = Arc::clone(&done);
            let setting = cast.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    theirs.set_deadline(after(LONG)).unwrap();
                    corio::yield_now();
                }
            });
            for _ in 0..100 {
                other.set_write_deadline(after(LONG)).unwrap();
                other.write_all(b"ping").unwrap();
            }
            drop(other);
            assert_eq!(reading.join(), 400);
            done.store(true, Ordering::Relaxed);
            setting.join();
        }
    });
}

/// [TestReadWriteDeadlineRace]
#[test]
fn setting_deadlines_races_with_reading_and_writing() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, mut other) = conns(network);
            let conn = Arc::new(conn);
            const N: usize = 200;
            let theirs = Arc::clone(&conn);
            let setting = cast.spawn(move || {
                let mut rng = Rng::new(1);
                for _ in 0..N {
                    let time = Duration::from_micros(rng.below(300));
                    theirs.set_read_deadline(after(time)).unwrap();
                    theirs.set_write_deadline(after(time)).unwrap();
                    if rng.below(4) == 0 {
                        corio::yield_now();
                    }
                }
                // Whoever waits ends.
                theirs.set_deadline(Some(Instant::now())).unwrap();
            });
            let theirs = Arc::clone(&conn);
            let reading = cast.spawn(move || {
                (0..N).for_each(|_| match read(&theirs) {
                    Ok(n) => assert!(n > 0),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                });
            });
            let theirs = Arc::clone(&conn);
            let writing = cast.spawn(move || {
                (0..N).for_each(|_| {
                    if let Err(error) = (&mut &*theirs).write(&[7; 1000]) {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                    }
                });
            });
            for _ in 0..N / 4 {
                other.write_all(b"x").unwrap();
            }
            setting.join();
            reading.join();
            writing.join();
        }
    });
}

/// [TestConcurrentSetDeadline]
#[test]
fn deadlines_may_be_set_by_many_at_once() {
    everywhere(|cast| {
        for network in networks() {
            let conns: Vec<_> = (0..8).map(|_| conns(network)).collect();
            let (listener, _) = local(network);
            let all: Arc<(Listener, Vec<_>)> = Arc::new((listener, conns));
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    let all = Arc::clone(&all);
                    cast.spawn(move || {
                        let mut rng = Rng::new(number);
                        for _ in 0..50 {
                            let time = Duration::from_micros(1 + rng.below(200));
                            let (conn, _) = &all.1[rng.below(8) as usize];
                            conn.set_read_deadline(after(time)).unwrap();
                            all.0.set_deadline(after(time)).unwrap();
                            assert_timed_out(read(conn));
                            assert_timed_out(all.0.accept());
                        }
                        // For the others, who may wait since a deadline was put off.
                        all.0.set_deadline(Some(Instant::now())).unwrap();
                    })
                })
                .collect();
            tasks.into_iter().for_each(net_support::Task::join);
        }
    });
}

/// [TestVariousTimeouts]
#[test]
fn a_peer_that_sends_all_the_time_does_not_keep_the_time_from_coming() {
    everywhere(|cast| {
        for network in networks() {
            for time in [Duration::from_micros(1), Duration::from_millis(1), SHORT] {
                let (conn, mut other) = conns(network);
                let sending = cast.spawn(move || while other.write_all(&[7; 65536]).is_ok() {});
                let start = Instant::now();
                conn.set_deadline(after(time)).unwrap();
                let error = loop {
                    if let Err(error) = read(&conn) {
                        break error;
                    }
                };
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(start.elapsed() >= time);
                drop(conn);
                sending.join();
            }
        }
    });
}

/// [the end of TestReadTimeoutMustNotReturn and its relatives]
#[test]
fn closed_counts_more_than_the_time() {
    everywhere(|_| {
        for network in networks() {
            let (conn, _other) = conns(network);
            let (listener, _) = local(network);
            conn.set_deadline(Some(Instant::now())).unwrap();
            listener.set_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(read(&conn));
            assert_timed_out(write(&conn));
            assert_timed_out(listener.accept());
            conn.close().unwrap();
            listener.close().unwrap();
            assert_closed(read(&conn));
            assert_closed(write(&conn));
            assert_closed(listener.accept());
            assert_closed(conn.set_deadline(None));
            assert_closed(listener.set_deadline(None));
        }
    });
}

/// std's rule.
#[test]
fn no_time_at_all_is_no_timeout() {
    for network in networks() {
        let (conn, _other) = conns(network);
        let zero = Some(Duration::ZERO);
        assert_kind(conn.set_read_timeout(zero), ErrorKind::InvalidInput);
        assert_kind(conn.set_write_timeout(zero), ErrorKind::InvalidInput);
        conn.set_read_timeout(Some(Duration::MAX)).unwrap();
        assert!(conn.read_timeout().unwrap().is_some());
    }
}
