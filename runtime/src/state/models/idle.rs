//! No work is left in a queue while a P idles, and somebody polls.

use super::{Model, saw};
use crate::prim::Site;
use crate::prim::atomic::{AtomicU32, Ordering};
use crate::prim::mutant::Mutant;
use crate::state::idle::Idle;
use crate::state::poll::PollWords;
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// The scheduler, as far as idling goes. Its queues are one flag whose orderings are relaxed, so that
/// nothing but the fences orders it.
struct Sched {
    procs: u32,
    idle: Idle,
    poll: PollWords,
    /// `Lists`: how many Ps are on the idle list.
    idle_ps: Mutex<u32>,
    queued: AtomicU32,
    /// Do Ms poll?
    polls: bool,
    /// Does who gives up to start an M lower the count of spinning ones after having unlocked the
    /// lists? A mistake.
    undo_late: bool,
    /// Does who had the seat leave it at that? A mistake.
    leave_seat: bool,
    /// Does a spinning M whose P was stopped leave it at that? A mistake.
    leave_spinning: bool,
}

impl Sched {
    fn new(procs: u32) -> Sched {
        Sched {
            procs,
            idle: Idle::new(),
            poll: PollWords::new(),
            idle_ps: Mutex::new(0),
            queued: AtomicU32::new(0),
            polls: false,
            undo_late: false,
            leave_seat: false,
            leave_spinning: false,
        }
    }

    /// `Sched::enqueue_global`.
    fn enqueue(&self) {
        self.queued.store(1, Ordering::Relaxed);
        self.submitted();
    }

    fn submitted(&self) {
        if self.idle.submit() {
            self.start_spinning();
        }
    }

    /// `Sched::start_spinning`. The M runs on the caller's thread, which has nothing to do any more.
    fn start_spinning(&self) {
        let mut idle_ps = self.idle_ps.lock().unwrap();
        if !self.take_p(&mut idle_ps) {
            saw("nothing to start an M with");
            if self.undo_late {
                drop(idle_ps);
                self.idle.stop_spinning();
            } else {
                self.idle.stop_spinning();
            }
            return;
        }
        drop(idle_ps);
        saw("started an M");
        self.run_m(true, true);
    }

    /// `Sched::release_p`.
    fn release_p(&self) {
        let mut idle_ps = self.idle_ps.lock().unwrap();
        *idle_ps += 1;
        self.idle.p_idle();
    }

    /// `Sched::acquire_p`.
    fn acquire_p(&self) -> bool {
        self.idle.ps() > 0 && self.take_p(&mut self.idle_ps.lock().unwrap())
    }

    fn take_p(&self, idle_ps: &mut u32) -> bool {
        if *idle_ps == 0 {
            return false;
        }
        *idle_ps -= 1;
        self.idle.p_busy();
        true
    }

    /// Takes work out of the queues.
    fn look(&self) -> bool {
        self.work_anywhere() && self.queued.swap(0, Ordering::Relaxed) == 1
    }

    fn work_anywhere(&self) -> bool {
        self.queued.load(Ordering::Relaxed) == 1
    }

    /// The loop of an M: `Sched::find_runnable` until it stops, or sleeps in a poll.
    fn run_m(&self, mut held: bool, mut spinning: bool) {
        while held {
            // `next_local`, `next_shared`.
            spinning = spinning || self.idle.try_spin(self.procs - self.idle.ps());
            if self.look() {
                saw("found");
                self.found(&mut spinning);
                continue;
            }
            // `go_idle`.
            self.release_p();
            held = false;
            if spinning {
                self.idle.stop_spinning();
                spinning = false;
            }
            self.idle.before_recheck();
            if self.work_anywhere() {
                saw("found on the second look");
                // `acquire_spinning`.
                held = self.acquire_p();
                spinning = held && self.idle.try_spin(u32::MAX);
            } else if self.polls && self.poll.sit() {
                return;
            }
        }
    }

    /// `find_runnable` of a spinning M whose P is beyond `procs`: `stop_p`, and what follows.
    fn lose_p(&self) {
        self.idle.before_recheck();
        if self.acquire_p() {
            return self.run_m(true, true);
        }
        self.idle.stop_spinning();
        if !self.leave_spinning {
            self.submitted();
        }
    }

    /// `Sched::found`; the work takes no time.
    fn found(&self, spinning: &mut bool) {
        if *spinning {
            *spinning = false;
            self.idle.stop_spinning();
            self.submitted();
        }
    }

    /// The rest of `go_idle`, for an M whose poll has ended with nobody ready.
    fn wake_from_poll(&self) {
        let mut held = self.acquire_p();
        self.poll.rise();
        if !held && !self.leave_seat {
            saw("gave the seat up");
            self.idle.before_recheck();
            held = self.acquire_p();
        }
        self.run_m(held, false);
    }

    /// `Sysmon::poll`, with nobody ready.
    fn look_for_events(&self) {
        if self.poll.sit() {
            self.poll.rise();
            saw("had the seat for a moment");
            if !self.leave_seat {
                self.submitted();
            }
        }
    }

    /// Runs these threads to their end, when every M has stopped or polls.
    fn run<const N: usize>(self, threads: [fn(&Sched); N]) {
        let sched = Arc::new(self);
        let threads = threads.map(|run| {
            let sched = Arc::clone(&sched);
            thread::spawn(move || run(&sched))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!sched.work_anywhere(), "work is left while a P idles");
        assert_eq!(sched.idle.ps(), sched.procs);
        assert_eq!(sched.idle.spinning(), 0);
        assert_eq!(sched.poll.is_taken(), sched.polls, "nobody polls");
    }
}

/// An M goes idle while somebody submits.
const LONE: Model = Model {
    run: || Sched::new(1).run([|sched| sched.run_m(true, false), Sched::enqueue]),
    preemptions: Some(3),
    outcomes: &["started an M", "found", "found on the second look"],
};

/// The only spinning M gives up while two submit.
const LAST_SPINNER: Model = Model {
    run: || {
        let sched = Sched::new(1);
        assert!(sched.idle.try_spin(1));
        sched.run([
            |sched| sched.run_m(true, true),
            Sched::enqueue,
            Sched::enqueue,
        ]);
    },
    preemptions: Some(2),
    outcomes: &["started an M", "found", "found on the second look"],
};

/// A spinning M finds something, while another goes idle and somebody submits.
const CHAIN: Model = Model {
    run: || {
        let sched = Sched::new(2);
        assert!(sched.idle.try_spin(2));
        sched.queued.store(1, Ordering::Relaxed);
        sched.run([
            |sched| sched.run_m(true, true),
            |sched| sched.run_m(true, false),
            Sched::enqueue,
        ]);
    },
    preemptions: Some(1),
    outcomes: &["started an M", "found", "found on the second look"],
};

/// A submitter is about to start an M for an idle P, but another M takes it and goes idle; meanwhile a
/// second one submits, and sees that somebody is about to spin.
fn undo(undo_late: bool) {
    let sched = Sched {
        undo_late,
        ..Sched::new(1)
    };
    sched.release_p();
    assert!(sched.idle.submit());
    assert!(sched.acquire_p());
    sched.run([
        Sched::start_spinning,
        |sched| sched.run_m(true, false),
        Sched::enqueue,
    ]);
}

const UNDO: Model = Model {
    run: || undo(false),
    preemptions: Some(2),
    outcomes: &["started an M", "nothing to start an M with"],
};

/// A spinning M loses its P to `set_procs`, while the other goes idle and somebody submits.
fn shrink(leave_spinning: bool) {
    let sched = Sched {
        leave_spinning,
        ..Sched::new(1)
    };
    assert!(sched.idle.try_spin(2));
    sched.run([
        Sched::lose_p,
        |sched| sched.run_m(true, false),
        Sched::enqueue,
    ]);
}

const SHRINK: Model = Model {
    run: || shrink(false),
    preemptions: Some(2),
    outcomes: &["started an M", "found", "found on the second look"],
};

/// An M comes back from its poll, for which there is no P, while the M that has the P goes idle, and
/// sysmon looks for events.
fn seat(leave_seat: bool) {
    let sched = Sched {
        polls: true,
        leave_seat,
        ..Sched::new(1)
    };
    assert!(sched.poll.sit());
    sched.run([
        |sched| sched.wake_from_poll(),
        |sched| sched.run_m(true, false),
        |sched| sched.look_for_events(),
    ]);
}

const SEAT: Model = Model {
    run: || seat(false),
    preemptions: Some(2),
    outcomes: &["gave the seat up", "had the seat for a moment"],
};

#[test]
fn no_work_is_left_when_an_m_goes_idle() {
    for model in [LONE, LAST_SPINNER, CHAIN] {
        model.passes();
        for site in [Site::Submit, Site::GoIdle] {
            model.fails_for(Mutant::NoFence(site), "work is left while a P idles");
        }
    }
}

#[test]
fn an_m_that_is_not_started_after_all_leaves_no_work() {
    UNDO.passes();
    let late = Model {
        run: || undo(true),
        ..UNDO
    };
    late.fails_for(Mutant::None, "work is left while a P idles");
}

#[test]
fn a_spinning_m_that_loses_its_p_leaves_no_work() {
    SHRINK.passes();
    let left = Model {
        run: || shrink(true),
        ..SHRINK
    };
    left.fails_for(Mutant::None, "work is left while a P idles");
}

#[test]
fn somebody_always_polls() {
    SEAT.passes();
    for site in [Site::Submit, Site::GoIdle] {
        SEAT.fails_for(Mutant::NoFence(site), "nobody polls");
    }
    let left = Model {
        run: || seat(true),
        ..SEAT
    };
    left.fails_for(Mutant::None, "nobody polls");
}
