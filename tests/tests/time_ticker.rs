//! `Ticker`, and the channel of `tick`. Named beside each test: the one of Go's `time/tick_test.go` that it
//! stands for.

use corio::channel::{self, RecvTimeoutError, TryRecvError};
use corio::select;
use corio::time::Ticker;
use corio_tests::{watchdog, yield_until};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use time_support::{HOUR, MS, mixed, on_both, pass};

mod time_support;

/// `TestTicker`: never too many ticks, none after the stop, and a reset changes the period.
#[test]
fn ticks_come_once_per_period_until_stopped() {
    on_both(|| {
        let start = Instant::now();
        let ticker = Ticker::new(HOUR);
        ticker.reset(2 * MS);
        for n in 1..=10u32 {
            let when = ticker.channel().recv().unwrap();
            assert!(when >= start + n * 2 * MS, "tick {n}");
            assert!(Instant::now() >= when);
        }
        ticker.stop();
        pass(5 * MS);
        assert_eq!(ticker.channel().try_recv(), Err(TryRecvError::Empty));
        let start = Instant::now();
        ticker.reset(3 * MS);
        assert!(ticker.channel().recv().unwrap() >= start + 3 * MS);
        ticker.stop();
    });
}

/// Go's ticks lie on the grid of the period, however late they are received.
#[test]
fn ticks_keep_to_the_grid() {
    on_both(|| {
        let ticker = Ticker::new(2 * MS);
        let first = ticker.channel().recv().unwrap();
        for n in [1, 7, 0, 3] {
            pass(n * MS);
            let when = ticker.channel().recv().unwrap();
            let since = (when - first).as_nanos();
            assert_eq!(since % (2 * MS).as_nanos(), 0, "{since} ns after the first");
        }
    });
}

/// `TestTickTimes`: who comes late gets the first tick that was due, and the dropped ones never.
#[test]
fn late_receivers_get_one_old_tick() {
    on_both(|| {
        let start = Instant::now();
        let ticker = Ticker::new(10 * MS);
        pass(55 * MS);
        let looked = Instant::now();
        let when = ticker.channel().recv().unwrap();
        assert!(
            when <= looked - 40 * MS,
            "{:?} after the start",
            when - start
        );
        let next = ticker.channel().recv().unwrap();
        assert!(next > looked, "the others were dropped");
    });
}

/// crossbeam's ticks keep their distance from the last delivery instead.
#[test]
fn ticks_of_a_channel_keep_their_distance() {
    on_both(|| {
        let start = Instant::now();
        let ticks = channel::tick(10 * MS);
        pass(35 * MS);
        let looked = Instant::now();
        let first = ticks.recv().unwrap();
        assert!(first >= start + 10 * MS && first <= looked - 20 * MS);
        assert!(ticks.recv().unwrap() >= looked + 10 * MS);
    });
}

/// `TestNewTickerLtZeroDuration`, `TestTickerResetLtZeroDuration`.
#[test]
fn a_period_of_zero_panics() {
    on_both(|| {
        assert!(catch_unwind(|| Ticker::new(Duration::ZERO)).is_err());
        let ticker = Arc::new(Ticker::new(MS));
        let ours = Arc::clone(&ticker);
        let reset = std::panic::AssertUnwindSafe(move || ours.reset(Duration::ZERO));
        assert!(catch_unwind(reset).is_err());
        // And changes nothing.
        ticker.channel().recv().unwrap();
    });
}

/// `TestTickLtZeroDuration` has no counterpart: crossbeam's `tick(0)` is always ready.
#[test]
fn tick_zero_is_always_ready() {
    on_both(|| {
        let ticks = channel::tick(Duration::ZERO);
        for _ in 0..1000 {
            ticks.recv().unwrap();
            ticks.try_recv().unwrap();
        }
    });
}

#[test]
fn huge_periods_never_tick() {
    on_both(|| {
        let ticker = Ticker::new(Duration::MAX);
        let ticks = channel::tick(Duration::MAX);
        select! {
            recv(ticker.channel()) -> _ => panic!("ticked"),
            recv(ticks) -> _ => panic!("ticked"),
            default(MS) => {}
        }
        ticker.reset(Duration::from_nanos(1));
        ticker.channel().recv().unwrap();
        ticker.reset(Duration::MAX);
        let none = ticker.channel().recv_timeout(MS);
        assert_eq!(none, Err(RecvTimeoutError::Timeout));
    });
}

/// `TestTeardown`: made, used once or not at all, dropped.
#[test]
fn tickers_come_and_go() {
    on_both(|| {
        for n in 0..1000 {
            let ticker = Ticker::new(Duration::from_micros(10));
            if n % 3 == 0 {
                ticker.channel().recv().unwrap();
            }
            if n % 2 == 0 {
                ticker.stop();
            }
        }
    });
}

/// `TestTick`, for a channel that nobody can stop.
#[test]
fn a_tick_channel_ticks() {
    on_both(|| {
        let ticks = channel::tick(100 * MS / 100);
        for _ in 0..10 {
            ticks.recv().unwrap();
        }
    });
}

/// `TestChan`, on the ticker: nothing stale, and resets reach those who wait.
#[test]
fn nothing_stale_after_reset_or_stop() {
    on_both(|| {
        let ticker = Arc::new(Ticker::new(MS));
        pass(3 * MS);
        assert_eq!(ticker.channel().len(), 1);
        ticker.stop();
        assert!(ticker.channel().is_empty());
        ticker.reset(MS);
        pass(3 * MS);
        ticker.reset(HOUR);
        assert_eq!(ticker.channel().try_recv(), Err(TryRecvError::Empty));
        let got = Arc::new(AtomicUsize::new(0));
        let (ours, theirs) = (Arc::clone(&ticker), Arc::clone(&got));
        let join = mixed(6, move |_| {
            ours.channel().recv().unwrap();
            theirs.fetch_add(1, Ordering::SeqCst);
        });
        // One tick per reset, so one receiver; the next tick is an hour away.
        for n in 1..=6 {
            ticker.reset(Duration::from_nanos(1));
            yield_until(|| got.load(Ordering::SeqCst) >= n);
        }
        ticker.stop();
        join();
    });
}

/// `TestMultiWakeupTicker`: many receivers of a fast ticker, each with its own timeouts.
#[test]
fn many_receivers_share_a_ticker() {
    let _dog = watchdog();
    let ticker = Arc::new(Ticker::new(Duration::from_micros(1)));
    let ticks = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&ticks);
    mixed(8, move |_| {
        for _ in 0..2000 {
            select! {
                recv(ticker.channel()) -> _ => _ = theirs.fetch_add(1, Ordering::SeqCst),
                recv(channel::after(MS)) -> _ => {},
            }
        }
    })();
    assert!(ticks.load(Ordering::SeqCst) > 0);
}

/// `TestLongAdjustTimers`: tickers that are reset while others wait for them.
#[test]
fn a_ticker_reset_all_the_time_still_ticks() {
    let _dog = watchdog();
    let ticker = Arc::new(Ticker::new(HOUR));
    let stop = Arc::new(AtomicBool::new(false));
    let (ours, theirs) = (Arc::clone(&ticker), Arc::clone(&stop));
    let resets = corio::spawn(move || {
        let mut n = 0u64;
        while !theirs.load(Ordering::SeqCst) {
            n += 1;
            // Now and then it is left alone for long enough.
            let period = if n.is_multiple_of(10) {
                1
            } else {
                1_000_000_000
            };
            ours.reset(Duration::from_nanos(period));
            corio::yield_now();
        }
    });
    for _ in 0..50 {
        ticker.channel().recv().unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    resets.join().unwrap();
}
