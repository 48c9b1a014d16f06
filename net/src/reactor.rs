//! The poller: [`corio::reactor::Reactor`] over `mio::Poll`, installed when the first socket is made.
//!
//! The scheduler decides who polls and when; one thread at a time does. This file turns events into
//! ready waiters and keeps what all sockets share: the registry, and the placeholder that `close` puts
//! over a descriptor.
//!
//! ## Waking the poller
//!
//! [`wake`](Reactor::wake) ends the current blocking poll or else the next one. `woken` says that a
//! wake-up is asked for and not yet used, so that only the first of many pays for the system call:
//!
//! | | `woken` | then |
//! | --- | --- | --- |
//! | wake | false → true | system call |
//! | wake | true | nothing: the poll that will use it has not returned yet |
//! | blocking poll, before | true → false | does not block: this was the wake-up |
//! | blocking poll, on the waker's event | → false | returns |
//! | poll without blocking | unchanged | eats the waker's event, which is edge-triggered |
//!
//! The last line is why a poll that is about to block looks at `woken`: the event may be gone. No
//! wake-up is lost: after `wake` has found or left `woken` true, either the next blocking poll finds it
//! true, or the current one had looked before and blocks, and then the system call of whoever made it
//! true is still to come or its event has not been fetched. A wake-up may be used by a poll that looks
//! before the system call is made; the event that then comes late ends one poll for nothing.
//!
//! Next in the reading order: `socket`.

use crate::arena::ARENA;
use crate::prim::atomic::{AtomicBool, Ordering};
use crate::source::{self, Readiness, Source};
use crate::sys;
use crate::word::Flags;
use corio::reactor::{AlreadyInstalled, Reactor, ReadyList, WaitReason, prefetch};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Poll, Registry, Token, Waker};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Events fetched at once: 12 KiB. More are fetched by the next poll, in turn.
const EVENTS: usize = 1024;
/// So many events ahead their sources are asked for.
const SOURCES_AHEAD: usize = 8;

/// Not a source's: the arena never gets that far.
const WAKE: Token = Token(usize::MAX);

/// See the module's head.
#[doc(alias = "netpollinit")]
#[doc(alias = "netpollopen")]
#[doc(alias = "netpollclose")]
pub(crate) struct Poller {
    /// Contended only if two threads poll, which the scheduler does not let happen.
    polling: Mutex<Polling>,
    registry: Registry,
    waker: Waker,
    woken: AtomicBool,
    placeholder: OwnedFd,
}

struct Polling {
    poll: Poll,
    events: Events,
}

/// Made once, even if installing it fails and is tried again.
static POLLER: OnceCell<Poller> = OnceCell::new();
static INSTALLED: OnceCell<&'static Poller> = OnceCell::new();

/// The poller, installed if it was not.
///
/// # Errors
///
/// If the system has no descriptors for it, or if the runtime has another reactor
/// ([`io::ErrorKind::AlreadyExists`]).
#[inline]
pub(crate) fn poller() -> io::Result<&'static Poller> {
    match INSTALLED.get() {
        Some(poller) => Ok(poller),
        None => install(),
    }
}

#[cold]
fn install() -> io::Result<&'static Poller> {
    INSTALLED
        .get_or_try_init(|| {
            let poller = POLLER.get_or_try_init(Poller::new)?;
            corio::reactor::install(poller).map_err(|error: AlreadyInstalled| {
                io::Error::new(io::ErrorKind::AlreadyExists, error)
            })?;
            Ok(poller)
        })
        .copied()
}

impl Poller {
    fn new() -> io::Result<Poller> {
        sys::raise_descriptor_limit();
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKE)?;
        Ok(Poller {
            polling: Mutex::new(Polling {
                poll,
                events: Events::with_capacity(EVENTS),
            }),
            registry,
            waker,
            woken: AtomicBool::new(false),
            placeholder: sys::placeholder()?,
        })
    }

    /// Starts events for `fd`: both directions at once, each change once (edge-triggered). The first
    /// event tells what it is ready for already.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>, source: &Source) -> io::Result<()> {
        use mio::event::Source as _;
        SourceFd(&fd.as_raw_fd()).register(&self.registry, source.token(), sys::INTERESTS)
    }

    /// Ends events for `fd`.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        use mio::event::Source as _;
        SourceFd(&fd.as_raw_fd()).deregister(&self.registry)
    }

    /// What `close` puts over a descriptor.
    pub(crate) fn placeholder(&self) -> BorrowedFd<'_> {
        self.placeholder.as_fd()
    }
}

impl Reactor for Poller {
    fn poll(&self, timeout: Option<Duration>, ready: &mut ReadyList) -> io::Result<()> {
        let Some(mut polling) = self.polling.try_lock() else {
            return Ok(());
        };
        let blocking = timeout != Some(Duration::ZERO);
        // Acquire: partner of the Release in `wake`; what the waker did before is visible.
        let timeout = if blocking && self.woken.swap(false, Ordering::AcqRel) {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let Polling { poll, events } = &mut *polling;
        match poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        // Memory of sources that were idle is far away: it is asked for some events ahead.
        for event in events.iter().take(SOURCES_AHEAD) {
            prefetch_source(event);
        }
        let mut ahead = events.iter().skip(SOURCES_AHEAD);
        for event in events.iter() {
            if let Some(event) = ahead.next() {
                prefetch_source(event);
            }
            if event.token() != WAKE {
                dispatch(event, ready);
            } else if blocking {
                // Acquire: as above.
                self.woken.swap(false, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    #[doc(alias = "netpollBreak")]
    fn wake(&self) {
        // Release: partner of the Acquires in `poll`.
        if !self.woken.swap(true, Ordering::AcqRel) {
            // It can't fail: the counter behind it is reset when it is full.
            let _ = self.waker.wake();
        }
    }

    fn describe(&self, reason: WaitReason, object: usize) -> Option<String> {
        let source = ARENA.get(source::index(Token(object)))?;
        source.describe(Token(object), reason)
    }
}

fn prefetch_source(event: &Event) {
    if let Some(source) = ARENA.get(source::index(event.token())) {
        prefetch(&raw const source.read);
    }
}

fn dispatch(event: &Event, ready: &mut ReadyList) {
    let token = event.token();
    if let Some(source) = ARENA.get(source::index(token))
        && source.is(token)
    {
        source.event(readiness(event), ready);
    }
}

/// What an event says about each direction. An error or a hang-up is a result for both.
fn readiness(event: &Event) -> Readiness {
    let error = event.is_error();
    let read_closed = event.is_read_closed();
    let write_closed = event.is_write_closed();
    let priority = event.is_priority();
    let mut flags = 0;
    if read_closed || write_closed {
        flags |= Flags::HANG_UP;
    }
    if error {
        flags |= Flags::ERROR;
    }
    if priority {
        flags |= Flags::PRIORITY;
    }
    Readiness {
        readable: event.is_readable() || read_closed || error || priority,
        writable: event.is_writable() || write_closed || error,
        flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_wake_up_ends_the_next_blocking_poll_and_no_other() {
        let poller = Poller::new().unwrap();
        let mut ready = ReadyList::default();
        let start = Instant::now();
        for _ in 0..3 {
            poller.wake();
            poller.wake();
            // Eats the event, and leaves the wake-up to the poll that it is for.
            poller.poll(Some(Duration::ZERO), &mut ready).unwrap();
            poller.poll(Some(LONG), &mut ready).unwrap();
        }
        poller.wake();
        poller.poll(None, &mut ready).unwrap();
        assert!(start.elapsed() < LONG);
        let (start, short) = (Instant::now(), Duration::from_millis(20));
        // At most one poll ends early for the event of a wake-up that was used without it.
        poller.poll(Some(short), &mut ready).unwrap();
        poller.poll(Some(short), &mut ready).unwrap();
        assert!(start.elapsed() >= short);
    }

    #[test]
    fn a_wake_up_ends_a_poll_under_way() {
        let poller = Poller::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..1000 {
                let polling = scope.spawn(|| poller.poll(Some(LONG), &mut ReadyList::default()));
                poller.wake();
                polling.join().unwrap().unwrap();
            }
        });
    }
}
