//! What the tests of copying share: ends of all kinds, and who feeds and collects.

// Each test binary uses its part of this.
#![allow(dead_code)]

use crate::net_support::{Cast, Task, pair};
use corio_net::{CopyFrom, CopyTo, UnixStream, pipe};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::FromRawFd;
use std::sync::Arc;

pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(0x9E37_79B1) >> 13) as u8)
        .collect()
}

#[track_caller]
pub(crate) fn assert_same(got: &[u8], want: &[u8], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    if got != want {
        let differs = got.iter().zip(want).position(|(a, b)| a != b);
        panic!("{what}: differs at {differs:?}");
    }
}

/// A regular file without a name.
pub(crate) fn file(content: &[u8]) -> File {
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

pub(crate) type Source = Box<dyn CopyFrom + Send + Sync>;
pub(crate) type Destination = Box<dyn CopyTo + Send + Sync>;

/// Sends `content` in pieces that have nothing to do with anybody's buffers.
pub(crate) fn feed(mut to: impl Write, content: &[u8]) {
    let (mut rest, mut size) = (content, 1);
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.len().min(size));
        to.write_all(piece).unwrap();
        (rest, size) = (tail, (size * 3 + 1) % 200_003);
    }
}

/// A source of this kind that delivers `content` and then its end, and who feeds it.
pub(crate) fn source(cast: Cast, kind: &str, content: &Arc<Vec<u8>>) -> (Source, Option<Task<()>>) {
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

pub(crate) fn drain(
    mut from: impl Read + Send + 'static,
) -> impl FnOnce() -> Vec<u8> + Send + 'static {
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
pub(crate) fn destination(cast: Cast, kind: &str) -> (Destination, Task<Vec<u8>>) {
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

pub(crate) const KINDS: [&str; 4] = ["tcp", "unix", "pipe", "file"];
