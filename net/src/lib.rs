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
//! # What is where
//!
//! | for | there is |
//! | --- | --- |
//! | sockets with std's API | [`TcpListener`], [`TcpStream`], [`UdpSocket`], [`UnixListener`], [`UnixStream`], [`UnixDatagram`]; their iterators [`Incoming`], [`IntoIncoming`], [`UnixIncoming`]; [`UCred`], [`KeepAlive`] |
//! | networks by name, as in Go | [`listen`] and [`dial`]; [`ListenConfig`] and [`Dialer`], which have settings; what they make: [`Listener`] (its iterator: [`Connections`]), [`Conn`], [`Addr`]; what they report: [`OpError`] |
//! | names and addresses | [`ToSocketAddrs`], [`lookup_host`] |
//! | a context that ends what waits | [`with_context`] |
//! | servers | [`Server`], which [`start`](Server::start)ed gives a [`ServerHandle`] with [`ServerStats`]; its handler's [`Connection`] with [`ConnectionInfo`] and [`ConnectionState`] |
//! | ... whom they let in | [`Admission`], [`Overflow`], [`Refusal`]; [`AcceptError`], [`AcceptAction`]; [`ServerWarning`] |
//! | ... how they end | [`ShutdownDeadline`], [`Backlog`], [`ShutdownReport`] |
//! | ... how one replaces another | [`inherit`](mod@inherit) |
//! | clients that keep connections | [`ConnPool`], [`PooledConn`]; settings and figures in [`conn_pool`] |
//! | moving bytes past the program | [`copy`], [`copy_n`], [`copy_bidirectional`]; what they take: [`CopyFrom`], [`CopyTo`], [`Duplex`] |
//! | buffers that nobody holds while waiting | [`BufferPool`], [`Buffer`], [`PooledReader`]; what they read from: [`PooledRead`] |
//! | pipes | [`pipe`](fn@pipe), [`PipeReader`], [`PipeWriter`] |
//! | any other descriptor | [`Pollable`], [`Interest`] |
//! | closed, or another error? | [`is_closed`] |
//! | figures | [`metrics`](fn@metrics), [`Metrics`] |
//!
//! # A server
//!
//! With limits, time limits, and an end without loss the server above is a [`Server`]: its handler is the same
//! straight code.
//!
//! ```
//! use corio::signal::{SIGINT, SIGTERM};
//! use corio_net::{BufferPool, Connection, Server, dial, listen};
//! use std::io::{self, Read, Write};
//! use std::time::Duration;
//!
//! static BUFFERS: BufferPool = BufferPool::new(4096);
//!
//! fn echo(conn: &mut Connection) -> io::Result<()> {
//!     // Idle between requests, it holds no buffer, and may be closed.
//!     while conn.wait_request()? {
//!         let bytes = BUFFERS.read(conn)?;
//!         conn.write_all(&bytes)?;
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> io::Result<()> {
//! let server = Server::new(echo)
//!     .max_connections(10_000)
//!     .idle_timeout(Duration::from_secs(300))
//!     .write_timeout(Duration::from_secs(10))
//!     .shutdown_on(&[SIGINT, SIGTERM], Duration::from_secs(30))
//!     .start([listen("tcp", "127.0.0.1:0")?])?;
//!
//! let mut client = dial("tcp", &server.addrs()[0].to_string())?;
//! client.write_all(b"ping")?;
//! let mut reply = [0; 4];
//! client.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"ping");
//! server.shutdown(Duration::from_secs(10));
//! # Ok(())
//! # }
//! ```
//!
//! # Beyond and apart from std
//!
//! Names, signatures, defaults and errors are those of [`std::net`] and [`std::os::unix::net`]. What is different,
//! of all sockets; each type's page has the rest under the same heading:
//!
//! * Calls park the goroutine instead of blocking the thread. All of it works on plain threads too, which it
//!   blocks.
//! * What Go has in addition is there under Go's names: absolute deadlines (`set_deadline` and its halves), which
//!   also end a call under way, and `close`, after which everybody else's calls fail with an error that
//!   [`is_closed`] recognises.
//! * Timeouts and deadlines report [`TimedOut`](std::io::ErrorKind::TimedOut), and not `WouldBlock`.
//! * Several goroutines may read, or write, the same socket: they take turns, first come, first served, and what
//!   `write_all` and `write!` write is not mixed.
//! * Clones share one descriptor and all settings.
//! * For the system every descriptor is non-blocking; `set_nonblocking` says whether *calls here* park. Taking a
//!   descriptor over, or giving it back, may fail: `TryFrom` in place of `From`, `FromRawFd` and `IntoRawFd`.
//! * Listeners have the longest queue that the system allows.
//! * A name's addresses are tried as Go does, IPv6 and IPv4 raced, and resolving keeps no P.
//! * The process's soft limit of open files is raised to the hard one when the first socket is made, as Go does;
//!   other than Go's, child processes inherit that.
//!
//! Code that is written with futures gets streams from `compat` (cargo features `futures-io` and `hyper`).
//!
//! What implements `Read` and `Write` is enough for the synchronous ecosystem: rustls, httparse, tungstenite
//! and others work unchanged.
//!
//! # How it works
//!
//! Readers of the code begin at the bottom; each file's head says what holds and why.
//!
//! | in this order | |
//! | --- | --- |
//! | `word` | where an event and the operation that waits for it meet |
//! | `direction` | whose turn it is to read, or to write, and until when to wait |
//! | `source`, `arena` | poll descriptors, and where they live |
//! | `metrics` | counting that costs a request nothing |
//! | `reactor`, `sys` | the poller; the system's calls |
//! | `socket` | a descriptor's life; `turn`: the choke point of all operations |
//! | `shared` | what all types of sockets have |
//! | `option`, `resolve`; `tcp`, `udp`, `unix`, `pipe`, `pollable` | the types |
//!
//! So far nothing of the runtime is used but its contract with reactors (and a semaphore, by `resolve`). What is
//! above uses it as any program may:
//!
//! | in this order | |
//! | --- | --- |
//! | `connect` | the first of several addresses that answers |
//! | `buffer`, `transfer` | pooled buffers; copying |
//! | `network` | `listen`, `dial`, contexts, inherited listeners |
//! | `server` | a connection's `state`, the `registry`, `accept`, `serve`, `shutdown` |
//! | `conn_pool` | its books, `attempts` and `core`; its goroutines, `connect` and `keeper` |
//!
//! `models` explores `word` and `direction` by loom, as they are; the tests in `server/state.rs` do so for a
//! connection's state.

// Models use a part of what is compiled for them.
#![cfg_attr(loom, allow(dead_code))]

#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod buffer;
#[cfg(all(not(loom), any(feature = "futures-io", feature = "hyper")))]
pub mod compat;
#[cfg(not(loom))]
pub mod conn_pool;
#[cfg(not(loom))]
mod connect;
#[cfg(all(feature = "debug", not(loom)))]
pub mod debug;
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
