//! `as_system`: goroutines that are none of the program's own.

use crate::sched::current;
use crate::sched::g::GRef;
use crate::sched::tags::Tag;

/// Calls `f`. The goroutines that it spawns, directly or not, are *system goroutines*, as the runtime's own are:
/// [`assert_no_leaks`](crate::testing::assert_no_leaks) doesn't count them, and that they wait for a socket doesn't keep
/// the runtime from reporting a deadlock. For what serves somebody who looks at the program from outside.
///
/// They are run, counted by [`metrics`](crate::metrics()) and listed in dumps as all others are.
///
/// # Blocking
///
/// As `f` does.
///
/// # Examples
///
/// ```
/// let (stop, stopped) = corio::channel::bounded::<()>(0);
/// let observer = corio::testing::assert_no_leaks(|| {
///     corio::reactor::as_system(|| corio::spawn(move || stopped.recv()))
/// });
/// drop(stop);
/// observer.join().unwrap().unwrap_err();
/// ```
pub fn as_system<R>(f: impl FnOnce() -> R) -> R {
    /// Gives the caller its own tag back, also when `f` panics.
    struct Restore(GRef, Tag);

    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set_tag(self.1);
        }
    }

    let g = current::g();
    let _restore = Restore(g, g.tag());
    g.set_tag(Tag::SYSTEM);
    f()
}
