//! [`with_context`]: a context's end ends what waits on a socket.
//!
//! Go has an idiom for it: `context.AfterFunc` with a function that sets a deadline in the past, and
//! sets it back afterwards. That loses the end of the context if the code in between sets deadlines of its
//! own, as a server does for each request, and has to guess which deadline was there. So here the end is
//! an *interruption* beside the deadlines (see `direction`): it counts as one in the past for as long as it
//! lasts, and neither reads nor changes the user's.
//!
//! The call that returns first takes the interruption's function back, or, if it is under way, waits for
//! it: it does not wait for anything itself. After that nothing is left: no interruption, no handle to
//! the socket.

use crate::shared::HasSocket;
use crate::socket::Socket;
use corio::channel::{self, Receiver, RecvError};
use corio::context::{self, Context, StopFunc};
use std::convert::Infallible;
use std::io;

/// Calls `f`, and ends what it waits for on `socket` when `ctx` ends.
///
/// From the context's end until `f` returns, operations on the socket that wait fail as if a deadline had
/// passed, in both directions and for whoever has them under way; others that begin do too. Deadlines and
/// timeouts are not changed; `f` may set them. Calls may be nested, or be under way in several goroutines
/// at once for the same socket; then the first of the contexts that ends does so for all of them.
///
/// All of this crate's sockets will do: streams, listeners, [`Conn`](crate::Conn),
/// [`Listener`](crate::Listener) and the others.
///
/// Go has `context.AfterFunc` and `SetDeadline` for it.
///
/// ```
/// use corio::context::Context;
/// use corio_net::{dial, listen, with_context};
/// use std::io::{ErrorKind, Read};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = listen("tcp", "localhost:0")?;
/// let conn = dial("tcp", &listener.local_addr()?.to_string())?;
/// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(5));
/// let result = with_context(&ctx, &conn, |mut conn| conn.read(&mut [0])); // nobody sends
/// assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the context has ended before, its error, and `f` is not called. If it ends meanwhile and `f` returns
/// an error of kind [`TimedOut`](io::ErrorKind::TimedOut), that is replaced by the context's error (see
/// [`ContextError`](corio::context::ContextError): `TimedOut` for a deadline, `Other` for a cancelled one).
/// What `f` returns otherwise, a result or another error, is returned.
pub fn with_context<S, T>(
    ctx: &Context,
    socket: &S,
    f: impl FnOnce(&S) -> io::Result<T>,
) -> io::Result<T>
where
    S: HasSocket + ?Sized,
{
    ctx.check()?;
    let mut watch = Watch::new(ctx, socket.socket());
    let result = f(socket);
    let interrupted = watch.end();
    match result {
        Err(error) if interrupted && error.kind() == io::ErrorKind::TimedOut => {
            Err(ctx.err().map_or(error, io::Error::from))
        }
        result => result,
    }
}

/// Interrupts a socket when a context ends, until [`end`](Self::end).
struct Watch<'a> {
    socket: &'a Socket,
    /// None after the end.
    stop: Option<StopFunc>,
    /// Disconnected when the function has run.
    done: Receiver<Infallible>,
}

impl<'a> Watch<'a> {
    fn new(ctx: &Context, socket: &'a Socket) -> Watch<'a> {
        let (sender, done) = channel::bounded(0);
        let theirs = socket.clone();
        let stop = context::after_func(ctx, move || {
            theirs.interrupt();
            // The handle first: as long as there is another one, a socket can't be converted.
            drop(theirs);
            drop(sender);
        });
        Watch {
            socket,
            stop: Some(stop),
            done,
        }
    }

    /// Was the socket interrupted? From now on it isn't, by us.
    fn end(&mut self) -> bool {
        let Some(stop) = self.stop.take() else {
            return false;
        };
        if stop.stop() {
            return false;
        }
        match self.done.recv() {
            Ok(never) => match never {},
            Err(RecvError) => self.socket.resume(),
        }
        true
    }
}

impl Drop for Watch<'_> {
    /// Also when `f` panics.
    fn drop(&mut self) {
        self.end();
    }
}
