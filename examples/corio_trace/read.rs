//! Reading a trace: the array format of Chrome's JSON, an event per line, perhaps without its end.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde_json::Value;

/// The longest line; events are far shorter.
const MAX_LINE: u64 = 1 << 20;

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Error {
    /// It can't be read.
    Io(io::Error),
    /// It is something else.
    Foreign(String),
    /// This line is no event.
    Line(usize, serde_json::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "{error}"),
            Error::Foreign(why) => write!(f, "not a trace of corio's: {why}"),
            Error::Line(line, error) => write!(f, "line {line} is not an event: {error}"),
        }
    }
}

/// An event, as far as it is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Event<'a> {
    /// What kind of line it is.
    #[serde(borrow)]
    pub(crate) ph: Cow<'a, str>,
    /// Chrome's process: what the track stands for.
    pub(crate) pid: u32,
    /// Chrome's thread: which one.
    pub(crate) tid: u32,
    /// Microseconds since the beginning.
    pub(crate) ts: f64,
    /// What it is about.
    #[serde(borrow, default)]
    pub(crate) cat: Cow<'a, str>,
    /// What it is called.
    #[serde(borrow, default)]
    pub(crate) name: Cow<'a, str>,
    /// All else.
    #[serde(default)]
    pub(crate) args: Args,
}

/// The arguments of all kinds of events.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Args {
    /// A goroutine.
    pub(crate) g: Option<u64>,
    /// How many.
    pub(crate) n: u64,
    /// Where a goroutine was found, or a P's number.
    pub(crate) from: Value,
    /// How a turn ended.
    pub(crate) end: String,
    /// What it ended by waiting for.
    pub(crate) reason: String,
    /// Why sysmon took a P.
    pub(crate) why: String,
    /// A process's or thread's name.
    pub(crate) name: String,
    /// Events in the trace.
    pub(crate) events: u64,
    /// Events that were lost.
    pub(crate) dropped: u64,
}

/// Takes a trace apart.
pub(crate) struct Reader<R> {
    input: R,
    line: Vec<u8>,
    number: usize,
    torn: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the beginning.
    pub(crate) fn new(input: R) -> Result<Self, Error> {
        let mut reader = Reader {
            input,
            line: Vec::new(),
            number: 0,
            torn: false,
        };
        reader.read_line()?;
        match reader.line.trim_ascii() {
            b"[" => Ok(reader),
            b"" => Err(Error::Foreign("it is empty".into())),
            _ => Err(Error::Foreign(
                "it doesn't begin with a line with `[`".into(),
            )),
        }
    }

    /// The next line; empty at the end.
    fn read_line(&mut self) -> Result<(), Error> {
        self.line.clear();
        self.number += 1;
        let mut input = self.input.by_ref().take(MAX_LINE);
        input.read_until(b'\n', &mut self.line).map_err(Error::Io)?;
        if self.line.len() as u64 == MAX_LINE {
            let number = self.number;
            return Err(Error::Foreign(format!("line {number} is too long")));
        }
        Ok(())
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.read_line()?;
        let last = self.line.last() != Some(&b'\n');
        let line = self.line.trim_ascii();
        if line == b"]" {
            return Ok(None);
        }
        if line.is_empty() && last {
            self.torn = true;
            return Ok(None);
        }
        let line = line.strip_suffix(b",").unwrap_or(line);
        match serde_json::from_slice(line) {
            Ok(event) => Ok(Some(event)),
            // Of a process that was killed, the last line may be half a one.
            Err(_) if last => {
                self.torn = true;
                Ok(None)
            }
            Err(error) => Err(Error::Line(self.number, error)),
        }
    }

    /// Was the end missing? Known when it has been reached.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }
}
