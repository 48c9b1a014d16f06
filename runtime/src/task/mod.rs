//! Goroutines as users see them: starting, naming, joining, scoping, waiting for futures.
//!
//! Next in the reading order: `time`, beginning with `func`.

pub(crate) mod block_on;
pub(crate) mod builder;
pub(crate) mod go;
pub(crate) mod goroutine;
pub(crate) mod join;
pub(crate) mod lock;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod scope;
pub(crate) mod system;
pub(crate) mod waking;
