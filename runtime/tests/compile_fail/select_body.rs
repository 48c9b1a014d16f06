//! Bodies: missing, or not told apart from the next arm.

use corio::channel::never;
use corio::select;

fn main() {
    let rx = never::<()>();

    select! {
        recv(rx) -> _ =>
    }

    select! {
        recv(rx) -> _ => , default => {}
    }

    select! {
        default =>
    }

    select! {
        recv(rx) -> _ => drop(1) recv(rx) -> _ => {}
    }

    select! {
        recv(rx) -> _ => println!("1") default => {}
    }

    select! {
        recv(rx) -> _ => drop(1);
        default => {}
    }

    select! {
        recv(rx) -> _ => { drop(1) };
        default => {}
    }
}
