//! loom models of the wait word, the turns and the deadlines: every interleaving, and every result
//! that the memory model allows, of the code that sockets run.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p corio-net --lib models`
//!
//! Each model has mutants next to it: the same with one fence or one step taken away, which must fail.
//! One that doesn't fail would mean that the model looks at the wrong thing.

mod polls;
mod turns;
mod waiting;

use crate::direction::{Direction, Enqueue, NEVER, Node, Outcome, Timers};
use crate::prim::{Site, without};
use crate::word::{Close, Flags, Publish, RawWaiter, State, WaitWord};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Mutex, Notify};
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Explores `model`, with the fence at `site` taken away if there is one.
fn explore(site: Option<Site>, model: impl Fn() + Sync + Send + 'static) {
    let _mutant = without(site);
    loom::model(model);
}

/// Explores a mutant and expects it to fail.
fn fails(site: Option<Site>, model: impl Fn() + Sync + Send + 'static) {
    let result = catch_unwind(AssertUnwindSafe(|| explore(site, model)));
    assert!(
        result.is_err(),
        "the model does not notice that {site:?} or a step is missing"
    );
}

/// Parking: returns after it was woken and not before, other than loom's `Notify`.
struct Parking {
    woken: AtomicBool,
    notify: Notify,
}

impl Parking {
    fn new() -> Self {
        Parking {
            woken: AtomicBool::new(false),
            notify: Notify::new(),
        }
    }

    fn wake(&self) {
        // Release: partner of the Acquire in `park`.
        assert!(!self.woken.swap(true, Ordering::Release), "woken twice");
        self.notify.notify();
    }

    fn park(&self) {
        while !self.woken.swap(false, Ordering::Acquire) {
            self.notify.wait();
        }
    }
}

fn raw(number: usize) -> RawWaiter {
    RawWaiter::new((number + 1) * 8).unwrap()
}

// ---- the word ----

/// Which step of an operation or an event a mutant leaves out or moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    None,
    /// `READY` is cleared after the try instead of before.
    ClearAfterTrying,
    /// An event that has flags skips a word that is `READY`.
    SkipReady,
    /// Flags are stored after the word.
    FlagsLast,
}

/// One operation waits for the kernel to have something, which an event reports. It must end.
fn an_event_meets_an_operation(step: Step) {
    let (word, kernel) = (Arc::new(opened()), Arc::new(Mutex::new(false)));
    let wake = Arc::new(Parking::new());
    let poller = {
        let (word, kernel, wake) = (Arc::clone(&word), Arc::clone(&kernel), Arc::clone(&wake));
        thread::spawn(move || {
            *kernel.lock().unwrap() = true;
            if let Some(waiter) = word.ready(false) {
                assert_eq!(waiter, raw(0));
                wake.wake();
            }
        })
    };
    loop {
        if step != Step::ClearAfterTrying {
            assert!(word.clear());
        }
        if *kernel.lock().unwrap() {
            break;
        }
        if step == Step::ClearAfterTrying {
            assert!(word.clear());
        }
        if word.publish(raw(0)) == Publish::Waiting {
            wake.park();
        }
    }
    poller.join().unwrap();
}

fn opened() -> WaitWord {
    let word = WaitWord::new();
    word.reset();
    word
}

#[test]
fn no_event_is_lost() {
    explore(None, || an_event_meets_an_operation(Step::None));
    fails(None, || an_event_meets_an_operation(Step::ClearAfterTrying));
}

/// Data, then the end of the stream: the reader that took the data with a short read parks without
/// trying unless it sees the flag. It must see the end.
fn a_hang_up_meets_a_drained_reader(step: Step) {
    struct Shared {
        word: WaitWord,
        flags: Flags,
        /// How far the peer has come: 1 data, 2 the end.
        kernel: Mutex<u32>,
        wake: Parking,
    }
    let shared = Arc::new(Shared {
        word: opened(),
        flags: Flags::new(),
        kernel: Mutex::new(0),
        wake: Parking::new(),
    });
    let poller = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let event = |flags: u8| {
                if flags != 0 && step != Step::FlagsLast {
                    shared.flags.add(flags);
                }
                let flagged = flags != 0 && step != Step::SkipReady;
                if shared.word.ready(flagged).is_some() {
                    shared.wake.wake();
                }
                if flags != 0 && step == Step::FlagsLast {
                    shared.flags.add(flags);
                }
            };
            *shared.kernel.lock().unwrap() = 1;
            event(0);
            *shared.kernel.lock().unwrap() = 2;
            event(Flags::HANG_UP);
        })
    };
    let wait = || {
        if shared.word.publish(raw(0)) == Publish::Waiting {
            shared.wake.park();
        }
    };
    let mut drained = false;
    loop {
        if drained && shared.word.state() == State::Nil && !shared.flags.any() {
            wait();
        }
        assert!(shared.word.clear());
        let kernel = *shared.kernel.lock().unwrap();
        match (kernel, drained) {
            (0, _) | (1, true) => wait(),
            (1, false) => drained = true,
            // The read that takes the data is short, also if the end is there already.
            (_, false) => drained = true,
            (_, true) => break,
        }
    }
    poller.join().unwrap();
}

#[test]
fn flags_are_seen_with_their_event() {
    explore(None, || a_hang_up_meets_a_drained_reader(Step::None));
    fails(None, || a_hang_up_meets_a_drained_reader(Step::SkipReady));
    fails(None, || a_hang_up_meets_a_drained_reader(Step::FlagsLast));
}

#[test]
fn a_waiter_is_woken_once_by_whoever_comes_first() {
    explore(None, || {
        let (word, woken) = (Arc::new(opened()), Arc::new(AtomicUsize::new(0)));
        assert!(word.clear());
        let wakers: Vec<_> = (0..2)
            .map(|number| {
                let (word, woken) = (Arc::clone(&word), Arc::clone(&woken));
                thread::spawn(move || {
                    let waiter = match number {
                        0 => word.ready(false),
                        _ => word.expire(),
                    };
                    woken.fetch_add(usize::from(waiter.is_some()), Ordering::Relaxed);
                })
            })
            .collect();
        let published = word.publish(raw(0));
        if let Close::First(Some(_)) = word.close() {
            woken.fetch_add(1, Ordering::Relaxed);
        }
        for waker in wakers {
            waker.join().unwrap();
        }
        let expected = usize::from(published == Publish::Waiting);
        assert_eq!(woken.load(Ordering::Relaxed), expected);
        assert_eq!(word.state(), State::Closed);
    });
}

// ---- deadlines ----

/// A direction with timers that fire when a model says so, and a count of who was woken.
struct World {
    direction: Direction<u64>,
    timers: Mutex<Vec<(u64, u64)>>,
    woken: [AtomicUsize; 3],
}

/// The clock stands at 10 throughout.
const NOW: u64 = 10;

impl Timers for World {
    type Id = u64;

    fn now(&self) -> u64 {
        NOW
    }

    fn add(&self, when: u64, seq: u64) -> u64 {
        self.timers.lock().unwrap().push((when, seq));
        seq
    }

    fn cancel(&self, id: u64) {
        self.timers.lock().unwrap().retain(|&(_, seq)| seq != id);
    }
}

impl World {
    fn new() -> Arc<Self> {
        let world = World {
            direction: Direction::new(),
            timers: Mutex::new(Vec::new()),
            woken: [
                AtomicUsize::new(0),
                AtomicUsize::new(0),
                AtomicUsize::new(0),
            ],
        };
        world.direction.reset();
        assert!(world.direction.word.clear());
        Arc::new(world)
    }

    fn wake(&self, waiter: RawWaiter) {
        self.woken[waiter.get() / 8 - 1].fetch_add(1, Ordering::Relaxed);
    }

    fn park(&self, limit: u64) {
        self.direction.set_limit(limit);
        assert_eq!(self.direction.word.publish(raw(0)), Publish::Waiting);
        self.direction
            .after_publishing(limit, self, |waiter| self.wake(waiter));
    }

    fn queue(&self, node: &'static Node, limit: u64) -> Enqueue {
        // SAFETY: the node is never freed.
        let result = unsafe { self.direction.enqueue(node) };
        if result == Enqueue::Queued {
            self.direction
                .after_queueing(limit, self, |waiter| self.wake(waiter));
        }
        result
    }

    fn set(&self, deadline: u64) {
        self.direction
            .set_deadline(deadline, self, |waiter| self.wake(waiter));
    }

    /// Takes the one timer out of the heap, as the runtime does before it calls it.
    fn due(&self) -> u64 {
        let (when, seq) = self.timers.lock().unwrap().pop().unwrap();
        assert!(when <= NOW);
        seq
    }

    fn fire(&self, seq: u64) {
        self.direction.fire(seq, self, |waiter| self.wake(waiter));
    }

    fn woken(&self, number: usize) -> usize {
        self.woken[number].load(Ordering::Relaxed)
    }

    fn is_covered(&self, until: u64) -> bool {
        self.timers
            .lock()
            .unwrap()
            .iter()
            .any(|&(when, _)| when <= until)
    }

    /// The claim of `direction`'s head, for the operation parked in the word.
    fn assert_parked_is_safe(&self, until: u64) {
        match self.direction.word.state() {
            State::Waiting => {
                assert_eq!(self.woken(0), 0);
                assert!(until > NOW, "its time is up and it sleeps on");
                assert!(self.is_covered(until), "nothing will wake it in time");
            }
            _ => assert_eq!(self.woken(0), 1),
        }
    }
}

/// A model's queue node: leaked, so that it is there whatever the model does.
#[derive(Clone, Copy)]
struct Place(&'static Node);

// SAFETY: the list pointers are touched by `direction` only, under its lock; the rest is atomic.
unsafe impl Send for Place {}

impl Place {
    fn new(number: usize, until: u64) -> Self {
        Place(Box::leak(Box::new(Node::new(raw(number), until))))
    }

    fn node(self) -> &'static Node {
        self.0
    }
}

fn a_setter_meets_a_parker(deadline: u64) {
    let world = World::new();
    let setter = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.set(deadline))
    };
    world.park(NEVER);
    setter.join().unwrap();
    world.assert_parked_is_safe(deadline);
}

#[test]
fn setting_a_deadline_reaches_whoever_parks() {
    for deadline in [NOW - 5, NOW + 5] {
        explore(None, move || a_setter_meets_a_parker(deadline));
        fails(Some(Site::Park), move || a_setter_meets_a_parker(deadline));
        fails(Some(Site::Deadline), move || {
            a_setter_meets_a_parker(deadline)
        });
    }
}

/// A world in which a timer armed for an earlier operation is about to fire; returns its number.
fn a_stale_timer() -> (Arc<World>, u64) {
    let world = World::new();
    // The operation would be woken at once with its time up, so the timer is armed by hand. It is
    // earlier than every deadline that a model sets: whoever sees it relies on it.
    world.direction.set_limit(NEVER);
    assert_eq!(world.direction.word.publish(raw(1)), Publish::Waiting);
    world.direction.arm_for_model(1, &*world);
    assert_eq!(world.direction.word.ready(false), Some(raw(1)));
    assert!(world.direction.word.clear());
    let seq = world.due();
    (world, seq)
}

fn a_stale_timer_meets_a_parker() {
    let (world, seq) = a_stale_timer();
    let timer = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.fire(seq))
    };
    world.park(NOW + 5);
    timer.join().unwrap();
    world.assert_parked_is_safe(NOW + 5);
}

#[test]
fn a_timer_that_fires_for_nobody_does_not_leave_a_parker_alone() {
    explore(None, a_stale_timer_meets_a_parker);
    fails(Some(Site::Park), a_stale_timer_meets_a_parker);
    fails(Some(Site::Fire), a_stale_timer_meets_a_parker);
}

fn a_stale_timer_meets_a_setter(deadline: u64) {
    let (world, seq) = a_stale_timer();
    world.set(NOW + 100);
    world.park(NEVER);
    let timer = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.fire(seq))
    };
    world.set(deadline);
    timer.join().unwrap();
    world.assert_parked_is_safe(deadline);
}

#[test]
fn a_timer_that_fires_sees_the_deadline_or_is_seen() {
    for deadline in [NOW - 5, NOW + 5] {
        explore(None, move || a_stale_timer_meets_a_setter(deadline));
        fails(Some(Site::Fire), move || {
            a_stale_timer_meets_a_setter(deadline)
        });
        fails(Some(Site::Deadline), move || {
            a_stale_timer_meets_a_setter(deadline)
        });
    }
}

fn a_setter_meets_a_queuer(deadline: u64) {
    let world = World::new();
    assert!(world.direction.try_turn());
    let place = Place::new(1, NEVER);
    let setter = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.set(deadline))
    };
    assert_eq!(world.queue(place.node(), NEVER), Enqueue::Queued);
    setter.join().unwrap();
    match place.node().outcome() {
        Outcome::Waiting => {
            assert_eq!(world.woken(1), 0);
            assert!(deadline > NOW && world.is_covered(deadline));
        }
        outcome => {
            assert_eq!(outcome, Outcome::TimedOut);
            assert_eq!(world.woken(1), 1);
        }
    }
}

#[test]
fn setting_a_deadline_reaches_whoever_queues() {
    for deadline in [NOW - 5, NOW + 5] {
        explore(None, move || a_setter_meets_a_queuer(deadline));
        fails(Some(Site::Queue), move || a_setter_meets_a_queuer(deadline));
        fails(Some(Site::Deadline), move || {
            a_setter_meets_a_queuer(deadline)
        });
    }
}

fn an_interruption_meets_a_parker(resumed: bool) {
    let world = World::new();
    world.set(NOW + 5);
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world
                .direction
                .interrupt(&*world, |waiter| world.wake(waiter));
            if resumed {
                world.direction.resume();
            }
        })
    };
    world.park(NEVER);
    other.join().unwrap();
    // Resumed, it may have been too late for the interruption; then the user's deadline applies.
    world.assert_parked_is_safe(if resumed { NOW + 5 } else { 0 });
}

fn an_interruption_meets_a_queuer() {
    let world = World::new();
    assert!(world.direction.try_turn());
    let place = Place::new(1, NEVER);
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world
                .direction
                .interrupt(&*world, |waiter| world.wake(waiter));
        })
    };
    assert_eq!(world.queue(place.node(), NEVER), Enqueue::Queued);
    other.join().unwrap();
    assert_eq!(place.node().outcome(), Outcome::TimedOut);
    assert_eq!(world.woken(1), 1);
}

#[test]
fn an_interruption_reaches_whoever_parks_or_queues() {
    explore(None, || an_interruption_meets_a_parker(false));
    explore(None, || an_interruption_meets_a_parker(true));
    fails(Some(Site::Park), || an_interruption_meets_a_parker(false));
    fails(Some(Site::Deadline), || {
        an_interruption_meets_a_parker(false)
    });
    explore(None, an_interruption_meets_a_queuer);
    fails(Some(Site::Queue), an_interruption_meets_a_queuer);
    fails(Some(Site::Deadline), an_interruption_meets_a_queuer);
}

fn a_stale_timer_meets_a_queuer() {
    let (world, seq) = a_stale_timer();
    assert!(world.direction.try_turn());
    let place = Place::new(1, NOW + 5);
    let timer = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.fire(seq))
    };
    assert_eq!(world.queue(place.node(), NOW + 5), Enqueue::Queued);
    timer.join().unwrap();
    assert_eq!(world.woken(1), 0);
    assert!(world.is_covered(NOW + 5));
}

#[test]
fn a_timer_that_fires_for_nobody_does_not_leave_a_queuer_alone() {
    // The lock orders these two: no fence is needed. What holds without one holds with it.
    explore(Some(Site::Queue), a_stale_timer_meets_a_queuer);
    explore(Some(Site::Fire), a_stale_timer_meets_a_queuer);
}
