//! The part of `sync` that models run, as it is.

#[path = "../sync/waitq.rs"]
pub(crate) mod waitq;

#[path = "../sync/raw/mod.rs"]
pub(crate) mod raw;
