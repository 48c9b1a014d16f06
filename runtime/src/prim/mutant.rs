//! Mutants for the loom models: takes one fence away, to show that the model notices.
//!
//! Only compiled under `cfg(loom)`. A model sets the mutant before it explores and the explored
//! threads read it, so it must not change during an exploration; models that use it hold the lock
//! returned by [`without`].

use super::Site;
use std::sync::{Mutex, MutexGuard, PoisonError};

static REMOVED: Mutex<Option<Site>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Is this fence taken away in the running model?
pub(crate) fn removed(site: Site) -> bool {
    *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) == Some(site)
}

/// Takes the fence at `site` away (or none) until the guard is dropped. Models with and without a
/// mutant exclude each other.
pub(crate) fn without(site: Option<Site>) -> Without {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) = site;
    Without { _alone: alone }
}

/// Puts the fence back when dropped.
pub(crate) struct Without {
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Without {
    fn drop(&mut self) {
        *REMOVED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
