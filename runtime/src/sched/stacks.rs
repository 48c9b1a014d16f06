//! Goroutines that can't start because there is no memory for their stack.
//!
//! A goroutine gets its stack when it first runs. If none can be had, it waits here, in line with
//! others of its size class: nothing is lost and nothing fails, since other goroutines' ends free stacks. Whoever
//! ends looks here before putting its stack away; sysmon retries the mapping while somebody waits,
//! and says so on standard error once if nothing moves for a second.
//!
//! Next in the reading order: `blocking`, where a P leaves its M.

use crate::prim::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::prim::trace::{self, Event, Kind, Queue};
use crate::prim::{Mutex, clock, warn};
use crate::sched::g::GRef;
use crate::sched::p::Held;
use crate::sched::{Sched, current};
use crate::stack::{self, SizeClass, Stack, StackError};
use crate::state::gstatus::Readied;
use std::collections::VecDeque;

/// Say so after this long (ns) without progress.
const REPORT_AFTER: u64 = 1_000_000_000;

/// Who waits for a stack.
#[derive(Default)]
pub(crate) struct StackWaiters {
    count: AtomicUsize,
    list: Mutex<VecDeque<(SizeClass, GRef)>>,
    since: AtomicU64,
    reported: AtomicBool,
}

impl Sched {
    /// `g`, which the caller took out of a queue, waits for a stack.
    #[cold]
    pub(crate) fn wait_for_stack(&self, g: GRef, error: &StackError) {
        let waiters = &self.stack_waiters;
        g.status.set_waiting();
        let mut list = waiters.list.lock();
        if list.is_empty() {
            waiters.since.store(clock::now(), Ordering::Relaxed);
        }
        list.push_back((g.class(), g));
        waiters.count.store(list.len(), Ordering::Relaxed);
        drop(list);
        self.sysmon.ring();
        self.report_stacks(clock::now(), error);
    }

    /// Somebody waits for a stack.
    #[inline]
    pub(crate) fn stacks_wanted(&self) -> bool {
        self.stack_waiters.count.load(Ordering::Relaxed) != 0
    }

    /// A goroutine that ended offers its stack: it goes back to the pool, where the woken waiter
    /// finds it, and `None` is returned; or it is returned if nobody of its class waits.
    #[inline]
    pub(crate) fn offer_stack(&self, stack: Stack) -> Option<Stack> {
        if !self.stacks_wanted() {
            return Some(stack);
        }
        let class = stack.class();
        stack::pool_put(stack);
        self.wake_stack_waiter(class);
        None
    }

    #[cold]
    fn wake_stack_waiter(&self, class: SizeClass) -> bool {
        let waiters = &self.stack_waiters;
        let mut list = waiters.list.lock();
        let Some(at) = list.iter().position(|&(wanted, _)| wanted == class) else {
            return false;
        };
        let (_, g) = list.remove(at).expect("the position was just found");
        waiters.count.store(list.len(), Ordering::Relaxed);
        waiters.since.store(clock::now(), Ordering::Relaxed);
        waiters.reported.store(false, Ordering::Relaxed);
        drop(list);
        // It has no M yet that it could block.
        if g.status.ready(|| ()) == Readied::Enqueue {
            trace::unowned(current::number(), || {
                Event::new(Kind::Ready, g.id(), Queue::Global as u64)
            });
            self.enqueue_global(g);
        }
        true
    }

    /// sysmon's retry: maps stacks for those who wait, as far as that succeeds, size by size.
    pub(crate) fn retry_stacks(&self, now: u64) {
        if !self.stacks_wanted() {
            return;
        }
        self.flush_idle_caches();
        let mut classes: Vec<SizeClass> = Vec::new();
        for &(class, _) in self.stack_waiters.list.lock().iter() {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        for class in classes {
            // Kept until as many are woken as there are stacks.
            let mut stacks = Vec::new();
            while self.stacks_wanted() {
                match stack::pool_get(class) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => {
                        self.report_stacks(now, &error);
                        break;
                    }
                }
                if !self.wake_stack_waiter(class) {
                    break;
                }
            }
            stacks.into_iter().for_each(stack::pool_put);
        }
    }

    /// Puts the stacks that idle Ps keep into the pool.
    fn flush_idle_caches(&self) {
        let idle: Vec<Held> = std::iter::from_fn(|| self.acquire_p(0)).collect();
        for mut held in idle {
            held.local().stacks.flush();
            self.release_p(held);
        }
        self.submitted();
    }

    fn report_stacks(&self, now: u64, error: &StackError) {
        let waiters = &self.stack_waiters;
        let since = waiters.since.load(Ordering::Relaxed);
        if now.saturating_sub(since) > REPORT_AFTER
            && !waiters.reported.swap(true, Ordering::Relaxed)
        {
            warn(format_args!(
                "corio: {} goroutines wait for a stack: {error}",
                waiters.count.load(Ordering::Relaxed)
            ));
        }
    }
}
