//! `Semaphore`: a number of permits.
//!
//! # The word
//!
//! | bits | meaning | changed by |
//! | --- | --- | --- |
//! | `CLOSED` | nobody gets permits any more | set by `close`, under the queue's lock |
//! | `QUEUED` | somebody is in the queue | who queues, and who takes the last one out; under the queue's lock |
//! | the rest | permits that nobody has | whoever takes or returns some |
//!
//! Strictly first come, first served: while `QUEUED` is set, permits are given out by
//! [`settle`](Semaphore::settle) only, to the first in the queue, and only once there are enough for it. So a
//! large request isn't starved by small ones that would fit in before it. It is settled whenever permits
//! come back and `QUEUED` is set, and whenever somebody leaves the queue without permits.
//!
//! Whoever queues has, in one operation under the queue's lock, seen that there are too few permits (or
//! others queued) and set `QUEUED`; so whoever returns permits later sees that.

use super::raw::{Core, End, HANDED, Wait};
use crate::park::WaitReason;
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::prim::clock::{self, NEVER};
use crate::sync::semaphore_permit::{OwnedSemaphorePermit, SemaphorePermit};
use crate::sync::waitq::{Batch, FIRST_OWN, NOT_POPPED, Outcome};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLOSED: usize = 1;
const QUEUED: usize = 2;
const PERMIT: usize = 4;
const FLAGS: usize = PERMIT - 1;

/// The waiter gets no permits, since the semaphore was closed.
const SHUT: Outcome = FIRST_OWN + 2;
const _: () = assert!(SHUT != HANDED);

/// A number of permits, which goroutines and threads take and return.
///
/// Mirrors tokio's `Semaphore`, with blocking calls, and timeouts besides. Permits are returned when their
/// guard is dropped, also by a panic. Strictly first come, first served: who asks for many isn't starved by
/// those who ask for few.
///
/// # Blocking
///
/// The `acquire` methods are switch points if they have to wait. Nothing else is.
///
/// ```
/// use corio::{go, sync::Semaphore};
/// use std::sync::Arc;
///
/// // No more than two at a time.
/// let slots = Arc::new(Semaphore::new(2));
/// let handles: Vec<_> = (0..5)
///     .map(|n| {
///         let slot = Semaphore::acquire_owned(&slots).unwrap();
///         go!(move || {
///             let _slot = slot;
///             n * n
///         })
///     })
///     .collect();
/// let sum: u32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
/// assert_eq!(sum, 30);
/// ```
pub struct Semaphore {
    core: Core<AtomicUsize>,
}

/// The semaphore was closed.
///
/// Mirrors tokio's `AcquireError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError(());

/// Why [`Semaphore::try_acquire`] got nothing.
///
/// Mirrors tokio's `TryAcquireError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore was closed.
    Closed,
    /// There are too few permits, or others wait for them.
    NoPermits,
}

/// Why [`Semaphore::acquire_timeout`] got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireTimeoutError {
    /// The semaphore was closed.
    Closed,
    /// The time was over.
    Timeout,
}

impl Semaphore {
    /// The most permits that a semaphore can have; more than any machine has bytes.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// With so many permits.
    ///
    /// # Panics
    ///
    /// If they are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub const fn new(permits: usize) -> Semaphore {
        assert!(
            permits <= Semaphore::MAX_PERMITS,
            "a semaphore can't have more than Semaphore::MAX_PERMITS permits"
        );
        Semaphore {
            core: Core::new(AtomicUsize::new(permits * PERMIT)),
        }
    }

    /// Permits that can be had right now. What the first in the queue is saving up for doesn't count.
    pub fn available_permits(&self) -> usize {
        let word = self.core.word.load(Ordering::Relaxed);
        if word & QUEUED != 0 {
            return 0;
        }
        word / PERMIT
    }

    /// Adds permits.
    ///
    /// # Panics
    ///
    /// If more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) would lie ready; then none are added.
    /// Returning permits panics likewise, which takes an `add_permits` while they were out.
    ///
    /// ```
    /// use corio::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// semaphore.add_permits(3);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    pub fn add_permits(&self, n: usize) {
        if n == 0 {
            return;
        }
        let mut word = self.core.word.load(Ordering::Relaxed);
        loop {
            let sum = (word / PERMIT).saturating_add(n);
            if sum > Semaphore::MAX_PERMITS {
                overflow(word / PERMIT, n);
            }
            // Release: partner of the Acquire in `take` and `settle`.
            match self.core.word.compare_exchange_weak(
                word,
                (sum * PERMIT) | (word & FLAGS),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        if word & QUEUED != 0 {
            self.settle();
        }
    }

    /// Takes up to `n` permits that nobody has away for good, also what the first in the queue is saving up
    /// for. How many it were.
    ///
    /// ```
    /// use corio::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// assert_eq!(semaphore.forget_permits(5), 3);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget_permits(&self, n: usize) -> usize {
        let mut word = self.core.word.load(Ordering::Relaxed);
        loop {
            let gone = n.min(word / PERMIT);
            // Acquire: partner of the Release in `add_permits`.
            match self.core.word.compare_exchange_weak(
                word,
                word - gone * PERMIT,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return gone,
                Err(found) => word = found,
            }
        }
    }

    /// Gives no permits out any more: those who wait, and whoever asks from now on, get an error. Permits
    /// that are out may still be returned.
    ///
    /// ```
    /// use corio::{go, sync::Semaphore};
    ///
    /// static SEMAPHORE: Semaphore = Semaphore::new(0);
    ///
    /// let waiting = go!(|| SEMAPHORE.acquire().is_err());
    /// SEMAPHORE.close();
    /// assert!(waiting.join().unwrap());
    /// ```
    pub fn close(&self) {
        let mut waiters = self.core.waiters();
        self.core.word.fetch_or(CLOSED, Ordering::Relaxed);
        let everybody = waiters.pop_all();
        self.core.word.fetch_and(!QUEUED, Ordering::Relaxed);
        drop(waiters);
        everybody.wake_all(SHUT);
    }

    /// Has it been closed?
    pub fn is_closed(&self) -> bool {
        self.core.word.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// The semaphore is or was closed meanwhile.
    ///
    /// ```
    /// use corio::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_ok());
    /// ```
    #[inline]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[inline]
    pub fn acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.get(n)?;
        Ok(SemaphorePermit::new(self, n))
    }

    /// Takes a permit if it can be had right now.
    ///
    /// # Errors
    ///
    /// It can't be, or the semaphore is closed.
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they can be had right now.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Semaphore::try_acquire).
    #[inline]
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.take(n, 0)?;
        Ok(SemaphorePermit::new(self, n))
    }

    /// Waits for a permit for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is over, or the semaphore closed.
    ///
    /// ```
    /// use corio::sync::{AcquireTimeoutError, Semaphore};
    /// use std::time::Duration;
    ///
    /// let semaphore = Semaphore::new(0);
    /// let timeout = semaphore.acquire_timeout(Duration::from_millis(1));
    /// assert_eq!(timeout.err(), Some(AcquireTimeoutError::Timeout));
    /// ```
    #[inline]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, AcquireTimeoutError> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Waits for `n` permits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_many_timeout(
        &self,
        n: u32,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, AcquireTimeoutError> {
        self.get_by(n, || clock::after(timeout))?;
        Ok(SemaphorePermit::new(self, n))
    }

    /// Waits for a permit until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_deadline(
        &self,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, AcquireTimeoutError> {
        self.acquire_many_deadline(1, deadline)
    }

    /// Waits for `n` permits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_many_deadline(
        &self,
        n: u32,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, AcquireTimeoutError> {
        self.get_by(n, || clock::at(deadline))?;
        Ok(SemaphorePermit::new(self, n))
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that owns the semaphore and so may move into a
    /// goroutine.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[inline]
    pub fn acquire_owned(this: &Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        Semaphore::acquire_many_owned(this, 1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[inline]
    pub fn acquire_many_owned(
        this: &Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        this.get(n)?;
        Ok(OwnedSemaphorePermit::new(Arc::clone(this), n))
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Semaphore::try_acquire).
    #[inline]
    pub fn try_acquire_owned(this: &Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Semaphore::try_acquire_many_owned(this, 1)
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Semaphore::try_acquire).
    #[inline]
    pub fn try_acquire_many_owned(
        this: &Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        this.take(n, 0)?;
        Ok(OwnedSemaphorePermit::new(Arc::clone(this), n))
    }

    /// As [`acquire_timeout`](Semaphore::acquire_timeout), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_owned_timeout(
        this: &Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, AcquireTimeoutError> {
        Semaphore::acquire_many_owned_timeout(this, 1, timeout)
    }

    /// As [`acquire_many_timeout`](Semaphore::acquire_many_timeout), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_many_owned_timeout(
        this: &Arc<Self>,
        n: u32,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, AcquireTimeoutError> {
        this.get_by(n, || clock::after(timeout))?;
        Ok(OwnedSemaphorePermit::new(Arc::clone(this), n))
    }

    /// As [`acquire_deadline`](Semaphore::acquire_deadline), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_owned_deadline(
        this: &Arc<Self>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, AcquireTimeoutError> {
        Semaphore::acquire_many_owned_deadline(this, 1, deadline)
    }

    /// As [`acquire_many_deadline`](Semaphore::acquire_many_deadline), with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    #[inline]
    pub fn acquire_many_owned_deadline(
        this: &Arc<Self>,
        n: u32,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, AcquireTimeoutError> {
        this.get_by(n, || clock::at(deadline))?;
        Ok(OwnedSemaphorePermit::new(Arc::clone(this), n))
    }

    /// Waits without end.
    #[inline]
    fn get(&self, n: u32) -> Result<(), AcquireError> {
        self.get_by(n, || NEVER).map_err(|_| AcquireError(()))
    }

    #[inline]
    fn get_by(&self, n: u32, deadline: impl FnOnce() -> u64) -> Result<(), AcquireTimeoutError> {
        match self.take(n, 0) {
            Ok(()) => Ok(()),
            Err(TryAcquireError::Closed) => Err(AcquireTimeoutError::Closed),
            Err(TryAcquireError::NoPermits) => self.wait(n, deadline()),
        }
    }

    #[cold]
    fn wait(&self, n: u32, deadline: u64) -> Result<(), AcquireTimeoutError> {
        if deadline != NEVER && deadline <= clock::now() {
            return Err(AcquireTimeoutError::Timeout);
        }
        let waiters = self.core.waiters_to_join();
        match self.take(n, QUEUED) {
            Ok(()) => return Ok(()),
            Err(TryAcquireError::Closed) => return Err(AcquireTimeoutError::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        let outcome = waiters.wait(Wait {
            reason: WaitReason::Semaphore,
            tag: n as usize,
            end: End::Back,
            deadline,
        });
        match outcome {
            HANDED => Ok(()),
            NOT_POPPED => {
                self.settle();
                Err(AcquireTimeoutError::Timeout)
            }
            _ => Err(AcquireTimeoutError::Closed),
        }
    }

    /// Takes `n` permits if they can be had. Else, in one operation with seeing that, sets `queue`.
    #[inline]
    fn take(&self, n: u32, queue: usize) -> Result<(), TryAcquireError> {
        let word = &self.core.word;
        let n = n as usize;
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            if seen & CLOSED != 0 {
                return Err(TryAcquireError::Closed);
            }
            // Nothing can always be had.
            let enough = n == 0 || seen & QUEUED == 0 && n <= seen / PERMIT;
            let next = if enough {
                seen - n * PERMIT
            } else {
                seen | queue
            };
            if next == seen && !enough {
                return Err(TryAcquireError::NoPermits);
            }
            // Acquire: partner of the Release in `add_permits`.
            match word.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if enough => return Ok(()),
                Ok(_) => return Err(TryAcquireError::NoPermits),
                Err(found) => seen = found,
            }
        }
    }

    /// Gives permits to those in the queue, in order, as far as they go.
    #[cold]
    fn settle(&self) {
        let word = &self.core.word;
        let mut waiters = self.core.waiters();
        let mut served = Batch::new();
        // While somebody is queued only `forget_permits` takes any besides; so they are taken first.
        loop {
            let Some(wanted) = waiters.first().map(|first| first.tag) else {
                word.fetch_and(!QUEUED, Ordering::Relaxed);
                break;
            };
            let seen = word.load(Ordering::Relaxed);
            if seen / PERMIT < wanted {
                break;
            }
            // Acquire: partner of the Release in `add_permits`, on behalf of the waiter, who gets it by
            // being woken.
            if word
                .compare_exchange_weak(
                    seen,
                    seen - wanted * PERMIT,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_err()
            {
                continue;
            }
            let mut first = true;
            match waiters.pop_if(|_| std::mem::take(&mut first)) {
                Some(waiter) => served.push(waiter),
                // It has timed out.
                None => {
                    word.fetch_add(wanted * PERMIT, Ordering::Release);
                }
            }
        }
        drop(waiters);
        served.wake_all(HANDED);
    }
}

#[cold]
#[inline(never)]
fn overflow(have: usize, more: usize) -> ! {
    panic!(
        "{more} permits on top of {have} would be more than Semaphore::MAX_PERMITS ({})",
        Semaphore::MAX_PERMITS
    )
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.core.word.load(Ordering::Relaxed);
        f.debug_struct("Semaphore")
            .field("permits", &(word / PERMIT))
            .field("waiting", &self.core.waiting())
            .field("closed", &(word & CLOSED != 0))
            .finish()
    }
}

impl From<AcquireError> for AcquireTimeoutError {
    fn from(_: AcquireError) -> AcquireTimeoutError {
        AcquireTimeoutError::Closed
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore closed")
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::Closed => "semaphore closed",
            TryAcquireError::NoPermits => "no permits available",
        })
    }
}

impl fmt::Display for AcquireTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcquireTimeoutError::Closed => "semaphore closed",
            AcquireTimeoutError::Timeout => "timed out waiting for a permit",
        })
    }
}

impl Error for AcquireError {}
impl Error for TryAcquireError {}
impl Error for AcquireTimeoutError {}
