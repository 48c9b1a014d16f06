//! Borrowing does not make a value fit for another thread.

use std::rc::Rc;

fn main() {
    let local = Rc::new(1);
    corio::scope(|s| {
        s.spawn(|| println!("{local}"));
    });
}
