//! The Linux backend of `stack`: memory, limits, and signals.
//!
//! `MADV_GUARD_INSTALL` (Linux 6.13) makes pages fault by markers in the page table; the mapping
//! stays one. `mprotect` splits it: two more mappings per stack, of which a process has 65,530 by
//! default. `discard` (`MADV_DONTNEED`) keeps both kinds of guard.
//!
//! Rejected: `MAP_GROWSDOWN` (the kernel's gap rules don't fit slabs), `userfaultfd` and `SIGSEGV`
//! driven growth (a fault costs microseconds, and growth in place is what demand paging does anyway),
//! and `MADV_FREE` (it gives pages back only under pressure, so that nobody sees that it did).

use super::Step;
use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// From `linux/mman.h`, since Linux 6.13; older headers lack it.
const MADV_GUARD_INSTALL: c_int = 102;
/// From `linux/auxvec.h`.
const AT_MINSIGSTKSZ: libc::c_ulong = 51;

/// The size of a page.
pub(in super::super) fn page_size() -> usize {
    // SAFETY: no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the page size is positive")
}

/// `Ok` if a system call returned 0.
fn check(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Maps `len` bytes, a multiple of the page size.
pub(in super::super) fn map(len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that
    // exists.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // It fails only on kernels without huge pages, and there it isn't needed.
    // SAFETY: the range was mapped above; the advice changes no contents.
    unsafe { libc::madvise(at, len, libc::MADV_NOHUGEPAGE) };
    Ok(NonNull::new(at.cast()).expect("the kernel maps nothing at address 0 unasked"))
}

/// Gives a mapping, or its end, back.
///
/// # Safety
/// `at` and `len` are a mapping made by [`map`] that nobody uses any more.
pub(in super::super) unsafe fn unmap(at: NonNull<u8>, len: usize) {
    // SAFETY: the caller gives the mapping up.
    let result = unsafe { libc::munmap(at.as_ptr().cast(), len) };
    debug_assert_eq!(result, 0, "unmapping a whole mapping needs no memory");
}

/// Makes the pages fault on every access, keeping the mapping whole.
///
/// # Safety
/// The range lies in a mapping made by [`map`], and nothing in it is in use.
pub(in super::super) unsafe fn guard_light(at: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller vouches that the pages hold nothing.
    check(unsafe { libc::madvise(at.as_ptr().cast(), len, MADV_GUARD_INSTALL) })
}

/// Makes the pages fault on every access, splitting the mapping.
///
/// # Safety
/// As for [`guard_light`].
pub(in super::super) unsafe fn guard_split(at: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller vouches that the pages hold nothing.
    check(unsafe { libc::mprotect(at.as_ptr().cast(), len, libc::PROT_NONE) })
}

/// Gives the pages back; they read as zero afterwards.
///
/// # Safety
/// The range lies in a mapping made by [`map`], and nobody needs its contents.
pub(in super::super) unsafe fn discard(at: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller vouches that the contents are dead.
    check(unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_DONTNEED) })
}

/// The limit behind a failed [`map`] or guard. Displays its name, its value, and the remedy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Limit {
    /// `RLIMIT_AS`, in bytes.
    AddressSpace(u64),
    /// `RLIMIT_DATA`, in bytes.
    Data(u64),
    /// `RLIMIT_MEMLOCK`: after `mlockall(MCL_FUTURE)` every new mapping counts in full.
    Locked,
    /// `vm.overcommit_memory` is 2: every new mapping counts in full.
    Overcommit,
    /// `vm.max_map_count`.
    MapCount(u64),
    /// The kernel gave a reason that no limit explains.
    Refused,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SMALLER: &str =
            "or make stacks smaller (CORIO_STACK_SIZE, corio::Builder::stack_size)";
        match self {
            Limit::AddressSpace(max) => write!(
                f,
                "the limit RLIMIT_AS of {max} bytes is reached: raise it (ulimit -v), {SMALLER}"
            ),
            Limit::Data(max) => write!(
                f,
                "the limit RLIMIT_DATA of {max} bytes is reached: raise it (ulimit -d), {SMALLER}"
            ),
            Limit::Locked => write!(
                f,
                "the limit RLIMIT_MEMLOCK is reached, because mlockall makes stacks count in full: \
                 raise it (ulimit -l), don't lock future mappings, {SMALLER}"
            ),
            Limit::Overcommit => write!(
                f,
                "vm.overcommit_memory is 2, so that stacks count in full against the commit limit: \
                 set it to 0 or 1, raise vm.overcommit_ratio, {SMALLER}"
            ),
            Limit::MapCount(max) => write!(
                f,
                "the limit vm.max_map_count of {max} mappings is reached: raise it (sysctl -w \
                 vm.max_map_count={}), or run on Linux 6.13 or later without CORIO_GUARD=mprotect: \
                 guards of stacks need no mappings there",
                max.saturating_mul(8).max(1 << 20)
            ),
            Limit::Refused => f.write_str("the system refused the mapping or its guard"),
        }
    }
}

/// What [`judge`] needs to know; gathered without allocating, since memory is short.
#[derive(Clone, Copy, Debug)]
struct Facts {
    address_space_max: u64,
    address_space: u64,
    data_max: u64,
    data: u64,
    overcommit: u64,
    max_map_count: u64,
}

/// `vm.max_map_count`; no bound if it can't be read.
pub(in super::super) fn max_mappings() -> usize {
    match number(read_file(c"/proc/sys/vm/max_map_count", &mut [0; 32])) {
        0 => usize::MAX,
        max => usize::try_from(max).unwrap_or(usize::MAX),
    }
}

/// What the kernel says when there are no more mappings.
pub(in super::super) fn out_of_mappings() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

/// Finds out which limit a failure ran into. Reads files below `/proc`.
pub(in super::super) fn limit_hit(step: Step, error: &io::Error) -> Limit {
    let page = page_size() as u64;
    let mut buffer = [0; 128];
    let statm = read_file(c"/proc/self/statm", &mut buffer);
    let pages = |field: usize| {
        let text = statm.split(|&byte| byte == b' ').nth(field);
        text.map_or(0, number) * page
    };
    let facts = Facts {
        // SAFETY: `limit` is a place for the answer.
        address_space_max: rlimit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) }),
        address_space: pages(0),
        // SAFETY: as above.
        data_max: rlimit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_DATA, limit) }),
        data: pages(5),
        overcommit: number(read_file(c"/proc/sys/vm/overcommit_memory", &mut [0; 32])),
        max_map_count: number(read_file(c"/proc/sys/vm/max_map_count", &mut [0; 32])),
    };
    judge(step, error.raw_os_error().unwrap_or(0), facts)
}

/// Which limit explains `errno`.
///
/// The kernel says `ENOMEM` for all of them. Those that can be computed are looked at first; the
/// number of mappings is what remains (counting them would take longer than the failed call, and a
/// process at this limit has 65,530 lines to read).
fn judge(step: Step, errno: c_int, facts: Facts) -> Limit {
    match (errno, step) {
        (libc::EAGAIN, _) => Limit::Locked,
        (libc::ENOMEM, Step::Guard) => Limit::MapCount(facts.max_map_count),
        (libc::ENOMEM, Step::Map(bytes)) => {
            let bytes = bytes as u64;
            if facts.address_space.saturating_add(bytes) > facts.address_space_max {
                Limit::AddressSpace(facts.address_space_max)
            } else if facts.data.saturating_add(bytes) > facts.data_max {
                Limit::Data(facts.data_max)
            } else if facts.overcommit == 2 {
                Limit::Overcommit
            } else {
                Limit::MapCount(facts.max_map_count)
            }
        }
        _ => Limit::Refused,
    }
}

/// A soft resource limit; `u64::MAX` is none. (A closure because C libraries differ in the type of
/// the limits' names.)
fn rlimit(ask: impl FnOnce(&mut libc::rlimit) -> c_int) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // On failure the answer stays "none".
    ask(&mut limit);
    limit.rlim_cur
}

/// The first bytes of a small file; nothing if it can't be read.
fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: `path` is a C string; `buffer` is as long as we say; the descriptor is ours alone
    // from `open` to `close`.
    let n = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return &[];
        }
        let n = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(fd);
        n
    };
    &buffer[..usize::try_from(n).unwrap_or(0)]
}

/// The decimal number at the start of `text`; 0 if there is none.
fn number(text: &[u8]) -> u64 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum: u64, byte| {
            sum.saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
}

/// The signals by which the kernel reports a bad access.
const FAULTS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What handled [`FAULTS`] before us; leaked boxes, null before [`on_fault`].
static PREVIOUS: [AtomicPtr<libc::sigaction>; 2] =
    [const { AtomicPtr::new(ptr::null_mut()) }; FAULTS.len()];

/// The `fn(usize)` given to [`on_fault`].
static CLASSIFY: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// From now on, for the life of the process, `classify(address)` is called in a signal handler for
/// every bad access, on the thread's alternate stack. When it returns the previous handler is called.
///
/// `classify` must be async-signal-safe. To be called once.
pub(in super::super) fn on_fault(classify: fn(usize)) {
    // Release: pairs with the load in `handler`.
    CLASSIFY.store(classify as *mut (), Ordering::Release);
    for (signal, previous) in FAULTS.into_iter().zip(&PREVIOUS) {
        // SAFETY: an all-zero `sigaction` is a valid value (`SIG_DFL`, empty mask, no flags).
        let mut old: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: only asks; `old` is a place for the answer.
        check(unsafe { libc::sigaction(signal, ptr::null(), &mut old) })
            .expect("the signal exists and may be handled");
        let mut new = old;
        new.sa_sigaction = handler as *const () as usize;
        // Not SA_NODEFER: a fault inside the handler must kill, not recurse. The mask stays the
        // previous handler's, which expects it when chained to.
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // Known to the handler before the handler is known to the kernel.
        // Release: pairs with the load in `chain`.
        previous.store(Box::into_raw(Box::new(old)), Ordering::Release);
        // SAFETY: `handler` has the signature that SA_SIGINFO asks for and is async-signal-safe.
        check(unsafe { libc::sigaction(signal, &new, ptr::null_mut()) })
            .expect("the signal exists and may be handled");
    }
}

/// The signal handler. Async-signal-safe.
extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `info`.
    let code = unsafe { (*info).si_code };
    // Signals sent by kill(2), raise(3), ... have codes up to 0, and no address.
    if code > 0 {
        // SAFETY: with such a code a SIGSEGV or SIGBUS carries an address; errno is the thread's.
        let (address, errno) = unsafe { ((*info).si_addr() as usize, *libc::__errno_location()) };
        // Acquire: pairs with the store in `on_fault`.
        let classify = CLASSIFY.load(Ordering::Acquire);
        // SAFETY: `on_fault` stored an `fn(usize)` there before it installed this handler.
        let classify = unsafe { mem::transmute::<*mut (), fn(usize)>(classify) };
        classify(address);
        // A previous handler may mend the fault and go on: the interrupted code must see its errno.
        // SAFETY: errno is the thread's.
        unsafe { *libc::__errno_location() = errno };
    }
    // SAFETY: these are the kernel's arguments, code included.
    unsafe { chain(signal, info, context, code) };
}

/// Does what would have happened without our handler.
///
/// # Safety
/// Called by `handler` with what the kernel passed to it.
unsafe fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, code: c_int) {
    let at = FAULTS.iter().position(|&fault| fault == signal);
    // Acquire: pairs with the store in `on_fault`.
    let previous = at.map_or(ptr::null_mut(), |at| PREVIOUS[at].load(Ordering::Acquire));
    // SAFETY: `on_fault` stored a leaked box, or nothing.
    let action = unsafe { previous.as_ref() };
    let target = action.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    if target == libc::SIG_DFL {
        default_action(signal);
        if code <= 0 {
            // Pending until we return, because the signal is blocked in its handler. For a real
            // fault the access is repeated instead, and the core dump shows the right place.
            // SAFETY: no preconditions.
            unsafe { libc::raise(signal) };
        }
    } else if target == libc::SIG_IGN {
        if code > 0 {
            // The kernel kills for real faults even when they are ignored, but it can't while a
            // handler is installed.
            default_action(signal);
        }
    } else if let Some(action) = action {
        if action.sa_flags & libc::SA_NODEFER != 0 {
            // SAFETY: an empty set is valid for `sigaddset` to fill; the mask is the thread's, and
            // is restored when the handler returns.
            unsafe {
                let mut set = mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, signal);
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
            }
        }
        // SAFETY: whoever installed the handler gave it the signature that its flags tell.
        unsafe {
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                let call: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    mem::transmute(target);
                call(signal, info, context);
            } else {
                let call: extern "C" fn(c_int) = mem::transmute(target);
                call(signal);
            }
        }
    }
}

/// Restores a signal's default action. Async-signal-safe.
fn default_action(signal: c_int) {
    // SAFETY: an all-zero `sigaction` is `SIG_DFL` with an empty mask.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &default, ptr::null_mut());
    }
}

/// An alternate signal stack: lowest byte and length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct SignalStack {
    pub(in super::super) base: *mut u8,
    pub(in super::super) len: usize,
}

/// The length that the kernel's own frame needs.
pub(in super::super) fn signal_stack_min() -> usize {
    // SAFETY: no preconditions; unknown entries give 0.
    let kernel = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
    kernel.max(libc::MINSIGSTKSZ)
}

/// The calling thread's alternate signal stack, if it has one.
pub(in super::super) fn signal_stack() -> Option<SignalStack> {
    // SAFETY: an all-zero `stack_t` is a valid value, here a place for the answer.
    let mut now: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: only asks.
    check(unsafe { libc::sigaltstack(ptr::null(), &mut now) }).ok()?;
    (now.ss_flags & libc::SS_DISABLE == 0).then_some(SignalStack {
        base: now.ss_sp.cast(),
        len: now.ss_size,
    })
}

/// Sets the calling thread's alternate signal stack, or takes it away.
///
/// # Safety
/// The memory stays mapped, and used for nothing else, until another is set on this thread.
pub(in super::super) unsafe fn set_signal_stack(stack: Option<SignalStack>) -> io::Result<()> {
    let new = libc::stack_t {
        ss_sp: stack.map_or(ptr::null_mut(), |stack| stack.base.cast()),
        ss_flags: if stack.is_some() { 0 } else { libc::SS_DISABLE },
        ss_size: stack.map_or(signal_stack_min(), |stack| stack.len),
    };
    // SAFETY: the caller keeps the memory for this purpose.
    check(unsafe { libc::sigaltstack(&new, ptr::null_mut()) })
}

/// Writes to standard error as far as that is possible. Async-signal-safe.
pub(in super::super) fn write_stderr(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the slice is readable.
        let n = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) if n > 0 => bytes = &bytes[n..],
            // SAFETY: errno is the thread's.
            Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
            _ => return,
        }
    }
}

/// Ends the process by SIGABRT, whatever handles it. Async-signal-safe.
pub(in super::super) fn abort() -> ! {
    default_action(libc::SIGABRT);
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Facts = Facts {
        address_space_max: u64::MAX,
        address_space: 1 << 30,
        data_max: u64::MAX,
        data: 1 << 29,
        overcommit: 0,
        max_map_count: 65_530,
    };

    #[test]
    fn every_limit_is_recognised_and_named() {
        let map = Step::Map(1 << 20);
        let tight = (1 << 30) + 4096;
        let cases = [
            (
                Facts {
                    address_space_max: tight,
                    overcommit: 2,
                    ..ROOMY
                },
                "RLIMIT_AS of 1073745920 bytes",
            ),
            (
                Facts {
                    data_max: 1 << 29,
                    ..ROOMY
                },
                "RLIMIT_DATA",
            ),
            (
                Facts {
                    overcommit: 2,
                    ..ROOMY
                },
                "vm.overcommit_memory",
            ),
            (ROOMY, "vm.max_map_count of 65530"),
        ];
        for (facts, name) in cases {
            let text = judge(map, libc::ENOMEM, facts).to_string();
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(
            judge(Step::Guard, libc::ENOMEM, ROOMY),
            Limit::MapCount(65_530)
        );
        assert_eq!(judge(map, libc::EAGAIN, ROOMY), Limit::Locked);
        assert_eq!(judge(map, libc::EPERM, ROOMY), Limit::Refused);
    }

    #[test]
    fn facts_are_read_from_proc() {
        let mut buffer = [0; 32];
        assert!(number(read_file(c"/proc/sys/vm/max_map_count", &mut buffer)) > 0);
        assert_eq!(read_file(c"/proc/no such file", &mut buffer), b"");
        assert_eq!(number(b"42\n"), 42);
        assert_eq!(number(b""), 0);
    }
}
