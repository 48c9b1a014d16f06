//! crossbeam-channel's tests as written, on threads; see the package's `lib.rs`.

// The included text is not ours, and older than these.
#![allow(missing_docs, unreachable_pub, unexpected_cfgs, clippy::all)]
#![allow(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

include!(concat!(env!("OUT_DIR"), "/threads.rs"));
