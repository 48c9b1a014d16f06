//! Addresses for tests: that refuse, that swallow, in a directory of the test's own, that are wrong.

use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A name that no other test has.
fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("corio-parity-{}-{number}", std::process::id())
}

/// An address that refuses connections as long as the socket, which only keeps it, lives.
pub(crate) fn refusing() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (addr, socket)
}

/// An address at which connecting neither works nor fails as long as the result lives: it listens,
/// its queue is full.
pub(crate) fn black_hole() -> (SocketAddr, Vec<Box<dyn Send>>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut kept: Vec<Box<dyn Send>> = vec![Box::new(socket)];
    let patience = Duration::from_millis(100);
    while let Ok(stream) = TcpStream::connect_timeout(&addr, patience) {
        kept.push(Box::new(stream));
        assert!(kept.len() < 20);
    }
    (addr, kept)
}

/// A directory for Unix sockets, removed at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        let path = std::env::temp_dir().join(unique());
        // A process of this number may have been killed before.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What is left behind in the temporary directory is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address in the abstract namespace that nobody has.
pub(crate) fn abstract_addr() -> UnixAddr {
    UnixAddr::from_abstract_name(unique()).unwrap()
}

/// What is wrong with these is seen before the system is asked, or by it.
pub(crate) fn bad_paths(dir: &Dir) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("too long", dir.join(&"x".repeat(108))),
        ("a nul inside", dir.join("a\0b")),
        ("a nul first", Path::new("\0abstract?").into()),
        ("no such directory", dir.join("missing/socket")),
        ("a directory", dir.join(".")),
        ("in no directory", dir.join("file/socket")),
    ]
}

/// Which of unnamed, path, abstract name it is.
pub(crate) fn kinds(addr: &UnixAddr) -> (bool, bool, bool) {
    (
        addr.is_unnamed(),
        addr.as_pathname().is_some(),
        addr.as_abstract_name().is_some(),
    )
}
