//! Starting: the scheduler itself, on first use, and the threads of its Ms.
//!
//! Next in the reading order: `observe`.

use crate::dump::sigquit;
use crate::prim::atomic::Ordering;
use crate::prim::config::{self, Config, ConfigError, Guard, Settings};
use crate::prim::trace::{self as events, Event, Kind};
use crate::prim::warn;
use crate::sched::g::{GRef, Run};
use crate::sched::m::M;
use crate::sched::p::Held;
use crate::sched::{Sched, current, send, sysmon, trace};
use crate::stack::fault::Culprit;
use crate::stack::{self, GuardKind, SizeClass, StackConfig};
use once_cell::sync::OnceCell;
use std::io;
use std::sync::Arc;
use std::thread;

/// The M's own stack: the loop, the reactor and timer functions run on it, never user code.
const M_STACK: usize = 512 * 1024;

static SCHED: OnceCell<Sched> = OnceCell::new();

/// The scheduler; starts it with the environment's settings if need be.
///
/// Panics with the error's text if the environment holds a bad value.
#[inline]
pub(crate) fn sched() -> &'static Sched {
    match SCHED.get() {
        Some(sched) => sched,
        None => start_by_default(),
    }
}

/// The scheduler if it runs.
pub(crate) fn started() -> Option<&'static Sched> {
    SCHED.get()
}

#[cold]
fn start_by_default() -> &'static Sched {
    match try_start(Config::new()) {
        Ok(()) | Err(Failed::Running) => SCHED.get().expect("the scheduler was just started"),
        Err(Failed::Config(error)) => panic!("{error}"),
        Err(Failed::Thread(error)) => panic!("corio can't start its first thread: {error}"),
    }
}

/// Why the scheduler was not started.
pub(crate) enum Failed {
    /// It runs already.
    Running,
    /// A setting is bad.
    Config(ConfigError),
    /// No thread could be started.
    Thread(io::Error),
}

/// Starts the scheduler.
pub(crate) fn try_start(config: Config) -> Result<(), Failed> {
    let mut trace = None;
    let mut fresh = false;
    let sched = SCHED.get_or_try_init(|| {
        fresh = true;
        let settings = config
            .resolve(config::process_env)
            .map_err(Failed::Config)?;
        if let Some(path) = &settings.trace {
            let file = trace::create(path);
            trace = Some(file.map_err(|error| Failed::Config(ConfigError::trace(path, &error)))?);
        }
        Ok(prepare(settings))
    })?;
    if !fresh {
        return Err(Failed::Running);
    }
    run(sched).map_err(Failed::Thread)?;
    match trace {
        Some(file) => trace::start_configured(sched, file).map_err(Failed::Thread),
        None => Ok(()),
    }
}

fn prepare(settings: Settings) -> Sched {
    stack::configure(StackConfig {
        guard: match settings.guard {
            Guard::Auto => GuardKind::Auto,
            Guard::Mprotect => GuardKind::Mprotect,
        },
        default_class: SizeClass::for_size(settings.stack_size).expect("Config checks the range"),
    });
    stack::fault::install(describe);
    let procs = settings.procs as u32;
    let sched = Sched::new(settings);
    sched.set_procs(procs);
    sched
}

/// Starts sysmon and a first M, which finds nothing to do and sits down to poll: from now on somebody
/// watches for events and timers.
fn run(sched: &'static Sched) -> io::Result<()> {
    sysmon::start(sched)?;
    if sched.settings.dump
        && let Err(error) = sigquit::start()
    {
        warn(format_args!(
            "corio: can't dump goroutines on SIGQUIT: {error}"
        ));
    }
    let Some(held) = sched.acquire_p(0) else {
        // Other threads see the scheduler already and have started Ms; one of them will sit down.
        return Ok(());
    };
    start_thread(sched, held, false, None).map_err(|(held, error)| {
        sched.release_p(held);
        error
    })
}

/// Starts a thread for a new M with this mail. Fails, giving the P back, if the limit is reached or
/// the system refuses.
pub(crate) fn start_thread(
    sched: &Sched,
    held: Held,
    spinning: bool,
    first: Option<GRef>,
) -> Result<(), (Held, io::Error)> {
    let m = match sched.ms.get(true, sched.settings.max_threads as u32) {
        Ok(m) => m,
        Err(error) => return Err((held, error)),
    };
    let started = thread::Builder::new()
        .name(format!("corio-m{}", m.id))
        .stack_size(M_STACK)
        .spawn(move || thread_main(m));
    match started {
        Ok(_) => {
            send(m, held, spinning, first);
            Ok(())
        }
        Err(error) => {
            sched.ms.put(m);
            Err((held, error))
        }
    }
}

fn thread_main(m: &'static M) {
    let sched = super::sched();
    let _alt_stack = stack::fault::alt_stack();
    m.tid.store(sysmon::sys::gettid(), Ordering::Relaxed);
    current::set(Some(m));
    events::unowned(m.id, || Event::new(Kind::MStart, m.id.into(), 0));
    let mail = m.wait_for_mail();
    sched.run_m(m, mail);
    current::set(None);
    events::unowned(m.id, || Event::new(Kind::MEnd, m.id.into(), 0));
    // One that sysmon marks from here on belongs to the M's next thread, which ends at once for it.
    if m.burning.swap(false, Ordering::Relaxed) {
        sched.sysmon.burner_ended();
    }
    sched.ms.put(m);
}

/// Who overflowed: called by the fault handler, so nothing here may lock or allocate.
fn describe(top: usize) -> Option<Culprit> {
    let m = current::try_m()?;
    let g = m.curg()?;
    let fiber = g.fiber().filter(|_| m.is_worker())?;
    // SAFETY: this thread runs the goroutine, so its fiber is bound.
    let (stack_top, class) = unsafe { fiber.stack() };
    if stack_top.as_ptr() as usize != top {
        return None;
    }
    // SAFETY: as above. The top of the stack is intact: the overflow is at its bottom.
    let run: &Run = unsafe { g.run() };
    let mut culprit = Culprit {
        id: g.id(),
        name: [0; 64],
        name_len: 0,
        stack_size: class.size(),
    };
    if let Some(name) = run.name.get().map(Arc::as_ref) {
        let n = name.len().min(culprit.name.len());
        culprit.name[..n].copy_from_slice(&name.as_bytes()[..n]);
        culprit.name_len = n;
    }
    Some(culprit)
}
