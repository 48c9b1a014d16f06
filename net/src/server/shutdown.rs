//! How a server starts, and the supervisor: the goroutine that ends it.
//!
//! The supervisor sleeps until somebody begins the shutdown, or a signal does. Then it sees to it that it comes
//! to its end. In each step it does what is due, and says until when it may sleep;
//! it is woken for everything that may change that: an earlier deadline, a new connection, the last
//! place and the last accept loop being given up. No user code runs on it.

use crate::network::{Conn, Listener};
use crate::server::accept::AcceptLoop;
use crate::server::config::{Config, ServerWarning};
use crate::server::handle::ServerHandle;
use crate::server::registry::{Phase, Port, Registry, Shared};
use crate::server::state::State;
use crate::shared::HasSocket;
use crate::sys;
use corio::channel::{Receiver, at, never};
use corio::select;
use corio::signal::{self, Signal};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long handlers have to return after their connections were closed by force, before the shutdown is
/// reported without them.
const UNWINDING: Duration = Duration::from_secs(1);

/// See [`Server::start`](crate::Server::start).
pub(super) fn start(config: Config, listeners: Vec<Listener>) -> io::Result<ServerHandle> {
    config.check()?;
    if let Some(bytes) = config.stack_size {
        // The runtime knows what sizes there can be, and says so.
        let sample = corio::Builder::new().stack_size(bytes);
        drop(sample.spawn(|| ())?);
    }
    if listeners.is_empty() {
        let problem = "a server needs a listener";
        return Err(io::Error::new(ErrorKind::InvalidInput, problem));
    }
    let mut ports = Vec::new();
    for listener in listeners {
        let addr = Arc::new(listener.local_addr()?);
        ports.push(Port { listener, addr });
    }
    let signals = match config.signals.as_slice() {
        [] => never(),
        signals => signal::notify(signals)?,
    };
    let shared = Shared::new(config, ports);
    warn(&shared);
    let started = spawn(&shared, signals);
    // Lets the accept loops go, one way or the other.
    shared.lock().phase = match started {
        Ok(()) => Phase::Serving,
        Err(_) => Phase::Ended,
    };
    shared.tell_waiting();
    shared.wake();
    started.map(|()| ServerHandle::new(&shared))
}

fn spawn(shared: &Arc<Shared>, signals: Receiver<Signal>) -> io::Result<()> {
    let name = &shared.config.name;
    for (index, port) in shared.ports.iter().enumerate() {
        let accept = AcceptLoop::new(shared, index);
        corio::Builder::new()
            .name(format!("{name}:accept {}", port.addr))
            .spawn(move || accept.run())?;
    }
    let supervisor = Supervisor {
        shared: Arc::clone(shared),
        forced: None,
    };
    corio::Builder::new()
        .name(format!("{name}:supervisor"))
        .spawn(move || supervisor.run(signals))?;
    Ok(())
}

/// Would the limits fit into the system's?
fn warn(shared: &Shared) {
    let max_connections = shared.config.max_connections;
    if max_connections == usize::MAX {
        return;
    }
    let needed = max_connections.saturating_add(shared.ports.len()) as u64;
    let Some(limit) = sys::descriptor_limit().filter(|limit| *limit < needed) else {
        return;
    };
    let warning = ServerWarning::Descriptors {
        max_connections,
        limit,
    };
    shared.warn(&warning);
}

struct Supervisor {
    shared: Arc<Shared>,
    /// When connections were closed by force.
    forced: Option<Instant>,
}

/// What comes after a step.
enum Step {
    /// Sleep, until then or until woken.
    Until(Option<Instant>),
    /// There is nothing left.
    Over,
}

impl Supervisor {
    fn run(mut self, mut signals: Receiver<Signal>) {
        let shared = Arc::clone(&self.shared);
        // A signal that came before that would find nothing to end.
        if !shared.wait_started() {
            return;
        }
        while let Step::Until(alarm) = self.step() {
            let alarm = alarm.map_or_else(never, at);
            select! {
                recv(shared.woken) -> _ => {}
                recv(alarm) -> _ => {}
                recv(signals) -> signal => match signal {
                    Ok(_) => {
                        let grace = shared.config.signal_grace;
                        shared.begin(Instant::now().checked_add(grace));
                    }
                    // Somebody has reset it.
                    Err(_) => signals = never(),
                }
            }
        }
        drop(signals);
        let mut registry = shared.lock();
        registry.phase = Phase::Ended;
        if registry.report.is_none() {
            registry.report = Some(registry.make_report());
        }
        drop(registry);
        shared.tell_news();
    }

    fn step(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let mut registry = shared.lock();
        match registry.phase {
            Phase::Starting => unreachable!("waited for that at first"),
            // Without a listener there is nothing to wait for but the connections' end.
            Phase::Serving if registry.loops == 0 => {
                drop(registry);
                shared.begin(None);
                registry = shared.lock();
            }
            Phase::Serving => return Step::Until(None),
            Phase::Ended => return Step::Over,
            Phase::Draining | Phase::Closing => {}
        }
        if registry.is_over() {
            return Step::Over;
        }
        let now = Instant::now();
        let deadline = registry.deadline;
        if registry.phase == Phase::Draining && deadline.is_none_or(|deadline| now < deadline) {
            let grace = self.close_quiet(&mut registry, now);
            return Step::Until(deadline.into_iter().chain(grace).min());
        }
        let forced = *self.forced.get_or_insert(now);
        if registry.phase == Phase::Draining {
            close_all(&mut registry);
            shared.tell_waiting();
        }
        if registry.report.is_some() {
            return Step::Until(None);
        }
        if now < forced + UNWINDING {
            return Step::Until(Some(forced + UNWINDING));
        }
        registry.report = Some(registry.make_report());
        drop(registry);
        shared.tell_news();
        Step::Until(None)
    }

    /// Closes idle connections, and new ones whose time is over; returns when the next one's is.
    fn close_quiet(&self, registry: &mut Registry, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut closed = 0;
        for entry in registry.connections.values() {
            match entry.word.state() {
                State::Active | State::Closed => continue,
                State::Idle => {}
                State::New => match entry.accepted.checked_add(self.shared.config.new_grace) {
                    Some(end) if end <= now => {}
                    end => {
                        next = next.into_iter().chain(end).min();
                        continue;
                    }
                },
            }
            // Looked at before as well, so that a request on its way isn't held up.
            if !entry.conn.socket().is_quiet() {
                continue;
            }
            let Some(claim) = entry.word.claim() else {
                continue;
            };
            if entry.conn.socket().is_quiet() {
                claim.close();
                close(&entry.conn);
                closed += 1;
            } else {
                claim.give_up();
            }
        }
        registry.tally.idle_closed += closed;
        next
    }
}

/// Closes every connection.
fn close_all(registry: &mut Registry) {
    registry.phase = Phase::Closing;
    let mut forced = 0;
    for entry in registry.connections.values() {
        if entry.word.force() {
            forced += 1;
        }
        close(&entry.conn);
    }
    registry.tally.forced += forced;
}

/// Closes a connection, without waiting for what the client has yet to take, as closing does if the handler has set
/// a linger time: that may be longer than the deadline, and the others would wait, too.
fn close(conn: &Conn) {
    // All fail if its handler has closed it.
    let _ = conn.socket().control(|fd| {
        let socket = SockRef::from(&fd);
        match socket.linger()? {
            // Zero doesn't wait: it resets the connection.
            None | Some(Duration::ZERO) => Ok(()),
            Some(_) => socket.set_linger(None),
        }
    });
    let _ = conn.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use corio::channel::bounded;
    use corio::signal::SIGTERM;

    /// The supervisor may run before `start` has returned.
    #[test]
    fn a_signal_that_comes_during_the_start_is_not_lost() {
        let mut config = Config::new(Box::new(|_| Ok(())));
        config.signal_grace = Duration::from_secs(60);
        let shared = Shared::new(config, Vec::new());
        shared.lock().loops = 1;
        let (send, signals) = bounded(1);
        send.send(SIGTERM).unwrap();
        let supervisor = Supervisor {
            shared: Arc::clone(&shared),
            forced: None,
        };
        let supervisor = corio::spawn(move || supervisor.run(signals));
        // Time to take the signal too early, if it does.
        corio::sleep(Duration::from_millis(50));
        shared.lock().phase = Phase::Serving;
        shared.tell_waiting();
        shared.wake();
        let begun = shared.context.done().recv_timeout(Duration::from_secs(60));
        assert!(begun.is_err_and(|error| error.is_disconnected()));
        shared.lock().loops = 0;
        shared.wake();
        supervisor.join().unwrap();
    }
}
