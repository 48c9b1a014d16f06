//! The pool's books: places, idle connections, waiters, attempts to connect.
//!
//! ## Places
//!
//! A pool has `max` places. Whoever has, or makes, a connection has a place:
//!
//! | the place of | is given back by |
//! | --- | --- |
//! | a connection in use, or handed to a waiter | dropping its [`Place`], whatever way its holder ends |
//! | an idle connection | taking it out makes a [`Place`] again |
//! | an attempt to connect | its end: it becomes the connection's, or [`Core::failed`] gives it back |
//!
//! So that nothing the user's code does loses a place, it runs (connecting, checking, dropping a
//! connection) outside the lock, and with the place in a guard or a `catch_unwind` around it.
//!
//! ## Waiters and attempts
//!
//! A caller that finds nothing idle queues, and an attempt to connect is started if there is a place
//! for it; the caller gets what comes first, a connection that somebody returns or a new one. So a
//! waiter can give up at any time, whether the function that connects can or not, and the connection
//! that comes too late for it is the next one's. An attempt belongs to nobody: its result, or error, is
//! the first waiter's.
//!
//! Waiting for an attempt ends with the connect timeout: then the attempt is [overdue](super::attempts), and
//! the first waiter gets an error, unless it came so late that it hasn't waited that long; that one waits for
//! another attempt, new or overdue. What an overdue attempt makes is as good as any connection; its
//! error is nobody's. The clock is the waiters': each looks after the attempts when the first of them
//! falls due ([`State::next_look`]), so there is no goroutine or timer for it, and no look if nobody waits.
//!
//! **Invariants**, whenever the lock is free and the pool is open:
//!
//! 1. Nobody waits while a connection is idle.
//! 2. There are as many awaited attempts as waiters, or more, or all places are taken and no attempt is
//!    overdue ([`State::replenish`]): a waiter always has something to wait for.
//! 3. Waiters are served in the order in which they came to the pool: their tickets. One that got a
//!    connection which turns out to be broken waits again with the ticket it has.
//!
//! Rejected: connecting on the caller's goroutine, as Go's database/sql does. A caller that connects
//! can't take the connection returned meanwhile, and waits for as long as the function pleases.
//! A semaphore for the places: it would have its own queue beside that for connections.
//!
//! The lock is a plain one: dropping a [`PooledConn`](super::PooledConn) must not switch. What is done
//! under it is short and none of the user's.

use super::Stats;
use super::attempts::Attempts;
use crate::error::pool_closed;
use crate::prim::{Mutex, MutexGuard};
use corio::channel::{Receiver, Sender, at, bounded, never};
use corio::context::{CancelFunc, Context};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the user has set.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) max: usize,
    pub(super) min_idle: usize,
    pub(super) max_idle: usize,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_lifetime: Option<Duration>,
}

impl Limits {
    /// Does anything depend on the clock?
    fn is_timed(&self) -> bool {
        self.idle_timeout.is_some() || self.max_lifetime.is_some()
    }
}

pub(super) type Connect<C> = Box<dyn Fn(&Context) -> io::Result<C> + Send + Sync>;
pub(super) type Check<C> = Box<dyn Fn(&mut C) -> bool + Send + Sync>;

/// See the module's head.
pub(super) struct Core<C: Send + 'static> {
    pub(super) limits: Limits,
    pub(super) connect: Connect<C>,
    check: Option<Check<C>>,
    /// How long attempts are awaited.
    patience: Option<Duration>,
    state: Mutex<State<C>>,
    /// Cancelled when the pool is closed; attempts have it.
    pub(super) root: Context,
    cancel: CancelFunc,
    /// Wakes the [`keeper`](super::keeper).
    pub(super) wake: Sender<()>,
    pub(super) woken: Receiver<()>,
}

pub(super) struct State<C: Send + 'static> {
    pub(super) closed: bool,
    /// Places taken.
    pub(super) places: usize,
    pub(super) attempts: Attempts,
    /// Least recently used first.
    pub(super) idle: VecDeque<Entry<C>>,
    pub(super) waiters: BTreeMap<u64, Waiter<C>>,
    next_ticket: u64,
    pub(super) keeper: Keeper,
    /// Attempts that failed since one succeeded.
    pub(super) failures: u32,
    /// When the keeper may try again.
    pub(super) retry_at: Option<Instant>,
    pub(super) stats: Stats,
}

/// The goroutine of [`keeper`](super::keeper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// There is none.
    Off,
    /// It looks at the pool then, if it isn't woken before.
    Until(Option<Instant>),
}

/// A connection with its history.
pub(super) struct Entry<C> {
    pub(super) conn: C,
    pub(super) created: Instant,
    /// When it was used last.
    pub(super) used: Instant,
}

pub(super) struct Waiter<C: Send + 'static> {
    to: Sender<Delivery<C>>,
    since: Instant,
}

/// A connection, and is it new? Or the error of the attempt.
type Delivery<C> = io::Result<(Member<C>, bool)>;

/// A connection outside the pool, with its place. Fields are dropped in this order: there are never more
/// connections than places.
pub(super) struct Member<C: Send + 'static> {
    pub(super) entry: Entry<C>,
    pub(super) place: Place<C>,
}

/// A place that is given back on drop.
pub(super) struct Place<C: Send + 'static>(Option<Arc<Core<C>>>);

impl<C: Send + 'static> Place<C> {
    /// The place stays taken: what had it goes back into the pool.
    fn keep(mut self) -> Arc<Core<C>> {
        self.0.take().expect("only this takes it")
    }
}

impl<C: Send + 'static> Drop for Place<C> {
    fn drop(&mut self) {
        let Some(core) = self.0.take() else { return };
        let mut state = core.lock();
        state.places -= 1;
        let attempts = state.replenish(&core);
        core.look_after(&mut state);
        drop(state);
        core.start(attempts);
    }
}

/// How long a caller waits.
#[derive(Clone, Copy)]
pub(super) enum Until<'a> {
    Forever,
    Time(Instant),
    Done(&'a Context),
}

/// What a caller finds.
enum Found<C: Send + 'static> {
    Idle(Member<C>),
    Queued(Ticket<C>),
}

/// A place in the queue.
struct Ticket<C: Send + 'static> {
    number: u64,
    delivery: Receiver<Delivery<C>>,
    /// When to look after the attempts.
    look: Option<Instant>,
}

impl<C: Send + 'static> State<C> {
    /// Restores invariant 2; the caller starts these attempts after it has unlocked.
    #[must_use]
    pub(super) fn replenish(&mut self, core: &Core<C>) -> Range<u64> {
        let wanted = self.waiters.len().saturating_sub(self.attempts.awaited());
        if self.closed || wanted == 0 {
            return 0..0;
        }
        let new = wanted.min(core.limits.max - self.places);
        self.attempts.renew(wanted - new, core.due());
        self.reserve(core, new)
    }

    /// Takes places for attempts, of which there must be so many; the caller starts them.
    #[must_use]
    pub(super) fn reserve(&mut self, core: &Core<C>, attempts: usize) -> Range<u64> {
        if attempts == 0 {
            return 0..0;
        }
        self.places += attempts;
        self.attempts.begin(attempts, core.due())
    }

    /// Ends the waiting for attempts whose time is over; the caller starts these others.
    #[must_use]
    fn expire(&mut self, core: &Core<C>, now: Instant) -> Range<u64> {
        while self.attempts.fall_due(now) {
            let since = self.waiters.values().next().map(|first| first.since);
            if since
                .is_some_and(|since| core.patience <= Some(now.saturating_duration_since(since)))
            {
                self.stats.connect_timeouts += 1;
                // It comes back if the waiter was unwound.
                let _ = self.deliver(Err(core.overdue()));
            }
        }
        self.replenish(core)
    }

    /// When a waiter has to look after the attempts: when the first falls due. One that begins later isn't due
    /// before a look that is as far ahead as if it began now.
    fn next_look(&self, core: &Core<C>) -> Option<Instant> {
        self.attempts.first_due().or_else(|| core.due())
    }

    /// Connections that users have.
    pub(super) fn in_use(&self) -> usize {
        self.places - self.attempts.len() - self.idle.len()
    }

    fn first_waiter(&mut self) -> Option<Waiter<C>> {
        let (_, waiter) = self.waiters.pop_first()?;
        self.stats.wait_time += waiter.since.elapsed();
        Some(waiter)
    }

    /// Hands something to the first waiter; returns it if there is none.
    pub(super) fn deliver(&mut self, mut delivery: Delivery<C>) -> Result<(), Delivery<C>> {
        while let Some(waiter) = self.first_waiter() {
            // There is room: a waiter gets one. But it may have been unwound.
            match waiter.to.try_send(delivery) {
                Ok(()) => return Ok(()),
                Err(error) => delivery = error.into_inner(),
            }
        }
        Err(delivery)
    }
}

impl<C: Send + 'static> Core<C> {
    pub(super) fn new(
        limits: Limits,
        patience: Option<Duration>,
        connect: Connect<C>,
        check: Option<Check<C>>,
    ) -> Self {
        let (root, cancel) = Context::background().with_cancel();
        let (wake, woken) = bounded(1);
        Core {
            limits,
            connect,
            check,
            patience,
            state: Mutex::new(State {
                closed: false,
                places: 0,
                attempts: Attempts::default(),
                idle: VecDeque::new(),
                waiters: BTreeMap::new(),
                next_ticket: 0,
                keeper: Keeper::Off,
                failures: 0,
                retry_at: None,
                stats: Stats::default(),
            }),
            root,
            cancel,
            wake,
            woken,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock()
    }

    /// When an attempt that is awaited from now on becomes overdue.
    fn due(&self) -> Option<Instant> {
        Instant::now().checked_add(self.patience?)
    }

    /// Is there something about this connection, idle or just given back, that ends its time?
    pub(super) fn is_stale(&self, entry: &Entry<C>, now: Instant) -> bool {
        self.expiry(entry).is_some_and(|at| at <= now)
    }

    /// When its time is over if it is not used any more.
    pub(super) fn expiry(&self, entry: &Entry<C>) -> Option<Instant> {
        let after = |from: Instant, time: Option<Duration>| from.checked_add(time?);
        let idle = after(entry.used, self.limits.idle_timeout);
        let life = after(entry.created, self.limits.max_lifetime);
        idle.into_iter().chain(life).min()
    }

    /// Counts why its time is over.
    pub(super) fn count_stale(&self, state: &mut State<C>, entry: &Entry<C>, now: Instant) {
        let lived = now.saturating_duration_since(entry.created);
        if self.limits.max_lifetime.is_some_and(|max| max <= lived) {
            state.stats.lifetime_closed += 1;
        } else {
            state.stats.idle_closed += 1;
        }
    }

    /// Takes the place of an idle connection over, or that of an attempt.
    pub(super) fn member(self: &Arc<Self>, entry: Entry<C>) -> Member<C> {
        Member {
            entry,
            place: Place(Some(Arc::clone(self))),
        }
    }
}

// ---- taking out ----

impl<C: Send + 'static> Core<C> {
    /// A healthy connection.
    pub(super) fn get(self: &Arc<Self>, until: Until<'_>) -> io::Result<Member<C>> {
        if let Until::Done(ctx) = until {
            ctx.check()?;
        }
        let mut ticket = None;
        let mut found = self.take_or_queue(&mut ticket)?;
        loop {
            let (member, new) = match found {
                Found::Idle(member) => (member, false),
                Found::Queued(ticket) => self.wait(ticket, until)?,
            };
            if new {
                return Ok(member);
            }
            let unfit = match self.checked(member) {
                Ok(member) => return Ok(member),
                Err(unfit) => unfit,
            };
            // Queues before the place is free, or somebody behind us could be served first.
            let next = self.take_or_queue(&mut ticket);
            drop(unfit);
            found = next?;
        }
    }

    /// A healthy connection that is idle.
    pub(super) fn try_get(self: &Arc<Self>) -> Option<Member<C>> {
        loop {
            let mut state = self.lock();
            let entry = state.idle.pop_back()?;
            self.look_after(&mut state);
            drop(state);
            if let Ok(member) = self.checked(self.member(entry)) {
                return Some(member);
            }
        }
    }

    fn take_or_queue(self: &Arc<Self>, ticket: &mut Option<u64>) -> io::Result<Found<C>> {
        let mut state = self.lock();
        if state.closed {
            return Err(pool_closed());
        }
        let number = *ticket.get_or_insert_with(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        if let Some(entry) = state.idle.pop_back() {
            self.look_after(&mut state);
            drop(state);
            return Ok(Found::Idle(self.member(entry)));
        }
        let (to, delivery) = bounded(1);
        let since = Instant::now();
        let waiter = Waiter { to, since };
        state.waiters.insert(number, waiter);
        state.stats.waits += 1;
        // There may be attempts that fell due while nobody waited.
        let attempts = state.expire(self, since);
        let look = state.next_look(self);
        self.look_after(&mut state);
        drop(state);
        self.start(attempts);
        Ok(Found::Queued(Ticket {
            number,
            delivery,
            look,
        }))
    }

    fn wait(
        self: &Arc<Self>,
        ticket: Ticket<C>,
        until: Until<'_>,
    ) -> io::Result<(Member<C>, bool)> {
        let Ticket {
            number,
            delivery,
            mut look,
        } = ticket;
        loop {
            match listen(&delivery, until, look) {
                // Closing drops the sender.
                Heard::Delivery(received) => {
                    return received.unwrap_or_else(|| Err(pool_closed()));
                }
                Heard::Look => {
                    let mut state = self.lock();
                    let attempts = state.expire(self, Instant::now());
                    look = state.next_look(self);
                    drop(state);
                    self.start(attempts);
                }
                Heard::End => break,
            }
        }
        let mut state = self.lock();
        if let Some(waiter) = state.waiters.remove(&number) {
            state.stats.wait_time += waiter.since.elapsed();
            state.stats.timeouts += 1;
            let (in_use, connecting) = (state.in_use(), state.attempts.len());
            drop(state);
            return Err(match until {
                Until::Done(ctx) => ctx.check().expect_err("it is done").into(),
                _ => given_up(in_use, connecting),
            });
        }
        drop(state);
        // It came in the last moment: under the lock, before we had it.
        delivery.try_recv().unwrap_or_else(|_| Err(pool_closed()))
    }

    /// The connection as the result, if it may be used.
    fn checked(&self, mut member: Member<C>) -> Result<Member<C>, Member<C>> {
        if self.limits.is_timed() {
            let now = Instant::now();
            if self.is_stale(&member.entry, now) {
                self.count_stale(&mut self.lock(), &member.entry, now);
                return Err(member);
            }
        }
        if let Some(check) = &self.check
            && !check(&mut member.entry.conn)
        {
            self.lock().stats.unhealthy_closed += 1;
            return Err(member);
        }
        Ok(member)
    }
}

// ---- giving back ----

impl<C: Send + 'static> Member<C> {
    /// Gives the connection back to the pool, which may close it.
    pub(super) fn give_back(self) {
        let Member { mut entry, place } = self;
        let core = place.keep();
        let mut stale = false;
        if core.limits.is_timed() {
            entry.used = Instant::now();
            stale = core.is_stale(&entry, entry.used);
        }
        let mut state = core.lock();
        let rest = if stale {
            let now = entry.used;
            core.count_stale(&mut state, &entry, now);
            Some(entry)
        } else {
            core.settle(&mut state, entry, false)
        };
        drop(state);
        // Closes it; the place goes after.
        drop(rest.map(|entry| core.member(entry)));
    }
}

impl<C: Send + 'static> Core<C> {
    /// Gives a connection that has a place to the first waiter, or makes it idle, or returns it to be
    /// closed.
    pub(super) fn settle(
        self: &Arc<Self>,
        state: &mut State<C>,
        entry: Entry<C>,
        new: bool,
    ) -> Option<Entry<C>> {
        if state.closed {
            return Some(entry);
        }
        let mut entry = entry;
        if !state.waiters.is_empty() {
            match state.deliver(Ok((self.member(entry), new))) {
                Ok(()) => return None,
                Err(delivery) => {
                    let Ok((member, _)) = delivery else {
                        unreachable!("what was not delivered comes back")
                    };
                    entry = member.entry;
                    // Not the last handle: we have one.
                    member.place.keep();
                }
            }
        }
        if state.idle.len() >= self.limits.max_idle {
            state.stats.max_idle_closed += 1;
            return Some(entry);
        }
        let expiry = self.expiry(&entry);
        state.idle.push_back(entry);
        if let Some(at) = expiry {
            self.look_after_at(state, Some(at));
        }
        None
    }

    /// Ends the pool: see [`ConnPool::close`](super::ConnPool::close).
    pub(super) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        self.cancel.cancel();
        // Dropping their senders tells them.
        drop(waiters);
        // If it is full the keeper is about to look anyway.
        let _ = self.wake.try_send(());
        self.dismiss(idle);
    }

    /// Closes idle connections that were taken out. First all of them get their places, in case that
    /// dropping one panics.
    pub(super) fn dismiss(self: &Arc<Self>, entries: impl IntoIterator<Item = Entry<C>>) {
        let members: Vec<_> = entries
            .into_iter()
            .map(|entry| self.member(entry))
            .collect();
        drop(members);
    }
}

/// What ends a waiter's sleep.
enum Heard<C: Send + 'static> {
    /// `None`: the pool was closed.
    Delivery(Option<Delivery<C>>),
    Look,
    End,
}

fn listen<C: Send + 'static>(
    delivery: &Receiver<Delivery<C>>,
    until: Until<'_>,
    look: Option<Instant>,
) -> Heard<C> {
    if let Until::Done(ctx) = until {
        let look = look.map_or_else(never, at);
        return corio::select! {
            recv(delivery) -> received => Heard::Delivery(received.ok()),
            recv(ctx.done()) -> _ => Heard::End,
            recv(look) -> _ => Heard::Look,
        };
    }
    let end = match until {
        Until::Time(end) => Some(end),
        _ => None,
    };
    let Some(first) = end.into_iter().chain(look).min() else {
        return Heard::Delivery(delivery.recv().ok());
    };
    match delivery.recv_deadline(first) {
        Err(error) if error.is_timeout() && end == Some(first) => Heard::End,
        Err(error) if error.is_timeout() => Heard::Look,
        received => Heard::Delivery(received.ok()),
    }
}

/// The error of a caller whose time is up.
fn given_up(in_use: usize, connecting: usize) -> io::Error {
    let mut text = format!("timed out waiting for a connection of the pool ({in_use} in use");
    if connecting > 0 {
        text += &format!(", {connecting} connecting");
    }
    io::Error::new(io::ErrorKind::TimedOut, text + ")")
}
