//! What lives in the scope's own closure is gone before the scope's goroutines are.

fn main() {
    corio::scope(|s| {
        let inner = 1;
        s.spawn(|| println!("{inner}"));
    });
}
