//! Parity with std: the same code, compiled for std's types and for ours, must see the same.
//!
//! A file of parity tests names the types once ([`both!`]): that makes a module `theirs` and a module
//! `ours`, with the same names in them. [`parity!`] puts each test's body into both, and runs it three
//! times: with std's types, with ours on a goroutine, with ours on a plain thread. A body notes what it
//! sees in its [`Log`]; the three logs must be equal. Errors are noted by kind and by the system's
//! number. What a body asserts holds for both sides.
//!
//! A test is named after the method that it is about. The list of std's stable methods stands above
//! the tests of a type, and a name in it without a test does not compile.
//!
//! Compared is what a program can tell apart on purpose. Left out are the documented differences: a
//! timeout is `WouldBlock` there and `TimedOut` here ([`Log::late`] demands either and notes the same);
//! `try_clone` duplicates the descriptor there; ours is non-blocking for the system always;
//! conversions may fail here, so that `TryFrom` is what both have.
//!
//! Ports, paths and descriptors differ from run to run, so bodies note relations: that an address is
//! the one that was bound, not which. And they wait for what they need ([`arrives`]), so that no log
//! depends on how fast something was.

// Each test binary uses its part of this.
#![allow(dead_code, unused_imports, unused_macros)]

#[macro_use]
mod datagrams;
mod places;
#[macro_use]
mod streams;

use crate::net_support::{Task, undisturbed};
use corio_tests::watchdog_for;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

/// What bodies may name.
pub(crate) mod prelude {
    pub(crate) use super::places::{Dir, abstract_addr, bad_paths, black_hole, kinds, refusing};
    pub(crate) use super::{Log, arrives, descriptor_flags, hangs_up};
    pub(crate) use crate::net_support::{LONG, SHORT, Task};
    pub(crate) use std::fmt::Debug;
    pub(crate) use std::io::{
        self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write,
    };
    pub(crate) use std::net::{
        IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
    };
    pub(crate) use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    pub(crate) use std::os::linux::net::{SocketAddrExt, TcpStreamExt};
    pub(crate) use std::os::unix::net::SocketAddr as UnixAddr;
    pub(crate) use std::panic::{RefUnwindSafe, UnwindSafe};
    pub(crate) use std::path::Path;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::time::{Duration, Instant};
}

/// Which types a body is compiled for, and where it runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    StdOnThread,
    OursOnGoroutine,
    OursOnThread,
}

impl Place {
    fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        match self {
            Place::OursOnGoroutine => Task::Goroutine(corio::spawn(f)),
            Place::StdOnThread | Place::OursOnThread => Task::Thread(thread::spawn(f)),
        }
    }

    fn run(self, body: fn(&mut Log)) -> Vec<String> {
        self.spawn(move || {
            let mut log = Log {
                place: self,
                lines: Vec::new(),
            };
            body(&mut log);
            log.lines
        })
        .join()
    }
}

/// What a body saw.
pub(crate) struct Log {
    place: Place,
    lines: Vec<String>,
}

impl Log {
    /// Notes a value.
    pub(crate) fn note(&mut self, what: &str, value: impl Debug) {
        self.lines.push(format!("{what}: {value:?}"));
    }

    /// Notes a result: the value, or the error's kind and number.
    pub(crate) fn result<T: Debug>(&mut self, what: &str, result: io::Result<T>) {
        self.note(
            what,
            result.map_err(|error| (error.kind(), error.raw_os_error())),
        );
    }

    /// Notes that a call ran out of time, which it must have.
    #[track_caller]
    pub(crate) fn late<T: Debug>(&mut self, what: &str, result: io::Result<T>) {
        let kind = match self.place {
            Place::StdOnThread => ErrorKind::WouldBlock,
            Place::OursOnGoroutine | Place::OursOnThread => ErrorKind::TimedOut,
        };
        assert_eq!(result.unwrap_err().kind(), kind, "{what}");
        self.lines.push(format!("{what}: out of time"));
    }

    /// Starts another part of the body: on a goroutine if it runs on one.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        self.place.spawn(f)
    }
}

/// Runs the two compilations of a body, and compares.
pub(crate) fn compare(theirs: fn(&mut Log), ours: fn(&mut Log)) {
    let _undisturbed = undisturbed();
    let _dog = watchdog_for(Duration::from_secs(120));
    let expected = Place::StdOnThread.run(theirs);
    assert!(!expected.is_empty(), "nothing was compared");
    for place in [Place::OursOnGoroutine, Place::OursOnThread] {
        assert_eq!(place.run(ours), expected, "{place:?} (left) is not as std");
    }
}

/// Modules `theirs` and `ours`: the types named, and further items compiled for each.
macro_rules! both {
    ([$($std:tt)+] [$($type:ident),+ $(,)?] $($item:item)*) => {
        #[allow(dead_code, unused_imports)]
        mod theirs {
            use crate::net_parity_support::prelude::*;
            pub(crate) use $($std)+::{$($type),+};
            $($item)*
        }
        #[allow(dead_code, unused_imports)]
        mod ours {
            use crate::net_parity_support::prelude::*;
            pub(crate) use corio_net::{$($type),+};
            $($item)*
        }
    };
}

/// Tests: see the module's head.
macro_rules! parity {
    (
        methods: [$($method:ident),* $(,)?];
        $($(#[$attr:meta])* fn $name:ident($log:ident) $body:block)*
    ) => {
        /// std's stable methods: each has a test of its name.
        const _: &[fn()] = &[$($method),*];

        #[allow(unused_imports)]
        #[allow(
            clippy::unnecessary_fallible_conversions,
            reason = "std's conversions can't fail, ours can"
        )]
        mod theirs {
            use crate::net_parity_support::prelude::*;
            use crate::theirs::*;
            $($(#[$attr])* pub(super) fn $name($log: &mut Log) $body)*
        }

        #[allow(unused_imports)]
        mod ours {
            use crate::net_parity_support::prelude::*;
            use crate::ours::*;
            $($(#[$attr])* pub(super) fn $name($log: &mut Log) $body)*
        }

        $(
            #[test]
            fn $name() {
                crate::net_parity_support::compare(theirs::$name, ours::$name);
            }
        )*
    };
}

/// Waits, blocking the thread, until the system reports one of these events of `poll` for the socket.
fn poll(socket: &impl AsFd, events: libc::c_short) {
    let mut polled = libc::pollfd {
        fd: socket.as_fd().as_raw_fd(),
        events,
        revents: 0,
    };
    while polled.revents == 0 {
        // SAFETY: one live `pollfd`. It is the socket's descriptor that is open, as it is borrowed.
        unsafe { libc::poll(&mut polled, 1, 1000) };
    }
}

/// Waits until something has arrived for a receive to return: bytes, a message, a connection, an end.
pub(crate) fn arrives(socket: &impl AsFd) {
    poll(socket, libc::POLLIN);
}

/// Waits until the connection is over in both directions, or an error is pending.
pub(crate) fn hangs_up(socket: &impl AsFd) {
    poll(socket, 0);
}

/// What `F_GETFD` says.
pub(crate) fn descriptor_flags(socket: &impl AsFd) -> libc::c_int {
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(socket.as_fd().as_raw_fd(), libc::F_GETFD) }
}
