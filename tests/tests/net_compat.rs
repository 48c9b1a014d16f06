//! Streams for futures: `corio_net::compat`.

mod net_support;

use corio::{block_on, spawn};
use corio_net::compat::Compat;
use corio_net::{TcpListener, TcpStream, is_closed};
use futures_util::future::{join, select};
use futures_util::io::{AsyncReadExt, AsyncWriteExt, copy};
use net_support::{LONG, SHORT};
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// More than the system keeps for a connection, both ways at once on one goroutine.
#[test]
fn an_echo_by_two_futures_on_one_goroutine() {
    let (client, server) = pair();
    let echo = spawn(move || {
        let (from, mut to) = Compat::new(server).split();
        block_on(async {
            copy(from, &mut to).await?;
            to.close().await
        })
    });
    let bytes: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 7) as u8).collect();
    let (mut from, mut to) = Compat::new(client).split();
    let mut back = Vec::new();
    let (sent, received) = block_on(join(
        async {
            to.write_all(&bytes).await?;
            to.close().await
        },
        from.read_to_end(&mut back),
    ));
    sent.unwrap();
    received.unwrap();
    assert!(back == bytes);
    echo.join().unwrap().unwrap();
}

/// A future that is dropped leaves nothing: the next read, a goroutine's or a future's, gets the bytes.
#[test]
fn a_dropped_future_takes_nothing_with_it() {
    let (client, mut server) = pair();
    let mut stream = Compat::new(client.try_clone().unwrap());
    let mut buf = [0; 8];
    let drop_one = |stream: &mut Compat<TcpStream>| {
        block_on(async {
            let mut buf = [0; 8];
            let read = pin!(stream.read(&mut buf));
            select(read, std::future::ready(())).await;
        });
    };
    drop_one(&mut stream);
    server.write_all(b"one").unwrap();
    assert_eq!((&client).read(&mut buf).unwrap(), 3);
    drop_one(&mut stream);
    server.write_all(b"four").unwrap();
    assert_eq!(block_on(stream.read(&mut buf)).unwrap(), 4);
    drop_one(&mut stream);
}

#[test]
fn deadlines_timeouts_and_close_end_polls_that_wait() {
    let (client, _server) = pair();
    let mut stream = Compat::new(client.try_clone().unwrap());
    client.set_read_timeout(Some(SHORT)).unwrap();
    let error = block_on(stream.read(&mut [0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    client.set_read_timeout(None).unwrap();
    client
        .set_read_deadline(Some(Instant::now() + SHORT))
        .unwrap();
    let error = block_on(stream.read(&mut [0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    client.set_read_deadline(None).unwrap();
    let waiting = spawn(move || block_on(stream.read(&mut [0])).unwrap_err());
    corio::sleep(SHORT);
    client.close().unwrap();
    assert!(is_closed(&waiting.join().unwrap()));
}

/// A waker that isn't `block_on`'s may do what it likes, also panic: it has a goroutine of its own.
#[test]
fn other_wakers_are_user_code() {
    struct Calls(mpsc::Sender<()>, bool);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            corio::yield_now();
            corio::sleep(SHORT);
            self.0.send(()).unwrap();
            assert!(!self.1, "a waker that panics");
        }
    }

    for panics in [false, true] {
        let (client, mut server) = pair();
        let mut stream = Compat::new(client);
        let (tx, rx) = mpsc::channel();
        let waker = Waker::from(Arc::new(Calls(tx, panics)));
        let mut buf = [0; 8];
        let mut poll = |stream: &mut Compat<TcpStream>| {
            let read = pin!(stream.read(&mut buf));
            std::future::Future::poll(read, &mut Context::from_waker(&waker))
        };
        assert!(poll(&mut stream).is_pending());
        server.write_all(b"data").unwrap();
        rx.recv_timeout(LONG).unwrap();
        assert!(matches!(poll(&mut stream), Poll::Ready(Ok(4))));
    }
}
