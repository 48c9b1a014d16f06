//! `ConnPool`: how connections end, and what comes in their place: the pool is closed, they expire, more are idle
//! than may be, they turn out to be broken.

mod conn_pool_support;
mod net_support;

use conn_pool_support::{Server, assert_at_rest, waits_for};
use corio::context::Context;
use corio::testing::assert_no_leaks;
use corio_net::conn_pool::{Builder, ConnPool, PooledConn, is_quiet};
use corio_net::{BufferPool, TcpStream, copy_bidirectional, with_context};
use corio_tests::{panic_text, yield_until};
use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
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
        yield_until(|| pool.stats().open == 0);
        assert_eq!((server.live(), pool.stats().idle_closed), (0, 3));
        // And again: the keeper is gone, or about to go.
        drop(pool.get().unwrap());
        yield_until(|| pool.stats().open == 0);
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
        let pool = Builder::new().max(1).check(is_quiet);
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
fn a_pooled_connection_is_taken_where_its_connection_is() {
    static BUFFERS: BufferPool = BufferPool::new(16);
    everywhere(|cast| {
        let (listener, addr) = listen();
        let pool = ConnPool::new(move || TcpStream::connect(addr));
        let pooled = || (pool.get().unwrap(), listener.accept().unwrap().0);
        let ((mut a, mut a_peer), (b, mut b_peer)) = (pooled(), pooled());
        assert!(is_quiet(&mut a));
        with_context(&Context::background(), &a, |a| (&**a).write_all(b"ping")).unwrap();
        a_peer.read_exact(&mut [0; 4]).unwrap();
        a_peer.write_all(b"pong").unwrap();
        assert_eq!(&*BUFFERS.read(&a).unwrap(), b"pong");
        let proxy = cast.spawn(move || copy_bidirectional(&a, &b).unwrap());
        a_peer.write_all(b"there").unwrap();
        a_peer.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        b_peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there");
        drop(b_peer);
        assert_eq!(proxy.join(), (5, 0));
    });
}

#[test]
fn dialed_connections_are_checked_and_replaced() {
    everywhere(|_| {
        for network in ["tcp4", "unix"] {
            let listener = corio_net::listen(network, &any_addr(network)).unwrap();
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
