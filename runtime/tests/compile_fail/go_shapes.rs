//! What is neither one call nor one closure.

fn f(_: u32) {}

fn main() {
    corio::go!();
    corio::go!(f(1), f(2));
    corio::go!(f(1); f(2));
    corio::go!(println!("in which goroutine?"));
    corio::go!(async { 1 });
    corio::go!({ f(1) });
    corio::go!(f(1 2));
}
