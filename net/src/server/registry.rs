//! What the parts of a server share: who there is, how many there may be, and how far the shutdown is.
//!
//! # Phases
//!
//! | phase | means | leads to |
//! | --- | --- | --- |
//! | `Starting` | accept loops and supervisor wait for `start` to be done | `Serving`; `Ended`, if there can't be all of them |
//! | `Serving` | accept loops accept | `Draining`: the shutdown begins |
//! | `Draining` | what is there is served; nothing becomes idle | `Closing`: the deadline; `Ended` |
//! | `Closing` | every connection has been closed by force; handlers return | `Ended` |
//! | `Ended` | no accept loop and no connection is left | |
//!
//! `start` ends the first phase, [`Shared::begin`] the second, whoever calls it, and all others the supervisor.
//! Everything in [`Registry`] is under one lock, taken twice when a connection begins and
//! when it ends, and never while it is served. No user code runs under it.
//!
//! # Places
//!
//! A [`Place`] is the right to have one connection. It is taken before the connection is accepted, if
//! connections are to wait, or else after; it lies in the connection's [`Entry`]; and it is given back last of all,
//! when the connection's goroutine has nothing more to do. So the server has ended when there are no accept loops
//! and no places taken.

use crate::network::{Addr, Conn, Listener};
use crate::prim::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::server::config::{Config, Refusal, ServerWarning};
use crate::server::connection::{ConnectionInfo, ConnectionState, Peer};
use crate::server::handle::{ServerStats, ShutdownReport};
use crate::server::state::{State, Word};
use corio::channel::{Receiver, Sender, bounded};
use corio::context::{CancelFunc, Context};
use corio::sync::{Condvar, Mutex, MutexGuard};
use governor::DefaultDirectRateLimiter;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) ports: Vec<Port>,
    pub(super) limiter: Option<DefaultDirectRateLimiter>,
    /// Cancelled when the shutdown begins.
    pub(super) context: Context,
    pub(super) cancel: CancelFunc,
    pub(super) counters: Counters,
    /// How many connections have got a number.
    pub(super) ids: AtomicU64,
    /// [`ServerWarning::NoGoroutine`] was told.
    pub(super) told_no_goroutine: AtomicBool,
    registry: Mutex<Registry>,
    /// A place is free, or the phase has changed.
    room: Condvar,
    /// There is a report, or the server has ended.
    news: Condvar,
    /// A token for the supervisor: look again. One is enough, so there is never more than one.
    wake: Sender<()>,
    pub(super) woken: Receiver<()>,
}

/// A listener.
pub(super) struct Port {
    pub(super) listener: Listener,
    pub(super) addr: Arc<Addr>,
}

/// A connection, for everybody but its handler.
pub(super) struct Entry {
    pub(super) word: Word,
    pub(super) info: ConnectionInfo,
    pub(super) accepted: Instant,
    pub(super) conn: Conn,
    pub(super) place: Place,
}

/// A connection that does not become one of the server's.
pub(super) struct Refused {
    pub(super) conn: Conn,
    pub(super) info: ConnectionInfo,
    pub(super) refusal: Refusal,
}

/// What only grows.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) handler_errors: AtomicU64,
    pub(super) accept_errors: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    // Relaxed: a figure, nothing more.
    counter.fetch_add(1, Ordering::Relaxed);
}

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Starting,
    Serving,
    Draining,
    Closing,
    Ended,
}

/// What is under the lock.
pub(super) struct Registry {
    pub(super) phase: Phase,
    pub(super) connections: HashMap<u64, Arc<Entry>>,
    peers: HashMap<IpAddr, usize>,
    /// Places taken.
    pub(super) places: usize,
    /// Accept loops that run.
    pub(super) loops: usize,
    /// When the shutdown began.
    begun: Option<Instant>,
    /// When it has to be over, if ever.
    pub(super) deadline: Option<Instant>,
    /// What is known of the shutdown so far.
    pub(super) tally: ShutdownReport,
    pub(super) report: Option<ShutdownReport>,
}

/// The right to have a connection. See the module's head.
pub(super) struct Place(Arc<Shared>);

impl Place {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(config: Config, ports: Vec<Port>) -> Arc<Shared> {
        let (context, cancel) = Context::background().with_cancel();
        let (wake, woken) = bounded(1);
        Arc::new(Shared {
            limiter: config.quota().map(DefaultDirectRateLimiter::direct),
            config,
            ports,
            context,
            cancel,
            counters: Counters::default(),
            ids: AtomicU64::new(0),
            told_no_goroutine: AtomicBool::new(false),
            registry: Mutex::new(Registry {
                phase: Phase::Starting,
                connections: HashMap::new(),
                peers: HashMap::new(),
                places: 0,
                loops: 0,
                begun: None,
                deadline: None,
                tally: ShutdownReport::default(),
                report: None,
            }),
            room: Condvar::new(),
            news: Condvar::new(),
            wake,
            woken,
        })
    }

    /// Begins the shutdown, or brings its deadline forward.
    pub(super) fn begin(&self, deadline: Option<Instant>) {
        let mut registry = self.lock();
        registry.deadline = registry.deadline.into_iter().chain(deadline).min();
        let first = registry.phase == Phase::Serving;
        if first {
            registry.phase = Phase::Draining;
            registry.begun = Some(Instant::now());
            for entry in registry.connections.values() {
                entry.word.stop();
            }
            // Under the lock, so that it has happened for whoever begins it once more.
            self.cancel.cancel();
        }
        drop(registry);
        if first {
            self.tell_waiting();
            for port in &self.ports {
                // It fails if the listener is closed; then its loop ends by itself.
                let _ = port.listener.set_deadline(Some(Instant::now()));
            }
        }
        self.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock()
    }

    /// The supervisor is to look again.
    pub(super) fn wake(&self) {
        // Full: it is about to. Disconnected: can't be, we have a receiver.
        let _ = self.wake.try_send(());
    }

    /// Those who wait for room are to look again.
    pub(super) fn tell_waiting(&self) {
        self.room.notify_all();
    }

    /// Those who wait for the end are to look again.
    pub(super) fn tell_news(&self) {
        self.news.notify_all();
    }

    /// Waits until `done` says something; it is asked again when there is news.
    pub(super) fn wait_news<T>(&self, mut done: impl FnMut(&Registry) -> Option<T>) -> T {
        let mut registry = self.lock();
        loop {
            if let Some(value) = done(&registry) {
                return value;
            }
            self.news.wait(&mut registry);
        }
    }

    /// Whether accept loops may go on. Who sees that too late is stopped by what comes later: the listener's
    /// deadline.
    pub(super) fn is_serving(&self) -> bool {
        self.context.err().is_none()
    }

    /// Calls a hook, and catches its panic, also one that dropping the panic's payload makes: it would end the caller,
    /// which may be an accept loop.
    pub(super) fn guard<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(hook)) {
            Ok(value) => Some(value),
            Err(payload) => {
                count(&self.counters.panics);
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
                // Whatever comes of that is not looked into any more.
                let _ = dropped.map_err(std::mem::forget);
                None
            }
        }
    }

    /// Tells the hook for warnings, or whoever reads standard error.
    pub(super) fn warn(&self, warning: &ServerWarning) {
        match &self.config.on_warning {
            Some(hook) => {
                self.guard(|| hook(warning));
            }
            // Not `eprintln!`, which panics if that is closed.
            None => drop(writeln!(io::stderr(), "{}: {warning}", self.config.name)),
        }
    }

    /// Tells the hook of a connection's state.
    pub(super) fn tell(&self, info: &ConnectionInfo, state: ConnectionState) {
        if let Some(hook) = &self.config.on_state {
            self.guard(|| hook(info, state));
        }
    }

    /// Waits for a place, as long as the server is in this phase.
    pub(super) fn wait_place(self: &Arc<Self>, phase: Phase) -> Option<Place> {
        let mut registry = self.lock();
        while registry.phase == phase {
            if registry.places < self.config.max_connections {
                registry.places += 1;
                return Some(Place(Arc::clone(self)));
            }
            self.room.wait(&mut registry);
        }
        None
    }

    /// Waits until `start` is done. Whether the server serves.
    pub(super) fn wait_started(&self) -> bool {
        let mut registry = self.lock();
        while registry.phase == Phase::Starting {
            self.room.wait(&mut registry);
        }
        registry.phase != Phase::Ended
    }

    /// Waits until the time has come, or the server is in a later phase than this.
    pub(super) fn wait_phase(&self, phase: Phase, until: Instant) {
        let mut registry = self.lock();
        while registry.phase <= phase && !self.room.wait_until(&mut registry, until).timed_out() {}
    }

    /// Makes an accepted connection one of the server's.
    pub(super) fn register(
        self: &Arc<Self>,
        conn: Conn,
        info: ConnectionInfo,
        place: Option<Place>,
    ) -> Result<Arc<Entry>, Box<Refused>> {
        let mut registry = self.lock();
        let refusal = if registry.phase > Phase::Draining {
            Some(Refusal::ShuttingDown)
        } else if place.is_none() && registry.places >= self.config.max_connections {
            Some(Refusal::Full)
        } else if !registry.admits(&info.peer, self.config.max_per_peer) {
            Some(Refusal::PerPeer)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(registry);
            let refused = Refused {
                conn,
                info,
                refusal,
            };
            return Err(Box::new(refused));
        }
        let place = place.unwrap_or_else(|| {
            registry.places += 1;
            Place(Arc::clone(self))
        });
        let draining = registry.phase == Phase::Draining;
        let entry = Arc::new(Entry {
            word: Word::new(draining),
            accepted: Instant::now(),
            conn,
            info,
            place,
        });
        registry.add(&entry, self.config.max_per_peer);
        drop(registry);
        if draining {
            // It has a time to be closed at, if nothing comes.
            self.wake();
        }
        Ok(entry)
    }

    /// Ends what [`register`](Self::register) has begun, but for the place. `served`: by its handler.
    pub(super) fn deregister(&self, entry: &Entry, served: bool) {
        let mut registry = self.lock();
        registry.remove(entry);
        if served && registry.phase == Phase::Draining && !entry.word.is_closed() {
            registry.tally.drained += 1;
        }
    }

    pub(super) fn stats(&self) -> ServerStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = ServerStats {
            accepted: get(&self.counters.accepted),
            refused: get(&self.counters.refused),
            panics: get(&self.counters.panics),
            handler_errors: get(&self.counters.handler_errors),
            accept_errors: get(&self.counters.accept_errors),
            ..ServerStats::default()
        };
        for entry in self.lock().connections.values() {
            match entry.word.state() {
                State::New => stats.new += 1,
                State::Active => stats.active += 1,
                State::Idle => stats.idle += 1,
                State::Closed => stats.closing += 1,
            }
        }
        stats
    }
}

impl Registry {
    /// May there be another connection from there?
    fn admits(&self, peer: &Peer, max: usize) -> bool {
        max == usize::MAX
            || peer
                .host()
                .is_none_or(|host| self.peers.get(&host).is_none_or(|n| *n < max))
    }

    fn add(&mut self, entry: &Arc<Entry>, max_per_peer: usize) {
        if max_per_peer != usize::MAX
            && let Some(host) = entry.info.peer.host()
        {
            *self.peers.entry(host).or_default() += 1;
        }
        self.connections.insert(entry.info.id, Arc::clone(entry));
    }

    fn remove(&mut self, entry: &Entry) {
        self.connections.remove(&entry.info.id);
        if let Some(host) = entry.info.peer.host()
            && let Some(n) = self.peers.get_mut(&host)
        {
            *n -= 1;
            if *n == 0 {
                self.peers.remove(&host);
            }
        }
    }

    /// The report as of now.
    pub(super) fn make_report(&self) -> ShutdownReport {
        ShutdownReport {
            unfinished: self.connections.len(),
            elapsed: self.begun.map_or(Duration::ZERO, |begun| begun.elapsed()),
            ..self.tally
        }
    }

    /// Is there nobody left who works?
    pub(super) fn is_over(&self) -> bool {
        self.loops == 0 && self.places == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut registry = self.0.lock();
        registry.places -= 1;
        let over = registry.is_over();
        drop(registry);
        // All: among those who wait for room are some who only wait for the phase to change.
        self.0.tell_waiting();
        if over {
            self.0.wake();
        }
    }
}
