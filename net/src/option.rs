//! Socket options beyond those of std.

use std::time::Duration;

/// How an idle connection's peer is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long a connection is idle before the first probe.
    pub idle: Duration,
    /// The time between probes.
    pub interval: Duration,
    /// How many are sent without an answer before the connection is given up.
    pub count: u32,
}

impl Default for KeepAlive {
    /// Go's: 15 s, 15 s, 9.
    fn default() -> KeepAlive {
        KeepAlive {
            idle: Duration::from_secs(15),
            interval: Duration::from_secs(15),
            count: 9,
        }
    }
}
