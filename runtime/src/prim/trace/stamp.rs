//! The time stamps of events: the processor's counter, as it is read in a third of the time that the system's clock
//! takes.
//!
//! A stamp is a number of *ticks* of 56 bits, which may wrap around; [`Stamp::since`] compares two. How long a tick is
//! is not known beforehand, and need not be: whoever collects the events looks at the counter and at the clock together,
//! again and again, and interpolates (`sched::trace::timeline`).
//!
//! | processor | counter |
//! | --- | --- |
//! | x86-64 whose counter runs at one speed, also asleep | `rdtsc` |
//! | aarch64 | `cntvct_el0` |
//! | any other | the clock |
//!
//! Counters of different processors of one machine are in step up to some ten nanoseconds. So the order of events of
//! different threads is known that well and no better, and whoever reads a trace must not take it for cause and effect.

use crate::prim::clock;

/// Bits of a stamp.
const BITS: u32 = 56;
const MASK: u64 = (1 << BITS) - 1;

/// A point in time, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// Now.
    #[inline(always)]
    pub(crate) fn now() -> Stamp {
        Stamp(ticks() & MASK)
    }

    /// From [`Stamp::raw`].
    pub(crate) fn from_raw(raw: u64) -> Stamp {
        Stamp(raw & MASK)
    }

    /// 56 bits.
    #[inline(always)]
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    /// Ticks since `start`; negative if it lies before. The two are less than half the range apart: a third of a year.
    pub(crate) fn since(self, start: Stamp) -> i64 {
        let shift = u64::BITS - BITS;
        ((self.0.wrapping_sub(start.0) << shift) as i64) >> shift
    }
}

#[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
#[inline(always)]
fn ticks() -> u64 {
    if sys::is_steady() {
        sys::counter()
    } else {
        clock::now()
    }
}

#[cfg(all(target_arch = "aarch64", not(loom), not(miri)))]
#[inline(always)]
fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: a register that user code may read; no memory is touched and no flag changed.
    unsafe {
        std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
    }
    ticks
}

#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(loom),
    not(miri)
)))]
fn ticks() -> u64 {
    clock::now()
}

#[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
mod sys {
    use crate::prim::atomic::{AtomicU32, Ordering};
    use std::arch::x86_64::{__cpuid, _rdtsc};

    const UNKNOWN: u32 = 0;
    const STEADY: u32 = 1;
    const UNSTEADY: u32 = 2;
    static KIND: AtomicU32 = AtomicU32::new(UNKNOWN);

    /// Leaf and bit with which a processor says that its counter runs at one speed.
    const POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;

    #[inline(always)]
    pub(super) fn is_steady() -> bool {
        match KIND.load(Ordering::Relaxed) {
            UNKNOWN => find_out(),
            kind => kind == STEADY,
        }
    }

    #[cold]
    fn find_out() -> bool {
        let steady = __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0;
        KIND.store(if steady { STEADY } else { UNSTEADY }, Ordering::Relaxed);
        steady
    }

    #[inline(always)]
    pub(super) fn counter() -> u64 {
        // SAFETY: the instruction only reads the counter; every x86-64 has it.
        unsafe { _rdtsc() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_forward_and_wrap_around() {
        let first = Stamp::now();
        let mut last = first;
        while last.since(first) == 0 {
            last = Stamp::now();
        }
        assert!(last.since(first) > 0);
        assert!(first.since(last) < 0);
        let end = Stamp::from_raw(MASK);
        assert_eq!(Stamp::from_raw(4).since(end), 5);
        assert_eq!(end.since(Stamp::from_raw(4)), -5);
    }
}
