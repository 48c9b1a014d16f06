//! lock_api's traits for the raw reader-writer lock: which method is which way of being in.

use super::rwlock::{RawRwLock, Want};
use crate::prim::clock;
use lock_api::GuardNoSend;
use std::time::{Duration, Instant};

type Shared = GuardNoSend;
type Upgradable = GuardNoSend;
type Exclusive = GuardNoSend;

impl<const RECURSIVE: bool> RawRwLock<RECURSIVE> {
    /// `deadline` is asked for only if the caller must wait.
    #[inline]
    fn enter_until(&self, want: Want, deadline: impl FnOnce() -> u64) -> Option<GuardNoSend> {
        (self.try_enter(want) || self.enter_by(want, deadline())).then(GuardNoSend::new)
    }

    /// Leaves to others, if there are any, and comes back.
    #[inline]
    fn bump(&self, want: Want) {
        if self.is_waited_for() {
            self.leave_to_others(want);
            self.enter(want);
        }
    }

    /// `deadline` is asked for only if the caller must wait.
    #[inline]
    fn upgrade_until(
        &self,
        guard: Upgradable,
        deadline: impl FnOnce() -> u64,
    ) -> Result<Exclusive, Upgradable> {
        self.demand(Want::Upgrade);
        if self.try_enter(Want::Upgrade) || self.enter_by(Want::Upgrade, deadline()) {
            Ok(GuardNoSend::new())
        } else {
            Err(guard)
        }
    }
}

// SAFETY: the word counts who is in and how; a writer gets in only when nobody is, others only while no
// writer is (`RawRwLock::admits`, `settle`). Getting in acquires what leaving released.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLock for RawRwLock<RECURSIVE> {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is how lock_api spells a const fn new"
    )]
    const INIT: Self = RawRwLock::new();

    type SharedGuard = Shared;
    type ExclusiveGuard = Exclusive;

    #[inline]
    fn lock_shared(&self) -> Shared {
        self.enter(Want::Read);
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock_shared(&self) -> Option<Shared> {
        self.try_enter(Want::Read).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock_shared(&self, _guard: Shared) {
        self.leave(Want::Read);
    }

    #[inline]
    fn lock_exclusive(&self) -> Exclusive {
        self.enter(Want::Write);
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock_exclusive(&self) -> Option<Exclusive> {
        self.try_enter(Want::Write).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, _guard: Exclusive) {
        self.leave(Want::Write);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.is_held()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.is_held_to_write()
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockFair for RawRwLock<RECURSIVE> {
    #[inline]
    unsafe fn unlock_shared_fair(&self, _guard: Shared) {
        self.leave_to_others(Want::Read);
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self, _guard: Exclusive) {
        self.leave_to_others(Want::Write);
    }

    #[inline]
    unsafe fn bump_shared(&self, _guard: &mut Shared) {
        self.bump(Want::Read);
    }

    #[inline]
    unsafe fn bump_exclusive(&self, _guard: &mut Exclusive) {
        self.bump(Want::Write);
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockDowngrade for RawRwLock<RECURSIVE> {
    #[inline]
    unsafe fn downgrade(&self, _guard: Exclusive) -> Shared {
        self.change(Want::Write, Want::Read);
        GuardNoSend::new()
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockTimed for RawRwLock<RECURSIVE> {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_shared_for(&self, timeout: Duration) -> Option<Shared> {
        self.enter_until(Want::Read, || clock::after(timeout))
    }

    #[inline]
    fn try_lock_shared_until(&self, timeout: Instant) -> Option<Shared> {
        self.enter_until(Want::Read, || clock::at(timeout))
    }

    #[inline]
    fn try_lock_exclusive_for(&self, timeout: Duration) -> Option<Exclusive> {
        self.enter_until(Want::Write, || clock::after(timeout))
    }

    #[inline]
    fn try_lock_exclusive_until(&self, timeout: Instant) -> Option<Exclusive> {
        self.enter_until(Want::Write, || clock::at(timeout))
    }
}

// SAFETY: as above; an upgrade waits until no reader is in, and acquires what they released.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockUpgrade for RawRwLock<RECURSIVE> {
    type UpgradableGuard = Upgradable;

    #[inline]
    fn lock_upgradable(&self) -> Upgradable {
        self.enter(Want::Upgradable);
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock_upgradable(&self) -> Option<Upgradable> {
        self.try_enter(Want::Upgradable).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock_upgradable(&self, _guard: Upgradable) {
        self.leave(Want::Upgradable);
    }

    #[inline]
    unsafe fn upgrade(&self, _guard: Upgradable) -> Exclusive {
        self.demand(Want::Upgrade);
        if !self.try_enter(Want::Upgrade) {
            self.enter_by(Want::Upgrade, clock::NEVER);
        }
        GuardNoSend::new()
    }

    #[inline]
    unsafe fn try_upgrade(&self, guard: Upgradable) -> Result<Exclusive, Upgradable> {
        self.demand(Want::Upgrade);
        if self.try_enter(Want::Upgrade) {
            Ok(GuardNoSend::new())
        } else {
            Err(guard)
        }
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockUpgradeFair for RawRwLock<RECURSIVE> {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self, _guard: Upgradable) {
        self.leave_to_others(Want::Upgradable);
    }

    #[inline]
    unsafe fn bump_upgradable(&self, _guard: &mut Upgradable) {
        self.bump(Want::Upgradable);
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockUpgradeDowngrade for RawRwLock<RECURSIVE> {
    #[inline]
    unsafe fn downgrade_upgradable(&self, _guard: Upgradable) -> Shared {
        self.change(Want::Upgradable, Want::Read);
        GuardNoSend::new()
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self, _guard: Exclusive) -> Upgradable {
        self.change(Want::Write, Want::Upgradable);
        GuardNoSend::new()
    }
}

// SAFETY: as above.
unsafe impl<const RECURSIVE: bool> lock_api::RawRwLockUpgradeTimed for RawRwLock<RECURSIVE> {
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: Duration) -> Option<Upgradable> {
        self.enter_until(Want::Upgradable, || clock::after(timeout))
    }

    #[inline]
    fn try_lock_upgradable_until(&self, timeout: Instant) -> Option<Upgradable> {
        self.enter_until(Want::Upgradable, || clock::at(timeout))
    }

    #[inline]
    unsafe fn try_upgrade_for(
        &self,
        guard: Upgradable,
        timeout: Duration,
    ) -> Result<Exclusive, Upgradable> {
        self.upgrade_until(guard, || clock::after(timeout))
    }

    #[inline]
    unsafe fn try_upgrade_until(
        &self,
        guard: Upgradable,
        timeout: Instant,
    ) -> Result<Exclusive, Upgradable> {
        self.upgrade_until(guard, || clock::at(timeout))
    }
}
