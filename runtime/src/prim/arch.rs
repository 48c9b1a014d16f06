//! The few instructions that Rust can't express: reading the stack pointer, hiding a value from the
//! optimiser, and asking for memory ahead of its use.

use std::arch::asm;

/// The stack pointer of the function this is inlined into.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a register read; no memory is touched and no flag changed.
    unsafe {
        asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a register read; no memory is touched and no flag changed.
    unsafe {
        asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    sp
}

/// Returns `value` so that the compiler can't know it.
///
/// Unlike `std::hint::black_box` this is a promise, not an attempt: the `asm!` is neither `pure` nor
/// `nomem`, so two calls are never merged and a function around it is never inferred to be free of
/// side effects. That is what keeps a thread-local's value from being reused across a switch.
#[inline(always)]
pub(crate) fn opaque<T>(value: *const T) -> *const T {
    let mut value = value;
    // SAFETY: no instruction is executed; the register keeps its value.
    unsafe {
        asm!("/* {0} */", inout(reg) value, options(nostack, preserves_flags));
    }
    value
}

/// Asks for the cache line at `address`, which will be used soon. Whatever the address is, nothing happens
/// but that.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch accesses no memory as far as the program can tell, and never faults.
    unsafe {
        asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}
