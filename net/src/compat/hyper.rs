//! [`Compat`] as hyper 1's `rt::Read` and `rt::Write`, and what else hyper asks of a runtime.

use super::{ByteStream, Compat};
use crate::prim::Mutex;
use crate::sys;
use corio::reactor::{ReadyList, push_waker, timer};
use hyper::rt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

impl<S: ByteStream + Unpin> rt::Read for Compat<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: nothing in it is made uninitialised: the system only writes to it.
        let room = unsafe { buf.as_mut() };
        let received = self
            .get_mut()
            .poll_read_with(cx, room.len(), |fd| sys::recv_uninit(fd, room));
        received.map_ok(|n| {
            // SAFETY: the system has written so many bytes to its beginning.
            unsafe { buf.advance(n) }
        })
    }
}

impl<S: ByteStream + Unpin> rt::Write for Compat<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send_vectored(cx, bufs)
    }

    /// Nothing to do: what is written is with the system.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends what is written (`Shutdown::Write`); reading goes on.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end_writing())
    }
}

/// hyper's executor: a goroutine for each future, in [`corio::block_on`].
///
/// If there can be no goroutine (see `max_goroutines` of [`corio::Config`]) the future is dropped, which hyper takes
/// for a request that was given up.
///
/// ```
/// use corio_net::compat::Executor;
/// use hyper::rt::Executor as _;
/// use std::sync::mpsc;
///
/// let (tx, rx) = mpsc::channel();
/// Executor.execute(async move { tx.send(1).unwrap() });
/// assert_eq!(rx.recv(), Ok(1));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(corio::Builder::new().spawn(move || drop(corio::block_on(future))));
    }
}

/// hyper's timer, on the runtime's.
///
/// ```
/// use corio_net::compat::Timer;
/// use hyper::rt::Timer as _;
/// use std::time::Duration;
///
/// corio::block_on(Timer.sleep(Duration::from_millis(1)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Box::pin(Sleep {
            until: timer::now().saturating_add(nanos),
            armed: None,
        })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep {
            until: timer::deadline(deadline),
            armed: None,
        })
    }

    /// Stores a number: a timer that is armed for an earlier time stays, and is armed again when it is due.
    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().until = timer::deadline(new_deadline),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// [`Timer`]'s future: ready when its time has come.
#[derive(Debug)]
pub struct Sleep {
    until: u64,
    armed: Option<Armed>,
}

/// A timer, which owns a reference to the waker's place until its function has run or it is cancelled.
#[derive(Debug)]
struct Armed {
    when: u64,
    timer: timer::TimerId,
    waker: Arc<Mutex<Option<Box<Waker>>>>,
}

impl rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.until <= timer::now() {
            return Poll::Ready(());
        }
        if let Some(armed) = &self.armed
            && armed.when <= self.until
        {
            let new = Box::new(cx.waker().clone());
            let mut waker = armed.waker.lock();
            if waker.is_some() {
                let old = waker.replace(new);
                drop(waker);
                drop(old);
                return Poll::Pending;
            }
        }
        let when = self.until;
        self.armed = Some(Armed::new(when, cx.waker().clone()));
        Poll::Pending
    }
}

impl Armed {
    fn new(when: u64, waker: Waker) -> Armed {
        let waker = Arc::new(Mutex::new(Some(Box::new(waker))));
        let arg = Arc::into_raw(Arc::clone(&waker)).expose_provenance();
        let timer = timer::add(when, due, arg, 0);
        Armed { when, timer, waker }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // Whatever becomes of the timer: the waker is dropped here, in user code.
        let waker = self.waker.lock().take();
        drop(waker);
        if timer::cancel(self.timer) {
            // SAFETY: the timer's function, which owned this reference, is not going to be called.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self.waker)) };
        }
    }
}

/// The timer's function.
fn due(arg: usize, _: u64, ready: &mut ReadyList) {
    // SAFETY: `Armed::new` gave a reference to this timer, and it runs once.
    let place: Arc<Mutex<Option<Box<Waker>>>> =
        unsafe { Arc::from_raw(ptr::with_exposed_provenance(arg)) };
    let waker = place.lock().take();
    if let Some(waker) = waker {
        push_waker(waker, ready);
    }
}
