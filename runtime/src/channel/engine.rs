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
//! A select whose time is up, or that has a `default`, makes the second pass as well, and then gives up
//! by claiming its own wait instead of parking. Thus there was a moment at which none of its operations could
//! be performed, which looking at one after the other doesn't show: what was empty may have been filled
//! meanwhile, and what is empty now full before.
//!
//! Only one channel is locked at a time (Go locks all of a select's channels, in the order of their
//! addresses, three times). What makes that possible is the token: when the second pass comes across
//! an operation that can be performed while others are queued already, the select must first claim its
//! *own* wait. If that fails, it has been chosen elsewhere, and only waits for its waker. If it succeeds,
//! nobody else can choose it, and it may claim a peer; should the peer have gone meanwhile, it starts
//! anew. Two selects that face each other can't claim each other: whoever comes second holds the
//! channel's lock, has claimed itself, and finds the other's node claimed or open, never in between.
//!
//! With two channels both may go away empty-handed, each having found the other gone, and start anew; that takes
//! both to be between the same two instructions at the same time, and the next round is another matter of
//! chance.
//!
//! Exactly one operation is won because a wait is ended once (`state::wait`) and the first pass has none.
//!
//! Channels that deliver at a certain time (`timed`) have nobody to wake their waiters. They say when they
//! are due; the wait is ended then, at the latest, and the select looks again.
//!
//! Nodes for up to [`INLINE`] operations lie on the stack.
//!
//! Next in the reading order: `select`, its public face.

use crate::channel::reserve::{Begun, Prize, Wait};
use crate::channel::state::{CLOSED, DONE, PROMISED, WAITS, WATCHES};
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
    /// Waits until the promised message has been made; `false`: it won't be.
    fn await_promise(&self) -> bool;
    /// When it can be performed without anybody's doing.
    fn due(&self) -> u64;
    /// Could it be performed now?
    fn is_ready(&self) -> bool;
    /// `true`: it could be performed now, and the node is not queued. Otherwise it is.
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

/// A deadline for selects that do not wait.
pub(super) const NOW: u64 = 0;

/// How the second pass ended.
enum Second<W> {
    /// With this.
    Won(W),
    /// Something has changed: from the start.
    LookAgain,
    /// There was nothing, and the time is up.
    GaveUp,
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

/// Wins one of the operations; `None`: there is none until `deadline` (on the runtime's clock; [`NOW`],
/// [`NEVER`]).
#[doc(alias = "selectgo")]
pub(super) fn select<'a>(
    arms: &mut [Arm<'a>],
    deadline: u64,
    biased: bool,
) -> Option<(Arm<'a>, Prize)> {
    loop {
        let won = first(arms, biased, |arm| match arm.operation.begin(None) {
            Begun::Won(prize) => Some(prize),
            _ => None,
        });
        let won = match won {
            Some(won) => {
                if deadline != NOW {
                    checkpoint();
                }
                won
            }
            None => {
                // SAFETY: the wait is over when `second_pass` returns.
                let token = unsafe { begin() };
                match with_nodes(arms.len(), |nodes| {
                    second_pass(arms, nodes, token, deadline)
                }) {
                    Second::Won(won) => won,
                    Second::LookAgain => continue,
                    Second::GaveUp => return None,
                }
            }
        };
        match won {
            (arm, Prize::Promised) if arm.operation.await_promise() => {
                return Some((arm, Prize::Reserved));
            }
            (_, Prize::Promised) => {}
            won => return Some(won),
        }
    }
}

fn second_pass<'a>(
    arms: &[Arm<'a>],
    nodes: &mut [MaybeUninit<Node>],
    token: WaitToken,
    deadline: u64,
) -> Second<(Arm<'a>, Prize)> {
    let mut queued = 0;
    // What the pass came to if it didn't queue everything.
    let mut stopped = None;
    for (arm, place) in arms.iter().zip(nodes.iter_mut()) {
        let node = place.write(Node::contested(token, WAITS, ptr::null_mut()));
        let begun = arm.operation.begin(Some((node, token)));
        if begun != Begun::Queued {
            stopped = Some((begun, *arm));
            break;
        }
        queued += 1;
    }
    let mut end = match stopped {
        None => wait(arms, token, deadline),
        Some((Begun::Won(prize), arm)) => Second::Won((arm, prize)),
        Some((Begun::Lost, _)) => {
            park(WaitReason::Select, 0);
            Second::LookAgain
        }
        Some((Begun::Gone | Begun::Queued, _)) => Second::LookAgain,
    };
    for (arm, place) in arms.iter().zip(nodes.iter()).take(queued) {
        // SAFETY: the first `queued` nodes were written above.
        let node = unsafe { place.assume_init_ref() };
        if !node.was_popped() {
            arm.operation.delist(node);
        }
        match node.outcome() {
            DONE => end = Second::Won((*arm, Prize::Reserved)),
            PROMISED => end = Second::Won((*arm, Prize::Promised)),
            CLOSED => end = Second::Won((*arm, Prize::Closed)),
            _ => {}
        }
    }
    end
}

/// Parks until the wait is ended, by a waker or by the time; if that is up already, ends the wait itself.
fn wait<W>(arms: &[Arm<'_>], token: WaitToken, deadline: u64) -> Second<W> {
    let up = deadline == NOW || deadline != NEVER && deadline <= clock::now();
    if up && let Some(waiter) = token.claim() {
        waiter.cancel();
        return Second::GaveUp;
    }
    // Also if somebody is just ending the wait of a select whose time is up.
    let due = arms.iter().map(|arm| arm.operation.due()).min();
    let when = due.unwrap_or(NEVER).min(deadline);
    let timer = (!up && when != NEVER).then(|| timer::wake_at(when, token));
    park(WaitReason::Select, 0);
    if let Some(timer) = timer {
        timer::cancel(timer);
    }
    Second::LookAgain
}

/// Waits until one of the operations could be performed; `None`: none could until `deadline`, as for
/// [`select`].
pub(super) fn ready<'a>(arms: &mut [Arm<'a>], deadline: u64, biased: bool) -> Option<Arm<'a>> {
    loop {
        if let Some((arm, ())) = first(arms, biased, |arm| arm.operation.is_ready().then_some(())) {
            return Some(arm);
        }
        // SAFETY: the wait is over when `second_look` returns.
        let token = unsafe { begin() };
        match with_nodes(arms.len(), |nodes| {
            second_look(arms, nodes, token, deadline)
        }) {
            Second::Won(arm) => return Some(arm),
            Second::LookAgain => {}
            Second::GaveUp => return None,
        }
    }
}

/// The second pass of [`ready`]: nodes that only watch.
fn second_look<'a>(
    arms: &[Arm<'a>],
    nodes: &mut [MaybeUninit<Node>],
    token: WaitToken,
    deadline: u64,
) -> Second<Arm<'a>> {
    let mut queued = 0;
    let mut ready = None;
    for (arm, place) in arms.iter().zip(nodes.iter_mut()) {
        let node = place.write(Node::contested(token, WATCHES, ptr::null_mut()));
        if arm.operation.watch(node) {
            ready = Some(*arm);
            break;
        }
        queued += 1;
    }
    let end = match ready {
        None => wait(arms, token, deadline),
        Some(arm) => {
            match token.claim() {
                Some(waiter) => waiter.cancel(),
                // Somebody is just ending the wait.
                None => park(WaitReason::Select, 0),
            }
            Second::Won(arm)
        }
    };
    for (arm, place) in arms.iter().zip(nodes.iter()).take(queued) {
        // SAFETY: the first `queued` nodes were written above.
        let node = unsafe { place.assume_init_ref() };
        if !node.was_popped() {
            arm.operation.delist(node);
        }
    }
    end
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
