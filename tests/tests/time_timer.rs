//! `Timer`, and the channels of `after` and `at`. Named beside each test: the one of Go's
//! `time/sleep_test.go` and `tick_test.go` that it stands for.

use corio::channel::{self, Receiver, RecvTimeoutError, TryRecvError, unbounded};
use corio::select;
use corio::time::{Ticker, Timer};
use corio_tests::{Rng, child, watchdog, yield_until};
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use time_support::{HOUR, MS, mixed, on_both, pass};

mod time_support;

/// Demands that nothing is there.
fn no_tick(channel: &Receiver<Instant>) {
    assert_eq!(channel.len(), 0);
    assert!(channel.is_empty());
    assert_eq!(channel.try_recv(), Err(TryRecvError::Empty));
    select! {
        recv(channel) -> when => panic!("{when:?} came"),
        default => {}
    }
}

/// `TestAfter`.
#[test]
fn after_takes_its_time() {
    on_both(|| {
        let start = Instant::now();
        let end = channel::after(10 * MS).recv().unwrap();
        assert!(end >= start + 10 * MS, "the time delivered");
        assert!(start.elapsed() >= 10 * MS, "the time it was delivered");
    });
}

/// `TestAfterTick`.
#[test]
fn timers_in_a_row_add_up() {
    on_both(|| {
        let start = Instant::now();
        for _ in 0..10 {
            Timer::new(2 * MS).channel().recv().unwrap();
        }
        assert!(start.elapsed() >= 20 * MS);
    });
}

/// `TestAfterTimes`: a late receiver is told when it was due.
#[test]
fn a_late_receiver_gets_the_time_it_was_set_for() {
    on_both(|| {
        let when = Instant::now() + MS;
        let timer = Timer::at(when);
        let channel = channel::at(when);
        pass(20 * MS);
        assert_eq!(timer.channel().recv(), Ok(when));
        assert_eq!(channel.recv(), Ok(when));
    });
}

/// `TestAfterQueuing`: timers started out of order come in order.
#[test]
fn timers_come_in_the_order_of_their_times() {
    on_both(|| {
        let slots = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
        let (tx, rx) = unbounded();
        let start = Instant::now();
        let join = mixed(slots.len(), move |i| {
            // Far enough apart that each has its turn to send before the next is due, on any machine
            // that isn't stuck: the order is checked by what was delivered, too.
            let when = start + slots[i] * 5 * MS;
            let came = channel::at(when).recv().unwrap();
            assert_eq!(came, when);
            assert!(Instant::now() >= when);
            tx.send(slots[i]).unwrap();
        });
        join();
        let mut came: Vec<u32> = rx.try_iter().collect();
        came.sort_unstable();
        let mut expected = slots;
        expected.sort_unstable();
        assert_eq!(came, expected);
    });
}

/// One goroutine that waits for all of them sees them in order.
#[test]
fn a_select_over_timers_takes_the_first() {
    on_both(|| {
        let start = Instant::now();
        let [first, second, third] = [3, 6, 9].map(|n| Timer::at(start + n * MS));
        let mut came = Vec::new();
        for _ in 0..3 {
            corio::select_biased! {
                recv(first.channel()) -> when => came.push(when.unwrap()),
                recv(second.channel()) -> when => came.push(when.unwrap()),
                recv(third.channel()) -> when => came.push(when.unwrap()),
            }
        }
        assert_eq!(came, [3, 6, 9].map(|n| start + n * MS));
    });
}

/// `TestAfterStop`, for the timer with a channel.
#[test]
fn a_stopped_timer_does_not_fire() {
    on_both(|| {
        let timer = Timer::new(5 * MS);
        assert!(timer.stop());
        pass(10 * MS);
        no_tick(timer.channel());
        assert!(!timer.stop(), "it was stopped before");
    });
}

/// `TestReset`.
#[test]
fn reset_says_whether_it_was_active() {
    on_both(|| {
        let timer = Timer::new(HOUR);
        assert!(timer.reset(2 * HOUR));
        no_tick(timer.channel());
        let start = Instant::now();
        assert!(timer.reset(2 * MS));
        let when = timer.channel().recv().unwrap();
        assert!(when >= start + 2 * MS);
        assert!(!timer.reset(MS), "it was received");
        timer.channel().recv().unwrap();
        assert!(!timer.stop());
        assert!(!timer.reset_at(Instant::now() + HOUR));
        assert!(timer.stop());
    });
}

/// `TestChan`, on the timer: nothing stale comes out after a reset or stop.
#[test]
fn nothing_stale_after_reset_or_stop() {
    on_both(|| {
        let timer = Timer::new(HOUR);
        let channel = timer.channel().clone();
        assert_eq!(channel.capacity(), Some(1));
        no_tick(&channel);
        // Never looked at.
        assert!(timer.stop());
        no_tick(&channel);
        // Due, but not received.
        timer.reset(MS);
        pass(3 * MS);
        assert_eq!((channel.len(), channel.is_full()), (1, true));
        assert!(timer.stop(), "its time was not received, so it was active");
        no_tick(&channel);
        timer.reset(MS);
        pass(3 * MS);
        assert!(timer.reset(HOUR));
        no_tick(&channel);
        // Received once and no more.
        timer.reset(Duration::ZERO);
        channel.recv().unwrap();
        no_tick(&channel);
        assert_eq!(channel.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
        // Anew.
        for _ in 0..10 {
            assert!(!timer.reset(Duration::ZERO));
            channel.recv().unwrap();
        }
    });
}

/// `TestChan`, its second half: timers with somebody waiting. A reset reaches them.
#[test]
fn a_reset_reaches_those_who_wait() {
    on_both(|| {
        for waiters in [1, 10] {
            let timer = Timer::new(HOUR);
            let got = Arc::new(AtomicUsize::new(0));
            let (channel, theirs) = (timer.channel().clone(), Arc::clone(&got));
            let join = mixed(waiters, move |i| {
                if i % 3 == 0 {
                    select! { recv(channel) -> when => _ = when.unwrap() }
                } else {
                    channel.recv().unwrap();
                }
                theirs.fetch_add(1, Ordering::SeqCst);
            });
            for n in 1..=waiters {
                // Stopped while some wait, then for later, then for now.
                timer.stop();
                timer.reset(2 * HOUR);
                timer.reset(Duration::ZERO);
                yield_until(|| got.load(Ordering::SeqCst) == n);
            }
            join();
            no_tick(timer.channel());
        }
    });
}

/// A reset to a later time is found out by who waits, without being woken for it.
#[test]
fn a_timer_put_off_is_late_for_those_who_wait() {
    on_both(|| {
        let timer = Timer::new(2 * MS);
        let channel = timer.channel().clone();
        let waits = corio::spawn(move || channel.recv().unwrap());
        let mut last = Instant::now();
        for _ in 0..20 {
            last = Instant::now() + 5 * MS;
            // If the time has been received meanwhile, this plans another, which nobody waits for.
            if !timer.reset_at(last) {
                break;
            }
            pass(MS);
        }
        let came = waits.join().unwrap();
        assert!(came <= last);
        assert!(Instant::now() >= came);
    });
}

/// `TestZeroTimer`, `TestZeroTimerStop`.
#[test]
fn zero_timers_fire_at_once_and_can_be_stopped() {
    on_both(|| {
        for _ in 0..10_000 {
            Timer::new(Duration::ZERO).channel().recv().unwrap();
            channel::after(Duration::ZERO).recv().unwrap();
            let timer = Timer::new(Duration::ZERO);
            assert!(timer.stop());
            no_tick(timer.channel());
        }
    });
}

/// `TestOverflowSleep`: durations that no clock can hold.
#[test]
fn huge_durations_never_fire() {
    on_both(|| {
        for huge in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
            let timer = Timer::new(huge);
            no_tick(timer.channel());
            let after = channel::after(huge);
            assert_eq!(after.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
            select! {
                recv(timer.channel()) -> _ => panic!("fired"),
                recv(after) -> _ => panic!("fired"),
                default(MS) => {}
            }
            timer.reset(Duration::ZERO);
            timer.channel().recv().unwrap();
            timer.reset(huge);
            no_tick(timer.channel());
            assert!(!timer.stop(), "never is as good as stopped");
        }
    });
}

/// `TestOverflowSleep`, its other half, where Go has negative durations.
#[test]
fn times_in_the_past_are_due_at_once() {
    on_both(|| {
        let past = Instant::now();
        pass(MS);
        assert_eq!(Timer::at(past).channel().recv(), Ok(past));
        assert_eq!(channel::at(past).try_recv(), Ok(past));
        if let Some(long_past) = past.checked_sub(HOUR) {
            assert_eq!(channel::at(long_past).try_recv(), Ok(long_past));
            let timer = Timer::new(HOUR);
            assert!(timer.reset_at(long_past));
            assert_eq!(timer.channel().try_recv(), Ok(long_past));
        }
    });
}

/// `TestTimerModifiedEarlier`: a timer brought forward fires long before its old time.
#[test]
fn a_timer_brought_forward_fires_early() {
    on_both(|| {
        for _ in 0..1000 {
            let timer = Timer::new(HOUR);
            for _ in 0..10 {
                assert!(timer.stop());
                assert!(!timer.reset_at(Instant::now()));
            }
            select! {
                recv(timer.channel()) -> _ => {},
                recv(channel::after(HOUR)) -> _ => unreachable!(),
            }
        }
    });
}

/// `TestAdjustTimers`: many timers, changed at random; those that are left fire, no other.
#[test]
fn timers_changed_at_random_fire_once() {
    on_both(|| {
        let mut rng = Rng::new(3);
        let mut timers: Vec<(Timer, bool)> = (0..100)
            .map(|_| (Timer::new(Duration::from_micros(rng.below(5000))), true))
            .collect();
        for _ in 0..5000 {
            let at = rng.below(100) as usize;
            let (timer, active) = &mut timers[at];
            let time = Duration::from_micros(rng.below(5000));
            match rng.below(3) {
                0 => {
                    assert_eq!(timer.stop(), *active);
                    *active = false;
                }
                1 => {
                    assert_eq!(timer.reset(time), *active);
                    *active = true;
                }
                _ => *active &= timer.channel().try_recv().is_err(),
            }
        }
        for (timer, active) in timers {
            if active {
                timer.channel().recv().unwrap();
            }
            no_tick(timer.channel());
        }
    });
}

/// `TestStopResult`, `TestResetResult`: stop (or reset) and a receiver race; exactly one of them has it.
#[test]
fn either_stop_or_the_receiver_has_it() {
    on_both(|| {
        for n in 0..2000 {
            let timer = Arc::new(Timer::new(Duration::from_micros(n % 50)));
            let channel = timer.channel().clone();
            let receives = corio::spawn(move || channel.try_recv().is_ok());
            let stopped = if n % 2 == 0 {
                timer.stop()
            } else {
                timer.reset(HOUR)
            };
            let received = receives.join().unwrap();
            assert!(stopped != received, "round {n}: {stopped} {received}");
            no_tick(timer.channel());
        }
    });
}

/// `TestMultiWakeupTimer`: many receivers of one timer that is set again and again.
#[test]
fn many_receivers_share_a_timer() {
    let _dog = watchdog();
    let timer = Arc::new(Timer::new(Duration::ZERO));
    let left = Arc::new(AtomicUsize::new(2000));
    let join = {
        let (timer, left) = (Arc::clone(&timer), Arc::clone(&left));
        mixed(8, move |_| {
            while left.load(Ordering::SeqCst) > 0 {
                // A receiver that comes to nothing is let go by the others' resets, or by the time.
                if timer.channel().recv_timeout(MS).is_ok() {
                    let _ =
                        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                    timer.reset(Duration::from_micros(10));
                }
            }
        })
    };
    join();
    assert_eq!(left.load(Ordering::SeqCst), 0);
}

/// `TestAfterStress`: timers beside goroutines that never stop working.
#[test]
fn timers_fire_beside_busy_goroutines() {
    let _dog = watchdog();
    let stop = Arc::new(AtomicUsize::new(0));
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let stop = Arc::clone(&stop);
            corio::spawn(move || {
                while stop.load(Ordering::Relaxed) == 0 {
                    corio::yield_now();
                }
            })
        })
        .collect();
    corio::spawn(|| {
        for _ in 0..100 {
            channel::after(Duration::from_nanos(1)).recv().unwrap();
            Timer::new(Duration::from_micros(100))
                .channel()
                .recv()
                .unwrap();
        }
    })
    .join()
    .unwrap();
    stop.store(1, Ordering::Relaxed);
    busy.into_iter().for_each(|g| g.join().unwrap());
}

/// A thread waits for a timer that a goroutine sets, and the other way round.
#[test]
fn threads_and_goroutines_share_timers() {
    let _dog = watchdog();
    let timer = Arc::new(Timer::new(HOUR));
    let ours = Arc::clone(&timer);
    let waits = thread::spawn(move || ours.channel().recv().unwrap());
    let ours = Arc::clone(&timer);
    corio::spawn(move || ours.reset(Duration::ZERO))
        .join()
        .unwrap();
    waits.join().unwrap();
    let ours = Arc::clone(&timer);
    let waits = corio::spawn(move || ours.channel().recv().unwrap());
    thread::spawn(move || timer.reset(Duration::ZERO))
        .join()
        .unwrap();
    waits.join().unwrap();
}

/// A goroutine that panics while it waits for a timer, or holds it, leaves it usable.
#[test]
fn a_timer_survives_a_panic() {
    let _dog = watchdog();
    let timer = Arc::new(Timer::new(Duration::ZERO));
    let ours = Arc::clone(&timer);
    let failed = corio::spawn(move || {
        ours.channel().recv().unwrap();
        panic!("while holding it");
    });
    assert!(failed.join().is_err());
    timer.reset(Duration::ZERO);
    timer.channel().recv().unwrap();
}

/// `TestTimerGC`: a timer that nobody has any more is gone, with nothing left in the scheduler. Also
/// `TestTeardown`, on timers.
#[test]
fn timers_that_nobody_waits_for_are_unknown_to_the_scheduler() {
    child!("time_idle").succeeds();
}

#[test]
fn channels_outlive_their_timer() {
    on_both(|| {
        let channel = Timer::new(MS).channel().clone();
        channel.recv().unwrap();
    });
}

#[test]
fn timers_are_shared_freely() {
    fn check<T: Send + Sync + UnwindSafe + RefUnwindSafe + Debug>() {}
    check::<Timer>();
    check::<Ticker>();
    check::<Receiver<Instant>>();
}

#[test]
fn timers_show_what_is_left() {
    let timer = Timer::new(HOUR);
    assert!(format!("{timer:?}").contains("Some"), "{timer:?}");
    timer.stop();
    assert!(format!("{timer:?}").contains("None"), "{timer:?}");
}
