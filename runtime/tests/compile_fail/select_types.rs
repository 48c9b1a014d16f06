//! What is not a receiver, not a message, or not a timeout.

use corio::channel::{bounded, unbounded};
use corio::select;

fn main() {
    let (tx, rx) = unbounded::<i32>();
    let (words, _rx) = bounded::<String>(1);

    select! {
        recv(tx) -> _ => {}
        recv(rx) -> _ => {}
    }

    select! {
        send(words, 1) -> _ => {}
    }

    select! {
        recv(rx) -> _ => {}
        default(1000) => {}
    }
}
