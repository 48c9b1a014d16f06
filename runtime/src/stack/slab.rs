//! Slabs: mappings that hold many stacks of one size.
//!
//! ```text
//!   base                                                             base + count * stride
//!   ┌───────┬──────────────┬───────┬──────────────┬─ ─ ─┬───────┬──────────────┐
//!   │ guard │ usable       │ guard │ usable       │     │ guard │ usable       │
//!   └───────┴──────────────┴───────┴──────────────┴─ ─ ─┴───────┴──────────────┘
//!                          ↑ top of stack 0       ↑ top of stack 1
//! ```
//!
//! Stacks grow down, each into its own guard. A slab is mapped as a whole but *carved* stack by
//! stack: a guard is installed when its stack is first handed out ([`install_guard`]), so mapping
//! thousands of stacks costs two system calls and no memory. Uncarved stacks have no guard and no
//! user.
//!
//! # How many stacks a slab holds
//!
//! A class starts with a small slab and doubles what it has mapped, up to a fixed step; once that is
//! little compared with what there is, an eighth of it. So a million stacks of 256 KiB take some
//! 40 mappings, over-reserve address space by at most a factor of two (an eighth when there are
//! many), and one 8 MiB stack reserves 24 MiB. Where a limit makes the mapping fail, it is tried
//! again for half as many stacks, down to one.
//!
//! # The table
//!
//! [`locate`] maps an address to a stack, from signal handlers too. Slabs are appended to a fixed
//! table and never removed: the length is published after the record, and readers search what lies
//! below the length. A search is linear; it runs once per crash, over some dozens of records.

use super::sys::{self, Step};
use super::{Cause, GUARD_SIZE, GuardKind, SizeClass, StackError};
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first slab of a class has at most this many stacks ...
const FIRST_STACKS: usize = 64;
/// ... and, unless one stack is larger, at most this many bytes.
const FIRST_BYTES: usize = 32 << 20;
/// Slabs double up to this many stacks ...
const STEP_STACKS: usize = 4096;
/// ... and this many bytes: 4,096 stacks of 256 KiB with their guards.
const STEP_BYTES: usize = 1280 << 20;
/// Once a class is large, a slab has one in so many of the stacks that there are.
const GROWTH: usize = 8;

/// The end of a stack: one past its highest byte. A name of the stack, and in a list of free stacks
/// its ownership.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Top(pub(super) NonNull<u8>);

// SAFETY: an address of memory that is tied to no thread; who may use the memory is decided by the
// list that the `Top` is in.
unsafe impl Send for Top {}

impl Top {
    /// The lowest usable byte.
    pub(super) fn bottom(self, class: SizeClass) -> NonNull<u8> {
        // SAFETY: `Carver` makes tops that have a stack of the class below them.
        unsafe { self.0.byte_sub(class.size()) }
    }

    /// The lowest byte of the guard.
    fn guard(self, class: SizeClass) -> NonNull<u8> {
        // SAFETY: `Carver` makes tops that have a stack of the class and its guard below them.
        unsafe { self.0.byte_sub(class.stride()) }
    }
}

/// The part of a slab that has not been carved yet.
pub(super) struct Carver {
    next: NonNull<u8>,
    left: usize,
}

// SAFETY: it owns the uncarved memory of its slab, which is tied to no thread.
unsafe impl Send for Carver {}

impl Carver {
    /// One with nothing left.
    pub(super) const fn empty() -> Self {
        Carver {
            next: NonNull::dangling(),
            left: 0,
        }
    }

    /// How many stacks are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes the next stack, of the class the slab was mapped for. It has no guard yet.
    pub(super) fn carve(&mut self, class: SizeClass) -> Option<Top> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` was not 0, so the slab extends by at least a stride beyond `next`.
        self.next = unsafe { self.next.byte_add(class.stride()) };
        Some(Top(self.next))
    }
}

/// Why there is no new slab, or no use for it; becomes a [`StackError`] once no lock is held.
pub(super) enum MapError {
    /// Not even a single stack could be mapped.
    System(Step, io::Error),
    /// The table is full.
    Table,
    /// The lists of free stacks can't grow.
    Lists,
}

impl MapError {
    /// The error for users. Reads files: not to be called under a lock.
    pub(super) fn explain(self, class: SizeClass) -> StackError {
        let cause = match self {
            MapError::System(step, error) => return StackError::system(class, step, error),
            MapError::Table => Cause::Table,
            MapError::Lists => Cause::Lists,
        };
        StackError { class, cause }
    }
}

/// How many stacks the next slab of a class should have, if it has `mapped` already.
fn slab_len(class: SizeClass, mapped: usize) -> usize {
    let first = (FIRST_BYTES / class.stride()).clamp(1, FIRST_STACKS);
    let step = (STEP_BYTES / class.stride()).clamp(1, STEP_STACKS);
    mapped.clamp(first, step).max(mapped / GROWTH)
}

/// Address space left to the rest of the process when stacks have taken theirs: an allocation that
/// fails aborts. A slab is mapped with that much more, which is given back at once.
pub(super) const BYTES_SPARED: usize = 32 << 20;

/// Maps a slab for a class that has `mapped` stacks already, as large as limits allow.
pub(super) fn map(class: SizeClass, mapped: usize) -> Result<Carver, MapError> {
    let mut count = slab_len(class, mapped);
    let base = loop {
        let bytes = count * class.stride();
        match sys::map(bytes + BYTES_SPARED) {
            Ok(base) => {
                // SAFETY: the end of the new mapping, which nobody has seen.
                unsafe { sys::unmap(base.byte_add(bytes), BYTES_SPARED) };
                break base;
            }
            Err(error) if count == 1 => {
                return Err(MapError::System(Step::Map(bytes + BYTES_SPARED), error));
            }
            Err(_) => count /= 2,
        }
    };
    if !TABLE.append(base, class, count) {
        // SAFETY: nobody has seen the mapping.
        unsafe { sys::unmap(base, count * class.stride()) };
        return Err(MapError::Table);
    }
    Ok(Carver {
        next: base,
        left: count,
    })
}

/// Whether `MADV_GUARD_INSTALL` is to be left alone.
static MPROTECT_ONLY: AtomicBool = AtomicBool::new(false);
/// Guards made by `mprotect`. Each takes two mappings of the process's limit.
static SPLIT: AtomicUsize = AtomicUsize::new(0);
/// Mappings left to the rest of the process when stacks have taken theirs: a thread that can't map
/// its own stack or signal stack takes the process down.
const MAPPINGS_SPARED: usize = 1024;

/// How many mappings the process may have.
static MAX_MAPPINGS: Lazy<usize> = Lazy::new(sys::max_mappings);

/// Chooses how guards are installed from now on.
pub(super) fn set_guard_kind(kind: GuardKind) {
    MPROTECT_ONLY.store(kind == GuardKind::Mprotect, Ordering::Relaxed);
}

/// What the guards installed so far are.
pub(super) fn guard_kind_seen() -> GuardKind {
    if SPLIT.load(Ordering::Relaxed) > 0 {
        GuardKind::Mprotect
    } else {
        GuardKind::Auto
    }
}

/// Installs the guard of a stack that was carved. On an error the stack may not be handed out; this
/// may be called for it again.
pub(super) fn install_guard(top: Top, class: SizeClass) -> io::Result<()> {
    let kind = if MPROTECT_ONLY.load(Ordering::Relaxed) {
        GuardKind::Mprotect
    } else {
        GuardKind::Auto
    };
    // SAFETY: the guard of a carved stack lies in its slab and holds nothing.
    unsafe { guard(top.guard(class), GUARD_SIZE, kind) }
}

/// Makes pages fault.
///
/// # Safety
/// The range lies in a mapping made by [`sys::map`], and nothing in it is in use.
pub(super) unsafe fn guard(at: NonNull<u8>, len: usize, kind: GuardKind) -> io::Result<()> {
    // Any error means `mprotect`, for this guard: the kernel may be too old (for all guards), or the
    // range locked in memory, or page tables short (for this one).
    // SAFETY: as the caller vouches.
    if kind == GuardKind::Auto && unsafe { sys::guard_light(at, len) }.is_ok() {
        return Ok(());
    }
    let taken = 2 * SPLIT.fetch_add(1, Ordering::Relaxed);
    let result = if taken + MAPPINGS_SPARED > *MAX_MAPPINGS {
        Err(sys::out_of_mappings())
    } else {
        // SAFETY: as the caller vouches.
        unsafe { sys::guard_split(at, len) }
    };
    if result.is_err() {
        SPLIT.fetch_sub(1, Ordering::Relaxed);
    }
    result
}

/// How many slabs there can be. `slab_len` needs fewer than 100 per class for a million stacks.
pub(super) const TABLE_LEN: usize = 4096;

static TABLE: Table = Table {
    records: [const { Record::new() }; TABLE_LEN],
    len: AtomicUsize::new(0),
    append: Mutex::new(()),
};

/// All slabs. Records below `len` never change.
struct Table {
    records: [Record; TABLE_LEN],
    len: AtomicUsize,
    /// Held while appending.
    append: Mutex<()>,
}

/// One slab.
struct Record {
    /// Its lowest byte.
    base: AtomicUsize,
    /// `count << 8 | class`.
    shape: AtomicUsize,
}

impl Record {
    const fn new() -> Self {
        Record {
            base: AtomicUsize::new(0),
            shape: AtomicUsize::new(0),
        }
    }
}

impl Table {
    /// Adds a slab; `false` if the table is full.
    fn append(&self, base: NonNull<u8>, class: SizeClass, count: usize) -> bool {
        let _guard = self.append.lock();
        let len = self.len.load(Ordering::Relaxed);
        let Some(record) = self.records.get(len) else {
            return false;
        };
        record.base.store(base.as_ptr() as usize, Ordering::Relaxed);
        record
            .shape
            .store(count << 8 | class.index(), Ordering::Relaxed);
        // Release: publishes the record. Pairs with the load in `locate`.
        self.len.store(len + 1, Ordering::Release);
        true
    }

    fn locate(&self, address: usize) -> Option<Located> {
        // Acquire: pairs with the store in `append`.
        let len = self.len.load(Ordering::Acquire);
        self.records[..len].iter().find_map(|record| {
            let shape = record.shape.load(Ordering::Relaxed);
            let class = SizeClass((shape & 0xFF) as u8);
            let base = record.base.load(Ordering::Relaxed);
            let offset = address.checked_sub(base)?;
            let index = offset / class.stride();
            (index < shape >> 8).then(|| Located {
                top: base + (index + 1) * class.stride(),
                in_guard: offset % class.stride() < GUARD_SIZE,
            })
        })
    }
}

/// Where an address lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Located {
    /// The top of the stack.
    pub(super) top: usize,
    /// In the guard below the stack, not in the stack itself.
    pub(super) in_guard: bool,
}

/// Which stack an address lies in, or in whose guard. Async-signal-safe.
pub(super) fn locate(address: usize) -> Option<Located> {
    TABLE.locate(address)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    /// Whether the byte can be read: the kernel says `EFAULT` where we would get a signal.
    pub(crate) fn readable(address: *const u8) -> bool {
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the kernel checks the address.
        let n = unsafe { libc::write(writer.as_raw_fd(), address.cast(), 1) };
        if n == 1 {
            reader.read_exact(&mut [0]).unwrap();
            return true;
        }
        assert_eq!(
            io::Error::last_os_error().raw_os_error(),
            Some(libc::EFAULT)
        );
        false
    }

    #[test]
    fn both_kinds_of_guard_fault_on_every_page_and_nothing_else_does() {
        let class = SizeClass::for_size(16 * 1024).unwrap();
        let page = sys::page_size();
        let mut slab = map(class, 0).ok().unwrap();
        for kind in [GuardKind::Auto, GuardKind::Mprotect] {
            let top = slab.carve(class).unwrap();
            let at = top.guard(class).as_ptr();
            for offset in (0..class.stride()).step_by(page) {
                assert!(readable(at.wrapping_add(offset)));
            }
            // SAFETY: the stack was carved here.
            unsafe { guard(top.guard(class), GUARD_SIZE, kind) }.unwrap();
            for offset in (0..class.stride()).step_by(page) {
                let in_guard = offset < GUARD_SIZE;
                assert_eq!(readable(at.wrapping_add(offset)), !in_guard, "{kind:?}");
                assert_eq!(readable(at.wrapping_add(offset + page - 1)), !in_guard);
            }
            // SAFETY: nobody uses the stack.
            unsafe { sys::discard(top.guard(class), class.stride()) }.unwrap();
            assert!(!readable(at.wrapping_add(GUARD_SIZE - 1)), "guards stay");
        }
        assert_eq!(guard_kind_seen(), GuardKind::Mprotect);
    }

    #[test]
    fn slabs_grow_geometrically() {
        // How many slabs it takes for `want` stacks, and how many those have.
        let grow = |size, want| {
            let class = SizeClass::for_size(size).unwrap();
            let (mut slabs, mut mapped) = (0, 0);
            while mapped < want {
                mapped += slab_len(class, mapped);
                slabs += 1;
            }
            (slabs, mapped)
        };
        assert_eq!(grow(256 * 1024, 1), (1, 64));
        assert_eq!(grow(256 * 1024, 65), (2, 128));
        let (slabs, mapped) = grow(256 * 1024, 1_000_000);
        assert!(slabs < 100 && mapped < 1_125_000, "{slabs} {mapped}");
        assert_eq!(grow(8 << 20, 1), (1, 3));
        assert_eq!(grow(1 << 30, 3), (3, 3));
        let (slabs, _) = grow(8 << 20, 1_000_000);
        assert!(slabs < 200, "{slabs}");
    }

    #[test]
    fn addresses_are_located() {
        let class = SizeClass::for_size(32 * 1024).unwrap();
        let mut slab = map(class, 0).ok().unwrap();
        let base = slab.next.as_ptr() as usize;
        let count = slab.left();
        let first = slab.carve(class).unwrap().0.as_ptr() as usize;
        let second = slab.carve(class).unwrap().0.as_ptr() as usize;
        assert_eq!(second, first + class.stride());
        let at = |top, in_guard| Some(Located { top, in_guard });
        assert_eq!(locate(base), at(first, true));
        assert_eq!(locate(base + GUARD_SIZE - 1), at(first, true));
        assert_eq!(locate(base + GUARD_SIZE), at(first, false));
        assert_eq!(locate(first - 1), at(first, false));
        assert_eq!(locate(first), at(second, true));
        let end = base + count * class.stride();
        assert_eq!(locate(end - 1), at(end, false));
        let here = 0;
        assert_eq!(locate(&raw const here as usize), None);
        assert_eq!(locate(0), None);
        assert_eq!(locate(usize::MAX), None);
    }

    #[test]
    fn a_full_table_says_so() {
        let table = Table {
            records: [const { Record::new() }; TABLE_LEN],
            len: AtomicUsize::new(TABLE_LEN - 1),
            append: Mutex::new(()),
        };
        let base = NonNull::dangling();
        assert!(table.append(base, SizeClass::DEFAULT, 1));
        assert!(!table.append(base, SizeClass::DEFAULT, 1));
    }
}
