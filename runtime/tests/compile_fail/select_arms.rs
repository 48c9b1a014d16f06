//! Arms that are none, too few or too many.

use corio::channel::never;
use corio::select;

fn main() {
    let rx = never::<()>();

    select! {}

    select! {
        receive(rx) -> _ => {}
    }

    select! {
        rx -> _ => {}
    }

    select! {
        recv(rx) -> _ => {},
        ,
    }

    select! {
        default => {}
        recv(rx) -> _ => {}
        default => {}
    }

    select! {
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {} recv(rx) -> _ => {}
        recv(rx) -> _ => {}
    }
}
