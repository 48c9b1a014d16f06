//! A guard that leaves the goroutine or thread that has locked.

use corio::sync::Mutex;

static MUTEX: Mutex<u32> = Mutex::new(0);

fn main() {
    let held = MUTEX.lock();
    corio::go!(move || drop(held));
}
