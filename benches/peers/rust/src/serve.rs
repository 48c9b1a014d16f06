//! What servers have in common: the announcement, the statistics on SIGUSR1, the end on SIGTERM, and hogs.
//!
//! The signals are blocked in all threads and waited for by one that does nothing else, so that no
//! runtime is interrupted and none needs to know. Its own processor time is taken off the server's.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::args::{Args, BUFFER};
use crate::measure::Memory;
use crate::work::xorshift;

/// How many connections may wait to be accepted, where a peer lets one choose.
pub const BACKLOG: i32 = 4096;

/// Raises the limit of descriptors to what is allowed, and for servers blocks the signals they wait for.
pub(crate) fn prepare(args: &Args) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the result and a valid value afterwards.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    if args.workload.starts_with("serve-") {
        let signals = signals();
        // SAFETY: a valid set; threads inherit the mask, and there are none yet.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
    }
}

fn signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set, which is valid from then on.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGUSR1);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        set.assume_init()
    }
}

/// Tells the harness where the server listens, and answers its signals from now on.
///
/// # Errors
///
/// If stdout is closed or no thread can be started.
pub fn announce(args: &Args, address: SocketAddr, hogs: &Arc<Hogs>) -> io::Result<()> {
    let mut line = json!({"listening": address.to_string(), "pid": std::process::id()});
    if let Some(path) = &args.unix {
        line["unix"] = path.display().to_string().into();
    }
    let (hogs, socket) = (Arc::clone(hogs), args.unix.clone());
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let signals = signals();
            loop {
                let mut signal = 0;
                // SAFETY: both pointers are valid. The signals are blocked in this thread too.
                let error = unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
                if error == 0 && signal == libc::SIGUSR1 {
                    let printed = print(&statistics(&hogs));
                    if printed.is_ok() {
                        continue;
                    }
                }
                if let Some(path) = &socket {
                    // It may be gone; nobody could be told.
                    let _ = std::fs::remove_file(path);
                }
                // SAFETY: takes no pointers. What is printed has been flushed, and the runtimes'
                // threads must not see their statics torn down, as `exit` would.
                unsafe { libc::_exit(0) };
            }
        })?;
    print(&line)
}

fn print(line: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn statistics(hogs: &Hogs) -> serde_json::Value {
    let (process, own) = (usage(libc::RUSAGE_SELF), usage(libc::RUSAGE_THREAD));
    let memory = Memory::now();
    json!({
        "cpu_user_us": micros(process.ru_utime).saturating_sub(micros(own.ru_utime)),
        "cpu_sys_us": micros(process.ru_stime).saturating_sub(micros(own.ru_stime)),
        "rss_kb": memory.rss,
        "page_tables_kb": memory.page_tables,
        "hog_progress": hogs.progress(),
        "ctx_switches": process.ru_nvcsw + process.ru_nivcsw,
    })
}

fn usage(who: libc::c_int) -> libc::rusage {
    let mut usage = MaybeUninit::zeroed();
    // SAFETY: `usage` is a valid place for the result, and all zeros are a value of its type too.
    unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn micros(time: libc::timeval) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs()
}

/// A TCP socket that is bound, for peers that let one choose the backlog. Call its `listen`.
///
/// # Errors
///
/// If the address is none or taken.
pub fn bind(args: &Args, reuse_port: bool) -> Result<Socket, Box<dyn std::error::Error>> {
    let address: SocketAddr = args.addr.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Removes the socket that an earlier server may have left at `--unix`.
pub fn clear(args: &Args) {
    if let Some(path) = &args.unix {
        // That there is none is the usual case; others show when it is bound.
        let _ = std::fs::remove_file(path);
    }
}

/// Sends everything back until the other side closes or something goes wrong, with a buffer of that size.
///
/// The usual buffer lies on the stack.
pub fn echo(stream: impl Read + Write, size: usize) {
    if size <= BUFFER {
        echo_by(stream, &mut [0; BUFFER]);
    } else {
        echo_by(stream, &mut vec![0; size]);
    }
}

#[inline(never)]
fn echo_by(mut stream: impl Read + Write, buffer: &mut [u8]) {
    while let Ok(n) = stream.read(buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

/// Steps of a hog's work between two looks at the clock: about 0.1 ms.
const CHUNK: u32 = 65_536;

/// Tasks that compute without ever waiting, and tasks that block their thread, for a while.
///
/// No runtime knows the processor time of a task. So a hog counts what it has computed, in chunks of
/// which the time that one takes on an undisturbed core is measured in the beginning.
///
/// All end at the same time, counted from when the first of them begins. In a runtime in which a task that
/// computes keeps its thread, the others wait for it; if each had the whole time for itself, one after the
/// other, the connections would wait for the sum of them, and it is not that which is asked.
#[derive(Debug)]
pub struct Hogs {
    blockers: usize,
    time: Duration,
    end: OnceLock<Instant>,
    chunk: Duration,
    /// Chunks of each hog.
    chunks: Vec<AtomicU64>,
}

impl Hogs {
    /// The hogs and blockers that are asked for; they don't run yet.
    pub fn new(args: &Args) -> Arc<Hogs> {
        let mut seed = 1;
        let chunk = (0..if args.hogs > 0 { 20 } else { 0 })
            .map(|_| {
                let begin = Instant::now();
                seed = xorshift(seed, CHUNK);
                begin.elapsed()
            })
            .min();
        // Used, or it might not be computed.
        std::hint::black_box(seed);
        Arc::new(Hogs {
            blockers: args.blockers,
            time: args.hog_seconds,
            end: OnceLock::new(),
            chunk: chunk.unwrap_or_default(),
            chunks: (0..args.hogs).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// What each hog and each blocker does, in a task of its own.
    pub fn jobs(self: &Arc<Self>) -> Vec<impl FnOnce() + Send + use<>> {
        (0..self.chunks.len() + self.blockers)
            .map(|index| {
                let hogs = Arc::clone(self);
                move || {
                    let end = *hogs.end.get_or_init(|| Instant::now() + hogs.time);
                    match hogs.chunks.get(index) {
                        Some(chunks) => hog(chunks, end),
                        None => thread::sleep(end.saturating_duration_since(Instant::now())),
                    }
                }
            })
            .collect()
    }

    /// Milliseconds of processor time that each hog has had.
    fn progress(&self) -> Vec<f64> {
        let millis = self.chunk.as_secs_f64() * 1e3;
        self.chunks
            .iter()
            .map(|chunks| chunks.load(Relaxed) as f64 * millis)
            .collect()
    }
}

fn hog(chunks: &AtomicU64, end: Instant) {
    let mut state = 1;
    while Instant::now() < end {
        state = std::hint::black_box(xorshift(state, CHUNK));
        chunks.fetch_add(1, Relaxed);
    }
}
