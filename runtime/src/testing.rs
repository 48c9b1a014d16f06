//! Help for tests: no goroutine left behind.
//!
//! [`assert_no_leaks`] runs a closure and fails if goroutines spawned from within it outlive it. They are
//! told from all others by an inherited tag (`sched::tags`), not by comparing totals: tests that run
//! beside each other in one process don't disturb each other.
//!
//! Rejected: a guard that checks when dropped. It could be moved out of the goroutine it tagged, or
//! forgotten, and would check while unwinding, where nothing may panic any more. Looking again and
//! again while waiting for stragglers: the tag's count wakes the waiter when it gets there.

// Next in the reading order: `api`, the public surface.

use crate::park::{self, WaitReason, begin};
use crate::prim::clock;
use crate::sched::g::GRef;
use crate::sched::observe::GoroutineInfo;
use crate::sched::tags::Tag;
use crate::sched::{current, sched};
use crate::timer;
use std::fmt::Write;
use std::time::Duration;

/// How long goroutines may go on after the closure has returned.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `f`, and panics if goroutines that were spawned from within it outlive it.
///
/// Counted are those that `f` spawned itself and those spawned by these, in turn, as often as you like.
/// Whoever is still there when `f` returns has a second to end.
///
/// ```
/// use corio::testing::assert_no_leaks;
///
/// let answer = assert_no_leaks(|| {
///     let worker = corio::spawn(|| 6 * 7);
///     worker.join().unwrap()
/// });
/// assert_eq!(answer, 42);
/// ```
///
/// A goroutine that waits for what never comes is found:
///
/// ```should_panic
/// corio::testing::assert_no_leaks(|| {
///     corio::spawn(corio::park); // nobody has the handle to unpark it
/// });
/// ```
///
/// Not counted are goroutines that the runtime starts, such as a timer's: a function that is to be called
/// at some time runs in a goroutine that belongs to nobody, whoever set the timer. Neither are those
/// spawned from *threads* that `f` starts: the tag passes from goroutine to goroutine. Counted, however,
/// are the idle workers of a [pool](crate::pool), if `f` made the pool start them: release it within `f`.
///
/// Calls may be nested. A goroutine that outlives the inner one is reported by that, and by the outer one
/// as well if it is still there then.
///
/// # Panics
///
/// * If goroutines are left, with a list of them: number, name, what each does or waits for, and where
///   it was spawned. They go on living; the value that `f` returned is dropped.
/// * With what `f` panics with. Then nobody looks for goroutines left behind: the first failure of a
///   test is the one to see.
/// * If 65,534 calls are under way or have left goroutines behind.
///
/// # Blocking
///
/// Blocks the calling goroutine, or plain thread, for as long as stragglers have. It may be called from
/// both, also in `#[test]` functions, beside others in the same process.
///
/// # Counterpart
///
/// goleak's `VerifyNone`, which looks at all goroutines of a Go process.
#[track_caller]
#[doc(alias = "goleak")]
pub fn assert_no_leaks<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    let tagged = Tagged::new();
    let result = f();
    let leaked = tagged.leaked();
    if !leaked.is_empty() {
        panic!("{}", report(&leaked));
    }
    result
}

/// The caller has a tag of its own, until this is dropped, by the same caller.
struct Tagged {
    g: GRef,
    outer: Tag,
    tag: Tag,
}

impl Tagged {
    #[track_caller]
    fn new() -> Tagged {
        let g = current::g();
        let outer = g.tag();
        let Some(tag) = outer.open() else {
            panic!(
                "assert_no_leaks: {} calls are under way or have left goroutines behind; there \
                 can't be more",
                Tag::MAX
            );
        };
        g.set_tag(tag);
        Tagged { g, outer, tag }
    }

    /// Those that are left after [`GRACE`].
    fn leaked(&self) -> Vec<GoroutineInfo> {
        // So that the caller isn't found among them.
        self.g.set_tag(self.outer);
        self.wait();
        while !self.tag.is_alone() {
            let mut leaked = sched().goroutines();
            leaked.retain(|g| !g.tag.is_none() && g.tag.is_within(self.tag));
            if !leaked.is_empty() {
                leaked.sort_by_key(|g| g.id);
                return leaked;
            }
            // It has just ended, or is about to be queued.
            park::yield_now();
        }
        Vec::new()
    }

    /// Waits until nobody is left, or as long as stragglers have.
    fn wait(&self) {
        // SAFETY: it is parked for, or given up, right below.
        let token = unsafe { begin() };
        if self.tag.wait_alone(token) {
            let timer = timer::wake_at(clock::after(GRACE), token);
            park::park(WaitReason::WaitGroup, usize::from(self.tag.into_raw()));
            timer::cancel(timer);
        } else if let Some(waiter) = token.claim() {
            waiter.cancel();
        }
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        self.g.set_tag(self.outer);
        self.tag.uncount();
    }
}

fn report(leaked: &[GoroutineInfo]) -> String {
    let mut text = match leaked.len() {
        1 => String::from("a goroutine outlives the closure of assert_no_leaks:\n"),
        n => format!("{n} goroutines outlive the closure of assert_no_leaks:\n"),
    };
    for g in leaked {
        let _ = write!(text, "\n{g}");
    }
    text
}
