//! Waiting for several goroutines at once.

pub(crate) mod errgroup;
pub(crate) mod single_flight;
pub(crate) mod wait_group;
