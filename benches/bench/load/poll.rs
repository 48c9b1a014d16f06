//! Waiting for sockets, by epoll and its edges.
//!
//! A socket is registered for reading once, and its reader reads until there is nothing left, so an
//! exchange costs no call but the wait, the read and the write. Being writable is asked for only
//! while something did not go: Unix sockets report it whenever the peer reads, and that would be an
//! event for each exchange.
//!
//! An open loop needs to wake in the middle of a millisecond, so the wait is `epoll_pwait2`. On
//! Linux before 5.11 it is `epoll_wait` with the milliseconds rounded down, which spins for the rest.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Events that one wait returns at most.
const EVENTS: usize = 512;

/// An epoll instance, and room for its events.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// `epoll_pwait2` is there.
    precise: bool,
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// The number that it was registered with.
    pub(super) index: usize,
    /// Writing may go on.
    pub(super) writable: bool,
    /// The other side has closed, or there is an error: read until it is found.
    pub(super) ended: bool,
}

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // The thread's timers may otherwise be 50 us late, which would be taken for latency.
        // SAFETY: takes no pointers.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        Ok(Poll {
            // SAFETY: a descriptor that was just made and belongs to nobody else.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS],
            precise: true,
        })
    }

    /// Registers a socket; closing it undoes that.
    pub(super) fn add(&self, socket: impl AsFd, index: usize, write: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, index, write)
    }

    /// Asks whether a socket can be written, or does so no longer. Tells at once if it can.
    pub(super) fn change(&self, socket: impl AsFd, index: usize, write: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, index, write)
    }

    fn control(&self, how: i32, socket: impl AsFd, index: usize, write: bool) -> io::Result<()> {
        let mut bits = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
        if write {
            bits |= libc::EPOLLOUT;
        }
        let mut event = libc::epoll_event {
            events: bits as u32,
            u64: index as u64,
        };
        let (epoll, fd) = (self.epoll.as_raw_fd(), socket.as_fd().as_raw_fd());
        // SAFETY: `event` is valid, and both descriptors are borrowed from their owners.
        match unsafe { libc::epoll_ctl(epoll, how, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until something happens, but not longer than that; returns the number of events, which
    /// [`event`](Self::event) gives.
    pub(super) fn wait(&mut self, patience: Duration) -> io::Result<usize> {
        let count = match self.call(patience) {
            -1 => {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => 0,
                    Some(libc::ENOSYS) if self.precise => {
                        self.precise = false;
                        0
                    }
                    _ => return Err(error),
                }
            }
            count => count,
        };
        Ok(count as usize)
    }

    fn call(&mut self, patience: Duration) -> i32 {
        let (epoll, room) = (self.epoll.as_raw_fd(), self.events.len() as i32);
        let events = self.events.as_mut_ptr();
        if !self.precise {
            // SAFETY: `events` has that much room.
            return unsafe { libc::epoll_wait(epoll, events, room, patience.as_millis() as i32) };
        }
        // The kernel's timespec of 64 bits, on all machines.
        let patience = [
            patience.as_secs() as i64,
            i64::from(patience.subsec_nanos()),
        ];
        let no_mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: `events` has that much room, and `patience` is two numbers of 64 bits as the
        // call wants them; there is no mask, whose size is then not looked at.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll,
                events,
                room,
                patience.as_ptr(),
                no_mask,
                0usize,
            )
        };
        count as i32
    }

    /// An event of the last wait.
    pub(super) fn event(&self, number: usize) -> Event {
        let event = self.events[number];
        let bits = event.events as i32;
        Event {
            index: event.u64 as usize,
            writable: bits & libc::EPOLLOUT != 0,
            ended: bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0,
        }
    }
}
