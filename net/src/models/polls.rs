//! Polls, which leave their waiter in the word and give the turn up (`socket::turn::poll`), beside events, operations
//! that park, and `close`.

use super::{Parking, World, explore, fails, raw};
use crate::word::{Close, Publish};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// Which step a mutant leaves out or moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    None,
    /// Whoever gets the turn leaves the poll's waiter where it is.
    LeaveInWord,
    /// The poll gives its turn up before its waiter is in the word.
    ReleaseFirst,
    /// The waiter that is taken out is forgotten.
    Forget,
}

/// The poll's waiter.
const POLL: usize = 1;
/// The parked operation's.
const PARKED: usize = 0;

struct Shared {
    world: Arc<World>,
    /// Has the peer sent something?
    kernel: Mutex<bool>,
    parked: Parking,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            world: World::new(),
            kernel: Mutex::new(false),
            parked: Parking::new(),
        })
    }

    fn wake(&self, waiter: crate::word::RawWaiter) {
        if waiter == raw(PARKED) {
            self.parked.wake();
        } else {
            self.world.wake(waiter);
        }
    }

    fn event(&self) {
        *self.kernel.lock().unwrap() = true;
        if let Some(waiter) = self.world.direction.word.ready(false) {
            self.wake(waiter);
        }
    }

    /// As `Socket::turn` begins.
    fn take_over(&self, step: Step) {
        if step == Step::LeaveInWord {
            return;
        }
        if let Some(waiter) = self.world.direction.word.expire()
            && step != Step::Forget
        {
            self.wake(waiter);
        }
    }

    /// One poll. `None`: it did not get the turn, and is made again after a pause. Otherwise whether it is
    /// satisfied; if it is not, its waiter is in the word, or was.
    fn poll(&self, step: Step) -> Option<bool> {
        let direction = &self.world.direction;
        if !direction.try_turn() {
            return None;
        }
        // The poll's own, from before: it is dropped.
        let _ = direction.word.expire();
        let satisfied = loop {
            if !direction.word.clear() || *self.kernel.lock().unwrap() {
                break true;
            }
            if step == Step::ReleaseFirst {
                assert_eq!(direction.release(), None);
            }
            match direction.word.publish(raw(POLL)) {
                Publish::Waiting => break false,
                Publish::Ready => {}
                Publish::Closed => break true,
            }
        };
        if step != Step::ReleaseFirst || satisfied {
            assert_eq!(direction.release(), None);
        }
        Some(satisfied)
    }

    /// An operation that parks until the kernel has something; it gets the turn, or gives up.
    fn operate(&self, step: Step) {
        let direction = &self.world.direction;
        if !direction.try_turn() {
            return;
        }
        self.take_over(step);
        loop {
            assert!(direction.word.clear());
            if *self.kernel.lock().unwrap() {
                break;
            }
            if direction.word.publish(raw(PARKED)) == Publish::Waiting {
                self.parked.park();
            }
        }
        assert_eq!(direction.release(), None);
    }

    fn polled(&self) -> usize {
        self.world.woken(POLL)
    }
}

/// A poll that is not satisfied is woken, once: by the event, or by the operation that takes its place, which
/// must end as well.
fn a_poll_meets_an_event_and_an_operation(step: Step) {
    let shared = Shared::new();
    let event = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.event())
    };
    let operation = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.operate(step))
    };
    let polled = shared.poll(step);
    event.join().unwrap();
    operation.join().unwrap();
    assert_eq!(shared.polled(), usize::from(polled == Some(false)));
}

#[test]
fn a_poll_is_woken_once_by_whoever_comes_first() {
    explore(None, || a_poll_meets_an_event_and_an_operation(Step::None));
    for step in [Step::LeaveInWord, Step::ReleaseFirst, Step::Forget] {
        fails(None, move || a_poll_meets_an_event_and_an_operation(step));
    }
}

/// As `Socket::close`: a poll is refused, or found in the word.
fn a_poll_meets_a_close(step: Step) {
    let shared = Shared::new();
    let closer = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let Close::First(waiter) = shared.world.direction.close() else {
                panic!("closed before");
            };
            if let Some(waiter) = waiter
                && step != Step::Forget
            {
                shared.wake(waiter);
            }
        })
    };
    let polled = shared.poll(Step::None);
    closer.join().unwrap();
    assert_eq!(shared.polled(), usize::from(polled == Some(false)));
    // It is polled again, and told.
    assert_eq!(shared.poll(Step::None), Some(true));
}

#[test]
fn close_refuses_a_poll_or_wakes_it() {
    explore(None, || a_poll_meets_a_close(Step::None));
    fails(None, || a_poll_meets_a_close(Step::Forget));
}

/// Two polls, of which the later one replaces the earlier: whoever is in the word at the end is woken by the event.
#[test]
fn the_last_poll_is_woken() {
    explore(None, || {
        let shared = Shared::new();
        assert_eq!(shared.poll(Step::None), Some(false));
        let event = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.event())
        };
        let polled = shared.poll(Step::None);
        event.join().unwrap();
        match polled {
            Some(true) => assert!(shared.polled() <= 1, "the first one's"),
            _ => assert!((1..=2).contains(&shared.polled()), "nobody is woken"),
        }
    });
}
