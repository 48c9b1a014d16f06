//! The status words: every piece of state that several threads change at once, one word per concern.
//!
//! Each file holds one word with its table (value, meaning, who may change it to what) and knows
//! nothing of stacks, threads or queues. That is what lets `loom` run them: a model explores the very
//! types the scheduler uses (`models`, compiled under `cfg(loom)`).
//!
//! * [`gstatus`]: what a goroutine is doing, and who may touch its stack.
//! * [`wait`]: which wait of a goroutine is open, so that exactly one party ends it; and the token
//!   of `unpark`.
//! * [`pstatus`]: who owns a P and whether its goroutine is in user code, so that sysmon can take it.
//! * [`idle`]: how many Ps idle and how many Ms spin, with the proof that no wake-up is lost.
//! * [`poll`]: who polls and until when, and why no timer is missed.
//! * [`join`]: who frees a finished goroutine and its result.
//! * [`wait_group`]: how many a wait group waits for, and whether its waiters are still to be let go.
//!
//! Next in the reading order: `stack`.

pub(crate) mod gstatus;
pub(crate) mod idle;
pub(crate) mod join;
#[cfg(all(loom, test))]
mod models;
pub(crate) mod poll;
pub(crate) mod pstatus;
pub(crate) mod wait;
pub(crate) mod wait_group;
