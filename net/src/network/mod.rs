//! Go's way in: networks and addresses by name.

mod addr;
mod conn;
mod listener;

pub use addr::Addr;
pub use conn::Conn;
pub use listener::{Connections, Listener};
