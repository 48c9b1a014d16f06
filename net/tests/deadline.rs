//! Timeouts and deadlines.

mod common;

use common::*;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_passed_deadline_refuses_before_it_tries() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"data").unwrap();
        server.set_deadline(past()).unwrap();
        assert_timed_out(server.read(&mut [0; 8]));
        assert_timed_out(server.peek(&mut [0; 8]));
        assert_timed_out(server.write(b"x"));
        assert_timed_out(server.write_all(b"x"));
        server.set_deadline(None).unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"data");
        server.write_all(b"x").unwrap();
    });
}

#[test]
fn a_deadline_ends_a_read_and_the_stream_goes_on() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        for round in 0..5 {
            let start = Instant::now();
            server.set_read_deadline(Some(start + SHORT)).unwrap();
            assert_timed_out(server.read(&mut [0; 8]));
            assert!(start.elapsed() >= SHORT);
            assert!(start.elapsed() < LONG);
            server.set_read_deadline(after(LONG)).unwrap();
            client.write_all(&[round]).unwrap();
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [round]);
        }
    });
}

#[test]
fn a_timeout_counts_per_call() {
    everywhere(|| {
        let (mut client, mut server) = pair();
        server.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(server.read_timeout().unwrap(), Some(SHORT));
        for _ in 0..5 {
            let start = Instant::now();
            assert_timed_out(server.read(&mut [0; 8]));
            assert!(start.elapsed() >= SHORT);
            client.write_all(b"x").unwrap();
            assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        }
        let zero = server.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        server.set_read_timeout(None).unwrap();
        assert_eq!(server.read_timeout().unwrap(), None);
        server.set_write_timeout(Some(Duration::MAX)).unwrap();
        assert!(server.write_timeout().unwrap() > Some(LONG));
        server.write_all(b"x").unwrap();
    });
}

#[test]
fn the_earlier_of_timeout_and_deadline_applies() {
    everywhere(|| {
        let (_client, mut server) = pair();
        server.set_read_timeout(Some(LONG)).unwrap();
        server.set_read_deadline(after(SHORT)).unwrap();
        let start = Instant::now();
        assert_timed_out(server.read(&mut [0; 8]));
        server.set_read_timeout(Some(SHORT)).unwrap();
        server.set_read_deadline(after(LONG)).unwrap();
        assert_timed_out(server.read(&mut [0; 8]));
        assert!(start.elapsed() < LONG);
    });
}

#[test]
fn a_deadline_set_later_applies_to_a_blocked_read() {
    everywhere(|| {
        for round in 0..200 {
            let (_client, server) = pair();
            let server = Arc::new(server);
            if round % 2 == 0 {
                server.set_read_deadline(after(LONG)).unwrap();
            }
            let reader = corio::spawn({
                let server = Arc::clone(&server);
                move || (&mut &*server).read(&mut [0; 8])
            });
            for _ in 0..round * 10 {
                std::hint::spin_loop();
            }
            match round % 3 {
                0 => server.set_read_deadline(past()).unwrap(),
                1 => server
                    .set_deadline(after(Duration::from_millis(1)))
                    .unwrap(),
                _ => server.set_deadline(past()).unwrap(),
            }
            assert_timed_out(reader.join().unwrap());
        }
    });
}

#[test]
fn extending_or_clearing_a_deadline_lets_a_blocked_read_go_on() {
    everywhere(|| {
        for clear in [false, true] {
            let (mut client, server) = pair();
            let server = Arc::new(server);
            server.set_read_deadline(after(5 * SHORT)).unwrap();
            let start = Instant::now();
            let reader = corio::spawn({
                let server = Arc::clone(&server);
                move || {
                    let result = (&mut &*server).read(&mut [0; 8]);
                    (result, start.elapsed())
                }
            });
            let later = if clear { None } else { after(LONG) };
            server.set_read_deadline(later).unwrap();
            // A timer of our own tells when the old deadline has passed.
            let (_other, mut silent) = pair();
            silent.set_read_deadline(Some(start + 6 * SHORT)).unwrap();
            assert_timed_out(silent.read(&mut [0]));
            client.write_all(b"x").unwrap();
            let (result, took) = reader.join().unwrap();
            assert_eq!(result.unwrap(), 1);
            assert!(took > 5 * SHORT);
        }
    });
}

#[test]
fn a_write_that_finds_no_room_times_out_and_goes_on_when_there_is() {
    everywhere(|| {
        let (mut client, server) = pair();
        let mut sent = fill(&client);
        client.set_write_timeout(Some(SHORT)).unwrap();
        assert_timed_out(client.write(b"x"));
        assert_timed_out(client.write_all(b"x"));
        client.set_write_timeout(None).unwrap();
        client.set_write_deadline(after(SHORT)).unwrap();
        assert_timed_out(client.write(b"x"));
        client.set_write_deadline(None).unwrap();
        let writer = corio::spawn(move || client.write_all(b"more"));
        sent += 4;
        skip(&server, sent);
        writer.join().unwrap().unwrap();
    });
}

#[test]
fn accepting_has_a_deadline() {
    everywhere(|| {
        let listener = Arc::new(listen());
        listener.set_deadline(after(SHORT)).unwrap();
        assert_timed_out(listener.accept());
        listener.set_deadline(None).unwrap();
        let acceptor = corio::spawn({
            let listener = Arc::clone(&listener);
            move || listener.accept()
        });
        listener.set_deadline(past()).unwrap();
        assert_timed_out(acceptor.join().unwrap());
    });
}
