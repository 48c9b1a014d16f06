//! The few instructions that Rust can't express: reading the registers from which a stack can be walked, hiding a
//! value from the optimiser, and asking for memory ahead of its use.

use std::arch::asm;

/// Where a function is: what a walk up the stack from there begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    /// An address in the function's code.
    pub(crate) ip: usize,
    /// The stack pointer there.
    pub(crate) sp: usize,
    /// The register that holds the frame pointer, if the function keeps one: it may hold anything else.
    pub(crate) fp: usize,
}

/// The registers of the function this is inlined into. All three are read in one place, so that what the
/// compiler says about unwinding from `ip` holds for the other two. The function's frame must still be there
/// when its stack is walked; what lies below `sp` by then does not matter.
#[inline(always)]
pub(crate) fn registers() -> Registers {
    let mut here = Registers::default();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: registers are read; no memory is touched and no flag changed.
    unsafe {
        asm!(
            "lea {ip}, [rip]",
            "mov {sp}, rsp",
            "mov {fp}, rbp",
            ip = out(reg) here.ip,
            sp = out(reg) here.sp,
            fp = out(reg) here.fp,
            options(nomem, nostack, preserves_flags),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: registers are read; no memory is touched and no flag changed.
    unsafe {
        asm!(
            "adr {ip}, .",
            "mov {sp}, sp",
            "mov {fp}, x29",
            ip = out(reg) here.ip,
            sp = out(reg) here.sp,
            fp = out(reg) here.fp,
            options(nomem, nostack, preserves_flags),
        );
    }
    here
}

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
