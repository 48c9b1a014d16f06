//! `run`: a program's main goroutine.

use crate::local;
use crate::sched::sysmon::sys;
use crate::sched::{current, sched, trace};
use crate::task::builder::Builder;
use crate::task::join::{Outcome, catch};
use crate::task::report;
use parking_lot::{Condvar, Mutex};
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};

/// The main goroutine's stack: as large as a main thread's, because programs are used to that.
const MAIN_STACK: usize = 8 * 1024 * 1024;

/// Calls of `run` that wait, for the deadlock report.
static WAITING: Mutex<Vec<(u32, Weak<dyn Fail>)>> = Mutex::new(Vec::new());

/// Something that can be told that nothing will ever happen again.
trait Fail: Send + Sync {
    fn deadlock(&self, report: &str);
}

enum End<T> {
    Returned(Outcome<T>),
    Deadlock(String),
}

struct Main<T> {
    end: Mutex<Option<End<T>>>,
    ended: Condvar,
}

impl<T> Main<T> {
    fn end(&self, end: End<T>) {
        let mut slot = self.end.lock();
        if slot.is_none() {
            *slot = Some(end);
            self.ended.notify_one();
        } else {
            // Too late; dropping it may run user code, so not under the lock.
            drop(slot);
            drop(end);
        }
    }
}

impl<T: Send> Fail for Main<T> {
    fn deadlock(&self, report: &str) {
        self.end(End::Deadlock(report.to_owned()));
    }
}

/// Runs `main` as the main goroutine, named "main" and with a stack of 8 MiB, and returns what it
/// returns: when it does, `run` returns, whatever other goroutines do.
///
/// A program needs no `run`: goroutines can be started from anywhere, and the runtime starts with the
/// first. But under `run` two things are as in Go: the whole program is goroutines, and a deadlock is
/// found.
///
/// # Panics
///
/// * If `main` panics, with its payload.
/// * With "all goroutines are asleep - deadlock!" and the goroutines with what they wait for and their stacks,
///   equal ones together ([`Dump::groups`](crate::Dump::groups)), if nothing can ever wake one of them: no timer, no wait for the network or for a signal, no
///   waker of a future, and no thread in the process that is not the runtime's. (A goroutine that
///   blocks its thread, in a lock or channel of std's, counts as running.)
/// * If called from a goroutine, or if no goroutine can be started.
///
/// # Blocking
///
/// Blocks the calling thread.
///
/// ```
/// let sum = corio::run(|| {
///     let parts: Vec<_> = (0..4).map(|i| corio::spawn(move || i * 10)).collect();
///     parts.into_iter().map(|part| part.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(sum, 60);
/// ```
#[track_caller]
pub fn run<F, T>(main: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    assert!(
        current::goroutine().is_none(),
        "corio::run starts the main goroutine; inside a goroutine use corio::spawn"
    );
    let state = Arc::new(Main {
        end: Mutex::new(None),
        ended: Condvar::new(),
    });
    sched().sysmon.set_on_quiet(on_quiet);
    let fail: Arc<dyn Fail> = state.clone();
    let tid = sys::gettid();
    WAITING.lock().push((tid, Arc::downgrade(&fail)));
    let goroutine = Arc::clone(&state);
    let started = Builder::new()
        .name("main".into())
        .stack_size(MAIN_STACK)
        .spawn(move || {
            let outcome = catch(main);
            // Before `run` returns, after which the process may end.
            local::close();
            goroutine.end(End::Returned(outcome));
        });
    let end = match started {
        Ok(_detached) => {
            let mut end = state.end.lock();
            while end.is_none() {
                state.ended.wait(&mut end);
            }
            end.take()
        }
        Err(error) => {
            forget(tid);
            panic!("can't start the main goroutine: {error}");
        }
    };
    forget(tid);
    trace::stop_configured();
    match end.expect("waited until there was one") {
        End::Returned(Ok(value)) => value,
        End::Returned(Err(payload)) => resume_unwind(payload),
        End::Deadlock(report) => panic!("{report}"),
    }
}

fn forget(tid: u32) {
    WAITING.lock().retain(|&(waiting, _)| waiting != tid);
}

/// Called by sysmon when everything has come to rest. `true`: the answer may be another one soon.
fn on_quiet() -> bool {
    let (tids, mains): (Vec<u32>, Vec<_>) = WAITING
        .lock()
        .iter()
        .map(|(tid, main)| (*tid, main.clone()))
        .unzip();
    if tids.is_empty() {
        return false;
    }
    let Some(report) = report::deadlock(&tids) else {
        return true;
    };
    for main in mains.iter().filter_map(Weak::upgrade) {
        main.deadlock(&report);
    }
    false
}
