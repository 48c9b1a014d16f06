//! `WorkerPool`. Named beside each test: what ants documents or tests (`ants_test.go`) that it stands for.

use corio::group::WaitGroup;
use corio::pool::{Builder, SubmitError, WorkerPool};
use corio_tests::{Drops, Rng, child, on_both, watchdog, yield_until};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(1000);

/// A task that runs until told otherwise.
#[derive(Clone)]
struct Gate(WaitGroup);

impl Gate {
    fn new() -> Gate {
        let gate = WaitGroup::new();
        gate.add(1);
        Gate(gate)
    }

    fn task(&self) -> impl FnOnce() + Send + 'static {
        let gate = self.0.clone();
        move || gate.wait()
    }

    fn open(&self) {
        self.0.done();
    }
}

fn ended(pool: &WorkerPool) {
    yield_until(|| pool.running() == 0);
}

/// `TestAntsPool`: everything submitted is run, by no more than capacity workers at once.
#[test]
fn runs_everything_within_its_capacity() {
    on_both(|| {
        let pool = WorkerPool::new(4);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (wg, sum) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for n in 0..1000 {
            wg.add(1);
            let (wg, sum, now, most) = (wg.clone(), sum.clone(), now.clone(), most.clone());
            pool.submit(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if n % 3 == 0 {
                    corio::yield_now();
                }
                sum.fetch_add(n, Ordering::Relaxed);
                now.fetch_sub(1, Ordering::SeqCst);
                wg.done();
            })
            .unwrap();
            assert!(pool.running() <= 4);
        }
        wg.wait();
        assert_eq!(sum.load(Ordering::Relaxed), 499_500);
        assert!(most.load(Ordering::SeqCst) <= 4);
    });
}

/// `Running`, `Free`, `Cap`, `Waiting`.
#[test]
fn counts_its_workers() {
    on_both(|| {
        let pool = WorkerPool::new(3);
        let counts = || (pool.running(), pool.idle(), pool.free(), pool.waiting());
        assert_eq!(counts(), (0, 0, Some(3), 0));
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        assert_eq!(counts(), (1, 0, Some(2), 0));
        pool.submit(gate.task()).unwrap();
        pool.submit(gate.task()).unwrap();
        assert_eq!(counts(), (3, 0, Some(0), 0));
        let (theirs, task) = (pool.clone(), gate.task());
        let waiting = corio::spawn(move || theirs.submit(task).is_ok());
        yield_until(|| pool.waiting() == 1);
        gate.open();
        assert!(waiting.join().unwrap());
        yield_until(|| pool.idle() == 3);
        assert_eq!(counts(), (3, 3, Some(0), 0));
        assert_eq!(pool.capacity(), Some(3));
        let unlimited = Builder::new().build();
        assert_eq!((unlimited.capacity(), unlimited.free()), (None, None));
    });
}

/// "If all workers are busy, `Submit` will block until there is an available worker".
#[test]
fn a_blocking_submit_waits_in_turn() {
    child!("pool_order").env("CORIO_PROCS", 1).succeeds();
    on_both(|| {
        let pool = WorkerPool::new(1);
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let submitters: Vec<_> = (0..10)
            .map(|i| {
                let (theirs, order) = (pool.clone(), order.clone());
                let submit = move || {
                    theirs
                        .submit(move || order.lock().unwrap().push(i))
                        .unwrap()
                };
                let submitter = corio::spawn(submit);
                yield_until(|| pool.waiting() == i + 1);
                submitter
            })
            .collect();
        assert!(submitters.iter().all(|s| !s.is_finished()));
        gate.open();
        submitters.into_iter().for_each(|s| s.join().unwrap());
        yield_until(|| pool.idle() == 1);
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    });
}

/// `TestNonblockingSubmit`, `ErrPoolOverload`.
#[test]
fn a_nonblocking_pool_refuses_with_the_task() {
    on_both(|| {
        let pool = Builder::new().capacity(2).nonblocking(true).build();
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        pool.submit(gate.task()).unwrap();
        let said = Arc::new(AtomicUsize::new(0));
        let theirs = said.clone();
        let refused = pool.submit(move || theirs.store(7, Ordering::SeqCst));
        let error = refused.unwrap_err();
        assert!(error.is_full() && !error.is_closed());
        assert_eq!(error.to_string(), "all workers of the pool are busy");
        error.into_inner()();
        assert_eq!(said.load(Ordering::SeqCst), 7, "the very task");
        gate.open();
        yield_until(|| pool.idle() == 2);
        pool.submit(|| ()).unwrap();
    });
}

/// `TestMaxBlockingSubmit`.
#[test]
fn no_more_than_so_many_wait() {
    on_both(|| {
        let pool = Builder::new().capacity(1).max_blocking_tasks(2).build();
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|i| {
                let theirs = pool.clone();
                let waiting = thread::spawn(move || theirs.submit(|| ()).unwrap());
                yield_until(|| pool.waiting() == i + 1);
                waiting
            })
            .collect();
        assert!(matches!(pool.submit(|| ()), Err(SubmitError::Full(_))));
        assert!(pool.submit_timeout(|| (), LONG).unwrap_err().is_full());
        gate.open();
        waiting.into_iter().for_each(|w| w.join().unwrap());
        pool.submit(|| ()).unwrap();
    });
}

#[test]
fn try_submit_never_waits() {
    on_both(|| {
        let pool = WorkerPool::new(1);
        let gate = Gate::new();
        pool.try_submit(gate.task()).unwrap();
        assert!(pool.try_submit(|| ()).unwrap_err().is_full());
        gate.open();
        yield_until(|| pool.try_submit(|| ()).is_ok());
    });
}

#[test]
fn submit_timeout_runs_out_or_not() {
    on_both(|| {
        let pool = WorkerPool::new(1);
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        let drops = Drops::new();
        let token = drops.token();
        let start = Instant::now();
        let task = move || drop(token);
        let refused = pool.submit_timeout(task, Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5));
        assert_eq!((pool.waiting(), drops.count()), (0, 0));
        assert!(refused.as_ref().unwrap_err().is_full());
        drop(refused);
        assert_eq!(drops.count(), 1);
        assert!(pool.submit_timeout(|| (), Duration::ZERO).is_err());
        let theirs = pool.clone();
        let waiting = corio::spawn(move || theirs.submit_timeout(|| (), LONG).is_ok());
        yield_until(|| pool.waiting() == 1);
        gate.open();
        assert!(waiting.join().unwrap());
        assert!(pool.submit_timeout(|| (), Duration::MAX).is_ok());
    });
}

/// `TestPurgePool`, `WithExpiryDuration`: idle workers end, and new ones are started when needed.
#[test]
fn idle_workers_end() {
    on_both(|| {
        let expiry = Duration::from_millis(20);
        let pool = Builder::new().capacity(8).idle_expiry(expiry).build();
        for _ in 0..3 {
            let gate = Gate::new();
            (0..5).for_each(|_| pool.submit(gate.task()).unwrap());
            assert_eq!(pool.running(), 5);
            let start = Instant::now();
            gate.open();
            ended(&pool);
            assert!(start.elapsed() >= expiry);
        }
    });
}

/// A pool with 20 idle workers, and a function that submits a task, waits until its worker is idle again,
/// and returns which it was.
fn with_idle_workers(expiry: Option<Duration>) -> (WorkerPool, impl Fn() -> u64) {
    let pool = Builder::new().idle_expiry(expiry).build();
    let gate = Gate::new();
    (0..20).for_each(|_| pool.submit(gate.task()).unwrap());
    gate.open();
    yield_until(|| pool.idle() == pool.running());
    let submits = pool.clone();
    let submit = move || {
        let (sender, receiver) = corio::channel::bounded(1);
        submits
            .submit(move || sender.send(corio::current().id()).unwrap())
            .unwrap();
        let id = receiver.recv().unwrap();
        yield_until(|| submits.idle() == submits.running());
        id
    };
    (pool, submit)
}

/// Last in, first out: as long as one is enough it is always the same.
#[test]
fn the_most_recently_idle_worker_is_used() {
    on_both(|| {
        let (pool, submit) = with_idle_workers(None);
        let first = submit();
        assert!((0..50).all(|_| submit() == first));
        assert_eq!(pool.running(), 20);
        assert!(pool.release_timeout(LONG));
    });
}

/// So the others end, though the pool is never idle for long.
#[test]
fn workers_that_are_not_needed_end() {
    on_both(|| {
        let (pool, submit) = with_idle_workers(Some(Duration::from_millis(10)));
        while pool.running() > 1 {
            submit();
        }
    });
}

/// `WithDisablePurge`.
#[test]
fn workers_that_do_not_expire_stay() {
    let _dog = watchdog();
    let pool = Builder::new().idle_expiry(None).build();
    let gate = Gate::new();
    (0..5).for_each(|_| pool.submit(gate.task()).unwrap());
    gate.open();
    yield_until(|| pool.idle() == 5);
    corio::sleep(Duration::from_millis(5));
    assert_eq!((pool.idle(), pool.running()), (5, 5));
    assert!(pool.release_timeout(LONG));
}

/// `TestPanicHandler`.
#[test]
fn a_panic_handler_gets_the_payload_and_the_worker_goes_on() {
    on_both(|| {
        let caught = Arc::new(Mutex::new(Vec::new()));
        let theirs = caught.clone();
        let pool = Builder::new()
            .capacity(1)
            .panic_handler(move |payload| {
                let text = payload.downcast_ref::<&str>().unwrap();
                theirs.lock().unwrap().push(*text);
            })
            .build();
        let (ids, wg) = (Arc::new(Mutex::new(Vec::new())), WaitGroup::new());
        for _ in 0..10 {
            wg.add(1);
            let (ids, wg) = (ids.clone(), wg.clone());
            pool.submit(move || {
                ids.lock().unwrap().push(corio::current().id());
                wg.done();
                panic!("handled");
            })
            .unwrap();
        }
        wg.wait();
        yield_until(|| pool.idle() == 1);
        assert_eq!(*caught.lock().unwrap(), ["handled"; 10]);
        let ids = ids.lock().unwrap();
        assert!(ids.iter().all(|id| *id == ids[0]), "one worker: {ids:?}");
    });
}

/// `TestPanicHandlerPreMalloc` and following: "worker exits from panic", and its place is free again.
#[test]
fn a_panic_frees_the_place() {
    on_both(|| {
        let pool = WorkerPool::new(2);
        let wg = WaitGroup::new();
        for n in 0..50 {
            wg.add(1);
            let wg = wg.clone();
            pool.submit(move || {
                struct Done(WaitGroup);
                impl Drop for Done {
                    fn drop(&mut self) {
                        self.0.done();
                    }
                }
                let _done = Done(wg);
                assert!(n % 2 == 0, "not handled");
            })
            .unwrap();
        }
        wg.wait();
        yield_until(|| pool.idle() == pool.running());
        assert!(pool.release_timeout(LONG));
    });
}

#[test]
fn a_handler_that_panics_frees_the_place() {
    on_both(|| {
        let pool = Builder::new()
            .capacity(1)
            .panic_handler(|_| panic!("in the handler"))
            .build();
        for _ in 0..5 {
            pool.submit(|| panic!("in the task")).unwrap();
        }
        ended(&pool);
    });
}

/// `TestPoolTuneScaleUp`: those who wait get the new places.
#[test]
fn growing_lets_waiters_in() {
    on_both(|| {
        let pool = WorkerPool::new(1);
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        let waiting: Vec<_> = (0..6)
            .map(|_| {
                let (theirs, task) = (pool.clone(), gate.task());
                corio::spawn(move || theirs.submit(task).unwrap())
            })
            .collect();
        yield_until(|| pool.waiting() == 6);
        pool.resize(3);
        yield_until(|| pool.running() == 3 && pool.waiting() == 4);
        pool.resize(0);
        waiting.into_iter().for_each(|w| w.join().unwrap());
        assert_eq!((pool.running(), pool.capacity()), (7, None));
        gate.open();
    });
}

/// `Tune` to less: "the surplus workers end".
#[test]
fn shrinking_ends_the_surplus() {
    on_both(|| {
        let pool = Builder::new().capacity(10).idle_expiry(None).build();
        let (idlers, busy) = (Gate::new(), Gate::new());
        (0..5).for_each(|_| pool.submit(idlers.task()).unwrap());
        (0..5).for_each(|_| pool.submit(busy.task()).unwrap());
        idlers.open();
        yield_until(|| pool.idle() == 5);
        pool.resize(8);
        assert_eq!((pool.running(), pool.idle()), (8, 3));
        pool.resize(2);
        assert_eq!((pool.running(), pool.idle()), (5, 0));
        assert!(pool.try_submit(|| ()).unwrap_err().is_full());
        assert_eq!(pool.free(), Some(0));
        busy.open();
        yield_until(|| pool.running() == 2);
        pool.submit(|| ()).unwrap();
    });
}

/// `Release`, `ErrPoolClosed`: also for those who wait.
#[test]
fn a_released_pool_refuses_with_the_task() {
    on_both(|| {
        let pool = WorkerPool::new(1);
        let gate = Gate::new();
        pool.submit(gate.task()).unwrap();
        let drops = Drops::new();
        let waiting: Vec<_> = (0..4)
            .map(|i| {
                let (theirs, token) = (pool.clone(), drops.token());
                corio::spawn(move || {
                    let task = move || drop(token);
                    match i {
                        0 => theirs.submit_timeout(task, LONG),
                        _ => theirs.submit(task),
                    }
                    .unwrap_err()
                    .is_closed()
                })
            })
            .collect();
        yield_until(|| pool.waiting() == 4);
        pool.release();
        pool.release();
        assert!(waiting.into_iter().all(|w| w.join().unwrap()));
        assert_eq!(drops.count(), 4);
        assert!(pool.is_closed());
        let error = pool.submit(|| ()).unwrap_err();
        assert_eq!(error.to_string(), "submitting to a released pool");
        assert_eq!(format!("{error:?}"), "Closed(..)");
        assert!(pool.try_submit(|| ()).unwrap_err().is_closed());
        // What runs goes on.
        assert_eq!(pool.running(), 1);
        gate.open();
        ended(&pool);
    });
}

/// `ReleaseTimeout`, `ErrTimeout`.
#[test]
fn release_timeout_waits_for_the_workers() {
    on_both(|| {
        let pool = WorkerPool::new(4);
        assert!(pool.release_timeout(Duration::ZERO), "nobody works");
        pool.reboot();
        let gate = Gate::new();
        (0..3).for_each(|_| pool.submit(gate.task()).unwrap());
        assert!(!pool.release_timeout(Duration::ZERO));
        assert!(!pool.release_timeout(Duration::from_millis(5)));
        assert_eq!(pool.running(), 3);
        let theirs = gate.clone();
        thread::spawn(move || theirs.open());
        assert!(pool.release_timeout(LONG));
        assert_eq!(pool.running(), 0);
        assert!(pool.release_timeout(Duration::MAX));
    });
}

/// `TestRebootDefaultPool`, `TestRebootNewPool`.
#[test]
fn a_released_pool_can_be_rebooted() {
    on_both(|| {
        let pool = WorkerPool::new(2);
        for _ in 0..20 {
            let wg = WaitGroup::new();
            wg.add(1);
            let theirs = wg.clone();
            pool.submit(move || theirs.done()).unwrap();
            wg.wait();
            pool.release();
            assert!(pool.submit(|| ()).is_err());
            pool.reboot();
            pool.reboot();
            assert!(!pool.is_closed());
        }
    });
}

#[test]
fn the_last_handle_releases() {
    on_both(|| {
        let pool = Builder::new().capacity(2).idle_expiry(None).build();
        let (gate, drops) = (Gate::new(), Drops::new());
        let (task, token) = (gate.task(), drops.token());
        pool.submit(move || {
            let _token = token;
            task();
        })
        .unwrap();
        let idle = corio::spawn(|| ());
        drop(pool.clone());
        pool.submit(|| ()).unwrap();
        drop(pool);
        idle.join().unwrap();
        assert_eq!(drops.count(), 0, "it runs on");
        gate.open();
        yield_until(|| drops.count() == 1);
    });
}

/// The handler's captures are dropped by the last worker, or handle, in a goroutine or thread of the
/// user's.
#[test]
fn a_pool_in_a_task_of_its_own_ends() {
    on_both(|| {
        let drops = Drops::new();
        let token = drops.token();
        let pool = Builder::new()
            .capacity(1)
            .panic_handler(move |_| {
                let _ = &token;
            })
            .idle_expiry(Duration::from_millis(1))
            .build();
        let mine = pool.clone();
        pool.submit(move || drop(mine)).unwrap();
        drop(pool);
        yield_until(|| drops.count() == 1);
    });
}

#[test]
fn workers_are_named() {
    let _dog = watchdog();
    let pool = Builder::new().capacity(1).name_prefix("crawler").build();
    let (name, wg) = (Arc::new(Mutex::new(None)), WaitGroup::new());
    wg.add(1);
    let (theirs, done) = (name.clone(), wg.clone());
    pool.submit(move || {
        *theirs.lock().unwrap() = corio::current().name().map(String::from);
        done.done();
    })
    .unwrap();
    wg.wait();
    assert_eq!(name.lock().unwrap().as_deref(), Some("crawler-1"));
}

#[test]
fn shows_its_counts() {
    let pool = WorkerPool::new(2);
    let text = format!("{pool:?}");
    assert!(
        text.contains("running: 0") && text.contains("capacity: Some(2)"),
        "{text}"
    );
    let text = format!("{:?}", WorkerPool::builder().capacity(3).name_prefix("x"));
    assert!(
        text.contains("capacity: 3") && text.contains("\"x\""),
        "{text}"
    );
    assert!(catch_unwind(|| pool.try_submit(|| ())).is_ok());
}

/// A pool without work is no reason to go on, and none to give up before its workers have ended.
#[test]
fn an_idle_pool_is_a_deadlock() {
    child!("pool_deadlock")
        .panics()
        .says("all goroutines are asleep - deadlock!")
        .says("[idle worker");
}

#[test]
fn everything_at_once() {
    let _dog = watchdog();
    let pool = Builder::new()
        .capacity(4)
        .idle_expiry(Duration::from_micros(300))
        .panic_handler(|_| ())
        .build();
    let (accepted, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let actor = |seed| {
        let (pool, accepted, ran) = (pool.clone(), accepted.clone(), ran.clone());
        move || {
            let mut rng = Rng::new(seed);
            for _ in 0..400 {
                let theirs = ran.clone();
                let nap = rng.below(8);
                let task = move || {
                    theirs.fetch_add(1, Ordering::SeqCst);
                    match nap {
                        0 => corio::sleep(Duration::from_micros(200)),
                        1 => corio::yield_now(),
                        2 => std::panic::resume_unwind(Box::new("quietly")),
                        _ => {}
                    }
                };
                let taken = match rng.below(20) {
                    0 => {
                        pool.resize(rng.below(6) as usize);
                        continue;
                    }
                    1 => {
                        pool.release();
                        pool.reboot();
                        continue;
                    }
                    2..8 => pool.try_submit(task).is_ok(),
                    8..14 => {
                        let timeout = Duration::from_micros(rng.below(300));
                        pool.submit_timeout(task, timeout).is_ok()
                    }
                    _ => pool.submit(task).is_ok(),
                };
                accepted.fetch_add(usize::from(taken), Ordering::SeqCst);
            }
        }
    };
    let goroutines: Vec<_> = (0..6).map(|i| corio::spawn(actor(i))).collect();
    let threads: Vec<_> = (6..10).map(|i| thread::spawn(actor(i))).collect();
    goroutines.into_iter().for_each(|g| g.join().unwrap());
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert!(pool.release_timeout(LONG));
    assert_eq!(ran.load(Ordering::SeqCst), accepted.load(Ordering::SeqCst));
    assert_eq!((pool.idle(), pool.waiting()), (0, 0));
}
