//! The prime sieve: a goroutine per prime, each passing on what its prime does not divide.
//!
//! `cargo run --release --example prime_sieve -- --count 20`. The same in Go stands in
//! `examples/go/prime_sieve.go`. Unlike there, the goroutines end when the program wants no more primes:
//! a receiver that is gone is noticed, so each sender in the chain returns.

use std::process::ExitCode;

use clap::Parser;
use corio::channel::{Receiver, Sender, bounded};
use corio::go;
use corio_examples::{run, say};

/// Prints the first primes.
#[derive(Parser)]
struct Args {
    /// How many.
    #[arg(long, default_value_t = 100)]
    count: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("prime_sieve", move || {
        let (numbers, mut candidates) = bounded(0);
        go!(generate(numbers));
        for _ in 0..args.count {
            let Ok(prime) = candidates.recv() else { break };
            say!("{prime}");
            let (passed_on, next) = bounded(0);
            go!(sieve(candidates, passed_on, prime));
            candidates = next;
        }
        Ok(())
    })
}

/// Sends 2, 3, 4 and so on, while somebody listens.
fn generate(numbers: Sender<u64>) {
    for n in 2.. {
        if numbers.send(n).is_err() {
            return;
        }
    }
}

/// Passes on what `prime` does not divide, while somebody listens.
fn sieve(candidates: Receiver<u64>, passed_on: Sender<u64>, prime: u64) {
    for n in candidates {
        if n % prime != 0 && passed_on.send(n).is_err() {
            return;
        }
    }
}
