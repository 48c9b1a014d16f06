//! The plaintext server, which is may_minihttp's.

use std::io;
use std::net::SocketAddr;

use corio_bench_peers::serve::{self, Hogs, announce};
use corio_bench_peers::{Args, Outcome, http};
use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Plaintext;

impl HttpService for Plaintext {
    fn call(
        &mut self,
        _request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        response.header("Content-Type: text/plain").body(http::BODY);
        Ok(())
    }
}

/// Serves until the process ends.
pub(crate) fn serve(args: &Args) -> Outcome {
    // The server does not tell which port it was given: one that is chosen here, and shared with it.
    let reserved = serve::bind(args, true)?;
    let address: SocketAddr = reserved.local_addr()?.as_socket().ok_or("no address")?;
    let server = HttpServer(Plaintext).start(address)?;
    drop(reserved);
    announce(args, address, &Hogs::new(args))?;
    server.join().map_err(|_| "the server ended")?;
    Ok(Vec::new())
}
