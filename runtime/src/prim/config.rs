//! Settings: what a program asks for, what the environment says, and what is used.
//!
//! [`Config`] is what the program writes, [`Settings`] what the scheduler reads; [`Config::resolve`]
//! leads from one to the other and is a pure function of the two sources, so that it can be tested
//! without touching the process's environment. A value given in code is used as it is and the
//! variable of the same name is not even looked at; a variable beats the default.
//!
//! Every value is checked, and a bad one is an error that names the setting, the value and what would
//! have been accepted. Clamping or ignoring it was rejected: a misspelt limit would show up as a
//! performance problem weeks later.
//!
//! `Config::init`, which starts the runtime, stands in `api`: starting is no business of the lowest
//! layer.

use std::error::Error;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The largest number of Ps: the Ps are a fixed array of this many places.
pub(crate) const MAX_PROCS: usize = 1024;
/// The largest limit on threads; their numbers must fit the P's status word (21 bits), together with
/// those of plain threads.
const MAX_THREADS: usize = 1_000_000;
/// The largest number of goroutines at a time: what counts as no limit.
pub(crate) const MAX_GOROUTINES: usize = u32::MAX as usize;
/// The smallest stack: what the smallest size class holds.
const MIN_STACK: usize = 16 << 10;
/// The largest stack: what the largest size class holds.
const MAX_STACK: usize = 1 << 30;
/// The longest interval between two schedtrace lines: a day.
const MAX_TRACE_MS: u64 = 24 * 60 * 60 * 1000;

const DEFAULT_STACK: usize = 256 << 10;
const DEFAULT_MAX_THREADS: usize = 10_000;
const DEFAULT_MAX_BURNERS: usize = 64;

/// When goroutines move to another thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Migrate {
    /// Whenever a thread without work steals one: the default.
    #[default]
    Never,
    /// Also at every park: each goroutine goes on on another thread than the one it parked on, as far
    /// as there is one. Slow, and meant for tests: code that holds on to a thread-local across a
    /// blocking call fails soon instead of rarely.
    Always,
}

/// How the guard below each goroutine's stack is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guard {
    /// With `MADV_GUARD_INSTALL` where the kernel knows it (Linux 6.13), else with `mprotect`.
    #[default]
    Auto,
    /// With `mprotect` always, as on an older kernel. Two mappings per stack: with the usual
    /// `vm.max_map_count` there is room for about 32,000 goroutines that have run.
    Mprotect,
}

/// What happens when a goroutine panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Only that goroutine ends; whoever joins it gets the payload. As with std's threads.
    #[default]
    Isolate,
    /// The process aborts after the panic message, as in Go.
    Abort,
}

/// The runtime's settings, to be given before it starts.
///
/// The runtime starts by itself with its first goroutine, or with the first blocking call from a
/// plain thread. A program that wants other than the default settings makes a `Config` at the top of
/// `main` and calls [`init`](Config::init). Each setting can also be given as an environment variable;
/// a value given here beats the environment, the environment beats the default. A variable that is
/// set, but empty, counts as not set.
///
/// | method | variable | accepts | default |
/// | --- | --- | --- | --- |
/// | [`procs`](Config::procs) | `CORIO_PROCS` | 1 to 1024 | the number of CPUs available |
/// | [`stack_size`](Config::stack_size) | `CORIO_STACK_SIZE` | 16K to 1G | 256K |
/// | [`max_threads`](Config::max_threads) | `CORIO_MAX_THREADS` | 1 to 1000000 | 10000 |
/// | [`max_goroutines`](Config::max_goroutines) | `CORIO_MAX_GOROUTINES` | 1 to 4294967295 | 4294967295 |
/// | [`max_burners`](Config::max_burners) | `CORIO_MAX_BURNERS` | 0 to 1000000 | 64 |
/// | [`schedtrace`](Config::schedtrace) | `CORIO_SCHEDTRACE` | milliseconds, 0 to 86400000 | 0 (off) |
/// | [`migrate`](Config::migrate) | `CORIO_MIGRATE` | `never`, `always` | `never` |
/// | [`guard`](Config::guard) | `CORIO_GUARD` | `auto`, `mprotect` | `auto` |
/// | [`trace`](Config::trace) | `CORIO_TRACE` | a file, in whose name `%p` stands for the process's number | none |
/// | [`panic`](Config::panic) | `CORIO_PANIC` | `isolate`, `abort` | `isolate` |
/// | [`dump`](Config::dump) | `CORIO_DUMP` | 0 (off), 1 (on) | 0 |
///
/// # Errors
///
/// [`init`](Config::init) reports the first bad value as a [`ConfigError`]. When the runtime starts by
/// itself and finds a bad variable, it panics with that error's text.
///
/// # Counterpart
///
/// Go's `GOMAXPROCS` and `GODEBUG`; std has none. `init` is not needed before anything else works.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), corio::ConfigError> {
/// corio::Config::new().procs(2).stack_size(512 * 1024).init()?;
///
/// let answer = corio::go!(|| 6 * 7).join().unwrap();
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a Config does nothing until `init` is called"]
pub struct Config {
    procs: Option<usize>,
    stack_size: Option<usize>,
    max_threads: Option<usize>,
    max_goroutines: Option<usize>,
    max_burners: Option<usize>,
    schedtrace: Option<Duration>,
    migrate: Option<Migrate>,
    guard: Option<Guard>,
    panic: Option<PanicPolicy>,
    dump: Option<bool>,
    trace: Option<PathBuf>,
}

impl Config {
    /// Settings that leave everything to the environment and the defaults.
    pub const fn new() -> Self {
        Config {
            procs: None,
            stack_size: None,
            max_threads: None,
            max_goroutines: None,
            max_burners: None,
            schedtrace: None,
            migrate: None,
            guard: None,
            panic: None,
            dump: None,
            trace: None,
        }
    }

    /// How many Ps there are, that is, how many goroutines run at the same time. `CORIO_PROCS`.
    ///
    /// From 1 to 1024. The default is [`std::thread::available_parallelism`], which honours CPU
    /// affinity and cgroup quotas. It can be changed later with [`set_procs`](crate::set_procs).
    #[doc(alias = "GOMAXPROCS")]
    pub const fn procs(mut self, procs: usize) -> Self {
        self.procs = Some(procs);
        self
    }

    /// The size of a goroutine's stack in bytes, unless [`Builder::stack_size`] says otherwise.
    /// `CORIO_STACK_SIZE`, which accepts the suffixes `K`, `M` and `G`.
    ///
    /// From 16 KiB to 1 GiB, rounded up to a power of two; the default is 256 KiB. This is address
    /// space: memory is used page by page as the stack grows.
    ///
    /// [`Builder::stack_size`]: crate::Builder::stack_size
    pub const fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The most threads that the runtime will start. `CORIO_MAX_THREADS`.
    ///
    /// From 1 to 1,000,000; the default is 10,000, as in Go. A thread is needed for each P and for
    /// each goroutine that blocks its thread. When there can be no more, goroutines wait until a
    /// thread comes free; with fewer threads than Ps some Ps stay unused.
    pub const fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = Some(threads);
        self
    }

    /// The most goroutines that may exist at the same time. `CORIO_MAX_GOROUTINES`.
    ///
    /// From 1 to 4,294,967,295; the default is that largest number, which is to say memory is the
    /// limit. Beyond it [`Builder::spawn`] returns an error, and [`go!`] and [`spawn`] panic.
    ///
    /// [`Builder::spawn`]: crate::Builder::spawn
    /// [`go!`]: crate::go!
    /// [`spawn`]: crate::spawn
    pub const fn max_goroutines(mut self, goroutines: usize) -> Self {
        self.max_goroutines = Some(goroutines);
        self
    }

    /// The most goroutines that may burn CPU on threads of their own at the same time.
    /// `CORIO_MAX_BURNERS`.
    ///
    /// From 0 to 1,000,000; the default is 64. A goroutine that computes for more than 10 ms while
    /// others wait loses its P and goes on beside them, on its thread alone. Beyond this number it
    /// keeps the P, and the others wait. With 0 no computation is ever interrupted; goroutines that
    /// *block* their thread are not limited by this.
    pub const fn max_burners(mut self, burners: usize) -> Self {
        self.max_burners = Some(burners);
        self
    }

    /// Prints a line about the scheduler on standard error at this interval; zero turns it off.
    /// `CORIO_SCHEDTRACE`, in milliseconds.
    ///
    /// Zero, or from 1 ms to a day; off by default. The line is that of
    /// [`Metrics::schedtrace`](crate::Metrics::schedtrace).
    #[doc(alias = "GODEBUG")]
    pub const fn schedtrace(mut self, interval: Duration) -> Self {
        self.schedtrace = Some(interval);
        self
    }

    /// When goroutines move to another thread. `CORIO_MIGRATE=never|always`.
    pub const fn migrate(mut self, migrate: Migrate) -> Self {
        self.migrate = Some(migrate);
        self
    }

    /// How the guards below the stacks are made. `CORIO_GUARD=auto|mprotect`.
    pub const fn guard(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// What happens when a goroutine panics. `CORIO_PANIC=isolate|abort`.
    pub const fn panic(mut self, policy: PanicPolicy) -> Self {
        self.panic = Some(policy);
        self
    }

    /// Whether the signal SIGQUIT (Ctrl-\ on a terminal) prints a [`dump`](crate::dump()) of all goroutines on
    /// standard error. `CORIO_DUMP=0|1`.
    ///
    /// Off by default: SIGQUIT then ends the process, as anywhere. If it is on the program goes on after the dump,
    /// while Go's ends. Of more than 1,000 goroutines those with equal stacks are shown together.
    #[doc(alias = "SIGQUIT")]
    #[doc(alias = "GOTRACEBACK")]
    pub const fn dump(mut self, on_sigquit: bool) -> Self {
        self.dump = Some(on_sigquit);
        self
    }

    /// Writes an execution trace of the whole program to this file, as [`trace::start`](crate::trace::start) does.
    /// `CORIO_TRACE`.
    ///
    /// It begins with the runtime and ends when [`run`](crate::run()) returns, when the process exits or when
    /// [`trace::stop`](crate::trace::stop) is called, whichever comes first. In the name, `%p` stands for the process's
    /// number: a process that another one starts with the same environment would write to the same file.
    pub fn trace(mut self, file: impl Into<PathBuf>) -> Self {
        self.trace = Some(file.into());
        self
    }

    /// The settings in force: what was given here, else what `env` says, else the default.
    ///
    /// `env` looks up a variable by name; [`process_env`] is the one for real use.
    pub(crate) fn resolve(
        self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let env = Environment(env);
        let schedtrace = env.schedtrace("schedtrace", self.schedtrace)?;
        Ok(Settings {
            procs: env.number("procs", self.procs, 1..=MAX_PROCS, cpus())?,
            stack_size: env.size("stack_size", self.stack_size, DEFAULT_STACK)?,
            max_threads: env.number(
                "max_threads",
                self.max_threads,
                1..=MAX_THREADS,
                DEFAULT_MAX_THREADS,
            )?,
            max_goroutines: env.number(
                "max_goroutines",
                self.max_goroutines,
                1..=MAX_GOROUTINES,
                MAX_GOROUTINES,
            )?,
            max_burners: env.number(
                "max_burners",
                self.max_burners,
                0..=MAX_THREADS,
                DEFAULT_MAX_BURNERS,
            )?,
            schedtrace: (!schedtrace.is_zero()).then_some(schedtrace),
            migrate: env.word(
                "migrate",
                self.migrate,
                &[("never", Migrate::Never), ("always", Migrate::Always)],
            )?,
            guard: env.word(
                "guard",
                self.guard,
                &[("auto", Guard::Auto), ("mprotect", Guard::Mprotect)],
            )?,
            panic: env.word(
                "panic",
                self.panic,
                &[
                    ("isolate", PanicPolicy::Isolate),
                    ("abort", PanicPolicy::Abort),
                ],
            )?,
            dump: env.word("dump", self.dump, &[("0", false), ("1", true)])?,
            trace: env.path("trace", self.trace)?,
        })
    }
}

/// The process's environment, for [`Config::resolve`]. A value that is not Unicode comes out with
/// replacement characters and so as a bad value, not as an absent one.
pub(crate) fn process_env(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The settings in force; every value lies within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) procs: usize,
    /// In bytes, as asked for: the size class rounds it up.
    pub(crate) stack_size: usize,
    pub(crate) max_threads: usize,
    pub(crate) max_goroutines: usize,
    pub(crate) max_burners: usize,
    /// `None`: no schedtrace.
    pub(crate) schedtrace: Option<Duration>,
    pub(crate) migrate: Migrate,
    pub(crate) guard: Guard,
    pub(crate) panic: PanicPolicy,
    pub(crate) dump: bool,
    /// `None`: no trace.
    pub(crate) trace: Option<PathBuf>,
}

fn cpus() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MAX_PROCS)
}

/// Where variables are looked up, and the rules by which one becomes a setting. The variable of the
/// field `procs` is `CORIO_PROCS`, and so on.
struct Environment<E>(E);

impl<E: Fn(&str) -> Option<String>> Environment<E> {
    /// The value given in code, else the variable's, else the default. `parse` reads the variable,
    /// `accepts` checks either, `expected` says what would have been accepted.
    fn pick<T: fmt::Debug>(
        &self,
        field: &str,
        given: Option<T>,
        default: T,
        parse: impl FnOnce(&str) -> Option<T>,
        accepts: impl FnOnce(&T) -> bool,
        expected: impl FnOnce() -> String,
    ) -> Result<T, ConfigError> {
        let (value, origin) = if let Some(value) = given {
            let origin = format!("Config::{field}({value:?})");
            (Some(value), origin)
        } else {
            let variable = format!("CORIO_{}", field.to_uppercase());
            match (self.0)(&variable) {
                Some(text) if !text.trim().is_empty() => {
                    (parse(text.trim()), format!("{variable}={text:?}"))
                }
                _ => return Ok(default),
            }
        };
        value
            .filter(accepts)
            .ok_or_else(|| ConfigError::bad(origin, expected()))
    }

    fn number(
        &self,
        field: &str,
        given: Option<usize>,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, ConfigError> {
        self.pick(
            field,
            given,
            default,
            |text| text.parse().ok(),
            |value| range.contains(value),
            || format!("a whole number from {} to {}", range.start(), range.end()),
        )
    }

    fn size(
        &self,
        field: &str,
        given: Option<usize>,
        default: usize,
    ) -> Result<usize, ConfigError> {
        self.pick(
            field,
            given,
            default,
            parse_size,
            |bytes| (MIN_STACK..=MAX_STACK).contains(bytes),
            || "a size in bytes from 16K to 1G, such as 65536, 256K or 2M".to_owned(),
        )
    }

    fn schedtrace(&self, field: &str, given: Option<Duration>) -> Result<Duration, ConfigError> {
        let (shortest, longest) = (
            Duration::from_millis(1),
            Duration::from_millis(MAX_TRACE_MS),
        );
        self.pick(
            field,
            given,
            Duration::ZERO,
            |text| text.parse().ok().map(Duration::from_millis),
            |interval| interval.is_zero() || (shortest..=longest).contains(interval),
            || format!("milliseconds, 0 (off) or a number from 1 to {MAX_TRACE_MS}"),
        )
    }

    fn path(&self, field: &str, given: Option<PathBuf>) -> Result<Option<PathBuf>, ConfigError> {
        self.pick(
            field,
            given.map(Some),
            None,
            |text| Some(Some(text.into())),
            |path| {
                path.as_ref()
                    .is_none_or(|path| !path.as_os_str().is_empty())
            },
            || "the name of a file".to_owned(),
        )
    }

    /// One of a few words, in any case.
    fn word<T: fmt::Debug + Default + Copy>(
        &self,
        field: &str,
        given: Option<T>,
        words: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let parse = |text: &str| {
            let found = words
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text));
            found.map(|(_, value)| *value)
        };
        let expected = || {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            words.join(" or ")
        };
        self.pick(field, given, T::default(), parse, |_| true, expected)
    }
}

/// Bytes from `65536`, `256K`, `2M` or `1G`; `None` if it is nothing of the kind or does not fit.
fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.trim_end().parse::<usize>().ok()?.checked_mul(unit)
}

/// Settings that can't be used, or that come too late.
///
/// Displayed, it names what was set, to which value, and what would have been accepted:
///
/// ```
/// let error = corio::Config::new().procs(0).init().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "Config::procs(0): expected a whole number from 1 to 1024",
/// );
/// assert!(!error.is_already_started());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// `origin` is what was set, as it would be written: `CORIO_PROCS="zero"`, `Config::procs(0)`.
    Bad {
        origin: String,
        expected: String,
    },
    AlreadyStarted,
}

impl ConfigError {
    fn bad(origin: String, expected: String) -> Self {
        ConfigError {
            kind: Kind::Bad { origin, expected },
        }
    }

    /// The file for a trace can't be made.
    pub(crate) fn trace(path: &Path, error: &io::Error) -> Self {
        ConfigError::bad(
            format!("Config::trace, CORIO_TRACE={path:?}"),
            format!("a file that can be written: {error}"),
        )
    }

    /// For `Config::init` on a runtime that runs.
    pub(crate) fn already_started() -> Self {
        ConfigError {
            kind: Kind::AlreadyStarted,
        }
    }

    /// The settings came too late: the runtime was running already, with its settings of then.
    ///
    /// It starts with the first goroutine, or the first blocking call, of any thread.
    pub fn is_already_started(&self) -> bool {
        self.kind == Kind::AlreadyStarted
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bad { origin, expected } => write!(f, "{origin}: expected {expected}"),
            Kind::AlreadyStarted => {
                f.write_str("Config::init: the runtime has started already; call it first in main")
            }
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests;
