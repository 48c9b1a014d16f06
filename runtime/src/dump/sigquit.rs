//! A dump on standard error whenever SIGQUIT comes (Ctrl-\ on a terminal), if the program or `CORIO_DUMP` asks for
//! it.
//!
//! A thread of its own waits for the signal and makes the dump, as the signals of `signal` have theirs; the handler
//! only wakes it. Go ends the program after its dump; here it goes on, since a server that is asked what it does
//! should go on doing it.
//!
//! It stands below `signal`, whose channels it has no use for. Both may want SIGQUIT: signal-hook calls everybody.

use super::collect;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::sched::sysmon::sys::gettid;
use signal_hook::consts::SIGQUIT;
use signal_hook::iterator::Signals;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::thread;
use std::{mem, ptr};

/// Up to so many goroutines are shown one by one; more are grouped.
const ONE_BY_ONE: usize = 1000;

/// The thread's id; 0 if there is none. It wakes no goroutine: for the deadlock report.
pub(crate) static TID: AtomicU32 = AtomicU32::new(0);

/// Starts the thread.
///
/// # Errors
///
/// The system's, if it refuses the thread or the handler.
pub(crate) fn start() -> io::Result<()> {
    let mut signals = Signals::new([SIGQUIT])?;
    on_alternate_stack(SIGQUIT)?;
    thread::Builder::new()
        .name("corio-sigquit".into())
        .spawn(move || {
            TID.store(gettid(), Ordering::Relaxed);
            for _ in signals.forever() {
                // It doesn't panic, and if it did the next one might not.
                catch_unwind(print).unwrap_or_else(mem::forget);
            }
        })
        .map(drop)
}

fn print() {
    let dump = collect::all();
    let n = dump.goroutines().len();
    let mut text = format!("SIGQUIT: {n} goroutines\n\n");
    let _ = match n <= ONE_BY_ONE {
        true => write!(text, "{dump}"),
        false => write!(text, "{}", dump.groups()),
    };
    // Whether there is still somebody to read it is not our business.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The handler that is set for the signal runs on a thread's alternate stack, if it has one, instead of what may be
/// left of a goroutine's.
fn on_alternate_stack(signal: i32) -> io::Result<()> {
    // SAFETY: an all-zero `sigaction` is a valid value, and a place for the current one.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the pointers are valid or null; the action that is set is the one that is there, and on an alternate
    // stack a handler has more room, not less.
    unsafe {
        if libc::sigaction(signal, ptr::null(), &mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        action.sa_flags |= libc::SA_ONSTACK;
        if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
