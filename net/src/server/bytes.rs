//! The ways to move a [`Connection`]'s bytes other than `Read` and `Write`: pooled buffers, and copying. They
//! too make it active before the first byte.

use crate::buffer::{self, Late, PooledRead};
use crate::network::Conn;
use crate::server::connection::Connection;
use crate::shared::HasSocket;
use crate::socket::Socket;
use crate::transfer::{self, CopyFrom, CopyTo, Duplex, End, Kind};
use std::io;

/// For [`with_context`](crate::with_context).
impl HasSocket for Connection {
    fn socket(&self) -> &Socket {
        self.conn().socket()
    }
}

impl buffer::sealed::Sealed for Connection {}

impl PooledRead for Connection {
    fn read_late(&self, late: &mut Late<'_>) -> io::Result<usize> {
        if !self.before_read()? {
            return Ok(0);
        }
        match self.conn() {
            Conn::Tcp(stream) => stream.read_late(late),
            Conn::Unix(stream) => stream.read_late(late),
        }
    }

    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buf)
    }
}

impl transfer::sealed::Sealed for Connection {}

impl CopyFrom for Connection {
    fn source(&self) -> End<'_> {
        self.activate();
        End::Stream(self.conn().socket(), Kind::Socket)
    }
}

impl CopyTo for Connection {
    fn destination(&self) -> End<'_> {
        self.activate();
        End::Stream(self.conn().socket(), Kind::Socket)
    }
}

impl Duplex for Connection {
    fn stream(&self) -> &Socket {
        self.activate();
        self.conn().socket()
    }
}
