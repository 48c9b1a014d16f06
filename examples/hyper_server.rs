//! hyper on goroutines: HTTP/1.1 and HTTP/2 (with prior knowledge) on one port.
//!
//! `cargo run --release --example hyper_server`, then `curl --http2-prior-knowledge http://127.0.0.1:8080/`. A
//! connection is a goroutine that runs hyper's future with `block_on`; `Compat` makes the stream hyper's, and HTTP/2's
//! requests are goroutines too (`Executor`). Answers: a line of text at `/`, JSON that comes back at `/echo`, and a
//! body that is made while it is sent at `/stream`.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use corio::sync::WaitGroup;
use corio::{block_on, go};
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
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
}
