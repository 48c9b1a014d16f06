//! `close` ends calls under way and frees the port; concurrent calls take turns: on goroutines, on
//! plain threads, and across.

mod net_support;

use corio_net::{Dialer, ListenConfig, TcpListener, TcpStream};
use net_support::*;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn close_ends_reads_and_writes() {
    everywhere(|cast| {
        for round in 0..20 {
            let (client, mut server) = pair();
            let client = Arc::new(client);
            fill(&client);
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    let client = Arc::clone(&client);
                    cast.spawn(move || match number % 4 {
                        0 => (&*client).read(&mut [0; 8]).map(drop),
                        1 => (&*client).write(b"x").map(drop),
                        2 => (&*client).write_all(&[0; 1000]),
                        _ => client.peek(&mut [0; 8]).map(drop),
                    })
                })
                .collect();
            pause(round);
            client.close().unwrap();
            assert_closed(client.close());
            for task in tasks {
                assert_closed(task.join());
            }
            // The peer gets what was sent, and the end.
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).unwrap();
            assert!(rest.iter().all(|&byte| byte == 7));
        }
    });
}

#[test]
fn close_ends_accept_and_frees_the_port_at_once() {
    everywhere(|cast| {
        let (first, addr) = listen();
        let mut listener = Arc::new(first);
        for round in 0..20 {
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let listener = Arc::clone(&listener);
                    cast.spawn(move || listener.accept())
                })
                .collect();
            pause(round);
            listener.close().unwrap();
            let next = Arc::new(TcpListener::bind(addr).unwrap());
            for task in tasks {
                assert_closed(task.join());
            }
            assert_closed(listener.accept());
            listener = next;
            // The new one works.
            let client = cast.spawn(move || TcpStream::connect(addr).unwrap());
            assert_eq!(listener.accept().unwrap().0.local_addr().unwrap(), addr);
            client.join();
        }
    });
}

#[test]
fn close_ends_a_thousand_accepts() {
    let _watchdog = corio_tests::watchdog();
    let (listener, addr) = listen();
    let listener = Arc::new(listener);
    let entered = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..1000)
        .map(|number| {
            let (listener, entered) = (Arc::clone(&listener), Arc::clone(&entered));
            let accept = move || {
                entered.fetch_add(1, Ordering::Relaxed);
                listener.accept().map(drop)
            };
            // A few plain threads in between.
            if number % 50 == 0 {
                (None, Some(std::thread::spawn(accept)))
            } else {
                (Some(corio::spawn(accept)), None)
            }
        })
        .collect();
    corio_tests::wait_until("all entered", || entered.load(Ordering::Relaxed) == 1000);
    // Some of them get a connection, one each.
    let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for client in clients {
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    }
    listener.close().unwrap();
    drop(TcpListener::bind(addr).unwrap());
    let results = tasks.into_iter().map(|task| match task {
        (Some(goroutine), _) => goroutine.join().unwrap(),
        (_, thread) => thread.unwrap().join().unwrap(),
    });
    let mut accepted = 0;
    for result in results {
        match result {
            Ok(()) => accepted += 1,
            result => assert_closed(result),
        }
    }
    assert_eq!(accepted, 10);
}

#[test]
fn clones_share_everything() {
    everywhere(|cast| {
        let (client, mut server) = pair();
        let clone = client.try_clone().unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(LONG));
        clone.set_nonblocking(true).unwrap();
        assert_kind((&client).read(&mut [0]), std::io::ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        clone.set_read_deadline(after(SHORT)).unwrap();
        assert_timed_out((&client).read(&mut [0]));
        client.set_read_deadline(None).unwrap();
        let reader = cast.spawn(move || {
            let mut text = String::new();
            (&clone).read_to_string(&mut text).unwrap();
            text
        });
        // One handle less is not a close.
        drop(client);
        server.write_all(b"hello").unwrap();
        drop(server);
        assert_eq!(reader.join(), "hello");
        let (listener, addr) = listen();
        let clone = listener.try_clone().unwrap();
        drop(listener);
        let client = cast.spawn(move || TcpStream::connect(addr));
        clone.accept().unwrap();
        client.join().unwrap();
    });
}

const BLOCK: usize = 100_000;

#[test]
fn writers_never_interleave() {
    everywhere(|cast| {
        const WRITERS: u8 = 10;
        const BLOCKS: usize = 3;
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let client = Arc::clone(&client);
                cast.spawn(move || {
                    for block in 0..BLOCKS {
                        if block % 2 == 0 {
                            (&*client).write_all(&[number; BLOCK]).unwrap();
                        } else {
                            let text = String::from_utf8(vec![number; BLOCK]).unwrap();
                            write!(&*client, "{text}").unwrap();
                        }
                    }
                })
            })
            .collect();
        drop(client);
        let mut blocks = [0; WRITERS as usize];
        let mut block = vec![0; BLOCK];
        for _ in 0..usize::from(WRITERS) * BLOCKS {
            server.read_exact(&mut block).unwrap();
            assert!(block.iter().all(|&byte| byte == block[0]));
            blocks[usize::from(block[0])] += 1;
        }
        assert_eq!(blocks, [BLOCKS; WRITERS as usize]);
        for writer in writers {
            writer.join();
        }
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn readers_share_what_comes() {
    everywhere(|cast| {
        const READERS: usize = 10;
        const LEN: usize = 200_000;
        let (client, server) = pair();
        let server = Arc::new(server);
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let server = Arc::clone(&server);
                cast.spawn(move || {
                    let (mut sum, mut count) = (0, 0);
                    let mut buffer = vec![0; 100 + number * 77];
                    loop {
                        match (&*server).read(&mut buffer).unwrap() {
                            0 => return (sum, count),
                            n => {
                                sum += buffer[..n].iter().map(|&byte| u64::from(byte)).sum::<u64>();
                                count += n;
                            }
                        }
                    }
                })
            })
            .collect();
        let bytes: Vec<u8> = (0..LEN).map(|at| (at * 7) as u8).collect();
        for piece in bytes.chunks(1234) {
            (&client).write_all(piece).unwrap();
        }
        drop(client);
        let (mut sum, mut count) = (0, 0);
        for reader in readers {
            let (some, more) = reader.join();
            sum += some;
            count += more;
        }
        assert_eq!(count, LEN);
        assert_eq!(sum, bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    });
}

#[test]
fn both_directions_at_once_on_both_ends() {
    everywhere(|cast| {
        const LEN: usize = 4 << 20;
        let (a, b) = pair();
        let (a, b) = (Arc::new(a), Arc::new(b));
        let byte = |at: usize| (at.wrapping_mul(31) >> 3) as u8;
        let tasks: Vec<_> = [(&a, &b), (&b, &a)]
            .into_iter()
            .flat_map(|(from, to)| {
                let (from, to) = (Arc::clone(from), Arc::clone(to));
                let writer = cast.spawn(move || {
                    let bytes: Vec<u8> = (0..LEN).map(byte).collect();
                    for piece in bytes.chunks(99_991) {
                        (&*from).write_all(piece).unwrap();
                    }
                    from.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let reader = cast.spawn(move || {
                    let (mut at, mut buffer) = (0, vec![0; 70_001]);
                    loop {
                        let n = (&*to).read(&mut buffer).unwrap();
                        if n == 0 {
                            return assert_eq!(at, LEN);
                        }
                        assert!(buffer[..n].iter().zip(at..).all(|(&b, at)| b == byte(at)));
                        at += n;
                    }
                });
                [writer, reader]
            })
            .collect();
        for task in tasks {
            task.join();
        }
    });
}

#[test]
fn close_races_with_everything() {
    everywhere(|cast| {
        for round in 0..60 {
            let (client, server) = pair();
            let (client, server) = (Arc::new(client), Arc::new(server));
            let mut tasks = Vec::new();
            for stream in [&client, &server] {
                let reader = Arc::clone(stream);
                tasks.push(cast.spawn(move || {
                    while (&*reader).read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
                }));
                let writer = Arc::clone(stream);
                tasks.push(cast.spawn(move || while (&*writer).write_all(&[7; 300]).is_ok() {}));
                let setter = Arc::clone(stream);
                tasks.push(cast.spawn(move || {
                    while setter.set_deadline(after(LONG)).is_ok() {
                        corio::yield_now();
                    }
                }));
            }
            for _ in 0..3 {
                let closer = Arc::clone(&client);
                // One of them is the first.
                tasks.push(cast.spawn(move || {
                    pause(round);
                    drop(closer.close());
                }));
            }
            pause(round);
            drop(client);
            // The server's calls find the connection at its end, but its setter goes on.
            for task in tasks.drain(..3) {
                task.join();
            }
            drop(server.close());
            for task in tasks {
                task.join();
            }
        }
    });
}

/// Does the poller watch the file behind this descriptor?
fn is_watched(fd: &OwnedFd) -> bool {
    let file = File::from(fd.try_clone().unwrap());
    let target = format!(" ino:{:x} ", file.metadata().unwrap().ino());
    // A descriptor may be gone before it is looked at.
    let all = fs::read_dir("/proc/self/fdinfo").unwrap();
    all.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .any(|info| info.contains("tfd:") && info.contains(&target))
}

/// Somebody who has got hold of a duplicate keeps the file open, but we watch it no longer.
#[test]
fn what_was_lent_is_not_watched_after_its_end() {
    everywhere(|_| {
        for network in networks() {
            let kept = Arc::new(Mutex::new(Vec::new()));
            let keep = {
                let kept = Arc::clone(&kept);
                move |fd: BorrowedFd<'_>| {
                    kept.lock().unwrap().push(fd.try_clone_to_owned()?);
                    Ok(())
                }
            };
            let config = ListenConfig::new().control(keep.clone());
            let listener = config.listen(network, &any_addr(network)).unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            let client = Dialer::new().control(keep).dial(network, &addr).unwrap();
            let (server, _) = listener.accept().unwrap();
            kept.lock()
                .unwrap()
                .push(server.as_fd().try_clone_to_owned().unwrap());
            let kept = kept.lock().unwrap();
            assert_eq!(kept.len(), 3);
            assert!(kept.iter().all(is_watched));
            listener.close().unwrap();
            client.close().unwrap();
            drop((listener, client, server));
            let watched: Vec<_> = kept.iter().map(is_watched).collect();
            assert_eq!(watched, [false; 3], "{network}");
        }
    });
}
