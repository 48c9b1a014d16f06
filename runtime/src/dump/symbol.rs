//! From addresses to functions, files and lines; and which of them are worth showing.
//!
//! Where a function belongs is told by its path, `corio::park::park`. With line tables only, as in this
//! workspace's release builds, inlined functions and those around them have no path: then it is told by the file.
//!
//! The `backtrace` crate reads the program's debug information, once per process; so the first dump of a big
//! program takes a while. It takes a lock of its own, and memory; nothing of ours is held meanwhile.

use super::{Frame, Stack};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// This file, below the directory of the runtime's sources.
const HERE: &str = "dump/symbol.rs";
/// Crates whose functions are the runtime's, or are called on its behalf.
const LIBRARIES: [&str; 6] = ["corio", "corio_net", "corosensei", "core", "std", "alloc"];
/// Beginnings of functions between the bottom of a stack and the goroutine's closure.
const ROOTS: [&str; 7] = [
    "corio::coroutine::",
    "corio::sched::",
    "corio::task::",
    "corosensei::",
    "core::",
    "std::",
    "alloc::",
];
/// The same, of those that belong to no crate.
const TRAMPOLINES: [&str; 4] = [
    "stack_init_trampoline",
    "stack_call_trampoline",
    "__rust_try",
    "__rust_begin_short_backtrace",
];

/// The functions at the addresses that one dump has seen, each looked up once.
#[derive(Default)]
pub(super) struct Symbols {
    known: HashMap<usize, Vec<Frame>>,
    files: HashSet<Arc<str>>,
    here: Option<PathBuf>,
    /// The directory of the runtime's sources, as the debug information calls it, with a slash at its end.
    sources: Option<String>,
}

impl Symbols {
    pub(super) fn new() -> Symbols {
        let mut symbols = Symbols::default();
        // This function's own file, before paths are shortened.
        let known = symbols.resolve(Symbols::new as fn() -> Symbols as usize + 1);
        let mut files = known.iter().filter_map(Frame::file);
        symbols.sources = files.find_map(|file| Some(file.strip_suffix(HERE)?.to_owned()));
        symbols.files.clear();
        symbols.here = std::env::current_dir().ok();
        symbols
    }

    /// The stack with these addresses. `cut`: there would have been more.
    pub(super) fn stack(&mut self, addresses: &[usize], cut: bool) -> Stack {
        let mut frames = Vec::new();
        for &address in addresses {
            if !self.known.contains_key(&address) {
                let found = self.resolve(address);
                self.known.insert(address, found);
            }
            frames.extend(self.known[&address].iter().cloned());
        }
        let places: Vec<String> = frames.iter().map(|frame| self.place(frame)).collect();
        let shown = shown(&places);
        Stack { frames, shown, cut }
    }

    /// The function's path, made up from its file if it has none.
    fn place(&self, frame: &Frame) -> String {
        let name = frame.function().unwrap_or("");
        if path(name).contains("::") {
            return path(name).to_owned();
        }
        let module = frame.file().and_then(|file| {
            let file = match &self.here {
                Some(here) => here.join(file).to_string_lossy().into_owned(),
                None => file.to_owned(),
            };
            module_of(&file, self.sources.as_deref())
        });
        module.unwrap_or_else(|| name.to_owned())
    }

    /// The function at an address, behind those that were inlined into it.
    fn resolve(&mut self, address: usize) -> Vec<Frame> {
        let mut found = Vec::new();
        let (files, here) = (&mut self.files, &self.here);
        backtrace::resolve(address as *mut _, |symbol| {
            // `#` leaves the hash out.
            let function = symbol.name().map(|name| format!("{name:#}").into());
            let file = symbol.filename().map(|path| {
                let short = here.as_ref().and_then(|here| path.strip_prefix(here).ok());
                let text = short.unwrap_or(path).to_string_lossy();
                match files.get(&*text) {
                    Some(known) => Arc::clone(known),
                    None => {
                        let file: Arc<str> = text.into();
                        files.insert(Arc::clone(&file));
                        file
                    }
                }
            });
            found.push(Frame {
                function,
                file,
                line: symbol.lineno(),
                address,
            });
        });
        if found.is_empty() {
            found.push(Frame {
                function: None,
                file: None,
                line: None,
                address,
            });
        }
        found
    }
}

/// The module that a file holds, if it is the runtime's or of a library that it needs. `sources` is where the
/// runtime's are.
fn module_of(file: &str, sources: Option<&str>) -> Option<String> {
    let module = |krate: &str, file: &str| {
        let file = file.strip_suffix(".rs").unwrap_or(file);
        format!("{krate}::{}::", file.replace('/', "::"))
    };
    for krate in ["core", "std", "alloc"] {
        if let Some((_, file)) = file.split_once(&format!("/library/{krate}/src/")) {
            return Some(module(krate, file));
        }
    }
    if file.contains("/corosensei-") {
        return Some(module("corosensei", ""));
    }
    let sources = sources?;
    if let Some(file) = file.strip_prefix(sources) {
        return Some(module("corio", file));
    }
    // Next to the runtime, in the workspace or in the registry, is the directory of corio-net.
    let (above, name) = sources.strip_suffix("/src/")?.rsplit_once('/')?;
    let (directory, file) = file
        .strip_prefix(above)?
        .strip_prefix('/')?
        .split_once("/src/")?;
    let is_net = match name {
        "runtime" => directory == "net",
        _ => directory.starts_with("corio-net-"),
    };
    is_net.then(|| module("corio_net", file))
}

/// Which of these functions, the innermost first, are worth showing: from the runtime's function that was
/// called, or the user's innermost one, up to the goroutine's closure.
fn shown<S: AsRef<str>>(places: &[S]) -> Range<usize> {
    let names: Vec<&str> = places.iter().map(AsRef::as_ref).collect();
    let is_root = |name: &&str| {
        TRAMPOLINES.contains(name) || ROOTS.iter().any(|root| path(name).starts_with(root))
    };
    let end = names.len() - names.iter().rev().take_while(|name| is_root(name)).count();
    // A stack of the runtime's functions alone.
    let end = if end == 0 { names.len() } else { end };
    let inner = names[..end].iter().take_while(|name| is_library(name));
    let start = inner
        .enumerate()
        .filter(|(_, name)| matches!(krate(name), "corio" | "corio_net"))
        .map(|(at, _)| at)
        .last();
    start.unwrap_or(0)..end
}

fn is_library(name: &str) -> bool {
    LIBRARIES.contains(&krate(name))
}

/// The crate that a function or its type is in.
fn krate(name: &str) -> &str {
    path(name).split("::").next().unwrap_or("")
}

/// The first path in a name, which is that of the type for a function of a trait, without what it is generic over.
fn path(name: &str) -> &str {
    let mut name = name;
    for noise in ["<", "&", "mut ", "dyn ", "[", "*const ", "*mut "]
        .iter()
        .cycle()
        .take(21)
    {
        name = name.strip_prefix(noise).unwrap_or(name);
    }
    name.split(['<', '>', '(', ' ']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_crates() {
        assert_eq!(krate("corio::park::park"), "corio");
        assert_eq!(
            krate("<corio_net::tcp::TcpStream as std::io::Read>::read"),
            "corio_net"
        );
        assert_eq!(krate("<&mut user::T as core::fmt::Debug>::fmt"), "user");
        assert_eq!(krate("<&mut [user::T]>::x"), "user");
        assert_eq!(
            krate("core::ops::function::FnOnce<(user::T,)>::call_once"),
            "core"
        );
        assert_eq!(krate("do_call<user::main::{closure_env#0}, ()>"), "do_call");
        assert_eq!(krate("main"), "main");
        assert_eq!(krate(""), "");
        assert_eq!(krate("corio_examples::run"), "corio_examples");
    }

    #[test]
    fn the_runtimes_functions_are_left_out_but_for_the_one_that_was_called() {
        let names = [
            "corio::coroutine::Fiber<X>::suspend",
            "corio::park::park",
            "<corio_net::tcp::TcpStream as std::io::Read>::read",
            "std::io::default_read_exact",
            "user::read",
            "core::iter::Iterator::for_each",
            "corio::sync::Once::call_once",
            "user::work::{{closure}}",
            "corio::task::go::call",
            "__rust_try",
            "corio::sched::schedule::main",
            "corio::coroutine::",
            "corosensei::coroutine::coroutine_func",
            "stack_init_trampoline",
        ];
        assert_eq!(shown(&names), 2..8);
        // Nobody's but the runtime's.
        assert_eq!(
            shown(&["corio::park::park", "corio::park::park_user", "core::f"]),
            1..2
        );
        assert_eq!(shown(&["corio::sched::main", "core::f"]), 0..2);
        // Not in the runtime, and not known.
        assert_eq!(shown(&["", "user::f", "corio::task::go"]), 0..2);
        assert_eq!(shown(&["nanosleep", "std::thread::sleep", "user::f"]), 0..3);
        assert_eq!(shown::<&str>(&[]), 0..0);
    }

    #[test]
    fn files_lead_to_modules() {
        let of = |file, sources| module_of(file, Some(sources));
        let workspace = "/home/me/corio/runtime/src/";
        assert_eq!(
            of("/home/me/corio/runtime/src/task/go.rs", workspace).as_deref(),
            Some("corio::task::go::")
        );
        assert_eq!(
            of("/home/me/corio/net/src/tcp/mod.rs", workspace).as_deref(),
            Some("corio_net::tcp::mod::")
        );
        assert_eq!(of("/home/me/corio/tests/tests/dump.rs", workspace), None);
        assert_eq!(of("/home/me/other/net/src/tcp.rs", workspace), None);
        let registry = "/home/me/.cargo/registry/src/x/corio-0.1.0/src/";
        assert_eq!(
            of(
                "/home/me/.cargo/registry/src/x/corio-net-0.1.0/src/udp.rs",
                registry
            )
            .as_deref(),
            Some("corio_net::udp::")
        );
        assert_eq!(
            of(
                "/home/me/.cargo/registry/src/x/rand-0.9.0/src/lib.rs",
                registry
            ),
            None
        );
        assert_eq!(
            of("/rustc/5980/library/core/src/ops/function.rs", registry).as_deref(),
            Some("core::ops::function::")
        );
        assert_eq!(module_of("src/main.rs", None), None);
    }

    #[test]
    fn the_runtime_knows_its_own_sources() {
        let sources = Symbols::new()
            .sources
            .expect("tests have debug information");
        assert!(sources.ends_with("/runtime/src/"), "{sources}");
    }

    #[test]
    fn an_address_of_nothing_stays_an_address() {
        let mut symbols = Symbols::new();
        let stack = symbols.stack(&[1], false);
        assert_eq!(stack.frames.len(), 1);
        assert_eq!(stack.frames[0].function(), None);
        assert_eq!(stack.frames[0].address(), 1);
    }
}
