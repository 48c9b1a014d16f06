//! Arguments that an arm can't have.

use corio::channel::{bounded, never};
use corio::select;

fn main() {
    let rx = never::<()>();
    let (tx, _rx) = bounded::<()>(1);

    select! {
        recv() -> _ => {}
    }

    select! {
        recv(rx, rx) -> _ => {}
    }

    select! {
        recv -> _ => {}
    }

    select! {
        send(tx) -> _ => {}
    }

    select! {
        send(tx, (), ()) -> _ => {}
    }

    select! {
        send => {}
    }

    select! {
        default(1, 2) => {}
    }

    select! {
        default rx => {}
    }
}
