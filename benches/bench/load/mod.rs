//! The load generators: what the harness asks of them and what they give back.
//!
//! A generator runs on the thread that calls it and on no other, so that pinning that thread pins
//! the client. Each takes a plan, tells a [`Hook`] when the measured window begins and ends, and
//! returns what it counted; bytes that come back wrong are an error, never a statistic, and so are a
//! connection that ends and a server that is silent for ten seconds.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`exchange`] | the loop: requests and answers on connections that stay open, closed and open |
//! | [`echo`], [`http`] | what a right answer is |
//! | [`churn`], [`idle`] | connections that do not stay, or do nothing |
//! | [`window`] | what is counted, and when |
//! | [`pattern`] | the bytes that are sent |
//! | [`connect`], [`poll`] | sockets |

mod churn;
mod connect;
mod echo;
mod exchange;
mod http;
mod idle;
mod pattern;
mod poll;
#[cfg(test)]
mod tests;
mod window;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use echo::Echoes;
use exchange::{Asking, Exchange};
use http::Answers;
use pattern::Pattern;

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// On a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

/// What a generator tells its [`Hook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The warm-up is over.
    Begin,
    /// The measured window is over.
    End,
}

/// Called on the thread of the generator, so it has to be cheap.
pub(crate) type Hook<'a> = &'a mut dyn FnMut(Moment) -> io::Result<()>;

/// Messages that the server sends back.
#[derive(Clone, Debug)]
pub(crate) struct EchoPlan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    /// Bytes in a message.
    pub(crate) message: usize,
    /// Messages in flight on each connection: 1 is ping-pong.
    pub(crate) depth: usize,
    /// Requests per second over all connections: an open loop, with latencies from the intended
    /// moment of sending. Without it, a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

/// Requests of HTTP on connections that stay open, for "Hello, World!".
#[derive(Clone, Debug)]
pub(crate) struct HttpPlan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    /// Requests in flight on each connection: more than 1 is pipelining.
    pub(crate) depth: usize,
    /// As in [`EchoPlan`].
    pub(crate) rate: Option<f64>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

/// Connect, one exchange, close.
#[derive(Clone, Debug)]
pub(crate) struct ChurnPlan {
    pub(crate) target: Target,
    /// Connections open at one time.
    pub(crate) concurrency: usize,
    /// Bytes exchanged on each.
    pub(crate) message: usize,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

/// Connections that do nothing. The window begins before the first connects.
#[derive(Clone, Debug)]
pub(crate) struct IdlePlan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    /// Bytes exchanged on each before it falls idle; 0 for none.
    pub(crate) message: usize,
    /// How long they stay open before the window ends.
    pub(crate) hold: Duration,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

/// What a generator counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadResult {
    /// Answered in the window.
    pub(crate) requests: u64,
    /// Answered in the window and in the warm-up.
    pub(crate) total_requests: u64,
    /// How long the window was.
    pub(crate) seconds: f64,
    pub(crate) latency: Latency,
    /// Answered in the window, by connection.
    pub(crate) per_connection: Vec<u64>,
}

/// Echo, closed or open loop.
pub(crate) fn echo(plan: &EchoPlan, hook: Hook<'_>) -> io::Result<LoadResult> {
    let EchoPlan {
        connections,
        message,
        depth,
        rate,
        warmup,
        duration,
        ..
    } = *plan;
    let pattern = Pattern::noise();
    let request = message;
    let scattered = true;
    let asking = Asking {
        connections,
        depth,
        request,
        scattered,
        rate,
        warmup,
        duration,
    };
    let echoes = Echoes::new(&pattern, message, connections);
    Exchange::open(&asking, &pattern, echoes, &plan.target)?.run(hook)
}

/// HTTP, closed or open loop.
pub(crate) fn http(plan: &HttpPlan, hook: Hook<'_>) -> io::Result<LoadResult> {
    let HttpPlan {
        connections,
        depth,
        rate,
        warmup,
        duration,
        ..
    } = *plan;
    let pattern = Pattern::of(http::REQUEST);
    let request = http::REQUEST.len();
    let scattered = false;
    let asking = Asking {
        connections,
        depth,
        request,
        scattered,
        rate,
        warmup,
        duration,
    };
    Exchange::open(&asking, &pattern, Answers::new(connections), &plan.target)?.run(hook)
}

/// Connection churn; a latency is that of a whole life.
pub(crate) fn churn(plan: &ChurnPlan, hook: Hook<'_>) -> io::Result<LoadResult> {
    churn::churn(plan, hook)
}

/// Idle connections.
pub(crate) fn idle(plan: &IdlePlan, hook: Hook<'_>) -> io::Result<()> {
    idle::idle(plan, hook)
}
