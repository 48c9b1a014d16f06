//! What runs an attempt to connect, and what becomes of its result.

use super::core::{Core, Entry};
use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

impl<C: Send + 'static> Core<C> {
    /// Starts attempts for which there are places.
    pub(super) fn start(self: &Arc<Self>, attempts: Range<u64>) {
        let mut left: VecDeque<u64> = attempts.collect();
        while let Some(number) = left.pop_front() {
            let core = Arc::clone(self);
            let builder = corio::Builder::new().name("conn pool: connect".to_owned());
            if let Err(error) = builder.spawn(move || core.attempt(number)) {
                left.extend(self.failed(number, error));
            }
        }
    }

    /// The error of a caller that waited for an attempt as long as connecting may take.
    pub(super) fn overdue(&self) -> io::Error {
        let timeout = self.limits.connect_timeout.unwrap_or_default();
        let text =
            format!("timed out connecting: it took longer than the connect timeout of {timeout:?}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    fn attempt(self: Arc<Self>, number: u64) {
        let (ctx, cancel) = match self.limits.connect_timeout {
            Some(timeout) => self.root.with_timeout(timeout),
            None => self.root.with_cancel(),
        };
        let result = catch_unwind(AssertUnwindSafe(|| (self.connect)(&ctx)));
        cancel.cancel();
        match result {
            Ok(Ok(conn)) => self.succeeded(number, conn),
            Ok(Err(error)) => self.start(self.failed(number, error)),
            Err(panic) => {
                let text = format!("connecting panicked: {}", said(&*panic));
                self.start(self.failed(number, io::Error::other(text)));
                // Last, as it may panic.
                drop(panic);
            }
        }
    }

    fn succeeded(self: &Arc<Self>, number: u64, conn: C) {
        let now = Instant::now();
        let entry = Entry {
            conn,
            created: now,
            used: now,
        };
        let mut state = self.lock();
        state.attempts.end(number);
        state.stats.connects += 1;
        state.failures = 0;
        state.retry_at = None;
        let rest = self.settle(&mut state, entry, true);
        // It may have been meant for the minimum, and gone to a waiter.
        self.look_after(&mut state);
        drop(state);
        drop(rest.map(|entry| self.member(entry)));
    }

    /// Gives the place of an attempt back, and its error to the first waiter, unless it is overdue; returns
    /// which attempts to start.
    #[must_use]
    fn failed(self: &Arc<Self>, number: u64, error: io::Error) -> Range<u64> {
        let mut state = self.lock();
        let awaited = state.attempts.end(number);
        state.places -= 1;
        state.stats.connect_errors += 1;
        state.failures = state.failures.saturating_add(1);
        state.retry_at = Some(Instant::now() + super::keeper::pause(state.failures));
        // If nobody waits it was for the keeper, who sees that one is missing.
        let rest = if awaited {
            state.deliver(Err(error))
        } else {
            Err(Err(error))
        };
        let attempts = state.replenish(self);
        self.look_after(&mut state);
        drop(state);
        // An error may be of the user's making: it is dropped without the lock.
        drop(rest);
        attempts
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text")
}
