//! A closure is not a future.

fn main() {
    corio::block_on(|| 1);
}
