//! `ConnPool`: connections are made, kept and reused; nobody gets lost who waits, nor a place, whatever goes
//! wrong. In the spirit of the tests of Go's database/sql. `net_conn_pool_ending` is about their end.

mod conn_pool_support;
mod net_support;

use conn_pool_support::{Fake, Server, assert_at_rest, waits_for};
use corio::context::Context;
use corio_net::conn_pool::{Builder, ConnPool, PooledConn};
use corio_net::is_closed;
use corio_tests::{Rng, panic_text, yield_until};
use net_support::*;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn connections_are_made_on_demand_and_the_last_one_used_is_used_next() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b);
        assert_eq!(pool.stats().open, 0);
        let (a, b) = (pool.get().unwrap(), pool.get().unwrap());
        let numbers = [a.number, b.number];
        drop(a);
        cast.spawn(move || drop(b)).join();
        assert_eq!((pool.stats().open, pool.stats().idle), (2, 2));
        let again = [pool.get().unwrap(), pool.get().unwrap()];
        assert_eq!(
            again.each_ref().map(|conn| conn.number),
            [numbers[1], numbers[0]]
        );
        assert_eq!(server.made.load(SeqCst), 2);
        drop(again);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn there_are_never_more_than_the_maximum() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(4));
        let tasks: Vec<_> = (0..24)
            .map(|_| {
                let pool = pool.clone();
                cast.spawn(move || {
                    for round in 0..40 {
                        let conn = pool.get().unwrap();
                        corio::yield_now();
                        assert!(server.live() <= 4);
                        if round % 7 == 0 {
                            PooledConn::discard(conn);
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(Task::join);
        assert!(server.most.load(SeqCst) <= 4);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn who_waits_longest_is_served_first() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let held = pool.get().unwrap();
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let task = {
                    let (pool, order) = (pool.clone(), Arc::clone(&order));
                    cast.spawn(move || {
                        let conn = pool.get().unwrap();
                        order.lock().unwrap().push(number);
                        // Another way to make room for the next.
                        if number % 2 == 0 {
                            PooledConn::discard(conn);
                        }
                    })
                };
                waits_for(&pool, number + 1);
                task
            })
            .collect();
        drop(held);
        tasks.into_iter().for_each(Task::join);
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
        let stats = pool.stats();
        assert_eq!(stats.waits, 11, "ten, and the one that connected");
        assert!(stats.wait_time > Duration::ZERO);
    });
}

#[test]
fn a_waiter_that_gives_up_takes_nothing_with_it() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        let held = pool.get().unwrap();
        assert_timed_out(pool.get_timeout(SHORT));
        assert_timed_out(pool.get_timeout(Duration::ZERO));
        assert_timed_out(pool.get_deadline(Instant::now()));
        let (ctx, _cancel) = Context::background().with_timeout(SHORT);
        assert_timed_out(pool.get_with(&ctx));
        assert_timed_out(pool.get_with(&ctx));
        let (ctx, cancel) = Context::background().with_cancel();
        let canceller = corio::spawn(move || cancel.cancel());
        let error = pool.get_with(&ctx).unwrap_err();
        assert_eq!(error.to_string(), "context canceled");
        canceller.join().unwrap();
        assert_eq!(pool.stats().waiting, 0);
        drop(held);
        assert!(pool.get_timeout(Duration::ZERO).is_ok());
        assert!(pool.get_timeout(Duration::MAX).is_ok());
        assert!(pool.get_with(&Context::background()).is_ok());
        assert_eq!(server.made.load(SeqCst), 1);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn an_attempt_that_fails_is_its_callers_error_and_gives_its_place_back() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(2));
        server.down.store(true, SeqCst);
        for _ in 0..10 {
            assert_kind(pool.get(), ErrorKind::ConnectionRefused);
        }
        // Many more callers than places: each gets an error of its own.
        let tasks: Vec<_> = (0..30)
            .map(|_| {
                let pool = pool.clone();
                cast.spawn(move || assert_kind(pool.get(), ErrorKind::ConnectionRefused))
            })
            .collect();
        tasks.into_iter().for_each(Task::join);
        assert_eq!(pool.stats().connect_errors, 40);
        server.down.store(false, SeqCst);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn an_attempt_that_panics_is_an_error_and_gives_its_place_back() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        server.mad.store(true, SeqCst);
        for _ in 0..3 {
            let error = pool.get().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
            assert_eq!(error.to_string(), "connecting panicked: quite mad");
        }
        server.mad.store(false, SeqCst);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn a_check_that_panics_closes_the_connection_and_gives_its_place_back() {
    everywhere(|_| {
        let server = Server::new();
        let strict = |conn: &mut Fake| {
            assert!(conn.number > 1, "no such number");
            true
        };
        let pool = ConnPool::builder().max(1).check(strict);
        let pool = pool.build(|| server.connect());
        drop(pool.get().unwrap());
        let panic = catch_unwind(AssertUnwindSafe(|| pool.get())).unwrap_err();
        assert_eq!(panic_text(&*panic), "no such number");
        assert_eq!(server.live(), 0);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn a_panic_of_its_user_closes_the_connection() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        let user = {
            let pool = pool.clone();
            corio::spawn(move || {
                let _conn = pool.get().unwrap();
                panic!("in the middle of something");
            })
        };
        user.join().unwrap_err();
        assert_eq!(server.live(), 0);
        assert_eq!(pool.get().unwrap().number, 2);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn what_is_discarded_or_taken_out_makes_room() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        let first = pool.get().unwrap();
        let waiter = {
            let pool = pool.clone();
            cast.spawn(move || PooledConn::into_inner(pool.get().unwrap()))
        };
        waits_for(&pool, 1);
        PooledConn::discard(first);
        let second = waiter.join();
        assert_eq!(second.number, 2);
        let third = pool.get().unwrap();
        assert_eq!((third.number, server.live()), (3, 2));
        drop(second);
        drop(third);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn unhealthy_connections_are_not_given_out() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(3));
        drop([(); 3].map(|()| pool.get().unwrap()));
        assert_eq!(server.checks.load(SeqCst), 0, "new ones are as they are");
        server.sick.store(2, SeqCst);
        // Whatever the order: three, of which two are sick.
        let healthy = [(); 3].map(|()| pool.get().unwrap());
        assert!(healthy.iter().all(|conn| conn.number > 2));
        assert_eq!(pool.stats().unhealthy_closed, 2);
        assert_eq!(server.made.load(SeqCst), 5);

        // One that comes from another user is checked as well; its next user waits on, and is the first to
        // get another.
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let task = {
                    let (pool, order) = (pool.clone(), Arc::clone(&order));
                    cast.spawn(move || {
                        let conn = pool.get().unwrap();
                        order.lock().unwrap().push((number, conn.number));
                        conn
                    })
                };
                waits_for(&pool, number + 1);
                task
            })
            .collect();
        server.sick.store(5, SeqCst);
        for conn in healthy {
            drop(conn);
        }
        let conns: Vec<_> = tasks.into_iter().map(Task::join).collect();
        let order = std::mem::take(&mut *order.lock().unwrap());
        assert!(order.iter().all(|&(_, number)| number > 5), "{order:?}");
        drop(conns);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn with_one_place_a_waiter_that_got_an_unhealthy_connection_stays_the_first() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1));
        let held = pool.get().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..5)
            .map(|number| {
                let task = {
                    let (pool, order) = (pool.clone(), Arc::clone(&order));
                    cast.spawn(move || {
                        let conn = pool.get().unwrap();
                        order.lock().unwrap().push(number);
                        // Sick for whoever comes next.
                        server.sick.store(conn.number, SeqCst);
                    })
                };
                waits_for(&pool, number + 1);
                task
            })
            .collect();
        server.sick.store(held.number, SeqCst);
        drop(held);
        tasks.into_iter().for_each(Task::join);
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(pool.stats().unhealthy_closed, 5);
    });
}

#[test]
fn nobody_depends_on_one_slow_attempt() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(2));
        let first = pool.get().unwrap();
        server.slow.store(true, SeqCst);
        assert_timed_out(pool.get_timeout(SHORT));
        assert_eq!(pool.stats().connecting, 1);
        // It gets the one that is given back.
        let waiter = {
            let pool = pool.clone();
            cast.spawn(move || pool.get().unwrap().number)
        };
        waits_for(&pool, 1);
        drop(first);
        assert_eq!(waiter.join(), 1);
        // The late one is the next's.
        let first = pool.get().unwrap();
        server.slow.store(false, SeqCst);
        assert_eq!(pool.get().unwrap().number, 2);
        drop(first);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn the_context_ends_an_attempt_at_the_connect_timeout() {
    everywhere(|_| {
        let builder = Builder::<Fake>::new().max(1).connect_timeout(SHORT);
        let pool = builder.build_with(|ctx| {
            ctx.done().recv().unwrap_err();
            Err(ctx.check().unwrap_err().into())
        });
        assert_timed_out(pool.get());
        assert_timed_out(pool.get());
        yield_until(|| pool.stats().connecting == 0);
        let stats = pool.stats();
        assert_eq!((stats.open, stats.waiting), (0, 0), "{stats:?}");
        // Of each call the function's error, or, if that came too late, the pool's own.
        assert!(stats.connect_errors > 0, "{stats:?}");
        assert!(
            stats.connect_errors + stats.connect_timeouts >= 2,
            "{stats:?}"
        );
    });
}

#[test]
fn nobody_waits_for_an_attempt_beyond_the_connect_timeout() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1).connect_timeout(SHORT));
        server.slow.store(true, SeqCst);
        let start = Instant::now();
        let error = pool.get().unwrap_err();
        assert!(start.elapsed() >= SHORT);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            format!("timed out connecting: it took longer than the connect timeout of {SHORT:?}")
        );
        // The attempt keeps its place; it is waited for again, as long.
        let start = Instant::now();
        assert_timed_out(pool.get_timeout(LONG));
        assert!(start.elapsed() >= SHORT);
        assert_timed_out(pool.get_with(&Context::background()));
        let stats = pool.stats();
        assert_eq!((stats.connecting, stats.waiting), (1, 0), "{stats:?}");
        assert_eq!((stats.connect_timeouts, stats.timeouts), (3, 0));
        // What it makes at last is the next one's.
        server.slow.store(false, SeqCst);
        yield_until(|| pool.stats().idle == 1);
        assert_eq!(pool.get().unwrap().number, 1);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn an_attempt_that_is_overdue_serves_who_waits_when_it_ends() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1).connect_timeout(SHORT));
        server.slow.store(true, SeqCst);
        assert_timed_out(pool.get());
        let patient = {
            let pool = pool.clone();
            cast.spawn(move || {
                loop {
                    match pool.get() {
                        Ok(conn) => break conn.number,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                    }
                }
            })
        };
        yield_until(|| pool.stats().connect_timeouts >= 2);
        server.slow.store(false, SeqCst);
        assert_eq!(patient.join(), 1);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn attempts_that_hang_take_no_more_than_all_places_and_all_callers_are_told() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(3).min_idle(0).connect_timeout(SHORT));
        // (It may have come too late for the one who asked.)
        drop(pool.get());
        yield_until(|| pool.stats().idle == 1);
        let held = pool.try_get().unwrap();
        server.slow.store(true, SeqCst);
        let tasks: Vec<_> = (0..7)
            .map(|_| {
                let pool = pool.clone();
                cast.spawn(move || assert_timed_out(pool.get()))
            })
            .collect();
        tasks.into_iter().for_each(Task::join);
        let stats = pool.stats();
        assert_eq!((stats.connecting, stats.in_use), (2, 1), "{stats:?}");
        // Who waits gets what is given back, whatever hangs.
        drop(held);
        assert_eq!(pool.get().unwrap().number, 1);
        server.slow.store(false, SeqCst);
        yield_until(|| pool.stats().idle == 3);
        assert_eq!(server.most.load(SeqCst), 3);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn the_error_of_an_overdue_attempt_is_nobodys_and_its_place_is_given_back() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(1).connect_timeout(SHORT));
        server.slow.store(true, SeqCst);
        server.down.store(true, SeqCst);
        assert_timed_out(pool.get());
        server.slow.store(false, SeqCst);
        yield_until(|| pool.stats().connecting == 0);
        assert_eq!((pool.stats().open, pool.stats().connect_errors), (0, 1));
        // The same of one that ends after the pool.
        server.slow.store(true, SeqCst);
        server.down.store(false, SeqCst);
        assert_timed_out(pool.get());
        pool.close();
        server.slow.store(false, SeqCst);
        yield_until(|| pool.stats().connecting == 0);
        yield_until(|| (server.live(), pool.stats().open) == (0, 0));
    });
}

#[test]
fn errors_say_what_the_caller_waited_for() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(2));
        let held = pool.get().unwrap();
        server.slow.store(true, SeqCst);
        let error = pool.get_timeout(SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "timed out waiting for a connection of the pool (1 in use, 1 connecting)"
        );
        server.slow.store(false, SeqCst);
        let other = pool.get().unwrap();
        let error = pool.get_deadline(Instant::now()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "timed out waiting for a connection of the pool (2 in use)"
        );
        drop([held, other]);
        pool.close();
        let error = pool.get().unwrap_err();
        assert!(is_closed(&error));
        assert_eq!(error.to_string(), "the connection pool is closed");
    });
}

#[test]
fn no_place_is_lost_whatever_happens() {
    const MAX: usize = 4;
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| {
            b.max(MAX)
                .min_idle(1)
                .idle_timeout(SHORT)
                .max_lifetime(4 * SHORT)
        });
        let tasks: Vec<_> = (0..16)
            .map(|seed| {
                let pool = pool.clone();
                cast.spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..60 {
                        let flag = |chance: u64, rng: &mut Rng| rng.below(chance) == 0;
                        server.down.store(flag(6, &mut rng), SeqCst);
                        server.mad.store(flag(20, &mut rng), SeqCst);
                        if flag(5, &mut rng) {
                            let sick = server.made.load(SeqCst);
                            server.sick.store(sick, SeqCst);
                        }
                        let micros = Duration::from_micros(rng.below(300));
                        let result = match rng.below(4) {
                            0 => pool.get(),
                            1 => pool.get_timeout(micros),
                            2 => pool.get_with(&Context::background().with_timeout(micros).0),
                            _ => pool.try_get().ok_or(ErrorKind::WouldBlock.into()),
                        };
                        let Ok(conn) = result else { continue };
                        assert!(server.live() <= MAX);
                        match rng.below(8) {
                            0 => PooledConn::discard(conn),
                            1 => {
                                let panic = catch_unwind(AssertUnwindSafe(move || {
                                    let _conn = conn;
                                    std::panic::resume_unwind(Box::new("no message"));
                                }));
                                panic.unwrap_err();
                            }
                            _ => corio::yield_now(),
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(Task::join);
        server.down.store(false, SeqCst);
        server.mad.store(false, SeqCst);
        server.sick.store(0, SeqCst);
        yield_until(|| pool.stats().connecting == 0);
        let all = [(); MAX].map(|()| {
            // An attempt of before may have failed just now.
            loop {
                match pool.get() {
                    Ok(conn) => break conn,
                    Err(error) => assert!(!is_closed(&error), "{error}"),
                }
            }
        });
        assert_eq!((server.live(), pool.stats().in_use), (MAX, MAX));
        pool.close();
        drop(all);
        yield_until(|| server.live() == 0);
        assert_eq!(pool.stats().open, 0);
    });
}
