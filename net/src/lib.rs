//! Sockets for [corio]: std's API, parking the goroutine instead of blocking the thread.
//!
//! A server is a loop that accepts and a goroutine per connection, written as if it might block:
//!
//! ```
//! use corio_net::{TcpListener, TcpStream};
//! use std::io::{self, Read, Write};
//!
//! fn echo(mut stream: TcpStream) -> io::Result<()> {
//!     let mut buffer = [0; 1024];
//!     loop {
//!         match stream.read(&mut buffer)? {
//!             0 => return Ok(()),
//!             n => stream.write_all(&buffer[..n])?,
//!         }
//!     }
//! }
//!
//! # fn main() -> io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let addr = listener.local_addr()?;
//! corio::spawn(move || {
//!     while let Ok((stream, _peer)) = listener.accept() {
//!         corio::spawn(move || echo(stream));
//!     }
//! });
//!
//! let mut stream = TcpStream::connect(addr)?;
//! stream.write_all(b"ping")?;
//! let mut reply = [0; 4];
//! stream.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"ping");
//! # Ok(())
//! # }
//! ```
//!
//! Names, signatures, defaults and errors are those of [`std::net`]; where a type differs, its page
//! says so under "Beyond and apart from std". What Go has in addition is there under Go's names:
//! absolute deadlines that also end a call under way, and `close`, after which everybody else's calls
//! fail with an error that [`is_closed`] recognises.
//!
//! All of it works on plain threads too, which it blocks. What implements `Read` and `Write` is enough
//! for the synchronous ecosystem: rustls, httparse, tungstenite and others work unchanged.
//!
//! The process's soft limit of open files is raised to the hard one when the first socket is made, as
//! Go does; child processes inherit that.
//!
//! # How it works
//!
//! Reading order: `word` (where an event and the operation that waits for it meet), `direction`
//! (turns, deadlines), `source` and `arena` (poll descriptors), `reactor` (the poller), `socket` (the
//! choke point of all operations, close), `tcp`. Each head says what holds and why.

// Models use a part of what is compiled for them.
#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod buffer;
#[cfg(not(loom))]
pub mod conn_pool;
#[cfg(not(loom))]
mod connect;
mod direction;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod metrics;
#[cfg(all(loom, test))]
mod models;
#[cfg(not(loom))]
mod network;
#[cfg(not(loom))]
mod option;
#[cfg(not(loom))]
mod pipe;
#[cfg(not(loom))]
mod pollable;
mod prim;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod resolve;
#[cfg(not(loom))]
mod server;
// The part of it that is modelled.
#[cfg(all(loom, test))]
#[path = "server/state.rs"]
mod server_state;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
mod source;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod tcp;
#[cfg(not(loom))]
mod transfer;
#[cfg(not(loom))]
mod udp;
#[cfg(not(loom))]
mod unix;
mod word;

#[cfg(not(loom))]
pub use buffer::{Buffer, BufferPool, PooledRead, PooledReader};
#[cfg(not(loom))]
pub use conn_pool::{ConnPool, PooledConn};
#[cfg(not(loom))]
pub use error::{OpError, is_closed};
#[cfg(not(loom))]
pub use metrics::{Metrics, metrics};
#[cfg(not(loom))]
pub use network::{
    Addr, Conn, Connections, Dialer, ListenConfig, Listener, dial, inherit, listen, with_context,
};
#[cfg(not(loom))]
pub use option::KeepAlive;
#[cfg(not(loom))]
pub use pipe::{PipeReader, PipeWriter, pipe};
#[cfg(not(loom))]
pub use pollable::{Interest, Pollable};
#[cfg(not(loom))]
pub use resolve::{ToSocketAddrs, lookup_host};
#[cfg(not(loom))]
pub use server::{
    AcceptAction, AcceptError, Admission, Backlog, Connection, ConnectionInfo, ConnectionState,
    Overflow, Refusal, Server, ServerHandle, ServerStats, ServerWarning, ShutdownDeadline,
    ShutdownReport,
};
#[cfg(not(loom))]
pub use tcp::{Incoming, IntoIncoming, TcpListener, TcpStream};
#[cfg(not(loom))]
pub use transfer::{CopyFrom, CopyTo, Duplex, copy, copy_bidirectional, copy_n};
#[cfg(not(loom))]
pub use udp::UdpSocket;
#[cfg(not(loom))]
pub use unix::{UCred, UnixDatagram, UnixIncoming, UnixListener, UnixStream};
