//! A pattern that does not match every result.

use corio::channel::unbounded;
use corio::select;

fn main() {
    let (_tx, rx) = unbounded::<i32>();

    select! {
        recv(rx) -> Ok(n) => println!("{n}"),
        default => {}
    }
}
