//! Goroutines for Rust.
//!
//! `go!(handle(conn))` starts a *goroutine*: a function on a stack of its own, thousands of which share
//! a few OS threads under a scheduler with work stealing. Everything that would block a thread (socket
//! I/O in `corio-net`, channels, locks, joining, sleeping) parks the goroutine instead, so a server is
//! written as straight-line blocking code, as in Go.
//!
//! ```
//! use corio::go;
//! use std::time::Duration;
//!
//! fn work(n: u64) -> u64 {
//!     corio::sleep(Duration::from_millis(n));
//!     n * n
//! }
//!
//! let handles: Vec<_> = (1..=3).map(|n| go!(work(n))).collect();
//! let squares: Vec<u64> = handles.into_iter().map(|h| h.join().unwrap()).collect();
//! assert_eq!(squares, [1, 4, 9]);
//! ```
//!
//! # What is where
//!
//! | to | use |
//! | --- | --- |
//! | start a goroutine | [`go!`], [`spawn`], [`Builder`], [`scope()`], [`run`] |
//! | wait for one, or identify it | [`JoinHandle`], [`Goroutine`], [`current`] |
//! | wait | [`sleep()`], [`sleep_until`], [`park()`], [`park_timeout`], [`yield_now`] |
//! | send messages, and wait for one of several things | [`channel`], [`select!`], [`select_biased!`] |
//! | share what can change | [`sync`]: locks, a condition variable, semaphore, barrier, things done once, object pools |
//! | wait for many, share a call, stop at the first error | [`group`] |
//! | bound how many run | [`sync::Semaphore`], [`Group::set_limit`](group::Group::set_limit), [`pool::WorkerPool`] |
//! | cancel, and hand deadlines and values down | [`context`] |
//! | do something later, or regularly | [`time`], [`channel::after`], [`channel::tick`] |
//! | have a value per goroutine | [`goroutine_local!`], [`local`] |
//! | wait for a signal | [`signal`] |
//! | wait for a future | [`block_on`] |
//! | call what blocks the thread | [`blocking`] |
//! | stay on one thread | [`lock_os_thread`] |
//! | configure and observe | [`Config`], [`set_procs`], [`metrics()`], [`dump()`], [`num_goroutines`] |
//! | test that nothing is left behind | [`testing::assert_no_leaks`] |
//! | make something else wait | [`reactor`] |
//!
//! All of it may be called from plain threads too; what parks a goroutine blocks a plain thread. The
//! runtime starts with the first use.
//!
//! # The one rule
//!
//! A goroutine may go on on another thread after a *switch point*: a call documented as blocking, or
//! [`yield_now`]. Nowhere else is it ever switched. `spawn` demands a `Send` closure, but no bound can
//! keep a goroutine from making a value later that is tied to its *thread*. So:
//!
//! * A value derived from a thread-local that is not `Send` must not be held across a switch point: a
//!   reference out of [`std::thread::LocalKey::with`], a handle to thread-local state such as
//!   `rand::rng()`, a [`std::sync::MutexGuard`].
//! * One function must not use a thread-local both before and after a switch point, because the
//!   compiler may use the first thread's address again. (Put the uses into a function of their own
//!   that is `#[inline(never)]` and does not block.)
//!
//! The remedies: end the borrow before the call that blocks; take [`sync::Mutex`], whose guard may be held
//! across it; keep in [`goroutine_local!`] what is the goroutine's and not the thread's; or hold
//! [`lock_os_thread`] over the call.
//!
//! This is the one hole in the crate's soundness. No runtime that moves stackful coroutines between threads
//! can close it in today's Rust; it is argued where the `unsafe impl Send` stands, in `coroutine.rs`.
//! Run your tests with `CORIO_MIGRATE=always`, which moves every goroutine to another thread at every
//! switch, to find violations.
//!
//! # What happens when
//!
//! | event | consequence |
//! | --- | --- |
//! | a goroutine panics | only it ends; the panic is reported; `join` returns the payload |
//! | its stack overflows | its number, name and stack size are printed, and the process aborts |
//! | it blocks its thread, announced by [`blocking`] or not | its P goes to another thread |
//! | it computes for more than 10 ms while others wait | likewise, and its thread is reniced |
//! | under [`run`], nothing can ever wake anybody | `run` panics with a list of who waits for what |
//! | a setting is bad | an error that names the variable, its value and what is accepted |

#![cfg_attr(loom, allow(dead_code, unused_imports, unreachable_pub))]

mod prim;
mod state;

#[cfg(not(loom))]
mod api;
#[cfg(not(all(loom, not(test))))]
pub mod channel;
#[cfg(not(loom))]
pub mod context;
#[cfg(not(loom))]
mod coroutine;
#[cfg(not(loom))]
mod dump;
#[cfg(not(loom))]
pub mod group;
#[cfg(not(loom))]
pub mod local;
#[cfg(not(loom))]
mod metrics;
#[cfg(not(loom))]
mod park;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
mod sched;
#[cfg(not(loom))]
pub mod signal;
#[cfg(not(loom))]
mod sleep;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
pub mod sync;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
pub mod testing;
#[cfg(not(loom))]
pub mod time;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod walk;

// Under loom the channels run over the models' idea of what lies below them.
#[cfg(all(loom, test))]
mod models;
#[cfg(all(loom, test))]
use models::{park, sched, sync, task, timer};

#[cfg(not(loom))]
pub use api::*;
