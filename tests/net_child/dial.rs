//! Dialling and listening in a process, and mostly in a network, of its own; and what processes
//! inherit.

use crate::{Scenario, namespace};
use corio::context::Context;
use corio_net::{Conn, Dialer, TcpStream, dial, inherit, listen};
use corio_tests::wait_until;
use networks::BlackHole;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
#[path = "../tests/net_support/networks.rs"]
mod networks;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("dial_leaves_nothing", leaves_nothing),
    ("dial_hosts", hosts),
    ("dial_resolver", resolver),
    ("dial_no_ipv6", no_ipv6),
    ("dial_itself", itself),
    ("inherited", inherited),
    ("not_inherited", not_inherited),
];

/// Long enough to be noticed.
const SHORT: Duration = Duration::from_millis(30);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(50);

/// Moves the process into a network of its own, where `both` is a name of both loopback addresses.
/// `false`, after saying so, where that is not permitted.
fn isolate() -> bool {
    let files = [
        (c"/etc/hosts", "::1 both\n127.0.0.1 both\n"),
        (c"/etc/nsswitch.conf", "hosts: files\n"),
    ];
    match namespace::isolated(&files) {
        Ok(()) => true,
        Err(why) => {
            println!("skipped: {why}");
            false
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// After many races, however they ended, there are as many descriptors and goroutines as before.
fn leaves_nothing(_: &[String]) {
    if !networks::has_ipv6() {
        println!("skipped: no IPv6");
        return;
    }
    let hole = BlackHole::at("[::1]:0");
    let hole4 = BlackHole::at("127.0.0.1:0");
    let v6 = TcpListener::bind("[::1]:0").unwrap();
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = |listener: &TcpListener| listener.local_addr().unwrap();
    // The poller and the like come with the first socket.
    drop(TcpStream::connect(addr(&v4)).unwrap());
    drop(v4.accept().unwrap());
    let descriptors_before = descriptors();
    let goroutines_before = corio::num_goroutines();
    let dialer = || Dialer::new().fallback_delay(Some(Duration::ZERO));
    let connect = |dialer: Dialer, addrs: [SocketAddr; 2]| dialer.connect(&addrs[..]);
    for _ in 0..50 {
        connect(dialer(), [addr(&v6), addr(&v4)]).unwrap();
        connect(dialer(), [hole.addr, addr(&v4)]).unwrap();
        connect(dialer(), [addr(&v6), hole4.addr]).unwrap();
        let hurry = dialer().timeout(Duration::from_millis(1));
        connect(hurry, [hole.addr, hole4.addr]).unwrap_err();
        let (ctx, cancel) = Context::background().with_cancel();
        let canceller = corio::spawn(move || cancel.cancel());
        connect(dialer().context(&ctx), [hole.addr, hole4.addr]).unwrap_err();
        canceller.join().unwrap();
    }
    for listener in [&v4, &v6] {
        listener.set_nonblocking(true).unwrap();
        while listener.accept().is_ok() {}
    }
    wait_until("no more descriptors than before", || {
        descriptors() <= descriptors_before
    });
    wait_until("no more goroutines than before", || {
        corio::num_goroutines() <= goroutines_before
    });
}

/// A name with both addresses, of which the first is silent, or refuses, or answers.
fn hosts(_: &[String]) {
    if !isolate() {
        return;
    }
    let v6 = BlackHole::at("[::1]:4000");
    let v4 = TcpListener::bind("127.0.0.1:4000").unwrap();
    for dialled in [
        dial("tcp", "both:4000"),
        Dialer::new().timeout(LONG).dial("tcp", "both:4000"),
        dial("tcp4", "both:4000"),
        TcpStream::connect("both:4000").map(Into::into),
    ] {
        let conn = dialled.unwrap();
        assert_eq!(conn.local_addr().unwrap().to_string(), peer(&v4));
    }
    let error = Dialer::new().timeout(SHORT).dial("tcp6", "both:4000");
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // It may also have passed while resolving.
    let text = error.to_string();
    assert!(
        text.starts_with("dial tcp6 ") && text.ends_with(":4000: timed out"),
        "{text}"
    );
    drop(v6);
    // Refused: nobody waits 300 ms, or so long.
    let dialer = Dialer::new().fallback_delay(Some(LONG));
    let conn = dialer.dial("tcp", "both:4000").unwrap();
    assert_eq!(conn.local_addr().unwrap().to_string(), peer(&v4));
    let v6 = TcpListener::bind("[::1]:4000").unwrap();
    let conn = dialer.dial("tcp", "both:4000").unwrap();
    assert_eq!(conn.local_addr().unwrap().to_string(), peer(&v6));
    // A listener for a name has one address, of IPv4 if there is one.
    let addr = |network| listen(network, "both:0").unwrap().local_addr().unwrap();
    assert!(addr("tcp").as_ip().unwrap().is_ipv4());
    assert!(addr("tcp6").as_ip().unwrap().is_ipv6());
    let error = dial("tcp", "nobody:80").unwrap_err();
    assert!(
        error.to_string().starts_with("dial tcp nobody:80: "),
        "{error}"
    );
    println!("done: 0");
}

fn peer(listener: &TcpListener) -> String {
    listener.accept().unwrap().1.to_string()
}

/// The name server does not answer: limits in time end dialling, which goes on in the background.
fn resolver(_: &[String]) {
    let files = [
        (
            c"/etc/resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        ),
        (c"/etc/nsswitch.conf", "hosts: files dns\n"),
    ];
    if let Err(why) = namespace::isolated(&files) {
        println!("skipped: {why}");
        return;
    }
    let nobody = UdpSocket::bind("127.0.0.1:53").unwrap();
    let body = || {
        let addr = "name.example:80";
        let error = Dialer::new().timeout(SHORT).dial("tcp", addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(error.to_string(), "dial tcp name.example:80: timed out");
        let (ctx, _cancel) = Context::background().with_timeout(SHORT);
        let error = Dialer::new().context(&ctx).dial("tcp", addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let (ctx, cancel) = Context::background().with_cancel();
        let dialling = corio::spawn(move || Dialer::new().context(&ctx).dial("tcp", addr));
        corio::yield_now();
        cancel.cancel();
        let error = dialling.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other, "{error}");
    };
    let start = Instant::now();
    body();
    corio::spawn(body).join().unwrap();
    println!("ms: {}", start.elapsed().as_millis());
    wait_until("the resolver's goroutines are gone", || {
        corio::num_goroutines() == 0
    });
    drop(nobody);
}

/// Of so few local ports, the system often chooses the one that is dialled.
fn itself(_: &[String]) {
    if !isolate() {
        return;
    }
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], 40002));
    // Without lingering, which would keep the port from being chosen again.
    let gone_at_once = |fd: BorrowedFd<'_>| SockRef::from(&fd).set_linger(Some(Duration::ZERO));
    let times = (0..100).filter(|_| {
        let connected = std::net::TcpStream::connect(addr);
        connected.is_ok_and(|stream| gone_at_once(stream.as_fd()).is_ok())
    });
    println!("times that std was connected to itself: {}", times.count());
    let dialer = Dialer::new().control(gone_at_once);
    for _ in 0..100 {
        let error = dialer.connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
    // With a local port one asks for it.
    let stream = dialer.local_addr(addr).connect(addr).unwrap();
    assert_eq!(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
}

/// A system without IPv6 addresses: everything is IPv4 then.
fn no_ipv6(_: &[String]) {
    if !isolate() {
        return;
    }
    for interface in ["all", "default", "lo"] {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
        if let Err(error) = std::fs::write(path, "1") {
            println!("skipped: disable_ipv6: {error}");
            return;
        }
    }
    assert!(TcpListener::bind("[::1]:0").is_err());
    let listener = listen("tcp", ":0").unwrap();
    let port = listener.local_addr().unwrap().port().unwrap();
    for host in ["", "127.0.0.1", "both"] {
        let conn = dial("tcp", &format!("{host}:{port}")).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer, conn.local_addr().unwrap());
    }
    println!("done: 0");
}

/// Takes inherited listeners, tells of them, and serves echoes until the end of standard input.
fn inherited(_: &[String]) {
    let listeners = match inherit::listeners() {
        Ok(listeners) => listeners,
        Err(error) => {
            println!("error: {error}");
            return;
        }
    };
    println!("count: {}", listeners.len());
    assert_eq!(
        inherit::listeners().unwrap().len(),
        0,
        "they are taken once"
    );
    for (name, listener) in listeners {
        let addr = listener.local_addr().unwrap();
        println!("{name}: {} {addr}", listener.network());
        let closes = std::fs::read_to_string(format!(
            "/proc/self/fdinfo/{}",
            std::os::fd::AsRawFd::as_raw_fd(&listener)
        ));
        let flags = closes.unwrap();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        assert_ne!(flags & libc::O_CLOEXEC, 0, "closed on exec");
        corio::spawn(move || {
            for conn in listener.incoming() {
                let conn = conn.expect("descriptors enough");
                corio::spawn(move || echo(conn));
            }
        });
    }
    let mut rest = Vec::new();
    corio::blocking(|| io::stdin().read_to_end(&mut rest)).unwrap();
    io::stdout().flush().unwrap();
}

/// Has a listener of its own where an inherited one was promised.
fn not_inherited(_: &[String]) {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(own.as_raw_fd(), 3);
    inherited(&[]);
    assert!(own.local_addr().is_ok(), "it is still ours");
}

fn echo(mut conn: Conn) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match conn.read(&mut buffer)? {
            0 => return Ok(()),
            n => conn.write_all(&buffer[..n])?,
        }
    }
}
