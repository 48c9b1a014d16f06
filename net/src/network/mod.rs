//! Go's way in: networks and addresses by name.

mod addr;
mod conn;
mod dial;
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
