//! Several calls in one direction of a stream take turns.

mod common;

use common::*;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn concurrent_writers_do_not_interleave() {
    everywhere(|| {
        const WRITERS: u8 = 8;
        const LEN: usize = 200_000;
        // Not a literal, so that formatting has something to do.
        let mark = || char::from(0x7f);
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let client = Arc::clone(&client);
                corio::spawn(move || {
                    for _ in 0..5 {
                        (&mut &*client).write_all(&vec![number; LEN]).unwrap();
                        write!(&mut &*client, "\u{7f}{}", mark()).unwrap();
                    }
                })
            })
            .collect();
        drop(client);
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        let marks = all.iter().filter(|&&byte| byte == 0x7f).count();
        assert_eq!(marks, 2 * 5 * usize::from(WRITERS));
        let mut rest = &all[..];
        while let [first, ..] = rest {
            let len = if *first == 0x7f { 2 } else { LEN };
            assert!(rest[..len].iter().all(|byte| byte == first));
            rest = &rest[len..];
        }
    });
}

#[test]
fn concurrent_readers_share_the_bytes() {
    everywhere(|| {
        const LEN: usize = 100_000;
        let (mut client, server) = pair();
        let server = Arc::new(server);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let server = Arc::clone(&server);
                corio::spawn(move || {
                    let (mut sum, mut buffer) = (0, [0; 37]);
                    loop {
                        match (&mut &*server).read(&mut buffer).unwrap() {
                            0 => return sum,
                            n => sum += n,
                        }
                    }
                })
            })
            .collect();
        for _ in 0..LEN / 100 {
            client.write_all(&[1; 100]).unwrap();
        }
        drop(client);
        let sum: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert_eq!(sum, LEN);
    });
}

#[test]
fn a_reader_and_a_writer_do_not_wait_for_each_other() {
    everywhere(|| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let reader = corio::spawn({
            let client = Arc::clone(&client);
            move || {
                let mut text = [0; 4];
                (&mut &*client).read_exact(&mut text).map(|()| text)
            }
        });
        (&mut &*client).write_all(b"ping").unwrap();
        let mut text = [0; 4];
        server.read_exact(&mut text).unwrap();
        server.write_all(b"pong").unwrap();
        assert_eq!(&reader.join().unwrap().unwrap(), b"pong");
    });
}

#[test]
fn queued_calls_have_their_own_timeout_and_the_deadline() {
    everywhere(|| {
        let (mut client, server) = pair();
        let server = Arc::new(server);
        // All of these wait, one for the peer and the others for their turn. Each has a timeout...
        server.set_read_timeout(Some(SHORT)).unwrap();
        let start = Instant::now();
        let spawn = || {
            let server = Arc::clone(&server);
            corio::spawn(move || (&mut &*server).read(&mut [0; 8]))
        };
        let readers: Vec<_> = (0..5).map(|_| spawn()).collect();
        for reader in readers {
            assert_timed_out(reader.join().unwrap());
        }
        assert!(start.elapsed() >= SHORT);
        // ... or all have a deadline, set before or while they wait.
        server.set_read_timeout(None).unwrap();
        for early in [true, false] {
            if early {
                server.set_read_deadline(after(SHORT)).unwrap();
            }
            let readers: Vec<_> = (0..5).map(|_| spawn()).collect();
            if !early {
                server.set_read_deadline(after(SHORT)).unwrap();
            }
            for reader in readers {
                assert_timed_out(reader.join().unwrap());
            }
            server.set_read_deadline(None).unwrap();
        }
        // The stream is none the worse for it.
        let readers: Vec<_> = (0..5).map(|_| spawn()).collect();
        let mut sum = 0;
        let mut left = readers.len();
        while left > 0 {
            client.write_all(b"12345678").unwrap();
            left -= 1;
        }
        for reader in readers {
            sum += reader.join().unwrap().unwrap();
        }
        assert_eq!(sum, 40);
    });
}
