//! Waiting for several goroutines at once, and one call on behalf of many.
//!
//! | to | use | Go's |
//! | --- | --- | --- |
//! | wait until a number of goroutines are done | [`WaitGroup`] | `sync.WaitGroup` |
//!
//! All of them are handles: clones refer to the same group, so a clone goes into each goroutine. To let
//! goroutines *borrow* from their caller, use [`scope`](crate::scope()) instead.

pub(crate) mod errgroup;
pub(crate) mod single_flight;
pub(crate) mod wait_group;

pub use wait_group::WaitGroup;
