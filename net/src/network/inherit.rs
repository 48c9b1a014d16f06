//! Listening sockets that a process is started with: systemd's protocol (`sd_listen_fds`), from both
//! sides, [`listeners`] and [`pass`].
//!
//! The parent opens the sockets and leaves them to the child as descriptors 3, 4, and so on. The
//! environment says how many they are (`LISTEN_FDS`), what they are called (`LISTEN_FDNAMES`, separated by
//! colons), and for whom they are (`LISTEN_PID`: variables pass on to grandchildren, descriptors don't).
//! Connections queue in the socket, not in a process: a server that is replaced by its child refuses
//! none.
//!
//! ## Passing them on
//!
//! The child's number is known only after the fork, where neither an environment may be built nor
//! anything allocated. So the child is a shell first, which notes its own number and becomes the
//! program: `exec` keeps the number. Rejected: `LISTEN_PID` written into a prepared buffer between fork
//! and exec (`Command` doesn't let one get at the environment it passes); a helper program.
//!
//! Between fork and exec there is `dup2` to the numbers 3 and up, from duplicates above them, so that
//! none is overwritten before it was moved. One of std's descriptors may have such a number: the one by
//! which the child reports that it could not start the program. It then can't; but what is started is the
//! shell, and what becomes of the program is seen by its exit status anyway.

use crate::network::Listener;
use crate::network::name::invalid;
use crate::network::options::TcpOptions;
use crate::{TcpListener, UnixListener, sys};
use socket2::{Domain, SockRef, Type};
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// What a listener without a name is called.
const UNKNOWN: &str = "unknown";

/// The longest name that systemd allows.
const LONGEST: usize = 255;

/// The listeners that this process was started with, with their names, in their order; none if it was
/// started without. They are given out once: later calls return none.
///
/// What systemd's socket units, or [`pass`], hand over. TCP listeners have the settings of
/// [`listen`](crate::listen); a Unix listener's path is not removed when it is closed, since who made
/// it may still need it.
///
/// To be called early: no descriptor is inherited by further child processes from then on.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let mut listeners = corio_net::inherit::listeners()?;
/// if listeners.is_empty() {
///     listeners.push(("http".to_owned(), corio_net::listen("tcp", "localhost:0")?));
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if the environment contradicts itself, or one of the
/// descriptors is no listening TCP or Unix socket; the error names it. Then all of them are closed, except
/// that none is touched if one is not open, or was opened by this program.
pub fn listeners() -> io::Result<Vec<(String, Listener)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let variable = |name| match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(value)) => Err(wrong(name, &value.to_string_lossy())),
    };
    let told = Told {
        pid: variable("LISTEN_PID")?,
        count: variable("LISTEN_FDS")?,
        names: variable("LISTEN_FDNAMES")?,
    };
    let names = told.names_for(process::id())?;
    if names.is_empty() || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let fds = sys::take_inherited(FIRST, names.len())?;
    names
        .into_iter()
        .zip(fds)
        .map(|(name, fd)| {
            let number = fd.as_raw_fd();
            let listener = adopt(fd).map_err(|error| {
                let text = format!("inherited descriptor {number} ({name:?}): {error}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            Ok((name, listener))
        })
        .collect()
}

/// What the environment says.
struct Told {
    pid: Option<String>,
    count: Option<String>,
    names: Option<String>,
}

impl Told {
    /// The names of the descriptors that the process of this number was given.
    fn names_for(&self, pid: u32) -> io::Result<Vec<String>> {
        let (Some(for_pid), Some(count)) = (&self.pid, &self.count) else {
            return Ok(Vec::new());
        };
        match for_pid.parse() {
            Ok(for_pid) if pid == for_pid => {}
            Ok(_) => return Ok(Vec::new()),
            Err(_) => return Err(wrong("LISTEN_PID", for_pid)),
        }
        let count = match count.parse::<usize>() {
            Ok(count) if count <= sys::MOST_DESCRIPTORS => count,
            _ => return Err(wrong("LISTEN_FDS", count)),
        };
        let Some(names) = &self.names else {
            return Ok(vec![UNKNOWN.to_owned(); count]);
        };
        let found: Vec<_> = names.split(':').map(str::to_owned).collect();
        if found.len() != count && count != 0 {
            return Err(wrong("LISTEN_FDNAMES", names));
        }
        Ok(found.into_iter().take(count).collect())
    }
}

fn wrong(variable: &str, value: &str) -> io::Error {
    let text = format!("{variable}={value:?} is not what a process with inherited listeners gets");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Takes over a listening socket.
fn adopt(fd: OwnedFd) -> io::Result<Listener> {
    let socket = SockRef::from(&fd);
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(invalid("not a listening stream socket"));
    }
    let listener = match socket.domain()? {
        Domain::IPV4 | Domain::IPV6 => {
            TcpOptions::default().set(&socket)?;
            Listener::Tcp(TcpListener::try_from(fd)?)
        }
        Domain::UNIX => Listener::Unix(UnixListener::try_from(fd)?),
        _ => return Err(invalid("neither a TCP nor a Unix socket")),
    };
    // It may be non-blocking for the parent's sake, with whom the setting is shared.
    listener.set_nonblocking(false)?;
    Ok(listener)
}

/// A command that runs `program` with these listeners, which it finds with [`listeners`], or with
/// `sd_listen_fds`, under these names.
///
/// They remain in use here as well: for a hand-over, close them when the child is ready. Until then they have to
/// stay non-blocking, which is a property that parent and child share: a program that is no user of this
/// crate must expect that of them. A Unix listener's
/// path is no longer removed then. Add arguments and all else to the command that is returned, but no
/// further `LISTEN_` variables; and drop it after spawning, as it keeps the sockets open.
///
/// A program that can't be started makes the child exit with status 126 or 127, as a shell does; spawning it
/// does not fail.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use corio_net::{inherit, listen};
///
/// let listener = listen("tcp", "localhost:0")?;
/// let output = inherit::pass("sh", &[("http", &listener)])?
///     .args(["-c", "echo $LISTEN_FDNAMES $((LISTEN_PID == $$))"])
///     .output()?;
/// assert_eq!(output.stdout, b"http 1\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is empty, longer than 255 bytes, or has a
/// colon or anything but printable ASCII in it. If a listener is closed. If there are no more descriptors.
pub fn pass(program: impl AsRef<OsStr>, listeners: &[(&str, &Listener)]) -> io::Result<Command> {
    let names: Vec<_> = listeners.iter().map(|&(name, _)| name).collect();
    let fits = |name: &&str| {
        (1..=LONGEST).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && byte != b':')
    };
    if !names.iter().all(fits) {
        return Err(invalid(
            "a listener's name has to be 1 to 255 printable ASCII characters without a colon",
        ));
    }
    let above = FIRST + listeners.len() as i32;
    let duplicates = listeners
        .iter()
        .map(|(_, listener)| {
            // Closed, it would pass a placeholder on.
            listener.local_addr()?;
            if let Listener::Unix(listener) = listener {
                listener.set_unlink_on_close(false)?;
            }
            sys::duplicate_above(listener.as_fd(), above)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg("LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" \"$@\"")
        .arg(program)
        .env("LISTEN_FDS", listeners.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        // Of newer systemds: which process this one was started with listeners for, beside the number.
        .env_remove("LISTEN_PIDFDID");
    let move_them = move || {
        duplicates
            .iter()
            .zip(FIRST..)
            .try_for_each(|(fd, number)| sys::move_to(fd.as_fd(), number))
    };
    // SAFETY: between fork and exec it makes one system call per listener, and neither allocates nor
    // takes locks. What it overwrites has a number that is the new program's.
    unsafe { command.pre_exec(move_them) };
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pid: &str, count: &str, names: Option<&str>) -> io::Result<Vec<String>> {
        let told = Told {
            pid: (!pid.is_empty()).then(|| pid.to_owned()),
            count: (!count.is_empty()).then(|| count.to_owned()),
            names: names.map(str::to_owned),
        };
        told.names_for(7)
    }

    #[test]
    fn nothing_is_taken_that_is_for_others() {
        assert_eq!(told("", "", None).unwrap(), [""; 0]);
        assert_eq!(told("", "1", None).unwrap(), [""; 0]);
        assert_eq!(told("7", "", None).unwrap(), [""; 0]);
        assert_eq!(told("8", "1", None).unwrap(), [""; 0]);
        assert_eq!(told("8", "nonsense", None).unwrap(), [""; 0]);
        assert_eq!(told("7", "0", Some("")).unwrap(), [""; 0]);
    }

    #[test]
    fn names_go_with_descriptors() {
        assert_eq!(told("7", "2", Some("a:b c")).unwrap(), ["a", "b c"]);
        assert_eq!(told("7", "2", None).unwrap(), [UNKNOWN, UNKNOWN]);
        assert_eq!(told("7", "1", Some("")).unwrap(), [""]);
    }

    #[test]
    fn contradictions_are_errors() {
        for (pid, count, names) in [
            ("x", "1", None),
            ("7", "x", None),
            ("7", "-1", None),
            ("7", "99999999999", None),
            ("7", "2", Some("a")),
            ("7", "1", Some("a:b")),
        ] {
            let error = told(pid, count, names).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert!(error.to_string().starts_with("LISTEN_"), "{error}");
        }
    }
}
