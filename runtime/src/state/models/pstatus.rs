//! A P has one owner, and sysmon takes it only from the goroutine that it judged.

use super::{Model, Owned, every_ordering_is_needed, saw};
use crate::prim::atomic::{AtomicU64, Ordering};
use crate::prim::mutant::{Mutant, Width};
use crate::state::pstatus::{M_BITS, M_SHIFT, ONE_TICK, PState, PStatus, PWord};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// A P.
struct P {
    status: PStatus,
    /// `P::local`: which goroutine runs. loom checks that there is one owner at a time.
    local: Owned<u64>,
    /// `Lists::ps`: is it on the idle list?
    idle: Mutex<bool>,
}

/// `P` held in `SCHED`; `sched::p::Held`.
struct Held(Arc<P>);

/// An M and its view of its P; `sched::m::M`.
struct M {
    id: u32,
    p: Option<Arc<P>>,
    outside: PWord,
}

impl P {
    /// An idle P.
    fn new() -> Arc<P> {
        let status = PStatus::new();
        status.leave(PWord::STOPPED.with(PState::Idle));
        Arc::new(P {
            status,
            local: Owned::new(0),
            idle: Mutex::new(true),
        })
    }

    /// `Sched::acquire_p`.
    fn acquire(self: &Arc<P>, m: u32) -> Option<Held> {
        let mut idle = self.idle.lock().unwrap();
        if !*idle {
            return None;
        }
        *idle = false;
        self.status
            .leave(self.status.load().with(PState::Sched).owned_by(m));
        Some(Held(Arc::clone(self)))
    }

    /// `Sysmon::retake`, of a P that was seen with this word.
    fn retake(self: &Arc<P>, seen: PWord) -> Option<Held> {
        (seen.is_outside() && self.status.take(seen)).then(|| Held(Arc::clone(self)))
    }
}

impl Held {
    /// `Held::local`.
    fn local<T>(&mut self, with: impl FnOnce(&mut u64) -> T) -> T {
        self.0.local.with(with)
    }

    /// `Sched::release_p`, which is what `Sched::hand_off` does if nobody waits.
    fn release(self) {
        let mut idle = self.0.idle.lock().unwrap();
        let word = self.0.status.load().with(PState::Idle).owned_by(0);
        self.0.status.leave(word);
        *idle = true;
    }
}

impl M {
    fn new(id: u32) -> M {
        M {
            id,
            p: None,
            outside: PWord::STOPPED,
        }
    }

    /// `M::enter`.
    fn enter(&mut self) -> Option<Held> {
        let p = self.p.take()?;
        if !p.status.enter(self.outside) {
            return None;
        }
        self.p = Some(Arc::clone(&p));
        Some(Held(p))
    }

    /// `M::leave`.
    fn leave(&self, held: Held) {
        held.0.status.leave(self.outside);
    }

    /// `M::leave_as`.
    fn leave_as(&mut self, held: Held, state: PState, ticked: bool) {
        let mut word = held.0.status.load().with(state).owned_by(self.id);
        if ticked {
            word = word.ticked();
        }
        self.p = Some(Arc::clone(&held.0));
        self.outside = word;
        held.0.status.leave(word);
    }

    /// `Sched::execute`: switches to the next goroutine.
    fn switch(&mut self, mut held: Held) {
        held.local(|goroutine| *goroutine += 1);
        self.leave_as(held, PState::User, true);
    }

    /// A call into the runtime, such as `Sched::spawn`.
    fn call(&mut self) -> bool {
        let Some(mut held) = self.enter() else {
            saw("lost");
            return false;
        };
        held.local(|_| ());
        self.leave(held);
        true
    }
}

/// M 1 runs a goroutine that calls into the runtime and switches to another. At any time sysmon takes
/// the P and hands it off; M 2 comes out of `blocking`, finds it idle, and goes on in user code without
/// a switch (`EndBlocking`).
const TAKE_OVER: Model = Model {
    run: || {
        let p = P::new();
        let mut m1 = M::new(1);
        m1.switch(p.acquire(1).expect("it is idle"));
        let sysmon = {
            let p = Arc::clone(&p);
            thread::spawn(move || {
                let seen = p.status.load();
                if let Some(mut held) = p.retake(seen) {
                    saw("taken");
                    held.local(|_| ());
                    held.release();
                }
            })
        };
        let m2 = {
            let p = Arc::clone(&p);
            thread::spawn(move || {
                let Some(held) = p.acquire(2) else { return };
                saw("handed on");
                let mut m2 = M::new(2);
                m2.leave_as(held, PState::User, false);
                assert!(m2.call(), "it is M 2's");
                let mut held = m2.enter().expect("it is M 2's");
                held.local(|goroutine| *goroutine += 1);
                held.release();
            })
        };
        if m1.call()
            && let Some(held) = m1.enter()
        {
            m1.switch(held);
            m1.call();
        }
        sysmon.join().unwrap();
        m2.join().unwrap();
    },
    preemptions: Some(3),
    outcomes: &["taken", "handed on", "lost"],
};

/// M 1 is in `blocking`, from where sysmon takes its P as soon as somebody waits; M 1 comes back
/// (`M::end_blocking`), or acquires the P anew (`EndBlocking`).
const BLOCKING: Model = Model {
    run: || {
        let p = P::new();
        let mut m1 = M::new(1);
        m1.switch(p.acquire(1).expect("it is idle"));
        let sysmon = {
            let p = Arc::clone(&p);
            thread::spawn(move || {
                let seen = p.status.load();
                if seen.state() == PState::Blocking
                    && let Some(mut held) = p.retake(seen)
                {
                    saw("taken");
                    held.local(|_| ());
                    held.release();
                }
            })
        };
        let mut held = m1.enter().expect("it isn't blocking yet");
        held.local(|_| ());
        m1.leave_as(held, PState::Blocking, false);
        match m1.enter() {
            Some(held) => m1.leave_as(held, PState::User, false),
            None => {
                if let Some(held) = p.acquire(1) {
                    saw("acquired anew");
                    m1.leave_as(held, PState::User, false);
                }
            }
        }
        if m1.p.is_some() {
            assert!(m1.call(), "it isn't blocking any more");
        }
        sysmon.join().unwrap();
    },
    preemptions: None,
    outcomes: &["taken", "acquired anew"],
};

/// sysmon has watched goroutine 1 for a whole time slice and goes to take its P, just when M 1 switches
/// to goroutine 2.
const JUDGED: Model = Model {
    run: || {
        let p = P::new();
        let mut m1 = M::new(1);
        m1.switch(p.acquire(1).expect("it is idle"));
        let seen = p.status.load();
        let sysmon = {
            let p = Arc::clone(&p);
            thread::spawn(move || {
                if let Some(mut held) = p.retake(seen) {
                    saw("taken");
                    let running = held.local(|goroutine| *goroutine);
                    assert_eq!(
                        running, 1,
                        "took the P from a goroutine that it had not judged"
                    );
                } else {
                    saw("left alone");
                }
            })
        };
        if m1.call()
            && let Some(held) = m1.enter()
        {
            m1.switch(held);
        }
        sysmon.join().unwrap();
    },
    preemptions: None,
    outcomes: &["taken", "left alone", "lost"],
};

/// `Counter`: what the owner counts with a load and a store is not lost when the P changes hands.
const COUNTED: Model = Model {
    run: || {
        let p = P::new();
        let count = Arc::new(AtomicU64::new(0));
        let add = |count: &AtomicU64| {
            let before = count.load(Ordering::Relaxed);
            count.store(before + 1, Ordering::Relaxed);
        };
        let mut m1 = M::new(1);
        let held = p.acquire(1).expect("it is idle");
        add(&count);
        m1.leave_as(held, PState::User, true);
        let sysmon = {
            let (p, count) = (Arc::clone(&p), Arc::clone(&count));
            thread::spawn(move || {
                let Some(held) = p.retake(p.status.load()) else {
                    return 0;
                };
                add(&count);
                held.release();
                1
            })
        };
        let mut counted = 1;
        if let Some(held) = m1.enter() {
            add(&count);
            m1.leave(held);
            counted += 1;
        }
        counted += sysmon.join().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), counted);
    },
    preemptions: None,
    outcomes: &[],
};

const WITHOUT_TICK: Mutant = Mutant::NoBits(Width::U64, ONE_TICK);
const WITHOUT_OWNER: Mutant = Mutant::NoBits(Width::U64, M_BITS << M_SHIFT);

#[test]
fn a_p_has_one_owner() {
    TAKE_OVER.passes();
    TAKE_OVER.fails_for(WITHOUT_OWNER, "Causality violation");
    BLOCKING.passes();
}

#[test]
fn sysmon_takes_what_it_judged() {
    JUDGED.passes();
    JUDGED.fails_for(WITHOUT_TICK, "that it had not judged");
}

#[test]
fn nothing_counted_is_lost() {
    COUNTED.passes();
}

#[test]
fn every_ordering_of_the_p_status_is_needed() {
    every_ordering_is_needed("state/pstatus.rs", &[JUDGED, BLOCKING, COUNTED, TAKE_OVER]);
}
