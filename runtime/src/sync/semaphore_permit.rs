//! The permits of a [`Semaphore`], which they return when dropped.

use super::semaphore::Semaphore;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;

/// Permits of a [`Semaphore`]; returned when dropped.
///
/// Mirrors tokio's `SemaphorePermit`. It is `Send`: who returns permits need not be who took them.
#[must_use = "permits are returned when this is dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: u32,
}

/// Permits of a [`Semaphore`] that is kept alive by them; returned when dropped. Moves into a goroutine.
///
/// Mirrors tokio's `OwnedSemaphorePermit`.
///
/// ```
/// use corio::{go, sync::Semaphore};
/// use std::sync::Arc;
///
/// let semaphore = Arc::new(Semaphore::new(1));
/// let permit = Semaphore::acquire_owned(&semaphore).unwrap();
/// go!(move || drop(permit)).join().unwrap();
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "permits are returned when this is dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: u32,
}

impl<'a> SemaphorePermit<'a> {
    pub(super) fn new(semaphore: &'a Semaphore, permits: u32) -> SemaphorePermit<'a> {
        SemaphorePermit { semaphore, permits }
    }

    /// Drops the permits without returning them: the semaphore has fewer from now on.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Takes the permits of `other` over.
    ///
    /// # Panics
    ///
    /// If they are another semaphore's; `other` returns them then.
    ///
    /// ```
    /// use corio::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(5);
    /// let mut permits = semaphore.acquire().unwrap();
    /// permits.merge(semaphore.acquire_many(2).unwrap());
    /// assert_eq!(permits.num_permits(), 3);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: SemaphorePermit<'a>) {
        assert!(
            ptr::eq(self.semaphore, other.semaphore),
            "merging permits of different semaphores"
        );
        self.permits = sum(self.permits, other.permits);
        other.permits = 0;
    }

    /// Splits `n` permits off, if there are so many.
    pub fn split(&mut self, n: u32) -> Option<SemaphorePermit<'a>> {
        self.permits = self.permits.checked_sub(n)?;
        Some(SemaphorePermit::new(self.semaphore, n))
    }

    /// How many they are.
    pub fn num_permits(&self) -> usize {
        self.permits as usize
    }
}

impl OwnedSemaphorePermit {
    pub(super) fn new(semaphore: Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
        OwnedSemaphorePermit { semaphore, permits }
    }

    /// Drops the permits without returning them: the semaphore has fewer from now on.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Takes the permits of `other` over.
    ///
    /// # Panics
    ///
    /// If they are another semaphore's; `other` returns them then.
    #[track_caller]
    pub fn merge(&mut self, mut other: OwnedSemaphorePermit) {
        assert!(
            Arc::ptr_eq(&self.semaphore, &other.semaphore),
            "merging permits of different semaphores"
        );
        self.permits = sum(self.permits, other.permits);
        other.permits = 0;
    }

    /// Splits `n` permits off, if there are so many.
    pub fn split(&mut self, n: u32) -> Option<OwnedSemaphorePermit> {
        self.permits = self.permits.checked_sub(n)?;
        Some(OwnedSemaphorePermit::new(Arc::clone(&self.semaphore), n))
    }

    /// How many they are.
    pub fn num_permits(&self) -> usize {
        self.permits as usize
    }

    /// The semaphore.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

#[track_caller]
fn sum(a: u32, b: u32) -> u32 {
    a.checked_add(b)
        .expect("a permit can't stand for more than u32::MAX permits")
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore
            .add_permits(mem::take(&mut self.permits) as usize);
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        self.semaphore
            .add_permits(mem::take(&mut self.permits) as usize);
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedSemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSemaphorePermit")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
