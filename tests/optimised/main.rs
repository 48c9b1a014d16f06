//! Some of the files in `tests`, as one program: to be compiled with whole-program optimisation, which is what moves
//! thread-local accesses across a stack switch if anything does, and which takes as long for each program as for
//! all of them together.
//!
//! `cargo test --release -p corio-tests --test optimised`. Chosen are those in which goroutines switch most, one or two
//! for each thing that they switch in. (`net_scale` and `net_stress` would be among
//! them, but want a process for themselves: one compares latencies, the other waits until there is no goroutine.)

#[path = "../tests/block_on.rs"]
mod block_on;
#[path = "../tests/blocking.rs"]
mod blocking;
#[path = "../tests/chan_go.rs"]
mod chan_go;
#[path = "../tests/context_tree.rs"]
mod context_tree;
#[path = "../tests/hogs.rs"]
mod hogs;
#[path = "../tests/local.rs"]
mod local;
#[path = "../tests/lock.rs"]
mod lock;
#[path = "../tests/panic.rs"]
mod panic;
#[path = "../tests/park.rs"]
mod park;
#[path = "../tests/run.rs"]
mod run;
#[path = "../tests/scope.rs"]
mod scope;
#[path = "../tests/select_exactly_one.rs"]
mod select_exactly_one;
#[path = "../tests/spawn.rs"]
mod spawn;
#[path = "../tests/stress.rs"]
mod stress;
#[path = "../tests/sync_mutex.rs"]
mod sync_mutex;
#[path = "../tests/sync_rwlock.rs"]
mod sync_rwlock;
