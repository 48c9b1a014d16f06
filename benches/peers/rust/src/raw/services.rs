//! What is answered.

use std::collections::HashMap;
use std::os::fd::RawFd;

use corio_bench_peers::http::Answer;

/// Answers what was received.
pub(crate) trait Service: Default + Send + 'static {
    /// The answer to the next bytes of a connection.
    fn answer<'a>(&'a mut self, fd: RawFd, input: &'a [u8]) -> &'a [u8];

    /// The connection is about to be closed.
    fn forget(&mut self, fd: RawFd);
}

/// Sends everything back.
#[derive(Default)]
pub(crate) struct Echo;

impl Service for Echo {
    fn answer<'a>(&'a mut self, _fd: RawFd, input: &'a [u8]) -> &'a [u8] {
        input
    }

    fn forget(&mut self, _fd: RawFd) {}
}

/// What ends a request that has no body.
const END: &[u8; 4] = b"\r\n\r\n";

/// Sends the plaintext answer for each request, which ends with an empty line and is not looked at.
pub(crate) struct Http {
    answer: Answer,
    output: Vec<u8>,
    /// How much of [`END`] has been received, of requests that are cut off right in it.
    matched: HashMap<RawFd, usize>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            answer: Answer::of("raw"),
            output: Vec::new(),
            matched: HashMap::new(),
        }
    }
}

impl Service for Http {
    fn answer<'a>(&'a mut self, fd: RawFd, input: &'a [u8]) -> &'a [u8] {
        let mut matched = match self.matched.is_empty() {
            true => 0,
            false => self.matched.remove(&fd).unwrap_or(0),
        };
        let answer = self.answer.now();
        self.output.clear();
        for &byte in input {
            matched = match byte {
                byte if byte == END[matched] => matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if matched == END.len() {
                matched = 0;
                self.output.extend_from_slice(answer);
            }
        }
        if matched > 0 {
            self.matched.insert(fd, matched);
        }
        &self.output
    }

    fn forget(&mut self, fd: RawFd) {
        self.matched.remove(&fd);
    }
}
