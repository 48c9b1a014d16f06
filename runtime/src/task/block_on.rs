//! `block_on`: a future's way into a goroutine.
//!
//! The goroutine polls the future, and parks while it is pending. What wakes it is a [`Waker`] that
//! may be cloned, sent to any thread, and outlive the goroutine, so it can't be a [`park::Waiter`],
//! which names one wait and is used once. It is a counted reference to a [`Token`] instead: a sticky
//! flag in which at most one waiter lies while the goroutine is parked.
//!
//! The token's state is one word:
//!
//! | value | meaning | changed by, to |
//! | --- | --- | --- |
//! | `EMPTY` | nobody has woken since the last poll began | any waker → `NOTIFIED`; owner → a waiter |
//! | `NOTIFIED` | poll again | owner → `EMPTY`, right before it polls |
//! | a waiter | the owner is parked, or about to be | any waker → `NOTIFIED`, and makes the waiter ready |
//!
//! Only the owner, the goroutine in `block_on`, leaves `NOTIFIED`, and only one waker can swap a waiter
//! out, so the waiter is used once. A waker only ever makes ready; it never switches.
//!
//! # Who frees the token, and which wakers count
//!
//! The references are the second word: twice the number of wakers handed out, plus `OVER` once
//! `block_on` has returned. The token is freed by whoever takes the word to 0 wakers and `OVER`. The
//! waker lent to `poll` is the owner's and not counted; a clone of it is.
//!
//! A program in which every goroutine waits is dead, unless a waker is left somewhere to end a
//! `block_on`. So [`LIVE`] counts the tokens that are not `OVER` and have wakers. It changes only when a
//! token's first waker is made and its last one dropped, not with every clone. A table of parked
//! tokens in which a detector looks up the reference counts was rejected: it costs a lock per park, and
//! reading a token that its owner may free at any moment needs an argument that a counter doesn't.
//!
//! `std::task::Wake` for an `Arc` would do but for that: it has no hook for the first clone and the last
//! drop.

use crate::park::{self, WaitReason, Waiter, yield_now};
use crate::prim::atomic::{AtomicUsize, Ordering, fence};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::process;
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// Runs a future to its end in the calling goroutine.
///
/// While the future is pending the goroutine is parked and its thread runs others. It goes on when the
/// future's [`Waker`] is used, from whichever thread or goroutine. Any future will do, as long as
/// something wakes it: one that needs another runtime's reactor (a tokio socket, say) needs that
/// runtime running on its own threads.
///
/// # Examples
///
/// ```
/// let length = corio::block_on(async {
///     let text = std::future::ready("done").await;
///     text.len()
/// });
/// assert_eq!(length, 4);
/// ```
///
/// Each goroutine can wait for a future of its own:
///
/// ```
/// # async fn fetch(n: u32) -> u32 { n * 2 }
/// let handles: Vec<_> = (1..=3)
///     .map(|n| corio::go!(move || corio::block_on(fetch(n))))
///     .collect();
/// let results: Vec<u32> = handles.into_iter().map(|h| h.join().unwrap()).collect();
/// assert_eq!(results, [2, 4, 6]);
/// ```
///
/// # Panics
///
/// With whatever the future panics with when it is polled.
///
/// # Blocking
///
/// Blocks the calling goroutine, or plain thread, until the future is ready. A future that wakes itself
/// while it is polled is polled again after the other goroutines had a turn. Waking never switches.
///
/// # Counterpart
///
/// `futures::executor::block_on` and pollster's; std has none. The future need not be `Send`: it stays
/// in this goroutine. It may, however, be polled on different threads one after the other, like
/// everything a goroutine does.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let owner = Owner::new();
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        owner.token().wait();
    }
}

/// How many calls of [`block_on`] are under way that a waker could still end: 0 means that none of
/// those parked will go on. For the deadlock report.
///
/// Exact if everybody who could clone or drop a waker is parked, and the caller knows because it
/// synchronised with that.
pub(crate) fn live_wakers() -> usize {
    // Relaxed: see above.
    LIVE.load(Ordering::Relaxed)
}

/// Is this one of `block_on`'s own wakers, which do nothing but make ready?
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const TABLE)
}

/// Uses one of `block_on`'s own wakers, also in scheduler context; returns the waiter that the caller makes
/// ready. Any other waker is used as it is.
pub(crate) fn notify(waker: Waker) -> Option<Waiter> {
    if !is_own(&waker) {
        waker.wake();
        return None;
    }
    // SAFETY: a waker with our table has a token that its reference keeps; it is dropped afterwards.
    unsafe { token(waker.data()).as_ref() }.take()
}

/// Tokens that are not over and have wakers.
static LIVE: AtomicUsize = AtomicUsize::new(0);

const EMPTY: usize = 0;
const NOTIFIED: usize = 1;

/// In `refs`: `block_on` has returned.
const OVER: usize = 1;
/// In `refs`: one waker.
const WAKER: usize = 2;

/// See the module's head. Aligned so that its address looks like any other wait object's in dumps.
#[derive(Debug)]
#[repr(align(8))]
struct Token {
    state: AtomicUsize,
    refs: AtomicUsize,
}

impl Token {
    /// Waits until the token is `NOTIFIED`, and takes it to `EMPTY`. Only by the owner.
    fn wait(&self) {
        // Acquire: partner of the Release in `take`; the poll that follows sees what the waker
        // has seen.
        if self.state.swap(EMPTY, Ordering::Acquire) == NOTIFIED {
            // A future that wakes itself would never let go of the P.
            return yield_now();
        }
        // SAFETY: it is parked for or cancelled right below.
        let waiter = unsafe { park::prepare() }.into_raw().get();
        debug_assert!(waiter > NOTIFIED);
        // Release: partner of the Acquire in `take`, for the waiter.
        match self
            .state
            .compare_exchange(EMPTY, waiter, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => park::park(WaitReason::BlockOn, std::ptr::from_ref(self).addr()),
            // SAFETY: it was not stored, so it is still this function's.
            Err(_) => unsafe { waiter_from(waiter) }.cancel(),
        }
        // It is `NOTIFIED` now. Acquire: as above; a swap, because another waker may come any time,
        // and what it did must be seen if its notice is taken.
        let state = self.state.swap(EMPTY, Ordering::Acquire);
        debug_assert_eq!(state, NOTIFIED);
    }

    /// Asks for another poll. By any waker. Returns the owner's waiter, if it is parked.
    fn take(&self) -> Option<Waiter> {
        // Release: partner of the Acquires in `wait`. Acquire: partner of the Release there, for
        // the waiter.
        let state = self.state.swap(NOTIFIED, Ordering::AcqRel);
        // SAFETY: `wait` stored it, and the swap took it out: nobody else has it.
        (state > NOTIFIED).then(|| unsafe { waiter_from(state) })
    }

    /// As [`take`](Self::take), and wakes the owner.
    fn notify(&self) {
        if let Some(waiter) = self.take() {
            waiter.ready();
        }
    }

    /// One more waker. Only through another one, or by the owner.
    fn retain(&self) {
        // Relaxed: as in `Arc`; whoever gets the new waker gets it from the caller.
        let before = self.refs.fetch_add(WAKER, Ordering::Relaxed);
        if before == 0 {
            LIVE.fetch_add(1, Ordering::Relaxed);
        }
        if before > isize::MAX as usize {
            // Only by forgetting clones without end; as in `Arc`, before the count wraps around.
            process::abort();
        }
    }
}

/// # Safety
/// `raw` comes from `Waiter::into_raw`, and nobody else makes a waiter from it.
unsafe fn waiter_from(raw: usize) -> Waiter {
    let raw = NonZeroUsize::new(raw).expect("a waiter is not 0");
    // SAFETY: passed on to the caller.
    unsafe { Waiter::from_raw(raw) }
}

/// Drops a waker's reference.
///
/// # Safety
/// The caller has a reference, counted in `refs`, and doesn't use it again.
unsafe fn release(token: NonNull<Token>) {
    // SAFETY: counted references keep the token; this one ends with the subtraction, so nothing
    // but the last reference's holder looks at the token afterwards.
    // Release: partner of the fence below, and of the Acquire in `Owner::drop`.
    match unsafe { token.as_ref() }
        .refs
        .fetch_sub(WAKER, Ordering::Release)
    {
        WAKER => {
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
        before if before == WAKER | OVER => {
            // Acquire: partner of the Releases above and in `Owner::drop`: everybody is done with it.
            fence(Ordering::Acquire);
            // SAFETY: `Owner::new` made it from a box, and the last reference was just dropped.
            drop(unsafe { Box::from_raw(token.as_ptr()) });
        }
        _ => {}
    }
}

/// The token's owner: the goroutine in `block_on`. Drops the token, or leaves it to the last waker.
struct Owner(NonNull<Token>);

impl Owner {
    fn new() -> Self {
        let token = Box::new(Token {
            state: AtomicUsize::new(EMPTY),
            refs: AtomicUsize::new(0),
        });
        Owner(NonNull::from(Box::leak(token)))
    }

    fn token(&self) -> &Token {
        // SAFETY: the token is freed after the owner is dropped.
        unsafe { self.0.as_ref() }
    }

    /// The waker to lend to `poll`. It is not counted, so it is not dropped either. It must not be
    /// used after the owner.
    fn waker(&self) -> ManuallyDrop<Waker> {
        // SAFETY: the functions of the table below do what `RawWaker` demands. The waker's own
        // reference, which is not counted, is never dropped.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(self.0)) })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Release: partner of the fence in `release`. Acquire: partner of the Release there.
        let before = self.token().refs.fetch_or(OVER, Ordering::AcqRel);
        if before == 0 {
            // SAFETY: `new` made it from a box; there are no wakers, and only the owner could make
            // the first.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        } else {
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: `data` belongs to a waker, whose reference (or the owner) keeps the token.
        let token = unsafe { token(data) };
        // SAFETY: as above.
        unsafe { token.as_ref() }.retain();
        raw_waker(token)
    },
    |data| {
        // SAFETY: `data` belongs to a waker that is used up here: its reference is ours.
        unsafe {
            let token = token(data);
            token.as_ref().notify();
            release(token);
        }
    },
    // SAFETY: `data` belongs to a waker, whose reference (or the owner) keeps the token.
    |data| unsafe { token(data).as_ref() }.notify(),
    // SAFETY: `data` belongs to a waker that ends here: its reference is ours.
    |data| unsafe { release(token(data)) },
);

fn raw_waker(token: NonNull<Token>) -> RawWaker {
    RawWaker::new(token.as_ptr().cast_const().cast(), &TABLE)
}

/// # Safety
/// `data` must come from `raw_waker`.
unsafe fn token(data: *const ()) -> NonNull<Token> {
    // SAFETY: `raw_waker` made it from a `NonNull`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::{Mutex, PoisonError, mpsc};
    use std::thread;

    /// [`LIVE`] is the process's, so the tests that look at it take turns with all the others.
    fn alone() -> impl Drop {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_ready_future_never_waits() {
        let _alone = alone();
        assert_eq!(block_on(async { 3 }), 3);
        assert_eq!(live_wakers(), 0);
    }

    #[test]
    fn a_wake_during_the_poll_is_not_lost() {
        let _alone = alone();
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(polls, 3);
    }

    #[test]
    fn every_wake_from_another_thread_arrives() {
        let _alone = alone();
        const ROUNDS: u32 = 2000;
        let (wakers, inbox) = mpsc::channel::<Waker>();
        let waking = thread::spawn(move || {
            for (n, waker) in inbox.iter().enumerate() {
                if n % 2 == 0 {
                    waker.wake();
                } else {
                    waker.wake_by_ref();
                }
            }
        });
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            if polls > ROUNDS {
                return Poll::Ready(());
            }
            wakers.send(cx.waker().clone()).unwrap();
            Poll::Pending
        }));
        drop(wakers);
        waking.join().unwrap();
        assert_eq!(live_wakers(), 0);
    }

    #[test]
    fn goroutines_pass_a_baton() {
        let _alone = alone();
        const RING: usize = 8;
        const ROUNDS: usize = 200;
        let turn = Mutex::new((0, [const { None::<Waker> }; RING]));
        crate::scope(|s| {
            for me in 0..RING {
                let turn = &turn;
                s.spawn(move || {
                    for round in 0..ROUNDS {
                        block_on(poll_fn(|cx| {
                            let mut turn = turn.lock().unwrap();
                            if turn.0 != round * RING + me {
                                turn.1[me] = Some(cx.waker().clone());
                                return Poll::Pending;
                            }
                            turn.0 += 1;
                            if let Some(next) = turn.1[(me + 1) % RING].take() {
                                next.wake();
                            }
                            Poll::Ready(())
                        }));
                    }
                });
            }
        });
        assert_eq!(turn.into_inner().unwrap().0, RING * ROUNDS);
        assert_eq!(live_wakers(), 0);
    }

    #[test]
    fn a_waker_may_outlive_the_call() {
        let _alone = alone();
        let mut kept = None;
        block_on(poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::Ready(())
        }));
        assert_eq!(live_wakers(), 0, "a call that is over waits for nobody");
        let kept = kept.unwrap();
        let other = kept.clone();
        kept.wake_by_ref();
        kept.wake();
        thread::spawn(move || drop(other)).join().unwrap();
        assert_eq!(live_wakers(), 0);
    }

    #[test]
    fn live_wakers_counts_the_calls_that_can_be_ended() {
        let _alone = alone();
        block_on(poll_fn(|cx| {
            assert_eq!(live_wakers(), 0, "the waker lent to poll does not count");
            let first = cx.waker().clone();
            let second = first.clone();
            assert_eq!(live_wakers(), 1);
            block_on(poll_fn(|cx| {
                let inner = cx.waker().clone();
                assert_eq!(live_wakers(), 2);
                drop(inner);
                Poll::Ready(())
            }));
            drop(first);
            assert_eq!(live_wakers(), 1);
            second.wake();
            assert_eq!(live_wakers(), 0);
            Poll::Ready(())
        }));
    }

    #[test]
    fn a_panicking_future_leaves_no_token_behind() {
        let _alone = alone();
        let mut kept = None;
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            block_on(poll_fn(|cx| -> Poll<()> {
                kept = Some(cx.waker().clone());
                panic!("future")
            }))
        }));
        assert!(caught.is_err());
        assert_eq!(live_wakers(), 0);
        kept.unwrap().wake();
    }

    #[test]
    fn a_future_is_dropped_before_its_waker_ends() {
        struct WakeOnDrop(Option<Waker>);

        impl Drop for WakeOnDrop {
            fn drop(&mut self) {
                self.0.take().unwrap().wake();
            }
        }

        let _alone = alone();
        let mut guard = WakeOnDrop(None);
        block_on(poll_fn(move |cx| {
            let first = guard.0.is_none();
            guard.0 = Some(cx.waker().clone());
            if first {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        }));
        assert_eq!(live_wakers(), 0);
    }
}
