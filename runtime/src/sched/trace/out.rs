//! Events in Chrome's JSON format, line by line.
//!
//! The array format: what stands between the brackets is complete at every line's end, and readers don't insist on the
//! closing one. So a process that is killed leaves a trace that can be read.
//!
//! Written by hand, not by a library: a trace has millions of lines of half a dozen shapes, and the thread that writes
//! them takes its time from the program. What it must get right is little: numbers, and strings that are escaped
//! once ([`escaped`]) and then used again and again.

use std::io::{self, Write};

/// Bytes after which lines are given to the writer.
const BATCH: usize = 64 * 1024;

/// Where an event belongs: Chrome's process and thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Track {
    pub(super) pid: u32,
    pub(super) tid: u32,
}

/// Lines on their way to a writer.
#[derive(Debug)]
pub(super) struct Out<W> {
    writer: W,
    buffer: Vec<u8>,
    bytes: u64,
    /// Has there been a line?
    lines: bool,
    /// In a line: have there been arguments?
    arguments: bool,
}

impl<W: Write> Out<W> {
    pub(super) fn new(writer: W) -> Self {
        Out {
            writer,
            buffer: b"[".to_vec(),
            bytes: 0,
            lines: false,
            arguments: false,
        }
    }

    /// Begins the line of an event.
    pub(super) fn event(&mut self, ph: &str, track: Track, ns: u64) -> &mut Self {
        if self.lines {
            self.buffer.push(b',');
        }
        self.lines = true;
        self.arguments = false;
        self.buffer.extend_from_slice(b"\n{\"ph\":\"");
        self.buffer.extend_from_slice(ph.as_bytes());
        self.buffer.extend_from_slice(b"\",\"pid\":");
        self.number(track.pid.into());
        self.buffer.extend_from_slice(b",\"tid\":");
        self.number(track.tid.into());
        self.buffer.extend_from_slice(b",\"ts\":");
        self.number(ns / 1000);
        let rest = ns % 1000;
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        self.buffer.push(b'.');
        self.buffer.extend_from_slice(&digits);
        self
    }

    fn key(&mut self, key: &str) {
        self.buffer.extend_from_slice(b",\"");
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }

    /// A field of the event itself.
    pub(super) fn field(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        self.number(value);
        self
    }

    /// A field of the event itself. The text needs no escaping, or has been [`escaped`].
    pub(super) fn text(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key);
        self.quoted(text);
        self
    }

    fn argument(&mut self, key: &str) {
        if self.arguments {
            self.buffer.extend_from_slice(b",\"");
        } else {
            self.buffer.extend_from_slice(b",\"args\":{\"");
            self.arguments = true;
        }
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }

    /// An argument, after all fields.
    pub(super) fn arg(&mut self, key: &str, value: u64) -> &mut Self {
        self.argument(key);
        self.number(value);
        self
    }

    /// As [`arg`](Out::arg). The text needs no escaping, or has been [`escaped`].
    pub(super) fn arg_text(&mut self, key: &str, text: &str) -> &mut Self {
        self.argument(key);
        self.quoted(text);
        self
    }

    /// As [`arg`](Out::arg).
    pub(super) fn arg_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.argument(key);
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.buffer.extend_from_slice(text);
        self
    }

    /// Ends the line.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.arguments {
            self.buffer.push(b'}');
        }
        self.buffer.push(b'}');
        if self.buffer.len() >= BATCH {
            self.give()?;
        }
        Ok(())
    }

    /// Gives the writer what there is.
    fn give(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Gives the writer what there is, and has it pass it on.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.give()?;
        self.writer.flush()
    }

    /// Ends the array; returns how many bytes there were.
    pub(super) fn finish(&mut self) -> io::Result<u64> {
        self.buffer.extend_from_slice(b"\n]\n");
        self.flush()?;
        Ok(self.bytes)
    }

    fn quoted(&mut self, text: &str) {
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'"');
    }

    fn number(&mut self, mut n: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(&digits[at..]);
    }
}

/// As it may stand in a JSON string.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c < ' ' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACK: Track = Track { pid: 1, tid: 2 };

    #[test]
    fn lines_are_an_array() {
        let mut out = Out::new(Vec::new());
        out.flush().unwrap();
        out.event("B", TRACK, 1_234_056)
            .text("name", &escaped("a\"\\\n"))
            .arg("g", u64::MAX)
            .arg_bool("b", true)
            .arg_text("t", "x")
            .end()
            .unwrap();
        out.flush().unwrap();
        out.event("E", TRACK, 7).end().unwrap();
        let bytes = out.finish().unwrap();
        let text = String::from_utf8(out.writer).unwrap();
        let want = concat!(
            "[\n{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":1234.056,\"name\":\"a\\\"\\\\\\u000a\",",
            "\"args\":{\"g\":18446744073709551615,\"b\":true,\"t\":\"x\"}},\n",
            "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":0.007}\n]\n"
        );
        assert_eq!(text, want);
        assert_eq!(bytes, want.len() as u64);
    }

    #[test]
    fn nothing_is_an_empty_array() {
        let mut out = Out::new(Vec::new());
        out.finish().unwrap();
        assert_eq!(out.writer, b"[\n]\n");
    }

    #[test]
    fn lines_go_to_the_writer_in_batches() {
        let mut out = Out::new(Vec::new());
        while out.writer.is_empty() {
            out.event("i", TRACK, 0).end().unwrap();
        }
        assert!(out.writer.len() >= BATCH && out.writer.len() < BATCH + 100);
        assert!(out.buffer.is_empty());
    }
}
