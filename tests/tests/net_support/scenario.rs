//! Scenarios of `net_child` that check themselves.

use corio_tests::{Child, Outcome};
use std::io::Write;
use std::time::Duration;

/// Runs one with these Ps, migrating always or never, and demands that it ends well. None if the system
/// does not permit it, which is said even if the test's output is captured.
pub(crate) fn scenario(name: &str, args: &[&str], procs: u32, migrate: bool) -> Option<Outcome> {
    let mut child = Child::new(env!("CARGO_BIN_EXE_net_child"), name)
        .env("CORIO_PROCS", procs)
        .env("CORIO_MIGRATE", if migrate { "always" } else { "never" })
        // It has a watchdog or waits of its own, which say more.
        .limit(Duration::from_secs(120));
    for arg in args {
        child = child.arg(arg);
    }
    let outcome = child.succeeds();
    print!("{name} {args:?}, {procs} Ps: {}", outcome.stdout);
    let why = outcome
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("skipped: "));
    if let Some(why) = why {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {why}");
        return None;
    }
    Some(outcome)
}

/// Runs one under several settings.
pub(crate) fn under_all_settings(name: &str, args: &[&str]) {
    for (procs, migrate) in [(2, false), (1, true), (8, true)] {
        scenario(name, args, procs, migrate);
    }
}
