//! An argument that belongs to its thread.

use std::rc::Rc;

fn serve(_: Rc<u32>) {}

fn main() {
    corio::go!(serve(Rc::new(1)));
}
