//! Who waits holds no buffer; what is read through a pool is what a read returns.

mod net_support;

use corio_net::{Buffer, BufferPool, PooledReader, TcpStream, pipe};
use net_support::*;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn echo(stream: &TcpStream, pool: &BufferPool) -> io::Result<usize> {
    let mut echoed = 0;
    loop {
        let bytes = pool.read(stream)?;
        if bytes.is_empty() {
            return Ok(echoed);
        }
        (&mut &*stream).write_all(&bytes)?;
        echoed += bytes.len();
    }
}

#[test]
fn an_echo_through_a_pool() {
    static POOL: BufferPool = BufferPool::new(1000);
    everywhere(|cast| {
        let tasks: Vec<_> = (0..20_u8)
            .map(|number| {
                let (mut client, server) = pair();
                let echoing = cast.spawn(move || echo(&server, &POOL).unwrap());
                let asking = cast.spawn(move || {
                    let mut sent = 0;
                    for length in (1..5000).step_by(371) {
                        let request = vec![number ^ length as u8; length];
                        client.write_all(&request).unwrap();
                        let mut answer = vec![0; length];
                        client.read_exact(&mut answer).unwrap();
                        assert!(request == answer);
                        sent += length;
                    }
                    sent
                });
                (echoing, asking)
            })
            .collect();
        for (echoing, asking) in tasks {
            assert_eq!(asking.join(), echoing.join());
        }
    });
}

#[test]
fn connections_that_wait_hold_no_buffer() {
    let _watchdog = corio_tests::watchdog();
    static POOL: BufferPool = BufferPool::new(4096);
    const CONNECTIONS: usize = 100;
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, server) = pair();
        clients.push(client);
        servers.push(corio::spawn(move || echo(&server, &POOL)));
    }
    for round in 0..5 {
        // One after the other: they need one buffer. (Two, should one server not have given its own
        // back when the next one begins; the bound leaves room for as many as there are Ps.)
        for client in &mut clients {
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
        corio_tests::wait_until("all buffers are back", || POOL.idle() > 0);
        assert!(POOL.idle() < CONNECTIONS / 2, "round {round}: {POOL:?}");
    }
    POOL.clear();
    assert_eq!(POOL.idle(), 0);
    drop(clients);
    for server in servers {
        assert_eq!(server.join().unwrap().unwrap(), 5);
    }
}

#[test]
fn the_pool_is_bounded() {
    let _watchdog = corio_tests::watchdog();
    let pool = BufferPool::with_limit(10, 2);
    let (mut feed, source) = pair();
    feed.write_all(&[1; 1000]).unwrap();
    let buffers: Vec<Buffer<'_>> = (0..100).map(|_| pool.read(&source).unwrap()).collect();
    assert!(buffers.iter().all(|buffer| **buffer == [1; 10]));
    assert_eq!(pool.idle(), 0);
    drop(buffers);
    assert!((1..=10).contains(&pool.idle()), "{pool:?}");
    assert_eq!(pool.size(), 10);
    assert_eq!(
        format!("{pool:?}"),
        format!("BufferPool {{ size: 10, idle: {} }}", pool.idle())
    );
}

#[test]
fn reading_through_a_pool_fails_as_reading_does() {
    everywhere(|cast| {
        let pool = BufferPool::new(100);
        let (ours, theirs) = pair();
        ours.set_read_deadline(after(SHORT)).unwrap();
        assert_timed_out(pool.read(&ours).map(drop));
        ours.set_read_deadline(None).unwrap();
        ours.set_nonblocking(true).unwrap();
        assert_kind(pool.read(&ours).map(drop), ErrorKind::WouldBlock);
        ours.set_nonblocking(false).unwrap();
        // All tries gave back what they took.
        assert!(pool.idle() <= 1);

        drop(theirs);
        assert!(pool.read(&ours).unwrap().is_empty());
        let ours = Arc::new(ours);
        ours.close().unwrap();
        assert_closed(pool.read(&ours).map(drop));

        for round in 0..4 {
            let (reader, _writer) = pipe().unwrap();
            let reader = Arc::new(reader);
            let waiting = cast.spawn({
                let reader = Arc::clone(&reader);
                move || BufferPool::new(1).read(&reader).map(drop)
            });
            pause(round);
            reader.close().unwrap();
            assert_closed(waiting.join());
        }
    });
}

#[test]
fn a_buffer_can_be_consumed_and_changed() {
    let pool = BufferPool::new(100);
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"head:body").unwrap();
    let mut buffer = pool.read(&reader).unwrap();
    buffer.consume(5);
    buffer.make_ascii_uppercase();
    assert_eq!(*buffer, *b"BODY");
    assert_eq!(buffer.as_ref(), b"BODY");
    assert_eq!(format!("{buffer:?}"), "Buffer([66, 79, 68, 89])");
    // It may end in another goroutine.
    corio::scope(|scope| {
        scope.spawn(move || drop(buffer));
    });
    assert_eq!(pool.idle(), 1);
}

#[test]
#[should_panic(expected = "at least one byte")]
fn a_pool_of_nothing() {
    let _ = BufferPool::new(0);
}

#[test]
fn a_pooled_reader_is_a_buffered_reader() {
    everywhere(|cast| {
        static POOL: BufferPool = BufferPool::new(64);
        let text: String = (0..500)
            .map(|number| format!("{}\n", "x".repeat(number % 150)))
            .collect();
        let (mut feed, source) = pair();
        let feeding = cast.spawn({
            let text = text.clone();
            move || {
                for piece in text.as_bytes().chunks(97) {
                    feed.write_all(piece).unwrap();
                }
            }
        });
        let reader = PooledReader::new(&source, &POOL);
        let lines: Vec<String> = reader.lines().map(Result::unwrap).collect();
        assert!(text.lines().eq(lines.iter().map(String::as_str)));
        feeding.join();
    });
}

#[test]
fn a_pooled_reader_holds_a_buffer_only_for_what_is_unread() {
    everywhere(|_| {
        let pool = BufferPool::new(16);
        let (mut feed, source) = pair();
        let mut reader = PooledReader::new(source, &pool);
        feed.write_all(b"0123456789").unwrap();
        assert_eq!(reader.buffer(), b"");
        let mut four = [0; 4];
        reader.read_exact(&mut four).unwrap();
        assert_eq!((&four, reader.buffer()), (b"0123", &b"456789"[..]));
        assert_eq!(pool.idle(), 0);
        reader.consume(100);
        assert_eq!(reader.buffer(), b"");
        assert_eq!(pool.idle(), 1);

        // Large reads pass by it.
        feed.write_all(&[9; 16]).unwrap();
        pool.clear();
        let mut large = [0; 16];
        reader.read_exact(&mut large).unwrap();
        assert_eq!((large, pool.idle()), ([9; 16], 0));

        // A message in several pieces, in one slice.
        feed.write_all(b"GET /").unwrap();
        assert_eq!(reader.fill_buf().unwrap(), b"GET /");
        reader.consume(1);
        feed.write_all(b" HTTP/1.1\r").unwrap();
        assert_eq!(reader.read_more().unwrap(), 10);
        assert_eq!(reader.buffer(), b"ET / HTTP/1.1\r");
        reader.buffer_mut()[0] = b'e';
        feed.write_all(b"\n\r\n").unwrap();
        assert_eq!(reader.read_more().unwrap(), 2);
        assert_kind(reader.read_more(), ErrorKind::StorageFull);
        assert_eq!(reader.buffer(), b"eT / HTTP/1.1\r\n\r");
        reader.consume(16);
        assert_eq!(reader.read_more().unwrap(), 1);
        assert_eq!(reader.buffer(), b"\n");
        write!(reader, "writes {}", 2).unwrap();
        reader.flush().unwrap();
        let mut written = [0; 8];
        feed.read_exact(&mut written).unwrap();
        assert_eq!(&written, b"writes 2");
        drop(feed);
        assert_eq!(reader.read_more().unwrap(), 0);
        assert_eq!(reader.buffer(), b"\n");
        reader.consume(1);
        assert_eq!(reader.read_more().unwrap(), 0);
        assert_eq!(reader.read(&mut four).unwrap(), 0);
        assert_eq!(pool.idle(), 1);
        reader.get_ref().shutdown(Shutdown::Both).unwrap();
        let _: TcpStream = reader.into_inner();
    });
}
