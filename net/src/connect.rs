//! Connecting to the first of several addresses that answers: IPv6 and IPv4 raced.
//!
//! A name has addresses of both families where only one of them may be connected, and a family that
//! is not may say so by silence: minutes until the system gives up. RFC 8305 calls the remedy *happy
//! eyeballs*. This is Go's form of it: the addresses of the first one's family, the *primaries*, are
//! tried one after the other; the others, the *fallbacks*, likewise beside them, from 300 ms later on or
//! as soon as the primaries have failed. The first connection wins.
//!
//! ```text
//!  caller       lane 0: primaries ------------------ won ----------------> disarm, cancel lane 1
//!                                  \---------------- failed -> disarmed? --> lane 1 here
//!                                                              else -------> wait for its result
//!  timer, after the delay          lane 1: fallbacks - won ----------------> cancel lane 0, hand over
//! ```
//!
//! The caller's own goroutine runs the primaries, so that a race that is none costs a timer and nothing
//! else: no goroutine, no switch. Rejected: a goroutine per lane, as Go has (two spawns and two channel
//! operations for each connect to `localhost`); waiting for two sockets at once in one goroutine (the wait
//! words have one waiter per socket, and the deadlines of addresses would need merging).
//!
//! ## Claims
//!
//! * *One winner.* [`State::over`] is set once, under the lock: by the lane that connects first, or by
//!   the context's end. Who finds it set drops its connection.
//! * *No attempt outlives the race.* A lane shows its socket in [`State::under_way`] before it waits, and
//!   looks at `over` in the same critical section; who sets `over` takes the sockets it finds there and closes
//!   them, which ends the wait. So a lane either sees that the race is over or is told.
//! * *No connection is lost.* A lane's result goes to the caller: in its own hands, or through a channel
//!   on which the caller waits unless it has won.
//!
//! The deadline is one for all addresses. Each address gets its share of what is left (two seconds at
//! least, as long as there are), so that a silent one does not use up the others' time.

use crate::error::{closed, timed_out};
use crate::prim::Mutex;
use crate::resolve::ToSocketAddrs;
use crate::shared::HasSocket;
use crate::socket::{Patience, Socket};
use crate::{TcpStream, UnixStream, metrics, unix};
use corio::channel::{self, Sender};
use corio::context::{self, Context};
use corio::time;
use socket2::{SockAddr, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the primaries have before the fallbacks are tried beside them: Go's and RFC 6555's choice.
pub(crate) const FALLBACK_DELAY: Duration = Duration::from_millis(300);

/// The least time for one address, unless less is left.
const LEAST_SHARE: Duration = Duration::from_secs(2);

/// How often Go tries again when a socket was connected to itself.
const TRIES: usize = 3;

/// Sets a socket up before it is connected.
pub(crate) type Prepare = Arc<dyn Fn(&socket2::Socket) -> io::Result<()> + Send + Sync>;

/// How to connect.
#[derive(Clone)]
pub(crate) struct Terms {
    /// For all addresses together.
    pub(crate) deadline: Option<Instant>,
    /// Ends it too.
    pub(crate) context: Option<Context>,
    /// How long the fallbacks wait; without, there are none: all addresses are tried in turn.
    pub(crate) delay: Option<Duration>,
    /// See [`Prepare`].
    pub(crate) prepare: Option<Prepare>,
    /// Try again if the system chose the local port such that the socket is connected to itself.
    pub(crate) not_itself: bool,
    /// Of several errors, report the last address's as std does, not the first one's as Go does.
    pub(crate) report_last: bool,
}

/// Why there is no connection, and to which address.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) error: io::Error,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { addr: None, error }
    }
}

/// [`TcpStream::connect`].
pub(crate) fn first<A: ToSocketAddrs>(addrs: A) -> io::Result<TcpStream> {
    let terms = Terms {
        deadline: None,
        context: None,
        delay: Some(FALLBACK_DELAY),
        prepare: None,
        not_itself: false,
        report_last: true,
    };
    let mut addrs = addrs.to_socket_addrs()?;
    let Some(addr) = addrs.next() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        ));
    };
    let Some(second) = addrs.next() else {
        return terms.one(addr, None, None);
    };
    let addrs = [addr, second].into_iter().chain(addrs).collect();
    terms.connect(addrs).map_err(|failure| failure.error)
}

impl Terms {
    /// Connects to one of the addresses, of which there is at least one.
    pub(crate) fn connect(&self, addrs: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
        let v4 = addrs.first().is_some_and(SocketAddr::is_ipv4);
        let mixed = addrs.iter().any(|addr| addr.is_ipv4() != v4);
        match self.delay {
            Some(delay) if mixed => {
                let last = addrs.last().is_some_and(|addr| addr.is_ipv4() != v4);
                let (primaries, fallbacks): (Vec<_>, Vec<_>) =
                    addrs.into_iter().partition(|addr| addr.is_ipv4() == v4);
                let prefer = if last && self.report_last { 1 } else { 0 };
                self.race(&primaries, fallbacks, delay, prefer)
            }
            _ if self.context.is_some() => self.race(&addrs, Vec::new(), Duration::MAX, 0),
            _ => self.in_turn(&addrs, None),
        }
    }

    /// Connects to a Unix address: a race with one lane.
    pub(crate) fn connect_unix(&self, addr: &SockAddr) -> io::Result<UnixStream> {
        let race = Arc::new(Race::default());
        let _stop = self.stop_at_end(&race);
        let socket = unix::new(Type::STREAM)?;
        if let Some(prepare) = &self.prepare {
            prepare(&socket)?;
        }
        let connected = UnixStream::finish(socket, addr, &mut patience(self.deadline), |socket| {
            self.note_lent(socket);
            // If it is over already, there is nothing to be shown: the connection is made in vain.
            if race.enter(0, socket).is_err() {
                give_up(Some(socket.clone()));
            }
        });
        race.leave(0);
        if let Ok(stream) = &connected {
            self.note_lent(stream.socket());
        }
        match self.context.as_ref().and_then(Context::err) {
            Some(error) if !race.win(0) => Err(error.into()),
            _ => metrics::connected(connected),
        }
    }

    /// What has been [`Prepare`]d may have got a duplicate.
    fn note_lent(&self, socket: &Socket) {
        if self.prepare.is_some() {
            socket.lend();
        }
    }

    fn stop_at_end(&self, race: &Arc<Race>) -> Option<Stop> {
        let race = Arc::clone(race);
        let ctx = self.context.as_ref()?;
        Some(Stop(context::after_func(ctx, move || race.cancel())))
    }

    /// Runs both lanes; if both fail, the error is that of lane `prefer`.
    fn race(
        &self,
        primaries: &[SocketAddr],
        fallbacks: Vec<SocketAddr>,
        delay: Duration,
        prefer: usize,
    ) -> Result<TcpStream, Failure> {
        let race = Arc::new(Race::default());
        let _stop = self.stop_at_end(&race);
        let (sender, result) = channel::bounded(1);
        let mut beside = (!fallbacks.is_empty()).then(|| Fallbacks {
            terms: self.clone(),
            race: Arc::clone(&race),
            addrs: fallbacks,
            sender,
        });
        let later = beside.is_some().then(|| {
            let mut beside = beside.clone();
            time::after_func(delay, move || {
                // It is called once: nobody resets the timer.
                if let Some(beside) = beside.take() {
                    beside.run();
                }
            })
        });
        let stop = || later.as_ref().is_some_and(time::FuncTimer::stop);
        let mut failures = [None, None];
        match self.lane(&race, 0, primaries) {
            Ok(stream) => {
                stop();
                return Ok(stream);
            }
            Err(failure) => failures[0] = Some(failure),
        }
        if let Some(beside) = beside.take() {
            if stop() {
                beside.run();
            }
            // From here on there is a sender only as long as there may be something to say.
            drop(beside);
            match result.recv() {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => failures[1] = Some(failure),
                Err(_) => {}
            }
        }
        if let Some(error) = self.context.as_ref().and_then(Context::err) {
            return Err(io::Error::from(error).into());
        }
        let [first, second] = failures;
        let failure = match prefer {
            0 => first.or(second),
            _ => second.or(first),
        };
        Err(failure.unwrap_or_else(|| closed().into()))
    }

    /// Runs one lane of a race; its connection is the winner.
    fn lane(&self, race: &Race, lane: usize, addrs: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let stream = self.in_turn(addrs, Some((race, lane)))?;
        if race.win(lane) {
            Ok(stream)
        } else {
            Err(closed().into())
        }
    }

    /// Tries the addresses in turn.
    fn in_turn(
        &self,
        addrs: &[SocketAddr],
        lane: Option<(&Race, usize)>,
    ) -> Result<TcpStream, Failure> {
        let mut kept = None;
        for (n, &addr) in addrs.iter().enumerate() {
            let until = self.share(Instant::now(), addrs.len() - n);
            let error = match until.and_then(|until| self.one(addr, until, lane)) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if kept.is_none() || self.report_last {
                let addr = Some(addr);
                kept = Some(Failure { addr, error });
            }
            if lane.is_some_and(|(race, _)| race.is_over()) {
                break;
            }
        }
        Err(kept.unwrap_or_else(|| closed().into()))
    }

    /// Until when an address may take, if so many are left with it.
    fn share(&self, now: Instant, left: usize) -> io::Result<Option<Instant>> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let time = deadline.saturating_duration_since(now);
        if time.is_zero() {
            return Err(timed_out());
        }
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        Ok(Some(now + (time / left).max(LEAST_SHARE).min(time)))
    }

    /// Tries one address.
    fn one(
        &self,
        addr: SocketAddr,
        until: Option<Instant>,
        lane: Option<(&Race, usize)>,
    ) -> io::Result<TcpStream> {
        let mut tries = if self.not_itself { TRIES } else { 1 };
        loop {
            tries -= 1;
            let result = self.attempt(addr, until, lane).and_then(|stream| {
                if self.not_itself && stream.local_addr()? == addr {
                    // Nobody else is there.
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(stream)
            });
            match metrics::connected(result) {
                Err(error) if tries > 0 && was_unlucky(&error) => {}
                result => return result,
            }
        }
    }

    fn attempt(
        &self,
        addr: SocketAddr,
        until: Option<Instant>,
        lane: Option<(&Race, usize)>,
    ) -> io::Result<TcpStream> {
        let socket = TcpStream::socket_for(addr)?;
        if let Some(prepare) = &self.prepare {
            prepare(&socket)?;
        }
        let (stream, started) = TcpStream::start(socket, addr)?;
        self.note_lent(stream.socket());
        if !started {
            return Ok(stream);
        }
        let mut patience = patience(until);
        let result = match lane {
            Some((race, lane)) => {
                race.enter(lane, stream.socket())?;
                let result = stream.finish(&mut patience);
                race.leave(lane);
                result
            }
            None => stream.finish(&mut patience),
        };
        result.map(|()| stream)
    }
}

/// Is this what comes of a local port that the system has chosen badly? (An address that refuses by itself
/// has an error of the system's.)
fn was_unlucky(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => error.raw_os_error().is_none(),
        kind => kind == io::ErrorKind::AddrNotAvailable,
    }
}

/// For a call that may take until then.
fn patience(until: Option<Instant>) -> Patience {
    match until {
        Some(until) => Patience::new(until.saturating_duration_since(Instant::now())),
        None => Patience::endless(),
    }
}

/// What the timer runs.
#[derive(Clone)]
struct Fallbacks {
    terms: Terms,
    race: Arc<Race>,
    addrs: Vec<SocketAddr>,
    sender: Sender<Result<TcpStream, Failure>>,
}

impl Fallbacks {
    fn run(&self) {
        let result = self.terms.lane(&self.race, 1, &self.addrs);
        // There is room for the one result. Nobody receives it if the primaries have won.
        let _ = self.sender.send(result);
    }
}

/// Takes back what was to happen at the context's end.
struct Stop(context::StopFunc);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// See the module's head.
#[derive(Default)]
struct Race(Mutex<State>);

#[derive(Default)]
struct State {
    over: bool,
    /// Each lane's socket while it waits.
    under_way: [Option<Socket>; 2],
}

impl Race {
    /// Shows what a lane is about to wait for.
    fn enter(&self, lane: usize, socket: &Socket) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.over {
            return Err(closed());
        }
        state.under_way[lane] = Some(socket.clone());
        Ok(())
    }

    /// The lane waits no longer.
    fn leave(&self, lane: usize) {
        let taken = self.0.lock().under_way[lane].take();
        drop(taken);
    }

    fn is_over(&self) -> bool {
        self.0.lock().over
    }

    /// Is this lane the first to connect? Then the other one gives up.
    fn win(&self, lane: usize) -> bool {
        let other = {
            let mut state = self.0.lock();
            if state.over {
                return false;
            }
            state.over = true;
            state.under_way[1 - lane].take()
        };
        give_up(other);
        true
    }

    /// Both lanes give up.
    fn cancel(&self) {
        let both = {
            let mut state = self.0.lock();
            state.over = true;
            std::mem::take(&mut state.under_way)
        };
        both.into_iter().for_each(give_up);
    }
}

/// Ends an attempt. Closing it twice would be an error, but it is taken out of the state once.
fn give_up(socket: Option<Socket>) {
    if let Some(socket) = socket {
        // What else can go wrong leaves nothing to be done: the lane's handle is dropped in any case.
        let _ = socket.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(deadline: Option<Instant>) -> Terms {
        Terms {
            deadline,
            context: None,
            delay: None,
            prepare: None,
            not_itself: false,
            report_last: false,
        }
    }

    /// Go's `TestDialerPartialDeadline`.
    #[test]
    fn time_is_shared_out() {
        let now = Instant::now();
        let seconds = |n| now + Duration::from_secs(n);
        for (deadline, left, expected) in [
            (12, 1, 12),
            (12, 2, 6),
            (12, 3, 4),
            // Two seconds are the least,
            (12, 10, 2),
            // unless there are fewer.
            (1, 10, 1),
        ] {
            let terms = until(Some(seconds(deadline)));
            let share = terms.share(now, left).unwrap();
            assert_eq!(share, Some(seconds(expected)), "{deadline} s for {left}");
        }
        assert_eq!(until(None).share(now, 1).unwrap(), None);
        let error = until(Some(now)).share(now, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_race_has_one_winner() {
        let race = Race::default();
        assert!(race.win(1));
        assert!(race.is_over());
        assert!(!race.win(0));
        let race = Race::default();
        race.cancel();
        assert!(!race.win(0));
    }

    #[test]
    fn who_comes_late_to_a_race_does_not_wait() {
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = hole.local_addr().unwrap();
        let (stream, _) = TcpStream::start(TcpStream::socket_for(addr).unwrap(), addr).unwrap();
        let race = Race::default();
        race.enter(0, stream.socket()).unwrap();
        assert!(race.win(1));
        let error = stream.finish(&mut Patience::endless()).unwrap_err();
        assert!(crate::is_closed(&error));
        assert!(race.enter(0, stream.socket()).is_err());
    }
}
