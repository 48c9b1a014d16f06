//! Go's way in: networks and addresses by name, and what does not care which network it is.
//!
//! | file | what it has |
//! | --- | --- |
//! | `name` | networks, `host:port`, services: what the arguments of `dial` and `listen` mean |
//! | `addr`, `conn`, `listener` | [`Addr`], [`Conn`], [`Listener`]: an enum each over the networks |
//! | `options` | socket options that dialled connections and listeners share: Go's defaults |
//! | `dial` | [`dial`](fn@dial), [`Dialer`]: limits in time over resolver and connecting, which is [`connect`](crate::connect)'s |
//! | `listen` | [`listen`](fn@listen), [`ListenConfig`] |
//! | `with_context` | [`with_context`](fn@with_context): a context ends what waits on a socket |
//! | `inherit` | listeners from the parent process, and for children |
//!
//! The types of [`std::net`]'s names keep std's defaults; everything made here has Go's: nodelay and
//! keepalive on.
//!
//! All of this uses corio as any program may (channels, contexts, timers, spawning), other than the
//! sockets below it.
//!
//! Next in the reading order: `server`.

mod addr;
mod conn;
mod dial;
pub mod inherit;
mod listen;
mod listener;
mod name;
mod options;
mod with_context;

pub use addr::Addr;
pub use conn::Conn;
pub use dial::{Dialer, dial};
pub use listen::{ListenConfig, listen};
pub use listener::{Connections, Listener};
pub use with_context::with_context;
