//! A result that can't be handed to whoever joins.

use std::rc::Rc;

fn main() {
    corio::go!(Rc::new(1));
    corio::go!(|| Rc::new(1));
}
