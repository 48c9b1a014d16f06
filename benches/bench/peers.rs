//! Finding and building the programs of the peers.
//!
//! The Rust peers are binaries of the package `corio-bench-peers`, built by cargo with the profile
//! of the workspace; if one does not build, the others are built without it. The Go peer is built
//! by `go build` when `go` is on the path. A peer that is not there is passed over with a line that
//! says why and what to do about it; it is never an error, because half of a comparison is better
//! than none.

use std::collections::HashMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::which;

const RUST: &[&str] = &["corio", "tokio", "may", "std", "raw", "corosensei"];

/// How Go is installed, for those who do not have it.
const NO_GO: &str = "go: passed over, there is no `go` on the PATH; it is in your distribution \
                     (golang-go) and at https://go.dev/dl/";

/// A peer that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// Somebody's own, so it is asked for every workload.
    pub(crate) own: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) peers: Vec<Peer>,
    /// A line for each peer that is not there.
    pub(crate) missing: Vec<String>,
}

/// How peers are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search<'a> {
    pub(crate) names: &'a [String],
    /// Names and programs of peers of one's own.
    pub(crate) own: &'a [(String, String)],
    /// Nothing is built; the programs are here.
    pub(crate) dir: Option<&'a Path>,
    /// Built so that perf can follow frame pointers, in a directory of its own.
    pub(crate) frame_pointers: bool,
}

/// The root of the repository that this program was built in.
pub(crate) fn root() -> PathBuf {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    benches.parent().unwrap_or(benches).to_owned()
}

/// Finds and builds.
pub(crate) fn find(search: &Search<'_>) -> io::Result<Found> {
    let mut found = Found::default();
    let mut programs = HashMap::new();
    if search.dir.is_none() {
        let wanted: Vec<&str> = RUST
            .iter()
            .copied()
            .filter(|name| search.names.iter().any(|n| n == name))
            .collect();
        programs = build_rust(&wanted, search.frame_pointers)?;
    }
    for name in search.names {
        let program = match (search.dir, name.as_str()) {
            (Some(dir), _) => in_directory(dir, name),
            (None, "go") => build_go(),
            (None, name) if RUST.contains(&name) => programs
                .remove(name)
                .ok_or_else(|| format!("{name}: passed over, it does not build (see above)")),
            (None, name) => Err(format!("{name}: passed over, there is no such peer")),
        };
        match program {
            Ok(program) => found.peers.push(Peer {
                name: name.clone(),
                program,
                own: false,
            }),
            Err(why) => found.missing.push(why),
        }
    }
    for (name, program) in search.own {
        found.peers.push(Peer {
            name: name.clone(),
            program: program.into(),
            own: true,
        });
    }
    if found.peers.is_empty() {
        return Err(io::Error::other(format!(
            "no peers: {}",
            found.missing.join("; ")
        )));
    }
    Ok(found)
}

fn in_directory(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let program = dir.join(format!("peer-{name}"));
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!(
            "{name}: passed over, there is no {}",
            program.display()
        ))
    }
}

fn build_rust(names: &[&str], frame_pointers: bool) -> io::Result<HashMap<String, PathBuf>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    eprintln!("building {}", names.join(", "));
    let built = cargo(names, frame_pointers)?;
    if built.len() == names.len() || names.len() == 1 {
        return Ok(built);
    }
    // One of them is in the way of the others.
    let mut built = HashMap::new();
    for name in names {
        built.extend(cargo(&[name], frame_pointers)?);
    }
    Ok(built)
}

fn cargo(names: &[&str], frame_pointers: bool) -> io::Result<HashMap<String, PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root())
        .args(["build", "--release", "--package", "corio-bench-peers"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if frame_pointers {
        command.env("RUSTFLAGS", "-C force-frame-pointers=yes");
        command
            .arg("--target-dir")
            .arg(directory()?.join("frame-pointers"));
    }
    for name in names {
        command.args(["--bin", &format!("peer-{name}")]);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(if output.status.success() {
        executables(&text)
    } else {
        HashMap::new()
    })
}

/// The programs in cargo's messages, by the names of the peers.
fn executables(messages: &str) -> HashMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| {
            let program = PathBuf::from(message["executable"].as_str()?);
            let name = program
                .file_name()?
                .to_str()?
                .strip_prefix("peer-")?
                .to_owned();
            Some((name, program))
        })
        .collect()
}

/// Where this program is, and what it builds beside it.
fn directory() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.parent().unwrap_or(Path::new(".")).to_owned())
}

fn build_go() -> Result<PathBuf, String> {
    let go = which("go").ok_or(NO_GO)?;
    let program = directory()
        .map_err(|error| format!("go: passed over, {error}"))?
        .join("peer-go");
    eprintln!("building go");
    let status = Command::new(go)
        .current_dir(root().join("benches/peers/go"))
        .args(["build", "-trimpath", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(program),
        Ok(status) => Err(format!("go: passed over, `go build` ended with {status}")),
        Err(error) => Err(format!("go: passed over, `go build`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","executable":"/x/release/peer-may"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/x/release/other"}"#,
        );
        let found = executables(messages);
        assert_eq!(found.len(), 1);
        assert_eq!(found["may"], Path::new("/x/release/peer-may"));
    }

    #[test]
    fn missing_peers_have_a_line_each() {
        let names = ["nobody".to_owned()];
        let own = [("mine".to_owned(), "/bin/true".to_owned())];
        let found = find(&Search {
            names: &names,
            own: &own,
            ..Search::default()
        })
        .unwrap();
        assert_eq!(found.missing.len(), 1);
        assert!(found.peers[0].own && found.peers[0].name == "mine");
        assert!(
            find(&Search {
                names: &names,
                ..Search::default()
            })
            .is_err()
        );
    }
}
