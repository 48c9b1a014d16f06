//! Selects that face each other: exactly one arm of each runs, and every message sent is received
//! once.
//!
//! Many goroutines, and a few threads, select over the same four channels in every way: sends and receives,
//! on different channels and both on the same, with and without default, with more arms than lie on the
//! stack, and by asking first what is ready. The scenario is in `child/chan.rs`.

use corio_tests::{Child, child};

fn tangle(capacity: usize, goroutines: usize, threads: usize, operations: usize) -> Child {
    child!("select_exactly_one")
        .arg(capacity)
        .arg(goroutines)
        .arg(threads)
        .arg(operations)
}

macro_rules! tangles {
    ($($name:ident: $($variable:ident=$value:literal)*;)*) => { $(
        #[test]
        fn $name() {
            for capacity in [0, 1] {
                for (goroutines, threads) in [(2, 0), (1, 1), (50, 0), (50, 4), (0, 6)] {
                    let operations = if goroutines > 0 { 30_000 } else { 3_000 };
                    tangle(capacity, goroutines, threads, operations)
                        $(.env(stringify!($variable), $value))*
                        .succeeds();
                }
            }
        }
    )* };
}

tangles! {
    select_runs_one_arm_on_one_proc: CORIO_PROCS=1;
    select_runs_one_arm_on_two_procs: CORIO_PROCS=2;
    select_runs_one_arm_on_eight_procs: CORIO_PROCS=8;
    select_runs_one_arm_with_migration: CORIO_PROCS=2 CORIO_MIGRATE="always";
    select_runs_one_arm_with_migration_on_one_proc: CORIO_PROCS=1 CORIO_MIGRATE="always";
}

/// A thousand goroutines at the same four channels.
#[test]
fn select_runs_one_arm_among_a_thousand() {
    for capacity in [0, 1] {
        tangle(capacity, 1000, 2, 100_000).succeeds();
    }
}
