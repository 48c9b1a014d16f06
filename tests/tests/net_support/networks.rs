//! Listeners and connections on every network, and an address that does not answer.

use corio_net::{Conn, Listener, dial, listen};
use socket2::{Domain, Socket, Type};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The networks that this machine has.
pub(crate) fn networks() -> Vec<&'static str> {
    let mut networks = vec!["tcp", "tcp4", "unix"];
    if has_ipv6() {
        networks.push("tcp6");
    }
    networks
}

/// Is there an IPv6 loopback address?
pub(crate) fn has_ipv6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let has = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        if !has {
            eprintln!("skipped: what needs IPv6, which this machine does not have");
        }
        has
    })
}

/// A path, or with `@` a name, that nobody else uses.
pub(crate) fn unix_name(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (process, number) = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    match prefix {
        "@" => format!("@corio-{process}-{number}"),
        _ => {
            let path: PathBuf = std::env::temp_dir().join(format!("corio-name-{process}-{number}"));
            // One that was killed may have left it, and had our number.
            let _ = std::fs::remove_file(&path);
            path.to_str().expect("a usual directory").to_owned()
        }
    }
}

/// An abstract name that nobody else has.
pub(crate) fn abstract_name() -> unix::SocketAddr {
    unix::SocketAddr::from_abstract_name(&unix_name("@")[1..]).expect("short enough")
}

/// An address to listen on.
pub(crate) fn any_addr(network: &str) -> String {
    match network {
        "tcp" | "tcp4" => "127.0.0.1:0".to_owned(),
        "tcp6" => "[::1]:0".to_owned(),
        "unix" => unix_name("/"),
        _ => panic!("{network:?}"),
    }
}

/// A listener, and the address to dial.
pub(crate) fn local(network: &str) -> (Listener, String) {
    let listener = listen(network, &any_addr(network)).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

/// Both ends of a connection: the one that dialled first.
pub(crate) fn conns(network: &str) -> (Conn, Conn) {
    let (listener, addr) = local(network);
    let conn = dial(network, &addr).unwrap();
    (conn, listener.accept().unwrap().0)
}

/// An address on which connecting takes for ever: a listener whose queue is full, and which drops what
/// comes then.
#[derive(Debug)]
pub(crate) struct BlackHole {
    /// Where it is.
    pub(crate) addr: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    /// At an address, or with port 0, at any.
    pub(crate) fn at(addr: &str) -> BlackHole {
        let addr: SocketAddr = addr.parse().unwrap();
        let listener = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        if addr.is_ipv6() {
            listener.set_only_v6(true).unwrap();
        }
        listener.bind(&addr.into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        loop {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(50)) {
                Ok(stream) => queue.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    break;
                }
            }
        }
        BlackHole {
            addr,
            _listener: listener,
            _queue: queue,
        }
    }
}
