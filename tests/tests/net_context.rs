//! `with_context`: a context ends what waits on a socket. Go has `context.AfterFunc` for it; in brackets,
//! the test of Go's `context` package with the same behaviour in it.

mod net_support;

use corio::context::{Context, ContextError};
use corio_net::{
    Conn, Pollable, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
    pipe, with_context,
};
use corio_tests::yield_until;
use net_support::*;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

fn assert_canceled<T: Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert_eq!(inner, Some(&ContextError::Canceled), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Other);
}

/// Runs `f`, which waits, in a task of its own, and cancels its context in the meantime.
fn cancelled_meanwhile<T: Send + Debug + 'static>(
    cast: Cast,
    round: usize,
    f: impl FnOnce(&Context) -> io::Result<T> + Send + 'static,
) {
    let (ctx, cancel) = Context::background().with_cancel();
    let waiting = cast.spawn(move || f(&ctx));
    pause(round);
    cancel.cancel();
    assert_canceled(waiting.join());
}

/// [ExampleAfterFunc_connection]
#[test]
fn the_end_of_a_context_ends_what_waits() {
    everywhere(|cast| {
        for network in networks() {
            for round in 0..4 {
                let (conn, other) = conns(network);
                let conn = Arc::new(conn);
                let (reader, writer) = (Arc::clone(&conn), Arc::clone(&conn));
                cancelled_meanwhile(cast, round, move |ctx| {
                    with_context(ctx, &*reader, |mut conn| conn.read(&mut [0]))
                });
                cancelled_meanwhile(cast, round, move |ctx| {
                    let bytes = vec![7; 1 << 20];
                    with_context(ctx, &*writer, |mut conn| {
                        loop {
                            conn.write_all(&bytes)?;
                        }
                        #[allow(unreachable_code)]
                        Ok(())
                    })
                });
                drop(other);
                let (listener, _) = local(network);
                cancelled_meanwhile(cast, round, move |ctx| {
                    with_context(ctx, &listener, |listener| listener.accept())
                });
            }
        }
    });
}

#[test]
fn a_deadline_is_a_timeout() {
    everywhere(|cast| {
        for network in networks() {
            let (conn, _other) = conns(network);
            cast.spawn(move || {
                let start = Instant::now();
                let (ctx, _cancel) = Context::background().with_timeout(SHORT);
                let error = with_context(&ctx, &conn, |mut conn| conn.read(&mut [0])).unwrap_err();
                assert!(start.elapsed() >= SHORT);
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                assert_eq!(inner, Some(&ContextError::DeadlineExceeded));
            })
            .join();
        }
    });
}

#[test]
fn every_type_of_socket_will_do() {
    everywhere(|cast| {
        let (client, _server) = pair();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &client, |mut stream: &TcpStream| stream.read(&mut [0]))
        });
        let (listener, _) = listen();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &listener, TcpListener::accept)
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &socket, |socket| socket.recv_from(&mut [0]))
        });
        let (one, _other) = UnixDatagram::pair().unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &one, |socket| socket.recv(&mut [0]))
        });
        let (one, _other) = UnixStream::pair().unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &one, |stream| stream.wait_readable())
        });
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.join("listener")).unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &listener, UnixListener::accept)
        });
        let (reader, _writer) = pipe().unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &reader, |mut reader| reader.read(&mut [0]))
        });
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let pollable = Pollable::new(one).unwrap();
        cancelled_meanwhile(cast, 1, move |ctx| {
            with_context(ctx, &pollable, |pollable| pollable.wait_readable())
        });
    });
}

/// [TestAfterFuncCalledAfterCancel]
#[test]
fn after_the_end_nothing_begins() {
    everywhere(|_| {
        let (conn, _other) = conns("tcp");
        let (ctx, cancel) = Context::background().with_cancel();
        cancel.cancel();
        assert_canceled(with_context(&ctx, &conn, |_| -> io::Result<()> {
            panic!("called")
        }));
    });
}

#[test]
fn results_and_other_errors_are_kept() {
    everywhere(|_| {
        let (conn, mut other) = conns("tcp");
        let ended = || {
            let (ctx, cancel) = Context::background().with_cancel();
            (ctx, move || {
                cancel.cancel();
            })
        };
        let (ctx, end) = ended();
        let result = with_context(&ctx, &conn, |_| {
            end();
            Ok(7)
        });
        assert_eq!(result.unwrap(), 7);
        let (ctx, end) = ended();
        let result = with_context(&ctx, &conn, |_| -> io::Result<()> {
            end();
            Err(ErrorKind::UnexpectedEof.into())
        });
        assert_kind(result, ErrorKind::UnexpectedEof);
        // An own deadline, while the context goes on.
        let (ctx, _cancel) = Context::background().with_cancel();
        let result = with_context(&ctx, &conn, |mut conn| {
            conn.set_read_deadline(Some(Instant::now()))?;
            conn.read(&mut [0])
        });
        assert_timed_out(result);
        conn.set_read_deadline(None).unwrap();
        other.write_all(b"x").unwrap();
        let result = with_context(&ctx, &conn, |mut conn| conn.read(&mut [0]));
        assert_eq!(result.unwrap(), 1);
        let result = with_context(&ctx, &conn, |mut conn| {
            conn.close()?;
            conn.read(&mut [0])
        });
        assert_closed(result);
    });
}

#[test]
fn deadlines_stay_the_users() {
    everywhere(|_| {
        let (conn, mut other) = conns("tcp");
        let interrupted = |within: &dyn Fn(&Conn)| {
            let (ctx, cancel) = Context::background().with_cancel();
            let result = with_context(&ctx, &conn, |mut conn| {
                cancel.cancel();
                within(conn);
                conn.read(&mut [0])
            });
            assert_canceled(result);
        };
        // None before: none afterwards.
        interrupted(&|_| {});
        other.write_all(b"x").unwrap();
        (&conn).read_exact(&mut [0]).unwrap();
        // Set by the function, after the context's end: that does not let it wait, and stays.
        interrupted(&|conn| conn.set_read_deadline(after(LONG)).unwrap());
        other.write_all(b"x").unwrap();
        (&conn).read_exact(&mut [0]).unwrap();
        interrupted(&|conn| conn.set_deadline(None).unwrap());
        interrupted(&|conn| conn.set_read_deadline(Some(Instant::now())).unwrap());
        assert_timed_out((&conn).read(&mut [0]));
        // Set before: comes in its time.
        let deadline = Instant::now() + SHORT;
        conn.set_read_deadline(Some(deadline)).unwrap();
        interrupted(&|_| {});
        assert_timed_out((&conn).read(&mut [0]));
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn calls_may_be_nested() {
    everywhere(|cast| {
        let (conn, mut other) = conns("tcp");
        let root = Context::background();
        // The inner one ends: the outer one goes on.
        let (outer, _cancel) = root.with_cancel();
        let (inner, cancel) = root.with_cancel();
        let result = with_context(&outer, &conn, |mut conn| {
            let result = with_context(&inner, conn, |mut conn| {
                cancel.cancel();
                conn.read(&mut [0])
            });
            assert_canceled(result);
            other.write_all(b"x")?;
            conn.read(&mut [0])
        });
        assert_eq!(result.unwrap(), 1);
        // The outer one ends: both do, and each tells what it knows.
        let (outer, cancel) = root.with_cancel();
        let (inner, _cancel) = root.with_cancel();
        let waiting = cast.spawn(move || {
            let result = with_context(&outer, &conn, |conn| {
                let result = with_context(&inner, conn, |mut conn| conn.read(&mut [0]));
                assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::TimedOut);
                result
            });
            assert_canceled(result);
            conn
        });
        pause(2);
        cancel.cancel();
        let conn = waiting.join();
        other.write_all(b"x").unwrap();
        (&conn).read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn the_first_end_is_one_for_all_who_wait() {
    everywhere(|cast| {
        let (conn, mut other) = conns("tcp");
        let conn = Arc::new(conn);
        let (ctx, cancel) = Context::background().with_cancel();
        let theirs = Arc::clone(&conn);
        let bystander = cast.spawn(move || (&mut &*theirs).read(&mut [0]));
        let (theirs, begun) = (Arc::clone(&conn), Arc::new(AtomicBool::new(false)));
        let begin = Arc::clone(&begun);
        // Its read waits for the bystander's turn, or the other way round.
        let waiting = cast.spawn(move || {
            with_context(&ctx, &*theirs, |mut conn| {
                begin.store(true, Ordering::Relaxed);
                let result = conn.read(&mut [0]);
                // Until then, whoever waits is interrupted.
                assert_timed_out(bystander.join());
                result
            })
        });
        yield_until(|| begun.load(Ordering::Relaxed));
        pause(2);
        cancel.cancel();
        assert_canceled(waiting.join());
        other.write_all(b"x").unwrap();
        (&mut &*conn).read_exact(&mut [0]).unwrap();
    });
}

/// [TestAfterFuncStop, at the same time]
#[test]
fn an_end_at_the_last_moment_leaves_nothing() {
    everywhere(|cast| {
        for round in 0..100 {
            let (client, mut server) = pair();
            let (ctx, cancel) = Context::background().with_cancel();
            let go = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&go);
            let canceller = cast.spawn(move || {
                while !theirs.load(Ordering::Relaxed) {
                    corio::yield_now();
                }
                cancel.cancel();
            });
            server.write_all(b"x").unwrap();
            let result = with_context(&ctx, &client, |mut client| {
                go.store(true, Ordering::Relaxed);
                if round % 2 == 0 {
                    corio::yield_now();
                }
                client.read(&mut [0])
            });
            match result {
                Ok(n) => assert_eq!(n, 1),
                Err(_) => {
                    assert_canceled(result);
                    (&client).read_exact(&mut [0]).unwrap();
                }
            }
            // Nothing of the interruption is left, and no handle.
            server.write_all(b"y").unwrap();
            (&client).read_exact(&mut [0]).unwrap();
            client.into_std().unwrap();
            canceller.join();
        }
    });
}

#[test]
fn a_panic_takes_the_interruption_with_it() {
    everywhere(|_| {
        let (client, mut server) = pair();
        let (ctx, cancel) = Context::background().with_cancel();
        let panicked = std::panic::catch_unwind(|| {
            let _ = with_context(&ctx, &client, |mut client| -> io::Result<()> {
                cancel.cancel();
                // Not before the interruption is there.
                client.read(&mut [0]).unwrap_err();
                std::panic::resume_unwind(Box::new("on purpose"))
            });
        });
        panicked.unwrap_err();
        server.write_all(b"x").unwrap();
        (&client).read_exact(&mut [0]).unwrap();
        client.into_std().unwrap();
    });
}

#[test]
fn without_an_end_it_is_just_a_call() {
    everywhere(|_| {
        let (conn, mut other) = conns("unix");
        other.write_all(b"ab").unwrap();
        for ctx in [
            Context::background(),
            Context::background().with_timeout(Duration::MAX).0,
        ] {
            let result = with_context(&ctx, &conn, |mut conn| conn.read(&mut [0]));
            assert_eq!(result.unwrap(), 1);
        }
    });
}
