//! Walks over real and over hostile memory.

use super::*;
use crate::prim::arch::registers;
use std::hint::black_box;

/// A stack's memory as bytes.
struct Bytes {
    low: u64,
    bytes: Vec<u8>,
}

impl Memory for Bytes {
    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.low)?).ok()?;
        let word = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(word.try_into().ok()?))
    }
}

/// The part of this thread's stack from `here` up.
#[inline(never)]
fn copy(here: Registers, len: usize) -> Bytes {
    let bytes = (0..len)
        // SAFETY: the callers have frames and large buffers above `here`.
        .map(|n| unsafe { ((here.sp + n) as *const u8).read_volatile() })
        .collect();
    Bytes {
        low: here.sp as u64,
        bytes,
    }
}

#[inline(never)]
fn innermost(depth: usize, look: &mut dyn FnMut(Registers)) {
    look(registers());
    black_box(depth);
}

#[inline(never)]
fn recurse(depth: usize, look: &mut dyn FnMut(Registers)) {
    if depth == 0 {
        innermost(depth, look);
    } else {
        recurse(depth - 1, look);
    }
    black_box(depth);
}

/// Calls `look` below `depth` frames of `recurse`, with enough stack above them to copy.
#[inline(never)]
fn below(depth: usize, look: &mut dyn FnMut(Registers)) {
    let room = black_box([0u8; 64 * 1024]);
    recurse(depth, look);
    black_box(&room);
}

/// The functions' names, as far as they are known.
fn names(frames: &[usize]) -> Vec<String> {
    let mut names = Vec::new();
    for &frame in frames {
        backtrace::resolve(frame as *mut _, |symbol| {
            names.push(
                symbol
                    .name()
                    .map(|name| format!("{name:#}"))
                    .unwrap_or_default(),
            );
        });
    }
    names
}

#[test]
fn each_caller_is_found() {
    let mut walker = Walker::new();
    below(5, &mut |here| {
        let mut frames = Vec::new();
        assert!(walker.walk(here, &copy(here, 16 * 1024), &mut frames));
        let names = names(&frames);
        // Not all have paths, if the debug information is line tables only.
        let is = |name: &String, what: &str| name.rsplit("::").next() == Some(what);
        let count = |what: &str| names.iter().filter(|name| is(name, what)).count();
        assert_eq!(count("innermost"), 1, "{names:#?}");
        assert_eq!(count("recurse"), 6, "{names:#?}");
        assert_eq!(count("below"), 1, "{names:#?}");
    });
}

#[test]
fn a_walk_in_place_reads_nothing_outside_its_bounds() {
    let mut walker = Walker::new();
    below(5, &mut |here| {
        let mut all = Vec::new();
        // SAFETY: these are the frames of this thread's own callers.
        walker.walk(
            here,
            &unsafe { InPlace::new(here.sp, here.sp + 8 * 1024) },
            &mut all,
        );
        assert!(all.len() >= 8);
        for len in [0, 1, 7, 8, 64, 100, 200, 300] {
            let mut frames = Vec::new();
            // SAFETY: as above.
            let memory = unsafe { InPlace::new(here.sp, here.sp + len) };
            walker.walk(here, &memory, &mut frames);
            assert_eq!(frames, all[..frames.len()], "with {len} bytes");
            assert!(memory.word((here.sp + len) as u64 - 7).is_none());
            assert!(memory.word(here.sp as u64 - 1).is_none());
            assert!(memory.word(u64::MAX - 3).is_none());
        }
    });
}

#[test]
fn deep_stacks_are_cut() {
    let mut walker = Walker::new();
    below(1000, &mut |here| {
        let mut frames = Vec::new();
        assert!(!walker.walk(here, &copy(here, 128 * 1024), &mut frames));
        assert_eq!(frames.len(), MAX_FRAMES);
        // Appended, and counted by themselves.
        assert!(!walker.walk(here, &copy(here, 128 * 1024), &mut frames));
        assert_eq!(frames.len(), 2 * MAX_FRAMES);
    });
}

#[test]
fn zeros_and_registers_without_sense_end_the_walk() {
    let mut walker = Walker::new();
    let zeros = Bytes {
        low: 0x1000,
        bytes: vec![0; 4096],
    };
    let code = copy as fn(Registers, usize) -> Bytes as usize + 4;
    for ip in [0, 1, 0x1008, usize::MAX, code] {
        for sp in [0, 0x1000, 0x1ff9, 0x2000, usize::MAX - 7, usize::MAX] {
            for fp in [0, 0x1010, usize::MAX] {
                let mut frames = Vec::new();
                assert!(walker.walk(Registers { ip, sp, fp }, &zeros, &mut frames));
                assert!(frames.len() <= usize::from(ip == code), "{frames:x?}");
            }
        }
    }
}

/// Whatever is wrong in a stack's memory, its walk ends, within its bounds, with addresses of code.
#[test]
fn corrupted_memory_ends_the_walk() {
    let mut walker = Walker::new();
    below(10, &mut |here| {
        let intact = copy(here, 4096);
        let code = below as fn(usize, &mut dyn FnMut(Registers)) as usize as u64;
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for round in 0..20_000 {
            let mut memory = Bytes {
                low: intact.low,
                bytes: intact.bytes.clone(),
            };
            for _ in 0..1 + round % 8 {
                let at = next() as usize % 512 * 8;
                // Nonsense, addresses of code, and addresses of the stack itself: cycles.
                let word = match next() % 4 {
                    0 => next(),
                    1 => code + next() % 4096,
                    2 => intact.low + next() % 4096,
                    _ => 0,
                };
                memory.bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
            }
            let mut frames = Vec::new();
            walker.walk(here, &memory, &mut frames);
            assert!((1..=MAX_FRAMES).contains(&frames.len()));
            assert!(frames.iter().all(|&frame| walker.is_code(frame as u64)));
        }
    });
}
