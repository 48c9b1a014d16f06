//! Channels beside those of the peers, whose tasks do the same on their own runtimes.
//!
//! * `pingpong`: a round trip between two tasks, each of which waits for the other.
//! * `mpmc`: many messages from one task to another and from four to four; per message.
//! * `uncontended`: what a channel costs when nobody waits and nobody competes.
//! * `select`: a round trip in which one side waits for any of several channels.
//!
//! corio's and crossbeam's channels have one interface and may's methods are called alike, so one text
//! (a macro that expands to a closure) serves all three, with different types.

#[path = "../crews.rs"]
mod crews;
mod mpmc;
#[path = "../peers.rs"]
mod peers;
mod pingpong;
mod select;
mod uncontended;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    pingpong::pingpong,
    mpmc::mpmc,
    uncontended::uncontended,
    select::select
);
criterion_main!(benches);
