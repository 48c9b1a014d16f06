//! What a peer prints: the lines of JSON that `benches/CONTRACT.md` describes.
//!
//! Fields that the harness does not know are passed over, so that a peer may say more.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Exit status of a peer that does not have the workload, or not in this size.
pub(crate) const ABSENT: i32 = 3;

/// The line of a workload that runs inside the peer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) workload: String,
    pub(crate) version: String,
    pub(crate) results: Vec<Figures>,
    pub(crate) verified: bool,
}

/// The figures of one metric.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Figures {
    /// Set when a peer has more than one way to do the workload and this is not its main one.
    #[serde(default)]
    pub(crate) flavour: Option<String>,
    pub(crate) metric: String,
    /// One for each round.
    pub(crate) values: Vec<f64>,
}

/// The first line of a server.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listening {
    pub(crate) listening: SocketAddr,
    #[serde(default)]
    pub(crate) unix: Option<PathBuf>,
    pub(crate) pid: libc::pid_t,
    #[serde(default)]
    pub(crate) version: Option<String>,
}

/// What a server answers to SIGUSR1; all of it since the process began.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_user_us: f64,
    pub(crate) cpu_sys_us: f64,
    pub(crate) rss_kb: f64,
    pub(crate) page_tables_kb: f64,
    /// Milliseconds of CPU that each hog has got through.
    #[serde(default)]
    pub(crate) hog_progress: Vec<f64>,
}

impl Usage {
    /// Microseconds of CPU, user and system.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_user_us + self.cpu_sys_us
    }

    /// The same, when so many microseconds of CPU had been used.
    pub(crate) fn when_used(mut self, cpu_us: f64) -> Usage {
        let scale = cpu_us / self.cpu_us().max(1.0);
        self.cpu_user_us *= scale;
        self.cpu_sys_us *= scale;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_say_more_than_is_asked() {
        let line: Line = serde_json::from_str(
            r#"{"workload":"yield","peer":"x","procs":1,"version":"x 1","params":{"n":5},
                "results":[{"variant":"2 tasks","metric":"ns_per_op","values":[1.5],"flavour":"y"},
                           {"variant":"2 tasks","metric":"cpu_ns_per_op","values":[2.5]}],
                "verified":true,"more":[]}"#,
        )
        .unwrap();
        assert_eq!(line.results[0].flavour.as_deref(), Some("y"));
        assert_eq!(line.results[1].flavour, None);
        assert_eq!(line.results[1].values, [2.5]);
    }

    #[test]
    fn a_server_line() {
        let line: Listening =
            serde_json::from_str(r#"{"listening":"127.0.0.1:80","pid":7}"#).unwrap();
        assert_eq!((line.listening.port(), line.pid, line.unix), (80, 7, None));
        let usage: Usage = serde_json::from_str(
            r#"{"cpu_user_us":1,"cpu_sys_us":2,"rss_kb":3,"page_tables_kb":4,"ctx_switches":9}"#,
        )
        .unwrap();
        assert_eq!(usage.cpu_us(), 3.0);
    }
}
