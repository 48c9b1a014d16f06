//! `Once`: something is done once, and everybody waits until it is.
//!
//! Whoever waits for somebody else's initialisation must park, or a goroutine that initialises could be
//! waiting for a thread that waits for it; hence a type of our own, and not `once_cell` or std's.
//!
//! # The word
//!
//! | value | meaning | changes to |
//! | --- | --- | --- |
//! | 0 | nobody has begun | `RUNNING`, by who begins |
//! | `RUNNING` | somebody's closure runs | `DONE`, 0 if it fails, `POISONED` if it panics, by that somebody |
//! | `POISONED` | the last closure panicked | `RUNNING`, by `call_once_force` |
//! | `DONE` | done | |
//! | + `PARKED` (not with `DONE`) | somebody is in the queue, or was | none, when everybody is woken |
//!
//! Everybody who waits is woken whenever a closure ends, and looks again. `PARKED` is set under the
//! queue's lock together with looking; so whoever ends a closure sees it, or is seen.

use super::raw::{Core, End, Wait};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::clock::NEVER;
use crate::sync::waitq::FIRST_OWN;
use std::fmt;

const DONE: u32 = 1;
const POISONED: u32 = 2;
const RUNNING: u32 = 4;
const PARKED: u32 = 8;

/// Does something once; whoever comes meanwhile waits until it is done.
///
/// Mirrors `parking_lot::Once`, whose methods are a superset of [`std::sync::Once`]'s. A goroutine that
/// waits parks instead of blocking its thread.
///
/// # Blocking
///
/// `call_once`, `call_once_force`, `wait` and `wait_force` are switch points while somebody else's closure
/// runs. A closure that uses its own `Once` waits for itself for ever.
///
/// ```
/// use corio::{go, sync::Once};
///
/// static SETUP: Once = Once::new();
///
/// let handles = [(); 3].map(|()| go!(|| SETUP.call_once(|| println!("once"))));
/// for handle in handles {
///     handle.join().unwrap();
/// }
/// assert!(SETUP.is_completed());
/// ```
pub struct Once(Core);

/// The state of a [`Once`].
///
/// Mirrors `parking_lot::OnceState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceState {
    /// No closure has been run yet.
    New,
    /// A closure was run and panicked.
    Poisoned,
    /// A closure is running.
    InProgress,
    /// A closure has run to its end.
    Done,
}

impl OnceState {
    /// Did the last closure panic?
    #[inline]
    pub const fn is_poisoned(self) -> bool {
        matches!(self, OnceState::Poisoned)
    }

    /// The same as [`is_poisoned`](OnceState::is_poisoned).
    #[inline]
    pub const fn poisoned(self) -> bool {
        self.is_poisoned()
    }

    /// Has a closure run to its end?
    #[inline]
    pub const fn is_completed(self) -> bool {
        matches!(self, OnceState::Done)
    }

    /// The same as [`is_completed`](OnceState::is_completed).
    #[inline]
    pub const fn done(self) -> bool {
        self.is_completed()
    }
}

impl Once {
    /// Nothing has been done yet.
    #[inline]
    pub const fn new() -> Once {
        Once(Core::new(AtomicU32::new(0)))
    }

    /// It is done already.
    #[inline]
    pub const fn new_completed() -> Once {
        Once(Core::new(AtomicU32::new(DONE)))
    }

    /// How things stand; it may change at once.
    #[inline]
    pub fn state(&self) -> OnceState {
        // Acquire: partner of the Release in `Running::drop`.
        state(self.0.word.load(Ordering::Acquire))
    }

    /// Has a closure run to its end? Then what it wrote is visible.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: partner of the Release in `Running::drop`.
        self.0.word.load(Ordering::Acquire) == DONE
    }

    /// Runs `f`, unless that or another closure has run to its end before; waits if one is running.
    ///
    /// # Panics
    ///
    /// If `f` panics, or an earlier closure has: then the `Once` is poisoned.
    ///
    /// ```
    /// use corio::sync::Once;
    ///
    /// let once = Once::new();
    /// once.call_once(|| ());
    /// once.call_once(|| unreachable!());
    /// ```
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(false, &mut |_| {
                (f.take().expect("called once"))();
                true
            });
        }
    }

    /// As [`call_once`](Once::call_once), but also when an earlier closure has panicked; `f` is told so.
    ///
    /// # Panics
    ///
    /// If `f` panics.
    ///
    /// ```
    /// use corio::sync::Once;
    ///
    /// static ONCE: Once = Once::new();
    ///
    /// assert!(corio::spawn(|| ONCE.call_once(|| panic!())).join().is_err());
    /// ONCE.call_once_force(|state| assert!(state.is_poisoned()));
    /// assert!(ONCE.is_completed());
    /// ```
    #[inline]
    pub fn call_once_force<F: FnOnce(OnceState)>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(true, &mut |state| {
                (f.take().expect("called once"))(state);
                true
            });
        }
    }

    /// Waits until a closure has run to its end. It does not start one.
    ///
    /// # Panics
    ///
    /// If a closure has panicked.
    ///
    /// ```
    /// use corio::{go, sync::Once};
    ///
    /// static READY: Once = Once::new();
    ///
    /// let waiting = go!(|| READY.wait());
    /// READY.call_once(|| ());
    /// waiting.join().unwrap();
    /// ```
    #[inline]
    pub fn wait(&self) {
        if !self.is_completed() {
            self.wait_until_done(false);
        }
    }

    /// As [`wait`](Once::wait), but goes on waiting when a closure has panicked.
    #[inline]
    pub fn wait_force(&self) {
        if !self.is_completed() {
            self.wait_until_done(true);
        }
    }

    /// As [`call_once_force`](Once::call_once_force), with an `f` that may fail: then nothing has been
    /// done.
    pub(super) fn try_call<F: FnOnce() -> bool>(&self, f: F) {
        let mut f = Some(f);
        self.call(true, &mut |_| (f.take().expect("called once"))());
    }

    #[cold]
    fn wait_until_done(&self, force: bool) {
        loop {
            match self.state() {
                OnceState::Done => return,
                // Not in what `park_while` calls: the panic hook would run under the queue's lock.
                OnceState::Poisoned if !force => poisoned(),
                _ => {}
            }
            self.park_while(|word| match state(word) {
                OnceState::Done => false,
                OnceState::Poisoned => force,
                OnceState::New | OnceState::InProgress => true,
            });
        }
    }

    #[cold]
    fn call(&self, force: bool, f: &mut dyn FnMut(OnceState) -> bool) {
        loop {
            // Acquire: partner of the Release in `Running::drop`.
            let word = self.0.word.load(Ordering::Acquire);
            let before = state(word);
            match before {
                OnceState::Done => return,
                OnceState::Poisoned if !force => poisoned(),
                OnceState::InProgress => {
                    self.park_while(|word| word & RUNNING != 0);
                }
                OnceState::New | OnceState::Poisoned => {
                    let next = word & PARKED | RUNNING;
                    // Acquire: partner of the Release in `Running::drop`, for what a closure that
                    // panicked has left.
                    if self
                        .0
                        .word
                        .compare_exchange(word, next, Ordering::Acquire, Ordering::Relaxed)
                        .is_ok()
                    {
                        let mut running = Running {
                            once: self,
                            end: POISONED,
                        };
                        running.end = if f(before) { DONE } else { 0 };
                        return;
                    }
                }
            }
        }
    }

    /// Blocks until a closure ends, if the word is one to `wait` for, which is asked under the queue's lock.
    fn park_while(&self, mut wait: impl FnMut(u32) -> bool) {
        let waiters = self.0.waiters_to_join();
        // Acquire: partner of the Release in `Running::drop`.
        let mut word = self.0.word.load(Ordering::Acquire);
        loop {
            if !wait(word) {
                return;
            }
            match self.0.word.compare_exchange_weak(
                word,
                word | PARKED,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        waiters.wait(Wait {
            reason: WaitReason::Once,
            tag: 0,
            end: End::Back,
            deadline: NEVER,
        });
    }
}

/// Somebody's closure runs; ends that, also when it panics.
struct Running<'a> {
    once: &'a Once,
    end: u32,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let core = &self.once.0;
        // Release: partner of the Acquires above.
        if core.word.swap(self.end, Ordering::Release) & PARKED != 0 {
            let everybody = core.waiters().pop_all();
            everybody.wake_all(FIRST_OWN);
        }
    }
}

fn state(word: u32) -> OnceState {
    if word & DONE != 0 {
        OnceState::Done
    } else if word & RUNNING != 0 {
        OnceState::InProgress
    } else if word & POISONED != 0 {
        OnceState::Poisoned
    } else {
        OnceState::New
    }
}

#[cold]
#[inline(never)]
fn poisoned() -> ! {
    panic!("Once instance has previously been poisoned")
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("state", &self.state())
            .finish()
    }
}
