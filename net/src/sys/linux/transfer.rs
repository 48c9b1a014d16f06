//! Pipes, and moving bytes between descriptors without a buffer of ours: splice and sendfile.
//!
//! ## SIGPIPE
//!
//! Writing to a pipe that nobody reads raises SIGPIPE besides giving `EPIPE`; so does moving bytes to a
//! socket by splice or sendfile, which know no `MSG_NOSIGNAL`. Rust's start-up code has the process
//! ignore that signal, but a program whose `main` is not Rust's, or which has set the signal back,
//! would be ended by it. So [`spare`] looks at a note of whether the signal is ignored, and if it isn't,
//! blocks it for the thread during the call and fetches the one that the call raised: SIGPIPE goes to
//! the thread that caused it. The note is taken whenever a pipe is made or a copy begins
//! ([`note_sigpipe`]), which spares the two or three system calls per write in programs that ignore it.
//!
//! Rejected: `RWF_NOSIGNAL` (Linux 6.18 on, and not for splice), changing the process's disposition
//! (it is the program's).

use super::{check, count};
use crate::prim::atomic::{AtomicBool, Ordering};
use crate::sys::{MAX_BYTES, MAX_SLICES};
use libc::{c_int, c_long, ssize_t};
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A pipe, non-blocking and closed on exec: the end to read from, and the one to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [c_int; 2] = [-1; 2];
    // SAFETY: room for two descriptors, as the call wants.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
    check(made as ssize_t)?;
    // SAFETY: the call has made them, for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Asks for a pipe that holds `bytes`. What there is stays if the system refuses.
pub(crate) fn grow_pipe(fd: BorrowedFd<'_>, bytes: c_int) {
    // SAFETY: a system call without pointers.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Sets or clears `O_NONBLOCK` of the open file that `fd` stands for.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    // SAFETY: system calls without pointers.
    unsafe {
        let old = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) as ssize_t)? as c_int;
        let new = if nonblocking {
            old | libc::O_NONBLOCK
        } else {
            old & !libc::O_NONBLOCK
        };
        if new != old {
            check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, new) as ssize_t)?;
        }
    }
    Ok(())
}

/// Is it one end of a pipe, or of a FIFO in the file system?
pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> io::Result<bool> {
    file_type(fd).map(|kind| kind == libc::S_IFIFO)
}

/// Is it a regular file?
pub(crate) fn is_regular(fd: BorrowedFd<'_>) -> io::Result<bool> {
    file_type(fd).map(|kind| kind == libc::S_IFREG)
}

fn file_type(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: room for a `stat`, which is initialised if the call succeeds.
    unsafe {
        check(libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) as ssize_t)?;
        Ok(stat.assume_init().st_mode & libc::S_IFMT)
    }
}

/// Reads from any descriptor.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let len = buf.len().min(MAX_BYTES);
    // SAFETY: the kernel writes at most `len` bytes, to a buffer that has them.
    count(
        unsafe { libc::syscall(libc::SYS_read, fd.as_raw_fd(), buf.as_mut_ptr(), len) } as ssize_t,
    )
}

/// Writes to any descriptor; a pipe that nobody reads is an error, not a signal.
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let len = buf.len().min(MAX_BYTES);
    spare(|| {
        // SAFETY: the kernel reads at most `len` bytes, from a buffer that has them.
        count(
            unsafe { libc::syscall(libc::SYS_write, fd.as_raw_fd(), buf.as_ptr(), len) } as ssize_t,
        )
    })
}

/// [`write()`] from several buffers.
pub(crate) fn write_slices(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = bufs.len().min(MAX_SLICES) as c_int;
    spare(|| {
        // SAFETY: `IoSlice` is an `iovec` by its documentation; there are at least `len` of them.
        count(unsafe { libc::writev(fd.as_raw_fd(), bufs.as_ptr().cast(), len) })
    })
}

/// Moves up to `len` bytes, one of the descriptors being a pipe; never waits for a pipe. A broken
/// connection is an error, not a signal.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    spare(|| {
        // SAFETY: no offsets, so no pointers that are followed.
        count(unsafe {
            libc::splice(
                from.as_raw_fd(),
                ptr::null_mut(),
                to.as_raw_fd(),
                ptr::null_mut(),
                len.min(MAX_BYTES),
                flags,
            )
        })
    })
}

/// Sends up to `len` bytes of a file from its position on, which moves by what was sent. A broken
/// connection is an error, not a signal. Reading the file may block.
pub(crate) fn sendfile(to: BorrowedFd<'_>, file: &File, len: usize) -> io::Result<usize> {
    spare(|| {
        // SAFETY: no offset, so no pointer that is followed.
        count(unsafe {
            libc::sendfile(
                to.as_raw_fd(),
                file.as_raw_fd(),
                ptr::null_mut(),
                len.min(MAX_BYTES),
            )
        })
    })
}

/// Does the error of `splice` or `sendfile` mean that it can't be used with these descriptors here, be
/// it that the system has no such call, forbids it, or knows no way between the two?
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINVAL
                | libc::ENOSYS
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EACCES
                | libc::EXDEV
                | libc::EOVERFLOW
        )
    )
}

/// Is SIGPIPE anything but ignored? See the module's head.
static SIGPIPE_HURTS: AtomicBool = AtomicBool::new(false);

/// Looks at what SIGPIPE does at the moment.
pub(crate) fn note_sigpipe() {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the call writes a `sigaction` if it succeeds, and is asked for no change. It fails only
    // for signals that don't exist.
    let handler = unsafe {
        if libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) != 0 {
            return;
        }
        action.assume_init().sa_sigaction
    };
    let hurts = handler != libc::SIG_IGN;
    if SIGPIPE_HURTS.load(Ordering::Relaxed) != hurts {
        SIGPIPE_HURTS.store(hurts, Ordering::Relaxed);
    }
}

/// Makes a call that may raise SIGPIPE, without the signal.
#[inline]
fn spare(call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    if SIGPIPE_HURTS.load(Ordering::Relaxed) {
        blocked(call)
    } else {
        call()
    }
}

#[cold]
fn blocked(call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    let mut only = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: each set is initialised by the call that gets it before it is read. The thread's mask is
    // put back below, by the same thread: `call` is a system call and does not park.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, only.as_ptr(), before.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        let result = call();
        // Not only after EPIPE: a call that has moved something before the connection broke raises the
        // signal and succeeds.
        if !was_pending {
            let now = libc::timespec {
                tv_sec: 0 as c_long,
                tv_nsec: 0,
            };
            while libc::sigtimedwait(only.as_ptr(), ptr::null_mut(), &now) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        result
    }
}
