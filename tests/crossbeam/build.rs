//! Finds crossbeam-channel's test suite and makes this package's test targets of it.
//!
//! Which rewrites are made, and why, stands in `lib.rs`. A rewrite that finds less than it expects is an
//! error, so that a test can't go missing, nor run on threads where goroutines were meant.
//!
//! Nothing of the suite's text is in our repository: `cargo metadata` tells where the package lies, which
//! cargo has unpacked because it is a dependency. For each target a file of `mod` items is written that
//! name the rewritten files by their absolute paths (the files start with inner attributes, so they can't
//! be `include!`d themselves).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "crossbeam-channel";
const VERSION: &str = "0.5.17";

/// The suite's files, and how many tests each has.
const FILES: &[(&str, usize)] = &[
    ("after", 14),
    ("array", 27),
    ("golang", 26),
    ("iter", 5),
    ("list", 26),
    ("mpsc", 127),
    ("never", 7),
    ("ready", 24),
    ("same_channel", 7),
    ("select", 32),
    ("select_macro", 59),
    ("thread_locals", 1),
    ("tick", 14),
    ("zero", 22),
];

/// What both forms change.
const CHANNEL: (&str, &str) = ("crossbeam_channel", "corio::channel");

/// What the form on goroutines changes in `use` lines.
const USES: &[(&str, &str)] = &[
    ("use std::thread;", "use corio_crossbeam_suite as thread;"),
    (
        "use std::thread::JoinHandle;",
        "use corio_crossbeam_suite::JoinHandle;",
    ),
    (
        "use std::sync::{Arc, Condvar, Mutex};",
        "use corio_crossbeam_suite::{Condvar, Mutex}; use std::sync::Arc;",
    ),
    (
        "use crossbeam_utils::thread::scope;",
        "use corio_crossbeam_suite::scope;",
    ),
    (
        "use rand::{thread_rng, Rng};",
        "use corio_crossbeam_suite::thread_rng; use rand::Rng;",
    ),
];

/// What it changes anywhere.
const PATHS: &[(&str, &str)] = &[
    ("::std::thread::spawn(", "::corio_crossbeam_suite::spawn("),
    ("thread_local! {", "corio::goroutine_local! {"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CORIO_SUITE_ORIGINAL");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let suite = package().join("tests");
    check_files(&suite);
    // For telling a fault of ours from one of the suite, or of a machine too slow for it.
    let channel = match env::var_os("CORIO_SUITE_ORIGINAL") {
        Some(_) => (CHANNEL.0, CHANNEL.0),
        None => CHANNEL,
    };
    for form in ["threads", "goroutines"] {
        let folder = out.join(form);
        fs::create_dir_all(&folder).expect("OUT_DIR can be written to");
        let (mut most, mut golang) = (String::new(), String::new());
        for &(file, tests) in FILES {
            let text = fs::read_to_string(suite.join(file).with_extension("rs"))
                .expect("listed, so it can be read");
            let mut text = rewrite_channel(&text, channel);
            assert_eq!(count(&text, "#[test]"), tests, "tests in {file}.rs");
            if form == "goroutines" {
                text = rewrite_uses(&text);
                text = rewrite_tests(file, &text, tests);
            }
            let path = folder.join(file).with_extension("rs");
            fs::write(&path, text).expect("OUT_DIR can be written to");
            let list = if file == "golang" {
                &mut golang
            } else {
                &mut most
            };
            list.push_str(&format!("#[path = {path:?}]\nmod {file};\n"));
        }
        for (name, list) in [(form.to_owned(), most), (format!("golang_{form}"), golang)] {
            fs::write(out.join(name).with_extension("rs"), list)
                .expect("OUT_DIR can be written to");
        }
    }
}

/// Where cargo has unpacked the package.
fn package() -> PathBuf {
    // Without the network first: the package is a dependency, so it is here. Only then with it, because
    // cargo may want the manifests of packages that this build does not use.
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[]));
    let metadata = metadata.unwrap_or_else(|error| {
        panic!(
            "can't find the source of {NAME} {VERSION}, whose tests are run here: `cargo metadata` \
             says: {error}\nRun `cargo fetch` with a network, or leave this package out with \
             `--exclude {}`.",
            env::var("CARGO_PKG_NAME").unwrap_or_default()
        )
    });
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == NAME && package["version"] == VERSION)
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .unwrap_or_else(|| {
            panic!("{NAME} {VERSION} is not among the dependencies: Cargo.toml and build.rs differ")
        })
        .to_owned()
}

fn metadata(more: &[&str]) -> Result<serde_json::Value, String> {
    let env = |name| env::var_os(name).expect("cargo sets it");
    let output = Command::new(env("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--manifest-path")
        .arg(Path::new(&env("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--filter-platform")
        .arg(env("TARGET"))
        .args(more)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The suite is what this program was written for.
fn check_files(suite: &Path) {
    let found = fs::read_dir(suite).unwrap_or_else(|error| {
        panic!(
            "{}: {error}\nThe package is there without its tests. Remove this folder of cargo's (or \
             whatever `[source]` in cargo's configuration stands in for the registry) and run \
             `cargo fetch`.",
            suite.display()
        )
    });
    let mut found: Vec<String> = found
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    let known: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, known, "the files in {}", suite.display());
}

fn count(text: &str, what: &str) -> usize {
    text.lines().filter(|line| line.trim() == what).count()
}

fn is_use(line: &str) -> bool {
    line.trim_start().starts_with("use ")
}

/// Replaces the crate's name in `use` lines.
fn rewrite_channel(text: &str, (from, to): (&str, &str)) -> String {
    lines(text, |line| match is_use(line) {
        true => line.replace(from, to),
        false => line.to_owned(),
    })
}

/// Replaces threads by goroutines.
fn rewrite_uses(text: &str) -> String {
    lines(text, |line| {
        let used = USES.iter().find(|(from, _)| line.trim() == *from);
        let text = match used {
            Some((from, to)) => line.replace(from, to),
            None => PATHS
                .iter()
                .fold(line.to_owned(), |line, (from, to)| line.replace(from, to)),
        };
        let code = text.split("//").next().unwrap_or_default();
        let left = code.replace("std::thread::panicking()", "");
        assert!(
            !["std::thread", "crossbeam_utils", "thread_local!"]
                .iter()
                .any(|it| left.contains(it)),
            "still on threads: {line}"
        );
        text
    })
}

/// Lets every test's body run on a goroutine.
///
/// The suite is formatted by rustfmt, so a function ends with the first `}` as far to the right as its
/// `fn`.
fn rewrite_tests(file: &str, text: &str, tests: usize) -> String {
    let run = match file {
        "golang" => "on_goroutine_alone",
        _ => "on_goroutine",
    };
    let (mut is_test, mut end, mut done) = (false, None, 0);
    let text = lines(text, |line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        match &end {
            Some(last) if line == *last => {
                end = None;
                done += 1;
                return format!("{indent}}}) }}");
            }
            Some(_) => {}
            None if line.trim() == "#[test]" => is_test = true,
            None if is_test && line.trim_start().starts_with("fn ") => {
                assert!(line.ends_with("() {"), "{file}.rs: not as expected: {line}");
                is_test = false;
                end = Some(format!("{indent}}}"));
                return format!("{line} corio_crossbeam_suite::{run}(|| {{");
            }
            None => {}
        }
        line.to_owned()
    });
    assert_eq!(done, tests, "tests rewritten in {file}.rs");
    text
}

fn lines(text: &str, change: impl FnMut(&str) -> String) -> String {
    let lines: Vec<String> = text.lines().map(change).collect();
    lines.join("\n") + "\n"
}
