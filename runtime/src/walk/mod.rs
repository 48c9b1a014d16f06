//! Walking a stack from outside: from three saved registers to the addresses of its frames.
//!
//! A goroutine notes where it is (`ip`, `sp`, `fp`) just before it suspends (`coroutine`). From there on
//! framehop finds each caller by the tables that the compiler has made for unwinding (`.eh_frame`, see
//! `sys`), reading nothing but the stack's own memory: nothing is resumed, and no frame pointers are needed.
//! Names are made of the addresses later, by whoever wants them (`dump::symbol`): that takes locks, memory and
//! milliseconds, while a walk takes a microsecond or two, during which its goroutine can't run.
//!
//! Three things bound a walk, whatever the memory holds: it reads only between the stack pointer and the stack's
//! top; it goes only upwards, and only from code to code; and it ends after [`MAX_FRAMES`].
//!
//! Rejected: libunwind's and `backtrace`'s unwinders, which only walk the calling thread (from a signal handler,
//! for another one's), and frame pointers, which neither std nor most programs have.
//!
//! Next in the reading order: `coroutine`, which runs code on a stack.

mod sys;

use crate::prim::arch::Registers;
use framehop::{CacheNative, FrameAddress, MayAllocateDuringUnwind, Unwinder, UnwinderNative};
use sys::Image;

/// Frames of one stack; the outer ones are left out. Go shows 100.
pub(crate) const MAX_FRAMES: usize = 128;

const WORD: u64 = size_of::<u64>() as u64;

/// The memory of one stack, from which words are read.
pub(crate) trait Memory {
    /// The eight bytes at this address; `None` if they are not all the stack's.
    fn word(&self, address: u64) -> Option<u64>;
}

/// A stack where it is.
pub(crate) struct InPlace {
    low: u64,
    high: u64,
}

impl InPlace {
    /// The memory from `low` (a stack pointer) up to `high`, the stack's top.
    ///
    /// # Safety
    ///
    /// All of it is readable, and nobody writes to it, as long as the value is used.
    pub(crate) unsafe fn new(low: usize, high: usize) -> InPlace {
        InPlace {
            low: low as u64,
            high: high as u64,
        }
    }
}

impl Memory for InPlace {
    #[inline]
    fn word(&self, address: u64) -> Option<u64> {
        let end = address.checked_add(WORD)?;
        // SAFETY: the bytes lie within the range that `new`'s caller vouches for. They may be padding that
        // nobody wrote, which a volatile read of the machine's memory may look at.
        (address >= self.low && end <= self.high)
            .then(|| unsafe { (address as *const [u8; 8]).read_volatile() })
            .map(u64::from_ne_bytes)
    }
}

/// The tables of all code in the process, as it was when this was made.
pub(crate) struct Walker {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    /// Where code lies: sorted, apart from each other.
    code: Vec<(u64, u64)>,
}

impl Walker {
    /// Copies the tables of the program and its libraries: about as many bytes as a tenth of their code. Copies,
    /// because a library may be unloaded at any time.
    pub(crate) fn new() -> Walker {
        let mut unwinder = UnwinderNative::new();
        let mut code = Vec::new();
        for Image { module, executable } in sys::loaded() {
            code.extend(executable);
            if let Some(module) = module {
                unwinder.add_module(module);
            }
        }
        code.sort_unstable();
        Walker {
            unwinder,
            cache: CacheNative::new(),
            code,
        }
    }

    /// Appends the addresses of the frames to `frames`, the innermost first: `from.ip`, then return addresses.
    /// `false` if there were more than [`MAX_FRAMES`].
    pub(crate) fn walk(
        &mut self,
        from: Registers,
        memory: &impl Memory,
        frames: &mut Vec<usize>,
    ) -> bool {
        // The link register is not needed: whoever suspends has called something, and so has saved it.
        self.walk_interrupted(from, 0, memory, frames)
    }

    /// The same from where a thread was interrupted, at any instruction. `lr`: the link register, where there is one.
    pub(crate) fn walk_interrupted(
        &mut self,
        from: Registers,
        lr: usize,
        memory: &impl Memory,
        frames: &mut Vec<usize>,
    ) -> bool {
        let mut read = |address| memory.word(address).ok_or(());
        let mut registers = unwind_registers(from, lr);
        let mut frame = FrameAddress::from_instruction_pointer(from.ip as u64);
        let end = frames.len() + MAX_FRAMES;
        while self.is_code(frame.address()) {
            if frames.len() == end {
                return false;
            }
            frames.push(frame.address() as usize);
            let sp = registers.sp();
            let caller =
                self.unwinder
                    .unwind_frame(frame, &mut registers, &mut self.cache, &mut read);
            // An error is the end as well: of the stack, as a rule.
            let caller = caller.ok().flatten();
            match caller.and_then(FrameAddress::from_return_address) {
                Some(caller) if registers.sp() > sp => frame = caller,
                _ => break,
            }
        }
        true
    }

    fn is_code(&self, address: u64) -> bool {
        let after = self.code.partition_point(|&(start, _)| start <= address);
        after > 0 && address <= self.code[after - 1].1
    }
}

#[cfg(target_arch = "x86_64")]
fn unwind_registers(from: Registers, _lr: usize) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(from.ip as u64, from.sp as u64, from.fp as u64)
}

#[cfg(target_arch = "aarch64")]
fn unwind_registers(from: Registers, lr: usize) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(lr as u64, from.sp as u64, from.fp as u64)
}

#[cfg(test)]
mod tests;
