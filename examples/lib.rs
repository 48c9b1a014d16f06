//! What every example needs besides its subject: start-up that reports errors instead of
//! panicking, a shutdown on Ctrl-C, and an accept loop that outlives a full descriptor table.
//!
//! An example is `main` calling [`run`], then [`listen`], then [`accept`] until that returns `None`:
//!
//! ```no_run
//! use corio_examples::{accept, listen, run};
//!
//! fn main() -> std::process::ExitCode {
//!     run("discard", || {
//!         let listener = listen("discard", "127.0.0.1:0")?;
//!         while let Some(stream) = accept(&listener) {
//!             corio::go!(drop(stream));
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Where there is more to a server than its subject, it is a [`corio_net::Server`]: `async_tcp_server`,
//! `chat`.
//!
//! Output goes through [`say!`] and not through `println!`, which panics when nobody reads the other
//! end of the pipe any more (`cargo run --example echo | head -1`).

pub mod tls;

use std::fmt::Display;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use corio_net::{TcpListener, TcpStream, is_closed};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// The README, whose code is compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Go's idioms beside ours.
#[cfg(doctest)]
#[doc = include_str!("../docs/from-go.md")]
struct FromGo;

/// The wait after a first failed `accept`; it doubles with every further failure in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// The longest wait between two attempts to accept, which also bounds how long Ctrl-C may take.
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Runs `f` as the main goroutine; an error becomes one line on stderr and exit status 1.
///
/// When `f` returns the process ends, whatever other goroutines are doing, as in Go.
pub fn run<F>(name: &'static str, f: F) -> ExitCode
where
    F: FnOnce() -> io::Result<()> + Send + 'static,
{
    // Done here although the runtime starts by itself on first use: a bad `CORIO_...` variable
    // should be a line on stderr too.
    if let Err(error) = corio::Config::new().init() {
        return fail(name, error);
    }
    match corio::run(f) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, error),
    }
}

fn fail(name: &str, error: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{name}: {error}");
    ExitCode::FAILURE
}

/// `println!` that does not mind if nobody reads the other end any more.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {
        drop(::std::io::Write::write_fmt(
            &mut ::std::io::stdout(),
            ::std::format_args!("{}\n", ::std::format_args!($($arg)*)),
        ))
    };
}

/// Binds `addr`, arranges for SIGINT and SIGTERM to close the listener, and prints its real address
/// (of interest with port 0).
///
/// # Errors
///
/// Those of [`TcpListener::bind`], with the address added to the text.
pub fn listen(name: &str, addr: &str) -> io::Result<Arc<TcpListener>> {
    let listener = TcpListener::bind(addr).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
    })?;
    let listener = Arc::new(listener);
    // Before the address is printed, so that whoever waits for that line may send the signal.
    let closer = Arc::clone(&listener);
    on_signal(move || drop(closer.close()))?;
    say!("{name}: listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// Calls `f` on the first SIGINT or SIGTERM; a second one ends the process at once.
///
/// Waits on a plain thread: `f` may call anything, also what parks or wakes a goroutine.
///
/// # Errors
///
/// When the handlers cannot be installed or the thread cannot be started.
pub fn on_signal<F>(f: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'static,
{
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                f();
            }
            for signal in signals {
                let _ = emulate_default_handler(signal);
            }
        })?;
    Ok(())
}

/// Waits for the next connection; `None` once the listener has been closed.
///
/// Out of descriptors or memory, `accept` fails at once and would go on failing for as long as the
/// connections stay open: the loop waits a little, longer each time, and tries again.
pub fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let mut delay = BACKOFF_MIN;
    loop {
        match listener.accept() {
            Ok((stream, _peer)) => return Some(stream),
            Err(error) if is_closed(&error) => return None,
            // The client gave up while it was waiting in the backlog; the next one may be fine.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let _ = writeln!(io::stderr(), "accept: {error}; again in {delay:?}");
                corio::sleep(delay);
                delay = (delay * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// Reads an option's value: seconds, fractions allowed.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(corio_examples::seconds("0.5"), Ok(Duration::from_millis(500)));
/// assert!(corio_examples::seconds("0").is_err());
/// ```
///
/// # Errors
///
/// If it isn't positive, or no number.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().map(Duration::try_from_secs_f64) {
        Ok(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err("expected a positive number of seconds".into()),
    }
}

/// The next line, without its end, and of a longer one the first `max` bytes: what a stranger sends
/// must not fill the memory. `None` at the end of the stream. What is not UTF-8 is replaced.
///
/// ```
/// use corio_examples::read_line;
///
/// let mut input = &b"short\r\nmuch too long\nlast"[..];
/// assert_eq!(read_line(&mut input, 8).unwrap(), Some("short".to_owned()));
/// assert_eq!(read_line(&mut input, 8).unwrap(), Some("much too".to_owned()));
/// assert_eq!(read_line(&mut input, 8).unwrap(), Some("last".to_owned()));
/// assert_eq!(read_line(&mut input, 8).unwrap(), None);
/// ```
///
/// # Errors
///
/// The reader's.
pub fn read_line(reader: &mut impl BufRead, max: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let n = reader
        .by_ref()
        .take(max as u64)
        .read_until(b'\n', &mut line)?;
    if line.pop_if(|byte| *byte == b'\n').is_none() && n == max {
        reader.skip_until(b'\n')?;
    }
    line.pop_if(|byte| *byte == b'\r');
    let line = String::from_utf8_lossy(&line).into_owned();
    Ok((n > 0).then_some(line))
}
