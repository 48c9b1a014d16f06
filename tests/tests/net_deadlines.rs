//! Timeouts and deadlines: on goroutines, on plain threads, and across.

mod net_support;

use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn a_passed_deadline_ends_calls_before_they_start() {
    everywhere(|cast| {
        let (client, mut server) = pair();
        server.write_all(b"data").unwrap();
        client
            .set_deadline(Some(Instant::now() - Duration::from_secs(1)))
            .unwrap();
        let theirs = client.try_clone().unwrap();
        cast.spawn(move || {
            for _ in 0..3 {
                assert_timed_out((&theirs).read(&mut [0; 4]));
                assert_timed_out((&theirs).write(b"x"));
                assert_timed_out((&theirs).write_all(b"x"));
                assert_timed_out(theirs.peek(&mut [0; 4]));
            }
        })
        .join();
        client.set_deadline(None).unwrap();
        let mut bytes = [0; 4];
        (&client).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"data");
        let (listener, addr) = listen();
        let _waiting = corio_net::TcpStream::connect(addr).unwrap();
        listener.set_deadline(Some(Instant::now())).unwrap();
        assert_timed_out(listener.accept());
        listener.set_deadline(None).unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn a_deadline_in_the_past_wakes_who_is_blocked() {
    everywhere(|cast| {
        for round in 0..12 {
            let (client, server) = pair();
            fill(&client);
            let listener = Arc::new(listen().0);
            let (reader, writer) = (client.try_clone().unwrap(), client.try_clone().unwrap());
            let acceptor = Arc::clone(&listener);
            let read = cast.spawn(move || (&reader).read(&mut [0; 8]));
            let write = cast.spawn(move || (&writer).write(&[7; 100]));
            let accept = cast.spawn(move || acceptor.accept());
            pause(round);
            // Far in the future first: it must not matter that a timer is armed.
            if round % 2 == 0 {
                client.set_deadline(after(LONG)).unwrap();
                listener.set_deadline(after(LONG)).unwrap();
            }
            client.set_read_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(read.join());
            assert!(!write.is_finished());
            client.set_write_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(write.join());
            listener.set_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(accept.join());
            drop(server);
        }
    });
}

#[test]
fn a_deadline_comes_for_everybody_who_waits() {
    everywhere(|cast| {
        let (client, _server) = pair();
        fill(&client);
        let client = Arc::new(client);
        let end = Instant::now() + SHORT;
        client.set_deadline(Some(end)).unwrap();
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let client = Arc::clone(&client);
                cast.spawn(move || {
                    if number % 2 == 0 {
                        assert_timed_out((&*client).read(&mut [0; 8]));
                    } else {
                        assert_timed_out((&*client).write_all(&[7; 1000]));
                    }
                    assert!(Instant::now() >= end);
                })
            })
            .collect();
        for task in tasks {
            task.join();
        }
    });
}

#[test]
fn a_deadline_can_be_extended_and_cleared_while_a_read_waits() {
    everywhere(|cast| {
        for round in 0..6 {
            let (client, mut server) = pair();
            let client = Arc::new(client);
            client.set_read_deadline(after(SHORT)).unwrap();
            let theirs = Arc::clone(&client);
            let reader = cast.spawn(move || (&*theirs).read(&mut [0; 8]));
            pause(round);
            // Each time before the last one is over; on a machine that stood still it may be over.
            let mut in_time = true;
            for _ in 0..5 {
                let set = Instant::now();
                client.set_read_deadline(Some(set + SHORT)).unwrap();
                corio::sleep(SHORT / 3);
                in_time &= set.elapsed() < SHORT;
            }
            client
                .set_read_deadline(if round % 2 == 0 { None } else { after(LONG) })
                .unwrap();
            in_time &= !reader.is_finished();
            corio::sleep(2 * SHORT);
            server.write_all(b"x").unwrap();
            let result = reader.join();
            if in_time {
                assert_eq!(result.unwrap(), 1);
            }
        }
    });
}

#[test]
fn a_deadline_that_moves_on_with_each_request_never_comes() {
    everywhere(|cast| {
        let (mut client, mut server) = pair();
        let echo = cast.spawn(move || {
            let mut buffer = [0; 64];
            loop {
                server.set_deadline(after(LONG)).unwrap();
                match server.read(&mut buffer).unwrap() {
                    0 => return,
                    n => server.write_all(&buffer[..n]).unwrap(),
                }
            }
        });
        for round in 0..500_u32 {
            client.set_deadline(after(LONG)).unwrap();
            client.write_all(&round.to_le_bytes()).unwrap();
            let mut bytes = [0; 4];
            client.read_exact(&mut bytes).unwrap();
            assert_eq!(u32::from_le_bytes(bytes), round);
        }
        client.set_deadline(after(SHORT)).unwrap();
        assert_timed_out(client.read(&mut [0; 4]));
        drop(client);
        echo.join();
    });
}

#[test]
fn the_earlier_of_timeout_and_deadline_applies() {
    everywhere(|cast| {
        let (client, _server) = pair();
        for (timeout, deadline) in [(SHORT, LONG), (LONG, SHORT), (SHORT, SHORT * 3)] {
            let start = Instant::now();
            client.set_read_timeout(Some(timeout)).unwrap();
            client.set_read_deadline(Some(start + deadline)).unwrap();
            let theirs = client.try_clone().unwrap();
            cast.spawn(move || assert_timed_out((&theirs).read(&mut [0; 8])))
                .join();
            assert!((timeout.min(deadline)..LONG).contains(&start.elapsed()));
        }
        // Also if the deadline comes while the timeout's timer is armed, and the other way round.
        client.set_read_timeout(Some(LONG)).unwrap();
        client.set_read_deadline(None).unwrap();
        let theirs = client.try_clone().unwrap();
        let reader = cast.spawn(move || (&theirs).read(&mut [0; 8]));
        pause(2);
        client.set_read_deadline(after(SHORT)).unwrap();
        assert_timed_out(reader.join());
    });
}

#[test]
fn a_timeout_applies_to_each_call_anew() {
    everywhere(|cast| {
        let (client, mut server) = pair();
        client.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(SHORT));
        let reader = cast.spawn(move || {
            for _ in 0..4 {
                assert_timed_out((&client).read(&mut [0; 8]));
            }
            client
        });
        let client = reader.join();
        client.set_read_timeout(None).unwrap();
        fill(&client);
        client.set_write_timeout(Some(SHORT)).unwrap();
        let writer = cast.spawn(move || {
            for _ in 0..4 {
                assert_timed_out((&client).write_all(&[7; 1 << 20]));
            }
            client
        });
        let mut client = writer.join();
        assert_eq!(client.write_timeout().unwrap(), Some(SHORT));
        server.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
        for set in [
            corio_net::TcpStream::set_read_timeout,
            corio_net::TcpStream::set_write_timeout,
        ] {
            assert_kind(set(&client, Some(Duration::ZERO)), ErrorKind::InvalidInput);
        }
        assert_eq!(client.write_timeout().unwrap(), Some(SHORT));
    });
}

#[test]
fn a_timeout_counts_while_waiting_for_others() {
    everywhere(|cast| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let theirs = Arc::clone(&client);
        let first = cast.spawn(move || (&*theirs).read(&mut [0; 8]));
        pause(2);
        client.set_read_timeout(Some(SHORT)).unwrap();
        let queued: Vec<_> = (0..5)
            .map(|_| {
                let theirs = Arc::clone(&client);
                cast.spawn(move || (&*theirs).read(&mut [0; 8]))
            })
            .collect();
        for task in queued {
            assert_timed_out(task.join());
        }
        // The one that came before the timeout was set may wait on, unless it came after it.
        server.write_all(b"x").unwrap();
        match first.join() {
            Ok(n) => assert_eq!(n, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    });
}

#[test]
fn bytes_that_come_with_the_deadline_are_not_lost() {
    everywhere(|cast| {
        let (client, server) = pair();
        const COUNT: usize = 300;
        let writer = cast.spawn(move || {
            for number in 0..COUNT {
                (&server).write_all(&[number as u8]).unwrap();
                corio::sleep(Duration::from_micros((number % 5 * 50) as u64));
            }
        });
        let mut got = Vec::new();
        let mut byte = [0];
        while got.len() < COUNT {
            client
                .set_read_deadline(after(Duration::from_micros(100)))
                .unwrap();
            match (&client).read(&mut byte) {
                Ok(1) => got.push(byte[0]),
                result => assert_timed_out(result),
            }
        }
        assert!(
            got.iter()
                .zip(0..)
                .all(|(&byte, number)| byte == number as u8)
        );
        writer.join();
    });
}

#[test]
fn deadlines_race_with_readers_and_never_get_lost() {
    everywhere(|cast| {
        let (client, _server) = pair();
        let client = Arc::new(client);
        for round in 0..400_u64 {
            client.set_read_deadline(None).unwrap();
            let theirs = Arc::clone(&client);
            let reader = cast.spawn(move || (&*theirs).read(&mut [0; 8]));
            for _ in 0..round % 40 * 20 {
                std::hint::spin_loop();
            }
            client
                .set_read_deadline(after(Duration::from_micros(round % 7 * 30)))
                .unwrap();
            assert_timed_out(reader.join());
        }
    });
}
