//! `copy` moves every byte between every pair of ends, whatever way it takes.

mod copy_support;
mod net_support;

use copy_support::*;
use corio_net::{UnixStream, copy, copy_n, pipe};
use net_support::*;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

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
fn a_limited_copy_takes_no_more_from_its_source() {
    everywhere(|cast| {
        let content = Arc::new(content(700_003));
        for from in KINDS {
            for to in &KINDS[..3] {
                let (source, feeding) = source(cast, from, &content);
                let (destination, collecting) = destination(cast, to);
                let what = format!("{from} to {to}");
                assert_eq!(copy_n(&source, &destination, 0).unwrap(), 0, "{what}");
                for n in [1, 5, 100_000, 300_001] {
                    assert_eq!(copy_n(&source, &destination, n).unwrap(), n, "{what}");
                }
                // To another one.
                let rest = file(b"");
                assert_eq!(copy_n(&source, &rest, 99_997).unwrap(), 99_997);
                let left = content.len() as u64 - 500_004;
                assert_eq!(copy_n(&source, &destination, left + 1).unwrap(), left);
                assert_eq!(copy_n(&source, &destination, u64::MAX).unwrap(), 0);
                drop(destination);
                let mut want = content[..400_007].to_vec();
                want.extend_from_slice(&content[500_004..]);
                assert_same(&collecting.join(), &want, &what);
                let mut rest = rest;
                rest.rewind().unwrap();
                let mut got = Vec::new();
                rest.read_to_end(&mut got).unwrap();
                assert_same(&got, &content[400_007..500_004], &what);
                if let Some(feeding) = feeding {
                    feeding.join();
                }
            }
        }
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
fn files_that_are_none() {
    everywhere(|cast| {
        // A pipe.
        let (reader, mut writer) = std::io::pipe().unwrap();
        let from = File::from(OwnedFd::from(reader));
        let content = Arc::new(content(300_000));
        let feeding = cast.spawn({
            let content = Arc::clone(&content);
            move || corio::blocking(|| writer.write_all(&content).unwrap())
        });
        let (to, collecting) = destination(cast, "tcp");
        assert_eq!(copy(&from, &to).unwrap(), content.len() as u64);
        feeding.join();
        // A device.
        let zero = File::open("/dev/zero").unwrap();
        assert_eq!(copy_n(&zero, &to, 100_000).unwrap(), 100_000);
        // A directory.
        let error = copy(&File::open("/").unwrap(), &to).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        drop(to);
        let mut want = content.to_vec();
        want.resize(want.len() + 100_000, 0);
        assert_same(&collecting.join(), &want, "pipe and device");
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
