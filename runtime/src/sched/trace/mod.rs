//! Execution trace, the upper half: starting, stopping, and the thread that collects and writes.
//!
//! The scheduler records what it does as events (`prim::trace`). A *session* is what there is from [`start`] to [`stop`]: a
//! thread of its own with the writer, which may be slow, fail or panic without anybody else noticing. It is a plain
//! thread and not a goroutine, as it must not show up in what it describes.
//!
//! | module | what |
//! | --- | --- |
//! | [`collect`] | takes events from the Ps' rings, in passes, and puts them in order |
//! | [`timeline`] | from stamps to nanoseconds |
//! | [`render`] | from events to what each track shows |
//! | [`out`] | JSON, line by line |
//!
//! The collector is the rings' one consumer: the next one is started only after it has been joined.
//!
//! Rejected: a format of our own, with a converter. It would be a tenth of the size, but nothing could be done with it
//! before it is converted; and half of the work, finding out what belongs together, would be the same.
//!
//! Next in the reading order: `dump`: every goroutine, with its stack.

mod collect;
mod out;
mod render;
mod timeline;

use crate::prim::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::prim::trace as events;
use crate::prim::{Condvar, Mutex, flags, warn};
use crate::sched::observe::GoroutineInfo;
use crate::sched::{Sched, sched, sysmon};
use crate::state::pstatus::PState;
use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use timeline::Timeline;

/// What a trace came to; made by [`stop`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// Events that were recorded. Each makes one line or several.
    pub events: u64,
    /// Events that were lost because they came faster than they were written.
    pub dropped: u64,
    /// Bytes that the writer was given.
    pub bytes: u64,
    /// How long the trace is.
    pub duration: Duration,
}

/// The session, if there is one. Locked only to look at it and to change it.
static SESSION: Mutex<Option<Session>> = Mutex::new(None);

/// Somebody is starting or stopping one.
static BUSY: AtomicBool = AtomicBool::new(false);

/// The thread of the last session: the deadlock report doesn't count it as the program's.
static TID: AtomicU32 = AtomicU32::new(0);

/// Names given to goroutines since the last pass.
static NAMES: Mutex<Vec<(u64, Arc<str>)>> = Mutex::new(Vec::new());

struct Session {
    control: Arc<Control>,
    thread: JoinHandle<io::Result<TraceSummary>>,
    /// It was asked for by the settings.
    configured: bool,
}

/// How the thread is told that the trace is over.
#[derive(Default)]
struct Control {
    over: Mutex<bool>,
    told: Condvar,
}

impl Control {
    fn end(&self) {
        *self.over.lock() = true;
        self.told.notify_one();
    }

    /// Waits for so long, or until the trace is over: `true`.
    fn wait(&self, pause: Duration) -> bool {
        let mut over = self.over.lock();
        if !*over {
            self.told.wait_for(&mut over, pause);
        }
        *over
    }
}

/// How everything stands when the trace begins. It takes a moment to look at all of it, so the trace's first
/// microseconds may contradict it.
struct Opening {
    timeline: Cell<Option<Timeline>>,
    goroutines: Vec<GoroutineInfo>,
    /// Ms, and whether they are ours.
    ms: Vec<(u32, bool)>,
    /// Ps with an M: their number, its number, the goroutine that it runs.
    ps: Vec<(u32, u32, Option<u64>)>,
    /// Events that each P had dropped before.
    dropped: Vec<u64>,
}

impl Opening {
    fn new(sched: &'static Sched) -> Opening {
        for p in sched.all_ps() {
            p.events.provide();
            // What the last trace has left.
            p.events.drain(p.events.end(), |_| ());
        }
        events::take_unowned(&mut Vec::new());
        NAMES.lock().clear();
        let mut ms = Vec::new();
        sched.ms.for_each(|m| ms.push((m.id, m.is_worker())));
        let with_m = sched.all_ps().filter_map(|p| {
            let word = p.status.load();
            let state = word.state();
            let m = sched.ms.by_id(word.m())?;
            let runs = matches!(state, PState::User | PState::Blocking);
            let g = m.curg().filter(|_| runs).map(|g| g.id());
            (runs || state == PState::Sched).then_some((p.id, m.id, g))
        });
        Opening {
            goroutines: sched.goroutines(),
            ms,
            ps: with_m.collect(),
            dropped: sched.all_ps().map(|p| p.events.dropped()).collect(),
            timeline: Cell::new(Some(Timeline::new())),
        }
    }

    fn timeline(&self) -> Timeline {
        self.timeline.take().unwrap_or_else(Timeline::new)
    }
}

/// Starts an execution trace: from now on, until [`stop`], every decision of the scheduler is written to `writer`.
///
/// What is written is Chrome's JSON format, one event per line, which <https://ui.perfetto.dev> and `chrome://tracing` open: a track
/// for each P with the turns of goroutines, one for each thread, and arrows from where a goroutine is made ready to where
/// it runs. The example `corio-trace` makes tables of it. A busy program makes some 10 MB a second; 400 bytes for each time
/// that a goroutine is switched to.
///
/// A thread of its own writes, so `writer` may block; it is flushed some 100 times a second. If it can't keep up, events are
/// lost, which the trace says ([`TraceSummary::dropped`]); the program never waits for it. If it fails or panics the trace
/// ends; [`stop`] returns the error. If the process ends first, the end of the file is missing, which readers don't mind.
///
/// The variable `CORIO_TRACE`, or [`Config::trace`](crate::Config::trace), traces a program from its beginning to its end.
///
/// Mirrors `runtime/trace.Start` of Go.
///
/// # Errors
///
/// * `ResourceBusy`: a trace is running, or has failed and not been stopped.
/// * As [`std::thread::Builder::spawn`], if the system refuses a thread.
///
/// # Panics
///
/// If the runtime has not been started, and can't be.
///
/// # Blocking
///
/// Does not block or switch. It takes time in proportion to the goroutines that exist, some 100 ns for each.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("corio-doc-{}.json", std::process::id()));
/// corio::trace::start(std::fs::File::create(&path)?)?;
/// corio::spawn(|| corio::yield_now()).join().unwrap();
/// let summary = corio::trace::stop()?;
/// assert!(summary.events > 0);
/// assert_eq!(std::fs::metadata(&path)?.len(), summary.bytes);
/// # std::fs::remove_file(path)
/// # }
/// ```
#[doc(alias = "runtime/trace")]
pub fn start<W>(writer: W) -> io::Result<()>
where
    W: Write + Send + 'static,
{
    start_session(sched(), writer, false)
}

/// Ends the execution trace: what has happened up to now is written, and the writer is dropped.
///
/// # Errors
///
/// * `NotFound`: no trace is running.
/// * `ResourceBusy`: somebody else is starting or stopping one at this moment.
/// * That of the writer, if it has failed.
/// * `Other`, if the writer has panicked.
///
/// # Blocking
///
/// Blocks the thread until everything is written, as in [`blocking`](crate::blocking): a switch point.
///
/// # Examples
///
/// See [`start`].
pub fn stop() -> io::Result<TraceSummary> {
    crate::sched::blocking::blocking(|| stop_session(|_| true))
        .unwrap_or_else(|| Err(io::Error::new(ErrorKind::NotFound, "no trace is running")))
}

/// Is a trace running? Not one that has failed, even if it has not been stopped so far.
///
/// ```
/// assert!(!corio::trace::is_running());
/// ```
pub fn is_running() -> bool {
    events::on()
}

/// One at a time may start or stop; the others are told so.
struct Turn;

impl Turn {
    fn take() -> io::Result<Turn> {
        // Acquire: partner of the Release in `drop`; the last one's thread has been joined.
        if BUSY.swap(true, Ordering::Acquire) {
            return Err(busy("a trace is being started or stopped"));
        }
        Ok(Turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Release: partner of the Acquire in `take`.
        BUSY.store(false, Ordering::Release);
    }
}

fn busy(text: &str) -> io::Error {
    io::Error::new(ErrorKind::ResourceBusy, text)
}

fn start_session<W>(sched: &'static Sched, writer: W, configured: bool) -> io::Result<()>
where
    W: Write + Send + 'static,
{
    let _turn = Turn::take()?;
    if SESSION.lock().is_some() {
        return Err(busy("a trace is running; stop it first"));
    }
    let opening = Opening::new(sched);
    let control = Arc::new(Control::default());
    let theirs = Arc::clone(&control);
    // Before there is the thread, which clears it when it ends.
    flags::set(flags::TRACE);
    let started = thread::Builder::new()
        .name("corio-trace".into())
        .spawn(move || {
            TID.store(sysmon::sys::gettid(), Ordering::Relaxed);
            let _off = Off;
            collect::collect(sched, writer, &opening, &theirs)
        });
    let thread = started.inspect_err(|_| flags::clear(flags::TRACE))?;
    *SESSION.lock() = Some(Session {
        control,
        thread,
        configured,
    });
    Ok(())
}

/// However the thread ends, nothing is recorded any more.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        flags::clear(flags::TRACE);
        TID.store(0, Ordering::Relaxed);
    }
}

/// Stops the session if there is one that `which` accepts.
fn stop_session(which: impl FnOnce(&Session) -> bool) -> Option<io::Result<TraceSummary>> {
    let _turn = match Turn::take() {
        Ok(turn) => turn,
        Err(error) => return Some(Err(error)),
    };
    let session = SESSION.lock().take_if(|session| which(session))?;
    flags::clear(flags::TRACE);
    session.control.end();
    Some(match session.thread.join() {
        Ok(result) => result,
        Err(payload) => Err(io::Error::other(panic_text(payload))),
    })
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("?", |text| text),
    };
    let text = format!("the trace's writer panicked: {text}");
    // Dropping it might panic again.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    text
}

/// The thread that writes; 0: there is none.
pub(crate) fn tid() -> u32 {
    TID.load(Ordering::Relaxed)
}

/// A goroutine was given a name.
pub(crate) fn name(g: u64, name: &Arc<str>) {
    if events::on() {
        NAMES.lock().push((g, Arc::clone(name)));
    }
}

fn take_names() -> Vec<(u64, Arc<str>)> {
    std::mem::take(&mut NAMES.lock())
}

/// The file that the settings name: `%p` stands for the process's number, as processes inherit their parent's environment.
fn file_name(path: &Path) -> PathBuf {
    match path.to_str() {
        Some(text) => text.replace("%p", &std::process::id().to_string()).into(),
        None => path.into(),
    }
}

/// Makes the file that the settings name.
///
/// # Errors
///
/// As [`File::create`].
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::create(file_name(path))
}

/// Starts the trace that the settings ask for; it is stopped at the process's end.
pub(crate) fn start_configured(sched: &'static Sched, file: File) -> io::Result<()> {
    start_session(sched, file, true)?;
    // SAFETY: the function may be called at any time, on any thread. If it can't be noted, the trace has no end.
    unsafe { libc::atexit(at_exit) };
    Ok(())
}

extern "C" fn at_exit() {
    stop_configured();
}

/// Stops the trace that the settings asked for, if it is running.
pub(crate) fn stop_configured() {
    if sysmon::sys::gettid() == tid() {
        // The trace's own thread ends the process: it can't wait for itself.
        return;
    }
    if let Some(Err(error)) = stop_session(|session| session.configured) {
        warn(format_args!("corio: the trace is not complete: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_may_contain_the_process() {
        let pid = std::process::id();
        assert_eq!(file_name(Path::new("a.json")), Path::new("a.json"));
        let path = format!("/tmp/{pid}-{pid}.json");
        assert_eq!(file_name(Path::new("/tmp/%p-%p.json")), Path::new(&path));
    }
}
