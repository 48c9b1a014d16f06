//! What `stack` asks of the operating system. A platform is one file that defines:
//!
//! | item | contract |
//! | --- | --- |
//! | `page_size()` | the granularity of everything below |
//! | `map(len)` | fresh zeroed read-write memory, committed on touch, not reserved where that can be avoided, never of huge pages |
//! | `unmap(at, len)` | gives a mapping, or its end, back |
//! | `guard_light(at, len)` | makes pages fault without splitting the mapping; fails where the kernel can't |
//! | `guard_split(at, len)` | makes pages fault by splitting the mapping |
//! | `max_mappings()`, `out_of_mappings()` | how many mappings there may be, which `guard_split` adds to; the error when there are |
//! | `discard(at, len)` | gives pages back; they read as zero afterwards, guards stay |
//! | `Limit`, `limit_hit(..)` | names the limit behind a failure, and its remedy; not for hot paths |
//! | `on_fault(classify)` | calls `classify(address)` for memory faults, and the previous handler when it returns |
//! | `SignalStack`, `signal_stack()`, `set_signal_stack(..)`, `signal_stack_min()` | the calling thread's alternate signal stack |
//! | `write_stderr(bytes)`, `abort()` | async-signal-safe |
//!
//! Failures are plain `io::Error`s that hold an errno and so allocate nothing.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{
    Limit, SignalStack, abort, discard, guard_light, guard_split, limit_hit, map, max_mappings,
    on_fault, out_of_mappings, page_size, set_signal_stack, signal_stack, signal_stack_min, unmap,
    write_stderr,
};

#[cfg(not(target_os = "linux"))]
compile_error!("corio has no stack/sys backend for this operating system yet");

/// What failed, for [`limit_hit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// `map` of this many bytes.
    Map(usize),
    /// A guard, by `guard_split`.
    Guard,
}
