//! Descriptors that pass from a process to its child.

use super::check;
use libc::{c_int, ssize_t};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// More descriptors than this no process has (`fs.nr_open`, by default).
pub(crate) const MOST_DESCRIPTORS: usize = 1 << 20;

/// Takes over so many descriptors, from `first` on, that this process was started with. From now on
/// they are closed on exec. To be called once, by who was told that they are there.
///
/// One that is closed on exec already was opened since, or taken by somebody else: whoever says that it was
/// inherited is wrong. Then, or if one isn't open, all are left as they are.
pub(crate) fn take_inherited(first: c_int, count: usize) -> io::Result<Vec<OwnedFd>> {
    let numbers = first..first + count as c_int;
    let wrong = |number, what: &dyn Display| {
        let text = format!("inherited descriptor {number}: {what}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    for number in numbers.clone() {
        // SAFETY: a system call without pointers; it fails if the descriptor isn't open.
        let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) } as ssize_t)
            .map_err(|error| wrong(number, &error))?;
        if flags as c_int & libc::FD_CLOEXEC != 0 {
            return Err(wrong(number, &"opened by this process, or taken already"));
        }
    }
    // SAFETY: they are open, and not closed on exec, as all are that this library, or std, opens; the
    // environment says that they were there before the program began, for whoever asks first, which is
    // this one call. (Who opens descriptors that are not closed on exec, and is lied to by the parent as
    // well, is at its mercy.)
    let fds: Vec<_> = numbers
        .map(|number| unsafe { OwnedFd::from_raw_fd(number) })
        .collect();
    for fd in &fds {
        // SAFETY: a system call without pointers.
        let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        check(done as ssize_t)?;
    }
    Ok(fds)
}

/// A duplicate with a number not below `least`, closed on exec.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, least: c_int) -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    let new = check(new as ssize_t)?;
    // SAFETY: it is new, and so ours to own.
    Ok(unsafe { OwnedFd::from_raw_fd(new as c_int) })
}

/// Makes a duplicate with this number, in place of what had it, that is not closed on exec. One system
/// call; it may be called between fork and exec.
pub(crate) fn move_to(fd: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
    loop {
        // SAFETY: a system call without pointers. Whose `number` is, is the caller's business.
        match check(unsafe { libc::dup2(fd.as_raw_fd(), number) } as ssize_t) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}
