//! `Select`: waiting for several channel operations, of which the set is made at run time; and what
//! `select!` expands to.
//!
//! Next in the reading order: `macros`.

use crate::channel::engine::{self, Arm, NOW, Operation};
use crate::channel::error::{
    ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
};
use crate::channel::reserve::Prize;
use crate::channel::{Receiver, Sender, deadline, from_now};
use crate::prim::clock::NEVER;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// Waits for the first of several channel operations that can be performed.
///
/// Mirrors `crossbeam_channel::Select`, and Go's `reflect.Select`. For a set that is known when the
/// program is written there is the [`select!`](crate::select!) macro.
///
/// Operations are added with [`send`](Select::send) and [`recv`](Select::recv), and numbered from 0. Then
/// either [`select`](Select::select) and its variants choose one that can be performed without waiting
/// and reserve it, so that it must be performed through the [`SelectedOperation`]; or
/// [`ready`](Select::ready) and its variants say which one could be performed at this moment, and promise
/// nothing. If several can be performed, one is chosen at random (unless the select is
/// [biased](Select::new_biased)). An operation on a disconnected channel can be performed: it fails.
///
/// A select can be used again, and also be cloned.
///
/// ```
/// use corio::channel::{self, Select};
/// use corio::go;
///
/// let channels: Vec<_> = (0..3).map(|_| channel::bounded(0)).collect();
/// for (n, (s, _)) in channels.iter().enumerate() {
///     let s = s.clone();
///     go!(move || s.send(n * 10));
/// }
/// let mut select = Select::new();
/// for (_, r) in &channels {
///     select.recv(r);
/// }
/// let mut sum = 0;
/// for _ in 0..3 {
///     let operation = select.select();
///     let index = operation.index();
///     sum += operation.recv(&channels[index].1).unwrap();
/// }
/// assert_eq!(sum, 30);
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    arms: Vec<Arm<'a>>,
    next_index: usize,
    biased: bool,
}

// SAFETY: an arm refers to a `Sender` or `Receiver`, whose channel is changed under its lock. What such a
// reference gives access to, messages, isn't reached through the select: that takes a `Sender` or
// `Receiver` again, which says itself whether it may be used on this thread.
unsafe impl Send for Select<'_> {}
// SAFETY: as above; and a shared select only tells what it consists of.
unsafe impl Sync for Select<'_> {}

impl UnwindSafe for Select<'_> {}
impl RefUnwindSafe for Select<'_> {}

impl<'a> Select<'a> {
    /// A select without operations.
    pub fn new() -> Select<'a> {
        Select {
            arms: Vec::with_capacity(4),
            next_index: 0,
            biased: false,
        }
    }

    /// A select that prefers operations added earlier.
    ///
    /// ```
    /// use corio::channel::{self, Select};
    /// let (s1, r1) = channel::unbounded();
    /// let (s2, r2) = channel::unbounded();
    /// let mut select = Select::new_biased();
    /// select.recv(&r1);
    /// select.recv(&r2);
    /// s2.send(2).unwrap();
    /// s1.send(1).unwrap();
    /// let operation = select.select();
    /// assert_eq!(operation.index(), 0);
    /// assert_eq!(operation.recv(&r1), Ok(1));
    /// ```
    pub fn new_biased() -> Select<'a> {
        Select {
            biased: true,
            ..Select::new()
        }
    }

    /// Adds a send, and returns its number.
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s)
    }

    /// Adds a receive, and returns its number.
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(r)
    }

    fn add(&mut self, operation: &'a dyn Operation) -> usize {
        let index = self.next_index;
        self.arms.push(Arm { operation, index });
        self.next_index += 1;
        index
    }

    /// Removes an operation. The others keep their numbers.
    ///
    /// # Panics
    ///
    /// If there is no operation of this number.
    ///
    /// ```
    /// use corio::channel::{self, Select};
    /// let (s, r) = channel::unbounded();
    /// let (_s2, r2) = channel::unbounded::<i32>();
    /// let mut select = Select::new();
    /// let first = select.recv(&r);
    /// let second = select.recv(&r2);
    /// s.send(1).unwrap();
    /// select.remove(first);
    /// assert!(select.try_select().is_err());
    /// # let _ = second;
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next_index,
            "index out of bounds; {index} >= {}",
            self.next_index
        );
        let at = self
            .arms
            .iter()
            .position(|arm| arm.index == index)
            .expect("no operation with this index");
        if self.biased {
            self.arms.remove(at);
        } else {
            self.arms.swap_remove(at);
        }
    }

    /// Chooses an operation that can be performed now.
    ///
    /// # Errors
    ///
    /// There was a moment during the call at which none could be.
    ///
    /// # Blocking
    ///
    /// Does not wait for anybody to do anything, but is a switch point all the same: another goroutine may
    /// be about to choose an operation for it.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        choose(&mut self.arms, NOW, self.biased).ok_or(TrySelectError)
    }

    /// Waits until an operation can be performed.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    ///
    /// # Blocking
    ///
    /// A switch point, if none can be performed at once.
    pub fn select(&mut self) -> SelectedOperation<'a> {
        select_any(&mut self.arms, self.biased)
    }

    /// Waits until an operation can be performed, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// None could be.
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.select_until(from_now(timeout))
    }

    /// Waits until an operation can be performed, or until `deadline`.
    ///
    /// # Errors
    ///
    /// None could be.
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.select_until(self::deadline(deadline))
    }

    fn select_until(
        &mut self,
        deadline: Option<u64>,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        choose(&mut self.arms, deadline.unwrap_or(NEVER), self.biased).ok_or(SelectTimeoutError)
    }

    /// The number of an operation that could be performed now. Another goroutine may get there first.
    ///
    /// # Errors
    ///
    /// There is none.
    ///
    /// # Blocking
    ///
    /// As [`try_select`](Select::try_select).
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        match engine::ready(&mut self.arms, NOW, self.biased) {
            Some(arm) => Ok(arm.index),
            None => Err(TryReadyError),
        }
    }

    /// Waits until an operation could be performed, and returns its number. Another goroutine may get
    /// there first, so use the `try_` form of the operation, and call `ready` again if that fails.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    ///
    /// # Blocking
    ///
    /// A switch point, if none could be performed at once.
    ///
    /// ```
    /// use corio::channel::{self, Select};
    /// let (s, r) = channel::unbounded();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// s.send(1).unwrap();
    /// assert_eq!(select.ready(), 0);
    /// assert_eq!(r.try_recv(), Ok(1));
    /// ```
    pub fn ready(&mut self) -> usize {
        demand_operations(&self.arms);
        engine::ready(&mut self.arms, NEVER, self.biased)
            .expect("for ever does not end")
            .index
    }

    /// As [`ready`](Select::ready), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// No operation could be performed.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.ready_until(from_now(timeout))
    }

    /// As [`ready`](Select::ready), but waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// No operation could be performed.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.ready_until(self::deadline(deadline))
    }

    fn ready_until(&mut self, deadline: Option<u64>) -> Result<usize, ReadyTimeoutError> {
        match engine::ready(&mut self.arms, deadline.unwrap_or(NEVER), self.biased) {
            Some(arm) => Ok(arm.index),
            None => Err(ReadyTimeoutError),
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// An operation that a select has chosen, and that now must be performed.
///
/// Mirrors `crossbeam_channel::SelectedOperation`.
///
/// # Panics
///
/// Dropping it without performing the operation panics, as that is a mistake in the program; unless the
/// goroutine panics already, then what was reserved is given back.
#[must_use = "the operation must be performed with `send` or `recv`"]
pub struct SelectedOperation<'a> {
    arm: Arm<'a>,
    prize: Prize,
}

// As `Select`: what it refers to is changed as a whole, under a lock.
impl UnwindSafe for SelectedOperation<'_> {}
impl RefUnwindSafe for SelectedOperation<'_> {}

impl SelectedOperation<'_> {
    /// The operation's number.
    pub fn index(&self) -> usize {
        self.arm.index
    }

    /// Performs a send.
    ///
    /// # Errors
    ///
    /// The message, because all receivers are gone.
    ///
    /// # Panics
    ///
    /// If the select was not given this very sender for this operation.
    pub fn send<T>(self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(
            self.arm.handle() == ptr::from_ref(s).cast(),
            "passed a sender that wasn't selected"
        );
        s.finish(self.performed(), msg)
    }

    /// Performs a receive.
    ///
    /// # Errors
    ///
    /// All senders are gone.
    ///
    /// # Panics
    ///
    /// If the select was not given this very receiver for this operation.
    pub fn recv<T>(self, r: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            self.arm.handle() == ptr::from_ref(r).cast(),
            "passed a receiver that wasn't selected"
        );
        r.finish(self.performed())
    }

    fn performed(self) -> Prize {
        ManuallyDrop::new(self).prize
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        self.arm.operation.cancel(self.prize);
        if !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}

fn choose<'a>(arms: &mut [Arm<'a>], deadline: u64, biased: bool) -> Option<SelectedOperation<'a>> {
    let (arm, prize) = engine::select(arms, deadline, biased)?;
    Some(SelectedOperation { arm, prize })
}

fn demand_operations(arms: &[Arm<'_>]) {
    assert!(
        !arms.is_empty(),
        "no operations have been added to `Select`"
    );
}

fn select_any<'a>(arms: &mut [Arm<'a>], biased: bool) -> SelectedOperation<'a> {
    demand_operations(arms);
    choose(arms, NEVER, biased).expect("for ever does not end")
}

// --- what the macros expand to ------------------------------------------------------------------------

impl<'a> Arm<'a> {
    /// A send.
    pub fn send<T>(s: &'a Sender<T>) -> Arm<'a> {
        Arm {
            operation: s,
            index: 0,
        }
    }

    /// A receive.
    pub fn recv<T>(r: &'a Receiver<T>) -> Arm<'a> {
        Arm {
            operation: r,
            index: 0,
        }
    }
}

fn numbered<'a, const N: usize>(mut arms: [Arm<'a>; N]) -> [Arm<'a>; N] {
    for (index, arm) in arms.iter_mut().enumerate() {
        arm.index = index;
    }
    arms
}

/// Waits for one of the arms, which are numbered as they come.
pub fn select<'a, const N: usize>(arms: [Arm<'a>; N], biased: bool) -> SelectedOperation<'a> {
    select_any(&mut numbered(arms), biased)
}

/// The first arm that can be performed now.
///
/// # Errors
///
/// There is none.
pub fn try_select<'a, const N: usize>(
    arms: [Arm<'a>; N],
    biased: bool,
) -> Result<SelectedOperation<'a>, TrySelectError> {
    choose(&mut numbered(arms), NOW, biased).ok_or(TrySelectError)
}

/// Waits for one of the arms, for at most `timeout`.
///
/// # Errors
///
/// None could be performed.
pub fn select_timeout<'a, const N: usize>(
    arms: [Arm<'a>; N],
    timeout: Duration,
    biased: bool,
) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
    choose(
        &mut numbered(arms),
        from_now(timeout).unwrap_or(NEVER),
        biased,
    )
    .ok_or(SelectTimeoutError)
}
