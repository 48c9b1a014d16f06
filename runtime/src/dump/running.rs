//! The stacks of goroutines that run while the dump is made.
//!
//! Somebody else's stack can't be read while it changes. So the thread is asked by a signal, SIGURG (as Go asks
//! its threads: by default it does nothing, so one that comes late does no harm). Its handler runs on the alternate
//! stack that each M has, on the very thread, while the goroutine stands still; it copies registers and the upper
//! part of the stack into a place made for it beforehand, and does nothing else: no locks, no memory, no system calls
//! but `gettid`. The copy is walked later, at leisure.
//!
//! Only threads that compute are asked. A signal ends some system calls early (`EINTR`), even with `SA_RESTART`, and
//! a dump must not change what a program does: of a goroutine that blocks its thread it is told that it does.
//!
//! One thread is asked at a time, and there is one place for answers:
//!
//! | word | meaning | changed by, to |
//! | --- | --- | --- |
//! | `IDLE` | nobody is asked | the dumper, under `ASKING` → thread + `ASKED` |
//! | thread + `ASKED` | the thread has been sent a signal | its handler → `COPYING`; the dumper, when it has waited long enough → `IDLE` |
//! | thread + `COPYING` | the place is the handler's | it → `DONE` |
//! | thread + `DONE` | the place is the dumper's | it → `IDLE` |
//!
//! A handler that finds any other word, such as one that was called too late, does nothing.

use crate::prim::Mutex;
use crate::prim::arch::Registers;
use crate::prim::atomic::{AtomicU64, Ordering};
use crate::sched::current;
use crate::walk::Memory;
use std::cell::UnsafeCell;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem, ptr};

/// So much of a stack is copied.
const BYTES: usize = 32 * 1024;
/// A name that is longer is cut.
const NAME: usize = 64;

/// For an answer, per thread; and for all of them. One that computes without a P may have to wait for a processor.
const PATIENCE: Duration = Duration::from_millis(10);
const PATIENCE_FOR_ALL: Duration = Duration::from_millis(100);

const IDLE: u64 = 0;
const ASKED: u64 = 1;
const COPYING: u64 = 2;
const DONE: u64 = 3;
/// The thread's id stands above these bits.
const PHASE: u32 = 2;

static WORD: AtomicU64 = AtomicU64::new(IDLE);
static PLACE: Place = Place(UnsafeCell::new(Answer::EMPTY));
/// Held while threads are asked.
static ASKING: Mutex<()> = Mutex::new(());
/// Is our handler there?
static INSTALLED: OnceLock<bool> = OnceLock::new();

struct Place(UnsafeCell<Answer>);

// SAFETY: whose it is says `WORD`.
unsafe impl Sync for Place {}

struct Answer {
    id: u64,
    at: Registers,
    lr: usize,
    name: [u8; NAME],
    name_len: usize,
    bytes: [u8; BYTES],
    len: usize,
}

impl Answer {
    const EMPTY: Answer = Answer {
        id: 0,
        at: Registers {
            ip: 0,
            sp: 0,
            fp: 0,
        },
        lr: 0,
        name: [0; NAME],
        name_len: 0,
        bytes: [0; BYTES],
        len: 0,
    };
}

/// A goroutine that a thread was running when it was asked.
pub(super) struct Running {
    /// Its number.
    pub(super) id: u64,
    /// Its name, or the beginning of it.
    pub(super) name: Option<String>,
    /// Where it was.
    pub(super) at: Registers,
    /// The link register, where there is one.
    pub(super) lr: usize,
    /// The upper part of its stack.
    pub(super) stack: Copied,
}

/// A copy of a part of a stack.
pub(super) struct Copied {
    low: u64,
    bytes: Vec<u8>,
}

impl Memory for Copied {
    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.low)?).ok()?;
        let word = self.bytes.get(at..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*word))
    }
}

/// Asks these threads in turn and shows `found` what they run, as far as they answer in time.
pub(super) fn ask(tids: &[u32], mut found: impl FnMut(u32, Running)) {
    if tids.is_empty() || !*INSTALLED.get_or_init(|| install().unwrap_or(false)) {
        return;
    }
    // Another dump asks: this one does without.
    let Some(_asking) = ASKING.try_lock() else {
        return;
    };
    let start = Instant::now();
    for &tid in tids {
        if start.elapsed() > PATIENCE_FOR_ALL {
            return;
        }
        if let Some(running) = ask_one(tid) {
            found(tid, running);
        }
    }
}

fn ask_one(tid: u32) -> Option<Running> {
    let thread = u64::from(tid) << PHASE;
    // Fails if a handler was stopped in the middle for longer than we wait: then it has the place for ever.
    WORD.compare_exchange(IDLE, thread | ASKED, Ordering::Relaxed, Ordering::Relaxed)
        .ok()?;
    // SAFETY: no memory is passed. If the thread has ended it fails, or another thread of ours gets a signal that
    // it does not answer.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGURG) };
    let start = Instant::now();
    loop {
        // Acquire: partner of the Release in `answer`; what it wrote is visible.
        match WORD.load(Ordering::Acquire) {
            word if word == thread | DONE => break,
            word if word == thread | ASKED && start.elapsed() > PATIENCE => {
                let taken_back =
                    WORD.compare_exchange(word, IDLE, Ordering::Relaxed, Ordering::Relaxed);
                if taken_back.is_ok() {
                    return None;
                }
            }
            _ if start.elapsed() > PATIENCE_FOR_ALL => return None,
            _ => thread::yield_now(),
        }
    }
    // SAFETY: the word says that the place is ours.
    let answer = unsafe { &*PLACE.0.get() };
    let running = (answer.id != 0).then(|| Running {
        id: answer.id,
        name: (answer.name_len > 0)
            .then(|| String::from_utf8_lossy(&answer.name[..answer.name_len]).into_owned()),
        at: answer.at,
        lr: answer.lr,
        stack: Copied {
            low: answer.at.sp as u64,
            bytes: answer.bytes[..answer.len].to_vec(),
        },
    });
    // Release: partner of the Acquire in `answer`; we have read it.
    WORD.store(IDLE, Ordering::Release);
    running
}

/// Puts the handler in its place, for good. `false`: the program has one of its own.
fn install() -> io::Result<bool> {
    let mut action = current_action()?;
    if action.sa_sigaction != libc::SIG_DFL {
        return Ok(false);
    }
    action.sa_sigaction =
        answer as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the action is valid; the handler is async-signal-safe (module head) and stays.
    match unsafe { libc::sigaction(libc::SIGURG, &action, ptr::null_mut()) } {
        0 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

fn current_action() -> io::Result<libc::sigaction> {
    // SAFETY: an all-zero `sigaction` is a valid value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the pointer is valid, and nothing is changed.
    match unsafe { libc::sigaction(libc::SIGURG, ptr::null(), &mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The handler.
extern "C" fn answer(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: no arguments, no memory.
    let thread = (unsafe { libc::gettid() } as u64) << PHASE;
    // Acquire: partner of the Release in `ask_one`; the last answer has been read.
    let asked = WORD.compare_exchange(
        thread | ASKED,
        thread | COPYING,
        Ordering::Acquire,
        Ordering::Relaxed,
    );
    if asked.is_err() {
        return;
    }
    // SAFETY: the word says that the place is ours, and the kernel passes the interrupted thread's context.
    unsafe { fill(&mut *PLACE.0.get(), &*context.cast()) };
    // Release: partner of the Acquire in `ask_one`.
    WORD.store(thread | DONE, Ordering::Release);
}

/// Writes down what this thread runs.
fn fill(answer: &mut Answer, context: &libc::ucontext_t) {
    answer.id = 0;
    let Some(g) = current::try_m()
        .filter(|m| m.is_worker())
        .and_then(|m| m.curg())
    else {
        return;
    };
    let Some(fiber) = g.fiber() else { return };
    // SAFETY: this thread runs the goroutine, so its fiber is bound.
    let (end, run) = unsafe { (fiber.frames_end(), fiber.data()) };
    let (at, lr) = interrupted(context);
    // SAFETY: as above.
    let (top, class) = unsafe { fiber.stack() };
    if at.sp >= end || at.sp < top.as_ptr().addr() - class.size() {
        // In the scheduler, on the M's own stack.
        return;
    }
    let len = BYTES.min(end - at.sp);
    // SAFETY: the bytes are those of this thread's stack, above its stack pointer, where it stands still.
    unsafe { ptr::copy_nonoverlapping(at.sp as *const u8, answer.bytes.as_mut_ptr(), len) };
    answer.len = len;
    answer.at = at;
    answer.lr = lr;
    let name = run.name.get().map_or(&[][..], |name| name.as_bytes());
    answer.name_len = name.len().min(NAME);
    answer.name[..answer.name_len].copy_from_slice(&name[..answer.name_len]);
    answer.id = g.id();
}

#[cfg(target_arch = "x86_64")]
fn interrupted(context: &libc::ucontext_t) -> (Registers, usize) {
    let register = |number: libc::c_int| context.uc_mcontext.gregs[number as usize] as usize;
    let at = Registers {
        ip: register(libc::REG_RIP),
        sp: register(libc::REG_RSP),
        fp: register(libc::REG_RBP),
    };
    (at, 0)
}

#[cfg(target_arch = "aarch64")]
fn interrupted(context: &libc::ucontext_t) -> (Registers, usize) {
    let machine = &context.uc_mcontext;
    let at = Registers {
        ip: machine.pc as usize,
        sp: machine.sp as usize,
        fp: machine.regs[29] as usize,
    };
    (at, machine.regs[30] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::sysmon::sys::gettid;

    #[test]
    fn a_thread_that_runs_no_goroutine_or_is_gone_gives_no_answer() {
        let tid = thread::spawn(gettid).join().unwrap();
        ask(&[gettid(), tid], |tid, _| panic!("{tid} answered"));
        // Neither is waited for any more.
        assert_eq!(WORD.load(Ordering::Relaxed), IDLE);
    }

    #[test]
    fn a_copy_ends_where_it_ends() {
        let copied = Copied {
            low: 0x1000,
            bytes: vec![1; 16],
        };
        let ones = u64::from_ne_bytes([1; 8]);
        assert_eq!(copied.word(0x1000), Some(ones));
        assert_eq!(copied.word(0x1008), Some(ones));
        for outside in [0, 0xfff, 0x1009, 0x1010, u64::MAX] {
            assert_eq!(copied.word(outside), None);
        }
    }
}
