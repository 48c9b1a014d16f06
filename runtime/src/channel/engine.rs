//! How a select finds the one operation that it performs.
//!
//! In two passes, of which most selects need only the first:
//!
//! 1. Look at the operations in random order (a fresh choice each time, so that none is starved by
//!    its place); the first that can be performed is won.
//! 2. Otherwise open a wait, and queue one node per operation, all with the same token. Each queueing looks
//!    again, under that channel's lock. Then park. Whoever finds one of the nodes claims the token, and so
//!    decides for all of them; the others are taken out when the select wakes.
//!
//! Only one channel is locked at a time (Go locks all of a select's channels, in the order of their
//! addresses, three times). What makes that possible is the token: when the second pass comes across
//! an operation that can be performed while others are queued already, the select must first claim its
//! *own* wait. If that fails, it has been chosen elsewhere, and only waits for its waker. If it succeeds,
//! nobody else can choose it, and it may claim a peer; should the peer have gone meanwhile, it starts
//! anew. Two selects that face each other can't claim each other: whoever comes second holds the
//! channel's lock, has claimed itself, and finds the other's node claimed or open, never in between.
//!
//! Exactly one operation is won because a wait is ended once (`state::wait`) and the first pass has none.
//!
//! Channels that deliver at a certain time (`timed`) have nobody to wake their waiters. They say when they
//! are due; the wait is ended then, at the latest, and the select looks again.
//!
//! Nodes for up to [`INLINE`] operations lie on the stack.

use crate::channel::reserve::{Begun, Prize, Wait};
use crate::channel::state::{CLOSED, DONE, WAITS, WATCHES};
use crate::park::{WaitReason, WaitToken, begin, checkpoint, park};
use crate::prim::clock::{self, NEVER};
use crate::sched::current;
use crate::sync::waitq::Node;
use crate::timer;
use std::mem::MaybeUninit;
use std::ptr;

/// Operations for which nothing is allocated.
pub(super) const INLINE: usize = 8;

/// A channel's handle as an operation of a select.
pub(super) trait Operation {
    /// Wins the operation, or queues the node of `wait` if there is one.
    fn begin(&self, wait: Wait<'_>) -> Begun;
    /// Takes a node out that `begin` or `watch` has queued.
    fn delist(&self, node: &Node);
    /// Gives back what was won.
    fn cancel(&self, prize: Prize);
    /// When it can be performed without anybody's doing.
    fn due(&self) -> u64;
    /// Could it be performed now?
    fn is_ready(&self) -> bool;
    /// `true`: it could be performed now. Otherwise the node is queued until it could.
    fn watch(&self, node: &Node) -> bool;
}

/// One operation of a select, and its number.
#[derive(Clone, Copy)]
pub struct Arm<'a> {
    pub(super) operation: &'a dyn Operation,
    pub(super) index: usize,
}

impl Arm<'_> {
    /// Where the handle is, to check later that it is the same.
    pub(super) fn handle(&self) -> *const () {
        ptr::from_ref(self.operation).cast()
    }
}

/// How long a select waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all.
    Now,
    /// Until this time on the runtime's clock; [`NEVER`]: for ever.
    Until(u64),
}

impl Patience {
    pub(super) const FOREVER: Patience = Patience::Until(NEVER);
}

/// Goes through the arms, the first one first if `biased`, otherwise in random order, until `found`.
fn first<'a, R>(
    arms: &mut [Arm<'a>],
    biased: bool,
    mut found: impl FnMut(&Arm<'a>) -> Option<R>,
) -> Option<(Arm<'a>, R)> {
    for at in 0..arms.len() {
        if !biased && at + 1 < arms.len() {
            arms.swap(at, at + current::random(arms.len() - at));
        }
        if let Some(result) = found(&arms[at]) {
            return Some((arms[at], result));
        }
    }
    None
}

/// Wins one of the operations; `None`: the time is up.
pub(super) fn select<'a>(
    arms: &mut [Arm<'a>],
    patience: Patience,
    biased: bool,
) -> Option<(Arm<'a>, Prize)> {
    loop {
        let won = first(arms, biased, |arm| match arm.operation.begin(None) {
            Begun::Won(prize) => Some(prize),
            _ => None,
        });
        let deadline = match (won, patience) {
            (Some(won), Patience::Now) => return Some(won),
            (Some(won), Patience::Until(_)) => {
                checkpoint();
                return Some(won);
            }
            (None, Patience::Now) => return None,
            (None, Patience::Until(deadline)) => deadline,
        };
        if deadline != NEVER && deadline <= clock::now() {
            return None;
        }
        // SAFETY: `wait_for` ends the wait.
        let token = unsafe { begin() };
        let won = with_nodes(arms.len(), |nodes| {
            wait_to_begin(arms, nodes, token, deadline)
        });
        if won.is_some() {
            return won;
        }
    }
}

/// The second pass. `None`: look again.
fn wait_to_begin<'a>(
    arms: &[Arm<'a>],
    nodes: &mut [MaybeUninit<Node>],
    token: WaitToken,
    deadline: u64,
) -> Option<(Arm<'a>, Prize)> {
    let mut queued = 0;
    let mut parks = true;
    let mut timed = true;
    let mut won = None;
    for (arm, place) in arms.iter().zip(nodes.iter_mut()) {
        let node = place.write(Node::contested(token, WAITS, ptr::null_mut()));
        match arm.operation.begin(Some((node, token))) {
            Begun::Queued => {
                queued += 1;
                continue;
            }
            Begun::Won(prize) => {
                won = Some((*arm, prize));
                parks = false;
            }
            Begun::Lost => timed = false,
            Begun::Gone => parks = false,
        }
        break;
    }
    if parks {
        wait_for(arms, token, if timed { deadline } else { NEVER }, timed);
    }
    for (arm, place) in arms.iter().zip(nodes.iter()).take(queued) {
        // SAFETY: the first `queued` nodes were written above.
        let node = unsafe { place.assume_init_ref() };
        if !node.was_popped() {
            arm.operation.delist(node);
        }
        match node.outcome() {
            DONE => won = Some((*arm, Prize::Reserved)),
            CLOSED => won = Some((*arm, Prize::Closed)),
            _ => {}
        }
    }
    won
}

/// Parks until the wait is ended, by a waker or by the time.
fn wait_for(arms: &[Arm<'_>], token: WaitToken, deadline: u64, timed: bool) {
    let due = arms.iter().map(|arm| arm.operation.due()).min();
    let when = due.unwrap_or(NEVER).min(deadline);
    let timer = (timed && when != NEVER).then(|| timer::wake_at(when, token));
    park(WaitReason::Select, 0);
    if let Some(timer) = timer {
        timer::cancel(timer);
    }
}

/// Waits until one of the operations could be performed; `None`: the time is up.
pub(super) fn ready<'a>(arms: &mut [Arm<'a>], patience: Patience, biased: bool) -> Option<Arm<'a>> {
    loop {
        let ready = first(arms, biased, |arm| arm.operation.is_ready().then_some(()));
        let deadline = match (ready, patience) {
            (Some((arm, ())), _) => return Some(arm),
            (None, Patience::Now) => return None,
            (None, Patience::Until(deadline)) => deadline,
        };
        if deadline != NEVER && deadline <= clock::now() {
            return None;
        }
        // SAFETY: the wait is over when `wait_until_ready` returns.
        let token = unsafe { begin() };
        with_nodes(arms.len(), |nodes| {
            wait_until_ready(arms, nodes, token, deadline);
        });
    }
}

fn wait_until_ready(
    arms: &[Arm<'_>],
    nodes: &mut [MaybeUninit<Node>],
    token: WaitToken,
    deadline: u64,
) {
    let mut queued = 0;
    let mut parks = true;
    for (arm, place) in arms.iter().zip(nodes.iter_mut()) {
        let node = place.write(Node::contested(token, WATCHES, ptr::null_mut()));
        if arm.operation.watch(node) {
            // Ready: the wait is given up, unless somebody is ending it.
            if let Some(waiter) = token.claim() {
                waiter.cancel();
                parks = false;
            }
            break;
        }
        queued += 1;
    }
    if parks {
        wait_for(arms, token, deadline, true);
    }
    for (arm, place) in arms.iter().zip(nodes.iter()).take(queued) {
        // SAFETY: the first `queued` nodes were written above.
        arm.operation.delist(unsafe { place.assume_init_ref() });
    }
}

/// Calls `f` with room for this many nodes, which stay in place meanwhile.
fn with_nodes<R>(count: usize, f: impl FnOnce(&mut [MaybeUninit<Node>]) -> R) -> R {
    if count <= INLINE {
        let mut nodes = [const { MaybeUninit::uninit() }; INLINE];
        f(&mut nodes[..count])
    } else {
        let mut nodes: Vec<MaybeUninit<Node>> = Vec::with_capacity(count);
        // SAFETY: within the capacity, and uninitialised elements are allowed to be so.
        unsafe { nodes.set_len(count) };
        f(&mut nodes)
    }
}
