//! RESP2: requests are taken apart where they lie, replies are appended to a buffer.
//!
//! A request's arguments are slices of the input: nothing is copied until a command keeps something.
//! A request that is not complete is not begun again with the next bytes: the [`Parser`] remembers how far it
//! has come, so that the work is linear in the bytes, however they are cut up.
//!
//! Nothing is allocated because a client *announces* it: announced lengths are only checked, and memory
//! follows the bytes that have come.

use std::borrow::Cow;

/// The most arguments of a request, as in Redis.
pub(crate) const MAX_ARGS: usize = 1024 * 1024;
/// The longest inline request, as in Redis.
pub(crate) const MAX_INLINE: usize = 64 * 1024;
/// The longest line with a count or a length: its marker, a sign, 19 digits, and some zeros to spare.
const MAX_HEADER: usize = 32;
/// Room for so many arguments is kept from one request to the next.
const SPARE_ARGS: usize = 1024;

/// What a client is told before its connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(pub(crate) Cow<'static, str>);

fn malformed(text: &'static str) -> ProtocolError {
    ProtocolError(Cow::Borrowed(text))
}

/// Where an argument lies. Half the size of a `Range<usize>`: a request may have a million of them.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// The arguments of a request, the command's name first.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    text: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub(crate) fn len(self) -> usize {
        self.spans.len()
    }

    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        Some(&self.text[span.start as usize..span.end as usize])
    }

    /// Panics if there is none: for commands, whose table says how many there are.
    pub(crate) fn at(self, index: usize) -> &'a [u8] {
        self.get(index)
            .expect("the number of arguments was checked")
    }

    /// All from this one on.
    pub(crate) fn from(self, first: usize) -> Args<'a> {
        Args {
            spans: &self.spans[first..],
            ..self
        }
    }

    /// All but the last so many.
    pub(crate) fn without_last(self, n: usize) -> Args<'a> {
        Args {
            spans: &self.spans[..self.spans.len() - n],
            ..self
        }
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let Args { text, spans } = self;
        let slice = move |span: &Span| &text[span.start as usize..span.end as usize];
        spans.iter().map(slice)
    }
}

/// Takes requests apart. Always given the same input, from the first byte of a request on, with more
/// behind it each time, until it has returned that request.
pub(crate) struct Parser {
    /// The longest request.
    max: usize,
    /// How much of the request has been understood; in an inline one, how much has no line end.
    at: usize,
    /// Arguments still to come; `None`: the request has not begun.
    missing: Option<usize>,
    spans: Vec<Span>,
    /// The arguments of an inline request, without their quotes.
    inline: Vec<u8>,
}

impl Parser {
    /// `max`: of the longest request, at most [`u32::MAX`].
    pub(crate) fn new(max: usize) -> Parser {
        Parser {
            max: max.min(u32::MAX as usize),
            at: 0,
            missing: None,
            spans: Vec::new(),
            inline: Vec::new(),
        }
    }

    /// The first request of the input, and how many bytes it takes; `None` if it is not complete. One without
    /// arguments is to be skipped.
    pub(crate) fn parse<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<Option<(Args<'a>, usize)>, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => {
                match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {}
                    Some(_) => return self.parse_inline(input),
                }
                let invalid = "invalid multibulk length";
                let Some((count, next)) = header(&input[1..], invalid)? else {
                    return Ok(None);
                };
                self.spans.clear();
                self.spans.shrink_to(SPARE_ARGS);
                self.at = 1 + next;
                // A negative one is an empty request, as in Redis.
                let count = usize::try_from(count).unwrap_or(0);
                if count > MAX_ARGS {
                    return Err(malformed(invalid));
                }
                count
            }
        };
        while missing > 0 {
            let Some((span, next)) = bulk(input, self.at, self.max)? else {
                self.missing = Some(missing);
                return Ok(None);
            };
            self.spans.push(span);
            self.at = next;
            missing -= 1;
        }
        self.missing = None;
        let length = std::mem::take(&mut self.at);
        let spans = &self.spans;
        Ok(Some((Args { text: input, spans }, length)))
    }

    fn parse_inline<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<Option<(Args<'a>, usize)>, ProtocolError> {
        let newline = input[self.at..].iter().position(|&byte| byte == b'\n');
        let end = newline.map_or(input.len(), |n| self.at + n);
        if end > MAX_INLINE {
            return Err(malformed("too big inline request"));
        }
        if newline.is_none() {
            self.at = end;
            return Ok(None);
        }
        self.at = 0;
        self.spans.clear();
        self.inline.clear();
        let line = &input[..end];
        split_words(
            line.strip_suffix(b"\r").unwrap_or(line),
            &mut self.inline,
            &mut self.spans,
        )
        .ok_or(malformed("unbalanced quotes in request"))?;
        let (text, spans) = (&self.inline[..], &self.spans[..]);
        Ok(Some((Args { text, spans }, end + 1)))
    }
}

/// The bulk string at `start`, and where it ends; `None` if it is not complete.
#[inline]
fn bulk(input: &[u8], start: usize, max: usize) -> Result<Option<(Span, usize)>, ProtocolError> {
    match input.get(start) {
        None => return Ok(None),
        Some(b'$') => {}
        Some(&other) => {
            let other = char::from(other).escape_default();
            let text = format!("expected '$', got '{other}'");
            return Err(ProtocolError(Cow::Owned(text)));
        }
    }
    let invalid = "invalid bulk length";
    let Some((length, next)) = header(&input[start + 1..], invalid)? else {
        return Ok(None);
    };
    let start = start + 1 + next;
    let length = usize::try_from(length).map_err(|_| malformed(invalid))?;
    if length > max {
        return Err(malformed(invalid));
    }
    let (end, next) = (start + length, start + length + 2);
    if next > max {
        return Err(malformed("too big request"));
    }
    match input.get(end..next) {
        None => Ok(None),
        Some(b"\r\n") => {
            // They are no larger than `max`.
            let (start, end) = (start as u32, end as u32);
            Ok(Some((Span { start, end }, next)))
        }
        Some(_) => Err(malformed("expected CRLF after bulk string")),
    }
}

/// The number of a line that begins with it, and the line's length; `None` if it has no end yet.
#[inline]
fn header(input: &[u8], invalid: &'static str) -> Result<Option<(i64, usize)>, ProtocolError> {
    let window = &input[..input.len().min(MAX_HEADER)];
    let Some(end) = window.iter().position(|&byte| byte == b'\r') else {
        return if window.len() == MAX_HEADER {
            Err(malformed(invalid))
        } else {
            Ok(None)
        };
    };
    let number = integer(&window[..end]).ok_or(malformed(invalid))?;
    match input.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((number, end + 2))),
        Some(_) => Err(malformed(invalid)),
    }
}

/// Words, and what is between quotes; `None` if a quote has no end, or something follows it at once.
fn split_words(line: &[u8], text: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<()> {
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        if rest.peek().is_none() {
            return Some(());
        }
        // A line is no longer than MAX_INLINE.
        let start = text.len() as u32;
        while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
            if byte != b'"' && byte != b'\'' {
                text.push(byte);
                continue;
            }
            loop {
                match rest.next()? {
                    end if end == byte => break,
                    b'\\' if byte == b'"' => text.push(unescape(&mut rest)?),
                    b'\\' if rest.next_if_eq(&b'\'').is_some() => text.push(b'\''),
                    other => text.push(other),
                }
            }
            if rest.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                return None;
            }
        }
        let end = text.len() as u32;
        spans.push(Span { start, end });
    }
}

/// What a backslash and the next bytes mean between double quotes.
fn unescape(rest: &mut (impl Iterator<Item = u8> + Clone)) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => {
            let mut ahead = rest.clone();
            match (ahead.next().and_then(digit), ahead.next().and_then(digit)) {
                (Some(high), Some(low)) => {
                    *rest = ahead;
                    // Two hexadecimal digits fit.
                    (high * 16 + low) as u8
                }
                _ => b'x',
            }
        }
        other => other,
    })
}

/// A whole number as Redis takes it: no plus, no zeros in front, no spaces.
#[inline]
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        _ => (text, false),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    let mut number = 0_i64;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        // Downwards, where there is one number more.
        number = number
            .checked_mul(10)?
            .checked_sub(i64::from(byte - b'0'))?;
    }
    if negative {
        Some(number)
    } else {
        number.checked_neg()
    }
}
