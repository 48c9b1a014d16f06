//! What a goroutine borrows may be gone before it ends.

fn count(words: &[String]) -> usize {
    words.len()
}

fn main() {
    let words = vec![String::from("a")];
    corio::go!(|| println!("{}", words.len()));
    corio::go!(count(&words));
}
