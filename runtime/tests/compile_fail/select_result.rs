//! Patterns for results: missing, misplaced, conditional.

use corio::channel::{bounded, never};
use corio::{select, select_biased};

fn main() {
    let rx = never::<()>();
    let (tx, _rx) = bounded::<()>(1);

    select! {
        recv(rx) => {}
    }

    select! {
        send(tx, ()) => {}
    }

    select_biased! {
        recv(rx) -> => {}
    }

    select! {
        recv(rx) -> message -> => {}
    }

    select! {
        recv(rx) -> message
    }

    select! {
        recv(rx) message => {}
    }

    select! {
        recv(rx)
    }

    select! {
        recv(rx) -> message if message.is_ok() => {}
    }

    select! {
        default -> _ => {}
    }

    select! {
        default() -> _ => {}
    }
}
