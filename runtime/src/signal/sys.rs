//! What a Unix does when a signal comes: `sigaction`, and sending signals to oneself.

use std::io;
use std::mem;
use std::ptr;

/// What happens when a signal comes.
#[derive(Clone, Copy)]
pub(super) struct Action(libc::sigaction);

impl Action {
    /// The system's default: for most signals, the end of the process.
    fn default() -> Action {
        // SAFETY: an all-zero `sigaction` is a valid value: `SIG_DFL`, empty mask, no flags.
        Action(unsafe { mem::zeroed() })
    }

    /// Nothing.
    pub(super) fn ignore() -> Action {
        let mut action = Action::default();
        action.0.sa_sigaction = libc::SIG_IGN;
        action
    }

    /// What is set at the moment.
    pub(super) fn current(signal: i32) -> io::Result<Action> {
        let mut current = Action::default();
        // SAFETY: the pointer is valid, and nothing is changed.
        match unsafe { libc::sigaction(signal, ptr::null(), &mut current.0) } {
            0 => Ok(current),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sets it.
    pub(super) fn set(&self, signal: i32) -> io::Result<()> {
        // SAFETY: the pointer is valid. The action is the default, to ignore, or one that was set before,
        // whose handler is still there; on an alternate stack a handler has more room, not less.
        match unsafe { libc::sigaction(signal, &self.0, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The same, with the handler on the thread's alternate stack, if it has one.
    pub(super) fn on_alternate_stack(mut self) -> Action {
        self.0.sa_flags |= libc::SA_ONSTACK;
        self
    }

    pub(super) fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }

    pub(super) fn is_ignore(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN
    }

    /// Has it the same handler?
    pub(super) fn is_like(&self, other: &Action) -> bool {
        self.0.sa_sigaction == other.0.sa_sigaction
    }
}

/// The highest signal number.
pub(super) fn last() -> i32 {
    libc::SIGRTMAX()
}

/// Sends the signal to this process.
pub(super) fn raise(signal: i32) {
    // SAFETY: no memory is passed. That it fails, for a signal that has come before, can't happen.
    unsafe { libc::kill(libc::getpid(), signal) };
}
