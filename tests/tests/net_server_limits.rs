//! Who is let in, how many, and how fast.

mod net_server_support;

use corio::channel::unbounded;
use corio_net::ConnectionState::Closed;
use corio_net::{
    Addr, Admission, Conn, Connection, Dialer, Overflow, Refusal, Server, ServerWarning, TcpStream,
};
use net_server_support::{Client, Gate, LONG, lines, listen, server_test, shout, start, states};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A connection from this address of the loopback network.
fn from(host: &str, addr: SocketAddr) -> io::Result<TcpStream> {
    let from = format!("{host}:0").parse::<SocketAddr>().unwrap();
    match Dialer::new()
        .local_addr(from)
        .dial("tcp", &addr.to_string())?
    {
        Conn::Tcp(stream) => Ok(stream),
        conn => panic!("not over TCP: {conn:?}"),
    }
}

/// The client of a connection, if it is served. If not, demands that it is refused: a reset may come at any
/// time, also while it connects.
fn is_served(stream: io::Result<TcpStream>) -> Option<Client> {
    let ask = |client: &mut Client| {
        writeln!(client.0.get_mut(), "ping")?;
        client.answer()
    };
    let result = stream.and_then(|stream| {
        let mut client = Client::of(stream);
        Ok((ask(&mut client)?, client))
    });
    match result {
        Ok((Some(answer), client)) => {
            assert_eq!(answer, "PING");
            Some(client)
        }
        Ok((None, _)) => None,
        Err(error) => {
            let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(reset.contains(&error.kind()), "{error}");
            None
        }
    }
}

/// Connects until it is served: a place is free some time after its connection's last state was told.
fn served(connect: impl Fn() -> io::Result<TcpStream>) -> Client {
    loop {
        if let Some(client) = is_served(connect()) {
            return client;
        }
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    server_test(|| {
        let gate = Gate::new();
        let theirs = gate.clone();
        let handler = move |conn: &mut Connection| {
            lines(conn, |_, line| {
                theirs.stop();
                line.to_uppercase()
            })
        };
        let (server, addr) = start(Server::new(handler).max_connections(2));
        let mut clients: Vec<_> = (0..4).map(|_| Client::new(addr)).collect();
        for client in &mut clients {
            client.send("hello");
        }
        gate.wait();
        gate.wait();
        // Two hold all places; the others are connected, but not accepted.
        let stats = server.stats();
        assert_eq!((stats.active, stats.accepted, stats.refused), (2, 2, 0));
        gate.open();
        gate.open();
        for client in &mut clients[..2] {
            assert_eq!(client.answer().unwrap().as_deref(), Some("HELLO"));
        }
        assert_eq!(server.stats().accepted, 2);
        clients.remove(0);
        gate.wait();
        gate.open();
        assert_eq!(clients[1].answer().unwrap().as_deref(), Some("HELLO"));
        assert_eq!(server.stats().accepted, 3);
        clients.remove(0);
        gate.wait();
        gate.open();
        assert_eq!(clients[1].answer().unwrap().as_deref(), Some("HELLO"));
        server.shutdown(LONG);
    });
}

#[test]
fn there_are_never_more_handlers_than_connections_allowed() {
    server_test(|| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (theirs, highest) = (Arc::clone(&now), Arc::clone(&most));
        let handler = move |conn: &mut Connection| {
            let n = theirs.fetch_add(1, Ordering::SeqCst) + 1;
            highest.fetch_max(n, Ordering::SeqCst);
            let result = shout(conn);
            theirs.fetch_sub(1, Ordering::SeqCst);
            result
        };
        // Each loop that waits for a connection must leave the others the place.
        let server = Server::new(handler).max_connections(1);
        let server = server.start([listen(), listen(), listen()]).unwrap();
        let addrs: Vec<_> = server.addrs().iter().filter_map(Addr::as_ip).collect();
        let clients: Vec<_> = (0..60)
            .map(|i| {
                let addr = addrs[i % 3];
                corio::spawn(move || assert_eq!(Client::new(addr).ask("a"), "A"))
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.shutdown(LONG);
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(server.stats().accepted, 60);
    });
}

#[test]
fn connections_beyond_the_limit_are_refused_if_told_so() {
    server_test(|| {
        let server = Server::new(shout)
            .max_connections(2)
            .overflow(Overflow::Refuse);
        let (server, addr) = start(server);
        let connect = || TcpStream::connect(addr);
        let one = is_served(connect()).expect("there is room");
        let mut two = is_served(connect()).expect("there is room");
        assert!(is_served(connect()).is_none());
        assert!(is_served(connect()).is_none());
        let stats = server.stats();
        assert_eq!((stats.accepted, stats.refused, stats.open()), (4, 2, 2));
        drop(one);
        let mut three = served(connect);
        assert_eq!(two.ask("a"), "A");
        assert_eq!(three.ask("b"), "B");
        server.shutdown(LONG);
    });
}

#[test]
fn who_is_refused_gets_a_last_word_and_the_hook_is_told_why() {
    server_test(|| {
        let (tell, told) = unbounded();
        let server = Server::new(shout)
            .max_connections(1)
            .overflow(Overflow::Refuse)
            .on_refused(move |info, mut conn, refusal| {
                conn.write_all(b"sorry\n").unwrap();
                tell.send((info.id(), refusal)).unwrap();
            });
        let (server, addr) = start(server);
        let mut one = Client::new(addr);
        assert_eq!(one.ask("a"), "A");
        let mut two = Client::new(addr);
        assert_eq!(two.answer().unwrap().as_deref(), Some("sorry"));
        two.assert_end();
        assert_eq!(told.recv(), Ok((2, Refusal::Full)));
        assert_eq!(Refusal::Full.to_string(), "too many connections");
        server.shutdown(LONG);
    });
}

#[test]
fn each_address_has_its_own_limit() {
    server_test(|| {
        let (tell, told) = unbounded();
        let (hook, states) = states();
        let server = Server::new(shout)
            .max_per_peer(1)
            .on_state(hook)
            .on_refused(move |info, _, refusal| {
                tell.send((info.peer_addr(), refusal)).unwrap();
            });
        let (server, addr) = start(server);
        let one = is_served(from("127.0.0.2", addr)).expect("the first one from there");
        assert!(is_served(from("127.0.0.2", addr)).is_none());
        let (peer, refusal) = told.recv().unwrap();
        assert_eq!(peer.as_ip().unwrap().ip().to_string(), "127.0.0.2");
        assert_eq!(refusal, Refusal::PerPeer);
        let mut other = is_served(from("127.0.0.3", addr)).expect("the first one from there");
        drop(one);
        states.wait(1, Closed);
        // It doesn't count any more when it is told to be closed.
        assert!(is_served(from("127.0.0.2", addr)).is_some());
        assert_eq!(other.ask("a"), "A");
        server.shutdown(LONG);
        assert_eq!(server.stats().refused, 1);
    });
}

#[test]
fn an_address_is_the_same_inside_of_ipv6() {
    server_test(|| {
        let both = corio_net::listen("tcp", ":0").unwrap();
        let server = Server::new(shout).max_per_peer(1);
        let server = server.start([listen().into(), both]).unwrap();
        let ports: Vec<_> = server.addrs().iter().filter_map(Addr::port).collect();
        let connect = |port| TcpStream::connect(("127.0.0.1", port));
        let mut one = is_served(connect(ports[0])).expect("the first one");
        assert!(is_served(connect(ports[1])).is_none());
        assert_eq!(one.ask("a"), "A");
        server.shutdown(LONG);
    });
}

#[test]
fn the_admission_hook_decides() {
    server_test(|| {
        let (tell, told) = unbounded();
        let server = Server::new(shout)
            .admit(|info| match info.peer_addr().as_ip() {
                Some(addr) if addr.ip().to_string() == "127.0.0.2" => Admission::Refuse,
                Some(addr) if addr.ip().to_string() == "127.0.0.3" => panic!("can't decide"),
                _ => Admission::Admit,
            })
            .on_refused(move |_, _, refusal| tell.send(refusal).unwrap());
        let (server, addr) = start(server);
        assert!(is_served(TcpStream::connect(addr)).is_some());
        assert!(is_served(from("127.0.0.2", addr)).is_none());
        assert!(is_served(from("127.0.0.3", addr)).is_none());
        assert!(is_served(TcpStream::connect(addr)).is_some());
        assert_eq!(told.recv(), Ok(Refusal::Denied));
        assert_eq!(told.recv(), Ok(Refusal::Denied));
        server.shutdown(LONG);
        assert_eq!((server.stats().refused, server.stats().panics), (2, 1));
    });
}

#[test]
fn connections_are_not_accepted_faster_than_the_rate() {
    server_test(|| {
        let (server, addr) = start(Server::new(shout).accept_rate(20, 4));
        let begun = Instant::now();
        let clients: Vec<_> = (0..10)
            .map(|_| corio::spawn(move || assert_eq!(Client::new(addr).ask("a"), "A")))
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        // Four at once, and one each 50 ms.
        assert!(begun.elapsed() >= Duration::from_millis(6 * 50 - 10));
        server.shutdown(LONG);
    });
}

#[test]
fn the_rate_does_not_hold_up_the_shutdown() {
    server_test(|| {
        let (server, addr) = start(Server::new(shout).accept_rate(1, 1));
        let mut clients: Vec<_> = (0..50).map(|_| Client::new(addr)).collect();
        for client in &mut clients {
            client.send("a");
        }
        assert_eq!(clients[0].answer().unwrap().as_deref(), Some("A"));
        let report = server.shutdown(LONG);
        for client in &mut clients[1..] {
            assert_eq!(client.answer().unwrap().as_deref(), Some("A"));
        }
        // At this rate it takes 49 s.
        assert!(report.elapsed < Duration::from_secs(30), "{report}");
        assert!(report.backlog > 0);
    });
}

#[test]
fn a_limit_that_the_system_cannot_hold_is_warned_of() {
    server_test(|| {
        let (tell, told) = unbounded();
        let server = |max| {
            let tell = tell.clone();
            Server::new(shout)
                .max_connections(max)
                .on_warning(move |warning| tell.send(warning.clone()).unwrap())
        };
        let (fits, _) = start(server(100));
        assert!(told.try_recv().is_err());
        let (exceeds, _) = start(server(usize::MAX - 1));
        let warning = told.recv().unwrap();
        assert!(warning.to_string().contains("open files"), "{warning}");
        let ServerWarning::Descriptors {
            max_connections, ..
        } = warning
        else {
            panic!("{warning}");
        };
        assert_eq!(max_connections, usize::MAX - 1);
        fits.shutdown(LONG);
        exceeds.shutdown(LONG);
    });
}
