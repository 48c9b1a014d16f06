//! From code and environment to settings, and what bad values say.

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
            dump: false,
            trace: None,
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
            ("CORIO_DUMP", "1"),
            ("CORIO_TRACE", "a b.json"),
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
            dump: true,
            trace: Some("a b.json".into()),
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
        .dump(true)
        .resolve(|_| Some("rubbish".to_owned()))
        .unwrap();
    assert_eq!((settings.procs, settings.stack_size), (2, 524_288));
    assert_eq!((settings.max_threads, settings.max_goroutines), (5, 6));
    assert_eq!((settings.max_burners, settings.schedtrace), (1, None));
    assert!(settings.dump);
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
    assert_eq!(
        rejected(&[("CORIO_DUMP", "2")]),
        "CORIO_DUMP=\"2\": expected 0 or 1"
    );
}

#[test]
fn numbers_out_of_range_or_shape_are_rejected() {
    for procs in [
        "0",
        "1025",
        "-1",
        "1.5",
        "1e3",
        "99999999999999999999",
        "2 3",
    ] {
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
    assert!(message(Config::new().schedtrace(Duration::MAX)).starts_with("Config::schedtrace("));
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
