//! Signals as a channel.
//!
//! ```no_run
//! use corio::signal::{self, SIGINT, SIGTERM};
//!
//! let stop = signal::notify(&[SIGINT, SIGTERM])?;
//! println!("got {}", stop.recv()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! or as a context, to be handed to all that works:
//!
//! ```no_run
//! use corio::context::Context;
//! use corio::signal::{self, SIGINT, SIGTERM};
//!
//! let (ctx, _stop) = signal::notify_context(&Context::background(), &[SIGINT, SIGTERM])?;
//! // ... hand `ctx` to servers and workers, then
//! ctx.done().recv().unwrap_err();
//! println!("{}", ctx.cause().unwrap()); // SIGINT received
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This is Go's package `os/signal`:
//!
//! | Go | here |
//! | --- | --- |
//! | `signal.Notify(c, sigs...)` | [`notify`], which makes the channel |
//! | `signal.Stop(c)` | dropping the receiver |
//! | `signal.NotifyContext(ctx, sigs...)` | [`notify_context`] |
//! | `signal.Ignore(sigs...)`, `signal.Ignored(sig)` | [`ignore`], [`is_ignored`] |
//! | `signal.Reset(sigs...)` | [`reset`] |
//!
//! The lists are always taken at their word: Go takes an empty one for "all signals".
//!
//! One thread of the runtime's own delivers signals. It starts with the first use. Handlers do nothing but
//! wake it; they run on the thread's alternate stack, never on a goroutine's. Under [`run`](crate::run()) a
//! program whose goroutines are all asleep is not dead as long as somebody can be woken by a signal.
//!
//! For readers of the code: `table` has who wants which signals, `sys` what the system is told.

// Next in the reading order: `metrics`.

mod sys;
mod table;

use self::table::Target;
use crate::channel::{Receiver, bounded};
use crate::context::{CancelCauseFunc, Context};
use std::error::Error;
use std::fmt;
use std::io;

/// How many signals a channel of [`notify`] holds.
const BUFFER: usize = 32;

/// A signal, by its number.
///
/// It is shown by its name: `SIGINT`.
///
/// ```
/// use corio::signal::{SIGTERM, Signal};
///
/// assert_eq!(SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(15), SIGTERM);
/// assert_eq!(Signal::from_raw(50).to_string(), "signal 50");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub const $name: Signal = Signal(libc::$name);)*

        impl Signal {
            /// Its name, such as `"SIGINT"`, if it is one of this module's constants.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $($name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    /// From `abort`.
    SIGABRT
    /// A timer of `alarm` or `setitimer`.
    SIGALRM
    /// A bad access to memory, synchronous; can't be subscribed to.
    SIGBUS
    /// A child process has ended or stopped.
    SIGCHLD
    /// Go on after a stop.
    SIGCONT
    /// An arithmetic fault, synchronous; can't be subscribed to.
    SIGFPE
    /// The terminal is gone; by convention, to servers: read your configuration again.
    SIGHUP
    /// An illegal instruction, synchronous; can't be subscribed to.
    SIGILL
    /// Ctrl-C.
    SIGINT
    /// A descriptor is ready.
    SIGIO
    /// The end, without asking; can't be subscribed to or ignored.
    SIGKILL
    /// Writing where nobody reads. Rust programs ignore it from the start.
    SIGPIPE
    /// A profiling timer.
    SIGPROF
    /// Ctrl-\, by default with a core dump.
    SIGQUIT
    /// A bad access to memory, synchronous; can't be subscribed to.
    SIGSEGV
    /// Stop, without asking; can't be subscribed to or ignored.
    SIGSTOP
    /// A bad system call.
    SIGSYS
    /// Please end.
    SIGTERM
    /// A breakpoint.
    SIGTRAP
    /// Ctrl-Z.
    SIGTSTP
    /// Reading from the terminal in the background.
    SIGTTIN
    /// Writing to the terminal in the background.
    SIGTTOU
    /// Urgent data on a socket.
    SIGURG
    /// For programs to use as they like.
    SIGUSR1
    /// For programs to use as they like.
    SIGUSR2
    /// A timer of the process's own time.
    SIGVTALRM
    /// The terminal has changed its size.
    SIGWINCH
    /// The limit of processor time is exceeded.
    SIGXCPU
    /// The limit of a file's size is exceeded.
    SIGXFSZ
}

/// Signals that can't be caught, or that are raised by an instruction, which would only be tried again after
/// a handler has returned.
const FORBIDDEN: [Signal; 6] = [SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV, SIGBUS];

impl Signal {
    /// The signal of this number, whether there is one or not.
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Signal({})", self.0),
        }
    }
}

/// Delivers these signals over the channel that is returned, instead of what they would do otherwise.
///
/// Everybody who has asked for a signal gets it. To stop, drop the receiver. A signal that comes when nobody
/// wants it any more does again what it did before the first `notify`, which for most is to end the process; so
/// does one that is still on its way to the last receiver when that is dropped. (Go swallows it then. To be
/// sure that it does nothing, [`ignore`] the signal first.)
/// If [`reset`] or [`ignore`] takes all of its signals away, the channel is disconnected.
///
/// The channel holds 32 signals; when it is full, further ones are dropped, as in Go. The system itself
/// may deliver a signal once that was sent several times.
///
/// # Errors
///
/// * `InvalidInput`, naming the signal: it can't be subscribed to (`SIGKILL`, `SIGSTOP`, and the synchronous
///   `SIGSEGV`, `SIGBUS`, `SIGFPE` and `SIGILL`), or there is none of this number; or the list is empty.
/// * The system's, if it refuses the thread or the handler.
///
/// # Blocking
///
/// Blocks shortly, if others are subscribing at the same time; a switch point then.
///
/// ```
/// use corio::signal::{self, SIGKILL, SIGUSR1};
///
/// let signals = signal::notify(&[SIGUSR1])?;
/// # fn raise(signal: signal::Signal) {
/// #     std::process::Command::new("sh")
/// #         .args(["-c", &format!("kill -{signal} $PPID", signal = &signal.to_string()[3..])])
/// #         .status()
/// #         .unwrap();
/// # }
/// raise(SIGUSR1);
/// assert_eq!(signals.recv(), Ok(SIGUSR1));
///
/// let error = signal::notify(&[SIGKILL]).unwrap_err();
/// assert_eq!(error.to_string(), "SIGKILL can't be caught");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify(signals: &[Signal]) -> io::Result<Receiver<Signal>> {
    check_subscription(signals)?;
    let (sender, receiver) = bounded(BUFFER);
    table::subscribe(signals, Target::Channel(sender))?;
    Ok(receiver)
}

/// A context derived from `ctx` that is also cancelled when one of these signals comes. Its
/// [cause](Context::cause) is then a [`Received`].
///
/// Until the [`Stop`] is called or dropped, the signals don't do what they would do otherwise: a second Ctrl-C
/// changes nothing. Stop it when the context is done, and the second one ends the process.
///
/// # Errors
///
/// As [`notify`].
///
/// # Blocking
///
/// As [`notify`].
///
/// ```
/// use corio::context::Context;
/// use corio::signal::{self, SIGTERM};
///
/// let (ctx, stop) = signal::notify_context(&Context::background(), &[SIGTERM])?;
/// assert!(ctx.err().is_none());
/// stop.stop();
/// assert!(ctx.err().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_context(ctx: &Context, signals: &[Signal]) -> io::Result<(Context, Stop)> {
    check_subscription(signals)?;
    let (ctx, cancel) = ctx.with_cancel_cause();
    let target = Target::Context(ctx.clone(), cancel.clone());
    let id = table::subscribe(signals, target)?;
    Ok((ctx, Stop { id, cancel }))
}

/// Ends what [`notify_context`] has begun, when it is called or dropped: cancels the context, and gives the
/// signals up.
///
/// # Blocking
///
/// As [`notify`], also when it is dropped: a switch point in a destructor, should others be subscribing at the
/// same time.
#[derive(Debug)]
#[must_use = "the context is cancelled when this is dropped, which is now"]
pub struct Stop {
    id: u64,
    cancel: CancelCauseFunc,
}

impl Stop {
    /// The same as dropping it.
    pub fn stop(self) {}
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.cancel.without_cause().cancel();
        table::unsubscribe(self.id);
    }
}

/// The cause of a context that was cancelled by a signal. See [`notify_context`].
///
/// ```
/// use corio::signal::{Received, SIGINT};
///
/// assert_eq!(Received(SIGINT).to_string(), "SIGINT received");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Received(pub Signal);

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} received", self.0)
    }
}

impl Error for Received {}

/// Makes these signals do nothing, whoever has subscribed to them. Programs that are started from now on
/// inherit it.
///
/// # Errors
///
/// As [`notify`], but the list may be empty.
///
/// # Blocking
///
/// As [`notify`].
///
/// ```
/// use corio::signal::{self, SIGUSR2};
///
/// signal::ignore(&[SIGUSR2])?;
/// assert!(signal::is_ignored(SIGUSR2));
/// signal::reset(&[SIGUSR2]);
/// assert!(!signal::is_ignored(SIGUSR2));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ignore(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(check)?;
    table::ignore(signals)
}

/// Is the signal ignored, by [`ignore`] or because the process was started so?
pub fn is_ignored(signal: Signal) -> bool {
    table::is_ignored(signal)
}

/// Takes back what [`notify`], [`notify_context`] and [`ignore`] have done to these signals: they do again
/// what they did before, and who has subscribed to them gets them no more.
///
/// # Blocking
///
/// As [`notify`].
pub fn reset(signals: &[Signal]) {
    table::reset(signals);
}

fn check_subscription(signals: &[Signal]) -> io::Result<()> {
    if signals.is_empty() {
        return Err(invalid(format_args!("no signals to be notified of")));
    }
    signals.iter().try_for_each(check)
}

fn check(signal: &Signal) -> io::Result<()> {
    if FORBIDDEN.contains(signal) {
        return Err(invalid(format_args!("{signal} can't be caught")));
    }
    if !(1..=sys::last()).contains(&signal.0) {
        return Err(invalid(format_args!("there is no {signal}")));
    }
    Ok(())
}

fn invalid(text: fmt::Arguments<'_>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_string())
}
