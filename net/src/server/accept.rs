//! An accept loop: the goroutine of one listener.
//!
//! A round takes a place, if connections are to wait for one, and a token of the rate, if there is one;
//! accepts; and gives the connection away. With a limit the listener is non-blocking: a loop that waits for a
//! connection must not sit on a place that another one needs, so it gives the place back, waits until there is
//! something to accept, and starts over. The token it keeps.
//!
//! # The end
//!
//! The supervisor changes the phase, cancels the server's context, which ends pauses, and sets the listener's
//! deadline to the past, which ends a call that waits. Nothing can get lost in between: a call that begins
//! later finds the deadline. Then the loop accepts what is in the kernel's queue without waiting, closes the
//! listener, and only then serves those for which there is no room: clients that come now are refused at
//! once. If descriptors run out meanwhile, it serves first and accepts the rest after.

use crate::is_closed;
use crate::network::{Addr, Conn};
use crate::prim::atomic::Ordering;
use crate::server::config::{AcceptAction, AcceptError, Backlog, Overflow, Refusal, ServerWarning};
use crate::server::connection::ConnectionInfo;
use crate::server::registry::{Phase, Place, Port, Shared, count};
use crate::shared::HasSocket;
use crate::socket::Way;
use corio::reactor::WaitReason;
use governor::clock::{Clock, DefaultClock};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than any queue of the kernel's holds: who drains one stops then, even if connections come as fast as
/// they are accepted.
const MOST_DRAINED: usize = 65_536;

/// How long to wait after a failed accept.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(5);
    const LAST: Duration = Duration::from_secs(1);

    fn new() -> Backoff {
        Backoff(Backoff::FIRST)
    }

    fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(Backoff::LAST);
        delay
    }
}

/// What to do after this error.
fn then(error: &io::Error, backoff: &mut Backoff) -> AcceptAction {
    if is_closed(error) {
        return AcceptAction::Stop;
    }
    match error.raw_os_error() {
        // No listening socket, or no more: somebody has used its number.
        Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL) => AcceptAction::Stop,
        // Linux passes the connection's own errors on through accept.
        Some(
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EPERM
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET
            | libc::ETIMEDOUT,
        ) => AcceptAction::GoOn,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else there may be.
        _ => AcceptAction::Wait(backoff.next()),
    }
}

/// One listener's loop.
pub(super) struct AcceptLoop {
    shared: Arc<Shared>,
    port: usize,
    backoff: Backoff,
    /// A token of the rate was taken and not used.
    token: bool,
}

/// How draining the kernel's queue went.
#[derive(PartialEq)]
enum Drained {
    /// Nothing is left, or the time is up.
    All,
    /// There are no descriptors for more.
    Short(Duration),
}

impl AcceptLoop {
    /// Counted as a loop from now on, until it is dropped.
    pub(super) fn new(shared: &Arc<Shared>, port: usize) -> AcceptLoop {
        shared.lock().loops += 1;
        AcceptLoop {
            shared: Arc::clone(shared),
            port,
            backoff: Backoff::new(),
            token: false,
        }
    }

    pub(super) fn run(mut self) {
        if !self.shared.wait_started() {
            return;
        }
        let waits = self.waits_for_room();
        // Closed by somebody else, if it fails: then so does accepting.
        let _ = self.port().listener.set_deadline(None);
        let _ = self.port().listener.set_nonblocking(waits);
        while self.shared.is_serving() {
            self.pace();
            let place = if waits {
                match self.shared.wait_place(Phase::Serving) {
                    Some(place) => Some(place),
                    None => break,
                }
            } else {
                None
            };
            let result = self.port().listener.accept();
            match result {
                Ok((conn, peer)) => {
                    self.token = false;
                    self.backoff = Backoff::new();
                    self.give(conn, peer, place);
                    continue;
                }
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    drop(place);
                    if !self.recover(&error) {
                        return;
                    }
                }
                Err(_) => {
                    drop(place);
                    if let Err(error) = self.wait_connection()
                        && !self.recover(&error)
                    {
                        return;
                    }
                }
            }
        }
        self.drain();
    }

    fn waits_for_room(&self) -> bool {
        let config = &self.shared.config;
        config.overflow == Overflow::Wait && config.max_connections != usize::MAX
    }

    fn port(&self) -> &Port {
        &self.shared.ports[self.port]
    }

    fn wait_connection(&self) -> io::Result<()> {
        let socket = self.port().listener.socket();
        // The wait itself must park, whatever accepting does.
        socket.set_nonblocking(false)?;
        let waited = socket.wait(Way::Read, WaitReason::NetAccept);
        socket.set_nonblocking(true)?;
        waited
    }

    /// Waits until the rate allows another connection.
    fn pace(&mut self) {
        let Some(limiter) = &self.shared.limiter else {
            return;
        };
        while !self.token {
            let Err(not_until) = limiter.check() else {
                self.token = true;
                return;
            };
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            if self.shared.context.sleep(wait).is_err() {
                return;
            }
        }
    }

    /// Hands a connection over to be served or refused.
    fn give(&self, conn: Conn, peer: Addr, place: Option<Place>) {
        let info = self.info(peer);
        self.shared.receive(conn, info, place);
    }

    fn info(&self, peer: Addr) -> ConnectionInfo {
        ConnectionInfo {
            // Relaxed: numbers are different, and that is all.
            id: 1 + self.shared.ids.fetch_add(1, Ordering::Relaxed),
            peer: peer.into(),
            listener: Arc::clone(&self.port().addr),
        }
    }

    /// After a failed accept: pauses if need be. `false`: the listener is lost.
    fn recover(&mut self, error: &io::Error) -> bool {
        if error.kind() == ErrorKind::TimedOut && !self.shared.is_serving() {
            return true;
        }
        let then = self.report(error);
        match then {
            AcceptAction::GoOn => true,
            AcceptAction::Stop => false,
            // An error means that the pause has ended early: the shutdown has begun.
            AcceptAction::Wait(delay) => {
                let _ = self.shared.context.sleep(delay);
                true
            }
        }
    }

    fn report(&mut self, error: &io::Error) -> AcceptAction {
        let then = then(error, &mut self.backoff);
        if is_closed(error) {
            return then;
        }
        count(&self.shared.counters.accept_errors);
        let hook = &self.shared.config.on_accept_error;
        if let Some(hook) = hook {
            let failed = AcceptError {
                error,
                listener: &self.port().addr,
                then,
            };
            self.shared.guard(|| hook(&failed));
        } else if then == AcceptAction::Wait(Backoff::FIRST) {
            self.shared.warn(&ServerWarning::Accept {
                listener: (*self.port().addr).clone(),
                problem: error.to_string(),
            });
        }
        then
    }

    /// The shutdown has begun: see the module's head.
    fn drain(&mut self) {
        if self.shared.config.backlog == Backlog::Serve {
            let mut pending = VecDeque::new();
            let mut most = MOST_DRAINED;
            while let Drained::Short(delay) = self.take_queue(&mut pending, &mut most) {
                self.serve(&mut pending);
                self.shared
                    .wait_phase(Phase::Draining, Instant::now() + delay);
            }
            self.close();
            self.serve(&mut pending);
        }
    }

    fn close(&self) {
        // It fails if somebody else has closed it.
        let _ = self.port().listener.close();
    }

    /// Accepts what is in the kernel's queue; what there is no room for is left pending.
    fn take_queue(&mut self, pending: &mut VecDeque<(Conn, Addr)>, most: &mut usize) -> Drained {
        let shared = Arc::clone(&self.shared);
        let listener = &shared.ports[self.port].listener;
        if listener.set_deadline(None).is_err() || listener.set_nonblocking(true).is_err() {
            return Drained::All;
        }
        while *most > 0 && shared.lock().phase == Phase::Draining {
            *most -= 1;
            let error = match listener.accept() {
                Ok((conn, peer)) => {
                    self.backoff = Backoff::new();
                    shared.lock().tally.backlog += 1;
                    if self.waits_for_room() {
                        pending.push_back((conn, peer));
                    } else {
                        self.give(conn, peer, None);
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Drained::All,
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    // The supervisor has set the deadline only now; it does so once.
                    let _ = listener.set_deadline(None);
                    continue;
                }
                Err(error) => error,
            };
            match self.report(&error) {
                AcceptAction::GoOn => {}
                AcceptAction::Stop => return Drained::All,
                AcceptAction::Wait(delay) => return Drained::Short(delay),
            }
        }
        Drained::All
    }

    /// Serves those that are pending, each when there is a place, until the time is up.
    fn serve(&mut self, pending: &mut VecDeque<(Conn, Addr)>) {
        while let Some((conn, peer)) = pending.pop_front() {
            match self.shared.wait_place(Phase::Draining) {
                Some(place) => self.give(conn, peer, Some(place)),
                None => {
                    count(&self.shared.counters.accepted);
                    self.shared.lock().tally.forced += 1;
                    self.shared
                        .refuse(&conn, &self.info(peer), Refusal::ShuttingDown);
                }
            }
        }
    }
}

impl Drop for AcceptLoop {
    fn drop(&mut self) {
        self.close();
        self.shared.lock().loops -= 1;
        self.shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: i32, backoff: &mut Backoff) -> AcceptAction {
        then(&io::Error::from_raw_os_error(code), backoff)
    }

    #[test]
    fn pauses_double_up_to_a_second() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..10)
            .map(|_| match after(libc::EMFILE, &mut backoff) {
                AcceptAction::Wait(pause) => pause.as_millis(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_lost_connection_is_no_reason_to_pause() {
        let mut backoff = Backoff::new();
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::EHOSTUNREACH] {
            assert_eq!(after(code, &mut backoff), AcceptAction::GoOn);
        }
        for code in [libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(matches!(after(code, &mut backoff), AcceptAction::Wait(_)));
        }
        for code in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(after(code, &mut backoff), AcceptAction::Stop);
        }
    }
}
