//! Two goroutines play ping-pong with a ball that counts its strokes.
//!
//! `cargo run --release --example pingpong -- --strokes 1000000`. The same in Go stands in
//! `examples/go/pingpong.go`. A channel without capacity is a table: a stroke ends when the other player has
//! the ball.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use corio::channel::{Receiver, Sender, bounded};
use corio::go;
use corio_examples::{run, say};

/// Plays, and says how long a round (there and back) took.
#[derive(Parser)]
struct Args {
    /// Strokes of the whole game.
    #[arg(long, default_value_t = 2_000_000)]
    strokes: u64,
}

struct Ball {
    strokes: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run("pingpong", move || {
        let (to_pong, at_pong) = bounded(0);
        let (to_ping, at_ping) = bounded(0);
        let start = Instant::now();
        let serve = to_ping.clone();
        let ping = go!(play(at_ping, to_pong, args.strokes));
        let pong = go!(play(at_pong, to_ping, args.strokes));
        // Nobody is there to take it if the game was over before it began.
        let _ = serve.send(Ball { strokes: 0 });
        drop(serve);
        let (ping, pong) = (ping.join().unwrap(), pong.join().unwrap());
        let round = start.elapsed().as_nanos() / u128::from(args.strokes / 2).max(1);
        say!("ping struck {ping} times, pong {pong} times");
        say!("{round} ns a round");
        Ok(())
    })
}

/// Strikes every ball that comes, until the game is over; returns how many.
fn play(mine: Receiver<Ball>, theirs: Sender<Ball>, strokes: u64) -> u64 {
    let mut struck = 0;
    for mut ball in mine {
        if ball.strokes == strokes {
            break;
        }
        ball.strokes += 1;
        struck += 1;
        if theirs.send(ball).is_err() {
            break;
        }
    }
    struck
}
