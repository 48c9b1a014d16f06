//! The end of a server: nothing that has arrived is lost, and nothing outlives it.

mod net_server_support;

use corio::channel::{bounded, unbounded};
use corio_net::ConnectionState::{Active, Closed, Idle, New};
use corio_net::{Backlog, Conn, Connection, Refusal, Server, ServerHandle, TcpListener, TcpStream};
use corio_tests::{mixed, yield_until};
use net_server_support::{Client, Gate, LONG, SHORT, lines, server_test, shout, start, states};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A handler that answers each line when the gate lets it.
fn held(gate: &Gate) -> impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static {
    let gate = gate.clone();
    move |conn| {
        lines(conn, |_, line| {
            gate.stop();
            line.to_uppercase()
        })
    }
}

/// Shuts down in the background.
fn shutting_down(
    server: &ServerHandle,
    grace: Duration,
) -> corio::JoinHandle<corio_net::ShutdownReport> {
    let theirs = server.clone();
    let shutdown = corio::spawn(move || theirs.shutdown(grace));
    assert!(server.context().done().recv_timeout(LONG).is_err());
    shutdown
}

/// Waits until connections are refused. Trying would make one that is served; and that the listener is closed says
/// only that its port is about to be freed. So the system is asked: a listener's address is in the second column, and
/// `0A` in the fourth.
fn wait_refused(addr: SocketAddr) {
    let port = format!(":{:04X}", addr.port());
    yield_until(|| {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        !sockets.lines().any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next().is_some_and(|local| local.ends_with(&port))
                && columns.nth(1) == Some("0A")
        })
    });
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn idle_connections_are_closed_at_once() {
    server_test(|| {
        let (hook, states) = states();
        let (server, addr) = start(Server::new(shout).on_state(hook));
        let mut clients: Vec<_> = (0..10).map(|_| Client::new(addr)).collect();
        for client in &mut clients {
            assert_eq!(client.ask("a"), "A");
        }
        yield_until(|| server.stats().idle == 10);
        let report = server.shutdown(LONG);
        assert_eq!(
            (report.idle_closed, report.drained, report.forced),
            (10, 0, 0)
        );
        assert!(report.elapsed < LONG);
        for client in &mut clients {
            client.assert_end();
        }
        let closed = states
            .all()
            .iter()
            .filter(|(_, state)| *state == Closed)
            .count();
        assert_eq!(closed, 10);
        assert_eq!(server.stats().handler_errors, 0);
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_request_that_is_worked_on_is_answered_first() {
    server_test(|| {
        let gate = Gate::new();
        let (server, addr) = start(Server::new(held(&gate)));
        let mut client = Client::new(addr);
        client.send("hello");
        gate.wait();
        let shutdown = shutting_down(&server, LONG);
        wait_refused(addr);
        assert!(!shutdown.is_finished());
        gate.open();
        assert_eq!(client.answer().unwrap().as_deref(), Some("HELLO"));
        client.assert_end();
        let report = shutdown.join().unwrap();
        assert_eq!(
            (report.drained, report.idle_closed, report.forced),
            (1, 0, 0)
        );
    });
}

#[test]
fn handlers_are_told_by_their_context_and_when_they_ask() {
    server_test(|| {
        let (tell, told) = bounded(0);
        let handler = move |conn: &mut Connection| {
            conn.wait_request()?;
            let before = (conn.is_shutting_down(), conn.context().err().is_some());
            tell.send(before).unwrap();
            assert!(conn.context().done().recv_timeout(LONG).is_err());
            assert!(conn.server().is_shutting_down());
            tell.send((conn.is_shutting_down(), true)).unwrap();
            conn.write_all(b"the end\n")
        };
        let (server, addr) = start(Server::new(handler));
        let mut client = Client::new(addr);
        client.send("?");
        assert_eq!(told.recv(), Ok((false, false)));
        server.begin_shutdown(LONG);
        assert_eq!(told.recv(), Ok((true, true)));
        assert_eq!(client.answer().unwrap().as_deref(), Some("the end"));
        assert_eq!(server.shutdown(LONG).drained, 1);
    });
}

#[test]
fn what_is_left_at_the_deadline_is_closed_by_force() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = move |conn: &mut Connection| {
            let mut byte = [0];
            conn.read_exact(&mut byte)?;
            tell.send(false).unwrap();
            // Nothing more comes.
            let error = conn.read_exact(&mut byte).unwrap_err();
            tell.send(corio_net::is_closed(&error)).unwrap();
            Err(error)
        };
        let (server, addr) = start(Server::new(handler));
        let mut client = Client::new(addr);
        client.0.get_mut().write_all(b"x").unwrap();
        assert_eq!(told.recv(), Ok(false));
        let report = server.shutdown(SHORT);
        assert!(report.elapsed >= SHORT);
        assert_eq!(
            (report.forced, report.drained, report.idle_closed),
            (1, 0, 0)
        );
        assert_eq!(told.recv(), Ok(true));
        client.assert_over();
        // It is the server's doing, and no error of the handler's.
        assert_eq!(server.wait().forced, 1);
        assert_eq!(server.stats().handler_errors, 0);
    });
}

/// The handler's linger time says how long *it* is willing to wait.
#[test]
fn a_linger_time_does_not_hold_up_the_deadline() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = move |conn: &mut Connection| {
            if let Conn::Tcp(stream) = &**conn {
                stream.set_linger(Some(LONG))?;
            }
            // More than the client, who reads nothing, and the system take.
            conn.set_write_timeout(Some(SHORT))?;
            while conn.write(&[7; 65536]).is_ok() {}
            tell.send(()).unwrap();
            conn.read(&mut [0]).map(drop)
        };
        let (server, addr) = start(Server::new(handler));
        let client = Client::new(addr);
        told.recv().unwrap();
        let report = server.shutdown(Duration::ZERO);
        assert_eq!((report.forced, report.unfinished), (1, 0));
        assert!(report.elapsed < LONG / 2, "{report}");
        drop(client);
    });
}

#[test]
fn a_handler_that_does_not_return_is_reported_and_holds_up_nobody() {
    server_test(|| {
        let gate = Gate::new();
        let (server, addr) = start(Server::new(held(&gate)));
        let mut client = Client::new(addr);
        client.send("hello");
        gate.wait();
        let report = server.shutdown(Instant::now());
        assert_eq!((report.forced, report.unfinished), (1, 1));
        assert!(
            report.to_string().contains("handlers unfinished: 1"),
            "{report}"
        );
        client.assert_over();
        assert_eq!(server.wait(), report);
        gate.open();
    });
}

#[test]
fn a_new_connection_has_time_to_send_its_request() {
    server_test(|| {
        let (hook, states) = states();
        let (server, addr) = start(Server::new(shout).new_grace(LONG).on_state(hook));
        let (mut client, mut silent) = (Client::new(addr), Client::new(addr));
        assert_eq!(states.next().1, New);
        assert_eq!(states.next().1, New);
        let shutdown = shutting_down(&server, LONG);
        wait_refused(addr);
        assert_eq!(client.ask("late"), "LATE");
        client.assert_end();
        assert_eq!(server.stats().new, 1);
        drop(silent.0.get_ref().shutdown(std::net::Shutdown::Write));
        silent.assert_end();
        let report = shutdown.join().unwrap();
        assert_eq!(
            (report.drained, report.idle_closed, report.forced),
            (2, 0, 0)
        );
    });
}

#[test]
fn a_new_connection_that_says_nothing_is_closed_when_its_time_is_over() {
    server_test(|| {
        // One handler waits for a request, the other one just reads.
        let handler = |conn: &mut Connection| {
            if conn.id() == 1 {
                shout(conn)
            } else {
                conn.read(&mut [0]).map(drop)
            }
        };
        let (hook, states) = states();
        let server = Server::new(handler).new_grace(SHORT).on_state(hook);
        let (server, addr) = start(server);
        let mut clients = [Client::new(addr), Client::new(addr)];
        assert_eq!(states.next().1, New);
        assert_eq!(states.next().1, New);
        let report = server.shutdown(LONG);
        assert_eq!(
            (report.idle_closed, report.drained, report.forced),
            (2, 0, 0)
        );
        for client in &mut clients {
            client.assert_end();
        }
        assert_eq!(server.stats().handler_errors, 0);
    });
}

/// The connection is idle, and its goroutine held up there, when the request comes and the server shuts down.
#[test]
fn a_request_that_has_arrived_on_an_idle_connection_is_served() {
    server_test(|| {
        let gate = Gate::new();
        let theirs = gate.clone();
        let (give, given) = unbounded();
        let handler = move |conn: &mut Connection| {
            give.send(conn.try_clone()?).unwrap();
            shout(conn)
        };
        let server = Server::new(handler).on_state(move |_, state| {
            if state == Idle {
                theirs.stop();
            }
        });
        let (server, addr) = start(server);
        let mut client = Client::new(addr);
        assert_eq!(client.ask("first"), "FIRST");
        gate.wait();
        client.send("second");
        let Conn::Tcp(conn) = given.recv().unwrap() else {
            panic!("not over TCP");
        };
        assert_eq!(conn.peek(&mut [0]).unwrap(), 1);
        drop(conn);
        let shutdown = shutting_down(&server, LONG);
        // The listener is closed after the idle connections were looked at, or before; both are done
        // when the next look has nothing to change.
        wait_refused(addr);
        assert_eq!(server.stats().idle, 1);
        gate.open();
        assert_eq!(client.answer().unwrap().as_deref(), Some("SECOND"));
        client.assert_end();
        let report = shutdown.join().unwrap();
        assert_eq!(
            (report.drained, report.idle_closed, report.forced),
            (1, 0, 0)
        );
    });
}

/// The next request is there when the handler asks for it: it is served, though the server shuts down.
#[test]
fn a_request_that_has_arrived_behind_another_one_is_served() {
    server_test(|| {
        let gate = Gate::new();
        let theirs = gate.clone();
        let handler = move |conn: &mut Connection| {
            let mut byte = [0];
            while conn.wait_request()? {
                // One byte is a request, so that the next one isn't read with it.
                conn.read_exact(&mut byte)?;
                theirs.stop();
                conn.write_all(&[byte[0], b'\n'])?;
            }
            Ok(())
        };
        let (server, addr) = start(Server::new(handler));
        let mut client = Client::new(addr);
        client.0.get_mut().write_all(b"ab").unwrap();
        gate.wait();
        let shutdown = shutting_down(&server, LONG);
        gate.open();
        gate.wait();
        gate.open();
        assert_eq!(client.answer().unwrap().as_deref(), Some("a"));
        assert_eq!(client.answer().unwrap().as_deref(), Some("b"));
        client.assert_end();
        assert_eq!(shutdown.join().unwrap().drained, 1);
    });
}

#[test]
fn connections_that_the_kernel_has_accepted_are_served() {
    server_test(|| {
        let gate = Gate::new();
        let (server, addr) = start(Server::new(held(&gate)).max_connections(1));
        let mut first = Client::new(addr);
        first.send("first");
        gate.wait();
        let mut others: Vec<_> = (0..20).map(|_| Client::new(addr)).collect();
        for other in &mut others {
            other.send("other");
        }
        let shutdown = shutting_down(&server, LONG);
        // Nobody waits behind them.
        wait_refused(addr);
        assert_eq!(server.stats().accepted, 1);
        for _ in 0..20 {
            gate.open();
            gate.wait();
        }
        gate.open();
        assert_eq!(first.answer().unwrap().as_deref(), Some("FIRST"));
        for other in &mut others {
            assert_eq!(other.answer().unwrap().as_deref(), Some("OTHER"));
            other.assert_end();
        }
        let report = shutdown.join().unwrap();
        assert_eq!(
            (report.drained, report.idle_closed, report.forced),
            (21, 0, 0)
        );
        assert!(report.backlog >= 20, "{report:?}");
    });
}

#[test]
fn connections_that_wait_for_room_are_closed_at_the_deadline() {
    server_test(|| {
        let gate = Gate::new();
        let (tell, told) = unbounded();
        let server = Server::new(held(&gate))
            .max_connections(1)
            .on_refused(move |_, _, refusal| tell.send(refusal).unwrap());
        let (server, addr) = start(server);
        let mut first = Client::new(addr);
        first.send("first");
        gate.wait();
        let mut second = Client::new(addr);
        let shutdown = shutting_down(&server, LONG);
        wait_refused(addr);
        server.begin_shutdown(Duration::ZERO);
        assert_eq!(told.recv(), Ok(Refusal::ShuttingDown));
        first.assert_over();
        second.assert_over();
        gate.open();
        let report = shutdown.join().unwrap();
        assert!(report.forced >= 1, "{report:?}");
        server.wait();
    });
}

#[test]
fn the_queue_is_left_to_a_successor_if_told_so() {
    server_test(|| {
        let gate = Gate::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let theirs = TcpListener::try_from(listener.try_clone().unwrap()).unwrap();
        let server = Server::new(held(&gate))
            .max_connections(1)
            .backlog(Backlog::Leave)
            .start([theirs])
            .unwrap();
        let mut first = Client::new(addr);
        first.send("first");
        gate.wait();
        let mut others: Vec<_> = (0..5).map(|_| Client::new(addr)).collect();
        for other in &mut others {
            other.send("other");
        }
        let shutdown = shutting_down(&server, LONG);
        gate.open();
        assert_eq!(first.answer().unwrap().as_deref(), Some("FIRST"));
        assert_eq!(shutdown.join().unwrap().backlog, 0);
        // The same socket goes on listening, and has them all.
        let successor = Server::new(shout)
            .start([TcpListener::try_from(listener).unwrap()])
            .unwrap();
        for other in &mut others {
            assert_eq!(other.answer().unwrap().as_deref(), Some("OTHER"));
        }
        successor.shutdown(LONG);
    });
}

#[test]
fn all_calls_wait_for_the_same_shutdown() {
    server_test(|| {
        let gate = Gate::new();
        let (server, addr) = start(Server::new(held(&gate)));
        let mut client = Client::new(addr);
        client.send("hello");
        gate.wait();
        let theirs = server.clone();
        let (tell, told) = unbounded();
        let join = mixed(8, move |i| {
            let report = match i {
                0 | 1 => theirs.wait(),
                _ => theirs.shutdown(LONG),
            };
            tell.send(report).unwrap();
        });
        assert!(server.context().done().recv_timeout(LONG).is_err());
        gate.open();
        join();
        let report = server.shutdown(Duration::ZERO);
        assert_eq!((report.drained, report.forced), (1, 0));
        assert!(told.try_iter().all(|theirs| theirs == report));
    });
}

#[test]
fn the_earliest_deadline_applies() {
    server_test(|| {
        let gate = Gate::new();
        let (server, addr) = start(Server::new(held(&gate)));
        let mut client = Client::new(addr);
        client.send("hello");
        gate.wait();
        // Never.
        server.begin_shutdown(Duration::MAX);
        let shutdown = shutting_down(&server, LONG);
        server.begin_shutdown(SHORT);
        server.begin_shutdown(LONG);
        client.assert_over();
        gate.open();
        assert_eq!(shutdown.join().unwrap().forced, 1);
        server.wait();
    });
}

#[test]
fn a_handler_that_shuts_down_waits_for_itself_no_longer_than_the_deadline() {
    server_test(|| {
        let (tell, told) = unbounded();
        let handler = move |conn: &mut Connection| {
            tell.send(conn.server().shutdown(SHORT)).unwrap();
            Ok(())
        };
        let (server, addr) = start(Server::new(handler).new_grace(LONG));
        let mut client = Client::new(addr);
        let report = told.recv().unwrap();
        assert_eq!((report.forced, report.unfinished), (1, 1));
        client.assert_over();
        server.wait();
    });
}

/// Requests on connections that are kept come at the very moment in which the server shuts down: each is
/// answered in full, or not read at all.
#[test]
fn no_request_that_was_read_is_cut_off() {
    server_test(|| {
        for _ in 0..10 {
            let (begun, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let ours = (Arc::clone(&begun), Arc::clone(&answered));
            let handler = move |conn: &mut Connection| {
                let mut byte = [0];
                while conn.wait_request()? {
                    conn.read_exact(&mut byte)?;
                    begun.fetch_add(1, Ordering::SeqCst);
                    corio::yield_now();
                    conn.write_all(b"an answer\n")?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            };
            let (server, addr) = start(Server::new(handler));
            let got = Arc::new(AtomicUsize::new(0));
            let theirs = Arc::clone(&got);
            let join = mixed(16, move |_| {
                // The last ones may come too late to be connected at all.
                let Ok(stream) = TcpStream::connect(addr) else {
                    return;
                };
                let mut client = Client::of(stream);
                while client.0.get_mut().write_all(b"x").is_ok() {
                    match client.answer() {
                        Ok(Some(answer)) => assert_eq!(answer, "an answer"),
                        // A request that came too late.
                        Ok(None) => return,
                        Err(error) => {
                            return assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                        }
                    }
                    theirs.fetch_add(1, Ordering::SeqCst);
                }
            });
            yield_until(|| got.load(Ordering::SeqCst) > 200);
            let report = server.shutdown(LONG);
            join();
            assert_eq!(report.forced, 0);
            assert_eq!(server.stats().handler_errors, 0);
            let (begun, answered) = ours;
            assert_eq!(
                begun.load(Ordering::SeqCst),
                answered.load(Ordering::SeqCst)
            );
            assert_eq!(answered.load(Ordering::SeqCst), got.load(Ordering::SeqCst));
        }
    });
}

/// A server is shut down while it starts, and while connections come.
#[test]
fn a_shutdown_may_come_at_any_time() {
    server_test(|| {
        for round in 0..50 {
            let (hook, states) = states();
            let server = Server::new(shout).on_state(hook).max_connections(3);
            let (server, addr) = start(server.new_grace(LONG));
            let clients: Vec<_> = (0..6)
                .map(|_| {
                    corio::spawn(move || {
                        if let Ok(stream) = TcpStream::connect(addr) {
                            let mut client = Client::of(stream);
                            let sent = writeln!(client.0.get_mut(), "a");
                            // An error of one or the other: it was too late for the kernel's queue. (Only the
                            // first call after a reset tells of it; then there is the end.)
                            if sent.is_ok()
                                && let Ok(answer) = client.answer()
                            {
                                assert_eq!(answer.as_deref(), Some("A"));
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..round {
                corio::yield_now();
            }
            let report = server.shutdown(LONG);
            assert_eq!((report.forced, report.unfinished), (0, 0));
            for client in clients {
                client.join().unwrap();
            }
            let all = states.all();
            let of = |wanted| all.iter().filter(|(_, state)| *state == wanted).count();
            assert_eq!(of(New), of(Closed));
            assert!(of(Active) <= of(New));
            assert_eq!(server.stats().open(), 0);
        }
    });
}
