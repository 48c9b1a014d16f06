//! Pipes behave like std's, with deadlines and `close`; and child processes get them as they expect.

mod net_support;

use corio_net::{PipeReader, PipeWriter, is_closed, pipe};
use net_support::*;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn byte(at: usize) -> u8 {
    (at.wrapping_mul(31) >> 3) as u8
}

/// Is `O_NONBLOCK` set?
fn is_nonblocking(fd: impl AsFd) -> bool {
    // SAFETY: a system call without pointers.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

/// Writes until there is no more room.
fn fill(writer: &PipeWriter) -> usize {
    writer.set_nonblocking(true).unwrap();
    let mut written = 0;
    loop {
        match (&mut &*writer).write(&[7; 4096]) {
            Ok(n) => written += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    writer.set_nonblocking(false).unwrap();
    written
}

#[test]
fn more_than_a_pipe_holds_passes_in_order() {
    everywhere(|cast| {
        const LEN: usize = 3 << 20;
        let (mut reader, mut writer) = pipe().unwrap();
        let writing = cast.spawn(move || {
            let bytes: Vec<u8> = (0..LEN).map(byte).collect();
            let (first, rest) = bytes.split_at(LEN / 2);
            for piece in first.chunks(100_003) {
                writer.write_all(piece).unwrap();
            }
            let mut rest = rest;
            while !rest.is_empty() {
                let (a, b) = rest.split_at(rest.len().min(777));
                let b = &b[..b.len().min(5000)];
                let n = writer
                    .write_vectored(&[IoSlice::new(a), IoSlice::new(b)])
                    .unwrap();
                rest = &rest[n..];
            }
        });
        let mut got = Vec::new();
        let (mut one, mut two) = ([0; 5000], vec![0; 70_001]);
        loop {
            let n = if got.len() % 2 == 0 {
                reader.read(&mut two).unwrap()
            } else {
                let n = reader
                    .read_vectored(&mut [
                        IoSliceMut::new(&mut one),
                        IoSliceMut::new(&mut two[5000..]),
                    ])
                    .unwrap();
                let head = n.min(5000);
                two[..head].copy_from_slice(&one[..head]);
                n
            };
            if n == 0 {
                break;
            }
            got.extend_from_slice(&two[..n]);
        }
        writing.join();
        assert_eq!(got.len(), LEN);
        assert!(got.iter().enumerate().all(|(at, &b)| b == byte(at)));
        assert_eq!(reader.read(&mut two).unwrap(), 0);
    });
}

#[test]
fn the_end_comes_with_the_last_writer_and_broken_with_the_last_reader() {
    everywhere(|cast| {
        let (mut reader, mut writer) = pipe().unwrap();
        let other = writer.try_clone().unwrap();
        writer.write_all(b"last").unwrap();
        drop(writer);
        let reading = cast.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            (reader, text)
        });
        drop(other);
        assert_eq!(reading.join().1, "last");

        // The reader goes while a writer waits for room, and before one comes.
        for round in 0..4 {
            let (reader, writer) = pipe().unwrap();
            let writer = Arc::new(writer);
            fill(&writer);
            let writing = cast.spawn({
                let writer = Arc::clone(&writer);
                move || (&*writer).write_all(&[1; 100_000])
            });
            pause(round);
            let second = reader.try_clone().unwrap();
            drop(reader);
            drop(second);
            assert_kind(writing.join(), ErrorKind::BrokenPipe);
            assert_kind((&*writer).write(b"x"), ErrorKind::BrokenPipe);
            writer.wait_writable().unwrap();
        }
    });
}

#[test]
fn a_broken_pipe_does_not_kill_a_program_that_leaves_sigpipe_as_it_is() {
    const NAME: &str = "a_broken_pipe_does_not_kill_a_program_that_leaves_sigpipe_as_it_is";
    const CHILD: &str = "NET_PIPE_SIGPIPE";
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    // SAFETY: the default disposition; no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    everywhere(|_| {
        let (reader, mut writer) = pipe().unwrap();
        drop(reader);
        assert_kind(writer.write(b"x"), ErrorKind::BrokenPipe);
        assert_kind(
            writer.write_vectored(&[IoSlice::new(b"x")]),
            ErrorKind::BrokenPipe,
        );
        let mut pending = std::mem::MaybeUninit::uninit();
        // SAFETY: `sigpending` initialises the set.
        let is_pending = unsafe {
            libc::sigpending(pending.as_mut_ptr());
            libc::sigismember(pending.as_ptr(), libc::SIGPIPE)
        };
        assert_eq!(is_pending, 0);

        // Copying through the system to a broken pipe and to a broken connection.
        let (source, mut feed) = pipe().unwrap();
        feed.write_all(b"some").unwrap();
        assert_kind(corio_net::copy(&source, &writer), ErrorKind::BrokenPipe);
        let (client, server) = pair();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        feed.write_all(b"some").unwrap();
        assert_kind(corio_net::copy(&source, &client), ErrorKind::BrokenPipe);
        drop(server);

        // A connection that breaks within the call, which has then moved something.
        for _ in 0..8 {
            let program = File::open("/proc/self/exe").unwrap();
            let (client, server) = pair();
            drop(server);
            client.wait_readable().unwrap(); // the end
            assert_kind(corio_net::copy(&program, &client), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn deadlines_end_calls_and_can_be_moved() {
    everywhere(|cast| {
        let (reader, writer) = pipe().unwrap();
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let size = fill(&writer);
        let (empty, _kept) = pipe().unwrap();

        empty.set_deadline(after(SHORT)).unwrap();
        writer.set_deadline(after(SHORT)).unwrap();
        let start = Instant::now();
        assert_timed_out((&mut &empty).read(&mut [0]));
        assert_timed_out(empty.wait_readable());
        assert_timed_out((&*writer).write(&[1; 5000]));
        assert_timed_out(writer.wait_writable());
        assert!(start.elapsed() >= SHORT);

        // Set while a call waits.
        empty.set_deadline(None).unwrap();
        let empty = Arc::new(empty);
        for round in 0..8 {
            let waiting = cast.spawn({
                let empty = Arc::clone(&empty);
                move || match round % 2 {
                    0 => (&*empty).read(&mut [0]).map(drop),
                    _ => empty.wait_readable(),
                }
            });
            pause(round);
            empty.set_deadline(Some(Instant::now())).unwrap();
            assert_timed_out(waiting.join());
            empty.set_deadline(None).unwrap();
        }

        // And taken away: the pipe works on.
        writer.set_deadline(None).unwrap();
        let writing = cast.spawn({
            let writer = Arc::clone(&writer);
            move || (&*writer).write_all(&[7; 5000])
        });
        let mut bytes = vec![0; size + 5000];
        (&*reader).read_exact(&mut bytes).unwrap();
        assert!(bytes.iter().all(|&b| b == 7));
        writing.join().unwrap();
    });
}

#[test]
fn close_ends_calls_of_all_handles() {
    everywhere(|cast| {
        for round in 0..12 {
            let (reader, writer) = pipe().unwrap();
            let (reader, writer) = (Arc::new(reader), Arc::new(writer));
            if round % 2 == 0 {
                let calls: Vec<_> = (0..4)
                    .map(|number| {
                        let reader = Arc::clone(&reader);
                        cast.spawn(move || match number {
                            0 | 1 => (&*reader).read(&mut [0; 8]).map(drop),
                            _ => reader.wait_readable(),
                        })
                    })
                    .collect();
                pause(round / 2);
                reader.close().unwrap();
                for call in calls {
                    assert_closed(call.join());
                }
                assert_closed((&*reader).read(&mut []));
                // The other end learns of it, though there are handles.
                assert_kind((&*writer).write(b"x"), ErrorKind::BrokenPipe);
            } else {
                let size = fill(&writer);
                let calls: Vec<_> = (0..4)
                    .map(|number| {
                        let writer = Arc::clone(&writer);
                        cast.spawn(move || match number {
                            0 | 1 => (&*writer).write_all(&[1; 5000]),
                            _ => writer.wait_writable(),
                        })
                    })
                    .collect();
                pause(round / 2);
                writer.close().unwrap();
                for call in calls {
                    assert_closed(call.join());
                }
                let mut rest = Vec::new();
                (&*reader).read_to_end(&mut rest).unwrap();
                assert!(rest.len() >= size);
                assert!(rest[..size].iter().all(|&b| b == 7));
            }
            assert_closed(if round % 2 == 0 {
                reader.close()
            } else {
                writer.close()
            });
        }
    });
}

#[test]
fn concurrent_writers_are_not_mixed() {
    everywhere(|cast| {
        const LEN: usize = 40_000;
        let (mut reader, writer) = pipe().unwrap();
        let writer = Arc::new(writer);
        let writers: Vec<_> = (0..6_u8)
            .map(|number| {
                let writer = Arc::clone(&writer);
                cast.spawn(move || (&*writer).write_all(&[number; LEN]).unwrap())
            })
            .collect();
        drop(writer);
        let mut seen = [false; 6];
        let mut message = vec![0; LEN];
        for _ in 0..6 {
            reader.read_exact(&mut message).unwrap();
            assert!(message.iter().all(|&b| b == message[0]));
            assert!(!std::mem::replace(&mut seen[usize::from(message[0])], true));
        }
        assert_eq!(reader.read(&mut message).unwrap(), 0);
        for writer in writers {
            writer.join();
        }
    });
}

#[test]
fn nonblocking_calls_do_not_wait() {
    everywhere(|_| {
        let (mut reader, mut writer) = pipe().unwrap();
        reader.set_nonblocking(true).unwrap();
        writer.set_nonblocking(true).unwrap();
        assert_kind(reader.read(&mut [0]), ErrorKind::WouldBlock);
        assert_kind(reader.wait_readable(), ErrorKind::WouldBlock);
        writer.wait_writable().unwrap();
        writer.write_all(b"x").unwrap();
        reader.wait_readable().unwrap();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
        // Empty buffers never wait.
        reader.set_nonblocking(false).unwrap();
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        assert_eq!(writer.write(&[]).unwrap(), 0);
    });
}

#[test]
fn conversions_keep_whether_it_blocks() {
    everywhere(|_| {
        // Into std's: blocking, as std expects.
        let (reader, writer) = pipe().unwrap();
        assert!(is_nonblocking(&reader) && is_nonblocking(&writer));
        let mut theirs = std::io::PipeReader::try_from(reader).unwrap();
        let their_writer: OwnedFd = writer.try_into().unwrap();
        assert!(!is_nonblocking(&theirs) && !is_nonblocking(&their_writer));
        std::fs::File::from(their_writer).write_all(b"abc").unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");

        // From std's, and back.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut reader = PipeReader::try_from(reader).unwrap();
        let mut writer = PipeWriter::try_from(writer).unwrap();
        writer.write_all(b"def").unwrap();
        let mut three = [0; 3];
        reader.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"def");
        assert!(!is_nonblocking(reader.into_std().unwrap()));

        // What was non-blocking stays so, for us and on the way back.
        let (reader, _writer) = std::io::pipe().unwrap();
        // SAFETY: a system call without pointers.
        let set = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
        let mut reader = PipeReader::try_from(OwnedFd::from(reader)).unwrap();
        assert_kind(reader.read(&mut [0]), ErrorKind::WouldBlock);
        assert!(is_nonblocking(reader.into_std().unwrap()));

        // Not while others use it; not what is no pipe; not what is closed.
        let (reader, writer) = pipe().unwrap();
        let other = reader.try_clone().unwrap();
        assert_kind(reader.into_std(), ErrorKind::ResourceBusy);
        other.set_deadline(None).unwrap();
        writer.close().unwrap();
        assert!(is_closed(&Stdio::try_from(writer).unwrap_err()));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_kind(
            PipeReader::try_from(OwnedFd::from(file)),
            ErrorKind::InvalidInput,
        );
    });
}

#[test]
fn debug_names_type_and_descriptor() {
    let (reader, writer) = pipe().unwrap();
    let fd = reader.as_raw_fd();
    assert_eq!(format!("{reader:?}"), format!("PipeReader {{ fd: {fd} }}"));
    assert!(format!("{writer:?}").starts_with("PipeWriter { fd: "));
}

#[test]
fn a_child_process_reads_and_writes_pipes() {
    everywhere(|cast| {
        let (their_stdin, mut ours) = pipe().unwrap();
        let (mut theirs, their_stdout) = pipe().unwrap();
        let mut command = Command::new("cat");
        command
            .stdin(Stdio::try_from(their_stdin).unwrap())
            .stdout(Stdio::try_from(their_stdout).unwrap());
        let mut child = command.spawn().unwrap();
        drop(command);
        const LEN: usize = 1 << 20;
        let writing = cast.spawn(move || {
            let bytes: Vec<u8> = (0..LEN).map(byte).collect();
            ours.write_all(&bytes).unwrap();
        });
        theirs.set_deadline(after(LONG)).unwrap();
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        writing.join();
        assert_eq!(got.len(), LEN);
        assert!(got.iter().enumerate().all(|(at, &b)| b == byte(at)));
        // `cat` would have failed on a descriptor that does not block.
        assert!(corio::blocking(|| child.wait()).unwrap().success());
    });
}

#[test]
fn a_reader_of_a_child_that_never_ends_gives_up() {
    everywhere(|_| {
        let (mut reader, writer) = pipe().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600").stdout(Stdio::try_from(writer).unwrap());
        let mut child = command.spawn().unwrap();
        drop(command);
        reader
            .set_deadline(after(Duration::from_millis(20)))
            .unwrap();
        assert_timed_out(reader.read(&mut [0]));
        child.kill().unwrap();
        reader.set_deadline(after(LONG)).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        corio::blocking(|| child.wait()).unwrap();
    });
}

#[test]
fn a_thousand_goroutines_pass_a_token_around() {
    let _watchdog = corio_tests::watchdog();
    let (first, mut next): (PipeReader, PipeWriter) = pipe().unwrap();
    let mut reader = first;
    let mut tasks = Vec::new();
    for _ in 0..1000 {
        let (new_reader, mut writer) = pipe().unwrap();
        let mut from = std::mem::replace(&mut reader, new_reader);
        tasks.push(corio::spawn(move || -> io::Result<u64> {
            io::copy(&mut from, &mut writer)
        }));
    }
    next.write_all(b"token").unwrap();
    drop(next);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "token");
    for task in tasks {
        assert_eq!(task.join().unwrap().unwrap(), 5);
    }
}
