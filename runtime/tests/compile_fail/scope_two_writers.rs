//! Two goroutines of a scope are still two goroutines.

fn main() {
    let mut n = 0;
    corio::scope(|s| {
        s.spawn(|| n += 1);
        s.spawn(|| n += 2);
    });
}
