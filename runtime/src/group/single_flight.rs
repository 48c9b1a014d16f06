//! `SingleFlight`: one call for many that ask for the same at once.
//!
//! A map says for each key which call is under way. Who finds none makes it: it *leads*. The others are
//! counted and wait for its result; channels are served by the leader.
//!
//! ```text
//!   leader                                        follower
//!   map: no call; enter mine                      map: there is one; followers += 1
//!   f()                                           wait for `done`
//!   map: take mine out; followers is final now    clone the result
//!   leave a clone of the result, done
//! ```
//!
//! Keys' `Hash` and `Eq`, and `Clone` of keys and values, are the user's and may even block, so both locks
//! are the kind that parks. A leader that fails, in `f` or in any of these, leaves a note instead of a
//! result, from its [`Leader`]'s drop.
//!
//! Rejected: sharing the result by reference. It would demand `Sync` of values, and `Arc` does it for those
//! who want that.

use crate::channel::{Receiver, Sender, bounded};
use crate::group::wait_group::WaitGroup;
use crate::prim::atomic::{AtomicUsize, Ordering};
use crate::sync::mutex::Mutex;
use crate::task::builder::spawn;
use std::any::Any;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Lets one call do for all who want its result at the same time.
///
/// [`work`](SingleFlight::work) calls its function, unless a call for the same key is under way: then it
/// waits for that one's result. It is no cache: a key whose call is over starts afresh. Clones are handles to
/// the same calls.
///
/// ```
/// use corio::group::SingleFlight;
/// use std::time::Duration;
///
/// let flight = SingleFlight::new();
/// let handles: Vec<_> = (0..10)
///     .map(|_| {
///         let flight = flight.clone();
///         corio::spawn(move || {
///             let (body, _shared) = flight.work("/index.html", || {
///                 corio::sleep(Duration::from_millis(5)); // fetched once, or twice at most
///                 String::from("<h1>Hello</h1>")
///             });
///             body
///         })
///     })
///     .collect();
/// for handle in handles {
///     assert_eq!(handle.join().unwrap(), "<h1>Hello</h1>");
/// }
/// ```
///
/// Results that can fail are values like others: `SingleFlight<K, Result<T, E>>`, with an `E` that can be
/// cloned, such as `Arc<io::Error>`.
///
/// # Counterpart
///
/// `golang.org/x/sync/singleflight.Group`: `Do` is [`work`](SingleFlight::work), as `do` is a keyword;
/// `DoChan` is [`work_chan`](SingleFlight::work_chan), `Forget` is [`forget`](SingleFlight::forget). If the
/// function panics, so do all who wait for it, and nobody else; with `DoChan`, Go ends the program.
#[doc(alias = "singleflight")]
pub struct SingleFlight<K, V> {
    calls: Calls<K, V>,
}

type Calls<K, V> = Arc<Mutex<HashMap<K, Arc<Call<V>>>>>;

/// A call that is under way, or over.
struct Call<V> {
    /// One until it is over.
    done: WaitGroup,
    /// Who else wants the result. Changed under the map's lock, while the call is in the map.
    followers: AtomicUsize,
    state: Mutex<State<V>>,
}

struct State<V> {
    end: End<V>,
    channels: Vec<Sender<(V, bool)>>,
}

enum End<V> {
    /// Not over; or over, with nobody to leave the result to.
    None,
    Value(V),
    /// With its words, if it has any.
    Panic(Option<String>),
}

/// What the map says to who comes.
enum Role<K: Hash + Eq, V> {
    Lead(Leader<K, V>),
    Follow(Arc<Call<V>>),
}

/// The duty to end a call.
struct Leader<K: Hash + Eq, V> {
    calls: Calls<K, V>,
    key: K,
    call: Arc<Call<V>>,
    /// What is left to its drop: everything, only the note, or nothing.
    left: Left,
    note: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    All,
    Note,
    Nothing,
}

impl<K: Hash + Eq, V> Leader<K, V> {
    /// Makes the call and ends it.
    fn lead(mut self, f: impl FnOnce() -> V) -> (V, bool)
    where
        V: Clone,
    {
        let value = match catch_unwind(AssertUnwindSafe(f)) {
            Ok(value) => value,
            Err(payload) => {
                self.note = text(&*payload);
                drop(self);
                resume_unwind(payload);
            }
        };
        let shared = self.leave();
        let copy = shared.then(|| value.clone());
        let mut state = self.call.state.lock();
        if let Some(copy) = copy {
            state.end = End::Value(copy);
        }
        let channels = mem::take(&mut state.channels);
        drop(state);
        self.left = Left::Nothing;
        self.call.done.done();
        for channel in channels {
            // Whoever wanted it may have lost interest; there is room for one message.
            let _ = channel.send((value.clone(), shared));
        }
        (value, shared)
    }

    /// Takes the call out of the map, unless it was forgotten. Does anybody else want the result?
    fn leave(&mut self) -> bool {
        // First, so that a hash that panics is not asked again.
        self.left = Left::Note;
        let mut calls = self.calls.lock();
        let mine = calls
            .get(&self.key)
            .is_some_and(|call| Arc::ptr_eq(call, &self.call));
        let removed = mine.then(|| calls.remove_entry(&self.key));
        drop(calls);
        drop(removed);
        // Relaxed: ordered by the lock; nobody follows from now on.
        self.call.followers.load(Ordering::Relaxed) > 0
    }
}

/// The call has failed.
impl<K: Hash + Eq, V> Drop for Leader<K, V> {
    fn drop(&mut self) {
        if self.left == Left::Nothing {
            return;
        }
        if self.left == Left::All
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.leave()))
        {
            // A hash or comparison has panicked: the call stays in the map, and is over all the same.
            mem::forget(payload);
        }
        let mut state = self.call.state.lock();
        state.end = End::Panic(self.note.take());
        let channels = mem::take(&mut state.channels);
        drop(state);
        self.call.done.done();
        drop(channels);
    }
}

impl<V: Clone> Call<V> {
    fn new() -> Arc<Call<V>> {
        let done = WaitGroup::new();
        done.add(1);
        Arc::new(Call {
            done,
            followers: AtomicUsize::new(0),
            state: Mutex::new(State {
                end: End::None,
                channels: Vec::new(),
            }),
        })
    }

    /// Waits for the call's result.
    #[track_caller]
    fn follow(&self) -> V {
        self.done.wait();
        let state = self.state.lock();
        let words = match &state.end {
            End::Value(value) => return value.clone(),
            End::Panic(words) => words.clone(),
            End::None => unreachable!("a call that is over leaves its result to followers"),
        };
        drop(state);
        match words {
            Some(words) => panic!("SingleFlight: the call for this key panicked: {words}"),
            None => panic!("SingleFlight: the call for this key panicked"),
        }
    }
}

impl<K, V> SingleFlight<K, V> {
    /// Nothing is under way.
    pub fn new() -> SingleFlight<K, V> {
        SingleFlight {
            calls: Calls::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlight<K, V> {
    /// Returns what `f` returns, or, if a call for `key` is under way, what that one returns; and whether
    /// the result went to more than one caller.
    ///
    /// # Panics
    ///
    /// If the call panics: with its own payload for the caller whose `f` it was, with its words for the
    /// others.
    ///
    /// # Blocking
    ///
    /// Blocks for as long as the call takes. One that asks for its own key waits for itself, for ever; so does a
    /// key that uses the same `SingleFlight` when it is hashed, compared or cloned.
    ///
    /// ```
    /// let flight = corio::group::SingleFlight::new();
    /// assert_eq!(flight.work("answer", || 6 * 7), (42, false));
    /// ```
    #[doc(alias = "Do")]
    #[track_caller]
    pub fn work<F>(&self, key: K, f: F) -> (V, bool)
    where
        F: FnOnce() -> V,
    {
        match self.role(key, None) {
            Role::Lead(leader) => leader.lead(f),
            Role::Follow(call) => (call.follow(), true),
        }
    }

    /// As [`work`](SingleFlight::work), but returns at once: the result comes over the channel. If a call is
    /// to be made it is made in a goroutine. If it panics the channel is disconnected without a result.
    ///
    /// # Blocking
    ///
    /// Doesn't wait for the call. A switch point if another goroutine is just looking a key up, or if hashing,
    /// comparing or cloning a key is.
    ///
    /// # Panics
    ///
    /// If the goroutine can't be started, as [`spawn`](crate::spawn()).
    ///
    /// ```
    /// let flight = corio::group::SingleFlight::new();
    /// let answer = flight.work_chan("answer", || 6 * 7);
    /// assert_eq!(answer.recv(), Ok((42, false)));
    /// ```
    #[doc(alias = "DoChan")]
    #[track_caller]
    pub fn work_chan<F>(&self, key: K, f: F) -> Receiver<(V, bool)>
    where
        F: FnOnce() -> V + Send + 'static,
        K: Send + 'static,
        V: Send + 'static,
    {
        let (sender, receiver) = bounded(1);
        match self.role(key, Some(sender)) {
            Role::Lead(leader) => drop(spawn(move || drop(leader.lead(f)))),
            Role::Follow(_) => {}
        }
        receiver
    }

    /// Forgets the call for `key` that is under way: the next who asks makes a new one. Those who wait for
    /// it still get its result.
    ///
    /// # Blocking
    ///
    /// As [`work_chan`](SingleFlight::work_chan).
    ///
    /// ```
    /// let flight = corio::group::SingleFlight::<String, u32>::new();
    /// flight.forget("nothing of this name");
    /// ```
    pub fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let forgotten = self.calls.lock().remove_entry(key);
        drop(forgotten);
    }

    /// Leads or follows; the channel is left with the call either way.
    fn role(&self, key: K, channel: Option<Sender<(V, bool)>>) -> Role<K, V> {
        let mut calls = self.calls.lock();
        let known = calls.get(&key).cloned();
        let call = known.clone().unwrap_or_else(|| {
            let call = Call::new();
            calls.insert(key.clone(), Arc::clone(&call));
            call
        });
        if known.is_some() {
            // Relaxed: ordered by the map's lock.
            call.followers.fetch_add(1, Ordering::Relaxed);
        }
        // Under the map's lock: the call can't end before.
        if let Some(channel) = channel {
            call.state.lock().channels.push(channel);
        }
        drop(calls);
        if known.is_some() {
            return Role::Follow(call);
        }
        Role::Lead(Leader {
            calls: Arc::clone(&self.calls),
            key,
            call,
            left: Left::All,
            note: None,
        })
    }
}

/// What the panic said.
fn text(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .map(String::from)
}

impl<K, V> Clone for SingleFlight<K, V> {
    fn clone(&self) -> SingleFlight<K, V> {
        SingleFlight {
            calls: Arc::clone(&self.calls),
        }
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> SingleFlight<K, V> {
        SingleFlight::new()
    }
}

/// Shows how many calls are under way.
impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.try_lock().map(|calls| calls.len());
        f.debug_struct("SingleFlight")
            .field("calls", &calls)
            .finish_non_exhaustive()
    }
}

// A panic of the user's code under a lock leaves the map as it was, or the call without its result, which
// the leader then notes.
impl<K, V> UnwindSafe for SingleFlight<K, V> {}
impl<K, V> RefUnwindSafe for SingleFlight<K, V> {}
