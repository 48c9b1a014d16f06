//! Tells the peers which versions of themselves they are: from the lock file, since a crate does not
//! know the versions of those that it depends on. `async-channel` becomes `VERSION_async_channel`.

use std::{env, fs, io};

/// The crates whose versions are reported.
const CRATES: [&str; 11] = [
    "async-channel",
    "corio",
    "corosensei",
    "crossbeam-channel",
    "flume",
    "httparse",
    "hyper",
    "libc",
    "may",
    "may_minihttp",
    "tokio",
];

fn main() -> io::Result<()> {
    let lock = format!("{}/../../../Cargo.lock", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed={lock}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string(lock)?;
    for name in CRATES {
        let version = text
            .split("[[package]]")
            .find(|package| field(package, "name") == Some(name))
            .and_then(|package| field(package, "version"))
            .unwrap_or("unknown");
        let name = name.replace('-', "_");
        println!("cargo::rustc-env=VERSION_{name}={version}");
    }
    Ok(())
}

/// The value of a line `key = "value"`.
fn field<'a>(package: &'a str, key: &str) -> Option<&'a str> {
    package.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(" = ")?;
        value.strip_prefix('"')?.strip_suffix('"')
    })
}
