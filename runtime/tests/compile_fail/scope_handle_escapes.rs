//! A handle is of no use after its scope.

fn main() {
    let mut kept = None;
    corio::scope(|s| {
        kept = Some(s.spawn(|| 1));
    });
    drop(kept);
}
