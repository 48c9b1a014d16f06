//! What differs between operating systems. A new one is a new file that has:
//!
//! * `INTERESTS`: what a socket is registered for;
//! * `BACKLOG`: the longest queue of connections not yet accepted;
//! * `raise_descriptor_limit()`, `descriptor_limit()`;
//! * `placeholder()` and `replace(fd, placeholder)`: a descriptor on which every call fails, and
//!   putting it atomically in place of another one, which is closed by that;
//! * `is_ready(fd, way)`: whether an operation would have a result, without waiting;
//! * `accept`, `recv`, `recv_uninit`, `peek`, `send`, `readv`, `writev` on non-blocking sockets: one system call
//!   each, no SIGPIPE, new descriptors non-blocking and closed on exec; they clamp what they are asked
//!   to do to [`MAX_BYTES`] and [`MAX_SLICES`];
//! * `pipe`, `is_pipe`, `grow_pipe`, `is_regular`, `set_nonblocking`, and for any non-blocking descriptor `read`, `write`,
//!   `write_slices`; all that write raise no SIGPIPE, given that `note_sigpipe` was called;
//! * `splice(from, to, len)`, `sendfile(to, file, len)`: move bytes inside the system, or say that they
//!   can't by an error that `is_unsupported` knows, having moved none;
//! * `recv_from`, `peek_from`, `send_to`: the same with addresses, for datagrams, which are not clamped;
//! * `to_unix`, `from_unix`: addresses of Unix sockets, between socket2's type and std's;
//!   `peer_credentials`; `is_shut_down`: will nothing come any more, by `shutdown`?
//! * `take_inherited`, `duplicate_above`, `move_to`, `MOST_DESCRIPTORS`: descriptors that pass from a
//!   process to its child;
//! * `in_progress(error)`: has a non-blocking connect only been started?
//! * `is_nonblocking(fd)`; `describe(fd, reason)`: what is waited for, in words.
//!
//! No function here parks, and each reads `errno` right after the call that set it: a goroutine that
//! is switched in between would read another thread's.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::*;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "corio-net supports Linux so far; sys/mod.rs lists what another system has to define"
);

/// The most bytes moved by one call. Systems have limits of their own, above this one, and what they
/// leave out must not be taken for a socket that is empty or full.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// The most slices passed to one call, at most the system's `IOV_MAX`.
pub(crate) const MAX_SLICES: usize = 1024;
