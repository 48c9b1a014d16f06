//! A receiver that belongs to its thread.

use std::cell::RefCell;
use std::rc::Rc;

fn main() {
    let shared = Rc::new(RefCell::new(1));
    corio::go!(shared.replace(2));
}
