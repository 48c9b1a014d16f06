//! What stands in for parts of `prim` under `cfg(loom)`. The code above doesn't know the difference.

pub(super) mod cell;
pub(crate) mod clock;
pub(crate) mod spin;
