//! The plaintext server, which is hyper's, with its answers to pipelined requests collected.

use std::convert::Infallible;
use std::io;

use corio_bench_peers::http::BODY;
use corio_bench_peers::serve::{Hogs, announce};
use corio_bench_peers::{Args, Outcome};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use crate::crew::in_task;
use crate::echo::tcp;

/// Serves until the process ends.
pub(crate) fn serve(runtime: &Runtime, args: &Args) -> Outcome {
    let _within = runtime.enter();
    let listener = tcp(args)?;
    announce(args, listener.local_addr()?, &Hogs::new(args))?;
    let accepted: io::Result<_> = in_task(runtime, async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(plaintext));
                // An error is the other side's, and ends the connection.
                let _ = connection.await;
            });
        }
    });
    Ok(accepted?)
}

/// hyper adds the date and the length.
async fn plaintext(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("hyper"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
