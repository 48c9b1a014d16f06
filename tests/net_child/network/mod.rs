//! Networks of the process's own, for faults that loopback doesn't have.
//!
//! A [`Far`] is a second network namespace beside that of the process (*near*), joined to it by a cable
//! ([`veth`]) or by a program that moves the packets ([`relay`]). A socket belongs to the namespace of
//! the thread that makes it, and accepted ones to their listener's. So the far end of a test is a
//! listener or UDP socket that a std thread made there ([`Far::enter`]), as std's type, for the runtime
//! must not start threads there; all else, also what serves the far end, runs in the process as usual.
//!
//! Rejected: named namespaces (`ip netns add`) outlive a process that is killed. These go with the
//! process, and everything in them: interfaces, rules, sockets in `TIME_WAIT`.

pub(crate) mod nft;
pub(crate) mod relay;
pub(crate) mod veth;

use crate::namespace::{check, loopback_up};
use socket2::{Domain, Type};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

/// This end's address, once there is a second one.
pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The other end's.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Why there is no network of our own: a test that needs one can't run here.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    fn at(step: &str, error: io::Error) -> Refused {
        Refused(format!("{step}: {error}"))
    }
}

/// Moves the process, which must have but one thread, into a network of its own, where there is only
/// loopback, which is up.
pub(crate) fn isolate() -> Result<(), Refused> {
    // SAFETY: no memory is passed.
    let unshared = check(unsafe { libc::unshare(libc::CLONE_NEWNET) });
    unshared.map_err(|error| Refused::at("unshare", error))?;
    loopback_up().expect("it is our loopback");
    Ok(())
}

/// The namespace of the calling thread.
fn namespace() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// The other network; see the module's head.
#[derive(Debug)]
pub(crate) struct Far {
    namespace: File,
}

impl Far {
    /// Isolates the process, and makes a second network.
    pub(crate) fn new() -> Result<Far, Refused> {
        isolate()?;
        let namespace = thread::spawn(|| {
            // SAFETY: no memory is passed. It is this thread's namespace that changes.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            loopback_up()?;
            namespace()
        })
        .join()
        .unwrap()
        .map_err(|error| Refused::at("a second network", error))?;
        Ok(Far { namespace })
    }

    /// Runs `f` on a thread that is there. It must not call the runtime.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.set().unwrap();
                    f()
                })
                .join()
                .unwrap()
        })
    }

    fn set(&self) -> io::Result<()> {
        // SAFETY: no memory is passed. It is this thread's namespace that changes.
        check(unsafe { libc::setns(self.namespace.as_raw_fd(), libc::CLONE_NEWNET) })
    }

    /// A TCP listener at the far end, with the longest queue there is, as ours have (std's overflow, and
    /// then a connect waits for a second).
    pub(crate) fn listen(&self) -> corio_net::TcpListener {
        let listen = || -> io::Result<TcpListener> {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((FAR, 0)).into())?;
            socket.listen(i32::MAX)?;
            Ok(socket.into())
        };
        self.enter(listen).and_then(TryInto::try_into).unwrap()
    }

    /// A UDP socket at the far end.
    pub(crate) fn udp(&self) -> corio_net::UdpSocket {
        self.enter(|| UdpSocket::bind((FAR, 0)))
            .and_then(TryInto::try_into)
            .unwrap()
    }

    /// Runs a command there.
    fn command(&self, text: &str) -> Result<String, Refused> {
        let mut command = command(text);
        let fd = self.namespace.as_raw_fd();
        // SAFETY: between fork and exec only one system call is made, without memory.
        unsafe { command.pre_exec(move || check(libc::setns(fd, libc::CLONE_NEWNET))) };
        run(command, text)
    }

    /// What `ip` takes for a namespace.
    fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.namespace.as_raw_fd()
        )
    }
}

/// Runs a command in the near network.
fn near(text: &str) -> Result<String, Refused> {
    run(command(text), text)
}

/// Splits at spaces; there is no quoting.
fn command(text: &str) -> Command {
    let mut words = text.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env("LC_ALL", "C");
    command
}

/// Its output; refused if the kernel does not have what it asks for. Everything else panics: it is the
/// test that is wrong, or the machine lacks a program.
fn run(mut command: Command, text: &str) -> Result<String, Refused> {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{text}: {error}; needed are nft and ip (Debian: nftables, iproute2)")
    });
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lacking = [
        "qdisc kind is unknown",
        "Unknown device type",
        "not supported",
        "not permitted",
    ];
    // nft's words for an expression that the kernel does not have.
    let no_expression =
        text.starts_with("nft add") && complaint.contains("No such file or directory");
    assert!(
        no_expression || lacking.iter().any(|words| complaint.contains(words)),
        "{text}: {}: {complaint}",
        output.status
    );
    Err(Refused(format!("{text}: {}", complaint.trim())))
}
