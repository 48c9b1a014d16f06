//! The system calls.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Events that one `epoll_wait` returns at most.
const EVENTS: usize = 1024;

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

/// What is waited for, by edges.
#[derive(Clone, Copy)]
pub(crate) enum Interest {
    Read,
    Write,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Write => libc::EPOLLOUT,
        };
        (bits | libc::EPOLLET) as u32
    }
}

/// What has happened to a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Event(libc::epoll_event);

impl Event {
    pub(crate) fn fd(self) -> RawFd {
        self.0.u64 as RawFd
    }

    /// Whether reading will come to an end or an error, after what there may still be.
    pub(crate) fn ends(self) -> bool {
        self.0.events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a descriptor that was just made and belongs to nobody else.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Room for the events of a [`wait`](Self::wait).
    pub(crate) fn events() -> Vec<libc::epoll_event> {
        vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS]
    }

    pub(crate) fn add(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest)
    }

    /// Waits for something else on a descriptor. Tells at once if it is there already.
    pub(crate) fn change(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest)
    }

    fn control(&self, operation: i32, fd: RawFd, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: fd.unsigned_abs().into(),
        };
        // SAFETY: `event` is valid, and it is the system that checks the descriptors.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits until something happens.
    pub(crate) fn wait<'a>(
        &self,
        events: &'a mut [libc::epoll_event],
    ) -> io::Result<impl Iterator<Item = Event> + use<'a>> {
        let room = events.len() as i32;
        // SAFETY: `events` has that much room.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, -1) };
        let count = match checked(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count?,
        };
        Ok(events[..count as usize].iter().copied().map(Event))
    }
}

/// Accepts a connection, if there is one.
pub(crate) fn accept(listener: RawFd) -> io::Result<Option<RawFd>> {
    loop {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let nobody = std::ptr::null_mut();
        // SAFETY: without a place for the address none is stored.
        match checked(unsafe { libc::accept4(listener, nobody, std::ptr::null_mut(), flags) }) {
            Ok(fd) => return Ok(Some(fd)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

/// Reads what there is: `None` if there is nothing, 0 at the end.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: `buffer` has that much room.
    let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    transferred(count)
}

/// Writes what goes, which may be nothing.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    // SAFETY: `bytes` has that length.
    let count = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    Ok(transferred(count)?.unwrap_or(0))
}

/// Closes a connection.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: a connection belongs to its loop, which does not use it any more.
    unsafe { libc::close(fd) };
}

fn transferred(count: isize) -> io::Result<Option<usize>> {
    match usize::try_from(count) {
        Ok(count) => Ok(Some(count)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        },
    }
}

fn checked(status: i32) -> io::Result<i32> {
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}
