//! hyper on goroutines: HTTP/1.1 and HTTP/2 (with prior knowledge) on one port.
//!
//! `cargo run --release --example hyper_server`, then `curl --http2-prior-knowledge http://127.0.0.1:8082/`. A
//! connection is a goroutine that runs hyper's future with `block_on`; `Compat` makes the stream hyper's, and HTTP/2's
//! requests are goroutines too (`Executor`). Answers: a line of text at `/`, JSON that comes back at `/echo`, and a
//! body that is made while it is sent at `/stream`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use corio::block_on;
use corio::group::WaitGroup;
use corio::sync::Mutex;
use corio_examples::{accept, listen, run, say};
use corio_net::TcpStream;
use corio_net::compat::{Compat, Executor, Timer};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest JSON that is taken; a longer one is answered 413.
const MAX_JSON: usize = 1 << 20;
/// How long a client may take over its first bytes, and over a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may neither send nor take anything.
const IDLE: Duration = Duration::from_secs(60);

/// Answers GET of / and /stream, and POST of JSON to /echo. Ctrl-C ends it.
#[derive(Parser)]
struct Args {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:8082")]
    addr: String,
}

/// How long requests under way may take after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(1);

type Failure = Box<dyn Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

fn main() -> ExitCode {
    let args = Args::parse();
    run("hyper_server", move || {
        let listener = listen("hyper_server", &args.addr)?;
        let (stop, open) = (Arc::new(Stop::default()), WaitGroup::new());
        let mut connections = 0_u64;
        while let Some(stream) = accept(&listener) {
            let (id, stop) = (connections, Arc::clone(&stop));
            connections += 1;
            // An error is the other side's, and ends its connection only.
            drop(open.go(move || serve(stream, &stop, id)));
        }
        stop.now();
        let _ = open.wait_timeout(DRAIN); // who takes longer is cut off
        say!("hyper_server: stopped after {connections} connections");
        Ok(())
    })
}

/// Serves one connection to its end.
fn serve(stream: TcpStream, stop: &Stop, id: u64) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let is_http2 = begins_with_preface(&stream)?;
    // Times out what waits in both protocols; hyper's own timer is for an HTTP/1 request's head.
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let stream = Compat::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(Executor)
            .timer(Timer)
            .serve_connection(stream, service_fn(answer));
        block_on(stop.over(id, connection, |connection| connection.graceful_shutdown()))?;
    } else {
        let connection = http1::Builder::new()
            .timer(Timer)
            .header_read_timeout(HEAD)
            .half_close(true)
            .serve_connection(stream, service_fn(answer));
        block_on(stop.over(id, connection, |connection| connection.graceful_shutdown()))?;
    }
    Ok(())
}

/// Is it HTTP/2? Looks at the first bytes and leaves them to hyper.
fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    stream.set_read_deadline(Some(Instant::now() + HEAD))?;
    let mut first = [0; PREFACE.len()];
    let is_http2 = loop {
        let n = stream.peek(&mut first)?;
        if n == 0 || n == PREFACE.len() || !PREFACE.starts_with(&first[..n]) {
            break first == PREFACE;
        }
        // A part of the preface, which comes in pieces: peeking doesn't wait for the next one.
        corio::sleep(Duration::from_millis(1));
    };
    stream.set_read_deadline(None)?;
    Ok(is_http2)
}

/// Answers a request of either protocol.
async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let wants = match request.uri().path() {
        "/" | "/stream" => Method::GET,
        "/echo" => Method::POST,
        _ => return Ok(text(StatusCode::NOT_FOUND, "Not found.\n")),
    };
    let method = request.method();
    if *method != wants && !(method == Method::HEAD && wants == Method::GET) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Try another method.\n");
        let allowed = if wants == Method::GET {
            "GET, HEAD"
        } else {
            "POST"
        };
        let allowed = HeaderValue::from_static(allowed);
        answer.headers_mut().insert(ALLOW, allowed);
        return Ok(answer);
    }
    Ok(match request.uri().path() {
        "/" => text(StatusCode::OK, "Hello, world!\n"),
        "/stream" => reply(StatusCode::OK, "text/plain", Counting { next: 0 }.boxed()),
        _ => echo(request.into_body()).await,
    })
}

/// JSON comes back as it was understood.
async fn echo(body: Incoming) -> Answer {
    let Ok(body) = Limited::new(body, MAX_JSON).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "Too long, or cut off.\n");
    };
    match serde_json::from_slice::<serde_json::Value>(&body.to_bytes()) {
        Ok(json) => {
            let body = Full::from(json.to_string()).boxed();
            reply(StatusCode::OK, "application/json", body)
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "Not JSON.\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    reply(status, "text/plain", Full::from(text).boxed())
}

fn reply(status: StatusCode, kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// A body of 1,000 lines, each of which is made when there is room for it.
struct Counting {
    next: u32,
}

impl Body for Counting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next == 1000 {
            return Poll::Ready(None);
        }
        self.next += 1;
        let line = Bytes::from(format!("line {}\n", self.next));
        Poll::Ready(Some(Ok(Frame::data(line))))
    }
}

/// Tells connections that the server ends.
#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    wakers: Mutex<HashMap<u64, Waker>>,
}

impl Stop {
    /// Has every connection finish what it does, and take nothing more.
    fn now(&self) {
        let mut wakers = self.wakers.lock();
        // Under the lock: whoever comes to leave a waker later sees it.
        self.stopped.store(true, Ordering::Relaxed);
        let taken = std::mem::take(&mut *wakers);
        drop(wakers);
        taken.into_values().for_each(Waker::wake);
    }

    /// `connection`, which `end` is called for when the server ends.
    async fn over<C: Future>(
        &self,
        id: u64,
        connection: C,
        end: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        let mut connection = pin!(connection);
        let (mut known, mut ended) = (false, false);
        let output = poll_fn(|cx| {
            if !known {
                self.wakers.lock().insert(id, cx.waker().clone());
                known = true;
            }
            if !ended && self.stopped.load(Ordering::Relaxed) {
                ended = true;
                end(connection.as_mut());
            }
            connection.as_mut().poll(cx)
        })
        .await;
        self.wakers.lock().remove(&id);
        output
    }
}
