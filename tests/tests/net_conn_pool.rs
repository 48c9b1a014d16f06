//! `ConnPool`: connections are made, kept, checked and reused; nobody gets lost who waits, nor a place,
//! whatever goes wrong. In the spirit of the tests of Go's database/sql.

mod net_support;

use corio::context::Context;
use corio::testing::assert_no_leaks;
use corio_net::conn_pool::{Builder, ConnPool, PooledConn, is_quiet};
use corio_net::{TcpStream, is_closed};
use corio_tests::{Rng, panic_text, yield_until};
use net_support::*;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Makes connections that are none, and counts them.
#[derive(Debug, Default)]
struct Server {
    made: AtomicUsize,
    live: AtomicUsize,
    most: AtomicUsize,
    /// Connecting fails.
    down: AtomicBool,
    /// Connecting panics.
    mad: AtomicBool,
    /// Connecting hangs as long as this is set.
    slow: AtomicBool,
    /// Connections are unhealthy up to this number.
    sick: AtomicUsize,
    checks: AtomicUsize,
}

#[derive(Debug)]
struct Fake {
    number: usize,
    server: &'static Server,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.live.fetch_sub(1, SeqCst);
    }
}

impl Server {
    fn new() -> &'static Server {
        Box::leak(Box::default())
    }

    /// Connections are numbered from 1.
    fn connect(&'static self) -> io::Result<Fake> {
        yield_until(|| !self.slow.load(SeqCst));
        assert!(!self.mad.load(SeqCst), "quite mad");
        if self.down.load(SeqCst) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let live = self.live.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(live, SeqCst);
        Ok(Fake {
            number: self.made.fetch_add(1, SeqCst) + 1,
            server: self,
        })
    }

    fn pool(&'static self, set: fn(Builder<Fake>) -> Builder<Fake>) -> ConnPool<Fake> {
        let check = |conn: &mut Fake| {
            conn.server.checks.fetch_add(1, SeqCst);
            conn.number > conn.server.sick.load(SeqCst)
        };
        set(ConnPool::builder().check(check)).build(|| self.connect())
    }

    fn live(&self) -> usize {
        self.live.load(SeqCst)
    }
}

/// Nothing is in use, and no place is missing.
#[track_caller]
fn assert_at_rest(pool: &ConnPool<Fake>, server: &Server) {
    // An attempt that nobody waits for any more may be under way.
    yield_until(|| pool.stats().connecting == 0);
    let stats = pool.stats();
    assert_eq!(stats.in_use, 0, "{stats:?}");
    assert_eq!(stats.waiting, 0, "{stats:?}");
    assert_eq!(stats.idle, stats.open, "{stats:?}");
    assert_eq!(stats.open, server.live(), "{stats:?}");
    let all: Vec<_> = (0..stats.max).map(|_| pool.get().unwrap()).collect();
    assert_eq!(pool.stats().in_use, stats.max);
    assert!(pool.try_get().is_none());
    drop(all);
}

fn waits_for<C: Send + 'static>(pool: &ConnPool<C>, callers: usize) {
    yield_until(|| pool.stats().waiting == callers);
}

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
        assert_eq!(pool.stats().connect_errors, 2);
    });
}

#[test]
fn closing_ends_all_waiting_and_all_connections() {
    everywhere(|cast| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(3).min_idle(0));
        let conns = [(); 3].map(|()| pool.get().unwrap());
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let pool = pool.clone();
                cast.spawn(move || {
                    let result = match number {
                        0 => pool.get(),
                        1 => pool.get_timeout(LONG),
                        2 => pool.get_deadline(Instant::now() + LONG),
                        _ => pool.get_with(&Context::background().with_cancel().0),
                    };
                    assert_closed(result);
                })
            })
            .collect();
        waits_for(&pool, 4);
        let [first, second, third] = conns;
        pool.close();
        tasks.into_iter().for_each(Task::join);
        assert!(pool.is_closed());
        assert_closed(pool.get());
        assert!(pool.try_get().is_none());
        pool.close();

        assert_eq!(server.live(), 3, "in use");
        drop(first);
        assert_eq!(server.live(), 2);
        PooledConn::discard(second);
        assert_eq!(server.live(), 1);
        drop(pool);
        drop(third);
        assert_eq!(server.live(), 0);
    });
}

#[test]
fn closing_drops_what_is_idle_and_what_comes_too_late() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(3));
        drop([(); 2].map(|()| pool.get().unwrap()));
        pool.close();
        assert_eq!(server.live(), 0);
        assert_eq!(pool.stats().open, 0);

        // The last handle closes, too; an attempt is told by its context.
        let (told, tells) = corio::channel::bounded(1);
        let pool = ConnPool::builder().build_with(move |ctx| {
            ctx.done().recv().unwrap_err();
            let conn = server.connect();
            told.send(ctx.err()).unwrap();
            conn
        });
        assert_timed_out(pool.get_timeout(Duration::ZERO));
        drop(pool.clone());
        assert_eq!(pool.stats().connecting, 1);
        drop(pool);
        let error = tells.recv().unwrap();
        assert_eq!(error, Some(corio::context::ContextError::Canceled));
        yield_until(|| server.live() == 0);
        assert_eq!(server.made.load(SeqCst), 3);
    });
}

#[test]
fn idle_connections_expire() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.idle_timeout(SHORT));
        drop([(); 3].map(|()| pool.get().unwrap()));
        yield_until(|| server.live() == 0);
        let stats = pool.stats();
        assert_eq!((stats.open, stats.idle_closed), (0, 3), "{stats:?}");
        // And again: the keeper is gone, or about to go.
        drop(pool.get().unwrap());
        yield_until(|| server.live() == 0);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn connections_in_use_do_not_expire_but_are_not_kept_when_they_are_old() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max_lifetime(SHORT).idle_timeout(None));
        let old = pool.get().unwrap();
        let made = Instant::now();
        yield_until(|| made.elapsed() > 2 * SHORT);
        assert_eq!(server.live(), 1);
        drop(old);
        assert_eq!((server.live(), pool.stats().lifetime_closed), (0, 1));
        // An idle one is closed in time.
        drop(pool.get().unwrap());
        yield_until(|| server.live() == 0);
        assert_eq!(pool.stats().lifetime_closed, 2);
        assert_eq!(pool.stats().idle_closed, 0);
    });
}

#[test]
fn no_more_stay_idle_than_may() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max_idle(2));
        drop([(); 5].map(|()| pool.get().unwrap()));
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.max_idle_closed), (2, 3), "{stats:?}");
        assert_eq!(server.live(), 2);

        let pool = server.pool(|b| b.max_idle(0));
        drop(pool.get().unwrap());
        assert_eq!(pool.stats().idle, 0);
    });
}

#[test]
fn a_minimum_is_made_ahead_and_kept_up() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.max(5).min_idle(2));
        let idle = |idle: usize| {
            yield_until(|| pool.stats().idle == idle && pool.stats().connecting == 0);
        };
        idle(2);
        let first = pool.get().unwrap();
        assert_eq!(
            server.checks.load(SeqCst),
            1,
            "it was not made for its user"
        );
        idle(2);
        let others = [pool.get().unwrap(), pool.get().unwrap()];
        idle(2);
        assert_eq!(server.live(), 5);
        // The maximum goes first.
        let last = pool.get().unwrap();
        idle(1);
        PooledConn::discard(last);
        idle(2);
        drop(others);
        drop(first);
        idle(5);
        server.sick.store(usize::MAX, SeqCst);
        assert!(pool.try_get().is_none());
        server.sick.store(0, SeqCst);
        idle(2);
        drop(pool);
        yield_until(|| server.live() == 0);
    });
}

#[test]
fn the_minimum_is_tried_again_after_failures() {
    everywhere(|_| {
        let server = Server::new();
        server.down.store(true, SeqCst);
        let pool = server.pool(|b| b.max(4).min_idle(1));
        yield_until(|| pool.stats().connect_errors >= 2);
        // Who asks needn't wait for the next time.
        assert_kind(pool.get(), ErrorKind::ConnectionRefused);
        server.down.store(false, SeqCst);
        yield_until(|| pool.stats().idle == 1);
        assert_at_rest(&pool, server);
    });
}

#[test]
fn expired_connections_of_the_minimum_are_replaced() {
    everywhere(|_| {
        let server = Server::new();
        let pool = server.pool(|b| b.min_idle(1).idle_timeout(SHORT));
        yield_until(|| server.made.load(SeqCst) >= 3);
        assert!(pool.stats().idle_closed >= 2);
        assert!(server.most.load(SeqCst) <= 2);
    });
}

#[test]
fn nothing_outlives_the_pool() {
    let _watchdog = corio_tests::watchdog();
    for min_idle in [0, 2] {
        assert_no_leaks(|| {
            let server = Server::new();
            let pool = Builder::new().min_idle(min_idle).idle_timeout(LONG);
            let pool = pool.build(|| server.connect());
            drop([(); 3].map(|()| pool.get().unwrap()));
        });
    }
}

#[test]
fn dropping_a_connection_may_panic() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "boom");
        }
    }
    everywhere(|_| {
        let pool = ConnPool::builder().max(1).idle_timeout(SHORT);
        let pool = pool.build(|| Ok(Bomb(true)));
        let conn = pool.get().unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| PooledConn::discard(conn)));
        assert_eq!(panic_text(&*panic.unwrap_err()), "boom");
        // The keeper's goroutine ends by it, the next goes on.
        for _ in 0..2 {
            drop(pool.get().unwrap());
            yield_until(|| pool.stats().open == 0);
        }
        pool.get().unwrap().0 = false;
    });
}

#[test]
fn sockets_that_are_not_quiet_are_replaced() {
    everywhere(|_| {
        let (listener, addr) = listen();
        let pool = Builder::new()
            .max(1)
            .check(|conn: &mut TcpStream| is_quiet(conn));
        let pool = pool.build(move || TcpStream::connect(addr));
        let accept = || listener.accept().unwrap().0;
        let visit = || pool.get().unwrap().local_addr().unwrap();
        let first = visit();
        let mut peer = accept();
        assert_eq!(visit(), first);
        // Bytes that nobody asked for.
        peer.write_all(b"?").unwrap();
        yield_until(|| visit() != first);
        let second = visit();
        let peer = accept();
        // The end.
        drop(peer);
        yield_until(|| visit() != second);
        let third = visit();
        let peer = accept();
        // Reset.
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        yield_until(|| visit() != third);
        let fourth = visit();
        let mut peer = accept();
        assert_eq!(visit(), fourth);
        // The check takes nothing away from the user.
        let mut conn = pool.get().unwrap();
        peer.write_all(b"yes").unwrap();
        conn.read_exact(&mut [0; 3]).unwrap();
        // Closed by a user.
        conn.close().unwrap();
        drop(conn);
        assert_ne!(visit(), fourth);
        assert_eq!(pool.stats().unhealthy_closed, 4);
    });
}

#[test]
fn dialed_connections_are_checked_and_replaced() {
    everywhere(|_| {
        let path = format!("corio-conn-pool-{}", std::process::id());
        let path = std::env::temp_dir().join(path);
        for (network, addr) in [("tcp", "127.0.0.1:0"), ("unix", path.to_str().unwrap())] {
            let listener = corio_net::listen(network, addr).unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            let pool = Builder::new().max(2).dial(network, &addr);
            drop([pool.get().unwrap(), pool.get().unwrap()]);
            drop([listener.accept().unwrap(), listener.accept().unwrap()]);
            // Their ends take their time to arrive.
            yield_until(|| {
                drop(pool.get().unwrap());
                pool.stats().unhealthy_closed == 2
            });
            assert_eq!(pool.stats().connects, 3);
            let mut conn = pool.get().unwrap();
            conn.write_all(b"hello").unwrap();
            let mut text = [0; 5];
            listener.accept().unwrap().0.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"hello");

            // (A port may be another test's at once.)
            if network == "unix" {
                drop(listener);
                let _ = std::fs::remove_file(&addr);
                PooledConn::discard(conn);
                assert_kind(pool.get(), ErrorKind::NotFound);
            }
        }
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
