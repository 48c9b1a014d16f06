//! `spawn` and `Builder`: from a closure to a goroutine.
//!
//! A closure of up to three words lies in the goroutine's slot; a larger one is boxed. The same goes
//! for the result, which takes the closure's place. So spawning a small closure and joining it
//! allocates nothing.
//!
//! The closure runs, and is dropped, on the goroutine's stack inside one `catch_unwind`; a result
//! that nobody wants is dropped there too, after the goroutine's local values: at a joiner's it would
//! not find them either. No user code ever runs on an M's own stack.

use crate::local;
use crate::sched::g::{EntryFn, GRef, Payload};
use crate::sched::{SpawnRequest, sched};
use crate::stack::SizeClass;
use crate::state::join::ResultOf;
use crate::task::goroutine::set_name;
use crate::task::join::{JoinHandle, Outcome, catch};
use std::io;
use std::mem::{self, MaybeUninit};
use std::panic::Location;
use std::sync::Arc;

/// Starts a goroutine that runs `f`.
///
/// Mirrors [`std::thread::spawn`]; the [`go!`](crate::go) macro is the short form. Dropping the
/// handle detaches the goroutine. Called from a goroutine, the new one runs next on the same
/// processor, as soon as the caller parks or yields; called from a plain thread it joins the global
/// queue. The runtime starts with its first use.
///
/// `f` and its result must be `Send`. One thing the compiler can't check: a value tied to the
/// *thread* must not be held across a blocking call; see [the one rule](crate#the-one-rule).
///
/// # Panics
///
/// If `max_goroutines` exist or memory is exhausted; [`Builder::spawn`] returns the error instead.
/// A panic of `f` ends only this goroutine: it is reported on standard error and
/// [`join`](JoinHandle::join) returns its payload.
///
/// # Blocking
///
/// Never blocks or switches.
///
/// ```
/// let answer = corio::spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `F` and `T` are `Send` and `'static`.
    match unsafe { spawn_unchecked(f, None, None, Location::caller()) } {
        Ok(handle) => handle,
        Err(error) => panic!("can't spawn a goroutine: {error}"),
    }
}

/// Configures a goroutine before it is started: its name and the size of its stack.
///
/// Mirrors [`std::thread::Builder`].
///
/// ```
/// let handle = corio::Builder::new()
///     .name("worker".into())
///     .stack_size(1024 * 1024)
///     .spawn(|| corio::current().name().map(String::from))
///     .unwrap();
/// assert_eq!(handle.join().unwrap().as_deref(), Some("worker"));
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder starts nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A goroutine without a name, on a stack of the configured size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the goroutine, for panics, dumps and overflow messages.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Sets the size of its stack in bytes, rounded up to a power of two, and to 16 KiB at least. Only
    /// what is touched costs memory, so there is little to gain below the default: a panic that prints a
    /// backtrace alone takes more than 16 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the goroutine.
    ///
    /// # Errors
    ///
    /// * `InvalidInput`: the stack size is more than 1 GiB.
    /// * `OutOfMemory`: `max_goroutines` exist, or memory is exhausted.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: `F` and `T` are `Send` and `'static`.
        unsafe { self.spawn_unchecked(f) }
    }

    /// # Safety
    /// As [`spawn_unchecked`].
    #[track_caller]
    pub(crate) unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T,
    {
        let class = match self.stack_size {
            None => None,
            Some(bytes) => Some(SizeClass::for_size(bytes).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("a stack of {bytes} bytes is too large; the maximum is 1 GiB"),
                )
            })?),
        };
        // SAFETY: passed on to the caller.
        unsafe { spawn_unchecked(f, self.name, class, Location::caller()) }
    }
}

/// Starts a goroutine, whatever `f` borrows.
///
/// # Safety
/// `f` and its result may be sent to another thread, and whatever `f` borrows outlives the
/// goroutine and its handle.
pub(crate) unsafe fn spawn_unchecked<F, T>(
    f: F,
    name: Option<String>,
    class: Option<SizeClass>,
    location: &'static Location<'static>,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T,
{
    match name {
        None => start(f, None, class, location),
        Some(name) => {
            let name: Arc<str> = name.into();
            let mine = Arc::clone(&name);
            let named = move || {
                set_name(mine);
                f()
            };
            start(named, Some(name), class, location)
        }
    }
}

fn start<F, T>(
    f: F,
    name: Option<Arc<str>>,
    class: Option<SizeClass>,
    location: &'static Location<'static>,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T,
{
    // First: starting may panic, and a closure in the payload would be lost.
    let sched = sched();
    let mut payload: Payload = [MaybeUninit::uninit(); 3];
    // SAFETY: the payload is a local that nothing else is in.
    unsafe { put(&mut payload, f) };
    let spawned = sched.spawn(SpawnRequest {
        entry: entry::<F, T> as EntryFn,
        payload,
        class,
        location,
    });
    match spawned {
        Ok((g, id)) => Ok(JoinHandle::new(g, id, name)),
        Err(error) => {
            // SAFETY: `put` stored an `F` there, and no goroutine has it.
            drop(unsafe { take::<F>(&mut payload) });
            Err(error)
        }
    }
}

/// Runs the closure in the payload of `g` and leaves the outcome there.
///
/// # Safety
/// Called once, on the goroutine, whose payload holds an `F`.
unsafe fn entry<F, T>(g: GRef)
where
    F: FnOnce() -> T,
{
    // SAFETY: by contract.
    let f = unsafe { take::<F>(g.payload()) };
    let outcome = catch(f);
    let nothing_to_drop = outcome.is_ok() && !mem::needs_drop::<T>() && fits::<Outcome<T>>();
    // SAFETY: the closure has been taken out; the payload is the goroutine's until `store`.
    unsafe { put(g.payload(), outcome) };
    if nothing_to_drop {
        return;
    }
    if g.join.store() == ResultOf::Mine {
        local::close();
        // SAFETY: the outcome was put there above, and nobody else will take it.
        drop(unsafe { take::<Outcome<T>>(g.payload()) });
    }
}

const fn fits<V>() -> bool {
    mem::size_of::<V>() <= mem::size_of::<Payload>()
        && mem::align_of::<V>() <= mem::align_of::<Payload>()
}

/// Puts `value` into the payload, in a box if it doesn't fit.
///
/// # Safety
/// The payload is the caller's, and nothing that needs dropping is in it.
unsafe fn put<V>(payload: *mut Payload, value: V) {
    // SAFETY: the caller owns the payload; `fits` has checked size and alignment, and a box fits.
    unsafe {
        if fits::<V>() {
            payload.cast::<V>().write(value);
        } else {
            payload.cast::<Box<V>>().write(Box::new(value));
        }
    }
}

/// Takes the value out of the payload.
///
/// # Safety
/// `put::<V>` was the last to write it, and the value hasn't been taken since.
pub(crate) unsafe fn take<V>(payload: *mut Payload) -> V {
    // SAFETY: by contract; the cases are those of `put`.
    unsafe {
        if fits::<V>() {
            payload.cast::<V>().read()
        } else {
            *payload.cast::<Box<V>>().read()
        }
    }
}
