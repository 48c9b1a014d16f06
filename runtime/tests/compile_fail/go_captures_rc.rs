//! A closure that takes along what belongs to its thread.

use std::rc::Rc;

fn main() {
    let local = Rc::new(1);
    corio::go!(move || println!("{local}"));
}
