//! What a request says: its head by httparse, and the rules that RFC 9112 has for bodies. Knows nothing of sockets.
//!
//! Where two readers of the same bytes could disagree about where a request ends, somebody's request is smuggled past
//! the other: so contradictory lengths, a length beside `Transfer-Encoding`, and codings other than `chunked` are refused
//! and not repaired.

use httparse::{Error, Status};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The longest head.
pub(crate) const MAX_HEAD: usize = 8192;
/// The most header fields.
const MAX_FIELDS: usize = 64;
/// The longest line that begins a chunk or ends the last one.
const MAX_LINE: usize = 256;

/// Why a request is refused: its status. The connection is closed then, since where the next request begins nobody
/// knows.
pub(crate) type Refusal = &'static str;

pub(crate) const BAD_REQUEST: Refusal = "400 Bad Request";
pub(crate) const TOO_LARGE: Refusal = "413 Content Too Large";
const HEAD_TOO_LARGE: Refusal = "431 Request Header Fields Too Large";
const NOT_IMPLEMENTED: Refusal = "501 Not Implemented";

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// A request's head, as a view into the bytes it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Its length.
    pub(crate) length: usize,
    pub(crate) method: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) keep_alive: bool,
    pub(crate) framing: Framing,
    /// The client waits for "100 Continue" before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
    pub(crate) range: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
}

/// The head of the first request in `input`, or `None` if there is more to come.
pub(crate) fn head(input: &[u8]) -> Result<Option<Head<'_>>, Refusal> {
    // Not filled in before they are: of 64 most are never used.
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut fields) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(Error::Version) => return Err("505 HTTP Version Not Supported"),
        Err(_) => return Err(BAD_REQUEST),
    };
    let target = request.path.unwrap_or_default();
    let mut head = Head {
        length,
        method: request.method.unwrap_or_default(),
        path: target.split('?').next().unwrap_or_default(),
        keep_alive: request.version == Some(1),
        framing: Framing::Length(0),
        expects_continue: false,
        if_none_match: None,
        if_modified_since: None,
        range: None,
        if_range: None,
    };
    let (mut body, mut chunked, mut close, mut hosts) = (None, false, false, 0);
    for field in request.headers.iter() {
        // The first byte and the length tell most names apart.
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = || str::from_utf8(field.value).map_err(|_| BAD_REQUEST);
        match field.name.len() {
            4 if is("host") => hosts += 1,
            5 if is("range") => head.range = Some(value()?),
            6 if is("expect") => match value()? {
                text if text.eq_ignore_ascii_case("100-continue") => head.expects_continue = true,
                _ => return Err("417 Expectation Failed"),
            },
            8 if is("if-range") => head.if_range = Some(value()?),
            10 if is("connection") => {
                for word in value()?.split(',') {
                    close |= word.trim().eq_ignore_ascii_case("close");
                    head.keep_alive |= word.trim().eq_ignore_ascii_case("keep-alive");
                }
            }
            13 if is("if-none-match") => head.if_none_match = Some(value()?),
            14 if is("content-length") => {
                let length = number(value()?, 10).ok_or(BAD_REQUEST)?;
                if body.is_some_and(|body| body != length) {
                    return Err(BAD_REQUEST);
                }
                body = Some(length);
            }
            17 if is("if-modified-since") => head.if_modified_since = Some(value()?),
            17 if is("transfer-encoding") => {
                if chunked || !value()?.trim().eq_ignore_ascii_case("chunked") {
                    return Err(NOT_IMPLEMENTED);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    let version_1_1 = request.version == Some(1);
    // Exactly one; HTTP/1.0 knew neither that nor codings.
    if chunked && (body.is_some() || !version_1_1) || version_1_1 && hosts != 1 {
        return Err(BAD_REQUEST);
    }
    head.keep_alive &= !close;
    head.expects_continue &= version_1_1;
    head.framing = if chunked {
        Framing::Chunked
    } else {
        Framing::Length(body.unwrap_or(0))
    };
    Ok(Some(head))
}

/// Digits and nothing else: `parse` would take a sign.
fn number(digits: &str, radix: u32) -> Option<u64> {
    let good = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    good.then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
}

/// Reads a body out of the bytes that come, piece by piece.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    /// How much may still come.
    room: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are left of a body whose length was given.
    Counted(u64),
    /// A line with a chunk's size is next.
    Size,
    /// So many bytes are left of a chunk.
    Chunk(u64),
    /// The end of a chunk's line is next.
    ChunkEnd,
    /// Lines up to an empty one, which ends it all.
    Trailer,
    End,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// These bytes of the input belong to the body; the input up to their end is used up.
    Data(Range<usize>),
    /// So much of the input is used up.
    Skip(usize),
    /// More has to come.
    More,
    /// The body is over.
    End,
}

impl Body {
    /// Of a body so delimited, of at most `limit` bytes.
    pub(crate) fn new(framing: Framing, limit: u64) -> Result<Body, Refusal> {
        let state = match framing {
            Framing::Length(0) => State::End,
            Framing::Length(length) if length > limit => return Err(TOO_LARGE),
            Framing::Length(length) => State::Counted(length),
            Framing::Chunked => State::Size,
        };
        Ok(Body { state, room: limit })
    }

    /// Has all of it been read?
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next part out of `input`, which begins where the last part ended.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Part, Refusal> {
        match self.state {
            State::End => Ok(Part::End),
            State::Counted(left) | State::Chunk(left) => {
                let n = left.min(input.len() as u64);
                if n == 0 {
                    return Ok(Part::More);
                }
                self.state = match (self.state, left - n) {
                    (State::Counted(_), 0) => State::End,
                    (State::Counted(_), left) => State::Counted(left),
                    (_, 0) => State::ChunkEnd,
                    (_, left) => State::Chunk(left),
                };
                Ok(Part::Data(0..n as usize))
            }
            State::Size | State::ChunkEnd | State::Trailer => {
                let Some(end) = input.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
                    return if input.len() < MAX_LINE {
                        Ok(Part::More)
                    } else {
                        Err(BAD_REQUEST)
                    };
                };
                // A lone line feed is none: readers disagree about it.
                let line = input[..end].strip_suffix(b"\r").ok_or(BAD_REQUEST)?;
                self.line(line)?;
                Ok(Part::Skip(end + 1))
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::End,
            State::Trailer => {
                // Trailers are bytes too.
                self.room = self.room.checked_sub(line.len() as u64).ok_or(TOO_LARGE)?;
                State::Trailer
            }
            State::Size => {
                let text = str::from_utf8(line).map_err(|_| BAD_REQUEST)?;
                let size = text.split(';').next().unwrap_or_default().trim_end();
                let size = number(size, 16).ok_or(BAD_REQUEST)?;
                self.room = self.room.checked_sub(size).ok_or(TOO_LARGE)?;
                if size == 0 {
                    State::Trailer
                } else {
                    State::Chunk(size)
                }
            }
            _ => return Err(BAD_REQUEST),
        };
        Ok(())
    }
}
