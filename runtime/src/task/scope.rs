//! Scoped goroutines: they may borrow from the stack of whoever opened the scope, because the scope
//! does not end before they do.
//!
//! # When a goroutine counts as ended
//!
//! Not when its closure has returned, but when its *result* is gone as well: a result may borrow, too,
//! and have a destructor that looks at what it borrowed. Result and book-keeping therefore lie in a
//! [`Packet`] shared by the goroutine and its handle, and it is the packet's drop, by whoever is last,
//! that counts the goroutine as ended, after it has dropped the result.
//!
//! # Waiting for the last one
//!
//! `running` counts the goroutines that have not ended, plus one for the scope itself until it waits.
//!
//! | who | does |
//! | --- | --- |
//! | spawner | `running + 1`; it is counted itself, so `running` is not 0 |
//! | last owner of a packet | `running - 1`; if that makes 0, makes the waiter ready |
//! | scope, at its end | stores its waiter, `running - 1`; if that makes 0, takes the waiter back, else parks |
//!
//! So exactly one party finds 0, and the waiter is stored before anybody can: no claim is needed. Once
//! `running` is 0 nobody is left who could spawn.

use crate::local;
use crate::park::{self, WaitReason, Waiter};
use crate::prim::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::builder::Builder;
use crate::task::goroutine::Goroutine;
use crate::task::join::{self, JoinHandle};
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

/// Opens a scope for goroutines that borrow: whatever is spawned in it has ended when `scope`
/// returns.
///
/// Goroutines are spawned with [`Scope::spawn`] and may borrow anything that outlives the call of
/// `scope`. Those that were not joined by hand are joined at the end.
///
/// # Examples
///
/// ```
/// let mut numbers = vec![1, 2, 3];
/// let mut sum = 0;
///
/// corio::scope(|s| {
///     s.spawn(|| println!("a borrowed vector: {numbers:?}"));
///     s.spawn(|| sum += numbers.iter().sum::<i32>());
/// });
///
/// numbers.push(sum); // nobody borrows any more
/// assert_eq!(numbers, [1, 2, 3, 6]);
/// ```
///
/// # Panics
///
/// If a goroutine of the scope panicked and nobody got the panic by joining it: "a scoped goroutine
/// panicked", after all of them have ended. If `f` panics, its panic goes on, after they have ended.
///
/// # Blocking
///
/// Blocks the calling goroutine, or plain thread, until every goroutine of the scope has ended.
///
/// # Counterpart
///
/// [`std::thread::scope`]. One difference: where a result that nobody joined for panics when it is
/// dropped, std aborts; here that counts as a panic of its goroutine.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        shared: Arc::new(Shared::new()),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.shared.wait();
    match result {
        Err(payload) => resume_unwind(payload),
        // Relaxed: ordered by `wait`, which sees every `ended`.
        Ok(_) if scope.shared.panicked.load(Ordering::Relaxed) => {
            panic!("a scoped goroutine panicked")
        }
        Ok(value) => value,
    }
}

/// A scope to spawn goroutines in; see [`scope`](crate::scope()).
///
/// `'scope` is the scope itself: what goroutines borrow must live as long. `'env` is whatever lies
/// around it. Both are invariant, so that neither can be shortened to something that ends too early.
///
/// # Counterpart
///
/// [`std::thread::Scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: Arc<Shared>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a goroutine in the scope. Goroutines of a scope may spawn further ones in it.
    ///
    /// Never blocks.
    ///
    /// # Panics
    ///
    /// If the goroutine can't be started; [`Builder::spawn_scoped`] returns an error instead.
    ///
    /// # Counterpart
    ///
    /// [`std::thread::Scope::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// let name = String::from("borrowed");
    /// let length = corio::scope(|s| {
    ///     let handle = s.spawn(|| {
    ///         s.spawn(|| println!("{name}"));
    ///         name.len()
    ///     });
    ///     handle.join().unwrap()
    /// });
    /// assert_eq!(length, 8);
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn a scoped goroutine: {error}"),
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("panicked", &self.shared.panicked)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Starts a goroutine in a scope, with the builder's settings.
    ///
    /// Never blocks.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Counterpart
    ///
    /// [`std::thread::Builder::spawn_scoped`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let mut n = 1;
    /// corio::scope(|s| {
    ///     let builder = corio::Builder::new().name("increment".into());
    ///     builder.spawn_scoped(s, || n += 1).map(drop)
    /// })?;
    /// assert_eq!(n, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Arc::new(Packet::new(&scope.shared));
        let theirs = Arc::clone(&packet);
        let main = move || {
            let result = join::catch(f);
            // Before the scope may end; the result, if it is dropped here, finds none.
            local::close();
            // SAFETY: nobody else touches the cell before this goroutine has let go of its packet:
            // the handle joins first (`ScopedJoinHandle::join`), the packet's drop needs every owner
            // to be gone.
            unsafe { *theirs.result.get() = Some(result) };
            drop(theirs);
        };
        // SAFETY: `main` and all it borrows are alive until `scope` returns, which waits for this
        // goroutine's packet to be dropped (`Shared::wait`). Dropping its share of it is the last that
        // the goroutine does with anything borrowed: `f` is used up before, and the result lies in
        // the packet, whose drop counts the goroutine as ended after the result is gone. If the
        // goroutine can't be started, `main` is dropped here, by someone the scope waits for.
        let join = unsafe { self.spawn_unchecked(main) }?;
        Ok(ScopedJoinHandle { join, packet })
    }
}

/// A handle to join a scoped goroutine by; dropping it leaves that to the scope.
///
/// # Counterpart
///
/// [`std::thread::ScopedJoinHandle`], with `goroutine` for `thread`.
pub struct ScopedJoinHandle<'scope, T> {
    join: JoinHandle<()>,
    packet: Arc<Packet<'scope, T>>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the goroutine has ended, and returns its result.
    ///
    /// Blocks the calling goroutine or plain thread. What the goroutine did happens before `join`
    /// returns.
    ///
    /// # Errors
    ///
    /// If the goroutine panicked: the panic's payload. The scope then doesn't panic for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let words = ["a", "bc"];
    /// let (ok, panicked) = corio::scope(|s| {
    ///     let ok = s.spawn(|| words.concat());
    ///     let panicked = s.spawn(|| -> usize { panic!("no {}", words[1]) });
    ///     (ok.join(), panicked.join())
    /// });
    /// assert_eq!(ok.unwrap(), "abc");
    /// assert!(panicked.is_err());
    /// ```
    pub fn join(mut self) -> thread::Result<T> {
        self.join
            .join()
            .expect("a scoped goroutine catches its own panic");
        // The goroutine is over and has dropped its share; a handle has no clones.
        Arc::get_mut(&mut self.packet)
            .and_then(|packet| packet.result.get_mut().take())
            .expect("a scoped goroutine that has ended left its result")
    }

    /// Has the goroutine ended? If so [`join`](ScopedJoinHandle::join) returns at once. Does not
    /// block.
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }

    /// The goroutine: its number, its name, and the means to unpark it.
    pub fn goroutine(&self) -> &Goroutine {
        self.join.goroutine()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}

/// What a scope and its goroutines share; see the module's head.
#[derive(Debug)]
struct Shared {
    running: AtomicUsize,
    panicked: AtomicBool,
    /// The scope's [`Waiter`] in raw form, once it waits.
    waiter: AtomicUsize,
}

impl Shared {
    fn new() -> Self {
        Shared {
            running: AtomicUsize::new(1),
            panicked: AtomicBool::new(false),
            waiter: AtomicUsize::new(0),
        }
    }

    /// One more goroutine. Only by someone who is counted: the scope's owner or a goroutine of it.
    fn started(&self) {
        // Can't overflow: each one counted holds an allocation of more than a byte.
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// A goroutine counted by `started` has ended, and its result is gone.
    fn ended(&self, panicked: bool) {
        if panicked {
            // Relaxed: released with the count.
            self.panicked.store(true, Ordering::Relaxed);
        }
        // Release: partner of the Acquires in `wait`; what the goroutine did happens before the
        // scope ends. Acquire: partner of the Release in `wait`, for the waiter; and of the other
        // `ended`s, whose releases are passed on by waking.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: `running` reaches 0 once, and here, so nobody else takes the waiter.
            unsafe { self.take_waiter() }.ready();
        }
    }

    /// Waits until every goroutine has ended. Only by the scope's owner, once.
    fn wait(&self) {
        // Acquire: partner of the Releases in `ended`.
        if self.running.load(Ordering::Acquire) == 1 {
            return;
        }
        // SAFETY: it is parked for or cancelled right below.
        let waiter = unsafe { park::prepare() }.into_raw().get();
        self.waiter.store(waiter, Ordering::Relaxed);
        // Release: partner of the Acquire in `ended`, for the waiter. Acquire: partner of the
        // Releases there.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: `running` reaches 0 once, and here, so nobody else takes the waiter.
            unsafe { self.take_waiter() }.cancel();
        } else {
            park::park(WaitReason::Scope, std::ptr::from_ref(self).addr());
        }
    }

    /// # Safety
    /// The caller has taken `running` to 0.
    unsafe fn take_waiter(&self) -> Waiter {
        let raw = NonZeroUsize::new(self.waiter.load(Ordering::Relaxed))
            .expect("the scope stores its waiter before `running` can reach 0");
        // SAFETY: `wait` made it from a `Waiter`, and only the caller takes it.
        unsafe { Waiter::from_raw(raw) }
    }
}

/// A scoped goroutine's result on its way to whoever joins; see the module's head.
struct Packet<'scope, T> {
    shared: Arc<Shared>,
    result: UnsafeCell<Option<thread::Result<T>>>,
    _scope: PhantomData<&'scope mut &'scope ()>,
}

// SAFETY: the cell is written by the goroutine and read by the handle's owner after joining it, or by
// the last owner's drop; never by two at a time (see the comments there). `T: Send`, because the
// result moves from one to the other.
unsafe impl<T: Send> Sync for Packet<'_, T> {}

impl<T> Packet<'_, T> {
    /// Counts one more goroutine, until the packet is dropped.
    fn new(shared: &Arc<Shared>) -> Self {
        shared.started();
        Packet {
            shared: Arc::clone(shared),
            result: UnsafeCell::new(None),
            _scope: PhantomData,
        }
    }
}

impl<T> Drop for Packet<'_, T> {
    fn drop(&mut self) {
        let result = self.result.get_mut();
        // A payload that `join` took is no longer here.
        let mut panicked = matches!(result, Some(Err(_)));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| *result = None)) {
            panicked = true;
            // Dropping a payload can panic again, and so on: this one is leaked.
            mem::forget(payload);
        }
        self.shared.ended(panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yield_now;
    use std::sync::atomic::AtomicUsize;

    /// Runs `f` on this plain thread and in a goroutine.
    fn on_both(f: fn()) {
        f();
        crate::spawn(f).join().unwrap();
    }

    fn message(result: thread::Result<()>) -> String {
        let payload = result.unwrap_err();
        let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
        text.unwrap_or_else(|| *payload.downcast::<String>().unwrap())
    }

    #[test]
    fn it_ends_after_its_goroutines() {
        on_both(|| {
            let ended = AtomicUsize::new(0);
            scope(|s| {
                for n in 0..100 {
                    let ended = &ended;
                    s.spawn(move || {
                        (0..n % 7).for_each(|_| yield_now());
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(ended.into_inner(), 100);
        });
    }

    #[test]
    fn its_goroutines_spawn_more() {
        fn tree<'scope>(s: &'scope Scope<'scope, '_>, leaves: &'scope AtomicUsize, depth: u32) {
            if depth == 0 {
                leaves.fetch_add(1, Ordering::Relaxed);
                return;
            }
            for _ in 0..2 {
                s.spawn(move || tree(s, leaves, depth - 1));
            }
        }
        on_both(|| {
            let leaves = AtomicUsize::new(0);
            scope(|s| tree(s, &leaves, 8));
            assert_eq!(leaves.into_inner(), 256);
        });
    }

    #[test]
    fn an_empty_one_returns_its_value() {
        on_both(|| assert_eq!(scope(|_| 5), 5));
    }

    #[test]
    fn a_panic_that_nobody_joined_for_is_the_scopes() {
        on_both(|| {
            let ended = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| panic!("on purpose"));
                    s.spawn(|| {
                        (0..10).for_each(|_| yield_now());
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                });
            }));
            assert_eq!(message(result), "a scoped goroutine panicked");
            assert_eq!(ended.into_inner(), 1);
        });
    }

    #[test]
    fn a_panic_that_was_joined_for_is_the_joiners() {
        on_both(|| {
            let result = scope(|s| s.spawn(|| panic!("on purpose")).join());
            assert_eq!(message(result), "on purpose");
        });
    }

    #[test]
    fn its_own_panic_waits_for_the_goroutines() {
        on_both(|| {
            let ended = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| {
                        (0..10).for_each(|_| yield_now());
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    panic!("own");
                });
            }));
            assert_eq!(message(result), "own");
            assert_eq!(ended.into_inner(), 1);
        });
    }

    #[test]
    fn results_are_gone_before_it_ends() {
        struct Borrowing<'a>(&'a AtomicUsize);

        impl Drop for Borrowing<'_> {
            fn drop(&mut self) {
                yield_now();
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        on_both(|| {
            let dropped = AtomicUsize::new(0);
            scope(|s| {
                for keep in [true, false] {
                    let dropped = &dropped;
                    let handle = s.spawn(move || Borrowing(dropped));
                    if keep {
                        while !handle.is_finished() {
                            yield_now();
                        }
                    }
                }
            });
            assert_eq!(dropped.into_inner(), 2);
        });
    }

    #[test]
    fn a_result_that_panics_when_dropped_counts_as_a_panic() {
        struct Bomb;

        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }

        on_both(|| {
            let result = catch_unwind(|| {
                scope(|s| {
                    s.spawn(|| Bomb);
                });
            });
            assert_eq!(message(result), "a scoped goroutine panicked");
        });
    }

    #[test]
    fn a_goroutine_that_could_not_be_started_is_not_waited_for() {
        on_both(|| {
            let error = scope(|s| {
                let builder = Builder::new().stack_size(usize::MAX);
                builder.spawn_scoped(s, || ()).unwrap_err()
            });
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        });
    }

    #[test]
    fn the_handle_knows_its_goroutine() {
        scope(|s| {
            let builder = Builder::new().name("worker".into());
            let handle = builder.spawn_scoped(s, crate::current).unwrap();
            assert_eq!(handle.goroutine().name(), Some("worker"));
            let id = handle.goroutine().id();
            assert_eq!(handle.join().unwrap().id(), id);
        });
    }
}
