//! The life of a server and of its connections, without their end by a shutdown.

mod net_server_support;
mod net_support;

use corio::channel::unbounded;
use corio::signal::SIGKILL;
use corio_net::ConnectionState::{Active, Closed, Idle, New};
use corio_net::{
    Addr, Admission, BufferPool, Connection, Listener, Server, TcpListener, TcpStream, dial,
    listen as listen_on,
};
use corio_tests::panic_text;
use net_server_support::{
    Client, Gate, LONG, SHORT, lines, listen, server_test, shout, start, states,
};
use net_support::unix_name;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn a_connection_is_new_active_idle_and_so_on_to_its_end() {
    server_test(|| {
        let (hook, states) = states();
        let (server, addr) = start(Server::new(shout).on_state(hook));
        let mut client = Client::new(addr);
        assert_eq!(states.next(), (1, New));
        assert_eq!(client.ask("a"), "A");
        assert_eq!(states.next(), (1, Active));
        assert_eq!(states.next(), (1, Idle));
        assert_eq!(server.stats().idle, 1);
        assert_eq!(client.ask("b"), "B");
        assert_eq!(states.next(), (1, Active));
        assert_eq!(states.next(), (1, Idle));
        drop(client);
        assert_eq!(states.next(), (1, Closed));
        server.shutdown(LONG);
        assert_eq!(states.all(), []);
    });
}

#[test]
fn a_connection_that_says_nothing_is_never_active() {
    server_test(|| {
        let (hook, states) = states();
        let (server, addr) = start(Server::new(shout).on_state(hook));
        drop(Client::new(addr));
        assert_eq!(states.next(), (1, New));
        assert_eq!(states.next(), (1, Closed));
        // Nor if its handler just reads.
        server.shutdown(LONG);
        let (hook, states) = net_server_support::states();
        let handler = |conn: &mut Connection| conn.read_to_end(&mut Vec::new()).map(drop);
        let (server, addr) = start(Server::new(handler).on_state(hook));
        drop(Client::new(addr));
        assert_eq!(states.next(), (1, New));
        assert_eq!(states.next(), (1, Closed));
        server.shutdown(LONG);
    });
}

#[test]
fn the_first_byte_read_or_written_makes_a_connection_active() {
    server_test(|| {
        let (hook, states) = states();
        let handler = |conn: &mut Connection| {
            let mut byte = [0];
            conn.read_exact(&mut byte)?;
            assert_eq!(&byte, b"x");
            // As it was told when the byte came, this doesn't tell it again.
            conn.read_exact(&mut byte)
        };
        let (server, addr) = start(Server::new(handler).on_state(hook));
        let mut client = Client::new(addr);
        assert_eq!(states.next(), (1, New));
        client.0.get_mut().write_all(b"xy").unwrap();
        assert_eq!(states.next(), (1, Active));
        client.assert_end();
        assert_eq!(states.next(), (1, Closed));
        server.shutdown(LONG);

        let (hook, states) = net_server_support::states();
        let handler = |conn: &mut Connection| {
            conn.write_all(b"welcome\n")?;
            conn.write_all(b"goodbye\n")
        };
        let (server, addr) = start(Server::new(handler).on_state(hook));
        let mut client = Client::new(addr);
        assert_eq!(client.answer().unwrap().as_deref(), Some("welcome"));
        assert_eq!(client.answer().unwrap().as_deref(), Some("goodbye"));
        client.assert_end();
        server.shutdown(LONG);
        assert_eq!(states.all(), [(1, New), (1, Active), (1, Closed)]);
    });
}

/// Not only `Read` and `Write` make a connection active.
#[test]
fn pooled_reads_and_copies_make_a_connection_active() {
    static BUFFERS: BufferPool = BufferPool::new(64);
    fn pooled(conn: &mut Connection) -> io::Result<()> {
        loop {
            let bytes = BUFFERS.read(conn)?;
            if bytes.is_empty() {
                return Ok(());
            }
            conn.write_all(&bytes)?;
        }
    }
    fn copied(conn: &mut Connection) -> io::Result<()> {
        corio_net::copy(&*conn, &*conn).map(drop)
    }
    fn proxied(conn: &mut Connection) -> io::Result<()> {
        let echo = listen();
        let addr = echo.local_addr()?;
        let echo = corio::spawn(move || {
            let stream = echo.accept()?.0;
            corio_net::copy(&stream, &stream)
        });
        corio_net::copy_bidirectional(&*conn, &TcpStream::connect(addr)?)?;
        echo.join().unwrap().map(drop)
    }
    server_test(|| {
        for handler in [pooled, copied, proxied] {
            let (hook, states) = states();
            let (server, addr) = start(Server::new(handler).on_state(hook));
            let mut client = Client::new(addr);
            assert_eq!(client.ask("a"), "a");
            assert_eq!(states.next(), (1, New));
            assert_eq!(states.next(), (1, Active));
            assert_eq!(client.ask("b"), "b");
            client.0.get_ref().shutdown(Shutdown::Write).unwrap();
            client.assert_end();
            assert_eq!(states.next(), (1, Closed));
            server.shutdown(LONG);
            assert_eq!(server.stats().handler_errors, 0);
        }
    });
}

#[test]
fn an_idle_connection_ends_after_the_idle_timeout() {
    server_test(|| {
        let (tell, told) = unbounded();
        let gate = Gate::new();
        let theirs = gate.clone();
        let handler = move |conn: &mut Connection| {
            assert_eq!(conn.read_timeout()?, Some(LONG));
            // The client needs no luck to be in time.
            theirs.stop();
            let first = conn.wait_request()?;
            // Its own timeouts are as they were.
            assert_eq!(conn.read_timeout()?, Some(LONG));
            conn.read_exact(&mut [0])?;
            tell.send((first, conn.wait_request()?)).unwrap();
            Ok(())
        };
        let server = Server::new(handler).idle_timeout(SHORT);
        let (server, addr) = start(server.read_timeout(LONG));
        let mut client = Client::new(addr);
        client.0.get_mut().write_all(b"x").unwrap();
        gate.open();
        assert_eq!(told.recv(), Ok((true, false)));
        client.assert_end();
        server.shutdown(LONG);
        assert_eq!(server.stats().handler_errors, 0);
    });
}

/// A handler that has given up waiting is not idle any more, and may say so.
#[test]
fn a_farewell_after_the_idle_timeout_is_not_cut_off() {
    server_test(|| {
        let gate = Gate::new();
        let theirs = gate.clone();
        let handler = move |conn: &mut Connection| {
            if conn.id() == 2 {
                return shout(conn);
            }
            assert!(conn.wait_request()?);
            conn.read_exact(&mut [0])?;
            conn.set_read_deadline(Some(Instant::now() + SHORT))?;
            assert!(!conn.wait_request()?);
            theirs.stop();
            conn.write_all(b"bye\n")
        };
        let (hook, states) = states();
        let (server, addr) = start(Server::new(handler).on_state(hook));
        let mut client = Client::new(addr);
        client.0.get_mut().write_all(b"x").unwrap();
        gate.wait();
        let mut idle = Client::new(addr);
        assert_eq!(idle.ask("a"), "A");
        // Its answer is not the end of its request: the handler has to have come back for the next.
        states.wait(2, Idle);
        server.begin_shutdown(LONG);
        // Closed together with all that are idle.
        idle.assert_end();
        assert_eq!(server.stats().active, 1);
        gate.open();
        assert_eq!(client.answer().unwrap().as_deref(), Some("bye"));
        assert_eq!(server.wait().idle_closed, 1);
    });
}

#[test]
fn reads_and_writes_have_the_servers_timeouts() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = move |conn: &mut Connection| {
            let read = conn.read(&mut [0]).unwrap_err().kind();
            let write = loop {
                if let Err(error) = conn.write(&[7; 65536]) {
                    break error.kind();
                }
            };
            tell.send((read, write)).unwrap();
            Err(io::Error::other("enough"))
        };
        let server = Server::new(handler)
            .read_timeout(SHORT)
            .write_timeout(SHORT);
        let (server, addr) = start(server);
        let client = Client::new(addr);
        assert_eq!(told.recv(), Ok((ErrorKind::TimedOut, ErrorKind::TimedOut)));
        drop(client);
        server.shutdown(LONG);
        assert_eq!(server.stats().handler_errors, 1);
    });
}

#[test]
fn goroutines_are_named_after_the_server_and_the_client() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = move |_: &mut Connection| {
            let name = corio::current().name().map(String::from);
            tell.send(name).unwrap();
            Ok(())
        };
        let (server, addr) = start(Server::new(handler).name("greeter"));
        let client = Client::new(addr);
        let expected = format!("greeter:conn 1 {}", client.addr());
        assert_eq!(told.recv().unwrap(), Some(expected));
        assert_eq!(server.name(), "greeter");
        server.shutdown(LONG);
    });
}

#[test]
fn a_panic_ends_one_connection_and_is_counted_and_told() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = |conn: &mut Connection| {
            lines(conn, |_, line| match line {
                "panic" => panic!("as asked"),
                line => line.to_owned(),
            })
        };
        let (hook, states) = states();
        let server = Server::new(handler)
            .on_state(hook)
            .on_panic(move |info, payload| {
                let text = panic_text(payload).to_owned();
                tell.send((info.id(), info.peer_addr(), text)).unwrap();
            });
        let (server, addr) = start(server);
        let (mut calm, mut wild) = (Client::new(addr), Client::new(addr));
        assert_eq!(calm.ask("1"), "1");
        wild.send("panic");
        let (id, peer, text) = told.recv().unwrap();
        assert_eq!((peer, text.as_str()), (Addr::from(wild.addr()), "as asked"));
        wild.assert_over();
        states.wait(id, Closed);
        assert_eq!(calm.ask("2"), "2");
        assert_eq!(Client::new(addr).ask("3"), "3");
        assert_eq!(server.stats().panics, 1);
        assert_eq!(server.shutdown(LONG).forced, 0);
    });
}

#[test]
fn panics_of_hooks_are_caught_and_counted() {
    server_test(|| {
        let server = Server::new(shout)
            .on_state(|_, state| assert_ne!(state, Active, "the hook minds"))
            .on_error(|_, _| panic!("the other one, too"));
        let (server, addr) = start(server);
        let mut client = Client::new(addr);
        assert_eq!(client.ask("a"), "A");
        drop(client);
        server.shutdown(LONG);
        assert_eq!(server.stats().panics, 1);
    });
}

/// A payload may be anything, also something that panics when it is dropped.
#[test]
fn a_hook_that_panics_with_a_bomb_ends_no_accept_loop() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("boom"));
        }
    }
    server_test(|| {
        let server = Server::new(shout).admit(|info| match info.id() {
            1 => std::panic::resume_unwind(Box::new(Bomb)),
            _ => Admission::Admit,
        });
        let (server, addr) = start(server);
        // The reset may come while it still connects.
        match TcpStream::connect(addr) {
            Ok(stream) => Client::of(stream).assert_over(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        assert_eq!(Client::new(addr).ask("a"), "A");
        server.shutdown(LONG);
        assert_eq!(server.stats().panics, 1);
    });
}

#[test]
fn errors_of_handlers_are_counted_and_told() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = |conn: &mut Connection| {
            conn.wait_request()?;
            Err(io::Error::new(ErrorKind::InvalidData, "nonsense"))
        };
        let server = Server::new(handler).on_error(move |info, error| {
            tell.send(format!("{}: {error}", info.id())).unwrap();
        });
        let (server, addr) = start(server);
        let mut client = Client::new(addr);
        client.send("?");
        assert_eq!(told.recv().unwrap(), "1: nonsense");
        client.assert_over();
        server.shutdown(LONG);
        assert_eq!(server.stats().handler_errors, 1);
    });
}

#[test]
fn what_is_cloned_from_a_connection_is_closed_with_it() {
    server_test(|| {
        let gate = Gate::new();
        let theirs = gate.clone();
        let (give, given) = unbounded();
        let handler = move |conn: &mut Connection| {
            give.send(conn.try_clone()?).unwrap();
            theirs.stop();
            Ok(())
        };
        let (server, addr) = start(Server::new(handler));
        let mut client = Client::new(addr);
        let mut clone = given.recv().unwrap();
        let reader = corio::spawn(move || clone.read(&mut [0; 8]));
        gate.wait();
        gate.open();
        client.assert_end();
        let error = reader.join().unwrap().unwrap_err();
        assert!(corio_net::is_closed(&error), "{error}");
        server.shutdown(LONG);
    });
}

#[test]
fn several_listeners_of_several_networks_make_one_server() {
    server_test(|| {
        let path = unix_name("");
        let (tell, told) = unbounded();
        let handler = move |conn: &mut Connection| {
            let info = conn.info();
            assert_eq!((info.id(), info.peer_addr()), (conn.id(), conn.peer_addr()));
            tell.send((conn.network(), info.listener_addr().clone()))
                .unwrap();
            conn.write_all(b"hi\n")
        };
        let listeners = [
            Listener::from(listen()),
            Listener::from(listen()),
            listen_on("unix", &path).unwrap(),
        ];
        let server = Server::new(handler).start(listeners).unwrap();
        let addrs = server.addrs();
        assert_eq!(addrs.len(), 3);
        for (addr, network) in addrs.iter().zip(["tcp", "tcp", "unix"]) {
            let conn = dial(network, &addr.to_string()).unwrap();
            let mut line = String::new();
            BufReader::new(conn).read_line(&mut line).unwrap();
            assert_eq!(line, "hi\n");
            assert_eq!(told.recv().unwrap(), (network, addr.clone()));
        }
        server.shutdown(LONG);
        assert_eq!(server.stats().accepted, 3);
        for (addr, network) in addrs.iter().zip(["tcp", "tcp", "unix"]) {
            assert!(dial(network, &addr.to_string()).is_err());
        }
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
fn a_unix_connection_has_the_same_life() {
    server_test(|| {
        let path = unix_name("");
        let (hook, states) = states();
        // The limit is one per IP address, which nobody has here.
        let server = Server::new(shout).on_state(hook).max_per_peer(1);
        let server = server.start([listen_on("unix", &path).unwrap()]).unwrap();
        let connect = || BufReader::new(dial("unix", &path).unwrap());
        let mut clients = [connect(), connect()];
        for client in &mut clients {
            let mut line = String::new();
            client.get_mut().write_all(b"a\n").unwrap();
            client.read_line(&mut line).unwrap();
            assert_eq!(line, "A\n");
        }
        states.wait(2, Idle);
        let report = server.shutdown(LONG);
        assert_eq!((report.forced, server.stats().handler_errors), (0, 0));
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
fn dropping_the_handle_does_not_end_the_server() {
    server_test(|| {
        let handler = |conn: &mut Connection| {
            let server = conn.server();
            lines(conn, |_, line| {
                if line == "end" {
                    server.begin_shutdown(LONG);
                }
                line.to_uppercase()
            })
        };
        let (server, addr) = start(Server::new(handler));
        drop(server);
        assert_eq!(Client::new(addr).ask("a"), "A");
        let mut client = Client::new(addr);
        assert_eq!(client.ask("end"), "END");
        client.assert_end();
    });
}

#[test]
fn serve_returns_when_a_handler_has_shut_the_server_down() {
    server_test(|| {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let serving = corio::spawn(move || {
            let handler = |conn: &mut Connection| {
                conn.wait_request()?;
                conn.server().begin_shutdown(LONG);
                assert!(conn.server().clone().name() == "server");
                conn.write_all(b"bye\n")
            };
            Server::new(handler).serve(listener)
        });
        assert_eq!(Client::new(addr).ask("end"), "bye");
        let report = serving.join().unwrap().unwrap();
        assert_eq!(
            (report.drained, report.forced, report.unfinished),
            (1, 0, 0)
        );
    });
}

#[test]
fn a_connections_context_ends_with_its_handler() {
    server_test(|| {
        let (give, given) = unbounded();
        let gate = Gate::new();
        let theirs = gate.clone();
        let handler = move |conn: &mut Connection| {
            give.send(conn.context().clone()).unwrap();
            theirs.stop();
            Ok(())
        };
        let (server, addr) = start(Server::new(handler));
        let client = Client::new(addr);
        let context = given.recv().unwrap();
        gate.wait();
        assert!(context.err().is_none());
        gate.open();
        assert!(context.done().recv_timeout(LONG).is_err());
        assert!(context.err().is_some());
        assert!(server.context().err().is_none());
        drop(client);
        server.shutdown(LONG);
        assert!(server.context().err().is_some());
    });
}

#[test]
fn a_server_whose_listeners_were_closed_ends() {
    server_test(|| {
        let (one, two) = (listen(), listen());
        let clones = [one.try_clone().unwrap(), two.try_clone().unwrap()];
        let addr = one.local_addr().unwrap();
        let server = Server::new(shout).start([one, two]).unwrap();
        let mut client = Client::new(addr);
        assert_eq!(client.ask("a"), "A");
        clones[1].close().unwrap();
        assert_eq!(client.ask("b"), "B");
        clones[0].close().unwrap();
        assert_eq!(server.wait().forced, 0);
        client.assert_end();
    });
}

#[test]
fn servers_and_their_parts_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Server>();
    shared::<corio_net::ServerHandle>();
    shared::<Connection>();
    shared::<corio_net::ConnectionInfo>();
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    fn refused(server: Server) {
        let error = server.start([listen()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    server_test(|| {
        let server = || Server::new(shout);
        let none: [TcpListener; 0] = [];
        let error = server().start(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        refused(server().max_connections(0));
        refused(server().max_per_peer(0));
        refused(server().stack_size(usize::MAX));
        refused(server().idle_timeout(Duration::ZERO));
        refused(server().read_timeout(Duration::ZERO));
        refused(server().write_timeout(Duration::ZERO));
        refused(server().accept_rate(0, 1));
        refused(server().accept_rate(1, 0));
        refused(server().shutdown_on(&[SIGKILL], LONG));
        let closed = listen();
        closed.try_clone().unwrap().close().unwrap();
        let error = server().start([closed]).unwrap_err();
        assert!(corio_net::is_closed(&error), "{error}");
    });
}
