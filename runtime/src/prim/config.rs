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
//! `Config::init`, which starts the runtime, stands in `task`, because starting is no business of the
//! lowest layer.

use std::error::Error;
use std::fmt;
use std::num::NonZero;
use std::ops::RangeInclusive;
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
/// | [`panic`](Config::panic) | `CORIO_PANIC` | `isolate`, `abort` | `isolate` |
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

    /// The settings in force: what was given here, else what `env` says, else the default.
    ///
    /// `env` looks up a variable by name; [`process_env`] is the one for real use.
    pub(crate) fn resolve(
        self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let env = |name| env(name).filter(|value| !value.trim().is_empty());
        let number = |field, given, name, range: RangeInclusive<usize>, default: usize| {
            let expected = || format!("a whole number from {} to {}", range.start(), range.end());
            let (value, origin) = match (given, env(name)) {
                (Some(given), _) => (Some(given), Origin::field(field, given)),
                (None, Some(text)) => (text.trim().parse().ok(), Origin::variable(name, text)),
                (None, None) => return Ok(default),
            };
            value
                .filter(|value| range.contains(value))
                .ok_or_else(|| ConfigError::bad(origin, expected()))
        };
        Ok(Settings {
            procs: number("procs", self.procs, "CORIO_PROCS", 1..=MAX_PROCS, cpus())?,
            stack_size: stack_size(self.stack_size, env("CORIO_STACK_SIZE"))?,
            max_threads: number(
                "max_threads",
                self.max_threads,
                "CORIO_MAX_THREADS",
                1..=MAX_THREADS,
                DEFAULT_MAX_THREADS,
            )?,
            max_goroutines: number(
                "max_goroutines",
                self.max_goroutines,
                "CORIO_MAX_GOROUTINES",
                1..=MAX_GOROUTINES,
                MAX_GOROUTINES,
            )?,
            max_burners: number(
                "max_burners",
                self.max_burners,
                "CORIO_MAX_BURNERS",
                0..=MAX_THREADS,
                DEFAULT_MAX_BURNERS,
            )?,
            schedtrace: schedtrace(self.schedtrace, env("CORIO_SCHEDTRACE"))?,
            migrate: choice(
                self.migrate,
                "CORIO_MIGRATE",
                env("CORIO_MIGRATE"),
                [("never", Migrate::Never), ("always", Migrate::Always)],
            )?,
            guard: choice(
                self.guard,
                "CORIO_GUARD",
                env("CORIO_GUARD"),
                [("auto", Guard::Auto), ("mprotect", Guard::Mprotect)],
            )?,
            panic: choice(
                self.panic,
                "CORIO_PANIC",
                env("CORIO_PANIC"),
                [
                    ("isolate", PanicPolicy::Isolate),
                    ("abort", PanicPolicy::Abort),
                ],
            )?,
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
}

fn cpus() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MAX_PROCS)
}

fn stack_size(given: Option<usize>, text: Option<String>) -> Result<usize, ConfigError> {
    let (bytes, origin) = match (given, text) {
        (Some(given), _) => (Some(given), Origin::field("stack_size", given)),
        (None, Some(text)) => (
            parse_size(&text),
            Origin::variable("CORIO_STACK_SIZE", text),
        ),
        (None, None) => return Ok(DEFAULT_STACK),
    };
    bytes
        .filter(|bytes| (MIN_STACK..=MAX_STACK).contains(bytes))
        .ok_or_else(|| {
            let expected = "a size in bytes from 16K to 1G, such as 65536, 256K or 2M";
            ConfigError::bad(origin, expected.to_owned())
        })
}

fn schedtrace(
    given: Option<Duration>,
    text: Option<String>,
) -> Result<Option<Duration>, ConfigError> {
    let longest = Duration::from_millis(MAX_TRACE_MS);
    let bad = |origin| {
        let expected = format!("milliseconds, 0 (off) or a number from 1 to {MAX_TRACE_MS}");
        ConfigError::bad(origin, expected)
    };
    let interval = match (given, text) {
        (Some(given), _) if given > longest => {
            return Err(bad(Origin::field("schedtrace", format_args!("{given:?}"))));
        }
        (Some(given), _) if !given.is_zero() && given < Duration::from_millis(1) => {
            return Err(bad(Origin::field("schedtrace", format_args!("{given:?}"))));
        }
        (Some(given), _) => given,
        (None, Some(text)) => match text.trim().parse() {
            Ok(ms) if ms <= MAX_TRACE_MS => Duration::from_millis(ms),
            _ => return Err(bad(Origin::variable("CORIO_SCHEDTRACE", text))),
        },
        (None, None) => Duration::ZERO,
    };
    Ok((!interval.is_zero()).then_some(interval))
}

/// One of a few words, in any case. The first is listed first in the error, too.
fn choice<T: Default + Copy, const N: usize>(
    given: Option<T>,
    name: &'static str,
    text: Option<String>,
    words: [(&str, T); N],
) -> Result<T, ConfigError> {
    let text = match (given, text) {
        (Some(given), _) => return Ok(given),
        (None, None) => return Ok(T::default()),
        (None, Some(text)) => text,
    };
    let found = words
        .iter()
        .find(|(word, _)| text.trim().eq_ignore_ascii_case(word));
    match found {
        Some((_, value)) => Ok(*value),
        None => {
            let expected = words.map(|(word, _)| word).join(" or ");
            Err(ConfigError::bad(Origin::variable(name, text), expected))
        }
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
    Bad { origin: Origin, expected: String },
    AlreadyStarted,
}

/// Where a value came from: `CORIO_PROCS="zero"` or `Config::procs(0)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin(String);

impl Origin {
    fn variable(name: &str, value: String) -> Origin {
        Origin(format!("{name}={value:?}"))
    }

    fn field(name: &str, value: impl fmt::Display) -> Origin {
        Origin(format!("Config::{name}({value})"))
    }
}

impl ConfigError {
    fn bad(origin: Origin, expected: String) -> Self {
        let kind = Kind::Bad { origin, expected };
        ConfigError { kind }
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
            Kind::Bad { origin, expected } => write!(f, "{}: expected {expected}", origin.0),
            Kind::AlreadyStarted => {
                f.write_str("Config::init: the runtime has started already; call it first in main")
            }
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    fn rejected(pairs: &[(&str, &str)]) -> String {
        Config::new().resolve(env(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn nothing_said_gives_the_defaults() {
        let settings = Config::new().resolve(env(&[])).unwrap();
        assert_eq!(
            settings,
            Settings {
                procs: cpus(),
                stack_size: 262_144,
                max_threads: 10_000,
                max_goroutines: u32::MAX as usize,
                max_burners: 64,
                schedtrace: None,
                migrate: Migrate::Never,
                guard: Guard::Auto,
                panic: PanicPolicy::Isolate,
            }
        );
    }

    #[test]
    fn every_setting_can_come_from_the_environment() {
        let settings = Config::new()
            .resolve(env(&[
                ("CORIO_PROCS", " 3 "),
                ("CORIO_STACK_SIZE", "64k"),
                ("CORIO_MAX_THREADS", "7"),
                ("CORIO_MAX_GOROUTINES", "1000"),
                ("CORIO_MAX_BURNERS", "0"),
                ("CORIO_SCHEDTRACE", "1500"),
                ("CORIO_MIGRATE", "always"),
                ("CORIO_GUARD", "mprotect"),
                ("CORIO_PANIC", "ABORT"),
            ]))
            .unwrap();
        assert_eq!(
            settings,
            Settings {
                procs: 3,
                stack_size: 65_536,
                max_threads: 7,
                max_goroutines: 1000,
                max_burners: 0,
                schedtrace: Some(Duration::from_millis(1500)),
                migrate: Migrate::Always,
                guard: Guard::Mprotect,
                panic: PanicPolicy::Abort,
            }
        );
    }

    #[test]
    fn a_value_in_code_beats_the_environment_even_a_bad_one() {
        let settings = Config::new()
            .procs(2)
            .stack_size(512 * 1024)
            .max_threads(5)
            .max_goroutines(6)
            .max_burners(1)
            .schedtrace(Duration::ZERO)
            .migrate(Migrate::Never)
            .guard(Guard::Auto)
            .panic(PanicPolicy::Isolate)
            .resolve(|_| Some("rubbish".to_owned()))
            .unwrap();
        assert_eq!((settings.procs, settings.stack_size), (2, 524_288));
        assert_eq!((settings.max_threads, settings.max_goroutines), (5, 6));
        assert_eq!((settings.max_burners, settings.schedtrace), (1, None));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let settings = Config::new().resolve(|_| Some(" ".to_owned())).unwrap();
        assert_eq!(settings, Config::new().resolve(env(&[])).unwrap());
    }

    #[test]
    fn a_bad_variable_is_named_with_value_and_range() {
        assert_eq!(
            rejected(&[("CORIO_PROCS", "zero")]),
            "CORIO_PROCS=\"zero\": expected a whole number from 1 to 1024"
        );
        assert_eq!(
            rejected(&[("CORIO_MAX_THREADS", "0")]),
            "CORIO_MAX_THREADS=\"0\": expected a whole number from 1 to 1000000"
        );
        assert_eq!(
            rejected(&[("CORIO_STACK_SIZE", "15K")]),
            "CORIO_STACK_SIZE=\"15K\": expected a size in bytes from 16K to 1G, such as 65536, 256K \
             or 2M"
        );
        assert_eq!(
            rejected(&[("CORIO_SCHEDTRACE", "1s")]),
            "CORIO_SCHEDTRACE=\"1s\": expected milliseconds, 0 (off) or a number from 1 to 86400000"
        );
        assert_eq!(
            rejected(&[("CORIO_MIGRATE", "sometimes")]),
            "CORIO_MIGRATE=\"sometimes\": expected never or always"
        );
        assert_eq!(
            rejected(&[("CORIO_GUARD", "none")]),
            "CORIO_GUARD=\"none\": expected auto or mprotect"
        );
        assert_eq!(
            rejected(&[("CORIO_PANIC", "ignore")]),
            "CORIO_PANIC=\"ignore\": expected isolate or abort"
        );
    }

    #[test]
    fn numbers_out_of_range_or_shape_are_rejected() {
        for procs in ["0", "1025", "-1", "1.5", "1e3", "99999999999999999999", "2 3"] {
            assert!(rejected(&[("CORIO_PROCS", procs)]).contains("from 1 to 1024"));
        }
        assert!(!rejected(&[("CORIO_MAX_GOROUTINES", "4294967296")]).is_empty());
        assert!(!rejected(&[("CORIO_MAX_BURNERS", "1000001")]).is_empty());
        assert!(!rejected(&[("CORIO_SCHEDTRACE", "86400001")]).is_empty());
        for ok in ["1", "1024", "+8"] {
            assert!(Config::new().resolve(env(&[("CORIO_PROCS", ok)])).is_ok());
        }
    }

    #[test]
    fn a_bad_value_in_code_is_named_as_the_call() {
        let message = |config: Config| config.resolve(env(&[])).unwrap_err().to_string();
        assert_eq!(
            message(Config::new().procs(1025)),
            "Config::procs(1025): expected a whole number from 1 to 1024"
        );
        assert!(message(Config::new().stack_size(100)).starts_with("Config::stack_size(100): "));
        assert!(
            message(Config::new().schedtrace(Duration::from_micros(1)))
                .starts_with("Config::schedtrace(1µs): expected milliseconds")
        );
        assert!(
            message(Config::new().schedtrace(Duration::MAX)).starts_with("Config::schedtrace(")
        );
        assert!(message(Config::new().max_goroutines(0)).contains("from 1 to 4294967295"));
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_size("65536"), Some(65_536));
        assert_eq!(parse_size("256K"), Some(262_144));
        assert_eq!(parse_size("2 m"), Some(2 << 20));
        assert_eq!(parse_size("1G"), Some(1 << 30));
        for bad in ["", "K", "1KB", "1T", "0x10", "99999999999G", "é"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn coming_too_late_is_told_apart() {
        let error = ConfigError::already_started();
        assert!(error.is_already_started());
        assert!(error.to_string().contains("started already"));
    }
}
