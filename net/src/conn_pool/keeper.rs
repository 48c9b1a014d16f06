//! The pool's goroutine: closes idle connections whose time is over, and keeps up a minimum of them.
//!
//! There is one only while it has something to look after: it ends with the pool, and, unless there is a
//! minimum, with the last idle connection. It sleeps until the first of them expires; who makes it
//! necessary to look earlier wakes it. Nothing depends on it: a connection whose time is over isn't given
//! out in any case, and should the keeper not start, for want of memory, the next to need it tries again.
//!
//! Connections for the minimum are made without anybody waiting for the result, so after a failure the
//! next attempt waits, twice as long each time ([`pause`]); otherwise an unreachable server would be
//! asked in a loop. An attempt that is overdue still counts as one for the minimum: connecting that hangs mustn't
//! take all places for nobody. Callers that wait for a connection don't wait for that.

use super::core::{Core, Entry, Keeper, State};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between the first two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between later ones at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait after that many attempts in a row have failed.
pub(super) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}

/// What the keeper found to do.
struct Chores<C> {
    stale: Vec<Entry<C>>,
    attempts: Range<u64>,
    until: Option<Instant>,
}

impl<C: Send + 'static> Core<C> {
    /// How many connections there are too few, as far as there are places.
    fn shortfall(&self, state: &State<C>) -> usize {
        let spare = state.attempts.len().saturating_sub(state.waiters.len());
        self.limits
            .min_idle
            .saturating_sub(state.idle.len() + spare)
            .min(self.limits.max - state.places)
    }

    /// To be called when a connection has gone: wakes the keeper if there are too few.
    pub(super) fn look_after(self: &Arc<Self>, state: &mut State<C>) {
        if self.limits.min_idle > 0 && self.shortfall(state) > 0 {
            self.look_after_at(state, state.retry_at);
        }
    }

    /// Sees to it that the keeper looks at the pool then, or (`None`) at once.
    pub(super) fn look_after_at(self: &Arc<Self>, state: &mut State<C>, at: Option<Instant>) {
        if state.closed {
            return;
        }
        match state.keeper {
            Keeper::Until(Some(planned)) if at.is_some_and(|at| planned <= at) => {}
            Keeper::Until(_) => {
                // If it is full the keeper is about to look anyway.
                let _ = self.wake.try_send(());
            }
            Keeper::Off => {
                let core = Arc::clone(self);
                let builder = corio::Builder::new().name("conn pool: keeper".to_owned());
                if builder.spawn(move || core.keep()).is_ok() {
                    state.keeper = Keeper::Until(None);
                }
            }
        }
    }

    /// The keeper.
    fn keep(self: Arc<Self>) {
        let take_over = TakeOver(&self);
        while let Some(chores) = self.chores() {
            self.dismiss(chores.stale);
            self.start(chores.attempts);
            // An error of either is that the time has come. (We have a sender: nothing disconnects.)
            let _ = match chores.until {
                Some(at) => self.woken.recv_deadline(at).ok(),
                None => self.woken.recv().ok(),
            };
        }
        std::mem::forget(take_over);
    }

    /// What there is to do now; `None`: nothing any more, the keeper is off.
    fn chores(&self) -> Option<Chores<C>> {
        let mut state = self.lock();
        let state = &mut *state;
        let now = Instant::now();
        let stale = self.take_stale(state, now);
        let nothing_left = state.idle.is_empty() && self.limits.min_idle == 0;
        if state.closed || (stale.is_empty() && nothing_left) {
            state.keeper = Keeper::Off;
            return None;
        }
        let mut until = state
            .idle
            .iter()
            .filter_map(|entry| self.expiry(entry))
            .min();
        if nothing_left {
            // These were the last ones.
            until = Some(now);
        }
        let mut attempts = self.shortfall(state);
        if attempts > 0
            && let Some(retry_at) = state.retry_at.filter(|&at| now < at)
        {
            attempts = 0;
            until = until.into_iter().chain([retry_at]).min();
        }
        let attempts = state.reserve(self, attempts);
        state.keeper = Keeper::Until(until);
        Some(Chores {
            stale,
            attempts,
            until,
        })
    }

    /// Takes connections out whose time is over.
    fn take_stale(&self, state: &mut State<C>, now: Instant) -> Vec<Entry<C>> {
        let mut stale = Vec::new();
        for _ in 0..state.idle.len() {
            let Some(entry) = state.idle.pop_front() else {
                break;
            };
            if self.is_stale(&entry, now) {
                self.count_stale(state, &entry, now);
                stale.push(entry);
            } else {
                state.idle.push_back(entry);
            }
        }
        stale
    }
}

/// Should dropping one of the user's connections panic, another keeper takes over.
struct TakeOver<'a, C: Send + 'static>(&'a Arc<Core<C>>);

impl<C: Send + 'static> Drop for TakeOver<'_, C> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.keeper = Keeper::Off;
        self.0.look_after_at(&mut state, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(2), 2 * FIRST_PAUSE);
        assert_eq!(pause(5), 16 * FIRST_PAUSE);
        assert_eq!(pause(10), LONGEST_PAUSE);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
