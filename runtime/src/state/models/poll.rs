//! No timer is missed, and one polls at a time.

use super::{Model, Owned, Parker, every_ordering_is_needed, saw};
use crate::prim::Site;
use crate::prim::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::prim::clock::NEVER;
use crate::prim::mutant::Mutant;
use crate::state::poll::PollWords;
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// The time of the timer that the poller must not miss.
const SOON: u64 = 10;
const LATER: u64 = 20;

/// The poller, one P's timers, and two reactors. They stay where they are until woken: time does not
/// pass in a model.
struct Poller {
    words: PollWords,
    /// `Timers`: the lock guards the times, the word publishes the first.
    heap: Mutex<u64>,
    next: AtomicU64,
    timekeeper: Parker,
    reactor: Parker,
    installed: AtomicU32,
}

impl Poller {
    fn new() -> Self {
        Poller {
            words: PollWords::new(),
            heap: Mutex::new(NEVER),
            next: AtomicU64::new(NEVER),
            timekeeper: Parker::new(),
            reactor: Parker::new(),
            installed: AtomicU32::new(0),
        }
    }

    /// `Poller::reactor`; a `OnceCell`.
    fn reactor(&self) -> &Parker {
        match self.installed.load(Ordering::Acquire) {
            0 => &self.timekeeper,
            _ => &self.reactor,
        }
    }

    /// `Poller::install`, whose lock lies in the parker.
    fn install(&self) {
        self.installed.store(1, Ordering::Release);
        self.timekeeper.unpark();
    }

    /// `timer::add`.
    fn add(&self, when: u64) {
        let mut first = self.heap.lock().unwrap();
        *first = when.min(*first);
        self.next.store(*first, Ordering::Relaxed);
        drop(first);
        // `Poller::timer_added`.
        if self.words.sleeps_beyond(when) {
            self.reactor().unpark();
        }
    }

    /// `Seat::poll_blocking`, until the poller sleeps until `SOON` and no longer.
    fn poll(&self) {
        loop {
            let reactor = self.reactor();
            let until = self.words.sleep_until(|| self.next.load(Ordering::Relaxed));
            match until {
                SOON => return,
                LATER => saw("sleeps until later"),
                _ => saw("sleeps for ever"),
            }
            reactor.park();
            self.words.woke();
        }
    }

    /// Runs these threads to their end. A timer that is missed is a deadlock.
    fn run<const N: usize>(threads: [fn(&Poller); N]) {
        let poller = Arc::new(Poller::new());
        let threads = threads.map(|run| {
            let poller = Arc::clone(&poller);
            thread::spawn(move || run(&poller))
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Two add timers while a third polls.
const TIMERS: Model = Model {
    run: || Poller::run([Poller::poll, |p| p.add(LATER), |p| p.add(SOON)]),
    preemptions: Some(2),
    outcomes: &["sleeps until later", "sleeps for ever"],
};

/// A timer is added while the reactor is exchanged under the poller.
const INSTALL: Model = Model {
    run: || Poller::run([Poller::poll, Poller::install, |p| p.add(SOON)]),
    preemptions: Some(3),
    outcomes: &["sleeps for ever"],
};

/// The list of who is ready goes with the seat.
const SEAT: Model = Model {
    run: || {
        let poller = Arc::new((PollWords::new(), Owned::new(())));
        let poll = |(words, list): &(PollWords, Owned<()>)| {
            if words.sit() {
                list.with(|_| ());
                words.rise();
            } else {
                saw("taken");
            }
        };
        let other = {
            let poller = Arc::clone(&poller);
            thread::spawn(move || poll(&poller))
        };
        poll(&poller);
        other.join().unwrap();
    },
    preemptions: None,
    outcomes: &["taken"],
};

#[test]
fn no_timer_is_missed() {
    for model in [TIMERS, INSTALL] {
        model.passes();
        for site in [Site::AddTimer, Site::PollUntil] {
            model.fails_for(Mutant::NoFence(site), "deadlock");
        }
    }
}

#[test]
fn one_polls_at_a_time() {
    SEAT.passes();
}

#[test]
fn every_ordering_of_the_poll_words_is_needed() {
    every_ordering_is_needed("state/poll.rs", &[SEAT]);
}
