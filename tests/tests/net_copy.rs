//! `copy` moves every byte between every pair of ends, whatever way it takes, and ends as single reads
//! and writes would.

mod net_support;

use corio_net::{CopyFrom, CopyTo, PipeWriter, TcpStream, UnixStream, copy, pipe};
use net_support::*;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn content(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(0x9E37_79B1) >> 13) as u8)
        .collect()
}

#[track_caller]
fn assert_same(got: &[u8], want: &[u8], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    if got != want {
        let differs = got.iter().zip(want).position(|(a, b)| a != b);
        panic!("{what}: differs at {differs:?}");
    }
}

/// A regular file without a name.
fn file(content: &[u8]) -> File {
    // SAFETY: a name that ends with a zero; what is returned is a new descriptor.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"copy".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    };
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

type Source = Box<dyn CopyFrom + Send + Sync>;
type Destination = Box<dyn CopyTo + Send + Sync>;

/// Sends `content` in pieces that have nothing to do with anybody's buffers.
fn feed(mut to: impl Write, content: &[u8]) {
    let (mut rest, mut size) = (content, 1);
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.len().min(size));
        to.write_all(piece).unwrap();
        (rest, size) = (tail, (size * 3 + 1) % 200_003);
    }
}

/// A source of this kind that delivers `content` and then its end, and who feeds it.
fn source(cast: Cast, kind: &str, content: &Arc<Vec<u8>>) -> (Source, Option<Task<()>>) {
    let content = Arc::clone(content);
    match kind {
        "tcp" => {
            let (ours, theirs) = pair();
            (
                Box::new(ours),
                Some(cast.spawn(move || feed(theirs, &content))),
            )
        }
        "unix" => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (
                Box::new(ours),
                Some(cast.spawn(move || feed(theirs, &content))),
            )
        }
        "pipe" => {
            let (ours, theirs) = pipe().unwrap();
            (
                Box::new(ours),
                Some(cast.spawn(move || feed(theirs, &content))),
            )
        }
        "file" => (Box::new(file(&content)), None),
        _ => unreachable!(),
    }
}

fn drain(mut from: impl Read + Send + 'static) -> impl FnOnce() -> Vec<u8> + Send + 'static {
    move || {
        let (mut got, mut buffer) = (Vec::new(), vec![0; 70_001]);
        loop {
            match from.read(&mut buffer).unwrap() {
                0 => return got,
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

/// A destination of this kind, and who collects what arrives until it is dropped.
fn destination(cast: Cast, kind: &str) -> (Destination, Task<Vec<u8>>) {
    match kind {
        "tcp" => {
            let (ours, theirs) = pair();
            (Box::new(ours), cast.spawn(drain(theirs)))
        }
        "unix" => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (Box::new(ours), cast.spawn(drain(theirs)))
        }
        "pipe" => {
            let (theirs, ours) = pipe().unwrap();
            (Box::new(ours), cast.spawn(drain(theirs)))
        }
        _ => unreachable!(),
    }
}

const KINDS: [&str; 4] = ["tcp", "unix", "pipe", "file"];

#[test]
fn every_source_goes_to_every_destination() {
    everywhere(|cast| {
        let content = Arc::new(content(1_500_007));
        for from in KINDS {
            for to in &KINDS[..3] {
                let (source, feeding) = source(cast, from, &content);
                let (destination, collecting) = destination(cast, to);
                let n = copy(&source, &destination).unwrap();
                assert_eq!(n, content.len() as u64, "{from} to {to}");
                drop(destination);
                assert_same(&collecting.join(), &content, &format!("{from} to {to}"));
                if let Some(feeding) = feeding {
                    feeding.join();
                }
            }
            let (source, feeding) = source(cast, from, &content);
            let mut end = file(b"before");
            end.seek(SeekFrom::End(0)).unwrap();
            assert_eq!(copy(&source, &end).unwrap(), content.len() as u64);
            assert_eq!(end.stream_position().unwrap(), 6 + content.len() as u64);
            end.rewind().unwrap();
            let mut got = Vec::new();
            end.read_to_end(&mut got).unwrap();
            assert_eq!(&got[..6], b"before");
            assert_same(&got[6..], &content, &format!("{from} to file"));
            if let Some(feeding) = feeding {
                feeding.join();
            }
        }
    });
}

#[test]
fn nothing_is_copied_as_nothing() {
    everywhere(|cast| {
        let empty = Arc::new(Vec::new());
        for from in KINDS {
            for to in &KINDS[..3] {
                let (source, _feeding) = source(cast, from, &empty);
                let (destination, collecting) = destination(cast, to);
                assert_eq!(copy(&source, &destination).unwrap(), 0);
                drop(destination);
                assert!(collecting.join().is_empty());
            }
        }
    });
}

#[test]
fn tens_of_megabytes() {
    let _watchdog = corio_tests::watchdog();
    const LEN: usize = 40 << 20;
    let content = Arc::new(content(LEN));
    for from in ["tcp", "file"] {
        let (from_end, feed) = pair();
        let (to, end) = pair();
        let feeding = std::thread::spawn({
            let content = Arc::clone(&content);
            move || feed_if(from == "tcp", feed, &content)
        });
        let collecting = std::thread::spawn(drain(end));
        let copying = corio::spawn({
            let content = Arc::clone(&content);
            move || match from {
                "tcp" => copy(&from_end, &to),
                _ => copy(&file(&content), &to),
            }
        });
        assert_eq!(copying.join().unwrap().unwrap(), LEN as u64);
        feeding.join().unwrap();
        assert_same(&collecting.join().unwrap(), &content, from);
    }
}

fn feed_if(wanted: bool, to: impl Write, content: &[u8]) {
    if wanted {
        feed(to, content);
    }
}

/// The system refuses to move bytes to what is open for appending (`EINVAL`), at the first try and
/// after a piece has been taken from the source.
fn set_append(fd: impl AsFd, on: bool) {
    let flags = libc::O_NONBLOCK | if on { libc::O_APPEND } else { 0 };
    // SAFETY: a system call without pointers.
    let set = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(set, 0);
}

#[test]
fn no_byte_is_lost_where_the_system_refuses() {
    everywhere(|cast| {
        let content = Arc::new(content(900_001));
        for from in KINDS {
            for to in ["tcp", "unix", "pipe"] {
                // From the start, and from somewhere in the middle on.
                for late in [false, true] {
                    let (source, feeding) = source(cast, from, &content);
                    let (destination, collecting, other): (Destination, _, Box<dyn AsFd + Send>) =
                        match to {
                            "tcp" => {
                                let (ours, theirs) = pair();
                                let other = ours.try_clone().unwrap();
                                (Box::new(ours), cast.spawn(drain(theirs)), Box::new(other))
                            }
                            "unix" => {
                                let (ours, theirs) = UnixStream::pair().unwrap();
                                let other = ours.try_clone().unwrap();
                                (Box::new(ours), cast.spawn(drain(theirs)), Box::new(other))
                            }
                            _ => {
                                let (theirs, ours) = pipe().unwrap();
                                let other = ours.try_clone().unwrap();
                                (Box::new(ours), cast.spawn(drain(theirs)), Box::new(other))
                            }
                        };
                    let setting = if late {
                        Some(cast.spawn(move || {
                            corio::yield_now();
                            set_append(&*other, true);
                        }))
                    } else {
                        set_append(&*other, true);
                        drop(other);
                        None
                    };
                    let what = format!("{from} to {to}, late: {late}");
                    let n = copy(&source, &destination).unwrap();
                    assert_eq!(n, content.len() as u64, "{what}");
                    if let Some(setting) = setting {
                        setting.join();
                    }
                    drop(destination);
                    assert_same(&collecting.join(), &content, &what);
                    if let Some(feeding) = feeding {
                        feeding.join();
                    }
                }
            }
        }
    });
}

/// Runs the test of this name in a process of its own; `true` there.
fn alone(name: &str) -> bool {
    const ALONE: &str = "NET_COPY_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    false
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn it_works_without_descriptors_to_spare() {
    if !alone("it_works_without_descriptors_to_spare") {
        return;
    }
    everywhere(|cast| {
        let content = Arc::new(content(300_000));
        let (source, feeding) = source(cast, "tcp", &content);
        let (destination, collecting) = destination(cast, "tcp");
        let mut hoard = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            hoard.push(file);
        }
        assert_eq!(copy(&source, &destination).unwrap(), content.len() as u64);
        drop(hoard);
        drop(destination);
        assert_same(&collecting.join(), &content, "without pipes");
        feeding.unwrap().join();
    });
}

#[test]
fn copies_that_wait_hold_no_descriptors() {
    if !alone("copies_that_wait_hold_no_descriptors") {
        return;
    }
    let _watchdog = corio_tests::watchdog();
    const COPIES: usize = 200;
    let mut sources = Vec::new();
    let mut copies = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..COPIES {
        let (from, feed) = pair();
        let (to, end) = pair();
        sources.push(feed);
        ends.push(end);
        copies.push(corio::spawn(move || copy(&from, &to)));
    }
    let before = descriptors();
    for round in 0..3 {
        for (feed, end) in sources.iter_mut().zip(&mut ends) {
            feed.write_all(b"some bytes").unwrap();
            let mut got = [0; 10];
            end.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"some bytes");
        }
        let now = descriptors();
        // What the pool keeps: four pipes for each P, and four times as many.
        let kept = 2 * (4 * 64 + 16);
        assert!(
            now <= before + kept.min(COPIES),
            "round {round}: {before} descriptors, then {now}"
        );
    }
    drop(sources);
    for copy in copies {
        assert_eq!(copy.join().unwrap().unwrap(), 30);
    }
}

#[test]
fn a_file_is_copied_from_its_position_on() {
    everywhere(|cast| {
        let content = content(400_000);
        let mut from = file(&content);
        from.seek(SeekFrom::Start(123_457)).unwrap();
        let (to, collecting) = destination(cast, "tcp");
        assert_eq!(copy(&from, &to).unwrap(), 400_000 - 123_457);
        assert_eq!(from.stream_position().unwrap(), 400_000);
        assert_eq!(copy(&from, &to).unwrap(), 0);
        // It has grown.
        from.write_all(b"more").unwrap();
        from.seek(SeekFrom::End(-4)).unwrap();
        assert_eq!(copy(&from, &to).unwrap(), 4);
        drop(to);
        let mut want = content[123_457..].to_vec();
        want.extend_from_slice(b"more");
        assert_same(&collecting.join(), &want, "from the middle");
    });
}

#[test]
fn files_that_do_not_know_their_size() {
    everywhere(|cast| {
        let from = File::open("/proc/self/status").unwrap();
        let (to, collecting) = destination(cast, "tcp");
        let n = copy(&from, &to).unwrap();
        drop(to);
        let text = String::from_utf8(collecting.join()).unwrap();
        assert_eq!(text.len() as u64, n);
        assert!(text.starts_with("Name:") && text.ends_with('\n'), "{text}");
    });
}

#[test]
fn it_neither_closes_nor_shuts_down() {
    everywhere(|cast| {
        let (mut to, theirs) = pair();
        let collecting = cast.spawn(drain(theirs));
        let mut want = Vec::new();
        for round in 0..5_u8 {
            let part = Arc::new(vec![round; 1000]);
            let (source, feeding) = source(cast, "tcp", &part);
            copy(&source, &to).unwrap();
            feeding.unwrap().join();
            // The source's end stays an end.
            assert_eq!(copy(&source, &to).unwrap(), 0);
            to.write_all(b"between").unwrap();
            want.extend_from_slice(&part);
            want.extend_from_slice(b"between");
        }
        drop(to);
        assert_same(&collecting.join(), &want, "several");
    });
}

#[test]
fn a_stream_copied_to_itself_is_an_echo() {
    everywhere(|cast| {
        let content = content(700_000);
        let (server, client) = pair();
        let echo = cast.spawn(move || copy(&server, &server));
        let client = Arc::new(client);
        let sending = cast.spawn({
            let (client, content) = (Arc::clone(&client), content.clone());
            move || {
                feed(&*client, &content);
                client.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut got = Vec::new();
        (&*client)
            .take(content.len() as u64)
            .read_to_end(&mut got)
            .unwrap();
        assert_same(&got, &content, "echo");
        sending.join();
        assert_eq!(echo.join().unwrap(), content.len() as u64);
    });
}

#[test]
fn one_byte_at_a_time_arrives_at_once() {
    everywhere(|cast| {
        for from in ["tcp", "unix"] {
            let (mut feed, source): (Box<dyn Write>, Source) = if from == "tcp" {
                let (ours, theirs) = pair();
                theirs.set_nodelay(true).unwrap();
                (Box::new(theirs), Box::new(ours))
            } else {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (Box::new(theirs), Box::new(ours))
            };
            let (to, mut end) = pair();
            let copying = cast.spawn(move || copy(&source, &to));
            for number in 0..100_u8 {
                feed.write_all(&[number]).unwrap();
                let mut got = [0];
                end.read_exact(&mut got).unwrap();
                assert_eq!(got[0], number);
            }
            drop(feed);
            assert_eq!(copying.join().unwrap(), 100);
            assert_eq!(end.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn deadlines_of_both_ends_apply() {
    everywhere(|cast| {
        // The source's.
        let (from, mut feed) = pair();
        let (to, mut end) = pair();
        feed.write_all(b"head").unwrap();
        from.set_read_deadline(after(SHORT)).unwrap();
        let start = Instant::now();
        assert_timed_out(copy(&from, &to));
        assert!(start.elapsed() >= SHORT);
        let mut four = [0; 4];
        end.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"head");
        // It is passed for whatever comes next, until it is moved: nothing is taken from the source.
        feed.write_all(b"next").unwrap();
        assert_timed_out(copy(&from, &to));
        from.set_read_deadline(None).unwrap();
        drop(feed);
        assert_eq!(copy(&from, &to).unwrap(), 4);
        end.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"next");

        // The destination's, while its peer does not read. A file loses nothing by that.
        let content = content(18 << 20);
        let from = file(&content);
        to.set_write_deadline(after(SHORT)).unwrap();
        assert_timed_out(copy(&from, &to));
        assert_timed_out(copy(&from, &to));
        to.set_write_deadline(None).unwrap();
        let collecting = cast.spawn(drain(end));
        copy(&from, &to).unwrap();
        drop(to);
        assert_same(&collecting.join(), &content, "after a time-out");
    });
}

#[test]
fn a_deadline_set_meanwhile_ends_a_copy() {
    everywhere(|cast| {
        for round in 0..8 {
            let (from, _feed) = pair();
            let (to, _end) = pair();
            let (from, to) = (Arc::new(from), Arc::new(to));
            let blocked_writing = round % 2 == 0;
            if blocked_writing {
                fill(&to);
            }
            let copying = cast.spawn({
                let (from, to) = (Arc::clone(&from), Arc::clone(&to));
                move || {
                    if blocked_writing {
                        copy(&file(&[1; 10 << 20]), &to)
                    } else {
                        copy(&from, &to)
                    }
                }
            });
            pause(round / 2);
            if blocked_writing {
                to.set_write_deadline(Some(Instant::now())).unwrap();
            } else {
                from.set_read_deadline(Some(Instant::now())).unwrap();
            }
            assert_timed_out(copying.join());
        }
    });
}

#[test]
fn close_of_either_end_ends_a_copy() {
    everywhere(|cast| {
        for round in 0..12 {
            let (from, mut feed) = pair();
            let (to, end) = pair();
            let (from, to) = (Arc::new(from), Arc::new(to));
            let stuck = round % 3 == 0;
            let feeding = cast.spawn(move || {
                if stuck {
                    // More than all buffers on the way hold: the copy waits for its destination.
                    let _ = feed.write_all(&vec![1; 30 << 20]);
                }
                feed
            });
            let copying = cast.spawn({
                let (from, to) = (Arc::clone(&from), Arc::clone(&to));
                move || copy(&*from, &*to)
            });
            pause(round / 3);
            match round % 3 {
                0 | 1 => to.close().unwrap(),
                _ => from.close().unwrap(),
            }
            if round % 3 == 1 {
                // It waits for its source and notices with the next piece. (Or it has, if there was none.)
                drop(end);
                from.close().unwrap();
            }
            assert_closed(copying.join());
            drop((from, to));
            feeding.join();
        }
    });
}

/// Makes dropping the stream reset the connection.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

#[test]
fn resets_are_reported() {
    everywhere(|cast| {
        // Of the source.
        let (from, mut feed) = pair();
        let (to, mut end) = pair();
        let copying = cast.spawn(move || copy(&from, &to));
        feed.write_all(b"some").unwrap();
        end.read_exact(&mut [0; 4]).unwrap();
        reset(feed);
        assert_kind(copying.join(), ErrorKind::ConnectionReset);

        // Of the destination, in the middle.
        for from in KINDS {
            let content = Arc::new(content(1 << 20));
            let (source, feeding) = match from {
                "file" => source(cast, from, &Arc::new(vec![1; 30 << 20])),
                _ => {
                    let (ours, theirs) = pair();
                    let content = Arc::clone(&content);
                    let feeding =
                        cast.spawn(move || while (&theirs).write_all(&content).is_ok() {});
                    (Box::new(ours) as Source, Some(feeding))
                }
            };
            let (to, mut end) = pair();
            let copying = cast.spawn(move || copy(&source, &to));
            end.read_exact(&mut vec![0; 300_000]).unwrap();
            reset(end);
            let error = copying.join().unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ),
                "{error:?}"
            );
            if let Some(feeding) = feeding {
                feeding.join();
            }
        }

        // A pipe's reader.
        let (reader, writer): (_, PipeWriter) = pipe().unwrap();
        drop(reader);
        assert_kind(copy(&file(b"x"), &writer), ErrorKind::BrokenPipe);
    });
}

#[test]
fn copies_that_cross_do_not_wait_for_each_other() {
    everywhere(|cast| {
        const LEN: usize = 2 << 20;
        // a to b and b to a at once, several of each, all through the same two streams.
        let (a, their_a) = pair();
        let (b, their_b) = pair();
        let (a, b) = (Arc::new(a), Arc::new(b));
        let copies: Vec<_> = (0..6)
            .map(|number| {
                let (a, b) = (Arc::clone(&a), Arc::clone(&b));
                cast.spawn(move || {
                    if number % 2 == 0 {
                        copy(&a, &b).unwrap()
                    } else {
                        copy(&b, &a).unwrap()
                    }
                })
            })
            .collect();
        let (their_a, their_b) = (Arc::new(their_a), Arc::new(their_b));
        let ends: Vec<_> = [&their_a, &their_b]
            .into_iter()
            .map(|end| {
                let end = Arc::clone(end);
                cast.spawn(move || {
                    (&*end).write_all(&vec![7; LEN]).unwrap();
                    end.shutdown(Shutdown::Write).unwrap();
                })
            })
            .collect();
        for end in [&their_a, &their_b] {
            skip(&**end, LEN);
        }
        for end in ends {
            end.join();
        }
        let copied: u64 = copies.into_iter().map(Task::join).sum();
        assert_eq!(copied, 2 * LEN as u64);
    });
}
