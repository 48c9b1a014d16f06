//! `bench serve` and `bench load`: server and load on two machines.

use std::io;

use crate::cli::{LoadArgs, ServeArgs};

/// Starts a server of a peer where others can reach it.
pub(crate) fn serve(_args: &ServeArgs) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "not built in"))
}

/// Puts a load on a server elsewhere and prints what came of it.
pub(crate) fn load(_args: &LoadArgs) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "not built in"))
}
