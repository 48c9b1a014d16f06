//! `Goroutine`: a handle to a goroutine that doesn't own it.

use crate::park;
use crate::sched::current;
use crate::sched::g::GRef;
use crate::sched::trace;
use std::fmt;
use std::sync::Arc;

/// A handle to a goroutine (or to a plain thread that uses corio): who it is, and the means to wake
/// it from [`park`](crate::park()).
///
/// Mirrors [`std::thread::Thread`]. It may be kept beyond the goroutine's end; then it wakes nobody.
#[derive(Clone)]
pub struct Goroutine {
    g: GRef,
    id: u64,
    name: Option<Arc<str>>,
}

impl Goroutine {
    pub(crate) fn new(g: GRef, id: u64, name: Option<Arc<str>>) -> Self {
        Goroutine { g, id, name }
    }

    pub(crate) fn g(&self) -> GRef {
        self.g
    }

    /// The goroutine's number, which no other goroutine of the process ever has. The numbers of plain
    /// threads have the highest bit set.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name given to [`Builder::name`](crate::Builder::name), or the plain thread's.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Ends the goroutine's current [`park`](crate::park()), or else the next one. Ends no other
    /// wait: a goroutine blocked on a channel or a socket stays so.
    ///
    /// Mirrors [`std::thread::Thread::unpark`]. Never blocks or switches.
    pub fn unpark(&self) {
        park::unpark(self.g, self.id);
    }
}

impl PartialEq for Goroutine {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Goroutine {}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish()
    }
}

/// A handle to the goroutine that calls, or to the plain thread.
///
/// Mirrors [`std::thread::current`].
///
/// ```
/// let me = corio::current();
/// me.unpark();
/// corio::park(); // returns at once
/// ```
pub fn current() -> Goroutine {
    let g = current::g();
    let name = if g.is_goroutine() {
        // SAFETY: the caller is this goroutine.
        unsafe { g.run() }.name.get().cloned()
    } else {
        std::thread::current().name().map(Arc::from)
    };
    Goroutine::new(g, g.id(), name)
}

/// Names the goroutine that calls; done once, before its closure runs.
pub(crate) fn set_name(name: Arc<str>) {
    if let Some(g) = current::goroutine() {
        trace::name(g.id(), &name);
        // SAFETY: the caller is this goroutine.
        let _ = unsafe { g.run() }.name.set(name);
    }
}
