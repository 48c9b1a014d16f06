//! Waiting for several goroutines at once, and one call on behalf of many.
//!
//! | to | use | Go's |
//! | --- | --- | --- |
//! | wait until a number of goroutines are done | [`WaitGroup`] | `sync.WaitGroup` |
//! | have goroutines work on one task, stop at the first error, and limit their number | [`Group`] | `errgroup.Group` |
//! | make one call for all who want the same at the same time | [`SingleFlight`] | `singleflight.Group` |
//!
//! All of them are handles: clones refer to the same group, so a clone goes into each goroutine. To let
//! goroutines *borrow* from their caller, use [`scope`](crate::scope()) instead.

// Next in the reading order: `pool`.

pub(crate) mod errgroup;
pub(crate) mod single_flight;
pub(crate) mod wait_group;

pub use errgroup::Group;
pub use single_flight::SingleFlight;
pub use wait_group::WaitGroup;
