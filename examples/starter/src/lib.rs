//! The server: a library, so that tests can start it.

use corio_net::{BufferPool, Connection, Server};
use std::io::{self, Write};
use std::time::Duration;

static BUFFERS: BufferPool = BufferPool::new(4096);

/// A server that is ready to be started: it sends everybody their own bytes back, in capitals.
pub fn server() -> Server {
    Server::new(shout)
        .max_connections(10_000)
        .idle_timeout(Duration::from_secs(300))
        .write_timeout(Duration::from_secs(10))
}

/// Serves one connection, as if it might block. What goes wrong ends it and nothing else.
fn shout(conn: &mut Connection) -> io::Result<()> {
    // Between requests it holds no buffer, and may be closed when the server is to end.
    while conn.wait_request()? {
        let bytes = BUFFERS.read(conn)?;
        conn.write_all(&bytes.to_ascii_uppercase())?;
    }
    Ok(())
}
