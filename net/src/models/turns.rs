//! Turns: one at a time has it, and everybody who queues for it is told how that ended.

use super::{NOW, Parking, Place, World, explore, fails};
use crate::direction::{Enqueue, NEVER, Outcome};
use crate::word::Close;
use loom::thread;
use std::sync::Arc;

#[test]
fn one_at_a_time_has_the_turn_and_everybody_gets_it() {
    explore(None, || {
        struct Shared {
            world: Arc<World>,
            granted: [Parking; 2],
            inside: loom::cell::UnsafeCell<u32>,
        }
        // SAFETY: `inside` is what the turns guard; loom checks that they do.
        unsafe impl Sync for Shared {}
        // SAFETY: as above.
        unsafe impl Send for Shared {}
        let shared = Arc::new(Shared {
            world: World::new(),
            granted: [Parking::new(), Parking::new()],
            inside: loom::cell::UnsafeCell::new(0),
        });
        let run = |number: usize, shared: &Shared| {
            let direction = &shared.world.direction;
            if !direction.try_turn() {
                let place = Place::new(number, NEVER);
                if shared.world.queue(place.node(), NEVER) == Enqueue::Queued {
                    shared.granted[number].park();
                    assert_eq!(place.node().outcome(), Outcome::Granted);
                }
            }
            // SAFETY: we have the turn; loom checks that nobody else touches it.
            shared.inside.with_mut(|inside| unsafe { *inside += 1 });
            if let Some(waiter) = direction.release() {
                shared.granted[waiter.get() / 8 - 1].wake();
            }
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || run(1, &shared))
        };
        run(0, &shared);
        other.join().unwrap();
        assert!(shared.world.direction.try_turn());
        // SAFETY: the other thread is done.
        shared
            .inside
            .with(|inside| assert_eq!(unsafe { *inside }, 2));
    });
}

#[test]
fn a_turn_is_granted_or_times_out_but_not_both() {
    explore(None, || {
        let world = World::new();
        assert!(world.direction.try_turn());
        let place = Place::new(1, NOW + 5);
        assert_eq!(world.queue(place.node(), NOW + 5), Enqueue::Queued);
        let setter = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.set(NOW - 5))
        };
        if let Some(waiter) = world.direction.release() {
            world.wake(waiter);
        }
        setter.join().unwrap();
        assert_eq!(world.woken(1), 1);
        match place.node().outcome() {
            Outcome::Granted => assert_eq!(world.direction.release(), None),
            outcome => assert_eq!(outcome, Outcome::TimedOut),
        }
        assert!(world.direction.try_turn());
    });
}

/// `marked_first`: as `Socket::close` does it; the mutant empties the queue before it marks the word.
fn close_meets_a_queuer(marked_first: bool) {
    let world = World::new();
    assert!(world.direction.try_turn());
    let place = Place::new(1, NEVER);
    let closer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let drain = || world.direction.drain(&*world, |waiter| world.wake(waiter));
            if !marked_first {
                drain();
            }
            assert_eq!(world.direction.close(), Close::First(None));
            if marked_first {
                drain();
            }
        })
    };
    let queued = world.queue(place.node(), NEVER);
    closer.join().unwrap();
    match queued {
        Enqueue::Queued => {
            assert_eq!(place.node().outcome(), Outcome::Closed);
            assert_eq!(world.woken(1), 1);
        }
        other => assert_eq!(other, Enqueue::Closed),
    }
}

#[test]
fn close_finds_or_refuses_whoever_queues() {
    explore(None, || close_meets_a_queuer(true));
    fails(None, || close_meets_a_queuer(false));
}
