//! `SingleFlight`. Named beside each test: the one of x/sync's `singleflight_test.go` that it stands for.

use corio::channel;
use corio::group::SingleFlight;
use corio_tests::{Drops, Rng, on_both, panic_text, watchdog, yield_until};
use std::hash::{Hash, Hasher};
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// How many ask for a key while its call is under way can't be seen from outside, but the clones of the key
/// can: a follower's is compared with the leader's.
#[derive(Clone, Debug)]
struct Watched(u32, Arc<AtomicUsize>);

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0 == other.0
    }
}
impl Eq for Watched {}
impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Starts a call that ends when told, and `n` followers of it, in goroutines and threads. Returns what
/// they all got.
fn share<T: Clone + Send + 'static>(
    n: usize,
    result: impl Fn() -> T + Send + Sync + 'static,
) -> Vec<thread::Result<(T, bool)>> {
    let flight = SingleFlight::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let key = Watched(1, asked.clone());
    let result = Arc::new(result);
    let (gate, opened) = channel::bounded::<()>(0);
    let (leading, leads) = channel::bounded::<()>(0);
    let leader = {
        let (flight, key, result) = (flight.clone(), key.clone(), result.clone());
        corio::spawn(move || {
            flight.work(key, || {
                drop(leading);
                let _ = opened.recv();
                result()
            })
        })
    };
    leads.recv().unwrap_err();
    let before = asked.load(Ordering::SeqCst);
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for i in 0..n {
        let (flight, key) = (flight.clone(), key.clone());
        let follow = move || flight.work(key, || unreachable!("a call is under way"));
        if i % 2 == 0 {
            goroutines.push(corio::spawn(follow));
        } else {
            threads.push(thread::spawn(follow));
        }
    }
    yield_until(|| asked.load(Ordering::SeqCst) >= before + n);
    drop(gate);
    let mut all = vec![leader.join()];
    all.extend(goroutines.into_iter().map(|g| g.join()));
    all.extend(threads.into_iter().map(|t| t.join()));
    all
}

/// `TestDo`, `TestDoErr`.
#[test]
fn one_call_for_one() {
    on_both(|| {
        let flight = SingleFlight::new();
        assert_eq!(flight.work("key", || "bar"), ("bar", false));
        // It is no cache.
        assert_eq!(flight.work("key", || "baz"), ("baz", false));
        let flight = SingleFlight::new();
        let (result, _) = flight.work("key", || Err::<(), _>("some error"));
        assert_eq!(result, Err("some error"));
    });
}

/// `TestDoDupSuppress`.
#[test]
fn one_call_for_many() {
    on_both(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let theirs = calls.clone();
        let all = share(10, move || {
            theirs.fetch_add(1, Ordering::SeqCst);
            "bar"
        });
        assert_eq!(all.len(), 11);
        for result in all {
            assert_eq!(result.unwrap(), ("bar", true));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn other_keys_have_other_calls() {
    on_both(|| {
        let flight = SingleFlight::new();
        let inner = flight.clone();
        let (outer, _) = flight.work(1, || 10 + inner.work(2, || 2).0);
        assert_eq!(outer, 12);
    });
}

/// `TestForget`.
#[test]
fn a_forgotten_call_goes_on_beside_a_new_one() {
    on_both(|| {
        let flight = SingleFlight::<String, u32>::new();
        let (gate, opened) = channel::bounded::<()>(0);
        let first = flight.work_chan("key".into(), move || {
            let _ = opened.recv();
            1
        });
        flight.forget("key");
        flight.forget("nobody");
        let (gate2, opened) = channel::bounded::<()>(0);
        let second = flight.work_chan("key".into(), move || {
            let _ = opened.recv();
            2
        });
        drop(gate);
        assert_eq!(first.recv(), Ok((1, false)));
        // Its end has not taken the new one's place.
        let third = flight.work_chan("key".into(), || 3);
        drop(gate2);
        assert_eq!(second.recv(), Ok((2, true)));
        assert_eq!(third.recv(), Ok((2, true)));
    });
}

/// `TestDoChan`.
#[test]
fn the_result_comes_over_a_channel() {
    on_both(|| {
        let flight = SingleFlight::new();
        assert_eq!(flight.work_chan("key", || "bar").recv(), Ok(("bar", false)));
        // Nobody need wait for it.
        drop(flight.work_chan("key", || "bar"));
        yield_until(|| flight.work("key", || "afresh") == ("afresh", false));
    });
}

#[test]
fn channels_and_callers_share_a_call() {
    on_both(|| {
        let flight = SingleFlight::new();
        let (gate, opened) = channel::bounded::<()>(0);
        let leader = flight.work_chan((), move || {
            let _ = opened.recv();
            5
        });
        let channels: Vec<_> = (0..3).map(|_| flight.work_chan((), || 6)).collect();
        let theirs = flight.clone();
        let caller = corio::spawn(move || theirs.work((), || 7));
        corio::yield_now();
        drop(gate);
        assert_eq!(leader.recv(), Ok((5, true)));
        for channel in channels {
            assert_eq!(channel.recv(), Ok((5, true)));
            assert!(channel.recv().is_err());
        }
        // It may have come too late.
        let (value, shared) = caller.join().unwrap();
        assert!(value == 5 && shared || value == 7 && !shared);
    });
}

/// `TestPanicDo`, `TestPanicDoSharedByDoChan`: whoever waits for it panics too.
#[test]
fn a_panic_reaches_everybody() {
    on_both(|| {
        let all = share(6, || -> u32 { panic!("invalid memory address") });
        let mut payloads = all.into_iter().map(|result| result.unwrap_err());
        assert_eq!(
            panic_text(&*payloads.next().unwrap()),
            "invalid memory address"
        );
        for payload in payloads {
            assert_eq!(
                panic_text(&*payload),
                "SingleFlight: the call for this key panicked: invalid memory address"
            );
        }
    });
}

#[test]
fn a_panic_without_words_reaches_everybody() {
    on_both(|| {
        let all = share(2, || -> u32 { std::panic::panic_any(5u8) });
        let payloads: Vec<_> = all.into_iter().map(|result| result.unwrap_err()).collect();
        assert_eq!(payloads[0].downcast_ref(), Some(&5u8));
        assert_eq!(
            panic_text(&*payloads[1]),
            "SingleFlight: the call for this key panicked"
        );
    });
}

/// `TestPanicDoChan`: here only the call's goroutine ends.
#[test]
fn a_panic_disconnects_the_channels() {
    on_both(|| {
        let flight = SingleFlight::<_, ()>::new();
        let channel = flight.work_chan("key", || panic!("for the channel"));
        assert!(channel.recv().is_err());
        // The key is free again.
        yield_until(|| catch_unwind(|| flight.work("key", || ())).is_ok());
    });
}

/// `TestGoexitDo` has no counterpart: a goroutine can only return or panic. Instead: the leader panics
/// where the user's code is not `f`.
#[test]
fn a_clone_that_panics_is_a_panic_of_the_call() {
    struct Fragile(Arc<AtomicBool>);
    impl Clone for Fragile {
        fn clone(&self) -> Fragile {
            assert!(!self.0.load(Ordering::SeqCst), "can't be cloned");
            Fragile(self.0.clone())
        }
    }
    on_both(|| {
        let broken = Arc::new(AtomicBool::new(true));
        let theirs = broken.clone();
        for result in share(3, move || Fragile(theirs.clone())) {
            let payload = result.err().expect("all panic");
            let text = panic_text(&*payload);
            let words = [
                "can't be cloned",
                "SingleFlight: the call for this key panicked",
            ];
            assert!(words.contains(&text), "{text}");
        }
        // Nobody shares it: nobody clones it.
        let flight = SingleFlight::new();
        flight.work(1, || Fragile(broken.clone()));
    });
}

/// Both the call and the look-up that takes it out of the map panic.
#[test]
fn a_hash_that_panics_keeps_nobody_waiting() {
    #[derive(Clone)]
    struct Fragile(Arc<AtomicBool>);
    impl PartialEq for Fragile {
        fn eq(&self, _: &Fragile) -> bool {
            true
        }
    }
    impl Eq for Fragile {}
    impl Hash for Fragile {
        fn hash<H: Hasher>(&self, _: &mut H) {
            assert!(!self.0.load(Ordering::SeqCst), "can't be hashed");
        }
    }
    on_both(|| {
        let broken = Arc::new(AtomicBool::new(false));
        let key = Fragile(broken.clone());
        let flight = SingleFlight::new();
        let (sender, follower) = channel::bounded(1);
        let theirs = flight.clone();
        let payload = corio::spawn(move || {
            theirs.work(key.clone(), || {
                sender.send(theirs.work_chan(key.clone(), || ())).unwrap();
                broken.store(true, Ordering::SeqCst);
                panic!("the call")
            })
        });
        assert_eq!(panic_text(&*payload.join().unwrap_err()), "the call");
        assert!(follower.recv().unwrap().recv().is_err());
    });
}

#[test]
fn results_are_dropped() {
    struct Counted(&'static Drops, #[allow(dead_code)] corio_tests::Token);
    impl Clone for Counted {
        fn clone(&self) -> Counted {
            Counted(self.0, self.0.token())
        }
    }
    on_both(|| {
        let drops = Drops::new();
        let all = share(4, || Counted(drops, drops.token()));
        // The fifth is the one that was left for the followers.
        yield_until(|| drops.count() == 1);
        drop(all);
        assert_eq!(drops.count(), 6);
    });
}

/// A leader in the middle of unwinding.
#[test]
fn works_while_unwinding() {
    struct WorkOnDrop(SingleFlight<u8, u8>);
    impl Drop for WorkOnDrop {
        fn drop(&mut self) {
            assert_eq!(self.0.work(1, || 2).0, 2);
        }
    }
    on_both(|| {
        let flight = SingleFlight::new();
        let theirs = flight.clone();
        let unwinding = corio::spawn(move || {
            let _work = WorkOnDrop(theirs);
            panic!("unwinds");
        });
        assert_eq!(flight.work(1, || 2).0, 2);
        assert_eq!(panic_text(&*unwinding.join().unwrap_err()), "unwinds");
    });
}

#[test]
fn everything_at_once() {
    let _dog = watchdog();
    let flight = SingleFlight::<u64, u64>::new();
    let now: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let actor = |seed: u64, forgets: bool| {
        let (flight, now) = (flight.clone(), now.clone());
        move || {
            let mut rng = Rng::new(seed);
            for _ in 0..300 {
                let key = rng.below(4);
                let now = now.clone();
                let call = move || {
                    let together = now[key as usize].fetch_add(1, Ordering::SeqCst);
                    corio::yield_now();
                    now[key as usize].fetch_sub(1, Ordering::SeqCst);
                    assert!(together == 0 || forgets, "two calls for a key");
                    key * 10
                };
                match rng.below(if forgets { 8 } else { 7 }) {
                    7 => flight.forget(&key),
                    5 | 6 => assert_eq!(flight.work_chan(key, call).recv().unwrap().0, key * 10),
                    _ => assert_eq!(flight.work(key, call).0, key * 10),
                }
            }
        }
    };
    for forgets in [false, true] {
        let goroutines: Vec<_> = (0..6).map(|i| corio::spawn(actor(i, forgets))).collect();
        let threads: Vec<_> = (6..9).map(|i| thread::spawn(actor(i, forgets))).collect();
        goroutines.into_iter().for_each(|g| g.join().unwrap());
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
    assert_eq!(format!("{flight:?}"), "SingleFlight { calls: Some(0), .. }");
    fn is_shared<T: Clone + Send + Sync + UnwindSafe + RefUnwindSafe + Default>(_: &T) {}
    is_shared(&flight);
}
