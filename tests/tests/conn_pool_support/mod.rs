//! What the tests of `ConnPool` share: a server whose connections are none.

use corio_net::conn_pool::{Builder, ConnPool};
use corio_tests::yield_until;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Makes connections that are none, and counts them.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) made: AtomicUsize,
    pub(crate) live: AtomicUsize,
    pub(crate) most: AtomicUsize,
    /// Connecting fails.
    pub(crate) down: AtomicBool,
    /// Connecting panics.
    pub(crate) mad: AtomicBool,
    /// Connecting hangs as long as this is set.
    pub(crate) slow: AtomicBool,
    /// Connections are unhealthy up to this number.
    pub(crate) sick: AtomicUsize,
    pub(crate) checks: AtomicUsize,
}

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) number: usize,
    pub(crate) server: &'static Server,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.live.fetch_sub(1, SeqCst);
    }
}

impl Server {
    pub(crate) fn new() -> &'static Server {
        Box::leak(Box::default())
    }

    /// Connections are numbered from 1.
    pub(crate) fn connect(&'static self) -> io::Result<Fake> {
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

    pub(crate) fn pool(&'static self, set: fn(Builder<Fake>) -> Builder<Fake>) -> ConnPool<Fake> {
        let check = |conn: &mut Fake| {
            conn.server.checks.fetch_add(1, SeqCst);
            conn.number > conn.server.sick.load(SeqCst)
        };
        set(ConnPool::builder().check(check)).build(|| self.connect())
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(SeqCst)
    }
}

/// Nothing is in use, and no place is missing.
#[track_caller]
pub(crate) fn assert_at_rest(pool: &ConnPool<Fake>, server: &Server) {
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

pub(crate) fn waits_for<C: Send + 'static>(pool: &ConnPool<C>, callers: usize) {
    yield_until(|| pool.stats().waiting == callers);
}
