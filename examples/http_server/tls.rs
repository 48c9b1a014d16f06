//! The same over TLS: rustls does all of it, over any stream that reads and writes.

use crate::exchange::{Wire, shorter};
use corio_net::Connection;
use rustls::{ServerConnection, StreamOwned};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

pub(crate) struct Encrypted<'a>(pub(crate) StreamOwned<ServerConnection, &'a Connection>);

impl Read for Encrypted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Encrypted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Encrypted<'_> {
    fn conn(&self) -> &Connection {
        self.0.sock
    }

    fn wait_request(&mut self) -> io::Result<bool> {
        // What was received with the last request may be waiting inside, decrypted.
        let state = self
            .0
            .conn
            .process_new_packets()
            .map_err(io::Error::other)?;
        Ok(state.plaintext_bytes_to_read() > 0 || self.0.sock.wait_request()?)
    }

    fn send_file(&mut self, file: &mut File, range: Range<u64>) -> io::Result<()> {
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        // The file is on a disk, so reading it may block the thread for a moment; writing parks.
        let mut buffer = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = corio::blocking(|| file.read(&mut buffer[..want]))?;
            if n == 0 {
                return Err(shorter());
            }
            self.0.write_all(&buffer[..n])?;
            left -= n as u64;
        }
        self.0.flush()
    }
}
