//! Stacks for goroutines: where they come from, who keeps them, what guards them.
//!
//! ```text
//!   StackCache  per P, default size only, LIFO, no locks            pool.rs
//!       ↓ ↑     half of it at a time
//!   Pool        one per size class: dirty and trimmed free stacks   pool.rs
//!       ↑       a few at a time, each guarded as it is carved
//!   slabs       many stacks per mapping, in a lock-free table       slab.rs
//!       ↑
//!   sys         mmap, madvise, mprotect, signals                    sys/
//! ```
//!
//! and `fault`, which tells overflows from other bad accesses.
//!
//! Invariants:
//!
//! 1. A [`Stack`] that is handed out has its whole guard installed, for ever: guards are installed
//!    when a stack is carved out of its slab, and nothing removes them.
//! 2. A stack is in one place: owned as a [`Stack`], in one cache, or in one pool.
//! 3. Slabs are never unmapped, so the address of a stack stays an address of a stack.
//! 4. Nothing here touches the memory of a stack. A fresh one costs the pages its user touches; the
//!    contents of one from the pool are undefined.
//!
//! Rejected: a mapping per stack (two mappings each with its guard; 32,750 of them exhaust the
//! default `vm.max_map_count`); growing stacks by copying (Rust has no stack maps); segmented stacks
//! (hot splits, and foreign code doesn't probe for them); unmapping idle slabs (a single stack in use
//! keeps its slab alive, and trimming already returns everything but address space and page tables).
//!
//! Next in the reading order: `walk`: how a stack is read from outside.

pub(crate) mod fault;
mod pool;
mod slab;
mod sys;

pub(crate) use pool::{StackCache, pool_get, pool_put, trim_pool};

use std::error::Error;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

/// The bytes below each stack that fault on access, outside its size. One page would do for Rust,
/// which probes every page of a big frame; C code may not, and steps over small guards.
pub(crate) const GUARD_SIZE: usize = 64 * 1024;

/// How far below a suspended goroutine's saved stack pointer its stack may still be in use: what the
/// context switch pushes after the pointer was saved. [`trim_below`]'s callers subtract it.
pub(crate) const TRIM_MARGIN: usize = 2048;

const MIN_SIZE: usize = 16 * 1024;
const MAX_SIZE: usize = 1024 * 1024 * 1024;

/// A size of stacks: a power of two, 16 KiB (or a page, if that is larger) to 1 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

impl SizeClass {
    /// 256 KiB.
    pub(crate) const DEFAULT: SizeClass = SizeClass(4);

    /// How many classes there are.
    const COUNT: usize = (MAX_SIZE / MIN_SIZE).ilog2() as usize + 1;

    /// The smallest class with room for `bytes`; `None` beyond 1 GiB.
    pub(crate) fn for_size(bytes: usize) -> Option<SizeClass> {
        let bytes = bytes.max(MIN_SIZE).max(sys::page_size());
        (bytes <= MAX_SIZE).then(|| SizeClass((bytes.next_power_of_two() / MIN_SIZE).ilog2() as u8))
    }

    /// The usable bytes of a stack of this class.
    pub(crate) const fn size(self) -> usize {
        MIN_SIZE << self.0
    }

    /// The bytes that a stack takes in its slab.
    const fn stride(self) -> usize {
        GUARD_SIZE + self.size()
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

const _: () = assert!(SizeClass::DEFAULT.size() == 256 * 1024);

/// A stack, owned. It is not given back when dropped (that would need a place to put it); whoever
/// holds one puts it into a [`StackCache`] or the pool.
#[derive(Debug)]
#[must_use = "a stack that is not put back is lost"]
pub(crate) struct Stack {
    top: NonNull<u8>,
    class: SizeClass,
}

// SAFETY: a `Stack` is the sole owner of its memory, which is tied to no thread.
unsafe impl Send for Stack {}

impl Stack {
    /// One past the highest usable byte; page aligned.
    #[inline]
    pub(crate) fn top(&self) -> NonNull<u8> {
        self.top
    }

    /// The lowest usable byte, page aligned; the guard lies right below.
    #[inline]
    pub(crate) fn bottom(&self) -> NonNull<u8> {
        // SAFETY: a stack of the class lies below `top` in its slab (`from_raw`'s contract).
        unsafe { self.top.byte_sub(self.class.size()) }
    }

    /// The size class.
    #[inline]
    pub(crate) fn class(&self) -> SizeClass {
        self.class
    }

    /// Gives up ownership, to be taken up by [`Stack::from_raw`].
    #[inline]
    pub(crate) fn into_raw(self) -> (NonNull<u8>, SizeClass) {
        (self.top, self.class)
    }

    /// Takes up ownership.
    ///
    /// # Safety
    /// The arguments came from [`Stack::into_raw`], and this is the only call for that one.
    #[inline]
    pub(crate) unsafe fn from_raw(top: NonNull<u8>, class: SizeClass) -> Stack {
        Stack { top, class }
    }
}

/// How stacks are guarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GuardKind {
    /// `MADV_GUARD_INSTALL`, and `mprotect` for each guard for which that fails.
    Auto,
    /// `mprotect` only: two mappings per stack.
    Mprotect,
}

/// Settings of this module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackConfig {
    /// How stacks are guarded.
    pub(crate) guard: GuardKind,
    /// The class that caches keep.
    pub(crate) default_class: SizeClass,
}

/// [`StackConfig::default_class`], by index.
static DEFAULT_CLASS: AtomicU8 = AtomicU8::new(SizeClass::DEFAULT.0);

/// Applies settings. To be called once, before the first [`StackCache`] is made: guards that exist
/// stay what they are, and caches keep the class that they were made for.
pub(crate) fn configure(config: StackConfig) {
    slab::set_guard_kind(config.guard);
    DEFAULT_CLASS.store(config.default_class.0, Ordering::Relaxed);
}

/// The class of stacks whose size nobody chose.
pub(crate) fn default_class() -> SizeClass {
    SizeClass(DEFAULT_CLASS.load(Ordering::Relaxed))
}

/// Gives back the whole pages of a stack in use that lie below `below`, and returns how many bytes
/// were advised (0 if the system refuses). They read as zero when touched again.
///
/// # Safety
/// `top` and `class` are those of a stack whose user is suspended for the length of the call, and
/// nothing at addresses under `below` is in use: `below` is the saved stack pointer less
/// [`TRIM_MARGIN`].
pub(crate) unsafe fn trim_below(top: NonNull<u8>, class: SizeClass, below: usize) -> usize {
    // SAFETY: a stack of the class lies below `top`.
    let bottom = unsafe { top.byte_sub(class.size()) };
    let end = below.min(top.as_ptr() as usize) & !(sys::page_size() - 1);
    let len = end.saturating_sub(bottom.as_ptr() as usize);
    if len == 0 {
        return 0;
    }
    // SAFETY: the range starts at the stack's bottom, ends below its top, and by the caller's word
    // holds nothing that is in use.
    match unsafe { sys::discard(bottom, len) } {
        Ok(()) => len,
        Err(_) => 0,
    }
}

/// Counts of stacks, over all size classes. Taken class by class: no snapshot of one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackStats {
    /// In slabs, carved or not.
    pub(crate) mapped: usize,
    /// Handed out: in use, or in the caches of Ps.
    pub(crate) in_use: usize,
    /// In the pools, trimmed ones included.
    pub(crate) pooled: usize,
    /// In the pools with their pages given back.
    pub(crate) trimmed: usize,
    /// [`GuardKind::Mprotect`] as soon as one guard had to be made that way, each of which costs two
    /// mappings.
    pub(crate) guard_kind: GuardKind,
}

/// Counts stacks. Takes each pool's lock in turn.
pub(crate) fn stats() -> StackStats {
    let mut stats = StackStats {
        mapped: 0,
        in_use: 0,
        pooled: 0,
        trimmed: 0,
        guard_kind: slab::guard_kind_seen(),
    };
    pool::count(&mut stats);
    stats
}

/// No stack could be had. Names the limit that was hit and the remedy.
#[derive(Debug)]
pub(crate) struct StackError {
    class: SizeClass,
    cause: Cause,
}

/// What a [`StackError`] is due to.
#[derive(Debug)]
enum Cause {
    /// Mapping a slab, or installing a guard.
    System { error: io::Error, limit: sys::Limit },
    /// The table of slabs is full.
    Table,
    /// No memory for the pool's own lists.
    Lists,
}

impl StackError {
    /// For a system call that failed. Finds out which limit was hit, which takes a few file reads:
    /// to be called without locks.
    fn system(class: SizeClass, step: sys::Step, error: io::Error) -> Self {
        let limit = sys::limit_hit(step, &error);
        StackError {
            class,
            cause: Cause::System { error, limit },
        }
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no stack of {} bytes: ", self.class.size())?;
        match &self.cause {
            Cause::System { error, limit } => write!(f, "{limit} ({error})"),
            Cause::Table => write!(
                f,
                "all {} mappings for stacks are in use; they are this many only if a limit on \
                 memory kept each one small: raise it, or use fewer sizes of stacks",
                slab::TABLE_LEN
            ),
            Cause::Lists => f.write_str("out of memory for the list of free stacks"),
        }
    }
}

impl Error for StackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::System { error, .. } => Some(error),
            Cause::Table | Cause::Lists => None,
        }
    }
}

impl From<StackError> for io::Error {
    fn from(error: StackError) -> Self {
        io::Error::new(io::ErrorKind::OutOfMemory, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::process::{Command, Output};

    /// Set in a child process to the name of the test that started it.
    const CHILD: &str = "CORIO_STACK_TEST";
    /// How a child exits whose test ran to its end; unlike 0, not how one exits that ran no test.
    const DONE: i32 = 42;

    /// Runs `body` in a process of its own, which runs only the test called `name` (the caller).
    /// In the parent, returns how that ended; in the child, does not return.
    pub(super) fn child(name: &str, body: impl FnOnce()) -> Output {
        if env::var_os(CHILD).is_some_and(|value| value == name) {
            body();
            std::process::exit(DONE);
        }
        Command::new(env::current_exe().unwrap())
            .args([name, "--nocapture", "--test-threads=1"])
            .env(CHILD, name)
            .output()
            .unwrap()
    }

    /// [`child`], whose body must run to its end.
    pub(super) fn in_child(name: &str, body: impl FnOnce()) {
        let output = child(name, body);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(DONE), "{stderr}");
    }

    #[test]
    fn sizes_round_up_to_classes() {
        let size = |bytes| SizeClass::for_size(bytes).map(SizeClass::size);
        let smallest = MIN_SIZE.max(sys::page_size());
        assert_eq!(size(0), Some(smallest));
        assert_eq!(size(1), Some(smallest));
        assert_eq!(size(256 * 1024), Some(256 * 1024));
        assert_eq!(size(256 * 1024 + 1), Some(512 * 1024));
        assert_eq!(size(8 << 20), Some(8 << 20));
        assert_eq!(size(MAX_SIZE), Some(MAX_SIZE));
        assert_eq!(size(MAX_SIZE + 1), None);
        assert_eq!(size(usize::MAX), None);
        assert_eq!(
            SizeClass::for_size(MAX_SIZE).unwrap().index() + 1,
            SizeClass::COUNT
        );
        assert_eq!(SizeClass::for_size(200_000), Some(SizeClass::DEFAULT));
    }

    #[test]
    fn trimming_below_a_stack_pointer_keeps_what_lies_above() {
        let class = SizeClass::for_size(64 * 1024).unwrap();
        let stack = pool_get(class).unwrap();
        let page = sys::page_size();
        let (top, bottom) = (stack.top(), stack.bottom());
        let size = class.size();
        // SAFETY: the stack is ours, and nothing runs on it.
        unsafe {
            bottom.as_ptr().write_bytes(0xA5, size);
            // In the middle of the second highest page: that one stays.
            let below = top.as_ptr() as usize - page - page / 2;
            assert_eq!(trim_below(top, class, below), size - 2 * page);
            let bytes = std::slice::from_raw_parts(bottom.as_ptr(), size);
            assert!(bytes[..size - 2 * page].iter().all(|&byte| byte == 0));
            assert!(bytes[size - 2 * page..].iter().all(|&byte| byte == 0xA5));
            assert_eq!(trim_below(top, class, bottom.as_ptr() as usize), 0);
            assert_eq!(trim_below(top, class, 0), 0);
            assert_eq!(trim_below(top, class, usize::MAX), size);
        }
        pool_put(stack);
    }

    #[test]
    fn errors_become_io_errors() {
        let error = StackError {
            class: SizeClass::DEFAULT,
            cause: Cause::Table,
        };
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().starts_with("no stack of 262144 bytes"));
    }
}
