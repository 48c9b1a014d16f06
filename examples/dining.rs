//! The dining philosophers: five share five forks, and each needs the two beside him to eat.
//!
//! `cargo run --release --example dining -- --meals 1000`. The same in Go stands in `examples/go/dining.go`.
//! If all took their left fork first, all could end up waiting for the right one. So there is a
//! waiter, a semaphore, who lets only four sit down at a time: one of them gets both forks.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use corio::go;
use corio::sync::{Mutex, Semaphore};
use corio_examples::{run, say};

const NAMES: [&str; 5] = ["Aristotle", "Kant", "Spinoza", "Marx", "Russell"];

/// Lets them eat, and says how often each has, and how often each fork was used.
#[derive(Parser)]
struct Args {
    /// Meals of each philosopher.
    #[arg(long, default_value_t = 1000)]
    meals: u64,
}

/// A fork counts how often it was used.
#[derive(Default)]
struct Fork {
    uses: u64,
}

struct Table {
    forks: [Mutex<Fork>; NAMES.len()],
    waiter: Semaphore,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("dining", move || {
        let table = Arc::new(Table {
            forks: Default::default(),
            waiter: Semaphore::new(NAMES.len() - 1),
        });
        let guests: Vec<_> = (0..NAMES.len())
            .map(|seat| go!(dine(table.clone(), seat, args.meals)))
            .collect();
        for (name, guest) in NAMES.iter().zip(guests) {
            say!("{name} ate {} times", guest.join().unwrap());
        }
        for (seat, fork) in table.forks.iter().enumerate() {
            say!("fork {seat} was used {} times", fork.lock().uses);
        }
        Ok(())
    })
}

/// Eats and thinks; returns how often.
fn dine(table: Arc<Table>, seat: usize, meals: u64) -> u64 {
    let mut eaten = 0;
    while eaten < meals {
        let _seated = table.waiter.acquire().expect("the waiter never leaves");
        let mut left = table.forks[seat].lock();
        // Makes the bad case likely: others may take their left forks now.
        corio::yield_now();
        let mut right = table.forks[(seat + 1) % NAMES.len()].lock();
        left.uses += 1;
        right.uses += 1;
        eaten += 1;
    }
    eaten
}
