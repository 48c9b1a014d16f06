//! Channels that deliver at a time: `after`, `at`, `tick`; and `never`.
//!
//! From goroutines, from plain threads and across the two. Lower bounds of times are exact; upper ones
//! are not tested, as machines are busy.

mod chan_support;

use chan_support::{LONG, SIDES, Side, pairs};
use corio::channel::{self, Receiver, RecvTimeoutError, Select, TryRecvError, select};
use corio_tests::watchdog;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);
/// Far away, but no overflow.
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);

type Recv = fn(&Receiver<Instant>) -> Instant;

/// Every way to receive.
const RECVS: [(&str, Recv); 5] = [
    ("recv", |r| r.recv().unwrap()),
    ("recv_timeout", |r| r.recv_timeout(LONG).unwrap()),
    ("try_recv", |r| {
        loop {
            match r.try_recv() {
                Ok(when) => return when,
                Err(_) => corio::yield_now(),
            }
        }
    }),
    ("select", |r| {
        let never = channel::never::<()>();
        select! { recv(r) -> when => when.unwrap(), recv(never) -> _ => unreachable!() }
    }),
    ("ready", |r| {
        let mut select = Select::new();
        select.recv(r);
        assert_eq!(select.ready(), 0);
        r.try_recv().unwrap()
    }),
];

#[test]
fn chan_after_delivers_once() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for (name, recv) in RECVS {
            for time in [Duration::ZERO, Duration::from_nanos(1), SHORT] {
                let (start, r) = a.run(move || (Instant::now(), channel::after(time)));
                b.run(move || {
                    let when = recv(&r);
                    assert!(when >= start + time && Instant::now() >= when, "{name}");
                    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
                    assert_eq!(r.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
                });
            }
        }
    }
}

#[test]
fn chan_at_delivers_once() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for (name, recv) in RECVS {
            let now = Instant::now();
            let past = now.checked_sub(SHORT).unwrap_or(now);
            for time in [past, now, now + SHORT] {
                let r = a.run(move || channel::at(time));
                b.run(move || {
                    assert_eq!(recv(&r), time, "{name}");
                    assert!(Instant::now() >= time);
                    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
                });
            }
        }
    }
}

/// Of several receivers of one `after`, one gets the instant.
#[test]
fn chan_after_with_many_receivers() {
    let _dog = watchdog();
    for round in 0..20 {
        let r = channel::after(Duration::from_micros(round * 100));
        let receivers: Vec<_> = (0..10)
            .map(|n| {
                let r = r.clone();
                Side::mixed(n).spawn(move || match n % 3 {
                    0 => r.recv_timeout(10 * SHORT).is_ok(),
                    1 => select! { recv(r) -> _ => true, default(10 * SHORT) => false },
                    _ => r.recv_deadline(Instant::now() + 10 * SHORT).is_ok(),
                })
            })
            .collect();
        let got = receivers.into_iter().map(|task| task.result());
        assert_eq!(got.filter(|&got| got).count(), 1);
    }
}

#[test]
fn chan_tick_ticks() {
    let _dog = watchdog();
    for (a, b) in pairs() {
        for (name, recv) in RECVS {
            let (start, r) = a.run(|| (Instant::now(), channel::tick(SHORT)));
            b.run(move || {
                for n in 1..=4 {
                    let when = recv(&r);
                    assert!(
                        when >= start + n * SHORT && Instant::now() >= when,
                        "{name}"
                    );
                }
            });
        }
    }
}

/// Ticks that nobody took in time are not made up for.
#[test]
fn chan_tick_drops_what_nobody_takes() {
    for side in SIDES {
        side.run(|| {
            let r = channel::tick(SHORT);
            corio::sleep(6 * SHORT);
            assert!(r.is_full() && r.len() == 1);
            r.recv().unwrap();
            let rest = r.try_iter().count();
            assert!(rest <= 1, "{rest} more");
        });
    }
}

/// Its receivers share the ticks.
#[test]
fn chan_tick_with_many_receivers() {
    let _dog = watchdog();
    let start = Instant::now();
    let r = channel::tick(Duration::from_millis(1));
    let receivers: Vec<_> = (0..4)
        .map(|n| {
            let r = r.clone();
            Side::mixed(n).spawn(move || (0..5).map(|_| r.recv().unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let mut ticks: Vec<_> = receivers
        .into_iter()
        .flat_map(|task| task.result())
        .collect();
    ticks.sort_unstable();
    ticks.dedup();
    assert_eq!(ticks.len(), 20, "a tick came twice");
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// Never fires, never overflows, never panics; and a wait for it can be ended.
#[test]
fn chan_huge_times() {
    let _dog = watchdog();
    for side in SIDES {
        side.run(|| {
            let far = Instant::now() + YEARS;
            let all = [
                ("after max", channel::after(Duration::MAX)),
                ("after years", channel::after(YEARS)),
                ("at", channel::at(far)),
                ("tick max", channel::tick(Duration::MAX)),
                ("tick years", channel::tick(YEARS)),
                ("never", channel::never()),
            ];
            for (name, r) in all {
                assert_eq!(r.try_recv(), Err(TryRecvError::Empty), "{name}");
                let timeout = Err(RecvTimeoutError::Timeout);
                assert_eq!(r.recv_timeout(Duration::from_millis(1)), timeout, "{name}");
                assert!(r.is_empty(), "{name}");
                assert_eq!(r.len(), 0, "{name}");
                let other = channel::after(Duration::from_millis(1));
                select! {
                    recv(r) -> _ => panic!("{name}"),
                    recv(other) -> _ => {}
                }
                let (s, message) = channel::bounded(0);
                let sender = Side::Goroutine.spawn(move || s.send(1));
                select! {
                    recv(r) -> _ => panic!("{name}"),
                    recv(message) -> m => assert_eq!(m, Ok(1)),
                    default(Duration::MAX) => panic!("{name}: the end of time"),
                }
                sender.result().unwrap();
            }
        });
    }
}

#[test]
fn chan_timed_lengths() {
    for side in SIDES {
        side.run(|| {
            for r in [channel::after(SHORT), channel::at(Instant::now() + SHORT)] {
                assert_eq!(r.capacity(), Some(1));
                r.clone().recv().unwrap();
                assert!(r.is_empty());
            }
            let r = channel::after(Duration::ZERO);
            assert!(r.is_full() && !r.is_empty() && r.len() == 1);
            assert_eq!(channel::tick(SHORT).capacity(), Some(1));
            let never = channel::never::<()>();
            assert_eq!(never.capacity(), Some(0));
            assert!(never.is_empty() && never.is_full());
        });
    }
}

/// A thousand deadlines in one process, in any order.
#[test]
fn chan_many_deadlines() {
    let _dog = watchdog();
    let mut rng = corio_tests::Rng::new(3);
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let time = Duration::from_micros(rng.below(30_000));
            Side::Goroutine.spawn(move || {
                let start = Instant::now();
                let (after, tick) = (channel::after(time), channel::tick(YEARS));
                select! {
                    recv(after) -> when => assert!(when.unwrap() >= start + time),
                    recv(tick) -> _ => unreachable!(),
                    default(time / 2) => {
                        assert!(start.elapsed() >= time / 2);
                        assert!(after.recv().unwrap() >= start + time);
                    }
                }
                assert!(start.elapsed() >= time);
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.result());
}
