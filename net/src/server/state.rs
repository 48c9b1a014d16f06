//! A connection's state, in one word, which its goroutine and the server's shutdown agree on.
//!
//! | state | means | who may leave it |
//! | --- | --- | --- |
//! | `NEW` | accepted; no byte has been moved yet | its goroutine, to `ACTIVE`; the shutdown, to `CLAIMED` |
//! | `ACTIVE` | a request is worked on | its goroutine, to `IDLE`; the shutdown, to `CLOSED`, by force |
//! | `IDLE` | between requests, in `wait_request` | its goroutine, to `ACTIVE`; the shutdown, to `CLAIMED` |
//! | `CLAIMED` | the shutdown looks whether bytes have come meanwhile | the shutdown, back or to `CLOSED` |
//! | `CLOSED` | closed by the server, not by its goroutine | nobody |
//!
//! Beside the state there is one flag, `STOP`: the shutdown has begun. It is set once, under the registry's
//! lock, in the words of all connections; those that are registered later have it from the start. From
//! then on nobody becomes idle. Being in the same word as the state, it can't be missed: either `rest`
//! sees it, or the shutdown, which looks at the states after it has set it, sees `IDLE`.
//!
//! **No request is cut off that had arrived.** A goroutine takes bytes out of the socket only as `ACTIVE`:
//! it peeks, activates, then reads. So whoever claims the connection finds all bytes that have ever come
//! still in the socket, and gives the claim up if there are any. A goroutine that wants to activate
//! meanwhile waits for the outcome, which takes two system calls.
//!
//! Rejected: closing only what was seen to be idle (the request that comes in between would be read, and its
//! answer lost); letting idle goroutines close their own connections, woken by a deadline (a handler that
//! just reads would have to be told apart from one that waits).
//!
//! All accesses are relaxed: everything that has to be agreed on is in this word. What the bytes themselves
//! order, the kernel's socket lock does.

use crate::prim::atomic::{AtomicU8, Ordering};

const NEW: u8 = 0;
const ACTIVE: u8 = 1;
const IDLE: u8 = 2;
const CLAIMED: u8 = 3;
const CLOSED: u8 = 4;
const STATE: u8 = 7;
const STOP: u8 = 8;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Word(AtomicU8);

/// What a connection is doing, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Active,
    Idle,
    Closed,
}

/// What came of [`Word::activate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Activation {
    /// It is active now, and was not before.
    Changed,
    /// It was active.
    Same,
    /// The shutdown has claimed it; ask again.
    Claimed,
    /// The server has closed it.
    Closed,
}

/// What came of [`Word::rest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Rest {
    /// It is idle now.
    Idle,
    /// No request has come yet, and it is as new as before.
    New,
    /// There is to be no further request but one that is there already. It is as active as before.
    Stop,
    /// The server has closed it.
    Closed,
}

/// The right to close a connection, or to let it be: what [`Word::claim`] returns.
#[derive(Debug)]
#[must_use]
pub(super) struct Claim<'a> {
    word: &'a Word,
    before: u8,
}

impl Word {
    /// Of a connection that was just accepted.
    pub(super) fn new(stop: bool) -> Word {
        Word(AtomicU8::new(if stop { NEW | STOP } else { NEW }))
    }

    fn load(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Has nothing been moved yet? A claim may be under way.
    #[inline]
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self.load() & STATE, NEW | CLAIMED)
    }

    /// Has the server closed it?
    pub(super) fn is_closed(&self) -> bool {
        self.load() & STATE == CLOSED
    }

    /// Has the shutdown begun?
    pub(super) fn is_stopped(&self) -> bool {
        self.load() & STOP != 0
    }

    /// What it is doing. Claimed is as good as idle.
    pub(super) fn state(&self) -> State {
        match self.load() & STATE {
            NEW => State::New,
            ACTIVE => State::Active,
            CLOSED => State::Closed,
            _ => State::Idle,
        }
    }

    /// By its goroutine: bytes are there, or are about to be written.
    pub(super) fn activate(&self) -> Activation {
        loop {
            let word = self.load();
            match word & STATE {
                ACTIVE => return Activation::Same,
                CLAIMED => return Activation::Claimed,
                CLOSED => return Activation::Closed,
                _ if self.change(word, ACTIVE | word & STOP) => return Activation::Changed,
                _ => {}
            }
        }
    }

    /// By its goroutine: the request is done with, and the next one is waited for.
    pub(super) fn rest(&self) -> Rest {
        loop {
            let word = self.load();
            match word & STATE {
                // Claimed: it was new, or idle by another goroutine's doing; that one's wait goes on.
                NEW | CLAIMED => return Rest::New,
                CLOSED => return Rest::Closed,
                _ if word & STOP != 0 => return Rest::Stop,
                _ if self.change(word, IDLE) => return Rest::Idle,
                _ => {}
            }
        }
    }

    /// By the shutdown: sets the flag.
    pub(super) fn stop(&self) {
        self.0.fetch_or(STOP, Ordering::Relaxed);
    }

    /// By the shutdown, of which there is one: keeps the goroutine from activating, if it is new or idle.
    pub(super) fn claim(&self) -> Option<Claim<'_>> {
        loop {
            let word = self.load();
            if !matches!(word & STATE, NEW | IDLE) {
                return None;
            }
            if self.change(word, CLAIMED | word & STOP) {
                return Some(Claim {
                    word: self,
                    before: word,
                });
            }
        }
    }

    /// By the shutdown: closed, whatever it was. Whether it was not closed before.
    pub(super) fn force(&self) -> bool {
        self.0.swap(CLOSED | STOP, Ordering::Relaxed) & STATE != CLOSED
    }
}

impl Claim<'_> {
    /// The connection is to be closed.
    pub(super) fn close(self) {
        self.word.0.store(CLOSED | STOP, Ordering::Relaxed);
    }

    /// Bytes have come: it goes on.
    pub(super) fn give_up(self) {
        self.word.0.store(self.before, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_request_makes_it_active_and_its_end_idle() {
        let word = Word::new(false);
        assert_eq!(word.state(), State::New);
        assert_eq!(word.rest(), Rest::New);
        assert_eq!(word.activate(), Activation::Changed);
        assert_eq!(word.activate(), Activation::Same);
        assert_eq!(word.rest(), Rest::Idle);
        assert_eq!(word.activate(), Activation::Changed);
        assert_eq!(word.state(), State::Active);
    }

    #[test]
    fn nobody_becomes_idle_once_it_stops() {
        let word = Word::new(false);
        assert_eq!(word.activate(), Activation::Changed);
        word.stop();
        assert_eq!(word.rest(), Rest::Stop);
        assert_eq!(word.state(), State::Active);
    }

    #[test]
    fn a_claim_holds_the_goroutine_up_and_is_given_back_as_it_was() {
        let word = Word::new(true);
        let claim = word.claim().unwrap();
        assert_eq!(word.activate(), Activation::Claimed);
        assert!(word.claim().is_none());
        claim.give_up();
        assert_eq!(word.state(), State::New);
        assert!(word.is_stopped());
        assert_eq!(word.activate(), Activation::Changed);
        assert!(word.claim().is_none(), "an active one can't be claimed");
    }

    #[test]
    fn closed_is_the_end() {
        let word = Word::new(true);
        word.claim().unwrap().close();
        assert_eq!(word.activate(), Activation::Closed);
        assert_eq!(word.rest(), Rest::Closed);
        assert!(word.claim().is_none());
        assert!(!word.force());
        assert!(word.is_closed());
    }
}

/// loom models: every interleaving of a connection's goroutine, its client and the shutdown. Each has mutants,
/// with a step left out, which must fail.
#[cfg(all(loom, test))]
mod models {
    use super::*;
    use loom::sync::Mutex;
    use loom::thread;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    fn fails(model: impl Fn() + Sync + Send + 'static) {
        let result = catch_unwind(AssertUnwindSafe(|| loom::model(model)));
        assert!(result.is_err(), "the model does not notice what is missing");
    }

    /// A request comes while the server shuts down: it is answered, or not read.
    fn request(
        goroutine: fn(&Word, &Mutex<usize>) -> bool,
        shutdown: fn(&Word, &Mutex<usize>) -> bool,
    ) {
        let word = Arc::new(Word::new(false));
        // What is in the socket, under the kernel's lock.
        let socket = Arc::new(Mutex::new(0));
        let client = {
            let socket = Arc::clone(&socket);
            thread::spawn(move || *socket.lock().unwrap() += 1)
        };
        let serving = {
            let (word, socket) = (Arc::clone(&word), Arc::clone(&socket));
            thread::spawn(move || goroutine(&word, &socket))
        };
        let closed = shutdown(&word, &socket);
        client.join().unwrap();
        let read = serving.join().unwrap();
        assert_ne!(read, closed, "read and closed, or neither");
    }

    fn has_bytes(socket: &Mutex<usize>) -> bool {
        *socket.lock().unwrap() > 0
    }

    /// Whether it has read the request.
    fn wait_and_read(word: &Word, socket: &Mutex<usize>) -> bool {
        loop {
            if !has_bytes(socket) {
                if word.is_closed() {
                    return false;
                }
                thread::yield_now();
                continue;
            }
            match word.activate() {
                Activation::Changed | Activation::Same => {
                    *socket.lock().unwrap() -= 1;
                    return true;
                }
                Activation::Closed => return false,
                Activation::Claimed => thread::yield_now(),
            }
        }
    }

    /// Whether it has closed the connection.
    fn close_if_quiet(word: &Word, socket: &Mutex<usize>) -> bool {
        word.stop();
        let Some(claim) = word.claim() else {
            return false;
        };
        let quiet = !has_bytes(socket);
        if quiet {
            claim.close();
        } else {
            claim.give_up();
        }
        quiet
    }

    #[test]
    fn a_request_is_read_or_its_connection_closed() {
        loom::model(|| request(wait_and_read, close_if_quiet));
    }

    #[test]
    fn it_is_noticed_if_the_goroutine_reads_before_it_is_active() {
        fails(|| {
            let goroutine = |word: &Word, socket: &Mutex<usize>| {
                while !has_bytes(socket) {
                    if word.is_closed() {
                        return false;
                    }
                    thread::yield_now();
                }
                *socket.lock().unwrap() -= 1;
                loop {
                    match word.activate() {
                        Activation::Claimed => thread::yield_now(),
                        // The request is lost, if it is closed.
                        _ => return true,
                    }
                }
            };
            request(goroutine, close_if_quiet);
        });
    }

    #[test]
    fn it_is_noticed_if_the_shutdown_closes_without_a_claim() {
        fails(|| {
            let shutdown = |word: &Word, socket: &Mutex<usize>| {
                word.stop();
                let quiet = word.state() != State::Active && !has_bytes(socket);
                if quiet {
                    word.force();
                }
                quiet
            };
            request(wait_and_read, shutdown);
        });
    }

    /// Who becomes idle is seen by the shutdown, or sees it.
    fn idle(stop: fn(&Word, &AtomicU8), rest: fn(&Word, &AtomicU8) -> bool) {
        let both = Arc::new((Word::new(false), AtomicU8::new(0)));
        assert_eq!(both.0.activate(), Activation::Changed);
        let resting = {
            let both = Arc::clone(&both);
            thread::spawn(move || rest(&both.0, &both.1))
        };
        stop(&both.0, &both.1);
        let seen = both.0.state() == State::Idle;
        let idle = resting.join().unwrap();
        assert!(seen || !idle, "nobody would close it");
    }

    #[test]
    fn nobody_is_idle_unseen() {
        loom::model(|| idle(|word, _| word.stop(), |word, _| word.rest() == Rest::Idle));
    }

    #[test]
    fn it_is_noticed_if_the_flag_is_in_another_word() {
        fails(|| {
            idle(
                |_, flag| flag.store(STOP, Ordering::Relaxed),
                |word, flag| flag.load(Ordering::Relaxed) == 0 && word.rest() == Rest::Idle,
            );
        });
    }
}
